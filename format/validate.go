package format

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// MaxDepth is how deep a stored document may be nested. A server allows 180 levels in what it stores; an oplog entry and
// a change wrap a few more around them.
const MaxDepth = 256

// ValidateDocument checks the structure of one whole document: every length, every end, every type, the depth. It does
// not look at text encodings, repeated keys or the order of array indexes: a server stores those, so pitr keeps them.
// After it no length in the document points outside of it.
func ValidateDocument(document []byte) error {
	size, err := validateAt(document, 0)
	if err == nil && size != len(document) {
		err = fmt.Errorf("a document of %d bytes says it has %d", len(document), size)
	}
	return err
}

// validateAt checks the document at the start of data and gives its size.
func validateAt(data []byte, depth int) (int, error) {
	if depth > MaxDepth {
		return 0, fmt.Errorf("a document nested deeper than %d levels", MaxDepth)
	}
	if len(data) < 5 {
		return 0, fmt.Errorf("%d bytes where a document begins", len(data))
	}
	size := int(int32(binary.LittleEndian.Uint32(data))) //nolint:gosec // the sign is wanted: lengths are signed
	if size < 5 || size > len(data) || data[size-1] != 0 {
		return 0, fmt.Errorf("a document says it has %d bytes, %d are there", size, len(data))
	}
	for at := 4; at < size-1; {
		kind := bson.Type(data[at])
		key := bytes.IndexByte(data[at+1:size-1], 0)
		if key < 0 {
			return 0, fmt.Errorf("a field name without an end at byte %d", at)
		}
		at += 1 + key + 1
		length, err := valueSize(kind, data[at:size-1], depth)
		if err != nil {
			return 0, err
		}
		at += length
	}
	return size, nil
}

// fixedSize holds the sizes of values that always have the same one; 0 stands for every other type.
var fixedSize = [256]uint8{
	bson.TypeDouble: 8, bson.TypeObjectID: 12, bson.TypeBoolean: 1, bson.TypeDateTime: 8, bson.TypeInt32: 4,
	bson.TypeTimestamp: 8, bson.TypeInt64: 8, bson.TypeDecimal128: 16,
}

// valueSize gives the size of the value at the start of data, at most len(data).
func valueSize(kind bson.Type, data []byte, depth int) (int, error) {
	size := int(fixedSize[kind])
	if size == 0 {
		var err error
		if size, err = variableSize(kind, data, depth); err != nil {
			return 0, err
		}
	}
	if size > len(data) {
		return 0, fmt.Errorf("a value of type %s ends outside of its document", kind)
	}
	return size, nil
}

func variableSize(kind bson.Type, data []byte, depth int) (int, error) {
	switch kind {
	case bson.TypeNull, bson.TypeUndefined, bson.TypeMinKey, bson.TypeMaxKey:
		return 0, nil
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		return validateAt(data, depth+1)
	case bson.TypeString, bson.TypeSymbol, bson.TypeJavaScript:
		return stringSize(data)
	case bson.TypeBinary:
		length, err := prefix(data, 0)
		return 4 + 1 + length, err
	case bson.TypeDBPointer:
		size, err := stringSize(data)
		return size + 12, err
	case bson.TypeRegex:
		pattern := bytes.IndexByte(data, 0)
		options := bytes.IndexByte(data[pattern+1:], 0)
		if pattern < 0 || options < 0 {
			return 0, fmt.Errorf("a regular expression without an end")
		}
		return pattern + 1 + options + 1, nil
	case bson.TypeCodeWithScope:
		return scopeSize(data, depth)
	}
	return 0, fmt.Errorf("a value of unknown type 0x%02x", byte(kind))
}

// prefix reads a length of at least smallest. What it leads may still be longer than the data.
func prefix(data []byte, smallest int32) (int, error) {
	if len(data) < 4 {
		return 0, fmt.Errorf("a length without its bytes")
	}
	length := int32(binary.LittleEndian.Uint32(data)) //nolint:gosec // the sign is wanted: lengths are signed
	if length < smallest || length > math.MaxInt32-64 {
		return 0, fmt.Errorf("a length of %d", length)
	}
	return int(length), nil
}

func stringSize(data []byte) (int, error) {
	length, err := prefix(data, 1)
	if err != nil {
		return 0, err
	}
	if 4+length > len(data) || data[4+length-1] != 0 {
		return 0, fmt.Errorf("a string of %d bytes without an end", length)
	}
	return 4 + length, nil
}

// scopeSize checks code with scope: its total length, a string, a document.
func scopeSize(data []byte, depth int) (int, error) {
	total, err := prefix(data, 4+5+5)
	if err != nil || total > len(data) {
		return 0, fmt.Errorf("code with a scope ends outside of its document")
	}
	code, err := stringSize(data[4:total])
	if err != nil {
		return 0, err
	}
	scope, err := validateAt(data[4+code:total], depth+1)
	if err == nil && 4+code+scope != total {
		err = fmt.Errorf("code with a scope of another length")
	}
	return total, err
}
