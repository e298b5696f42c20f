package sheet_test

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/sheet"
)

func writeCSV(t testing.TB, o sheet.CSVOptions, rows ...[]sheet.Cell) string {
	t.Helper()
	var out bytes.Buffer
	table, err := sheet.NewCSV(&out, make([]sheet.Column, 1), o)
	must(t, err)
	for _, row := range rows {
		must(t, table.Row(row))
	}
	must(t, table.Close())
	_, rest, _ := strings.Cut(out.String(), "\r\n")
	return rest
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestNoTextIsAFormula: what a spreadsheet would run is text there, and comes back as it was; numbers stay numbers. // case X17
func TestNoTextIsAFormula(t *testing.T) {
	for _, text := range []string{`=cmd|'/c calc'!A1`, "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'=1", "＝1+1", "＋1", "－1", "＠x"} {
		got := writeCSV(t, sheet.CSVOptions{}, []sheet.Cell{sheet.TextCell(text)})
		reader := csv.NewReader(strings.NewReader(got))
		rows, err := reader.ReadAll()
		must(t, err)
		if len(rows) != 1 || !strings.HasPrefix(rows[0][0], "'") {
			t.Errorf("%q is written as %q, which a spreadsheet may run", text, got)
		}
		// The library's reader takes \r\n in a value for \n; the text itself has none.
		if back := sheet.Plain(rows[0][0]); back != text {
			t.Errorf("%q comes back as %q", text, back)
		}
		if exact := writeCSV(t, sheet.CSVOptions{Exact: true}, []sheet.Cell{sheet.TextCell(text)}); strings.HasPrefix(strings.TrimPrefix(exact, `"`), "''") ||
			!strings.Contains(exact, text) {
			t.Errorf("%q is changed to %q although it was to be exact", text, exact)
		}
	}
	for _, value := range []any{-5, int64(-1) << 62, -1.5, bson.NewDecimal128(0xb040000000000000, 7)} {
		kind, content, err := bson.MarshalValue(value)
		must(t, err)
		cell := sheet.CellOf(bson.RawValue{Type: kind, Value: content})
		if got := writeCSV(t, sheet.CSVOptions{}, []sheet.Cell{cell}); !strings.HasPrefix(got, "-") {
			t.Errorf("the number %v is written as %q", value, got)
		}
	}
	for _, text := range []string{"plain", "a=b", "it's", "5-3", ""} {
		if got := writeCSV(t, sheet.CSVOptions{}, []sheet.Cell{sheet.TextCell(text)}); got != text+"\r\n" {
			t.Errorf("%q is written as %q", text, got)
		}
	}
}

// FuzzCSV: whatever is written comes back, is no formula, and stands in its own cell. // case X23
func FuzzCSV(f *testing.F) {
	f.Add("=1", "a,b")
	f.Add("'", "\"\n\"")
	f.Add("\r", " x ")
	f.Fuzz(func(t *testing.T, a, b string) {
		cellA, cellB := sheet.TextCell(a), sheet.TextCell(b)
		got := writeCSV(t, sheet.CSVOptions{}, []sheet.Cell{cellA, cellB, {Kind: sheet.Number, Text: "7"}})
		reader := csv.NewReader(strings.NewReader(got))
		reader.TrimLeadingSpace = false
		row, err := reader.Read()
		if err != nil || len(row) != 3 || row[2] != "7" {
			t.Fatalf("%q and %q are written as %q: %v", a, b, got, err)
		}
		for i, cell := range []sheet.Cell{cellA, cellB} {
			if strings.IndexAny(row[i], "=+-@\t\r\n") == 0 {
				t.Errorf("%q is a formula", row[i])
			}
			if want := strings.ReplaceAll(cell.Text, "\r\n", "\n"); sheet.Plain(row[i]) != want {
				t.Errorf("%q comes back as %q", want, sheet.Plain(row[i]))
			}
		}
	})
}
