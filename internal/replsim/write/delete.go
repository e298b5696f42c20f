package write

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/command"
	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/session"
	"pitr/internal/replsim/store"
)

func (w *Writes) deleteCommand() *command.Command {
	return &command.Command{
		Name: "delete", Effect: command.Writes, Transactions: true, Needs: needs("remove"), Run: w.delete,
		Fields: []string{"deletes", "ordered", "let", "bypassDocumentValidation", "isTimeseriesNamespace", "encryptionInformation", "collectionUUID", "runtimeConstants", "legacyRuntimeConstants", "sampleId"},
	}
}

func (w *Writes) delete(ctx context.Context, r *command.Request, out *command.Reply) error {
	t, err := w.target(r)
	if err != nil {
		return err
	}
	statements, err := r.Documents("deletes")
	if err != nil {
		return err
	}
	if len(statements) == 0 || len(statements) > 100000 {
		return command.Errorf(command.InvalidLength, "Write batch sizes must be between 1 and 100000. Got %d operations.", len(statements))
	}
	n := 0
	for i, doc := range statements {
		done, err := t.deleteOne(ctx, i, doc)
		n += done
		if err == nil {
			continue
		}
		if t.fatal(err) {
			return t.conflict(err)
		}
		if !t.fail(i, err) {
			break
		}
	}
	t.finish(out, n)
	return nil
}

func (t *target) deleteOne(ctx context.Context, i int, doc bson.Raw) (int, error) {
	statement, done := t.statement(i)
	if done != nil {
		return 1, nil
	}
	q, _ := doc.Lookup("q").DocumentOK()
	filter, err := mql.CompileWith(q, t.options(doc))
	if err != nil {
		return 0, err
	}
	limit, ok := doc.Lookup("limit").AsInt64OK()
	if !ok || limit < 0 || limit > 1 {
		return 0, command.Errorf(command.FailedToParse, "The limit field in delete objects must be 0 or 1. Got %d", limit)
	}
	if limit == 0 {
		if t.r.Retryable {
			return 0, command.Errorf(command.InvalidOptions, "Cannot use (or request) retryable writes with limit=0")
		}
		return t.deleteMany(ctx, filter)
	}
	removed, err := t.deleteFirst(ctx, filter, store.Note{Statement: statement}, nil)
	if err != nil || removed == nil {
		return 0, err
	}
	return 1, nil
}

// deleteFirst removes the first document that matches and gives it, nil if there is none.
func (t *target) deleteFirst(ctx context.Context, filter *mql.Filter, note store.Note, sort *mql.Sort) (bson.Raw, error) {
	var removed bson.Raw
	err := t.run(ctx, func() error {
		removed = nil
		u := t.begin()
		c, err := t.existing(u)
		var record *store.Record
		if err == nil && c != nil {
			if record, removed, err = t.first(u, c, filter, sort); err == nil && record != nil {
				if note.Image != "" {
					t.w.Store.Burn(1)
				}
				err = u.Remove(c, record, note)
			}
		}
		if err != nil {
			t.abort(u)
			return err
		}
		t.commit(u)
		if t.r.Retryable && record != nil {
			t.remember(note.Statement, session.Statement{OpTime: t.wrote, Kind: "d"})
			t.keepSession()
		}
		return nil
	})
	return removed, err
}

// deleteMany removes all documents that match. Outside of a transaction they go in groups, each of which is one entry.
func (t *target) deleteMany(ctx context.Context, filter *mql.Filter) (int, error) {
	candidates, err := t.candidates(ctx, filter)
	if err != nil {
		return 0, err
	}
	n := 0
	for len(candidates) > 0 {
		err := t.run(ctx, func() error {
			for units := 0; len(candidates) > 0 && units < updatesPerLock/deletesAtOnce; units++ {
				removed, taken, err := t.deleteGroup(filter, candidates)
				n += removed
				candidates = candidates[taken:]
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// deleteGroup removes the next candidates in one unit. It reports how many it removed and how many candidates are done with.
func (t *target) deleteGroup(filter *mql.Filter, candidates []*store.Record) (removed, taken int, err error) {
	c, err := t.existing(t.r.Unit)
	if err != nil || c == nil {
		return 0, len(candidates), err
	}
	u, limit := t.r.Unit, len(candidates)
	if u == nil {
		u, limit = t.w.Store.BeginGroup(), deletesAtOnce
		u.Bypass = MayBypass(t.r)
	}
	for _, record := range candidates {
		if removed == limit {
			break
		}
		taken++
		doc := record.At(u.Moment)
		if doc == nil {
			continue
		}
		if ok, err := filter.Match(doc); err != nil || !ok {
			continue
		}
		if err := u.Remove(c, record, store.Note{}); err != nil {
			t.abort(u)
			return 0, 0, err
		}
		removed++
	}
	t.commit(u)
	return removed, taken, nil
}
