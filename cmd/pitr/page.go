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
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/reconcile"
	"pitr/report"
)

// pageFile is where the page goes.
type pageFile struct {
	name    string
	replace bool
	// live says that the live database is looked at.
	live bool
}

func (r *jobReport) writePage(ctx context.Context, file pageFile) error {
	const op = "write the page"
	if _, err := os.Lstat(file.name); err == nil && !file.replace {
		return pitr.Refusef(op, "choose another name, or give --force", "%s exists", file.name)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return pitr.Errorf(pitr.KindInvalid, op, "check the path", "%w", err)
	}
	shown := newPage(r.job, r.run.now())
	shown.Timeline = r.events
	records, done, err := r.recordsFor(ctx, file, &shown)
	if err != nil {
		return err
	}
	defer done()
	shown.Facts = append(shown.Facts, report.Fact{Name: "Groups of duplicates", Value: grouped(int64(len(shown.Groups)))})
	var page bytes.Buffer
	if err := report.WritePage(&page, shown, records, r.redactor); err != nil {
		return err
	}
	if err := writeWhole(file.name, page.Bytes()); err != nil {
		return pitr.Errorf(pitr.KindLimit, op, "check the folder and its free space", "%w", err)
	}
	if r.run.json {
		return r.run.line(map[string]any{"type": "page", "v": 1, "file": file.name, "bytes": page.Len()})
	}
	fmt.Fprintln(r.run.out, wrapped("", fmt.Sprintf("wrote %s, %s: open it in a browser, it needs nothing else", file.name,
		sizeText(int64(page.Len()))), r.run.width))
	return nil
}

// recordsFor gives the records of the page, and the page their groups: from the repository alone, or as a plan sees them that
// looks at the live database.
func (r *jobReport) recordsFor(ctx context.Context, file pageFile, page *report.Page) (iter.Seq2[reconcile.Record, error], func(), error) {
	if !file.live {
		var err error
		page.Groups, err = r.groups(ctx)
		return r.reviewed(ctx), func() {}, err
	}
	page.Looked = r.run.now()
	deps, closeAll, err := r.run.openPlan(ctx)
	if err != nil {
		return nil, nil, err
	}
	plan, err := reconcile.Make(ctx, deps, r.job.ID)
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	page.Groups = plan.Groups
	return plan.Records(), func() {
		_ = plan.Close() // nothing was kept
		closeAll()
	}, nil
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

// newPage says what a page about a job's lost set says in any case: what was done, and to how many records.
func newPage(job catalog.Job, now time.Time) report.Page {
	line := newJobLine(job)
	gap := job.Changes.Gap
	page := report.Page{
		Title: "Lost records",
		Lead: fmt.Sprintf("The cluster was brought back to %s. What was written between that moment and %s, "+
			"in the gap, is listed here with both versions.",
			pageTime(gap.After), pageTime(gap.Through)),
		Job: string(line.Job), Set: reconcile.Token(*job.Changes, 0), // the changes count from 1, so 0 stands for all of them
		Facts: []report.Fact{
			{Name: "Taken away or turned back by the restore", Value: grouped(line.Lost)},
			{Name: "Records touched in the gap", Value: grouped(line.Touched)},
			{Name: "Seconds frozen", Value: fmt.Sprintf("%.1f", line.SecondsFrozen)},
		},
		Footer: fmt.Sprintf("Job %s, written by pitr %s on %s.", line.Job, version, now.UTC().Format(time.RFC3339)),
	}
	if job.Intent != nil && job.Intent.Cluster.Name != "" {
		page.Title += " of " + job.Intent.Cluster.Name
	}
	if isCompare(job) {
		return comparePage(page, job)
	}
	page.Footer += " pitr undo " + string(line.Job) + " takes the whole restore back."
	return page
}

// pageTime writes a moment for people who read a clock, with the cluster time for those who do not.
func pageTime(at pitr.Timestamp) string {
	return at.Time().Format("2006-01-02 15:04:05 UTC") + " (cluster time " + at.String() + ")"
}

// reviewed gives the records as people decide about them. The live database is not asked: a report needs the repository
// alone.
func (r *jobReport) reviewed(ctx context.Context) iter.Seq2[reconcile.Record, error] {
	return func(yield func(reconcile.Record, error) bool) {
		for change, err := range r.records(ctx, nil) {
			if err != nil {
				yield(reconcile.Record{}, err)
				return
			}
			if !yield(report.RecordOf(change, reconcile.Token(*r.job.Changes, change.N)), nil) {
				return
			}
		}
	}
}

// groups names the members of each group of duplicates by their tokens. Members that the gap did not touch are no records
// of the lost set; they stand by their keys.
func (r *jobReport) groups(ctx context.Context) ([]reconcile.Group, error) {
	if len(r.duplicates) == 0 {
		return nil, nil
	}
	type member struct {
		ns  pitr.Namespace
		key string
	}
	groups := make([]reconcile.Group, len(r.duplicates))
	in, touched := map[member][]int{}, map[member]bool{}
	for i, d := range r.duplicates {
		groups[i] = reconcile.Group{Number: i + 1, NS: d.ns, Index: pitr.IndexName(d.spec), Value: fmt.Sprintf("{%q: %s}", firstField(d.spec), d.value)}
		for _, key := range d.keys {
			in[member{d.ns, key.Equal()}] = append(in[member{d.ns, key.Equal()}], i)
		}
	}
	for change, err := range r.records(ctx, nil) {
		if err != nil {
			return nil, err
		}
		m := member{change.NS, change.Key.Equal()}
		for _, i := range in[m] {
			touched[m] = true
			groups[i].Records = append(groups[i].Records, reconcile.Token(*r.job.Changes, change.N))
			if value := indexValue(change.E, r.duplicates[i].spec); value != "" {
				groups[i].Value = value
			}
		}
	}
	for i, d := range r.duplicates {
		for _, key := range d.keys {
			if !touched[member{d.ns, key.Equal()}] {
				groups[i].Live = append(groups[i].Live, key)
			}
		}
	}
	return groups, nil
}

// indexValue gives the values of an index's fields as a document in Extended JSON, nothing where one cannot be read.
func indexValue(document, spec bson.Raw) string {
	fields, ok := spec.Lookup("key").DocumentOK()
	if !ok || document == nil {
		return ""
	}
	elements, err := fields.Elements()
	if err != nil {
		return ""
	}
	var values bson.D
	for _, element := range elements {
		value, err := document.LookupErr(strings.Split(element.Key(), ".")...)
		if err != nil {
			return ""
		}
		values = append(values, bson.E{Key: element.Key(), Value: value})
	}
	text, err := bson.MarshalExtJSON(values, true, false)
	if err != nil {
		return ""
	}
	return string(text)
}
