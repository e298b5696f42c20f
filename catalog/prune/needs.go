package prune

import (
	"cmp"
	"slices"
	"time"

	"pitr"
	"pitr/catalog"
	"pitr/format"
)

// needs are what has to stay, whatever the rules for snapshots say.
type needs struct {
	snapshots []need
	// ranges are windows of the archive that stay, by branch.
	ranges map[format.ID]*ranges
	// promise is the moment from which on everything reachable of the history that ends with a branch stays reachable.
	promise map[format.ID]promise
	// services and lineages are what the timeline says of each branch.
	services map[format.ID][]catalog.Service
	lineages map[format.ID][]catalog.BranchWindow
	// forever says that there is no promised window: the archive stays since the oldest snapshot that stays.
	forever bool
}

type need struct {
	snapshot format.ID
	reason   string
}

type promise struct {
	from   pitr.Timestamp
	reason string
}

// needsOf collects what marks, holds, jobs, runs in progress and the promised window ask for.
func needsOf(i Inventory, policy Policy) needs {
	n := needs{ranges: map[format.ID]*ranges{}, promise: map[format.ID]promise{}, services: map[format.ID][]catalog.Service{},
		lineages: map[format.ID][]catalog.BranchWindow{}, forever: policy.Window == 0}
	for _, line := range i.Timeline.Lines {
		n.ranges[line.Branch] = &ranges{}
		n.services[line.Branch] = i.Timeline.Services(line.Branch)
		n.lineages[line.Branch] = i.Timeline.Lineage(line.Branch)
	}
	n.window(i, policy)
	for _, mark := range i.Marks {
		if !mark.lapsed(i.Now) {
			n.promiseFrom(mark.Branch, mark.At, "mark "+mark.Name)
		}
	}
	held := n.holds(i)
	n.jobs(i, held)
	for _, folder := range i.Unfinished { // case R06
		if i.Now.Sub(folder.Last) < Grace || len(i.Busy) > 0 {
			for branch := range n.ranges {
				from := min(clusterTime(folder.First), n.end(i.Timeline, branch, i.Now))
				n.keepFrom(branch, back(from, recent), "snapshot in progress "+string(folder.ID))
			}
		}
	}
	return n
}

// window promises the last part of every history that no other one continues. The part is counted from the end of its
// archive: an archiver that stands still does not make the promise shorter. An end in the future counts as now.
func (n *needs) window(i Inventory, policy Policy) {
	parents := map[format.ID]bool{}
	for _, line := range i.Timeline.Lines {
		if line.Fork != nil {
			parents[line.Fork.Parent] = true
		}
	}
	promised := func(branch format.ID) {
		end := n.end(i.Timeline, branch, i.Now)
		n.keepFrom(branch, back(end, recent), "the newest day of the archive")
		if policy.Window > 0 {
			n.keepFrom(branch, back(end, policy.Window), "the promised window")
			for _, part := range n.lineages[branch] {
				n.promiseOn(part.Branch, back(end, policy.Window), "the promised window")
			}
		}
	}
	for _, line := range i.Timeline.Lines {
		if !parents[line.Branch] {
			promised(line.Branch)
		}
	}
	for _, line := range i.Timeline.Lines { // parents of each other, in a repository that somebody made up
		if _, done := n.promise[line.Branch]; !done && policy.Window > 0 {
			promised(line.Branch)
		}
	}
}

// end is the end of the archive of a history, or now.
func (n *needs) end(t catalog.Timeline, branch format.ID, now time.Time) pitr.Timestamp {
	end := clusterTime(now)
	if windows := t.Windows(branch); len(windows) > 0 {
		end = min(end, windows[len(windows)-1].Through)
	}
	return end
}

func clusterTime(t time.Time) pitr.Timestamp {
	return pitr.NewTimestamp(uint32(min(max(0, t.Unix()), 1<<32-1)), 1<<32-1) //nolint:gosec // bounded on both sides
}

// back goes back by a span; the result lies before every entry of its second.
func back(t pitr.Timestamp, span time.Duration) pitr.Timestamp {
	seconds := uint64(span / time.Second) //nolint:gosec // spans are not negative
	if uint64(t.Seconds()) <= seconds {
		return 0
	}
	return pitr.NewTimestamp(t.Seconds()-uint32(seconds), 0) //nolint:gosec // it is smaller than 32 bits
}

// promiseFrom promises everything from a moment of a branch on, also on the histories that continue it.
func (n *needs) promiseFrom(branch format.ID, from pitr.Timestamp, reason string) {
	for other, lineage := range n.lineages {
		if slices.ContainsFunc(lineage, func(part catalog.BranchWindow) bool { return part.Branch == branch }) {
			n.promiseOn(other, from, reason)
			n.keepFrom(other, from.Before(), reason)
		}
	}
}

func (n *needs) promiseOn(branch format.ID, from pitr.Timestamp, reason string) {
	if known, ok := n.promise[branch]; !ok || from < known.from {
		n.promise[branch] = promise{from: from, reason: reason}
	}
}

// keepFrom keeps the archive of a history after a moment.
func (n *needs) keepFrom(branch format.ID, after pitr.Timestamp, reason string) {
	n.keepWindow(branch, pitr.Window{After: after, Through: pitr.MaxTimestamp}, reason)
}

// keepWindow keeps a window of the history that ends with a branch, wherever its parts lie.
func (n *needs) keepWindow(branch format.ID, window pitr.Window, reason string) {
	for _, part := range n.lineages[branch] {
		if own := window.Intersect(part.Window); !own.IsEmpty() {
			n.ranges[part.Branch].add(own, reason)
		}
	}
}

func (n *needs) keepSnapshot(snapshot format.ID, reason string) {
	if snapshot != "" {
		n.snapshots = append(n.snapshots, need{snapshot: snapshot, reason: reason})
	}
}

// holds keeps what holds name, and gives the jobs that somebody holds.
func (n *needs) holds(i Inventory) map[format.ID]bool {
	held := map[format.ID]bool{}
	for _, hold := range i.Holds {
		if hold.lapsed(i.Now) {
			continue
		}
		reason := "hold " + string(hold.ID)
		n.keepSnapshot(hold.Snapshot, reason)
		if hold.Job != "" {
			held[hold.Job] = true
		}
		if hold.Branch == "" {
			continue
		}
		window := pitr.Window{Through: pitr.MaxTimestamp}
		if hold.Window != nil {
			window = *hold.Window
		}
		n.keepWindow(hold.Branch, window, reason)
	}
	return held
}

// jobs keeps what jobs need that may still be resumed or undone, or whose lost set somebody may still put back. // case R07
//
// A job that has a change set and no result may be resumed or undone at any time: it needs its base, and the archive from its
// moment on. One without a change set has written nothing, and is given up after the grace time. One that has ended well may be
// undone for as long as a hold of its evidence stands: that takes the archive from the end of its gap on.
func (n *needs) jobs(i Inventory, held map[format.ID]bool) {
	undone := map[format.ID]bool{}
	for _, job := range i.Jobs {
		if job.Intent != nil && job.Intent.Kind == format.JobUndo && job.Done() {
			undone[job.Intent.Job] = true
		}
	}
	for _, job := range i.Jobs {
		if job.Intent == nil || undone[job.ID] {
			continue
		}
		reason := "job " + string(job.ID)
		// A comparison that was cut off is never gone on with, and has written to no cluster.
		stands := job.Changes != nil && job.Intent.Kind != format.JobCompare
		atWork := job.Result == nil && (stands || i.Now.Sub(job.Last) < Grace)
		canBeUndone := job.Done() && job.Changes != nil && held[job.ID]
		if atWork {
			n.promiseFrom(job.Intent.Branch, job.Intent.To, reason)
		}
		if atWork || canBeUndone {
			n.keepSnapshot(job.Intent.Base, reason)
		}
		if (atWork || canBeUndone) && job.Changes != nil {
			n.keepFrom(job.Intent.Branch, job.Changes.Gap.After, reason)
		}
	}
}

// bases keeps the snapshots from which the promised moments are reached, and the archive that all kept snapshots need.
func (p *planner) bases() {
	whole := map[format.ID]bool{}
	for _, s := range p.Snapshots {
		whole[s.ID] = s.Damage == ""
	}
	for _, line := range p.Timeline.Lines {
		promised, ok := p.needs.promise[line.Branch]
		if !ok {
			continue
		}
		services := p.needs.services[line.Branch]
		good := slices.DeleteFunc(slices.Clone(services), func(s catalog.Service) bool { return !whole[s.Snapshot] })
		for _, candidates := range [][]catalog.Service{good, services} {
			for _, base := range basesOf(candidates, promised.from) {
				p.keep(base.Snapshot, "base of %s", promised.reason)
				p.needs.keepWindow(line.Branch, pitr.Window{After: base.From, Through: base.Last}, "follows snapshot "+string(base.Snapshot))
			}
		}
	}
	for _, line := range p.Timeline.Lines {
		p.chains(line)
	}
}

// chains keeps the archive of every kept snapshot: its own window, and everything behind it where nothing is promised.
func (p *planner) chains(line catalog.Line) {
	first, known := pitr.MaxTimestamp, false
	for _, part := range p.needs.lineages[line.Branch] {
		own := lineOf(p.Timeline, part.Branch)
		for _, point := range own.Snapshots {
			if point.At > part.Through || p.gone(point.Snapshot) || point.Alone {
				continue
			}
			known, first = true, min(first, point.From)
			p.needs.keepWindow(line.Branch, pitr.Window{After: point.From, Through: point.At}, "snapshot "+string(point.Snapshot))
		}
	}
	switch {
	case !p.needs.forever:
	case known:
		p.needs.keepFrom(line.Branch, first, "since the oldest snapshot that stays")
	default:
		p.needs.keepFrom(line.Branch, 0, "no snapshot tells from where on it is needed")
	}
}

// lineOf gives the line of a branch, an empty one where there is none.
func lineOf(t catalog.Timeline, branch format.ID) catalog.Line {
	for _, line := range t.Lines {
		if line.Branch == branch {
			return line
		}
	}
	return catalog.Line{}
}

// basesOf chooses, for each scope and each unbroken stretch that ends at or after a moment, one snapshot from which all of the
// stretch is reached that was reachable from the moment on. // case R08
func basesOf(services []catalog.Service, from pitr.Timestamp) []catalog.Service {
	var bases []catalog.Service
	for _, scope := range scopesOf(services) {
		best := map[pitr.Timestamp]catalog.Service{}
		for _, s := range services {
			if s.Last < from || !s.Scope.ContainsAll(scope) {
				continue
			}
			if chosen, ok := best[s.Last]; !ok || better(s, chosen, from) {
				best[s.Last] = s
			}
		}
		for _, base := range best {
			bases = append(bases, base)
		}
	}
	slices.SortFunc(bases, func(a, b catalog.Service) int { return cmp.Compare(a.Snapshot, b.Snapshot) })
	return slices.CompactFunc(bases, func(a, b catalog.Service) bool { return a.Snapshot == b.Snapshot })
}

// better prefers the newest snapshot that was complete by the moment, or the oldest where none was.
func better(a, b catalog.Service, from pitr.Timestamp) bool {
	if early := a.First <= from; early != (b.First <= from) {
		return early
	} else if !early {
		return cmp.Or(cmp.Compare(a.First, b.First), -cmp.Compare(a.From, b.From), -cmp.Compare(a.Snapshot, b.Snapshot)) < 0
	}
	return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.From, b.From), cmp.Compare(a.Snapshot, b.Snapshot)) > 0
}

func scopesOf(services []catalog.Service) []pitr.Scope {
	var scopes []pitr.Scope
	seen := map[string]bool{}
	for _, s := range services {
		if !seen[s.Scope.String()] {
			seen[s.Scope.String()] = true
			scopes = append(scopes, s.Scope)
		}
	}
	return scopes
}
