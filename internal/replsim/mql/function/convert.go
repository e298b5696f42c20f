package function

import (
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/value"
)

var conversions = map[string]Function{
	"$toString":   to(bson.TypeString),
	"$toInt":      to(bson.TypeInt32),
	"$toLong":     to(bson.TypeInt64),
	"$toDouble":   to(bson.TypeDouble),
	"$toDecimal":  to(bson.TypeDecimal128),
	"$toBool":     to(bson.TypeBoolean),
	"$toDate":     to(bson.TypeDateTime),
	"$toObjectId": to(bson.TypeObjectID),
	"$type":       one(func(v value.Value) (value.Value, error) { return value.String(value.TypeName(v.Type)), nil }),
	"$isNumber":   one(func(v value.Value) (value.Value, error) { return value.Bool(v.IsNumber()), nil }),
}

func to(t bson.Type) Function {
	return one(func(v value.Value) (value.Value, error) {
		if v.Nullish() {
			return value.Null(), nil
		}
		return Convert(v, t)
	})
}

func unsupported(v value.Value, t bson.Type) error {
	return value.Errorf(value.ConversionFailure, "Unsupported conversion from %s to %s in $convert with no onError value",
		value.TypeName(v.Type), value.TypeName(t))
}

func unparsed(what, s, why string) error {
	return value.Errorf(value.ConversionFailure, "Failed to parse %s '%s' in $convert with no onError value: %s", what, s, why)
}

// Convert gives v as type t, as $convert does.
func Convert(v value.Value, t bson.Type) (value.Value, error) {
	if v.Type == t {
		return v, nil
	}
	switch t {
	case bson.TypeBoolean:
		switch v.Type {
		case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128, bson.TypeString, bson.TypeObjectID, bson.TypeDateTime:
			return value.Bool(v.Truth()), nil
		}
	case bson.TypeString:
		return toString(v)
	case bson.TypeInt32, bson.TypeInt64:
		return toInteger(v, t)
	case bson.TypeDouble, bson.TypeDecimal128:
		return toReal(v, t)
	case bson.TypeDateTime:
		return toDate(v)
	case bson.TypeObjectID:
		if v.Type == bson.TypeString {
			b, err := hex.DecodeString(v.Str())
			if err != nil || len(b) != 12 {
				return v, unparsed("objectId", v.Str(), "Invalid string length for parsing to OID, expected 24 but found "+strconv.Itoa(len(v.Str())))
			}
			return value.ObjectID(bson.ObjectID(b)), nil
		}
	}
	return v, unsupported(v, t)
}

func toString(v value.Value) (value.Value, error) {
	switch v.Type {
	case bson.TypeInt32, bson.TypeInt64:
		return value.String(strconv.FormatInt(v.Int(), 10)), nil
	case bson.TypeDouble:
		return value.String(doubleString(v.Double())), nil
	case bson.TypeDecimal128:
		return value.String(v.Decimal().String()), nil
	case bson.TypeBoolean:
		return value.String(strconv.FormatBool(v.Bool())), nil
	case bson.TypeObjectID:
		return value.String(hex.EncodeToString(v.Data)), nil
	case bson.TypeDateTime:
		s, err := formatDate(time.UnixMilli(v.Int()).UTC(), isoFormat)
		return value.String(s), err
	case bson.TypeSymbol:
		return value.String(v.Str()), nil
	}
	return v, unsupported(v, bson.TypeString)
}

func doubleString(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	if a := math.Abs(f); a >= 1e21 || a < 1e-6 && a != 0 {
		s := strconv.FormatFloat(f, 'e', -1, 64)
		return strings.Replace(strings.Replace(s, "e-0", "e-", 1), "e+0", "e+", 1)
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

func toInteger(v value.Value, t bson.Type) (value.Value, error) {
	n := int64(0)
	switch v.Type {
	case bson.TypeBoolean:
		if v.Bool() {
			n = 1
		}
	case bson.TypeInt32, bson.TypeInt64:
		n = v.Int()
	case bson.TypeDouble, bson.TypeDecimal128:
		f := v.Float()
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return v, value.Errorf(value.ConversionFailure, "Attempt to convert %s value to integer type in $convert with no onError value",
				map[bool]string{true: "NaN", false: "infinity"}[math.IsNaN(f)])
		}
		if f >= 1<<63 || f < -(1<<63) {
			return v, overflow(v)
		}
		n = v.Truncated()
		if v.Type == bson.TypeDecimal128 {
			n, _ = value.RoundDecimal(v, 0, value.Down).Whole()
		}
	case bson.TypeString:
		var err error
		if n, err = strconv.ParseInt(v.Str(), 10, 64); err != nil {
			return v, unparsed("number", v.Str(), "Did not consume whole string.")
		}
	case bson.TypeDateTime:
		if t == bson.TypeInt32 {
			return v, unsupported(v, t)
		}
		n = v.Int()
	default:
		return v, unsupported(v, t)
	}
	if t == bson.TypeInt64 {
		return value.Int64(n), nil
	}
	if n != int64(int32(n)) {
		return v, overflow(v)
	}
	return value.Int32(int32(n)), nil
}

func overflow(v value.Value) error {
	return value.Errorf(value.ConversionFailure, "Conversion would overflow target type in $convert with no onError value: %s", value.Text(v))
}

func toReal(v value.Value, t bson.Type) (value.Value, error) {
	number := v
	switch v.Type {
	case bson.TypeBoolean:
		number, _ = toInteger(v, bson.TypeInt32)
	case bson.TypeDateTime:
		number = value.Int64(v.Int())
	case bson.TypeString:
		if t == bson.TypeDecimal128 {
			d, err := bson.ParseDecimal128(v.Str())
			if err != nil {
				return v, unparsed("number", v.Str(), "Failed to parse string to decimal")
			}
			return value.Decimal(d), nil
		}
		f, err := strconv.ParseFloat(v.Str(), 64)
		if err != nil || strings.ContainsAny(v.Str(), "xX_") {
			return v, unparsed("number", v.Str(), "Did not consume whole string.")
		}
		return value.Double(f), nil
	}
	if !number.IsNumber() {
		return v, unsupported(v, t)
	}
	if t == bson.TypeDecimal128 {
		return value.ToDecimal(number), nil
	}
	return value.Double(number.Float()), nil
}

func toDate(v value.Value) (value.Value, error) {
	switch v.Type {
	case bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128:
		return value.Date(v.Truncated()), nil
	case bson.TypeString:
		t, err := parseDate(v.Str(), time.UTC)
		return value.Date(t.UnixMilli()), err
	case bson.TypeTimestamp, bson.TypeObjectID:
		t, err := instant(v)
		return value.Date(t.UnixMilli()), err
	}
	return v, unsupported(v, bson.TypeDateTime)
}
