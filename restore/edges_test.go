package restore_test

import (
	"context"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/format"
	"pitr/internal/mongotest"
	"pitr/restore"
	"pitr/snapshot"
)

// A collection that a rename carried into the scope or out of it is refused: in such a scope it has appeared or vanished,
// and a rewind would drop it with documents that no change set lists, or make an empty one.
func TestRenameAcrossTheScopeIsRefused(t *testing.T) {
	for name, only := range map[string]pitr.Namespace{"into": renamed, "out of": old} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, mongotest.Need{Users: logins})
			s.devicesAtT()
			s.snapshot()
			at := s.now()
			s.run("admin", bson.E{Key: "renameCollection", Value: old.String()}, bson.E{Key: "to", Value: renamed.String()})
			damaged := s.capture()
			intent, err := restore.Plan(t.Context(), s.deps(), restore.Request{To: at, Scope: pitr.Scope{Only: []string{only.String()}}})
			s.must(err)
			confirmed, err := intent.Confirm("devices-eu")
			s.must(err)
			if _, err = restore.Run(t.Context(), s.deps(), intent, confirmed); pitr.KindOf(err) != pitr.KindRefused || !strings.Contains(err.Error(), "rename") {
				t.Errorf("run: %v", err)
			}
			s.same(damaged)
		})
	}
}

// meanwhile does something while bulk evidence is taken.
type meanwhile struct {
	*stage
	do func()
}

func (m meanwhile) Take(ctx context.Context, job format.ID, scope pitr.Scope) (format.Manifest, error) {
	m.do()
	return snapshot.Take(ctx, m.reading, m.repository, snapshot.Options{Archive: m.archiver, Scope: scope,
		Reason: format.ReasonBeforeRestore, Job: job})
}

// What stands in the way of a rewind only since the intent was confirmed is found at F, before any write.
func TestObstaclesThatComeAfterTheIntent(t *testing.T) {
	for name, only := range map[string]string{"a rename into the scope": renamed.String(), "a tangle of names": "deviceauth"} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, mongotest.Need{Users: logins})
			s.devicesAtT()
			s.snapshot()
			at := s.now()
			var damaged state
			deps := s.deps()
			deps.Evidence = meanwhile{s, func() {
				s.run("admin", bson.E{Key: "renameCollection", Value: old.String()}, bson.E{Key: "to", Value: renamed.String()})
				s.insert(old, bson.D{{Key: "_id", Value: "new"}})
				damaged = s.capture()
			}}
			deps.Ask = func(context.Context, restore.Question) (bool, error) { return true, nil }
			intent, err := restore.Plan(t.Context(), deps, restore.Request{To: at, Bulk: true, Scope: pitr.Scope{Only: []string{only}}})
			s.must(err)
			confirmed, err := intent.Confirm("devices-eu")
			s.must(err)
			if _, err = restore.Run(t.Context(), deps, intent, confirmed); pitr.KindOf(err) != pitr.KindRefused {
				t.Errorf("run: %v", err)
			}
			s.same(damaged)
			block, err := s.writing.Primary().WriteBlock(t.Context())
			s.must(err)
			if block.Standing {
				t.Error("a block was left")
			}
		})
	}
}

// A job that was killed after it had verified its result and lifted its block is over, whatever others have written since:
// resume ends its records, so that the cluster's later moments can be reached. // case C02
func TestKilledAfterTheBlockWasLifted(t *testing.T) {
	whole := &life{}
	w, at := incident(t)
	_, _, err := w.run(whole, restore.Request{To: at})
	w.must(err)
	lifted := 0
	for deed := whole.deeds.Load(); ; deed-- {
		w, at := incident(t)
		mortal := &life{}
		mortal.deadline.Store(deed)
		_, id, err := w.run(mortal, restore.Request{To: at})
		w.bury()
		if pitr.KindOf(err) != pitr.KindHalfway {
			t.Fatalf("killed before deed %d: %v", deed, err)
		}
		if w.blocked() {
			break
		}
		lifted++
		w.put(devices, document(t, "_id", int32(7), "hash", int32(7), "serial", int32(70), "status", "later"))
		later := capture(w.cluster)
		outcome, err := restore.Resume(t.Context(), w.deps(&life{}), id)
		if err != nil || outcome.Written == 0 || outcome.First.IsZero() || outcome.Last.TS >= w.cluster.Now() {
			t.Fatalf("killed before deed %d: resume: %v, %+v", deed, err, outcome)
		}
		w.must(w.same(later))
		if found, err := w.repository.Job(t.Context(), id); err != nil || !found.Done() {
			t.Errorf("killed before deed %d: %v, %+v", deed, err, found.Result)
		}
	}
	if lifted == 0 {
		t.Fatal("no kill came after the block was lifted")
	}
}
