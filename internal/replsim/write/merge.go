package write

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/command"
	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/mql/aggregate"
	"pitr/internal/replsim/mql/update"
	"pitr/internal/replsim/store"
)

// Merge writes the documents of a pipeline that ends with $merge: each is an update or an insert of its own.
func (w *Writes) Merge(ctx context.Context, r *command.Request, to *aggregate.Output, docs aggregate.Documents) error {
	t := &target{w: w, r: r, ns: to.DB + "." + to.Collection, bypass: r.Flag("bypassDocumentValidation")}
	n := 0
	for doc, err := range docs {
		if err == nil {
			doc, err = w.prepare(doc, n)
		}
		if err == nil {
			err = t.merge(ctx, to, doc)
		}
		if err != nil {
			return t.conflict(err)
		}
		n++
	}
	if !t.wrote.IsZero() {
		r.Client.LastOp = t.wrote
	}
	return nil
}

func (t *target) merge(ctx context.Context, to *aggregate.Output, doc bson.Raw) error {
	query := bson.D{}
	for _, field := range to.On {
		query = append(query, bson.E{Key: field, Value: mql.Lookup(doc, field)})
	}
	q, err := bson.Marshal(query)
	if err != nil {
		return err
	}
	filter, err := mql.Compile(q)
	if err != nil {
		return err
	}
	c := &change{filter: filter}
	if c.update, err = t.mergeUpdate(to, filter, doc); err != nil {
		return err
	}
	return t.run(ctx, func() error {
		u := t.begin()
		if err := t.mergeOne(u, c, to, doc); err != nil {
			t.abort(u)
			return err
		}
		t.commit(u)
		return nil
	})
}

// mergeUpdate is what happens to a document that is there already; nil leaves it alone.
func (t *target) mergeUpdate(to *aggregate.Output, filter *mql.Filter, doc bson.Raw) (*update.Update, error) {
	options := t.r.Options(t.w.Store)
	let := bson.D{{Key: "new", Value: doc}}
	how := to.Pipeline
	switch to.WhenMatched {
	case "keepExisting", "fail":
		return nil, nil
	case "replace":
		how = bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: doc}
	case "merge":
		var err error
		if how.Type, how.Value, err = bson.MarshalValue(bson.D{{Key: "$set", Value: doc}}); err != nil {
			return nil, err
		}
	}
	raw, err := bson.Marshal(let)
	if err != nil {
		return nil, err
	}
	options.Let = raw
	return update.Compile(how, update.Options{Options: options, Filter: filter})
}

func (t *target) mergeOne(u *store.Unit, c *change, to *aggregate.Output, doc bson.Raw) error {
	in, err := t.collection(u)
	if err != nil {
		return err
	}
	record, before, err := t.first(u, in, c.filter, nil)
	switch {
	case err != nil:
		return err
	case record != nil && to.WhenMatched == "fail":
		return command.Errorf(command.DuplicateKey, "$merge with whenMatched: fail found an existing document with the same values for the 'on' fields")
	case record != nil && c.update == nil:
		return nil
	case record != nil:
		return t.apply(site{u, in, record, before}, c, &outcome{})
	case to.WhenNotMatched == "discard":
		return nil
	case to.WhenNotMatched == "fail":
		return command.Errorf(13113, "$merge could not find a matching document in the target collection for at least one document in the source collection")
	}
	if err := t.validate(in, doc); err != nil {
		return err
	}
	_, err = u.Insert(in, doc, store.Note{})
	return err
}
