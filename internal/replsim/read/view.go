package read

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/command"
	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/mql/aggregate"
	"pitr/internal/replsim/mql/value"
	"pitr/internal/replsim/store"
)

// view is a definition as <db>.system.views holds it.
type view struct {
	ns  string
	doc bson.Raw
}

func (v *view) base() string {
	on, _ := v.doc.Lookup("viewOn").StringValueOK()
	return store.DB(v.ns) + "." + on
}

func (v *view) stages() []bson.RawValue {
	array, _ := v.doc.Lookup("pipeline").ArrayOK()
	values, err := array.Values()
	if err != nil {
		return nil
	}
	return values
}

func (v *view) pipelineStage(i int) bson.RawValue {
	stages := v.stages()
	if i >= len(stages) {
		return bson.RawValue{}
	}
	return stages[i]
}

func (v *view) options() bson.D {
	var d bson.D
	for _, e := range value.Fields(v.doc) {
		if e.Key != "_id" {
			d = append(d, e)
		}
	}
	return d
}

// viewOf gives the view with a name, nil if there is none.
func (rd *Reads) viewOf(ns string) *view {
	var found *view
	rd.Store.View(func() { found = rd.findView(ns) })
	return found
}

func (rd *Reads) findView(ns string) *view {
	c := rd.Store.Find(store.DB(ns)+".system.views", store.Latest)
	if c == nil {
		return nil
	}
	_, id, err := bson.MarshalValue(ns)
	if err != nil {
		return nil
	}
	_, doc := c.ByID(bson.RawValue{Type: bson.TypeString, Value: id}, store.Latest)
	if doc == nil {
		return nil
	}
	return &view{ns: ns, doc: doc}
}

// IsView reports whether a name is that of a view. It is called inside View or Update.
func (rd *Reads) IsView(ns string) bool { return rd.findView(ns) != nil }

func (rd *Reads) views(db string) []*view {
	c := rd.Store.Find(db+".system.views", store.Latest)
	if c == nil {
		return nil
	}
	var all []*view
	for r := range c.After(store.NaturalStart) {
		if doc := r.At(store.Latest); doc != nil {
			ns, _ := doc.Lookup("_id").StringValueOK()
			all = append(all, &view{ns: ns, doc: doc})
		}
	}
	return all
}

// maxViewDepth is how many views may lie over each other.
const maxViewDepth = 20

// unfold replaces a view by what it is defined on: the collection, and the stages in front of those of the command.
func (rd *Reads) unfold(ns string, stages []bson.RawValue) (string, []bson.RawValue, error) {
	for range maxViewDepth {
		v := rd.viewOf(ns)
		if v == nil {
			return ns, stages, nil
		}
		ns, stages = v.base(), append(v.stages(), stages...)
	}
	return "", nil, command.Errorf(165, "View depth limit exceeded; maximum depth is %d", maxViewDepth)
}

// viewDocuments runs the pipeline of a view.
func (rd *Reads) viewDocuments(ctx context.Context, r *command.Request, ns string) aggregate.Documents {
	return func(yield func(bson.Raw, error) bool) {
		base, stages, err := rd.unfold(ns, nil)
		if err != nil {
			yield(nil, err)
			return
		}
		pipeline, err := rd.compile(r, stages)
		if err != nil {
			yield(nil, err)
			return
		}
		for doc, err := range pipeline.Run(ctx, rd.documents(r, base, pipeline.Match())) {
			if !yield(doc, err) {
				return
			}
		}
	}
}

// findInView answers a find on a view.
func (rd *Reads) findInView(ctx context.Context, q *query, b batch, out *command.Reply) error {
	var docs []bson.Raw
	for doc, err := range rd.viewDocuments(ctx, q.request, q.ns) {
		if err != nil {
			return err
		}
		if ok, err := q.filter.Match(doc); err != nil {
			return err
		} else if ok {
			docs = append(docs, doc)
		}
	}
	w := &walk{reads: rd, projection: q.projection, skip: q.skip, left: -1}
	if q.limit > 0 {
		w.left = q.limit
	}
	var s *mql.Sort
	if len(q.sort) > 5 {
		var err error
		if s, err = mql.CompileSort(q.sort); err != nil {
			return err
		}
	}
	src, err := w.cut(docs, s)
	if err != nil {
		return err
	}
	return rd.answer(ctx, out, &cursor{ns: q.ns, source: src, login: loginName(q.request)}, b, "firstBatch")
}
