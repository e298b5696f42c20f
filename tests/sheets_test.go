package tests

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/reconcile"
	"pitr/sheet"
	"pitr/snapshot"
)

// sheetsWithPython prints the cells of a workbook's first sheet, a row a line: the library's own type of each cell, and its
// value as text.
const sheetsWithPython = `
import datetime, json, openpyxl, sys
book = openpyxl.load_workbook(sys.argv[1])
first = book.worksheets[0]
for row in first.iter_rows():
    cells = []
    for cell in row:
        value = cell.value
        if isinstance(value, datetime.datetime):
            value = value.isoformat(timespec="milliseconds")
        cells.append([cell.data_type if value is not None else "", "" if value is None else str(value)])
    print(json.dumps(cells))
print(json.dumps({"frozen": first.freeze_panes, "filter": first.auto_filter.ref, "sheets": [s.title for s in book.worksheets if s.sheet_state == "visible"],
  "lists": [[str(r.sqref), r.formula1] for r in first.data_validations.dataValidation]}))
`

func pythonWithOpenpyxl(t *testing.T) string {
	t.Helper()
	for _, python := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(python, "-c", "import openpyxl").Run() == nil {
			return python
		}
	}
	t.Skip("no python3 with the module openpyxl: run `make deps`")
	return ""
}

// stored is a snapshot as a source of an export.
type stored struct{ *snapshot.Reader }

func (s stored) Collections(context.Context) (list []pitr.Collection, err error) {
	for _, record := range s.Reader.Collections() {
		list = append(list, record.Collection)
	}
	return list, nil
}

func (s stored) Documents(ctx context.Context, c pitr.Collection) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		record, _ := s.Collection(c.NS, c.UUID)
		for document, err := range s.Scan(ctx, record) {
			if !yield(document.Raw, err) || err != nil {
				return
			}
		}
	}
}

func exportSnapshot(t *testing.T, source stored, format sheet.Format) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), string(format))
	to, err := sheet.CreateFolder(folder)
	must(t, err)
	_, err = sheet.Export(t.Context(), to, source, sheet.Options{Format: format, Now: time.Now()})
	must(t, err)
	must(t, to.Close())
	return folder
}

// cells runs the reader that nobody here wrote.
func cells(t *testing.T, python, file string) (rows [][][2]string, about map[string]any) {
	t.Helper()
	command := exec.Command(python, "-c", sheetsWithPython, file)
	command.Stderr = os.Stderr
	out, err := command.Output()
	must(t, err)
	for line := range bytes.Lines(out) {
		if line[0] == '{' {
			must(t, json.Unmarshal(line, &about))
			continue
		}
		var row [][2]string
		must(t, json.Unmarshal(line, &row))
		rows = append(rows, row)
	}
	return rows, about
}

// fits reports whether a cell is of the type and value that it was written with.
func fits(want sheet.Cell, kind, text string) bool {
	switch want.Kind {
	case sheet.Empty:
		return kind == ""
	case sheet.Number:
		a, errA := strconv.ParseFloat(want.Text, 64)
		b, errB := strconv.ParseFloat(text, 64)
		return kind == "n" && errA == nil && errB == nil && a == b
	case sheet.Bool:
		return kind == "b" && strings.EqualFold(want.Text, text)
	case sheet.Time:
		return kind == "d" && strings.TrimSuffix(want.Text, "Z") == text
	}
	// A formula would be of type f. What a sheet cannot hold, and what is too long, has its own test.
	return kind == "s" && (want.Text == text || len(want.Text) > 30000 || strings.ContainsFunc(want.Text, func(r rune) bool { return r < ' ' }))
}

// TestOthersReadSheets lets openpyxl read every collection of a snapshot from Excel files: as many rows as documents, and
// each cell of the type and value that the field has. // case F13, X17
func TestOthersReadSheets(t *testing.T) {
	python := pythonWithOpenpyxl(t)
	_, repository := smallRepository(t)
	snapshots, err := repository.Snapshots(t.Context())
	must(t, err)
	reader, err := snapshot.Open(t.Context(), repository, snapshots.Items[0].ID)
	must(t, err)
	source := stored{reader}
	folder := exportSnapshot(t, source, sheet.FormatExcel)
	all := 0
	for _, record := range reader.Collections() {
		rows, about := cells(t, python, filepath.Join(folder, record.NS.DB, record.NS.Collection+".xlsx"))
		if about["frozen"] != "A2" || about["filter"] == nil {
			t.Errorf("%s: %v", record.NS, about)
		}
		at := 1
		for document, err := range source.Documents(t.Context(), record.Collection) {
			must(t, err)
			if at == len(rows) {
				t.Fatalf("%s has only %d rows", record.NS, len(rows))
			}
			for i, head := range rows[0] {
				want := sheet.Cell{}
				if value, err := document.LookupErr(head[1]); err == nil {
					want = sheet.CellOf(value)
				}
				if head[1] != "" && !fits(want, rows[at][i][0], rows[at][i][1]) {
					t.Errorf("%s row %d, %q: %q, want %+v", record.NS, at+1, head[1], rows[at][i], want)
				}
			}
			at++
			all++
		}
		if at != len(rows) {
			t.Errorf("%s has %d rows for %d documents", record.NS, len(rows)-1, at-1)
		}
	}
	if all < 3000 {
		t.Errorf("only %d documents were compared", all)
	}
}

// TestOthersReadDumps lets the distribution's BSON library read a dump: every file, as many documents, the same bytes when it
// encodes them again; and the options beside them are JSON.
func TestOthersReadDumps(t *testing.T) {
	python := pythonWithBSON(t)
	_, repository := smallRepository(t)
	snapshots, err := repository.Snapshots(t.Context())
	must(t, err)
	reader, err := snapshot.Open(t.Context(), repository, snapshots.Items[0].ID)
	must(t, err)
	folder := exportSnapshot(t, stored{reader}, sheet.FormatDump)
	for _, record := range reader.Collections() {
		base := filepath.Join(folder, record.NS.DB, record.NS.Collection)
		content, err := os.ReadFile(base + ".bson")
		must(t, err)
		command := exec.Command(python, "-c", readWithPython)
		command.Stdin, command.Stderr = bytes.NewReader(content), os.Stderr
		out, err := command.Output()
		must(t, err)
		if want := fmt.Sprintf("%d %s", record.Stored.Documents, fmt.Sprintf("%x", sha256.Sum256(content))); strings.TrimSpace(string(out)) != want {
			t.Errorf("%s: python reads %q, want %q", record.NS, out, want)
		}
		metadata, err := os.ReadFile(base + ".metadata.json")
		must(t, err)
		if !json.Valid(metadata) {
			t.Errorf("%s: %s", record.NS, metadata)
		}
	}
}

// TestOthersReadWhatPeopleChooseFrom: the list of decisions and the sheet of words are there for a program of another make.
func TestOthersReadWhatPeopleChooseFrom(t *testing.T) {
	python := pythonWithOpenpyxl(t)
	name := filepath.Join(t.TempDir(), "review.xlsx")
	file, err := os.Create(name)
	must(t, err)
	var words []sheet.Word
	for _, word := range reconcile.Words() {
		words = append(words, sheet.Word(word))
	}
	table, err := sheet.NewExcel(file, []sheet.Column{{Name: "token"}, {Name: "decision", Choices: []string{"leave", "put back, gap wins"}}},
		sheet.ExcelOptions{Words: words, Frozen: 2})
	must(t, err)
	dangers := []string{"=1+1", "@x", "+1", "-1", "\t=1", "'=1", "_x0041_", "00123", "1e5", "TRUE"}
	for _, text := range dangers {
		must(t, table.Row([]sheet.Cell{sheet.TextCell(text), sheet.TextCell("leave")}))
	}
	must(t, table.Close())
	must(t, file.Close())
	rows, about := cells(t, python, name)
	if fmt.Sprint(about["lists"]) != "[[B2:B11 lists!$B$1:$B$2]]" || about["frozen"] != "C2" || fmt.Sprint(about["sheets"]) != "[records words]" {
		t.Errorf("%v", about)
	}
	for i, text := range dangers {
		// The reader leaves one escape of the file format as it is.
		if got := rows[i+1][0]; got[0] != "s" || strings.ReplaceAll(got[1], "_x005F_", "_") != text {
			t.Errorf("%q is read as %q", text, got)
		}
	}
}
