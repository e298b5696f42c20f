package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"pitr"
	"pitr/cluster"
	"pitr/internal/mongotest"
	"pitr/internal/replsim"
)

// rig is a server, a plain client that plays the applications, and ours.
type rig struct {
	t      *testing.T
	server *replsim.Server
	uri    string
	driver *mongo.Client
	client *cluster.Client
}

func newRig(t *testing.T) *rig {
	t.Helper()
	return newRigOn(t, mongotest.Need{})
}

// newFaultyRig is for tests that disturb the server.
func newFaultyRig(t *testing.T) *rig {
	t.Helper()
	return newRigOn(t, mongotest.Need{Faults: true})
}

func newRigOn(t *testing.T, need mongotest.Need) *rig {
	t.Helper()
	instance := mongotest.Start(t, need)
	// Members that come back are to be noticed at once, or disturbances take ten seconds each.
	r := &rig{t: t, server: instance.Sim, uri: instance.URI + "&heartbeatFrequencyMS=500"}
	driver, err := mongo.Connect(options.Client().ApplyURI(r.uri))
	if err != nil {
		t.Fatal(err)
	}
	r.driver = driver
	t.Cleanup(func() { _ = r.driver.Disconnect(context.Background()) })
	r.client = r.connect(cluster.Options{URI: r.uri})
	return r
}

func (r *rig) connect(o cluster.Options) *cluster.Client {
	r.t.Helper()
	o.Timeout = 10 * time.Second
	o.Await = 200 * time.Millisecond
	client, err := cluster.Connect(r.t.Context(), o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { client.Close(context.Background()) })
	return client
}

// run plays an application.
func (r *rig) run(db string, command bson.D) bson.Raw {
	r.t.Helper()
	reply, err := r.driver.Database(db).RunCommand(r.t.Context(), command).Raw()
	if err != nil {
		r.t.Fatalf("%v: %v", command, err)
	}
	return reply
}

func (r *rig) insert(ns string, documents ...any) {
	r.t.Helper()
	db, name, _ := strings.Cut(ns, ".")
	for part := range slices.Chunk(documents, 10_000) {
		r.run(db, bson.D{{Key: "insert", Value: name}, {Key: "documents", Value: bson.A(part)}})
	}
}

// find gives a collection of the listing.
func (r *rig) find(ns string) pitr.Collection {
	r.t.Helper()
	listed, err := r.client.Listing(r.t.Context(), pitr.Scope{})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, c := range listed {
		if c.NS.String() == ns {
			return c
		}
	}
	r.t.Fatalf("%s is not listed", ns)
	return pitr.Collection{}
}

func (r *rig) now() pitr.Timestamp {
	r.t.Helper()
	majority, err := r.client.MajorityOpTime(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return majority.TS
}

func TestConnectLearnsTheSet(t *testing.T) {
	r := newRig(t)
	server := r.client.Server()
	if server.Ability != pitr.AbilityFull || server.Set != "rs0" || len(server.SetID) != 24 || len(server.Hosts) != 1 ||
		server.Member != server.Hosts[0] || server.Version == "" || server.FCV == "" || server.Authenticated || server.Clock.IsZero() {
		t.Errorf("learnt %+v", server)
	}
	again, err := r.client.Primary().Server(t.Context())
	if err != nil || again.SetID != server.SetID || again.Ability != server.Ability {
		t.Errorf("the primary says %+v, %v", again, err)
	}
	chosen := r.connect(cluster.Options{URI: r.uri, Member: server.Member})
	if chosen.Server().Member != server.Member {
		t.Errorf("reads go to %s", chosen.Server().Member)
	}
	_, err = cluster.Connect(t.Context(), cluster.Options{URI: r.uri, Member: "127.0.0.1:1", Timeout: 2 * time.Second})
	if pitr.KindOf(err) != pitr.KindUnavailable || pitr.HintOf(err) == "" {
		t.Errorf("an absent member: %v", err)
	}
}

func TestListing(t *testing.T) {
	r := newRig(t)
	r.run("a", bson.D{{Key: "create", Value: "c"}, {Key: "validator", Value: bson.D{{Key: "x", Value: bson.D{{Key: "$gte", Value: 1}}}}}})
	r.run("a", bson.D{{Key: "createIndexes", Value: "c"}, {Key: "indexes", Value: bson.A{bson.D{
		{Key: "key", Value: bson.D{{Key: "z", Value: 1}, {Key: "a", Value: -1.0}}}, {Key: "name", Value: "za"}, {Key: "unique", Value: true}}}}})
	r.run("a", bson.D{{Key: "create", Value: "v"}, {Key: "viewOn", Value: "c"}, {Key: "pipeline", Value: bson.A{}}})
	r.insert("b.with.dots", bson.D{{Key: "_id", Value: 1}})
	r.insert("b.x", bson.D{{Key: "_id", Value: 1}})
	listed, err := r.client.Listing(t.Context(), pitr.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range listed {
		names = append(names, fmt.Sprintf("%s %s %d", c.NS, c.Type, len(c.Indexes)))
		if c.UUID.IsZero() != (c.Type == pitr.TypeView) {
			t.Errorf("%s has UUID %s", c.NS, c.UUID)
		}
	}
	if want := []string{"a.c collection 2", "a.v view 0", "b.with.dots collection 1", "b.x collection 1"}; !slices.Equal(names, want) {
		t.Errorf("listed %q, not %q", names, want)
	}
	if key := listed[0].Index("za").Lookup("key").Document(); key.Index(1).Value().Type != bson.TypeDouble {
		t.Errorf("the key came as %s", key)
	}
	if _, ok := listed[0].Options.Lookup("validator", "x", "$gte").Int32OK(); !ok {
		t.Errorf("the options came as %s", listed[0].Options)
	}
	scope, _ := pitr.NewScope([]string{"b"}, []string{"b.x"})
	if listed, err = r.client.Listing(t.Context(), scope); err != nil || len(listed) != 1 || listed[0].NS.Collection != "with.dots" {
		t.Errorf("listed %v, %v", listed, err)
	}
	if amount, err := r.client.Estimate(t.Context(), listed[0].NS); err != nil || amount.Count != 1 || amount.Bytes == 0 {
		t.Errorf("estimated %+v, %v", amount, err)
	}
	if amount, err := r.client.Estimate(t.Context(), pitr.Namespace{DB: "no", Collection: "no"}); err != nil || amount.Count != 0 {
		t.Errorf("estimated %+v, %v", amount, err)
	}
}

// scanAll reads a range to its end; it gives the last token too.
func (r *rig) scanAll(rng pitr.Range) (documents []bson.Raw, last bson.Raw, err error) {
	for batch, err := range r.client.Scan(r.t.Context(), rng) {
		if err != nil {
			return documents, last, err
		}
		if rng.At != 0 && batch.At != 0 && batch.At != rng.At {
			r.t.Errorf("read at %s instead of %s", batch.At, rng.At)
		}
		for document, err := range batch.Documents() {
			if err != nil {
				r.t.Fatal(err)
			}
			documents = append(documents, document)
		}
		last = batch.Resume
	}
	return documents, last, nil
}

func TestScanAsOfAMomentAndOfTheMajority(t *testing.T) {
	r := newRig(t)
	var want []bson.Raw
	for i := range 30_000 {
		raw, _ := bson.Marshal(bson.D{{Key: "_id", Value: i * 7 % 30_000}, {Key: "pad", Value: strings.Repeat("x", 900)}})
		want = append(want, raw)
	}
	for part := range slices.Chunk(want, 10_000) {
		documents := bson.A{}
		for _, d := range part {
			documents = append(documents, d)
		}
		r.run("db", bson.D{{Key: "insert", Value: "c"}, {Key: "documents", Value: documents}})
	}
	c, at := r.find("db.c"), r.now()
	r.run("db", bson.D{{Key: "delete", Value: "c"}, {Key: "deletes", Value: bson.A{bson.D{{Key: "q", Value: bson.D{{Key: "_id", Value: 3}}}, {Key: "limit", Value: 1}}}}})
	batches := 0
	for range r.client.Scan(t.Context(), pitr.Range{Collection: c, At: at}) {
		batches++
	}
	if batches < 2 {
		t.Errorf("%d batches of 16 MB for 28 MB", batches)
	}
	got, _, err := r.scanAll(pitr.Range{Collection: c, At: at})
	if err != nil || !slices.EqualFunc(got, want, func(a, b bson.Raw) bool { return bytes.Equal(a, b) }) {
		t.Errorf("%d documents of %d at the moment, %v", len(got), len(want), err)
	}
	if got, _, err = r.scanAll(pitr.Range{Collection: c, After: r.now()}); err != nil || len(got) != len(want)-1 {
		t.Errorf("%d documents now, %v", len(got), err)
	}
	// Somebody who has enough after one batch leaves no cursor behind.
	for range r.client.Scan(t.Context(), pitr.Range{Collection: c}) {
		break
	}
	if open, ok := r.run("admin", bson.D{{Key: "serverStatus", Value: 1}}).Lookup("metrics", "cursor", "open", "total").AsInt64OK(); ok && open != 0 {
		t.Errorf("%d cursors are open", open)
	}
}

// TestScanConditions meets the ways in which a server ends a scan. // case D03
func TestScanConditions(t *testing.T) {
	r := newRig(t)
	for i := range 6 {
		var documents []any
		for j := range 10_000 {
			documents = append(documents, bson.D{{Key: "_id", Value: i*10_000 + j}, {Key: "pad", Value: strings.Repeat("y", 900)}})
		}
		r.insert("db.c", documents...)
	}
	c := r.find("db.c")
	_, _, err := r.scanAll(pitr.Range{Collection: c, At: pitr.NewTimestamp(1000, 1)})
	if !errors.Is(err, pitr.ErrMomentGone) {
		t.Errorf("a moment long ago: %v", err)
	}
	var token bson.Raw
	seen, renamed := 0, false
	for batch, err := range r.client.Scan(t.Context(), pitr.Range{Collection: c}) {
		if !renamed {
			r.run("admin", bson.D{{Key: "renameCollection", Value: "db.c"}, {Key: "to", Value: "db.d"}})
			renamed = true
		}
		if err != nil {
			if !errors.Is(err, pitr.ErrCursorGone) {
				t.Errorf("a rename: %v", err)
			}
			break
		}
		for range batch.Documents() {
			seen++
		}
		token = batch.Resume
	}
	rest, _, err := r.scanAll(pitr.Range{Collection: c, Resume: token})
	if err != nil || seen == 0 || seen+len(rest) != 60_000 {
		t.Errorf("%d documents before and %d after the rename, %v", seen, len(rest), err)
	}
	if id := pitr.KindOf(err); id != "" {
		t.Error(id)
	}
	last := int(rest[0].Lookup("_id").AsInt64()) - 1
	r.run("db", bson.D{{Key: "delete", Value: "d"}, {Key: "deletes", Value: bson.A{bson.D{{Key: "q", Value: bson.D{{Key: "_id", Value: last}}}, {Key: "limit", Value: 1}}}}})
	if _, _, err := r.scanAll(pitr.Range{Collection: c, Resume: token}); !errors.Is(err, pitr.ErrResumeGone) {
		t.Errorf("a token whose record is deleted: %v", err)
	}
	r.run("db", bson.D{{Key: "drop", Value: "d"}})
	if _, _, err := r.scanAll(pitr.Range{Collection: c}); !errors.Is(err, pitr.ErrCollectionGone) || pitr.KindOf(err) != pitr.KindNotFound {
		t.Errorf("a dropped collection: %v", err)
	}
}

func TestLookup(t *testing.T) {
	r := newRig(t)
	var documents []any
	for i := range 3000 {
		documents = append(documents, bson.D{{Key: "_id", Value: i}})
	}
	documents = append(documents, bson.D{{Key: "_id", Value: bson.D{{Key: "b", Value: 1}, {Key: "a", Value: 1}}}}, bson.D{{Key: "_id", Value: "text"}})
	r.insert("db.c", documents...)
	var keys []pitr.Key
	for _, id := range []any{1.0, int64(2999), 5000, "text", "Text", bson.D{{Key: "b", Value: 1.0}, {Key: "a", Value: 1}},
		bson.D{{Key: "a", Value: 1}, {Key: "b", Value: 1}}, bson.Null{}} {
		kind, value, _ := bson.MarshalValue(id)
		key, err := pitr.NewKey(bson.RawValue{Type: kind, Value: value})
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	var found []string
	for document, err := range r.client.Lookup(t.Context(), pitr.Range{Collection: r.find("db.c"), After: r.now()}, keys) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, document.Lookup("_id").String())
	}
	slices.Sort(found)
	want := []string{`"text"`, `{"$numberInt":"1"}`, `{"$numberInt":"2999"}`, `{"b": {"$numberInt":"1"},"a": {"$numberInt":"1"}}`}
	if !slices.Equal(found, want) {
		t.Errorf("found %q", found)
	}
}

func TestOplogFollows(t *testing.T) {
	r := newRig(t)
	r.insert("db.c", bson.D{{Key: "_id", Value: 0}})
	start := r.now()
	oldest, newest, err := r.client.OplogBounds(t.Context())
	if err != nil || oldest.TS == 0 || oldest.TS >= newest.TS || newest.TS < start {
		t.Fatalf("from %s to %s, %v", oldest, newest, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var ids []string
	empty := 0
	for batch, err := range r.client.Oplog(ctx, start) {
		if err != nil {
			if pitr.KindOf(err) != pitr.KindInterrupted {
				t.Errorf("it ended with %v", err)
			}
			break
		}
		if batch.Bytes() <= 5 {
			empty++
		}
		for entry := range batch.Documents() {
			if entry.Lookup("ns").StringValue() == "db.c" {
				ids = append(ids, entry.Lookup("o", "_id").String())
			}
		}
		if len(ids) == 1 && empty == 1 {
			r.insert("db.c", bson.D{{Key: "_id", Value: 1}})
		}
		if len(ids) == 2 {
			cancel()
		}
	}
	cancel()
	if len(ids) != 2 || empty == 0 {
		t.Errorf("%d entries, %d empty batches", len(ids), empty)
	}
	at, err := r.client.Note(t.Context(), mustRaw(bson.D{{Key: "pitr", Value: "mark"}}))
	if err != nil || at <= start {
		t.Errorf("a note at %s, %v", at, err)
	}
	if majority := r.now(); majority < at {
		t.Errorf("the majority point %s is behind %s", majority, at)
	}
}

func mustRaw(document any) bson.Raw {
	raw, err := bson.Marshal(document)
	if err != nil {
		panic(err)
	}
	return raw
}

func TestOldestOpenTransaction(t *testing.T) {
	r := newRig(t)
	r.insert("db.c", bson.D{{Key: "_id", Value: 0}})
	if open, err := r.client.OldestOpenTransaction(t.Context(), r.now()); err != nil || !open.IsZero() {
		t.Errorf("nothing is open and %s was found, %v", open, err)
	}
}
