package catalog

import (
	"cmp"
	"slices"

	"pitr"
	"pitr/format"
)

// unseen stands in a segment's name where nobody saw the entry before its first.
var unseen format.Short

// span is a segment as coverage sees it: the window and the digests of the entries at both bounds.
type span struct {
	pitr.Window
	prev, last format.Short
}

// lineage is the history that ends with one branch: its own segments and those of its ancestors up to each fork, as if
// they were one branch. A fork joins like two segments do: the child's first segment names the entry before its first.
type lineage struct {
	parts []part
	spans []span
}

// part is what one branch adds to a lineage: everything in (after, through].
type part struct {
	line  Line
	after pitr.Timestamp
	// first is where the branch's own segments begin, which is later than the fork by an unknown number of ordinals.
	first   pitr.Timestamp
	through pitr.Timestamp
}

// lineageOf walks from the branch to its first ancestor and cuts each ancestor at the fork.
func (t Timeline) lineageOf(branch format.ID) lineage {
	var parts []part
	seen := map[format.ID]bool{}
	through := pitr.MaxTimestamp
	line, ok := t.line(branch)
	for ok && !seen[line.Branch] {
		seen[line.Branch] = true
		own := part{line: line, through: through, first: line.start()}
		if line.Fork == nil {
			parts = append(parts, own)
			break
		}
		own.after = line.Fork.At.TS
		parts = append(parts, own)
		through = min(through, own.after)
		line, ok = t.line(line.Fork.Parent)
	}
	slices.Reverse(parts)
	result := lineage{parts: parts}
	for i, own := range parts {
		result.spans = append(result.spans, own.spans()...)
		if i+1 < len(parts) {
			result.cutAt(own.through, parts[i+1].line)
		}
	}
	return result
}

// spans gives the part's own segments; the first of a forked branch is stretched down to the fork.
func (p part) spans() []span {
	var spans []span
	for _, segment := range p.line.Segments {
		window := segment.Window
		forked := p.line.Fork != nil && window.After == p.first && segment.Prev != unseen
		if forked && window.After > p.after {
			window.After = p.after
		}
		window.After = max(window.After, p.after)
		if !window.IsEmpty() {
			spans = append(spans, span{Window: window, prev: segment.Prev, last: segment.Last})
		}
	}
	return spans
}

// cutAt shortens what an ancestor has beyond the fork. The entry at the cut is the one that the fork names; only a segment
// that ends there by itself can say otherwise.
func (l *lineage) cutAt(fork pitr.Timestamp, child Line) {
	var kept []span
	for _, own := range l.spans {
		if own.Through > fork {
			own.Through = fork
			own.last = child.Fork.Digest
		}
		if !own.IsEmpty() {
			kept = append(kept, own)
		}
	}
	l.spans = kept
}

// start is the lowest bound of the branch's own segments.
func (l Line) start() pitr.Timestamp {
	lowest := pitr.MaxTimestamp
	for _, segment := range l.Segments {
		lowest = min(lowest, segment.After)
	}
	return lowest
}

// spansOf gives the segments of one branch alone.
func spansOf(segments []Segment) []span {
	spans := make([]span, 0, len(segments))
	for _, segment := range segments {
		if !segment.IsEmpty() {
			spans = append(spans, span{Window: segment.Window, prev: segment.Prev, last: segment.Last})
		}
	}
	return spans
}

// windowsOf joins spans into windows, in order of time.
//
// A bound can be passed when some span reaches across it, or when one ends there, another begins there, and both name the
// same entry. It cannot be passed, whatever reaches across, when two spans name different entries there: one of them is
// wrong, and a listing does not tell which.
func windowsOf(spans []span) []pitr.Window {
	sorted := slices.Clone(spans)
	slices.SortFunc(sorted, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.After, b.After), cmp.Compare(a.Through, b.Through))
	})
	ends := digestsByEnd(sorted)
	var windows []pitr.Window
	for i := 0; i < len(sorted); {
		group := i
		for group < len(sorted) && sorted[group].After == sorted[i].After {
			group++
		}
		same := sorted[i:group]
		through := same[len(same)-1].Through
		last := len(windows) - 1
		switch {
		case last >= 0 && same[0].After < windows[last].Through,
			last >= 0 && same[0].After == windows[last].Through && anyJoins(same, ends[same[0].After]):
			windows[last].Through = max(windows[last].Through, through)
		default:
			windows = append(windows, pitr.Window{After: same[0].After, Through: through})
		}
		i = group
	}
	return splitAt(windows, contradictions(sorted))
}

func digestsByEnd(spans []span) map[pitr.Timestamp][]format.Short {
	ends := make(map[pitr.Timestamp][]format.Short, len(spans))
	for _, s := range spans {
		if !slices.Contains(ends[s.Through], s.last) {
			ends[s.Through] = append(ends[s.Through], s.last)
		}
	}
	return ends
}

func anyJoins(spans []span, ends []format.Short) bool {
	return slices.ContainsFunc(spans, func(s span) bool {
		return s.prev != unseen && slices.Contains(ends, s.prev)
	})
}

// contradictions gives the bounds for which spans name different entries, in order of time.
func contradictions(spans []span) []pitr.Timestamp {
	named := make(map[pitr.Timestamp]format.Short, len(spans))
	wrong := map[pitr.Timestamp]bool{}
	name := func(bound pitr.Timestamp, digest format.Short) {
		if digest == unseen {
			return
		}
		if known, ok := named[bound]; ok && known != digest {
			wrong[bound] = true
		}
		named[bound] = digest
	}
	for _, s := range spans {
		name(s.Through, s.last)
		name(s.After, s.prev)
	}
	bounds := make([]pitr.Timestamp, 0, len(wrong))
	for bound := range wrong {
		bounds = append(bounds, bound)
	}
	slices.Sort(bounds)
	return bounds
}

func splitAt(windows []pitr.Window, bounds []pitr.Timestamp) []pitr.Window {
	var split []pitr.Window
	for _, window := range windows {
		for len(bounds) > 0 && bounds[0] < window.Through {
			if bounds[0] > window.After {
				split = append(split, pitr.Window{After: window.After, Through: bounds[0]})
				window.After = bounds[0]
			}
			bounds = bounds[1:]
		}
		split = append(split, window)
	}
	return split
}
