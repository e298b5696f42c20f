package history

import (
	"bytes"
	"context"
	"iter"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/history/fold"
)

// GapOptions choose what a gap is looked at for. The zero value is everything.
type GapOptions struct {
	Scope  pitr.Scope
	Bursts BurstOptions
}

// Gap is what lies between two moments T and E of a history: what a restore to T takes away. Touched documents are held
// in memory with both their states; those of collections that were dropped in the gap are read when they are asked for.
type Gap struct {
	// Window is (T, E].
	Window pitr.Window
	// Steps are the differences of the catalogs, numbered from 1.
	Steps []pitr.CatalogStep
	// Bursts are the runs of alike entries, numbered from 1.
	Bursts []Burst
	// T and E are the catalogs of the scope at both ends.
	T, E []pitr.Collection
	// Tally tells what the fold met: signs of a missing entry or a wrong base.
	Tally fold.Tally

	catalogs  catalogs
	documents map[pitr.UUID]*notes
	numbers   map[int32]int
	drops     map[pitr.UUID]drop
	// lost shows the collections of T that are gone at E; nil when there is none.
	lost *View
}

// Gap folds what lies between two moments. It reads the entries of the gap twice and those from the base to the gap once,
// and looks up in the base only documents that the gap touches. A document whose first entry in the gap is an insert was
// absent at T. Errors are those of View.
func (h *History) Gap(ctx context.Context, window pitr.Window, o GapOptions) (*Gap, error) {
	if err := h.serves(window.After); err != nil {
		return nil, err
	}
	if err := h.serves(window.Through); err != nil {
		return nil, err
	}
	if window.After > window.Through {
		return nil, pitr.Errorf(pitr.KindInvalid, "", "the moment to go back to comes first", "the gap %s ends before it begins", window)
	}
	noted, f, err := h.beginGap(ctx, window, func() *collector { return newCollector(o.Scope, h.options.MaxBytes, o.Bursts) })
	if err != nil {
		return nil, err
	}
	for _, obstacle := range noted.obstacles {
		return nil, pitr.Errorf(pitr.KindUnsupported, "", "choose a moment behind it, or another scope with --only and --except",
			"the entry at %s on %s cannot be undone: %s", obstacle.At.TS, obstacle.NS, obstacle.What)
	}
	g := &Gap{Window: window, documents: noted.documents, drops: noted.dropped}
	g.Bursts, g.numbers = noted.bursts.finish()
	var t, e []pitr.Collection
	if t, e, err = g.fold(ctx, f); err != nil {
		return nil, err
	}
	g.catalogs = newCatalogs(o.Scope, t, e)
	g.T, g.E = chosenOf(t, o.Scope), chosenOf(e, o.Scope)
	g.Steps = g.catalogs.steps()
	for _, c := range g.catalogs.t {
		if len(notesOf(g.documents, c.UUID).order) > 0 && g.catalogs.chosen(c.NS) {
			if err := h.refuseTrimmed(c); err != nil {
				return nil, err
			}
		}
	}
	for uuid := range g.documents {
		if !g.catalogs.concerns(uuid) {
			delete(g.documents, uuid)
		}
	}
	return g, g.findLost(ctx, h)
}

func chosenOf(list []pitr.Collection, scope pitr.Scope) []pitr.Collection {
	return slices.DeleteFunc(slices.Clone(list), func(c pitr.Collection) bool { return !scope.Contains(c.NS.KnownAs()) })
}

// fold gives each touched document its states at both ends, and lists the catalogs there.
func (g *Gap) fold(ctx context.Context, f *gapFold) (t, e []pitr.Collection, err error) {
	if t, err = f.state.Collections(); err != nil {
		return nil, nil, err
	}
	for uuid, documents := range g.documents {
		for _, each := range documents.order {
			if each.t, _ = f.state.Document(uuid, each.key.Equal()); each.t != nil {
				f.state.Reserve(int64(len(each.t)))
			}
		}
	}
	if err := f.through(ctx, g.Window.Through); err != nil {
		return nil, nil, err
	}
	if e, err = f.state.Collections(); err != nil {
		return nil, nil, err
	}
	for uuid, documents := range g.documents {
		for _, each := range documents.order {
			if each.e, _ = f.state.Document(uuid, each.key.Equal()); each.t != nil && bytes.Equal(each.t, each.e) {
				each.e = each.t
			}
		}
	}
	g.Tally = f.state.Tally()
	return t, e, nil
}

// findLost opens a view of the collections of T that are gone at E: the gap took every document of theirs.
func (g *Gap) findLost(ctx context.Context, h *History) error {
	var names []string
	for uuid, t := range g.catalogs.t {
		if _, stays := g.catalogs.e[uuid]; !stays && g.catalogs.chosen(t.NS) {
			names = append(names, t.NS.KnownAs().String())
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	var err error
	g.lost, err = h.View(ctx, g.Window.After, pitr.Scope{Only: slices.Compact(names)})
	return err
}

// Changes yields every touched document with its states at both ends, and its class: namespace by namespace, in each first
// those of a dropped collection as its view gives them, then the others by key. The namespace is that at T, or at E where
// T does not have the collection. Where a collection of T has another name at E and a new one has taken its old name, both
// are told under that name, with their own UUIDs. N goes on from the steps. A change is good until the next is asked for.
func (g *Gap) Changes(ctx context.Context) iter.Seq2[pitr.Change, error] {
	return func(yield func(pitr.Change, error) bool) {
		n := int64(len(g.Steps))
		number := func(change pitr.Change, err error) bool {
			n++
			change.N = n
			return yield(change, err)
		}
		for _, each := range g.lives() {
			if !g.changesOf(ctx, each, number) {
				return
			}
		}
	}
}

// life is what a namespace is about in a gap: a collection of T, one of E, or one that took the other's place.
type life struct {
	ns    pitr.Namespace
	t, e  *pitr.Collection
	rules []Expiry
}

// lives lists the collections with touched documents in the order of their names.
func (g *Gap) lives() []life {
	var list []life
	for uuid, t := range g.catalogs.t {
		if !g.catalogs.chosen(t.NS) {
			continue
		}
		each := life{ns: t.NS, t: &t, rules: Expiries(t)}
		if e, stays := g.catalogs.e[uuid]; stays {
			each.e = &e
		} else if e, recreated := g.catalogs.successor(t); recreated {
			each.e = &e
		}
		list = append(list, each)
	}
	for uuid, e := range g.catalogs.e {
		if _, older := g.catalogs.t[uuid]; older || !g.catalogs.chosen(e.NS) {
			continue
		}
		isSuccessor := slices.ContainsFunc(list, func(each life) bool { return each.e != nil && each.e.UUID == uuid })
		if !isSuccessor {
			list = append(list, life{ns: e.NS, e: &e})
		}
	}
	slices.SortFunc(list, func(a, b life) int { return a.ns.Compare(b.ns) })
	return list
}

// isLost reports whether the collection of T is gone at E.
func (l life) isLost() bool { return l.t != nil && (l.e == nil || l.e.UUID != l.t.UUID) }

// changesOf yields the changes of one collection; false when no more is wanted.
func (g *Gap) changesOf(ctx context.Context, l life, yield func(pitr.Change, error) bool) bool {
	change := pitr.Change{NS: l.ns}
	var documents map[string]*touched
	if l.e != nil {
		change.UUID = l.e.UUID
		documents = notesOf(g.documents, l.e.UUID).byKey
	}
	if l.isLost() {
		done := map[string]bool{}
		if !g.lostDocuments(ctx, l, change, done, yield) {
			return false
		}
		documents = successors(notesOf(g.documents, l.t.UUID).byKey, documents, done)
	}
	for _, key := range sortedKeys(documents) {
		if !yield(g.change(change, l.rules, documents[key]), nil) {
			return false
		}
	}
	return true
}

// successors joins what was touched in a dropped collection without being there at T with what was touched in the one that
// took its place, less what is done.
func successors(before, after map[string]*touched, done map[string]bool) map[string]*touched {
	joined := map[string]*touched{}
	for key, each := range after {
		if !done[key] {
			fresh := *each
			fresh.t = nil
			joined[key] = &fresh
		}
	}
	for key, each := range before {
		if each.t != nil || done[key] {
			continue
		}
		if later := joined[key]; later != nil {
			later.join(each)
		} else {
			gone := *each
			gone.e = nil
			joined[key] = &gone
		}
	}
	return joined
}

// lostDocuments yields the documents of a collection that is gone at E, each joined with what bears its key in the
// collection that took its place.
func (g *Gap) lostDocuments(ctx context.Context, l life, change pitr.Change, done map[string]bool, yield func(pitr.Change, error) bool) bool {
	end := g.drops[l.t.UUID]
	before := notesOf(g.documents, l.t.UUID).byKey
	var after map[string]*touched
	if l.e != nil {
		after = notesOf(g.documents, l.e.UUID).byKey
	}
	for document, err := range g.lost.Documents(ctx, *l.t) {
		if err != nil {
			return yield(pitr.Change{}, err)
		}
		key, err := pitr.KeyOf(document)
		if err != nil {
			return yield(pitr.Change{}, pitr.Corruptf("", "a document of %s: %w", l.ns, err))
		}
		// The drop is what touched a document that nothing else did.
		each := touched{key: key, first: end.at, last: end.at, ops: 1, t: document}
		if earlier := before[key.Equal()]; earlier != nil {
			each.join(earlier)
		}
		if later := after[key.Equal()]; later != nil {
			each.join(later)
			each.e = later.e
			done[key.Equal()] = true
		}
		if !yield(g.change(change, l.rules, &each), nil) {
			return false
		}
	}
	return true
}

// change makes the change of one document.
func (g *Gap) change(change pitr.Change, rules []Expiry, each *touched) pitr.Change {
	change.Key, change.E, change.T = each.key, each.e, each.t
	change.First, change.Last, change.Ops = each.first, each.last, each.ops
	change.Class = classify(rules, each.e, each.t, g.Window.Through)
	change.Bursts = nil
	for _, number := range each.bursts {
		if n := g.numbers[number]; n > 0 && !slices.Contains(change.Bursts, n) {
			change.Bursts = append(change.Bursts, n)
		}
	}
	slices.Sort(change.Bursts)
	return change
}

// classify gives the class of a change. A document of T that a rule of T makes due by E is expired: a view at T contains
// it, a write leaves it out. One that is there at E unchanged needs no write, whatever its date says.
func classify(rules []Expiry, e, t bson.Raw, through pitr.Timestamp) pitr.Class {
	class := pitr.Classify(e, t)
	if (class == pitr.ClassChanged || class == pitr.ClassDeleted) && len(rules) > 0 && Due(rules, t, through.Time()) {
		return pitr.ClassExpired
	}
	return class
}
