package snapshot

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/format"
)

// copies knows which documents of a collection lie in it more than once, and where the last copy of each is.
type copies struct {
	hashes map[uint64]bool
	last   map[string]place
}

// maxCopies bounds how many documents may lie twice in one collection: far more than scans that broke off leave behind.
const maxCopies = 1 << 20

// has reports whether the document at a place is a copy that a later one replaces.
func (c copies) has(at place, document bson.Raw) bool {
	if len(c.hashes) == 0 {
		return false
	}
	key, err := pitr.KeyOf(document)
	if err != nil || !c.hashes[format.KeyHash(key)] {
		return false
	}
	return at.before(c.last[key.Equal()])
}

// oldCopies looks for documents that a scan met twice. A scan as of one moment meets none; after any other the key index
// tells, which is there whenever a key hash is repeated.
func (r *Reader) oldCopies(ctx context.Context, c format.CollectionRecord) (copies, error) {
	found := copies{hashes: map[uint64]bool{}, last: map[string]place{}}
	if r.oneMoment(c) || c.KeyBits == format.KeysLeftOut {
		return found, nil
	}
	frames := map[place]bool{}
	for _, part := range r.keysOf[c.Number] {
		keys, err := r.wholeKeys(ctx, part)
		if err != nil {
			return found, err
		}
		var previous format.KeyEntry
		first := true
		for entry, err := range keys.Entries(ctx) {
			if err != nil {
				return found, err
			}
			if !first && entry.Key == previous.Key {
				found.hashes[entry.Key] = true
				frames[place{chunk: entry.Chunk, frame: entry.Frame}] = true
				frames[place{chunk: previous.Chunk, frame: previous.Frame}] = true
			}
			previous, first = entry, false
		}
		if len(found.hashes) > maxCopies {
			return found, pitr.Errorf(pitr.KindLimit, "read "+c.NS.String()+" of snapshot "+string(r.manifest.ID),
				"take a new snapshot", "more than %d documents lie in it twice", maxCopies)
		}
	}
	for at := range frames {
		if err := r.noteCopies(ctx, at, found); err != nil {
			return found, err
		}
	}
	return found, nil
}

// noteCopies looks through one frame for the documents whose key hashes are repeated.
func (r *Reader) noteCopies(ctx context.Context, at place, found copies) error {
	container, err := r.chunkAt(ctx, at.chunk)
	if err != nil {
		return err
	}
	frame, err := r.frame(ctx, container, at.frame, nil)
	if err != nil {
		return err
	}
	for i, document := range frame.documents() {
		key, err := pitr.KeyOf(document)
		if err != nil || !found.hashes[format.KeyHash(key)] {
			continue
		}
		if here := frame.at(i); found.last[key.Equal()].before(here) {
			found.last[key.Equal()] = here
		}
	}
	return nil
}

// oneMoment reports whether all documents of a collection were read as of the same moment.
func (r *Reader) oneMoment(c format.CollectionRecord) bool {
	var at pitr.Timestamp
	for i, number := range r.chunksOf[c.Number] {
		if i == 0 {
			at = r.chunks[number].At
		}
		if r.chunks[number].At == 0 || r.chunks[number].At != at {
			return false
		}
	}
	return true
}
