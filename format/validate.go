package format

import (
	"encoding/binary"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// MaxDepth is how deep a stored document may be nested. A server allows 180 levels in what it stores; an oplog entry and
// a change wrap a few more around them.
const MaxDepth = 256

// ValidateDocument checks the structure of one whole document: every length, every end, every type, the depth. It does
// not look at text encodings, repeated keys or the order of array indexes: a server stores those, so pitr keeps them.
// After it no length in the document points outside of it.
func ValidateDocument(document []byte) error {
	size, err := validateFirst(document)
	if err == nil && size != len(document) {
		err = fmt.Errorf("a document of %d bytes says it has %d", len(document), size)
	}
	return err
}

// validateFirst checks the document at the start of data and gives its size.
func validateFirst(data []byte) (int, error) {
	size := documentAt(data, 0, len(data))
	if size < 0 {
		return 0, errTooShort
	}
	w := walker{data: data}
	if w.document(0, size, 0); w.fault != nil {
		return 0, w.fault
	}
	return size, nil
}

// The faults of a document.
var (
	errTooShort = errors.New("a document's length does not fit where it stands")
	errTooDeep  = fmt.Errorf("a document nested deeper than %d levels", MaxDepth)
	errValue    = errors.New("a field name or a value ends outside of its document, or without its end")
	errType     = errors.New("a value of an unknown type")
)

// walker goes through a document once. It is on the path of every byte that is stored or read, so it calls nothing that
// it does not have to.
type walker struct {
	data  []byte
	fault error
}

// fixedSize holds one more than the size of values that always have the same one, by type; 0 stands for all other types.
var fixedSize = [256]uint8{
	bson.TypeDouble: 9, bson.TypeObjectID: 13, bson.TypeBoolean: 2, bson.TypeDateTime: 9, bson.TypeInt32: 5,
	bson.TypeTimestamp: 9, bson.TypeInt64: 9, bson.TypeDecimal128: 17,
	bson.TypeNull: 1, bson.TypeUndefined: 1, bson.TypeMinKey: 1, bson.TypeMaxKey: 1,
}

// documentAt gives the size of the document at a place, -1 where its length or its last byte does not fit.
func documentAt(data []byte, at, end int) int {
	if end-at < 5 {
		return -1
	}
	size := int(int32(binary.LittleEndian.Uint32(data[at:])))
	if size < 5 || size > end-at || data[at+size-1] != 0 {
		return -1
	}
	return size
}

// document walks the elements of a document whose outline documentAt found sound.
func (w *walker) document(at, size, depth int) {
	if depth > MaxDepth {
		w.fault = errTooDeep
		return
	}
	data, end := w.data, at+size-1
	for at += 4; at < end; {
		kind := data[at]
		// The last byte of the document is 0, so the scan ends there at the latest. A name that does leaves less room
		// than a value of no bytes needs, which is found below.
		for at++; data[at] != 0; at++ {
		}
		at++
		length := int(fixedSize[kind]) - 1
		if length < 0 {
			if length = w.value(bson.Type(kind), at, end, depth); w.fault != nil {
				return
			}
		}
		if length > end-at {
			w.fault = errValue
			return
		}
		at += length
	}
}

// value checks a value of variable size, which may go up to end, and gives its size.
func (w *walker) value(kind bson.Type, at, end, depth int) int {
	switch kind {
	case bson.TypeString, bson.TypeSymbol, bson.TypeJavaScript:
		return w.text(at, end)
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		size := documentAt(w.data, at, end)
		if size < 0 {
			w.fault = errTooShort
			return 0
		}
		w.document(at, size, depth+1)
		return size
	case bson.TypeBinary:
		return 5 + w.length(at, end, 0)
	case bson.TypeDBPointer:
		return w.text(at, end) + 12
	case bson.TypeRegex:
		return w.expression(at, end)
	case bson.TypeCodeWithScope:
		return w.scope(at, end, depth)
	}
	w.fault = errType
	return 0
}

// length reads a length of at least smallest. What it leads may still be longer than the document.
func (w *walker) length(at, end, smallest int) int {
	if end-at < 4 {
		w.fault = errValue
		return 0
	}
	length := int(int32(binary.LittleEndian.Uint32(w.data[at:])))
	if length < smallest {
		w.fault = errValue
		return 0
	}
	return length
}

func (w *walker) text(at, end int) int {
	length := w.length(at, end, 1)
	if 4+length > end-at || w.data[at+4+length-1] != 0 {
		w.fault = errValue
	}
	return 4 + length
}

// expression gives the size of two texts, each with an end.
func (w *walker) expression(at, end int) int {
	start := at
	for range 2 {
		for at < end && w.data[at] != 0 {
			at++
		}
		at++
	}
	return at - start
}

// scope checks code with scope: its total length, a string, a document.
func (w *walker) scope(at, end, depth int) int {
	total := w.length(at, end, 4+5+5)
	if w.fault != nil || total > end-at {
		w.fault = errValue
		return 0
	}
	end = at + total
	at += 4
	if at += w.text(at, end); w.fault != nil {
		return 0
	}
	size := documentAt(w.data, at, end)
	if size != end-at {
		w.fault = errValue
		return 0
	}
	w.document(at, size, depth+1)
	return total
}
