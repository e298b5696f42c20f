package fold_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/history/fold"
	"pitr/internal/recording"
	"pitr/oplog"
)

// fill puts a recorded state into a fold as its base.
func fill(t testing.TB, state *fold.State, base recording.State) {
	t.Helper()
	uuids := map[pitr.Namespace]pitr.UUID{}
	for _, collection := range base.Collections {
		uuids[collection.NS] = collection.UUID
		if collection.NS.IsSystem() {
			continue
		}
		if err := state.AddCollection(collection); err != nil {
			t.Fatal(err)
		}
	}
	for ns, documents := range base.Documents {
		if ns.IsSystem() {
			continue
		}
		for _, document := range documents {
			if err := state.Put(uuids[ns], document); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// groups reads a recorded oplog, put together into what counts.
func groups(t testing.TB, file string, after pitr.Timestamp) (list []oplog.Committed) {
	t.Helper()
	var assembler oplog.Assembler
	for raw := range recording.Documents(t, file) {
		entry, err := oplog.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		if entry.OpTime.TS <= after {
			continue
		}
		group, ok, err := assembler.Push(&entry)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			group.Ops = slices.Clone(group.Ops)
			list = append(list, group)
		}
	}
	return list
}

// apply folds the groups through a moment and gives the rest.
func apply(t testing.TB, state *fold.State, list []oplog.Committed, through pitr.Timestamp) []oplog.Committed {
	t.Helper()
	for len(list) > 0 && list[0].At <= through {
		if err := state.Apply(list[0]); err != nil {
			t.Fatal(err)
		}
		list = list[1:]
	}
	return list
}

// compare holds a folded state against a recorded one: names, UUIDs, options, indexes and documents, byte for byte.
func compare(t *testing.T, where string, state *fold.State, want recording.State) {
	t.Helper()
	collections, err := state.Collections()
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	got := map[pitr.Namespace]pitr.Collection{}
	for _, collection := range collections {
		got[collection.NS] = collection
	}
	seen := 0
	for _, listed := range want.Collections {
		if listed.NS.IsSystem() {
			continue
		}
		seen++
		folded, ok := got[listed.NS]
		if !ok {
			t.Errorf("%s: %s is missing", where, listed.NS)
			continue
		}
		if folded.UUID != listed.UUID || folded.Type != listed.Type || !bytes.Equal(folded.Options, listed.Options) {
			t.Errorf("%s: %s is %s %s with %v\nwant %s %s with %v", where, listed.NS, folded.Type, folded.UUID, folded.Options,
				listed.Type, listed.UUID, listed.Options)
		}
		wantNS := listed.NS
		if folded, listed := texts(folded.Indexes), texts(listed.Indexes); folded != listed {
			t.Errorf("%s: %s has the indexes\n%s\nwant\n%s", where, wantNS, folded, listed)
		}
		compareDocuments(t, where+": "+listed.NS.String(), state, listed.UUID, want.Documents[listed.NS])
	}
	if seen != len(got) {
		t.Errorf("%s: %d collections, want %d", where, len(got), seen)
	}
}

func texts(documents []bson.Raw) string {
	var list []string
	for _, document := range documents {
		list = append(list, document.String())
	}
	return strings.Join(list, "\n")
}

func compareDocuments(t *testing.T, where string, state *fold.State, uuid pitr.UUID, want []bson.Raw) {
	t.Helper()
	wanted := map[string]bson.Raw{}
	for _, document := range want {
		key, err := pitr.KeyOf(document)
		if err != nil {
			t.Fatal(err)
		}
		wanted[key.Equal()] = document
	}
	count := 0
	for key, document := range state.Documents(uuid) {
		if document == nil {
			continue
		}
		count++
		if !bytes.Equal(document, wanted[key]) {
			t.Errorf("%s: %v\nwant %v", where, document, wanted[key])
		}
	}
	if count != len(wanted) {
		t.Errorf("%s: %d documents, want %d", where, count, len(wanted))
	}
}

// TestCorpusHistory: the first state of a random history and the entries after it give every later state that a real
// server showed.
func TestCorpusHistory(t *testing.T) { replay(t, "history") }

// TestCorpusIncident: the base of the incident and its oplog give each recorded moment, also the last one before the
// index was dropped.
func TestCorpusIncident(t *testing.T) { replay(t, "incident") }

// replay folds each recording of a kind from its first state on, and compares at each later one.
func replay(t *testing.T, kind string) {
	t.Helper()
	for _, folder := range recording.Files(t, kind+"/*") {
		files := recording.Files(t, kind+"/"+filepath.Base(folder)+"/state-*.jsonl.zst")
		base := recording.ReadState(t, files[0])
		state := fold.New(fold.Options{Exact: base.At})
		fill(t, state, base)
		list := groups(t, filepath.Join(folder, "oplog.jsonl.zst"), base.At)
		for _, file := range files[1:] {
			want := recording.ReadState(t, file)
			list = apply(t, state, list, want.At)
			compare(t, fmt.Sprintf("%s at %s", file, want.At), state, want)
			if t.Failed() {
				return
			}
		}
		tally := state.Tally()
		if tally.Overwritten+tally.Missed+tally.Placeholders != 0 || tally.Groups == 0 {
			t.Errorf("%s: %+v", folder, tally)
		}
		t.Logf("%s: %d states, %+v", folder, len(files), tally)
	}
}

// TestCorpusConcurrent: a majority scan in slow batches under four writers is no snapshot, yet with the oplog from its
// begin on it gives every exact state at or after its end.
func TestCorpusConcurrent(t *testing.T) {
	for _, folder := range recording.Files(t, "concurrent/*") {
		scan := recording.ReadScan(t, filepath.Join(folder, "scan.jsonl.zst"))
		files := recording.Files(t, "concurrent/"+filepath.Base(folder)+"/state-*.jsonl.zst")
		scan.Collections = recording.ReadState(t, files[0]).Collections
		state := fold.New(fold.Options{Exact: scan.Through})
		fill(t, state, scan.State)
		list := groups(t, filepath.Join(folder, "oplog.jsonl.zst"), scan.From)
		list = apply(t, state, list, scan.Through)
		compared := 0
		for _, file := range files {
			want := recording.ReadState(t, file)
			if want.At < scan.Through {
				continue
			}
			compared++
			list = apply(t, state, list, want.At)
			compare(t, fmt.Sprintf("%s at %s", file, want.At), state, want)
			if t.Failed() {
				return
			}
		}
		if tally := state.Tally(); compared == 0 || tally.Overwritten+tally.Missed+tally.Placeholders != 0 {
			t.Errorf("%s: %d states, %+v", folder, compared, tally)
		}
	}
}

// TestCorpusScanUnderDDL: a scan by UUID while collections are dropped, re-created, renamed over and rebuilt gives, with
// the oplog from its begin on, the documents and the catalog at the end.
func TestCorpusScanUnderDDL(t *testing.T) {
	for _, folder := range recording.Files(t, "ddlscan/*") {
		scan := recording.ReadScan(t, filepath.Join(folder, "scan.jsonl.zst"))
		want := recording.ReadState(t, filepath.Join(folder, "state-00.jsonl.zst"))
		state := fold.New(fold.Options{Exact: scan.Through})
		fill(t, state, scan.State)
		for _, each := range scan.ByUUID {
			if err := state.Put(each.UUID, each.Document); err != nil {
				t.Fatal(err)
			}
		}
		if want.At < scan.Through {
			t.Fatalf("%s: the state at %s is before the end of the scan at %s", folder, want.At, scan.Through)
		}
		list := groups(t, filepath.Join(folder, "oplog.jsonl.zst"), scan.From)
		apply(t, state, list, want.At)
		compare(t, folder, state, want)
		t.Logf("%s: %+v", folder, state.Tally())
	}
}
