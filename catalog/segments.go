package catalog

import (
	"cmp"
	"context"
	"slices"

	"pitr"
	"pitr/format"
)

// Name gives the name of the segment's object on a branch.
func (s Segment) Name(branch format.ID) (format.Name, error) {
	return format.SegmentName(branch, s.Window, s.Prev, s.Last)
}

func segmentOf(found Found) Segment {
	return Segment{Window: found.Name.Window(), Prev: found.Name.Prev(), Last: found.Name.Last(), Size: found.Size}
}

// Segments gives the segments of a branch that have something of a window, by beginning, longer ones first. It reads
// listings only: the folders of the days from the window's beginning on, until what they name covers the window.
func (r *Repository) Segments(ctx context.Context, branch format.ID, window pitr.Window) ([]Segment, error) {
	var segments []Segment
	if window.IsEmpty() {
		return nil, nil
	}
	after := format.DayPrefix(branch, window.After)
	for {
		day, next, err := r.segmentsOfDay(ctx, branch, after, window)
		if err != nil {
			return nil, err
		}
		segments = append(segments, day...)
		if next == "" || covered(segments, window) {
			break
		}
		after = next
	}
	slices.SortFunc(segments, compareSegments)
	return segments, nil
}

// segmentsOfDay lists the first day after a text that has anything, and gives the text after which the next one begins. A
// day's segments are in the order of their beginnings, so the rest of the day begins after the window, too.
func (r *Repository) segmentsOfDay(ctx context.Context, branch format.ID, after string, window pitr.Window,
) (segments []Segment, next string, err error) {
	for found, err := range r.List(ctx, format.OplogPrefix(branch), after) {
		if err != nil {
			return nil, "", err
		}
		day := format.DayPrefix(branch, found.Name.Window().Through)
		if next == "" {
			next = afterFolder(day)
		}
		if found.Name.String() > next || found.Name.Window().After >= window.Through {
			break
		}
		if found.Name.Kind() == format.KindSegment && !found.Name.Window().Intersect(window).IsEmpty() {
			segments = append(segments, segmentOf(found))
		}
	}
	return segments, next, nil
}

func covered(segments []Segment, window pitr.Window) bool {
	return slices.ContainsFunc(windowsOf(spansOf(segments)), func(w pitr.Window) bool { return w.Covers(window) })
}

func compareSegments(a, b Segment) int {
	return cmp.Or(cmp.Compare(a.After, b.After), -cmp.Compare(a.Through, b.Through),
		slices.Compare(a.Prev[:], b.Prev[:]), slices.Compare(a.Last[:], b.Last[:]))
}

// LastSegment gives the segment of a branch that reaches furthest; false when there is none. The store lists forwards only,
// so the newest day is found by halving the days.
func (r *Repository) LastSegment(ctx context.Context, branch format.ID) (Segment, bool, error) {
	var last Segment
	low, high := uint32(0), pitr.MaxTimestamp.Seconds()/secondsOfDay+1
	for low < high {
		middle := low + (high-low)/2
		furthest, found, err := r.furthestOfDay(ctx, branch, pitr.NewTimestamp(middle*secondsOfDay, 0))
		if err != nil {
			return Segment{}, false, err
		}
		if !found {
			high = middle
			continue
		}
		last = furthest
		low = furthest.Through.Seconds()/secondsOfDay + 1
	}
	return last, last.Through != 0, nil
}

// LaterSegment gives the segment that reaches furthest of a known one and those that are listed behind it: a cheap look for
// whoever watches an archive grow.
func (r *Repository) LaterSegment(ctx context.Context, branch format.ID, known Segment) (Segment, error) {
	name, err := known.Name(branch)
	if err != nil {
		return Segment{}, err
	}
	for found, err := range r.List(ctx, format.OplogPrefix(branch), name.String()) {
		if err != nil {
			return Segment{}, err
		}
		if found.Name.Kind() == format.KindSegment && found.Name.Window().Through > known.Through {
			known = segmentOf(found)
		}
	}
	return known, nil
}

const secondsOfDay = 24 * 60 * 60

// furthestOfDay gives the segment that reaches furthest of the first day with a segment, from the day of a moment on.
func (r *Repository) furthestOfDay(ctx context.Context, branch format.ID, from pitr.Timestamp) (Segment, bool, error) {
	var furthest Segment
	end := ""
	for found, err := range r.List(ctx, format.OplogPrefix(branch), format.DayPrefix(branch, from)) {
		if err != nil {
			return Segment{}, false, err
		}
		if end != "" && found.Name.String() > end {
			break
		}
		if found.Name.Kind() != format.KindSegment {
			continue
		}
		end = afterFolder(format.DayPrefix(branch, found.Name.Window().Through))
		if found.Name.Window().Through > furthest.Through {
			furthest = segmentOf(found)
		}
	}
	return furthest, furthest.Through != 0, nil
}
