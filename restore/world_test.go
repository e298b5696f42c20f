package restore_test

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/guard"
	"pitr/history"
	"pitr/internal/modelcluster"
	"pitr/restore"
	"pitr/storage"
)

// errDead is what everything answers once the process of a test has been killed.
var errDead = errors.New("killed")

// life counts what a process does to the outside world, and ends before a chosen deed: from then on nothing works, as
// after a kill.
type life struct {
	deeds, deadline atomic.Int64
	dead            atomic.Bool
}

func (l *life) do() error {
	if n := l.deeds.Add(1); l.deadline.Load() > 0 && n >= l.deadline.Load() {
		l.dead.Store(true)
	}
	if l.dead.Load() {
		return errDead
	}
	return nil
}

// mortalStore is a store as a process sees it.
type mortalStore struct {
	storage.Store
	life *life
}

func (s mortalStore) Create(ctx context.Context, name string, data []byte) error {
	counted := !strings.HasPrefix(name, "leases/") // renewals come at their own times
	if counted && s.life.do() != nil || s.life.dead.Load() {
		return errDead
	}
	return s.Store.Create(ctx, name, data)
}

// mortalTarget is a cluster as a process sees it.
type mortalTarget struct {
	guard.Target
	life *life
}

func (t mortalTarget) Transact(ctx context.Context, writes []pitr.DocumentWrite) (pitr.Timestamp, error) {
	if err := t.life.do(); err != nil {
		return 0, err
	}
	return t.Target.Transact(ctx, writes)
}

func (t mortalTarget) Apply(ctx context.Context, step pitr.CatalogWrite) (pitr.Timestamp, error) {
	if err := t.life.do(); err != nil {
		return 0, err
	}
	return t.Target.Apply(ctx, step)
}

func (t mortalTarget) BlockWrites(ctx context.Context) error {
	if err := t.life.do(); err != nil {
		return err
	}
	return t.Target.BlockWrites(ctx)
}

func (t mortalTarget) UnblockWrites(ctx context.Context) error {
	if err := t.life.do(); err != nil {
		return err
	}
	return t.Target.UnblockWrites(ctx)
}

// state is the whole content of a cluster at a moment.
type state struct {
	catalog   []pitr.Collection
	documents map[pitr.Namespace]map[string]bson.Raw
}

func capture(cluster *modelcluster.Cluster) state {
	s := state{documents: map[pitr.Namespace]map[string]bson.Raw{}}
	s.catalog, _ = cluster.Catalog(context.Background(), pitr.Scope{})
	for _, collection := range s.catalog {
		s.documents[collection.NS] = cluster.Documents(collection.NS)
	}
	return s
}

// world is a cluster with its repository and everything around a job.
type world struct {
	t          testing.TB
	cluster    *modelcluster.Cluster
	store      *storage.Memory
	repository *catalog.Repository
	branch     format.ID
	archived   pitr.Timestamp
	last       format.Short
	moments    map[pitr.Timestamp]state
	clock      time.Time
	// corrupt is called with each folded change before it is given out.
	corrupt func(*pitr.Change)
}

func newWorld(t testing.TB, cluster *modelcluster.Cluster) *world {
	t.Helper()
	w := &world{t: t, cluster: cluster, store: storage.NewMemory(), moments: map[pitr.Timestamp]state{}, clock: time.Unix(1_700_000_000, 0)}
	var err error
	w.repository, err = catalog.Create(t.Context(), w.store, catalog.CreateOptions{ClusterName: "devices-eu"})
	w.must(err)
	w.branch, err = w.repository.NewID()
	w.must(err)
	server, _ := cluster.Server(t.Context())
	w.must(w.repository.PutBranch(t.Context(), format.Branch{ID: w.branch, Set: server.Set, SetID: server.SetID, Hosts: server.Hosts, Created: w.clock}))
	w.archived = cluster.Now() - 1
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// snapshot publishes an empty manifest of everything at the present moment.
func (w *world) snapshot() {
	w.t.Helper()
	_, err := w.Through(w.t.Context(), w.cluster.Now())
	w.must(err)
	id, err := w.repository.NewID()
	w.must(err)
	_, err = w.repository.PutObject(w.t.Context(), &format.Manifest{ID: id, Branch: w.branch, Created: w.clock, Finished: w.clock,
		Reason: format.ReasonManual, From: w.archived, At: w.archived, Exact: format.ExactOneTime})
	w.must(err)
}

// mark remembers the present state as a moment of the past.
func (w *world) mark() pitr.Timestamp {
	w.cluster.NoOp()
	at := w.cluster.Now()
	w.moments[at] = capture(w.cluster)
	return at
}

// Through archives everything that is there.
func (w *world) Through(ctx context.Context, at pitr.Timestamp) (pitr.OpTime, error) {
	newest := w.cluster.Now()
	if newest > w.archived {
		digest := format.Sum([]byte(newest.String()))
		window := pitr.Window{After: w.archived, Through: newest}
		name, err := format.SegmentName(w.branch, window, w.last, digest.Short())
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

func (w *world) moment(at pitr.Timestamp) state {
	if _, known := w.moments[at]; !known {
		w.moments[at] = capture(w.cluster)
	}
	return w.moments[at]
}

// Price compares two moments.
func (w *world) Price(ctx context.Context, gap pitr.Window, scope pitr.Scope) (history.Price, error) {
	price := history.Price{Touched: map[pitr.Namespace]map[pitr.Class]int64{}}
	e, t := capture(w.cluster), w.moment(gap.After)
	for _, change := range changesBetween(e, t) {
		if scope.Contains(change.NS) {
			if price.Touched[change.NS] == nil {
				price.Touched[change.NS] = map[pitr.Class]int64{}
			}
			price.Touched[change.NS][change.Class]++
		}
	}
	return price, nil
}

func (w *world) Catalog(_ context.Context, at pitr.Timestamp, scope pitr.Scope) ([]pitr.Collection, error) {
	return slices.DeleteFunc(slices.Clone(w.moment(at).catalog), func(c pitr.Collection) bool { return !scope.Contains(c.NS) }), nil
}

func (w *world) Gap(ctx context.Context, gap pitr.Window, scope pitr.Scope) (restore.Gap, error) {
	t, _ := w.Catalog(ctx, gap.After, scope)
	e, _ := w.Catalog(ctx, gap.Through, scope)
	return restore.Gap{T: t, E: e, Steps: guard.Steps(e, t), Changes: w.changes(gap, scope)}, nil
}

func (w *world) Find(_ context.Context, at pitr.Timestamp, name restore.Name) (bson.Raw, error) {
	return w.moment(at).documents[name.NS][name.Key.Equal()], nil
}

func (w *world) changes(gap pitr.Window, scope pitr.Scope) iter.Seq2[pitr.Change, error] {
	return func(yield func(pitr.Change, error) bool) {
		for _, change := range changesBetween(w.moment(gap.Through), w.moment(gap.After)) {
			if w.corrupt != nil {
				w.corrupt(&change)
			}
			if scope.Contains(change.NS) && !yield(change, nil) {
				return
			}
		}
	}
}

func (w *world) Documents(_ context.Context, at pitr.Timestamp, collection pitr.Collection) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		for _, document := range w.moment(at).documents[collection.NS] {
			if !yield(document, nil) {
				return
			}
		}
	}
}

// changesBetween compares two states document by document, under the names at T.
func changesBetween(e, t state) []pitr.Change {
	live := map[pitr.Namespace]pitr.Namespace{}
	byUUID := map[pitr.UUID]pitr.Namespace{}
	for _, c := range e.catalog {
		live[c.NS] = c.NS
		byUUID[c.UUID] = c.NS
	}
	for _, c := range t.catalog {
		if was, ok := byUUID[c.UUID]; ok && live[c.NS].IsZero() && !c.UUID.IsZero() {
			delete(live, was)
			live[c.NS] = was
		} else if live[c.NS].IsZero() {
			live[c.NS] = c.NS
		}
	}
	var changes []pitr.Change
	for ns, was := range live {
		keys := map[string]bool{}
		for key := range e.documents[was] {
			keys[key] = true
		}
		for key := range t.documents[ns] {
			keys[key] = true
		}
		for key := range keys {
			change := pitr.Change{NS: ns, E: e.documents[was][key], T: t.documents[ns][key], Ops: 1}
			if bytes.Equal(change.E, change.T) && was == ns && e.uuid(ns) == t.uuid(ns) {
				continue
			}
			change.Class = pitr.Classify(change.E, change.T)
			change.Key, _ = pitr.KeyOf(either(change.E, change.T))
			changes = append(changes, change)
		}
	}
	slices.SortFunc(changes, func(a, b pitr.Change) int {
		if c := a.NS.Compare(b.NS); c != 0 {
			return c
		}
		return strings.Compare(a.Key.Equal(), b.Key.Equal())
	})
	return changes
}

func either(a, b bson.Raw) bson.Raw {
	if a != nil {
		return a
	}
	return b
}

func (s state) uuid(ns pitr.Namespace) pitr.UUID {
	for _, c := range s.catalog {
		if c.NS == ns {
			return c.UUID
		}
	}
	return pitr.UUID{}
}

// deps gives what a process has.
func (w *world) deps(l *life) restore.Deps {
	repository, err := catalog.Open(w.t.Context(), mortalStore{Store: w.store, life: l}, catalog.OpenOptions{})
	w.must(err)
	return restore.Deps{Repository: repository, Target: mortalTarget{Target: w.cluster, life: l}, Past: w, Archive: w,
		WorkFolder: w.t.TempDir(), Operator: "ada@console", Host: "console", Workers: 1, Limits: guard.Limits{Writes: 2},
		Now: func() time.Time { return w.clock }, Quiet: 4 * time.Second,
		Sleep: func(ctx context.Context, d time.Duration) error {
			w.clock = w.clock.Add(d)
			w.cluster.NoOp()
			return ctx.Err()
		}}
}

// bury removes the leases of a killed process, as time would.
func (w *world) bury() {
	for object, err := range w.store.List(w.t.Context(), "leases/", "") {
		w.must(err)
		w.must(w.store.Delete(w.t.Context(), object.Name))
	}
}

// same compares the cluster with a state: documents by bytes, the catalog by meaning.
func (w *world) same(want state) error {
	live := capture(w.cluster)
	differences, err := guard.Differences(live.catalog, want.catalog)
	if err != nil || len(differences) > 0 {
		return errors.Join(err, errors.New("the catalog differs: "+strings.Join(differences, "; ")))
	}
	for ns, documents := range want.documents {
		if len(documents) != len(live.documents[ns]) {
			return errors.New(ns.String() + " has another number of documents")
		}
		for key, document := range documents {
			if !bytes.Equal(live.documents[ns][key], document) {
				return errors.New(ns.String() + ": " + key + " differs")
			}
		}
	}
	return nil
}

func (w *world) blocked() bool {
	block, err := w.cluster.WriteBlock(w.t.Context())
	w.must(err)
	return block.Standing
}
