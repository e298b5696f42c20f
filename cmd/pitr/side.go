package main

import (
	"context"
	"iter"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/cluster"
	"pitr/diff"
	"pitr/format"
	"pitr/history"
	"pitr/snapshot"
)

// side is one of the two states that a comparison reads, with the words that name it.
type side struct {
	diff.Side
	name string
	// documentsOnly says that the side has no identities that the other one could know.
	foreign bool
	close   func()
}

// liveSide is the cluster as it is now, as of one moment where the server can.
type liveSide struct {
	client *cluster.Client
	scope  pitr.Scope
	at     pitr.Timestamp
}

// Collections lists the catalog.
func (l liveSide) Collections(ctx context.Context) ([]pitr.Collection, error) {
	return l.client.Listing(ctx, l.scope)
}

// Documents scans a collection.
func (l liveSide) Documents(ctx context.Context, c pitr.Collection) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		for batch, err := range l.client.Scan(ctx, pitr.Range{Collection: c, At: l.at}) {
			if err != nil {
				yield(nil, err)
				return
			}
			values, err := batch.Array.Values()
			if err != nil {
				yield(nil, err)
				return
			}
			for _, value := range values {
				if !yield(bson.Raw(value.Value), nil) {
					return
				}
			}
		}
	}
}

// snapshotSide is a snapshot as it was stored.
type snapshotSide struct{ reader *snapshot.Reader }

// Collections lists the catalog.
func (s snapshotSide) Collections(context.Context) ([]pitr.Collection, error) {
	var list []pitr.Collection
	for _, record := range s.reader.Collections() {
		list = append(list, record.Collection)
	}
	return list, nil
}

// Documents scans a collection.
func (s snapshotSide) Documents(ctx context.Context, c pitr.Collection) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		record, found := s.reader.Collection(c.NS, c.UUID)
		if !found {
			return
		}
		for document, err := range s.reader.Scan(ctx, record) {
			if !yield(document.Raw, err) || err != nil {
				return
			}
		}
	}
}

// viewSide is the database as it was at a moment.
type viewSide struct{ *history.View }

// Collections lists the catalog.
func (v viewSide) Collections(context.Context) ([]pitr.Collection, error) {
	return v.View.Collections(), nil
}

// openSide opens what a word names: live, a snapshot's id, or a moment.
func (run *session) openSide(ctx context.Context, repository *catalog.Repository, text string, scope pitr.Scope) (side, error) {
	if text == "live" {
		return run.openLive(ctx, scope)
	}
	if id, err := format.ParseID(text); err == nil {
		reader, err := snapshot.Open(ctx, repository, id)
		if err != nil {
			return side{}, err
		}
		manifest := reader.Manifest()
		if manifest.Exact != format.ExactOneTime && manifest.At != 0 {
			// What lies there is of several moments: only its view at E is a state that the cluster had.
			return run.openView(ctx, repository, manifest.At, scope)
		}
		return side{Side: snapshotSide{reader}, name: "snapshot " + text, close: func() {}}, nil
	}
	at, err := run.resolve(ctx, surroundings{repository: repository, scope: scope}, text)
	if err != nil {
		return side{}, err
	}
	return run.openView(ctx, repository, at, scope)
}

func (run *session) openView(ctx context.Context, repository *catalog.Repository, at pitr.Timestamp, scope pitr.Scope) (side, error) {
	past, err := history.Open(ctx, repository, history.Start{At: at, Scope: scope}, history.Options{})
	if err != nil {
		return side{}, err
	}
	view, err := past.View(ctx, at, scope)
	if err != nil {
		return side{}, err
	}
	return side{Side: viewSide{view}, name: clockText(at), close: func() {}}, nil
}

func (run *session) openLive(ctx context.Context, scope pitr.Scope) (side, error) {
	client, err := run.connect(ctx, "uri")
	if err != nil {
		return side{}, err
	}
	live := liveSide{client: client, scope: scope}
	if client.Server().Ability == pitr.AbilityFull {
		at, err := client.MajorityOpTime(ctx)
		if err != nil {
			client.Close(context.WithoutCancel(ctx))
			return side{}, err
		}
		live.at = at.TS
	}
	return side{Side: live, name: "live", close: func() { client.Close(context.WithoutCancel(ctx)) }}, nil
}
