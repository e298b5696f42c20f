package sheet

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/xuri/excelize/v2"

	"pitr"
)

// Word explains a word that stands in a table.
type Word struct{ Word, Meaning string }

// ExcelOptions are the choices of an Excel file.
type ExcelOptions struct {
	// Words are explained on a sheet of their own; none when empty.
	Words []Word
	// Frozen is how many columns stay in view when somebody scrolls to the right.
	Frozen int
}

// The limits of a sheet.
const (
	MaxExcelRows    = excelize.TotalRows
	MaxExcelColumns = excelize.MaxColumns
	maxCell         = excelize.TotalCellChars
)

// The names of the sheets.
const (
	sheetRecords = "records"
	sheetWords   = "words"
	sheetLists   = "lists"
)

// widthOfMeaning is the width of what a word means.
const widthOfMeaning = 110

// Excel writes rows into a sheet with typed cells; the head stays in view and has a filter.
type Excel struct {
	out     io.Writer
	file    *excelize.File
	stream  *excelize.StreamWriter
	columns []Column
	row     int
	styles  styles
	notes   Notes
}

// styles are the numbers under which the file knows how cells look.
type styles struct {
	head, date int
	// text is for text in the column, by column: with several lines, or to be chosen from.
	text []int
	// explained is for the meaning of a word.
	explained int
}

// NewExcel begins a file.
func NewExcel(w io.Writer, columns []Column, o ExcelOptions) (*Excel, error) {
	e := &Excel{out: w, file: excelize.NewFile(), columns: columns}
	if err := e.begin(o); err != nil {
		_ = e.file.Close() // the error that stopped us says more
		return nil, pitr.Errorf(pitr.KindUnexpected, "begin an Excel file", "write CSV with `--format csv`", "%w", err)
	}
	return e, nil
}

func (e *Excel) begin(o ExcelOptions) error {
	if len(e.columns) > MaxExcelColumns {
		return fmt.Errorf("%d columns, a sheet has at most %d", len(e.columns), MaxExcelColumns)
	}
	if err := e.file.SetSheetName("Sheet1", sheetRecords); err != nil {
		return err
	}
	if err := e.makeStyles(); err != nil {
		return err
	}
	if err := e.words(o.Words); err != nil {
		return err
	}
	landscape := "landscape"
	err := e.file.SetPageLayout(sheetRecords, &excelize.PageLayoutOptions{Orientation: &landscape})
	if err != nil {
		return err
	}
	if e.stream, err = e.file.NewStreamWriter(sheetRecords); err != nil {
		return err
	}
	for i, column := range e.columns {
		width := column.Width
		if width == 0 {
			width = 18
		}
		if err := e.stream.SetColWidth(i+1, i+1, width); err != nil {
			return err
		}
	}
	if err := e.freeze(o.Frozen); err != nil {
		return err
	}
	values := make([]any, len(e.columns))
	for i, column := range e.columns {
		values[i] = excelize.Cell{StyleID: e.styles.head, Value: e.text(column.Name)}
	}
	e.row = 1
	return e.stream.SetRow("A1", values)
}

// makeStyles says how cells look. Format "@" keeps a text that somebody edits a text, so that leading zeros survive; a column
// to choose in has a colour.
func (e *Excel) makeStyles() error {
	layout, top := "yyyy-mm-dd hh:mm:ss.000", func() *excelize.Alignment { return &excelize.Alignment{Vertical: "top"} }
	fill := func(colour string) excelize.Fill {
		return excelize.Fill{Type: "pattern", Pattern: 1, Color: []string{colour}}
	}
	lines := &excelize.Alignment{Vertical: "top", WrapText: true}
	var plain, several, choice int
	for _, style := range []struct {
		number *int
		excelize.Style
	}{
		{&e.styles.head, excelize.Style{Font: &excelize.Font{Bold: true, Family: "Calibri", Size: 11}, Fill: fill("DDE7F0"), Alignment: lines}},
		{&e.styles.date, excelize.Style{CustomNumFmt: &layout, Alignment: &excelize.Alignment{Horizontal: "left", Vertical: "top"}}},
		{&e.styles.explained, excelize.Style{Alignment: lines}},
		{&plain, excelize.Style{NumFmt: 49, Alignment: top()}},
		{&several, excelize.Style{NumFmt: 49, Alignment: lines}},
		{&choice, excelize.Style{NumFmt: 49, Alignment: top(), Fill: fill("FFF7D6")}},
	} {
		number, err := e.file.NewStyle(&style.Style)
		if err != nil {
			return err
		}
		*style.number = number
	}
	for _, column := range e.columns {
		style := plain
		if column.Lines {
			style = several
		}
		if len(column.Choices) > 0 {
			style = choice
		}
		e.styles.text = append(e.styles.text, style)
	}
	return nil
}

// freeze keeps the head and some columns in view.
func (e *Excel) freeze(columns int) error {
	corner, err := excelize.CoordinatesToCellName(columns+1, 2)
	if err != nil {
		return err
	}
	pane := "bottomLeft"
	if columns > 0 {
		pane = "bottomRight"
	}
	return e.stream.SetPanes(&excelize.Panes{Freeze: true, XSplit: columns, YSplit: 1, TopLeftCell: corner, ActivePane: pane,
		Selection: []excelize.Selection{{SQRef: corner, ActiveCell: corner, Pane: pane}}})
}

// words fills the sheet that explains, and a hidden one with the choices: a list that stands in a cell's rule cannot hold a
// comma.
func (e *Excel) words(words []Word) error {
	if len(words) > 0 {
		if _, err := e.file.NewSheet(sheetWords); err != nil {
			return err
		}
		if err := e.file.SetColWidth(sheetWords, "A", "A", 32); err != nil {
			return err
		}
		if err := e.file.SetColWidth(sheetWords, "B", "B", widthOfMeaning); err != nil {
			return err
		}
		for i, word := range words {
			row := []any{e.text(word.Word), e.text(word.Meaning)}
			at := strconv.Itoa(i + 1)
			if err := e.file.SetSheetRow(sheetWords, "A"+at, &row); err != nil {
				return err
			}
			style := e.styles.explained
			if word.Meaning == "" && word.Word != "" {
				style = e.styles.head
			}
			if err := e.file.SetRowHeight(sheetWords, i+1, heightOf(linesOf(word.Meaning, widthOfMeaning))); err != nil {
				return err
			}
			if err := e.file.SetCellStyle(sheetWords, "A"+at, "B"+at, style); err != nil {
				return err
			}
		}
	}
	for i, column := range e.columns {
		if len(column.Choices) == 0 {
			continue
		}
		if _, err := e.file.NewSheet(sheetLists); err != nil {
			return err
		}
		if err := e.file.SetSheetVisible(sheetLists, false); err != nil {
			return err
		}
		letters, err := excelize.ColumnNumberToName(i + 1)
		if err != nil {
			return err
		}
		if err := e.file.SetSheetCol(sheetLists, letters+"1", &column.Choices); err != nil {
			return err
		}
	}
	return nil
}

// Row writes a row.
func (e *Excel) Row(cells []Cell) error {
	if e.row == MaxExcelRows {
		return pitr.Errorf(pitr.KindLimit, "write an Excel file", "write CSV, or choose fewer records", "a sheet has at most %d rows", MaxExcelRows)
	}
	e.row++
	values := make([]any, len(cells))
	for i, cell := range cells {
		values[i] = e.value(i, cell)
	}
	if lines := e.lines(cells); lines > 1 {
		return e.stream.SetRow("A"+strconv.Itoa(e.row), values, excelize.RowOpts{Height: heightOf(lines)})
	}
	return e.stream.SetRow("A"+strconv.Itoa(e.row), values)
}

// lines is how many lines a row needs for what is to be seen whole. Spreadsheets do not find out by themselves.
func (e *Excel) lines(cells []Cell) int {
	most := 1
	for i, column := range e.columns[:min(len(cells), len(e.columns))] {
		if column.Lines {
			most = max(most, linesOf(cells[i].Text, column.Width))
		}
	}
	return most
}

// linesOf counts the lines of a text in a column of some width.
func linesOf(text string, width float64) int {
	count := 0
	for line := range strings.SplitSeq(text, "\n") {
		count += 1 + int(float64(utf8.RuneCountInString(line))/max(1, width))
	}
	return count
}

// heightOf gives the height of a row, at most what a spreadsheet allows.
func heightOf(lines int) float64 { return min(15*float64(lines), excelize.MaxRowHeight) }

func (e *Excel) value(column int, cell Cell) any {
	switch cell.Kind {
	case Empty:
		return nil
	case Number:
		if number, err := strconv.ParseFloat(cell.Text, 64); err == nil {
			return number
		}
	case Bool:
		return cell.Text == "true"
	case Time:
		if moment, err := time.Parse(timeLayout, cell.Text); err == nil && !moment.Before(firstDay) {
			// Days since the last but one of 1899, as spreadsheets count.
			return excelize.Cell{StyleID: e.styles.date, Value: float64(moment.UnixMilli())/86_400_000 + 25569}
		}
	case Text, Exact:
	}
	style := 0
	if column < len(e.styles.text) {
		style = e.styles.text[column]
	}
	return excelize.Cell{StyleID: style, Value: e.text(cell.Text)}
}

// firstDay is the first on which all spreadsheets agree: they believe in a 29 February 1900.
var firstDay = time.Date(1900, 3, 1, 0, 0, 0, 0, time.UTC)

const cutMark = "… (cut: the rest does not fit into a cell)"

// text makes text fit into a cell, and counts what it had to change.
func (e *Excel) text(text string) string {
	if strings.ContainsFunc(text, notInXML) || !utf8.ValidString(text) {
		e.notes.Replaced++
		text = strings.Map(func(r rune) rune {
			if notInXML(r) {
				return utf8.RuneError
			}
			return r
		}, strings.ToValidUTF8(text, "\uFFFD"))
	}
	units := 0
	for at, r := range text {
		units += utf16.RuneLen(r)
		if units > maxCell {
			e.notes.Cut++
			return shorten(text[:at])
		}
	}
	return text
}

// shorten makes room for the mark at the end of what fits.
func shorten(text string) string {
	for range len([]rune(cutMark)) + 1 {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text + cutMark
}

// notInXML reports the characters that a sheet cannot hold.
func notInXML(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
}

// Notes counts what could not be written as it is.
func (e *Excel) Notes() Notes { return e.notes }

// Close writes the file.
func (e *Excel) Close() error {
	err := e.finish()
	if closeErr := e.file.Close(); err == nil { // it removes temporary files
		err = closeErr
	}
	return err
}

func (e *Excel) finish() error {
	last, err := excelize.CoordinatesToCellName(max(1, len(e.columns)), e.row)
	if err != nil {
		return err
	}
	if err := e.file.AutoFilter(sheetRecords, "A1:"+last, nil); err != nil {
		return err
	}
	for i, column := range e.columns {
		if len(column.Choices) == 0 || e.row == 1 {
			continue
		}
		letters, err := excelize.ColumnNumberToName(i + 1)
		if err != nil {
			return err
		}
		rule := excelize.NewDataValidation(true)
		rule.SetSqref(fmt.Sprintf("%s2:%s%d", letters, letters, e.row))
		rule.SetSqrefDropList(fmt.Sprintf("%s!$%s$1:$%s$%d", sheetLists, letters, letters, len(column.Choices)))
		rule.SetError(excelize.DataValidationErrorStyleWarning, "not one of the words", "Choose one from the list.")
		if err := e.file.AddDataValidation(sheetRecords, rule); err != nil {
			return err
		}
	}
	if err := e.stream.Flush(); err != nil {
		return err
	}
	_, err = e.file.WriteTo(e.out)
	return err
}

var (
	_ Table = (*CSV)(nil)
	_ Table = (*Excel)(nil)
)
