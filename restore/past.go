package restore

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/history"
)

// InRepository gives the past of a cluster as a repository has it, on one of its branches.
func InRepository(repository *catalog.Repository, branch format.ID, options history.Options) Past {
	return &archived{repository: repository, branch: branch, options: options}
}

// archived folds snapshots and segments.
type archived struct {
	repository *catalog.Repository
	branch     format.ID
	options    history.Options

	mu sync.Mutex
	// view is the last one that was asked for, since many questions are about the same moment.
	view  *history.View
	scope string
}

// open gives the history that serves a moment.
func (a *archived) open(ctx context.Context, at pitr.Timestamp, scope pitr.Scope) (*history.History, error) {
	return history.Open(ctx, a.repository, history.Start{Branch: a.branch, At: at, Scope: scope}, a.options)
}

// Price counts what the entries of the gap tell.
func (a *archived) Price(ctx context.Context, window pitr.Window, scope pitr.Scope) (history.Price, error) {
	past, err := a.open(ctx, window.After, scope)
	if err != nil {
		return history.Price{}, err
	}
	return past.Price(ctx, window, scope)
}

// Gap folds both ends.
func (a *archived) Gap(ctx context.Context, window pitr.Window, scope pitr.Scope) (Gap, error) {
	past, err := a.open(ctx, window.After, scope)
	if err != nil {
		return Gap{}, err
	}
	gap, err := past.Gap(ctx, window, history.GapOptions{Scope: scope})
	if err != nil {
		return Gap{}, err
	}
	return Gap{T: gap.T, E: gap.E, Steps: gap.Steps, Changes: gap.Changes(ctx)}, nil
}

// Catalog folds the catalog and no document.
func (a *archived) Catalog(ctx context.Context, at pitr.Timestamp, scope pitr.Scope) ([]pitr.Collection, error) {
	past, err := a.open(ctx, at, scope)
	if err != nil {
		return nil, err
	}
	return past.Catalog(ctx, at, scope)
}

// Documents scans a collection of a view.
func (a *archived) Documents(ctx context.Context, at pitr.Timestamp, collection pitr.Collection) iter.Seq2[bson.Raw, error] {
	view, err := a.viewAt(ctx, at, pitr.Scope{Only: []string{collection.NS.KnownAs().String()}})
	if err != nil {
		return func(yield func(bson.Raw, error) bool) { yield(nil, err) }
	}
	return view.Documents(ctx, collection)
}

// Find looks a document up in a view.
func (a *archived) Find(ctx context.Context, at pitr.Timestamp, name Name) (bson.Raw, error) {
	view, err := a.viewAt(ctx, at, pitr.Scope{Only: []string{name.NS.KnownAs().String()}})
	if err != nil {
		return nil, err
	}
	collection, ok := view.Collection(name.NS)
	if !ok {
		return nil, nil
	}
	for document, err := range view.Lookup(ctx, collection, []pitr.Key{name.Key}) {
		return document, err
	}
	return nil, nil
}

func (a *archived) viewAt(ctx context.Context, at pitr.Timestamp, scope pitr.Scope) (*history.View, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.view != nil && a.view.At() == at && a.scope == fmt.Sprint(scope) {
		return a.view, nil
	}
	past, err := a.open(ctx, at, scope)
	if err != nil {
		return nil, err
	}
	view, err := past.View(ctx, at, scope)
	if err != nil {
		return nil, err
	}
	a.view, a.scope = view, fmt.Sprint(scope)
	return view, nil
}
