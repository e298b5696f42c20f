package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"pitr"
	"pitr/diff"
	"pitr/report"
)

func diffCommand(s streams) *cli.Command {
	return &cli.Command{
		Name:      "diff",
		Usage:     "compare two states: live, a snapshot, a moment, a mark",
		ArgsUsage: "A B",
		Description: "Shows what became of A on the way to B: collections, indexes, records, field by field.\n\n" +
			"After a restore with another tool, --as-lost-set keeps what A had and B has not as a job, for\n" +
			"`pitr report`: A is the snapshot of the damaged state, B what the cluster was brought back to. It writes\n" +
			"to the repository only.\n\n" +
			"Example:\n   pitr diff 20251022T092001Z-k3f9q2 live\n   pitr diff \"mark:before v4.1.0\" now --only shop.orders\n" +
			"   pitr diff 20251022T092001Z-k3f9q2 live --as-lost-set",
		Flags: append(scopeFlags(),
			&cli.BoolFlag{Name: "summary", Usage: "counts only"},
			&cli.BoolFlag{Name: "exit-code", Usage: "end with 20 when there are differences"},
			&cli.BoolFlag{Name: "as-lost-set", Usage: "keep what A had and B has not as a lost set, and print its job"},
			&cli.BoolFlag{Name: "read-all", Usage: "read every record, even where hashes in two snapshots would tell"},
			&cli.StringFlag{Name: "format", Usage: "text or json", Value: "text"}),
		Action: action(s, []string{"A", "B"}, runDiff),
	}
}

// summaryLine is the last JSON line of a comparison.
type summaryLine struct {
	Type    string               `json:"type"`
	Version int                  `json:"v"`
	A       string               `json:"a"`
	B       string               `json:"b"`
	Records map[pitr.Class]int64 `json:"records"`
	Steps   map[pitr.Step]int64  `json:"steps"`
	// Moved are the live collections for which the one moment was lost, Again counts records that were compared again.
	Moved []pitr.Namespace `json:"moved,omitempty"`
	Again int64            `json:"again,omitempty"`
}

func runDiff(ctx context.Context, run *session, c *cli.Context) error {
	scope, err := scopeOf(c)
	if err != nil {
		return err
	}
	if err := run.chooseFormat(c.String("format")); err != nil {
		return err
	}
	want := reading
	if c.Bool("as-lost-set") {
		want = writing
	}
	repository, err := run.openRepository(ctx, want)
	if err != nil {
		return err
	}
	before, err := run.openSide(ctx, repository, c.Args().Get(0), scope)
	if err != nil {
		return err
	}
	defer before.close()
	after, err := run.openSide(ctx, repository, c.Args().Get(1), scope)
	if err != nil {
		return err
	}
	defer after.close()
	what := comparison{scope: scope, whole: c.Bool("read-all"), different: c.Bool("exit-code")}
	if c.Bool("as-lost-set") {
		return run.keepLostSet(ctx, repository, before, after, what)
	}
	if what.printer, err = run.newDiffPrinter(c.Bool("summary")); err != nil {
		return err
	}
	summary, tally, err := compareSides(ctx, after, before, what)
	if err != nil {
		return err
	}
	if err := run.printSummary(newSummaryLine(before, after, summary, tally), summary); err != nil {
		return err
	}
	if what.different && !summary.IsEmpty() {
		return errDifferent
	}
	return nil
}

// chooseFormat takes the forms in which differences can be shown here.
func (run *session) chooseFormat(form string) error {
	switch form {
	case "text":
	case "json":
		run.json = true
	default:
		return pitr.Errorf(pitr.KindInvalid, "read --format",
			"write text or json; for a page keep the comparison with --as-lost-set, then `pitr report JOB --html FILE`",
			"%q is no form of a comparison", form)
	}
	return nil
}

func newSummaryLine(a, b side, summary diff.Summary, tally diff.Tally) summaryLine {
	line := summaryLine{Type: "summary", Version: 1, A: a.name, B: b.name, Records: summary.Total().Classes, Steps: summary.Total().Steps}
	for _, each := range []side{a, b} {
		line.Moved = append(line.Moved, each.moved()...)
	}
	if len(line.Moved) > 0 {
		line.Again = tally.Again
	}
	return line
}

// comparison says what to compare, how, and who hears of the differences.
type comparison struct {
	scope pitr.Scope
	// whole reads every document, different ends with the code for differences.
	whole, different bool
	printer          diffPrinter
}

func (what comparison) options(a, b side) diff.Options {
	return diff.Options{Scope: what.scope, AcrossClusters: a.foreign != b.foreign, Whole: what.whole}
}

// diffPrinter hears of each difference as it is found.
type diffPrinter interface {
	Step(pitr.CatalogStep) error
	Change(pitr.Change) error
}

func compareSides(ctx context.Context, e, t side, what comparison) (diff.Summary, diff.Tally, error) {
	var summary diff.Summary
	var tally diff.Tally
	collectionsE, err := e.Collections(ctx)
	if err != nil {
		return summary, tally, err
	}
	collectionsT, err := t.Collections(ctx)
	if err != nil {
		return summary, tally, err
	}
	options := what.options(e, t)
	options.Tally = &tally
	for _, step := range diff.Steps(diff.PairCollections(collectionsE, collectionsT, what.scope), options) {
		summary.AddStep(step)
		options.After = step.N
		if err := what.printer.Step(step); err != nil {
			return summary, tally, err
		}
	}
	for change, err := range diff.Compare(ctx, e.Side, t.Side, options) {
		if err != nil {
			return summary, tally, err
		}
		summary.Add(change)
		if err := what.printer.Change(change); err != nil {
			return summary, tally, err
		}
	}
	return summary, tally, nil
}

// newDiffPrinter chooses how differences are shown: as JSON lines, as text, or not at all.
func (run *session) newDiffPrinter(summaryOnly bool) (diffPrinter, error) {
	switch {
	case summaryOnly:
		return silentPrinter{}, nil
	case run.json:
		return run.lines()
	}
	redactor, err := report.NewRedactor(run.settings.redact())
	if err != nil {
		return nil, err
	}
	return report.NewText(run.out, redactor), nil
}

type silentPrinter struct{}

func (silentPrinter) Step(pitr.CatalogStep) error { return nil }
func (silentPrinter) Change(pitr.Change) error    { return nil }

func (run *session) printSummary(line summaryLine, summary diff.Summary) error {
	if run.json {
		return run.line(line)
	}
	run.tellMoved(line)
	if summary.IsEmpty() {
		fmt.Fprintf(run.out, "no difference between %s and %s\n", line.A, line.B)
		return nil
	}
	fmt.Fprintf(run.out, "from %s to %s: %s\n", line.A, line.B, priceText(line.Records))
	for _, count := range summary.Namespaces() {
		run.printCount(count)
	}
	return nil
}

// printCount says what differs in one namespace.
func (run *session) printCount(count diff.Count) {
	text := priceText(count.Classes)
	for _, step := range slices.Sorted(maps.Keys(count.Steps)) {
		text += fmt.Sprintf("; %s (%d)", step, count.Steps[step])
	}
	fmt.Fprintf(run.out, "  %s: %s\n", printable(count.NS.String()), strings.TrimPrefix(text, "; "))
}

// tellMoved says that live was no point in time.
func (run *session) tellMoved(line summaryLine) {
	if len(line.Moved) == 0 {
		return
	}
	fmt.Fprintf(run.err, "live moved on while it was read: %s records that differed were compared again by their newest state\n"+
		"(collections: %s)\n", grouped(line.Again), printable(joined(line.Moved, 5)))
}

// joined names the first few of a list.
func joined(list []pitr.Namespace, most int) string {
	var names []string
	for i, ns := range list {
		if i == most {
			names = append(names, fmt.Sprintf("and %d more", len(list)-most))
			break
		}
		names = append(names, ns.String())
	}
	return strings.Join(names, ", ")
}
