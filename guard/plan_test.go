package guard_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"pitr"
	"pitr/guard"
	"pitr/internal/modelcluster"
)

func raw(t require, document any) bson.Raw {
	content, err := bson.Marshal(document)
	if err != nil {
		t.Fatalf("marshal: %v", err)
	}
	return content
}

type require interface {
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Helper()
}

// watch begins to watch a cluster now.
func watch(cluster *modelcluster.Cluster, plan guard.Plan) *guard.Watch {
	return guard.NewWatch(cluster, plan.Ledger(), guard.WatchOptions{From: pitr.OpTime{TS: cluster.Now(), Term: 1}})
}

// index makes a spec; extra fields follow.
func index(t require, name string, key bson.D, extra ...bson.E) bson.Raw {
	return raw(t, append(bson.D{{Key: "v", Value: int32(2)}, {Key: "key", Value: key}, {Key: "name", Value: name}}, extra...))
}

func unique() bson.E { return bson.E{Key: "unique", Value: true} }

func up(fields ...string) bson.D {
	var key bson.D
	for _, field := range fields {
		key = append(key, bson.E{Key: field, Value: int32(1)})
	}
	return key
}

// indexPool has every kind of index that a unique check can depend on; entries with one name exclude each other.
func indexPool(t require) []bson.Raw {
	partial := func(filter bson.D) bson.E { return bson.E{Key: "partialFilterExpression", Value: filter} }
	fold := bson.E{Key: "collation", Value: bson.D{{Key: "locale", Value: "en"}, {Key: "strength", Value: int32(2)}}}
	return []bson.Raw{
		index(t, "u", up("u"), unique()),
		index(t, "u", up("u")),
		index(t, "u", up("u"), bson.E{Key: "prepareUnique", Value: true}),
		index(t, "us", up("u"), unique(), bson.E{Key: "sparse", Value: true}),
		index(t, "up", up("u"), unique(), partial(bson.D{{Key: "p", Value: bson.D{{Key: "$exists", Value: true}}}})),
		index(t, "up", up("u"), unique(), partial(bson.D{{Key: "p", Value: int32(1)}})),
		index(t, "up", up("u"), unique(), partial(bson.D{{Key: "p", Value: bson.D{{Key: "$gt", Value: int32(0)}}}})),
		index(t, "a", up("a"), unique()),
		index(t, "ua", up("u", "a"), unique()),
		index(t, "ux", up("u", "n.x"), unique()),
		index(t, "l", up("l.x", "l.y"), unique()),
		index(t, "s", up("s"), unique(), fold),
		index(t, "s", up("s"), unique()),
		index(t, "ttl", up("d"), bson.E{Key: "expireAfterSeconds", Value: int32(60)}),
		index(t, "ttl", up("d"), bson.E{Key: "expireAfterSeconds", Value: int32(90)}),
		index(t, "h", up("u", "s"), unique(), bson.E{Key: "hidden", Value: true}),
		index(t, "h", up("u", "s"), unique()),
	}
}

func drawIndexes(t *rapid.T, label string) []bson.Raw {
	specs := []bson.Raw{index(t, "_id_", up("_id"))}
	for i, spec := range indexPool(t) {
		named := func(other bson.Raw) bool { return pitr.IndexName(other) == pitr.IndexName(spec) }
		if rapid.IntRange(0, 4).Draw(t, fmt.Sprint(label, i)) == 0 && !slices.ContainsFunc(specs, named) {
			specs = append(specs, spec)
		}
	}
	return specs
}

func drawScalar(t *rapid.T, label string) any {
	return rapid.SampledFrom([]any{int32(1), int64(1), 1.0, int32(2), 2.5, "x", "X", "y", nil, int32(3), int64(4)}).Draw(t, label)
}

func drawElement(t *rapid.T) any {
	if rapid.IntRange(0, 3).Draw(t, "nested") == 0 {
		return bson.A{rapid.SampledFrom([]any{int32(1), int32(2)}).Draw(t, "inner")}
	}
	return drawScalar(t, "element")
}

// drawDocument draws from few values, so that documents often want the same place in an index.
func drawDocument(t *rapid.T, label string) bson.D {
	document := bson.D{}
	for _, field := range []string{"u", "s", "p", "a", "n", "l", "d"} {
		if rapid.IntRange(0, 2).Draw(t, label+field+"?") == 0 {
			continue
		}
		value := drawScalar(t, label+field)
		switch field {
		case "a":
			if rapid.Bool().Draw(t, label+"array") {
				value = bson.A(rapid.SliceOfN(rapid.Custom(drawElement), 0, 2).Draw(t, label+"elements"))
			}
		case "n":
			value = bson.D{{Key: "x", Value: value}}
		case "l":
			value = bson.A{bson.D{{Key: "x", Value: value}, {Key: "y", Value: int32(1)}}, bson.D{{Key: "x", Value: drawScalar(t, label+"l2")}}}
		}
		document = append(document, bson.E{Key: field, Value: value})
	}
	return document
}

// side is a database at one moment.
type side struct {
	catalog   []pitr.Collection
	documents map[pitr.Namespace]map[string]bson.Raw
}

// fill puts documents into a collection, as far as its unique indexes let them in.
func (s *side) fill(t *rapid.T, collection pitr.Collection, candidates []bson.Raw) {
	cluster := modelcluster.New()
	cluster.Put(collection)
	for _, document := range candidates {
		key, err := pitr.KeyOf(document)
		if err != nil {
			t.Fatalf("key: %v", err)
		}
		_ = cluster.UserWrite(collection.NS, key, document) // a duplicate stays out
	}
	s.catalog = append(s.catalog, collection)
	s.documents[collection.NS] = cluster.Documents(collection.NS)
}

func (s *side) addView(ns pitr.Namespace, on string, t require) {
	s.catalog = append(s.catalog, pitr.Collection{NS: ns, Type: pitr.TypeView, Options: raw(t, bson.D{{Key: "viewOn", Value: on}, {Key: "pipeline", Value: bson.A{}}})})
}

// drawWorld draws a database at T and the same at E.
func drawWorld(t *rapid.T) (e, at side) {
	e.documents, at.documents = map[pitr.Namespace]map[string]bson.Raw{}, map[pitr.Namespace]map[string]bson.Raw{}
	for i, name := range []string{"one", "two"} {
		ns := pitr.Namespace{DB: "d", Collection: name}
		story := rapid.SampledFrom([]string{"same", "same", "same", "created", "dropped", "re-created", "replaced", "renamed", "view", "viewed"}).Draw(t, name)
		options := raw(t, bson.D{})
		if rapid.Bool().Draw(t, name+"validated") {
			options = raw(t, bson.D{{Key: "validator", Value: bson.D{{Key: "z", Value: int32(1)}}}})
		}
		collectionT := pitr.Collection{NS: ns, UUID: pitr.UUID{1, byte(i)}, Type: pitr.TypeCollection, Options: options, Indexes: drawIndexes(t, name+"T")}
		collectionE := collectionT
		if rapid.Bool().Draw(t, name+"indexes") {
			collectionE.Indexes = drawIndexes(t, name+"E")
		}
		if rapid.Bool().Draw(t, name+"options") {
			collectionE.Options = raw(t, bson.D{{Key: "validationLevel", Value: "moderate"}})
		}
		switch story {
		case "re-created":
			collectionE.UUID = pitr.UUID{2, byte(i)}
		case "replaced":
			collectionE.UUID = pitr.UUID{2, byte(i)}
			collectionE.Options = raw(t, bson.D{{Key: "clusteredIndex", Value: true}})
		case "renamed":
			collectionE.NS.Collection = "renamed-" + name
		}
		documentsT, documentsE := drawDocuments(t, name)
		if story != "created" && story != "view" {
			at.fill(t, collectionT, documentsT)
		}
		if story != "dropped" && story != "viewed" {
			e.fill(t, collectionE, documentsE)
		}
		if story == "view" {
			at.addView(ns, "one", t)
		}
		if story == "viewed" {
			e.addView(ns, "one", t)
		}
	}
	return e, at
}

// drawDocuments draws candidates for both moments; half of those of E are those of T.
func drawDocuments(t *rapid.T, label string) (documentsT, documentsE []bson.Raw) {
	for i := range rapid.IntRange(0, 8).Draw(t, label+"count") {
		name := fmt.Sprint(label, i)
		var id any = int32(i)
		document := raw(t, append(bson.D{{Key: "_id", Value: id}}, drawDocument(t, name+"t")...))
		documentsT = append(documentsT, document)
		switch rapid.IntRange(0, 4).Draw(t, name+"fate") {
		case 0:
		case 1, 2:
			if rapid.IntRange(0, 5).Draw(t, name+"retyped") == 0 {
				id = float64(i) // the same identity in other bytes
			}
			documentsE = append(documentsE, raw(t, append(bson.D{{Key: "_id", Value: id}}, drawDocument(t, name+"e")...)))
		default:
			documentsE = append(documentsE, document)
		}
	}
	for i := range rapid.IntRange(0, 4).Draw(t, label+"new") {
		document := append(bson.D{{Key: "_id", Value: int32(100 + i)}}, drawDocument(t, fmt.Sprint(label, "new", i))...)
		documentsE = append(documentsE, raw(t, document))
	}
	return documentsT, rapid.Permutation(documentsE).Draw(t, label+"order")
}

// liveName gives the name that a namespace of T has at E.
func liveName(e side, at pitr.Collection) pitr.Namespace {
	for _, collection := range e.catalog {
		if collection.UUID == at.UUID && !at.UUID.IsZero() {
			return collection.NS
		}
	}
	return at.NS
}

// changesOf compares the two sides document by document, the way a change set does: under the name at T.
func changesOf(t *rapid.T, e, at side) guard.InMemory {
	var changes guard.InMemory
	names := map[pitr.Namespace]pitr.Namespace{}
	for _, collection := range e.catalog {
		names[collection.NS] = collection.NS
	}
	for _, collection := range at.catalog {
		live := liveName(e, collection)
		delete(names, live)
		names[collection.NS] = live
	}
	for ns, live := range names {
		keys := map[string]bool{}
		for key := range e.documents[live] {
			keys[key] = true
		}
		for key := range at.documents[ns] {
			keys[key] = true
		}
		for key := range keys {
			change := pitr.Change{NS: ns, E: e.documents[live][key], T: at.documents[ns][key]}
			change.Class = pitr.Classify(change.E, change.T)
			document := change.E
			if document == nil {
				document = change.T
			}
			var err error
			if change.Key, err = pitr.KeyOf(document); err != nil {
				t.Fatalf("key: %v", err)
			}
			changes = append(changes, change)
		}
	}
	slices.SortFunc(changes, func(a, b pitr.Change) int {
		if c := a.NS.Compare(b.NS); c != 0 {
			return c
		}
		return bytes.Compare([]byte(a.Key.Equal()), []byte(b.Key.Equal()))
	})
	return changes
}

func clusterOf(s side) *modelcluster.Cluster {
	cluster := modelcluster.New()
	for _, collection := range s.catalog {
		var documents []bson.Raw
		for _, document := range s.documents[collection.NS] {
			documents = append(documents, document)
		}
		cluster.Put(collection, documents...)
	}
	return cluster
}

// checkEquals compares a cluster with a side, byte for byte; indexes by name and spec, options by meaning.
func checkEquals(t require, cluster *modelcluster.Cluster, want side) {
	t.Helper()
	live, _ := cluster.Catalog(context.Background(), pitr.Scope{})
	if len(live) != len(want.catalog) {
		t.Fatalf("%d collections, want %d", len(live), len(want.catalog))
	}
	plan, err := guard.PlanTo(guard.Task{Changes: guard.InMemory{}, E: live, T: want.catalog})
	if err != nil || len(plan.Phases) != 0 {
		t.Fatalf("the catalog is not that of T: %v %v", plan.Phases, err)
	}
	for _, collection := range want.catalog {
		have := cluster.Documents(collection.NS)
		if len(have) != len(want.documents[collection.NS]) {
			t.Fatalf("%s has %d documents, want %d", collection.NS, len(have), len(want.documents[collection.NS]))
		}
		for key, document := range want.documents[collection.NS] {
			if !bytes.Equal(have[key], document) {
				t.Fatalf("%s: %s, want %s", collection.NS, have[key], document)
			}
		}
	}
}

// Executing a plan on a server that checks unique indexes at every write ends in exactly T, whatever trades places with
// whatever. // case D09
func TestPlanNeverMeetsADuplicate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e, at := drawWorld(t)
		task := guard.Task{Changes: changesOf(t, e, at), E: e.catalog, T: at.catalog, Blocked: rapid.Bool().Draw(t, "blocked")}
		task.Limits.Writes = rapid.SampledFrom([]int{0, 0, 1, 2, 3}).Draw(t, "limit")
		plan, err := guard.PlanTo(task)
		if !task.Blocked && pitr.KindOf(err) == pitr.KindRefused {
			return
		}
		if err != nil {
			t.Fatalf("plan: %v", err)
		}
		cluster := clusterOf(e)
		interrupted := rapid.IntRange(-1, 12).Draw(t, "interrupted")
		cluster.BeforeWrite = func(string) error {
			if interrupted--; interrupted == 0 {
				return context.DeadlineExceeded
			}
			return nil
		}
		var done guard.PhaseName
		run := guard.Execution{Target: cluster, Lookout: watch(cluster, plan), Plan: plan, Changes: task.Changes, Workers: 1,
			Record: func(_ context.Context, phase guard.PhaseName) error { done = phase; return nil }}
		if err := run.Run(t.Context()); err != nil && interrupted != 0 {
			t.Fatalf("run: %v\n%v", err, cluster.Log())
		} else if err != nil {
			run.Done = done
			if err := run.Run(t.Context()); err != nil {
				t.Fatalf("resume: %v\n%v", err, cluster.Log())
			}
		}
		checkEquals(t, cluster, at)
		if err := run.Lookout.Check(t.Context()); err != nil {
			t.Fatalf("the job took itself for a stranger: %v", err)
		}
	})
}
