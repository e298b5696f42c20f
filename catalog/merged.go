package catalog

import (
	"cmp"
	"slices"

	"pitr"
	"pitr/format"
)

// Merged is a long segment with the shorter ones whose entries it repeats, in order of time.
type Merged struct {
	Long  Segment
	Short []Segment
	// Whole says that the shorter ones, each joined to the next, make up the long one from its first entry to its last, so
	// that either can be read in place of the other.
	Whole bool
}

// MergedSegments finds, among the segments of one branch, the long ones that others make superfluous, by their names alone.
//
// Two histories that have an entry in common are equal up to it. So a chain of segments, each joined to the next by the
// digest of the entry between them, that ends with the last entry of a long one agrees with it as far back as it reaches.
// What does not hang on such a chain is no part of the answer, also when the long segment covers its time: nothing tells
// from names that the two agree.
func MergedSegments(segments []Segment) []Merged {
	ends := map[end][]Segment{}
	for _, segment := range segments {
		at := end{segment.Through, segment.Last}
		ends[at] = append(ends[at], segment)
	}
	var found []Merged
	for _, long := range segments {
		short, whole := chainWithin(long, ends)
		if len(short) > 0 {
			found = append(found, Merged{Long: long, Short: short, Whole: whole})
		}
	}
	slices.SortFunc(found, func(a, b Merged) int { return compareSegments(a.Long, b.Long) })
	return found
}

// Redundant gives the segments of one branch whose entries a longer one of the list has, too: they can go as soon as the
// longer one was read and found whole. Whoever removes them begins with the oldest: the rest still hangs on its end then.
func Redundant(segments []Segment) []Segment {
	var redundant []Segment
	seen := map[Segment]bool{}
	for _, merged := range MergedSegments(segments) {
		for _, short := range merged.Short {
			if !seen[short] {
				seen[short] = true
				redundant = append(redundant, short)
			}
		}
	}
	slices.SortFunc(redundant, compareSegments)
	return redundant
}

// end is a bound of segments with the entry there.
type end struct {
	at     pitr.Timestamp
	digest format.Short
}

// chainWithin walks back from the last entry of a segment over others that lie in its window, the longest one first.
func chainWithin(long Segment, ends map[end][]Segment) (chain []Segment, whole bool) {
	at := end{long.Through, long.Last}
	for {
		var step *Segment
		for i, candidate := range ends[at] {
			inside := candidate.After >= long.After && candidate.Window != long.Window && !candidate.IsEmpty()
			begins := candidate.After > long.After || candidate.Prev == long.Prev
			if inside && begins && (step == nil || candidate.After < step.After) {
				step = &ends[at][i]
			}
		}
		if step == nil {
			break
		}
		chain = append(chain, *step)
		whole = step.After == long.After
		if step.Prev == unseen {
			break
		}
		at = end{step.After, step.Prev}
	}
	slices.Reverse(chain)
	return chain, whole
}

// preferred leaves out what a long segment repeats as a whole: the usual state after a merge.
// Segments that only overlap are all kept, and whoever reads them compares.
func preferred(segments []Segment) []Segment {
	return without(segments, func(m Merged) []Segment { return m.Short })
}

// spare is the other way round: the long ones are left out, for a reader that found one of them damaged.
func spare(segments []Segment) []Segment {
	return without(segments, func(m Merged) []Segment { return []Segment{m.Long} })
}

func without(segments []Segment, left func(Merged) []Segment) []Segment {
	drop := map[Segment]bool{}
	for _, merged := range MergedSegments(segments) {
		if merged.Whole {
			for _, segment := range left(merged) {
				drop[segment] = true
			}
		}
	}
	if len(drop) == 0 {
		return segments
	}
	return slices.DeleteFunc(slices.Clone(segments), func(s Segment) bool { return drop[s] })
}

// MergePlan says which neighbouring segments of one branch are to become one each: those of the same hour, joined without a
// break, once that hour has been over for an hour as the newest segment counts it. What a longer one repeats already is
// left alone. Sizes are not known from names, so whoever merges may have to cut a group.
func MergePlan(segments []Segment) [][]Segment {
	redundant := map[Segment]bool{}
	for _, segment := range Redundant(segments) {
		redundant[segment] = true
	}
	var newest pitr.Timestamp
	var front []Segment
	for _, segment := range segments {
		newest = max(newest, segment.Through)
		if !redundant[segment] && !segment.IsEmpty() {
			front = append(front, segment)
		}
	}
	slices.SortFunc(front, func(a, b Segment) int {
		return cmp.Or(cmp.Compare(a.Through, b.Through), cmp.Compare(a.After, b.After))
	})
	const hour = 3600
	var plan [][]Segment
	for i := 0; i < len(front); {
		group := front[i : i+1]
		this := front[i].Through.Seconds() / hour
		for next := i + 1; next < len(front) && front[next].Through.Seconds()/hour == this && joins(front[next-1], front[next]); next++ {
			group = front[i : next+1]
		}
		i += len(group)
		if len(group) > 1 && (this+2)*hour <= newest.Seconds() {
			plan = append(plan, slices.Clone(group))
		}
	}
	return plan
}

func joins(a, b Segment) bool {
	return a.Through == b.After && b.Prev != unseen && a.Last == b.Prev
}
