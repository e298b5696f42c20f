package guard

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// catalogPlan is what has to be done to the catalog at E so that it becomes the one at T, by phase.
type catalogPlan struct {
	clearWay, replace, finish []pitr.CatalogWrite
	// collections holds every namespace that can have documents on either side.
	collections map[pitr.Namespace]*collectionPlan
}

// collectionPlan is what the documents of one namespace have to know.
type collectionPlan struct {
	// replaced says that the live collection is dropped and made anew, so that every document is inserted.
	replaced bool
	// unique are the indexes that the server enforces while documents are written.
	unique []uniqueIndex
}

// moves reports whether the document's place in a unique index may differ between both sides.
func (c *collectionPlan) moves(e, t bson.Raw) bool {
	return slices.ContainsFunc(c.unique, func(index uniqueIndex) bool { return !index.sameFields(e, t) })
}

// appendClaims adds the values of unique indexes that a document frees and takes.
func (c *collectionPlan) appendClaims(claims []claim, seed maphash.Seed, i int32, change pitr.Change) ([]claim, bool) {
	for n := range c.unique {
		for _, side := range []struct {
			document bson.Raw
			takes    bool
		}{{change.E, false}, {change.Target(), true}} {
			if side.document == nil {
				continue
			}
			values, ok := c.unique[n].values(seed, side.document)
			if !ok {
				return claims, false
			}
			for _, value := range values {
				claims = append(claims, claim{value: value, change: i, takes: side.takes})
			}
		}
	}
	return claims, true
}

// catalogPlanner compares two catalogs.
type catalogPlanner struct {
	catalogPlan
	indexDrops, uniqueDrops, renames, drops, creates, inPlace []pitr.CatalogWrite
	indexes, expiring, options, views, emptied                []pitr.CatalogWrite
	numbered                                                  int
}

// planCatalog lists the catalog writes from one catalog to the other. An index whose spec is the same is never dropped.
func planCatalog(e, t []pitr.Collection) (catalogPlan, error) {
	p := &catalogPlanner{catalogPlan: catalogPlan{collections: map[pitr.Namespace]*collectionPlan{}}}
	pairs := pair(e, t)
	for _, both := range pairs {
		if err := p.add(both); err != nil {
			return catalogPlan{}, err
		}
	}
	// Names first: every later step uses those of T, also in a job that is resumed.
	p.clearWay = slices.Concat(p.drops, p.renames, p.uniqueDrops, p.indexDrops, p.inPlace, p.creates)
	// Indexes that expire documents come last of all, when everything else of the collection is as it was.
	p.finish = slices.Concat(p.indexes, p.options, p.emptied, p.views, p.expiring)
	return p.catalogPlan, nil
}

// sides is one namespace at both moments; nil where it does not exist.
type sides struct {
	e, t *pitr.Collection
}

// pair matches the collections of two catalogs by name, and by identity where a collection was renamed and both names
// are free on the other side; a tangle of names is compared by name alone.
func pair(e, t []pitr.Collection) []sides {
	byName := map[pitr.Namespace]*pitr.Collection{}
	byUUID := map[pitr.UUID]*pitr.Collection{}
	atT := map[pitr.Namespace]bool{}
	for i := range e {
		byName[e[i].NS] = &e[i]
		byUUID[e[i].UUID] = &e[i]
	}
	for i := range t {
		atT[t[i].NS] = true
	}
	var pairs []sides
	paired := map[pitr.Namespace]bool{}
	for i := range t {
		both := sides{e: byName[t[i].NS], t: &t[i]}
		if renamed := byUUID[t[i].UUID]; both.e == nil && renamed != nil && !t[i].UUID.IsZero() && !atT[renamed.NS] {
			both.e = renamed
		}
		if both.e != nil {
			paired[both.e.NS] = true
		}
		pairs = append(pairs, both)
	}
	for i := range e {
		if !paired[e[i].NS] {
			pairs = append(pairs, sides{e: &e[i]})
		}
	}
	slices.SortFunc(pairs, func(a, b sides) int { return a.name().Compare(b.name()) })
	return pairs
}

// name is the one that the namespace shall have.
func (s sides) name() pitr.Namespace {
	if s.t != nil {
		return s.t.NS
	}
	return s.e.NS
}

func (p *catalogPlanner) add(both sides) error {
	e, t := both.e, both.t
	plan := &collectionPlan{}
	p.collections[both.name()] = plan
	switch {
	case t == nil && e.Type == pitr.TypeView:
		p.drops = append(p.drops, pitr.DropCollection{NS: e.NS})
	case t == nil:
		p.emptied = append(p.emptied, pitr.DropCollection{NS: e.NS, UUID: e.UUID})
	case e == nil:
		p.create(t)
	case e.Type == pitr.TypeView && t.Type == pitr.TypeView:
		if !sameOptions(e.Options, t.Options) {
			p.views = append(p.views, pitr.ModifyCollection{NS: t.NS, Changes: modifications(e.Options, t.Options)})
		}
	case e.Type == pitr.TypeView:
		p.drops = append(p.drops, pitr.DropCollection{NS: e.NS})
		p.create(t)
	case t.Type == pitr.TypeView || !canBecome(e.Options, t.Options):
		if e.UUID == t.UUID {
			return pitr.Errorf(pitr.KindUnsupported, "plan the catalog steps", "use `pitr restore --into` for this collection",
				"%s has options that cannot be changed back in place", t.NS)
		}
		plan.replaced = true
		p.replace = append(p.replace, pitr.DropCollection{NS: e.NS, UUID: e.UUID})
		p.create(t)
	default:
		p.modify(plan, e, t)
	}
	return nil
}

// create makes a collection or view that is not there, its indexes after its documents.
func (p *catalogPlanner) create(t *pitr.Collection) {
	step := pitr.CreateCollection{Collection: *t}
	switch {
	case t.Type == pitr.TypeView:
		p.views = append(p.views, step)
		return
	case p.collections[t.NS].replaced:
		p.replace = append(p.replace, step)
	default:
		p.creates = append(p.creates, step)
	}
	p.createIndexes(t, t.Indexes)
}

// modify turns a live collection into that of T: name, indexes, options.
func (p *catalogPlanner) modify(plan *collectionPlan, e, t *pitr.Collection) {
	if e.NS != t.NS {
		p.renames = append(p.renames, pitr.RenameCollection{UUID: e.UUID, From: e.NS, To: t.NS})
	}
	var missing []bson.Raw
	for _, spec := range t.Indexes {
		old := e.Index(pitr.IndexName(spec))
		switch {
		case pitr.IndexName(spec) == idIndex, old != nil && SameIndex(old, spec):
		case old != nil && differsInPlace(old, spec):
			p.inPlace = append(p.inPlace, pitr.ModifyCollection{NS: t.NS, UUID: e.UUID, Changes: indexModification(old, spec)})
		default:
			missing = append(missing, spec)
		}
	}
	p.dropIndexes(e, t)
	p.createIndexes(&pitr.Collection{NS: t.NS, UUID: e.UUID}, missing)
	p.modifyOptions(e, t)
	p.keepIndexes(plan, e, t)
	p.collatedIDs(plan, t)
}

// modifyOptions goes last, but where the live collection may expire documents that T keeps.
func (p *catalogPlanner) modifyOptions(e, t *pitr.Collection) {
	if sameOptions(e.Options, t.Options) {
		return
	}
	changes := modifications(e.Options, t.Options)
	if hasField(changes, "expireAfterSeconds") {
		p.inPlace = append(p.inPlace, pitr.ModifyCollection{NS: t.NS, UUID: e.UUID, Changes: changes})
		return
	}
	p.options = append(p.options, pitr.ModifyCollection{NS: t.NS, UUID: e.UUID, Changes: changes})
}

func (p *catalogPlanner) dropIndexes(e, t *pitr.Collection) {
	for _, spec := range e.Indexes {
		wanted := t.Index(pitr.IndexName(spec))
		if pitr.IndexName(spec) == idIndex || wanted != nil && (SameIndex(spec, wanted) || differsInPlace(spec, wanted)) {
			continue
		}
		step := pitr.DropIndex{NS: t.NS, UUID: e.UUID, Spec: spec}
		if refusesDuplicates(spec) {
			p.uniqueDrops = append(p.uniqueDrops, step)
		} else {
			p.indexDrops = append(p.indexDrops, step)
		}
	}
}

// createIndexes builds what is missing in one command, and what expires documents in another one, later.
func (p *catalogPlanner) createIndexes(collection *pitr.Collection, specs []bson.Raw) {
	var plain, expiring []bson.Raw
	for _, spec := range specs {
		_, err := spec.LookupErr("expireAfterSeconds")
		switch {
		case pitr.IndexName(spec) == idIndex:
		case err == nil:
			expiring = append(expiring, spec)
		default:
			plain = append(plain, spec)
		}
	}
	slices.SortStableFunc(plain, func(a, b bson.Raw) int { return cmp.Compare(rank(a), rank(b)) })
	uuid := collection.UUID
	if p.isNew(collection.NS) {
		uuid = pitr.UUID{} // the server gives a new one
	}
	if len(plain) > 0 {
		p.indexes = append(p.indexes, pitr.CreateIndexes{NS: collection.NS, UUID: uuid, Specs: plain})
	}
	if len(expiring) > 0 {
		p.expiring = append(p.expiring, pitr.CreateIndexes{NS: collection.NS, UUID: uuid, Specs: expiring})
	}
}

func rank(spec bson.Raw) int {
	if refusesDuplicates(spec) {
		return 0
	}
	return 1
}

func (p *catalogPlanner) isNew(ns pitr.Namespace) bool {
	creates := func(step pitr.CatalogWrite) bool {
		create, ok := step.(pitr.CreateCollection)
		return ok && create.Collection.NS == ns
	}
	return slices.ContainsFunc(p.creates, creates) || slices.ContainsFunc(p.replace, creates)
}

// keepIndexes remembers the unique indexes that stand while documents are written.
func (p *catalogPlanner) keepIndexes(plan *collectionPlan, e, t *pitr.Collection) {
	for _, spec := range e.Indexes {
		wanted := t.Index(pitr.IndexName(spec))
		if wanted == nil || !SameIndex(spec, wanted) && !differsInPlace(spec, wanted) {
			continue
		}
		if refusesDuplicates(spec) || refusesDuplicates(wanted) {
			p.numbered++
			plan.unique = append(plan.unique, newUniqueIndex(p.numbered, spec))
		}
	}
}

// collatedIDs is what a collection with a collation of its own adds: its _id index compares strings by rules that we do not
// know, so that two ids of other bytes can be one for the server.
func (p *catalogPlanner) collatedIDs(plan *collectionPlan, t *pitr.Collection) {
	if t.Collation() == nil {
		return
	}
	p.numbered++
	plan.unique = append(plan.unique, uniqueIndex{number: p.numbered, paths: []keyPath{{"_id"}}, fields: []string{"_id"}, collated: true})
}

// SameIndex compares two index specs: the key by order and value, the rest without regard to the order of fields.
func SameIndex(a, b bson.Raw) bool {
	return bytes.Equal(a, b) || sameBut(a, b, "ns", "background")
}

// Differences says in words what would have to be done to a catalog so that it becomes another one; nothing when both
// mean the same. Identities are not compared: a collection that was made anew has another one.
func Differences(live, want []pitr.Collection) ([]string, error) {
	plan, err := planCatalog(live, want)
	if err != nil {
		return nil, err
	}
	var differences []string
	for _, step := range slices.Concat(plan.clearWay, plan.replace, plan.finish) {
		differences = append(differences, step.String())
	}
	return differences, nil
}
