package sheet

import (
	"math"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// Kind says what a cell holds.
type Kind byte

// The kinds of cells. The zero value is a cell with nothing in it.
const (
	Empty Kind = iota
	// Text is any text. It is what can be dangerous in a spreadsheet.
	Text
	// Number is a number that a spreadsheet keeps as it is: its text is what strconv reads.
	Number
	// Exact is a number that a spreadsheet would round, or cannot hold: text there, a number in CSV.
	Exact
	// Bool is "true" or "false".
	Bool
	// Time is a moment in UTC, in the form of timeLayout.
	Time
)

// Cell is one cell of a table. Cells compare with ==.
type Cell struct {
	Kind Kind
	Text string
}

const timeLayout = "2006-01-02T15:04:05.000Z"

// TextCell makes a cell of text.
func TextCell(text string) Cell {
	if text == "" {
		return Cell{}
	}
	return Cell{Kind: Text, Text: strings.ToValidUTF8(text, "\uFFFD")}
}

// IntCell makes a cell of a whole number.
func IntCell(n int64) Cell {
	kind := Number
	if n > widest || n < -widest {
		kind = Exact
	}
	return Cell{Kind: kind, Text: strconv.FormatInt(n, 10)}
}

// widest is the largest number of 15 digits: of longer ones a spreadsheet shows, and writes back, zeros at the end.
const widest = 999_999_999_999_999

// TimeCell makes a cell of a moment; the zero moment gives an empty one.
func TimeCell(t time.Time) Cell {
	if t.IsZero() {
		return Cell{}
	}
	return Cell{Kind: Time, Text: t.UTC().Format(timeLayout)}
}

// BoolCell makes a cell of a truth value.
func BoolCell(b bool) Cell { return Cell{Kind: Bool, Text: strconv.FormatBool(b)} }

// CellOf gives the cell of a BSON value. Null and a missing value are both empty; documents, arrays and types without a
// form of their own are relaxed Extended JSON.
func CellOf(value bson.RawValue) Cell {
	switch value.Type {
	case 0, bson.TypeNull, bson.TypeUndefined:
		return Cell{}
	case bson.TypeString, bson.TypeSymbol:
		if text, ok := textOf(value); ok {
			return TextCell(text)
		}
	case bson.TypeInt32:
		return IntCell(int64(value.Int32()))
	case bson.TypeInt64:
		return IntCell(value.Int64())
	case bson.TypeDouble:
		return doubleCell(value.Double())
	case bson.TypeDecimal128:
		return Cell{Kind: Exact, Text: value.Decimal128().String()}
	case bson.TypeBoolean:
		return BoolCell(value.Boolean())
	case bson.TypeObjectID:
		return TextCell(value.ObjectID().Hex())
	case bson.TypeDateTime:
		return dateCell(value.DateTime())
	case bson.TypeBinary:
		if uuid, err := pitr.UUIDOf(value); err == nil {
			return TextCell(uuid.String())
		}
	}
	return TextCell(jsonText(value))
}

func textOf(value bson.RawValue) (string, bool) {
	if value.Type == bson.TypeSymbol {
		return value.SymbolOK()
	}
	return value.StringValueOK()
}

func doubleCell(number float64) Cell {
	if math.IsNaN(number) || math.IsInf(number, 0) {
		return Cell{Kind: Exact, Text: strconv.FormatFloat(number, 'g', -1, 64)}
	}
	if number == math.Trunc(number) && math.Abs(number) <= widest {
		return Cell{Kind: Number, Text: strconv.FormatFloat(number, 'f', -1, 64)}
	}
	return Cell{Kind: Number, Text: strconv.FormatFloat(number, 'g', -1, 64)}
}

// dateCell gives dates beyond the calendar of RFC 3339 as text.
func dateCell(milliseconds int64) Cell {
	moment := time.UnixMilli(milliseconds).UTC()
	if year := moment.Year(); year < 0 || year > 9999 {
		return TextCell(`{"$date": {"$numberLong": "` + strconv.FormatInt(milliseconds, 10) + `"}}`)
	}
	return Cell{Kind: Time, Text: moment.Format(timeLayout)}
}

// jsonText gives a value as relaxed Extended JSON: that of a document around it, without the document.
func jsonText(value bson.RawValue) string {
	text, err := bson.MarshalExtJSON(bson.D{{Key: "v", Value: value}}, false, false)
	if err != nil {
		return "(a value that cannot be shown)"
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(text), `{"v":`), "}")
}

// Column is the head of a column.
type Column struct {
	Name string
	// Width is in characters, for spreadsheets; zero is an ordinary one.
	Width float64
	// Lines says that text in this column has several lines, all of which are to be seen.
	Lines bool
	// Choices are what a person may choose in this column, offered as a list where the program can. Other text is not refused.
	Choices []string
}

// Table is a file that is being written, row by row.
type Table interface {
	// Row writes a row; cells that it lacks at the end are empty.
	Row(cells []Cell) error
	// Close writes what is left. A table that was not closed is no table.
	Close() error
	// Notes counts what could not be written as it is.
	Notes() Notes
}

// Notes counts what could not be written as it is.
type Notes struct {
	// Inexact are documents whose text is not read back to the same bytes.
	Inexact int64 `json:"inexact,omitempty"`
	// Raw are documents that have no text and stand there as base64.
	Raw int64 `json:"raw,omitempty"`
	// Cut are cells that were too long for a spreadsheet, and end with a mark.
	Cut int64 `json:"cut,omitempty"`
	// Replaced are cells with characters that a spreadsheet cannot hold.
	Replaced int64 `json:"replaced,omitempty"`
}

// Add adds up.
func (n Notes) Add(other Notes) Notes {
	return Notes{Inexact: n.Inexact + other.Inexact, Raw: n.Raw + other.Raw, Cut: n.Cut + other.Cut, Replaced: n.Replaced + other.Replaced}
}
