package reconcile

import (
	"fmt"
	"slices"
)

// avoidDuplicates gives the drafts that a unique index would refuse a reason to be left out: those that take a value which
// a live document keeps, and those that take one which another draft takes with better right. A draft that the plan
// suggests comes before one that it does not, then the first comes first.
//
// Drafts may free values, by a deletion or a change. That is believed at first; when a draft that frees a value turns out
// to be left out itself, whoever counted on it is, too, and everything is looked at again.
func (p *proposer) avoidDuplicates() error {
	names := make(map[string]int32, len(p.candidates))
	order := make([]int32, 0, len(p.candidates))
	for i := range p.candidates {
		draft, err := p.drafts.At(i)
		if err != nil {
			return err
		}
		names[nameOf(draft.NS, draft.Key)] = int32(i) //nolint:gosec // a change set is bounded
		order = append(order, int32(i))               //nolint:gosec // a change set is bounded
	}
	slices.SortStableFunc(order, func(a, b int32) int { return rank(p.candidates[a]) - rank(p.candidates[b]) })
	for {
		takers := map[uint64]int32{}
		for _, i := range order {
			p.judge(i, names, takers)
		}
		if !p.retract(names) {
			return nil
		}
	}
}

func rank(c candidate) int {
	if c.beaten {
		return 1
	}
	return 0
}

// judge leaves a draft out, or enters it as the taker of its values.
func (p *proposer) judge(i int32, names map[string]int32, takers map[uint64]int32) {
	c := &p.candidates[i]
	if c.reason != "" && !c.outrun() {
		return
	}
	c.reason = ""
	claims := p.takes[c.first:c.end]
	for _, taken := range claims {
		if p.isHeld(taken, i, names) {
			c.reason = fmt.Sprintf("a live record holds its value of the unique index %s", p.indexName(i, taken))
			return
		}
	}
	for _, taken := range claims {
		if other, is := takers[taken.value]; is && other != i {
			c.reason = fmt.Sprintf("%s%s has the same value of the unique index %s", outrunBy, Token(p.plan.Changes, p.candidates[other].n), p.indexName(i, taken))
			return
		}
	}
	for _, taken := range claims {
		takers[taken.value] = i
	}
}

// outrunBy begins the reason of a draft that gives way to another draft, which is looked at anew in each round.
const outrunBy = "another record that is put back, "

func (c *candidate) outrun() bool {
	return len(c.reason) > len(outrunBy) && c.reason[:len(outrunBy)] == outrunBy
}

// isHeld reports whether a live document with another key holds a value and keeps it.
func (p *proposer) isHeld(taken claim, i int32, names map[string]int32) bool {
	return slices.ContainsFunc(p.holders[taken.value], func(name string) bool {
		holder, drafted := names[name]
		return !drafted || holder != i && (p.candidates[holder].reason != "" || !p.frees[claimOf{taken.value, holder}])
	})
}

// retract reports whether a draft that was entered counts on a value which is not freed after all.
func (p *proposer) retract(names map[string]int32) bool {
	again := false
	for i := range p.candidates {
		c := &p.candidates[i]
		for _, taken := range p.takes[c.first:c.end] {
			if c.reason == "" && p.isHeld(taken, int32(i), names) { //nolint:gosec // a change set is bounded
				c.reason = fmt.Sprintf("a live record holds its value of the unique index %s", p.indexName(int32(i), taken)) //nolint:gosec // bounded
				again = true
			}
		}
	}
	return again
}

// indexName names the index of a claim.
func (p *proposer) indexName(i int32, taken claim) string {
	draft, err := p.drafts.At(int(i))
	if err != nil || int(taken.index) >= len(p.prober.indexes[draft.NS]) {
		return "of its collection"
	}
	return p.prober.indexes[draft.NS][taken.index].Name
}
