package reconcile_test

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/guard"
	"pitr/history"
	"pitr/internal/modelcluster"
	"pitr/reconcile"
	"pitr/restore"
	"pitr/storage"
)

// things is the collection of most tests.
var things = pitr.Namespace{DB: "shop", Collection: "things"}

// world is a cluster with a repository and a lost set in it.
type world struct {
	t          testing.TB
	cluster    *modelcluster.Cluster
	live       reconcile.Live
	store      *storage.Memory
	repository *catalog.Repository
	branch     format.ID
	archived   pitr.Timestamp
	last       format.Short
	clock      time.Time
	// foreseen is how many records the last proposal left out.
	foreseen int
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, cluster: modelcluster.New(), store: storage.NewMemory(), clock: time.Unix(1_700_000_000, 0)}
	w.live = w.cluster
	var err error
	w.repository, err = catalog.Create(context.Background(), w.store, catalog.CreateOptions{ClusterName: "devices-eu"})
	w.must(err)
	w.branch, err = w.repository.NewID()
	w.must(err)
	server, _ := w.cluster.Server(context.Background())
	w.must(w.repository.PutBranch(context.Background(), format.Branch{ID: w.branch, Set: server.Set, SetID: server.SetID, Hosts: server.Hosts, Created: w.clock}))
	w.archived = w.cluster.Now() - 1
	w.through()
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// Through archives everything that is there.
func (w *world) Through(ctx context.Context, _ pitr.Timestamp) (pitr.OpTime, error) {
	newest := w.cluster.Now()
	if newest > w.archived {
		digest := format.Sum([]byte(newest.String()))
		name, err := format.SegmentName(w.branch, pitr.Window{After: w.archived, Through: newest}, w.last, digest.Short())
		if err != nil {
			return pitr.OpTime{}, err
		}
		if err := w.repository.Put(ctx, name, []byte("segment")); err != nil {
			return pitr.OpTime{}, err
		}
		w.archived, w.last = newest, digest.Short()
	}
	return pitr.OpTime{TS: w.archived, Term: 1}, nil
}

func (w *world) through() {
	_, err := w.Through(context.Background(), 0)
	w.must(err)
}

func (w *world) deps() reconcile.Deps {
	return reconcile.Deps{Live: w.live, Deps: restore.Deps{Repository: w.repository, Target: w.cluster, Past: noPast{}, Archive: w,
		WorkFolder: w.t.TempDir(), Operator: "ada@console", Host: "console", Workers: 1, Limits: guard.Limits{Writes: 7},
		Now: func() time.Time { return w.clock }, Quiet: time.Second,
		Sleep: func(ctx context.Context, _ time.Duration) error { w.cluster.NoOp(); return ctx.Err() }}}
}

// lose publishes a lost set, as a restore that is done leaves it.
func (w *world) lose(changes ...pitr.Change) format.ID {
	w.t.Helper()
	ctx := context.Background()
	id, err := w.repository.NewID()
	w.must(err)
	spool, err := restore.NewSpool(w.t.TempDir())
	w.must(err)
	defer func() { _ = spool.Close() }()
	slices.SortStableFunc(changes, func(a, b pitr.Change) int { return a.NS.Compare(b.NS) })
	for _, change := range changes {
		w.must(spool.Append(change))
	}
	w.must(spool.Flush())
	w.cluster.NoOp()
	w.through()
	w.put(&format.Intent{ID: id, Kind: format.JobRewind, Created: w.clock, Branch: w.branch, Cluster: format.Cluster{Name: "devices-eu"}})
	_, err = restore.Publish(ctx, w.repository, format.Changes{Job: id, Created: w.clock, Gap: pitr.Window{After: w.archived - 1, Through: w.archived}},
		restore.Content{Changes: spool})
	w.must(err)
	w.put(&format.Result{Job: id, Attempt: 1, Started: w.clock, Finished: w.clock, Outcome: "done", Verified: true,
		First: pitr.OpTime{TS: w.archived, Term: 1}, Last: pitr.OpTime{TS: w.archived, Term: 1}})
	return id
}

func (w *world) put(object format.Object) {
	w.t.Helper()
	_, err := w.repository.PutObject(context.Background(), object)
	w.must(err)
}

// plan gives the records of a plan.
func (w *world) plan(id format.ID) ([]reconcile.Record, *reconcile.Plan) {
	w.t.Helper()
	plan, err := reconcile.Make(context.Background(), w.deps(), id)
	w.must(err)
	w.t.Cleanup(func() { _ = plan.Close() })
	var records []reconcile.Record
	for record, err := range plan.Records() {
		w.must(err)
		records = append(records, record)
	}
	return records, plan
}

// apply does what a person does: propose, confirm, apply.
func (w *world) apply(id format.ID, decisions reconcile.Decisions) (reconcile.Outcome, error) {
	w.t.Helper()
	proposal, err := reconcile.Propose(context.Background(), w.deps(), id, decisions)
	if err != nil {
		return reconcile.Outcome{}, err
	}
	defer func() { _ = proposal.Close() }()
	w.foreseen = len(proposal.LeftOut)
	confirmed, err := proposal.Intent.Confirm("devices-eu")
	w.must(err)
	return reconcile.Apply(context.Background(), w.deps(), proposal, confirmed, decisions)
}

func (w *world) undo(id format.ID) (restore.Outcome, error) {
	w.t.Helper()
	intent, err := restore.PlanUndo(context.Background(), w.deps().Deps, id)
	w.must(err)
	confirmed, err := intent.Confirm("devices-eu")
	w.must(err)
	return restore.Run(context.Background(), w.deps().Deps, intent, confirmed)
}

// content gives a copy of what is live.
func (w *world) content() map[string]bson.Raw {
	all := map[string]bson.Raw{}
	for _, ns := range w.cluster.Namespaces() {
		for key, document := range w.cluster.Documents(ns) {
			all[ns.String()+" "+key] = bytes.Clone(document)
		}
	}
	return all
}

func difference(a, b map[string]bson.Raw) string {
	var list []string
	for key, document := range a {
		if !bytes.Equal(document, b[key]) {
			list = append(list, key+": "+document.String()+" against "+b[key].String())
		}
	}
	for key, document := range b {
		if a[key] == nil {
			list = append(list, key+": nothing against "+document.String())
		}
	}
	slices.Sort(list)
	return strings.Join(list, "\n")
}

// noPast answers nothing: an undo of a reconcile asks it nothing while writes are blocked.
type noPast struct{}

var errNoPast = errors.New("nothing is asked about the past")

func (noPast) Price(context.Context, pitr.Window, pitr.Scope) (history.Price, error) {
	return history.Price{}, errNoPast
}
func (noPast) Gap(context.Context, pitr.Window, pitr.Scope) (restore.Gap, error) {
	return restore.Gap{}, errNoPast
}
func (noPast) Catalog(context.Context, pitr.Timestamp, pitr.Scope) ([]pitr.Collection, error) {
	return nil, errNoPast
}
func (noPast) Documents(context.Context, pitr.Timestamp, pitr.Collection) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) { yield(nil, errNoPast) }
}
func (noPast) Find(context.Context, pitr.Timestamp, restore.Name) (bson.Raw, error) {
	return nil, errNoPast
}

func doc(fields ...any) bson.Raw {
	document := bson.D{}
	for i := 0; i+1 < len(fields); i += 2 {
		document = append(document, bson.E{Key: fields[i].(string), Value: fields[i+1]})
	}
	content, err := bson.Marshal(document)
	if err != nil {
		panic(err)
	}
	return content
}

// index makes the spec of a unique index.
func index(name string, key bson.D, more ...bson.E) bson.Raw {
	spec := append(bson.D{{Key: "v", Value: int32(2)}, {Key: "key", Value: key}, {Key: "name", Value: name}, {Key: "unique", Value: true}}, more...)
	content, err := bson.Marshal(spec)
	if err != nil {
		panic(err)
	}
	return content
}

// change makes a record of a lost set.
func change(ns pitr.Namespace, e, t bson.Raw) pitr.Change {
	either := e
	if either == nil {
		either = t
	}
	key, err := pitr.KeyOf(either)
	if err != nil {
		panic(err)
	}
	return pitr.Change{NS: ns, UUID: pitr.UUID{1}, Key: key, Class: pitr.Classify(e, t), E: e, T: t, Ops: 1}
}

// collection makes a collection with unique indexes.
func collection(ns pitr.Namespace, indexes ...bson.Raw) pitr.Collection {
	id := doc("v", int32(2), "key", bson.D{{Key: "_id", Value: int32(1)}}, "name", "_id_")
	return pitr.Collection{NS: ns, UUID: pitr.UUID{1}, Type: pitr.TypeCollection, Indexes: append([]bson.Raw{id}, indexes...)}
}
