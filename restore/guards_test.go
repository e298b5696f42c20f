package restore_test

import (
	"context"
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
	"pitr/restore"
)

// untouched fails if the cluster was written to, or left blocked.
func (w *world) untouched(damaged state) {
	w.t.Helper()
	w.must(w.same(damaged))
	if w.blocked() {
		w.t.Error("a write block was left standing")
	}
	for _, line := range w.cluster.Log() {
		if line != "block" && line != "unblock" {
			w.t.Errorf("the cluster was asked to %s", line)
		}
	}
}

// elsewhere is a cluster that answers differently to who it is.
type elsewhere struct {
	guard.Target
	change func(*pitr.Server)
}

func (e elsewhere) Server(ctx context.Context) (pitr.Server, error) {
	server, err := e.Target.Server(ctx)
	e.change(&server)
	return server, err
}

// Every way to hit the wrong target, or the right one with an intent that does not fit any more, ends without a write.
func TestStaleIntentsAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(w *world, deps *restore.Deps, intent *restore.Intent){
		// case W02: each field of the fingerprint
		"set id": func(_ *world, d *restore.Deps, _ *restore.Intent) {
			d.Target = elsewhere{d.Target, func(s *pitr.Server) { s.SetID = "f" }}
		},
		"set": func(_ *world, d *restore.Deps, _ *restore.Intent) {
			d.Target = elsewhere{d.Target, func(s *pitr.Server) { s.Set = "x" }}
		},
		"version": func(_ *world, d *restore.Deps, _ *restore.Intent) {
			d.Target = elsewhere{d.Target, func(s *pitr.Server) { s.Version = "8" }}
		},
		"fcv": func(_ *world, d *restore.Deps, _ *restore.Intent) {
			d.Target = elsewhere{d.Target, func(s *pitr.Server) { s.FCV = "6" }}
		},
		"members": func(_ *world, d *restore.Deps, _ *restore.Intent) {
			d.Target = elsewhere{d.Target, func(s *pitr.Server) { s.Hosts = []string{"a:1", "b:1"} }}
		},
		// case W01: another cluster under the same host name
		"oplog": func(w *world, d *restore.Deps, _ *restore.Intent) {
			other, _ := incident(w.t)
			other.cluster.NoOp()
			d.Target = forgetful{other.cluster}
		},
		// case W06
		"validity": func(w *world, _ *restore.Deps, _ *restore.Intent) { w.clock = w.clock.Add(31 * time.Minute) },
		"indexes": func(w *world, _ *restore.Deps, _ *restore.Intent) {
			w.must(w.cluster.UserApply(pitr.CreateIndexes{NS: devices, Specs: []bson.Raw{index(w.t, "late", "late")}}))
		},
		"scope":  func(_ *world, _ *restore.Deps, i *restore.Intent) { i.Scope = pitr.Scope{Only: []string{"deviceauth"}} },
		"moment": func(_ *world, _ *restore.Deps, i *restore.Intent) { i.To++ },
		"rights": func(w *world, _ *restore.Deps, _ *restore.Intent) { w.cluster.WithoutAuthentication() },
		"block": func(w *world, _ *restore.Deps, _ *restore.Intent) {
			w.must(w.cluster.BlockWrites(context.Background()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, at := incident(t)
			w.t = t
			deps := w.deps(&life{})
			intent, err := restore.Plan(t.Context(), deps, restore.Request{To: at})
			w.must(err)
			confirmed, err := intent.Confirm("devices-eu")
			w.must(err)
			spoil(w, &deps, &intent)
			before := capture(w.cluster)
			_, err = restore.Run(t.Context(), deps, intent, confirmed)
			if pitr.KindOf(err) != pitr.KindRefused || pitr.HintOf(err) == "" {
				t.Errorf("run: %v", err)
			}
			if name == "block" {
				if !w.blocked() {
					t.Error("the block of somebody else was lifted")
				}
				w.must(w.cluster.UnblockWrites(context.Background()))
			}
			w.untouched(before)
		})
	}
}

// forgetful does not have the newest archived entry.
type forgetful struct{ guard.Target }

func (f forgetful) Entries(_ context.Context, after pitr.Timestamp) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		yield(nil, pitr.Errorf(pitr.KindHole, "read the oplog", "", "no entry at %s", after))
	}
}

// Only the exact name confirms. // case W03 // case W04
func TestOnlyTheExactNameConfirms(t *testing.T) {
	w, at := incident(t)
	intent, err := restore.Plan(t.Context(), w.deps(&life{}), restore.Request{To: at})
	w.must(err)
	for _, typed := range []string{"", "yes", "Devices-EU", " devices-eu", "devices-eu ", "dеvices-eu", "rs0", "devices"} {
		if _, err := intent.Confirm(typed); pitr.KindOf(err) != pitr.KindRefused {
			t.Errorf("%q confirmed: %v", typed, err)
		}
	}
	if _, err := restore.Run(t.Context(), w.deps(&life{}), intent, restore.Confirmed{}); pitr.KindOf(err) != pitr.KindRefused {
		t.Errorf("a zero confirmation: %v", err)
	}
	w.untouched(capture(w.cluster))
}

// A live document that is not what the archive says ends the job before any write, and lifts its block.
func TestMismatchWithTheArchiveIsCorrupt(t *testing.T) {
	w, at := incident(t)
	damaged := capture(w.cluster)
	w.corrupt = func(change *pitr.Change) {
		if change.NS == devices && change.E != nil && change.T != nil {
			change.E = document(t, "_id", change.Key.Stored(), "wrong", true)
		}
	}
	_, id, err := w.run(&life{}, restore.Request{To: at})
	if pitr.KindOf(err) != pitr.KindCorrupt {
		t.Errorf("run: %v", err)
	}
	w.untouched(damaged)
	job, err := w.repository.Job(t.Context(), id)
	w.must(err)
	if job.Changes != nil || job.Result == nil || job.Result.Outcome != string(pitr.KindCorrupt) {
		t.Errorf("job %+v", job)
	}
	if _, err := restore.Resume(t.Context(), w.deps(&life{}), id); pitr.KindOf(err) != pitr.KindRefused {
		t.Errorf("resume of a job that has ended: %v", err)
	}
}

// misfolded is an archive that folds another catalog at F than the live one.
type misfolded struct {
	*world
	wrong func([]pitr.Collection)
}

func (m misfolded) Gap(ctx context.Context, gap pitr.Window, scope pitr.Scope) (restore.Gap, error) {
	folded, err := m.world.Gap(ctx, gap, scope)
	folded.E = slices.Clone(folded.E)
	m.wrong(folded.E)
	folded.Steps = guard.Steps(folded.E, folded.T)
	return folded, err
}

// So does a live catalog that is not what the archive says: an index or an identity that no entry tells of.
func TestCatalogThatIsNotTheArchivesIsCorrupt(t *testing.T) {
	for name, wrong := range map[string]func(*pitr.Collection){
		"an index":    func(c *pitr.Collection) { c.Indexes = c.Indexes[:1] },
		"options":     func(c *pitr.Collection) { c.Options = document(t, "validationLevel", "off") },
		"an identity": func(c *pitr.Collection) { c.UUID = pitr.UUID{99} },
	} {
		t.Run(name, func(t *testing.T) {
			w, at := incident(t)
			w.t = t
			damaged := capture(w.cluster)
			deps := w.deps(&life{})
			deps.Past = misfolded{world: w, wrong: func(e []pitr.Collection) {
				wrong(&e[slices.IndexFunc(e, func(c pitr.Collection) bool { return c.NS == devices })])
			}}
			intent, err := restore.Plan(t.Context(), deps, restore.Request{To: at})
			w.must(err)
			_, _, err = w.confirmed(deps, intent)
			if pitr.KindOf(err) != pitr.KindCorrupt {
				t.Errorf("run: %v", err)
			}
			w.untouched(damaged)
		})
	}
}

// An orderly stop between the freeze and the first write lifts the block. // case C09
func TestInterruptBeforeTheFirstWriteLiftsTheBlock(t *testing.T) {
	w, at := incident(t)
	damaged := capture(w.cluster)
	deps := w.deps(&life{})
	intent, err := restore.Plan(t.Context(), deps, restore.Request{To: at})
	w.must(err)
	confirmed, err := intent.Confirm("devices-eu")
	w.must(err)
	ctx, cancel := context.WithCancel(t.Context())
	w.corrupt = func(*pitr.Change) { cancel() }
	if _, err = restore.Run(ctx, deps, intent, confirmed); pitr.KindOf(err) != pitr.KindInterrupted {
		t.Errorf("run: %v", err)
	}
	w.untouched(damaged)
	w.corrupt = nil
	if _, err = restore.Resume(t.Context(), w.deps(&life{}), intent.ID); err != nil {
		t.Errorf("resume: %v", err)
	}
	w.must(w.same(w.moments[at]))
}

// Damage that has grown by more than a fifth is asked about again. // case W06
func TestGrownDamageIsAskedAgain(t *testing.T) {
	for _, answer := range []string{"nobody", "no", "yes"} {
		w, at := incident(t)
		deps := w.deps(&life{})
		intent, err := restore.Plan(t.Context(), deps, restore.Request{To: at})
		w.must(err)
		confirmed, err := intent.Confirm("devices-eu")
		w.must(err)
		for i := range int32(20) {
			w.put(devices, document(t, "_id", 200+i, "hash", 200+i, "serial", 200+i))
		}
		damaged := capture(w.cluster)
		if answer != "nobody" {
			deps.Ask = func(_ context.Context, q restore.Question) (bool, error) {
				if q.Found < q.Intended+20 {
					t.Errorf("question %+v", q)
				}
				return answer == "yes", nil
			}
		}
		_, err = restore.Run(t.Context(), deps, intent, confirmed)
		if answer == "yes" {
			w.must(err)
			w.must(w.same(w.moments[at]))
			continue
		}
		if pitr.KindOf(err) != pitr.KindRefused {
			t.Errorf("run: %v", err)
		}
		w.untouched(damaged)
	}
}

// Without evidence of the present state nothing is written.
func TestNoWriteWithoutEvidence(t *testing.T) {
	holed := func(w *world) { // the archive loses a piece between base and F
		w.cluster.NoOp()
		_, err := w.Through(context.Background(), 0)
		w.must(err)
		w.last = format.Sum([]byte("another entry")).Short()
	}
	for name, test := range map[string]struct {
		spoil func(w *world, deps *restore.Deps)
		bulk  bool
		kind  pitr.Kind
	}{
		"hole before F":     {spoil: func(w *world, _ *restore.Deps) { holed(w) }, kind: pitr.KindRefused},                                                                         // case W09
		"other scope":       {bulk: true, spoil: func(w *world, d *restore.Deps) { d.Evidence = taker{w: w, scope: pitr.Scope{Only: []string{"other"}}} }, kind: pitr.KindRefused}, // case W07
		"hole behind bulk":  {bulk: true, spoil: func(w *world, d *restore.Deps) { d.Evidence = taker{w: w, after: holed} }, kind: pitr.KindRefused},                               // case W09
		"nobody takes bulk": {bulk: true, spoil: func(*world, *restore.Deps) {}, kind: pitr.KindRefused},
		"vanished snapshot": {bulk: true, kind: pitr.KindCorrupt, spoil: func(w *world, d *restore.Deps) { // case W08
			d.Evidence = taker{w: w}
			w.corrupt = func(*pitr.Change) {
				for object, err := range w.store.List(context.Background(), "snapshots/", "") {
					w.must(err)
					_ = w.store.Delete(context.Background(), object.Name)
				}
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w, at := incident(t)
			w.t = t
			deps := w.deps(&life{})
			intent, err := restore.Plan(t.Context(), deps, restore.Request{To: at, Bulk: test.bulk})
			w.must(err)
			confirmed, err := intent.Confirm("devices-eu")
			w.must(err)
			damaged := capture(w.cluster)
			test.spoil(w, &deps)
			if _, err = restore.Run(t.Context(), deps, intent, confirmed); pitr.KindOf(err) != test.kind {
				t.Errorf("run: %v", err)
			}
			w.untouched(damaged)
		})
	}
}

// taker publishes an empty snapshot of a scope.
type taker struct {
	w     *world
	scope pitr.Scope
	after func(*world)
}

func (e taker) Take(ctx context.Context, _ format.ID, _ pitr.Scope) (format.Manifest, error) {
	if _, err := e.w.Through(ctx, 0); err != nil {
		return format.Manifest{}, err
	}
	id, err := e.w.repository.NewID()
	if err != nil {
		return format.Manifest{}, err
	}
	manifest := format.Manifest{ID: id, Branch: e.w.branch, Created: e.w.clock, Finished: e.w.clock, Reason: format.ReasonBeforeRestore, Scope: e.scope,
		From: e.w.archived, At: e.w.archived, Exact: format.ExactOneTime}
	_, err = e.w.repository.PutObject(ctx, &manifest)
	if e.after != nil {
		e.after(e.w)
	}
	return manifest, err
}

func TestBulkEvidenceIsTakenHeldAndNamed(t *testing.T) {
	w, at := incident(t)
	deps := w.deps(&life{})
	deps.Evidence = taker{w: w}
	intent, err := restore.Plan(t.Context(), deps, restore.Request{To: at, Bulk: true})
	w.must(err)
	_, _, err = w.confirmed(deps, intent)
	w.must(err)
	holds, err := w.repository.Holds(t.Context())
	w.must(err)
	bulk := false
	for _, hold := range holds.Items {
		bulk = bulk || hold.Snapshot != "" && hold.Snapshot != intent.Base && hold.Job == intent.ID
	}
	if len(holds.Items) != 2 || !bulk {
		t.Errorf("holds %+v", holds.Items)
	}
}

// A second run finds the lease taken. // case W14
func TestTwoRestoresAtOnce(t *testing.T) {
	t.Parallel() // it waits for a sign of life of the holder
	w, at := incident(t)
	lease, err := w.repository.Lease(t.Context(), catalog.LeaseWrite, catalog.LeaseOptions{Holder: "bob"})
	w.must(err)
	defer func() { _ = lease.Release(t.Context()) }()
	deps := w.deps(&life{})
	intent, err := restore.Plan(t.Context(), deps, restore.Request{To: at})
	w.must(err)
	confirmed, err := intent.Confirm("devices-eu")
	w.must(err)
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
	defer cancel()
	if _, err := restore.Run(ctx, deps, intent, confirmed); pitr.KindOf(err) != pitr.KindLocked {
		t.Errorf("run: %v", err)
	}
	w.untouched(capture(w.cluster))
}

// A cluster that is not the repository's is refused when the job is planned. // case W01 // case D15
func TestOtherClustersAreRefusedAtOnce(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*pitr.Server)
		kind   pitr.Kind
	}{
		"other set":          {func(s *pitr.Server) { s.SetID = "f" }, pitr.KindRefused},
		"no known host":      {func(s *pitr.Server) { s.Hosts = []string{"x:1"} }, pitr.KindRefused},
		"no right to see it": {func(s *pitr.Server) { s.SetID = "" }, pitr.KindDenied},
		"no oplog":           {func(s *pitr.Server) { s.Ability = pitr.AbilityDocuments }, pitr.KindUnsupported},
	} {
		w, at := incident(t)
		deps := w.deps(&life{})
		deps.Target = elsewhere{deps.Target, test.change}
		if _, err := restore.Plan(t.Context(), deps, restore.Request{To: at}); pitr.KindOf(err) != test.kind || pitr.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// leap is a clock that can jump, as after the sleep of a machine.
type leap struct {
	start  time.Time
	jumped atomic.Int64
}

func (l *leap) Wall() time.Time       { return time.Now().Add(time.Duration(l.jumped.Load())) }
func (l *leap) Steady() time.Duration { return time.Since(l.start) + time.Duration(l.jumped.Load()) }
func (l *leap) After(d time.Duration) <-chan time.Time {
	return time.After(d)
}

// A machine that slept past its lease does not write any more, whoever has the lease by then. // case C11
func TestSleeperStops(t *testing.T) {
	for _, before := range []bool{true, false} {
		w, at := incident(t)
		damaged := capture(w.cluster)
		deps := w.deps(&life{})
		clock := &leap{start: time.Now()}
		deps.Clock = clock
		written := 0
		if before {
			w.corrupt = func(*pitr.Change) { clock.jumped.Store(int64(2 * time.Minute)) }
		} else {
			w.cluster.BeforeWrite = func(string) error {
				if written++; written == 3 {
					clock.jumped.Store(int64(2 * time.Minute))
				}
				return nil
			}
		}
		intent, err := restore.Plan(t.Context(), deps, restore.Request{To: at})
		w.must(err)
		_, id, err := w.confirmed(deps, intent)
		want := pitr.KindHalfway
		if before {
			want = pitr.KindLocked
		}
		if pitr.KindOf(err) != want || written > 3 {
			t.Errorf("before the first write %v: %v after %d writes", before, err, written)
		}
		if !w.blocked() { // it belongs to whoever has the job now
			t.Error("a sleeper lifted the block")
		}
		if before {
			w.must(w.same(damaged))
		}
		w.corrupt, w.cluster.BeforeWrite = nil, nil
		w.bury()
		_, err = restore.Resume(t.Context(), w.deps(&life{}), id)
		w.must(err)
		w.must(w.same(w.moments[at]))
	}
}

// A job that had written nothing and left no block is not resumed when its intent is no longer valid.
func TestOldIntentIsNotResumed(t *testing.T) {
	w, at := incident(t)
	first := &life{}
	first.deadline.Store(2) // behind the intent
	_, id, err := w.run(first, restore.Request{To: at})
	if !first.dead.Load() || err == nil {
		t.Fatalf("run: %v", err)
	}
	w.bury()
	w.clock = w.clock.Add(time.Hour)
	if _, err := restore.Resume(t.Context(), w.deps(&life{}), id); pitr.KindOf(err) != pitr.KindRefused {
		t.Errorf("resume: %v", err)
	}
	w.untouched(capture(w.cluster))
}

// A job is resumed only by a version that orders writes as the one that began it. // case C12
func TestResumeByAnotherPlanIsRefused(t *testing.T) {
	w, at := incident(t)
	deps := w.deps(&life{})
	intent, err := restore.Plan(t.Context(), deps, restore.Request{To: at})
	w.must(err)
	intent.Detail.Plan++
	intent.Pitr = "v9.9.9"
	intent.Intent.Detail, err = bson.Marshal(intent.Detail)
	w.must(err)
	_, err = w.repository.PutObject(t.Context(), &intent.Intent)
	w.must(err)
	damaged := capture(w.cluster)
	_, err = restore.Resume(t.Context(), deps, intent.ID)
	if pitr.KindOf(err) != pitr.KindRefused || !strings.Contains(pitr.HintOf(err), "v9.9.9") {
		t.Errorf("resume: %v (%s)", err, pitr.HintOf(err))
	}
	w.untouched(damaged)
}
