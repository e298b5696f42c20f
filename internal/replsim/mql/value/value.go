package value

import (
	"encoding/binary"
	"math"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Missing is the type of a value that is not there; the zero Value has it.
const Missing bson.Type = 0

// Value is one BSON value: its type and its bytes, which belong to the document it came from and must not be changed.
type Value struct {
	Type bson.Type
	Data []byte
}

// Of takes a raw value of the driver.
func Of(v bson.RawValue) Value { return Value{Type: v.Type, Data: v.Value} }

// Raw gives the value in the driver's form.
func (v Value) Raw() bson.RawValue { return bson.RawValue{Type: v.Type, Value: v.Data} }

// Exists reports that the value is there.
func (v Value) Exists() bool { return v.Type != Missing }

// Nullish reports a value that is missing, null or undefined.
func (v Value) Nullish() bool {
	return v.Type == Missing || v.Type == bson.TypeNull || v.Type == bson.TypeUndefined
}

// IsNumber reports one of the four numeric types.
func (v Value) IsNumber() bool {
	return v.Type == bson.TypeInt32 || v.Type == bson.TypeInt64 || v.Type == bson.TypeDouble || v.Type == bson.TypeDecimal128
}

// IsNaN reports a number that is none.
func IsNaN(v Value) bool {
	switch v.Type {
	case bson.TypeDouble:
		return math.IsNaN(v.Double())
	case bson.TypeDecimal128:
		return v.Decimal().IsNaN()
	}
	return false
}

// Document gives the bytes of a document or array; nil for other types.
func (v Value) Document() bson.Raw {
	if v.Type == bson.TypeEmbeddedDocument || v.Type == bson.TypeArray {
		return bson.Raw(v.Data)
	}
	return nil
}

// Bool gives a boolean; false for other types.
func (v Value) Bool() bool { return v.Type == bson.TypeBoolean && v.Data[0] != 0 }

// Truth is the value as a condition: false, 0, null, undefined and missing are false, all else is true.
func (v Value) Truth() bool {
	switch v.Type {
	case Missing, bson.TypeNull, bson.TypeUndefined:
		return false
	case bson.TypeBoolean:
		return v.Data[0] != 0
	case bson.TypeInt32, bson.TypeInt64:
		return v.Int() != 0
	case bson.TypeDouble:
		return v.Double() != 0
	case bson.TypeDecimal128:
		return !unpack(v.Decimal()).zero()
	}
	return true
}

// Int gives an int32, int64, date (milliseconds) or timestamp (all 64 bits); 0 for other types.
func (v Value) Int() int64 {
	switch v.Type {
	case bson.TypeInt32:
		return int64(int32(binary.LittleEndian.Uint32(v.Data)))
	case bson.TypeInt64, bson.TypeDateTime, bson.TypeTimestamp:
		return int64(binary.LittleEndian.Uint64(v.Data))
	}
	return 0
}

// Double gives a double's value; 0 for other types.
func (v Value) Double() float64 {
	if v.Type != bson.TypeDouble {
		return 0
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(v.Data))
}

// Decimal gives a decimal's value; zero for other types.
func (v Value) Decimal() bson.Decimal128 {
	if v.Type != bson.TypeDecimal128 {
		return bson.Decimal128{}
	}
	return bson.NewDecimal128(binary.LittleEndian.Uint64(v.Data[8:]), binary.LittleEndian.Uint64(v.Data))
}

// Bytes gives the bytes of a string, symbol or code, without the end mark; nil for other types.
func (v Value) Bytes() []byte {
	switch v.Type {
	case bson.TypeString, bson.TypeSymbol, bson.TypeJavaScript:
		if len(v.Data) < 5 {
			return nil
		}
		return v.Data[4 : len(v.Data)-1]
	}
	return nil
}

// Str gives a string or symbol as text; "" for other types.
func (v Value) Str() string { return string(v.Bytes()) }

// Regex gives pattern and flags of a regular expression.
func (v Value) Regex() (pattern, flags string) {
	if v.Type != bson.TypeRegex {
		return "", ""
	}
	i := indexZero(v.Data)
	return string(v.Data[:i]), string(v.Data[i+1 : len(v.Data)-1])
}

// Binary gives subtype and bytes of binary data; the old subtype 2 keeps its inner length.
func (v Value) Binary() (subtype byte, data []byte) {
	if v.Type != bson.TypeBinary {
		return 0, nil
	}
	return v.Data[4], v.Data[5:]
}

// Whole gives the number as an int64 if it is one exactly.
func (v Value) Whole() (int64, bool) {
	switch v.Type {
	case bson.TypeInt32, bson.TypeInt64:
		return v.Int(), true
	case bson.TypeDouble:
		f := v.Double()
		if f != math.Trunc(f) || f < -(1<<63) || f >= 1<<63 {
			return 0, false
		}
		return int64(f), true
	case bson.TypeDecimal128:
		return decimalWhole(v.Decimal())
	}
	return 0, false
}

// Truncated gives the number as an int64, cut towards zero and held to the range; NaN is 0.
func (v Value) Truncated() int64 {
	if n, ok := v.Whole(); ok {
		return n
	}
	f := v.Float()
	switch {
	case math.IsNaN(f):
		return 0
	case f >= 1<<63:
		return math.MaxInt64
	case f < -(1 << 63):
		return math.MinInt64
	}
	return int64(f)
}

// Float gives any number as the nearest double; 0 for other types.
func (v Value) Float() float64 {
	switch v.Type {
	case bson.TypeInt32, bson.TypeInt64:
		return float64(v.Int())
	case bson.TypeDouble:
		return v.Double()
	case bson.TypeDecimal128:
		return decimalFloat(v.Decimal())
	}
	return 0
}

// Len counts the elements of a document or array.
func (v Value) Len() int {
	n := 0
	for it := Iterate(v.Document()); it.Next(); {
		n++
	}
	return n
}

// Null is the null value.
func Null() Value { return Value{Type: bson.TypeNull} }

// Bool makes a boolean.
func Bool(b bool) Value { return Value{Type: bson.TypeBoolean, Data: booleans[b]} }

var booleans = map[bool][]byte{false: {0}, true: {1}}

// Int32 makes an int32.
func Int32(n int32) Value {
	return Value{Type: bson.TypeInt32, Data: binary.LittleEndian.AppendUint32(nil, uint32(n))}
}

// Int64 makes an int64.
func Int64(n int64) Value {
	return Value{Type: bson.TypeInt64, Data: binary.LittleEndian.AppendUint64(nil, uint64(n))}
}

// IntOrLong makes an int32 where it fits, else an int64.
func IntOrLong(n int64) Value {
	if n == int64(int32(n)) {
		return Int32(int32(n))
	}
	return Int64(n)
}

// Double makes a double.
func Double(f float64) Value {
	return Value{Type: bson.TypeDouble, Data: binary.LittleEndian.AppendUint64(nil, math.Float64bits(f))}
}

// Decimal makes a decimal.
func Decimal(d bson.Decimal128) Value {
	h, l := d.GetBytes()
	return Value{Type: bson.TypeDecimal128, Data: binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, l), h)}
}

// String makes a string.
func String(s string) Value {
	b := make([]byte, 0, len(s)+5)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s)+1))
	b = append(append(b, s...), 0)
	return Value{Type: bson.TypeString, Data: b}
}

// Date makes a date of milliseconds since 1970.
func Date(ms int64) Value {
	return Value{Type: bson.TypeDateTime, Data: binary.LittleEndian.AppendUint64(nil, uint64(ms))}
}

// Timestamp makes a timestamp.
func Timestamp(t bson.Timestamp) Value {
	b := binary.LittleEndian.AppendUint32(nil, t.I)
	return Value{Type: bson.TypeTimestamp, Data: binary.LittleEndian.AppendUint32(b, t.T)}
}

// ObjectID makes an object id.
func ObjectID(id bson.ObjectID) Value { return Value{Type: bson.TypeObjectID, Data: id[:]} }

// Doc makes a document value.
func Doc(d bson.Raw) Value { return Value{Type: bson.TypeEmbeddedDocument, Data: d} }

// Array makes an array of values; missing ones become null.
func Array(values ...Value) Value {
	b, at := Begin(nil)
	for i, v := range values {
		if !v.Exists() {
			v = Null()
		}
		b = Append(b, IndexName(i), v)
	}
	return Value{Type: bson.TypeArray, Data: End(b, at)}
}

// Elements gives the values of a document or array.
func (v Value) Elements() []Value {
	var out []Value
	for it := Iterate(v.Document()); it.Next(); {
		out = append(out, it.Value())
	}
	return out
}

var smallIndex = func() (names [256]string) {
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	return names
}()

// IndexName is the field name of an array element.
func IndexName(i int) string {
	if i < len(smallIndex) {
		return smallIndex[i]
	}
	return strconv.Itoa(i)
}
