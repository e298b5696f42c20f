package mql_test

import (
	"errors"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/mql/value"
)

func doc(t testing.TB, text string) bson.Raw {
	t.Helper()
	var d bson.Raw
	if err := bson.UnmarshalExtJSON([]byte(text), false, &d); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return d
}

func text(d bson.Raw) string {
	return mql.Text(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: d})
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		filter string
		yes    []string
		no     []string
	}{
		{`{}`, []string{`{}`, `{"a": 1}`}, nil},
		{`{"a": 1}`, []string{`{"a": 1.0}`, `{"a": {"$numberLong": "1"}}`, `{"a": [3, 1]}`, `{"a": {"$numberDecimal": "1.00"}}`},
			[]string{`{}`, `{"a": "1"}`, `{"a": [[1]]}`, `{"a": true}`}},
		{`{"a": [1, 2]}`, []string{`{"a": [1, 2]}`, `{"a": [[1, 2], 3]}`}, []string{`{"a": [2, 1]}`, `{"a": [1, 2, 3]}`}},
		{`{"a": {"b": 1, "c": 2}}`, []string{`{"a": {"b": 1, "c": 2}}`}, []string{`{"a": {"c": 2, "b": 1}}`, `{"a": {"b": 1}}`}},
		{`{"a": null}`, []string{`{}`, `{"a": null}`, `{"a": {"$undefined": true}}`, `{"a": [1, null]}`}, []string{`{"a": 0}`, `{"a": []}`}},
		{`{"a.b": null}`, []string{`{}`, `{"a": 5}`, `{"a": [{"c": 1}]}`, `{"a": {"b": null}}`}, []string{`{"a": [5]}`, `{"a": []}`, `{"a": {"b": 1}}`}},
		{`{"a.b": 1}`, []string{`{"a": {"b": 1}}`, `{"a": [{"b": 2}, {"b": [0, 1]}]}`}, []string{`{"a": [[{"b": 1}]]}`, `{"a.b": 1}`}},
		{`{"a.1": 5}`, []string{`{"a": [4, 5]}`, `{"a": {"1": 5}}`, `{"a": [{"1": 5}]}`}, []string{`{"a": [5, 4]}`, `{"a": [1, [5]]}`}},
		{`{"a.0.b": 1}`, []string{`{"a": [{"b": 1}]}`, `{"a": {"0": {"b": 1}}}`}, []string{`{"a": [{"c": 1}, {"b": 1}]}`}},
		{`{"a": {"$ne": 1}}`, []string{`{}`, `{"a": 2}`, `{"a": []}`}, []string{`{"a": 1}`, `{"a": [2, 1]}`}},
		{`{"a": {"$gt": 1, "$lt": 5}}`, []string{`{"a": 2}`, `{"a": [0, 9]}`}, []string{`{"a": 1}`, `{"a": "3"}`, `{}`}},
		{`{"a": {"$gte": null}}`, []string{`{}`, `{"a": null}`}, []string{`{"a": 1}`}},
		{`{"a": {"$gt": {"$minKey": 1}}}`, []string{`{"a": 1}`, `{}`}, []string{`{"a": {"$minKey": 1}}`}},
		{`{"a": {"$gte": {"$numberDouble": "NaN"}}}`, []string{`{"a": {"$numberDouble": "NaN"}}`}, []string{`{"a": 1}`}},
		{`{"a": {"$in": [1, null, {"$regularExpression": {"pattern": "^x", "options": ""}}]}}`, []string{`{"a": 1}`, `{}`, `{"a": "xyz"}`, `{"a": [7, "x"]}`}, []string{`{"a": "yx"}`}},
		{`{"a": {"$in": [1, 2, 3, 4, 5, 6, 7, 8, 9, "z"]}}`, []string{`{"a": 9.0}`, `{"a": "z"}`}, []string{`{"a": 10}`, `{}`}},
		{`{"a": {"$nin": [1]}}`, []string{`{}`, `{"a": 2}`}, []string{`{"a": [1]}`}},
		{`{"$or": [{"a": 1}, {"b": 1}], "c": 1}`, []string{`{"b": 1, "c": 1}`}, []string{`{"a": 1}`, `{"c": 1}`}},
		{`{"$nor": [{"a": 1}, {"b": 1}]}`, []string{`{}`}, []string{`{"b": 1}`}},
		{`{"a": {"$not": {"$gt": 5}}}`, []string{`{}`, `{"a": 5}`, `{"a": "x"}`}, []string{`{"a": 6}`, `{"a": [1, 6]}`}},
		{`{"a": {"$exists": true}}`, []string{`{"a": null}`, `{"a": []}`}, []string{`{}`}},
		{`{"a.b": {"$exists": false}}`, []string{`{}`, `{"a": [1]}`, `{"a": [{"c": 1}]}`}, []string{`{"a": [{"b": 1}]}`}},
		{`{"a": {"$type": "number"}}`, []string{`{"a": 1}`, `{"a": [1.5]}`}, []string{`{"a": "1"}`, `{}`}},
		{`{"a": {"$type": ["array", 2]}}`, []string{`{"a": []}`, `{"a": "s"}`}, []string{`{"a": 1}`}},
		{`{"a": {"$size": 2}}`, []string{`{"a": [1, 2]}`}, []string{`{"a": [1]}`, `{"a": [[1, 2]]}`, `{}`}},
		{`{"a": {"$all": [1, 2]}}`, []string{`{"a": [2, 1, 3]}`}, []string{`{"a": [1]}`, `{"a": 1}`}},
		{`{"a": {"$all": []}}`, nil, []string{`{"a": []}`}},
		{`{"a": {"$elemMatch": {"b": 1, "c": 2}}}`, []string{`{"a": [{"b": 1}, {"b": 1, "c": 2}]}`}, []string{`{"a": [{"b": 1}, {"c": 2}]}`, `{"a": {"b": 1, "c": 2}}`}},
		{`{"a": {"$elemMatch": {"$gt": 1, "$lt": 3}}}`, []string{`{"a": [0, 2]}`}, []string{`{"a": [0, 5]}`, `{"a": 2}`}},
		{`{"a": {"$regex": "B", "$options": "i"}}`, []string{`{"a": "abc"}`, `{"a": ["x", "B"]}`}, []string{`{"a": 1}`}},
		{`{"a": {"$mod": [4, 1]}}`, []string{`{"a": 5}`, `{"a": 9.7}`}, []string{`{"a": 4}`, `{"a": "5"}`}},
		{`{"a": {"$bitsAllSet": [0, 2]}}`, []string{`{"a": 5}`, `{"a": 7.0}`}, []string{`{"a": 4}`}},
		{`{"a": {"$bitsAnyClear": 3}}`, []string{`{"a": 2}`}, []string{`{"a": 7}`}},
		{`{"$expr": {"$eq": ["$a", "$b"]}}`, []string{`{"a": 1, "b": 1.0}`, `{}`}, []string{`{"a": 1}`}},
		{`{"a": {"$ref": "c", "$id": 1}}`, []string{`{"a": {"$ref": "c", "$id": 1}}`}, []string{`{}`}},
		{`{"$jsonSchema": {"bsonType": "object", "required": ["n"], "properties": {"n": {"bsonType": "int", "minimum": 3}, "s": {"enum": ["x", "y"]}}}}`,
			[]string{`{"n": 3}`, `{"n": 4, "s": "x"}`}, []string{`{}`, `{"n": 2}`, `{"n": 3.5}`, `{"n": 3, "s": "z"}`}},
		{`{"$jsonSchema": {"additionalProperties": false, "properties": {"_id": {}, "l": {"items": {"type": "string"}, "minItems": 1, "uniqueItems": true}}}}`,
			[]string{`{"_id": 1}`, `{"l": ["a", "b"]}`}, []string{`{"x": 1}`, `{"l": []}`, `{"l": [1]}`, `{"l": ["a", "a"]}`}},
		{`{"$jsonSchema": {"not": {"required": ["a"]}, "oneOf": [{"required": ["b"]}, {"required": ["c"]}]}}`,
			[]string{`{"b": 1}`, `{"c": 1}`}, []string{`{"a": 1, "b": 1}`, `{"b": 1, "c": 1}`, `{}`}},
	} {
		f, err := mql.Compile(doc(t, c.filter))
		if err != nil {
			t.Errorf("%s: %v", c.filter, err)
			continue
		}
		for _, d := range c.yes {
			if ok, err := f.Match(doc(t, d)); !ok || err != nil {
				t.Errorf("%s does not match %s (%v)", c.filter, d, err)
			}
		}
		for _, d := range c.no {
			if ok, _ := f.Match(doc(t, d)); ok {
				t.Errorf("%s matches %s", c.filter, d)
			}
		}
	}
}

func TestFilterRefusals(t *testing.T) {
	for _, c := range []struct {
		filter, message string
		code            int32
	}{
		{`{"$nope": 1}`, "unknown top level operator: $nope. If you have a field name that starts with a '$' symbol, consider using $getField or $setField.", value.BadValue},
		{`{"a": {"$nope": 1}}`, "unknown operator: $nope", value.BadValue},
		{`{"$and": 1}`, "$and must be an array", value.BadValue},
		{`{"$or": []}`, "$and/$or/$nor must be a nonempty array", value.BadValue},
		{`{"$or": [1]}`, "$or/$and/$nor entries need to be full objects", value.BadValue},
		{`{"a": {"$in": 1}}`, "$in needs an array", value.BadValue},
		{`{"a": {"$not": 1}}`, "$not needs a regex or a document", value.BadValue},
		{`{"a": {"$type": "nope"}}`, "Unknown type name alias: nope", value.BadValue},
		{`{"$where": "1"}`, "no globalScriptEngine in $where parsing", value.BadValue},
		{`{"$expr": {"$nope": 1}}`, "Unrecognized expression '$nope'", value.InvalidPipelineOperator},
		{`{"a": {"$near": [1, 1]}}`, "$near is not simulated", value.NotImplemented},
	} {
		_, err := mql.Compile(doc(t, c.filter))
		var e *mql.Error
		if !errors.As(err, &e) || e.Code != c.code || e.Message != c.message {
			t.Errorf("%s: %v", c.filter, err)
		}
	}
	deep := strings.Repeat(`{"$and": [`, 150) + `{}` + strings.Repeat(`]}`, 150)
	if _, err := mql.Compile(doc(t, deep)); err == nil {
		t.Error("a filter of 150 levels is taken")
	}
	collation := mql.Options{Collation: doc(t, `{"locale": "de"}`)}
	if _, err := mql.CompileWith(doc(t, `{"a": "x"}`), collation); value.Code(err) != value.NotImplemented {
		t.Errorf("a string is compared under a collation: %v", err)
	}
	if _, err := mql.CompileWith(doc(t, `{"a": 1}`), collation); err != nil {
		t.Errorf("numbers need no collation: %v", err)
	}
}

func TestPosition(t *testing.T) {
	for _, c := range []struct {
		filter, doc string
		want        int
	}{
		{`{"a": 3}`, `{"a": [1, 3]}`, 1},
		{`{"a.k": 2}`, `{"a": [{"k": 1}, {"k": [0, 2]}]}`, 1},
		{`{"a": {"$elemMatch": {"k": 2}}}`, `{"a": [{"k": 1}, {"k": 3}, {"k": 2}]}`, 2},
		{`{"_id": 1, "a": {"$gt": 1}}`, `{"_id": 1, "a": [0, 2]}`, 1},
		{`{"a": 3}`, `{"a": 3}`, -1},
	} {
		f, err := mql.Compile(doc(t, c.filter))
		if err != nil {
			t.Fatal(err)
		}
		if at, ok, err := f.Position(doc(t, c.doc)); at != c.want || !ok || err != nil {
			t.Errorf("%s on %s: %d %t %v, want %d", c.filter, c.doc, at, ok, err, c.want)
		}
	}
}

func TestPointsAndRange(t *testing.T) {
	f, err := mql.Compile(doc(t, `{"_id": {"$in": [3, 1]}, "n": {"$gte": 5, "$lt": 9}, "$and": [{"s": "x"}], "z": null}`))
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := f.Points("_id"); !ok || len(v) != 2 {
		t.Errorf("_id: %v %t", v, ok)
	}
	if v, ok := f.Points("s"); !ok || len(v) != 1 || mql.Text(v[0]) != `"x"` {
		t.Errorf("s: %v %t", v, ok)
	}
	if _, ok := f.Points("z"); ok {
		t.Error("null is no point: missing fields match it too")
	}
	b := f.Range("n")
	for n, want := range map[int32]bool{4: false, 5: true, 8: true, 9: false} {
		if got := b.Contains(mql.Encode(value.Int32(n).Raw())); got != want {
			t.Errorf("%d within the range: %t", n, got)
		}
	}
	if b.Contains(mql.Encode(value.String("7").Raw())) {
		t.Error("a string lies within a range of numbers")
	}
}

func TestSort(t *testing.T) {
	docs := []string{`{"_id": 1, "a": [5, 2]}`, `{"_id": 2, "a": 3}`, `{"_id": 3}`, `{"_id": 4, "a": []}`, `{"_id": 5, "a": "x"}`, `{"_id": 6, "a": null}`}
	for _, c := range []struct{ spec, want string }{
		{`{"a": 1}`, "4 3 6 1 2 5"},
		{`{"a": -1}`, "5 1 2 3 6 4"},
		{`{"a": 1, "_id": -1}`, "4 6 3 1 2 5"},
	} {
		s, err := mql.CompileSort(doc(t, c.spec))
		if err != nil {
			t.Fatal(err)
		}
		var list []bson.Raw
		for _, d := range docs {
			list = append(list, doc(t, d))
		}
		if err := s.Documents(list); err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, d := range list {
			ids = append(ids, mql.Text(d.Lookup("_id")))
		}
		if got := strings.Join(ids, " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.spec, got, c.want)
		}
	}
	if s, err := mql.CompileSort(doc(t, `{"$natural": -1}`)); err != nil || s.Natural() != -1 {
		t.Errorf("$natural: %v", err)
	}
	if _, err := mql.CompileSort(doc(t, `{"a": 2}`)); value.Code(err) != 15975 {
		t.Errorf("a direction of 2: %v", err)
	}
}

func TestIndexKeys(t *testing.T) {
	for _, c := range []struct{ spec, doc, want string }{
		{`{"key": {"a": 1}}`, `{"a": 5}`, `[5]`},
		{`{"key": {"a": 1}}`, `{}`, `[null]`},
		{`{"key": {"a": 1}, "sparse": true}`, `{}`, ``},
		{`{"key": {"a": 1, "b": 1}, "sparse": true}`, `{"b": 1}`, `[null 1]`},
		{`{"key": {"a": 1}}`, `{"a": [3, 1, 3]}`, `[1] [3]`},
		{`{"key": {"a": -1}}`, `{"a": [3, 1]}`, `[3] [1]`},
		{`{"key": {"a": 1}}`, `{"a": []}`, `[undefined]`},
		{`{"key": {"a.b": 1}}`, `{"a": [{"b": 1}, {"c": 2}, 7]}`, `[null] [1]`},
		{`{"key": {"a.b": 1}}`, `{"a": []}`, `[null]`},
		{`{"key": {"a.b": 1, "a.c": 1}}`, `{"a": [{"b": 1, "c": 2}, {"b": 3, "c": 4}]}`, `[1 2] [3 4]`},
		{`{"key": {"a.0": 1}}`, `{"a": [7, 8]}`, `[7]`},
		{`{"key": {"a": 1, "b": 1}}`, `{"a": [1, 2], "b": "x"}`, `[1 "x"] [2 "x"]`},
		{`{"key": {"a": 1}}`, `{"a": [[1, 2]]}`, `[[ 1, 2 ]]`},
		{`{"key": {"a": 1}, "partialFilterExpression": {"n": {"$gt": 10}}}`, `{"a": 1, "n": 5}`, ``},
		{`{"key": {"a": 1}, "partialFilterExpression": {"n": {"$gt": 10}}}`, `{"a": 1, "n": 50}`, `[1]`},
		{`{"key": {"t": "text"}}`, `{"t": "words"}`, ``},
		{`{"key": {"$**": 1}}`, `{"t": "words"}`, ``},
	} {
		x, err := mql.CompileIndex(doc(t, c.spec))
		if err != nil {
			t.Errorf("%s: %v", c.spec, err)
			continue
		}
		keys, err := x.Keys(doc(t, c.doc))
		if err != nil {
			t.Errorf("%s on %s: %v", c.spec, c.doc, err)
			continue
		}
		var rows []string
		for i, k := range keys.Keys {
			var row []string
			for _, v := range k.Values {
				row = append(row, mql.Text(v))
			}
			rows = append(rows, "["+strings.Join(row, " ")+"]")
			if i > 0 && keys.Keys[i-1].Encoded >= k.Encoded {
				t.Errorf("%s on %s: keys are not rising", c.spec, c.doc)
			}
		}
		if got := strings.Join(rows, " "); got != c.want {
			t.Errorf("%s on %s: %s, want %s", c.spec, c.doc, got, c.want)
		}
	}
	x, err := mql.CompileIndex(doc(t, `{"key": {"a": 1, "b": 1}, "name": "x"}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Keys(doc(t, `{"a": [1], "b": [2]}`)); value.Code(err) != value.CannotIndexParallelArrays || err.Error() != "cannot index parallel arrays [b] [a]" {
		t.Errorf("parallel arrays: %v", err)
	}
	for _, spec := range []string{`{"key": {}}`, `{"key": {"a": 0}}`, `{"key": {"a": "nope"}}`, `{"key": {"a": true}}`, `{"key": {"a.": 1}}`} {
		if _, err := mql.CompileIndex(doc(t, spec)); value.Code(err) != value.CannotCreateIndex {
			t.Errorf("%s: %v", spec, err)
		}
	}
}

// Recorded: the error of a unique index, and min and max as limits on its keys.
func TestDuplicateAndBounds(t *testing.T) {
	x, err := mql.CompileIndex(doc(t, `{"v": 2, "key": {"a": 1, "t": -1}, "name": "uq", "unique": true}`))
	if err != nil {
		t.Fatal(err)
	}
	key := func(text string) mql.IndexKey {
		k, err := x.Keys(doc(t, text))
		if err != nil || len(k.Keys) != 1 {
			t.Fatalf("%v %v", k, err)
		}
		return k.Keys[0]
	}
	e := x.Duplicate("index.c", key(`{"a": 1, "t": "word1"}`))
	if e.Code != 11000 || e.Message != `E11000 duplicate key error collection: index.c index: uq dup key: { a: 1, t: "word1" }` ||
		text(e.Info) != `{ keyPattern: { a: 1, t: -1 }, keyValue: { a: 1, t: "word1" } }` {
		t.Errorf("%v %s", e, text(e.Info))
	}
	if key(`{"a": 1.0, "t": "w"}`).Encoded != key(`{"a": {"$numberLong": "1"}, "t": "w"}`).Encoded {
		t.Error("keys equal by number differ")
	}
	low, err := x.Bound(doc(t, `{"a": 1, "t": "m"}`))
	if err != nil {
		t.Fatal(err)
	}
	for text, below := range map[string]bool{`{"a": 0, "t": "a"}`: true, `{"a": 1, "t": "z"}`: true, `{"a": 1, "t": "m"}`: false, `{"a": 1, "t": "a"}`: false} {
		if got := key(text).Encoded < low; got != below {
			t.Errorf("%s below the limit: %t", text, got)
		}
	}
	if _, err := x.Bound(doc(t, `{"a": 1}`)); value.Code(err) != 51174 {
		t.Errorf("a limit with a field too few: %v", err)
	}
}

func TestProjection(t *testing.T) {
	const in = `{"_id": 1, "a": 5, "b": {"c": 1, "d": 2}, "l": [1, 2, 3, 4], "docs": [{"k": 1, "v": 1}, {"k": 2, "v": 2}]}`
	for _, c := range []struct{ spec, filter, want string }{
		{`{}`, `{}`, `{ _id: 1, a: 5, b: { c: 1, d: 2 }, l: [ 1, 2, 3, 4 ], docs: [ { k: 1, v: 1 }, { k: 2, v: 2 } ] }`},
		{`{"b": 1, "a": 1}`, `{}`, `{ _id: 1, a: 5, b: { c: 1, d: 2 } }`},
		{`{"_id": 0, "b.d": 1}`, `{}`, `{ b: { d: 2 } }`},
		{`{"b.c": 0, "docs": 0, "l": 0}`, `{}`, `{ _id: 1, a: 5, b: { d: 2 } }`},
		{`{"_id": 1}`, `{}`, `{ _id: 1 }`},
		{`{"docs.k": 1}`, `{}`, `{ _id: 1, docs: [ { k: 1 }, { k: 2 } ] }`},
		{`{"x": {"$add": ["$a", 1]}, "y": "$b.c", "z": "text"}`, `{}`, `{ _id: 1, x: 6, y: 1, z: "text" }`},
		{`{"l": {"$slice": 2}, "docs": 0, "b": 0}`, `{}`, `{ _id: 1, a: 5, l: [ 1, 2 ] }`},
		{`{"l": {"$slice": -1}, "a": 1}`, `{}`, `{ _id: 1, a: 5, l: [ 4 ] }`},
		{`{"l": {"$slice": [1, 2]}, "_id": 0, "docs": 0}`, `{}`, `{ a: 5, b: { c: 1, d: 2 }, l: [ 2, 3 ] }`},
		{`{"docs": {"$elemMatch": {"k": {"$gt": 1}}}}`, `{}`, `{ _id: 1, docs: [ { k: 2, v: 2 } ] }`},
		{`{"docs": {"$elemMatch": {"k": 9}}, "_id": 0}`, `{}`, `{}`},
		{`{"docs.$": 1}`, `{"docs.k": 2}`, `{ _id: 1, docs: [ { k: 2, v: 2 } ] }`},
	} {
		f, err := mql.Compile(doc(t, c.filter))
		if err != nil {
			t.Fatal(err)
		}
		p, err := mql.CompileProjection(doc(t, c.spec), f, mql.Options{})
		if err != nil {
			t.Errorf("%s: %v", c.spec, err)
			continue
		}
		if got, err := p.Apply(doc(t, in)); err != nil || text(got) != c.want {
			t.Errorf("%s:\n got %s %v\nwant %s", c.spec, text(got), err, c.want)
		}
	}
	for spec, code := range map[string]int32{`{"a": 1, "b": 0}`: 31254, `{"a": 0, "b": 1}`: 31253, `{"a": {"$nope": 1}}`: 168, `{"a": 1, "a.b": 1}`: 31249} {
		if _, err := mql.CompileProjection(doc(t, spec), nil, mql.Options{}); value.Code(err) != code {
			t.Errorf("%s: %v, want %d", spec, err, code)
		}
	}
}

// The first case is recorded.
func TestFailure(t *testing.T) {
	for _, c := range []struct{ validator, doc, want string }{
		{`{"b": {"$exists": true}}`, `{"_id": 2, "x": 1}`, `{ operatorName: "$exists", specifiedAs: { b: { $exists: true } }, reason: "path does not exist" }`},
		{`{"a": {"$ne": 5}}`, `{"a": 5}`, `{ operatorName: "$ne", specifiedAs: { a: { $ne: 5 } }, reason: "comparison succeeded", consideredValue: 5 }`},
		{`{"a": 1}`, `{"a": 2}`, `{ operatorName: "$eq", specifiedAs: { a: 1 }, reason: "comparison failed", consideredValue: 2 }`},
		{`{"a": {"$gt": 1}}`, `{}`, `{ operatorName: "$gt", specifiedAs: { a: { $gt: 1 } }, reason: "field was missing" }`},
		{`{"a": {"$gt": 1}, "b": 1}`, `{"a": [0], "b": 1}`, `{ operatorName: "$and", clausesNotSatisfied: [ { index: 0, details: ` +
			`{ operatorName: "$gt", specifiedAs: { a: { $gt: 1 } }, reason: "comparison failed", consideredValues: [ 0, [ 0 ] ] } } ] }`},
		{`{"$jsonSchema": {"required": ["n"], "properties": {"s": {"bsonType": "int"}}}}`, `{"s": "x"}`,
			`{ operatorName: "$jsonSchema", schemaRulesNotSatisfied: [ { operatorName: "required", specifiedAs: { required: [ "n" ] }, missingProperties: [ "n" ] }, ` +
				`{ operatorName: "properties", propertiesNotSatisfied: [ { propertyName: "s", details: [ { operatorName: "bsonType", specifiedAs: { bsonType: "int" }, ` +
				`reason: "type did not match", consideredValue: "x", consideredType: "string" } ] } ] } ] }`},
		{`{"a": 1}`, `{"a": 1}`, ``},
	} {
		f, err := mql.Compile(doc(t, c.validator))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if d := f.Failure(doc(t, c.doc)); d != nil {
			got = text(d)
		}
		if got != c.want {
			t.Errorf("%s on %s:\n got %s\nwant %s", c.validator, c.doc, got, c.want)
		}
	}
}
