package history

import (
	"bytes"
	"cmp"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/history/fold"
)

// catalogs are the catalogs at both ends of a gap.
type catalogs struct {
	scope pitr.Scope
	t, e  map[pitr.UUID]pitr.Collection
	// tNames and eNames find collections and views by name.
	tNames, eNames map[pitr.Namespace]pitr.Collection
}

func newCatalogs(scope pitr.Scope, t, e []pitr.Collection) catalogs {
	c := catalogs{scope: scope, t: map[pitr.UUID]pitr.Collection{}, e: map[pitr.UUID]pitr.Collection{},
		tNames: map[pitr.Namespace]pitr.Collection{}, eNames: map[pitr.Namespace]pitr.Collection{}}
	index := func(list []pitr.Collection, byUUID map[pitr.UUID]pitr.Collection, byName map[pitr.Namespace]pitr.Collection) {
		for _, each := range list {
			byName[each.NS] = each
			if !each.UUID.IsZero() {
				byUUID[each.UUID] = each
			}
		}
	}
	index(t, c.t, c.tNames)
	index(e, c.e, c.eNames)
	return c
}

func (c catalogs) chosen(ns pitr.Namespace) bool { return c.scope.Contains(ns.KnownAs()) }

// concerns reports whether documents of a collection belong to the gap's scope: by its name at T, or at E where T does not
// have it.
func (c catalogs) concerns(uuid pitr.UUID) bool {
	if at, ok := c.t[uuid]; ok {
		return c.chosen(at.NS)
	}
	at, ok := c.e[uuid]
	return ok && c.chosen(at.NS)
}

// successor gives the collection that was made in the gap under the name that a dropped one of T had.
func (c catalogs) successor(dropped pitr.Collection) (pitr.Collection, bool) {
	other, ok := c.eNames[dropped.NS]
	if !ok || other.UUID.IsZero() {
		return pitr.Collection{}, false
	}
	_, older := c.t[other.UUID]
	return other, !older
}

// steps lists what is different between the catalogs, ordered by namespace: first what concerns collections as such, then
// options, then indexes.
func (c catalogs) steps() []pitr.CatalogStep {
	var steps []pitr.CatalogStep
	for uuid, t := range c.t {
		e, stays := c.e[uuid]
		switch {
		case stays && (c.chosen(t.NS) || c.chosen(e.NS)):
			steps = append(steps, c.changed(t, e)...)
		case !stays && c.chosen(t.NS):
			steps = append(steps, c.dropped(t))
		}
	}
	for uuid, e := range c.e {
		if _, older := c.t[uuid]; older || !c.chosen(e.NS) {
			continue
		}
		if t, taken := c.tNames[e.NS]; taken && !t.UUID.IsZero() {
			if _, stays := c.e[t.UUID]; !stays {
				continue // told as re-created
			}
		}
		steps = append(steps, pitr.CatalogStep{Step: pitr.StepCreated, NS: e.NS, UUID: uuid, E: e.Options, CollectionE: &e})
	}
	steps = append(steps, c.views()...)
	slices.SortStableFunc(steps, func(a, b pitr.CatalogStep) int {
		return cmp.Or(a.NS.Compare(b.NS), cmp.Compare(stepRank[a.Step], stepRank[b.Step]),
			cmp.Compare(stepName(a), stepName(b)))
	})
	for i := range steps {
		steps[i].N = int64(i + 1)
	}
	return steps
}

var stepRank = map[pitr.Step]int{pitr.StepDropped: 0, pitr.StepRecreated: 1, pitr.StepCreated: 2, pitr.StepRenamed: 3, pitr.StepOptions: 4,
	pitr.StepIndexDropped: 5, pitr.StepIndexChanged: 6, pitr.StepIndexCreated: 7}

// stepName orders steps on indexes.
func stepName(s pitr.CatalogStep) string { return pitr.IndexName(s.T) + "\x00" + pitr.IndexName(s.E) }

func (c catalogs) dropped(t pitr.Collection) pitr.CatalogStep {
	step := pitr.CatalogStep{Step: pitr.StepDropped, NS: t.NS, T: t.Options, CollectionT: &t}
	if e, recreated := c.successor(t); recreated {
		step.Step, step.UUID, step.E, step.CollectionE = pitr.StepRecreated, e.UUID, e.Options, &e
	}
	return step
}

// changed compares one collection that is there at both ends.
func (c catalogs) changed(t, e pitr.Collection) []pitr.CatalogStep {
	var steps []pitr.CatalogStep
	tell := func(step pitr.Step, was, is bson.Raw) {
		steps = append(steps, pitr.CatalogStep{Step: step, NS: t.NS, UUID: e.UUID, T: was, E: is, CollectionT: &t, CollectionE: &e})
	}
	if t.NS != e.NS {
		tell(pitr.StepRenamed, t.Options, e.Options)
	}
	if !c.chosen(t.NS) {
		return steps // only its name is in the way
	}
	if !bytes.Equal(t.Options, e.Options) {
		tell(pitr.StepOptions, t.Options, e.Options)
	}
	for _, was := range t.Indexes {
		is := e.Index(pitr.IndexName(was))
		switch {
		case is == nil:
			tell(pitr.StepIndexDropped, was, nil)
		case !fold.SameIndex(was, is):
			tell(pitr.StepIndexChanged, was, is)
		}
	}
	for _, is := range e.Indexes {
		if t.Index(pitr.IndexName(is)) == nil {
			tell(pitr.StepIndexCreated, nil, is)
		}
	}
	return steps
}

// views compares the views, which have no identity but their name.
func (c catalogs) views() []pitr.CatalogStep {
	var steps []pitr.CatalogStep
	for ns, t := range c.tNames {
		e, stays := c.eNames[ns]
		if !t.UUID.IsZero() || !c.chosen(ns) {
			continue
		}
		switch {
		case !stays || !e.UUID.IsZero():
			steps = append(steps, pitr.CatalogStep{Step: pitr.StepDropped, NS: ns, T: t.Options, CollectionT: &t})
		case !bytes.Equal(t.Options, e.Options):
			steps = append(steps, pitr.CatalogStep{Step: pitr.StepOptions, NS: ns, T: t.Options, E: e.Options, CollectionT: &t, CollectionE: &e})
		}
	}
	for ns, e := range c.eNames {
		t, older := c.tNames[ns]
		if e.UUID.IsZero() && c.chosen(ns) && (!older || !t.UUID.IsZero()) {
			steps = append(steps, pitr.CatalogStep{Step: pitr.StepCreated, NS: ns, E: e.Options, CollectionE: &e})
		}
	}
	return steps
}
