package main

import (
	"context"
	"iter"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/diff"
	"pitr/format"
	"pitr/history"
	"pitr/snapshot"
)

// side is one of the two states that a comparison reads, with the words that name it.
type side struct {
	diff.Side
	name string
	// at is the moment that it shows, zero where there is none.
	at pitr.Timestamp
	// live is nil for what lies in the repository.
	live *liveSide
	// foreign says that the side has no identities that the other one could know.
	foreign bool
	// cluster is what is known of the cluster, branch the history that the side belongs to, empty for live.
	cluster format.Cluster
	branch  format.ID
	close   func()
}

// moved lists the collections for which the side has lost its one moment.
func (s side) moved() []pitr.Namespace {
	if s.live == nil {
		return nil
	}
	return s.live.movedOn()
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
	return s.read(c, func(record format.CollectionRecord) iter.Seq2[snapshot.Document, error] {
		return s.reader.Scan(ctx, record)
	})
}

// Lookup finds documents by key.
func (s snapshotSide) Lookup(ctx context.Context, c pitr.Collection, keys []pitr.Key) iter.Seq2[bson.Raw, error] {
	return s.read(c, func(record format.CollectionRecord) iter.Seq2[snapshot.Document, error] {
		return s.reader.Lookup(ctx, record, keys)
	})
}

func (s snapshotSide) read(c pitr.Collection, from func(format.CollectionRecord) iter.Seq2[snapshot.Document, error]) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		record, err := s.record(c)
		if err != nil {
			yield(nil, err)
			return
		}
		for document, err := range from(record) {
			if !yield(document.Raw, err) || err != nil {
				return
			}
		}
	}
}

// record finds a collection that was listed.
func (s snapshotSide) record(c pitr.Collection) (format.CollectionRecord, error) {
	record, found := s.reader.Collection(c.NS, c.UUID)
	if !found {
		return record, pitr.Corruptf("read the snapshot", "it does not hold %s", c.NS)
	}
	return record, nil
}

// viewSide is the database as it was at a moment. reader is the snapshot below the view.
type viewSide struct {
	*history.View
	reader *snapshot.Reader
}

// Collections lists the catalog.
func (v viewSide) Collections(context.Context) ([]pitr.Collection, error) {
	return v.View.Collections(), nil
}

// viewBytes bounds the memory of one view, of which a comparison may hold two.
const viewBytes = history.DefaultMaxBytes / 2

// openSide opens what a word names: live, a snapshot's id, or a moment.
func (run *session) openSide(ctx context.Context, repository *catalog.Repository, text string, scope pitr.Scope) (side, error) {
	if text == "live" {
		return run.openLive(ctx, repository, scope)
	}
	if id, err := format.ParseID(text); err == nil {
		reader, err := snapshot.Open(ctx, repository, id)
		if err != nil {
			return side{}, err
		}
		manifest := reader.Manifest()
		if manifest.Exact != format.ExactOneTime && manifest.At != 0 {
			// What lies there is of several moments: only its view at E is a state that the cluster had.
			view, err := run.openView(ctx, repository, history.Start{Branch: manifest.Branch, At: manifest.At, Scope: scope})
			view.name = "snapshot " + text
			return view, err
		}
		return side{Side: snapshotSide{reader}, name: "snapshot " + text, at: manifest.At, cluster: manifest.Cluster,
			branch: manifest.Branch, close: func() {}}, nil
	}
	at, err := run.resolve(ctx, surroundings{repository: repository, scope: scope}, text)
	if err != nil {
		return side{}, err
	}
	timeline, err := repository.Timeline(ctx)
	if err != nil {
		return side{}, err
	}
	return run.openView(ctx, repository, history.Start{Branch: timeline.Tip(), At: at, Scope: scope})
}

func (run *session) openView(ctx context.Context, repository *catalog.Repository, start history.Start) (side, error) {
	past, err := history.Open(ctx, repository, start, history.Options{MaxBytes: viewBytes})
	if err != nil {
		return side{}, err
	}
	view, err := past.View(ctx, start.At, start.Scope)
	if err != nil {
		return side{}, err
	}
	reader := past.Snapshot()
	return side{Side: viewSide{view, reader}, name: clockText(start.At), at: start.At, cluster: reader.Manifest().Cluster,
		branch: start.Branch, close: func() {}}, nil
}

func (run *session) openLive(ctx context.Context, repository *catalog.Repository, scope pitr.Scope) (side, error) {
	client, err := run.connect(ctx, "uri")
	if err != nil {
		return side{}, err
	}
	opened := side{name: "live", close: func() { client.Close(context.WithoutCancel(ctx)) }}
	live := &liveSide{client: client, scope: scope}
	server := client.Server()
	branches, err := repository.Branches(ctx)
	if err == nil && server.Ability == pitr.AbilityFull {
		var at pitr.OpTime
		at, err = client.MajorityOpTime(ctx)
		live.at = at.TS
	}
	if err != nil {
		opened.close()
		return side{}, err
	}
	opened.Side, opened.live, opened.at = live, live, live.at
	opened.foreign = server.SetID != "" && len(branches.Items) > 0 &&
		!slices.ContainsFunc(branches.Items, func(b format.Branch) bool { return b.SetID == "" || b.SetID == server.SetID })
	opened.cluster = format.Cluster{Name: repository.ClusterName(), Set: server.Set, SetID: server.SetID, Member: server.Member,
		Hosts: server.Hosts, Version: server.Version, FCV: server.FCV}
	return opened, nil
}
