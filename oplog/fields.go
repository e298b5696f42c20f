package oplog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
)

var (
	errShort = errors.New("the bytes end inside a value")
	errFrame = errors.New("the length of a document does not fit its bytes")
)

// maxResult bounds a document that is built. While a scan is brought up to date a document can hold for a moment what it
// never held at once on the server, so the bound is above the 16 MiB that one may have at rest.
const maxResult = 64 << 20

// minDocument is the size of the empty document: its length and its closing zero.
const minDocument = 5

// fields walks the elements of one document in place: no copy, no allocation, every length checked before it is used.
// Values that nobody looks into are taken over as bytes, so only what is looked into is checked. After the last element
// err says whether it was the end or damage.
type fields struct {
	rest  []byte
	name  []byte
	kind  bson.Type
	value []byte
	err   error
}

// walk begins before the first element of a document (or array), which must fill its bytes exactly.
func walk(document []byte) fields {
	if len(document) < minDocument || int64(binary.LittleEndian.Uint32(document)) != int64(len(document)) ||
		document[len(document)-1] != 0 {
		return fields{err: errFrame}
	}
	return fields{rest: document[4 : len(document)-1]}
}

// next goes to the next element; false is the end, or damage.
func (f *fields) next() bool {
	if f.err != nil || len(f.rest) == 0 {
		return false
	}
	end := bytes.IndexByte(f.rest[1:], 0)
	if end < 0 {
		f.err = errShort
		return false
	}
	f.kind, f.name = bson.Type(f.rest[0]), f.rest[1:end+1]
	rest := f.rest[end+2:]
	size, err := valueSize(f.kind, rest)
	if err != nil {
		f.err = fmt.Errorf("field %q: %w", f.name, err)
		return false
	}
	f.value, f.rest = rest[:size:size], rest[size:]
	return true
}

// size is that of the present element: its type, its name with the closing zero, its value.
func (f *fields) size() int { return 1 + len(f.name) + 1 + len(f.value) }

// raw gives the present value in the form of the BSON library.
func (f *fields) raw() bson.RawValue { return bson.RawValue{Type: f.kind, Value: f.value} }

// valueSize gives how many of the bytes belong to a value of this type.
func valueSize(kind bson.Type, rest []byte) (int, error) {
	size := 0
	switch kind {
	case bson.TypeNull, bson.TypeUndefined, bson.TypeMinKey, bson.TypeMaxKey:
	case bson.TypeBoolean:
		size = 1
	case bson.TypeInt32:
		size = 4
	case bson.TypeDouble, bson.TypeInt64, bson.TypeDateTime, bson.TypeTimestamp:
		size = 8
	case bson.TypeObjectID:
		size = 12
	case bson.TypeDecimal128:
		size = 16
	case bson.TypeRegex:
		return regexSize(rest)
	default:
		return countedSize(kind, rest)
	}
	if size > len(rest) {
		return 0, errShort
	}
	return size, nil
}

// regexSize measures the two zero-ended strings of a regular expression.
func regexSize(rest []byte) (int, error) {
	pattern := bytes.IndexByte(rest, 0)
	if pattern < 0 {
		return 0, errShort
	}
	options := bytes.IndexByte(rest[pattern+1:], 0)
	if options < 0 {
		return 0, errShort
	}
	return pattern + options + 2, nil
}

// countedSize measures the types that begin with a length of their own.
func countedSize(kind bson.Type, rest []byte) (int, error) {
	if len(rest) < 4 {
		return 0, errShort
	}
	// A length is a signed 32-bit number; read as unsigned a negative one is larger than anything that can follow.
	length := int64(binary.LittleEndian.Uint32(rest))
	least, extra, zero := int64(1), int64(4), true
	switch kind {
	case bson.TypeString, bson.TypeJavaScript, bson.TypeSymbol:
	case bson.TypeDBPointer:
		extra, zero = 4+12, false
	case bson.TypeBinary:
		least, extra, zero = 0, 4+1, false
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		least, extra = minDocument, 0
	case bson.TypeCodeWithScope:
		least, extra, zero = 4+4+1+minDocument, 0, false
	default:
		return 0, fmt.Errorf("%#x is no BSON type", byte(kind))
	}
	size := length + extra
	if length < least || size > int64(len(rest)) {
		return 0, errShort
	}
	if zero && rest[size-1] != 0 {
		return 0, errFrame
	}
	return int(size), nil
}

// number reads a value of one of the three plain numeric types that stands for a whole number.
func number(value bson.RawValue) (int64, bool) {
	switch value.Type {
	case bson.TypeInt32:
		return int64(int32(binary.LittleEndian.Uint32(value.Value))), true
	case bson.TypeInt64:
		return int64(binary.LittleEndian.Uint64(value.Value)), true
	case bson.TypeDouble:
		double := value.Double()
		if double != float64(int64(double)) {
			return 0, false
		}
		return int64(double), true
	}
	return 0, false
}

// text reads the bytes of a string value, without its length and closing zero.
func text(value []byte) []byte { return value[4 : len(value)-1] }

// builder writes documents one after and inside the other into one piece of memory.
type builder struct{ out []byte }

// open begins a document and gives its place for close.
func (b *builder) open() int {
	b.out = append(b.out, 0, 0, 0, 0)
	return len(b.out) - 4
}

// close ends the document that began at the place.
func (b *builder) close(place int) {
	b.out = append(b.out, 0)
	binary.LittleEndian.PutUint32(b.out[place:], uint32(len(b.out)-place))
}

// head writes type and name of an element; its value follows.
func (b *builder) head(kind bson.Type, name []byte) {
	b.out = append(b.out, byte(kind))
	b.out = append(b.out, name...)
	b.out = append(b.out, 0)
}

// element writes one element.
func (b *builder) element(kind bson.Type, name, value []byte) {
	b.head(kind, name)
	b.out = append(b.out, value...)
}

// checkSize refuses what a hostile entry would make too large.
func (b *builder) checkSize() error {
	if len(b.out) > maxResult {
		return malformed("the update builds a document over %d bytes", maxResult)
	}
	return nil
}
