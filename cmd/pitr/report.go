package main

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

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
			&cli.BoolFlag{Name: "live", Usage: "look at the live database for the page: what has become of each record, and what is suggested"},
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
	duplicates []duplicates
	events     []report.Event
}

func runReport(ctx context.Context, run *session, c *cli.Context) error {
	id, err := jobID(c.Args().First())
	if err != nil {
		return err
	}
	if c.Bool("live") && c.String("html") == "" {
		return pitr.Errorf(pitr.KindInvalid, "report job "+string(id), "give --html FILE, or see `pitr reconcile plan`", "--live is for the page")
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
		return r.writePage(ctx, pageFile{name: file, replace: c.Bool("force"), live: c.Bool("live")})
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
	hideValues(r.redactor, findings.Events)
	for _, event := range findings.Events {
		r.events = append(r.events, report.Event{At: event.OpTime.TS, What: strings.Replace(eventText(event), " "+event.NS.String(), "", 1), Where: event.NS.String()})
	}
	return r.findDuplicates(ctx, past, findings.Gaps)
}

// duplicates is a group of records that shared a value of a unique index at the end of the gap.
type duplicates struct {
	ns    pitr.Namespace
	spec  bson.Raw
	value string
	keys  []pitr.Key
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
			r.duplicates = append(r.duplicates, duplicates{ns: gap.NS, spec: gap.Spec, value: group.Value, keys: group.Keys})
		}
	}
	return nil
}

// line shows the group with what must not be shown hidden.
func (d duplicates) line(redactor report.Redactor) duplicateLine {
	line := duplicateLine{Type: "duplicates", Version: 1, NS: d.ns.String(), Index: pitr.IndexName(d.spec), Value: d.value}
	if redactor.Hides(d.ns, firstField(d.spec)) {
		line.Value = report.Hidden
	}
	for _, key := range d.keys {
		line.IDs = append(line.IDs, string(redactor.Key(d.ns, key)))
	}
	slices.Sort(line.IDs)
	return line
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
		fmt.Fprintln(r.run.out, wrapped("", fmt.Sprintf("job %s (%s) %s: %s", line.Job, line.Kind, aboutJob(r.job), line.State), r.run.width))
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
		if err := r.run.line(group.line(r.redactor)); err != nil {
			return err
		}
	}
	if r.run.json {
		return r.run.line(line)
	}
	fmt.Fprintf(r.run.out, "in all: %s\n", priceText(r.job.Changes.Documents))
	if len(r.duplicates) > 0 {
		fmt.Fprintf(r.run.out, "%s of duplicates stood at the end of the gap\n", counted(int64(len(r.duplicates)), "group"))
	}
	r.run.next("pitr report "+string(line.Job)+" --html lost.html --live", "for the people who know the data")
	return nil
}
