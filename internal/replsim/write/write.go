// Package write holds the commands that change documents: insert, update, delete, findAndModify and applyOps, in plain form,
// as retryable writes and inside transactions.
//
// A statement finds its records, computes new documents with the query library, and hands them to a unit of the store. What
// fails is a write error of the statement; a conflict with an open transaction waits and tries again, or ends the own
// transaction.
package write

import (
	"context"
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/internal/replsim/auth"
	"pitr/internal/replsim/command"
	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/read"
	"pitr/internal/replsim/session"
	"pitr/internal/replsim/store"
)

// Limits of the server.
const (
	maxDocument    = 16 << 20
	maxGroup       = 500
	maxGroupBytes  = 256 << 10
	deletesAtOnce  = 10
	updatesPerLock = 1000
)

// Catalog makes collections on the way.
type Catalog interface {
	// Implicit creates the collection that a first write names. It is called inside Store.Update.
	Implicit(u *store.Unit, ns string) (*store.Collection, error)
	// Apply runs a command of the catalog as applyOps names it.
	Apply(ctx context.Context, r *command.Request, op bson.Raw) error
}

// Writes runs the writing commands of one server.
type Writes struct {
	Store   *store.Store
	Reads   *read.Reads
	Catalog Catalog
	// NewID makes ObjectIds.
	NewID func() bson.ObjectID
}

// Commands are the commands of this package.
func (w *Writes) Commands() []*command.Command {
	return []*command.Command{w.insertCommand(), w.updateCommand(), w.deleteCommand(), w.findAndModifyCommand(), w.applyOpsCommand()}
}

// target is where a command writes.
type target struct {
	w  *Writes
	r  *command.Request
	ns string
	// failures are write errors, wrote the newest entry, retried the statements that an earlier try did.
	failures []failure
	wrote    pitr.OpTime
	retried  []int32
	bypass   bool
}

// failure is one element of writeErrors.
type failure struct {
	index int
	err   error
}

func (w *Writes) target(r *command.Request) (*target, error) {
	ns, err := r.Namespace()
	if err != nil {
		return nil, err
	}
	if w.Reads.Store == nil {
		return nil, errors.New("no store to read")
	}
	return &target{w: w, r: r, ns: ns, bypass: r.Flag("bypassDocumentValidation")}, nil
}

// begin opens the unit of one statement: the transaction's, a retryable one or a plain one.
func (t *target) begin() *store.Unit {
	switch {
	case t.r.Unit != nil:
		return t.r.Unit
	case t.r.Retryable:
		u := t.w.Store.BeginRetryable(&t.r.Session.Written)
		u.Bypass = MayBypass(t.r)
		return u
	}
	u := t.w.Store.Begin()
	u.Bypass = MayBypass(t.r)
	return u
}

// MayBypass reports whether a login may write under a user write block. Without authentication nobody may.
func MayBypass(r *command.Request) bool {
	return r.Client != nil && r.Client.Login.May(auth.Need{Resource: auth.Cluster, Action: "bypassWriteBlockingMode"})
}

// commit ends the unit of a statement; a transaction stays open.
func (t *target) commit(u *store.Unit) {
	if u == t.r.Unit {
		return
	}
	if last := u.Commit(); !last.IsZero() {
		t.wrote = last
	}
}

// abort takes the unit of a statement back; of a transaction, everything.
func (t *target) abort(u *store.Unit) {
	u.Abort()
	if u == t.r.Unit {
		t.r.Session.State = session.StateAborted
	}
}

// collection finds or makes the collection of a write.
func (t *target) collection(u *store.Unit) (*store.Collection, error) {
	c := t.w.Store.Find(t.ns, store.Moment{TS: store.Latest.TS, Unit: u})
	if c == nil {
		if t.w.Reads.IsView(t.ns) {
			return nil, command.Errorf(166, "Namespace %s is a view, not a collection", t.ns)
		}
		return t.w.Catalog.Implicit(u, t.ns)
	}
	if u == t.r.Unit {
		return c, read.CheckSnapshot(u, c)
	}
	return c, nil
}

// existing is collection without making one; nil if there is none.
func (t *target) existing(u *store.Unit) (*store.Collection, error) {
	c := t.w.Store.Find(t.ns, store.Moment{TS: store.Latest.TS, Unit: u})
	if c == nil && t.w.Reads.IsView(t.ns) {
		return nil, command.Errorf(166, "Namespace %s is a view, not a collection", t.ns)
	}
	if c != nil && u != nil && u == t.r.Unit {
		return c, read.CheckSnapshot(u, c)
	}
	return c, nil
}

// run runs one statement in the store. Outside of a transaction it waits for conflicting units.
func (t *target) run(ctx context.Context, statement func() error) error {
	if t.r.Unit != nil {
		return t.w.Store.Update(statement)
	}
	return t.w.Store.Retry(ctx, statement)
}

// fatal reports whether an error ends the command instead of the statement.
func (t *target) fatal(err error) bool {
	var f *command.Failure
	if errors.Is(err, store.ErrConflict) {
		return true
	}
	if errors.As(err, &f) {
		return f.Code == command.MaxTimeMSExpired || f.Code == command.SnapshotUnavailable || f.Code == 11600 || f.Code == 279
	}
	return errors.Is(err, context.Canceled)
}

// conflict is how a transaction learns that it lost.
func (t *target) conflict(err error) error {
	if errors.Is(err, store.ErrConflict) {
		return command.Errorf(command.WriteConflict, "Caused by :: Write conflict during plan execution and yielding is disabled. :: Please retry your operation or multi-document transaction.")
	}
	return err
}

// fail notes a write error and reports whether the command goes on.
func (t *target) fail(index int, err error) bool {
	t.failures = append(t.failures, failure{index: index, err: err})
	if t.r.Unit != nil {
		if !t.r.Unit.Ended() {
			_ = t.w.Store.Update(func() error { t.r.Unit.Abort(); return nil }) // the closure does not fail
		}
		t.r.Session.State = session.StateAborted
		return false
	}
	ordered := t.r.Lookup("ordered")
	return ordered.Type != 0 && !command.Truth(ordered)
}

// statement gives the number of a statement of a retryable write, counted from 1, and whether an earlier try did it.
func (t *target) statement(index int) (int32, *session.Statement) {
	if !t.r.Retryable {
		return 0, nil
	}
	n := int32(index) //nolint:gosec // at most 100,000 statements
	if first, ok := t.r.Lookup("stmtId").AsInt64OK(); ok {
		n += int32(first) //nolint:gosec // small numbers of the client
	} else if ids, ok := t.r.Lookup("stmtIds").ArrayOK(); ok {
		if values, err := ids.Values(); err == nil && index < len(values) {
			id, _ := values[index].AsInt64OK()
			n = int32(id) //nolint:gosec // small numbers of the client
		}
	}
	if done, ok := t.r.Session.Statements[n]; ok {
		t.retried = append(t.retried, n)
		return n + 1, &done
	}
	return n + 1, nil
}

// remember notes a statement that was done, in the session and in config.transactions.
func (t *target) remember(statement int32, done session.Statement) {
	if statement != 0 {
		t.r.Session.Remember(statement-1, done)
	}
}

// keepSession writes the session's record after a retryable write.
func (t *target) keepSession() {
	if t.r.Retryable && t.r.Unit == nil && !t.r.Session.Written.Previous.IsZero() {
		KeepSession(t.w.Store, t.r.Session, t.r.Session.Written.Previous)
	}
}

// KeepSession writes what config.transactions says about a session. It is called inside Store.Update.
func KeepSession(s *store.Store, one *session.Session, last pitr.OpTime) {
	doc := bson.D{
		{Key: "_id", Value: one.ID}, {Key: "txnNum", Value: one.TxnNumber},
		{Key: "lastWriteOpTime", Value: bson.D{{Key: "ts", Value: last.TS.BSON()}, {Key: "t", Value: last.Term}}},
		{Key: "lastWriteDate", Value: bson.NewDateTimeFromTime(s.Now())},
	}
	if one.State == session.StateCommitted {
		doc = append(doc, bson.E{Key: "state", Value: string(one.State)})
	}
	Keep(s, "config.transactions", doc)
}

// Keep writes a document of a collection that has no entries, by _id. It is called inside Store.Update.
func Keep(s *store.Store, ns string, doc bson.D) {
	c := s.Find(ns, store.Latest)
	content, err := bson.Marshal(doc)
	raw := bson.Raw(content)
	if c == nil || err != nil {
		return
	}
	u := s.Begin()
	if r, _ := c.ByID(raw.Lookup("_id"), store.Latest); r != nil {
		err = u.Replace(c, r, store.Change{After: raw, O: raw})
	} else {
		_, err = u.Insert(c, raw, store.Note{})
	}
	if err != nil {
		u.Abort()
		return
	}
	u.Commit()
}

// finish writes what all replies of writes begin with.
func (t *target) finish(out *command.Reply, n int) {
	last := t.wrote
	if last.IsZero() {
		t.w.Store.View(func() { last = t.w.Store.Written() })
	}
	t.r.Client.LastOp = last
	out.Int32("n", n)
	out.Set("electionId", ElectionID(t.w.Store.Term()))
	out.OpTime("opTime", last)
	t.writeErrors(out)
	if len(t.retried) > 0 {
		out.Set("retriedStmtIds", t.retried)
	}
}

// ElectionID is the id of an election, made of its term as the server does.
func ElectionID(term int64) bson.ObjectID {
	id := bson.ObjectID{0x7f, 0xff, 0xff, 0xff}
	for i := range 8 {
		id[11-i] = byte(term >> (8 * i)) //nolint:gosec // its bytes
	}
	return id
}

func (t *target) writeErrors(out *command.Reply) {
	if len(t.failures) == 0 {
		return
	}
	errs := make(bson.A, len(t.failures))
	for i, f := range t.failures {
		errs[i] = writeError(f)
	}
	out.Set("writeErrors", errs)
}

func writeError(f failure) bson.D {
	e := command.FailureOf(f.err)
	d := bson.D{{Key: "index", Value: int32(f.index)}, {Key: "code", Value: e.Code}, {Key: "errmsg", Value: e.Message}} //nolint:gosec // at most 100,000
	return append(d, e.Extra...)
}

// needs is a right on the collection that the command names; bypassing validation takes one more.
func needs(actions ...string) func(*command.Request) []auth.Need {
	return func(r *command.Request) []auth.Need {
		name, _ := r.Argument().StringValueOK()
		resource := auth.Namespace(r.DB, name)
		var all []auth.Need
		for _, action := range actions {
			all = append(all, auth.Need{Resource: resource, Action: action})
		}
		if r.Flag("bypassDocumentValidation") {
			all = append(all, auth.Need{Resource: resource, Action: "bypassDocumentValidation"})
		}
		return all
	}
}

// validate refuses a document that the collection's validator does not take.
func (t *target) validate(c *store.Collection, doc bson.Raw) error {
	if c.Validator == nil || t.bypass {
		return nil
	}
	if ok, err := c.Validator.Match(doc); err != nil || ok {
		return err
	}
	if action, _ := c.Options.Lookup("validationAction").StringValueOK(); action == "warn" {
		return nil
	}
	info, err := bson.Marshal(bson.D{{Key: "failingDocumentId", Value: doc.Lookup("_id")}, {Key: "details", Value: c.Validator.Failure(doc)}})
	if err != nil {
		return err
	}
	return &mql.Error{Code: 121, Message: "Document failed validation", Info: info}
}

// validateUpdate is validate for an update: under the moderate level a document that was bad before may stay so.
func (t *target) validateUpdate(c *store.Collection, before, after bson.Raw) error {
	if c.Validator == nil {
		return nil
	}
	if level, _ := c.Options.Lookup("validationLevel").StringValueOK(); level == "moderate" {
		if ok, err := c.Validator.Match(before); err != nil || !ok {
			return err
		}
	} else if level == "off" {
		return nil
	}
	return t.validate(c, after)
}
