package reconcile

import (
	"cmp"
	"math"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// group gathers the records that share a value of a unique index with each other or with something live, and says which
// of them should stay.
func (p *planner) group() error {
	slices.SortFunc(p.claims, func(a, b claim) int {
		return cmp.Or(cmp.Compare(a.value, b.value), cmp.Compare(a.record, b.record))
	})
	var runs [][]claim
	for start, end := 0, 0; start < len(p.claims); start = end {
		for end = start; end < len(p.claims) && p.claims[end].value == p.claims[start].value; end++ {
		}
		if end-start > 1 || p.plan.facts[p.claims[start].record].live && len(p.holders[p.claims[start].value]) > 0 {
			runs = append(runs, p.claims[start:end])
		}
	}
	// Groups are numbered in the order of the change set, whatever the hashes are.
	slices.SortStableFunc(runs, func(a, b []claim) int {
		return cmp.Or(cmp.Compare(a[0].record, b[0].record), cmp.Compare(a[0].index, b[0].index))
	})
	for _, run := range runs {
		if err := p.addGroup(run); err != nil {
			return err
		}
	}
	return nil
}

// member is a record of a group with what speaks for it.
type member struct {
	record int32
	change pitr.Change
	own    bool
}

func (p *planner) addGroup(run []claim) error {
	var members []member
	live := p.holders[run[0].value]
	for _, each := range run {
		change, _, err := p.plan.records.At(int(each.record))
		if err != nil {
			return err
		}
		holds := slices.ContainsFunc(live, func(key pitr.Key) bool { return key.Equal() == change.Key.Equal() })
		members = append(members, member{record: each.record, change: change, own: holds})
	}
	if len(members) == 1 && (len(live) == 0 || members[0].own && len(live) == 1) {
		return nil // the only one that holds the value is the record itself
	}
	ns := members[0].change.NS
	index := p.plan.prober.indexes[ns][run[0].index]
	g := Group{Number: len(p.plan.Groups) + 1, NS: ns, Index: index.Name, Live: live}
	value, err := indexQuestion{prober: p.plan.prober, ns: ns, index: index, number: run[0].index}.values(members[0].change.E)
	if err != nil {
		return err
	}
	g.Value, g.Fields = shown(value[run[0].value])
	for _, m := range members {
		g.Records = append(g.Records, Token(p.plan.Changes, m.change.N))
		if f := &p.plan.facts[m.record]; f.group == 0 {
			f.group = int32(min(g.Number, math.MaxInt32)) //nolint:gosec // bounded here
		}
	}
	p.choose(&g, members)
	p.plan.Groups = append(p.plan.Groups, g)
	return nil
}

// choose says which record of a group should stay. What is live stays: nothing is overwritten or taken away to make room.
func (p *planner) choose(g *Group, members []member) {
	if len(g.Live) > 0 {
		g.SurvivorLive, g.Reason = true, "a live record holds the value, and what is live stays"
		return
	}
	best, reason := members[0], ""
	for _, other := range members[1:] {
		order, why := p.plan.facts[other.record].standing()-p.plan.facts[best.record].standing(), "it can be put back, the others of the group cannot, or need not"
		if order == 0 {
			order, why = compareMembers(other.change, best.change)
		}
		if order > 0 {
			best = other
		}
		if reason == "" || order > 0 {
			reason = why
		}
	}
	g.Survivor, g.Reason = Token(p.plan.Changes, best.change.N), reason
	for _, m := range members {
		if m.record != best.record {
			p.plan.facts[m.record].beaten = true
		}
	}
}

// standing is higher for a record that can be put back as it is.
func (f fact) standing() int {
	if f.state == StateLost && !f.due && !f.noPlace {
		return 1
	}
	return 0
}

// compareMembers says which of two records there is more reason to keep: the one that was in use last, then the one that was
// used more, then the one that says more, then the first.
func compareMembers(a, b pitr.Change) (order int, reason string) {
	if order := cmp.Compare(a.Last.TS, b.Last.TS); order != 0 {
		at := max(a.Last.TS, b.Last.TS)
		return order, "it was written to last, at " + time.Unix(int64(at.Seconds()), 0).UTC().Format("2006-01-02 15:04:05 UTC")
	}
	if order := cmp.Compare(a.Ops, b.Ops); order != 0 {
		return order, "it was written to most often"
	}
	if order := cmp.Compare(fieldsIn(a.E), fieldsIn(b.E)); order != 0 {
		return order, "it has the most fields"
	}
	return cmp.Compare(b.N, a.N), "it is the first of records that nothing else tells apart"
}

func fieldsIn(document bson.Raw) int {
	elements, err := document.Elements()
	if err != nil {
		return 0
	}
	return len(elements)
}

// shown gives a value of an index in Extended JSON, and the names of its fields.
func shown(value bson.Raw) (text string, fields []string) {
	elements, err := value.Elements()
	if err != nil {
		return "{}", nil
	}
	for _, element := range elements {
		fields = append(fields, element.Key())
	}
	return value.String(), fields
}
