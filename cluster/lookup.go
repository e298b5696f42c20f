package cluster

import (
	"context"
	"iter"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

const (
	// lookupKeys and lookupBytes bound the keys of one find.
	lookupKeys  = 1000
	lookupBytes = 1 << 20
)

// Lookup yields the documents that bear one of the keys, in no particular order; keys without a document are passed over.
// The range names the collection and how new the state must be (After, or At). Keys are matched as the server matches
// them, numbers by value; where a collation makes more ids equal, documents with other ids are left out.
func (c *Client) Lookup(ctx context.Context, r pitr.Range, keys []pitr.Key) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		for part := range keyParts(keys) {
			wanted := make(map[string]bool, len(part))
			for _, key := range part {
				wanted[key.Equal()] = true
			}
			documents, err := c.findByKeys(ctx, r, part)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, document := range documents {
				key, err := pitr.KeyOf(document)
				if err != nil {
					yield(nil, wrongReply("look up documents", document, err))
					return
				}
				if wanted[key.Equal()] && !yield(document, nil) {
					return
				}
			}
		}
	}
}

// keyParts cuts a list of keys into parts that fit a command.
func keyParts(keys []pitr.Key) iter.Seq[[]pitr.Key] {
	return func(yield func([]pitr.Key) bool) {
		for len(keys) > 0 {
			n, size := 0, 0
			for n < len(keys) && n < lookupKeys && (n == 0 || size+len(keys[n].Stored().Value) <= lookupBytes) {
				size += len(keys[n].Stored().Value)
				n++
			}
			if !yield(keys[:n]) {
				return
			}
			keys = keys[n:]
		}
	}
}

// findByKeys gives the documents that the server finds by these keys, by the collection's own collation.
func (c *Client) findByKeys(ctx context.Context, r pitr.Range, keys []pitr.Key) ([]bson.Raw, error) {
	command := bson.D{{Key: "find", Value: c.collectionKey(r.Collection)},
		{Key: "filter", Value: bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: idsOf(keys)}}}}},
		{Key: "batchSize", Value: hugeBatch}}
	if concern := c.readConcern(r); concern != nil {
		command = append(command, bson.E{Key: "readConcern", Value: concern})
	}
	return c.reads.all(ctx, order{op: "look up documents of " + r.Collection.NS.String(), db: r.Collection.NS.DB, command: command})
}

func idsOf(keys []pitr.Key) bson.A {
	ids := make(bson.A, 0, len(keys))
	for _, key := range keys {
		ids = append(ids, key.Stored())
	}
	return ids
}
