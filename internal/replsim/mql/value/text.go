package value

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// textLimit is where messages of the server cut strings.
const textLimit = 160

// Text writes a value as messages of the server show it: { a: 1, t: "word1" }.
func Text(v Value) string { return string(appendText(nil, v)) }

// ElementText writes a named value: a: 1.
func ElementText(name string, v Value) string { return name + ": " + Text(v) }

func appendText(b []byte, v Value) []byte {
	switch v.Type {
	case Missing:
		return append(b, "EOO"...)
	case bson.TypeDouble:
		return append(b, doubleText(v.Double())...)
	case bson.TypeInt32, bson.TypeInt64:
		return strconv.AppendInt(b, v.Int(), 10)
	case bson.TypeDecimal128:
		return append(b, v.Decimal().String()...)
	case bson.TypeString, bson.TypeSymbol:
		return appendQuoted(b, v.Bytes())
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		return appendContainer(b, v)
	case bson.TypeObjectID:
		return append(append(append(b, "ObjectId('"...), hex.EncodeToString(v.Data)...), "')"...)
	case bson.TypeBoolean:
		return strconv.AppendBool(b, v.Bool())
	case bson.TypeDateTime:
		return append(strconv.AppendInt(append(b, "new Date("...), v.Int(), 10), ')')
	case bson.TypeTimestamp:
		t, i := binary.LittleEndian.Uint32(v.Data[4:]), binary.LittleEndian.Uint32(v.Data)
		return append(b, "Timestamp("+strconv.Itoa(int(t))+", "+strconv.Itoa(int(i))+")"...)
	case bson.TypeNull:
		return append(b, "null"...)
	case bson.TypeUndefined:
		return append(b, "undefined"...)
	case bson.TypeMinKey:
		return append(b, "MinKey"...)
	case bson.TypeMaxKey:
		return append(b, "MaxKey"...)
	case bson.TypeRegex:
		p, f := v.Regex()
		return append(b, "/"+p+"/"+f...)
	case bson.TypeBinary:
		return appendBinary(b, v)
	case bson.TypeJavaScript:
		return append(b, v.Bytes()...)
	case bson.TypeDBPointer:
		n := len(v.Data) - 12
		return append(b, "DBRef('"+string(v.Data[4:n-1])+"',"+hex.EncodeToString(v.Data[n:])+")"...)
	case bson.TypeCodeWithScope:
		n := 4 + stringSize(v.Data[4:])
		b = append(append(append(b, "CodeWScope( "...), v.Data[8:n-1]...), ", "...)
		return append(appendContainer(b, Doc(bson.Raw(v.Data[n:]))), ')')
	}
	return b
}

func appendContainer(b []byte, v Value) []byte {
	open, shut, named := "{", "}", true
	if v.Type == bson.TypeArray {
		open, shut, named = "[", "]", false
	}
	b = append(b, open...)
	first := true
	for it := Iterate(v.Document()); it.Next(); {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, ' ')
		if named {
			b = append(append(b, it.key...), ": "...)
		}
		b = appendText(b, it.val)
	}
	if !first {
		b = append(b, ' ')
	}
	return append(b, shut...)
}

func appendQuoted(b, s []byte) []byte {
	b = append(b, '"')
	if len(s) > textLimit {
		return append(append(b, s[:textLimit]...), `..."`...)
	}
	return append(append(b, s...), '"')
}

func appendBinary(b []byte, v Value) []byte {
	sub, data := v.Binary()
	if sub == 4 && len(data) == 16 {
		h := hex.EncodeToString(data)
		return append(b, `UUID("`+h[:8]+"-"+h[8:12]+"-"+h[12:16]+"-"+h[16:20]+"-"+h[20:]+`")`...)
	}
	return append(b, "BinData("+strconv.Itoa(int(sub))+", "+strings.ToUpper(hex.EncodeToString(data))+")"...)
}

// doubleText writes 16 digits and makes sure of a point, as messages do: 2.0, nan.0, 1e+20.0.
func doubleText(f float64) string {
	s := strconv.FormatFloat(f, 'g', 16, 64)
	switch {
	case math.IsNaN(f):
		s = "nan"
	case math.IsInf(f, 1):
		s = "inf"
	case math.IsInf(f, -1):
		s = "-inf"
	}
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
