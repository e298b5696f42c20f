package store

import (
	"sort"

	"pitr"
)

// AbortAll aborts all open units, as an election or a restart does. It is called inside Update.
func (s *Store) AbortAll() {
	for u := range s.open {
		u.Abort()
	}
}

// Rollback takes back everything behind the majority point: entries, documents and catalog. The cluster clock goes back with
// it, so that another history may use the same times again. It is called inside Update.
func (s *Store) Rollback() {
	s.AbortAll()
	point := s.Majority()
	l := &s.oplog
	n := sort.Search(len(l.entries), func(i int) bool { return l.entries[i].TS > point.TS })
	for _, e := range l.entries[n:] {
		l.bytes -= int64(len(e.Doc))
	}
	l.entries = l.entries[:n:n]
	for uuid, c := range s.uuids {
		if !c.rollback(point.TS) {
			delete(s.uuids, uuid)
		}
	}
	s.names = map[string]*Collection{}
	for _, c := range s.uuids {
		if !c.Dropped() {
			s.names[c.NS] = c
		}
	}
	s.graves = graveyard{}
	s.written, s.changed, s.frozen = point, point.TS, nil
	s.reserved.Store(uint64(point.TS))
	s.blocked = false
	if block := s.names["config.user_writes_critical_sections"]; block != nil {
		s.blocked = block.count > 0
	}
}

// rollback takes a collection back to a moment and reports whether it existed then.
func (c *Collection) rollback(point pitr.Timestamp) bool {
	n := sort.Search(len(c.states), func(i int) bool { return c.states[i].from > point })
	if n == 0 {
		return false
	}
	c.states = c.states[:n:n]
	last := c.states[n-1]
	c.NS = last.ns
	_ = c.setOptions(last.options) // compiled before
	c.count, c.bytes = 0, 0
	for r := range c.After(NaturalStart) {
		for r.head != nil && r.head.ts > point {
			r.head = r.head.prev
		}
		switch {
		case r.head == nil:
			c.ids.Delete(r)
			c.dead++
		case r.head.doc != nil:
			c.count++
			c.bytes += int64(len(r.head.doc))
		}
	}
	c.Indexes = nil
	for _, old := range last.indexes {
		x := old.index
		x.Spec, x.ready, x.Build = old.spec, old.ready, pitr.UUID{}
		x.setUnique()
		x.tree.Clear()
		_ = x.fill(c.store.Begin(), c) // its keys were unique at that time
		c.Indexes = append(c.Indexes, x)
	}
	return true
}
