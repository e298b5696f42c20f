package read

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/command"
	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/store"
)

// oplogName is the namespace of the oplog, which is no ordinary collection here.
const oplogName = "local.oplog.rs"

// plan chooses where the documents of a query come from. The choice decides about order as it does on a server: equality
// and ranges on _id give _id order, everything else natural order; a sort that the order does not satisfy is done in memory.
func (rd *Reads) plan(q *query) (source, error) {
	if q.ns == oplogName {
		return rd.planOplog(q)
	}
	w := &walk{
		reads: rd, collection: q.collection, filter: q.filter, projection: q.projection, concern: q.request.ReadConcern,
		unit: q.request.Unit, skip: q.skip, left: -1, recordID: q.recordID, position: store.NaturalStart,
	}
	if q.limit > 0 {
		w.left = q.limit
	}
	var sorted *mql.Sort
	var err error
	rd.Store.View(func() { sorted, err = w.order(q) })
	if err != nil {
		return nil, err
	}
	if q.resume.Type != 0 {
		if err := w.resume(q.resume); err != nil {
			return nil, err
		}
	}
	if sorted == nil {
		return w, nil
	}
	return w.sorted(sorted)
}

// order sets the walk's order and gives the sort that is still to be done, nil if none. It is called inside the store.
func (w *walk) order(q *query) (*mql.Sort, error) {
	direction, onID := singleSort(q.sort, "_id")
	naturally, byNature := singleSort(q.sort, "$natural")
	hinted := document(q.hint).Lookup("$natural")
	switch {
	case len(q.low) > 5 || len(q.high) > 5:
		return w.between(q)
	case byNature, hinted.Type != 0:
		w.way = wayNatural
		if n, _ := hinted.AsInt64OK(); n < 0 || byNature && naturally < 0 {
			w.backwards()
		}
		if byNature {
			return nil, nil
		}
	case w.planID(q):
		if onID {
			if direction < 0 {
				w.backwards()
			}
			return nil, nil
		}
	case onID:
		w.way = wayID
		if direction < 0 {
			w.backwards()
		}
		return nil, nil
	case q.hint.Type != 0 && q.hint.Type != bson.TypeNull && len(document(q.hint)) != 5:
		if w.hinted(q.hint) == nil {
			return nil, command.Errorf(command.BadValue, "error processing query: planner returned error :: caused by :: hint provided does not correspond to an existing index")
		}
		w.planIndex()
	default:
		w.planIndex()
	}
	if len(q.sort) <= 5 {
		return nil, nil
	}
	return mql.CompileSort(q.sort)
}

// planID uses the _id index where the filter bounds _id.
func (w *walk) planID(q *query) bool {
	if points, ok := q.filter.Points("_id"); ok {
		w.way = wayPoints
		for _, p := range points {
			if p.Type != bson.TypeRegex {
				w.points = append(w.points, mql.Encode(p))
			}
		}
		slices.Sort(w.points)
		w.points = slices.Compact(w.points)
		return true
	}
	bounds := q.filter.Range("_id")
	if bounds.Low == "" && bounds.High == "" && !hintsID(q.hint) {
		return false
	}
	w.way, w.low, w.high = wayID, bounds.Low, bounds.High
	if w.high != "" && !bounds.ExcludeHigh {
		w.high += "\x00"
	}
	return true
}

func hintsID(hint bson.RawValue) bool {
	if name, ok := hint.StringValueOK(); ok {
		return name == "_id_"
	}
	_, onID := singleSort(document(hint), "_id")
	return onID
}

// planIndex uses an index if the filter names the values of all its fields.
func (w *walk) planIndex() {
	for _, x := range w.collection.Indexes {
		if !x.Ready() || !x.Keyed() || !w.sees(x) {
			continue
		}
		if keys := w.exactKeys(x); keys != nil {
			w.way, w.index, w.points = wayIndex, x, keys
			return
		}
	}
}

// sees reports whether an index is complete enough for a filter: sparse and partial ones may miss documents.
func (w *walk) sees(x *store.Index) bool {
	return !command.Truth(x.Spec.Lookup("sparse")) && x.Spec.Lookup("partialFilterExpression").Type == 0 &&
		x.Spec.Lookup("collation").Type == 0
}

func (w *walk) exactKeys(x *store.Index) []string {
	elements, err := document(x.Spec.Lookup("key")).Elements()
	if err != nil || len(elements) == 0 {
		return nil
	}
	limits := []bson.D{{}}
	for _, e := range elements {
		if _, ordered := e.Value().AsInt64OK(); !ordered {
			return nil
		}
		points, ok := w.filter.Points(e.Key())
		if !ok || len(points)*len(limits) > 100 {
			return nil
		}
		var next []bson.D
		for _, limit := range limits {
			for _, p := range points {
				if p.Type == bson.TypeRegex {
					return nil
				}
				next = append(next, append(slices.Clone(limit), bson.E{Key: e.Key(), Value: p}))
			}
		}
		limits = next
	}
	keys := []string{}
	for _, limit := range limits {
		raw, err := bson.Marshal(limit)
		if err != nil {
			return nil
		}
		key, err := x.Keys().Bound(raw)
		if err != nil {
			return nil
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// between is a find with min or max: an index range, inclusive below and exclusive above.
func (w *walk) between(q *query) (*mql.Sort, error) {
	if q.hint.Type == 0 || q.hint.Type == bson.TypeNull {
		return nil, command.Errorf(51173, "When using min()/max() a hint of which index to use must be provided")
	}
	var err error
	if hintsID(q.hint) {
		w.way = wayID
		if w.low, err = idBound(q.low); err != nil {
			return nil, err
		}
		w.high, err = idBound(q.high)
		return w.afterBetween(q, "_id"), err
	}
	x := w.hinted(q.hint)
	if x == nil || !x.Keyed() {
		return nil, command.Errorf(51174, "The index specified in hint() does not exist, or cannot be used with min()/max()")
	}
	w.way, w.index = wayIndexRange, x
	if len(q.low) > 5 {
		if w.low, err = x.Keys().Bound(q.low); err != nil {
			return nil, err
		}
	}
	if len(q.high) > 5 {
		if w.high, err = x.Keys().Bound(q.high); err != nil {
			return nil, err
		}
	}
	return w.afterBetween(q, ""), nil
}

func (w *walk) afterBetween(q *query, ordered string) *mql.Sort {
	if len(q.sort) <= 5 {
		return nil
	}
	if direction, fits := singleSort(q.sort, ordered); fits {
		if direction < 0 {
			w.backwards()
		}
		return nil
	}
	s, err := mql.CompileSort(q.sort)
	if err != nil {
		return nil
	}
	return s
}

func (w *walk) hinted(hint bson.RawValue) *store.Index {
	if name, ok := hint.StringValueOK(); ok {
		return w.collection.IndexNamed(name)
	}
	for _, x := range w.collection.Indexes {
		if string(document(x.Spec.Lookup("key"))) == string(document(hint)) {
			return x
		}
	}
	return nil
}

func idBound(limit bson.Raw) (string, error) {
	if len(limit) <= 5 {
		return "", nil
	}
	value, err := limit.LookupErr("_id")
	if err != nil {
		return "", command.Errorf(51176, "When providing min() or max(), the keys must match the index that is hinted")
	}
	return mql.Encode(value), nil
}

// singleSort reads a sort on one field: its direction, and whether it is on that field alone.
func singleSort(sort bson.Raw, field string) (int64, bool) {
	elements, err := sort.Elements()
	if err != nil || len(elements) == 0 || elements[0].Key() != field || len(elements) > 1 && field != "_id" {
		return 0, false
	}
	direction, ok := elements[0].Value().AsInt64OK()
	return direction, ok
}

func document(value bson.RawValue) bson.Raw {
	doc, _ := value.DocumentOK()
	return doc
}
