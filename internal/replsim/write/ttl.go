package write

import (
	"math"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/store"
)

// Expire removes documents that a TTL index makes due, in groups, as a pass of the server's monitor does. While user writes
// are blocked it leaves user collections alone.
func (w *Writes) Expire() {
	var all []*store.Collection
	w.Store.View(func() { all = w.Store.Collections("", store.Latest) })
	for _, c := range all {
		for w.expireSome(c) {
		}
	}
}

// expireSome removes one group and reports whether there may be more.
func (w *Writes) expireSome(c *store.Collection) bool {
	more := false
	_ = w.Store.Update(func() error { // what fails or conflicts is left for the next pass
		if c.Dropped() || w.Store.Blocked() == store.BlockOn && !store.Internal(store.DB(c.NS)) {
			return nil
		}
		due := w.due(c)
		if len(due) == 0 {
			return nil
		}
		u := w.Store.BeginGroup()
		u.Bypass = true
		for _, record := range due {
			if err := u.Remove(c, record, store.Note{}); err != nil {
				u.Abort()
				return err
			}
		}
		u.Commit()
		more = len(due) == deletesAtOnce
		return nil
	})
	return more
}

// due finds up to a group of expired documents.
func (w *Writes) due(c *store.Collection) []*store.Record {
	now := w.Store.Now()
	if seconds, ok := c.Options.Lookup("expireAfterSeconds").AsInt64OK(); ok && c.Clustered() {
		return w.dueByID(c, now.Add(-time.Duration(seconds)*time.Second))
	}
	for _, x := range c.Indexes {
		seconds, ok := x.Spec.Lookup("expireAfterSeconds").AsInt64OK()
		if !ok || !x.Ready() || !x.Keyed() {
			continue
		}
		if due := dueByIndex(x, now.Add(-time.Duration(seconds)*time.Second)); len(due) > 0 {
			return due
		}
	}
	return nil
}

func dueByIndex(x *store.Index, limit time.Time) []*store.Record {
	field := fieldOf(x.Spec)
	low, err := x.Keys().Bound(dateBound(field, math.MinInt64))
	if err != nil {
		return nil
	}
	high, err := x.Keys().Bound(dateBound(field, limit.UnixMilli()))
	if err != nil {
		return nil
	}
	var due []*store.Record
	met := map[*store.Record]bool{}
	for r := range x.Range(low, high+"\x00", store.Latest) {
		if !met[r] && r.At(store.Latest) != nil {
			met[r] = true
			if due = append(due, r); len(due) == deletesAtOnce {
				break
			}
		}
	}
	return due
}

func fieldOf(spec bson.Raw) string {
	key, _ := spec.Lookup("key").DocumentOK()
	elements, err := key.Elements()
	if err != nil || len(elements) != 1 {
		return ""
	}
	return elements[0].Key()
}

func dateBound(field string, millis int64) bson.Raw {
	raw, err := bson.Marshal(bson.D{{Key: field, Value: bson.DateTime(millis)}})
	if err != nil {
		return nil
	}
	return raw
}

// dueByID is for clustered collections, which expire by a date in _id.
func (w *Writes) dueByID(c *store.Collection, limit time.Time) []*store.Record {
	var due []*store.Record
	for r := range c.After(store.NaturalStart) {
		doc := r.At(store.Latest)
		if id := doc.Lookup("_id"); doc != nil && id.Type == bson.TypeDateTime && !id.Time().After(limit) {
			if due = append(due, r); len(due) == deletesAtOnce {
				break
			}
		}
	}
	return due
}
