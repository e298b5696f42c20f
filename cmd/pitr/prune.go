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

func pruneCommand(s streams) *cli.Command {
	return &cli.Command{
		Name:  "prune",
		Usage: "remove what the retention policy does not keep",
		Description: "Shows what would be done, and why; --run does it. What goes is condemned first and removed by a run that comes at\n" +
			"least 24 hours later, if nothing needs it by then. See docs/retention.md.\n\n" +
			"Example:\n   pitr prune --keep last=7,daily=14,weekly=8,monthly=12 --pitr-window 72h",
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "run", Usage: "do it; without this flag nothing is changed"},
			&cli.StringFlag{Name: "confirm-target", Usage: "the cluster `NAME`, for scripts whose plan takes more than half of the snapshots"},
		}, scheduledFlags()...),
		Action: func(c *cli.Context) error {
			if c.Bool("run") {
				return scheduled(s, fromCron, pruneRepository)(c)
			}
			return action(s, nil, pruneRepository)(c) // a plan is for a person
		},
	}
}

func (run *session) policy() (prune.Policy, error) {
	return prune.ParsePolicy(run.settings.values["keep"], run.settings.values["pitr-window"])
}

func pruneRepository(ctx context.Context, run *session, c *cli.Context) error {
	policy, err := run.policy()
	if err != nil {
		return err
	}
	if !c.Bool("run") {
		return run.showPrune(ctx, policy)
	}
	repository, err := run.openRepository(ctx, writing)
	if err != nil {
		return err
	}
	shown := newProgress(run)
	outcome, err := prune.Run(ctx, repository, prune.Options{Policy: policy, Lease: run.lease(), Operator: operator(), Progress: shown,
		Confirm: func(plan prune.Plan) error {
			shown.Clear()
			return run.confirmPrune(ctx, repository, plan, c.String("confirm-target"))
		}})
	shown.Clear()
	if err != nil && pitr.KindOf(err) != pitr.KindPartial {
		return err
	}
	if printErr := run.printPruned(outcome); printErr != nil {
		return printErr
	}
	return err
}

// confirmPrune has the cluster named before a plan is carried out that takes more than half. // case R04
func (run *session) confirmPrune(ctx context.Context, repository *catalog.Repository, plan prune.Plan, typed string) error {
	name := repository.ClusterName()
	if typed == "" && !run.interactive {
		return pitr.Refusef("prune", "look at `pitr prune`, then give --confirm-target "+name, "%s, and nobody is here to confirm it", plan.Drastic())
	}
	if typed == "" {
		for _, item := range plan.Snapshots {
			if item.Verdict == prune.Goes {
				fmt.Fprintf(run.err, "goes   %s  %s\n", item.ID, sizeText(item.Size))
			}
		}
		var err error
		if typed, err = run.ask(ctx, plan.Drastic()+". Type the name of the cluster to go on:"); err != nil {
			return err
		}
	}
	if typed != name {
		return pitr.Refusef("prune", "type the name exactly: "+name, "%q is not the name of the cluster", typed)
	}
	return nil
}

// showPrune prints the plan and changes nothing.
func (run *session) showPrune(ctx context.Context, policy prune.Policy) error {
	repository, err := run.openRepository(ctx, reading)
	if err != nil {
		return err
	}
	inventory, err := prune.Load(ctx, repository)
	if err != nil {
		return err
	}
	plan := prune.PlanOf(inventory, policy)
	rows := plan.Rows()
	if run.json {
		for _, row := range rows {
			if err := run.line(newRetentionLine(row)); err != nil {
				return err
			}
		}
		return run.line(newPruneLine(prune.Outcome{Plan: plan}))
	}
	fmt.Fprintf(run.out, "policy   %s\nas of    %s by the store's clock\n", plan.Policy, plan.Now.UTC().Format("2006-01-02 15:04:05 UTC"))
	if plan.Copied {
		fmt.Fprintln(run.err, "the repository was copied: the store's times are those of the copying, so what snapshots say of themselves counts, too")
	}
	for _, row := range rows {
		label := fmt.Sprintf("%-7s%-36s%9s  ", row.Verdict, row.What, sizeText(row.Size))
		fmt.Fprintln(run.out, wrapped(label, printable(row.Reason()), run.width))
	}
	run.sumUp(plan)
	if drastic := plan.Drastic(); drastic != "" {
		fmt.Fprintf(run.err, "%s: the run will ask for the name of the cluster\n", drastic)
	}
	if inventory.Working() != "" {
		fmt.Fprintf(run.err, "a run is at work (%s): pitr prune --run would wait for it to end, with exit code 11\n", printable(inventory.Working()))
	}
	run.next("pitr prune --run", run.policyFlags()...)
	return nil
}

// policyFlags repeats the policy where it came from the command line, for a next command that means the same.
func (run *session) policyFlags() []string {
	var flags []string
	for _, name := range []string{"keep", "pitr-window"} {
		if run.settings.origins[name] == "flag --"+name {
			flags = append(flags, "--"+name, run.settings.values[name])
		}
	}
	return flags
}

// sumUp says what a run would do.
func (run *session) sumUp(plan prune.Plan) {
	for _, each := range []struct {
		verdict prune.Verdict
		what    string
	}{
		{prune.Goes, "would be condemned, and may be removed a day later"},
		{prune.Waits, "are condemned and wait for their day to pass"},
		{prune.Leaves, "would be removed now"},
	} {
		if snapshots, objects, size := plan.Count(each.verdict); objects > 0 {
			fmt.Fprintf(run.out, "%s snapshots, %s things in all, %s: %s\n", grouped(int64(snapshots)), grouped(int64(objects)), sizeText(size), each.what)
		}
	}
}

// retentionLine is the JSON line of something that stays or goes.
type retentionLine struct {
	Type    string        `json:"type"`
	Version int           `json:"v"`
	Verdict prune.Verdict `json:"verdict"`
	Kind    format.Kind   `json:"kind"`
	What    string        `json:"what"`
	ID      format.ID     `json:"id,omitempty"`
	Why     []string      `json:"why"`
	Count   int           `json:"count"`
	Bytes   int64         `json:"bytes"`
	Since   time.Time     `json:"since,omitzero"`
	Until   time.Time     `json:"until,omitzero"`
}

func newRetentionLine(row prune.Row) retentionLine {
	return retentionLine{Type: "retention", Version: 1, Verdict: row.Verdict, Kind: row.Kind, What: row.What, ID: row.ID, Why: row.Why,
		Count: row.Count, Bytes: row.Size, Since: inUTC(row.Since), Until: inUTC(row.Until)}
}

// pruneTally counts things of one fate in a JSON line.
type pruneTally struct {
	Snapshots int   `json:"snapshots"`
	Objects   int   `json:"objects"`
	Bytes     int64 `json:"bytes"`
}

// pruneLine is the last JSON line of `pitr prune`.
type pruneLine struct {
	Type      string     `json:"type"`
	Version   int        `json:"v"`
	Policy    string     `json:"policy"`
	AsOf      time.Time  `json:"asOf"`
	Going     pruneTally `json:"going"`
	Waiting   pruneTally `json:"waiting"`
	Leaving   pruneTally `json:"leaving"`
	Condemned pruneTally `json:"condemned"`
	Removed   pruneTally `json:"removed"`
	Locked    pruneTally `json:"locked"`
	Until     time.Time  `json:"until,omitzero"`
	Stopped   string     `json:"stopped,omitempty"`
	Drastic   string     `json:"drastic,omitempty"`
}

func newPruneLine(o prune.Outcome) pruneLine {
	line := pruneLine{Type: "prune", Version: 1, Policy: o.Plan.Policy.String(), AsOf: o.Plan.Now.UTC(), Condemned: pruneTally(o.Condemned),
		Removed: pruneTally(o.Removed), Locked: pruneTally(o.Locked), Stopped: o.Stopped, Drastic: o.Plan.Drastic()}
	line.Until = inUTC(o.Until)
	for verdict, tally := range map[prune.Verdict]*pruneTally{prune.Goes: &line.Going, prune.Waits: &line.Waiting, prune.Leaves: &line.Leaving} {
		tally.Snapshots, tally.Objects, tally.Bytes = o.Plan.Count(verdict)
	}
	return line
}

// inUTC leaves the zero time zero.
func inUTC(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}

// printPruned says what a run did.
func (run *session) printPruned(o prune.Outcome) error {
	if run.json {
		return run.line(newPruneLine(o))
	}
	say := func(what string, t prune.Tally) {
		if t.Objects > 0 {
			fmt.Fprintf(run.out, "%-10s %s snapshots, %s objects in all, %s\n", what, grouped(int64(t.Snapshots)), grouped(int64(t.Objects)), sizeText(t.Bytes))
		}
	}
	say("removed", o.Removed)
	say("condemned", o.Condemned)
	say("locked", o.Locked)
	for _, refused := range o.Refused {
		fmt.Fprintf(run.err, "locked: %s: %s\n", refused.Object, printable(refused.Err.Error()))
	}
	if o.Removed.Objects+o.Condemned.Objects+o.Locked.Objects == 0 {
		fmt.Fprintln(run.out, "nothing to remove, and nothing to condemn")
	}
	if o.Plan.Spared > 0 {
		fmt.Fprintf(run.out, "%d things were condemned and stay: something needs them by now\n", o.Plan.Spared)
	}
	if !o.Until.IsZero() {
		fmt.Fprintf(run.out, "what was condemned may be removed from %s on\n", o.Until.UTC().Format("2006-01-02 15:04:05 UTC"))
		run.next("after that time: pitr prune --run")
	}
	return nil
}
