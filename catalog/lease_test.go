package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/storage"
	"pitr/storage/storagetest"
)

// machine is the clock of one machine: the bubble's time, as a wall clock that somebody moved, and as a steady clock that
// stood still while the machine slept.
type machine struct {
	start time.Time
	moved atomic.Int64
	// stands is where the steady clock stands still, 0 while it runs.
	stands atomic.Int64
}

func newMachine() *machine { return &machine{start: time.Now()} }

func (m *machine) Wall() time.Time { return time.Now().Round(0).Add(time.Duration(m.moved.Load())) }
func (m *machine) Steady() time.Duration {
	if at := m.stands.Load(); at != 0 {
		return time.Duration(at)
	}
	return time.Since(m.start)
}
func (m *machine) After(d time.Duration) <-chan time.Time { return time.After(d) }

// create makes a repository outside of a bubble, where the folder's times are those of the machine.
func create(t *testing.T, store storage.Store) {
	t.Helper()
	if _, err := catalog.Create(t.Context(), store, catalog.CreateOptions{ClusterName: "test"}); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, store storage.Store) *catalog.Repository {
	t.Helper()
	repository, err := catalog.Open(t.Context(), store, catalog.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return repository
}

func stores(t *testing.T) map[string]storage.Store {
	folder, err := storage.OpenFolder(t.TempDir(), storage.FolderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]storage.Store{"memory": storage.NewMemory(), "folder": folder}
}

// critical fails the test when two runs are in it at once.
type critical struct {
	t      *testing.T
	inside atomic.Int32
	passed atomic.Int32
}

func (c *critical) work(lease *catalog.Lease, d time.Duration) {
	if n := c.inside.Add(1); n != 1 {
		c.t.Errorf("%d runs hold the lease at once", n)
	}
	time.Sleep(d)
	if err := lease.Check(); err != nil {
		c.t.Errorf("a lease that was renewed was lost: %v", err)
	}
	c.inside.Add(-1)
	c.passed.Add(1)
}

// case L01
func TestFiftyRunsRaceForALease(t *testing.T) {
	for kind, store := range stores(t) {
		t.Run(kind, func(t *testing.T) {
			create(t, store)
			synctest.Test(t, func(t *testing.T) {
				section := &critical{t: t}
				var wait sync.WaitGroup
				for i := range 50 {
					wait.Go(func() {
						cut := &gate{Store: store}
						lease, err := open(t, cut).Lease(t.Context(), catalog.LeaseWrite, catalog.LeaseOptions{
							Holder: fmt.Sprintf("run-%d", i), Wait: 12 * time.Hour})
						if err != nil {
							t.Error(err)
							return
						}
						// Some hold it for longer than the TTL, so that renewals happen; some die without a word.
						section.work(lease, time.Duration(i%10/9)*100*time.Second)
						if i%20 == 7 {
							cut.closed.Store(true)
							return
						}
						if err := lease.Release(t.Context()); err != nil {
							t.Error(err)
						}
					})
				}
				wait.Wait()
				time.Sleep(2 * catalog.LeaseTTL) // the dead notice, too
				if section.passed.Load() != 50 {
					t.Errorf("%d of 50 came through", section.passed.Load())
				}
			})
		})
	}
}

// case L02: a holder that sleeps, or whose clock is put forward or back, stops before anybody else begins.
func TestAHolderThatWasAwayNeverMeetsItsSuccessor(t *testing.T) {
	const hour = time.Hour
	for name, away := range map[string]func(m *machine){
		"stopped":           func(*machine) {},
		"asleep":            func(m *machine) { m.stands.Store(int64(m.Steady())) },
		"clock put forward": func(m *machine) { m.moved.Store(int64(hour)) },
		"clock put back":    func(m *machine) { m.moved.Store(-int64(hour)) },
	} {
		t.Run(name, func(t *testing.T) {
			store := storage.NewMemory()
			create(t, store)
			synctest.Test(t, func(t *testing.T) {
				// The holder's way to the store is cut, which is what a stopped process looks like to others.
				cut := &gate{Store: store}
				holder := newMachine()
				lease, err := open(t, cut).Lease(t.Context(), catalog.LeaseWrite, catalog.LeaseOptions{Holder: "a", Clock: holder})
				if err != nil {
					t.Fatal(err)
				}
				ctx := lease.Context(t.Context())
				time.Sleep(time.Minute + 10*time.Second) // renewed three times
				if lease.Check() != nil {
					t.Fatal("lost although it was renewed")
				}
				cut.closed.Store(true)
				away(holder)
				successor, err := open(t, store).Lease(t.Context(), catalog.LeaseWrite, catalog.LeaseOptions{Holder: "b", Wait: hour, Clock: newMachine()})
				if err != nil {
					t.Fatal(err)
				}
				if err := lease.Check(); pitr.KindOf(err) != pitr.KindLocked {
					t.Errorf("the holder still works when its successor begins: %v", err)
				}
				synctest.Wait()
				if ctx.Err() == nil || pitr.KindOf(context.Cause(ctx)) != pitr.KindLocked {
					t.Errorf("the context ended with %v", context.Cause(ctx))
				}
				cut.closed.Store(false)
				if err := lease.Release(t.Context()); pitr.KindOf(err) != pitr.KindLocked {
					t.Errorf("a lost lease was given back: %v", err)
				}
				if err := successor.Release(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// gate is a store that cannot be reached while it is closed.
type gate struct {
	storage.Store
	closed atomic.Bool
}

func (g *gate) Create(ctx context.Context, name string, data []byte) error {
	if g.closed.Load() {
		return pitr.Errorf(pitr.KindUnavailable, "create "+name, "", "cut off")
	}
	return g.Store.Create(ctx, name, data)
}

// case L02: skew between machines plays no part, whatever it is.
func TestALeaseIsHeldAcrossSkewedClocks(t *testing.T) {
	store := storage.NewMemory()
	create(t, store)
	synctest.Test(t, func(t *testing.T) {
		section := &critical{t: t}
		var wait sync.WaitGroup
		for i, skew := range []time.Duration{0, time.Hour, -time.Hour, 24 * time.Hour} {
			wait.Go(func() {
				clock := newMachine()
				clock.moved.Store(int64(skew))
				lease, err := open(t, store).Lease(t.Context(), catalog.LeaseArchive,
					catalog.LeaseOptions{Holder: fmt.Sprint(i), Wait: time.Hour, Clock: clock})
				if err != nil {
					t.Error(err)
					return
				}
				section.work(lease, 3*time.Minute)
				if err := lease.Release(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if section.passed.Load() != 4 {
			t.Errorf("%d of 4 came through", section.passed.Load())
		}
	})
}

// case L02, S07: a renewal whose reply is lost is recognised as our own.
func TestALeaseSurvivesLostReplies(t *testing.T) {
	store := storage.NewMemory()
	create(t, store)
	lost := pitr.Errorf(pitr.KindUnavailable, "create", "", "the reply was lost")
	synctest.Test(t, func(t *testing.T) {
		faulty := storagetest.Faulty(t, store,
			storagetest.Fault{Op: storagetest.Create, Name: "leases/*/*", Nth: 2, Effect: storagetest.LoseReply(lost)},
			storagetest.Fault{Op: storagetest.Create, Name: "leases/*/*", Nth: 4, Times: 3, Effect: storagetest.Fail(lost)})
		lease, err := open(t, faulty).Lease(t.Context(), catalog.LeaseWrite, catalog.LeaseOptions{Holder: "a"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		if err := lease.Check(); err != nil {
			t.Error(err)
		}
		if err := lease.Release(t.Context()); err != nil {
			t.Error(err)
		}
		// Given back: the next taker does not wait.
		before := time.Now()
		next, err := open(t, store).Lease(t.Context(), catalog.LeaseWrite, catalog.LeaseOptions{Holder: "b"})
		if err != nil || time.Since(before) != 0 {
			t.Fatalf("took it after %s: %v", time.Since(before), err)
		}
		if err := next.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A renewal whose reply is lost counts from its first try: whoever takes over has watched it since then.
func TestALostReplyDoesNotMakeALeaseLonger(t *testing.T) {
	store := storage.NewMemory()
	create(t, store)
	lost := pitr.Errorf(pitr.KindUnavailable, "create", "", "the reply was lost")
	synctest.Test(t, func(t *testing.T) {
		// The first renewal, 20 s after the start, is done but unanswered; its repeats fail until one finds it there, 40 s later.
		faulty := storagetest.Faulty(t, store,
			storagetest.Fault{Op: storagetest.Create, Name: "leases/*/*", Nth: 2, Effect: storagetest.LoseReply(lost)},
			storagetest.Fault{Op: storagetest.Create, Name: "leases/*/*", Nth: 2, Times: 18, Effect: storagetest.Fail(lost)},
			storagetest.Fault{Op: storagetest.Create, Name: "leases/*/*", Nth: 3, Times: storagetest.Always, Effect: storagetest.Fail(lost)})
		start := time.Now()
		lease, err := open(t, faulty).Lease(t.Context(), catalog.LeaseWrite, catalog.LeaseOptions{Holder: "a"})
		if err != nil {
			t.Fatal(err)
		}
		<-lease.Context(t.Context()).Done()
		if held := time.Since(start); held > 20*time.Second+catalog.LeaseTTL+time.Second {
			t.Errorf("it was held for %s", held)
		}
	})
}

// case L03
func TestALeaseObjectThatCannotBeRead(t *testing.T) {
	for name, data := range map[string][]byte{"empty": {}, "corrupt": []byte("{\n  \"format\": 1\n}\n")} {
		t.Run(name, func(t *testing.T) {
			store := storage.NewMemory()
			create(t, store)
			object, err := format.LeaseName(catalog.LeaseWrite, 7)
			if err != nil {
				t.Fatal(err)
			}
			if err := store.Create(t.Context(), object.String(), data); err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				repository := open(t, store)
				_, err := repository.Lease(t.Context(), catalog.LeaseWrite, catalog.LeaseOptions{Holder: "b", Wait: time.Hour})
				if pitr.KindOf(err) != pitr.KindCorrupt || pitr.HintOf(err) == "" {
					t.Fatalf("took it, or did not say how to go on: %v", err)
				}
				if err := repository.BreakLease(t.Context(), catalog.LeaseWrite, "a", "me"); pitr.KindOf(err) != pitr.KindRefused {
					t.Fatalf("broken without the typed owner: %v", err)
				}
				if err := repository.BreakLease(t.Context(), catalog.LeaseWrite, "unreadable", "me"); err != nil {
					t.Fatal(err)
				}
				lease, err := repository.Lease(t.Context(), catalog.LeaseWrite, catalog.LeaseOptions{Holder: "b"})
				if err != nil {
					t.Fatal(err)
				}
				if err := lease.Release(t.Context()); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// case L03: a lease that was deleted by hand, or broken, ends for its holder before anybody else has it.
func TestALeaseThatWasTakenAway(t *testing.T) {
	for name, take := range map[string]func(t *testing.T, r *catalog.Repository){
		"deleted": func(t *testing.T, r *catalog.Repository) {
			state, err := r.ShowLease(t.Context(), catalog.LeaseWrite)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Delete(t.Context(), state.Object); err != nil {
				t.Fatal(err)
			}
			time.Sleep(catalog.LeaseTTL)
		},
		"broken": func(t *testing.T, r *catalog.Repository) {
			if err := r.BreakLease(t.Context(), catalog.LeaseWrite, "a", "me"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			store := storage.NewMemory()
			create(t, store)
			synctest.Test(t, func(t *testing.T) {
				repository := open(t, store)
				lease, err := repository.Lease(t.Context(), catalog.LeaseWrite, catalog.LeaseOptions{Holder: "a"})
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(30 * time.Second)
				take(t, repository)
				next, err := repository.Lease(t.Context(), catalog.LeaseWrite, catalog.LeaseOptions{Holder: "b", Wait: time.Hour})
				if err != nil {
					t.Fatal(err)
				}
				if err := lease.Check(); pitr.KindOf(err) != pitr.KindLocked {
					t.Errorf("the holder goes on: %v", err)
				}
				if err := next.Release(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// case L04: nothing about a process makes a lease its own, not even the same number on the same host.
func TestALeaseOfTheSameProcessNumberIsNotOurs(t *testing.T) {
	store := storage.NewMemory()
	create(t, store)
	synctest.Test(t, func(t *testing.T) {
		o := catalog.LeaseOptions{Holder: "root@db1", Host: "db1", Boot: "one", Process: 42}
		lease, err := open(t, store).Lease(t.Context(), catalog.LeaseArchive, o)
		if err != nil {
			t.Fatal(err)
		}
		var waited catalog.LeaseState
		again := o
		again.Waiting = func(s catalog.LeaseState) { waited = s }
		if _, err = open(t, store).Lease(t.Context(), catalog.LeaseArchive, again); pitr.KindOf(err) != pitr.KindLocked {
			t.Errorf("the same process number took it twice: %v", err)
		}
		if waited.Record.Holder != "root@db1" {
			t.Errorf("the taker was told of %+v", waited)
		}
		if err := lease.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Old generations do not pile up where the holder may delete, and do no harm where it may not.
func TestOldGenerationsAreSwept(t *testing.T) {
	for name, denied := range map[string]bool{"deletes": false, "denied": true} {
		t.Run(name, func(t *testing.T) {
			store := storage.NewMemory()
			create(t, store)
			synctest.Test(t, func(t *testing.T) {
				var used storage.Store = store
				if denied {
					used = storagetest.Faulty(t, store, storagetest.Fault{Op: storagetest.Delete, Times: storagetest.Always,
						Effect: storagetest.Fail(pitr.Errorf(pitr.KindDenied, "delete", "", "no"))})
				}
				lease, err := open(t, used).Lease(t.Context(), catalog.LeaseArchive, catalog.LeaseOptions{Holder: "a"})
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Minute)
				if err := lease.Release(t.Context()); err != nil {
					t.Fatal(err)
				}
				left := 0
				for _, err := range store.List(t.Context(), "leases/", "") {
					if err != nil {
						t.Fatal(err)
					}
					left++
				}
				if want := 2; !denied && left != want || denied && left < 25 {
					t.Errorf("%d generations are left", left)
				}
				states, err := open(t, store).Leases(t.Context())
				if err != nil || len(states) != 1 || states[0].Held() {
					t.Errorf("states %+v, error %v", states, err)
				}
			})
		})
	}
}

// A taker that gives up says who holds the lease; one that is told to stop stops.
func TestATakerGivesUp(t *testing.T) {
	store := storage.NewMemory()
	create(t, store)
	synctest.Test(t, func(t *testing.T) {
		repository := open(t, store)
		lease, err := repository.Lease(t.Context(), catalog.LeaseWrite, catalog.LeaseOptions{Holder: "a"})
		if err != nil {
			t.Fatal(err)
		}
		before := time.Now()
		_, err = repository.Lease(t.Context(), catalog.LeaseWrite, catalog.LeaseOptions{Holder: "b"})
		if pitr.KindOf(err) != pitr.KindLocked || time.Since(before) > 25*time.Second {
			t.Errorf("refused after %s with %v", time.Since(before), err)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("enough"))
		defer cancel()
		if _, err = repository.Lease(ctx, catalog.LeaseWrite, catalog.LeaseOptions{Holder: "c"}); err == nil {
			t.Error("took a held lease")
		}
		if err := lease.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
