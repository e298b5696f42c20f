package storage_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pitr"
	"pitr/storage"
	"pitr/storage/storagetest"
)

// patience is a clock that only sleeping moves.
type patience struct {
	mu    sync.Mutex
	now   time.Time
	slept []time.Duration
}

func (p *patience) options() storage.RetryOptions {
	return storage.RetryOptions{Now: p.clock, Sleep: p.sleep, Random: func() float64 { return 0 }}
}

func (p *patience) clock() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

func (p *patience) sleep(ctx context.Context, d time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = p.now.Add(d)
	p.slept = append(p.slept, d)
	return ctx.Err()
}

var (
	unreachable = storage.Transient(pitr.Errorf(pitr.KindUnavailable, "", "", "connection reset"))
	tooFast     = storage.SlowDown(pitr.Errorf(pitr.KindUnavailable, "", "", "slow down"))
)

func TestRetryKeepsTheContract(t *testing.T) {
	storagetest.Run(t, func(*testing.T) storage.Store { return storage.Retry(storage.NewMemory(), storage.RetryOptions{}) })
}

// case S01, S02: passing errors of every operation end in success.
func TestRetryRepeats(t *testing.T) {
	for _, failures := range []int{1, 10} {
		t.Run(fmt.Sprint(failures), func(t *testing.T) {
			var script []storagetest.Fault
			for _, op := range storagetest.Ops {
				script = append(script, storagetest.Fault{Op: op, Times: failures, Effect: storagetest.Fail(unreachable)})
			}
			var p patience
			counted := storagetest.Counted(storagetest.Faulty(t, storage.NewMemory(), script...))
			s := storage.Retry(counted, p.options())
			ctx := t.Context()
			if err := s.Create(ctx, "a", []byte("x")); err != nil {
				t.Error(err)
			}
			if data, err := s.Read(ctx, "a", 0, -1); err != nil || string(data) != "x" {
				t.Errorf("%q, %v", data, err)
			}
			if o, err := s.Stat(ctx, "a"); err != nil || o.Size != 1 {
				t.Errorf("%+v, %v", o, err)
			}
			names := 0
			for _, err := range s.List(ctx, "", "") {
				if names++; err != nil {
					t.Error(err)
				}
			}
			if err := s.Delete(ctx, "a"); err != nil || names != 1 {
				t.Errorf("%v; listed %d", err, names)
			}
			if n := counted.Count(storagetest.Stat, ""); n != failures+1 || len(p.slept) != 5*failures {
				t.Errorf("%d stats, %d pauses for %d failures each", n, len(p.slept), failures)
			}
		})
	}
}

// case S01: a store that stays away ends the call at its budget, with the last reason.
func TestRetryGivesUp(t *testing.T) {
	var p patience
	faulty := storagetest.Faulty(t, storage.NewMemory(),
		storagetest.Fault{Op: storagetest.Stat, Times: storagetest.Always, Effect: storagetest.Fail(unreachable)},
		storagetest.Fault{Op: storagetest.List, Times: storagetest.Always, Effect: storagetest.Fail(unreachable)})
	s := storage.Retry(faulty, p.options())
	_, err := s.Stat(t.Context(), "a")
	var listErr error
	spent := p.clock().Sub(time.Time{})
	for _, listErr = range s.List(t.Context(), "", "") {
	}
	for _, err := range []error{err, listErr} {
		if pitr.KindOf(err) != pitr.KindUnavailable || pitr.HintOf(err) == "" || !strings.Contains(err.Error(), "connection reset") {
			t.Errorf("%v, hint %q", err, pitr.HintOf(err))
		}
		if storage.IsTransient(err) {
			t.Error("a spent budget invites to another one")
		}
	}
	if spent > 5*time.Minute || spent < 4*time.Minute {
		t.Errorf("spent %v of 5 minutes", spent)
	}
}

func TestRetryLeavesOtherErrors(t *testing.T) {
	var p patience
	faulty := storagetest.Faulty(t, storage.NewMemory(), storagetest.Fault{
		Op: storagetest.Stat, Effect: storagetest.Fail(pitr.Errorf(pitr.KindDenied, "", "", "no"))})
	_, err := storage.Retry(faulty, p.options()).Stat(t.Context(), "a")
	if pitr.KindOf(err) != pitr.KindDenied || len(p.slept) != 0 {
		t.Errorf("%v after %d pauses", err, len(p.slept))
	}
}

// case S07: the store kept the object and the answer was lost.
func TestRetryOwnCreate(t *testing.T) {
	var p patience
	memory := storage.NewMemory()
	lost := storagetest.Fault{Op: storagetest.Create, Name: "a", Effect: storagetest.LoseReply(unreachable)}
	s := storage.Retry(storagetest.Faulty(t, memory, lost), p.options())
	if err := s.Create(t.Context(), "a", []byte("mine")); err != nil {
		t.Errorf("a repeated create did not know its own object: %v", err)
	}
	// Without a lost answer nobody may think that the object is his, identical or not.
	if err := s.Create(t.Context(), "a", []byte("mine")); !errors.Is(err, storage.ErrExists) {
		t.Errorf("%v, want ErrExists at the first try", err)
	}
	others := storagetest.Fault{Op: storagetest.Create, Name: "b", Effect: storagetest.Meanwhile(func() {
		if err := memory.Create(t.Context(), "b", []byte("theirs")); err != nil {
			t.Error(err)
		}
	})}
	failed := storagetest.Fault{Op: storagetest.Create, Name: "b", Effect: storagetest.Fail(unreachable)}
	s = storage.Retry(storagetest.Faulty(t, memory, failed, others), p.options())
	if err := s.Create(t.Context(), "b", []byte("mine")); !errors.Is(err, storage.ErrExists) {
		t.Errorf("%v, want ErrExists: another's bytes", err)
	}
	gone := storagetest.Fault{Op: storagetest.Delete, Effect: storagetest.LoseReply(unreachable)}
	s = storage.Retry(storagetest.Faulty(t, memory, gone), p.options())
	if err := s.Delete(t.Context(), "a"); err != nil {
		t.Errorf("a repeated delete missed what it had deleted: %v", err)
	}
	if err := s.Delete(t.Context(), "a"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("%v, want ErrNotFound at the first try", err)
	}
}

// A listing that breaks goes on where it broke: nothing twice, nothing left out.
func TestRetryListGoesOn(t *testing.T) {
	var p patience
	memory := storage.NewMemory()
	for i := range 10 {
		if err := memory.Create(t.Context(), fmt.Sprint(i), nil); err != nil {
			t.Fatal(err)
		}
	}
	faulty := storagetest.Faulty(t, memory,
		storagetest.Fault{Op: storagetest.List, Times: 3, Effect: storagetest.Break(3, unreachable)})
	var names string
	for o, err := range storage.Retry(faulty, p.options()).List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		names += o.Name
	}
	if names != "0123456789" {
		t.Errorf("listed %s", names)
	}
}

// case S01: one caller is told to slow down, and all keep the pause.
func TestRetrySharesSlowDown(t *testing.T) {
	var p patience
	memory := storage.NewMemory()
	faulty := storagetest.Faulty(t, memory,
		storagetest.Fault{Op: storagetest.Stat, Times: 100, Effect: storagetest.Fail(tooFast)})
	options := p.options()
	stopped := errors.New("stopped")
	options.Sleep = func(_ context.Context, d time.Duration) error {
		p.slept = append(p.slept, d)
		return stopped
	}
	s := storage.Retry(faulty, options)
	if _, err := s.Stat(t.Context(), "a"); !errors.Is(err, stopped) {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context(), "a", 0, -1); !errors.Is(err, stopped) || len(p.slept) != 2 || p.slept[1] <= 0 {
		t.Errorf("%v; the other caller kept no pause: %v", err, p.slept)
	}
	// A hundred such answers are got over in one budget.
	var q patience
	if err := memory.Create(t.Context(), "a", nil); err != nil {
		t.Fatal(err)
	}
	options = q.options()
	options.Budget = time.Hour
	if _, err := storage.Retry(faulty, options).Stat(t.Context(), "a"); err != nil {
		t.Error(err)
	}
}

func TestRetryStops(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	lost := errors.New("lease lost")
	faulty := storagetest.Faulty(t, storage.NewMemory(), storagetest.Fault{
		Op: storagetest.Stat, Times: storagetest.Always, Effect: storagetest.Fail(unreachable)})
	time.AfterFunc(50*time.Millisecond, func() { cancel(lost) })
	began := time.Now()
	_, err := storage.Retry(faulty, storage.RetryOptions{First: time.Hour, Longest: time.Hour, Budget: 3 * time.Hour}).Stat(ctx, "a")
	if !errors.Is(err, lost) || time.Since(began) > time.Minute {
		t.Errorf("%v after %v, want the cause at once", err, time.Since(began))
	}
}
