package catalog

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"pitr"
	"pitr/format"
)

// Timeline is everything that a repository knows about time, as one value: which moments can be reached is a pure function
// of it. The order of its lists does not matter, duplicates and overlaps are legal.
type Timeline struct {
	Lines []Line
	// Damaged are objects that should have said something about time and cannot be used.
	Damaged []Damaged
}

// Line is one branch with what lies on it.
type Line struct {
	Branch format.ID
	// Fork says where the branch left another one; nil for the first of a cluster.
	Fork      *Fork
	Segments  []Segment
	Notes     []HoleNote
	Snapshots []Point
	Marks     []Moment
	Jobs      []Interval
}

// Fork is the newest entry that a branch shares with its parent.
type Fork struct {
	Parent format.ID
	At     pitr.OpTime
	// Digest begins the digest of the entry at the fork.
	Digest format.Short
}

// Segment is an object of the archive as its name tells it.
type Segment struct {
	pitr.Window
	// Prev and Last begin the digests of the entry before the first and of the last entry; a zero Prev is an entry that
	// nobody saw.
	Prev, Last format.Short
	Size       int64
}

// HoleNote is what the archiver wrote down when entries were gone before it could read them.
type HoleNote struct {
	pitr.Window
	Reason string
}

// Point is a snapshot as the timeline sees it.
type Point struct {
	Snapshot format.ID
	// At is the snapshot's E, the first moment that it serves. It needs the archive from From on: from S, or from the
	// beginning of the oldest transaction that was open then.
	From, At pitr.Timestamp
	Scope    pitr.Scope
	// Alone is a snapshot that no entry can follow (documents only): it serves At and no other moment.
	Alone bool
}

// Moment is a mark: a moment with a name.
type Moment struct {
	Name string
	At   pitr.Timestamp
}

// Interval is what a job wrote to the cluster: within it the cluster was neither what it had been nor what it became.
type Interval struct {
	Job format.ID
	// First and Last are the job's first and last entry; a job that has not ended has MaxTimestamp as Last.
	First, Last pitr.Timestamp
}

// Hole is a span of a branch that no segment covers. An empty window is a place where the segments on both sides do not
// join.
type Hole struct {
	pitr.Window
	Reason string
}

// Stretch is an unbroken run of reachable moments, First and Last among them.
type Stretch struct {
	First, Last pitr.Timestamp
}

// Route is how to reach a moment: a snapshot and the windows to fold over it, in order. At the snapshot's own moment of a
// snapshot that stands alone there are none.
type Route struct {
	Snapshot Point
	Windows  []BranchWindow
}

// BranchWindow is a window of one branch.
type BranchWindow struct {
	Branch format.ID
	pitr.Window
}

// Unreachable says why a moment cannot be reached, and which ones near it can.
type Unreachable struct {
	Moment pitr.Timestamp
	Why    string
	// Earlier and Later are the nearest reachable moments, zero where there is none.
	Earlier, Later pitr.Timestamp
}

// Error gives the reason.
func (u *Unreachable) Error() string {
	return fmt.Sprintf("%s cannot be reached: %s", u.Moment.Clock(), u.Why)
}

// Tip gives the branch that the cluster is on: the newest one that no other branch left. Empty without branches.
func (t Timeline) Tip() format.ID {
	parents := map[format.ID]bool{}
	for _, line := range t.Lines {
		if line.Fork != nil {
			parents[line.Fork.Parent] = true
		}
	}
	tip := format.ID("")
	for _, line := range t.Lines {
		if !parents[line.Branch] {
			tip = max(tip, line.Branch)
		}
	}
	return tip
}

// Windows gives what the archive covers of the history that ends with a branch, joined, in order of time.
func (t Timeline) Windows(branch format.ID) []pitr.Window {
	return windowsOf(t.lineageOf(branch).spans)
}

// Holes gives what the archive misses between the first and the last thing it knows of that history, with the reason where
// one was written down. A note that a later segment covers is no hole.
func (t Timeline) Holes(branch format.ID) []Hole {
	history := t.lineageOf(branch)
	windows := windowsOf(history.spans)
	var notes []HoleNote
	for _, own := range history.parts {
		for _, note := range own.line.Notes {
			note.Window = note.Intersect(pitr.Window{After: own.after, Through: own.through})
			if !note.IsEmpty() {
				notes = append(notes, note)
			}
		}
	}
	var holes []Hole
	for i := 1; i < len(windows); i++ {
		hole := Hole{Window: pitr.Window{After: windows[i-1].Through, Through: windows[i].After}}
		hole.Reason = "no segment is there and nobody wrote down why"
		if hole.IsEmpty() {
			hole.Reason = "the segments on both sides do not join"
		}
		for _, note := range notes {
			if !note.Intersect(hole.Window).IsEmpty() {
				hole.Reason = note.Reason
			}
		}
		holes = append(holes, hole)
	}
	for _, note := range notes {
		touches := func(w pitr.Window) bool { return !w.Intersect(note.Window).IsEmpty() }
		known := slices.ContainsFunc(windows, touches) ||
			slices.ContainsFunc(holes, func(h Hole) bool { return touches(h.Window) })
		if !known {
			holes = append(holes, Hole(note))
		}
	}
	slices.SortFunc(holes, func(a, b Hole) int {
		return cmp.Or(cmp.Compare(a.After, b.After), cmp.Compare(a.Through, b.Through), cmp.Compare(a.Reason, b.Reason))
	})
	return slices.Compact(holes)
}

// Reachable gives the moments of the history that ends with a branch for which the scope can be reconstructed.
func (t Timeline) Reachable(branch format.ID, scope pitr.Scope) []Stretch {
	return t.survey(branch, scope).reachable()
}

// Reach plans the way to a moment of the branch that the cluster is on; see ReachOn.
func (t Timeline) Reach(moment pitr.Timestamp, scope pitr.Scope) (Route, error) {
	return t.ReachOn(t.Tip(), moment, scope)
}

// ReachOn plans the way to a moment: the newest snapshot that holds the scope and was complete by then, and the archive
// from where that snapshot began to the moment, without a break. Otherwise the error has kind hole, is an *Unreachable
// beneath, and names the nearest reachable moments on both sides.
func (t Timeline) ReachOn(branch format.ID, moment pitr.Timestamp, scope pitr.Scope) (Route, error) {
	s := t.survey(branch, scope)
	job, inside := s.jobAt(moment)
	if !inside {
		if point, ok := s.best(moment); ok {
			return Route{Snapshot: point, Windows: s.history.route(point, moment)}, nil
		}
	}
	refusal := &Unreachable{Moment: moment, Why: s.why(moment)}
	if inside {
		refusal.Why = fmt.Sprintf("it lies inside job %s, which was writing from %s to %s", job.Job, job.First.Clock(), job.Last.Clock())
		if job.Last == pitr.MaxTimestamp {
			refusal.Why = fmt.Sprintf("job %s has been writing since %s and has not ended", job.Job, job.First.Clock())
		}
	}
	refusal.Earlier, refusal.Later = nearest(s.reachable(), moment)
	if lost := t.lostSnapshot(); lost.Err != nil && !inside && s.archived(moment) {
		// The archive is there: what is missing is a snapshot, and one that could have served cannot be read.
		return Route{}, &pitr.Error{Kind: pitr.KindOf(lost.Err), Op: "find a way back",
			Hint: join(pitr.HintOf(lost.Err), refusal.hint()), Err: fmt.Errorf("%w; %s cannot be used: %w", refusal, lost.Object, lost.Err)}
	}
	return Route{}, &pitr.Error{Kind: pitr.KindHole, Op: "find a way back",
		Hint: refusal.hint(), Err: refusal}
}

// lostSnapshot gives the first manifest that cannot be used, the zero value where there is none.
func (t Timeline) lostSnapshot() Damaged {
	for _, damaged := range t.Damaged {
		if damaged.Object.Kind() == format.KindManifest {
			return damaged
		}
	}
	return Damaged{}
}

func (s survey) archived(moment pitr.Timestamp) bool {
	return slices.ContainsFunc(s.windows, func(w pitr.Window) bool { return w.Contains(moment) })
}

func join(hints ...string) string {
	return strings.Join(slices.DeleteFunc(hints, func(hint string) bool { return hint == "" }), "; ")
}

func (u *Unreachable) hint() string {
	switch {
	case u.Earlier != 0 && u.Later != 0:
		return fmt.Sprintf("the nearest reachable moments are %s and %s", u.Earlier.Clock(), u.Later.Clock())
	case u.Earlier != 0:
		return fmt.Sprintf("the nearest reachable moment is %s; none follows", u.Earlier.Clock())
	case u.Later != 0:
		return fmt.Sprintf("the nearest reachable moment is %s; none precedes", u.Later.Clock())
	}
	return "run `pitr snapshot take`: moments from then on can be reached; those before it stay out of reach"
}

// survey is a history with its coverage worked out, and what is usable on it for one scope.
type survey struct {
	scope   pitr.Scope
	history lineage
	windows []pitr.Window
	points  []Point
	left    int
	jobs    []Interval
}

func (t Timeline) survey(branch format.ID, scope pitr.Scope) survey {
	s := survey{scope: scope, history: t.lineageOf(branch)}
	s.windows = windowsOf(s.history.spans)
	for _, own := range s.history.parts {
		for _, point := range own.line.Snapshots {
			switch {
			case point.At > own.through:
			case !point.Scope.ContainsAll(scope):
				s.left++
			default:
				s.points = append(s.points, point)
			}
		}
		for _, job := range own.line.Jobs {
			if job.First <= own.through {
				s.jobs = append(s.jobs, job)
			}
		}
	}
	return s
}

// serves gives the moments that a snapshot reaches: from its end as far as the window goes that holds its beginning.
func (s survey) serves(point Point) (Stretch, bool) {
	if point.Alone || point.From == point.At {
		// Nothing of the archive lies between beginning and end, so the snapshot serves its own moment without it.
		stretch := Stretch{First: point.At, Last: point.At}
		if point.Alone {
			return stretch, true
		}
		for _, window := range s.windows {
			if window.After <= point.From && point.From < window.Through {
				stretch.Last = window.Through
			}
		}
		return stretch, true
	}
	for _, window := range s.windows {
		if window.Covers(pitr.Window{After: point.From, Through: point.At}) {
			return Stretch{First: point.At, Last: window.Through}, true
		}
	}
	return Stretch{}, false
}

func (s survey) best(moment pitr.Timestamp) (Point, bool) {
	var best Point
	found := false
	for _, point := range s.points {
		stretch, ok := s.serves(point)
		if !ok || moment < stretch.First || moment > stretch.Last {
			continue
		}
		if !found || comparePoints(point, best) > 0 {
			best, found = point, true
		}
	}
	return best, found
}

// comparePoints orders by what is left to fold, then by age: later ends first, then later beginnings, then later ids.
func comparePoints(a, b Point) int {
	return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.From, b.From), cmp.Compare(a.Snapshot, b.Snapshot))
}

func (s survey) jobAt(moment pitr.Timestamp) (Interval, bool) {
	for _, job := range s.jobs {
		if job.First <= moment && moment < job.Last {
			return job, true
		}
	}
	return Interval{}, false
}

// reachable gives the union of what the snapshots serve, less the insides of jobs.
func (s survey) reachable() []Stretch {
	var stretches []Stretch
	for _, point := range s.points {
		if stretch, ok := s.serves(point); ok {
			stretches = append(stretches, stretch)
		}
	}
	for _, job := range s.jobs {
		var left []Stretch
		for _, stretch := range stretches {
			left = append(left, stretch.without(job)...)
		}
		stretches = left
	}
	slices.SortFunc(stretches, func(a, b Stretch) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last))
	})
	var union []Stretch
	for _, stretch := range stretches {
		last := len(union) - 1
		if last >= 0 && (stretch.First <= union[last].Last || stretch.First == union[last].Last+1) {
			union[last].Last = max(union[last].Last, stretch.Last)
			continue
		}
		union = append(union, stretch)
	}
	return union
}

// without leaves out [First, Last) of a job: before its first entry nothing had happened, at its last everything had.
func (s Stretch) without(job Interval) []Stretch {
	var left []Stretch
	if s.First < job.First {
		left = append(left, Stretch{First: s.First, Last: min(s.Last, job.First.Before())})
	}
	if job.Last <= s.Last {
		left = append(left, Stretch{First: max(s.First, job.Last), Last: s.Last})
	}
	return left
}

func nearest(stretches []Stretch, moment pitr.Timestamp) (earlier, later pitr.Timestamp) {
	for _, stretch := range stretches {
		if stretch.Last < moment {
			earlier = stretch.Last
		}
		if stretch.First > moment {
			return earlier, stretch.First
		}
	}
	return earlier, 0
}

// why names the first reason that a person can do something about.
func (s survey) why(moment pitr.Timestamp) string {
	end := pitr.Timestamp(0)
	for _, window := range s.windows {
		end = max(end, window.Through)
	}
	first := pitr.MaxTimestamp
	for _, point := range s.points {
		first = min(first, point.At)
	}
	switch {
	case len(s.points) == 0 && s.left > 0:
		return "no snapshot holds all of " + s.scope.String()
	case len(s.points) == 0:
		return "there is no snapshot"
	case moment < first:
		return fmt.Sprintf("the first snapshot of %s was complete at %s", s.scope, first.Clock())
	case moment > end:
		return fmt.Sprintf("the archive ends at %s", end.Clock())
	}
	for i, window := range s.windows {
		if window.Contains(moment) {
			return fmt.Sprintf("no snapshot of %s lies between the break of the archive at %s and it", s.scope, window.After.Clock())
		}
		if i > 0 && s.windows[i-1].Through < moment && moment <= window.After {
			return fmt.Sprintf("the archive has a hole from %s to %s", s.windows[i-1].Through.Clock(), window.After.Clock())
		}
	}
	return "the archive begins later"
}

// route gives what each branch of the lineage has of (From, moment].
func (l lineage) route(point Point, moment pitr.Timestamp) []BranchWindow {
	if point.Alone {
		return nil
	}
	return l.cut(pitr.Window{After: point.From, Through: moment})
}

func (t Timeline) line(branch format.ID) (Line, bool) {
	for _, line := range t.Lines {
		if line.Branch == branch {
			return line, true
		}
	}
	return Line{}, false
}
