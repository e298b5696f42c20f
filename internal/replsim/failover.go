package replsim

import (
	"pitr"
	"pitr/internal/replsim/session"
)

// Elect lets the set go through an election that the same member wins: open transactions end, the term rises, and a no-op
// marks the new term.
func (s *Server) Elect() {
	s.newTerm(func() { s.store.AbortAll() })
}

// Rollback takes back everything behind the majority point (see HoldMajority), and then elects: from here on the set has
// another history, in which the times of lost entries may come again. Connections are closed and cursors die.
func (s *Server) Rollback() {
	var point pitr.Timestamp
	s.newTerm(func() {
		point = s.store.Majority().TS
		s.store.Rollback()
	})
	for _, one := range s.sessions.All() {
		one.Lock()
		one.Forget(point)
		one.Unlock()
	}
	s.admin.Rollbacks.Add(1)
	s.reads.KillAll()
	s.DropConnections()
}

// ForceRollback is Rollback to an earlier moment: a majority lost its data, or a member that was behind was made primary by
// force. What a majority had committed since is gone.
func (s *Server) ForceRollback(to pitr.Timestamp) {
	s.store.MoveMajority(to)
	s.Rollback()
}

// Restart ends connections, cursors, transactions and retryable memory in flight, and starts again with the same data; a
// write block stands.
func (s *Server) Restart() {
	s.newTerm(func() { s.store.AbortAll() })
	s.reads.KillAll()
	s.DropConnections()
}

func (s *Server) newTerm(before func()) {
	_ = s.store.Update(func() error { // the closure does not fail
		before()
		s.store.Elect()
		return s.message("new primary")
	})
	for _, one := range s.sessions.All() {
		if one.TryLock() {
			if one.State == session.StateOpen {
				one.State = session.StateAborted
			}
			one.Unlock()
		}
	}
	s.admin.TopologyChanged()
}
