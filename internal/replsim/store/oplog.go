package store

import (
	"sort"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// oplog is the entries in order of time.
type oplog struct {
	entries []Entry
	bytes   int64
	limit   int64
}

// Entry is one entry of the oplog, as a reader gets it.
type Entry struct {
	TS  pitr.Timestamp
	Doc bson.Raw
}

// add appends an entry and drops the oldest ones above the limit.
func (s *Store) add(ts pitr.Timestamp, doc bson.Raw) {
	s.written = pitr.OpTime{TS: ts, Term: s.Term()}
	l := &s.oplog
	l.entries = append(l.entries, Entry{TS: ts, Doc: doc})
	l.bytes += int64(len(doc))
	drop := 0
	for l.bytes > l.limit && drop < len(l.entries)-1 {
		l.bytes -= int64(len(l.entries[drop].Doc))
		drop++
	}
	l.drop(drop)
}

func (l *oplog) drop(n int) {
	for i := range n {
		l.entries[i].Doc = nil
	}
	l.entries = l.entries[n:]
}

// Entries gives the entries at or after a time, up to and including another one. Only for use inside View or Update.
func (s *Store) Entries(from, through pitr.Timestamp) []Entry {
	entries := s.oplog.entries
	first := sort.Search(len(entries), func(i int) bool { return entries[i].TS >= from })
	end := sort.Search(len(entries), func(i int) bool { return entries[i].TS > through })
	return entries[first:max(first, end):max(first, end)]
}

// OldestEntry is the time of the oldest entry, zero if there is none.
func (s *Store) OldestEntry() pitr.Timestamp {
	if len(s.oplog.entries) == 0 {
		return 0
	}
	return s.oplog.entries[0].TS
}

// OplogBytes is the size of the entries and the limit.
func (s *Store) OplogBytes() (size, limit int64) { return s.oplog.bytes, s.oplog.limit }

// TruncateOplog drops all entries before a time, as a roll-over does.
func (s *Store) TruncateOplog(before pitr.Timestamp) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.oplog
	n := sort.Search(len(l.entries), func(i int) bool { return l.entries[i].TS >= before })
	n = min(n, len(l.entries)-1)
	for _, e := range l.entries[:n] {
		l.bytes -= int64(len(e.Doc))
	}
	kept := make([]Entry, len(l.entries)-n)
	copy(kept, l.entries[n:])
	l.entries = kept
	s.entries.fire()
}

// appendIndexKey writes the head of an array element.
func appendIndexKey(dst []byte, t bson.Type, i int) []byte {
	dst = append(dst, byte(t))
	dst = strconv.AppendInt(dst, int64(i), 10)
	return append(dst, 0)
}
