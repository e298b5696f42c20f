package store

import (
	"iter"
	"math"
	"sort"
	"strings"

	"github.com/tidwall/btree"
	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/internal/replsim/mql"
)

// Collection is a collection through time, under all the names it had.
type Collection struct {
	UUID pitr.UUID
	// NS is the present name, "db.collection".
	NS string
	// Options is the options document of listCollections.
	Options bson.Raw
	// IDIndex is the spec of the _id index; nil in a clustered collection.
	IDIndex bson.Raw
	// Indexes are the others, in the order of their creation, those that are still being built among them.
	Indexes []*Index
	// Validator is the compiled validator of the options, nil if there is none.
	Validator *mql.Filter

	store   *Store
	owner   *Unit
	states  []state
	records []*Record
	dead    int
	nextID  int64
	ids     *btree.BTreeG[*Record]
	count   int64
	bytes   int64
	capped  limit
	users   map[*Unit]struct{}
	// silent collections change without entries: local ones, and those that every member keeps by itself.
	silent bool
	// clusteredBy is set when natural order is the order of _id.
	clustered bool
}

// limit is that of a capped collection; zero numbers mean no limit.
type limit struct{ size, max int64 }

// state is what a collection was from a moment on.
type state struct {
	from    pitr.Timestamp
	ns      string
	options bson.Raw
	indexes []indexState
	dropped bool
}

// indexState is an index as it was from a moment on.
type indexState struct {
	index *Index
	spec  bson.Raw
	ready pitr.Timestamp
}

// DB is the database part of a namespace.
func DB(ns string) string {
	db, _, _ := strings.Cut(ns, ".")
	return db
}

// Name is the collection part of a namespace.
func Name(ns string) string {
	_, name, _ := strings.Cut(ns, ".")
	return name
}

// Count is the number of documents, without those that open units add or remove.
func (c *Collection) Count() int64 { return c.count }

// Bytes is the size of the documents.
func (c *Collection) Bytes() int64 { return c.bytes }

// Capped reports whether the collection has a limit.
func (c *Collection) Capped() bool { return c.capped.size != 0 }

// Clustered reports whether the _id is the record id.
func (c *Collection) Clustered() bool { return c.clustered }

// Dropped reports whether the collection is gone.
func (c *Collection) Dropped() bool {
	return len(c.states) > 0 && c.states[len(c.states)-1].dropped
}

// Changed is the time of the newest change of name, options or indexes.
func (c *Collection) Changed() pitr.Timestamp {
	changed := pitr.Timestamp(0)
	if n := len(c.states); n > 0 {
		changed = c.states[n-1].from
	}
	for _, x := range c.Indexes {
		changed = max(changed, x.ready)
	}
	return changed
}

func (c *Collection) at(ts pitr.Timestamp) (state, bool) {
	for i := len(c.states) - 1; i >= 0; i-- {
		if c.states[i].from <= ts {
			return c.states[i], !c.states[i].dropped
		}
	}
	return state{}, false
}

// NaturalStart is the position before the first record in natural order, NaturalEnd that after the last.
const (
	NaturalStart = int64(math.MinInt64)
	NaturalEnd   = int64(math.MaxInt64)
)

// After yields records in natural order, beginning behind a record id.
func (c *Collection) After(id int64) iter.Seq[*Record] {
	if c.clustered {
		return c.clusteredFrom(id, c.ids.Scan)
	}
	first := sort.Search(len(c.records), func(i int) bool { return c.records[i].ID > id })
	return func(yield func(*Record) bool) {
		for _, r := range c.records[first:] {
			if r.head != nil && !yield(r) {
				return
			}
		}
	}
}

// BeforeID yields records in reverse natural order, beginning in front of a record id.
func (c *Collection) BeforeID(id int64) iter.Seq[*Record] {
	if c.clustered {
		return c.clusteredFrom(id, c.ids.Reverse)
	}
	first := sort.Search(len(c.records), func(i int) bool { return c.records[i].ID >= id })
	return func(yield func(*Record) bool) {
		for i := first - 1; i >= 0; i-- {
			if r := c.records[i]; r.head != nil && !yield(r) {
				return
			}
		}
	}
}

// clusteredFrom walks the _id index; record ids name the place to go on at only while that record is still there.
func (c *Collection) clusteredFrom(id int64, walk func(func(*Record) bool)) iter.Seq[*Record] {
	return func(yield func(*Record) bool) {
		skipping := id != NaturalStart && id != NaturalEnd
		walk(func(r *Record) bool {
			if skipping {
				skipping = r.ID != id
				return true
			}
			return yield(r)
		})
	}
}

// Has reports whether a moment sees a document under a record id.
func (c *Collection) Has(id int64, m Moment) bool {
	if c.clustered {
		found := false
		c.ids.Scan(func(r *Record) bool {
			found = r.ID == id && r.At(m) != nil
			return !found
		})
		return found
	}
	i := sort.Search(len(c.records), func(i int) bool { return c.records[i].ID >= id })
	return i < len(c.records) && c.records[i].ID == id && c.records[i].At(m) != nil
}

// ByID finds the document with an _id, nil where a moment sees none.
func (c *Collection) ByID(id bson.RawValue, m Moment) (*Record, bson.Raw) {
	var found *Record
	var doc bson.Raw
	c.withKey(mql.Encode(id), func(r *Record) bool {
		if doc = r.At(m); doc != nil {
			found = r
			return false
		}
		return true
	})
	return found, doc
}

// withKey walks the records, dead ones too, that had one _id.
func (c *Collection) withKey(key string, visit func(*Record) bool) {
	c.ids.Ascend(&Record{key: key, ID: math.MinInt64}, func(r *Record) bool {
		return r.key == key && visit(r)
	})
}

// IDRange yields records whose encoded _id lies in [low, high), in _id order; an empty high is open.
func (c *Collection) IDRange(low, high string) iter.Seq[*Record] {
	return func(yield func(*Record) bool) {
		c.ids.Ascend(&Record{key: low, ID: math.MinInt64}, func(r *Record) bool {
			return (high == "" || r.key < high) && yield(r)
		})
	}
}

// IDRangeReverse is IDRange from the other end.
func (c *Collection) IDRangeReverse(low, high string) iter.Seq[*Record] {
	return func(yield func(*Record) bool) {
		visit := func(r *Record) bool { return r.key >= low && yield(r) }
		if high == "" {
			c.ids.Reverse(visit)
			return
		}
		c.ids.Descend(&Record{key: high, ID: math.MinInt64}, func(r *Record) bool {
			return r.key >= high || visit(r)
		})
	}
}

// Key is the encoded _id of a record, the place in _id order.
func (r *Record) Key() string { return r.key }

func newIDs() *btree.BTreeG[*Record] {
	return btree.NewBTreeGOptions(func(a, b *Record) bool {
		if a.key != b.key {
			return a.key < b.key
		}
		return a.ID < b.ID
	}, btree.Options{NoLocks: true})
}

// Collation is the default collation of the options, nil if it is the simple one.
func (c *Collection) Collation() bson.Raw { return document(c.Options.Lookup("collation")) }

// Quiet makes the collection one that every member keeps by itself: changes of its documents make no entries.
func (c *Collection) Quiet() { c.silent = true }
