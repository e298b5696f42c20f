package format_test

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/format"
)

func raw(tb testing.TB, document bson.D) bson.Raw {
	tb.Helper()
	content, err := bson.Marshal(document)
	if err != nil {
		tb.Fatal(err)
	}
	return content
}

func keyOf(tb testing.TB, document bson.Raw) pitr.Key {
	tb.Helper()
	key, err := pitr.KeyOf(document)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func orderCollection(tb testing.TB) pitr.Collection {
	return pitr.Collection{
		NS: pitr.Namespace{DB: "shop", Collection: "orders.open"}, UUID: pitr.UUID{1, 2, 3}, Type: pitr.TypeCollection,
		Options: raw(tb, bson.D{{Key: "validator", Value: bson.D{{Key: "z", Value: 1}, {Key: "a", Value: 2}}}}),
		Indexes: []bson.Raw{raw(tb, bson.D{{Key: "v", Value: 2}, {Key: "name", Value: "_id_"}})},
	}
}

func TestChangesReadBack(t *testing.T) {
	e := raw(t, bson.D{{Key: "_id", Value: int64(1)}, {Key: "a", Value: "e"}})
	other := raw(t, bson.D{{Key: "_id", Value: 1.0}, {Key: "a", Value: "t"}})
	change := pitr.Change{
		N: 3, NS: pitr.Namespace{DB: "shop", Collection: "orders.open"}, UUID: pitr.UUID{1}, Key: keyOf(t, e),
		First: pitr.OpTime{TS: pitr.NewTimestamp(5, 1), Term: 2}, Last: pitr.OpTime{TS: pitr.NewTimestamp(6, 1), Term: -1},
		Ops: 4, Bursts: []int{1, 7},
	}
	for _, sides := range []struct {
		class pitr.Class
		e, t  bson.Raw
	}{
		{pitr.ClassCreated, e, nil}, {pitr.ClassDeleted, nil, e}, {pitr.ClassChanged, e, other},
		{pitr.ClassUnchanged, e, e}, {pitr.ClassCameAndWent, nil, nil}, {pitr.ClassExpired, nil, e}, {pitr.ClassExpired, e, e},
	} {
		change.Class, change.E, change.T = sides.class, sides.e, sides.t
		back, err := format.DecodeChange(format.EncodeChange(change))
		if err != nil {
			t.Fatalf("%s: %v", sides.class, err)
		}
		if !reflect.DeepEqual(change, back) {
			t.Errorf("%s reads back as %+v", sides.class, back)
		}
	}
	// A forged change must not get as far as a cluster: wrong class, or a document of another key.
	change.Class, change.E, change.T = pitr.ClassCreated, e, e
	if _, err := format.DecodeChange(format.EncodeChange(change)); pitr.KindOf(err) != pitr.KindCorrupt {
		t.Errorf("a change of the wrong class gives %v", err)
	}
	change.Class, change.E, change.T = pitr.ClassChanged, e, raw(t, bson.D{{Key: "_id", Value: 2}})
	if _, err := format.DecodeChange(format.EncodeChange(change)); pitr.KindOf(err) != pitr.KindCorrupt {
		t.Errorf("a change with another key inside gives %v", err)
	}
}

func TestCatalogStepsReadBack(t *testing.T) {
	collection := orderCollection(t)
	step := pitr.CatalogStep{N: 1, Step: pitr.StepIndexDropped, NS: collection.NS, UUID: collection.UUID,
		T: raw(t, bson.D{{Key: "name", Value: "x"}}), CollectionE: &collection, CollectionT: &collection}
	document := format.EncodeCatalogStep(step)
	back, err := format.DecodeCatalogStep(document)
	if err != nil || !reflect.DeepEqual(step, back) {
		t.Errorf("reads back as %+v, %v", back, err)
	}
	if !format.IsCatalogStep(document) {
		t.Error("a catalog step is not known as one")
	}
	step.Step = "collection painted"
	if _, err := format.DecodeCatalogStep(format.EncodeCatalogStep(step)); pitr.KindOf(err) != pitr.KindCorrupt {
		t.Errorf("an unknown step gives %v", err)
	}
}

func TestCatalogRecordsReadBack(t *testing.T) {
	sum := format.ContentSum{Documents: 2, Bytes: 30, High: 1 << 63, Low: 9}
	chunk := format.Part{Name: chunkName(t), Size: 9, SHA256: format.Sum(nil), Directory: format.Sum([]byte{1}), Documents: 2, Bytes: 30}
	keys := chunk
	var err error
	if keys.Name, err = format.KeysName(snapshotID, 99_999, 8191); err != nil {
		t.Fatal(err)
	}
	records := []format.CatalogRecord{
		format.CollectionRecord{Number: 4, Collection: orderCollection(t), Stored: sum, Sum: &sum, KeyBits: format.KeysLeftOut},
		format.CollectionRecord{Number: 5, Collection: orderCollection(t), Stored: sum, KeyBits: 3},
		format.ChunkRecord{Part: chunk, At: pitr.NewTimestamp(5, 1), Collections: []int{0, 4}},
		format.ChunkRecord{Part: chunk, Fuzzy: pitr.Window{After: 5, Through: 6}, Collections: []int{4}},
		format.KeysRecord{Part: keys},
	}
	for _, record := range records {
		back, err := format.DecodeCatalogRecord(snapshotID, record.BSON())
		if err != nil || !reflect.DeepEqual(record, back) {
			t.Errorf("%T reads back as %+v, %v", record, back, err)
		}
	}
	// case I05
	if _, err := format.DecodeCatalogRecord(otherID, records[2].BSON()); pitr.KindOf(err) != pitr.KindCorrupt {
		t.Errorf("a chunk of another snapshot in a catalog gives %v", err)
	}
}

func segmentFacts() format.SegmentFacts {
	return format.SegmentFacts{
		Branch: branchID, Window: pitr.Window{After: pitr.NewTimestamp(100, 1), Through: pitr.NewTimestamp(200, 9)},
		Prev:    format.EntryMark{OpTime: pitr.OpTime{TS: pitr.NewTimestamp(100, 1), Term: 1}, Digest: format.Sum([]byte("prev"))},
		First:   pitr.OpTime{TS: pitr.NewTimestamp(150, 1), Term: 1},
		Last:    format.EntryMark{OpTime: pitr.OpTime{TS: pitr.NewTimestamp(200, 9), Term: 1}, Digest: format.Sum([]byte("last"))},
		Entries: 2, Majority: pitr.OpTime{TS: pitr.NewTimestamp(201, 1), Term: 1}, Member: "h:27017",
		Counts: map[string]int64{"i shop.orders": 1, "n": 1}, Touched: [][]uint64{{1, 2}},
	}
}

func TestSegmentFactsBelongToTheName(t *testing.T) {
	facts := segmentFacts()
	facts.OpenChains = []format.OpenChain{{Session: raw(t, bson.D{{Key: "id", Value: 1}}), TxnNumber: 5, First: facts.Prev.OpTime}}
	name, err := facts.SegmentName()
	if err != nil {
		t.Fatal(err)
	}
	read := func(facts format.SegmentFacts) (format.SegmentFacts, error) {
		w, err := format.NewWriter(format.WriterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := w.Append(0, raw(t, bson.D{{Key: "op", Value: "i"}})); err != nil {
				t.Fatal(err)
			}
		}
		sealed, err := w.Finish(name, facts.BSON())
		if err != nil {
			t.Fatal(err)
		}
		container, err := format.OpenContainer(sealed.Data, format.Expect{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		return container.SegmentFacts()
	}
	if back, err := read(facts); err != nil || !reflect.DeepEqual(facts, back) {
		t.Errorf("facts read back as %+v, %v", back, err)
	}
	strange := facts
	strange.Unknown = map[string]int64{"x a\x00b": 1, "x a\uFFFDb": 2}
	if back, err := read(strange); err != nil || back.Unknown["x a\uFFFDb"] != 3 {
		t.Errorf("a namespace with a zero byte gives %v, %v", back.Unknown, err)
	}
	for what, change := range map[string]func(*format.SegmentFacts){
		"branch": func(f *format.SegmentFacts) { f.Branch = otherID },
		"after":  func(f *format.SegmentFacts) { f.Window.After++ },
		"prev":   func(f *format.SegmentFacts) { f.Prev.Digest[0]++ },
		"last":   func(f *format.SegmentFacts) { f.Last.Digest[3]++ },
		"count":  func(f *format.SegmentFacts) { f.Entries++ },
		"end":    func(f *format.SegmentFacts) { f.Last.TS-- },
	} {
		wrong := facts
		change(&wrong)
		if _, err := read(wrong); pitr.KindOf(err) != pitr.KindCorrupt {
			t.Errorf("facts with another %s give %v", what, err)
		}
	}
}

// case I13
func TestChunkFactsCountTheirDocuments(t *testing.T) {
	w, err := format.NewWriter(format.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var sum format.ContentSum
	for i, document := range newOrders(4).take(20) {
		sum.Add(document)
		if _, err := w.Append(i/10, document); err != nil {
			t.Fatal(err)
		}
	}
	honest := format.ChunkFacts{Fuzzy: pitr.Window{After: 5, Through: 9}, Stored: sum}
	more, longer := honest, honest
	more.Stored.Documents++
	longer.Stored.Bytes++
	twice := append(append(bytes.Clone(honest.BSON()[:len(honest.BSON())-1]), honest.BSON()[4:]...), 0)[:2*len(honest.BSON())-5]
	binary.LittleEndian.PutUint32(twice, uint32(len(twice)))
	for what, facts := range map[string]bson.Raw{"honest": honest.BSON(), "more": more.BSON(), "longer": longer.BSON(), "twice": twice, "none": nil} {
		w.Reset()
		for i, document := range newOrders(4).take(20) {
			if _, err := w.Append(i/10, document); err != nil {
				t.Fatal(err)
			}
		}
		sealed, err := w.Finish(chunkName(t), facts)
		if err != nil {
			t.Fatal(err)
		}
		container, err := format.OpenContainer(sealed.Data, format.Expect{Name: sealed.Name})
		if err != nil {
			t.Fatal(err)
		}
		back, err := container.ChunkFacts()
		if what == "honest" && (err != nil || back != honest) {
			t.Errorf("facts read back as %+v, %v", back, err)
		}
		if what != "honest" && pitr.KindOf(err) != pitr.KindCorrupt {
			t.Errorf("facts that count %s: %v", what, err)
		}
	}
}

func TestContentSumIgnoresOrder(t *testing.T) {
	documents := newOrders(3).take(50)
	var forward, backward, less format.ContentSum
	for i := range documents {
		forward.Add(documents[i])
		backward.Add(documents[len(documents)-1-i])
	}
	if forward != backward || forward.Documents != 50 {
		t.Errorf("%s and %s", forward, backward)
	}
	less.AddSum(forward)
	less.Sub(documents[7])
	if less == forward {
		t.Error("a document less gives the same sum")
	}
	twin := bytes.Clone(documents[7])
	twin[len(twin)-2] ^= 1
	less.Add(twin)
	if less == forward {
		t.Error("a changed document gives the same sum")
	}
	less.Sub(twin)
	less.Add(documents[7])
	if less != forward {
		t.Error("taking out and putting back changes the sum")
	}
}
