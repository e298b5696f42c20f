// Package store holds the data of a simulated replica set member: collections with every version that a snapshot read may
// still ask for, the catalog, and the oplog.
//
// How it works:
//  1. One lock. A command writes inside Update and reads inside View; a long scan takes the lock once per batch.
//  2. Writes go through a Unit. A plain unit gives every operation its own cluster time and entry; a grouped one (a
//     transaction, a batch of deletes) collects operations and logs them as applyOps when it commits. What a unit wrote is
//     seen by nobody else before.
//  3. A record is a chain of versions, newest first; a Moment picks one. Two units cannot have the newest version of one
//     record open at once: the second gets ErrConflict.
//  4. Versions older than the history window are forgotten as time goes on.
//
// It knows nothing of commands, sessions or rights, and keeps everything in memory.
package store

import (
	"context"
	"crypto/rand"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"pitr"
)

// ErrConflict is a write to a record whose newest version belongs to another unit, or is newer than the unit's moment.
var ErrConflict = errors.New("write conflict")

// Latest is the moment that sees everything committed.
var Latest = Moment{TS: pitr.Timestamp(math.MaxUint64)}

// Options set up a store; the zero value is good.
type Options struct {
	// Now is the wall clock.
	Now func() time.Time
	// NewUUID makes identities of collections and index builds.
	NewUUID func() pitr.UUID
	// History is how far back snapshot reads reach, five minutes if zero.
	History time.Duration
	// OplogBytes is the size above which the oldest entries fall off, 4,000 MB if zero.
	OplogBytes int64
}

// Store is the data of one member. It is safe for concurrent use through View and Update.
type Store struct {
	options Options

	// term and reserved, the newest cluster time handed out, may be read without the lock.
	term     atomic.Int64
	reserved atomic.Uint64

	mu sync.RWMutex
	// written is the newest entry.
	written pitr.OpTime
	// frozen is the majority point while it is held back.
	frozen   *pitr.OpTime
	oplog    oplog
	names    map[string]*Collection
	uuids    map[pitr.UUID]*Collection
	open     map[*Unit]struct{}
	graves   graveyard
	floor    pitr.Timestamp
	history  time.Duration
	blocked  bool
	fullDisk bool
	changed  pitr.Timestamp
	// graveSerial tells index entries of one record under one key apart.
	graveSerial int64

	entries signal
	ends    signal
}

// New makes an empty store before its first election.
func New(o Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewUUID == nil {
		o.NewUUID = RandomUUID
	}
	if o.History == 0 {
		o.History = 5 * time.Minute
	}
	if o.OplogBytes == 0 {
		o.OplogBytes = 4000 << 20
	}
	s := &Store{
		options: o, history: o.History,
		names: map[string]*Collection{}, uuids: map[pitr.UUID]*Collection{},
		open: map[*Unit]struct{}{}, oplog: oplog{limit: o.OplogBytes},
	}
	s.term.Store(noTerm)
	return s
}

// RandomUUID makes an identity of version 4.
func RandomUUID() pitr.UUID {
	var u pitr.UUID
	_, _ = rand.Read(u[:]) // never fails
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u
}

// View runs a read. The store does not change meanwhile; raw documents stay valid afterwards.
func (s *Store) View(read func()) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	read()
}

// Update runs a write alone.
func (s *Store) Update(write func() error) error {
	s.mu.Lock()
	before, units := s.written, len(s.open)
	err := write()
	if s.written != before {
		s.forget()
		s.entries.fire()
	}
	if len(s.open) < units {
		s.ends.fire()
	}
	s.mu.Unlock()
	return err
}

// Retry runs a write and, as long as it conflicts with an open unit, waits for a unit to end and runs it again.
func (s *Store) Retry(ctx context.Context, write func() error) error {
	for {
		ended := s.ends.wait()
		err := s.Update(write)
		if !errors.Is(err, ErrConflict) {
			return err
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Now gives the wall clock.
func (s *Store) Now() time.Time { return s.options.Now() }

// NewUUID makes an identity.
func (s *Store) NewUUID() pitr.UUID { return s.options.NewUUID() }

// EntryAdded gives a channel that is closed when the oplog grows or a position of it changes.
func (s *Store) EntryAdded() <-chan struct{} { return s.entries.wait() }

// signal wakes everybody who waits for the next event.
type signal struct {
	mu      sync.Mutex
	channel chan struct{}
}

func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.channel == nil {
		s.channel = make(chan struct{})
	}
	return s.channel
}

func (s *signal) fire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.channel != nil {
		close(s.channel)
		s.channel = nil
	}
}
