package main

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/history"
)

// lostSide is one side of the lost set of a job: every record that has a version there.
type lostSide struct {
	repository *catalog.Repository
	changes    format.Changes
	version    func(pitr.Change) bson.Raw
	// catalog is that of the side's moment, nil where the archive no longer has it.
	catalog []pitr.Collection
	// within are the first and last part that have records of a namespace: a list is in the order of namespaces, so that
	// reading one namespace after the other reads hardly any part twice.
	within map[pitr.Namespace][2]int
	order  []pitr.Collection
}

// openLost opens one side of the lost set of a job.
func (run *session) openLost(ctx context.Context, repository *catalog.Repository, job catalog.Job, from exportFrom) (side, error) {
	if job.Changes == nil {
		return side{}, pitr.Errorf(pitr.KindNotFound, "export the lost set of "+string(job.ID), "see `pitr jobs`", "it has none: it stopped before its list of changes was published")
	}
	lost := &lostSide{repository: repository, changes: *job.Changes, within: map[pitr.Namespace][2]int{}}
	name, at := "", pitr.Timestamp(0)
	switch from.side {
	case "", "e":
		name, at, lost.version = "end of the gap", job.Changes.Gap.Through, func(c pitr.Change) bson.Raw { return c.E }
	case "t":
		name, at, lost.version = "before the gap", job.Changes.Gap.After, func(c pitr.Change) bson.Raw { return c.T }
	default:
		return side{}, pitr.Errorf(pitr.KindInvalid, "read --side", "write e or t", "%q is no side of a lost set", from.side)
	}
	if err := lost.loadCatalog(ctx, at); err != nil {
		return side{}, err
	}
	if lost.catalog == nil {
		fmt.Fprintln(run.err, "the archive no longer covers that moment: options and indexes of the collections are left out")
	}
	if err := lost.survey(ctx); err != nil {
		return side{}, err
	}
	return side{Side: lost, name: fmt.Sprintf("lost set of %s, %s", job.ID, name), close: func() {}}, nil
}

func (l *lostSide) loadCatalog(ctx context.Context, at pitr.Timestamp) error {
	past, err := history.Open(ctx, l.repository, history.Start{At: at, Scope: l.changes.Scope}, history.Options{})
	if err == nil {
		l.catalog, err = past.Catalog(ctx, at, l.changes.Scope)
	}
	switch pitr.KindOf(err) {
	case pitr.KindHole, pitr.KindNotFound:
		return nil
	}
	return err
}

// survey finds which namespaces the list has, and where.
func (l *lostSide) survey(ctx context.Context) error {
	uuids := map[pitr.Namespace]pitr.UUID{}
	for i := range l.changes.Parts {
		for change, err := range l.part(ctx, i, i) {
			if err != nil {
				return err
			}
			if l.version(change) == nil {
				continue
			}
			span, known := l.within[change.NS]
			if !known {
				span[0], uuids[change.NS] = i, change.UUID
			}
			span[1] = i
			l.within[change.NS] = span
		}
	}
	for ns, uuid := range uuids {
		l.order = append(l.order, l.collection(ns, uuid))
	}
	slices.SortFunc(l.order, func(a, b pitr.Collection) int { return a.NS.Compare(b.NS) })
	return nil
}

// collection finds the catalog entry of a namespace, under its name or under the one that it had then.
func (l *lostSide) collection(ns pitr.Namespace, uuid pitr.UUID) pitr.Collection {
	for _, c := range l.catalog {
		if c.NS == ns {
			return c
		}
	}
	for _, c := range l.catalog {
		if c.UUID == uuid && !uuid.IsZero() {
			c.NS = ns
			return c
		}
	}
	return pitr.Collection{NS: ns, UUID: uuid, Type: pitr.TypeCollection}
}

// part reads the changes of some parts of the list.
func (l *lostSide) part(ctx context.Context, first, last int) iter.Seq2[pitr.Change, error] {
	changes := l.changes
	changes.Parts = l.changes.Parts[first : last+1]
	return func(yield func(pitr.Change, error) bool) {
		for document, err := range l.repository.ChangeDocuments(ctx, changes) {
			var change pitr.Change
			if err == nil && format.IsCatalogStep(document) {
				continue
			}
			if err == nil {
				change, err = format.DecodeChange(document)
			}
			if !yield(change, err) || err != nil {
				return
			}
		}
	}
}

// Collections lists those with records on this side.
func (l *lostSide) Collections(context.Context) ([]pitr.Collection, error) { return l.order, nil }

// Documents gives the versions of this side.
func (l *lostSide) Documents(ctx context.Context, c pitr.Collection) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		span, known := l.within[c.NS]
		if !known {
			return
		}
		for change, err := range l.part(ctx, span[0], span[1]) {
			if err != nil {
				yield(nil, err)
				return
			}
			if version := l.version(change); change.NS == c.NS && version != nil && !yield(version, nil) {
				return
			}
		}
	}
}
