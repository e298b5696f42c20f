package catalog

import (
	"context"
	"fmt"
	"iter"

	"pitr"
	"pitr/format"
)

// Catalog is what the catalog parts of a snapshot hold.
type Catalog struct {
	Collections []format.CollectionRecord
	Chunks      []format.ChunkRecord
	Keys        []format.KeysRecord
}

// Container reads a whole container that another object leads to; its digest fits.
func (r *Repository) Container(ctx context.Context, part format.Part) (*format.Container, error) {
	data, err := r.GetSum(ctx, part.Name, part.SHA256)
	if err != nil {
		return nil, err
	}
	return format.OpenContainer(data, part.Expect()) //nolint:contextcheck // the bytes are in memory
}

// KeysAt opens a partition of a key index for look-ups by ranges.
func (r *Repository) KeysAt(ctx context.Context, part format.Part) (*format.Keys, error) {
	var keys *format.Keys
	err := r.insist(ctx, part.Name, func() (err error) {
		keys, err = format.OpenKeys(ctx, r.ranges(part.Name), part.Expect())
		return err
	})
	return keys, err
}

func (r *Repository) ranges(name format.Name) format.ReadRange {
	return func(ctx context.Context, offset, n int64) ([]byte, error) { return r.GetRange(ctx, name, offset, n) }
}

// Parts reads the catalog parts of a snapshot. What they hold is checked against the manifest's totals; an object or a
// collection that stands there twice is damage.
func (r *Repository) Parts(ctx context.Context, manifest format.Manifest) (Catalog, error) {
	var c Catalog
	for record, err := range r.CatalogRecords(ctx, manifest) {
		if err != nil {
			return Catalog{}, err
		}
		switch record := record.(type) {
		case format.CollectionRecord:
			c.Collections = append(c.Collections, record)
		case format.ChunkRecord:
			c.Chunks = append(c.Chunks, record)
		case format.KeysRecord:
			c.Keys = append(c.Keys, record)
		}
	}
	return c, nil
}

// CatalogRecords yields what Parts collects, one catalog part in memory at a time.
func (r *Repository) CatalogRecords(ctx context.Context, manifest format.Manifest) iter.Seq2[format.CatalogRecord, error] {
	return func(yield func(format.CatalogRecord, error) bool) {
		tally := newTally(manifest)
		for i, part := range manifest.Objects.Catalog {
			if part.Name.Kind() != format.KindCatalogPart || part.Name.ID() != manifest.ID || part.Name.Number() != i {
				yield(nil, tally.corrupt("%s has no place there", part.Name))
				return
			}
			container, err := r.Container(ctx, part)
			if err != nil {
				yield(nil, err)
				return
			}
			for document, err := range container.Documents(ctx) {
				var record format.CatalogRecord
				if err == nil {
					record, err = format.DecodeCatalogRecord(manifest.ID, document)
				}
				if err == nil {
					err = tally.add(record)
				}
				if !yield(record, err) || err != nil {
					return
				}
			}
			tally.stored += part.Size
		}
		if err := tally.check(); err != nil {
			yield(nil, err)
		}
	}
}

// tally adds up the records of a catalog, to compare them with the manifest's totals.
type tally struct {
	manifest                                   format.Manifest
	seen                                       map[format.Name]bool
	numbers                                    map[int]bool
	documents, bytes, stored                   int64
	collections, chunks, keys                  int
	documentsOfCollections, bytesOfCollections int64
}

func newTally(manifest format.Manifest) *tally {
	return &tally{manifest: manifest, seen: map[format.Name]bool{}, numbers: map[int]bool{}}
}

func (t *tally) corrupt(message string, args ...any) error {
	return pitr.Corruptf(fmt.Sprintf("read the catalog of snapshot %s", t.manifest.ID), message, args...)
}

func (t *tally) add(record format.CatalogRecord) error {
	switch record := record.(type) {
	case format.CollectionRecord:
		if t.numbers[record.Number] {
			return t.corrupt("two collections have number %d", record.Number)
		}
		t.numbers[record.Number] = true
		t.collections++
		t.documentsOfCollections += record.Stored.Documents
		t.bytesOfCollections += record.Stored.Bytes
	case format.ChunkRecord:
		t.chunks++
		t.documents += record.Documents
		t.bytes += record.Bytes
		return t.addObject(record.Part)
	case format.KeysRecord:
		t.keys++
		return t.addObject(record.Part)
	}
	return nil
}

func (t *tally) addObject(part format.Part) error {
	if t.seen[part.Name] {
		return t.corrupt("%s stands there twice", part.Name)
	}
	t.seen[part.Name] = true
	t.stored += part.Size
	return nil
}

func (t *tally) check() error {
	o := t.manifest.Objects
	switch {
	case o.Collections != t.collections, o.Chunks != t.chunks, o.Keys != t.keys:
		return t.corrupt("%d collections, %d chunks, %d key partitions; the manifest says %d, %d, %d",
			t.collections, t.chunks, t.keys, o.Collections, o.Chunks, o.Keys)
	case o.Documents != t.documents, o.Bytes != t.bytes, o.Stored != t.stored:
		return t.corrupt("%d documents, %d bytes, %d stored; the manifest says %d, %d, %d",
			t.documents, t.bytes, t.stored, o.Documents, o.Bytes, o.Stored)
	case t.documentsOfCollections != t.documents, t.bytesOfCollections != t.bytes:
		return t.corrupt("the collections add up to %d documents and %d bytes, the chunks to %d and %d",
			t.documentsOfCollections, t.bytesOfCollections, t.documents, t.bytes)
	}
	return nil
}
