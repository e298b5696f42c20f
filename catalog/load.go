package catalog

import (
	"context"

	"pitr"
	"pitr/format"
)

// Timeline reads listings and small objects, no chunk and no segment, and gives what the repository knows about time.
// Damaged objects are named in it; what they would have said is left out where that makes fewer moments reachable.
func (r *Repository) Timeline(ctx context.Context) (Timeline, error) {
	l := loader{repository: r, lines: map[format.ID]*Line{}}
	for _, step := range []func(context.Context) error{l.branches, l.archive, l.snapshots, l.marks, l.jobs} {
		if err := step(ctx); err != nil {
			return Timeline{}, &pitr.Error{Op: "read the timeline", Err: err}
		}
	}
	t := Timeline{Damaged: l.damaged}
	for _, branch := range l.order {
		t.Lines = append(t.Lines, *l.lines[branch])
	}
	return t, nil
}

// loader collects the lines of a timeline.
type loader struct {
	repository *Repository
	lines      map[format.ID]*Line
	order      []format.ID
	damaged    []Damaged
}

// line gives the line of a branch, a new one where nobody has named the branch yet: snapshots of a server without an
// oplog lie on the branch without an id.
func (l *loader) line(branch format.ID) *Line {
	line, ok := l.lines[branch]
	if !ok {
		line = &Line{Branch: branch}
		l.lines[branch] = line
		l.order = append(l.order, branch)
	}
	return line
}

func (l *loader) branches(ctx context.Context) error {
	listing, err := l.repository.Branches(ctx)
	if err != nil {
		return err
	}
	for _, branch := range listing.Items {
		line := l.line(branch.ID)
		if f := branch.Fork; f != nil {
			line.Fork = &Fork{Parent: f.Branch, At: f.At, Digest: f.Digest.Short()}
		}
	}
	for _, damaged := range listing.Damaged {
		// Its own segments stand for themselves; only the way to its parent is lost.
		l.line(damaged.Object.ID())
	}
	l.damaged = append(l.damaged, listing.Damaged...)
	return nil
}

func (l *loader) archive(ctx context.Context) error {
	for _, branch := range l.order {
		line := l.lines[branch]
		var notes []format.Name
		for found, err := range l.repository.List(ctx, format.OplogPrefix(branch), "") {
			if err != nil {
				return err
			}
			switch found.Name.Kind() {
			case format.KindSegment:
				line.Segments = append(line.Segments, segmentOf(found))
			case format.KindHole:
				notes = append(notes, found.Name)
			}
		}
		listing, err := readAll[format.Hole](ctx, l.repository, notes)
		if err != nil {
			return err
		}
		for _, note := range listing.Items {
			line.Notes = append(line.Notes, HoleNote{Window: note.Window, Reason: note.Reason})
		}
		l.damaged = append(l.damaged, listing.Damaged...)
	}
	return nil
}

func (l *loader) snapshots(ctx context.Context) error {
	listing, err := l.repository.Snapshots(ctx)
	if err != nil {
		return err
	}
	for _, m := range listing.Items {
		line := l.line(m.Branch)
		point := Point{Snapshot: m.ID, From: m.From, At: m.At, Scope: m.Scope, Alone: m.Exact == format.ExactNo}
		if m.Oplog != nil {
			point.From = min(m.From, m.Oplog.After)
		}
		line.Snapshots = append(line.Snapshots, point)
	}
	l.damaged = append(l.damaged, listing.Damaged...)
	return nil
}

func (l *loader) marks(ctx context.Context) error {
	listing, err := l.repository.Marks(ctx)
	if err != nil {
		return err
	}
	for _, mark := range listing.Items {
		line := l.line(mark.Branch)
		line.Marks = append(line.Marks, Moment{Name: mark.Name, At: mark.At})
	}
	l.damaged = append(l.damaged, listing.Damaged...)
	return nil
}

func (l *loader) jobs(ctx context.Context) error {
	jobs, err := l.repository.Jobs(ctx)
	if err != nil {
		return err
	}
	undone := map[format.ID]pitr.Timestamp{}
	for _, job := range jobs {
		if job.Intent != nil && job.Intent.Kind == format.JobUndo && job.Done() {
			undone[job.Intent.Job] = max(undone[job.Intent.Job], job.Result.Last.TS)
		}
	}
	for _, job := range jobs {
		l.damaged = append(l.damaged, job.Damaged...)
		interval, wrote := job.interval()
		if !wrote {
			continue
		}
		// A job that never ended was ended by its undo.
		if end := undone[job.ID]; interval.Last == pitr.MaxTimestamp && end != 0 {
			interval.Last = max(end, interval.First)
		}
		l.addInterval(job, interval)
	}
	return nil
}

// addInterval puts a job on its branch; one whose branch cannot be read may have written on any.
func (l *loader) addInterval(job Job, interval Interval) {
	if job.Intent == nil {
		for _, branch := range l.order {
			l.lines[branch].Jobs = append(l.lines[branch].Jobs, interval)
		}
		return
	}
	switch job.Intent.Kind {
	case format.JobCopy, format.JobCompare: // they leave the cluster's own documents as they are
	default:
		line := l.line(job.Intent.Branch)
		line.Jobs = append(line.Jobs, interval)
	}
}
