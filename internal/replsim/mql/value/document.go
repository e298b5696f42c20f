package value

import (
	"bytes"
	"encoding/binary"
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Fields gives the fields of a document, to be put together anew; a damaged document has none.
func Fields(doc bson.Raw) bson.D {
	elements, err := doc.Elements()
	if err != nil {
		return nil
	}
	d := make(bson.D, len(elements))
	for i, e := range elements {
		d[i] = bson.E{Key: e.Key(), Value: e.Value()}
	}
	return d
}

// Marshal is the opposite of Fields.
func Marshal(d bson.D) bson.Raw {
	raw, err := bson.Marshal(d)
	if err != nil {
		panic(err) // only values that came out of BSON go in
	}
	return raw
}

// Iterator walks the elements of a document. It stops at the end and at the first damaged element.
type Iterator struct {
	doc  []byte
	pos  int
	key  []byte
	val  Value
	from int
}

// Iterate starts at the first element; a nil or damaged document has none.
func Iterate(doc bson.Raw) Iterator {
	if len(doc) < 5 {
		return Iterator{}
	}
	n := int(binary.LittleEndian.Uint32(doc))
	if n < 5 || n > len(doc) {
		return Iterator{}
	}
	return Iterator{doc: doc[:n], pos: 4}
}

// Next moves to the next element.
func (it *Iterator) Next() bool {
	if it.pos >= len(it.doc)-1 {
		return false
	}
	t := bson.Type(it.doc[it.pos])
	rest := it.doc[it.pos+1 : len(it.doc)-1]
	k := bytes.IndexByte(rest, 0)
	if t == 0 || k < 0 {
		it.pos = len(it.doc)
		return false
	}
	n := size(t, rest[k+1:])
	if n < 0 {
		it.pos = len(it.doc)
		return false
	}
	it.key = rest[:k:k]
	it.val = Value{Type: t, Data: rest[k+1 : k+1+n : k+1+n]}
	it.from = it.pos
	it.pos += 2 + k + n
	return true
}

// Key is the element's name.
func (it *Iterator) Key() []byte { return it.key }

// Value is the element's value.
func (it *Iterator) Value() Value { return it.val }

// Element gives the whole element: type, name and value.
func (it *Iterator) Element() []byte { return it.doc[it.from:it.pos:it.pos] }

func indexZero(b []byte) int { return bytes.IndexByte(b, 0) }

// size gives the length of a value that starts b, or -1 if it does not fit or is malformed.
func size(t bson.Type, b []byte) int {
	n := -1
	switch t {
	case bson.TypeDouble, bson.TypeInt64, bson.TypeDateTime, bson.TypeTimestamp:
		n = 8
	case bson.TypeInt32:
		n = 4
	case bson.TypeBoolean:
		n = 1
	case bson.TypeObjectID:
		n = 12
	case bson.TypeDecimal128:
		n = 16
	case bson.TypeNull, bson.TypeUndefined, bson.TypeMinKey, bson.TypeMaxKey:
		n = 0
	case bson.TypeString, bson.TypeSymbol, bson.TypeJavaScript:
		n = stringSize(b)
	case bson.TypeEmbeddedDocument, bson.TypeArray, bson.TypeCodeWithScope:
		n = prefixed(b, 0)
		if t == bson.TypeCodeWithScope {
			n = scopeSize(b, n)
		}
	case bson.TypeBinary:
		n = prefixed(b, 5)
	case bson.TypeRegex:
		if i := indexZero(b); i >= 0 {
			if j := indexZero(b[i+1:]); j >= 0 {
				n = i + j + 2
			}
		}
	case bson.TypeDBPointer:
		if n = stringSize(b); n >= 0 {
			n += 12
		}
	}
	if n > len(b) {
		return -1
	}
	return n
}

func prefixed(b []byte, extra int) int {
	if len(b) < 4 {
		return -1
	}
	n := binary.LittleEndian.Uint32(b)
	if n > math.MaxInt32 || int(n)+extra < 5 {
		return -1
	}
	return int(n) + extra
}

func stringSize(b []byte) int {
	n := prefixed(b, 4)
	if n > len(b) || n > 0 && b[n-1] != 0 {
		return -1
	}
	return n
}

func scopeSize(b []byte, n int) int {
	if n < 14 || n > len(b) {
		return -1
	}
	s := stringSize(b[4:n])
	if s < 0 || 4+s > n {
		return -1
	}
	if d := prefixed(b[4+s:n], 0); d < 0 || 4+s+d != n {
		return -1
	}
	return n
}

// Valid reports that a document and all documents in it are well-formed and nest at most depth levels.
func Valid(doc bson.Raw, depth int) bool {
	if depth < 0 || len(doc) < 5 || int64(binary.LittleEndian.Uint32(doc)) != int64(len(doc)) || doc[len(doc)-1] != 0 {
		return false
	}
	it := Iterate(doc)
	for it.Next() {
		if it.val.Type == bson.TypeCodeWithScope {
			s := 4 + stringSize(it.val.Data[4:])
			if !Valid(bson.Raw(it.val.Data[s:]), depth-1) {
				return false
			}
		}
		if d := it.val.Document(); d != nil && !Valid(d, depth-1) {
			return false
		}
	}
	return it.pos == len(doc)-1
}

// Field gives the first field of that name; missing if there is none.
func Field(doc bson.Raw, name string) Value {
	for it := Iterate(doc); it.Next(); {
		if string(it.key) == name {
			return it.val
		}
	}
	return Value{}
}

// FirstName gives the name of the first field, "" for an empty document.
func FirstName(doc bson.Raw) string {
	it := Iterate(doc)
	if !it.Next() {
		return ""
	}
	return string(it.key)
}

// Begin starts a document at the end of dst; End closes it.
func Begin(dst []byte) (b []byte, at int) {
	return append(dst, 0, 0, 0, 0), len(dst)
}

// End closes the document that began at at.
func End(dst []byte, at int) []byte {
	dst = append(dst, 0)
	binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-at))
	return dst
}

// Head appends type and name of an element; its value must follow.
func Head[K string | []byte](dst []byte, t bson.Type, key K) []byte {
	return append(append(append(dst, byte(t)), key...), 0)
}

// Append appends an element; a missing value is left out.
func Append[K string | []byte](dst []byte, key K, v Value) []byte {
	if !v.Exists() {
		return dst
	}
	return append(Head(dst, v.Type, key), v.Data...)
}

// Empty is the document without fields.
func Empty() bson.Raw { return bson.Raw{5, 0, 0, 0, 0} }
