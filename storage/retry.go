package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"time"

	"pitr"
)

// RetryOptions says how patient Retry is; the zero value is right for a store on a network.
type RetryOptions struct {
	// Budget is how long one call may take with all its repeats, 5 minutes by default. No repeat begins after it.
	Budget time.Duration
	// First and Longest bound the pause before a repeat, 100 ms and 15 s by default; it doubles each time and is then
	// shortened by up to half at random.
	First, Longest time.Duration
	// Log hears of each repeat at level debug; it is silent by default.
	Log *slog.Logger

	// Now, Sleep and Random are the clock, the wait and a source of numbers in [0, 1).
	Now    func() time.Time
	Sleep  func(context.Context, time.Duration) error
	Random func() float64
}

// Retry repeats calls on s that failed with a transient error, until they succeed or the budget is spent; that is
// pitr.KindUnavailable. When the store asks for less traffic, all callers pause together.
//
// A Create or Delete that is repeated may meet the work of its own first try, whose answer was lost. So a repeated Create that
// finds the name taken by the very same bytes has succeeded, and so has a repeated Delete that finds nothing.
func Retry(s Store, o RetryOptions) Store {
	o.Budget = orDefault(o.Budget, 5*time.Minute)
	o.First = orDefault(o.First, 100*time.Millisecond)
	o.Longest = orDefault(o.Longest, 15*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Now = clock(o.Now)
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	return &retry{store: s, RetryOptions: o}
}

func orDefault(d, standard time.Duration) time.Duration {
	if d == 0 {
		return standard
	}
	return d
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type retry struct {
	RetryOptions
	store Store
	pace  pace
}

// Create implements Store.
func (r *retry) Create(ctx context.Context, name string, data []byte) error {
	repeats, err := r.repeat(ctx, "create "+name, func() error { return r.store.Create(ctx, name, data) })
	if repeats == 0 || !errors.Is(err, ErrExists) {
		return err
	}
	there, readErr := r.Read(ctx, name, 0, -1)
	if readErr != nil {
		return fmt.Errorf("see whether %s is ours: %w", name, readErr)
	}
	if !bytes.Equal(there, data) {
		return err
	}
	return nil
}

// Read implements Store.
func (r *retry) Read(ctx context.Context, name string, offset, n int64) (data []byte, err error) {
	_, err = r.repeat(ctx, "read "+name, func() error {
		data, err = r.store.Read(ctx, name, offset, n)
		return err
	})
	return data, err
}

// Stat implements Store.
func (r *retry) Stat(ctx context.Context, name string) (o Object, err error) {
	_, err = r.repeat(ctx, "stat "+name, func() error {
		o, err = r.store.Stat(ctx, name)
		return err
	})
	return o, err
}

// List implements Store. A listing that breaks goes on after the last object it gave, with a fresh budget if it gave any.
func (r *retry) List(ctx context.Context, prefix, after string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		tries := r.begin("list " + prefix)
		for {
			last, err := after, r.pause(ctx, &tries)
			if err == nil {
				for o, listErr := range r.store.List(ctx, prefix, after) {
					if err = listErr; err != nil {
						break
					}
					if !yield(o, nil) {
						return
					}
					last = o.Name
				}
			}
			if last != after {
				after, tries = last, r.begin(tries.what)
			}
			again, err := r.judge(ctx, &tries, err)
			if !again {
				if err != nil {
					yield(Object{}, err)
				}
				return
			}
		}
	}
}

// Delete implements Store.
func (r *retry) Delete(ctx context.Context, name string) error {
	repeats, err := r.repeat(ctx, "delete "+name, func() error { return r.store.Delete(ctx, name) })
	if repeats > 0 && errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// repeat makes a call until it succeeds, fails for good, or the budget is spent; it gives the number of repeats.
func (r *retry) repeat(ctx context.Context, what string, call func() error) (int, error) {
	tries := r.begin(what)
	for {
		err := r.pause(ctx, &tries)
		if err == nil {
			err = call()
		}
		if again, err := r.judge(ctx, &tries, err); !again {
			return tries.failed, err
		}
	}
}

// tries is one call with its repeats.
type tries struct {
	what   string
	since  time.Time
	failed int
	wait   time.Duration
}

func (r *retry) begin(what string) tries { return tries{what: what, since: r.Now()} }

// pause waits for the call's own back-off and for the one that all callers share.
func (r *retry) pause(ctx context.Context, t *tries) error {
	wait := max(t.wait, r.pace.rest(r.Now(), r.Random()))
	t.wait = 0
	if wait <= 0 {
		return nil
	}
	if err := r.Sleep(ctx, wait); err != nil {
		if ended := Ended(ctx, t.what, "again"); ended != nil {
			return ended
		}
		return err
	}
	return nil
}

// judge decides about the outcome of one try: make another one, or return with the error.
func (r *retry) judge(ctx context.Context, t *tries, err error) (again bool, final error) {
	passing, ok := errors.AsType[*transient](err)
	if !ok || ctx.Err() != nil {
		if err == nil {
			r.pace.ease()
		}
		return false, err
	}
	t.failed++
	now := r.Now()
	wait := r.backoff(t.failed)
	if passing.slow {
		r.pace.slow(now, r.First)
	}
	if now.Add(wait).Sub(t.since) > r.Budget {
		return false, pitr.Errorf(pitr.KindUnavailable, t.what, "check the connection to the store, then run the same command again",
			"gave up after %d tries in %v: %w", t.failed, now.Sub(t.since).Round(time.Millisecond), passing.error)
	}
	t.wait = wait
	r.Log.DebugContext(ctx, "repeat a call on the store", "call", t.what, "failed", t.failed, "wait", wait, "error", passing.error)
	return true, nil
}

func (r *retry) backoff(failed int) time.Duration {
	wait := r.First
	for range failed - 1 {
		if wait *= 2; wait >= r.Longest {
			wait = r.Longest
			break
		}
	}
	return wait - time.Duration(r.Random()*float64(wait)/2)
}
