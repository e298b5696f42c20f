package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim"
	"pitr/report"
	"pitr/sheet"
)

// lostSetOf gives the versions of a job's lost set by collection, as `pitr report` lists them.
func (s *stage) lostSetOf(job, side string) map[string][]string {
	s.t.Helper()
	all := map[string][]string{}
	for line := range strings.Lines(s.ok("report", job, "--json").out) {
		var change struct {
			Type, NS string
			E, T     json.RawMessage
		}
		if json.Unmarshal([]byte(line), &change) != nil || change.Type != "change" {
			continue
		}
		text := change.E
		if side == "t" {
			text = change.T
		}
		var document bson.Raw
		if text != nil {
			s.must(bson.UnmarshalExtJSON(text, true, &document))
			all[change.NS] = append(all[change.NS], string(document))
		}
	}
	for ns := range all {
		slices.Sort(all[ns])
	}
	return all
}

// documentsOf reads an exported file back.
func documentsOf(t *testing.T, name string) (documents []string) {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(name, ".bson") {
		for rest := content; len(rest) > 0; {
			size := binary.LittleEndian.Uint32(rest)
			documents, rest = append(documents, string(rest[:size])), rest[size:]
		}
	} else {
		for line := range bytes.Lines(content) {
			var document bson.Raw
			if err := bson.UnmarshalExtJSON(line, true, &document); err != nil {
				t.Fatal(err)
			}
			documents = append(documents, string(document))
		}
	}
	slices.Sort(documents)
	return documents
}

// TestExportsHoldWhatTheyName: each side of a lost set, a snapshot, and a moment, in every format; what cannot be exported is
// refused before anything is made. // case F12, F13
func TestExportsHoldWhatTheyName(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	job := jobPattern.FindString(s.ok("restore", "--to", s.toGood(), "--confirm-target", clusterName, "--json").out)
	snapshot := jobPattern.FindString(s.ok("snapshot", "list", "--json").out)
	base := t.TempDir()
	folder := func(name string) string { return filepath.Join(base, name) }
	for _, side := range []string{"e", "t"} {
		want := s.lostSetOf(job, side)
		for _, format := range []string{"ndjson", "dump"} {
			to := folder("lost-" + side + "-" + format)
			s.ok("export", job, "--to", to, "--format", format, "--side", side)
			ending := map[string]string{"ndjson": ".ndjson", "dump": ".bson"}[format]
			files := 0
			s.must(filepath.WalkDir(to, func(name string, _ fs.DirEntry, err error) error {
				if strings.HasSuffix(name, ending) {
					files++
				}
				return err
			}))
			if files != len(want) || len(want) < 2 {
				t.Errorf("side %s, %s: %d files for %d collections", side, format, files, len(want))
			}
			for ns, documents := range want {
				if got := documentsOf(t, filepath.Join(to, strings.Replace(ns, ".", "/", 1)+ending)); !slices.Equal(got, documents) {
					t.Errorf("side %s, %s, %s: %d documents, want %d", side, format, ns, len(got), len(documents))
				}
			}
		}
		for _, format := range []string{"csv", "xlsx"} {
			to := folder("lost-" + side + "-" + format)
			s.ok("export", job, "--to", to, "--format", format, "--side", side)
			for ns, documents := range want {
				content, err := os.ReadFile(filepath.Join(to, strings.Replace(ns, ".", "/", 1)+"."+format))
				s.must(err)
				rows := 0
				for _, err := range sheet.Read(content) {
					s.must(err)
					rows++
				}
				if rows != len(documents)+1 {
					t.Errorf("side %s, %s, %s: %d rows for %d documents", side, format, ns, rows, len(documents))
				}
			}
		}
	}
	// A snapshot and the moment of its end are the same.
	s.ok("snapshot", "export", snapshot, "--to", folder("snapshot"), "--format", "dump")
	s.ok("export", "mark:before v4.1.0", "--to", folder("mark"), "--format", "dump", "--only", "deviceauth")
	for _, c := range []string{"devices", "auth_sets", "tokens"} {
		ofSnapshot, ofMark := documentsOf(t, folder("snapshot/deviceauth/"+c+".bson")), documentsOf(t, folder("mark/deviceauth/"+c+".bson"))
		if len(ofSnapshot) == 0 || !slices.Equal(ofSnapshot, ofMark) {
			t.Errorf("%s: %d documents in the snapshot, %d at the mark", c, len(ofSnapshot), len(ofMark))
		}
	}
	if _, err := os.Stat(folder("mark/deployments")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("--only is not heard")
	}
	metadata, err := os.ReadFile(folder("mark/deviceauth/devices.metadata.json"))
	s.must(err)
	var read struct {
		Indexes        []bson.D `bson:"indexes"`
		UUID           string   `bson:"uuid"`
		CollectionName string   `bson:"collectionName"`
		Type           string   `bson:"type"`
	}
	s.must(bson.UnmarshalExtJSON(metadata, true, &read))
	if len(read.Indexes) != 3 || len(read.UUID) != 32 || read.CollectionName != "devices" || read.Type != "collection" {
		t.Errorf("%s", metadata)
	}
	for _, c := range []struct {
		code int
		args []string
	}{
		{exitRefused, []string{job, "--to", folder("snapshot")}},
		{exitRefused, []string{job, "--to", folder("x"), "--format", "parquet"}},
		{exitRefused, []string{job, "--to", folder("x"), "--mask"}},
		{exitUsage, []string{job, "--to", folder("x"), "--side", "f"}},
		{exitUsage, []string{snapshot, "--to", folder("x"), "--side", "t"}},
		{exitUsage, []string{job}},
		{exitUsage, []string{"live", "--to", folder("x")}},
		{exitUsage, []string{job, "--to", folder("x"), "--bom"}},
		{exitNotFound, []string{"20200101T000000Z-aaaaaa", "--to", folder("x")}},
	} {
		got := s.pitr(append([]string{"export"}, c.args...)...)
		if _, err := os.Stat(folder("x")); got.code != c.code || err == nil || !strings.Contains(got.err, "next:") {
			t.Errorf("pitr export %s ends with %d, want %d:\n%s", strings.Join(c.args, " "), got.code, c.code, got.err)
		}
	}
}

// TestExportsHideWhatTheSettingNames: but a dump is whole, unless it is asked for on the command line. // case X15
func TestExportsHideWhatTheSettingNames(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	snapshot := jobPattern.FindString(s.ok("snapshot", "list", "--json").out)
	canary := ""
	whole := filepath.Join(t.TempDir(), "whole")
	config := secretFile(t, "redact: [devices.id_data_struct.serial, devices.id_data]")
	s.ok("export", snapshot, "--to", whole, "--format", "dump", "--config", config)
	for _, document := range documentsOf(t, filepath.Join(whole, "deviceauth/devices.bson")) {
		canary = bson.Raw(document).Lookup("id_data_struct", "serial").StringValue()
	}
	if len(canary) < 8 {
		t.Fatalf("%q is no canary", canary)
	}
	for _, format := range sheet.Formats {
		to := filepath.Join(t.TempDir(), "out")
		args := []string{"export", snapshot, "--to", to, "--format", string(format)}
		if format == sheet.FormatDump {
			args = append(args, "--redact", "devices.id_data_struct.serial,devices.id_data")
		} else {
			args = append(args, "--config", config)
		}
		s.ok(args...)
		content := []byte{}
		if format == sheet.FormatExcel {
			file, err := os.ReadFile(filepath.Join(to, "deviceauth/devices.xlsx"))
			s.must(err)
			for row, err := range sheet.Read(file) {
				s.must(err)
				content = append(content, strings.Join(row.Cells, "\n")...)
			}
		} else {
			s.must(filepath.WalkDir(filepath.Join(to, "deviceauth"), func(name string, entry fs.DirEntry, err error) error {
				if err == nil && strings.HasPrefix(entry.Name(), "devices.") {
					file, err := os.ReadFile(name)
					s.must(err)
					content = append(content, file...)
				}
				return err
			}))
		}
		if bytes.Contains(content, []byte(canary)) || !bytes.Contains(content, []byte(report.Hidden)) {
			t.Errorf("%s shows %q, or hides nothing", format, canary)
		}
	}
}
