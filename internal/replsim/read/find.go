package read

import (
	"context"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/internal/replsim/auth"
	"pitr/internal/replsim/command"
	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/store"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

var findFields = []string{
	"filter", "projection", "sort", "hint", "skip", "limit", "batchSize", "singleBatch", "allowDiskUse", "allowPartialResults",
	"awaitData", "tailable", "oplogReplay", "noCursorTimeout", "max", "min", "returnKey", "showRecordId", "let", "collation",
	"readOnce", "allowSpeculativeMajorityRead", "$_requestResumeToken", "$_resumeAfter", "ntoreturn", "runtimeConstants",
	"legacyRuntimeConstants", "term", "encryptionInformation", "includeQueryStatsMetrics",
}

func (rd *Reads) findCommand() *command.Command {
	return &command.Command{
		Name: "find", Struct: "FindCommandRequest", Fields: findFields, Transactions: true,
		Needs: rd.findNeeds, Run: rd.find,
	}
}

func (rd *Reads) findNeeds(r *command.Request) []auth.Need {
	if _, byUUID := uuidOf(r.Argument()); byUUID {
		needs := []auth.Need{{Resource: auth.Cluster, Action: "useUUID"}}
		if _, ns, err := rd.resolve(r); err == nil {
			needs = append(needs, auth.Need{Resource: auth.Namespace(store.DB(ns), store.Name(ns)), Action: "find"})
		}
		return needs
	}
	name, _ := r.Argument().StringValueOK()
	return []auth.Need{{Resource: auth.Namespace(r.DB, name), Action: "find"}}
}

// query is a find as a plan needs it.
type query struct {
	request    *command.Request
	ns         string
	collection *store.Collection
	filter     *mql.Filter
	projection *mql.Projection
	sort       bson.Raw
	hint       bson.RawValue
	low, high  bson.Raw
	skip       int64
	limit      int64
	recordID   bool
	tailable   bool
	resume     bson.RawValue
	tokens     bool
}

func (rd *Reads) find(ctx context.Context, r *command.Request, out *command.Reply) error {
	q, b, err := rd.parseFind(r)
	if err != nil {
		return err
	}
	if q.collection == nil && q.ns != oplogName {
		if view := rd.viewOf(q.ns); view != nil {
			return rd.findInView(ctx, q, b, out)
		}
		return rd.answerList(ctx, out, &cursor{ns: q.ns, source: &fixed{}}, b)
	}
	if r.Unit != nil && q.collection != nil {
		if err := CheckSnapshot(r.Unit, q.collection); err != nil {
			return err
		}
		_ = rd.Store.Update(func() error { r.Unit.Touch(q.collection); return nil }) // the closure does not fail
	}
	src, err := rd.plan(q)
	if err != nil {
		return err
	}
	c := &cursor{
		ns: q.ns, source: src, collection: q.collection, concern: r.ReadConcern, session: r.Session, txnNumber: r.TxnNumber,
		tokens: q.tokens, await: q.tailable && r.Flag("awaitData"), login: loginName(r),
	}
	if r.Flag("singleBatch") {
		c.source = &once{source: src}
	}
	return rd.answer(ctx, out, c, b, "firstBatch")
}

func loginName(r *command.Request) string {
	if r.Client == nil || r.Client.Login == nil {
		return ""
	}
	return r.Client.Login.User + "@" + r.Client.Login.DB
}

func (rd *Reads) parseFind(r *command.Request) (*query, batch, error) {
	b := batch{limit: firstBatch}
	size, err := r.Int("batchSize", firstBatch)
	if err != nil {
		return nil, b, err
	}
	b.limit = int(size)
	q := &query{request: r, hint: r.Lookup("hint"), recordID: r.Flag("showRecordId"), tailable: r.Flag("tailable"), tokens: r.Flag("$_requestResumeToken")}
	if q.collection, q.ns, err = rd.resolve(r); err != nil {
		return nil, b, err
	}
	if q.skip, err = r.Int("skip", 0); err != nil {
		return nil, b, err
	}
	if q.limit, err = r.Int("limit", 0); err != nil {
		return nil, b, err
	}
	if q.limit < 0 || q.skip < 0 || size < 0 {
		return nil, b, command.Errorf(51024, "BSON field 'limit' value must be >= 0, actual value '%d'", min(q.limit, q.skip, size))
	}
	for _, field := range []struct {
		name string
		to   *bson.Raw
	}{{"sort", &q.sort}, {"min", &q.low}, {"max", &q.high}} {
		if *field.to, err = r.Document(field.name); err != nil {
			return nil, b, err
		}
	}
	return q, b, rd.compileFind(q)
}

func (rd *Reads) compileFind(q *query) error {
	r := q.request
	filter, err := r.Document("filter")
	if err != nil {
		return err
	}
	options := r.Options(rd.Store)
	if q.filter, err = mql.CompileWith(filter, options); err != nil {
		return err
	}
	projection, err := r.Document("projection")
	if err != nil {
		return err
	}
	if len(projection) > 5 {
		if q.projection, err = mql.CompileProjection(projection, q.filter, options); err != nil {
			return err
		}
	}
	if after, _ := r.Lookup("$_resumeAfter").DocumentOK(); len(after) > 5 {
		if !q.tokens {
			return command.Errorf(command.BadValue, "$_resumeAfter requires $_requestResumeToken to be set")
		}
		q.resume = after.Lookup("$recordId")
	}
	if q.tokens && !natural(q.hint) {
		return command.Errorf(command.BadValue, "hint must be {$natural:1} if 'requestResumeToken' is enabled")
	}
	return nil
}

// resolve finds the collection of a command whose first field is a name or a UUID.
func (rd *Reads) resolve(r *command.Request) (*store.Collection, string, error) {
	if uuid, ok := uuidOf(r.Argument()); ok {
		var c *store.Collection
		ns := ""
		rd.Store.View(func() {
			if c = rd.Store.ByUUID(uuid, r.Moment(rd.Store)); c != nil {
				ns = c.NS
			}
		})
		if c == nil || store.DB(ns) != r.DB {
			return nil, "", command.Errorf(command.NamespaceNotFound, "Unable to resolve %s", uuid)
		}
		return c, ns, nil
	}
	ns, err := r.Namespace()
	if err != nil {
		return nil, "", err
	}
	var c *store.Collection
	rd.Store.View(func() { c = rd.Store.Find(ns, r.Moment(rd.Store)) })
	return c, ns, nil
}

func uuidOf(value bson.RawValue) (pitr.UUID, bool) {
	if value.Type != bson.TypeBinary {
		return pitr.UUID{}, false
	}
	uuid, err := pitr.UUIDOf(value)
	return uuid, err == nil
}

func natural(hint bson.RawValue) bool {
	doc, ok := hint.DocumentOK()
	return ok && doc.Lookup("$natural").Type != 0
}

// CheckSnapshot refuses a collection whose catalog entry changed after the snapshot of a transaction.
func CheckSnapshot(u *store.Unit, c *store.Collection) error {
	if changed := c.Changed(); changed > u.Moment.TS {
		return &command.Failure{
			Code: command.SnapshotUnavailable,
			Message: "Unable to read from a snapshot due to pending collection catalog changes; please retry the operation. Snapshot timestamp is " +
				timestampText(u.Moment.TS) + ". Collection minimum is " + timestampText(changed),
		}
	}
	return nil
}
