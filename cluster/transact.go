package cluster

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"pitr"
)

// The labels by which the server and the driver say what may be repeated.
const (
	labelTransient = "TransientTransactionError"
	labelUnknown   = "UnknownTransactionCommitResult"
)

// Transact performs guarded writes as one transaction, or none of them: it reads the documents by _id in a snapshot,
// compares their bytes, and deletes, replaces and inserts only what differs from its result. The first document that is
// neither what is expected nor the result ends it with a *pitr.Difference, kind conflict. What the server calls transient
// is begun anew within Options.Budget, and a commit with an unknown outcome is committed again. It gives a cluster time at
// or after the commit, zero when there was nothing to write.
func (p *Primary) Transact(ctx context.Context, writes []pitr.DocumentWrite) (pitr.Timestamp, error) {
	const op = "write in a transaction"
	if err := p.client.needOplog(op); err != nil {
		return 0, err
	}
	for _, write := range writes {
		if name := emptyTimestamp(write.Result); name != "" {
			return 0, pitr.Errorf(pitr.KindUnsupported, op, "leave the document out, or write it by hand",
				"the server would fill in the empty timestamp in field %q of %s in %s", name, write.Key, write.NS)
		}
	}
	var patient patience
	for {
		at, err := p.transactOnce(ctx, writes)
		switch {
		case err == nil:
			p.saw(at)
			return at, nil
		case ctx.Err() == nil && hasLabel(err, labelTransient) && patient.pause(ctx, p.link.options):
			p.link.options.Log.Debug("begin the transaction anew", "error", p.link.secrets.mask(err.Error()))
		default:
			return 0, p.link.failed(ctx, op, err)
		}
	}
}

func (p *Primary) transactOnce(ctx context.Context, writes []pitr.DocumentWrite) (pitr.Timestamp, error) {
	session, err := p.link.mongo.StartSession(options.Session().SetCausalConsistency(false))
	if err != nil {
		return 0, err
	}
	defer session.EndSession(context.WithoutCancel(ctx))
	err = session.StartTransaction(options.Transaction().SetReadConcern(readconcern.Snapshot()).
		SetWriteConcern(writeconcern.Majority()))
	if err != nil {
		return 0, err
	}
	inSession := mongo.NewSessionContext(ctx, session)
	written, err := p.writeGroups(inSession, writes)
	if err != nil || !written {
		_ = session.AbortTransaction(context.WithoutCancel(inSession))
		return 0, err
	}
	if err := p.commit(inSession, session); err != nil {
		return 0, err
	}
	at := session.OperationTime()
	if at == nil {
		return 0, errNoTime
	}
	return pitr.TimestampOf(*at), nil
}

// commit repeats while the outcome is unknown: the server answers the same commit the same way.
func (p *Primary) commit(ctx context.Context, session *mongo.Session) error {
	var patient patience
	for {
		err := session.CommitTransaction(ctx)
		if err == nil || !hasLabel(err, labelUnknown) || !patient.pause(ctx, p.link.options) {
			return err
		}
	}
}

func hasLabel(err error, label string) bool {
	var labelled mongo.LabeledError
	return errors.As(err, &labelled) && labelled.HasErrorLabel(label)
}

// writeGroups does the work of one attempt, collection by collection, and reports whether anything had to be written.
func (p *Primary) writeGroups(ctx context.Context, writes []pitr.DocumentWrite) (bool, error) {
	var plans []plan
	for ns, group := range byNamespace(writes) {
		live, err := p.readLive(ctx, ns, group)
		if err != nil {
			return false, err
		}
		made, err := planGroup(ns, group, live)
		if err != nil {
			return false, err
		}
		plans = append(plans, made)
	}
	written := false
	// Deletes of all collections come first, so that no insert meets a key that is about to go.
	for _, step := range []func(plan) (order, int){plan.deletions, plan.replacements, plan.insertions} {
		for _, made := range plans {
			o, want := step(made)
			if want == 0 {
				continue
			}
			written = true
			reply, err := p.link.once(ctx, o)
			if err != nil {
				return false, err
			}
			if n, _ := reply.Lookup("n").AsInt64OK(); n != int64(want) {
				return false, pitr.Errorf(pitr.KindConflict, o.op, "run `pitr resume` to look at the documents again",
					"the server wrote %d documents instead of %d", n, want)
			}
		}
	}
	return written, nil
}

func byNamespace(writes []pitr.DocumentWrite) map[pitr.Namespace][]pitr.DocumentWrite {
	groups := map[pitr.Namespace][]pitr.DocumentWrite{}
	for _, write := range writes {
		groups[write.NS] = append(groups[write.NS], write)
	}
	return groups
}

// readLive finds the documents of a group inside the transaction, by the equality form of their keys.
func (p *Primary) readLive(ctx context.Context, ns pitr.Namespace, group []pitr.DocumentWrite) (map[string]bson.Raw, error) {
	op := "read documents of " + ns.String()
	ids := make(bson.A, 0, len(group))
	for _, write := range group {
		ids = append(ids, write.Key.Stored())
	}
	command := bson.D{{Key: "find", Value: ns.Collection}, {Key: "batchSize", Value: hugeBatch},
		{Key: "filter", Value: bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}}}}
	live := map[string]bson.Raw{}
	for {
		reply, err := p.link.once(ctx, order{op: op, db: ns.DB, command: command})
		if err != nil {
			return nil, err
		}
		cursor, err := readCursor(reply)
		if err != nil {
			return nil, wrongReply(op, reply, err)
		}
		for document, err := range cursor.batch.Documents() {
			if err != nil {
				return nil, wrongReply(op, reply, err)
			}
			key, err := pitr.KeyOf(document)
			if err != nil {
				return nil, wrongReply(op, document, err)
			}
			live[key.Equal()] = document
		}
		if cursor.id == 0 {
			return live, nil
		}
		command = bson.D{{Key: "getMore", Value: cursor.id}, {Key: "collection", Value: ns.Collection}}
	}
}

// plan is what is to be written in one collection.
type plan struct {
	ns              pitr.Namespace
	deletes         []pitr.Key
	replaces, fresh []bson.Raw
}

// planGroup compares and sorts: nothing for what is right already, a Difference for what is neither.
func planGroup(ns pitr.Namespace, group []pitr.DocumentWrite, live map[string]bson.Raw) (plan, error) {
	made := plan{ns: ns}
	for _, write := range group {
		now := live[write.Key.Equal()]
		switch {
		case bytes.Equal(now, write.Result) && !write.Own:
		case !bytes.Equal(now, write.Expect):
			return made, &pitr.Error{Kind: pitr.KindConflict, Op: "compare before writing",
				Hint: "somebody changed the document: look at it with `pitr trace`", Err: &pitr.Difference{Write: write, Live: now}}
		case write.Result == nil:
			made.deletes = append(made.deletes, write.Key)
		case now == nil:
			made.fresh = append(made.fresh, write.Result)
		case write.Reinsert || !replaceable(write.Result):
			made.deletes = append(made.deletes, write.Key)
			made.fresh = append(made.fresh, write.Result)
		default:
			made.replaces = append(made.replaces, write.Result)
		}
	}
	return made, nil
}

// replaceable reports whether an update can carry a document as it is: servers take a field that begins with a dollar
// sign, on the first level, for an operator or refuse it.
func replaceable(document bson.Raw) bool {
	elements, err := document.Elements()
	return err == nil && !slices.ContainsFunc(elements, func(e bson.RawElement) bool { return len(e.Key()) > 0 && e.Key()[0] == '$' })
}

// emptyTimestamp names a field on the first level that holds Timestamp(0, 0), which servers replace by the present time
// when a document is inserted or replaced.
func emptyTimestamp(document bson.Raw) string {
	elements, err := document.Elements()
	if err != nil {
		return ""
	}
	for _, element := range elements {
		if t, i, ok := element.Value().TimestampOK(); ok && t == 0 && i == 0 && element.Key() != "_id" {
			return element.Key()
		}
	}
	return ""
}

func (m plan) deletions() (order, int) {
	deletes := make(bson.A, 0, len(m.deletes))
	for _, key := range m.deletes {
		deletes = append(deletes, bson.D{{Key: "q", Value: key.Filter()}, {Key: "limit", Value: 1}})
	}
	return order{op: "delete from " + m.ns.String(), db: m.ns.DB, command: bson.D{
		{Key: "delete", Value: m.ns.Collection}, {Key: "deletes", Value: deletes}}}, len(deletes)
}

func (m plan) replacements() (order, int) {
	updates := make(bson.A, 0, len(m.replaces))
	for _, document := range m.replaces {
		updates = append(updates, bson.D{{Key: "q", Value: bson.D{{Key: "_id", Value: document.Lookup("_id")}}}, {Key: "u", Value: document}})
	}
	return order{op: "replace in " + m.ns.String(), db: m.ns.DB, command: bson.D{{Key: "update", Value: m.ns.Collection},
		{Key: "updates", Value: updates}, {Key: "bypassDocumentValidation", Value: true}}}, len(updates)
}

func (m plan) insertions() (order, int) {
	return order{op: "insert into " + m.ns.String(), db: m.ns.DB, command: insertCommand(m.ns, m.fresh, bson.D{
		{Key: "ordered", Value: true}})}, len(m.fresh)
}
