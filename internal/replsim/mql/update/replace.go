package update

import (
	"bytes"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/mql/value"
)

// replaced gives the document with that content; the old _id stays if the content has none. It is unchanged only if the bytes are
// equal, _id included.
func replaced(before, content bson.Raw, rule dollarRule) (after bson.Raw, changed bool, err error) {
	if bytes.Equal(before, content) {
		return before, false, nil
	}
	after = content
	newID, oldID := value.Field(content, "_id"), value.Field(before, "_id")
	if !newID.Exists() && oldID.Exists() {
		b, at := value.Begin(make([]byte, 0, len(content)+len(oldID.Data)+5))
		b = value.Append(b, "_id", oldID)
		b = append(b, content[4:len(content)-1]...)
		after = value.End(b, at)
	}
	if newID.Type == bson.TypeArray && oldID.Exists() {
		return nil, false, value.Errorf(value.NotSingleValueField,
			"After applying the update to the document, the (immutable) field '_id' was found to be an array or array descendant.")
	}
	if err := storable(after, rule); err != nil {
		return nil, false, err
	}
	if newID.Exists() && oldID.Exists() && !value.Equal(newID, oldID) {
		return nil, false, value.Errorf(value.ImmutableField,
			"After applying the update, the (immutable) field '_id' was found to have been altered to %s", value.ElementText("_id", newID))
	}
	return after, true, nil
}

// stamped fills in empty timestamps at the top level.
func stamped(doc bson.Raw, m Moment) bson.Raw {
	for it := value.Iterate(doc); it.Next(); {
		if empty(it) {
			return fill(doc, m)
		}
	}
	return doc
}

func empty(it value.Iterator) bool {
	return it.Value().Type == bson.TypeTimestamp && it.Value().Int() == 0 && string(it.Key()) != "_id"
}

func fill(doc bson.Raw, m Moment) bson.Raw {
	b, at := value.Begin(make([]byte, 0, len(doc)))
	for it := value.Iterate(doc); it.Next(); {
		if empty(it) {
			b = value.Append(b, it.Key(), value.Timestamp(m.timestamp()))
			continue
		}
		b = append(b, it.Element()...)
	}
	return value.End(b, at)
}

// pipe runs a pipeline. Its payload is the difference of the images unless the new image is not longer.
func (u *Update) pipe(before bson.Raw) (Result, error) {
	out, err := u.transform(before)
	if err != nil {
		return Result{}, err
	}
	after, done, err := replaced(before, out, dollarAllowed)
	if err != nil || !done {
		return Result{}, err
	}
	o := difference(before, out)
	if o == nil {
		o = after
	}
	return Result{After: after, O: o}, nil
}

func (u *Update) transform(doc bson.Raw) (bson.Raw, error) {
	var err error
	for _, t := range u.pipeline {
		if doc, err = t.Apply(doc); err != nil {
			return nil, err
		}
	}
	return doc, nil
}

// Upsert makes the document to insert when nothing matched; newID gives an _id where neither query nor update has one.
func (u *Update) Upsert(m Moment, newID func() bson.ObjectID) (bson.Raw, error) {
	base, err := u.fromQuery()
	if err != nil {
		return nil, err
	}
	var doc bson.Raw
	switch {
	case u.tree != nil:
		a := applier{root: newRoot(base), insert: true, moment: m}
		if _, err = a.apply(u.tree, place{e: a.root}); err == nil {
			doc = bson.Raw(a.root.value().Data)
		}
	case u.replacement != nil:
		doc, _, err = replaced(base, stamped(u.replacement, m), dollarRefused)
	default:
		if doc, err = u.transform(base); err == nil {
			doc, _, err = replaced(base, doc, dollarAllowed)
		}
	}
	if err != nil {
		return nil, err
	}
	return finished(doc, newID, 17420, "Document to upsert is larger than %d")
}

// finished puts _id first, makes one if there is none, and checks that the document can be stored.
func finished(doc bson.Raw, newID func() bson.ObjectID, code int32, tooLarge string) (bson.Raw, error) {
	if !value.Field(doc, "_id").Exists() {
		b, at := value.Begin(make([]byte, 0, len(doc)+17))
		b = value.Append(b, "_id", value.ObjectID(newID()))
		b = append(b, doc[4:len(doc)-1]...)
		doc = value.End(b, at)
	}
	doc = idFirst(doc)
	if err := storable(doc, dollarAllowed); err != nil {
		return nil, err
	}
	if len(doc) > maxSize {
		return nil, value.Errorf(code, tooLarge, maxSize)
	}
	return doc, nil
}

// Insert prepares a document of an insert command as the server stores it: _id first, made by newID if there is none, empty
// timestamps at the top level filled in. It refuses what cannot be stored.
func Insert(doc bson.Raw, m Moment, newID func() bson.ObjectID) (bson.Raw, error) {
	if len(doc) < len(value.Empty()) {
		return nil, value.Errorf(value.InvalidBSON, "BSON size %d is too small", len(doc))
	}
	if len(doc) > maxSize {
		return nil, bad("object to insert too large. size in bytes: %d, max size: %d", len(doc), maxSize)
	}
	return finished(stamped(doc, m), newID, value.BadValue, "object to insert too large. max size: %d")
}

// fromQuery makes the document that an upsert starts from: the equalities of the query, in the order of their paths. A
// replacement takes only _id.
func (u *Update) fromQuery() (bson.Raw, error) {
	if u.filter == nil {
		return value.Empty(), nil
	}
	if u.filter.Expressions() {
		return nil, value.Errorf(value.QueryFeatureNotAllowed, "$expr is not allowed in the query predicate for an upsert")
	}
	var list []mql.Equality
	for _, q := range u.filter.Equalities() {
		if u.replacement != nil && q.Path != "_id" {
			if strings.HasPrefix(q.Path, "_id.") {
				return nil, value.Errorf(111, "field at '_id' must be exactly specified, field at sub-path '%s'found", q.Path)
			}
			continue
		}
		list = append(list, q)
	}
	slices.SortStableFunc(list, func(a, b mql.Equality) int { return strings.Compare(a.Path, b.Path) })
	for i, q := range list {
		for _, p := range list[:i] {
			if q.Path == p.Path {
				return nil, value.Errorf(value.NotSingleValueField, "cannot infer query fields to set, path '%s' is matched twice", q.Path)
			}
			if strings.HasPrefix(q.Path, p.Path+".") {
				return nil, value.Errorf(value.NotSingleValueField, "cannot infer query fields to set, both paths '%s' and '%s' are matched", q.Path, p.Path)
			}
		}
	}
	a := applier{root: newRoot(value.Empty())}
	for _, q := range list {
		at := place{e: a.root}
		for _, name := range strings.Split(q.Path, ".") {
			at = at.down(name)
		}
		if len(at.create) == 0 {
			continue
		}
		if err := a.make(at, value.Of(q.Value)); err != nil {
			return nil, err
		}
	}
	return bson.Raw(a.root.value().Data), nil
}
