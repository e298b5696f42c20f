package sample

import (
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
)

// Shape is what a test wants of a snapshot.
type Shape struct {
	Branch   format.ID
	From, At pitr.Timestamp
	Exact    format.Exactness
	// Oplog is the window that belongs to the snapshot, nil for none.
	Oplog *format.Span
	// Collections holds the documents of each.
	Collections [][]bson.Raw
	// Chunks cuts the documents of each collection into so many chunks; 0 means 1.
	Chunks int
	// NoKeys leaves the key index out.
	NoKeys bool
	// Catalog and Manifest change what is about to be published, to make it wrong.
	Catalog  func(*catalog.Catalog)
	Manifest func(*format.Manifest)
}

// Snapshot publishes a snapshot.
func (m *Mill) Snapshot(s Shape) format.Manifest {
	m.t.Helper()
	manifest := format.Manifest{ID: m.ID(), Branch: s.Branch, Created: m.Now, Finished: m.Now, Reason: format.ReasonScheduled,
		Operator: "op@host", Pitr: "test", Cluster: format.Cluster{Name: "devices-eu", Set: "rs0"},
		From: s.From, At: s.At, Exact: s.Exact, Oplog: s.Oplog}
	var c catalog.Catalog
	pieces := max(s.Chunks, 1)
	for number, documents := range s.Collections {
		record := m.collection(number, documents, s)
		var index []format.KeyEntry
		for i := range pieces {
			piece := documents[i*len(documents)/pieces : (i+1)*len(documents)/pieces]
			if len(piece) > 0 {
				index = append(index, m.chunk(&c, manifest, number, piece)...)
			}
		}
		if !s.NoKeys {
			name := m.Name(format.KeysName(manifest.ID, number, 0))
			c.Keys = append(c.Keys, format.KeysRecord{Part: m.Put(format.SealKeys(name, 0, index))})
		}
		c.Collections = append(c.Collections, record)
	}
	if s.Catalog != nil {
		s.Catalog(&c)
	}
	manifest.Objects = m.publish(c, manifest.ID)
	if s.Manifest != nil {
		s.Manifest(&manifest)
	}
	m.Object(&manifest)
	return manifest
}

func (m *Mill) collection(number int, documents []bson.Raw, s Shape) format.CollectionRecord {
	m.t.Helper()
	record := format.CollectionRecord{Number: number, Collection: pitr.Collection{
		NS: pitr.Namespace{DB: "shop", Collection: fmt.Sprintf("c%d", number)}, UUID: uuid(number), Type: pitr.TypeCollection,
		Options: m.BSON(bson.D{}), Indexes: []bson.Raw{m.BSON(bson.D{{Key: "v", Value: int32(2)},
			{Key: "key", Value: bson.D{{Key: "_id", Value: int32(1)}}}, {Key: "name", Value: "_id_"}})}}}
	for _, document := range documents {
		record.Stored.Add(document)
	}
	if s.Exact == format.ExactOneTime {
		sum := record.Stored
		record.Sum = &sum
	}
	if s.NoKeys {
		record.KeyBits = format.KeysLeftOut
	}
	return record
}

func (m *Mill) chunk(c *catalog.Catalog, manifest format.Manifest, number int, documents []bson.Raw) (index []format.KeyEntry) {
	m.t.Helper()
	facts := format.ChunkFacts{At: manifest.At}
	if manifest.Exact == format.ExactThroughOplog {
		facts = format.ChunkFacts{Fuzzy: pitr.Window{After: manifest.From, Through: manifest.At}}
	}
	place := len(c.Chunks)
	for _, document := range documents {
		frame, err := m.w.Append(number, document)
		m.Check(err)
		facts.Stored.Add(document)
		key, err := pitr.KeyOf(document)
		m.Check(err)
		index = append(index, format.KeyEntry{Key: format.KeyHash(key), Document: format.DocumentHash(document), Chunk: place, Frame: frame})
	}
	part := m.Put(m.w.Finish(m.Name(format.ChunkName(manifest.ID, place)), facts.BSON()))
	c.Chunks = append(c.Chunks, format.ChunkRecord{Part: part, At: facts.At, Fuzzy: facts.Fuzzy, Collections: []int{number}})
	return index
}

// publish stores the catalog and gives the totals of what it names.
func (m *Mill) publish(c catalog.Catalog, snapshot format.ID) format.Objects {
	m.t.Helper()
	var records []bson.Raw
	o := format.Objects{Collections: len(c.Collections), Chunks: len(c.Chunks), Keys: len(c.Keys)}
	for _, r := range c.Collections {
		records = append(records, r.BSON())
	}
	for _, r := range c.Chunks {
		records = append(records, r.BSON())
		o.Documents, o.Bytes, o.Stored = o.Documents+r.Documents, o.Bytes+r.Bytes, o.Stored+r.Size
	}
	for _, r := range c.Keys {
		records = append(records, r.BSON())
		o.Stored += r.Size
	}
	part := m.Container(m.Name(format.CatalogPartName(snapshot, 0)), nil, records...)
	o.Catalog, o.Stored = []format.Part{part}, o.Stored+part.Size
	return o
}
