package sheet

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/xuri/excelize/v2"

	"pitr"
)

// Row is a row that was read.
type Row struct {
	// Number counts rows from 1, as a spreadsheet does.
	Number int
	// Cells are as many as the row has; CSV cells are as they stand there, Plain takes a protecting apostrophe away.
	Cells []string
}

// The limits of a file that is read.
const (
	// MaxRead is the largest file.
	MaxRead = 256 << 20
	// maxUnpacked bounds what an Excel file may unpack to: one that says it needs more is an attack, or no list of records.
	maxUnpacked = 2 << 30
	// maxInMemory is how much of a sheet is kept in memory while it is read; what is beyond lies in a temporary file.
	maxInMemory = 16 << 20
)

const opRead = "read the table"

// Read yields the rows of a sheet of an Excel file, or of a CSV file in one of the forms that spreadsheets write: with comma,
// semicolon or tab, in UTF-8 with and without a mark, or in UTF-16. Which it is, the content tells. Of several sheets it is the
// one whose first row has the headings, since people put sheets of their own in front; without one, the first. The last element
// is an error where the file cannot be read to its end.
func Read(content []byte, headings ...string) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		if len(content) > MaxRead {
			yield(Row{}, pitr.Errorf(pitr.KindLimit, opRead, "cut the file into several, each with the row of headings", "a file of %d bytes", len(content)))
			return
		}
		read := readCSV
		switch {
		case bytes.HasPrefix(content, []byte("PK\x03\x04")):
			read = func(content []byte, yield func(Row) bool) error { return readExcel(content, headings, yield) }
		case bytes.HasPrefix(content, []byte("%PDF-")):
			yield(Row{}, notReadable("it is a PDF file"))
			return
		case bytes.HasPrefix(content, []byte("\xD0\xCF\x11\xE0")):
			yield(Row{}, notReadable("it is an old .xls file, or one with a password"))
			return
		}
		if err := read(content, func(row Row) bool { return yield(row, nil) }); err != nil {
			yield(Row{}, err)
		}
	}
}

func notReadable(message string, args ...any) error {
	return pitr.Errorf(pitr.KindInvalid, opRead, "save it as .xlsx or as .csv, and import that", message, args...)
}

func readExcel(content []byte, headings []string, yield func(Row) bool) (err error) {
	defer func() {
		// The file comes from outside; a fault of the library in it must not end the program.
		if fault := recover(); fault != nil {
			err = notReadable("it is no Excel file that can be read: %v", fault)
		}
	}()
	if err := checkPackage(content); err != nil {
		return err
	}
	file, err := excelize.OpenReader(bytes.NewReader(content), excelize.Options{RawCellValue: true, UnzipSizeLimit: maxUnpacked, UnzipXMLSizeLimit: maxInMemory})
	if err != nil {
		return notReadable("it is no Excel file that can be read: %w", err)
	}
	defer file.Close() //nolint:errcheck // it was only read
	name, err := sheetWith(file, headings)
	if err != nil {
		return err
	}
	rows, err := file.Rows(name)
	if err != nil {
		return notReadable("its sheet %q cannot be read: %w", name, err)
	}
	defer rows.Close() //nolint:errcheck // it was only read
	for number := 1; rows.Next(); number++ {
		cells, err := rows.Columns(excelize.Options{RawCellValue: true})
		if err != nil {
			return notReadable("row %d cannot be read: %w", number, err)
		}
		if !yield(Row{Number: number, Cells: cells}) {
			return nil
		}
	}
	if err := rows.Error(); err != nil {
		return notReadable("its sheet %q cannot be read: %w", name, err)
	}
	return nil
}

// sheetWith names the sheet whose first row has all headings, or else the first sheet. Two of them are refused: what stands
// in the other one would be lost without a word.
func sheetWith(file *excelize.File, headings []string) (string, error) {
	var found []string
	for _, name := range file.GetSheetList() {
		if len(headings) > 0 && hasHeadings(file, name, headings) {
			found = append(found, name)
		}
	}
	switch len(found) {
	case 0:
		return file.GetSheetName(0), nil
	case 1:
		return found[0], nil
	}
	return "", pitr.Errorf(pitr.KindInvalid, opRead, "keep one of them with everything that counts, delete the other, and import again",
		"the sheets %q and %q both have the columns %s", found[0], found[1], strings.Join(headings, " and "))
}

func hasHeadings(file *excelize.File, name string, headings []string) bool {
	rows, err := file.Rows(name)
	if err != nil {
		return false // a sheet of another kind, such as one that is a chart
	}
	defer rows.Close() //nolint:errcheck // it was only read
	if !rows.Next() {
		return false
	}
	cells, err := rows.Columns(excelize.Options{RawCellValue: true})
	if err != nil {
		return false
	}
	_, err = Head(Row{Number: 1, Cells: cells}, headings...)
	return err == nil
}

// checkPackage reads an Excel file to its end: every part unpacks to what its sum says, and every sheet is XML up to its last
// tag. The library stops at the first fault without a word, and decisions would be lost with the rows behind it.
func checkPackage(content []byte) error {
	parts, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return notReadable("it is no Excel file: %w", err)
	}
	if other := otherThanExcel(parts); other != "" {
		return notReadable("it is %s", other)
	}
	left := int64(maxUnpacked)
	for _, part := range parts.File {
		unpacked, err := part.Open()
		if err != nil {
			return notReadable("its part %.80q cannot be read: %w", part.Name, err)
		}
		limited := &io.LimitedReader{R: unpacked, N: left}
		if strings.HasPrefix(part.Name, "xl/worksheets/") && strings.HasSuffix(part.Name, ".xml") {
			err = wellFormed(limited)
		}
		if err == nil {
			_, err = io.Copy(io.Discard, limited)
		}
		if err != nil {
			return notReadable("its part %.80q cannot be read: %w", part.Name, err)
		}
		if left = limited.N; left <= 0 {
			return pitr.Errorf(pitr.KindLimit, opRead, "save it as .csv, and import that", "the file unpacks to more than %d bytes", maxUnpacked)
		}
	}
	return nil
}

// otherThanExcel says what a package is that is no Excel file that can be read.
func otherThanExcel(parts *zip.Reader) string {
	has := func(name string) bool {
		return slices.ContainsFunc(parts.File, func(part *zip.File) bool { return strings.HasPrefix(part.Name, name) })
	}
	switch {
	case has("xl/workbook.bin"):
		return "a binary Excel file (.xlsb)"
	case has("xl/"):
		return ""
	case has("content.xml"):
		return "an OpenDocument file, such as an .ods of LibreOffice"
	case has("word/"):
		return "a Word file"
	case has("Index/"):
		return "a file of Apple Numbers or Pages"
	}
	return "a package of something else than a table"
}

func wellFormed(part io.Reader) error {
	decoder := xml.NewDecoder(part)
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func readCSV(content []byte, yield func(Row) bool) error {
	text, err := toUTF8(content)
	if err != nil {
		return err
	}
	text, comma := separator(text)
	reader := csv.NewReader(bufio.NewReader(bytes.NewReader(text)))
	reader.Comma, reader.FieldsPerRecord, reader.ReuseRecord = comma, -1, true
	for number := 1; ; number++ {
		cells, err := reader.Read()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return notReadable("row %d cannot be read: %w", number, err)
		}
		if !yield(Row{Number: number, Cells: cells}) {
			return nil
		}
	}
}

// toUTF8 undoes UTF-16, which Excel calls Unicode text, and takes the mark of UTF-8 away.
func toUTF8(content []byte) ([]byte, error) {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(content, []byte{0xFF, 0xFE}):
		order = binary.LittleEndian
	case bytes.HasPrefix(content, []byte{0xFE, 0xFF}):
		order = binary.BigEndian
	default:
		return bytes.TrimPrefix(content, []byte("\uFEFF")), nil
	}
	if len(content)%2 != 0 {
		return nil, notReadable("its last character is cut in two")
	}
	units := make([]uint16, len(content)/2-1)
	for i := range units {
		units[i] = order.Uint16(content[2*i+2:])
	}
	return []byte(string(utf16.Decode(units))), nil
}

// separator finds what stands between the cells: what the first line says ("sep=;", which Excel writes and obeys), or what
// it has most of outside quotes.
func separator(text []byte) (rest []byte, comma rune) {
	line, after, _ := bytes.Cut(text, []byte("\n"))
	if said, found := strings.CutPrefix(strings.TrimRight(string(line), "\r"), "sep="); found && len(said) == 1 && strings.Contains(",;\t|", said) {
		return after, rune(said[0])
	}
	counts, quoted := map[rune]int{}, false
	for _, c := range string(line) {
		if c == '"' {
			quoted = !quoted
		} else if !quoted {
			counts[c]++
		}
	}
	comma = ','
	for _, c := range ";\t" {
		if counts[c] > counts[comma] {
			comma = c
		}
	}
	return text, comma
}

// Head gives the place of each named column in a row of headings, however it is spelled; the error names what is missing or
// stands there twice.
func Head(row Row, names ...string) ([]int, error) {
	places := make([]int, len(names))
	for i, name := range names {
		places[i] = -1
		for at, cell := range row.Cells {
			if !strings.EqualFold(strings.Join(strings.Fields(Plain(cell)), " "), name) {
				continue
			}
			if places[i] >= 0 {
				return nil, notReadable("two columns are called %q", name)
			}
			places[i] = at
		}
		if places[i] < 0 {
			return nil, pitr.Errorf(pitr.KindInvalid, opRead, fmt.Sprintf("keep the row of headings first, and in it %s; all other columns may go", strings.Join(names, " and ")),
				"no column is called %q in the first row, which %s", name, beginning(row.Cells))
		}
	}
	return places, nil
}

// beginning says how a row begins, for the person who has to find it.
func beginning(cells []string) string {
	var said []string
	for _, cell := range cells {
		if cell = strings.TrimSpace(Plain(cell)); cell != "" && len(said) < 4 {
			said = append(said, fmt.Sprintf("%.40q", cell))
		}
	}
	if len(said) == 0 {
		return "is empty"
	}
	return "begins with " + strings.Join(said, ", ")
}
