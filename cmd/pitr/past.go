package main

import (
	"bytes"
	"context"
	"iter"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/history"
	"pitr/oplog"
	"pitr/restore"
	"pitr/snapshot"
)

// past answers from the repository what the cluster was like at any covered moment. It opens the snapshot that a moment
// needs when it is asked, and keeps the last one open.
type past struct {
	repository *catalog.Repository
	options    history.Options
}

// base is a published snapshot as a history needs it.
type base struct{ reader *snapshot.Reader }

// Window gives (S, E] of the snapshot.
func (b base) Window() pitr.Window {
	manifest := b.reader.Manifest()
	return pitr.Window{After: manifest.From, Through: manifest.At}
}

// Scope gives what the snapshot holds.
func (b base) Scope() pitr.Scope { return b.reader.Manifest().Scope }

// Collections gives the listed catalog.
func (b base) Collections() []pitr.Collection {
	var list []pitr.Collection
	for _, record := range b.reader.Collections() {
		list = append(list, record.Collection)
	}
	return list
}

// Scan yields the documents of a listed collection.
func (b base) Scan(ctx context.Context, c pitr.Collection) iter.Seq2[bson.Raw, error] {
	return b.documents(c, func(record format.CollectionRecord) iter.Seq2[snapshot.Document, error] {
		return b.reader.Scan(ctx, record)
	})
}

// Lookup yields those that bear one of the keys.
func (b base) Lookup(ctx context.Context, c pitr.Collection, keys []pitr.Key) iter.Seq2[bson.Raw, error] {
	return b.documents(c, func(record format.CollectionRecord) iter.Seq2[snapshot.Document, error] {
		return b.reader.Lookup(ctx, record, keys)
	})
}

func (b base) documents(c pitr.Collection, read func(format.CollectionRecord) iter.Seq2[snapshot.Document, error]) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		record, found := b.reader.Collection(c.NS, c.UUID)
		if !found {
			yield(nil, pitr.Errorf(pitr.KindNotFound, "read the snapshot", "see `pitr snapshot show`", "%s is not in it", c.NS))
			return
		}
		for document, err := range read(record) {
			if !yield(document.Raw, err) || err != nil {
				return
			}
		}
	}
}

// at opens the history that reaches a moment and goes on from there along the same branch.
func (p *past) at(ctx context.Context, moment pitr.Timestamp, scope pitr.Scope) (*history.History, error) {
	timeline, err := p.repository.Timeline(ctx)
	if err != nil {
		return nil, err
	}
	route, err := timeline.Reach(moment, scope)
	if err != nil {
		return nil, err
	}
	reader, err := snapshot.Open(ctx, p.repository, route.Snapshot.Snapshot)
	if err != nil {
		return nil, err
	}
	windows := slices.Clone(route.Windows)
	if last := len(windows) - 1; last >= 0 {
		windows[last].Through = archivedThrough(timeline, windows[last])
	}
	return history.New(base{reader}, p.entries(windows), p.options), nil
}

// archivedThrough gives the end of the unbroken archive that a window is part of.
func archivedThrough(timeline catalog.Timeline, window catalog.BranchWindow) pitr.Timestamp {
	for _, covered := range timeline.Windows(window.Branch) {
		if covered.Covers(window.Window) {
			return covered.Through
		}
	}
	return window.Through
}

// entries reads along windows that follow each other, as far as the archive goes.
func (p *past) entries(windows []catalog.BranchWindow) history.Entries {
	return func(ctx context.Context, window pitr.Window) iter.Seq2[oplog.Entry, error] {
		var parts []catalog.BranchWindow
		for _, each := range windows {
			if part := each.Intersect(window); !part.IsEmpty() {
				parts = append(parts, catalog.BranchWindow{Branch: each.Branch, Window: part})
			}
		}
		return oplog.Read(ctx, p.repository, parts...)
	}
}

// gap folds what lies between two moments.
func (p *past) gap(ctx context.Context, window pitr.Window, scope pitr.Scope) (*history.Gap, error) {
	past, err := p.at(ctx, window.After, scope)
	if err != nil {
		return nil, err
	}
	return past.Gap(ctx, window, history.GapOptions{Scope: scope})
}

// Price counts what a gap touched, by class as of the end of the gap.
func (p *past) Price(ctx context.Context, window pitr.Window, scope pitr.Scope) (restore.Price, error) {
	price := restore.Price{Touched: map[pitr.Namespace]map[pitr.Class]int64{}}
	for change, err := range p.Changes(ctx, window, scope) {
		if err != nil {
			return restore.Price{}, err
		}
		if price.Touched[change.NS] == nil {
			price.Touched[change.NS] = map[pitr.Class]int64{}
		}
		price.Touched[change.NS][change.Class]++
	}
	return price, nil
}

// Catalog gives the collections in scope at a moment.
func (p *past) Catalog(ctx context.Context, at pitr.Timestamp, scope pitr.Scope) ([]pitr.Collection, error) {
	view, err := p.view(ctx, at, scope)
	if err != nil {
		return nil, err
	}
	return view.Collections(), nil
}

func (p *past) view(ctx context.Context, at pitr.Timestamp, scope pitr.Scope) (*history.View, error) {
	past, err := p.at(ctx, at, scope)
	if err != nil {
		return nil, err
	}
	return past.View(ctx, at, scope)
}

// Changes yields every touched document with its states at both ends.
func (p *past) Changes(ctx context.Context, window pitr.Window, scope pitr.Scope) iter.Seq2[pitr.Change, error] {
	return func(yield func(pitr.Change, error) bool) {
		gap, err := p.gap(ctx, window, scope)
		if err != nil {
			yield(pitr.Change{}, err)
			return
		}
		for change, err := range gap.Changes(ctx) {
			if !yield(change, err) || err != nil {
				return
			}
		}
	}
}

// Documents yields all documents of a collection at a moment.
func (p *past) Documents(ctx context.Context, at pitr.Timestamp, c pitr.Collection) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		view, err := p.view(ctx, at, pitr.Scope{Only: []string{c.NS.String()}})
		if err != nil {
			yield(nil, err)
			return
		}
		listed, found := view.Collection(c.NS)
		if !found {
			yield(nil, pitr.Errorf(pitr.KindNotFound, "read "+c.NS.String(), "see `pitr find`", "it did not exist at %s", at))
			return
		}
		for document, err := range view.Documents(ctx, listed) {
			if !yield(document, err) || err != nil {
				return
			}
		}
	}
}

// Find gives one document at a moment, nil where there is none.
func (p *past) Find(ctx context.Context, at pitr.Timestamp, ns pitr.Namespace, key pitr.Key) (bson.Raw, error) {
	view, err := p.view(ctx, at, pitr.Scope{Only: []string{ns.String()}})
	if err != nil {
		return nil, err
	}
	c, found := view.Collection(ns)
	if !found {
		return nil, nil
	}
	for document, err := range view.Lookup(ctx, c, []pitr.Key{key}) {
		if err != nil {
			return nil, err
		}
		return bytes.Clone(document), nil
	}
	return nil, nil
}
