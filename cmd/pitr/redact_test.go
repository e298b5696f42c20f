package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/examples/mender"
	"pitr/internal/replsim"
	"pitr/sheet"
)

// TestRedactedFieldsAppearNowhere holds every command that shows records to the setting: neither in text nor in JSON nor on
// the page does a hidden value appear, be it a field, a shared value of duplicates, or an _id. // case X15
func TestRedactedFieldsAppearNowhere(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	job := jobPattern.FindString(s.ok("restore", "--to", s.toGood(), "--confirm-target", clusterName, "--json").out)
	hidden := map[string]bool{}
	device := ""
	for line := range strings.Lines(s.ok("report", job, "--json").out) {
		var change struct {
			Type, NS, Class string
			Key             any
			E, T            json.RawMessage
		}
		if err := json.Unmarshal([]byte(line), &change); err != nil || change.Type != "change" || change.NS != mender.Devices {
			continue
		}
		for _, side := range []json.RawMessage{change.E, change.T} {
			var document bson.Raw
			if side == nil || bson.UnmarshalExtJSON(side, true, &document) != nil {
				continue
			}
			hidden[document.Lookup("_id").StringValue()] = true
			hidden[document.Lookup("id_data_struct", "serial").StringValue()] = true
			value, err := bson.MarshalExtJSON(bson.D{{Key: "v", Value: document.Lookup("id_data_sha256")}}, true, false)
			s.must(err)
			hidden[strings.Split(string(value), `"`)[7]] = true // the base64 text
			_, hash := document.Lookup("id_data_sha256").Binary()
			hidden[fmt.Sprintf("%X", hash)] = true // as the server writes it in the reason of a failed index build
			if change.Class == "changed" {
				device = document.Lookup("_id").StringValue()
			}
		}
	}
	if len(hidden) < 50 || device == "" {
		t.Fatalf("only %d values are to be hidden", len(hidden))
	}
	made := t.TempDir() // every file that a command writes
	page, csv, xlsx := filepath.Join(made, "lost.html"), filepath.Join(made, "review.csv"), filepath.Join(made, "review.xlsx")
	for _, args := range [][]string{
		{"report", job}, {"report", job, "--json"}, {"report", job, "--html", page}, {"report", job, "--live", "--html", page},
		{"reconcile", "plan", job}, {"reconcile", "plan", job, "--json"}, {"reconcile", "plan", job, "--review", csv}, {"reconcile", "plan", job, "--review", xlsx},
		{"reconcile", "apply", job, "--suggested", "--dry-run"}, {"reconcile", "apply", job, "--suggested", "--dry-run", "--json"},
		{"export", job, "--to", filepath.Join(made, "csv"), "--format", "csv"}, {"export", job, "--to", filepath.Join(made, "ndjson"), "--format", "ndjson"},
		{"export", job, "--to", filepath.Join(made, "xlsx"), "--format", "xlsx", "--side", "t"}, {"export", "now", "--to", filepath.Join(made, "view"), "--format", "csv", "--only", mender.Devices},
		{"undo", job, "--dry-run"}, {"doctor"}, {"runbook"}, {"timeline"}, {"jobs"}, {"diff", "through " + s.at.String(), "now"},
		{"diff", "through " + s.at.String(), "now", "--json"}, {"find", "--since", "1h ago"}, {"find", "--since", "1h ago", "--json"},
		{"trace", mender.Devices, device}, {"trace", mender.Devices, device, "--json"},
	} {
		got := s.ok(append(args, "--redact", "devices._id,devices.id_data_sha256,devices.id_data_struct.serial,devices.id_data")...)
		shown := got.out + got.err
		shown += writtenText(t, made)
		for value := range hidden {
			if strings.Contains(shown, value) {
				t.Errorf("pitr %s shows %q", strings.Join(args, " "), value)
				break
			}
		}
		if len(got.out) == 0 && args[0] != "undo" {
			t.Errorf("pitr %s shows nothing", strings.Join(args, " "))
		}
	}
}

// writtenText gives everything that stands in the files below a folder, spreadsheets cell by cell, and removes them.
func writtenText(t *testing.T, folder string) string {
	t.Helper()
	var text strings.Builder
	err := filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil || filepath.Ext(name) != ".xlsx" {
			text.Write(content)
			return err
		}
		for row, err := range sheet.Read(content) {
			if err != nil {
				return err
			}
			text.WriteString(strings.Join(row.Cells, "\n"))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	return text.String()
}
