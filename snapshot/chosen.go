package snapshot

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"

	"pitr"
	"pitr/format"
)

// KeyEntries gives a partition of a collection's key index, in the order of its key hashes. All of it was checked.
func (r *Reader) KeyEntries(ctx context.Context, c format.CollectionRecord, partition int) (iter.Seq2[format.KeyEntry, error], int, error) {
	if partition < 0 || partition >= len(r.keysOf[c.Number]) {
		return nil, 0, pitr.Errorf(pitr.KindUnexpected, "read the key index of "+c.NS.String(), "", "there is no partition %d", partition)
	}
	keys, err := r.wholeKeys(ctx, r.keysOf[c.Number][partition])
	if err != nil {
		return nil, 0, err
	}
	return keys.Entries(ctx), keys.Len(), nil
}

// KeyDigest gives the digest of the entries of a partition. It reads the header of the partition only.
func (r *Reader) KeyDigest(ctx context.Context, c format.CollectionRecord, partition int) (format.Digest, error) {
	keys, err := r.keysFor(ctx, r.keysOf[c.Number][partition], 0)
	if err != nil {
		return format.Digest{}, err
	}
	return keys.Body(), nil
}

// Chosen yields the documents that some entries of the key index name, in the order in which they lie; of several copies of
// a document only the last. The entries come in the order of their key hashes, and must be all of their hash.
func (r *Reader) Chosen(ctx context.Context, c format.CollectionRecord, entries []format.KeyEntry) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		l := chosen{lookup: lookup{reader: r, doubtful: map[uint64]bool{}, kept: map[string]kept{}}, entries: slices.Clone(entries)}
		for i := 1; i < len(entries); i++ {
			if entries[i].Key == entries[i-1].Key {
				l.doubtful[entries[i].Key] = true
			}
		}
		slices.SortFunc(l.entries, func(a, b format.KeyEntry) int {
			return cmp.Or(cmp.Compare(a.Chunk, b.Chunk), cmp.Compare(a.Frame, b.Frame), cmp.Compare(a.Key, b.Key))
		})
		if err := l.run(ctx, c, yield); err != nil {
			if !errors.Is(err, errStopped) {
				yield(Document{}, err)
			}
			return
		}
		for _, last := range l.kept {
			if !yield(last.Document, nil) {
				return
			}
		}
	}
}

// chosen is one run through the frames that entries name.
type chosen struct {
	lookup
	// entries are those that have not been read, by place.
	entries []format.KeyEntry
	buffer  []byte
}

// run reads the frames, each once, and yields what is sure.
func (l *chosen) run(ctx context.Context, c format.CollectionRecord, yield func(Document, error) bool) error {
	for len(l.entries) > 0 {
		number := l.entries[0].Chunk
		n, _ := slices.BinarySearchFunc(l.entries, number+1, func(e format.KeyEntry, chunk int) int { return cmp.Compare(e.Chunk, chunk) })
		inChunk := l.entries[:n]
		l.entries = l.entries[n:]
		var frames []int
		for _, entry := range inChunk {
			if len(frames) == 0 || frames[len(frames)-1] != entry.Frame {
				frames = append(frames, entry.Frame)
			}
		}
		container, err := l.open(ctx, number, frames)
		if err != nil {
			return err
		}
		for _, frame := range frames {
			n, _ := slices.BinarySearchFunc(inChunk, frame+1, func(e format.KeyEntry, frame int) int { return cmp.Compare(e.Frame, frame) })
			if err := l.frame(ctx, c, inFrame{container: container, frame: frame, entries: inChunk[:n]}, yield); err != nil {
				return err
			}
			inChunk = inChunk[n:]
		}
	}
	return ctx.Err()
}

// inFrame is what is wanted of a frame.
type inFrame struct {
	container *format.Container
	frame     int
	entries   []format.KeyEntry
}

// frame yields the wanted documents of one frame.
func (l *chosen) frame(ctx context.Context, c format.CollectionRecord, wanted inFrame, yield func(Document, error) bool) error {
	found, err := l.wantedFrame(ctx, c, wanted.container, wanted.frame, l.buffer)
	if err != nil {
		return err
	}
	met := 0
	for i, document := range found.documents() {
		key, err := pitr.KeyOf(document)
		if err != nil {
			return pitr.Corruptf("read "+c.NS.String(), "%w", err)
		}
		hash := format.KeyHash(key)
		_, is := slices.BinarySearchFunc(wanted.entries, hash, func(e format.KeyEntry, hash uint64) int { return cmp.Compare(e.Key, hash) })
		if !is {
			continue
		}
		met++
		if !l.one(key, found.at(i), Document{Raw: document, Since: found.since}, yield) {
			return errStopped
		}
	}
	l.buffer = found.block[:0]
	if met < len(wanted.entries) {
		return pitr.Corruptf("read "+c.NS.String(), "the key index names %d documents of frame %d of %s, and %d are there",
			len(wanted.entries), wanted.frame, wanted.container.Name(), met)
	}
	return nil
}
