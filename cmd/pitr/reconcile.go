package main

import (
	"context"
	"fmt"
	"iter"
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"pitr"
	"pitr/format"
	"pitr/reconcile"
	"pitr/report"
	"pitr/restore"
)

func reconcileCommand(s streams) *cli.Command {
	rules := &cli.StringFlag{Name: "rules", Usage: "a `FILE` of rules for what no review has decided; see docs/reconcile.md"}
	return &cli.Command{
		Name: "reconcile", Usage: "put chosen records of a lost set back into life",
		Description: "Example:\n   pitr reconcile plan 20251022T092001Z-k3f9q2",
		Subcommands: []*cli.Command{
			{
				Name: "plan", Usage: "say what has become of every record of a lost set", ArgsUsage: "JOB",
				Description: "Compares each record three ways, at the moment of the restore, at the end of the gap, and live now; groups\n" +
					"duplicates by the unique indexes; suggests a decision with its reason. Writes nothing.\n\n" +
					"Example:\n   pitr reconcile plan 20251022T092001Z-k3f9q2 --review lost.xlsx",
				Flags: []cli.Flag{rules,
					&cli.StringFlag{Name: "review", Usage: "write the `FILE` that people decide in, CSV or Excel by its ending; `pitr reconcile import` takes it back"},
					&cli.BoolFlag{Name: "force", Usage: "replace the file of --review"}},
				Action: action(s, []string{"JOB"}, runReconcilePlan),
			},
			reconcileImportCommand(s),
			{
				Name: "apply", Usage: "write what was decided, each record only if nobody has changed it", ArgsUsage: "JOB",
				Description: "Finds every conflict beforehand, has the cluster's name typed, publishes the list of changes, and writes in\n" +
					"small transactions while the service is up. What has changed meanwhile or would collide is left out and listed.\n" +
					"Decided is what was imported; --rules or --suggested decide about the rest.\n\n" +
					"Example:\n   pitr reconcile apply 20251022T092001Z-k3f9q2 --dry-run",
				Flags: []cli.Flag{rules,
					&cli.BoolFlag{Name: "suggested", Usage: "do what the plan suggests: put lost records back where nothing stands in their place"},
					&cli.BoolFlag{Name: "dry-run", Usage: "show what would be done; writes nothing to cluster or repository"},
					&cli.StringFlag{Name: "confirm-target", Usage: "the `NAME` of the cluster, where nobody can type it"}},
				Action: action(s, []string{"JOB"}, runReconcileApply),
			},
		},
	}
}

// readRules reads the file that --rules names.
func readRules(name string) (reconcile.Rules, error) {
	file, err := os.Open(name)
	if err != nil {
		return reconcile.Rules{}, pitr.Errorf(pitr.KindInvalid, "read the rules", "give --rules the name of a file", "%w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	return reconcile.ParseRules(file)
}

// openPlan wires what a plan works with: it reads the repository, and the cluster with the login for reading.
func (run *session) openPlan(ctx context.Context) (reconcile.Deps, func(), error) {
	repository, err := run.openRepository(ctx, reading)
	if err != nil {
		return reconcile.Deps{}, nil, err
	}
	client, err := run.connect(ctx, "uri")
	if err != nil {
		return reconcile.Deps{}, nil, err
	}
	progress := newProgress(run)
	primary := client.Primary()
	deps := reconcile.Deps{Live: primary, Deps: restore.Deps{Repository: repository, Target: primary, Progress: progress, Log: run.log, Now: run.now}}
	return deps, func() {
		progress.Clear()
		client.Close(context.WithoutCancel(ctx))
	}, nil
}

func runReconcilePlan(ctx context.Context, run *session, c *cli.Context) error {
	id, err := jobID(c.Args().First())
	if err != nil {
		return err
	}
	rules, ruled := reconcile.Rules{}, c.String("rules") != ""
	if ruled {
		if rules, err = readRules(c.String("rules")); err != nil {
			return err
		}
	}
	deps, closeAll, err := run.openPlan(ctx)
	if err != nil {
		return err
	}
	defer closeAll()
	plan, err := reconcile.Make(ctx, deps, id)
	if err != nil {
		return err
	}
	defer func() { _ = plan.Close() }() // nothing was kept
	printer := planPrinter{run: run, plan: plan, counts: map[planRow]int64{}}
	if ruled {
		if printer.decided, err = rules.Apply(plan); err != nil {
			return err
		}
	}
	if printer.redactor, err = report.NewRedactor(run.settings.redact()); err != nil {
		return err
	}
	if file := c.String("review"); file != "" {
		return run.reviewPlan(plan, reviewSource{records: printer.reviewed(), groups: plan.Groups, replace: c.Bool("force")}, file)
	}
	return printer.print(c.String("rules"))
}

// reviewPlan writes the file that people decide in.
func (run *session) reviewPlan(plan *reconcile.Plan, source reviewSource, file string) error {
	written, err := run.writeReview(file, source)
	if err != nil {
		return err
	}
	if run.json {
		return run.line(written)
	}
	fmt.Fprintln(run.out, wrapped("", fmt.Sprintf("wrote %s: %s, %s suggested to be put back", file, counted(written.Records, "record"),
		grouped(written.Suggested[reconcile.DecisionPutBack])), run.width))
	run.next(fmt.Sprintf("pitr reconcile import %s %s", plan.Job, file), "when people have filled its column decision")
	return nil
}

// reviewed gives the records with what the rules decide in the place of what is suggested, where there are rules.
func (p *planPrinter) reviewed() iter.Seq2[reconcile.Record, error] {
	return func(yield func(reconcile.Record, error) bool) {
		for record, err := range p.plan.Records() {
			if err == nil {
				record.Suggested = p.decisionOf(record)
			}
			if !yield(record, err) || err != nil {
				return
			}
		}
	}
}

// planRow is a row of the table that a plan prints.
type planRow struct {
	ns       pitr.Namespace
	state    reconcile.State
	decision reconcile.Decision
}

// planPrinter prints a plan: a table for people, a line for each record for programs.
type planPrinter struct {
	run      *session
	plan     *reconcile.Plan
	decided  reconcile.Decided
	redactor report.Redactor
	counts   map[planRow]int64
}

func (p *planPrinter) print(rules string) error {
	for record, err := range p.plan.Records() {
		if err != nil {
			return err
		}
		decision := p.decisionOf(record)
		p.counts[planRow{record.Change.NS, record.State, decision}]++
		if p.run.json {
			if err := p.run.line(p.recordLine(record, decision)); err != nil {
				return err
			}
		}
	}
	if p.run.json {
		return p.printLines()
	}
	if err := p.printTable(); err != nil {
		return err
	}
	p.printGroups()
	for _, note := range p.plan.Notes {
		fmt.Fprintln(p.run.err, wrapped("note: ", printable(note), p.run.width))
	}
	next := "--suggested"
	if rules != "" {
		next = "--rules " + rules
	}
	p.run.next(fmt.Sprintf("pitr reconcile apply %s %s --dry-run", p.plan.Job, next), "(a plan writes nothing)")
	return nil
}

// decisionOf gives what the rules say, or where there are none, what is suggested.
func (p *planPrinter) decisionOf(record reconcile.Record) reconcile.Decision {
	if p.decided == nil {
		return record.Suggested
	}
	if decision, is := p.decided.Of(record.Change.N); is {
		return decision
	}
	return reconcile.DecisionLeave
}

func (p *planPrinter) printTable() error {
	head := "SUGGESTED"
	if p.decided != nil {
		head = "RULES SAY"
	}
	rows := [][]string{{"COLLECTION", "STATE", "RECORDS", head}}
	for _, row := range p.sortedRows() {
		rows = append(rows, []string{row.ns.String(), string(row.state), grouped(p.counts[row]), string(row.decision)})
	}
	if len(rows) == 1 {
		fmt.Fprintln(p.run.out, "the lost set is empty")
		return nil
	}
	return p.run.table(rows)
}

func (p *planPrinter) sortedRows() []planRow {
	var rows []planRow
	for row := range p.counts {
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b planRow) int {
		if order := a.ns.Compare(b.ns); order != 0 {
			return order
		}
		if a.state != b.state {
			return slices.Index(reconcile.AllStates, a.state) - slices.Index(reconcile.AllStates, b.state)
		}
		if a.decision < b.decision {
			return -1
		}
		return 1
	})
	return rows
}

// shownGroups is how many groups of duplicates a screen shows.
const shownGroups = 5

func (p *planPrinter) printGroups() {
	if len(p.plan.Groups) == 0 {
		return
	}
	fmt.Fprintf(p.run.out, "\n%s groups of duplicates\n", grouped(int64(len(p.plan.Groups))))
	for i, group := range p.plan.Groups {
		if i == shownGroups {
			fmt.Fprintf(p.run.out, "  and %s more; --json lists all\n", grouped(int64(len(p.plan.Groups)-i)))
			return
		}
		stays := "the live record stays"
		if !group.SurvivorLive {
			stays = "record " + group.Survivor + " stays"
		}
		fmt.Fprintf(p.run.out, "  %s, %s: %d lost, %d live\n    %s\n    %s: %s\n", printable(group.NS.String()), printable(group.Index), len(group.Records),
			len(group.Live), printable(cut(p.valueOf(group), p.run.width-4)), stays, group.Reason)
	}
}

// cut shortens a text to a width.
func cut(text string, width int) string {
	if letters := []rune(text); width > 3 && len(letters) > width {
		return string(letters[:width-3]) + "..."
	}
	return text
}

// valueOf gives the value that a group shares, unless a part of it is hidden.
func (p *planPrinter) valueOf(group reconcile.Group) string {
	if slices.ContainsFunc(group.Fields, func(field string) bool { return p.redactor.Hides(group.NS, field) }) {
		return report.Hidden
	}
	return group.Value
}

func runReconcileApply(ctx context.Context, run *session, c *cli.Context) error {
	id, err := jobID(c.Args().First())
	if err != nil {
		return err
	}
	rules, ruled, err := chosenRules(c)
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
	deps := job.reconcileDeps()
	people, err := decided(ctx, deps, id)
	if err != nil {
		return err
	}
	decisions := people
	switch {
	case ruled:
		byRule, err := decide(ctx, deps, id, rules)
		if err != nil {
			return err
		}
		decisions = byRule
		if people != nil {
			decisions = reconcile.Over(people, byRule)
		}
	case people == nil:
		return nobodyDecided(id)
	}
	err = job.applyDecisions(ctx, application{deps: deps, job: id, decisions: decisions, dryRun: c.Bool("dry-run"), typed: c.String("confirm-target")})
	if c.Bool("dry-run") && !run.json && (err == nil || pitr.KindOf(err) == pitr.KindPartial) {
		run.next(applyLine(c, id), "(this was a dry run)")
	}
	return err
}

// applyLine is the command that does what a dry run has shown.
func applyLine(c *cli.Context, id format.ID) string {
	line := "pitr reconcile apply " + string(id)
	if c.Bool("suggested") {
		line += " --suggested"
	}
	if file := c.String("rules"); file != "" {
		line += fmt.Sprintf(" --rules %q", file)
	}
	return line
}

// chosenRules gives the rules of --rules or --suggested, and whether there are any.
func chosenRules(c *cli.Context) (reconcile.Rules, bool, error) {
	file, suggested := c.String("rules"), c.Bool("suggested")
	switch {
	case file != "" && suggested:
		return reconcile.Rules{}, false, pitr.Errorf(pitr.KindInvalid, "read the command line", "write `suggested: true` into the rules to have both",
			"--rules and --suggested were given")
	case file != "":
		rules, err := readRules(file)
		return rules, true, err
	case suggested:
		return reconcile.Suggested(), true, nil
	}
	return reconcile.Rules{}, false, nil
}

// decided gives what people have decided in reviews that were imported, nil where there is none.
func decided(ctx context.Context, deps reconcile.Deps, id format.ID) (reconcile.Decisions, error) {
	job, err := deps.Repository.Job(ctx, id)
	if err != nil || len(job.Reviews) == 0 {
		return nil, err
	}
	return reconcile.ReadReview(ctx, deps.Repository, job)
}

func nobodyDecided(id format.ID) error {
	return pitr.Errorf(pitr.KindInvalid, "put records back", fmt.Sprintf("write a review file with `pitr reconcile plan %[1]s --review lost.xlsx`, and take it "+
		"back with `pitr reconcile import %[1]s lost.xlsx`; or give --suggested, or --rules FILE", id), "nobody has decided what to put back")
}

func (j *job) reconcileDeps() reconcile.Deps {
	deps := reconcile.Deps{Deps: j.deps, Live: j.writing.Primary()}
	deps.Now = j.run.now
	return deps
}

// decide has rules decide about a lost set as it is now.
func decide(ctx context.Context, deps reconcile.Deps, id format.ID, rules reconcile.Rules) (reconcile.Decisions, error) {
	plan, err := reconcile.Make(ctx, deps, id)
	if err != nil {
		return nil, err
	}
	defer func() { _ = plan.Close() }() // the decisions are all that is kept
	return rules.Apply(plan)
}

// application is what an apply was asked to do.
type application struct {
	deps      reconcile.Deps
	job       format.ID
	decisions reconcile.Decisions
	dryRun    bool
	typed     string
}

// applyDecisions proposes, has the proposal confirmed, and performs it.
func (j *job) applyDecisions(ctx context.Context, a application) error {
	proposal, err := reconcile.Propose(ctx, a.deps, a.job, a.decisions)
	if err != nil {
		return err
	}
	defer func() { _ = proposal.Close() }() // nothing of it is kept
	j.progress.Clear()
	if err := j.showProposal(proposal); err != nil {
		return err
	}
	if proposal.Total() == 0 || a.dryRun {
		return j.endApply(ctx, reconcile.Outcome{Nothing: proposal.Nothing, LeftOut: proposal.LeftOut}, leftOutError(proposal.LeftOut))
	}
	confirmed, err := j.confirm(ctx, proposal.Intent, a.typed)
	if err != nil {
		return err
	}
	outcome, err := reconcile.Apply(ctx, a.deps, proposal, confirmed, a.decisions)
	return j.endApply(ctx, outcome, err)
}

// leftOutError is how a run ends that wrote nothing and left records out.
func leftOutError(list []reconcile.LeftOut) error {
	if len(list) == 0 {
		return nil
	}
	return pitr.Errorf(pitr.KindPartial, "put records back", "look at the reasons, decide anew, and apply again", "%d records are left out", len(list))
}
