package main

import (
	"context"
	"fmt"
	"slices"

	"pitr"
	"pitr/catalog"
	"pitr/cluster"
	"pitr/oplog"
	"pitr/restore"
)

// moment turns what a person typed into a bound between entries, with the archive brought up to the present first.
func (j *job) moment(ctx context.Context, text string, scope pitr.Scope) (pitr.Timestamp, error) {
	return j.run.resolve(ctx, surroundings{repository: j.repository, client: j.reading, scope: scope, archive: j.deps.Archive}, text)
}

// surroundings are what a moment is resolved against; client and archive are nil where no server is asked.
type surroundings struct {
	repository *catalog.Repository
	client     *cluster.Client
	scope      pitr.Scope
	archive    restore.Archive
}

func (run *session) resolve(ctx context.Context, around surroundings, text string) (pitr.Timestamp, error) {
	moment, err := pitr.ParseTime(text, pitr.TimeContext{Now: run.now()})
	if err != nil {
		return 0, err
	}
	switch moment.Kind {
	case pitr.MomentBound:
		return moment.Bound, nil
	case pitr.MomentMark:
		mark, err := around.repository.ResolveMark(ctx, moment.Mark)
		return mark.At, err
	case pitr.MomentNow:
		return around.now(ctx)
	}
	return run.second(ctx, around, moment)
}

// resolveEarly is resolve for the beginning of a look-back, where a bare second means before its entries.
func (run *session) resolveEarly(ctx context.Context, around surroundings, text string) (pitr.Timestamp, error) {
	moment, err := pitr.ParseTime(text, pitr.TimeContext{Now: run.now()})
	if err == nil && moment.Kind == pitr.MomentSecond {
		return moment.BeforeSecond(), nil
	}
	return run.resolve(ctx, around, text)
}

// now is the majority point of the cluster, or the end of the archive where no server is asked.
func (around surroundings) now(ctx context.Context) (pitr.Timestamp, error) {
	if around.client != nil {
		at, err := around.client.MajorityOpTime(ctx)
		return at.TS, err
	}
	timeline, err := around.repository.Timeline(ctx)
	if err != nil {
		return 0, err
	}
	windows := timeline.Windows(timeline.Tip())
	if len(windows) == 0 {
		return 0, pitr.Errorf(pitr.KindHole, "find the newest archived moment", "run `pitr archive once`", "the archive is empty")
	}
	return windows[len(windows)-1].Through, nil
}

// second decides a bare second: if it holds no entry in scope both sides are the same, otherwise somebody must say which.
func (run *session) second(ctx context.Context, around surroundings, moment pitr.Moment) (pitr.Timestamp, error) {
	window := pitr.Window{After: moment.BeforeSecond(), Through: moment.ThroughSecond()}
	entries, err := around.count(ctx, window)
	if err != nil {
		return 0, err
	}
	if entries == 0 {
		return moment.ThroughSecond(), nil
	}
	shown := window.Through.Time().Format("2006-01-02T15:04:05Z")
	hint := fmt.Sprintf("say `before %s` or `through %s`", shown, shown)
	if !run.interactive {
		return 0, pitr.Errorf(pitr.KindInvalid, "read the moment", hint, "%d entries lie in that second", entries)
	}
	answer, err := run.ask(ctx, fmt.Sprintf("%d entries lie in %s. Before or through them? Type before or through:", entries, shown))
	switch {
	case err != nil:
		return 0, err
	case answer == "before":
		return moment.BeforeSecond(), nil
	case answer == "through":
		return moment.ThroughSecond(), nil
	}
	return 0, pitr.Errorf(pitr.KindInvalid, "read the moment", hint, "%q is neither", answer)
}

// count counts the entries of a window that may change something in scope, as far as they are archived: where nothing is,
// the timeline decides whether the moment can be reached. What lies behind the end of the archive is archived first.
func (around surroundings) count(ctx context.Context, window pitr.Window) (entries int, err error) {
	timeline, err := around.repository.Timeline(ctx)
	if err != nil {
		return 0, err
	}
	tip := timeline.Tip()
	windows := timeline.Windows(tip)
	if n := len(windows); n > 0 && around.archive != nil && windows[n-1].Through < window.Through {
		now, err := around.now(ctx)
		if err != nil {
			return 0, err
		}
		if _, err := around.archive.Through(ctx, now); err != nil {
			return 0, err
		}
		if timeline, err = around.repository.Timeline(ctx); err != nil {
			return 0, err
		}
		windows = timeline.Windows(tip)
	}
	for _, each := range windows {
		part := each.Intersect(window)
		if part.IsEmpty() {
			continue
		}
		for entry, err := range oplog.Read(ctx, around.repository, timeline.Cut(tip, part)...) {
			if err != nil && pitr.KindOf(err) != pitr.KindUnsupported {
				return 0, err
			}
			if err != nil || mayChange(&entry, around.scope) {
				entries++
			}
		}
	}
	return entries, nil
}

// mayChange reports whether an entry may change something in scope. Of transactions that span several entries, only this
// one is looked at: they count as if they did.
func mayChange(entry *oplog.Entry, scope pitr.Scope) bool {
	inScope := func(ns pitr.Namespace) bool { return scope.Contains(ns.KnownAs()) }
	switch command := entry.Command.(type) {
	case oplog.Commit:
		return true
	case oplog.Rename:
		return inScope(command.From) || inScope(command.To)
	case oplog.Batch:
		if !entry.Previous.IsZero() && !entry.Alone {
			return true
		}
	}
	ops, err := entry.Operations()
	return err != nil || slices.ContainsFunc(ops, func(op oplog.Op) bool { return inScope(op.NS) })
}
