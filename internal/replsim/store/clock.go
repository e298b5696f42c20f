package store

import (
	"context"

	"pitr"
)

// reserve hands out n cluster times in a row and gives the first. Times that no entry uses leave holes, as on a server.
func (s *Store) reserve(n int) pitr.Timestamp {
	reserved := s.ClusterTime()
	if now := pitr.NewTimestamp(uint32(s.options.Now().Unix()), 0); now > reserved { //nolint:gosec // seconds fit until 2106
		reserved = now
	}
	s.reserved.Store(uint64(reserved) + uint64(n)) //nolint:gosec // a count
	return reserved + 1
}

// Burn reserves times that nothing will use.
func (s *Store) Burn(n int) pitr.Timestamp { return s.reserve(n) }

// ClusterTime is the newest time handed out.
func (s *Store) ClusterTime() pitr.Timestamp { return pitr.Timestamp(s.reserved.Load()) }

// Advance moves the cluster clock forward to what a client has seen elsewhere.
func (s *Store) Advance(to pitr.Timestamp) {
	if to > s.ClusterTime() {
		s.reserved.Store(uint64(to))
	}
}

// Written is the optime of the newest entry. It is read inside View or Update, as is Majority.
func (s *Store) Written() pitr.OpTime { return s.written }

// Majority is the newest optime that cannot be rolled back.
func (s *Store) Majority() pitr.OpTime {
	if s.frozen != nil {
		return *s.frozen
	}
	return s.written
}

// Term is the election term.
func (s *Store) Term() int64 { return s.term.Load() }

// Elect begins the next term. It is called inside Update.
func (s *Store) Elect() { s.term.Store(max(s.term.Load(), 0) + 1) }

// HoldMajority stops the majority point where it is; ReleaseMajority lets it catch up.
func (s *Store) HoldMajority() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frozen == nil {
		at := s.written
		s.frozen = &at
	}
}

// MoveMajority holds the majority point at the newest entry at or before a time, for a rollback past what was committed.
func (s *Store) MoveMajority(to pitr.Timestamp) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries := s.Entries(0, to)
	if len(entries) > 0 {
		last := entries[len(entries)-1]
		at := pitr.OpTime{TS: last.TS, Term: last.Doc.Lookup("t").AsInt64()}
		s.frozen = &at
	}
}

// ReleaseMajority ends HoldMajority.
func (s *Store) ReleaseMajority() {
	s.mu.Lock()
	s.frozen = nil
	s.mu.Unlock()
	s.entries.fire()
}

// AwaitMajority waits until the majority point has reached a time.
func (s *Store) AwaitMajority(ctx context.Context, ts pitr.Timestamp) error {
	for {
		added := s.entries.wait()
		reached := false
		s.View(func() { reached = s.Majority().TS >= ts })
		if reached {
			return nil
		}
		select {
		case <-added:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Oldest is the oldest time a snapshot read may name.
func (s *Store) Oldest() pitr.Timestamp {
	oldest := pitr.NewTimestamp(uint32(s.options.Now().Add(-s.history).Unix()), 0) //nolint:gosec // seconds fit until 2106
	if newest := s.Majority().TS; newest < oldest {
		oldest = newest
	}
	return max(oldest, s.floor)
}

// ForgetHistory makes every moment before now too old for a snapshot read.
func (s *Store) ForgetHistory() { s.floor = s.written.TS }
