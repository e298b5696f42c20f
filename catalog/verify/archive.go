package verify

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"pitr"
	"pitr/catalog"
	"pitr/format"
)

// archive checks one folder of oplog/: segments and notes of one branch.
func (v *verifier) archive(ctx context.Context, g *group) error {
	if !v.branches[g.id] {
		if err := v.find(Finding{Kind: Missing, Object: g.folder, Where: "listing", What: "no branch object describes it"}); err != nil {
			return err
		}
	}
	line := catalog.Line{Branch: g.id, Segments: g.segments}
	for _, name := range g.order {
		if name.Kind() != format.KindHole {
			continue
		}
		err := readSingle(ctx, v, name, func(hole format.Hole) {
			line.Notes = append(line.Notes, catalog.HoleNote{Window: hole.Window, Reason: hole.Reason})
		})
		if err != nil {
			return err
		}
	}
	timeline := catalog.Timeline{Lines: []catalog.Line{line}}
	v.windows[g.id] = timeline.Windows(g.id)
	if err := v.holes(g, line, timeline.Holes(g.id)); err != nil {
		return err
	}
	if v.Level < LevelDigests {
		return nil
	}
	return v.segments(ctx, g)
}

// holes tells of what the archive misses: with a note it is known, without one something has gone.
func (v *verifier) holes(g *group, line catalog.Line, holes []catalog.Hole) error {
	for _, hole := range holes {
		noted := slices.ContainsFunc(line.Notes, func(n catalog.HoleNote) bool {
			return !n.Intersect(hole.Window).IsEmpty() && n.Covers(hole.Window)
		})
		f := Finding{Kind: Missing, Object: g.folder, Where: "listing", What: fmt.Sprintf("nothing covers %s, and no note says why", hole.Window)}
		switch {
		case noted:
			f.Kind, f.What = Hole, fmt.Sprintf("nothing covers %s: %s", hole.Window, hole.Reason)
		case hole.IsEmpty():
			f.Kind, f.What = Disagrees, fmt.Sprintf("the segments on both sides of %s do not join", hole.After)
			if unseen(line.Segments, hole.After) {
				f.Kind, f.What = Hole, fmt.Sprintf("nobody saw which entry came before the one after %s", hole.After)
			}
		}
		if err := v.find(f); err != nil {
			return err
		}
	}
	return nil
}

// unseen reports whether a segment begins at a bound without knowing the entry before: the archive came back after its
// source had rolled over, and the times on both sides left no room for a note.
func unseen(segments []catalog.Segment, bound pitr.Timestamp) bool {
	return slices.ContainsFunc(segments, func(s catalog.Segment) bool { return s.After == bound && s.Prev == format.Short{} })
}

// segments reads the segments of a branch in the order of their beginnings.
func (v *verifier) segments(ctx context.Context, g *group) error {
	slices.SortFunc(g.segments, func(a, b catalog.Segment) int {
		return cmp.Or(cmp.Compare(a.After, b.After), -cmp.Compare(a.Through, b.Through))
	})
	v.Progress.Start(g.folder, pitr.Amount{Count: int64(len(g.segments))})
	defer v.Progress.Finish(g.folder)
	// ends are the last entries of segments that a later one may follow.
	ends := map[pitr.Timestamp]format.EntryMark{}
	good := make([]bool, len(g.segments))
	for i, segment := range g.segments {
		v.Progress.Advance(g.folder, pitr.Amount{Count: 1, Bytes: segment.Size})
		if !v.chosen() {
			continue
		}
		facts, err := v.segment(ctx, g.id, segment)
		if err != nil {
			name, nameErr := segment.Name(g.id)
			if nameErr != nil {
				return nameErr
			}
			if err := v.judge(name.String(), v.whereInSegment(ctx, name), err); err != nil {
				return err
			}
			continue
		}
		good[i] = true
		// Where the names already say otherwise, the listing has told of it.
		end, known := ends[facts.Prev.TS]
		if known && end.Digest.Short() == facts.Prev.Digest.Short() && end != facts.Prev {
			if err := v.disagree(g.folder, "the segment that begins after %s follows another entry than the one before it has last", facts.Prev.TS); err != nil {
				return err
			}
		}
		for bound := range ends {
			if bound < segment.After {
				delete(ends, bound)
			}
		}
		ends[facts.Last.TS] = facts.Last
	}
	if v.Level < LevelContent || slices.Contains(good, false) {
		return nil
	}
	return v.overlaps(ctx, g)
}

// segment checks one segment: what it says of itself at level 1, each entry at level 2.
func (v *verifier) segment(ctx context.Context, branch format.ID, segment catalog.Segment) (format.SegmentFacts, error) {
	container, facts, err := v.repository.OpenSegment(ctx, branch, segment)
	if err != nil {
		return facts, err
	}
	if err := container.CheckStored(ctx); err != nil {
		return facts, err
	}
	if v.Level < LevelContent {
		return facts, nil
	}
	reader, err := v.repository.ReadSegment(ctx, branch, segment)
	if err != nil {
		return facts, err
	}
	for more := true; more; {
		if more, err = reader.Next(ctx); err != nil {
			return facts, err
		}
	}
	return facts, nil
}

func (v *verifier) whereInSegment(ctx context.Context, name format.Name) string {
	data, err := v.repository.Get(ctx, name)
	if err != nil {
		return ""
	}
	container, err := format.OpenContainer(data, format.Expect{Name: name}) //nolint:contextcheck // the bytes are in memory
	if err != nil {
		return "directory"
	}
	if _, err := container.SegmentFacts(); err != nil {
		return "facts"
	}
	return whereInFrames(ctx, container)
}

// overlaps compares the entries of segments that cover the same time.
func (v *verifier) overlaps(ctx context.Context, g *group) error {
	for _, window := range shared(g.segments) {
		joined := slices.ContainsFunc(v.windows[g.id], func(w pitr.Window) bool { return w.Covers(window) })
		if !joined {
			continue // the listing has told of it
		}
		for _, err := range v.repository.EntriesCompared(ctx, catalog.BranchWindow{Branch: g.id, Window: window}) {
			if pitr.KindOf(err) == pitr.KindCorrupt {
				err = v.disagree(g.folder, "segments that cover %s do not agree: %v", window, err)
				if err != nil {
					return err
				}
				break
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// shared gives the spans that more than one segment covers; segments come in the order of their beginnings.
func shared(segments []catalog.Segment) []pitr.Window {
	var spans []pitr.Window
	var reached pitr.Timestamp
	for _, s := range segments {
		if s.After < reached {
			span := pitr.Window{After: s.After, Through: min(s.Through, reached)}
			if last := len(spans) - 1; last >= 0 && span.After <= spans[last].Through {
				spans[last].Through = max(spans[last].Through, span.Through)
			} else {
				spans = append(spans, span)
			}
		}
		reached = max(reached, s.Through)
	}
	return spans
}
