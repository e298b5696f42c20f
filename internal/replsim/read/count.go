package read

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/command"
	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/store"
)

func (rd *Reads) countCommand() *command.Command {
	return &command.Command{
		Name: "count", Struct: "CountCommandRequest", Fields: []string{"query", "limit", "skip", "hint", "collation", "fields", "encryptionInformation"},
		Needs: rd.findNeeds, Run: rd.count,
	}
}

func (rd *Reads) count(ctx context.Context, r *command.Request, out *command.Reply) error {
	filter, err := r.Document("query")
	if err != nil {
		return err
	}
	limit, err := r.Int("limit", 0)
	if err != nil {
		return err
	}
	skip, err := r.Int("skip", 0)
	if err != nil {
		return err
	}
	n, err := rd.countDocuments(ctx, r, filter)
	if err != nil {
		return err
	}
	n = max(0, n-skip)
	if limit = max(limit, -limit); limit > 0 {
		n = min(n, limit)
	}
	out.Int32("n", int(n))
	return nil
}

func (rd *Reads) countDocuments(ctx context.Context, r *command.Request, filter bson.Raw) (int64, error) {
	c, ns, err := rd.resolve(r)
	if err != nil {
		return 0, err
	}
	compiled, err := mql.CompileWith(filter, r.Options(rd.Store))
	if err != nil {
		return 0, err
	}
	if c == nil && ns != oplogName {
		view := rd.viewOf(ns)
		if view == nil {
			return 0, nil
		}
		var n int64
		for doc, err := range rd.viewDocuments(ctx, r, ns) {
			if err != nil {
				return 0, err
			}
			if ok, err := compiled.Match(doc); err != nil {
				return 0, err
			} else if ok {
				n++
			}
		}
		return n, nil
	}
	if len(filter) <= 5 && r.Unit == nil && c != nil && r.ReadConcern.Level == command.LevelLocal {
		var n int64
		rd.Store.View(func() { n = c.Count() })
		return n, nil
	}
	q := &query{request: r, ns: ns, collection: c, filter: compiled}
	var n int64
	err = rd.visit(q, func(bson.Raw) error { n++; return nil })
	return n, err
}

// visit runs a query to its end.
func (rd *Reads) visit(q *query, visit func(bson.Raw) error) error {
	src, err := rd.plan(q)
	if err != nil {
		return err
	}
	switch src := src.(type) {
	case *walk:
		return src.each(visit)
	case *tail:
		docs, err := src.all()
		if err != nil {
			return err
		}
		return each(docs, visit)
	case *fixed:
		return each(src.docs, visit)
	}
	return nil
}

func each(docs []bson.Raw, visit func(bson.Raw) error) error {
	for _, doc := range docs {
		if err := visit(doc); err != nil {
			return err
		}
	}
	return nil
}

func (rd *Reads) distinctCommand() *command.Command {
	return &command.Command{
		Name: "distinct", Transactions: true, Fields: []string{"key", "query", "collation", "hint"}, Needs: rd.findNeeds, Run: rd.distinct,
	}
}

func (rd *Reads) distinct(_ context.Context, r *command.Request, out *command.Reply) error {
	filter, err := r.Document("query")
	if err != nil {
		return err
	}
	c, ns, err := rd.resolve(r)
	if err != nil {
		return err
	}
	compiled, err := mql.CompileWith(filter, r.Options(rd.Store))
	if err != nil {
		return err
	}
	values, seen := bson.A{}, map[string]bool{}
	note := func(v bson.RawValue) {
		if key := mql.Encode(v); v.Type != 0 && !seen[key] {
			seen[key] = true
			values = append(values, v)
		}
	}
	if c != nil || ns == oplogName {
		q := &query{request: r, ns: ns, collection: c, filter: compiled}
		err = rd.visit(q, func(doc bson.Raw) error {
			v := mql.Lookup(doc, r.Text("key"))
			array, isArray := v.ArrayOK()
			if !isArray {
				note(v)
				return nil
			}
			elements, err := array.Values()
			for _, e := range elements {
				note(e)
			}
			return err
		})
	}
	out.Set("values", values)
	return err
}

// Matching gives the documents and records that a filter finds for a write, in the order of a plan. A nil index plan reads
// naturally. It is called inside Store.Update.
func (rd *Reads) Matching(r *command.Request, c *store.Collection, filter *mql.Filter) (*Scan, error) {
	w := &walk{reads: rd, collection: c, filter: filter, unit: r.Unit, left: -1, position: store.NaturalStart}
	_, err := w.order(&query{request: r, collection: c, filter: filter, hint: r.Lookup("hint")})
	return &Scan{walk: w}, err
}

// Scan finds records for a write.
type Scan struct{ walk *walk }

// Each visits all records that match, until the visit says false.
func (s *Scan) Each(m store.Moment, visit func(*store.Record) bool) error {
	for r := range s.walk.records(m) {
		doc, err := s.walk.document(r, m)
		if err != nil {
			return err
		}
		if doc != nil && !visit(r) {
			return nil
		}
	}
	return nil
}

// Next gives the next record that matches, nil at the end.
func (s *Scan) Next(m store.Moment) (*store.Record, bson.Raw, error) {
	for r := range s.walk.records(m) {
		s.walk.passed(r)
		doc, err := s.walk.document(r, m)
		if err != nil {
			return nil, nil, err
		}
		if doc != nil {
			return r, doc, nil
		}
	}
	return nil, nil, nil
}
