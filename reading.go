package pitr

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Range is what a scan reads: a collection, as of a moment, from a place on. The zero moments read the newest state.
type Range struct {
	// Collection is found by its UUID where it has one, so that a rename does not lead to another collection's documents.
	Collection Collection
	// At asks for the documents of exactly this moment. Zero: the majority-committed state, which moves on during the scan.
	At Timestamp
	// After asks for a state that is not older than this; only where At is zero.
	After Timestamp
	// Resume is the token of the last batch that an earlier scan of the same collection on the same member gave.
	Resume bson.Raw
}

// Batch is the documents of one reply, as the server sent them.
type Batch struct {
	// Array is the raw array of documents. Documents taken out of it share its memory.
	Array bson.RawArray
	// At is the moment that was read, zero where the server names none.
	At Timestamp
	// Resume continues behind this batch, nil where the server gives no token.
	Resume bson.Raw
}

// What can end a scan before its end; a caller meets each in its own way.
var (
	// ErrMomentGone is a moment that the server can no longer, or not yet, show for this collection.
	ErrMomentGone = errors.New("the moment cannot be read any more")
	// ErrMomentUnsupported is a collection or server that cannot be read as of a moment at all.
	ErrMomentUnsupported = errors.New("reading as of a moment is not supported here")
	// ErrCursorGone is a cursor that the server closed: killed, timed out, or its collection renamed.
	ErrCursorGone = errors.New("the server closed the cursor")
	// ErrResumeGone is a token whose place in the collection is no longer there.
	ErrResumeGone = errors.New("the place to resume at is no longer there")
	// ErrCollectionGone is a UUID that no collection bears.
	ErrCollectionGone = errors.New("the collection is no longer there")
)

// Condition is a filter that a server keeps in its catalog: a validator, or that of a partial index.
type Condition struct {
	DB     string
	Filter bson.Raw
	// Collation is the one that the condition is judged by, nil for none.
	Collation bson.Raw
}

// ErrDuplicateKey is a write that a unique index refused: another document holds the value already.
var ErrDuplicateKey = errors.New("a unique index holds the value already")

// Bytes gives the size of the batch.
func (b Batch) Bytes() int { return len(b.Array) }

// Documents yields the documents in order, without copying them. It fails on bytes that are no array of documents.
func (b Batch) Documents() iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		rest := b.Array
		if len(rest) == 0 {
			return
		}
		if len(rest) < 5 || int(binary.LittleEndian.Uint32(rest)) != len(rest) || rest[len(rest)-1] != 0 {
			yield(nil, fmt.Errorf("a batch of %d bytes is no BSON array", len(rest)))
			return
		}
		for rest = rest[4 : len(rest)-1]; len(rest) > 0; {
			document, length, err := firstDocument(rest)
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(document, nil) {
				return
			}
			rest = rest[length:]
		}
	}
}

// firstDocument gives the first element of an array's content, which must be a document, and the element's length.
func firstDocument(content []byte) (bson.Raw, int, error) {
	name := bytes.IndexByte(content, 0)
	if bson.Type(content[0]) != bson.TypeEmbeddedDocument || name < 1 || len(content) < name+6 {
		return nil, 0, fmt.Errorf("an element of type %s in a batch is no document", bson.Type(content[0]))
	}
	start := name + 1
	length := int(binary.LittleEndian.Uint32(content[start:]))
	if length < 5 || length > len(content)-start || content[start+length-1] != 0 {
		return nil, 0, fmt.Errorf("a document of length %d in a batch with %d bytes left", length, len(content)-start)
	}
	return bson.Raw(content[start : start+length : start+length]), start + length, nil
}
