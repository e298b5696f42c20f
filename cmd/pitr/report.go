package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/urfave/cli/v2"
	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/history"
	"pitr/report"
)

func reportCommand(s streams) *cli.Command {
	return &cli.Command{
		Name:      "report",
		Usage:     "show what a job took away and gave back",
		ArgsUsage: "JOB",
		Description: "Lists the lost set: every record of the gap with both versions, field by field. --html writes one page that\n" +
			"works from disk with the network off. Fields named by the setting redact are hidden.\n\n" +
			"Example:\n   pitr report 20251022T092001Z-k3f9q2 --html lost.html",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "html", Usage: "write the page to this `FILE`"},
			&cli.BoolFlag{Name: "force", Usage: "replace the file"},
			&cli.BoolFlag{Name: "summary", Usage: "counts only"}},
		Action: action(s, []string{"JOB"}, runReport),
	}
}

// duplicateLine is a group of duplicates in the JSON lines of a report.
type duplicateLine struct {
	Type    string   `json:"type"`
	Version int      `json:"v"`
	NS      string   `json:"ns"`
	Index   string   `json:"index"`
	Value   string   `json:"value"`
	IDs     []string `json:"ids"`
}

// jobReport is what the outputs of a report share.
type jobReport struct {
	run        *session
	repository *catalog.Repository
	job        catalog.Job
	redactor   report.Redactor
	duplicates []report.DuplicateGroup
	events     []report.Event
}

func runReport(ctx context.Context, run *session, c *cli.Context) error {
	id, err := jobID(c.Args().First())
	if err != nil {
		return err
	}
	r := &jobReport{run: run}
	if r.redactor, err = report.NewRedactor(run.settings.redact()); err != nil {
		return err
	}
	if r.repository, err = run.openRepository(ctx, reading); err != nil {
		return err
	}
	if r.job, err = r.repository.Job(ctx, id); err != nil {
		return err
	}
	if r.job.Changes == nil {
		return pitr.Errorf(pitr.KindNotFound, "report job "+string(id), "see `pitr jobs`", "it stopped before its list of changes was published")
	}
	if err := r.lookBack(ctx); err != nil {
		return err
	}
	if file := c.String("html"); file != "" {
		return r.writePage(ctx, pageFile{name: file, replace: c.Bool("force")})
	}
	return r.print(ctx, c.Bool("summary"))
}

// lookBack finds what happened in the gap, and the duplicates that stood at its end. A gap that the archive no longer
// covers is said, not guessed: the records are in the change set all the same.
func (r *jobReport) lookBack(ctx context.Context) error {
	changes := r.job.Changes
	if isCompare(r.job) && changes.Gap.IsEmpty() {
		fmt.Fprintln(r.run.err, "no archive lies between the two states: events and duplicates are left out")
		return nil
	}
	past, err := history.Open(ctx, r.repository, history.Start{At: changes.Gap.After, Scope: changes.Scope}, history.Options{})
	if pitr.KindOf(err) == pitr.KindHole {
		fmt.Fprintln(r.run.err, "the archive no longer covers the gap: events and duplicates are left out")
		return nil
	}
	if err != nil {
		return err
	}
	findings, err := past.Find(ctx, changes.Gap, history.EventOptions{Scope: changes.Scope})
	if err != nil {
		return err
	}
	for _, event := range findings.Events {
		r.events = append(r.events, report.Event{At: event.OpTime.TS, What: eventText(event), Where: event.NS.String()})
	}
	return r.findDuplicates(ctx, past, findings.Gaps)
}

func (r *jobReport) findDuplicates(ctx context.Context, past *history.History, gaps []history.IndexGap) error {
	if len(gaps) == 0 {
		return nil
	}
	view, err := past.View(ctx, r.job.Changes.Gap.Through, r.job.Changes.Scope)
	if err != nil {
		return err
	}
	for _, gap := range gaps {
		collection, there := view.Collection(gap.NS)
		if !there {
			continue
		}
		found, err := view.Duplicates(ctx, collection, gap.Spec)
		if err != nil {
			return err
		}
		for _, group := range found.Shown {
			shown := report.DuplicateGroup{NS: gap.NS.String(), Index: pitr.IndexName(gap.Spec), Value: group.Value}
			if r.redactor.Hides(gap.NS, firstField(gap.Spec)) {
				shown.Value = report.Hidden
			}
			for _, key := range group.Keys {
				shown.IDs = append(shown.IDs, string(r.redactor.Key(gap.NS, key)))
			}
			slices.Sort(shown.IDs)
			r.duplicates = append(r.duplicates, shown)
		}
	}
	return nil
}

// firstField names the field of an index whose value stands for a group of duplicates.
func firstField(spec bson.Raw) string {
	fields, _ := spec.Lookup("key").DocumentOK()
	first, err := fields.IndexErr(0)
	if err != nil {
		return ""
	}
	return first.Key()
}

// records reads the change set: the documents, and the catalog steps where somebody wants them.
func (r *jobReport) records(ctx context.Context, steps func(pitr.CatalogStep) error) iter.Seq2[pitr.Change, error] {
	return func(yield func(pitr.Change, error) bool) {
		for document, err := range r.repository.ChangeDocuments(ctx, *r.job.Changes) {
			if err != nil {
				yield(pitr.Change{}, err)
				return
			}
			if format.IsCatalogStep(document) {
				step, err := format.DecodeCatalogStep(document)
				if err == nil && steps != nil {
					err = steps(step)
				}
				if err != nil {
					yield(pitr.Change{}, err)
					return
				}
				continue
			}
			change, err := format.DecodeChange(document)
			if !yield(change, err) || err != nil {
				return
			}
		}
	}
}

func (r *jobReport) print(ctx context.Context, summaryOnly bool) error {
	printer, err := r.run.newDiffPrinter(summaryOnly)
	if err != nil {
		return err
	}
	line := newJobLine(r.job)
	if !r.run.json {
		fmt.Fprintf(r.run.out, "job %s (%s) %s: %s\n", line.Job, line.Kind, aboutJob(r.job), line.State)
	}
	for change, err := range r.records(ctx, printer.Step) {
		if err != nil {
			return err
		}
		if err := printer.Change(change); err != nil {
			return err
		}
	}
	for _, group := range r.duplicates {
		if !r.run.json {
			continue
		}
		if err := r.run.line(duplicateLine{Type: "duplicates", Version: 1, NS: group.NS, Index: group.Index, Value: group.Value, IDs: group.IDs}); err != nil {
			return err
		}
	}
	if r.run.json {
		return r.run.line(line)
	}
	fmt.Fprintf(r.run.out, "in all: %s\n", priceText(r.job.Changes.Documents))
	if len(r.duplicates) > 0 {
		fmt.Fprintf(r.run.out, "%d groups of duplicates stood at the end of the gap\n", len(r.duplicates))
	}
	r.run.next("pitr report "+string(line.Job)+" --html lost.html", "for the people who know the data")
	return nil
}

// pageFile is where the page goes.
type pageFile struct {
	name    string
	replace bool
}

func (r *jobReport) writePage(ctx context.Context, file pageFile) error {
	const op = "write the page"
	if _, err := os.Lstat(file.name); err == nil && !file.replace {
		return pitr.Refusef(op, "choose another name, or give --force", "%s exists", file.name)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return pitr.Errorf(pitr.KindInvalid, op, "check the path", "%w", err)
	}
	var page bytes.Buffer
	if err := report.WritePage(&page, r.page(), r.records(ctx, nil), r.redactor); err != nil {
		return err
	}
	if err := writeWhole(file.name, page.Bytes()); err != nil {
		return pitr.Errorf(pitr.KindLimit, op, "check the folder and its free space", "%w", err)
	}
	if r.run.json {
		return r.run.line(map[string]any{"type": "page", "v": 1, "file": file.name, "bytes": page.Len()})
	}
	fmt.Fprintf(r.run.out, "wrote %s, %s: open it in a browser, it needs nothing else\n", file.name, sizeText(int64(page.Len())))
	return nil
}

// writeWhole makes a file appear whole or not at all: a page cut in the middle would show fewer records than were lost.
func writeWhole(name string, content []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(name), ".pitr-*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) //nolint:errcheck // it is gone after the rename
	_, err = temporary.Write(content)
	if err == nil {
		err = temporary.Sync()
	}
	if closeErr := temporary.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(temporary.Name(), name)
}

func (r *jobReport) page() report.Page {
	line := newJobLine(r.job)
	if isCompare(r.job) {
		return r.comparePage(line)
	}
	changes := r.job.Changes
	cluster := ""
	if r.job.Intent != nil {
		cluster = r.job.Intent.Cluster.Name
	}
	return report.Page{
		Title: "Lost records of " + cluster,
		Lead: fmt.Sprintf("The cluster was brought back to %s. What was written between that moment and %s is listed here with both versions.",
			clockText(changes.Gap.After), clockText(changes.Gap.Through)),
		Facts: []report.Fact{
			{Name: "Records touched", Value: grouped(line.Touched)},
			{Name: "Records written", Value: grouped(line.Restored)},
			{Name: "Lost or changed", Value: grouped(line.Lost)},
			{Name: "Groups of duplicates", Value: grouped(int64(len(r.duplicates)))},
			{Name: "Seconds frozen", Value: fmt.Sprintf("%.1f", line.SecondsFrozen)},
		},
		Timeline: r.events, Duplicates: r.duplicates, Next: "pitr undo " + string(line.Job),
		Footer: fmt.Sprintf("Job %s, written by pitr %s on %s.", line.Job, version, r.run.now().UTC().Format(time.RFC3339)),
	}
}
