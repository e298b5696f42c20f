package pitr

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Key is the identity of a document in its collection. It has two parts: the equality form, in which two values that the
// server takes for the same _id are the same string (1, 1.0, NumberLong(1) and NumberDecimal("1.00") are one key), and the
// stored bytes, which every look-up and write uses. The equality form does not know collations: see Collection.Collation.
type Key struct {
	equal  string
	stored bson.RawValue
}

// maxKeyDepth bounds the nesting of an _id; the server allows 100 levels in a document.
const maxKeyDepth = 200

// NewKey makes the key of an _id value. The value's bytes are kept, not copied. It fails on types that the server does
// not accept as _id (array, regular expression, undefined) and on bytes that are no BSON value.
func NewKey(id bson.RawValue) (Key, error) {
	switch id.Type {
	case bson.TypeArray, bson.TypeRegex, bson.TypeUndefined:
		return Key{}, fmt.Errorf("an _id cannot be of type %s", id.Type)
	}
	if err := id.Validate(); err != nil {
		return Key{}, fmt.Errorf("an _id of type %s: %w", id.Type, err)
	}
	var few [64]byte // most forms fit, so that the string is all that is made
	form, err := appendEqual(few[:0], id, 0)
	if err != nil {
		return Key{}, err
	}
	return Key{equal: string(form), stored: id}, nil
}

// KeyOf makes the key of a document from its _id.
func KeyOf(document bson.Raw) (Key, error) {
	id, err := document.LookupErr("_id")
	if err != nil {
		return Key{}, fmt.Errorf("a document without _id: %w", err)
	}
	return NewKey(id)
}

// Equal gives the equality form: opaque bytes for maps, hashes and spills.
func (k Key) Equal() string { return k.equal }

// Stored gives the _id value as it was stored.
func (k Key) Stored() bson.RawValue { return k.stored }

// Filter gives {_id: <stored value>}, the look-up by identity.
func (k Key) Filter() bson.Raw {
	document := make([]byte, 0, len(k.stored.Value)+10)
	document = binary.LittleEndian.AppendUint32(document, uint32(len(k.stored.Value)+10)) //nolint:gosec // an _id is at most 16 MiB
	document = append(document, byte(k.stored.Type))
	document = append(document, "_id\x00"...)
	document = append(document, k.stored.Value...)
	return append(document, 0)
}

// Clone gives a key that shares no memory with the document it was made from.
func (k Key) Clone() Key {
	k.stored.Value = bytes.Clone(k.stored.Value)
	return k
}

// String gives the value in canonical Extended JSON, for people.
func (k Key) String() string { return k.stored.String() }

// Classes of values that compare equal across types; everything else is a class of its own type.
const (
	classNumber = 'n'
	classString = 's'
	classObject = 'o'
	classArray  = 'a'
	classOther  = 't'
)

func appendEqual(form []byte, value bson.RawValue, depth int) ([]byte, error) {
	if depth > maxKeyDepth {
		return nil, fmt.Errorf("an _id nested deeper than %d levels", maxKeyDepth)
	}
	switch value.Type {
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128:
		return appendCounted(append(form, classNumber), numberForm(value)), nil
	case bson.TypeString, bson.TypeSymbol:
		return appendCounted(append(form, classString), value.Value), nil
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		return appendEqualElements(form, value, depth)
	}
	return appendCounted(append(form, classOther, byte(value.Type)), value.Value), nil
}

func appendEqualElements(form []byte, value bson.RawValue, depth int) ([]byte, error) {
	form = append(form, classObject)
	if value.Type == bson.TypeArray {
		form = append(form, classArray)
	}
	elements, err := bson.Raw(value.Value).Elements()
	if err != nil {
		return nil, fmt.Errorf("a nested _id: %w", err)
	}
	form = strconv.AppendInt(form, int64(len(elements)), 10)
	for _, element := range elements {
		if value.Type != bson.TypeArray {
			form = appendCounted(form, element.Key())
		}
		if form, err = appendEqual(form, element.Value(), depth+1); err != nil {
			return nil, err
		}
	}
	return form, nil
}

func appendCounted[T string | []byte](form []byte, content T) []byte {
	form = strconv.AppendInt(form, int64(len(content)), 10)
	form = append(form, ':')
	return append(form, content...)
}

// numberForm gives one text per numeric value, whatever its type. Doubles and decimals have exact decimal expansions, so
// equality is exact, as it is on the server; all NaNs are one value and so are both zeros.
func numberForm(value bson.RawValue) string {
	switch value.Type {
	case bson.TypeInt32:
		return strconv.FormatInt(int64(value.Int32()), 10)
	case bson.TypeInt64:
		return strconv.FormatInt(value.Int64(), 10)
	case bson.TypeDouble:
		return doubleForm(value.Double())
	}
	return decimalForm(value.Decimal128())
}

func doubleForm(number float64) string {
	switch {
	case math.IsNaN(number):
		return "nan"
	case math.IsInf(number, 1):
		return "inf"
	case math.IsInf(number, -1):
		return "-inf"
	case number == math.Trunc(number) && math.Abs(number) < 1<<62:
		return strconv.FormatInt(int64(number), 10)
	}
	return new(big.Rat).SetFloat64(number).RatString()
}

func decimalForm(number bson.Decimal128) string {
	switch {
	case number.IsNaN():
		return "nan"
	case number.IsInf() > 0:
		return "inf"
	case number.IsInf() < 0:
		return "-inf"
	}
	coefficient, exponent, err := number.BigInt()
	if err != nil || coefficient.Sign() == 0 {
		return "0"
	}
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(exponent, -exponent))), nil)
	if exponent >= 0 {
		return new(big.Int).Mul(coefficient, power).String()
	}
	return new(big.Rat).SetFrac(coefficient, power).RatString()
}
