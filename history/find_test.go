package history_test

import (
	"bytes"
	"context"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/history"
	"pitr/internal/recording"
	"pitr/oplog"
)

// incident is the recorded incident with its states by name.
type incident struct {
	history               *history.History
	base, justBefore, end recording.State
}

func readIncident(t testing.TB) incident {
	t.Helper()
	folder := recording.Files(t, "incident/*")[0]
	files := recording.Files(t, "incident/"+filepath.Base(folder)+"/state-*.jsonl.zst")
	i := incident{base: recording.ReadState(t, files[0]), justBefore: recording.ReadState(t, files[2]), end: recording.ReadState(t, files[3])}
	window := pitr.Window{After: i.base.At, Through: i.base.At}
	i.history = history.New(baseOf(i.base, window), entriesOf(t, filepath.Join(folder, "oplog.jsonl.zst")), history.Options{})
	return i
}

var devices = pitr.Namespace{DB: "deviceauth", Collection: "devices"}

// TestCorpusFind: the incident shows itself: the dropped index with its second and ordinal, the failed build, the mass
// update of the migration, the deletes by hand, the re-created collection.
func TestCorpusFind(t *testing.T) {
	i := readIncident(t)
	findings, err := i.history.Find(context.Background(), pitr.Window{After: i.base.At, Through: i.end.At}, history.EventOptions{Mass: 40})
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[history.EventKind]int{}
	for _, event := range findings.Events {
		kinds[event.Kind]++
		if event.Kind == history.EventIndexDropped && (event.NS != devices || !pitr.IsUnique(event.Index) || event.OpTime.TS.Before() < i.justBefore.At ||
			event.Wall.IsZero() || !event.Suspicious()) {
			t.Errorf("the dropped index: %+v", event)
		}
		if event.Kind == history.EventCollectionDropped && (event.NS.Collection != "limits" || event.Documents <= 0) {
			t.Errorf("the dropped collection: %+v", event)
		}
	}
	for _, kind := range []history.EventKind{history.EventIndexDropped, history.EventIndexFailed, history.EventCollectionDropped} {
		if kinds[kind] != 1 {
			t.Errorf("%d events %q, want 1", kinds[kind], kind)
		}
	}
	if kinds[history.EventMassUpdate] == 0 || kinds[history.EventMassDelete] == 0 {
		t.Errorf("no mass update or delete: %v", kinds)
	}
	if len(findings.Gaps) != 1 || !findings.Gaps[0].Rebuilt.IsZero() || len(findings.Gaps[0].Failed) != 1 ||
		!strings.Contains(findings.Gaps[0].Failed[0].Detail, "E11000") {
		t.Errorf("index gaps: %+v", findings.Gaps)
	}
	duplicates(t, i, findings.Gaps[0])
	candidates(t, i, findings)
}

// duplicates holds what the missing index let in against a count of the recorded documents.
func duplicates(t *testing.T, i incident, gap history.IndexGap) {
	t.Helper()
	view, err := i.history.View(context.Background(), i.end.At, pitr.Scope{Only: []string{devices.String()}})
	if err != nil {
		t.Fatal(err)
	}
	collection, _ := view.Collection(devices)
	found, err := view.Duplicates(context.Background(), collection, gap.Spec)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int64{}
	for _, document := range i.end.Documents[devices] {
		count[document.Lookup("tenant_id").String()+document.Lookup("id_data_sha256").String()]++
	}
	groups, documents := int64(0), int64(0)
	for _, n := range count {
		if n > 1 {
			groups++
			documents += n
		}
	}
	if groups == 0 || found.Groups != groups || found.Documents != documents || int64(len(found.Shown)) != groups || found.Doubt != "" {
		t.Errorf("%d groups of %d documents, %d shown, %q; want %d of %d", found.Groups, found.Documents, len(found.Shown), found.Doubt, groups, documents)
	}
	// At T the index stood: there are none.
	if view, err = i.history.View(context.Background(), i.justBefore.At, pitr.Scope{}); err != nil {
		t.Fatal(err)
	}
	collection, _ = view.Collection(devices)
	if found, err = view.Duplicates(context.Background(), collection, gap.Spec); err != nil || found.Groups != 0 {
		t.Errorf("just before: %+v, %v", found, err)
	}
}

// candidates holds the prices against the gaps themselves.
func candidates(t *testing.T, i incident, findings history.Findings) {
	t.Helper()
	list, err := i.history.Candidates(context.Background(), findings.Events, i.end.At, history.CandidateOptions{})
	if err != nil || len(list) < 3 {
		t.Fatalf("%d candidates, %v", len(list), err)
	}
	for _, candidate := range list {
		gap, err := i.history.Gap(context.Background(), pitr.Window{After: candidate.At, Through: i.end.At}, history.GapOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want := map[pitr.Namespace]map[pitr.Class]int64{}
		for change, err := range gap.Changes(context.Background()) {
			if err != nil {
				t.Fatal(err)
			}
			if want[change.NS] == nil {
				want[change.NS] = map[pitr.Class]int64{}
			}
			want[change.NS][change.Class]++
		}
		for ns, classes := range want {
			// Keys that a re-created collection has in common with the old one are told apart only by the gap.
			if ns.Collection != "limits" && !maps.Equal(candidate.Lost[ns], classes) {
				t.Errorf("before %s of %s: %v, want %v", candidate.Event.Kind, ns, candidate.Lost[ns], classes)
			}
		}
		t.Logf("before %s on %s: %v", candidate.Event.Kind, candidate.Event.NS, candidate.Total())
	}
}

// TestCorpusPrice: what the entries alone tell is what the gap has, less what only documents can tell.
func TestCorpusPrice(t *testing.T) {
	i := readIncident(t)
	window := pitr.Window{After: i.justBefore.At, Through: i.end.At}
	price, err := i.history.Price(context.Background(), window, pitr.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	gap, err := i.history.Gap(context.Background(), window, history.GapOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[pitr.Class]int64{}
	for change := range gap.Changes(context.Background()) {
		if change.NS.Collection != "limits" {
			// Whether a document was due is not in the entries.
			want[pitr.Classify(change.E, change.T)]++
		}
	}
	got := map[pitr.Class]int64{}
	for ns, classes := range price.Touched {
		for class, count := range classes {
			if ns.Collection != "limits" {
				got[class] += count
			}
		}
	}
	want[pitr.ClassChanged] += want[pitr.ClassUnchanged]
	delete(want, pitr.ClassUnchanged)
	if !maps.Equal(got, want) || len(price.Obstacles) != 0 {
		t.Errorf("%v, obstacles %v; want %v", got, price.Obstacles, want)
	}
	if limits := price.Touched[pitr.Namespace{DB: "deviceauth", Collection: "limits"}]; limits[pitr.ClassDeleted] == 0 {
		t.Errorf("the dropped collection is priced %v", limits)
	}
}

// TestCorpusTraces: a trace holds every state that a document was recorded in.
func TestCorpusTraces(t *testing.T) {
	i := readIncident(t)
	want := map[string][]bson.Raw{}
	var order []pitr.Key
	for _, state := range []recording.State{i.base, i.justBefore, i.end} {
		for _, document := range state.Documents[devices] {
			key, err := pitr.KeyOf(document)
			if err != nil {
				t.Fatal(err)
			}
			if want[key.Equal()] == nil {
				order = append(order, key)
			}
			want[key.Equal()] = append(want[key.Equal()], document)
		}
	}
	traced := 0
	for n, key := range order {
		if n%211 != 0 {
			continue
		}
		versions, err := i.history.Trace(context.Background(), devices, key, i.end.At)
		if err != nil {
			t.Fatal(err)
		}
		traced += len(versions)
		for _, document := range want[key.Equal()] {
			found := false
			for _, version := range versions {
				found = found || bytes.Equal(version.Document, document)
			}
			if !found {
				t.Errorf("%s: the recorded state %v is not among %d versions", key, document, len(versions))
			}
		}
		if last := versions[len(versions)-1]; last.Kind == oplog.KindUpdate && len(last.Paths) == 0 || last.NS != devices {
			t.Errorf("%s: %+v", key, last)
		}
	}
	t.Logf("%d versions", traced)
}
