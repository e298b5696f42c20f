package format

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// CatalogRecord is one document of a catalog part: a CollectionRecord, a ChunkRecord or a KeysRecord.
type CatalogRecord interface {
	// BSON gives the document for Writer.Append.
	BSON() bson.Raw
	catalogRecord()
}

// CollectionRecord describes a collection of a snapshot.
type CollectionRecord struct {
	// Number is what frames and key partitions call the collection within the snapshot.
	Number int
	pitr.Collection
	// Stored is the content sum of what lies in the chunks.
	Stored ContentSum
	// Sum is the content sum of the state at E, nil until somebody folds it where chunk times differ.
	Sum *ContentSum
	// KeyBits is such that the key index has 2^KeyBits partitions; KeysLeftOut where there is none.
	KeyBits int
}

// KeysLeftOut stands for a collection without a key index.
const KeysLeftOut = -1

// ChunkRecord describes a chunk of a snapshot.
type ChunkRecord struct {
	Part
	// At and Fuzzy are as in ChunkFacts.
	At    pitr.Timestamp
	Fuzzy pitr.Window
	// Collections are the numbers of the collections that have documents in the chunk, in ascending order.
	Collections []int
}

// KeysRecord describes a partition of a key index. Part.Directory is the digest of its header.
type KeysRecord struct{ Part }

func (CollectionRecord) catalogRecord() {}
func (ChunkRecord) catalogRecord()      {}
func (KeysRecord) catalogRecord()       {}

// BSON gives the document for Writer.Append.
func (c CollectionRecord) BSON() bson.Raw {
	b := newDocument()
	b.int32("number", c.Number)
	b.collection(c.Collection)
	b.contentSum("stored", c.Stored)
	if c.Sum == nil {
		b.null("sum")
	} else {
		b.contentSum("sum", *c.Sum)
	}
	b.int32("keys", c.KeyBits)
	return b.done()
}

// BSON gives the document for Writer.Append.
func (c ChunkRecord) BSON() bson.Raw {
	b := newDocument()
	b.part(c.Part)
	b.moment(c.At, c.Fuzzy)
	b.begin(bson.TypeArray, "collections")
	for i, number := range c.Collections {
		b.int32(fmt.Sprint(i), number)
	}
	b.end()
	return b.done()
}

// BSON gives the document for Writer.Append.
func (k KeysRecord) BSON() bson.Raw {
	b := newDocument()
	b.part(k.Part)
	return b.done()
}

// DecodeCatalogRecord reads a document of a catalog part of this snapshot. A record that names objects of another
// snapshot is refused.
func DecodeCatalogRecord(snapshot ID, document bson.Raw) (CatalogRecord, error) {
	record, err := decodeCatalogRecord(snapshot, readFields(document))
	if err != nil {
		return nil, pitr.Corruptf("read the catalog of "+string(snapshot), "%w", err)
	}
	return record, nil
}

func decodeCatalogRecord(snapshot ID, f *fields) (CatalogRecord, error) {
	if f.err == nil && f.has("number") {
		c := CollectionRecord{
			Number:     int(f.count("number", MaxCollections-1)),
			Collection: f.collection(),
			Stored:     f.contentSum("stored"),
			KeyBits:    int(f.between("keys", KeysLeftOut, maxKeyBits)),
		}
		if f.has("sum") {
			sum := f.contentSum("sum")
			c.Sum = &sum
		}
		return c, f.err
	}
	part := f.part()
	switch {
	case f.err != nil:
		return nil, f.err
	case part.Name.id != snapshot:
		return nil, fmt.Errorf("%s belongs to another snapshot", part.Name.text)
	case part.Name.kind == KindKeys:
		return KeysRecord{Part: part}, nil
	case part.Name.kind != KindChunk:
		return nil, fmt.Errorf("%s has no place in a catalog", part.Name.text)
	}
	c := ChunkRecord{Part: part}
	c.At, c.Fuzzy = f.moment()
	for _, value := range f.list("collections") {
		number, ok := value.Int32OK()
		if !ok || number < 0 || number >= MaxCollections {
			f.fail("collections", fmt.Errorf("no list of numbers"))
		}
		c.Collections = append(c.Collections, int(number))
	}
	return c, f.err
}

func (b *builder) part(p Part) {
	b.string("name", p.Name.text)
	b.int64("size", p.Size)
	b.binary("sha256", p.SHA256[:])
	b.binary("directory", p.Directory[:])
	b.int64("documents", p.Documents)
	b.int64("bytes", p.Bytes)
}

func (f *fields) part() Part {
	p := Part{
		Size: f.count("size", MaxObject), SHA256: f.digest("sha256"), Directory: f.digest("directory"),
		Documents: f.int64("documents"), Bytes: f.int64("bytes"),
	}
	name, err := ParseName(f.string("name"))
	if err != nil {
		f.fail("name", err)
	}
	p.Name = name
	return p
}

// collection appends {db, name, uuid, type, options, indexes}.
func (b *builder) collection(c pitr.Collection) {
	b.string("db", c.NS.DB)
	b.string("name", c.NS.Collection)
	b.uuid("uuid", c.UUID)
	b.string("type", string(c.Type))
	b.document("options", c.Options)
	b.begin(bson.TypeArray, "indexes")
	for i, spec := range c.Indexes {
		b.document(fmt.Sprint(i), spec)
	}
	b.end()
}

func (f *fields) collection() pitr.Collection {
	c := pitr.Collection{
		NS:      pitr.Namespace{DB: f.string("db"), Collection: f.string("name")},
		UUID:    f.uuid("uuid"),
		Type:    pitr.CollectionType(f.string("type")),
		Options: f.optional("options"),
	}
	if f.err == nil && (c.NS.DB == "" || c.NS.Collection == "") {
		f.fail("db", fmt.Errorf("a collection without a name"))
	}
	for _, value := range f.list("indexes") {
		spec, ok := value.DocumentOK()
		if !ok {
			f.fail("indexes", fmt.Errorf("a spec that is no document"))
		}
		c.Indexes = append(c.Indexes, spec)
	}
	return c
}

// counts appends a document of numbers in the order of their names. A zero byte, which a field's name cannot hold but a
// namespace in a strange entry could, is shown as U+FFFD.
func (b *builder) counts(key string, counts map[string]int64) {
	shown := make(map[string]int64, len(counts))
	for name, count := range counts {
		shown[strings.ReplaceAll(name, "\x00", "\uFFFD")] += count
	}
	b.begin(bson.TypeEmbeddedDocument, key)
	for _, name := range slices.Sorted(maps.Keys(shown)) {
		b.int64(name, shown[name])
	}
	b.end()
}

// counts gives nil for an empty document.
func (f *fields) counts(key string) map[string]int64 {
	inner := readFields(f.document(key))
	if inner.err != nil {
		f.fail(key, inner.err)
	}
	if len(inner.all) == 0 {
		return nil
	}
	counts := make(map[string]int64, len(inner.all))
	for _, each := range inner.all {
		counts[each.key] = inner.int64(each.key)
	}
	if inner.err != nil {
		f.fail(key, inner.err)
	}
	return counts
}
