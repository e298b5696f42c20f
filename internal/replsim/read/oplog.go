package read

import (
	"sort"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/internal/replsim/command"
	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/store"
)

// planOplog reads the oplog in order of time, or against it; another sort is done in memory.
func (rd *Reads) planOplog(q *query) (source, error) {
	t := &tail{reads: rd, filter: q.filter, projection: q.projection, concern: q.request.ReadConcern, skip: q.skip, left: -1, tailable: q.tailable}
	if q.limit > 0 {
		t.left = q.limit
	}
	t.bounds = q.filter.Range("ts")
	if points, ok := q.filter.Points("ts"); ok && len(points) > 0 {
		key := mql.Encode(points[0])
		t.bounds = mql.Bounds{Low: key, High: key}
	}
	direction, byNature := singleSort(q.sort, "$natural")
	hinted, _ := document(q.hint).Lookup("$natural").AsInt64OK()
	t.reverse = byNature && direction < 0 || hinted < 0
	if len(q.sort) <= 5 || byNature {
		return t, nil
	}
	s, err := mql.CompileSort(q.sort)
	if err != nil {
		return nil, err
	}
	t.left, t.skip, t.projection = -1, 0, nil
	docs, err := t.all()
	if err != nil {
		return nil, err
	}
	w := &walk{reads: rd, projection: q.projection, skip: q.skip, left: -1}
	if q.limit > 0 {
		w.left = q.limit
	}
	return w.cut(docs, s)
}

// cut sorts documents, unless the sort is nil, and takes the part that was asked for.
func (w *walk) cut(docs []bson.Raw, s *mql.Sort) (source, error) {
	if s != nil {
		if err := s.Documents(docs); err != nil {
			return nil, err
		}
	}
	docs = docs[min(w.skip, int64(len(docs))):]
	if w.left >= 0 {
		docs = docs[:min(w.left, int64(len(docs)))]
	}
	if w.projection == nil {
		return &fixed{docs: docs}, nil
	}
	for i, doc := range docs {
		var err error
		if docs[i], err = w.projection.Apply(doc); err != nil {
			return nil, err
		}
	}
	return &fixed{docs: docs}, nil
}

// tail is a source of oplog entries. A tailable one is never exhausted as long as its place is still in the oplog.
type tail struct {
	reads      *Reads
	filter     *mql.Filter
	projection *mql.Projection
	concern    command.ReadConcern
	bounds     mql.Bounds
	reverse    bool
	tailable   bool
	skip, left int64
	// position is the time of the last entry examined, zero before the first.
	position pitr.Timestamp
	ended    bool
}

func (t *tail) token() bson.RawValue { return bson.RawValue{} }

func (t *tail) fill(b *batch) (bool, error) {
	var state progress
	var err error
	for state == goOn && err == nil {
		t.reads.Store.View(func() { state, err = t.some(b) })
	}
	return state == atEnd && !t.tailable, err
}

func (t *tail) some(b *batch) (progress, error) {
	if t.left == 0 {
		t.tailable = false
		return atEnd, nil
	}
	entries, err := t.entries()
	if err != nil {
		return atEnd, err
	}
	for i := range entries {
		e := entries[i]
		if t.reverse {
			e = entries[len(entries)-1-i]
		}
		if i == patience {
			return goOn, nil
		}
		if b.full(len(e.Doc)) {
			return batchFull, nil
		}
		doc, err := t.document(e)
		if err != nil {
			return atEnd, err
		}
		if t.ended {
			return atEnd, nil
		}
		t.position = e.TS
		if doc == nil {
			continue
		}
		if t.skip > 0 {
			t.skip--
			continue
		}
		b.add(doc)
		if t.left > 0 {
			if t.left--; t.left == 0 {
				t.tailable = false
				return atEnd, nil
			}
		}
	}
	return atEnd, nil
}

// entries are those that were not examined yet, oldest first.
func (t *tail) entries() ([]store.Entry, error) {
	s := t.reads.Store
	through := t.reads.moment(t.concern, nil).TS
	if t.reverse {
		if t.position != 0 {
			through = t.position - 1
		}
		return s.Entries(0, through), nil
	}
	if t.position != 0 {
		if oldest := s.OldestEntry(); t.position < oldest && t.tailable {
			return nil, command.Errorf(136, "CollectionScan died due to position in capped collection being deleted. Last seen record id: RecordId(%d)", t.position)
		}
		return s.Entries(t.position+1, through), nil
	}
	entries := s.Entries(0, through)
	first := sort.Search(len(entries), func(i int) bool { return encoded(entries[i].TS) >= t.bounds.Low })
	return entries[first:], nil
}

// document gives the entry as the reply shows it, nil if it does not match; past the upper bound the scan ends.
func (t *tail) document(e store.Entry) (bson.Raw, error) {
	if t.bounds.High != "" && !t.reverse && encoded(e.TS) > t.bounds.High {
		t.ended, t.tailable = true, false
		return nil, nil
	}
	if ok, err := t.filter.Match(e.Doc); err != nil || !ok {
		return nil, err
	}
	if t.projection == nil {
		return e.Doc, nil
	}
	return t.projection.Apply(e.Doc)
}

func encoded(ts pitr.Timestamp) string {
	_, value, err := bson.MarshalValue(ts.BSON())
	if err != nil {
		return ""
	}
	return mql.Encode(bson.RawValue{Type: bson.TypeTimestamp, Value: value})
}

func (t *tail) all() ([]bson.Raw, error) {
	var docs []bson.Raw
	var err error
	t.reads.Store.View(func() {
		var entries []store.Entry
		if entries, err = t.entries(); err != nil {
			return
		}
		for _, e := range entries {
			var doc bson.Raw
			if doc, err = t.document(e); err != nil || t.ended {
				return
			}
			if doc != nil {
				docs = append(docs, doc)
			}
		}
	})
	return docs, err
}
