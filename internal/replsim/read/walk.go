package read

import (
	"iter"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"pitr/internal/replsim/command"
	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/store"
)

// way is the order in which a walk meets records.
type way int

const (
	wayNatural way = iota
	// wayID follows the _id index between low and high, wayPoints looks single values of it up.
	wayID
	wayPoints
	// wayIndex looks exact keys of another index up, wayIndexRange follows it between low and high.
	wayIndex
	wayIndexRange
)

// patience is how many records a walk examines before it lets others at the store.
const patience = 20000

// walk is the source of a find: it goes on behind the last record it examined.
type walk struct {
	reads      *Reads
	collection *store.Collection
	filter     *mql.Filter
	projection *mql.Projection
	concern    command.ReadConcern
	unit       *store.Unit
	recordID   bool

	way       way
	reverse   bool
	low, high string
	points    []string
	index     *store.Index

	skip int64
	// left is how many documents may still come, -1 for all.
	left int64
	// position is the record id of the last record examined, seen its encoded key.
	position int64
	seen     string
	started  bool
	// found is what a look-up gave when the walk began, done how much of it was examined.
	found []*store.Record
	done  int
	last  bson.RawValue
}

func (w *walk) backwards() {
	w.reverse = true
	w.position = store.NaturalEnd
	slices.Reverse(w.points)
}

// resume goes on behind a record id that an earlier scan gave out.
func (w *walk) resume(token bson.RawValue) error {
	if token.Type == bson.TypeNull {
		return nil
	}
	id, ok := token.AsInt64OK()
	if !ok {
		return command.Errorf(command.BadValue, "Malformed resume token: the '_resumeAfter' object must contain exactly one field named '$recordId', of type NumberLong, BinData or jstNULL.")
	}
	var found bool
	w.reads.Store.View(func() { found = w.collection.Has(id, w.moment()) })
	if !found {
		return command.Errorf(command.KeyNotFound, "Executor error during find command :: caused by :: Failed to resume collection scan the recordId from which we are attempting to resume no longer exists in the collection: RecordId(%d)", id)
	}
	w.position, w.last = id, int64Value(id)
	return nil
}

func (w *walk) moment() store.Moment { return w.reads.moment(w.concern, w.unit) }

func (w *walk) token() bson.RawValue {
	if w.last.Type == 0 {
		return bson.RawValue{Type: bson.TypeNull}
	}
	return w.last
}

func (w *walk) fill(b *batch) (bool, error) {
	for {
		var state progress
		var err error
		w.reads.Store.View(func() { state, err = w.some(b) })
		if err != nil || state != goOn {
			return state == atEnd, err
		}
	}
}

// progress is why a walk stopped.
type progress int

const (
	goOn progress = iota
	batchFull
	atEnd
)

// some examines records until the batch is full, the walk is at its end, or others should have their turn.
func (w *walk) some(b *batch) (progress, error) {
	if w.left == 0 {
		return atEnd, nil
	}
	examined, m := 0, w.moment()
	for r := range w.records(m) {
		if b.full(0) {
			return batchFull, nil
		}
		if examined++; examined > patience {
			return goOn, nil
		}
		doc, err := w.document(r, m)
		if err != nil {
			return atEnd, err
		}
		if doc == nil {
			w.passed(r)
			continue
		}
		if w.skip > 0 {
			w.skip--
			w.passed(r)
			continue
		}
		if b.full(len(doc)) {
			return batchFull, nil
		}
		b.add(doc)
		w.passed(r)
		w.last = int64Value(r.ID)
		if w.left > 0 {
			if w.left--; w.left == 0 {
				return atEnd, nil
			}
		}
	}
	return atEnd, nil
}

func (w *walk) passed(r *store.Record) {
	w.position, w.seen, w.started = r.ID, r.Key(), true
	w.done++
}

// document gives what a record contributes, nil if it does not match.
func (w *walk) document(r *store.Record, m store.Moment) (bson.Raw, error) {
	doc := r.At(m)
	if doc == nil {
		return nil, nil
	}
	if ok, err := w.filter.Match(doc); err != nil || !ok {
		return nil, err
	}
	if w.projection != nil {
		var err error
		if doc, err = w.projection.Apply(doc); err != nil {
			return nil, err
		}
	}
	if w.recordID {
		doc = withRecordID(doc, r.ID)
	}
	return doc, nil
}

func withRecordID(doc bson.Raw, id int64) bson.Raw {
	dst := append([]byte(nil), doc[:len(doc)-1]...)
	dst = append(bsoncore.AppendInt64Element(dst, "$recordId", id), 0)
	return bsoncore.UpdateLength(dst, 0, int32(len(dst))) //nolint:gosec // a document
}

// records yields the records behind the last one examined.
func (w *walk) records(m store.Moment) iter.Seq[*store.Record] {
	switch w.way {
	case wayID:
		return w.idRecords()
	case wayPoints, wayIndex, wayIndexRange:
		if w.found == nil {
			w.found = w.lookUp(m)
		}
		return slices.Values(w.found[w.done:])
	}
	if w.reverse {
		return w.collection.BeforeID(w.position)
	}
	return w.collection.After(w.position)
}

func (w *walk) idRecords() iter.Seq[*store.Record] {
	if w.reverse {
		high := w.high
		if w.started {
			high = w.seen + "\x00"
		}
		return w.behind(w.collection.IDRangeReverse(w.low, high))
	}
	low := w.low
	if w.started {
		low = w.seen
	}
	return w.behind(w.collection.IDRange(low, w.high))
}

// behind leaves out the records at the edge that were examined before.
func (w *walk) behind(all iter.Seq[*store.Record]) iter.Seq[*store.Record] {
	return func(yield func(*store.Record) bool) {
		for r := range all {
			if w.started && r.Key() == w.seen && (!w.reverse && r.ID <= w.position || w.reverse && r.ID >= w.position) {
				continue
			}
			if !yield(r) {
				return
			}
		}
	}
}

// lookUp gives the records of single _ids, of exact keys of an index, or of a range of it, each once.
func (w *walk) lookUp(m store.Moment) []*store.Record {
	found := []*store.Record{}
	met := map[*store.Record]bool{}
	add := func(all iter.Seq[*store.Record]) {
		for r := range all {
			if !met[r] {
				met[r] = true
				found = append(found, r)
			}
		}
	}
	switch w.way {
	case wayPoints:
		for _, key := range w.points {
			add(w.collection.IDRange(key, key+"\x00"))
		}
	case wayIndex:
		for _, key := range w.points {
			add(w.index.Range(key, key+"\x00", m))
		}
	default:
		add(w.index.Range(w.low, w.high, m))
	}
	return found
}

// sorted reads everything, sorts it in memory and gives the part that was asked for.
func (w *walk) sorted(s *mql.Sort) (source, error) {
	skip, left, projection := w.skip, w.left, w.projection
	w.skip, w.left, w.projection = 0, -1, nil
	docs, err := w.all()
	if err != nil {
		return nil, err
	}
	w.skip, w.left, w.projection = skip, left, projection
	return w.cut(docs, s)
}

// all reads the whole walk.
func (w *walk) all() ([]bson.Raw, error) {
	var docs []bson.Raw
	err := w.each(func(doc bson.Raw) error {
		docs = append(docs, doc)
		return nil
	})
	return docs, err
}

// each visits all documents of the walk; the visit may end it with an error.
func (w *walk) each(visit func(bson.Raw) error) error {
	for {
		finished := true
		var err error
		w.reads.Store.View(func() {
			examined, m := 0, w.moment()
			for r := range w.records(m) {
				if examined++; examined > patience {
					finished = false
					return
				}
				var doc bson.Raw
				if doc, err = w.document(r, m); err != nil {
					return
				}
				w.passed(r)
				if doc == nil {
					continue
				}
				if err = visit(doc); err != nil {
					return
				}
			}
		})
		if err != nil || finished {
			return err
		}
	}
}

// fixed is a source of documents that are there already.
type fixed struct{ docs []bson.Raw }

func (f *fixed) fill(b *batch) (bool, error) {
	for len(f.docs) > 0 {
		if b.full(len(f.docs[0])) {
			return false, nil
		}
		b.add(f.docs[0])
		f.docs = f.docs[1:]
	}
	return true, nil
}

func (f *fixed) token() bson.RawValue { return bson.RawValue{} }

// once ends after its first batch.
type once struct{ source }

func (o *once) fill(b *batch) (bool, error) {
	_, err := o.source.fill(b)
	return true, err
}
