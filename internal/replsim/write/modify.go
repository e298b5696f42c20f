package write

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/auth"
	"pitr/internal/replsim/command"
	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/session"
	"pitr/internal/replsim/store"
)

func (w *Writes) findAndModifyCommand() *command.Command {
	return &command.Command{
		Name: "findAndModify", Aliases: []string{"findandmodify"}, Effect: command.Writes, Transactions: true, Run: w.findAndModify,
		Fields: []string{
			"query", "sort", "remove", "update", "new", "fields", "upsert", "bypassDocumentValidation", "collation", "arrayFilters", "hint", "let",
			"encryptionInformation", "runtimeConstants", "legacyRuntimeConstants", "sampleId",
		},
		Needs: func(r *command.Request) []auth.Need {
			actions := []string{"find"}
			switch {
			case r.Flag("remove"):
				actions = append(actions, "remove")
			case r.Flag("upsert"):
				actions = append(actions, "update", "insert")
			default:
				actions = append(actions, "update")
			}
			return needs(actions...)(r)
		},
	}
}

func (w *Writes) findAndModify(ctx context.Context, r *command.Request, out *command.Reply) error {
	t, err := w.target(r)
	if err != nil {
		return err
	}
	statement, done := t.statement(0)
	if done != nil {
		out.Fields(done.Reply)
		out.Int32("retriedStmtId", int(statement-1))
		return nil
	}
	sort, err := r.Document("sort")
	if err != nil {
		return err
	}
	var compiled *mql.Sort
	if len(sort) > 5 {
		if compiled, err = mql.CompileSort(sort); err != nil {
			return err
		}
	}
	if r.Flag("remove") {
		err = t.modifyByRemoval(ctx, out, compiled, statement)
	} else {
		err = t.modifyByUpdate(ctx, out, compiled, statement)
	}
	if err != nil {
		return t.modifyFailed(err)
	}
	if r.Retryable && !t.wrote.IsZero() {
		t.remember(statement, session.Statement{OpTime: t.wrote, Reply: out.Document()})
	}
	if !t.wrote.IsZero() {
		r.Client.LastOp = t.wrote
	}
	return nil
}

func (t *target) modifyFailed(err error) error {
	return command.FailureOf(t.conflict(err))
}

func (t *target) modifyByRemoval(ctx context.Context, out *command.Reply, sort *mql.Sort, statement int32) error {
	query, err := t.r.Document("query")
	if err != nil {
		return err
	}
	filter, err := mql.CompileWith(query, t.r.Options(t.w.Store))
	if err != nil {
		return err
	}
	note := store.Note{Statement: statement}
	if t.r.Retryable {
		note.Image = "preImage"
	}
	removed, err := t.deleteFirst(ctx, filter, note, sort)
	if err != nil {
		return err
	}
	n := 0
	if removed != nil {
		n = 1
		t.keepImage(note.Image, removed)
	}
	out.Set("lastErrorObject", bson.D{{Key: "n", Value: int32(n)}}) //nolint:gosec // 0 or 1
	return t.value(out, removed, filter)
}

func (t *target) modifyByUpdate(ctx context.Context, out *command.Reply, sort *mql.Sort, statement int32) error {
	query, err := t.r.Document("query")
	if err != nil {
		return err
	}
	if query == nil {
		query = bson.Raw{5, 0, 0, 0, 0}
	}
	doc, err := bson.Marshal(bson.D{
		{Key: "q", Value: query}, {Key: "u", Value: t.r.Lookup("update")}, {Key: "upsert", Value: t.r.Flag("upsert")},
		{Key: "collation", Value: orNull(t.r.Lookup("collation"))}, {Key: "arrayFilters", Value: orNull(t.r.Lookup("arrayFilters"))},
	})
	if err != nil {
		return err
	}
	c, err := t.compileUpdate(withoutNulls(doc))
	if err != nil {
		return err
	}
	c.note, c.sort = store.Note{Statement: statement}, sort
	if t.r.Retryable {
		c.note.Image = "preImage"
		if t.r.Flag("new") {
			c.note.Image = "postImage"
		}
	}
	done, err := t.updateFirst(ctx, c)
	if err != nil {
		return err
	}
	image := done.before
	if t.r.Flag("new") {
		image = done.after
	}
	if done.modified > 0 {
		t.keepImage(c.note.Image, image)
	}
	n := done.matched
	last := bson.D{}
	if done.upserted.Type != 0 {
		n = 1
	}
	last = append(last, bson.E{Key: "n", Value: int32(n)}, bson.E{Key: "updatedExisting", Value: done.matched > 0}) //nolint:gosec // 0 or 1
	if done.upserted.Type != 0 {
		last = append(last, bson.E{Key: "upserted", Value: done.upserted})
	}
	out.Set("lastErrorObject", last)
	return t.value(out, image, c.filter)
}

func orNull(v bson.RawValue) any {
	if v.Type == 0 {
		return nil
	}
	return v
}

func withoutNulls(doc bson.Raw) bson.Raw {
	elements, err := doc.Elements()
	if err != nil {
		return doc
	}
	var d bson.D
	for _, e := range elements {
		if e.Value().Type != bson.TypeNull {
			d = append(d, bson.E{Key: e.Key(), Value: e.Value()})
		}
	}
	raw, err := bson.Marshal(d)
	if err != nil {
		return doc
	}
	return raw
}

// value writes the document that the client asked for, null if there is none.
func (t *target) value(out *command.Reply, doc bson.Raw, filter *mql.Filter) error {
	if doc == nil {
		out.Set("value", nil)
		return nil
	}
	fields, err := t.r.Document("fields")
	if err != nil {
		return err
	}
	if len(fields) > 5 {
		projection, err := mql.CompileProjection(fields, filter, t.r.Options(t.w.Store))
		if err != nil {
			return err
		}
		if doc, err = projection.Apply(doc); err != nil {
			return err
		}
	}
	out.Raw("value", doc)
	return nil
}

// keepImage stores the image of a retryable findAndModify where the server keeps it.
func (t *target) keepImage(kind string, image bson.Raw) {
	if kind == "" || !t.r.Retryable {
		return
	}
	_ = t.w.Store.Update(func() error { // the closure does not fail
		Keep(t.w.Store, "config.image_collection", bson.D{
			{Key: "_id", Value: t.r.Session.ID}, {Key: "txnNum", Value: t.r.Session.TxnNumber}, {Key: "ts", Value: t.wrote.TS.BSON()},
			{Key: "imageKind", Value: kind}, {Key: "image", Value: image}, {Key: "invalidated", Value: false},
		})
		return nil
	})
}
