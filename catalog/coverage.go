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
		if p.joins(segment) && window.After > p.after {
			window.After = p.after
		}
		window.After = max(window.After, p.after)
		if !window.IsEmpty() {
			spans = append(spans, span{Window: window, prev: segment.Prev, last: segment.Last})
		}
	}
	return spans
}

// joins reports whether a segment continues the parent's: it is the first of a forked branch, and names the entry of the fork.
func (p part) joins(segment Segment) bool {
	return p.line.Fork != nil && segment.After == p.first && segment.Prev != unseen
}

// begin is where the branch's own segments have to be read from: behind a fork that they join there is nothing before the
// first of them, and where they do not join what is missing is missed.
func (p part) begin() pitr.Timestamp {
	if slices.ContainsFunc(p.line.Segments, p.joins) {
		return max(p.after, p.first)
	}
	return p.after
}

// cut gives what each branch of the lineage has of a window, oldest first.
func (l lineage) cut(window pitr.Window) []BranchWindow {
	var windows []BranchWindow
	for _, own := range l.parts {
		part := window.Intersect(pitr.Window{After: own.begin(), Through: own.through})
		if !part.IsEmpty() {
			windows = append(windows, BranchWindow{Branch: own.line.Branch, Window: part})
		}
	}
	return windows
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
	edges := edgesOf(spans)
	var windows []pitr.Window
	var open pitr.Window // the window that is being joined; empty before the first
	for len(edges) > 0 {
		here := edges[0].bound
		n := 1
		for n < len(edges) && edges[n].bound == here {
			n++
		}
		at := meetingOf(edges[:n])
		edges = edges[n:]
		across := open.Through > here && !at.contradicts
		joined := open.Through == here && at.joins && !at.contradicts
		if !across && !joined && !open.IsEmpty() && (at.begins || open.Through > here) {
			windows = append(windows, pitr.Window{After: open.After, Through: min(open.Through, here)})
			// What reached across a contradiction goes on behind it.
			open = pitr.Window{After: here, Through: max(open.Through, here)}
		}
		if open.IsEmpty() {
			open.After = here
		}
		open.Through = max(open.Through, at.through)
	}
	if !open.IsEmpty() {
		windows = append(windows, open)
	}
	return windows
}

// edge is the beginning or the end of a span: the bound, the entry that it names there, and for a beginning how far the
// span goes.
type edge struct {
	bound   pitr.Timestamp
	digest  format.Short
	through pitr.Timestamp
}

func (e edge) begins() bool { return e.through != 0 }

func edgesOf(spans []span) []edge {
	edges := make([]edge, 0, 2*len(spans))
	for _, s := range spans {
		edges = append(edges, edge{bound: s.After, digest: s.prev, through: s.Through}, edge{bound: s.Through, digest: s.last})
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Compare(a.bound, b.bound) })
	return edges
}

// meeting is what the edges at one bound say together.
type meeting struct {
	begins, joins, contradicts bool
	// through is how far the spans go that begin here.
	through pitr.Timestamp
}

func meetingOf(edges []edge) meeting {
	var m meeting
	named, ended, begun := unseen, false, false
	for _, e := range edges {
		m.begins = m.begins || e.begins()
		m.through = max(m.through, e.through)
		switch {
		case e.digest == unseen:
			continue
		case named == unseen:
			named = e.digest
		case named != e.digest:
			m.contradicts = true
		}
		ended, begun = ended || !e.begins(), begun || e.begins()
	}
	m.joins = ended && begun
	return m
}
