package sheet_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/xuri/excelize/v2"

	"pitr"
	"pitr/sheet"
)

func readAll(content []byte) (rows [][]string, err error) {
	for row, err := range sheet.Read(content) {
		if err != nil {
			return rows, err
		}
		rows = append(rows, slices.Clone(row.Cells))
		if row.Number != len(rows) {
			return rows, pitr.Errorf(pitr.KindUnexpected, "", "", "row %d has number %d", len(rows), row.Number)
		}
	}
	return rows, nil
}

func utf16Bytes(order binary.AppendByteOrder, text string) []byte {
	var out []byte
	for _, unit := range utf16.Encode([]rune("\uFEFF" + text)) {
		out = order.AppendUint16(out, unit)
	}
	return out
}

// TestReadTakesWhatSpreadsheetsWrite: one table in every form in which it may come back.
func TestReadTakesWhatSpreadsheetsWrite(t *testing.T) {
	want := [][]string{{"decision", "note", "token"}, {"put back, gap wins", "two\nlines; \"quoted\"", "abc"}, {"leave", "", "def"}}
	text := func(comma string) string {
		return strings.ReplaceAll("decision|note|token\r\n\"put back, gap wins\"|\"two\nlines; \"\"quoted\"\"\"|abc\r\nleave||def\r\n", "|", comma)
	}
	var excel bytes.Buffer
	table, err := sheet.NewExcel(&excel, []sheet.Column{{Name: "decision"}, {Name: "note"}, {Name: "token"}}, sheet.ExcelOptions{})
	must(t, err)
	for _, row := range want[1:] {
		must(t, table.Row([]sheet.Cell{sheet.TextCell(row[0]), sheet.TextCell(row[1]), sheet.TextCell(row[2])}))
	}
	must(t, table.Close())
	for form, content := range map[string][]byte{
		"comma": []byte(text(",")), "mark": []byte("\uFEFF" + text(",")), "semicolon": []byte(text(";")), "tab": []byte(text("\t")),
		"sep": []byte("sep=;\r\n" + text(";")), "UTF-16": utf16Bytes(binary.LittleEndian, text("\t")),
		"UTF-16 big": utf16Bytes(binary.BigEndian, text(";")), "Excel": excel.Bytes(),
	} {
		got, err := readAll(content)
		if err != nil || len(got) != len(want) {
			t.Errorf("%s: %q, %v", form, got, err)
			continue
		}
		for i := range want {
			if !slices.Equal(got[i], want[i]) {
				t.Errorf("%s: row %d is %q, want %q", form, i+1, got[i], want[i])
			}
		}
	}
}

// TestReadRefusesWhatItCannotRead: never an empty table in place of a broken one.
func TestReadRefusesWhatItCannotRead(t *testing.T) {
	var excel bytes.Buffer
	table, err := sheet.NewExcel(&excel, []sheet.Column{{Name: "token"}}, sheet.ExcelOptions{})
	must(t, err)
	for range 2000 {
		must(t, table.Row([]sheet.Cell{sheet.TextCell("abcdefgh")}))
	}
	must(t, table.Close())
	broken := bytes.Clone(excel.Bytes())
	for i := len(broken) / 3; i < len(broken)/3+40; i++ {
		broken[i] ^= 0xFF
	}
	for what, content := range map[string][]byte{
		"a sheet that breaks off": repack(t, excel.Bytes(), func(part []byte) []byte { return part[:len(part)*2/3] }),
		"a sheet with a broken tag": repack(t, excel.Bytes(), func(part []byte) []byte {
			return bytes.Replace(part, []byte(`<row r="1500"`), []byte(`</row><row r="1500"`), 1)
		}),
		"an old Excel file": []byte("\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"), "a zip of something else": []byte("PK\x03\x04 and more"),
		"half an Excel file": excel.Bytes()[:excel.Len()/2], "a broken Excel file": broken,
		"an open quote": []byte("token,decision\n\"abc,leave\n"), "half a character": {0xFF, 0xFE, 'a'},
	} {
		rows, err := readAll(content)
		if pitr.KindOf(err) != pitr.KindInvalid || pitr.HintOf(err) == "" {
			t.Errorf("%s gives %d rows and %v", what, len(rows), err)
		}
	}
}

// TestReadSaysWhatAFileIs: the person who saved the wrong one reads its name.
func TestReadSaysWhatAFileIs(t *testing.T) {
	for first, want := range map[string]string{"content.xml": "OpenDocument", "word/document.xml": "Word", "xl/workbook.bin": ".xlsb", "Index/Document.iwa": "Numbers", "a.txt": "something else"} {
		var content bytes.Buffer
		parts := zip.NewWriter(&content)
		_, err := parts.Create(first)
		must(t, err)
		must(t, parts.Close())
		if _, err := readAll(content.Bytes()); pitr.KindOf(err) != pitr.KindInvalid || !strings.Contains(err.Error(), want) || !strings.Contains(pitr.HintOf(err), ".xlsx") {
			t.Errorf("%s gives %v", first, err)
		}
	}
	if _, err := readAll([]byte("%PDF-1.7")); pitr.KindOf(err) != pitr.KindInvalid || !strings.Contains(err.Error(), "PDF") {
		t.Errorf("a PDF file gives %v", err)
	}
}

// TestReadFindsTheSheetWithTheHeadings: sheets in front of it are passed over, a copy of it is refused.
func TestReadFindsTheSheetWithTheHeadings(t *testing.T) {
	file := excelize.NewFile()
	for _, name := range []string{"chart", "records", "records (2)"} {
		_, err := file.NewSheet(name)
		must(t, err)
	}
	must(t, file.SetSheetRow("Sheet1", "A1", &[]string{"a summary", "decision"}))
	must(t, file.SetSheetRow("records", "A1", &[]string{"note", "Token", "decision"}))
	must(t, file.SetSheetRow("records", "A2", &[]string{"", "abc", "leave"}))
	read := func(headings ...string) (rows [][]string, err error) {
		content, err := file.WriteToBuffer()
		must(t, err)
		for row, err := range sheet.Read(content.Bytes(), headings...) {
			if err != nil {
				return rows, err
			}
			rows = append(rows, slices.Clone(row.Cells))
		}
		return rows, nil
	}
	if rows, err := read("token", "decision"); err != nil || len(rows) != 2 || rows[1][1] != "abc" {
		t.Errorf("with a summary in front: %q, %v", rows, err)
	}
	if rows, err := read("token", "other"); err != nil || rows[0][0] != "a summary" {
		t.Errorf("without a sheet that has them: %q, %v", rows, err)
	}
	must(t, file.SetSheetRow("records (2)", "A1", &[]string{"token", "decision"}))
	if rows, err := read("token", "decision"); pitr.KindOf(err) != pitr.KindInvalid || !strings.Contains(err.Error(), "records (2)") {
		t.Errorf("with a copy: %q, %v", rows, err)
	}
}

// repack changes the sheet of an Excel file, with sums that fit.
func repack(t *testing.T, file []byte, change func(part []byte) []byte) []byte {
	t.Helper()
	from, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	must(t, err)
	var out bytes.Buffer
	to := zip.NewWriter(&out)
	for _, part := range from.File {
		reader, err := part.Open()
		must(t, err)
		content, err := io.ReadAll(reader)
		must(t, err)
		if part.Name == "xl/worksheets/sheet1.xml" {
			before := len(content)
			if content = change(content); len(content) == before {
				t.Fatal("nothing was changed")
			}
		}
		writer, err := to.Create(part.Name)
		must(t, err)
		_, err = writer.Write(content)
		must(t, err)
	}
	must(t, to.Close())
	return out.Bytes()
}

func TestHeadFindsColumnsByName(t *testing.T) {
	places, err := sheet.Head(sheet.Row{Cells: []string{"x", " Decision ", "TOKEN", ""}}, "token", "decision")
	if err != nil || !slices.Equal(places, []int{2, 1}) {
		t.Errorf("%v, %v", places, err)
	}
	for _, cells := range [][]string{{"token"}, {"decision", "token", "Token"}, {}} {
		if _, err := sheet.Head(sheet.Row{Cells: cells}, "token", "decision"); pitr.KindOf(err) != pitr.KindInvalid {
			t.Errorf("%q gives %v", cells, err)
		}
	}
	if _, err := sheet.Head(sheet.Row{Cells: []string{"Checked by Ana", ""}}, "token"); err == nil || !strings.Contains(err.Error(), "Checked by Ana") {
		t.Errorf("a title above the headings gives %v", err)
	}
}

// FuzzRead: no bytes of a file that people gave back end the program, or give rows without numbers. // case X23
func FuzzRead(f *testing.F) {
	f.Add([]byte("token,decision\nabc,leave\n"))
	f.Add([]byte("sep=;\ntoken;decision\n\"a\nb\";\"put back, gap wins\"\n"))
	f.Add(utf16Bytes(binary.LittleEndian, "token\tdecision\n"))
	var excel bytes.Buffer
	table, err := sheet.NewExcel(&excel, []sheet.Column{{Name: "token"}, {Name: "decision"}}, sheet.ExcelOptions{})
	must(f, err)
	must(f, table.Row([]sheet.Cell{sheet.TextCell("abc"), sheet.TextCell("leave")}))
	must(f, table.Close())
	f.Add(excel.Bytes())
	f.Fuzz(func(t *testing.T, content []byte) {
		rows, err := readAll(content)
		if kind := pitr.KindOf(err); err != nil && kind != pitr.KindInvalid && kind != pitr.KindLimit {
			t.Errorf("%d rows, then %v", len(rows), err)
		}
	})
}
