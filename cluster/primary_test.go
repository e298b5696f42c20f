package cluster_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

func keyOf(t *testing.T, id any) pitr.Key {
	t.Helper()
	key, err := pitr.KeyOf(mustRaw(bson.D{{Key: "_id", Value: id}}))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// live reads a collection in the order of _id.
func (r *rig) live(ns string) []string {
	r.t.Helper()
	var got []string
	documents, _, err := r.scanAll(pitr.Range{Collection: r.find(ns)})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, d := range documents {
		got = append(got, d.String())
	}
	slices.Sort(got)
	return got
}

func TestTransactWritesWhatTheListSays(t *testing.T) {
	r := newRig(t)
	p := r.client.Primary()
	r.insert("db.c", bson.D{{Key: "_id", Value: 1}, {Key: "v", Value: 1}}, bson.D{{Key: "_id", Value: 2}, {Key: "v", Value: 2}},
		bson.D{{Key: "_id", Value: 3}, {Key: "v", Value: 3}}, bson.D{{Key: "_id", Value: 5}, {Key: "v", Value: 5}})
	r.insert("db.d", bson.D{{Key: "_id", Value: "x"}})
	c, d := pitr.Namespace{DB: "db", Collection: "c"}, pitr.Namespace{DB: "db", Collection: "d"}
	doc := func(id any, v any) bson.Raw { return mustRaw(bson.D{{Key: "_id", Value: id}, {Key: "v", Value: v}}) }
	writes := []pitr.DocumentWrite{
		{NS: c, Key: keyOf(t, 1), Expect: doc(1, 1), Result: doc(1, "one")},
		{NS: c, Key: keyOf(t, 2), Expect: doc(2, 2)},
		{NS: c, Key: keyOf(t, 3), Expect: doc(3, 3), Result: doc(3.0, "three"), Reinsert: true},
		{NS: c, Key: keyOf(t, 4), Result: doc(4, "four")},
		{NS: c, Key: keyOf(t, 5), Expect: doc(5, "never"), Result: doc(5, 5)},
		{NS: d, Key: keyOf(t, "x"), Expect: mustRaw(bson.D{{Key: "_id", Value: "x"}}),
			Result: mustRaw(bson.D{{Key: "_id", Value: "x"}, {Key: "$set", Value: bson.D{{Key: "a.b", Value: 1}}}})},
	}
	before := r.now()
	at, err := p.Transact(t.Context(), writes)
	if err != nil || at <= before {
		t.Fatalf("at %s, %v", at, err)
	}
	want := []string{doc(1, "one").String(), doc(3.0, "three").String(), doc(4, "four").String(), doc(5, 5).String()}
	slices.Sort(want)
	if got := r.live("db.c"); !slices.Equal(got, want) {
		t.Errorf("it has %q", got)
	}
	if got := r.live("db.d"); len(got) != 1 || got[0] != writes[5].Result.String() {
		t.Errorf("it has %q", got)
	}
	// Everything is there already: nothing is written, and said so.
	newest := r.now()
	if at, err := p.Transact(t.Context(), writes); err != nil || at != 0 || r.now() != newest {
		t.Errorf("a second time: at %s, %v", at, err)
	}
	found, err := p.Lookup(t.Context(), c, []bson.RawValue{keyOf(t, 3).Stored(), keyOf(t, 99).Stored()})
	if err != nil || len(found) != 1 || !bytes.Equal(found[0], doc(3.0, "three")) {
		t.Errorf("found %s, %v", found, err)
	}
}

// TestTransactStopsAtADifference breaks every write of a list in turn: none of the others may be done.
func TestTransactStopsAtADifference(t *testing.T) {
	r := newRig(t)
	p := r.client.Primary()
	c := pitr.Namespace{DB: "db", Collection: "c"}
	doc := func(id, v int) bson.Raw { return mustRaw(bson.D{{Key: "_id", Value: id}, {Key: "v", Value: v}}) }
	r.insert("db.c", doc(0, 0), doc(1, 1), doc(2, 2))
	before := r.live("db.c")
	for broken := range 3 {
		var writes []pitr.DocumentWrite
		for i := range 3 {
			writes = append(writes, pitr.DocumentWrite{NS: c, Key: keyOf(t, i), Expect: doc(i, i), Result: doc(i, 100)})
		}
		// Equal by value and other by bytes is a difference too.
		writes[broken].Expect = mustRaw(bson.D{{Key: "_id", Value: broken}, {Key: "v", Value: int64(broken)}})
		_, err := p.Transact(t.Context(), writes)
		var difference *pitr.Difference
		if pitr.KindOf(err) != pitr.KindConflict || !errors.As(err, &difference) || !bytes.Equal(difference.Live, doc(broken, broken)) {
			t.Errorf("write %d: %v", broken, err)
		}
		if got := r.live("db.c"); !slices.Equal(got, before) {
			t.Fatalf("something was written: %q", got)
		}
	}
	_, err := p.Transact(t.Context(), []pitr.DocumentWrite{{NS: c, Key: keyOf(t, 9), Expect: doc(9, 9), Result: doc(9, 0)}})
	var difference *pitr.Difference
	if !errors.As(err, &difference) || difference.Live != nil {
		t.Errorf("a document that is gone: %v", err)
	}
	_, err = p.Transact(t.Context(), []pitr.DocumentWrite{{NS: c, Key: keyOf(t, 9),
		Result: mustRaw(bson.D{{Key: "_id", Value: 9}, {Key: "t", Value: bson.Timestamp{}}})}})
	if pitr.KindOf(err) != pitr.KindUnsupported || pitr.HintOf(err) == "" {
		t.Errorf("an empty timestamp: %v", err)
	}
}

// TestTransactTellsWhatOthersWrote: a document that is right already needs no write, and is told to whoever asks for writes of
// its own; then nothing else of the transaction is done either.
func TestTransactTellsWhatOthersWrote(t *testing.T) {
	r := newRig(t)
	doc := func(id int) bson.Raw { return mustRaw(bson.D{{Key: "_id", Value: id}}) }
	r.insert("db.c", doc(1))
	ns := pitr.Namespace{DB: "db", Collection: "c"}
	writes := []pitr.DocumentWrite{{NS: ns, Key: keyOf(t, 0), Result: doc(0), Own: true}, {NS: ns, Key: keyOf(t, 1), Result: doc(1), Own: true}}
	_, err := r.client.Primary().Transact(t.Context(), writes)
	var difference *pitr.Difference
	if !errors.As(err, &difference) || !bytes.Equal(difference.Live, doc(1)) || len(r.live("db.c")) != 1 {
		t.Errorf("%v; there are %q", err, r.live("db.c"))
	}
	writes[1].Own = false
	if _, err := r.client.Primary().Transact(t.Context(), writes); err != nil || len(r.live("db.c")) != 2 {
		t.Errorf("%v; there are %q", err, r.live("db.c"))
	}
}

func TestApplyCatalogSteps(t *testing.T) {
	r := newRig(t)
	p, ctx := r.client.Primary(), t.Context()
	ns := pitr.Namespace{DB: "db", Collection: "c"}
	options := mustRaw(bson.D{{Key: "validator", Value: bson.D{{Key: "v", Value: bson.D{{Key: "$exists", Value: true}}}}},
		{Key: "validationLevel", Value: "moderate"}, {Key: "validationAction", Value: "error"}})
	apply := func(step pitr.CatalogWrite) {
		t.Helper()
		before := r.now()
		if at, err := p.Apply(ctx, step); err != nil || at < before {
			t.Fatalf("%s: at %s, %v", step, at, err)
		}
	}
	fails := func(step pitr.CatalogWrite, kind pitr.Kind) {
		t.Helper()
		if _, err := p.Apply(ctx, step); pitr.KindOf(err) != kind {
			t.Errorf("%s: kind %q: %v", step, pitr.KindOf(err), err)
		}
	}
	create := pitr.CreateCollection{Collection: pitr.Collection{NS: ns, Type: pitr.TypeCollection, Options: options}}
	apply(create)
	fails(create, pitr.KindConflict)
	c := r.find("db.c")
	if !bytes.Equal(c.Options, options) {
		t.Errorf("options %s, not %s", c.Options, options)
	}
	if err := p.Load(ctx, ns, []bson.Raw{mustRaw(bson.D{{Key: "_id", Value: 1}, {Key: "v", Value: 7}}), mustRaw(bson.D{{Key: "_id", Value: 2}, {Key: "v", Value: 7}})}); err != nil {
		t.Fatal(err)
	}
	spec := func(name string, unique bool) bson.Raw {
		d := bson.D{{Key: "v", Value: 2}, {Key: "key", Value: bson.D{{Key: "v", Value: 1}}}, {Key: "name", Value: name}}
		if unique {
			d = append(d, bson.E{Key: "unique", Value: true})
		}
		return mustRaw(d)
	}
	fails(pitr.CreateIndexes{NS: ns, UUID: c.UUID, Specs: []bson.Raw{spec("u", true)}}, pitr.KindMismatch)
	apply(pitr.CreateIndexes{NS: ns, UUID: c.UUID, Specs: []bson.Raw{spec("v_1", false)}})
	if now := r.find("db.c"); !bytes.Equal(now.Index("v_1"), spec("v_1", false)) {
		t.Errorf("the index is %s", now.Index("v_1"))
	}
	apply(pitr.ModifyCollection{NS: ns, UUID: c.UUID, Changes: mustRaw(bson.D{{Key: "validationLevel", Value: "off"}})})
	if level := r.find("db.c").Options.Lookup("validationLevel").StringValue(); level != "off" {
		t.Errorf("the level is %s", level)
	}
	apply(pitr.DropIndex{NS: ns, UUID: c.UUID, Spec: spec("v_1", false)})
	fails(pitr.DropIndex{NS: ns, UUID: c.UUID, Spec: spec("v_1", false)}, pitr.KindNotFound)
	to := pitr.Namespace{DB: "db", Collection: "e"}
	fails(pitr.RenameCollection{UUID: pitr.UUID{1}, From: ns, To: to}, pitr.KindConflict)
	apply(pitr.RenameCollection{UUID: c.UUID, From: ns, To: to})
	if r.find("db.e").UUID != c.UUID {
		t.Error("the rename made another collection")
	}
	fails(pitr.DropCollection{NS: ns, UUID: c.UUID}, pitr.KindNotFound)
	fails(pitr.DropCollection{NS: to, UUID: pitr.UUID{1}}, pitr.KindConflict)
	apply(pitr.DropCollection{NS: to, UUID: c.UUID})
	if listed, err := p.Catalog(ctx, pitr.Scope{}); err != nil || len(listed) != 0 {
		t.Errorf("left are %v, %v", listed, err)
	}
}

func TestLoadAndSettle(t *testing.T) {
	r := newRig(t)
	p, ns := r.client.Primary(), pitr.Namespace{DB: "db", Collection: "c"}
	var documents []bson.Raw
	for i := range 60_000 {
		documents = append(documents, mustRaw(bson.D{{Key: "_id", Value: i}, {Key: "text", Value: fmt.Sprintf("%0200d", i)}}))
	}
	if err := p.Load(t.Context(), ns, documents); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Count(t.Context(), ns); err != nil || n != int64(len(documents)) {
		t.Errorf("%d documents, %v", n, err)
	}
	if err := p.Load(t.Context(), ns, documents[:1]); pitr.KindOf(err) != pitr.KindConflict {
		t.Errorf("the same _id again: %v", err)
	}
	got, _, err := r.scanAll(pitr.Range{Collection: r.find("db.c")})
	if err != nil || !slices.EqualFunc(got, documents, func(a, b bson.Raw) bool { return bytes.Equal(a, b) }) {
		t.Errorf("%d documents of %d, or other bytes, %v", len(got), len(documents), err)
	}
}

func TestEntriesProveThatNothingIsMissing(t *testing.T) {
	r := newRig(t)
	p := r.client.Primary()
	r.insert("db.c", bson.D{{Key: "_id", Value: 0}})
	from := r.now()
	for i := range 20 {
		r.insert("db.c", bson.D{{Key: "_id", Value: i + 1}})
	}
	read := func(after pitr.Timestamp) (ids []int, err error) {
		for entry, err := range p.Entries(t.Context(), after) {
			if err != nil {
				return ids, err
			}
			if entry.Lookup("op").StringValue() == "i" {
				ids = append(ids, int(entry.Lookup("o", "_id").AsInt64()))
			}
		}
		return ids, nil
	}
	if ids, err := read(from); err != nil || len(ids) != 20 || ids[0] != 1 {
		t.Errorf("entries %v, %v", ids, err)
	}
	if ids, err := read(r.now()); err != nil || len(ids) != 0 {
		t.Errorf("behind the newest: %v, %v", ids, err)
	}
	for _, absent := range []pitr.Timestamp{pitr.NewTimestamp(1000, 1), from.Before().Before() - 1000, r.now() + 1} {
		if ids, err := read(absent); pitr.KindOf(err) != pitr.KindHole || len(ids) != 0 {
			t.Errorf("after %s, which is no entry: %v, %v", absent, ids, err)
		}
	}
}

func TestWriteBlockWithoutAuthentication(t *testing.T) {
	r := newRig(t)
	p := r.client.Primary()
	r.insert("db.c", bson.D{{Key: "_id", Value: 0}})
	if block, err := p.WriteBlock(t.Context()); err != nil || block.Standing || block.Usable() || block.Missing == "" {
		t.Errorf("before: %+v, %v", block, err)
	}
	if err := p.BlockWrites(t.Context()); err != nil {
		t.Fatal(err)
	}
	if block, err := p.WriteBlock(t.Context()); err != nil || !block.Standing {
		t.Errorf("meanwhile: %+v, %v", block, err)
	}
	if err := p.Load(t.Context(), pitr.Namespace{DB: "db", Collection: "c"}, []bson.Raw{mustRaw(bson.D{{Key: "_id", Value: 9}})}); pitr.KindOf(err) != pitr.KindRefused {
		t.Errorf("a write under the block: %v", err)
	}
	if err := p.UnblockWrites(t.Context()); err != nil {
		t.Fatal(err)
	}
	if block, err := p.WriteBlock(t.Context()); err != nil || block.Standing {
		t.Errorf("after: %+v, %v", block, err)
	}
}
