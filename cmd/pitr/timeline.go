package main

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"pitr"
	"pitr/catalog"
	"pitr/catalog/prune"
	"pitr/format"
)

func timelineCommand(s streams) *cli.Command {
	return &cli.Command{
		Name:  "timeline",
		Usage: "show which moments can be reached",
		Description: "Reads listings and small objects only. A moment can be reached when a snapshot lies before it and the\n" +
			"archive covers everything between them.\n\nExample:\n   pitr timeline",
		Flags:  scopeFlags(),
		Action: action(s, nil, showTimeline),
	}
}

// scopeFlags choose namespaces.
func scopeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "only", Usage: "only this `NAMESPACE` (db or db.collection); may be repeated"},
		&cli.StringSliceFlag{Name: "except", Usage: "not this `NAMESPACE`; may be repeated"},
	}
}

func scopeOf(c *cli.Context) (pitr.Scope, error) {
	return pitr.NewScope(c.StringSlice("only"), c.StringSlice("except"))
}

// stretchLine, holeLine and markLine are the JSON lines of `pitr timeline`.
type stretchLine struct {
	Type    string         `json:"type"`
	Version int            `json:"v"`
	First   pitr.Timestamp `json:"first"`
	Last    pitr.Timestamp `json:"last"`
}

type holeLine struct {
	Type    string      `json:"type"`
	Version int         `json:"v"`
	Window  pitr.Window `json:"window"`
	Reason  string      `json:"reason,omitempty"`
}

type markLine struct {
	Type    string         `json:"type"`
	Version int            `json:"v"`
	Name    string         `json:"name"`
	At      pitr.Timestamp `json:"at"`
}

func showTimeline(ctx context.Context, run *session, c *cli.Context) error {
	scope, err := scopeOf(c)
	if err != nil {
		return err
	}
	repository, err := run.openRepository(ctx, reading)
	if err != nil {
		return err
	}
	timeline, err := repository.Timeline(ctx)
	if err != nil {
		return err
	}
	for _, damaged := range timeline.Damaged {
		fmt.Fprintf(run.err, "damaged: %s: %s\n", damaged.Object, printable(damaged.Err.Error()))
	}
	tip := timeline.Tip()
	reachable := timeline.Reachable(tip, scope)
	kept, err := run.keptSoFar(ctx, repository, reachable)
	if err != nil {
		return err
	}
	branches, err := run.branches(ctx, repository)
	if err != nil {
		return err
	}
	if run.json {
		if err := run.keptLines(kept); err != nil {
			return err
		}
		for _, branch := range branches {
			if err := run.line(newBranchLine(branch)); err != nil {
				return err
			}
		}
		for _, stretch := range reachable {
			if err := run.line(stretchLine{Type: "reachable", Version: 1, First: stretch.First, Last: stretch.Last}); err != nil {
				return err
			}
		}
		for _, hole := range timeline.Holes(tip) {
			if err := run.line(holeLine{Type: "hole", Version: 1, Window: hole.Window, Reason: hole.Reason}); err != nil {
				return err
			}
		}
		for _, each := range timeline.Lines {
			for _, mark := range each.Marks {
				if err := run.line(markLine{Type: "mark", Version: 1, Name: mark.Name, At: mark.At}); err != nil {
					return err
				}
			}
		}
		return nil
	}
	run.printBranches(branches, tip)
	if len(reachable) == 0 {
		fmt.Fprintf(run.out, "no moment of cluster %s can be reached yet\n", printable(repository.ClusterName()))
		run.next("pitr snapshot take")
		return nil
	}
	run.printTimeline(timeline, reachable)
	run.printKept(kept)
	run.next("pitr find --since \"2h ago\"")
	return nil
}

// kept is what keeps moments reachable: holds, and the policy.
type kept struct {
	holds []format.Hold
	// at is the newest reachable moment, until when the policy stops promising it; zero where nothing ends the promise.
	at     pitr.Timestamp
	until  time.Time
	policy prune.Policy
}

// expiryLine is the JSON line that says how long the newest state stays reachable.
type expiryLine struct {
	Type    string         `json:"type"`
	Version int            `json:"v"`
	At      pitr.Timestamp `json:"at"`
	Until   time.Time      `json:"until,omitzero"`
	Policy  string         `json:"policy"`
}

// keptSoFar works out for how long the present state, which may be the bad one, can be looked at again.
func (run *session) keptSoFar(ctx context.Context, repository *catalog.Repository, reachable []catalog.Stretch) (kept, error) {
	k := kept{}
	var err error
	if k.policy, err = run.policy(); err != nil {
		return k, err
	}
	holds, err := repository.Holds(ctx)
	if err != nil {
		return k, err
	}
	k.holds = holds.Items
	if len(reachable) == 0 {
		return k, nil
	}
	k.at = reachable[len(reachable)-1].Last
	if k.policy.Window > 0 {
		k.until = k.at.Time().Add(k.policy.Window)
	}
	return k, nil
}

func (run *session) keptLines(k kept) error {
	for _, hold := range k.holds {
		if err := run.line(newHoldLine(hold)); err != nil {
			return err
		}
	}
	if k.at == 0 {
		return nil
	}
	return run.line(expiryLine{Type: "expiry", Version: 1, At: k.at, Until: k.until, Policy: k.policy.String()})
}

func (run *session) printKept(k kept) {
	for _, hold := range k.holds {
		what := hold.Snapshot
		if what == "" {
			what = hold.Job
		}
		fmt.Fprintf(run.out, "hold       %s\n           %s, %s\n", hold.ID, what, printable(hold.Reason))
	}
	switch {
	case k.until.IsZero():
		fmt.Fprintf(run.out, "expiry     the newest state stays reachable: no pitr-window is set\n")
	default:
		fmt.Fprintf(run.out, "expiry     the newest state stays reachable until %s at least\n           (policy: %s)\n",
			k.until.Format("2006-01-02 15:04 UTC"), k.policy)
	}
}

// branches gives the branches of the archive where there are several: a cluster with one history has no use for the word.
func (run *session) branches(ctx context.Context, repository *catalog.Repository) ([]format.Branch, error) {
	listing, err := repository.Branches(ctx)
	if err != nil || len(listing.Items) < 2 {
		return nil, err
	}
	return listing.Items, nil
}

// printBranches shows where histories part.
func (run *session) printBranches(branches []format.Branch, tip format.ID) {
	for _, branch := range branches {
		state := "left"
		if branch.ID == tip {
			state = "archived now"
		}
		fmt.Fprintf(run.out, "branch     %s, %s\n", branch.ID, state)
		switch fork := branch.Fork; {
		case fork == nil:
		case fork.At.IsZero():
			fmt.Fprintf(run.out, "           has nothing in common with %s\n", fork.Branch)
		default:
			fmt.Fprintf(run.out, "           left %s after\n           %s\n", fork.Branch, clockText(fork.At.TS))
		}
		if branch.Fork != nil && branch.Reason != "" {
			fmt.Fprintf(run.out, "           %s\n", printable(branch.Reason))
		}
	}
}

// printTimeline prints one fact a line, each within 80 columns.
func (run *session) printTimeline(timeline catalog.Timeline, reachable []catalog.Stretch) {
	for _, stretch := range reachable {
		fmt.Fprintf(run.out, "reachable  from %s\n           to   %s\n", clockText(stretch.First), clockText(stretch.Last))
	}
	for _, hole := range timeline.Holes(timeline.Tip()) {
		fmt.Fprintf(run.out, "hole       from %s\n           to   %s\n           %s\n", clockText(hole.After), clockText(hole.Through),
			printable(hole.Reason))
	}
	for _, each := range timeline.Lines {
		for _, snapshot := range each.Snapshots {
			fmt.Fprintf(run.out, "snapshot   %s\n           %s, %s\n", clockText(snapshot.At), snapshot.Snapshot, printable(snapshot.Scope.String()))
		}
		for _, mark := range each.Marks {
			fmt.Fprintf(run.out, "mark       %s\n           %s\n", clockText(mark.At), printable(mark.Name))
		}
		for _, job := range each.Jobs {
			fmt.Fprintf(run.out, "job        %s\n           %s\n", clockText(job.First), job.Job)
		}
	}
}
