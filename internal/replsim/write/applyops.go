package write

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/internal/replsim/auth"
	"pitr/internal/replsim/command"
	"pitr/internal/replsim/mql/update"
	"pitr/internal/replsim/store"
)

func (w *Writes) applyOpsCommand() *command.Command {
	return &command.Command{
		Name: "applyOps", Effect: command.Writes, Place: command.AnyDatabase, Run: w.applyOps,
		Needs: func(*command.Request) []auth.Need { return []auth.Need{{Resource: auth.Cluster, Action: "applyOps"}} },
	}
}

// applyOps applies entries one after the other, as the server does outside of replication: updates of missing documents
// become inserts, and the first failure ends it.
func (w *Writes) applyOps(ctx context.Context, r *command.Request, out *command.Reply) error {
	ops, ok := r.Argument().ArrayOK()
	if !ok {
		return command.Errorf(command.TypeMismatch, "ops has to be an array")
	}
	values, err := ops.Values()
	if err != nil {
		return err
	}
	results := bson.A{}
	for i, v := range values {
		op, ok := v.DocumentOK()
		if !ok {
			return command.Errorf(command.TypeMismatch, "op not an object: applyOps.%d", i)
		}
		err := w.applyOne(ctx, r, op)
		results = append(results, err == nil)
		if err != nil {
			f := command.FailureOf(err)
			return &command.Failure{Code: f.Code, Message: f.Message, Lead: bson.D{
				{Key: "applied", Value: int32(i + 1)}, {Key: "code", Value: f.Code}, {Key: "codeName", Value: f.CodeName()}, //nolint:gosec // few
				{Key: "errmsg", Value: f.Message}, {Key: "results", Value: results},
			}}
		}
	}
	out.Int32("applied", len(values))
	out.Set("results", results)
	return nil
}

func (w *Writes) applyOne(ctx context.Context, r *command.Request, op bson.Raw) error {
	kind, _ := op.Lookup("op").StringValueOK()
	ns, _ := op.Lookup("ns").StringValueOK()
	switch kind {
	case "n":
		return nil
	case "c":
		return w.Catalog.Apply(ctx, r, op)
	case "i", "u", "d":
		return w.Store.Retry(ctx, func() error {
			c, err := w.applyTarget(op, ns)
			if err != nil {
				return err
			}
			return w.applyTo(r, c, op)
		})
	}
	return command.Errorf(command.FailedToParse, "invalid op field value: %s", kind)
}

func (w *Writes) applyTarget(op bson.Raw, ns string) (*store.Collection, error) {
	var c *store.Collection
	if ui := op.Lookup("ui"); ui.Type != 0 {
		uuid, err := pitr.UUIDOf(ui)
		if err != nil {
			return nil, err
		}
		c = w.Store.ByUUID(uuid, store.Latest)
	} else {
		c = w.Store.Find(ns, store.Latest)
	}
	if c == nil {
		return nil, command.Errorf(command.NamespaceNotFound, "Failed to apply operation due to missing collection (%s): %s", ns, command.Shown(op))
	}
	return c, nil
}

// applyTo applies an insert, update or delete in a unit of its own.
func (w *Writes) applyTo(r *command.Request, c *store.Collection, op bson.Raw) error {
	o, _ := op.Lookup("o").DocumentOK()
	id := o.Lookup("_id")
	if op.Lookup("op").StringValue() == "u" {
		id = op.Lookup("o2", "_id")
	}
	at := site{u: w.Store.Begin(), in: c}
	at.u.Bypass = MayBypass(r)
	at.record, at.before = c.ByID(id, store.Latest)
	if err := w.applyAt(at, op, o); err != nil {
		at.u.Abort()
		return err
	}
	at.u.Commit()
	return nil
}

func (w *Writes) applyAt(at site, op, o bson.Raw) error {
	switch op.Lookup("op").StringValue() {
	case "d":
		if at.record == nil {
			return nil
		}
		return at.u.Remove(at.in, at.record, store.Note{})
	case "i":
		if at.record == nil {
			_, err := at.u.Insert(at.in, o, store.Note{})
			return err
		}
		w.Store.Burn(1)
		return at.u.Replace(at.in, at.record, store.Change{After: o, O: o})
	}
	if at.record == nil {
		at.before = store.IDDocument(op.Lookup("o2", "_id"))
	}
	after, err := update.Replay(at.before, o)
	if err != nil {
		return err
	}
	if at.record == nil {
		_, err = at.u.Insert(at.in, after, store.Note{})
		return err
	}
	if string(after) == string(at.before) {
		return nil
	}
	return at.u.Replace(at.in, at.record, store.Change{After: after, O: o})
}
