package history_test

import (
	"context"
	"fmt"
	"iter"
	"path/filepath"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/history"
	"pitr/internal/recording"
	"pitr/oplog"
	"pitr/snapshot"
	"pitr/storage"
)

// replayed is a cluster that plays a recording: its documents stand still at the first state, its oplog goes on.
type replayed struct {
	state   recording.State
	entries []bson.Raw
	clock   pitr.OpTime
}

func (r *replayed) Server() pitr.Server {
	return pitr.Server{Ability: pitr.AbilityFull, Set: "rs0", SetID: "653700000000000000000048", Hosts: []string{"h:1"}, Version: "7.1.0", FCV: "7.1"}
}

func (r *replayed) Listing(_ context.Context, scope pitr.Scope) ([]pitr.Collection, error) {
	var listed []pitr.Collection
	for _, c := range r.state.Collections {
		if scope.Contains(c.NS.KnownAs()) {
			listed = append(listed, c)
		}
	}
	return listed, nil
}

func (r *replayed) Estimate(context.Context, pitr.Namespace) (pitr.Amount, error) {
	return pitr.Amount{}, nil
}

func (r *replayed) Scan(_ context.Context, wanted pitr.Range) iter.Seq2[pitr.Batch, error] {
	return func(yield func(pitr.Batch, error) bool) {
		array := bson.A{}
		for _, document := range r.state.Documents[wanted.Collection.NS] {
			array = append(array, document)
		}
		_, content, err := bson.MarshalValue(array)
		yield(pitr.Batch{Array: content, At: wanted.At}, err)
	}
}

func (r *replayed) MajorityOpTime(context.Context) (pitr.OpTime, error) { return r.clock, nil }

func (r *replayed) OplogBounds(context.Context) (oldest, newest pitr.OpTime, err error) {
	return opTime(r.entries[0]), r.clock, nil
}

func (r *replayed) OldestOpenTransaction(context.Context, pitr.Timestamp) (pitr.OpTime, error) {
	return pitr.OpTime{}, nil
}

func (r *replayed) Oplog(_ context.Context, from pitr.Timestamp) iter.Seq2[pitr.Batch, error] {
	return func(yield func(pitr.Batch, error) bool) {
		array := bson.A{}
		for _, raw := range r.entries {
			if at := opTime(raw).TS; at >= from && at <= r.clock.TS {
				array = append(array, raw)
			}
		}
		for yield(batchOf(array)) {
			array = bson.A{}
		}
	}
}

func batchOf(array bson.A) (pitr.Batch, error) {
	_, content, err := bson.MarshalValue(array)
	return pitr.Batch{Array: content}, err
}

func opTime(raw bson.Raw) pitr.OpTime {
	seconds, ordinal := raw.Lookup("ts").Timestamp()
	return pitr.OpTime{TS: pitr.NewTimestamp(seconds, ordinal), Term: raw.Lookup("t").AsInt64()}
}

// TestCorpusOpen: case D05; a snapshot and an archive in a repository give each recorded state, and the gap between two.
func TestCorpusOpen(t *testing.T) {
	folder := recording.Files(t, "history/*")[0]
	files := recording.Files(t, "history/"+filepath.Base(folder)+"/state-*.jsonl.zst")
	source := &replayed{state: recording.ReadState(t, files[0])}
	noop, err := bson.Marshal(bson.D{{Key: "op", Value: "n"}, {Key: "ns", Value: ""}, {Key: "o", Value: bson.D{}},
		{Key: "ts", Value: source.state.At.BSON()}, {Key: "t", Value: int64(1)}, {Key: "v", Value: int64(2)}})
	if err != nil {
		t.Fatal(err)
	}
	source.entries = append(source.entries, noop)
	for raw := range recording.Documents(t, filepath.Join(folder, "oplog.jsonl.zst")) {
		source.entries = append(source.entries, raw)
	}
	repository := newRepository(t)
	lease := catalog.LeaseOptions{Holder: "test"}
	archiver := oplog.NewArchiver(source, repository, oplog.ArchiveOptions{Lease: lease})
	source.clock = opTime(source.entries[0])
	if _, err := snapshot.Take(t.Context(), source, repository, snapshot.Options{Archive: archiver, Reason: format.ReasonManual, Lease: lease}); err != nil {
		t.Fatal(err)
	}
	source.clock = opTime(source.entries[len(source.entries)-1])
	if _, err := archiver.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, number := range []int{0, len(files) / 3, len(files) - 1} {
		want := recording.ReadState(t, files[number])
		h, err := history.Open(t.Context(), repository, history.Start{At: want.At}, history.Options{})
		if err != nil {
			t.Fatal(err)
		}
		view, err := h.View(t.Context(), want.At, pitr.Scope{})
		if err != nil {
			t.Fatal(err)
		}
		compareView(t, fmt.Sprintf("%s at %s", files[number], want.At), view, want)
	}
	was, is := recording.ReadState(t, files[len(files)/5]), recording.ReadState(t, files[len(files)/2])
	h, err := history.Open(t.Context(), repository, history.Start{At: was.At}, history.Options{})
	if err != nil {
		t.Fatal(err)
	}
	gap, err := h.Gap(t.Context(), pitr.Window{After: was.At, Through: is.At}, history.GapOptions{})
	if err != nil {
		t.Fatal(err)
	}
	compareGap(t, folder, gap, was, is)
	catalogThen, err := h.Catalog(t.Context(), was.At, pitr.Scope{})
	if err != nil || len(catalogThen) != len(gap.T) {
		t.Errorf("the catalog has %d collections, %v; want %d", len(catalogThen), err, len(gap.T))
	}
	if _, err := h.View(t.Context(), source.clock.TS+1, pitr.Scope{}); pitr.KindOf(err) != pitr.KindHole {
		t.Errorf("a moment behind the archive: %v", err)
	}
	if _, err := history.Open(t.Context(), repository, history.Start{At: 1}, history.Options{}); pitr.KindOf(err) != pitr.KindHole {
		t.Errorf("a moment before the snapshot: %v", err)
	}
}

func newRepository(t *testing.T) *catalog.Repository {
	t.Helper()
	store := storage.NewMemory()
	if _, err := catalog.Create(t.Context(), store, catalog.CreateOptions{ClusterName: "test"}); err != nil {
		t.Fatal(err)
	}
	repository, err := catalog.Open(t.Context(), store, catalog.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return repository
}
