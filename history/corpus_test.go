package history_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/history"
	"pitr/internal/recording"
	"pitr/oplog"
)

// recorded is one state of a recording: what a real server showed at a moment.
type recorded struct {
	at          pitr.Timestamp
	collections []pitr.Collection
	documents   map[pitr.Namespace][]bson.Raw
}

func readState(t testing.TB, file string) recorded {
	t.Helper()
	state := recorded{documents: map[pitr.Namespace][]bson.Raw{}}
	for line := range recording.Lines(t, file) {
		switch {
		case line.Has("at"):
			state.at = line.Timestamp(t, "at")
		case line.Has("collection"):
			state.collections = append(state.collections, readCollection(t, line))
		case line.Has("document") && line.Has("ns"):
			ns, err := pitr.ParseNamespace(line.Text(t, "ns"))
			if err != nil {
				t.Fatal(err)
			}
			state.documents[ns] = append(state.documents[ns], line.Document(t, "document"))
		}
	}
	return state
}

// readCollection reads a line of listCollections with the reply of listIndexes.
func readCollection(t testing.TB, line recording.Line) pitr.Collection {
	t.Helper()
	listed := line.Document(t, "collection")
	collection := pitr.Collection{
		NS:      pitr.Namespace{DB: line.Text(t, "db"), Collection: listed.Lookup("name").StringValue()},
		Type:    pitr.CollectionType(listed.Lookup("type").StringValue()),
		Options: listed.Lookup("options").Document(),
	}
	if id := listed.Lookup("info", "uuid"); id.Type != 0 {
		uuid, err := pitr.UUIDOf(id)
		if err != nil {
			t.Fatal(err)
		}
		collection.UUID = uuid
	}
	if line.Has("indexes") && string(line["indexes"]) != "null" {
		collection.Indexes = line.Documents(t, "indexes")
	}
	return collection
}

// fill puts a recorded state into a fold as its base.
func fill(t testing.TB, state *history.State, base recorded) {
	t.Helper()
	uuids := map[pitr.Namespace]pitr.UUID{}
	for _, collection := range base.collections {
		uuids[collection.NS] = collection.UUID
		if collection.NS.IsSystem() {
			continue
		}
		if err := state.AddCollection(collection); err != nil {
			t.Fatal(err)
		}
	}
	for ns, documents := range base.documents {
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
func apply(t testing.TB, state *history.State, list []oplog.Committed, through pitr.Timestamp) []oplog.Committed {
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
func compare(t *testing.T, where string, state *history.State, want recorded) {
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
	for _, listed := range want.collections {
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
		compareDocuments(t, where+": "+listed.NS.String(), state, listed.UUID, want.documents[listed.NS])
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

func compareDocuments(t *testing.T, where string, state *history.State, uuid pitr.UUID, want []bson.Raw) {
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
func TestCorpusHistory(t *testing.T) {
	for _, folder := range recording.Files(t, "history/*") {
		files := recording.Files(t, "history/"+filepath.Base(folder)+"/state-*.jsonl.zst")
		base := readState(t, files[0])
		state := history.NewState(history.StateOptions{Exact: base.at})
		fill(t, state, base)
		list := groups(t, filepath.Join(folder, "oplog.jsonl.zst"), base.at)
		for _, file := range files[1:] {
			want := readState(t, file)
			list = apply(t, state, list, want.at)
			compare(t, fmt.Sprintf("%s at %s", file, want.at), state, want)
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
		scan := readScan(t, filepath.Join(folder, "scan.jsonl.zst"))
		files := recording.Files(t, "concurrent/"+filepath.Base(folder)+"/state-*.jsonl.zst")
		scan.collections = readState(t, files[0]).collections
		state := history.NewState(history.StateOptions{Exact: scan.through})
		fill(t, state, scan.recorded)
		list := groups(t, filepath.Join(folder, "oplog.jsonl.zst"), scan.from)
		list = apply(t, state, list, scan.through)
		compared := 0
		for _, file := range files {
			want := readState(t, file)
			if want.at < scan.through {
				continue
			}
			compared++
			list = apply(t, state, list, want.at)
			compare(t, fmt.Sprintf("%s at %s", file, want.at), state, want)
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
		scan := readScan(t, filepath.Join(folder, "scan.jsonl.zst"))
		want := readState(t, filepath.Join(folder, "state-00.jsonl.zst"))
		state := history.NewState(history.StateOptions{Exact: scan.through})
		fill(t, state, scan.recorded)
		for _, each := range scan.byUUID {
			if err := state.Put(each.uuid, each.document); err != nil {
				t.Fatal(err)
			}
		}
		if want.at < scan.through {
			t.Fatalf("%s: the state at %s is before the end of the scan at %s", folder, want.at, scan.through)
		}
		list := groups(t, filepath.Join(folder, "oplog.jsonl.zst"), scan.from)
		apply(t, state, list, want.at)
		compare(t, folder, state, want)
		t.Logf("%s: %+v", folder, state.Tally())
	}
}

// TestCorpusIncident: the base of the incident and its oplog give each recorded moment, also the last one before the
// index was dropped.
func TestCorpusIncident(t *testing.T) {
	for _, folder := range recording.Files(t, "incident/*") {
		files := recording.Files(t, "incident/"+filepath.Base(folder)+"/state-*.jsonl.zst")
		base := readState(t, files[0])
		state := history.NewState(history.StateOptions{Exact: base.at})
		fill(t, state, base)
		list := groups(t, filepath.Join(folder, "oplog.jsonl.zst"), base.at)
		for _, file := range files[1:] {
			want := readState(t, file)
			list = apply(t, state, list, want.at)
			compare(t, fmt.Sprintf("%s at %s", file, want.at), state, want)
		}
		if tally := state.Tally(); tally.Overwritten+tally.Missed+tally.Placeholders != 0 || tally.Groups == 0 {
			t.Errorf("%s: %+v", folder, tally)
		}
	}
}

// scan is a recorded reading of a database that was written to meanwhile.
type scan struct {
	recorded
	from, through pitr.Timestamp
	byUUID        []scanned
}

type scanned struct {
	uuid     pitr.UUID
	document bson.Raw
}

func readScan(t *testing.T, file string) scan {
	t.Helper()
	read := scan{recorded: readState(t, file)}
	for line := range recording.Lines(t, file) {
		switch {
		case line.Has("from"):
			read.from = line.Timestamp(t, "from")
		case line.Has("through"):
			read.through = line.Timestamp(t, "through")
		case line.Has("uuid") && line.Has("document"):
			uuid, err := pitr.UUIDOf(line.Document(t, "uuid").Lookup("u"))
			if err != nil {
				t.Fatal(err)
			}
			read.byUUID = append(read.byUUID, scanned{uuid: uuid, document: line.Document(t, "document")})
		}
	}
	if read.from == 0 || read.through == 0 {
		t.Fatalf("%s has no begin or end", file)
	}
	return read
}
