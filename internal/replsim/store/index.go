package store

import (
	"errors"
	"iter"
	"math"

	"github.com/tidwall/btree"
	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/internal/replsim/mql"
)

// Index is an index besides that on _id.
type Index struct {
	// Spec is the complete spec as listIndexes shows it.
	Spec bson.Raw
	Name string
	// Build is the identity of the build while it runs.
	Build pitr.UUID

	keys   *mql.Index
	unique bool
	tree   *btree.BTreeG[*indexEntry]
	// ready is when the index came into being; zero while it is built.
	ready pitr.Timestamp
	// multikey says that a document had more than one key.
	multikey bool
	// modified orders indexes by their newest change of options: the server drops them in that order.
	modified int64
}

// indexEntry is one key of one record from the time it was added to the time it was removed.
type indexEntry struct {
	key            string
	record         *Record
	serial         int64
	from, to       pitr.Timestamp
	adder, remover *Unit
}

// NewIndex compiles a spec. A kind of index whose keys nobody computes here (text, 2d) is listed and enforces nothing.
func NewIndex(spec bson.Raw) (*Index, error) {
	x := &Index{Spec: spec, Name: pitr.IndexName(spec)}
	keys, err := mql.CompileIndex(spec)
	var refused *mql.Error
	switch {
	case err == nil:
		x.keys = keys
	case errors.As(err, &refused) && refused.Code != notImplemented:
		return nil, err
	}
	x.setUnique()
	x.tree = btree.NewBTreeGOptions(func(a, b *indexEntry) bool {
		switch {
		case a.key != b.key:
			return a.key < b.key
		case a.record.ID != b.record.ID:
			return a.record.ID < b.record.ID
		}
		return a.serial < b.serial
	}, btree.Options{NoLocks: true})
	return x, nil
}

func (x *Index) setUnique() {
	prepared, _ := x.Spec.Lookup("prepareUnique").BooleanOK()
	x.unique = pitr.IsUnique(x.Spec) || prepared
}

// Ready reports whether the index can be used and enforces uniqueness.
func (x *Index) Ready() bool { return x.ready != 0 }

// Keyed reports whether the index has keys to search.
func (x *Index) Keyed() bool { return x.keys != nil }

// Keys is the compiled spec.
func (x *Index) Keys() *mql.Index { return x.keys }

// visible reports whether a moment sees the key.
func (e *indexEntry) visible(m Moment) bool {
	added := e.from <= m.TS
	if e.adder != nil {
		added = e.adder == m.Unit
	}
	removed := e.to != 0 && e.to <= m.TS
	if e.remover != nil {
		removed = e.remover == m.Unit
	}
	return added && !removed
}

// Range yields records with a key in [low, high) that a moment sees, in key order; an empty high is open. A record may come
// more than once.
func (x *Index) Range(low, high string, m Moment) iter.Seq[*Record] {
	return func(yield func(*Record) bool) {
		x.tree.Ascend(&indexEntry{key: low, record: &Record{ID: math.MinInt64}}, func(e *indexEntry) bool {
			if high != "" && e.key >= high {
				return false
			}
			return !e.visible(m) || yield(e.record)
		})
	}
}

// check reports whether a unit may add a key: nil, ErrConflict or error 11000.
func (x *Index) check(at place, key mql.IndexKey) error {
	var err error
	x.tree.Ascend(&indexEntry{key: key.Encoded, record: &Record{ID: math.MinInt64}}, func(e *indexEntry) bool {
		if e.key != key.Encoded {
			return false
		}
		if e.record == at.r {
			return true
		}
		switch {
		case e.adder != nil && e.adder != at.u, e.remover != nil && e.remover != at.u:
			err = ErrConflict
		case e.to == 0 && e.remover == nil:
			err = x.keys.Duplicate(at.c.NS, key)
			if e.from > at.u.Moment.TS {
				err = ErrConflict
			}
		case e.to > at.u.Moment.TS:
			err = ErrConflict
		}
		return err == nil
	})
	return err
}

func document(value bson.RawValue) bson.Raw {
	doc, _ := value.DocumentOK()
	return doc
}

// place is a record in its collection, and the unit that writes it.
type place struct {
	u *Unit
	c *Collection
	r *Record
}

// change moves the keys of a record from one document to the next; nil documents have none.
func (x *Index) change(at place, before, after bson.Raw) error {
	if x.keys == nil || x.Build != (pitr.UUID{}) {
		return nil
	}
	old, err := x.extract(before)
	if err != nil {
		return err
	}
	fresh, err := x.extract(after)
	if err != nil {
		return err
	}
	if fresh.Multikey && !x.multikey {
		if err := x.becomeMultikey(at); err != nil {
			return err
		}
	}
	added := without(fresh.Keys, old.Keys)
	if x.unique {
		for _, key := range added {
			if err := x.check(at, key); err != nil {
				return err
			}
		}
	}
	at.u.changeKeys(x, at.r, without(old.Keys, fresh.Keys), added)
	return nil
}

// becomeMultikey notes that an index has several keys for one document. In a transaction the server logs that at once,
// whether or not the transaction commits.
func (x *Index) becomeMultikey(at place) error {
	x.multikey = true
	if !at.u.grouped || at.u.Session == nil {
		return nil
	}
	own := at.u.s.Begin()
	own.Bypass = true
	if err := own.Message(mustDocument(bson.D{
		{Key: "msg", Value: "Setting index to multikey"}, {Key: "coll", Value: at.c.NS}, {Key: "index", Value: x.Name},
	})); err != nil {
		own.Abort()
		return err
	}
	own.Commit()
	return nil
}

func (x *Index) extract(doc bson.Raw) (mql.IndexKeys, error) {
	if doc == nil {
		return mql.IndexKeys{}, nil
	}
	return x.keys.Keys(doc)
}

// without gives the keys of one list that another does not have.
func without(list, other []mql.IndexKey) []mql.IndexKey {
	var rest []mql.IndexKey
	for _, key := range list {
		found := false
		for _, known := range other {
			if known.Encoded == key.Encoded {
				found = true
				break
			}
		}
		if !found {
			rest = append(rest, key)
		}
	}
	return rest
}

// fill gives a new index the keys of all documents; the first duplicate under a unique index ends it.
func (x *Index) fill(u *Unit, c *Collection) error {
	if x.keys == nil {
		return nil
	}
	for r := range c.After(NaturalStart) {
		doc := r.At(Moment{TS: Latest.TS, Unit: u})
		if doc == nil {
			continue
		}
		found, err := x.keys.Keys(doc)
		if err != nil {
			return err
		}
		x.multikey = x.multikey || found.Multikey
		for _, key := range found.Keys {
			if x.unique {
				if err := x.check(place{u, c, r}, key); err != nil {
					return err
				}
			}
			x.tree.Set(&indexEntry{key: key.Encoded, record: r, from: 1})
		}
	}
	return nil
}

// notImplemented is the code of what the query library leaves to real servers.
const notImplemented = 238
