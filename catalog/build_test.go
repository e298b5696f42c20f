package catalog_test

import (
	"fmt"
	"math/rand"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/storage"
)

// mill makes small repositories, always the same bytes for the same calls.
type mill struct {
	t  testing.TB
	r  *catalog.Repository
	w  *format.Writer
	at time.Time
}

func newMill(t testing.TB, store storage.Store) *mill {
	t.Helper()
	m := &mill{t: t, at: time.Date(2025, 10, 22, 9, 0, 0, 0, time.UTC)}
	var err error
	m.w, err = format.NewWriter(format.WriterOptions{})
	m.check(err)
	m.r, err = catalog.Create(t.Context(), store, catalog.CreateOptions{ClusterName: "devices-eu", Operator: "op@host",
		Version: "test", StoreKind: "memory", OpenOptions: catalog.OpenOptions{Now: m.now, Random: rand.New(rand.NewSource(1))},
		Probe: storage.ProbeOptions{Folder: "probe/one"}})
	m.check(err)
	return m
}

func (m *mill) now() time.Time { return m.at }

func (m *mill) check(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *mill) id() format.ID {
	id, err := m.r.NewID()
	m.check(err)
	return id
}

func (m *mill) name(name format.Name, err error) format.Name {
	m.t.Helper()
	m.check(err)
	return name
}

func (m *mill) put(sealed format.Sealed, err error) format.Part {
	m.t.Helper()
	m.check(err)
	m.check(m.r.PutAndRead(m.t.Context(), sealed.Name, sealed.Data))
	return format.PartOf(sealed)
}

func (m *mill) object(object format.Object) format.Name {
	m.t.Helper()
	name, err := m.r.PutObject(m.t.Context(), object)
	m.check(err)
	return name
}

func (m *mill) bson(value any) bson.Raw {
	m.t.Helper()
	raw, err := bson.Marshal(value)
	m.check(err)
	return raw
}

// entry makes an oplog entry at a moment; no two have the same bytes.
func (m *mill) entry(at pitr.Timestamp) bson.Raw {
	return m.bson(bson.D{{Key: "op", Value: "i"}, {Key: "ns", Value: "shop.orders"},
		{Key: "o", Value: bson.D{{Key: "_id", Value: int64(at)}}}, {Key: "ts", Value: at.BSON()}, {Key: "t", Value: int64(1)},
		{Key: "v", Value: int64(2)}})
}

func mark(entry bson.Raw, at pitr.Timestamp) format.EntryMark {
	return format.EntryMark{OpTime: pitr.OpTime{TS: at, Term: 1}, Digest: format.Sum(entry)}
}

// segment archives entries at these moments; prev is the moment of the entry before, zero for one that nobody saw.
func (m *mill) segment(branch format.ID, prev pitr.Timestamp, moments ...pitr.Timestamp) format.Name {
	m.t.Helper()
	facts := format.SegmentFacts{Branch: branch, Window: pitr.Window{After: moments[0] - 1}, Entries: int64(len(moments)), Member: "a:27017"}
	if prev != 0 {
		facts.Window.After, facts.Prev = prev, mark(m.entry(prev), prev)
	}
	facts.First = pitr.OpTime{TS: moments[0], Term: 1}
	for _, at := range moments {
		entry := m.entry(at)
		_, err := m.w.Append(0, entry)
		m.check(err)
		facts.Last, facts.Window.Through, facts.Majority = mark(entry, at), at, pitr.OpTime{TS: at, Term: 1}
	}
	return m.put(m.w.Finish(m.name(facts.SegmentName()), facts.BSON())).Name
}

func (m *mill) branch() format.ID {
	branch := format.Branch{ID: m.id(), Created: m.at, Set: "rs0", SetID: "68f8a1b2c3d4e5f6a7b8c9d0", Hosts: []string{"a:27017", "b:27017"}}
	m.check(m.r.PutBranch(m.t.Context(), branch))
	return branch.ID
}

// shape is what a test wants of a snapshot.
type shape struct {
	branch      format.ID
	from, at    pitr.Timestamp
	exact       format.Exactness
	collections [][]bson.Raw
	// edit changes the records and the manifest before they are published; the digests above them follow.
	edit func(*catalog.Catalog, *format.Manifest)
	// chunks cuts the documents of each collection into so many chunks; 0 means 1.
	chunks int
}

func (m *mill) snapshot(s shape) format.Manifest {
	m.t.Helper()
	manifest := format.Manifest{ID: m.id(), Branch: s.branch, Created: m.at, Finished: m.at, Reason: format.ReasonScheduled,
		Operator: "op@host", Pitr: "test", Cluster: format.Cluster{Name: "devices-eu", Set: "rs0"}, From: s.from, At: s.at, Exact: s.exact}
	var c catalog.Catalog
	index := map[int][]format.KeyEntry{}
	for number, documents := range s.collections {
		c.Collections = append(c.Collections, m.collection(number, documents))
		for cut := range max(s.chunks, 1) {
			from, to := cut*len(documents)/max(s.chunks, 1), (cut+1)*len(documents)/max(s.chunks, 1)
			m.chunk(&c, manifest, number, documents[from:to], index)
		}
	}
	for number := range s.collections {
		name := m.name(format.KeysName(manifest.ID, number, 0))
		c.Keys = append(c.Keys, format.KeysRecord{Part: m.put(format.SealKeys(name, 0, index[number]))})
	}
	if s.edit != nil {
		s.edit(&c, &manifest)
	}
	m.publish(c, &manifest, s.edit)
	return manifest
}

func (m *mill) collection(number int, documents []bson.Raw) format.CollectionRecord {
	var sum format.ContentSum
	for _, document := range documents {
		sum.Add(document)
	}
	uuid := pitr.UUID{0: byte(number + 1), 6: 0x40, 8: 0x80}
	return format.CollectionRecord{Number: number, Stored: sum, Sum: &sum, Collection: pitr.Collection{
		NS: pitr.Namespace{DB: "shop", Collection: fmt.Sprintf("c%d", number)}, UUID: uuid, Type: pitr.TypeCollection,
		Options: m.bson(bson.D{}), Indexes: []bson.Raw{m.bson(bson.D{{Key: "v", Value: int32(2)},
			{Key: "key", Value: bson.D{{Key: "_id", Value: int32(1)}}}, {Key: "name", Value: "_id_"}})}}}
}

func (m *mill) chunk(c *catalog.Catalog, manifest format.Manifest, number int, documents []bson.Raw, index map[int][]format.KeyEntry) {
	facts := format.ChunkFacts{At: manifest.At}
	if manifest.Exact == format.ExactThroughOplog {
		facts = format.ChunkFacts{Fuzzy: pitr.Window{After: manifest.From, Through: manifest.At}}
	}
	place := len(c.Chunks)
	for _, document := range documents {
		frame, err := m.w.Append(number, document)
		m.check(err)
		facts.Stored.Add(document)
		key, err := pitr.KeyOf(document)
		m.check(err)
		index[number] = append(index[number], format.KeyEntry{Key: format.KeyHash(key), Document: format.DocumentHash(document),
			Chunk: place, Frame: frame})
	}
	part := m.put(m.w.Finish(m.name(format.ChunkName(manifest.ID, place)), facts.BSON()))
	c.Chunks = append(c.Chunks, format.ChunkRecord{Part: part, At: facts.At, Fuzzy: facts.Fuzzy, Collections: []int{number}})
}

func (m *mill) publish(c catalog.Catalog, manifest *format.Manifest, edit func(*catalog.Catalog, *format.Manifest)) {
	m.t.Helper()
	var records []format.CatalogRecord
	o := format.Objects{Collections: len(c.Collections), Chunks: len(c.Chunks), Keys: len(c.Keys)}
	for _, r := range c.Collections {
		records = append(records, r)
	}
	for _, r := range c.Chunks {
		records = append(records, r)
		o.Documents, o.Bytes, o.Stored = o.Documents+r.Documents, o.Bytes+r.Bytes, o.Stored+r.Size
	}
	for _, r := range c.Keys {
		records = append(records, r)
		o.Stored += r.Size
	}
	for _, r := range records {
		_, err := m.w.Append(0, r.BSON())
		m.check(err)
	}
	part := m.put(m.w.Finish(m.name(format.CatalogPartName(manifest.ID, 0)), nil))
	o.Catalog, o.Stored = []format.Part{part}, o.Stored+part.Size
	manifest.Objects = o
	if edit != nil {
		edit(&catalog.Catalog{}, manifest)
	}
	m.object(manifest)
}

// documents makes small documents with the ids from, from+1 and so on.
func (m *mill) documents(from, count int) []bson.Raw {
	var documents []bson.Raw
	for i := range count {
		documents = append(documents, m.bson(bson.D{{Key: "_id", Value: int64(from + i)}, {Key: "v", Value: fmt.Sprint("value ", i)}}))
	}
	return documents
}
