package value

import (
	"encoding/binary"
	"math"
	"math/big"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Encode appends a form of v whose byte order is Compare's order. The forms of equal values are equal, and no form is a prefix of
// another, so that the forms of several values can be joined.
func Encode(dst []byte, v Value) []byte {
	dst = append(dst, rankByte(v.Type))
	switch v.Type {
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128:
		return encodeNumber(dst, v)
	case bson.TypeString, bson.TypeSymbol, bson.TypeJavaScript:
		return escape(dst, v.Bytes())
	case bson.TypeEmbeddedDocument:
		return encodeDocument(dst, bson.Raw(v.Data))
	case bson.TypeArray:
		for it := Iterate(bson.Raw(v.Data)); it.Next(); {
			dst = Encode(dst, it.val)
		}
		return append(dst, 0)
	case bson.TypeObjectID, bson.TypeBoolean:
		return append(dst, v.Data...)
	case bson.TypeDateTime:
		return binary.BigEndian.AppendUint64(dst, uint64(v.Int())^1<<63)
	case bson.TypeTimestamp:
		return binary.BigEndian.AppendUint64(dst, uint64(v.Int()))
	case bson.TypeBinary:
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(v.Data)))
		return append(dst, v.Data[4:]...)
	case bson.TypeRegex:
		return append(dst, v.Data...)
	case bson.TypeDBPointer:
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(v.Data)))
		return append(dst, v.Data[4:]...)
	case bson.TypeCodeWithScope:
		n := 4 + stringSize(v.Data[4:])
		return encodeDocument(escape(dst, v.Data[8:n-1]), bson.Raw(v.Data[n:]))
	}
	return dst
}

// rankByte is never 0, which ends documents and arrays.
func rankByte(t bson.Type) byte { return byte(Rank(t) + 2) }

func encodeDocument(dst []byte, d bson.Raw) []byte {
	for it := Iterate(d); it.Next(); {
		dst = append(dst, rankByte(it.val.Type))
		dst = append(append(dst, it.key...), 0)
		dst = Encode(dst, it.val)
	}
	return append(dst, 0)
}

func escape(dst, s []byte) []byte {
	for {
		i := indexZero(s)
		if i < 0 {
			return append(append(dst, s...), 0, 0)
		}
		dst = append(append(dst, s[:i]...), 0, 0xff)
		s = s[i+1:]
	}
}

// encodeNumber writes the largest double that is not above the number, then what the number has more.
func encodeNumber(dst []byte, v Value) []byte {
	switch numberClass(v) {
	case classNaN:
		return append(dst, 0)
	case classNegative:
		return append(appendOrdered(append(dst, 1), math.Inf(-1)), 0)
	case classPositive:
		return append(appendOrdered(append(dst, 1), math.Inf(1)), 0)
	}
	dst = append(dst, 1)
	switch v.Type {
	case bson.TypeDouble:
		return append(appendOrdered(dst, v.Double()), 0)
	case bson.TypeInt32, bson.TypeInt64:
		n := v.Int()
		f := float64(n)
		if n > -1<<53 && n < 1<<53 || compareDoubleInt(f, n) == 0 {
			return append(appendOrdered(dst, f), 0)
		}
		if compareDoubleInt(f, n) > 0 {
			f = math.Nextafter(f, math.Inf(-1))
		}
		return appendDecimal(append(appendOrdered(dst, f), 1), decimal{coef: big.NewInt(n)})
	}
	f := v.Float()
	c := compareWithDecimal(Double(f), v)
	if c == 0 {
		return append(appendOrdered(dst, f), 0)
	}
	if c > 0 {
		f = math.Nextafter(f, math.Inf(-1))
	}
	return appendDecimal(append(appendOrdered(dst, f), 1), unpack(v.Decimal()))
}

func appendOrdered(dst []byte, f float64) []byte {
	if f == 0 {
		f = 0 // one zero
	}
	b := math.Float64bits(f)
	if b>>63 == 1 {
		b = ^b
	} else {
		b |= 1 << 63
	}
	return binary.BigEndian.AppendUint64(dst, b)
}

// appendDecimal orders numbers of one sign between two neighbouring doubles: place of the first digit, then the digits.
func appendDecimal(dst []byte, d decimal) []byte {
	text := new(big.Int).Abs(d.coef).Text(10)
	at := len(dst)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(text)+d.exp+8192))
	for len(text) > 1 && text[len(text)-1] == '0' {
		text = text[:len(text)-1]
	}
	dst = append(append(dst, text...), 0)
	if d.coef.Sign() < 0 {
		Invert(dst[at:])
	}
	return dst
}

// Invert turns the order of encoded values around, in place.
func Invert(b []byte) {
	for i := range b {
		b[i] = ^b[i]
	}
}

// Key gives a short string that is equal for equal values and different for others: for maps by _id.
func Key(v Value) string {
	var buf [64]byte
	return string(Encode(buf[:0], v))
}
