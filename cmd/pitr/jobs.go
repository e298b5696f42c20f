package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/reconcile"
	"pitr/restore"
)

func jobCommands(s streams) []*cli.Command {
	confirm := &cli.StringFlag{Name: "confirm-target", Usage: "the `NAME` of the cluster, where nobody can type it"}
	return []*cli.Command{
		{
			Name: "resume", Usage: "go on with a job that was stopped", ArgsUsage: "JOB",
			Description: "What is done is recognised by the state of documents and catalog.\n\n" +
				"Example:\n   pitr resume 20251022T092001Z-k3f9q2",
			Action: action(s, []string{"JOB"}, resumeJob),
		},
		{
			Name: "undo", Usage: "reverse a job: everything as it was before its first write", ArgsUsage: "JOB",
			Description: "Documents that have changed since are left alone and listed.\n\n" +
				"Example:\n   pitr undo 20251022T092001Z-k3f9q2",
			Flags:  []cli.Flag{confirm, &cli.BoolFlag{Name: "dry-run", Usage: "show what would be done; writes nothing"}},
			Action: action(s, []string{"JOB"}, undoJob),
		},
		{
			Name: "unfreeze", Usage: "lift the write block that a stopped job left", ArgsUsage: "JOB",
			Description: "The job stays where it stopped; prefer resume or undo. A block that somebody else set is not lifted.\n\n" +
				"Example:\n   pitr unfreeze 20251022T092001Z-k3f9q2",
			Action: action(s, []string{"JOB"}, unfreezeJob),
		},
		{
			Name: "jobs", Usage: "list the jobs, oldest first",
			Description: "Example:\n   pitr jobs",
			Action:      action(s, nil, listJobs),
		},
	}
}

func jobID(text string) (format.ID, error) {
	id, err := format.ParseID(text)
	if err != nil {
		return "", pitr.Errorf(pitr.KindInvalid, "read the job's id", "see `pitr jobs`", "%w", err)
	}
	return id, nil
}

func resumeJob(ctx context.Context, run *session, c *cli.Context) error {
	id, err := jobID(c.Args().First())
	if err != nil {
		return err
	}
	job, err := run.openJob(ctx, writing)
	if err != nil {
		return err
	}
	defer job.close(ctx)
	found, err := job.repository.Job(ctx, id)
	if err != nil {
		return err
	}
	if found.Intent != nil && found.Intent.Kind == format.JobReconcile {
		outcome, err := reconcile.Resume(ctx, job.reconcileDeps(), id)
		return job.endApply(ctx, outcome, err)
	}
	outcome, err := restore.Resume(ctx, job.deps, id)
	return job.end(ctx, outcome, err)
}

func undoJob(ctx context.Context, run *session, c *cli.Context) error {
	id, err := jobID(c.Args().First())
	if err != nil {
		return err
	}
	want := writing
	if c.Bool("dry-run") {
		want = reading
	}
	job, err := run.openJob(ctx, want)
	if err != nil {
		return err
	}
	defer job.close(ctx)
	intent, err := restore.PlanUndo(ctx, job.deps, id)
	if err != nil {
		return err
	}
	if run.json {
		if err := run.line(newIntentLine(intent)); err != nil {
			return err
		}
	} else {
		job.showIntent(intent)
	}
	if c.Bool("dry-run") {
		if !run.json {
			run.next("pitr undo "+string(id), "(this was a dry run: nothing was written)")
		}
		return nil
	}
	confirmed, err := job.confirm(ctx, intent, c.String("confirm-target"))
	if err != nil {
		return err
	}
	outcome, err := restore.Run(ctx, job.deps, intent, confirmed)
	return job.end(ctx, outcome, err)
}

func unfreezeJob(ctx context.Context, run *session, c *cli.Context) error {
	id, err := jobID(c.Args().First())
	if err != nil {
		return err
	}
	job, err := run.openJob(ctx, writing)
	if err != nil {
		return err
	}
	defer job.close(ctx)
	lifted, err := restore.Unfreeze(ctx, job.deps, id)
	if err != nil {
		return err
	}
	word := "the write block is lifted"
	if !lifted {
		word = "no write block stands"
	}
	if run.json {
		return run.line(map[string]any{"type": "unfreeze", "v": 1, "job": id, "lifted": lifted})
	}
	fmt.Fprintln(run.out, word)
	run.next("pitr resume "+string(id), "or pitr undo "+string(id))
	return nil
}

// jobLine is the JSON line of a job.
type jobLine struct {
	Type    string         `json:"type"`
	Version int            `json:"v"`
	Job     format.ID      `json:"job"`
	Kind    format.JobKind `json:"kind,omitempty"`
	Created time.Time      `json:"created,omitzero"`
	To      pitr.Timestamp `json:"to"`
	State   string         `json:"state"`
	// Touched are the documents of the change set, Restored those that were written, Lost those that people may want back.
	Touched       int64   `json:"touched"`
	Restored      int64   `json:"restored"`
	Lost          int64   `json:"lost"`
	SecondsFrozen float64 `json:"secondsFrozen"`
}

func (run *session) jobLine(ctx context.Context, repository *catalog.Repository, id format.ID) (jobLine, error) {
	found, err := repository.Job(ctx, id)
	if err != nil {
		return jobLine{}, err
	}
	return newJobLine(found), nil
}

func newJobLine(found catalog.Job) jobLine {
	line := jobLine{Type: "job", Version: 1, Job: found.ID, State: jobState(found)}
	if found.Intent != nil {
		line.Kind, line.Created, line.To = found.Intent.Kind, found.Intent.Created, found.Intent.To
	}
	if found.Changes != nil {
		for class, n := range found.Changes.Documents {
			line.Touched += n
			switch class {
			case pitr.ClassCreated, pitr.ClassChanged, pitr.ClassDeleted:
				line.Lost += n
			}
		}
	}
	if found.Result != nil {
		line.Restored = found.Result.Written
	}
	line.SecondsFrozen = secondsFrozen(found.Steps)
	return line
}

func jobState(found catalog.Job) string {
	switch {
	case found.Result != nil:
		return found.Result.Outcome
	case len(found.Steps) == 0:
		return "intended"
	}
	return "stopped after " + found.Steps[len(found.Steps)-1].Step
}

// secondsFrozen is the time between the freeze and its end, as the steps of the job tell it.
func secondsFrozen(steps []format.StepRecord) float64 {
	var frozen, lifted time.Time
	for _, step := range steps {
		switch step.Step {
		case "frozen":
			frozen = step.Taken
		case "unfrozen":
			lifted = step.Taken
		}
	}
	if frozen.IsZero() || lifted.Before(frozen) {
		return 0
	}
	return lifted.Sub(frozen).Seconds()
}

func listJobs(ctx context.Context, run *session, _ *cli.Context) error {
	repository, err := run.openRepository(ctx, reading)
	if err != nil {
		return err
	}
	jobs, err := repository.Jobs(ctx)
	if err != nil {
		return err
	}
	lines := make([]jobLine, 0, len(jobs))
	for _, each := range jobs {
		lines = append(lines, newJobLine(each))
	}
	// Ids tell the second only: two jobs of one second stand in any order.
	slices.SortStableFunc(lines, func(a, b jobLine) int { return a.Created.Compare(b.Created) })
	rows := [][]string{{"JOB", "KIND", "TO (UTC)", "STATE", "WRITTEN"}}
	states := tableStates(jobs)
	var halfway format.ID
	for _, line := range lines {
		if run.json {
			if err := run.line(line); err != nil {
				return err
			}
		}
		row := states[line.Job]
		if row.open {
			halfway = line.Job
		}
		rows = append(rows, []string{string(line.Job), string(line.Kind), line.To.Time().Format("01-02 15:04:05"), row.state, row.written})
	}
	switch {
	case run.json:
		return nil
	case len(jobs) == 0:
		fmt.Fprintln(run.err, "no job is there yet")
		run.next("pitr find --since \"2h ago\"")
		return nil
	}
	if err := run.table(rows); err != nil || halfway == "" {
		return err
	}
	run.next("pitr resume "+string(halfway), "goes on with it, pitr undo "+string(halfway)+" takes it back")
	return nil
}

// tableRow is what the list says of a job for people: whether it stands half-way, was taken back, and what it wrote, where
// that is known.
type tableRow struct {
	state, written string
	open           bool
}

func tableStates(jobs []catalog.Job) map[format.ID]tableRow {
	rows := map[format.ID]tableRow{}
	for _, each := range jobs {
		row := tableRow{state: jobState(each), written: "0"}
		switch {
		case each.Result != nil:
			row.written = grouped(each.Result.Written)
		case hasWritten(each):
			row.open, row.written = true, "some"
		case len(each.Steps) > 0:
			row.open = true
		case len(each.Steps) == 0:
			row.state = "not begun"
		}
		rows[each.ID] = row
	}
	for _, each := range jobs {
		if each.Intent == nil || each.Intent.Kind != format.JobUndo || !each.Done() {
			continue
		}
		if row, there := rows[each.Intent.Job]; there {
			row.state += ", undone"
			row.open = false
			rows[each.Intent.Job] = row
		}
	}
	return rows
}
