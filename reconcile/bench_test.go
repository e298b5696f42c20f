package reconcile_test

import (
	"context"
	"fmt"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/internal/modelcluster"
	"pitr/reconcile"
)

// byHash answers who holds a value from a table, so that a benchmark measures the plan and not a model.
type byHash struct {
	*modelcluster.Cluster
	held map[string]bson.Raw
}

func (b byHash) Holders(_ context.Context, _ pitr.Namespace, _ bson.Raw, values []bson.Raw) ([]bson.Raw, error) {
	var found []bson.Raw
	for _, value := range values {
		if document := b.held[string(value)]; document != nil {
			found = append(found, document)
		}
	}
	return found, nil
}

// BenchmarkPlan plans 100,000 records of a unique index: half of them lost, a tenth of those enrolled anew, a tenth doubled.
func BenchmarkPlan(b *testing.B) {
	const records = 100_000
	w := newWorld(b)
	held := map[string]bson.Raw{}
	var live []bson.Raw
	var changes []pitr.Change
	filler := string(make([]byte, 300))
	device := func(id string, n int, status string) bson.Raw {
		return doc("_id", id, "tenant", n%7, "sha", fmt.Sprintf("%064d", n), "status", status, "text", filler)
	}
	for n := range records {
		id := fmt.Sprintf("device-%08d", n)
		switch n % 20 {
		case 0, 2, 4, 6, 8, 10, 12, 14:
			changes = append(changes, change(things, device(id, n, "pending"), nil))
		case 16:
			other := device("anew-"+id, n, "pending")
			held[string(doc("tenant", n%7, "sha", fmt.Sprintf("%064d", n)))] = other
			changes = append(changes, change(things, device(id, n, "pending"), nil))
		case 18:
			changes = append(changes, change(things, device(id, n-4, "pending"), nil))
		default:
			before := device(id, n, "accepted")
			live = append(live, before)
			changes = append(changes, change(things, device(id, n, "rejected"), before))
		}
	}
	w.cluster.Put(collection(things, index("identity", bson.D{{Key: "tenant", Value: 1}, {Key: "sha", Value: 1}})), live...)
	w.live = byHash{Cluster: w.cluster, held: held}
	id := w.lose(changes...)
	b.ReportAllocs()
	for b.Loop() {
		plan, err := reconcile.Make(context.Background(), w.deps(), id)
		w.must(err)
		suggested := 0
		for record, err := range plan.Records() {
			w.must(err)
			if record.Suggested == reconcile.DecisionPutBack {
				suggested++
			}
		}
		if plan.Len() != records || suggested == 0 {
			b.Fatalf("%d records, %d suggested", plan.Len(), suggested)
		}
		w.must(plan.Close())
	}
	b.ReportMetric(float64(records)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
