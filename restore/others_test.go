package restore_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/guard"
	"pitr/restore"
)

// A stray write stops the job before its next write, as halfway once there was one; undo then leaves alone what the
// stranger wrote. // case D11 // case C13
func TestStrayStopsTheJob(t *testing.T) {
	for n := 1; ; n++ {
		w, at := incident(t)
		stranger := document(t, "_id", int32(100), "hash", int32(999), "serial", int32(1000), "status", "stranger")
		calls, wrote := 0, false
		w.cluster.BeforeWrite = func(string) error {
			if calls++; calls == n {
				w.must(w.cluster.PrivilegedWrite(devices, keyOf(t, stranger), stranger))
				wrote = true
			}
			return nil
		}
		damaged := capture(w.cluster)
		_, id, err := w.run(&life{}, restore.Request{To: at})
		if !wrote {
			w.must(err)
			break
		}
		w.cluster.BeforeWrite = nil
		if pitr.KindOf(err) != pitr.KindHalfway || !w.blocked() {
			t.Fatalf("stray before write %d: blocked %v, %v", n, w.blocked(), err)
		}
		var difference *pitr.Difference
		var stray *guard.Stray
		if !errors.As(err, &stray) && !errors.As(err, &difference) || !strings.Contains(pitr.HintOf(err), string(id)) {
			t.Errorf("stray before write %d: %v, hint %s", n, err, pitr.HintOf(err))
		}
		if _, err := restore.Resume(t.Context(), w.deps(&life{}), id); pitr.KindOf(err) != pitr.KindHalfway {
			t.Fatalf("resume over a stray: %v", err)
		}
		outcome, _, err := w.undo(&life{}, id)
		if pitr.KindOf(err) != pitr.KindPartial || len(outcome.LeftAlone) != 1 || w.blocked() {
			t.Fatalf("stray before write %d: undo: blocked %v, %v, left alone %+v", n, w.blocked(), err, outcome.LeftAlone)
		}
		damaged.documents[devices][keyOf(t, stranger).Equal()] = stranger
		if err := w.same(damaged); err != nil {
			t.Fatalf("stray before write %d: %v", n, err)
		}
	}
}

// A job killed under its block is unfrozen by name, and can still be undone or resumed as long as nobody wrote.
func TestUnfreezeThenResume(t *testing.T) {
	for _, write := range []bool{false, true} {
		w, at := incident(t)
		calls := 0
		dead := &life{}
		w.cluster.BeforeWrite = func(string) error {
			if calls++; calls == 4 {
				dead.dead.Store(true)
				return errDead
			}
			return nil
		}
		_, id, err := w.run(dead, restore.Request{To: at})
		if err == nil || !w.blocked() {
			t.Fatalf("run: %v, blocked %v", err, w.blocked())
		}
		w.bury()
		w.cluster.BeforeWrite = nil
		if lifted, err := restore.Unfreeze(t.Context(), w.deps(&life{}), id); !lifted || err != nil || w.blocked() {
			t.Fatalf("unfreeze: %v %v", lifted, err)
		}
		if write {
			w.put(devices, document(t, "_id", int32(7), "hash", int32(7), "serial", int32(70), "status", "late"))
		}
		_, err = restore.Resume(t.Context(), w.deps(&life{}), id)
		if write {
			if pitr.KindOf(err) != pitr.KindHalfway || w.blocked() {
				t.Errorf("resume after a write: %v, blocked %v", err, w.blocked())
			}
			continue
		}
		w.must(err)
		w.must(w.same(w.moments[at]))
		if w.blocked() {
			t.Error("a block was left")
		}
	}
}

// Undo keeps what was written after the job, and says so.
func TestUndoLeavesLaterWorkAlone(t *testing.T) {
	w, at := incident(t)
	damaged := capture(w.cluster)
	_, id, err := w.run(&life{}, restore.Request{To: at})
	w.must(err)
	later := document(t, "_id", int32(1), "hash", int32(1), "serial", int32(10), "status", "later")
	w.put(devices, later)
	w.remove(devices, int32(4))
	w.put(tokens, document(t, "_id", "new", "exp", bson.DateTime(9_000_000_000_000)))
	w.must(w.cluster.UserApply(pitr.CreateIndexes{NS: old, Specs: []bson.Raw{index(t, "later", "later")}}))
	outcome, _, err := w.undo(&life{}, id)
	if pitr.KindOf(err) != pitr.KindPartial || len(outcome.LeftAlone) != 4 {
		t.Fatalf("undo: %v, %+v", err, outcome.LeftAlone)
	}
	if got := w.cluster.Documents(devices)[keyOf(t, later).Equal()]; string(got) != string(later) {
		t.Errorf("a later document became %s", got)
	}
	if len(w.cluster.Documents(tokens)) != 1 {
		t.Errorf("tokens: %v", w.cluster.Documents(tokens))
	}
	for key, want := range damaged.documents[devices] {
		if key == keyOf(t, document(t, "_id", int32(4))).Equal() {
			if w.cluster.Documents(devices)[key] != nil {
				t.Error("a document that was deleted since the job is back")
			}
			continue
		}
		if key != keyOf(t, later).Equal() && string(w.cluster.Documents(devices)[key]) != string(want) {
			t.Errorf("%s was not undone", key)
		}
	}
}

// liar says that it has done what it was asked for.
type liar struct {
	guard.Target
	catalog bool
}

func (l liar) Transact(ctx context.Context, writes []pitr.DocumentWrite) (pitr.Timestamp, error) {
	if !l.catalog { // it forgets one device
		writes = slices.DeleteFunc(slices.Clone(writes), func(w pitr.DocumentWrite) bool {
			return w.NS == devices && w.Key.Stored().Equal(bson.RawValue{Type: bson.TypeInt32, Value: []byte{1, 0, 0, 0}})
		})
	}
	return l.Target.Transact(ctx, writes)
}

func (l liar) Apply(ctx context.Context, step pitr.CatalogWrite) (pitr.Timestamp, error) {
	if _, isIndexes := step.(pitr.CreateIndexes); isIndexes && l.catalog {
		return 0, nil
	}
	return l.Target.Apply(ctx, step)
}

// What was not done in spite of all is found before the block is lifted.
func TestVerificationFindsWhatWasNotDone(t *testing.T) {
	for _, catalog := range []bool{false, true} {
		w, at := incident(t)
		deps := w.deps(&life{})
		deps.Target = liar{deps.Target, catalog}
		intent, err := restore.Plan(t.Context(), deps, restore.Request{To: at, Scope: pitr.Scope{Except: []string{limits.String(), fresh.String()}}})
		w.must(err)
		_, id, err := w.confirmed(deps, intent)
		if pitr.KindOf(err) != pitr.KindHalfway || !strings.Contains(err.Error(), "verify") || !w.blocked() {
			t.Errorf("catalog %v: %v, blocked %v", catalog, err, w.blocked())
		}
		job, err := w.repository.Job(t.Context(), id)
		w.must(err)
		if job.Result != nil {
			t.Errorf("result %+v", job.Result)
		}
	}
}

// What cannot be rewound is refused by name with a way out.
func TestRefusalsAreNamed(t *testing.T) {
	w, at := incident(t)
	capped := pitr.Namespace{DB: "deviceauth", Collection: "log"}
	w.cluster.Put(pitr.Collection{NS: capped, UUID: pitr.UUID{9}, Options: document(t, "capped", true, "size", int32(4096)), Indexes: []bson.Raw{idIndex(t)}},
		document(t, "_id", int32(1)))
	deps := w.deps(&life{})
	intent, err := restore.Plan(t.Context(), deps, restore.Request{To: at})
	w.must(err)
	if len(intent.Refused) != 1 || intent.Refused[0].NS != capped || intent.Refused[0].Hint == "" {
		t.Fatalf("refused %+v", intent.Refused)
	}
	if _, _, err := w.confirmed(deps, intent); pitr.KindOf(err) != pitr.KindRefused {
		t.Errorf("run: %v", err)
	}
	intent, err = restore.Plan(t.Context(), deps, restore.Request{To: at, Scope: pitr.Scope{Except: []string{capped.String()}}})
	w.must(err)
	if _, _, err := w.confirmed(deps, intent); err != nil {
		t.Errorf("without it: %v", err)
	}
}

// Where no block stands, the server goes on removing documents that are due: that is no stray, neither for documents that
// the job has nothing to do with nor for its own. A document that is not due is one. // case D10
func TestServerExpiryIsNoStray(t *testing.T) {
	for _, due := range []bool{true, false} {
		w, _ := incident(t)
		w.cluster.WithoutAuthentication()
		sessions := pitr.Namespace{DB: "deviceauth", Collection: "sessions"}
		exp := bson.DateTime(w.clock.Add(time.Minute).UnixMilli())
		if !due {
			exp = bson.DateTime(w.clock.Add(24 * time.Hour).UnixMilli())
		}
		session := func(id, v int32) bson.Raw { return document(t, "_id", id, "exp", exp, "v", v) }
		w.cluster.Put(pitr.Collection{NS: sessions, UUID: pitr.UUID{12}, Indexes: []bson.Raw{idIndex(t), index(t, "exp", "exp", "expireAfterSeconds", int32(0))}},
			session(1, 0), session(2, 0), session(3, 0))
		at := w.mark()
		w.put(sessions, session(2, 1))
		w.put(sessions, session(3, 1))
		calls := 0
		w.cluster.BeforeWrite = func(string) error {
			if calls++; calls == 1 {
				w.clock = w.clock.Add(time.Hour)
				w.remove(sessions, int32(1)) // untouched
				w.remove(sessions, int32(2)) // before it is written
			}
			return nil
		}
		_, _, err := w.run(&life{}, restore.Request{To: at})
		if !due {
			if pitr.KindOf(err) != pitr.KindHalfway {
				t.Errorf("not due: %v", err)
			}
			continue
		}
		w.must(err)
		left := w.cluster.Documents(sessions)
		if len(left) != 2 || string(left[keyOf(t, session(3, 0)).Equal()]) != string(session(3, 0)) {
			t.Errorf("left: %v", left)
		}
	}
}
