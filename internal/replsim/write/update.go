package write

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/command"
	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/mql/update"
	"pitr/internal/replsim/session"
	"pitr/internal/replsim/store"
)

func (w *Writes) updateCommand() *command.Command {
	return &command.Command{
		Name: "update", Effect: command.Writes, Transactions: true, Needs: needs("update"), Run: w.update,
		Fields: []string{"updates", "ordered", "bypassDocumentValidation", "let", "isTimeseriesNamespace", "encryptionInformation", "collectionUUID", "runtimeConstants", "legacyRuntimeConstants", "sampleId"},
	}
}

// change is one update statement, compiled.
type change struct {
	index  int
	filter *mql.Filter
	update *update.Update
	hint   bson.RawValue
	multi  bool
	upsert bool
	// note goes to the entry; sort, if there is one, says which match is the first.
	note store.Note
	sort *mql.Sort
}

// site is a document to change, and the unit that does it.
type site struct {
	u      *store.Unit
	in     *store.Collection
	record *store.Record
	before bson.Raw
}

// outcome is what a statement did.
type outcome struct {
	matched, modified int
	upserted          bson.RawValue
	// before and after are the document of a statement that touched one.
	before, after bson.Raw
}

func (w *Writes) update(ctx context.Context, r *command.Request, out *command.Reply) error {
	t, err := w.target(r)
	if err != nil {
		return err
	}
	statements, err := r.Documents("updates")
	if err != nil {
		return err
	}
	if len(statements) == 0 || len(statements) > 100000 {
		return command.Errorf(command.InvalidLength, "Write batch sizes must be between 1 and 100000. Got %d operations.", len(statements))
	}
	n, modified := 0, 0
	var upserted bson.A
	for i, doc := range statements {
		done, err := t.updateOne(ctx, i, doc)
		if err != nil {
			if t.fatal(err) {
				return t.conflict(err)
			}
			if !t.fail(i, err) {
				break
			}
			continue
		}
		n, modified = n+done.matched, modified+done.modified
		if done.upserted.Type != 0 {
			n++
			upserted = append(upserted, bson.D{{Key: "index", Value: int32(i)}, {Key: "_id", Value: done.upserted}}) //nolint:gosec // at most 100,000
		}
	}
	t.finish(out, n)
	if upserted != nil {
		out.Set("upserted", upserted)
	}
	out.Int32("nModified", modified)
	return nil
}

func (t *target) updateOne(ctx context.Context, i int, doc bson.Raw) (outcome, error) {
	statement, done := t.statement(i)
	if done != nil {
		if done.Kind == "i" {
			return outcome{upserted: done.Upserted}, nil
		}
		return outcome{matched: 1, modified: 1}, nil
	}
	c, err := t.compileUpdate(doc)
	if err != nil {
		return outcome{}, err
	}
	c.index = i
	if c.multi && c.update.Replacement() {
		return outcome{}, command.Errorf(command.FailedToParse, "multi update is not supported for replacement-style update")
	}
	if c.multi && t.r.Retryable {
		return outcome{}, command.Errorf(command.InvalidOptions, "Cannot use (or request) retryable writes with multi=true")
	}
	if c.multi {
		return t.updateMany(ctx, c)
	}
	c.note.Statement = statement
	return t.updateFirst(ctx, c)
}

func (t *target) compileUpdate(doc bson.Raw) (*change, error) {
	q, _ := doc.Lookup("q").DocumentOK()
	options := t.options(doc)
	c := &change{hint: doc.Lookup("hint"), multi: command.Truth(doc.Lookup("multi")), upsert: command.Truth(doc.Lookup("upsert"))}
	var err error
	if c.filter, err = mql.CompileWith(q, options); err != nil {
		return nil, err
	}
	constants, _ := doc.Lookup("c").DocumentOK()
	c.update, err = update.Compile(doc.Lookup("u"), update.Options{
		Options: options, ArrayFilters: doc.Lookup("arrayFilters"), Constants: constants, Filter: c.filter,
	})
	return c, err
}

func (t *target) options(doc bson.Raw) mql.Options {
	options := t.r.Options(t.w.Store)
	options.Collation, _ = doc.Lookup("collation").DocumentOK()
	return options
}

// updateFirst changes the first document that matches, or upserts.
func (t *target) updateFirst(ctx context.Context, c *change) (outcome, error) {
	var done outcome
	err := t.run(ctx, func() error {
		done = outcome{}
		u := t.begin()
		err := t.changeFirst(u, c, &done)
		if err != nil {
			t.abort(u)
			return err
		}
		t.commit(u)
		if t.r.Retryable && (done.modified > 0 || done.upserted.Type != 0) {
			kind := "u"
			if done.upserted.Type != 0 {
				kind = "i"
			}
			t.remember(c.note.Statement, session.Statement{OpTime: t.wrote, Kind: kind, Upserted: done.upserted})
			t.keepSession()
		}
		return nil
	})
	return done, err
}

func (t *target) changeFirst(u *store.Unit, c *change, done *outcome) error {
	in, err := t.existing(u)
	if err != nil {
		return err
	}
	if in != nil {
		record, before, err := t.first(u, in, c.filter, c.sort)
		if err != nil {
			return err
		}
		if record != nil {
			return t.apply(site{u, in, record, before}, c, done)
		}
	}
	if !c.upsert {
		return nil
	}
	if in, err = t.collection(u); err != nil {
		return err
	}
	doc, err := c.update.Upsert(moment(u), t.w.NewID)
	if err != nil {
		return err
	}
	if doc, err = t.w.prepare(doc, c.index); err != nil {
		return err
	}
	if err := t.validate(in, doc); err != nil {
		return err
	}
	if _, err := u.Insert(in, doc, store.Note{Statement: c.note.Statement}); err != nil {
		return err
	}
	done.upserted, done.after = doc.Lookup("_id"), doc
	return nil
}

func moment(u *store.Unit) update.Moment {
	return update.Moment{Now: u.Now(), Timestamp: func() bson.Timestamp { return u.Timestamp().BSON() }}
}

// first finds the record to change.
func (t *target) first(u *store.Unit, c *store.Collection, filter *mql.Filter, sort *mql.Sort) (*store.Record, bson.Raw, error) {
	scan, err := t.w.Reads.Matching(t.r, c, filter)
	if err != nil {
		return nil, nil, err
	}
	var best *store.Record
	var bestDoc bson.Raw
	bestKey := ""
	for {
		record, doc, err := scan.Next(u.Moment)
		if err != nil || record == nil {
			return best, bestDoc, err
		}
		if sort == nil {
			return record, doc, nil
		}
		key, err := sort.Key(doc)
		if err != nil {
			return nil, nil, err
		}
		if best == nil || key < bestKey {
			best, bestDoc, bestKey = record, doc, key
		}
	}
}

// apply changes one record; an update without effect logs nothing.
func (t *target) apply(at site, c *change, done *outcome) error {
	result, err := c.update.Apply(at.before, moment(at.u))
	if err != nil {
		return err
	}
	done.matched++
	done.before, done.after = at.before, result.After
	if result.O == nil {
		return nil
	}
	if len(result.After) > maxDocument {
		return command.Errorf(17419, "Resulting document after update is larger than %d", maxDocument)
	}
	if err := t.validateUpdate(at.in, at.before, result.After); err != nil {
		return err
	}
	if c.note.Image != "" {
		t.w.Store.Burn(1)
	}
	if err := at.u.Replace(at.in, at.record, store.Change{After: result.After, O: result.O, Note: c.note}); err != nil {
		return err
	}
	done.modified++
	return nil
}

// updateMany changes all documents that match. Each has a unit of its own, and the store is let go now and then.
func (t *target) updateMany(ctx context.Context, c *change) (outcome, error) {
	var done outcome
	candidates, err := t.candidates(ctx, c.filter)
	if err != nil {
		return done, err
	}
	if len(candidates) == 0 && c.upsert {
		return t.updateFirst(ctx, c)
	}
	for len(candidates) > 0 {
		err := t.run(ctx, func() error {
			for n := 0; len(candidates) > 0 && n < updatesPerLock; n++ {
				if err := t.updateCandidate(c, candidates[0], &done); err != nil {
					return err
				}
				candidates = candidates[1:]
			}
			return nil
		})
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// candidates are the records that matched when the statement began.
func (t *target) candidates(ctx context.Context, filter *mql.Filter) ([]*store.Record, error) {
	var found []*store.Record
	err := t.run(ctx, func() error {
		found = nil
		u := t.begin()
		if u != t.r.Unit {
			defer u.Abort()
		}
		c, err := t.existing(u)
		if err != nil || c == nil {
			return err
		}
		scan, err := t.w.Reads.Matching(t.r, c, filter)
		if err != nil {
			return err
		}
		return scan.Each(u.Moment, func(record *store.Record) bool {
			found = append(found, record)
			return true
		})
	})
	return found, err
}

func (t *target) updateCandidate(c *change, record *store.Record, done *outcome) error {
	u := t.begin()
	in, err := t.existing(u)
	if in == nil || err != nil {
		return err
	}
	before := record.At(u.Moment)
	if before == nil {
		return nil
	}
	if ok, err := c.filter.Match(before); err != nil || !ok {
		return err
	}
	counted := *done
	if err := t.apply(site{u, in, record, before}, c, done); err != nil {
		*done = counted
		t.abort(u)
		return err
	}
	t.commit(u)
	return nil
}
