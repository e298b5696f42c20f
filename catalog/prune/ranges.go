package prune

import (
	"cmp"
	"slices"
	"sort"

	"pitr"
)

// ranges are windows of one branch that stay, each with the reason.
type ranges struct {
	all    []reasoned
	inside bool // all is sorted and furthest is made
	// furthest has, for each place in all, the place of the window up to there that reaches furthest.
	furthest []int
}

type reasoned struct {
	pitr.Window
	reason string
}

func (r *ranges) add(window pitr.Window, reason string) {
	r.all = append(r.all, reasoned{Window: window, reason: reason})
	r.inside = false
}

// sorted makes the ranges ready for questions; nil has none.
func (r *ranges) sorted() *ranges {
	if r == nil {
		return &ranges{}
	}
	if r.inside {
		return r
	}
	slices.SortStableFunc(r.all, func(a, b reasoned) int { return cmp.Compare(a.After, b.After) })
	r.furthest = make([]int, len(r.all))
	for i := range r.all {
		r.furthest[i] = i
		if i > 0 && r.all[r.furthest[i-1]].Through >= r.all[i].Through {
			r.furthest[i] = r.furthest[i-1]
		}
	}
	r.inside = true
	return r
}

// meets reports whether a window has something in common with one of the ranges, and why that stays: of those that begin
// before the window ends it is enough to look at the one that reaches furthest.
func (r *ranges) meets(window pitr.Window) (reason string, ok bool) {
	n := sort.Search(len(r.all), func(i int) bool { return r.all[i].After >= window.Through })
	if n == 0 {
		return "", false
	}
	last := r.all[r.furthest[n-1]]
	return last.reason, last.Through > window.After
}
