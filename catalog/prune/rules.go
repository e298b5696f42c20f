package prune

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"pitr"
	"pitr/format"
)

// applyRules keeps what the policy's rules choose, and the newest good snapshots whatever it says.
//
// Rules are applied to each scope for itself, over all good snapshots that hold at least as much: a snapshot of everything
// can stand in for one of a part, never the other way round.
func (p *planner) applyRules() {
	if !p.policy.Keep {
		for _, s := range p.Snapshots {
			p.keep(s.ID, "no rule says that snapshots go")
		}
		return
	}
	good := p.good()
	for _, class := range classes(good) {
		var equals []Snapshot
		for _, s := range good {
			if s.Scope.ContainsAll(class.scope) && (class.alone || s.Exact != format.ExactNo) {
				equals = append(equals, s)
			}
		}
		p.rank(equals, class, func(s Snapshot) time.Time { return s.Since })
		if p.Copied { // then the store's times are those of the copying, and both clocks have a say
			p.rank(equals, class, func(s Snapshot) time.Time { return s.Created })
		}
	}
}

// class is what snapshots have in common that can stand in for each other.
type class struct {
	scope pitr.Scope
	// alone are snapshots that no oplog follows.
	alone bool
}

func (c class) has(s Snapshot) bool {
	return s.Scope.String() == c.scope.String() && c.alone == (s.Exact == format.ExactNo)
}

func classes(snapshots []Snapshot) []class {
	var all []class
	for _, s := range snapshots {
		if !slices.ContainsFunc(all, func(c class) bool { return c.has(s) }) {
			all = append(all, class{scope: s.Scope, alone: s.Exact == format.ExactNo})
		}
	}
	return all
}

// good gives the snapshots that are whole and reach a moment: the only ones that count. // case R05
func (p *planner) good() []Snapshot {
	serving := map[format.ID]bool{}
	for _, line := range p.Timeline.Lines {
		for _, service := range p.needs.services[line.Branch] {
			serving[service.Snapshot] = true
		}
	}
	var good []Snapshot
	for _, s := range p.Snapshots {
		if s.Damage == "" && (serving[s.ID] || s.Exact == format.ExactNo) {
			good = append(good, s)
		}
		if s.Damage == "" && !serving[s.ID] && s.Exact != format.ExactNo {
			p.keep(s.ID, "the archive around it has a hole, it does not count")
		}
	}
	return good
}

// rank applies the rules to snapshots by a time of theirs, and keeps those of the class.
func (p *planner) rank(snapshots []Snapshot, class class, at func(Snapshot) time.Time) {
	newest := slices.Clone(snapshots)
	slices.SortFunc(newest, func(a, b Snapshot) int {
		return -cmp.Or(at(a).Compare(at(b)), cmp.Compare(a.ID, b.ID))
	})
	keep := func(s Snapshot, reason string) {
		if class.has(s) {
			p.keep(s.ID, "%s", reason)
		}
	}
	for i, s := range newest {
		if i < max(p.policy.Minimum, LeastRedundancy) {
			keep(s, "minimum redundancy")
		}
		if p.policy.Within > 0 && p.Now.Sub(at(s)) < p.policy.Within {
			keep(s, "within "+Span(p.policy.Within))
		}
	}
	for _, each := range rules {
		n, previous := *each.of(&p.policy), ""
		for i, s := range newest {
			if n == 0 {
				break
			}
			bucket := fmt.Sprint(i)
			if each.bucket != nil {
				bucket = each.bucket(at(s).UTC())
			}
			if bucket != previous {
				keep(s, each.name)
				previous = bucket
				n--
			}
		}
	}
}
