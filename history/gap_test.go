package history_test

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/history"
	"pitr/internal/recording"
)

// place is a collection as changes name it.
type place struct {
	ns   pitr.Namespace
	uuid pitr.UUID
}

// sides are a document at both ends of a gap.
type sides struct{ t, e bson.Raw }

// expect compares two recorded states by the rules of a change set: a collection keeps its identity under other names, and
// one that was made under the name of a dropped one takes its place.
func expect(t *testing.T, was, is recording.State) map[place]map[string]sides {
	t.Helper()
	byUUID := func(state recording.State) map[pitr.UUID]pitr.Namespace {
		names := map[pitr.UUID]pitr.Namespace{}
		for _, c := range state.Collections {
			if !c.UUID.IsZero() && !c.NS.IsSystem() {
				names[c.UUID] = c.NS
			}
		}
		return names
	}
	wasNames, isNames := byUUID(was), byUUID(is)
	taken := map[pitr.Namespace]pitr.UUID{}
	for uuid, ns := range isNames {
		taken[ns] = uuid
	}
	want := map[place]map[string]sides{}
	put := func(at place, documents []bson.Raw, set func(*sides, bson.Raw)) {
		if want[at] == nil {
			want[at] = map[string]sides{}
		}
		for _, document := range documents {
			key, err := pitr.KeyOf(document)
			if err != nil {
				t.Fatal(err)
			}
			each := want[at][key.Equal()]
			set(&each, document)
			want[at][key.Equal()] = each
		}
	}
	for uuid, ns := range wasNames {
		at := place{ns: ns, uuid: uuid}
		if _, stays := isNames[uuid]; !stays {
			at.uuid = pitr.UUID{}
			if successor, ok := taken[ns]; ok {
				if _, older := wasNames[successor]; !older {
					at.uuid = successor
				}
			}
		}
		put(at, was.Documents[ns], func(s *sides, document bson.Raw) { s.t = document })
	}
	for uuid, ns := range isNames {
		at := place{ns: ns, uuid: uuid}
		if older, ok := wasNames[uuid]; ok {
			at.ns = older
		}
		put(at, is.Documents[ns], func(s *sides, document bson.Raw) { s.e = document })
	}
	return want
}

// compareGap holds the changes of a gap against two recorded states: each difference is told, with both documents byte for
// byte, and nothing is told that is not so.
func compareGap(t *testing.T, where string, gap *history.Gap, was, is recording.State) map[pitr.Class]int {
	t.Helper()
	want := expect(t, was, is)
	classes := map[pitr.Class]int{}
	told := map[place]map[string]bool{}
	n := int64(len(gap.Steps))
	var order []pitr.Namespace
	for change, err := range gap.Changes(context.Background()) {
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		n++
		at := place{change.NS, change.UUID}
		if told[at] == nil {
			told[at] = map[string]bool{}
			order = append(order, change.NS)
		}
		if told[at][change.Key.Equal()] || change.N != n {
			t.Errorf("%s: %s of %s is told twice, or as number %d instead of %d", where, change.Key, change.NS, change.N, n)
		}
		told[at][change.Key.Equal()] = true
		classes[change.Class]++
		wanted := want[at][change.Key.Equal()]
		if !bytes.Equal(change.T, wanted.t) || !bytes.Equal(change.E, wanted.e) {
			t.Errorf("%s: %s of %s\nT %v\nwant %v\nE %v\nwant %v", where, change.Key, change.NS, change.T, wanted.t, change.E, wanted.e)
		}
		if class := pitr.Classify(change.E, change.T); change.Class != class && change.Class != pitr.ClassExpired {
			t.Errorf("%s: %s of %s is %q, not %q", where, change.Key, change.NS, change.Class, class)
		}
		if !gap.Window.Contains(change.First.TS) || !gap.Window.Contains(change.Last.TS) || change.First.TS > change.Last.TS || change.Ops == 0 {
			t.Errorf("%s: %s of %s is touched from %s to %s, %d times", where, change.Key, change.NS, change.First, change.Last, change.Ops)
		}
	}
	if !slices.IsSortedFunc(order, pitr.Namespace.Compare) {
		t.Errorf("%s: changes come in the order %v", where, order)
	}
	for at, documents := range want {
		for key, each := range documents {
			if !bytes.Equal(each.t, each.e) && !told[at][key] {
				t.Errorf("%s: of %s is not told\nT %v\nE %v", where, at.ns, each.t, each.e)
			}
		}
	}
	return classes
}

// TestCorpusGaps: what lies between two recorded states is told completely, through drops, re-creations and renames.
func TestCorpusGaps(t *testing.T) {
	for _, folder := range recording.Files(t, "history/*") {
		files := recording.Files(t, "history/"+filepath.Base(folder)+"/state-*.jsonl.zst")
		var states []recording.State
		for _, file := range files {
			states = append(states, recording.ReadState(t, file))
		}
		window := pitr.Window{After: states[0].At, Through: states[0].At}
		h := history.New(baseOf(states[0], window), entriesOf(t, filepath.Join(folder, "oplog.jsonl.zst")), history.Options{})
		classes := map[pitr.Class]int{}
		last := len(states) - 1
		for _, pair := range [][2]int{{0, 1}, {0, last}, {last / 8, last/8 + 1}, {last / 5, last / 2}, {last/2 - 1, last/2 + 1}, {last * 2 / 3, last}, {last / 3, last / 3}} {
			was, is := states[pair[0]], states[pair[1]]
			gap, err := h.Gap(context.Background(), pitr.Window{After: was.At, Through: is.At}, history.GapOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for class, count := range compareGap(t, fmt.Sprintf("%s %v", folder, pair), gap, was, is) {
				classes[class] += count
			}
			compareSteps(t, fmt.Sprintf("%s %v", folder, pair), gap, was, is)
			if t.Failed() {
				return
			}
		}
		t.Logf("%s: %v", folder, classes)
	}
}

// compareSteps undoes the steps of a gap on the catalog at E and expects that of T.
func compareSteps(t *testing.T, where string, gap *history.Gap, was, is recording.State) {
	t.Helper()
	byName := func(state recording.State) map[pitr.Namespace]pitr.Collection {
		list := map[pitr.Namespace]pitr.Collection{}
		for _, c := range state.Collections {
			if !c.NS.IsSystem() {
				list[c.NS] = c
			}
		}
		return list
	}
	catalog := byName(is)
	var added []pitr.Collection
	for _, step := range gap.Steps {
		switch step.Step {
		case pitr.StepCreated:
			delete(catalog, step.NS)
		case pitr.StepRenamed:
			delete(catalog, step.CollectionE.NS)
			added = append(added, *step.CollectionT)
		case pitr.StepDropped, pitr.StepRecreated:
			added = append(added, *step.CollectionT)
		default:
			if step.CollectionT.NS != step.NS {
				t.Errorf("%s: %+v", where, step)
			}
			added = append(added, *step.CollectionT)
		}
	}
	for _, c := range added {
		catalog[c.NS] = c
	}
	want := byName(was)
	for ns, c := range want {
		got := catalog[ns]
		if got.UUID != c.UUID || !bytes.Equal(got.Options, c.Options) || texts(got.Indexes) != texts(c.Indexes) {
			t.Errorf("%s: undone, %s is %v\nwant %v", where, ns, got, c)
		}
	}
	if len(catalog) != len(want) {
		t.Errorf("%s: undone, there are %d collections, want %d", where, len(catalog), len(want))
	}
}

// TestCorpusIncidentGap: the lost set of the incident, complete and with its culprits.
func TestCorpusIncidentGap(t *testing.T) {
	folder := recording.Files(t, "incident/*")[0]
	files := recording.Files(t, "incident/"+filepath.Base(folder)+"/state-*.jsonl.zst")
	base, was, is := recording.ReadState(t, files[0]), recording.ReadState(t, files[2]), recording.ReadState(t, files[3])
	memory := baseOf(base, pitr.Window{After: base.At, Through: base.At})
	h := history.New(memory, entriesOf(t, filepath.Join(folder, "oplog.jsonl.zst")), history.Options{})
	gap, err := h.Gap(context.Background(), pitr.Window{After: was.At, Through: is.At}, history.GapOptions{})
	if err != nil {
		t.Fatal(err)
	}
	classes := compareGap(t, folder, gap, was, is)
	compareSteps(t, folder, gap, was, is)
	t.Logf("%v, %d look-ups", classes, memory.lookups)
	for _, step := range gap.Steps {
		t.Logf("%d %s %s %v", step.N, step.Step, step.NS, step.T)
	}
	for _, burst := range gap.Bursts {
		t.Logf("%d %s %s %q sessions %v: %d from %s to %s", burst.N, burst.Kind, burst.NS, burst.Paths, burst.Sessions, burst.Ops, burst.First, burst.Last)
	}
}
