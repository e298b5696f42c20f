package prune

import (
	"slices"

	"pitr"
	"pitr/catalog"
	"pitr/format"
)

// settle takes out of goes, which has places in the line's segments, what would change the meaning of what is left:
//
//   - a segment that reaches across a bound at which two neighbours meet that do not join each other: without it there would
//     be a break that no note can describe;
//   - a segment that names an entry at a bound for which another one names a different entry, where something that stays
//     reaches that bound: without it nobody would know that one of the two is wrong.
func settle(line catalog.Line, goes map[int]bool) {
	before, disputed := seams(line, line.Segments), disputes(line.Segments)
	for changed := true; changed; {
		changed = false
		kept := left(line, goes)
		witnessed := reached(kept, disputed)
		var seam []pitr.Timestamp
		for bound := range seams(line, kept) {
			if !before[bound] && !disputed[bound] {
				seam = append(seam, bound)
			}
		}
		for i, segment := range line.Segments {
			across := func(bound pitr.Timestamp) bool { return segment.After < bound && bound < segment.Through }
			if goes[i] && (witnessed[segment.After] || witnessed[segment.Through] || slices.ContainsFunc(seam, across)) {
				delete(goes, i)
				changed = true
			}
		}
	}
}

// seams are the bounds at which segments meet and do not join.
func seams(line catalog.Line, segments []catalog.Segment) map[pitr.Timestamp]bool {
	alone := catalog.Timeline{Lines: []catalog.Line{{Branch: line.Branch, Segments: segments}}}
	bounds := map[pitr.Timestamp]bool{}
	for _, hole := range alone.Holes(line.Branch) {
		if hole.IsEmpty() {
			bounds[hole.After] = true
		}
	}
	return bounds
}

// disputes are the bounds for which segments name different entries.
func disputes(segments []catalog.Segment) map[pitr.Timestamp]bool {
	named := make(map[pitr.Timestamp]format.Short, 2*len(segments))
	disputed := map[pitr.Timestamp]bool{}
	name := func(bound pitr.Timestamp, digest format.Short) {
		if digest == (format.Short{}) {
			return
		}
		if known, ok := named[bound]; ok && known != digest {
			disputed[bound] = true
		}
		named[bound] = digest
	}
	for _, segment := range segments {
		name(segment.After, segment.Prev)
		name(segment.Through, segment.Last)
	}
	return disputed
}

// reached gives those of the bounds that one of the segments touches or reaches across.
func reached(segments []catalog.Segment, bounds map[pitr.Timestamp]bool) map[pitr.Timestamp]bool {
	touched := map[pitr.Timestamp]bool{}
	if len(bounds) == 0 {
		return touched
	}
	var windows ranges
	for _, segment := range segments {
		windows.add(segment.Window, "")
	}
	for bound := range bounds {
		_, touched[bound] = windows.sorted().meets(pitr.Window{After: bound.Before(), Through: bound + 1})
	}
	return touched
}
