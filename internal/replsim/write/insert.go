package write

import (
	"context"
	"encoding/binary"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/command"
	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/session"
	"pitr/internal/replsim/store"
)

func (w *Writes) insertCommand() *command.Command {
	return &command.Command{
		Name: "insert", Effect: command.Writes, Transactions: true, Needs: needs("insert"), Run: w.insert,
		Fields: []string{"documents", "ordered", "bypassDocumentValidation", "isTimeseriesNamespace", "encryptionInformation", "collectionUUID"},
	}
}

// insertion is one document of an insert command.
type insertion struct {
	index     int
	statement int32
	doc       bson.Raw
	err       error
}

func (w *Writes) insert(ctx context.Context, r *command.Request, out *command.Reply) error {
	t, err := w.target(r)
	if err != nil {
		return err
	}
	documents, err := r.Documents("documents")
	if err != nil {
		return err
	}
	if len(documents) == 0 || len(documents) > 100000 {
		return command.Errorf(command.InvalidLength, "Write batch sizes must be between 1 and 100000. Got %d operations.", len(documents))
	}
	n, err := t.insertAll(ctx, documents)
	if err != nil {
		return t.conflict(err)
	}
	t.finish(out, n)
	return nil
}

func (t *target) insertAll(ctx context.Context, documents []bson.Raw) (int, error) {
	n := 0
	for len(documents) > 0 {
		group, rest := t.group(documents, n+len(t.failures))
		done, goesOn, err := t.insertGroup(ctx, group)
		n += done
		if err != nil || !goesOn {
			return n, err
		}
		documents = rest
	}
	return n, nil
}

// group takes the documents that the server would insert at once; done says how many came before.
func (t *target) group(documents []bson.Raw, done int) ([]insertion, []bson.Raw) {
	var group []insertion
	size := 0
	for i, doc := range documents {
		if len(group) == maxGroup || len(group) > 0 && size+len(doc) > maxGroupBytes {
			return group, documents[i:]
		}
		size += len(doc)
		one := insertion{index: done + i}
		one.doc, one.err = t.w.prepare(doc, one.index)
		group = append(group, one)
	}
	return group, nil
}

// insertGroup inserts documents at once and, if that fails, one by one. It reports how many are in, and whether the command
// goes on.
func (t *target) insertGroup(ctx context.Context, group []insertion) (int, bool, error) {
	n := 0
	var fresh []insertion
	bad := false
	for _, one := range group {
		statement, done := t.statement(one.index)
		if done != nil {
			n++
			continue
		}
		one.statement = statement
		fresh = append(fresh, one)
		bad = bad || one.err != nil
	}
	if !bad && len(fresh) > 0 {
		err := t.insertOnce(ctx, fresh)
		if err == nil {
			return n + len(fresh), true, nil
		}
		if t.fatal(err) {
			return n, false, err
		}
		if len(fresh) == 1 || t.r.Unit != nil {
			return n, t.fail(t.culprit(fresh, err), err), nil
		}
	}
	for _, one := range fresh {
		err := one.err
		if err == nil {
			err = t.insertOnce(ctx, []insertion{one})
		}
		switch {
		case err == nil:
			n++
		case t.fatal(err):
			return n, false, err
		case !t.fail(one.index, err):
			return n, false, nil
		}
	}
	return n, true, nil
}

// culprit is the document that an error is about; only a single one, or the last of a transaction's group, can be.
func (t *target) culprit(group []insertion, err error) int {
	if at, ok := err.(*positioned); ok { //nolint:errorlint // made by insertOnce, never wrapped
		return at.index
	}
	return group[0].index
}

// positioned is an error with the index of its document.
type positioned struct {
	error
	index int
}

// Unwrap gives the error itself.
func (p *positioned) Unwrap() error { return p.error }

// insertOnce inserts documents in one unit, all or none.
func (t *target) insertOnce(ctx context.Context, group []insertion) error {
	return t.run(ctx, func() error {
		u := t.begin()
		c, err := t.collection(u)
		if err != nil {
			if u != t.r.Unit {
				u.Abort()
			}
			return err
		}
		if c.Capped() && len(group) > 1 && u != t.r.Unit {
			u.Abort()
			return t.insertCapped(group)
		}
		for i := range group {
			group[i].doc = stamp(group[i].doc, u)
		}
		if u != t.r.Unit {
			u.Reserve(len(group))
		}
		for _, one := range group {
			err := t.validate(c, one.doc)
			if err == nil {
				_, err = u.Insert(c, one.doc, store.Note{Statement: one.statement})
			}
			if err != nil {
				t.abort(u)
				return &positioned{error: err, index: one.index}
			}
		}
		t.commit(u)
		if t.r.Retryable {
			for _, one := range group {
				t.remember(one.statement, session.Statement{OpTime: t.wrote, Kind: "i"})
			}
			t.keepSession()
		}
		return nil
	})
}

// insertCapped inserts into a capped collection, where each document has a unit of its own.
func (t *target) insertCapped(group []insertion) error {
	for _, one := range group {
		u := t.begin()
		c, err := t.collection(u)
		if err == nil {
			err = t.validate(c, one.doc)
		}
		if err == nil {
			_, err = u.Insert(c, stamp(one.doc, u), store.Note{Statement: one.statement})
		}
		if err != nil {
			t.abort(u)
			return err
		}
		t.commit(u)
		t.remember(one.statement, session.Statement{OpTime: t.wrote, Kind: "i"})
	}
	t.keepSession()
	return nil
}

// prepare checks a document and puts its _id in front, making one if there is none.
func (w *Writes) prepare(doc bson.Raw, index int) (bson.Raw, error) {
	if len(doc) > maxDocument {
		return nil, &mql.Error{Code: 2, Message: "object to insert too large. size in bytes: " + itoa(len(doc)) + ", max size: " + itoa(maxDocument)}
	}
	if err := doc.Validate(); err != nil {
		return nil, command.Errorf(22, "invalid document at index %d: %v", index, err)
	}
	id, err := doc.LookupErr("_id")
	if err != nil {
		_, made, err := bson.MarshalValue(w.NewID())
		return withID(doc, bson.RawValue{Type: bson.TypeObjectID, Value: made}), err
	}
	switch id.Type {
	case bson.TypeArray, bson.TypeRegex, bson.TypeUndefined:
		return nil, &mql.Error{Code: mql53, Message: "The '_id' value cannot be of type " + command.TypeName(id.Type)}
	}
	if first := doc[5:]; string(first[:4]) == "_id\x00" {
		return doc, nil
	}
	return withID(doc, id), nil
}

const mql53 = 53

// withID gives the document with an _id in front and no other.
func withID(doc bson.Raw, id bson.RawValue) bson.Raw {
	dst := make([]byte, 4, len(doc)+len(id.Value)+8)
	dst = append(dst, byte(id.Type))
	dst = append(dst, "_id\x00"...)
	dst = append(dst, id.Value...)
	elements, err := doc.Elements()
	if err != nil {
		return doc
	}
	for _, e := range elements {
		if e.Key() != "_id" {
			dst = append(dst, e...)
		}
	}
	dst = append(dst, 0)
	binary.LittleEndian.PutUint32(dst, uint32(len(dst))) //nolint:gosec // a document
	return dst
}

// stamp replaces empty timestamps of the top level by the present cluster time, as the server does on insert.
func stamp(doc bson.Raw, u *store.Unit) bson.Raw {
	stamped := doc
	at := 4
	for at < len(doc)-1 {
		t := bson.Type(doc[at])
		end := at + 1
		for doc[end] != 0 {
			end++
		}
		value, _, err := element(doc[end+1:], t)
		if err != nil {
			return stamped
		}
		if t == bson.TypeTimestamp && string(value) == "\x00\x00\x00\x00\x00\x00\x00\x00" && string(doc[at+1:end]) != "_id" {
			if &stamped[0] == &doc[0] {
				stamped = append(bson.Raw(nil), doc...)
			}
			ts := u.Timestamp()
			binary.LittleEndian.PutUint32(stamped[end+1:], ts.Ordinal())
			binary.LittleEndian.PutUint32(stamped[end+5:], ts.Seconds())
		}
		at = end + 1 + len(value)
	}
	return stamped
}
