package diff

import (
	"context"
	"iter"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// Side is one of the two states. What it can do beyond this it shows by satisfying Finder, Moving or Indexed.
type Side interface {
	// Collections gives the catalog, views included.
	Collections(ctx context.Context) ([]pitr.Collection, error)
	// Documents yields every document of a collection once, in any order. An error ends it. Documents are good until the
	// next one is asked for.
	Documents(ctx context.Context, collection pitr.Collection) iter.Seq2[bson.Raw, error]
}

// Finder is a side whose documents can be found by key. Without it a comparison cannot go beyond its memory.
type Finder interface {
	// Lookup yields the documents that bear one of the keys, by the equality form, in no order; keys without a document are
	// passed over. Documents are good until the next one is asked for.
	Lookup(ctx context.Context, collection pitr.Collection, keys []pitr.Key) iter.Seq2[bson.Raw, error]
}

// Moving is a side that can lose the one moment that it shows, such as a live cluster. From then on it may give a document
// twice, Lookup gives the newest state, and what differs is compared again by that.
type Moving interface {
	Finder
	// Moved reports whether that has happened to a collection.
	Moved(collection pitr.Collection) bool
}

// Indexed is a side that has stored hashes of its documents, and can compare by them without reading the documents.
type Indexed interface {
	// Index gives the hashes of a collection, nil where there are none.
	Index(ctx context.Context, collection pitr.Collection) (Index, error)
}

// Index is the hashes of the documents of one collection, sorted by the hash of their keys and cut into parts. Two indexes
// that are compared hash alike.
type Index interface {
	// Parts gives their number, a power of two: the top bits of the key hash choose the part.
	Parts() int
	// Digest gives the digest of a part: two parts of the same number, out of the same number of parts, that have the same
	// digest have the same entries. Zero where it is not known.
	Digest(ctx context.Context, part int) ([32]byte, error)
	// Entries gives a part in the order of its key hashes. The caller owns it.
	Entries(ctx context.Context, part int) ([]Entry, error)
	// Documents yields the documents of some entries in an order like that of Side.Documents, and may yield others of the
	// same key hashes. The entries come in the order of their key hashes, and are all of their hash.
	Documents(ctx context.Context, entries []Entry) iter.Seq2[bson.Raw, error]
}

// Entry is what an index knows of one document.
type Entry struct {
	// Key is the hash of the equality form of its key, Document that of its bytes.
	Key, Document uint64
	// Place is where it lies, in the terms of its index.
	Place uint32
	// Open says that the document hash is not to be relied on: the document has to be read.
	Open bool
}
