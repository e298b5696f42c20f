package update_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/mql/update"
	"pitr/internal/replsim/mql/value"
)

func parse(t testing.TB, text string) bson.Raw {
	t.Helper()
	var d bson.Raw
	if err := bson.UnmarshalExtJSON([]byte(text), false, &d); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return d
}

func shown(d bson.Raw) string {
	if d == nil {
		return "nothing"
	}
	return mql.Text(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: d})
}

// statement is {q, u, arrayFilters, c} as text.
func compile(t testing.TB, statement string) (*update.Update, error) {
	t.Helper()
	s := parse(t, statement)
	q, _ := s.Lookup("q").DocumentOK()
	filter, err := mql.Compile(q)
	if err != nil {
		return nil, err
	}
	c, _ := s.Lookup("c").DocumentOK()
	return update.Compile(s.Lookup("u"), update.Options{ArrayFilters: s.Lookup("arrayFilters"), Filter: filter, Constants: c})
}

var moment = update.Moment{Now: time.UnixMilli(1761120000123), Timestamp: func() bson.Timestamp { return bson.Timestamp{T: 7, I: 8} }}

// What the recordings do not hold, by the rules of the server's update system.
func TestApply(t *testing.T) {
	for _, c := range []struct{ name, statement, before, o, after string }{
		{"numbers of names are ordered as numbers", `{"u": {"$set": {"a.10": 1, "a.9": 2, "a.b": 3}}}`, `{"_id": 1, "a": {}}`,
			`{ $v: 2, diff: { sa: { i: { 9: 2, 10: 1, b: 3 } } } }`, `{ _id: 1, a: { 9: 2, 10: 1, b: 3 } }`},
		{"an element made of nothing", `{"u": {"$set": {"a.0.c": 1, "a.0.b": 2}}}`, `{"_id": 1, "a": []}`,
			`{ $v: 2, diff: { sa: { a: true, u0: { b: 2, c: 1 } } } }`, `{ _id: 1, a: [ { b: 2, c: 1 } ] }`},
		{"one filtered element is logged from within", `{"u": {"$set": {"a.$[x].v": 5}}, "arrayFilters": [{"x.k": 2}]}`, `{"_id": 1, "a": [{"k": 1}, {"k": 2}]}`,
			`{ $v: 2, diff: { sa: { a: true, s1: { i: { v: 5 } } } } }`, `{ _id: 1, a: [ { k: 1 }, { k: 2, v: 5 } ] }`},
		{"of two filtered elements one changed is logged whole", `{"u": {"$set": {"a.$[].v": 5}}}`, `{"_id": 1, "a": [{"v": 5}, {"v": 2}]}`,
			`{ $v: 2, diff: { sa: { a: true, u1: { v: 5 } } } }`, `{ _id: 1, a: [ { v: 5 }, { v: 5 } ] }`},
		{"two filters meet in one element", `{"u": {"$set": {"a.$[x].v": 1, "a.$[y].w": 2}}, "arrayFilters": [{"x.k": 1}, {"y.k": 1}]}`, `{"_id": 1, "a": [{"k": 1}]}`,
			`{ $v: 2, diff: { sa: { a: true, s0: { i: { v: 1, w: 2 } } } } }`, `{ _id: 1, a: [ { k: 1, v: 1, w: 2 } ] }`},
		{"the matched element and a named one", `{"q": {"a": 7}, "u": {"$set": {"a.$": 0, "a.2": 1}}}`, `{"_id": 1, "a": [5, 7, 9]}`,
			`{ $v: 2, diff: { sa: { a: true, u1: 0, u2: 1 } } }`, `{ _id: 1, a: [ 5, 0, 1 ] }`},
		{"pushes at the very end are appended only when far", `{"u": {"$push": {"a": {"$each": [3], "$position": 2}}}}`, `{"_id": 1, "a": [1, 2]}`,
			`{ $v: 2, diff: { u: { a: [ 1, 2, 3 ] } } }`, `{ _id: 1, a: [ 1, 2, 3 ] }`},
		{"push sorted by field", `{"u": {"$push": {"a": {"$each": [{"k": 2}], "$sort": {"k": -1}, "$slice": 2}}}}`, `{"_id": 1, "a": [{"k": 1}, {"k": 3}]}`,
			`{ $v: 2, diff: { u: { a: [ { k: 3 }, { k: 2 } ] } } }`, `{ _id: 1, a: [ { k: 3 }, { k: 2 } ] }`},
		{"a negative position", `{"u": {"$push": {"a": {"$each": [9], "$position": -1}}}}`, `{"_id": 1, "a": [1, 2]}`,
			`{ $v: 2, diff: { u: { a: [ 1, 9, 2 ] } } }`, `{ _id: 1, a: [ 1, 9, 2 ] }`},
		{"addToSet knows equal numbers", `{"u": {"$addToSet": {"a": {"$each": [2.0, 3, 3]}}}}`, `{"_id": 1, "a": [2]}`,
			`{ $v: 2, diff: { u: { a: [ 2, 3 ] } } }`, `{ _id: 1, a: [ 2, 3 ] }`},
		{"pull by document", `{"u": {"$pull": {"a": {"k": {"$gt": 1}}}}}`, `{"_id": 1, "a": [{"k": 1}, {"k": 2}, 5]}`,
			`{ $v: 2, diff: { u: { a: [ { k: 1 }, 5 ] } } }`, `{ _id: 1, a: [ { k: 1 }, 5 ] }`},
		{"pullAll of nothing", `{"u": {"$pullAll": {"a": [9]}}}`, `{"_id": 1, "a": [1]}`, `nothing`, `{ _id: 1, a: [ 1 ] }`},
		{"inc of zero", `{"u": {"$inc": {"a": 0}}}`, `{"_id": 1, "a": 1}`, `nothing`, `{ _id: 1, a: 1 }`},
		{"inc of NaN is a change", `{"u": {"$inc": {"a": 1}}}`, `{"_id": 1, "a": {"$numberDouble": "NaN"}}`, `{ $v: 2, diff: { u: { a: nan.0 } } }`, `{ _id: 1, a: nan.0 }`},
		{"zero has no sign", `{"u": {"$inc": {"a": 0}}}`, `{"_id": 1, "a": {"$numberDouble": "-0.0"}}`, `nothing`, `{ _id: 1, a: -0.0 }`},
		{"inc widens", `{"u": {"$inc": {"a": 1}}}`, `{"_id": 1, "a": 2147483647}`, `{ $v: 2, diff: { u: { a: 2147483648 } } }`, `{ _id: 1, a: 2147483648 }`},
		{"mul of a missing field keeps the type", `{"u": {"$mul": {"a": 2.5}}}`, `{"_id": 1}`, `{ $v: 2, diff: { i: { a: 0.0 } } }`, `{ _id: 1, a: 0.0 }`},
		{"min across types", `{"u": {"$min": {"a": null}}}`, `{"_id": 1, "a": 1}`, `{ $v: 2, diff: { u: { a: null } } }`, `{ _id: 1, a: null }`},
		{"max of an equal number", `{"u": {"$max": {"a": 1.0}}}`, `{"_id": 1, "a": 1}`, `nothing`, `{ _id: 1, a: 1 }`},
		{"bits", `{"u": {"$bit": {"a": {"or": 1, "xor": 3}}}}`, `{"_id": 1, "a": 4}`, `{ $v: 2, diff: { u: { a: 6 } } }`, `{ _id: 1, a: 6 }`},
		{"current date", `{"u": {"$currentDate": {"d": true, "t": {"$type": "timestamp"}}}}`, `{"_id": 1}`,
			`{ $v: 2, diff: { i: { d: new Date(1761120000123), t: Timestamp(7, 8) } } }`, `{ _id: 1, d: new Date(1761120000123), t: Timestamp(7, 8) }`},
		{"setOnInsert does nothing", `{"u": {"$setOnInsert": {"a": 1}}}`, `{"_id": 1}`, `nothing`, `{ _id: 1 }`},
		{"rename over an existing field", `{"u": {"$rename": {"a": "b"}}}`, `{"_id": 1, "a": 1, "b": 2, "c": 3}`,
			`{ $v: 2, diff: { d: { a: false }, u: { b: 1 } } }`, `{ _id: 1, b: 1, c: 3 }`},
		{"rename of nothing", `{"u": {"$rename": {"x": "y"}}}`, `{"_id": 1}`, `nothing`, `{ _id: 1 }`},
		{"constants of a pipeline", `{"u": [{"$set": {"a": "$$k"}}], "c": {"k": 5}}`, `{"_id": 1, "x": "long enough to prefer a difference"}`,
			`{ $v: 2, diff: { i: { a: 5 } } }`, `{ _id: 1, x: "long enough to prefer a difference", a: 5 }`},
		{"a pipeline that changes nothing", `{"u": [{"$set": {"a": 1}}]}`, `{"_id": 1, "a": 1}`, `nothing`, `{ _id: 1, a: 1 }`},
		{"a replacement keeps the id and fills empty timestamps", `{"u": {"t": {"$timestamp": {"t": 0, "i": 0}}}}`, `{"_id": 1, "a": 1}`,
			`{ _id: 1, t: Timestamp(7, 8) }`, `{ _id: 1, t: Timestamp(7, 8) }`},
		{"a replacement is logged as given and stored with the id first", `{"u": {"a": 2, "_id": 1}}`, `{"_id": 1, "a": 1}`, `{ a: 2, _id: 1 }`, `{ _id: 1, a: 2 }`},
		{"an id equal by number takes the new form", `{"u": {"_id": 1.0, "a": 2}}`, `{"_id": 1, "a": 1}`, `{ _id: 1.0, a: 2 }`, `{ _id: 1.0, a: 2 }`},
	} {
		u, err := compile(t, c.statement)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		before := parse(t, c.before)
		r, err := u.Apply(before, moment)
		if err != nil || shown(r.O) != c.o || shown(r.After) != c.after {
			t.Errorf("%s:\n got %s, %s %v\nwant %s, %s", c.name, shown(r.O), shown(r.After), err, c.o, c.after)
		}
		if shown(before) != shown(parse(t, c.before)) {
			t.Errorf("%s: the old document was changed", c.name)
		}
	}
}

func TestRefusals(t *testing.T) {
	const before = `{"_id": 1, "a": 5, "l": [1, {"k": 2}], "s": "x", "d": {"e": 1}, "big": {"$numberLong": "9223372036854775807"}}`
	for _, c := range []struct {
		statement, message string
		code               int32
	}{
		{`{"u": {"$nope": {"a": 1}}}`, "Unknown modifier: $nope. Expected a valid update modifier or pipeline-style update specified as an array", value.FailedToParse},
		{`{"u": {"$set": 1}}`, "Modifiers operate on fields but we found type int instead. For example: {$mod: {<field>: ...}} not {$set: 1}", value.FailedToParse},
		{`{"u": {"$set": {"_id": 9}}}`, "Performing an update on the path '_id' would modify the immutable field '_id'", value.ImmutableField},
		{`{"u": {"$unset": {"_id": 1}}}`, "Performing an update on the path '_id' would modify the immutable field '_id'", value.ImmutableField},
		{`{"u": {"_id": 2}}`, "After applying the update, the (immutable) field '_id' was found to have been altered to _id: 2", value.ImmutableField},
		{`{"u": [{"$set": {"_id": 2}}]}`, "After applying the update, the (immutable) field '_id' was found to have been altered to _id: 2", value.ImmutableField},
		{`{"u": {"$set": {"d": 1, "d.e": 2}}}`, "Updating the path 'd.e' would create a conflict at 'd'", value.ConflictingUpdateOperators},
		{`{"u": {"$set": {"d.e": 1, "d": 2}}}`, "Updating the path 'd' would create a conflict at 'd'", value.ConflictingUpdateOperators},
		{`{"u": {"$rename": {"a": "b"}, "$set": {"a": 1}}}`, "Updating the path 'a' would create a conflict at 'a'", value.ConflictingUpdateOperators},
		{`{"u": {"$set": {"a.b": 1}}}`, "Cannot create field 'b' in element {a: 5}", value.PathNotViable},
		{`{"u": {"$set": {"l.x": 1}}}`, "Cannot create field 'x' in element {l: [ 1, { k: 2 } ]}", value.PathNotViable},
		{`{"u": {"$pop": {"a.b": 1}}}`, "Cannot use the part (b) of (a.b) to traverse the element ({a: 5})", value.PathNotViable},
		{`{"u": {"$set": {"": 1}}}`, "An empty update path is not valid.", value.EmptyFieldName},
		{`{"u": {"$set": {"a..b": 1}}}`, "The update path 'a..b' contains an empty field name, which is not allowed.", value.EmptyFieldName},
		{`{"u": {"$set": {"$x": 1}}}`, "The dollar ($) prefixed field '$x' in '$x' is not allowed in the context of an update's replacement document. " +
			"Consider using an aggregation pipeline with $replaceWith.", value.DollarPrefixedFieldName},
		{`{"u": {"x": 1, "$set": {}}}`, "The dollar ($) prefixed field '$set' in '$set' is not allowed in the context of an update's replacement document. " +
			"Consider using an aggregation pipeline with $replaceWith.", value.DollarPrefixedFieldName},
		{`{"u": {"$inc": {"s": 1}}}`, "Cannot apply $inc to a value of non-numeric type. {_id: 1} has the field 's' of non-numeric type string", value.TypeMismatch},
		{`{"u": {"$inc": {"a": "1"}}}`, "Cannot increment with non-numeric argument: {a: \"1\"}", value.TypeMismatch},
		{`{"u": {"$inc": {"big": 1}}}`, "Failed to apply $inc operations to current value ((NumberLong)9223372036854775807) for document {_id: 1}", value.BadValue},
		{`{"u": {"$push": {"a": 1}}}`, "The field 'a' must be an array but is of type int in document {_id: 1}", value.BadValue},
		{`{"u": {"$pull": {"a": 1}}}`, "Cannot apply $pull to a non-array value", value.BadValue},
		{`{"u": {"$pop": {"a": 1}}}`, "Path 'a' contains an element of non-array type 'int'", value.TypeMismatch},
		{`{"u": {"$addToSet": {"a": 1}}}`, "Cannot apply $addToSet to non-array field. Field named 'a' has non-array type int", value.BadValue},
		{`{"u": {"$rename": {"l.0": "x"}}}`, "The source field cannot be an array element, 'l.0' in doc with _id: 1 has an array field called 'l'", value.BadValue},
		{`{"u": {"$rename": {"a": "l.0"}}}`, "The destination field cannot be an array element, 'l.0' in doc with _id: 1 has an array field called 'l'", value.BadValue},
		{`{"u": {"$rename": {"a": "a"}}}`, "The source and target field for $rename must differ: a: \"a\"", value.BadValue},
		{`{"u": {"$set": {"l.$": 1}}}`, "The positional operator did not find the match needed from the query.", value.BadValue},
		{`{"u": {"$set": {"l.$[x]": 1}}}`, "No array filter found for identifier 'x' in path 'l.$[x]'", value.BadValue},
		{`{"u": {"$set": {"a": 1}}, "arrayFilters": [{"x": 1}]}`, "The array filter for identifier 'x' was not used in the update { $set: { a: 1 } }", value.FailedToParse},
		{`{"u": {"$set": {"a.$[]": 1}}}`, "Cannot apply array updates to non-array element a: 5", value.BadValue},
		{`{"u": {"$set": {"none.$[]": 1}}}`, "The path 'none' must exist in the document in order to apply array updates.", value.BadValue},
		{`{"u": [{"$match": {}}]}`, "$match is not allowed to be used within an update", value.InvalidOptions},
		{`{"u": [{"$nope": {}}]}`, "Unrecognized pipeline stage name: '$nope'", 40324},
		{`{"u": {"a": 1}, "c": {"k": 1}}`, "Constant values may only be specified for pipeline updates", 51198},
	} {
		u, err := compile(t, c.statement)
		if err == nil {
			_, err = u.Apply(parse(t, before), moment)
		}
		var e *mql.Error
		if !errors.As(err, &e) || e.Code != c.code || e.Message != c.message {
			t.Errorf("%s:\n got %v (%d)\nwant %s (%d)", c.statement, err, value.Code(err), c.message, c.code)
		}
	}
	deep, err := compile(t, `{"u": {"$set": {"`+strings.Repeat("a.", 200)+`a": 1}}}`)
	if err == nil {
		_, err = deep.Apply(parse(t, `{"_id": 1}`), moment)
	}
	if value.Code(err) != value.Overflow {
		t.Errorf("a path of 201 names: %v", err)
	}
	large, err := compile(t, `{"u": {"$set": {"b": "`+strings.Repeat("x", 9<<20)+`"}}}`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = large.Apply(parse(t, `{"_id": 1, "a": "`+strings.Repeat("x", 9<<20)+`"}`), moment); value.Code(err) != 17419 {
		t.Errorf("a document of 18 MiB: %v", err)
	}
}

func TestUpsert(t *testing.T) {
	id := bson.ObjectID{1, 2}
	for _, c := range []struct{ statement, want string }{
		{`{"q": {"z": 1, "a.b": "x", "n": {"$gt": 5}, "i": {"$in": [7]}}, "u": {"$set": {"u": 1}, "$setOnInsert": {"s": 2}}}`,
			`{ _id: ObjectId('010200000000000000000000'), a: { b: "x" }, i: 7, z: 1, s: 2, u: 1 }`},
		{`{"q": {"_id": 5, "k": 1}, "u": {"a": 1}}`, `{ _id: 5, a: 1 }`},
		{`{"q": {"k": 1}, "u": {"a": 1, "_id": 6}}`, `{ _id: 6, a: 1 }`},
		{`{"q": {"k": 1}, "u": [{"$set": {"a": "$k"}}]}`, `{ _id: ObjectId('010200000000000000000000'), k: 1, a: 1 }`},
		{`{"q": {"$and": [{"k": 1}, {"l": {"$eq": 2}}], "$or": [{"m": 3}]}, "u": {"$inc": {"k": 1}}}`,
			`{ _id: ObjectId('010200000000000000000000'), k: 2, l: 2, m: 3 }`},
		{`{"q": {"k": 1}, "u": {"$set": {"_id": 9}}}`, `{ _id: 9, k: 1 }`},
	} {
		u, err := compile(t, c.statement)
		if err != nil {
			t.Errorf("%s: %v", c.statement, err)
			continue
		}
		if got, err := u.Upsert(moment, func() bson.ObjectID { return id }); err != nil || shown(got) != c.want {
			t.Errorf("%s:\n got %s %v\nwant %s", c.statement, shown(got), err, c.want)
		}
	}
	for statement, code := range map[string]int32{
		`{"q": {"a": 1, "a.b": 2}, "u": {"$set": {"x": 1}}}`:   value.NotSingleValueField,
		`{"q": {"_id": 1}, "u": {"$set": {"_id": 2}}}`:         value.ImmutableField,
		`{"q": {"_id": 1}, "u": {"_id": 2}}`:                   value.ImmutableField,
		`{"q": {"_id.x": 1}, "u": {"a": 2}}`:                   111,
		`{"q": {}, "u": {"$set": {"_id": [1]}}}`:               value.InvalidIDField,
		`{"q": {"$expr": {"$eq": [1, 2]}}, "u": {"$set": {}}}`: value.QueryFeatureNotAllowed,
	} {
		u, err := compile(t, statement)
		if err == nil {
			_, err = u.Upsert(moment, func() bson.ObjectID { return id })
		}
		if value.Code(err) != code {
			t.Errorf("%s: %v, want %d", statement, err, code)
		}
	}
}

func TestInsert(t *testing.T) {
	id := func() bson.ObjectID { return bson.ObjectID{1} }
	for in, want := range map[string]string{
		`{"a": 1, "_id": "late"}`: `{ _id: "late", a: 1 }`,
		`{"a": 1}`:                `{ _id: ObjectId('010000000000000000000000'), a: 1 }`,
		`{"_id": 1, "t": {"$timestamp": {"t": 0, "i": 0}}, "d": {"t": {"$timestamp": {"t": 0, "i": 0}}}}`: `{ _id: 1, t: Timestamp(7, 8), d: { t: Timestamp(0, 0) } }`,
		`{"_id": 1, "$x": {"$y": 1}}`: `{ _id: 1, $x: { $y: 1 } }`,
	} {
		if got, err := update.Insert(parse(t, in), moment, id); err != nil || shown(got) != want {
			t.Errorf("%s: %s %v, want %s", in, shown(got), err, want)
		}
	}
	for in, message := range map[string]string{
		`{"_id": [1]}`:       "The '_id' value cannot be of type array",
		`{"_id": {"$x": 1}}`: "_id fields may not contain '$'-prefixed fields: $x is not valid for storage.",
		`{"_id": {"$regularExpression": {"pattern": "x", "options": ""}}}`: "The '_id' value cannot be of type regex",
	} {
		if _, err := update.Insert(parse(t, in), moment, id); err == nil || err.Error() != message {
			t.Errorf("%s: %v, want %s", in, err, message)
		}
	}
}

// Replay follows the rules of deltas that meet another document than they were made for; the refusals are recorded.
func TestReplay(t *testing.T) {
	for _, c := range []struct{ before, o, want string }{
		{`{"_id": 1, "a": 1, "b": 2, "c": 3}`, `{"$v": 2, "diff": {"d": {"a": false}, "u": {"c": 30, "k": 5}, "i": {"b": 20, "n": 6}}}`, `{ _id: 1, c: 30, k: 5, b: 20, n: 6 }`},
		{`{"_id": 1, "w": "flat", "z": 1}`, `{"$v": 2, "diff": {"sw": {"u": {"deep": 2}}}}`, `{ _id: 1, w: null, z: 1 }`},
		{`{"_id": 1, "z": 1}`, `{"$v": 2, "diff": {"sw": {"u": {"deep": 2}}}}`, `{ _id: 1, z: 1 }`},
		{`{"_id": 1, "v": [{"k": 1}, 5]}`, `{"$v": 2, "diff": {"sv": {"a": true, "s1": {"u": {"k": 2}}, "s3": {"u": {"k": 3}}}}}`, `{ _id: 1, v: [ { k: 1 }, null, null, null ] }`},
		{`{"_id": 1, "v": [1]}`, `{"$v": 2, "diff": {"sv": {"a": true, "l": 3}}}`, `{ _id: 1, v: [ 1, null, null ] }`},
		{`{"_id": 1, "v": [1, 2, 3]}`, `{"$v": 2, "diff": {"sv": {"a": true, "l": 2, "u0": 9}}}`, `{ _id: 1, v: [ 9, 2 ] }`},
		{`{"_id": 1, "a": 1}`, `{"_id": 1, "b": 2}`, `{ _id: 1, b: 2 }`},
	} {
		if got, err := update.Replay(parse(t, c.before), parse(t, c.o)); err != nil || shown(got) != c.want {
			t.Errorf("%s on %s: %s %v, want %s", c.o, c.before, shown(got), err, c.want)
		}
	}
	for o, message := range map[string]string{
		`{"$v": 1, "$set": {"m": 1}}`:                              "Expected _id field or $v:2, but got: $v: 1",
		`{"$v": 2, "diff": {"i": {"z": 1}, "u": {"z": 2}}}`:        "Unexpected section: u in document diff",
		`{"$v": 2, "diff": {"u": {"z": 2}, "i": {"z": 1}}}`:        "duplicate field name in diff: z",
		`{"$v": 2, "diff": {"b": {"x": {"o": 1, "d": 1}}}}`:        "Unexpected section: b in document diff",
		`{"$v": 2, "diff": {}}`:                                    "Expected diff to be non-empty",
		`{"$v": 2, "diff": {"sa": {"a": true, "u3": 1, "u1": 2}}}`: "Expected an array diff modification in rising order, found: u1",
		`{"$v": 2, "diff": {"sa": {"a": true, "l": 1, "u1": 2}}}`:  "Expected an array diff modification in rising order, found: u1",
	} {
		if _, err := update.Replay(parse(t, `{"_id": 1, "a": [1]}`), parse(t, o)); err == nil || err.Error() != message {
			t.Errorf("%s: %v, want %s", o, err, message)
		}
	}
}
