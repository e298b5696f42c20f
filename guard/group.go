package guard

import (
	"bytes"
	"cmp"
	"fmt"
	"hash/maphash"
	"math"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// sortedChanges is a task's documents by what has to be done with them.
type sortedChanges struct {
	sizes []int32
	// places find the changes by their keys, hashed with the seed.
	seed    maphash.Seed
	places  []place
	deletes []Ref
	writes  []Ref
	// groups are sets of documents that share a transaction.
	groups [][]Ref
}

// claim is one value of a unique index that a document frees (has at E) or takes (has at T). Values are hashed: two
// different ones that look the same only make a group larger.
type claim struct {
	value  uint64
	change int32
	takes  bool
}

// pending is a document whose values of unique indexes change.
type pending struct {
	change     int32
	hasE, hasT bool
	// alone is how it is written when no other document is tied to it.
	alone Mode
}

// sortChanges reads every change once and decides how it is written.
func sortChanges(task Task, catalog catalogPlan) (sortedChanges, error) {
	if count := task.Changes.Len(); count > math.MaxInt32 {
		return sortedChanges{}, pitr.Errorf(pitr.KindLimit, "plan the writes",
			"restrict the restore with --only, or use `pitr restore --into`", "%d changes are more than one job can order", count)
	}
	for {
		pass := sortPass{catalog: catalog}
		pass.seed = maphash.MakeSeed()
		again, err := pass.read(task.Changes)
		if err != nil {
			return sortedChanges{}, err
		}
		if !again { // else an index turned out to be opaque, which each index does at most once
			return pass.sortedChanges, pass.group(task)
		}
	}
}

// sortPass is one reading of all changes.
type sortPass struct {
	sortedChanges
	catalog catalogPlan
	trading []pending
	claims  []claim
}

// read sorts every change. It reports whether it has to be done again, because an index was declared opaque.
func (s *sortPass) read(changes Changes) (again bool, err error) {
	s.sizes = make([]int32, changes.Len())
	s.places = make([]place, changes.Len())
	for i := range changes.Len() {
		change, err := changes.At(i)
		if err != nil {
			return false, fmt.Errorf("read change %d: %w", i, err)
		}
		valid, err := s.sort(int32(i), change) //nolint:gosec // bounded by sortChanges
		if err != nil || !valid {
			return !valid, err
		}
	}
	return false, nil
}

// sort decides about one change. It is not valid when an index was declared opaque on the way.
func (s *sortPass) sort(i int32, change pitr.Change) (valid bool, err error) {
	e, t := change.E, change.Target()
	s.places[i] = place{placeOf(s.seed, change.NS, change.Key), i}
	s.sizes[i] = int32(min(len(e)+len(t), math.MaxInt32)) //nolint:gosec // capped
	if e == nil && t == nil {
		return true, nil
	}
	collection, known := s.catalog.collections[change.NS]
	if !known {
		return true, pitr.Errorf(pitr.KindUnexpected, "plan the writes", "report this defect",
			"%s has a change, but is in neither catalog", change.NS)
	}
	member := pending{change: i, hasE: e != nil, hasT: t != nil}
	switch {
	case collection.replaced:
		s.splitUp(member)
		return true, writable(change, t)
	case bytes.Equal(e, t):
		return true, nil
	case !sameID(e, t):
		member.alone = ModeReinsert
	}
	if err := writable(change, t); err != nil {
		return true, err
	}
	if !collection.moves(e, t) {
		s.placeAlone(member)
		return true, nil
	}
	s.trading = append(s.trading, member)
	s.claims, valid = collection.appendClaims(s.claims, s.seed, i, change)
	return valid, nil
}

// writable refuses the documents that a server would not store as they are.
func writable(change pitr.Change, document bson.Raw) error {
	if document != nil {
		if _, err := document.Elements(); err != nil {
			return pitr.Corruptf("plan the writes", "the document %s of %s at T: %w", change.Key, change.NS, err)
		}
	}
	what := Unwritable(document)
	if what == "" {
		return nil
	}
	return pitr.Errorf(pitr.KindUnsupported, "plan the writes", "leave the namespace out with --except, or use `pitr restore --into`",
		"a server would not store the document %s of %s as it was: %s", change.Key, change.NS, what)
}

// Unwritable says why a server would not store a document as it is, empty when it would: it fills in empty timestamps on
// the first level, and moves _id to the front.
func Unwritable(document bson.Raw) string {
	elements, _ := document.Elements() // what cannot be taken apart is refused by whoever reads it
	what := ""
	for i, element := range elements {
		seconds, ordinal, isTimestamp := element.Value().TimestampOK()
		switch {
		case i == 0 && element.Key() != "_id":
			what = "_id is not its first field"
		case isTimestamp && seconds == 0 && ordinal == 0 && element.Key() != "_id":
			what = fmt.Sprintf("the field %q is an empty timestamp", element.Key())
		}
	}
	return what
}

// sameID tells whether a replacement can keep the _id as it is stored; an absent side has none to keep.
func sameID(e, t bson.Raw) bool {
	if e == nil || t == nil {
		return true
	}
	a, b := e.Lookup("_id"), t.Lookup("_id")
	return a.Type == b.Type && bytes.Equal(a.Value, b.Value)
}

// splitUp deletes in one phase and inserts in a later one.
func (s *sortedChanges) splitUp(member pending) {
	if member.hasE {
		s.deletes = append(s.deletes, Ref{Change: member.change, Mode: ModeClear})
	}
	if member.hasT {
		s.writes = append(s.writes, Ref{Change: member.change, Mode: ModeFill})
	}
}

// group joins documents of which one takes a value that another one frees, and places the groups.
func (s *sortPass) group(task Task) error {
	sets, claims := newSets(s.trading), s.claims
	slices.SortFunc(claims, func(a, b claim) int {
		return cmp.Or(cmp.Compare(a.value, b.value), cmp.Compare(a.change, b.change))
	})
	for start, end := 0, 0; start < len(claims); start = end {
		frees, takes := false, false
		for end = start; end < len(claims) && claims[end].value == claims[start].value; end++ {
			frees, takes = frees || !claims[end].takes, takes || claims[end].takes
		}
		for i := start + 1; frees && takes && i < end; i++ {
			sets.join(claims[start].change, claims[i].change)
		}
	}
	for _, members := range sets.members() {
		if err := s.place(members, task); err != nil {
			return err
		}
	}
	return nil
}

// placeAlone places a document that no other one is tied to.
func (s *sortedChanges) placeAlone(member pending) {
	if member.hasT {
		s.writes = append(s.writes, Ref{Change: member.change, Mode: member.alone})
		return
	}
	s.deletes = append(s.deletes, Ref{Change: member.change, Mode: ModeClear})
}

// place decides about one set of documents that are tied together.
func (s *sortedChanges) place(members []pending, task Task) error {
	limits := task.Limits.orDefault()
	if len(members) == 1 {
		s.placeAlone(members[0])
		return nil
	}
	size := 0
	for _, member := range members {
		size += int(s.sizes[member.change])
	}
	if len(members) <= limits.Writes && size <= limits.Bytes {
		group := make([]Ref, len(members))
		for i, member := range members {
			group[i] = Ref{Change: member.change, Mode: ModeReinsert}
		}
		s.groups = append(s.groups, group)
		return nil
	}
	if !task.Blocked {
		return pitr.Refusef("plan the writes",
			"let the restore user block writes (role restore, server 6.0 or later, authentication), or use `pitr restore --into`",
			"%d documents (%d bytes) trade values of a unique index among each other, too many for one transaction while others can write",
			len(members), size)
	}
	for _, member := range members {
		s.splitUp(member)
	}
	return nil
}

// sets is a union-find over the positions of a list.
type sets struct {
	list   []pending
	place  map[int32]int32
	parent []int32
}

func newSets(list []pending) *sets {
	s := &sets{list: list, place: make(map[int32]int32, len(list)), parent: make([]int32, len(list))}
	for i, member := range list {
		s.place[member.change] = int32(i) //nolint:gosec // no more than changes, which are bounded
		s.parent[i] = int32(i)            //nolint:gosec // no more than changes, which are bounded
	}
	return s
}

func (s *sets) find(i int32) int32 {
	for s.parent[i] != i {
		s.parent[i] = s.parent[s.parent[i]]
		i = s.parent[i]
	}
	return i
}

// join puts two changes into one set; the earlier one leads, so that the order of the result is that of the list.
func (s *sets) join(a, b int32) {
	x, y := s.find(s.place[a]), s.find(s.place[b])
	s.parent[max(x, y)] = min(x, y)
}

// members gives the sets in the order of their first members.
func (s *sets) members() [][]pending {
	at := make(map[int32]int, len(s.list))
	var all [][]pending
	for i := range s.list {
		root := s.find(int32(i)) //nolint:gosec // no more than changes, which are bounded
		place, seen := at[root]
		if !seen {
			place = len(all)
			at[root] = place
			all = append(all, nil)
		}
		all[place] = append(all[place], s.list[i])
	}
	return all
}
