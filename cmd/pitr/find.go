package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"pitr"
	"pitr/catalog"
	"pitr/history"
	"pitr/report"
)

func findCommand(s streams) *cli.Command {
	return &cli.Command{
		Name:  "find",
		Usage: "find what did the damage, and what each moment to go back to would cost",
		Description: "Lists suspicious events of the archive (index drops, drops, renames, changed options, mass deletes and\n" +
			"updates), the spans in which a unique index was missing with the duplicates written meanwhile, and the moments\n" +
			"just before them, priced in records.\n\nExample:\n   pitr find --since \"2h ago\"\n   pitr find --since \"mark:before v4.1.0\"",
		Flags: append(scopeFlags(),
			&cli.StringFlag{Name: "since", Usage: "look from this `MOMENT` on", Value: "2h ago"},
			&cli.StringFlag{Name: "until", Usage: "look up to this `MOMENT`", Value: "now"}),
		Action: action(s, nil, runFind),
	}
}

// eventLine, duplicatesLine and candidateLine are the JSON lines of `pitr find`.
type eventLine struct {
	Type       string            `json:"type"`
	Version    int               `json:"v"`
	Event      history.EventKind `json:"event"`
	At         pitr.OpTime       `json:"at"`
	NS         pitr.Namespace    `json:"ns"`
	Index      string            `json:"index,omitempty"`
	Detail     string            `json:"detail,omitempty"`
	Documents  *int64            `json:"documents,omitempty"`
	Suspicious bool              `json:"suspicious"`
	TakenBack  string            `json:"takenBack,omitempty"`
}

type duplicatesLine struct {
	Type      string         `json:"type"`
	Version   int            `json:"v"`
	NS        pitr.Namespace `json:"ns"`
	Index     string         `json:"index"`
	Dropped   pitr.OpTime    `json:"dropped"`
	Rebuilt   pitr.OpTime    `json:"rebuilt,omitzero"`
	Groups    int64          `json:"groups"`
	Documents int64          `json:"documents"`
	Doubt     string         `json:"doubt,omitempty"`
}

type candidateLine struct {
	Type    string                          `json:"type"`
	Version int                             `json:"v"`
	To      string                          `json:"to"`
	Step    history.EventKind               `json:"step"`
	NS      pitr.Namespace                  `json:"ns"`
	Records map[string]map[pitr.Class]int64 `json:"records"`
	Total   map[pitr.Class]int64            `json:"total"`
	Guessed bool                            `json:"guessed,omitempty"`
}

// search is one run of `pitr find`.
type search struct {
	run        *session
	repository *catalog.Repository
	scope      pitr.Scope
	window     pitr.Window
	past       *history.History
	findings   history.Findings
	candidates []history.Candidate
}

func runFind(ctx context.Context, run *session, c *cli.Context) error {
	f, err := findDamage(ctx, run, c)
	if err != nil {
		return err
	}
	if err := f.printEvents(); err != nil {
		return err
	}
	if err := f.printGaps(ctx); err != nil {
		return err
	}
	return f.printCandidates()
}

// findDamage looks for what did the damage, and prices the moments before it. It prints nothing but what it had to do
// otherwise than asked.
func findDamage(ctx context.Context, run *session, c *cli.Context) (*search, error) {
	scope, err := scopeOf(c)
	if err != nil {
		return nil, err
	}
	f := &search{run: run, scope: scope}
	if f.repository, err = run.openRepository(ctx, writing); err != nil {
		return nil, err
	}
	if err := run.catchUp(ctx, f.repository); err != nil {
		return nil, err
	}
	if err := f.open(ctx, c.String("since"), c.String("until")); err != nil {
		return nil, err
	}
	options := history.EventOptions{Scope: scope}
	if options.Except, err = jobWindows(ctx, f.repository); err != nil {
		return nil, err
	}
	if f.findings, err = f.past.Find(ctx, f.window, options); err != nil {
		return nil, err
	}
	redactor, err := report.NewRedactor(run.settings.redact())
	if err != nil {
		return nil, err
	}
	hideValues(redactor, f.findings.Events)
	if err := markTakenBack(ctx, f.repository, f.findings.Events); err != nil {
		return nil, err
	}
	var suspicious []history.Event
	for _, event := range f.findings.Events {
		if event.Suspicious() {
			suspicious = append(suspicious, event)
		}
	}
	f.candidates, err = f.past.Candidates(ctx, suspicious, f.window.Through, history.CandidateOptions{Scope: scope})
	return f, err
}

// open resolves the window and opens the history at its beginning. A beginning before the first reachable moment is moved
// there and said.
func (f *search) open(ctx context.Context, since, until string) error {
	around := surroundings{repository: f.repository, scope: f.scope}
	var err error
	if f.window.Through, err = f.run.resolve(ctx, around, until); err != nil {
		return err
	}
	if f.window.After, err = f.run.resolveEarly(ctx, around, since); err != nil {
		return err
	}
	f.past, err = history.Open(ctx, f.repository, history.Start{At: f.window.After, Scope: f.scope}, history.Options{})
	var unreachable *catalog.Unreachable
	if !errors.As(err, &unreachable) {
		return err
	}
	timeline, timelineErr := f.repository.Timeline(ctx)
	if timelineErr != nil {
		return timelineErr
	}
	for _, stretch := range timeline.Reachable(timeline.Tip(), f.scope) {
		if stretch.First > f.window.After && stretch.First <= f.window.Through {
			fmt.Fprintln(f.run.err, wrapped("", fmt.Sprintf("looking from %s on, the first moment that can be reached", clockText(stretch.First)), f.run.width))
			f.window.After = stretch.First
			f.past, err = history.Open(ctx, f.repository, history.Start{At: f.window.After, Scope: f.scope}, history.Options{})
			return err
		}
	}
	return err
}

func (f *search) printEvents() error {
	if len(f.findings.Events) == 0 && !f.run.json {
		fmt.Fprintln(f.run.out, wrapped("", fmt.Sprintf("nothing suspicious between %s and %s", clockText(f.window.After), clockText(f.window.Through)), f.run.width))
		f.run.next("pitr find --since \"6h ago\"", "to look further back; pitr timeline shows how far")
	}
	var rows [][]string
	for _, event := range f.findings.Events {
		line := eventLine{Type: "event", Version: 1, Event: event.Kind, At: event.OpTime, NS: event.NS, Index: pitr.IndexName(event.Index),
			Detail: event.Detail, Suspicious: event.Suspicious(), TakenBack: event.TakenBack}
		if event.Documents >= 0 {
			line.Documents = &event.Documents
		}
		if f.run.json {
			if err := f.run.line(line); err != nil {
				return err
			}
			continue
		}
		mark := " "
		if line.Suspicious {
			mark = "!"
		}
		rows = append(rows, []string{mark, event.OpTime.TS.Time().Format("15:04:05"), event.OpTime.TS.String(), eventText(event)})
	}
	if f.run.json {
		return nil
	}
	for _, row := range rows {
		fmt.Fprintln(f.run.out, wrapped(strings.Join(row[:3], "  ")+"  ", printable(row[3]), f.run.width))
	}
	return nil
}

// hideValues takes out of events what must not be shown: the reason of a failed index build names values of its fields.
func hideValues(redactor report.Redactor, events []history.Event) {
	for i, event := range events {
		fields, _ := event.Index.Lookup("key").DocumentOK()
		elements, _ := fields.Elements()
		for _, field := range elements {
			if event.Kind == history.EventIndexFailed && redactor.Hides(event.NS, field.Key()) {
				events[i].Detail = report.Hidden
			}
		}
	}
}

func eventText(event history.Event) string {
	text := string(event.Kind)
	if name := pitr.IndexName(event.Index); name != "" {
		text += " " + name
	}
	text += " " + event.NS.String()
	if event.Documents >= 0 {
		text += ", " + grouped(event.Documents) + " documents"
	}
	if event.Detail != "" {
		text += " (" + event.Detail + ")"
	}
	if event.TakenBack != "" {
		text += ", taken back by job " + event.TakenBack
	}
	return text
}

// gaps gives the spans without a unique index, with the duplicates that stand at the end of the window.
func (f *search) gaps(ctx context.Context) ([]duplicatesLine, error) {
	if len(f.findings.Gaps) == 0 {
		return nil, nil
	}
	view, err := f.past.View(ctx, f.window.Through, f.scope)
	if err != nil {
		return nil, err
	}
	var lines []duplicatesLine
	for i, gap := range f.findings.Gaps {
		again := slices.ContainsFunc(f.findings.Gaps[i+1:], func(later history.IndexGap) bool {
			return later.NS == gap.NS && pitr.IndexName(later.Spec) == pitr.IndexName(gap.Spec)
		})
		collection, there := view.Collection(gap.NS)
		if !there || again { // what stands at the end is told of the last gap of an index
			continue
		}
		found, err := view.Duplicates(ctx, collection, gap.Spec)
		if err != nil {
			return nil, err
		}
		lines = append(lines, duplicatesLine{Type: "index gap", Version: 1, NS: gap.NS, Index: pitr.IndexName(gap.Spec), Dropped: gap.Dropped,
			Rebuilt: gap.Rebuilt, Groups: found.Groups, Documents: found.Documents, Doubt: found.Doubt})
	}
	return lines, nil
}

func (f *search) printGaps(ctx context.Context) error {
	lines, err := f.gaps(ctx)
	if err != nil {
		return err
	}
	for _, line := range lines {
		if f.run.json {
			if err := f.run.line(line); err != nil {
				return err
			}
			continue
		}
		until := "and is still missing"
		if !line.Rebuilt.IsZero() {
			until = "until " + line.Rebuilt.TS.String()
		}
		fmt.Fprintln(f.run.out, wrapped("", printable(fmt.Sprintf("unique index %s of %s was missing from %s %s: %s", line.Index, line.NS,
			line.Dropped.TS, until, duplicatesText(line))), f.run.width))
		if line.Doubt != "" {
			fmt.Fprintf(f.run.out, "  not exact: %s\n", printable(line.Doubt))
		}
	}
	return nil
}

func duplicatesText(line duplicatesLine) string {
	if line.Documents == 0 {
		return "no duplicates stand now"
	}
	return counted(line.Documents, "duplicate") + " in " + counted(line.Groups, "group") + " stand now"
}

func (f *search) printCandidates() error {
	var rows [][]string
	for _, candidate := range f.candidates {
		line := candidateLine{Type: "candidate", Version: 1, To: "before " + candidate.Event.OpTime.TS.String(), Step: candidate.Event.Kind,
			NS: candidate.Event.NS, Records: map[string]map[pitr.Class]int64{}, Total: candidate.Total(), Guessed: candidate.Guessed}
		for ns, classes := range candidate.Lost {
			line.Records[ns.String()] = classes
		}
		if f.run.json {
			if err := f.run.line(line); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, []string{line.To, "just before: " + eventText(candidate.Event), priceText(line.Total)})
	}
	if f.run.json || len(rows) == 0 {
		return nil
	}
	fmt.Fprintln(f.run.out, "\nmoments to go back to, the earliest first; going there reverses what came since:")
	for _, row := range rows {
		fmt.Fprintln(f.run.out, wrapped(row[0]+"  ", printable(row[1]), f.run.width))
		fmt.Fprintln(f.run.out, wrapped("        since then ", printable(row[2]), f.run.width))
	}
	about := ""
	if len(rows) > 1 {
		about = "(the first one; choose yours: the moment before the damage)"
	}
	f.run.next(fmt.Sprintf("pitr restore --to %q --dry-run", rows[0][0]), about)
	return nil
}

func priceText(total map[pitr.Class]int64) string {
	text := ""
	for _, class := range classOrder {
		if n := total[class]; n > 0 {
			if text != "" {
				text += ", "
			}
			text += grouped(n) + " " + string(class)
		}
	}
	return text
}
