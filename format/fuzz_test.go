package format_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/klauspost/compress/zstd"
	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/format"
)

// The fuzz targets repair the digests, or they would never come past them. What was found once is kept in testdata/fuzz.
// case X23

// allowed says that hostile bytes end in one of the two kinds a reader promises.
func allowed(t *testing.T, err error) {
	t.Helper()
	if kind := pitr.KindOf(err); err != nil && kind != pitr.KindCorrupt && kind != pitr.KindUnsupported {
		t.Errorf("hostile bytes give an error of kind %q: %v", kind, err)
	}
}

func FuzzParseName(f *testing.F) {
	for text := range names(f) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, err := format.ParseName(text)
		if err != nil {
			allowed(t, err)
			return
		}
		if name.String() != text || name.Kind() == "" {
			t.Errorf("%q is %q of kind %q", text, name, name.Kind())
		}
		for _, c := range text {
			if !bytes.ContainsRune([]byte("abcdefghijklmnopqrstuvwxyzTZ0123456789-./"), c) {
				t.Errorf("%q holds %q", text, c)
			}
		}
		if bytes.Contains([]byte(text), []byte("..")) || bytes.HasPrefix([]byte(text), []byte("/")) {
			t.Errorf("%q is a path", text)
		}
	})
}

func FuzzDirectory(f *testing.F) {
	document := newOrders(1).next()
	stored := compress(f, document, zstd.WithSingleSegment(true))
	for _, sealed := range []format.Sealed{seal(f, chunkName(f), 2, newOrders(1).take(15))} {
		tail := sealed.Data[bytes.LastIndex(sealed.Data, []byte{0x57, 0x2a, 0x4d, 0x18})+8:]
		f.Add(sealed.Data[:len(sealed.Data)-len(tail)-8], tail[:len(tail)-44])
	}
	f.Add(stored, []byte(nil))
	f.Fuzz(func(t *testing.T, stored, directory []byte) {
		err := readContainer(format.Expect{Name: chunkName(t)}, format.ForgeContainer(bytes.Clone(stored), bytes.Clone(directory)))
		allowed(t, err)
	})
}

func FuzzFrame(f *testing.F) {
	documents := bytes.Join([][]byte{newOrders(1).next(), newOrders(2).next()}, nil)
	f.Add(compress(f, documents, zstd.WithSingleSegment(true)), len(documents), 2)
	f.Add(compress(f, make([]byte, 1<<20), zstd.WithSingleSegment(true)), 1<<20, 1)
	f.Fuzz(func(t *testing.T, stored []byte, raw, documents int) {
		raw, documents = raw&0x3ffff, documents&0xfff
		err := readContainer(format.Expect{Name: chunkName(t)}, honest(t, stored, raw, documents).seal(t, stored))
		allowed(t, err)
	})
}

// walk asks everything of a document that later readers ask.
func walk(t *testing.T, document bson.Raw) {
	elements, err := document.Elements()
	if err != nil {
		t.Fatalf("a valid document is not readable: %v", err)
	}
	for _, element := range elements {
		value := element.Value()
		if inner, ok := value.DocumentOK(); ok {
			walk(t, inner)
		}
		if inner, ok := value.ArrayOK(); ok {
			walk(t, bson.Raw(inner))
		}
		if _, inner, ok := value.CodeWithScopeOK(); ok {
			walk(t, inner)
		}
	}
}

func FuzzDocument(f *testing.F) {
	f.Add([]byte(newOrders(1).next()))
	f.Add(element(15, 15, 0, 0, 0, 2, 0, 0, 0, 'x', 0, 5, 0, 0, 0, 0))
	f.Add(nested(5))
	f.Fuzz(func(t *testing.T, document []byte) {
		if format.ValidateDocument(document) == nil {
			walk(t, document)
		}
	})
}

func FuzzJSON(f *testing.F) {
	objects := []func() format.Object{
		func() format.Object { return &format.Manifest{} }, func() format.Object { return &format.Intent{} },
		func() format.Object { return &format.StepRecord{} }, func() format.Object { return &format.Changes{} },
		func() format.Object { return &format.Lease{} }, func() format.Object { return &format.Condemned{} },
		func() format.Object { return &format.Review{} },
		func() format.Object { return &format.PlaybookEntry{} },
	}
	for i, object := range []format.Object{
		manifest(), &format.Intent{ID: jobID, Kind: format.JobRewind, Ways: []format.Way{{NS: pitr.Namespace{DB: "a", Collection: "b"}}}},
		&format.StepRecord{Job: jobID, Attempt: 1, Number: 1, Detail: format.Document(nested(3))}, &format.Changes{Job: jobID},
		&format.Lease{Lease: "archive", Generation: 1}, &format.Condemned{ID: jobID, Objects: []format.Name{chunkName(f)}},
		&format.Review{Job: jobID, Number: 3, File: "a.csv", Decisions: map[string]int64{"leave": 1}},
		&format.PlaybookEntry{Run: jobID, Number: 1, Event: format.PlaybookBegun, Procedure: &format.Procedure{Name: "p"}},
	} {
		sealed := encode(f, object)
		f.Add(i, string(sealed.Data[:bytes.LastIndex(sealed.Data, []byte("  \"sha256\""))]))
	}
	f.Fuzz(func(t *testing.T, which int, body string) {
		object := objects[uint(which)%uint(len(objects))]()
		data := format.ForgeJSON(body)
		// The name is not known: the object says it, and is then read under it.
		allowed(t, format.DecodeJSON(format.HeaderName(), data, object))
		name, err := object.ObjectName()
		if err != nil || format.DecodeJSON(name, data, object) != nil {
			return
		}
		again, err := format.EncodeJSON(object)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v\n%s", err, data)
		}
		if err := format.DecodeJSON(name, again.Data, object); err != nil {
			t.Errorf("what was written again cannot be read: %v\n%s", err, again.Data)
		}
		third, err := format.EncodeJSON(object)
		if err != nil || !bytes.Equal(third.Data, again.Data) {
			t.Errorf("writing is not stable, %v:\n%s\n%s", err, again.Data, third.Data)
		}
	})
}

func FuzzRecords(f *testing.F) {
	e := raw(f, bson.D{{Key: "_id", Value: 1}})
	collection := orderCollection(f)
	f.Add([]byte(format.EncodeChange(pitr.Change{N: 1, NS: collection.NS, Key: keyOf(f, e), Class: pitr.ClassCreated, E: e})))
	f.Add([]byte(format.EncodeCatalogStep(pitr.CatalogStep{N: 1, NS: collection.NS, Step: pitr.StepCreated, CollectionE: &collection})))
	f.Add([]byte(format.CollectionRecord{Collection: collection}.BSON()))
	f.Add([]byte(format.ChunkRecord{Part: format.Part{Name: chunkName(f)}, Collections: []int{1}}.BSON()))
	f.Add([]byte(format.ReviewDecision{N: 7, Decision: "put back"}.BSON()))
	f.Fuzz(func(t *testing.T, document []byte) {
		if decision, err := format.DecodeReviewDecision(document); err == nil {
			if again, err := format.DecodeReviewDecision(decision.BSON()); err != nil || again != decision {
				t.Errorf("a decision comes back as %+v, %v", again, err)
			}
		} else {
			allowed(t, err)
		}
		if change, err := format.DecodeChange(document); err == nil {
			again, err := format.DecodeChange(format.EncodeChange(change))
			if err != nil || again.Key.Equal() != change.Key.Equal() || !bytes.Equal(again.E, change.E) || !bytes.Equal(again.T, change.T) {
				t.Errorf("a change comes back as another one: %v", err)
			}
		} else {
			allowed(t, err)
		}
		if step, err := format.DecodeCatalogStep(document); err == nil {
			if _, err := format.DecodeCatalogStep(format.EncodeCatalogStep(step)); err != nil {
				t.Errorf("a catalog step does not come back: %v", err)
			}
		} else {
			allowed(t, err)
		}
		if record, err := format.DecodeCatalogRecord(snapshotID, document); err == nil {
			if _, err := format.DecodeCatalogRecord(snapshotID, record.BSON()); err != nil {
				t.Errorf("a catalog record does not come back: %v", err)
			}
		} else {
			allowed(t, err)
		}
	})
}

func FuzzSegmentFacts(f *testing.F) {
	f.Add([]byte(segmentFacts().BSON()))
	name := must(f)(segmentFacts().SegmentName())
	w, err := format.NewWriter(format.WriterOptions{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, facts []byte) {
		if format.ValidateDocument(facts) != nil {
			return
		}
		w.Reset()
		for range 2 {
			if _, err := w.Append(0, nested(0)); err != nil {
				t.Fatal(err)
			}
		}
		sealed, err := w.Finish(name, facts)
		if err != nil {
			t.Fatal(err)
		}
		container, err := format.OpenContainer(sealed.Data, format.Expect{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		_, err = container.SegmentFacts()
		allowed(t, err)
		_, err = container.ChunkFacts()
		allowed(t, err)
	})
}

func FuzzKeys(f *testing.F) {
	sealed := sealKeys(f, 0, 30)
	f.Add(sealed.Data, len(sealed.Data)-30*20, uint64(7))
	f.Fuzz(func(t *testing.T, object []byte, head int, key uint64) {
		object = format.ForgeKeys(bytes.Clone(object), head)
		expect := format.Expect{Name: sealed.Name, Size: int64(len(object))}
		keys, err := format.OpenKeys(context.Background(), (&counted{data: object}).read, expect)
		if err != nil {
			allowed(t, err)
			return
		}
		if keys.Bits() == 0 {
			_, err = keys.Lookup(context.Background(), key)
			allowed(t, err)
		}
		allowed(t, readKeys(expect, object))
	})
}
