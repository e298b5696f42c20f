package main

import (
	"context"
	"fmt"

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
			"Example:\n   pitr diff 20251022T092001Z-k3f9q2 live\n   pitr diff \"mark:before v4.1.0\" now --only shop.orders",
		Flags: append(scopeFlags(),
			&cli.BoolFlag{Name: "summary", Usage: "counts only"},
			&cli.BoolFlag{Name: "exit-code", Usage: "end with 20 when there are differences"}),
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
}

func runDiff(ctx context.Context, run *session, c *cli.Context) error {
	scope, err := scopeOf(c)
	if err != nil {
		return err
	}
	repository, err := run.openRepository(ctx, reading)
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
	printer, err := run.newDiffPrinter(c.Bool("summary"))
	if err != nil {
		return err
	}
	summary, err := compareSides(ctx, after, before, comparison{scope: scope, printer: printer})
	if err != nil {
		return err
	}
	if err := run.printSummary(summaryLine{Type: "summary", Version: 1, A: before.name, B: after.name,
		Records: summary.Total().Classes, Steps: summary.Total().Steps}, summary); err != nil {
		return err
	}
	if c.Bool("exit-code") && !summary.IsEmpty() {
		return errDifferent
	}
	return nil
}

// comparison says what to compare and who hears of the differences.
type comparison struct {
	scope   pitr.Scope
	printer diffPrinter
}

// diffPrinter hears of each difference as it is found.
type diffPrinter interface {
	Step(pitr.CatalogStep) error
	Change(pitr.Change) error
}

func compareSides(ctx context.Context, e, t side, what comparison) (diff.Summary, error) {
	var summary diff.Summary
	collectionsE, err := e.Collections(ctx)
	if err != nil {
		return summary, err
	}
	collectionsT, err := t.Collections(ctx)
	if err != nil {
		return summary, err
	}
	options := diff.Options{Scope: what.scope, AcrossClusters: e.foreign != t.foreign}
	for _, step := range diff.Steps(diff.PairCollections(collectionsE, collectionsT, what.scope), options) {
		summary.AddStep(step)
		options.After = step.N
		if err := what.printer.Step(step); err != nil {
			return summary, err
		}
	}
	for change, err := range diff.Compare(ctx, e.Side, t.Side, options) {
		if err != nil {
			return summary, err
		}
		summary.Add(change)
		if err := what.printer.Change(change); err != nil {
			return summary, err
		}
	}
	return summary, nil
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
	if summary.IsEmpty() {
		fmt.Fprintf(run.out, "no difference between %s and %s\n", line.A, line.B)
		return nil
	}
	fmt.Fprintf(run.out, "from %s to %s: %s\n", line.A, line.B, priceText(line.Records))
	for _, count := range summary.Namespaces() {
		text := priceText(count.Classes)
		for step, n := range count.Steps {
			text += fmt.Sprintf("; %s (%d)", step, n)
		}
		fmt.Fprintf(run.out, "  %s: %s\n", printable(count.NS.String()), text)
	}
	return nil
}
