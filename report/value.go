package report

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// maxShownDepth is how deep a value is written out; a server nests no deeper than 100 levels.
const maxShownDepth = 120

// shownValue writes a value as the MongoDB shell does, which is how the people who know the data know it. The types stay
// apart: 5 is an int, 5.0 a double, Long("5") and Decimal128("5") are what they say, text stands in quotes. Characters that
// do not print or turn the text around are escaped.
func shownValue(value bson.RawValue) string {
	var w valueWriter
	w.value(value, 0)
	return w.String()
}

type valueWriter struct{ strings.Builder }

func (w *valueWriter) value(value bson.RawValue, depth int) {
	if value.Validate() != nil || depth > maxShownDepth {
		fmt.Fprintf(w, "(%d bytes of %s)", len(value.Value), value.Type)
		return
	}
	switch value.Type {
	case bson.TypeEmbeddedDocument:
		w.WriteString("{")
		w.elements(bson.Raw(value.Value), depth+1)
		w.WriteString("}")
	case bson.TypeArray:
		w.list(bson.Raw(value.Value), depth+1)
	case bson.TypeString:
		w.quoted(value.StringValue())
	case bson.TypeDouble:
		w.WriteString(doubleText(value.Double()))
	case bson.TypeInt32:
		w.WriteString(strconv.Itoa(int(value.Int32())))
	case bson.TypeBoolean:
		w.WriteString(strconv.FormatBool(value.Boolean()))
	case bson.TypeNull:
		w.WriteString("null")
	case bson.TypeDateTime:
		w.WriteString(dateText(value.DateTime()))
	case bson.TypeBinary:
		w.WriteString(binaryText(value.Binary()))
	default:
		w.rare(value, depth)
	}
}

// rare writes the types that seldom stand in a record.
func (w *valueWriter) rare(value bson.RawValue, depth int) {
	switch value.Type {
	case bson.TypeObjectID:
		fmt.Fprintf(w, "ObjectId(%q)", value.ObjectID().Hex())
	case bson.TypeInt64:
		fmt.Fprintf(w, `Long("%d")`, value.Int64())
	case bson.TypeDecimal128:
		fmt.Fprintf(w, "Decimal128(%q)", value.Decimal128().String())
	case bson.TypeTimestamp:
		seconds, ordinal := value.Timestamp()
		fmt.Fprintf(w, "Timestamp(%d, %d)", seconds, ordinal)
	case bson.TypeRegex:
		pattern, options := value.Regex()
		w.call("RegExp", pattern, options)
	case bson.TypeJavaScript:
		w.call("Code", value.JavaScript())
	case bson.TypeSymbol:
		w.call("Symbol", value.Symbol())
	case bson.TypeCodeWithScope:
		code, scope := value.CodeWithScope()
		w.WriteString("Code(")
		w.quoted(code)
		w.WriteString(", {")
		w.elements(scope, depth+1)
		w.WriteString("})")
	case bson.TypeDBPointer:
		name, id := value.DBPointer()
		w.call("DBPointer", name, id.Hex())
	case bson.TypeMinKey:
		w.WriteString("MinKey()")
	case bson.TypeMaxKey:
		w.WriteString("MaxKey()")
	default:
		w.WriteString(value.Type.String())
	}
}

func (w *valueWriter) call(name string, arguments ...string) {
	w.WriteString(name + "(")
	for i, argument := range arguments {
		if i > 0 {
			w.WriteString(", ")
		}
		w.quoted(argument)
	}
	w.WriteString(")")
}

func (w *valueWriter) elements(document bson.Raw, depth int) {
	elements, err := document.Elements()
	if err != nil {
		fmt.Fprintf(w, "(%d bytes that are no document)", len(document))
		return
	}
	for i, element := range elements {
		if i > 0 {
			w.WriteString(", ")
		}
		if plainName(element.Key()) {
			w.WriteString(element.Key())
		} else {
			w.quoted(element.Key())
		}
		w.WriteString(": ")
		w.value(element.Value(), depth)
	}
}

func (w *valueWriter) list(array bson.Raw, depth int) {
	elements, err := array.Elements()
	if err != nil {
		fmt.Fprintf(w, "(%d bytes that are no list)", len(array))
		return
	}
	w.WriteString("[")
	for i, element := range elements {
		if i > 0 {
			w.WriteString(", ")
		}
		w.value(element.Value(), depth)
	}
	w.WriteString("]")
}

// quoted writes a text in double quotes, or in single ones where that saves every escape in text that is JSON itself.
func (w *valueWriter) quoted(text string) {
	mark := '"'
	if strings.Contains(text, `"`) && !strings.Contains(text, "'") {
		mark = '\''
	}
	w.WriteRune(mark)
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(w, `\x%02x`, text[0])
		case r == mark || r == '\\':
			w.WriteByte('\\')
			w.WriteRune(r)
		case r == '\n':
			w.WriteString(`\n`)
		case r == '\t':
			w.WriteString(`\t`)
		case r == '\r':
			w.WriteString(`\r`)
		case hiding(r):
			fmt.Fprintf(w, `\u%04x`, r)
		default:
			w.WriteRune(r)
		}
		text = text[size:]
	}
	w.WriteRune(mark)
}

// plainName reports whether a field name needs no quotes.
func plainName(name string) bool {
	for i, r := range name {
		letter := r == '_' || r == '$' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}

func doubleText(number float64) string {
	switch {
	case math.IsNaN(number):
		return "NaN"
	case math.IsInf(number, 1):
		return "Infinity"
	case math.IsInf(number, -1):
		return "-Infinity"
	}
	text := strconv.FormatFloat(number, 'g', -1, 64)
	if strings.ContainsAny(text, ".e") {
		return text
	}
	return text + ".0"
}

// dateText writes a date; one that no calendar has stays a number of milliseconds.
func dateText(milliseconds int64) string {
	const first, last = -62_135_596_800_000, 253_402_300_799_999 // the years 1 to 9999
	if milliseconds < first || milliseconds > last {
		return fmt.Sprintf("Date(%d)", milliseconds)
	}
	return time.UnixMilli(milliseconds).UTC().Format(`ISODate("2006-01-02T15:04:05.000Z")`)
}

func binaryText(subtype byte, content []byte) string {
	if subtype == bson.TypeBinaryUUID && len(content) == 16 {
		text := hex.EncodeToString(content)
		return `UUID("` + text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:] + `")`
	}
	return fmt.Sprintf("Binary(%q, %d)", base64.StdEncoding.EncodeToString(content), subtype)
}
