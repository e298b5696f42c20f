package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"pitr"
	"pitr/catalog"
	"pitr/format"
)

// holdCommands keep snapshots away from prune, and let them go.
func holdCommands(s streams) []*cli.Command {
	return []*cli.Command{
		{
			Name: "hold", Usage: "keep a snapshot whatever the policy says", ArgsUsage: "SNAPSHOT",
			Description: "Example:\n   pitr snapshot hold 20251022T092001Z-k3f9q2 --reason \"case 4711\" --until 2026-12-31T00:00:00Z",
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "reason", Usage: "a word for the people who will wonder"},
				&cli.StringFlag{Name: "until", Usage: "the `TIME` at which the hold ends by itself"},
			},
			Action: action(s, []string{"SNAPSHOT"}, holdSnapshot),
		},
		{
			Name: "release", Usage: "end holds", ArgsUsage: "SNAPSHOT|HOLD",
			Description: "With the id of a snapshot it ends the holds that people put on it. A hold of a job's evidence is named by its own\n" +
				"id: without it the job cannot be undone for certain.\n\nExample:\n   pitr snapshot release 20251022T092001Z-k3f9q2",
			Action: action(s, []string{"SNAPSHOT|HOLD"}, releaseHolds),
		},
	}
}

// holdLine is the JSON line of a hold.
type holdLine struct {
	Type     string       `json:"type"`
	Version  int          `json:"v"`
	ID       format.ID    `json:"id"`
	Reason   string       `json:"reason"`
	Snapshot format.ID    `json:"snapshot,omitempty"`
	Job      format.ID    `json:"job,omitempty"`
	Window   *pitr.Window `json:"window,omitempty"`
	Until    time.Time    `json:"until,omitzero"`
	Released bool         `json:"released,omitempty"`
}

func newHoldLine(h format.Hold) holdLine {
	line := holdLine{Type: "hold", Version: 1, ID: h.ID, Reason: h.Reason, Snapshot: h.Snapshot, Job: h.Job, Window: h.Window}
	if !h.Expires.IsZero() {
		line.Until = h.Expires.UTC()
	}
	return line
}

func holdSnapshot(ctx context.Context, run *session, c *cli.Context) error {
	id, err := snapshotID(c.Args().First())
	if err != nil {
		return err
	}
	if strings.TrimSpace(c.String("reason")) == "" {
		return pitr.Errorf(pitr.KindInvalid, "read the command line", "give --reason WORD", "a hold without a reason is never lifted")
	}
	repository, err := run.openRepository(ctx, writing)
	if err != nil {
		return err
	}
	if _, err := repository.Manifest(ctx, id); err != nil {
		return err
	}
	hold := format.Hold{Operator: operator(), Reason: c.String("reason"), Snapshot: id}
	if until := c.String("until"); until != "" {
		if hold.Expires, err = run.future(until); err != nil {
			return err
		}
	}
	if hold, err = repository.PutHold(ctx, hold); err != nil {
		return err
	}
	if run.json {
		return run.line(newHoldLine(hold))
	}
	fmt.Fprintf(run.out, "snapshot %s is held by %s\n", id, hold.ID)
	run.next("to end it: pitr snapshot release " + string(hold.ID))
	return nil
}

// future reads a time of day that is still to come.
func (run *session) future(text string) (time.Time, error) {
	moment, err := pitr.ParseTime(text, pitr.TimeContext{Now: run.now()})
	if err != nil {
		return time.Time{}, err
	}
	var until time.Time
	switch moment.Kind {
	case pitr.MomentSecond:
		until = moment.ThroughSecond().Time()
	case pitr.MomentBound:
		until = moment.Bound.Time()
	default:
	}
	if !until.After(run.now()) {
		return time.Time{}, pitr.Errorf(pitr.KindInvalid, "read --until", "write a time that is still to come, such as 2026-12-31T00:00:00Z",
			"%q is not in the future", text)
	}
	return until, nil
}

func releaseHolds(ctx context.Context, run *session, c *cli.Context) error {
	id, err := format.ParseID(c.Args().First())
	if err != nil {
		return pitr.Errorf(pitr.KindInvalid, "read the id", "see `pitr snapshot list`", "%w", err)
	}
	repository, err := run.openRepository(ctx, writing)
	if err != nil {
		return err
	}
	holds, err := repository.Holds(ctx)
	if err != nil {
		return err
	}
	var ends, stays []format.Hold
	for _, hold := range holds.Items {
		switch {
		case hold.ID == id, hold.Snapshot == id && hold.Job == "":
			ends = append(ends, hold)
		case hold.Snapshot == id:
			stays = append(stays, hold)
		}
	}
	if len(ends)+len(stays) == 0 {
		return pitr.Errorf(pitr.KindNotFound, "release", "see `pitr timeline` for the holds", "nothing is held by or as %s", id)
	}
	for _, hold := range ends {
		if err := mayEnd(ctx, repository, hold); err != nil {
			return err
		}
		name, err := hold.ObjectName()
		if err != nil {
			return err
		}
		if err := repository.Delete(ctx, name); err != nil {
			return err
		}
		if run.json {
			line := newHoldLine(hold)
			line.Released = true
			if err := run.line(line); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(run.out, "hold %s has ended (%s)\n", hold.ID, printable(hold.Reason))
	}
	if len(stays) > 0 {
		return pitr.Errorf(pitr.KindPartial, "release snapshot "+string(id), "to end it, too: pitr snapshot release "+string(stays[0].ID),
			"it stays held as %s (%s)", printable(stays[0].Reason), stays[0].ID)
	}
	return nil
}

// mayEnd refuses to end the hold of a job that is not over: it is all that keeps the state before the job.
func mayEnd(ctx context.Context, repository *catalog.Repository, hold format.Hold) error {
	if hold.Job == "" {
		return nil
	}
	jobs, err := repository.Jobs(ctx)
	if err != nil {
		return err
	}
	undone := func(id format.ID) bool {
		return slices.ContainsFunc(jobs, func(j catalog.Job) bool {
			return j.Intent != nil && j.Intent.Kind == format.JobUndo && j.Intent.Job == id && j.Done()
		})
	}
	for _, job := range jobs {
		if job.ID == hold.Job && job.Result == nil && !undone(job.ID) {
			return pitr.Refusef("release hold "+string(hold.ID), fmt.Sprintf("first `pitr resume %[1]s` or `pitr undo %[1]s`", job.ID),
				"job %s is not over, and this is its evidence", job.ID)
		}
	}
	return nil
}

// holdsBySnapshot gives the holds of each snapshot.
func holdsBySnapshot(ctx context.Context, repository *catalog.Repository) (map[format.ID][]format.Hold, error) {
	holds, err := repository.Holds(ctx)
	if err != nil {
		return nil, err
	}
	by := map[format.ID][]format.Hold{}
	for _, hold := range holds.Items {
		if hold.Snapshot != "" {
			by[hold.Snapshot] = append(by[hold.Snapshot], hold)
		}
	}
	return by, nil
}

// condemnedSnapshots gives the snapshots that prune will remove.
func condemnedSnapshots(ctx context.Context, repository *catalog.Repository) (map[format.ID]bool, error) {
	lists, err := repository.Condemned(ctx)
	if err != nil {
		return nil, err
	}
	condemned := map[format.ID]bool{}
	for _, list := range lists.Items {
		for _, id := range list.Snapshots {
			condemned[id] = true
		}
	}
	return condemned, nil
}

// holdText shows what holds a snapshot, one hold a line.
func holdText(holds []format.Hold) string {
	var lines strings.Builder
	for _, hold := range holds {
		fmt.Fprintf(&lines, "held as %s: %s", hold.ID, printable(hold.Reason))
		if !hold.Expires.IsZero() {
			lines.WriteString(", until " + hold.Expires.UTC().Format("2006-01-02 15:04 UTC"))
		}
		lines.WriteString("\n")
	}
	return lines.String()
}
