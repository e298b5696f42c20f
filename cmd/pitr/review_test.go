package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/diff"
	"pitr/format"
	"pitr/internal/replsim"
	"pitr/reconcile"
	"pitr/report"
	"pitr/sheet"
	"pitr/storage"
)

// openJobOf opens the repository and one of its jobs.
func (s *stage) openJobOf(id string) (*catalog.Repository, catalog.Job) {
	s.t.Helper()
	store, err := storage.OpenFolder(s.folder, storage.FolderOptions{})
	s.must(err)
	repository, err := catalog.Open(context.Background(), store, catalog.OpenOptions{})
	s.must(err)
	job, err := repository.Job(context.Background(), format.ID(id))
	s.must(err)
	return repository, job
}

// recordsOf makes records of a change set as a plan does where nothing has come back.
func recordsOf(repository *catalog.Repository, job catalog.Job) iter.Seq2[reconcile.Record, error] {
	return func(yield func(reconcile.Record, error) bool) {
		for document, err := range repository.ChangeDocuments(context.Background(), *job.Changes) {
			if err == nil && format.IsCatalogStep(document) {
				continue
			}
			change, decodeErr := format.DecodeChange(document)
			if err == nil {
				err = decodeErr
			}
			record := reconcile.Record{Token: reconcile.Token(*job.Changes, change.N), Change: change, Suggested: reconcile.DecisionLeave, Reason: "=why not"}
			switch change.Class {
			case pitr.ClassCreated:
				record.State, record.Suggested = reconcile.StateLost, reconcile.DecisionPutBack
			case pitr.ClassChanged:
				record.State, record.Suggested, record.Live = reconcile.StateChangeLost, reconcile.DecisionPutBack, change.T
				record.Merge = mergeLike(change)
			case pitr.ClassDeleted:
				record.State, record.Live = reconcile.StateDeleted, change.T
			default:
				record.State = reconcile.StateCameAndWent
			}
			if !yield(record, err) || err != nil {
				return
			}
		}
	}
}

func mergeLike(change pitr.Change) (fields []reconcile.FieldMerge) {
	for _, field := range diff.Fields(change.E, change.T) {
		fields = append(fields, reconcile.FieldMerge{Path: field.Path, T: field.T, E: field.E, Live: field.T})
	}
	return fields
}

// session makes what a command's function gets, with a setting.
func (s *stage) session(redact string) *session {
	return &session{streams: streams{out: &bytes.Buffer{}, err: &bytes.Buffer{}}, settings: settings{values: map[string]string{"redact": redact}}}
}

// TestReviewFilesGoOutAndComeBack: what was written as CSV and as Excel, and changed by a person in either, is imported as the
// decisions that it shows; the rest of the file does not matter.
func TestReviewFilesGoOutAndComeBack(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	id := jobPattern.FindString(s.ok("restore", "--to", s.toGood(), "--confirm-target", clusterName, "--json").out)
	repository, job := s.openJobOf(id)
	records := recordsOf(repository, job)
	want := map[int64]reconcile.Decision{}
	for record, err := range records {
		s.must(err)
		want[record.Change.N] = record.Suggested
	}
	for i, name := range []string{"lost.csv", "lost.xlsx"} {
		file := filepath.Join(t.TempDir(), name)
		written, err := s.session("").writeReview(file, reviewSource{records: records, groups: []reconcile.Group{}})
		s.must(err)
		if int(written.Records) != len(want) || written.Notes != (sheet.Notes{}) {
			t.Errorf("%s: %+v, want %d records", name, written, len(want))
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
		if _, err := s.session("").writeReview(file, reviewSource{records: records}); pitr.KindOf(err) != pitr.KindRefused {
			t.Errorf("%s is replaced: %v", name, err)
		}
		line := lastLine(t, s.ok("reconcile", "import", id, file, "--json"))
		if line["number"] != float64(i+1) || line["rows"] != float64(len(want)) || line["bad"] != 0.0 {
			t.Errorf("%s: %v", name, line)
		}
		_, job = s.openJobOf(id)
		decisions, err := reconcile.ReadReview(context.Background(), repository, job)
		s.must(err)
		for n, decision := range want {
			if got, said := decisions.Of(n); !said || got != decision {
				t.Fatalf("%s: number %d is %q, %v, want %q", name, n, got, said, decision)
			}
		}
	}
	s.ok("verify", "--level", "2")
}

// TestImportRefusesAFileAsAWhole: bad rows are named by number, nothing is published; with --skip-bad-rows the rest is, and
// the run ends with 3.
func TestImportRefusesAFileAsAWhole(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	id := jobPattern.FindString(s.ok("restore", "--to", s.toGood(), "--confirm-target", clusterName, "--json").out)
	repository, job := s.openJobOf(id)
	var tokens []string
	for record, err := range recordsOf(repository, job) {
		s.must(err)
		tokens = append(tokens, record.Token)
	}
	before := objects(t, s.folder, "")
	file := filepath.Join(t.TempDir(), "back.csv")
	write := func(content string) { s.must(os.WriteFile(file, []byte(content), 0o600)) }
	// As the page saves it, with a row that somebody edited.
	write("token,decision\r\n" + tokens[0] + ",put back\r\nedited,leave\r\n" + tokens[1] + ",perhaps\r\n" + tokens[2] + ",leave\r\n" + tokens[2] + ",put back\r\n")
	got := s.pitr("reconcile", "import", id, file)
	if got.code != exitUsage || !strings.Contains(got.err, "row 3:") || !strings.Contains(got.err, "row 4:") || !strings.Contains(got.err, "row 6:") {
		t.Errorf("a bad file ends with %d:\n%s", got.code, got.err)
	}
	for what, content := range map[string]string{"no column token": "a,decision\nx,leave\n", "no decision": "token,decision\n" + tokens[0] + ",\n", "nothing": "",
		"an open quote": "token,decision\n" + tokens[0] + ",leave\n\"\n"} {
		write(content)
		if skipping := s.pitr("reconcile", "import", id, file, "--skip-bad-rows"); skipping.code != exitUsage {
			t.Errorf("%s ends with %d:\n%s", what, skipping.code, skipping.err)
		}
	}
	if after := objects(t, s.folder, ""); !slices.Equal(before, after) {
		t.Errorf("a refused import left %d objects where %d were", len(after), len(before))
	}
	write("Decision;x;TOKEN\r\nPUT BACK;;" + tokens[0] + "\r\nleave;;edited\r\n")
	got = s.pitr("reconcile", "import", id, file, "--skip-bad-rows")
	if got.code != exitPartial || !strings.Contains(got.err, "row 3:") || !strings.Contains(got.out, "put back: 1 records") ||
		!strings.Contains(got.out, fmt.Sprintf("not in the file: %d records", len(tokens)-1)) {
		t.Errorf("an import with a bad row left out ends with %d:\n%s%s", got.code, got.out, got.err)
	}
}

// TestReviewFilesShowNothingHidden: neither fields nor differences nor keys hold a hidden value, and no cell is a formula.
// // case X15, X17
func TestReviewFilesShowNothingHidden(t *testing.T) {
	ns := pitr.Namespace{DB: "shop", Collection: "orders"}
	e := bsonOf(t, bson.D{{Key: "_id", Value: "canary-id"}, {Key: "card", Value: bson.A{bson.D{{Key: "no", Value: "canary-e"}}}}, {Key: "note", Value: "=1+1"}, {Key: "n", Value: 2}})
	before := bsonOf(t, bson.D{{Key: "_id", Value: "canary-id"}, {Key: "card", Value: bson.A{bson.D{{Key: "no", Value: "canary-t"}}}}, {Key: "note", Value: "x"}, {Key: "n", Value: 1}})
	live := bsonOf(t, bson.D{{Key: "_id", Value: "canary-id"}, {Key: "card", Value: bson.A{bson.D{{Key: "no", Value: "canary-live"}}}}, {Key: "note", Value: "y"}, {Key: "n", Value: 1}})
	key, err := pitr.KeyOf(e)
	if err != nil {
		t.Fatal(err)
	}
	value := func(document bson.Raw, path ...string) bson.RawValue { return document.Lookup(path...) }
	record := reconcile.Record{Token: "abcdefghijklmnop", Change: pitr.Change{N: 1, NS: ns, Key: key, Class: pitr.ClassChanged, E: e, T: before},
		Live: live, State: reconcile.StateChangedSince, Group: 3, Suggested: reconcile.DecisionPutBack, Reason: "both sides changed it",
		Merge: []reconcile.FieldMerge{
			{Path: diff.Path{"card", "0", "no"}, T: value(before, "card", "0", "no"), E: value(e, "card", "0", "no"), Live: value(live, "card", "0", "no"), Conflict: true},
			{Path: diff.Path{"note"}, T: value(before, "note"), E: value(e, "note"), Live: value(live, "note"), Conflict: true},
			{Path: diff.Path{"n"}, T: value(before, "n"), E: value(e, "n"), Live: value(live, "n")}}}
	withoutMerge := record
	withoutMerge.Merge = nil
	records := func(yield func(reconcile.Record, error) bool) { _ = yield(record, nil) && yield(withoutMerge, nil) }
	s := &stage{t: t}
	group := reconcile.Group{Number: 3, NS: ns, Index: "card_1", Value: `"canary-group"`, Survivor: record.Token}
	for _, name := range []string{"r.csv", "r.xlsx"} {
		file := filepath.Join(t.TempDir(), name)
		_, err := s.session("orders.card.no,orders._id").writeReview(file, reviewSource{records: records, groups: []reconcile.Group{group}})
		s.must(err)
		content, err := os.ReadFile(file)
		s.must(err)
		if name == "r.csv" {
			rows, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(content, []byte("\uFEFF")))).ReadAll()
			s.must(err)
			for _, cell := range slices.Concat(rows...) {
				if strings.HasPrefix(cell, "=") {
					t.Errorf("%q is a formula", cell)
				}
			}
		}
		text := ""
		for row, err := range sheet.Read(content) {
			s.must(err)
			text += strings.Join(row.Cells, "|") + "\n"
		}
		for _, want := range []string{report.Hidden, "note (both sides, in different ways) — before: x; in the gap: =1+1; live now: y", "this one should stay", "changed on both sides"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not say %q:\n%s", name, want, text)
			}
		}
		if strings.Contains(text, "canary") {
			t.Errorf("%s shows what is hidden:\n%s", name, text)
		}
	}
}

func bsonOf(t *testing.T, value any) bson.Raw {
	t.Helper()
	content, err := bson.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
