package diff

import (
	"bytes"
	"slices"

	"pitr"
)

// Pair is a namespace at both moments; nil where it does not exist.
type Pair struct {
	E, T *pitr.Collection
}

// NS gives the name that changes of the pair bear: the one at T, or at E where T does not have the collection.
func (p Pair) NS() pitr.Namespace {
	if p.T != nil {
		return p.T.NS
	}
	return p.E.NS
}

// uuid is that of the live collection, zero when there is none.
func (p Pair) uuid() pitr.UUID {
	if p.E == nil {
		return pitr.UUID{}
	}
	return p.E.UUID
}

// renamed reports whether the pair has two names.
func (p Pair) renamed() bool { return p.E != nil && p.T != nil && p.E.NS != p.T.NS }

// PairCollections matches two catalogs within a scope, in the order of names. Collections of one name are a pair, whatever
// became of their identity; one that was renamed is a pair with itself where neither name is taken on the other side. A
// renamed collection is in scope when one of its names is.
func PairCollections(e, t []pitr.Collection, scope pitr.Scope) []Pair {
	namesE := make(map[pitr.Namespace]bool, len(e))
	namesT := make(map[pitr.Namespace]*pitr.Collection, len(t))
	byUUID := make(map[pitr.UUID]*pitr.Collection, len(t))
	for i := range e {
		namesE[e[i].NS] = true
	}
	for i := range t {
		namesT[t[i].NS] = &t[i]
		if !t[i].UUID.IsZero() {
			byUUID[t[i].UUID] = &t[i]
		}
	}
	var pairs []Pair
	met := make(map[*pitr.Collection]bool, len(t))
	for i := range e {
		partner := namesT[e[i].NS]
		if moved := byUUID[e[i].UUID]; partner == nil && moved != nil && !namesE[moved.NS] && !met[moved] {
			partner = moved
		}
		met[partner] = true
		pairs = append(pairs, Pair{E: &e[i], T: partner})
	}
	for i := range t {
		if !met[&t[i]] {
			pairs = append(pairs, Pair{T: &t[i]})
		}
	}
	pairs = slices.DeleteFunc(pairs, func(p Pair) bool {
		return !scope.Contains(p.NS()) && (!p.renamed() || !scope.Contains(p.E.NS))
	})
	slices.SortFunc(pairs, func(a, b Pair) int { return a.NS().Compare(b.NS()) })
	return pairs
}

// Steps lists the differences of the catalogs, numbered from 1: for each namespace first what became of the collection,
// then options, then indexes in the order of the side that has them. Specs and options are compared byte for byte. For a
// re-created collection the differences in options and indexes follow; those of a created or dropped one are in the
// complete entries that the step carries.
func Steps(pairs []Pair, options Options) []pitr.CatalogStep {
	var steps []pitr.CatalogStep
	for _, pair := range pairs {
		for _, step := range stepsOf(pair, options) {
			step.N = int64(len(steps) + 1)
			step.NS, step.UUID = pair.NS(), pair.uuid()
			step.CollectionE, step.CollectionT = pair.E, pair.T
			steps = append(steps, step)
		}
	}
	return steps
}

func stepsOf(pair Pair, options Options) []pitr.CatalogStep {
	e, t := pair.E, pair.T
	switch {
	case t == nil:
		return []pitr.CatalogStep{{Step: pitr.StepCreated, E: e.Options}}
	case e == nil:
		return []pitr.CatalogStep{{Step: pitr.StepDropped, T: t.Options}}
	}
	var steps []pitr.CatalogStep
	if e.Type != t.Type || (!options.AcrossClusters && e.UUID != t.UUID) {
		steps = append(steps, pitr.CatalogStep{Step: pitr.StepRecreated, E: e.Options, T: t.Options})
	}
	if pair.renamed() {
		steps = append(steps, pitr.CatalogStep{Step: pitr.StepRenamed, E: e.Options, T: t.Options})
	}
	if !bytes.Equal(e.Options, t.Options) {
		steps = append(steps, pitr.CatalogStep{Step: pitr.StepOptions, E: e.Options, T: t.Options})
	}
	return append(steps, indexSteps(e, t)...)
}

// indexSteps compares indexes by name. Their order is that of their making and no difference.
func indexSteps(e, t *pitr.Collection) []pitr.CatalogStep {
	var steps []pitr.CatalogStep
	for _, spec := range t.Indexes {
		live := e.Index(pitr.IndexName(spec))
		switch {
		case live == nil:
			steps = append(steps, pitr.CatalogStep{Step: pitr.StepIndexDropped, T: spec})
		case !bytes.Equal(live, spec):
			steps = append(steps, pitr.CatalogStep{Step: pitr.StepIndexChanged, E: live, T: spec})
		}
	}
	for _, spec := range e.Indexes {
		if t.Index(pitr.IndexName(spec)) == nil {
			steps = append(steps, pitr.CatalogStep{Step: pitr.StepIndexCreated, E: spec})
		}
	}
	return steps
}
