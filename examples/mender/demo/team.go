package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/examples/mender"
)

// What the person of the data team decides beside what is suggested: enrollments of this group are not wanted back.
const unwantedGroup = "pilot"

// again is how many devices enroll again before the data team looks, late how many between the review and the apply.
const (
	again = 12
	late  = 1
)

func (d *demo) gap() mender.Gap { return mender.Gap{Before: d.before, End: d.end} }

// lifeGoesOn is the service after the restore: the clients work again, and devices that find themselves unknown enroll.
func (d *demo) lifeGoesOn(ctx context.Context) error {
	d.story.Model().Return(d.before)
	d.server.live = d.story.Live(ctx, 150*time.Millisecond)
	enrolled, err := d.story.Reenroll(ctx, d.gap(), again)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "%d devices have enrolled again by themselves, under new ids\n", enrolled)
	if enrolled == 0 {
		return errors.New("no device had enrolled in the gap: the story is too short")
	}
	return nil
}

// review has the lost records listed for the data team, plays the person who decides, and takes the file back.
func (d *demo) review(ctx context.Context) error {
	file := filepath.Join(d.folder, "review.csv")
	if err := d.pitr(ctx, "reconcile", "plan", d.job, "--review", file); err != nil {
		return err
	}
	changed, err := decide(file)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "the data team takes the suggestions, and leaves out %d enrollments of the group %q\n", changed, unwantedGroup)
	if err := d.pitr(ctx, "reconcile", "import", d.job, file); err != nil {
		return err
	}
	enrolled, err := d.story.Reenroll(ctx, d.gap(), late)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "meanwhile %d more device has enrolled again\n", enrolled)
	return nil
}

// decide is the person: some rows of a spreadsheet get another word. It gives how many.
func decide(file string) (int, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(string(content), "\ufeff"))).ReadAll()
	if err != nil {
		return 0, err
	}
	decision, state, group := slices.Index(rows[0], "decision"), slices.Index(rows[0], "state"), slices.Index(rows[0], "group")
	if decision < 0 || state < 0 || group < 0 {
		return 0, fmt.Errorf("the review file has the columns %v", rows[0])
	}
	changed := 0
	for _, row := range rows[1:] {
		if row[state] == "lost" && row[group] == unwantedGroup {
			row[decision] = "Leave" // people do not write as programs do
			changed++
		}
	}
	out, err := os.Create(file) //nolint:gosec // the demo's own folder
	if err != nil {
		return 0, err
	}
	if err := csv.NewWriter(out).WriteAll(rows); err != nil {
		return 0, err
	}
	return changed, out.Close()
}

// putBack applies the decisions while the clients go on, and has the model say what that must have brought about.
func (d *demo) putBack(ctx context.Context) error {
	if err := d.pitrMay(ctx, partly, "reconcile", "apply", d.job, "--dry-run"); err != nil {
		return err
	}
	if err := d.pitrMay(ctx, partly, "reconcile", "apply", d.job, "--confirm-target", clusterName); err != nil {
		return err
	}
	if err := d.stopClients(); err != nil {
		return err
	}
	d.back = d.story.PutBack(d.gap(), func(ns string, document bson.Raw) bool {
		group, ok := document.Lookup("group").StringValueOK()
		return ns != mender.Enrollments || !ok || group != unwantedGroup
	})
	if err := d.compare(ctx, d.story.Model().Now()); err != nil {
		return err
	}
	for _, documents := range d.back {
		d.outcome.back += len(documents)
	}
	fmt.Fprintf(d.out, "%d records are back; nothing is doubled, and nothing that came or changed meanwhile is overwritten: the model agrees on every document\n",
		d.outcome.back)
	if d.outcome.back == 0 {
		return errors.New("nothing was put back")
	}
	fmt.Fprintln(d.out, "once more does nothing:")
	if err := d.pitrMay(ctx, partly, "reconcile", "apply", d.job, "--confirm-target", clusterName); err != nil {
		return err
	}
	return d.compare(ctx, d.story.Model().Now())
}

// changeTheirMind takes the reconcile back.
func (d *demo) changeTheirMind(ctx context.Context) error {
	job, err := d.newestJob(ctx, "reconcile")
	if err != nil {
		return err
	}
	if err := d.pitr(ctx, "undo", job, "--confirm-target", clusterName); err != nil {
		return err
	}
	d.story.TakeBack(d.back)
	if err := d.compare(ctx, d.story.Model().Now()); err != nil {
		return err
	}
	fmt.Fprintln(d.out, "all of it is gone again, and nothing else: the model agrees on every document")
	return nil
}

// compare fails unless the server is, document by document, what the model says.
func (d *demo) compare(ctx context.Context, moment mender.Moment) error {
	differences, err := d.story.Compare(ctx, d.app, moment)
	if err != nil {
		return err
	}
	for i, difference := range differences {
		if i == 10 {
			fmt.Fprintf(d.out, "… and %d more\n", len(differences)-i)
			break
		}
		fmt.Fprintln(d.out, difference)
	}
	if len(differences) > 0 {
		return fmt.Errorf("%d documents differ from the model", len(differences))
	}
	return nil
}

// partly is the exit code of a run that left items out and has listed them.
const partly = 3

// pitrMay runs one command that may also end with this code.
func (d *demo) pitrMay(ctx context.Context, code int, args ...string) error {
	err := d.pitr(ctx, args...)
	var ended *exec.ExitError
	if errors.As(err, &ended) && ended.ExitCode() == code {
		return nil
	}
	return err
}
