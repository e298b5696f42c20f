package restore_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/format"
	"pitr/guard"
	"pitr/internal/modelcluster"
	"pitr/restore"
)

var (
	devices = pitr.Namespace{DB: "deviceauth", Collection: "devices"}
	limits  = pitr.Namespace{DB: "deviceauth", Collection: "limits"}
	tokens  = pitr.Namespace{DB: "deviceauth", Collection: "tokens"}
	old     = pitr.Namespace{DB: "deviceauth", Collection: "old"}
	renamed = pitr.Namespace{DB: "deviceauth", Collection: "renamed"}
	fresh   = pitr.Namespace{DB: "deviceauth", Collection: "fresh"}
)

func document(t testing.TB, fields ...any) bson.Raw {
	t.Helper()
	d := bson.D{}
	for i := 0; i < len(fields); i += 2 {
		d = append(d, bson.E{Key: fields[i].(string), Value: fields[i+1]})
	}
	content, err := bson.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func keyOf(t testing.TB, d bson.Raw) pitr.Key {
	t.Helper()
	key, err := pitr.KeyOf(d)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func index(t testing.TB, name, field string, more ...any) bson.Raw {
	t.Helper()
	return document(t, append([]any{"v", int32(2), "key", bson.D{{Key: field, Value: int32(1)}}, "name", name}, more...)...)
}

func idIndex(t testing.TB) bson.Raw { return index(t, "_id_", "_id") }

// put writes as a user.
func (w *world) put(ns pitr.Namespace, d bson.Raw) {
	w.t.Helper()
	w.must(w.cluster.UserWrite(ns, keyOf(w.t, d), d))
}

func (w *world) remove(ns pitr.Namespace, id any) {
	w.t.Helper()
	w.must(w.cluster.UserWrite(ns, keyOf(w.t, document(w.t, "_id", id)), nil))
}

// incident plays a small version of the incident that pitr is measured against: a unique index is dropped, duplicates get
// in, documents are changed and deleted, collections dropped, made anew, renamed and created. It gives T.
func incident(t testing.TB) (*world, pitr.Timestamp) {
	t.Helper()
	cluster := modelcluster.New()
	unique := index(t, "hash", "hash", "unique", true)
	kept := index(t, "serial", "serial", "unique", true)
	var list []bson.Raw
	for i := range int32(8) {
		list = append(list, document(t, "_id", i, "hash", i, "serial", i*10, "status", "accepted"))
	}
	cluster.Put(pitr.Collection{NS: devices, UUID: pitr.UUID{1}, Indexes: []bson.Raw{idIndex(t), unique, kept}}, list...)
	cluster.Put(pitr.Collection{NS: limits, UUID: pitr.UUID{2}, Indexes: []bson.Raw{idIndex(t)}, Options: document(t, "validator", bson.D{{Key: "max", Value: int32(1)}})},
		document(t, "_id", "tenant", "max", int32(5)))
	cluster.Put(pitr.Collection{NS: old, UUID: pitr.UUID{3}, Indexes: []bson.Raw{idIndex(t)}}, document(t, "_id", int32(1), "v", int32(1)))
	cluster.Put(pitr.Collection{NS: tokens, UUID: pitr.UUID{4}, Indexes: []bson.Raw{idIndex(t), index(t, "exp", "exp", "expireAfterSeconds", int32(0))}},
		document(t, "_id", "a", "exp", bson.DateTime(9_000_000_000_000)))
	w := newWorld(t, cluster)
	w.snapshot()
	at := w.mark()

	w.must(cluster.UserApply(pitr.DropIndex{NS: devices, UUID: pitr.UUID{1}, Spec: unique}))
	w.put(devices, document(t, "_id", int32(100), "hash", int32(3), "serial", int32(1000), "status", "pending"))
	w.put(devices, document(t, "_id", int32(1), "hash", int32(1), "serial", int32(10), "status", "rejected"))
	w.remove(devices, int32(2))
	// two devices trade their serials, which a unique index that stays forbids in two steps
	w.put(devices, document(t, "_id", int32(4), "hash", int32(4), "serial", int32(-1), "status", "accepted"))
	w.put(devices, document(t, "_id", int32(5), "hash", int32(5), "serial", int32(40), "status", "accepted"))
	w.put(devices, document(t, "_id", int32(4), "hash", int32(4), "serial", int32(50), "status", "accepted"))
	w.must(cluster.UserApply(pitr.CreateIndexes{NS: devices, Specs: []bson.Raw{index(t, "hash", "hash")}}))
	w.must(cluster.UserApply(pitr.DropCollection{NS: limits}))
	w.must(cluster.UserApply(pitr.CreateCollection{Collection: pitr.Collection{NS: limits, Type: pitr.TypeCollection, Options: document(t, "collation", bson.D{{Key: "locale", Value: "de"}})}}))
	w.put(limits, document(t, "_id", "tenant", "max", int32(50)))
	w.must(cluster.UserApply(pitr.RenameCollection{UUID: pitr.UUID{3}, From: old, To: renamed}))
	w.put(renamed, document(t, "_id", int32(2), "v", int32(2)))
	w.must(cluster.UserApply(pitr.CreateCollection{Collection: pitr.Collection{NS: fresh, Type: pitr.TypeCollection, Options: document(t)}}))
	w.put(fresh, document(t, "_id", int32(1)))
	w.must(cluster.UserApply(pitr.DropCollection{NS: tokens}))
	return w, at
}

// run plans, confirms and runs a restore, or the undo of a job.
func (w *world) run(l *life, request restore.Request) (restore.Outcome, format.ID, error) {
	w.t.Helper()
	deps := w.deps(l)
	intent, err := restore.Plan(w.t.Context(), deps, request)
	w.must(err)
	return w.confirmed(deps, intent)
}

func (w *world) undo(l *life, id format.ID) (restore.Outcome, format.ID, error) {
	w.t.Helper()
	deps := w.deps(l)
	intent, err := restore.PlanUndo(w.t.Context(), deps, id)
	w.must(err)
	return w.confirmed(deps, intent)
}

func (w *world) confirmed(deps restore.Deps, intent restore.Intent) (restore.Outcome, format.ID, error) {
	w.t.Helper()
	confirmed, err := intent.Confirm("devices-eu")
	w.must(err)
	outcome, err := restore.Run(w.t.Context(), deps, intent, confirmed)
	return outcome, intent.ID, err
}

func TestRewindEndsInTAndUndoBack(t *testing.T) {
	for _, way := range []guard.Way{guard.WayBlock, guard.WayQuiet} {
		t.Run(string(way), func(t *testing.T) {
			w, at := incident(t)
			if way == guard.WayQuiet {
				w.cluster.WithoutAuthentication()
				// without the block, documents must not be absent between two transactions
			}
			want, damaged := w.moments[at], capture(w.cluster)
			outcome, id, err := w.run(&life{}, restore.Request{To: at})
			w.must(err)
			w.must(w.same(want))
			if w.blocked() || outcome.First.IsZero() || outcome.Last.TS < outcome.First.TS || outcome.First.TS <= outcome.F.TS {
				t.Errorf("blocked %v, outcome %+v", w.blocked(), outcome)
			}
			if len(outcome.Warnings) > 0 {
				t.Errorf("warnings: %v", outcome.Warnings)
			}
			if err := w.cluster.UserWrite(devices, keyOf(t, document(t, "_id", int32(77))), document(t, "_id", int32(77), "hash", int32(3), "serial", int32(77))); err == nil {
				t.Error("the unique index does not refuse duplicates")
			}
			job, err := w.repository.Job(t.Context(), id)
			w.must(err)
			if !job.Done() || !job.Result.Verified || job.Changes == nil {
				t.Errorf("job %+v", job)
			}
			if _, _, err := w.undo(&life{}, id); err != nil {
				t.Fatal(err)
			}
			w.must(w.same(damaged))
			if w.blocked() {
				t.Error("the undo left a block")
			}
			if _, err := restore.PlanUndo(t.Context(), w.deps(&life{}), id); pitr.KindOf(err) != pitr.KindRefused {
				t.Errorf("undone twice: %v", err)
			}
		})
	}
}

// A process that is killed before any of its deeds leaves a state that resume finishes: the result is that of an unbroken
// run. // case C02
func TestKilledAnywhereResumeFinishes(t *testing.T) {
	for _, way := range []guard.Way{guard.WayBlock, guard.WayQuiet} {
		for deed := int64(1); ; deed++ {
			w, at := incident(t)
			if way == guard.WayQuiet {
				w.cluster.WithoutAuthentication()
			}
			want, damaged := w.moments[at], capture(w.cluster)
			first := &life{}
			first.deadline.Store(deed)
			_, id, err := w.run(first, restore.Request{To: at})
			if !first.dead.Load() {
				w.must(err)
				break
			}
			if err == nil {
				t.Fatalf("deed %d: a dead process succeeded", deed)
			}
			w.bury()
			_, err = restore.Resume(t.Context(), w.deps(&life{}), id)
			switch {
			case pitr.KindOf(err) == pitr.KindNotFound: // not even the intent was published
				w.must(w.same(damaged))
			case err != nil:
				t.Fatalf("%s, deed %d: resume: %v\n%s", way, deed, err, strings.Join(w.cluster.Log(), "\n"))
			default:
				if err := w.same(want); err != nil {
					t.Fatalf("%s, deed %d: %v", way, deed, err)
				}
			}
			if w.blocked() {
				t.Fatalf("%s, deed %d: a block was left", way, deed)
			}
		}
	}
}

// The same for an undo after the kill: it brings back the state before the job.
func TestKilledAnywhereUndoGoesBack(t *testing.T) {
	for deed := int64(1); ; deed++ {
		w, at := incident(t)
		damaged := capture(w.cluster)
		first := &life{}
		first.deadline.Store(deed)
		_, id, err := w.run(first, restore.Request{To: at})
		if !first.dead.Load() {
			w.must(err)
			break
		}
		w.bury()
		intent, err := restore.PlanUndo(t.Context(), w.deps(&life{}), id)
		if kind := pitr.KindOf(err); kind == pitr.KindRefused || kind == pitr.KindNotFound { // nothing was written
			_, err := restore.Unfreeze(t.Context(), w.deps(&life{}), id)
			if kind != pitr.KindNotFound {
				w.must(err)
			}
		} else {
			w.must(err)
			if outcome, _, err := w.confirmed(w.deps(&life{}), intent); err != nil {
				t.Fatalf("deed %d: undo: %v: %v", deed, err, outcome.LeftAlone)
			}
		}
		if err := w.same(damaged); err != nil {
			t.Fatalf("deed %d: %v\n%s", deed, err, strings.Join(w.cluster.Log(), "\n"))
		}
		if w.blocked() {
			t.Fatalf("deed %d: a block was left", deed)
		}
	}
}

// An undo that is killed is resumed like any job.
func TestKilledUndoIsResumed(t *testing.T) {
	for deed := int64(1); ; deed++ {
		w, at := incident(t)
		damaged := capture(w.cluster)
		_, id, err := w.run(&life{}, restore.Request{To: at})
		w.must(err)
		first := &life{}
		first.deadline.Store(deed)
		_, undo, err := w.undo(first, id)
		if !first.dead.Load() {
			w.must(err)
			break
		}
		w.bury()
		_, err = restore.Resume(t.Context(), w.deps(&life{}), undo)
		if pitr.KindOf(err) == pitr.KindNotFound {
			continue
		}
		if err != nil {
			t.Fatalf("deed %d: resume: %v\n%s", deed, err, strings.Join(w.cluster.Log(), "\n"))
		}
		if err := w.same(damaged); err != nil {
			t.Fatalf("deed %d: %v", deed, err)
		}
	}
}

// A resumed job can be killed, too, and so can the undo of what it left; whoever comes last finishes.
func TestKilledTwice(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 2))
	for range 40 {
		w, at := incident(t)
		want, damaged := w.moments[at], capture(w.cluster)
		mortal := func() *life {
			l := &life{}
			l.deadline.Store(1 + random.Int64N(30))
			return l
		}
		first, second := mortal(), mortal()
		_, id, err := w.run(first, restore.Request{To: at})
		if !first.dead.Load() {
			w.must(err)
			continue
		}
		w.bury()
		if _, err = restore.Resume(t.Context(), w.deps(second), id); pitr.KindOf(err) == pitr.KindNotFound {
			continue
		}
		w.bury()
		if random.IntN(2) == 0 {
			_, err = restore.Resume(t.Context(), w.deps(&life{}), id)
			if pitr.KindOf(err) == pitr.KindRefused && !second.dead.Load() { // the second attempt has ended it
				err = nil
			}
			w.must(err)
			w.must(w.same(want))
			continue
		}
		intent, err := restore.PlanUndo(t.Context(), w.deps(&life{}), id)
		if pitr.KindOf(err) == pitr.KindRefused { // nothing was written
			_, err := restore.Unfreeze(t.Context(), w.deps(&life{}), id)
			w.must(err)
		} else {
			w.must(err)
			third := mortal()
			if _, undo, err := w.confirmed(w.deps(third), intent); third.dead.Load() {
				w.bury()
				_, err = restore.Resume(t.Context(), w.deps(&life{}), undo)
				if pitr.KindOf(err) == pitr.KindNotFound {
					_, _, err = w.undo(&life{}, id)
				}
				w.must(err)
			} else {
				w.must(err)
			}
		}
		if err := w.same(damaged); err != nil {
			t.Fatalf("%v\n%s", err, strings.Join(w.cluster.Log(), "\n"))
		}
		if w.blocked() {
			t.Fatal("a block was left")
		}
	}
}
