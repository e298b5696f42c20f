// Package session is the memory of the simulated server about logical sessions: which retryable statements were done, and
// which transaction is open.
//
// A session is checked out by one command at a time. What must survive in the eyes of clients (config.transactions) is
// written by whoever commits; this package keeps the working copy.
package session

import (
	"crypto/sha256"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/internal/replsim/store"
)

// State is how far the transaction of a session is.
type State string

// The states.
const (
	StateNone      State = ""
	StateOpen      State = "inProgress"
	StateCommitted State = "committed"
	StateAborted   State = "aborted"
)

// Statement is a retryable statement that was done, with what a repeated reply needs.
type Statement struct {
	OpTime pitr.OpTime
	// Kind is the entry's op: i, u or d.
	Kind string
	// Upserted is the _id of an upsert.
	Upserted bson.RawValue
	// Reply is the whole document of a findAndModify reply.
	Reply bson.Raw
}

// Session is one logical session. Its fields belong to the command that has it checked out.
type Session struct {
	// ID is the lsid with the uid of its user, as entries carry it.
	ID bson.Raw
	// TxnNumber is the newest number that was begun, -1 before the first.
	TxnNumber int64
	// Statements are the retryable statements of that number.
	Statements map[int32]Statement
	// Written is what the entries of that number are marked with.
	Written store.Session
	// State and Unit are those of its transaction.
	State State
	Unit  *store.Unit
	// Began is when the transaction was begun.
	Began time.Time

	mu sync.Mutex
}

// Lock checks the session out, Unlock gives it back.
func (s *Session) Lock() { s.mu.Lock() }

// TryLock checks the session out unless a command has it.
func (s *Session) TryLock() bool { return s.mu.TryLock() }

// Unlock gives the session back.
func (s *Session) Unlock() { s.mu.Unlock() }

// Start begins a number; statements and transaction of the older one are forgotten.
func (s *Session) Start(number int64) {
	s.TxnNumber, s.Statements, s.State, s.Unit = number, nil, StateNone, nil
	s.Written = store.Session{LSID: s.ID, TxnNumber: number}
}

// Forget drops the statements that were done behind a time: they were rolled back.
func (s *Session) Forget(after pitr.Timestamp) {
	for n, done := range s.Statements {
		if done.OpTime.TS > after {
			delete(s.Statements, n)
		}
	}
	if s.Written.Previous.TS > after {
		s.Written.Previous = pitr.OpTime{}
	}
}

// Remember notes a statement that was done.
func (s *Session) Remember(n int32, done Statement) {
	if s.Statements == nil {
		s.Statements = map[int32]Statement{}
	}
	s.Statements[n] = done
}

// Table is all sessions of a server.
type Table struct {
	mu   sync.Mutex
	byID map[string]*Session
}

// Find gives the session with an id, and makes it if it is new. user is "name@db" of the login, empty without one.
func (t *Table) Find(lsid bson.Raw, user string) *Session {
	id := withUser(lsid, user)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID == nil {
		t.byID = map[string]*Session{}
	}
	s := t.byID[string(id)]
	if s == nil {
		s = &Session{ID: id, TxnNumber: -1}
		t.byID[string(id)] = s
	}
	return s
}

// All gives the sessions as they are now.
func (t *Table) All() []*Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]*Session, 0, len(t.byID))
	for _, s := range t.byID {
		all = append(all, s)
	}
	return all
}

// withUser completes an lsid as the server stores it: {id, uid: SHA-256 of the user}.
func withUser(lsid bson.Raw, user string) bson.Raw {
	uid := sha256.Sum256([]byte(user))
	id := bson.D{{Key: "id", Value: lsid.Lookup("id")}, {Key: "uid", Value: bson.Binary{Data: uid[:]}}}
	raw, err := bson.Marshal(id)
	if err != nil {
		return lsid
	}
	return raw
}
