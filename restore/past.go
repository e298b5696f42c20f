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
	"pitr/oplog"
	"pitr/snapshot"
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

// open finds the way to a moment and the history that begins with its snapshot.
func (a *archived) open(ctx context.Context, at pitr.Timestamp, scope pitr.Scope) (*history.History, error) {
	timeline, err := a.repository.Timeline(ctx)
	if err != nil {
		return nil, err
	}
	route, err := timeline.ReachOn(a.branch, at, scope)
	if err != nil {
		return nil, err
	}
	reader, err := snapshot.Open(ctx, a.repository, route.Snapshot.Snapshot)
	if err != nil {
		return nil, err
	}
	entries := func(ctx context.Context, window pitr.Window) iter.Seq2[oplog.Entry, error] {
		return oplog.Read(ctx, a.repository, lineage(timeline, a.branch, window)...)
	}
	return history.New(base{reader}, entries, a.options), nil
}

// lineage cuts a window into those of a branch and its ancestors, oldest first, as far as the archive goes.
func lineage(timeline catalog.Timeline, branch format.ID, window pitr.Window) []catalog.BranchWindow {
	if covered := timeline.Windows(branch); len(covered) > 0 {
		window.Through = min(window.Through, covered[len(covered)-1].Through)
	}
	var windows []catalog.BranchWindow
	for range timeline.Lines { // no longer than there are branches, whatever they say of their parents
		if window.IsEmpty() || branch == "" {
			break
		}
		own, parent := window, format.ID("")
		for _, line := range timeline.Lines {
			if line.Branch == branch && line.Fork != nil {
				own.After, parent = max(window.After, line.Fork.At.TS), line.Fork.Parent
			}
		}
		if !own.IsEmpty() {
			windows = append([]catalog.BranchWindow{{Branch: branch, Window: own}}, windows...)
			window.Through = own.After
		}
		branch = parent
	}
	return windows
}

// Price counts by folding the gap.
func (a *archived) Price(ctx context.Context, window pitr.Window, scope pitr.Scope) (Price, error) {
	price := Price{Touched: map[pitr.Namespace]map[pitr.Class]int64{}}
	gap, err := a.Gap(ctx, window, scope)
	if pitr.KindOf(err) == pitr.KindUnsupported {
		price.Obstacles = append(price.Obstacles, Obstacle{What: err.Error()})
		return price, nil
	}
	if err != nil {
		return price, err
	}
	for change, err := range gap.Changes {
		if err != nil {
			return price, err
		}
		if price.Touched[change.NS] == nil {
			price.Touched[change.NS] = map[pitr.Class]int64{}
		}
		price.Touched[change.NS][change.Class]++
	}
	return price, nil
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
	return Gap{T: gap.T, E: gap.E, Changes: gap.Changes(ctx)}, nil
}

// Catalog lists a view's collections.
func (a *archived) Catalog(ctx context.Context, at pitr.Timestamp, scope pitr.Scope) ([]pitr.Collection, error) {
	view, err := a.viewAt(ctx, at, scope)
	if err != nil {
		return nil, err
	}
	return view.Collections(), nil
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

// base is a snapshot as a history needs it.
type base struct{ reader *snapshot.Reader }

func (b base) Window() pitr.Window {
	return pitr.Window{After: b.reader.Manifest().From, Through: b.reader.Manifest().At}
}

func (b base) Scope() pitr.Scope { return b.reader.Manifest().Scope }

func (b base) Collections() []pitr.Collection {
	records := b.reader.Collections()
	list := make([]pitr.Collection, 0, len(records))
	for _, record := range records {
		list = append(list, record.Collection)
	}
	return list
}

func (b base) Scan(ctx context.Context, c pitr.Collection) iter.Seq2[bson.Raw, error] {
	return b.read(c, func(record format.CollectionRecord) iter.Seq2[snapshot.Document, error] {
		return b.reader.Scan(ctx, record)
	})
}

func (b base) Lookup(ctx context.Context, c pitr.Collection, keys []pitr.Key) iter.Seq2[bson.Raw, error] {
	return b.read(c, func(record format.CollectionRecord) iter.Seq2[snapshot.Document, error] {
		return b.reader.Lookup(ctx, record, keys)
	})
}

func (b base) read(c pitr.Collection, from func(format.CollectionRecord) iter.Seq2[snapshot.Document, error]) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		record, ok := b.reader.Collection(c.NS, c.UUID)
		if !ok {
			yield(nil, pitr.Corruptf("read the snapshot", "it does not hold %s", c.NS))
			return
		}
		for document, err := range from(record) {
			if !yield(document.Raw, err) || err != nil {
				return
			}
		}
	}
}
