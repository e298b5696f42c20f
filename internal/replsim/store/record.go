package store

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// Moment says which versions a read sees: those committed at or before TS, and those that Unit has open.
type Moment struct {
	TS   pitr.Timestamp
	Unit *Unit
}

// Record is one document through time. Its _id never changes; a document that is deleted and inserted again is another record.
type Record struct {
	// ID is the record id, the place in natural order.
	ID int64
	// key is the encoded _id.
	key  string
	head *version
}

// version is a state of a document; a nil document is a deletion. owner is the unit that has it open, nil once committed.
type version struct {
	ts    pitr.Timestamp
	owner *Unit
	doc   bson.Raw
	prev  *version
}

// At gives the document as a moment sees it, nil where it is absent.
func (r *Record) At(m Moment) bson.Raw {
	for v := r.head; v != nil; v = v.prev {
		if v.owner != nil {
			if v.owner == m.Unit {
				return v.doc
			}
			continue
		}
		if v.ts <= m.TS {
			return v.doc
		}
	}
	return nil
}

// conflicts reports whether a unit may not write the record: somebody else has it open, or it changed after its moment.
func (r *Record) conflicts(u *Unit) bool {
	switch {
	case r.head == nil || r.head.owner == u:
		return false
	case r.head.owner != nil:
		return true
	}
	return r.head.ts > u.Moment.TS
}

// alive reports whether the newest version, open or not, is a document.
func (r *Record) alive() bool { return r.head != nil && r.head.doc != nil }

// grave is something that nobody can see any more once the history window has passed its time.
type grave struct {
	ts     pitr.Timestamp
	in     *Collection
	record *Record
	index  *Index
	entry  *indexEntry
}

// graveyard is a queue of graves, oldest first.
type graveyard struct {
	queue []grave
	next  int
}

func (g *graveyard) add(one grave) { g.queue = append(g.queue, one) }

func (g *graveyard) take(before pitr.Timestamp) (grave, bool) {
	if g.next == len(g.queue) || g.queue[g.next].ts >= before {
		return grave{}, false
	}
	one := g.queue[g.next]
	g.queue[g.next] = grave{}
	g.next++
	if g.next > 1024 && g.next*2 > len(g.queue) {
		g.queue = append([]grave(nil), g.queue[g.next:]...)
		g.next = 0
	}
	return one, true
}

// forget drops what fell out of the history window and what no open unit can see.
func (s *Store) forget() {
	horizon := s.Oldest()
	for u := range s.open {
		horizon = min(horizon, u.Moment.TS)
	}
	for {
		one, ok := s.graves.take(horizon)
		if !ok {
			return
		}
		switch {
		case one.entry != nil:
			one.index.tree.Delete(one.entry)
		case one.record != nil:
			one.in.prune(one.record, horizon)
		default:
			delete(s.uuids, one.in.UUID)
		}
	}
}

// prune cuts the chain below the version that the horizon sees, and takes a record that is gone for good out of the lists.
func (c *Collection) prune(r *Record, horizon pitr.Timestamp) {
	for v := r.head; v != nil; v = v.prev {
		if v.owner == nil && v.ts <= horizon {
			v.prev = nil
			if v == r.head && v.doc == nil {
				c.bury(r)
			}
			return
		}
	}
}

func (c *Collection) bury(r *Record) {
	if r.head == nil && r.key == "" {
		return
	}
	c.ids.Delete(r)
	r.head = nil
	c.dead++
	if c.dead > 1024 && c.dead*2 > len(c.records) {
		kept := make([]*Record, 0, len(c.records)-c.dead)
		for _, record := range c.records {
			if record.head != nil {
				kept = append(kept, record)
			}
		}
		c.records, c.dead = kept, 0
	}
}
