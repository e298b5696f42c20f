package fold_test

import (
	"fmt"
	"path/filepath"
	"runtime"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/history/fold"
	"pitr/internal/recording"
	"pitr/oplog"
)

// BenchmarkFoldRecorded decodes, assembles and folds the recorded entries of the incident on its base.
func BenchmarkFoldRecorded(b *testing.B) {
	folder := recording.Files(b, "incident/*")[0]
	base := recording.ReadState(b, recording.Files(b, "incident/"+filepath.Base(folder)+"/state-0-*.jsonl.zst")[0])
	var entries []bson.Raw
	for raw := range recording.Documents(b, filepath.Join(folder, "oplog.jsonl.zst")) {
		entries = append(entries, raw)
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		state := fold.New(fold.Options{Exact: base.At})
		fill(b, state, base)
		b.StartTimer()
		foldAll(b, state, entries, base.At)
	}
	b.ReportMetric(float64(b.N)*float64(len(entries))/b.Elapsed().Seconds(), "entries/s")
}

func foldAll(b *testing.B, state *fold.State, entries []bson.Raw, after pitr.Timestamp) {
	b.Helper()
	var assembler oplog.Assembler
	for _, raw := range entries {
		entry, err := oplog.Decode(raw)
		if err != nil {
			b.Fatal(err)
		}
		if entry.OpTime.TS <= after {
			continue
		}
		group, ok, err := assembler.Push(&entry)
		if err == nil && ok {
			err = state.Apply(group)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFoldMemory folds ten updates each of many documents and reports the memory that the state takes per document.
func BenchmarkFoldMemory(b *testing.B) {
	const documents, rounds = 100_000, 10
	for b.Loop() {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		state := fold.New(fold.Options{Exact: 1})
		if err := state.AddCollection(pitr.Collection{NS: orders, UUID: first, Type: pitr.TypeCollection}); err != nil {
			b.Fatal(err)
		}
		var assembler oplog.Assembler
		for round := range rounds {
			for i := range documents {
				if err := foldOne(state, &assembler, order(round, i)); err != nil {
					b.Fatal(err)
				}
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/documents, "B/document")
		b.ReportMetric(float64(state.Bytes())/documents, "B/document-counted")
		runtime.KeepAlive(state)
	}
	b.ReportMetric(float64(b.N)*documents*rounds/b.Elapsed().Seconds(), "entries/s")
}

func foldOne(state *fold.State, assembler *oplog.Assembler, raw bson.Raw) error {
	entry, err := oplog.Decode(raw)
	if err != nil {
		return err
	}
	group, ok, err := assembler.Push(&entry)
	if err == nil && ok {
		err = state.Apply(group)
	}
	return err
}

// order makes an entry about the i-th order: its insert in the first round, an update of one field in later ones.
func order(round, i int) bson.Raw {
	id := bson.Raw(nil)
	id, _ = bson.Marshal(bson.D{{Key: "_id", Value: fmt.Sprintf("order-%08d", i)}})
	o := bson.D{{Key: "_id", Value: id.Lookup("_id")}, {Key: "status", Value: "new"}, {Key: "round", Value: 0},
		{Key: "customer", Value: bson.D{{Key: "name", Value: "somebody with a name"}, {Key: "city", Value: "somewhere"}}},
		{Key: "lines", Value: bson.A{1, 2, 3, 4, 5, 6, 7, 8}}, {Key: "note", Value: "a note that is as long as notes usually are, which is not very long"}}
	entry := bson.D{{Key: "op", Value: "i"}, {Key: "ns", Value: "shop.orders"}, {Key: "ui", Value: first.Binary()}, {Key: "o", Value: o}}
	if round > 0 {
		entry[0].Value = "u"
		entry[3].Value = bson.D{{Key: "$v", Value: int32(2)}, {Key: "diff", Value: bson.D{{Key: "u", Value: bson.D{{Key: "round", Value: round}}}}}}
		entry = append(entry, bson.E{Key: "o2", Value: id})
	}
	entry = append(entry, bson.E{Key: "ts", Value: bson.Timestamp{T: uint32(100 + round), I: uint32(i + 1)}}, bson.E{Key: "t", Value: int64(1)},
		bson.E{Key: "v", Value: int64(2)})
	raw, _ := bson.Marshal(entry)
	return raw
}
