package guard_test

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/guard"
	"pitr/internal/modelcluster"
)

// trade is a task in which each document takes the sku of the next one, in a ring.
func trade(t require, ring int32) guard.Task {
	t.Helper()
	sku := func(id, value int32) bson.Raw {
		return raw(t, bson.D{{Key: "_id", Value: id}, {Key: "sku", Value: value}})
	}
	collection := pitr.Collection{NS: items, UUID: pitr.UUID{7}, Type: pitr.TypeCollection, Options: raw(t, bson.D{}),
		Indexes: []bson.Raw{index(t, "_id_", up("_id")), index(t, "sku", up("sku"), unique())}}
	var changes guard.InMemory
	for id := range ring {
		change := pitr.Change{NS: items, Class: pitr.ClassChanged, E: sku(id, id), T: sku(id, (id+1)%ring)}
		var err error
		if change.Key, err = pitr.KeyOf(change.E); err != nil {
			t.Fatalf("key: %v", err)
		}
		changes = append(changes, change)
	}
	return guard.Task{Changes: changes, E: []pitr.Collection{collection}, T: []pitr.Collection{collection}}
}

// Documents that swap their values, or pass them round, share one transaction as long as they fit; a ring that does not
// needs the write block. // case D09
func TestTradesShareATransaction(t *testing.T) {
	for _, test := range []struct {
		ring, limit int32
		blocked     bool
		batches     []int
		refused     bool
	}{
		{ring: 2, batches: []int{2}},
		{ring: 3, limit: 3, batches: []int{3}},
		{ring: 500, batches: []int{500}},
		{ring: 501, refused: true},
		{ring: 501, blocked: true, batches: []int{500, 1, 500, 1}},
	} {
		task := trade(t, test.ring)
		task.Blocked = test.blocked
		task.Limits.Writes = int(test.limit)
		plan, err := guard.PlanTo(task)
		if test.refused {
			if pitr.KindOf(err) != pitr.KindRefused || pitr.HintOf(err) == "" {
				t.Errorf("a ring of %d: %v", test.ring, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var batches []int
		for _, phase := range plan.Phases {
			for _, batch := range phase.Batches {
				batches = append(batches, len(batch))
			}
		}
		if len(batches) != len(test.batches) {
			t.Fatalf("a ring of %d: batches of %v, want %v", test.ring, batches, test.batches)
		}
		cluster := modelcluster.New()
		var documents []bson.Raw
		want := side{catalog: task.T, documents: map[pitr.Namespace]map[string]bson.Raw{items: {}}}
		for i := range task.Changes.Len() {
			change, _ := task.Changes.At(i)
			documents = append(documents, change.E)
			want.documents[items][change.Key.Equal()] = change.T
		}
		cluster.Put(task.E[0], documents...)
		run := guard.Execution{Target: cluster, Lookout: watch(cluster, plan), Plan: plan, Changes: task.Changes}
		if err := run.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		checkEquals(t, cluster, want)
	}
}

// A document with more combinations of values than can be told apart makes its index opaque, from the first document on.
func TestTooManyCombinationsAreOneGroup(t *testing.T) {
	task := trade(t, 3)
	wide := make(bson.A, 100_001)
	for i := range wide {
		wide[i] = int32(1000 + i)
	}
	document := raw(t, bson.D{{Key: "_id", Value: int32(50)}, {Key: "sku", Value: wide}})
	key, err := pitr.KeyOf(document)
	if err != nil {
		t.Fatal(err)
	}
	task.Changes = append(task.Changes.(guard.InMemory), pitr.Change{NS: items, Class: pitr.ClassDeleted, T: document, Key: key})
	task.Limits.Bytes = 16 << 20
	plan, err := guard.PlanTo(task)
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Phases) != 1 || len(plan.Phases[0].Batches) != 1 || len(plan.Phases[0].Batches[0]) != 4 {
		t.Errorf("phases %+v", plan.Phases)
	}
}

// What a server would change on its way in is refused before anything is written.
func TestUnwritableDocumentsAreRefused(t *testing.T) {
	for name, document := range map[string]bson.D{
		"empty timestamp": {{Key: "_id", Value: int32(0)}, {Key: "at", Value: bson.Timestamp{}}},
		"late _id":        {{Key: "sku", Value: int32(0)}, {Key: "_id", Value: int32(0)}},
	} {
		task := trade(t, 2)
		changes := task.Changes.(guard.InMemory)
		changes[0].T = raw(t, document)
		if _, err := guard.PlanTo(task); pitr.KindOf(err) != pitr.KindUnsupported {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func BenchmarkPlan(b *testing.B) {
	task := trade(b, 200_000)
	task.Blocked = true
	b.ReportAllocs()
	for b.Loop() {
		if _, err := guard.PlanTo(task); err != nil {
			b.Fatal(err)
		}
	}
}
