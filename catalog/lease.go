package catalog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pitr"
	"pitr/format"
	"pitr/storage"
)

// The times of a lease. A taker waits a little longer than a holder holds, for clocks that do not run equally fast.
const (
	LeaseTTL     = 60 * time.Second
	leaseRenewal = 20 * time.Second
	leaseWatch   = LeaseTTL + LeaseTTL/20
	// leasePoll is how often a taker looks, and leaseTick how often a holder looks at its clocks.
	leasePoll = 2 * time.Second
	leaseTick = time.Second
	// leaseRetry is the pause after a renewal that failed for a reason that may pass.
	leaseRetry = 2 * time.Second
)

// The leases of a repository: one of each at a time.
const (
	LeaseArchive  = "archive"
	LeaseSnapshot = "snapshot"
	LeaseWrite    = "write"
	LeasePrune    = "prune"
	LeasePlaybook = "playbook"
)

// LeaseOptions say who takes a lease and how long to try.
type LeaseOptions struct {
	// Holder is who a person would ask, as user@host. Host, Boot and Process are for people too: none of them says that a
	// lease is one's own, since a process number comes back after a boot.
	Holder, Host, Boot string
	Process            int
	// Wait is how long to go on trying after the holder has shown a sign of life. Zero refuses at the first sign, which
	// comes within a renewal; a holder without one is succeeded after the TTL.
	Wait time.Duration
	// Waiting is told once whom a taker waits for; nil does not want to know.
	Waiting func(LeaseState)
	// Clock is the taker's own; nil takes the machine's.
	Clock Clock
}

// LeaseState is the newest generation of a lease as others see it.
type LeaseState struct {
	Object format.Name
	Record format.Lease
	// Modified is when the generation was created, by the clock of the store.
	Modified time.Time
	// Problem is why the record cannot be read, nil when it can.
	Problem error
}

// Held reports whether somebody may be holding the lease: a generation exists and was not given back.
func (s LeaseState) Held() bool {
	return !s.Object.IsZero() && (s.Problem != nil || !s.Record.Released)
}

// unreadableOwner is what a person types to break a lease whose record cannot be read.
const unreadableOwner = "unreadable"

// Owner is the word to type to break the lease.
func (s LeaseState) Owner() string {
	if s.Problem != nil {
		return unreadableOwner
	}
	return s.Record.Holder
}

// Lease takes the lease of a name, or fails with kind locked when a living holder has it. What it gives must be released.
//
// Taking, renewing, giving back and breaking all create the next generation, so one of several wins. The taker never
// compares its clock with the holder's: it takes over only after it has itself seen the newest generation stay the same
// for a whole TTL.
func (r *Repository) Lease(ctx context.Context, name string, o LeaseOptions) (*Lease, error) {
	if o.Clock == nil {
		o.Clock = newSystemClock()
	}
	taker := taker{repository: r, name: name, LeaseOptions: o, began: o.Clock.Steady()}
	for {
		state, err := r.ShowLease(ctx, name)
		switch {
		case err != nil:
			return nil, err
		case state.Problem != nil:
			return nil, unreadable(name, state.Problem)
		case taker.mayTake(state):
			lease, err := taker.take(ctx, state.Object.Generation()+1)
			if lease != nil || err != nil {
				return lease, err
			}
			continue // somebody was faster; look again
		case taker.mustGiveUp():
			return nil, locked(name, state)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for lease %s: %w", name, context.Cause(ctx))
		case <-o.Clock.After(leasePoll):
		}
	}
}

func locked(name string, state LeaseState) error {
	return pitr.Errorf(pitr.KindLocked, "take lease "+name,
		"wait for it to end, or look at `pitr lease list`", "%s (process %d on %s) has held it since %s",
		state.Record.Holder, state.Record.Process, state.Record.Host, state.Record.Taken.UTC().Format(time.RFC3339))
}

func unreadable(name string, problem error) error {
	return &pitr.Error{Kind: pitr.KindOf(problem), Op: "take lease " + name,
		Hint: fmt.Sprintf("make sure that nobody is at work, then run `pitr lease break %s` and type %q", name, unreadableOwner),
		Err:  problem}
}

// taker watches a lease until it may be taken.
type taker struct {
	repository *Repository
	name       string
	LeaseOptions
	began time.Duration
	// seen is the newest generation, and since when it has been the newest, by the taker's steady clock: a sleep makes the
	// watch longer, never shorter.
	seen  format.Name
	since time.Duration
	// alive is set once the generation changed under the taker's eyes.
	alive bool
}

func (t *taker) mayTake(state LeaseState) bool {
	if !state.Held() {
		return true
	}
	if state.Object != t.seen {
		t.alive = !t.seen.IsZero()
		if t.Waiting != nil && t.seen.IsZero() {
			t.Waiting(state)
		}
		t.seen, t.since = state.Object, t.Clock.Steady()
	}
	return t.Clock.Steady()-t.since >= leaseWatch
}

func (t *taker) mustGiveUp() bool { return t.alive && t.Clock.Steady()-t.began >= t.Wait }

// take creates a generation; nil without an error says that somebody was faster.
func (t *taker) take(ctx context.Context, generation uint64) (*Lease, error) {
	run, err := t.repository.NewID()
	if err != nil {
		return nil, err
	}
	lease := &Lease{
		repository: t.repository, clock: t.Clock, lost: make(chan struct{}), ended: make(chan struct{}), run: make(chan struct{}),
		// The run makes the bytes unlike those of any other taker, so that equal bytes are ours.
		record: format.Lease{Lease: t.name, Holder: t.Holder, Host: t.Host, Boot: t.Boot, Process: t.Process,
			Taken: t.repository.now().UTC(), Note: "run " + string(run)},
	}
	err = lease.advance(ctx, generation)
	if errors.Is(err, errOvertaken) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	lease.sweep(ctx)
	go lease.watch()
	go lease.renew(context.WithoutCancel(ctx))
	return lease, nil
}

// ShowLease gives the newest generation of a lease; the zero value when nobody ever held it. A record that cannot be read
// is told in the state, not as an error.
func (r *Repository) ShowLease(ctx context.Context, name string) (LeaseState, error) {
	var err error
	for range 10 {
		var newest Found
		newest, err = r.newestLease(ctx, name)
		if err != nil || newest.Name.IsZero() {
			return LeaseState{}, err
		}
		state := LeaseState{Object: newest.Name, Modified: newest.Modified}
		state.Record, err = ReadObject[format.Lease](ctx, r, newest.Name)
		switch {
		case err == nil:
		case errors.Is(err, storage.ErrNotFound):
			continue // it was renewed and removed between the listing and the read
		case pitr.KindOf(err) == pitr.KindCorrupt, pitr.KindOf(err) == pitr.KindUnsupported:
			state.Problem = err
		default:
			return LeaseState{}, err
		}
		return state, nil
	}
	return LeaseState{}, err
}

// Leases gives the newest generation of every lease that was ever taken.
func (r *Repository) Leases(ctx context.Context) ([]LeaseState, error) {
	var states []LeaseState
	after := ""
	for {
		name := ""
		for found, err := range r.List(ctx, format.LeasesPrefix, after) {
			if err != nil {
				return nil, err
			}
			name = found.Name.Lease()
			break
		}
		if name == "" {
			return states, nil
		}
		state, err := r.ShowLease(ctx, name)
		if err != nil {
			return nil, err
		}
		if !state.Object.IsZero() {
			states = append(states, state)
		}
		after = afterFolder(format.LeasePrefix(name))
	}
}

func (r *Repository) newestLease(ctx context.Context, name string) (Found, error) {
	for found, err := range r.List(ctx, format.LeasePrefix(name), "") {
		return found, err
	}
	return Found{}, nil
}

// BreakLease takes a lease away from its holder, who must be named as LeaseState.Owner says. The holder stops at its next
// renewal; others can take the lease once the TTL has passed.
func (r *Repository) BreakLease(ctx context.Context, name, owner, by string) error {
	state, err := r.ShowLease(ctx, name)
	op := "break lease " + name
	switch {
	case err != nil:
		return err
	case !state.Held():
		return pitr.Errorf(pitr.KindNotFound, op, "see `pitr lease list`", "nobody holds it")
	case owner != state.Owner():
		return pitr.Refusef(op, fmt.Sprintf("type the owner exactly: %s", state.Owner()), "%q does not hold it", owner)
	}
	run, err := r.NewID()
	if err != nil {
		return err
	}
	record := format.Lease{Lease: name, Generation: state.Object.Generation() + 1, Holder: by, Taken: r.now().UTC(),
		Note: fmt.Sprintf("taken from %s, run %s", owner, run)}
	_, err = r.PutObject(ctx, &record)
	return err
}
