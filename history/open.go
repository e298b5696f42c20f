package history

import (
	"cmp"
	"context"
	"fmt"
	"iter"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/oplog"
	"pitr/snapshot"
)

// Start says which history to open: that of a branch, from the newest snapshot of the scope that serves a moment.
type Start struct {
	// Branch is the one that the cluster is on when it is empty.
	Branch format.ID
	At     pitr.Timestamp
	Scope  pitr.Scope
}

// Open finds the way to a moment in a repository and gives the history that begins with its snapshot and goes on as far as
// the archive does. Errors are those of catalog.Timeline.ReachOn and snapshot.Open.
func Open(ctx context.Context, repository *catalog.Repository, start Start, options Options) (*History, error) {
	timeline, err := repository.Timeline(ctx)
	if err != nil {
		return nil, err
	}
	branch := start.Branch
	if branch == "" {
		branch = timeline.Tip()
	}
	route, err := timeline.ReachOn(branch, start.At, start.Scope)
	if err != nil {
		return nil, err
	}
	reader, err := snapshot.Open(ctx, repository, route.Snapshot.Snapshot)
	if err != nil {
		return nil, err
	}
	entries := func(ctx context.Context, window pitr.Window) iter.Seq2[oplog.Entry, error] {
		return oplog.Read(ctx, repository, lineage(timeline, branch, window)...)
	}
	cluster := reader.Manifest().Cluster
	options.Version = cmp.Or(options.Version, cluster.FCV, cluster.Version)
	h := New(published{reader}, entries, options)
	h.through = archivedThrough(timeline, branch, start.At)
	return h, nil
}

// Snapshot gives the snapshot that a history from a repository begins with; nil where it was made from other parts.
func (h *History) Snapshot() *snapshot.Reader {
	base, _ := h.base.(published)
	return base.reader
}

// archivedThrough gives the end of the unbroken archive that holds a moment; the moment itself where there is none.
func archivedThrough(timeline catalog.Timeline, branch format.ID, at pitr.Timestamp) pitr.Timestamp {
	for _, covered := range timeline.Windows(branch) {
		if covered.After <= at && at < covered.Through {
			return covered.Through
		}
	}
	return at
}

// lineage cuts a window into those of a branch and its ancestors, oldest first, as far as the archive goes.
func lineage(timeline catalog.Timeline, branch format.ID, window pitr.Window) []catalog.BranchWindow {
	if covered := timeline.Windows(branch); len(covered) > 0 {
		window.Through = min(window.Through, covered[len(covered)-1].Through)
	}
	return timeline.Cut(branch, window)
}

// published is a snapshot as a history needs it.
type published struct{ reader *snapshot.Reader }

func (p published) Window() pitr.Window {
	return pitr.Window{After: p.reader.Manifest().From, Through: p.reader.Manifest().At}
}

func (p published) Scope() pitr.Scope { return p.reader.Manifest().Scope }

func (p published) Collections() []pitr.Collection {
	records := p.reader.Collections()
	list := make([]pitr.Collection, 0, len(records))
	for _, record := range records {
		list = append(list, record.Collection)
	}
	return list
}

func (p published) Scan(ctx context.Context, c pitr.Collection) iter.Seq2[bson.Raw, error] {
	return p.read(c, func(record format.CollectionRecord) iter.Seq2[snapshot.Document, error] {
		return p.reader.Scan(ctx, record)
	})
}

func (p published) Lookup(ctx context.Context, c pitr.Collection, keys []pitr.Key) iter.Seq2[bson.Raw, error] {
	return p.read(c, func(record format.CollectionRecord) iter.Seq2[snapshot.Document, error] {
		return p.reader.Lookup(ctx, record, keys)
	})
}

func (p published) read(c pitr.Collection, from func(format.CollectionRecord) iter.Seq2[snapshot.Document, error]) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		record, ok := p.reader.Collection(c.NS, c.UUID)
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

// refuseTrimmed refuses the documents of a capped collection on servers that trim them without entries.
func (h *History) refuseTrimmed(c pitr.Collection) error {
	major := 0
	if n, err := fmt.Sscanf(h.options.Version, "%d.", &major); n != 1 || err != nil || major >= 5 || !c.IsCapped() {
		return nil
	}
	return pitr.Errorf(pitr.KindUnsupported, "", "leave it out with --except "+c.NS.String()+", or use a snapshot's own moment",
		"%s is capped, and a server with feature compatibility %s does not log what it trims", c.NS, h.options.Version)
}
