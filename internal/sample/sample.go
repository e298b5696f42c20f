// Package sample makes small repositories for tests: whole ones with every kind of object, and single pieces, right or wrong
// in a chosen way. The same calls always make the same bytes.
package sample

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

// Mill makes the pieces of a repository. Its methods fail the test when they cannot.
type Mill struct {
	// R is the repository, Now its clock.
	R   *catalog.Repository
	Now time.Time

	t testing.TB
	w *format.Writer
}

// New creates a repository in an empty store.
func New(t testing.TB, store storage.Store) *Mill {
	t.Helper()
	m := &Mill{t: t, Now: time.Date(2025, 10, 22, 9, 0, 0, 0, time.UTC)}
	var err error
	m.w, err = format.NewWriter(format.WriterOptions{})
	m.Check(err)
	clock := func() time.Time { return m.Now }
	m.R, err = catalog.Create(t.Context(), store, catalog.CreateOptions{ClusterName: "devices-eu", Operator: "op@host", Version: "test",
		StoreKind: "memory", OpenOptions: catalog.OpenOptions{Now: clock, Random: rand.New(rand.NewSource(1))},
		Probe: storage.ProbeOptions{Folder: "probe/one"}})
	m.Check(err)
	return m
}

// Check fails the test at an error.
func (m *Mill) Check(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// ID makes the next id.
func (m *Mill) ID() format.ID {
	m.t.Helper()
	id, err := m.R.NewID()
	m.Check(err)
	return id
}

// Name passes a name on, as a constructor of package format gives it.
func (m *Mill) Name(name format.Name, err error) format.Name {
	m.t.Helper()
	m.Check(err)
	return name
}

// Put stores a sealed object.
func (m *Mill) Put(sealed format.Sealed, err error) format.Part {
	m.t.Helper()
	m.Check(err)
	m.Check(m.R.PutAndRead(m.t.Context(), sealed.Name, sealed.Data))
	return format.PartOf(sealed)
}

// Object stores a JSON object.
func (m *Mill) Object(object format.Object) format.Name {
	m.t.Helper()
	name, err := m.R.PutObject(m.t.Context(), object)
	m.Check(err)
	return name
}

// BSON encodes a value.
func (m *Mill) BSON(value any) bson.Raw {
	m.t.Helper()
	raw, err := bson.Marshal(value)
	m.Check(err)
	return raw
}

// Container stores documents in a container of any kind.
func (m *Mill) Container(name format.Name, facts bson.Raw, documents ...bson.Raw) format.Part {
	m.t.Helper()
	for _, document := range documents {
		_, err := m.w.Append(0, document)
		m.Check(err)
	}
	return m.Put(m.w.Finish(name, facts))
}

// Branch publishes a branch.
func (m *Mill) Branch() format.ID {
	m.t.Helper()
	branch := format.Branch{ID: m.ID(), Created: m.Now, Set: "rs0", SetID: "68f8a1b2c3d4e5f6a7b8c9d0", Hosts: []string{"a:27017", "b:27017"}}
	m.Check(m.R.PutBranch(m.t.Context(), branch))
	return branch.ID
}

// Entry makes an oplog entry at a moment. Two moments never give the same bytes.
func (m *Mill) Entry(at pitr.Timestamp) bson.Raw {
	m.t.Helper()
	return m.BSON(bson.D{{Key: "op", Value: "i"}, {Key: "ns", Value: "shop.c0"}, {Key: "ui", Value: uuid(0).Binary()},
		{Key: "o", Value: bson.D{{Key: "_id", Value: int64(at)}}}, {Key: "ts", Value: at.BSON()}, {Key: "t", Value: int64(1)},
		{Key: "v", Value: int64(2)}})
}

// Mark names an entry of the first term.
func Mark(entry bson.Raw, at pitr.Timestamp) format.EntryMark {
	return format.EntryMark{OpTime: pitr.OpTime{TS: at, Term: 1}, Digest: format.Sum(entry)}
}

// Segment archives entries at moments. Prev is the moment of the entry before, zero for one that nobody saw.
func (m *Mill) Segment(branch format.ID, prev pitr.Timestamp, moments ...pitr.Timestamp) format.Name {
	m.t.Helper()
	var facts format.SegmentFacts
	if prev != 0 {
		facts.Prev = Mark(m.Entry(prev), prev)
	}
	var entries []bson.Raw
	for _, at := range moments {
		entries = append(entries, m.Entry(at))
	}
	return m.SegmentOf(branch, facts, entries...)
}

// SegmentOf archives any entries. Of the facts only what lies before the entries is taken; a window that is given keeps its
// beginning.
func (m *Mill) SegmentOf(branch format.ID, f format.SegmentFacts, entries ...bson.Raw) format.Name {
	m.t.Helper()
	first, _ := catalog.EntryTime(entries[0])
	last, _ := catalog.EntryTime(entries[len(entries)-1])
	f.Branch, f.First, f.Entries, f.Member = branch, first, int64(len(entries)), "a:27017"
	f.Last, f.Majority = format.EntryMark{OpTime: last, Digest: format.Sum(entries[len(entries)-1])}, last
	switch {
	case f.Window.After != 0:
	case f.Prev.Digest.IsZero():
		f.Window.After = first.TS.Before()
	default:
		f.Window.After = f.Prev.TS
	}
	f.Window.Through = last.TS
	return m.Container(m.Name(f.SegmentName()), f.BSON(), entries...).Name
}

// Documents makes small documents with the ids from, from+1 and so on.
func (m *Mill) Documents(from, count int) []bson.Raw {
	m.t.Helper()
	var documents []bson.Raw
	for i := range count {
		documents = append(documents, m.BSON(bson.D{{Key: "_id", Value: int64(from + i)}, {Key: "v", Value: fmt.Sprint("value ", i)}}))
	}
	return documents
}

func uuid(number int) pitr.UUID { return pitr.UUID{0: byte(number + 1), 6: 0x40, 8: 0x80} }
