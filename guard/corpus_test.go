package guard_test

import (
	"bytes"
	"context"
	"iter"
	"path/filepath"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/guard"
	"pitr/internal/recording"
	"pitr/oplog"
)

// recorded is an oplog that was recorded from a real server.
type recorded struct {
	guard.Reader
	entries []bson.Raw
}

func (r recorded) Entries(_ context.Context, after pitr.Timestamp) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		for _, entry := range r.entries {
			t, i := entry.Lookup("ts").Timestamp()
			if pitr.NewTimestamp(t, i) > after && !yield(entry, nil) {
				return
			}
		}
	}
}

// F is the entry that a real server writes when the block is set, and its lifting is seen.
func TestCorpusWriteBlock(t *testing.T) {
	var log recorded
	var set pitr.OpTime
	for _, file := range recording.Files(t, "scripts/write-block.jsonl.zst") {
		for step := range recording.Lines(t, file) {
			note := step.Text(t, "note")
			for _, raw := range step.Documents(t, "entries") {
				log.entries = append(log.entries, raw)
				entry, err := oplog.Decode(raw)
				if err != nil {
					t.Fatal(err)
				}
				if note == "block" {
					set = entry.OpTime
				}
			}
			f, ours, err := guard.FindBlock(t.Context(), log, pitr.OpTime{})
			switch {
			case err != nil:
				t.Fatal(err)
			case note == "block" && (!ours || f != set), note == "find still works" && !ours, note == "unblock" && ours:
				t.Errorf("after %q: %v, F %s, the entry %s", note, ours, f, set)
			}
			if note == "unblock" {
				return
			}
		}
	}
	t.Error("the recording has no unblock")
}

// The recorded incident is planned back to just before the index was dropped, and executed on a model that checks unique
// indexes at every write.
func TestCorpusIncidentIsPlannedBack(t *testing.T) {
	for _, folder := range recording.Files(t, "incident/*") {
		base := recording.ReadState(t, filepath.Join(folder, "state-0-base.jsonl.zst"))
		at := recording.ReadState(t, filepath.Join(folder, "state-2-just-before.jsonl.zst"))
		end := recording.ReadState(t, filepath.Join(folder, "state-3-end.jsonl.zst"))
		want := sideOf(t, base.Collections, at.Documents)
		damaged := sideOf(t, end.Collections, end.Documents)
		changes := recordedChanges(t, damaged, want)
		for _, blocked := range []bool{true, false} {
			plan, err := guard.PlanTo(guard.Task{Changes: changes, E: damaged.catalog, T: want.catalog, Blocked: blocked})
			if err != nil {
				t.Fatal(err)
			}
			cluster := clusterOf(damaged)
			run := guard.Execution{Target: cluster, Lookout: watch(cluster, plan), Plan: plan, Changes: changes}
			if err := run.Run(t.Context()); err != nil {
				t.Fatalf("%s: %v", folder, err)
			}
			checkEquals(t, cluster, want)
			t.Logf("%d changes, %d documents written, %d steps in the cluster's log", len(changes), plan.Documents, len(cluster.Log()))
		}
	}
}

func sideOf(t *testing.T, catalog []pitr.Collection, documents map[pitr.Namespace][]bson.Raw) side {
	t.Helper()
	s := side{documents: map[pitr.Namespace]map[string]bson.Raw{}}
	for _, collection := range catalog {
		if collection.NS.IsSystem() {
			continue
		}
		s.catalog = append(s.catalog, collection)
		s.documents[collection.NS] = map[string]bson.Raw{}
		for _, document := range documents[collection.NS] {
			s.documents[collection.NS][keyOf(t, document).Equal()] = document
		}
	}
	return s
}

func recordedChanges(t *testing.T, e, at side) guard.InMemory {
	t.Helper()
	var changes guard.InMemory
	recreated := func(ns pitr.Namespace) bool {
		uuids := map[pitr.UUID]bool{}
		for _, catalog := range [][]pitr.Collection{e.catalog, at.catalog} {
			for _, collection := range catalog {
				if collection.NS == ns {
					uuids[collection.UUID] = true
				}
			}
		}
		return len(uuids) > 1
	}
	add := func(ns pitr.Namespace, now, then bson.Raw) {
		if bytes.Equal(now, then) && !recreated(ns) {
			return
		}
		document := now
		if document == nil {
			document = then
		}
		changes = append(changes, pitr.Change{NS: ns, Key: keyOf(t, document), E: now, T: then, Class: pitr.Classify(now, then)})
	}
	for ns, documents := range e.documents {
		for key, document := range documents {
			add(ns, document, at.documents[ns][key])
		}
	}
	for ns, documents := range at.documents {
		for key, document := range documents {
			if e.documents[ns][key] == nil {
				add(ns, nil, document)
			}
		}
	}
	return changes
}
