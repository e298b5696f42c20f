package main

import (
	"cmp"
	"context"
	"iter"
	"math"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/diff"
	"pitr/format"
	"pitr/history"
	"pitr/snapshot"
)

// Index gives the key index of a collection as a comparison reads it.
func (s snapshotSide) Index(_ context.Context, c pitr.Collection) (diff.Index, error) {
	record, err := s.record(c)
	if err != nil || record.KeyBits == format.KeysLeftOut {
		return nil, err
	}
	return snapshotIndex{reader: s.reader, record: record}, nil
}

// snapshotIndex is the key index of one collection of a snapshot.
type snapshotIndex struct {
	reader *snapshot.Reader
	record format.CollectionRecord
}

// Parts gives the number of partitions.
func (s snapshotIndex) Parts() int { return 1 << s.record.KeyBits }

// Digest gives that of a partition's entries.
func (s snapshotIndex) Digest(ctx context.Context, part int) ([32]byte, error) {
	return s.reader.KeyDigest(ctx, s.record, part)
}

// Entries reads a partition.
func (s snapshotIndex) Entries(ctx context.Context, part int) ([]diff.Entry, error) {
	keys, n, err := s.reader.KeyEntries(ctx, s.record, part)
	if err != nil {
		return nil, err
	}
	entries := make([]diff.Entry, 0, n)
	for key, err := range keys {
		if err != nil {
			return nil, err
		}
		entries = append(entries, diff.Entry{Key: key.Key, Document: key.Document, Place: placeOf(key)})
	}
	return entries, nil
}

// frameBits is how many bits of a place number the frame; the chunk has the rest, as in the key index itself.
const frameBits = 12

func placeOf(key format.KeyEntry) uint32 { return uint32(key.Chunk<<frameBits | key.Frame) } //nolint:gosec // less than a million chunks

// Documents reads the frames that the entries name.
func (s snapshotIndex) Documents(ctx context.Context, entries []diff.Entry) iter.Seq2[bson.Raw, error] {
	keys := make([]format.KeyEntry, 0, len(entries))
	for _, entry := range entries {
		keys = append(keys, format.KeyEntry{Key: entry.Key, Document: entry.Document,
			Chunk: int(entry.Place >> frameBits), Frame: int(entry.Place & (1<<frameBits - 1))})
	}
	return func(yield func(bson.Raw, error) bool) {
		for document, err := range s.reader.Chosen(ctx, s.record, keys) {
			if !yield(document.Raw, err) || err != nil {
				return
			}
		}
	}
}

// Index gives the key index of the snapshot below the view, with what entries have touched since laid over it.
func (v viewSide) Index(_ context.Context, c pitr.Collection) (diff.Index, error) {
	basis, err := v.Basis(c)
	if err != nil || v.reader == nil {
		return nil, err
	}
	index := &viewIndex{bits: 0, touched: touchedOf(basis)}
	if basis.HasBase {
		record, found := v.reader.Collection(basis.Base.NS, basis.Base.UUID)
		if !found || record.KeyBits == format.KeysLeftOut {
			return nil, nil
		}
		index.bits, index.base = record.KeyBits, &snapshotIndex{reader: v.reader, record: record}
	}
	return index, nil
}

// viewIndex is the key index of a view. Every entry whose key hash is that of a touched document is open: the document has
// to be read, and what the snapshot has of a touched one does not count.
type viewIndex struct {
	// base is nil where the snapshot does not have the collection.
	base    *snapshotIndex
	bits    int
	touched []touchedDocument
}

// touchedDocument is a document that entries have touched, nil where it is gone.
type touchedDocument struct {
	hash     uint64
	key      string
	document bson.Raw
}

// touchedOf gives the touched documents in the order of their key hashes.
func touchedOf(basis history.Basis) []touchedDocument {
	var list []touchedDocument
	for key, document := range basis.Touched {
		list = append(list, touchedDocument{hash: format.HashOfKey(key), key: key, document: document})
	}
	slices.SortFunc(list, func(a, b touchedDocument) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.key, b.key))
	})
	return list
}

// heldPlace is the place of a document that does not lie in the snapshot: no chunk has this number.
const heldPlace = math.MaxUint32

// Parts gives the number of partitions.
func (v *viewIndex) Parts() int { return 1 << v.bits }

// within gives the touched documents of a partition.
func (v *viewIndex) within(part int) []touchedDocument {
	find := func(part int) int {
		n, _ := slices.BinarySearchFunc(v.touched, part, func(t touchedDocument, part int) int {
			return cmp.Compare(format.KeyPartition(t.hash, v.bits), part)
		})
		return n
	}
	return v.touched[find(part):find(part+1)]
}

// Digest gives that of the snapshot's partition where nothing of it was touched.
func (v *viewIndex) Digest(ctx context.Context, part int) ([32]byte, error) {
	if v.base == nil || len(v.within(part)) > 0 {
		return [32]byte{}, nil
	}
	return v.base.Digest(ctx, part)
}

// Entries merges the snapshot's partition with what was touched.
func (v *viewIndex) Entries(ctx context.Context, part int) ([]diff.Entry, error) {
	var below []diff.Entry
	if v.base != nil {
		var err error
		if below, err = v.base.Entries(ctx, part); err != nil {
			return nil, err
		}
	}
	touched := v.within(part)
	if len(touched) == 0 {
		return below, nil
	}
	entries := make([]diff.Entry, 0, len(below)+len(touched))
	for _, each := range touched {
		for len(below) > 0 && below[0].Key < each.hash {
			entries, below = append(entries, below[0]), below[1:]
		}
		for len(below) > 0 && below[0].Key == each.hash {
			below[0].Open = true
			entries, below = append(entries, below[0]), below[1:]
		}
		if each.document != nil {
			entries = append(entries, diff.Entry{Key: each.hash, Place: heldPlace, Open: true})
		}
	}
	return append(entries, below...), nil
}

// Documents yields what the snapshot has of the entries and no entry of the oplog touched, then the touched ones.
func (v *viewIndex) Documents(ctx context.Context, entries []diff.Entry) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		var below []diff.Entry
		var held []uint64
		for _, entry := range entries {
			if entry.Place != heldPlace {
				below = append(below, entry)
			} else if n := len(held); n == 0 || held[n-1] != entry.Key {
				held = append(held, entry.Key)
			}
		}
		if v.base != nil && !v.untouched(ctx, below, yield) {
			return
		}
		for _, hash := range held {
			for _, each := range v.ofHash(hash) {
				if each.document != nil && !yield(each.document, nil) {
					return
				}
			}
		}
	}
}

// untouched yields what the snapshot has of some entries; false when no more is wanted.
func (v *viewIndex) untouched(ctx context.Context, entries []diff.Entry, yield func(bson.Raw, error) bool) bool {
	for document, err := range v.base.Documents(ctx, entries) {
		if err != nil {
			yield(nil, err)
			return false
		}
		key, err := pitr.KeyOf(document)
		if err != nil {
			yield(nil, pitr.Corruptf("", "a document of the snapshot: %w", err))
			return false
		}
		if v.has(key) {
			continue
		}
		if !yield(document, nil) {
			return false
		}
	}
	return true
}

func (v *viewIndex) has(key pitr.Key) bool {
	return slices.ContainsFunc(v.ofHash(format.KeyHash(key)), func(t touchedDocument) bool { return t.key == key.Equal() })
}

// ofHash gives the touched documents of one key hash.
func (v *viewIndex) ofHash(hash uint64) []touchedDocument {
	n, _ := slices.BinarySearchFunc(v.touched, hash, func(t touchedDocument, hash uint64) int { return cmp.Compare(t.hash, hash) })
	end := n
	for end < len(v.touched) && v.touched[end].hash == hash {
		end++
	}
	return v.touched[n:end]
}
