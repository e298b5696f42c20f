package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pitr/catalog"
	"pitr/examples/mender"
	"pitr/format"
	"pitr/internal/replsim"
	"pitr/reconcile"
	"pitr/storage"
)

// TestPageCarriesEveryRecordAndItsGroup writes the page of the incident, without the cluster: every record of the change
// set stands in it once, under the token that an import knows, and every record of a duplicate names its group.
func TestPageCarriesEveryRecordAndItsGroup(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	job := jobPattern.FindString(s.ok("restore", "--to", s.toGood(), "--confirm-target", clusterName, "--json").out)
	live := filepath.Join(t.TempDir(), "live.html")
	s.ok("report", job, "--live", "--html", live)
	looked := pageOf(t, live)
	states := map[string]int{}
	for _, row := range looked.Rows {
		state, _ := row[5].(float64)
		states[looked.Texts[int(state)]]++
	}
	if !looked.Looked || states[string(reconcile.StateCameBackElsewhere)] == 0 || states[string(reconcile.StateChangeLost)] == 0 || states[""] > 0 {
		t.Errorf("with the live database looked at, the states are %v", states)
	}

	s.reader, s.writer = secretFile(t, "mongodb://127.0.0.1:1"), "" // a report needs the repository alone
	numbers, grouped := map[int64]bool{}, map[string]bool{}
	duplicates, touchedIDs := 0, map[string]bool{}
	var lines []map[string]any
	for line := range strings.Lines(s.ok("report", job, "--json").out) {
		var value map[string]any
		s.must(json.Unmarshal([]byte(line), &value))
		lines = append(lines, value)
	}
	for _, line := range lines {
		if line["type"] == "change" {
			n, _ := line["n"].(float64)
			numbers[int64(n)] = true
			if id, isText := line["key"].(string); isText && line["ns"] == mender.Devices {
				touchedIDs[id] = true
			}
		}
	}
	for _, line := range lines {
		if line["type"] != "duplicates" {
			continue
		}
		duplicates++
		ids, _ := line["ids"].([]any)
		for _, each := range ids {
			text, _ := each.(string)
			if id := strings.Trim(text, `"`); touchedIDs[id] {
				grouped[id] = true
			}
		}
	}

	name := filepath.Join(t.TempDir(), "lost.html")
	s.ok("report", job, "--html", name)
	data := pageOf(t, name)
	store, err := storage.OpenFolder(s.folder, storage.FolderOptions{})
	s.must(err)
	repository, err := catalog.Open(t.Context(), store, catalog.OpenOptions{})
	s.must(err)
	found, err := repository.Job(t.Context(), format.ID(job))
	s.must(err)
	if data.Set != reconcile.Token(*found.Changes, 0) || len(numbers) < 20 || duplicates == 0 || len(grouped) == 0 {
		t.Fatalf("the page is about %q; %d records, %d groups of duplicates with %d touched records", data.Set, len(numbers), duplicates, len(grouped))
	}
	for _, row := range data.Rows {
		number, _ := row[0].(float64)
		n := int64(number)
		if !numbers[n] || row[1] != reconcile.Token(*found.Changes, n) {
			t.Errorf("record %d with token %v does not belong here", n, row[1])
		}
		delete(numbers, n)
		key, _ := row[3].(float64)
		groups, _ := row[15].([]any)
		ns, _ := row[2].(float64)
		if id := strings.Trim(data.Texts[int(key)], `"`); data.Texts[int(ns)] == mender.Devices && grouped[id] != (len(groups) > 0) {
			t.Errorf("%s is one of duplicates: %v, the page has it in %v", id, grouped[id], groups)
		}
	}
	if len(numbers) > 0 {
		t.Errorf("%d records are not on the page", len(numbers))
	}
}

// pageContent is what the script of a page reads; the places in a row are those of report/page/data.js.
type pageContent struct {
	Set    string
	Looked bool
	Texts  []string
	Rows   [][]any
}

func pageOf(t *testing.T, name string) (data pageContent) {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(content), `<script type="application/json" id="data">`)
	text, _, _ := strings.Cut(after, "</script>")
	if err := json.Unmarshal([]byte(text), &data); err != nil {
		t.Fatal(err)
	}
	return data
}
