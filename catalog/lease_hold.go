package catalog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"pitr"
	"pitr/format"
	"pitr/storage"
)

// Lease is a right to do one kind of work, for as long as it is renewed. It is safe for use by several goroutines.
type Lease struct {
	repository *Repository
	clock      Clock

	mu     sync.Mutex
	record format.Lease
	// start is when the first attempt to create the newest generation began: nobody can have seen it earlier.
	start instant
	// tried is the newest generation that we tried to create, and when we first did. A try that failed may have been done.
	tried      uint64
	triedSince instant
	// cause is why the lease is lost, nil while it is held.
	cause error
	// noDelete is set once the store refused to delete, so that it is not asked every time.
	noDelete bool

	// lost is closed with cause set; run is closed to stop the keepers, ended when the renewing one has stopped.
	lost, run, ended chan struct{}
	stop             sync.Once
}

// errOvertaken says that another run created the generation that we wanted.
var errOvertaken = errors.New("another run has taken the lease")

// Name gives the lease's name.
func (l *Lease) Name() string { return l.record.Lease }

// Context gives a context that ends with parent, and with the loss of the lease as its cause when the lease is lost. Work
// that the lease protects runs under it.
func (l *Lease) Context(parent context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(parent)
	go func() {
		select {
		case <-l.lost:
			cancel(l.Check())
		case <-l.ended:
			cancel(l.Check())
		case <-ctx.Done():
			cancel(nil)
		}
	}()
	return ctx
}

// Check tells at this very moment whether the lease is held; an error has kind locked. Look before each step that must not
// be done twice: a context hears of a sleep of the machine only after the sleep.
func (l *Lease) Check() error {
	l.mu.Lock()
	held := l.start.since(l.clock)
	l.mu.Unlock()
	if held >= LeaseTTL {
		l.lose(fmt.Errorf("it was not renewed for %s", held.Round(time.Second)))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

// lose ends the lease once and for all.
func (l *Lease) lose(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause != nil {
		return
	}
	l.cause = pitr.Errorf(pitr.KindLocked, "hold lease "+l.record.Lease,
		"see `pitr lease list` for who has it now, then start again or resume", "%w", why)
	close(l.lost)
}

// Release gives the lease back, so that the next taker need not wait. It fails with kind locked when the lease had been lost
// before. It has its own short time limit and is to be called also when ctx has ended.
func (l *Lease) Release(ctx context.Context) error {
	l.stop.Do(func() { close(l.run) })
	<-l.ended
	if err := l.Check(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseRenewal)
	defer cancel()
	l.mu.Lock()
	l.record.Released = true
	// A renewal that failed may have been done: the last word has to come after it.
	next := max(l.record.Generation, l.tried) + 1
	l.mu.Unlock()
	// Whoever took the lease as soon as it was free may have swept the record away before we could confirm it.
	if err := l.advance(ctx, next); err != nil && !errors.Is(err, errOvertaken) {
		l.lose(err)
		return l.Check()
	}
	l.lose(errors.New("it was given back"))
	l.sweep(ctx)
	return nil
}

// advance creates a generation and makes sure that it is the newest. A generation can be free again although newer ones
// exist, when its holder removed it; so the look afterwards is what decides.
func (l *Lease) advance(ctx context.Context, generation uint64) error {
	l.mu.Lock()
	if l.tried != generation {
		l.tried, l.triedSince = generation, now(l.clock)
	}
	record, start := l.record, l.triedSince
	l.mu.Unlock()
	record.Generation = generation
	_, err := l.repository.PutObject(ctx, &record)
	switch {
	case errors.Is(err, storage.ErrExists), errors.Is(err, storage.ErrNotFound):
		return errOvertaken
	case err != nil:
		return err
	}
	newest, err := l.look(ctx, generation)
	switch {
	case err != nil:
		return err
	case newest > generation:
		return errOvertaken
	case start.since(l.clock) >= LeaseTTL:
		return fmt.Errorf("taking it took %s, longer than it lasts", start.since(l.clock).Round(time.Second))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.start, l.record = start, record
	return nil
}

// watch looks at the clocks.
func (l *Lease) watch() {
	for {
		select {
		case <-l.run:
			return
		case <-l.lost:
			return
		case <-l.clock.After(leaseTick):
			_ = l.Check() // it marks the loss itself
		}
	}
}

// renew creates the next generation every so often, until the lease is lost or given back.
func (l *Lease) renew(ctx context.Context) {
	defer close(l.ended)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-l.lost:
		case <-l.run:
		case <-ctx.Done():
		}
		cancel()
	}()
	pause := leaseRenewal
	for {
		select {
		case <-l.run:
			return
		case <-l.lost:
			return
		case <-l.clock.After(pause):
		}
		pause = leaseRenewal
		switch err := l.renewOnce(ctx); {
		case err == nil:
			l.sweep(ctx)
		case ctx.Err() != nil:
			return // given back, or lost, meanwhile
		case mayPass(err):
			l.repository.log.WarnContext(ctx, "lease not renewed, trying again", "lease", l.Name(), "error", err)
			pause = leaseRetry
		default:
			l.lose(err)
			return
		}
	}
}

// renewOnce makes sure that our generation still is the newest before it creates the next one: an object that somebody
// removed would otherwise let two runs hold the lease, each in generations of its own.
func (l *Lease) renewOnce(ctx context.Context) error {
	if err := l.Check(); err != nil {
		return err
	}
	l.mu.Lock()
	generation := l.record.Generation
	l.mu.Unlock()
	newest, err := l.look(ctx, generation)
	switch {
	case err != nil:
		return err
	case newest > generation+1:
		return errOvertaken
	}
	// A newest generation that follows ours may be our own renewal whose reply was lost: creating it again tells.
	return l.advance(ctx, generation+1)
}

// look gives the newest generation, which must not be older than our own. A listing may miss what is created while it
// runs, so one that misses ours as well is repeated.
func (l *Lease) look(ctx context.Context, own uint64) (uint64, error) {
	for range attempts {
		newest, err := l.repository.newestLease(ctx, l.Name())
		if err != nil {
			return 0, err
		}
		if !newest.Name.IsZero() && newest.Name.Generation() >= own {
			return newest.Name.Generation(), nil
		}
	}
	return 0, errors.New("somebody removed the lease's object")
}

// mayPass reports whether a renewal is worth repeating while the TTL lasts.
func mayPass(err error) bool {
	kind := pitr.KindOf(err)
	return kind == pitr.KindUnavailable || kind == pitr.KindLimit
}

// sweep removes older generations, if the store lets us; prune removes what is left. The one before the newest stays, so
// that a listing that misses the newest because it is just being made still finds one.
func (l *Lease) sweep(ctx context.Context) {
	l.mu.Lock()
	current, noDelete := l.record.Generation, l.noDelete
	l.mu.Unlock()
	if noDelete {
		return
	}
	spared := false
	for found, err := range l.repository.List(ctx, format.LeasePrefix(l.Name()), "") { // the newest first
		if err != nil {
			return
		}
		if found.Name.Generation() >= current {
			continue
		}
		if !spared { // a renewal that was cut off leaves a number out: the one before is not always one less
			spared = true
			continue
		}
		if err := l.repository.Delete(ctx, found.Name); err != nil && !errors.Is(err, storage.ErrNotFound) {
			l.mu.Lock()
			l.noDelete = true
			l.mu.Unlock()
			return
		}
	}
}
