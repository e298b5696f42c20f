package value

import (
	"bytes"
	"cmp"
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Rank places a type in the order of types; types of equal rank are compared by value.
func Rank(t bson.Type) int {
	switch t {
	case bson.TypeMinKey:
		return -1
	case Missing, bson.TypeUndefined:
		return 0
	case bson.TypeNull:
		return 5
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128:
		return 10
	case bson.TypeString, bson.TypeSymbol:
		return 15
	case bson.TypeEmbeddedDocument:
		return 20
	case bson.TypeArray:
		return 25
	case bson.TypeBinary:
		return 30
	case bson.TypeObjectID:
		return 35
	case bson.TypeBoolean:
		return 40
	case bson.TypeDateTime:
		return 45
	case bson.TypeTimestamp:
		return 47
	case bson.TypeRegex:
		return 50
	case bson.TypeDBPointer:
		return 55
	case bson.TypeJavaScript:
		return 60
	case bson.TypeCodeWithScope:
		return 65
	}
	return 127
}

// Compare orders two values: by rank of type, then by value. Field names count in documents, not in arrays.
func Compare(a, b Value) int {
	ra, rb := Rank(a.Type), Rank(b.Type)
	if ra != rb {
		return cmp.Compare(ra, rb)
	}
	switch a.Type {
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128:
		return compareNumbers(a, b)
	case bson.TypeString, bson.TypeSymbol, bson.TypeJavaScript:
		return bytes.Compare(a.Bytes(), b.Bytes())
	case bson.TypeEmbeddedDocument:
		return CompareDocuments(bson.Raw(a.Data), bson.Raw(b.Data))
	case bson.TypeArray:
		return compareArrays(bson.Raw(a.Data), bson.Raw(b.Data))
	case bson.TypeObjectID:
		return bytes.Compare(a.Data, b.Data)
	case bson.TypeBoolean:
		return cmp.Compare(a.Data[0], b.Data[0])
	case bson.TypeDateTime:
		return cmp.Compare(a.Int(), b.Int())
	case bson.TypeTimestamp:
		return cmp.Compare(uint64(a.Int()), uint64(b.Int()))
	case bson.TypeBinary:
		return compareBinary(a, b)
	case bson.TypeRegex:
		return bytes.Compare(a.Data, b.Data)
	case bson.TypeDBPointer:
		if c := cmp.Compare(len(a.Data), len(b.Data)); c != 0 {
			return c
		}
		return bytes.Compare(a.Data[4:], b.Data[4:])
	case bson.TypeCodeWithScope:
		return compareScopes(a.Data, b.Data)
	}
	return 0
}

// Equal reports Compare == 0.
func Equal(a, b Value) bool { return Compare(a, b) == 0 }

// Same reports equal type and equal bytes.
func Same(a, b Value) bool { return a.Type == b.Type && bytes.Equal(a.Data, b.Data) }

func compareBinary(a, b Value) int {
	if c := cmp.Compare(len(a.Data), len(b.Data)); c != 0 {
		return c
	}
	return bytes.Compare(a.Data[4:], b.Data[4:])
}

func compareScopes(a, b []byte) int {
	na, nb := 4+stringSize(a[4:]), 4+stringSize(b[4:])
	if c := bytes.Compare(a[8:na], b[8:nb]); c != 0 {
		return c
	}
	return CompareDocuments(bson.Raw(a[na:]), bson.Raw(b[nb:]))
}

// CompareDocuments orders documents field by field: by type, then by name, then by value; a prefix comes first.
func CompareDocuments(a, b bson.Raw) int {
	ia, ib := Iterate(a), Iterate(b)
	for {
		ma, mb := ia.Next(), ib.Next()
		if !ma || !mb {
			return order(ma, mb)
		}
		if c := cmp.Compare(Rank(ia.val.Type), Rank(ib.val.Type)); c != 0 {
			return c
		}
		if c := bytes.Compare(ia.key, ib.key); c != 0 {
			return c
		}
		if c := Compare(ia.val, ib.val); c != 0 {
			return c
		}
	}
}

func compareArrays(a, b bson.Raw) int {
	ia, ib := Iterate(a), Iterate(b)
	for {
		ma, mb := ia.Next(), ib.Next()
		if !ma || !mb {
			return order(ma, mb)
		}
		if c := Compare(ia.val, ib.val); c != 0 {
			return c
		}
	}
}

func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

func isInt(t bson.Type) bool { return t == bson.TypeInt32 || t == bson.TypeInt64 }

// compareNumbers compares exactly across types; NaN is lowest and equal to itself.
func compareNumbers(a, b Value) int {
	switch {
	case isInt(a.Type) && isInt(b.Type):
		return cmp.Compare(a.Int(), b.Int())
	case a.Type == bson.TypeDouble && b.Type == bson.TypeDouble:
		return cmp.Compare(a.Double(), b.Double())
	case a.Type == bson.TypeDecimal128 || b.Type == bson.TypeDecimal128:
		return compareWithDecimal(a, b)
	case a.Type == bson.TypeDouble:
		return compareDoubleInt(a.Double(), b.Int())
	}
	return -compareDoubleInt(b.Double(), a.Int())
}

func compareDoubleInt(f float64, n int64) int {
	switch {
	case math.IsNaN(f):
		return -1
	case f >= 1<<63:
		return 1
	case f < -(1 << 63):
		return -1
	}
	t := math.Trunc(f)
	if c := cmp.Compare(int64(t), n); c != 0 {
		return c
	}
	return cmp.Compare(f, t)
}
