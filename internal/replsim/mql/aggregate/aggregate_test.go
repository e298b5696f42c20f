package aggregate_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/mql/aggregate"
	"pitr/internal/replsim/mql/value"
)

// array reads documents from the text of a JSON array.
func array(t *testing.T, text string) bson.RawValue {
	t.Helper()
	var doc bson.Raw
	if err := bson.UnmarshalExtJSON([]byte(`{"a":`+text+`}`), false, &doc); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return doc.Lookup("a")
}

func documents(t *testing.T, text string) aggregate.Documents {
	t.Helper()
	list := value.Of(array(t, text)).Elements()
	return func(yield func(bson.Raw, error) bool) {
		for _, v := range list {
			if !yield(bson.Raw(v.Data), nil) {
				return
			}
		}
	}
}

const input = `[
	{"_id": 1, "g": "a", "n": 5, "tags": ["x", "y"], "sub": {"k": 1}},
	{"_id": 2, "g": "b", "n": 7.5, "tags": []},
	{"_id": 3, "g": "a", "n": {"$numberLong": "9"}, "tags": ["y"], "sub": {"k": 2}},
	{"_id": 4, "n": null}
]`

const other = `[{"_id": 10, "ref": 1, "v": "one"}, {"_id": 11, "ref": [3, 1], "v": "both"}, {"_id": 12, "v": "none"}]`

func run(t *testing.T, pipeline, in string) (string, error) {
	t.Helper()
	p, err := aggregate.Compile(array(t, pipeline), aggregate.Options{
		Options: mql.Options{Now: time.UnixMilli(1761120000123), Let: bsonDoc(t, `{"limit": 6}`)},
		DB:      "db",
		Source: func(context.Context, string, string) aggregate.Documents {
			return documents(t, other)
		},
	})
	if err != nil {
		return "", err
	}
	var out []string
	for doc, err := range p.Run(context.Background(), documents(t, in)) {
		if err != nil {
			return "", err
		}
		out = append(out, mql.Text(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: doc}))
	}
	return strings.Join(out, " "), nil
}

func bsonDoc(t *testing.T, text string) bson.Raw {
	t.Helper()
	var doc bson.Raw
	if err := bson.UnmarshalExtJSON([]byte(text), false, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestStages(t *testing.T) {
	for _, c := range []struct{ name, pipeline, want string }{
		{"match", `[{"$match": {"tags": "y"}}, {"$project": {"_id": 1}}]`, `{ _id: 1 } { _id: 3 }`},
		{"match with a variable", `[{"$match": {"$expr": {"$gt": ["$n", "$$limit"]}}}, {"$project": {"n": 1}}]`,
			`{ _id: 2, n: 7.5 } { _id: 3, n: 9 }`},
		{"sort skip limit", `[{"$sort": {"_id": -1}}, {"$skip": 1}, {"$limit": 2}, {"$project": {"_id": 1}}]`, `{ _id: 3 } { _id: 2 }`},
		{"sort puts null first", `[{"$sort": {"g": 1, "_id": -1}}, {"$project": {"_id": 1}}]`, `{ _id: 4 } { _id: 3 } { _id: 1 } { _id: 2 }`},
		{"group", `[{"$group": {"_id": "$g", "s": {"$sum": "$n"}, "a": {"$avg": "$n"}, "c": {"$count": {}}, "lo": {"$min": "$n"}, "f": {"$first": "$_id"},
			"l": {"$last": "$_id"}, "p": {"$push": "$sub.k"}, "u": {"$addToSet": "$g"}}}]`,
			`{ _id: "a", s: 14, a: 7.0, c: 2, lo: 5, f: 1, l: 3, p: [ 1, 2 ], u: [ "a" ] } ` +
				`{ _id: "b", s: 7.5, a: 7.5, c: 1, lo: 7.5, f: 2, l: 2, p: [], u: [ "b" ] } ` +
				`{ _id: null, s: 0, a: null, c: 1, lo: null, f: 4, l: 4, p: [], u: [] }`},
		{"unwind", `[{"$unwind": "$tags"}, {"$project": {"tags": 1}}]`, `{ _id: 1, tags: "x" } { _id: 1, tags: "y" } { _id: 3, tags: "y" }`},
		{"unwind keeps", `[{"$unwind": {"path": "$tags", "preserveNullAndEmptyArrays": true, "includeArrayIndex": "i"}}, {"$project": {"tags": 1, "i": 1}}]`,
			`{ _id: 1, tags: "x", i: 0 } { _id: 1, tags: "y", i: 1 } { _id: 2, i: null } { _id: 3, tags: "y", i: 0 } { _id: 4, i: null }`},
		{"count", `[{"$count": "all"}]`, `{ all: 4 }`},
		{"count of none", `[{"$match": {"_id": 99}}, {"$count": "all"}]`, ``},
		{"sortByCount", `[{"$match": {"g": {"$exists": true}}}, {"$sortByCount": "$g"}]`, `{ _id: "a", count: 2 } { _id: "b", count: 1 }`},
		{"lookup", `[{"$match": {"_id": {"$in": [1, 2, 4]}}}, {"$lookup": {"from": "o", "localField": "_id", "foreignField": "ref", "as": "j.k"}}, {"$project": {"j": 1}}]`,
			`{ _id: 1, j: { k: [ { _id: 10, ref: 1, v: "one" }, { _id: 11, ref: [ 3, 1 ], v: "both" } ] } } { _id: 2, j: { k: [] } } { _id: 4, j: { k: [] } }`},
		{"lookup of a missing field finds missing ones", `[{"$match": {"_id": 4}}, {"$lookup": {"from": "o", "localField": "g", "foreignField": "ref", "as": "j"}}, {"$project": {"j._id": 1}}]`,
			`{ _id: 4, j: [ { _id: 12 } ] }`},
		{"lookup with a pipeline", `[{"$match": {"_id": 3}}, {"$lookup": {"from": "o", "let": {"x": "$_id"}, "as": "j",
			"pipeline": [{"$match": {"$expr": {"$in": ["$$x", {"$cond": [{"$isArray": "$ref"}, "$ref", []]}]}}}, {"$project": {"_id": 1}}]}}, {"$project": {"j": 1}}]`,
			`{ _id: 3, j: [ { _id: 11 } ] }`},
		{"unionWith", `[{"$match": {"_id": 1}}, {"$project": {"_id": 1}}, {"$unionWith": {"coll": "o", "pipeline": [{"$project": {"_id": 1}}]}}]`,
			`{ _id: 1 } { _id: 10 } { _id: 11 } { _id: 12 }`},
		{"facet", `[{"$facet": {"n": [{"$count": "c"}], "first": [{"$limit": 1}, {"$project": {"_id": 1}}]}}]`, `{ n: [ { c: 4 } ], first: [ { _id: 1 } ] }`},
		{"set and unset", `[{"$match": {"_id": 1}}, {"$set": {"sub.z": {"$add": ["$n", 1]}, "g": "$$REMOVE", "new": "$sub.k"}}, {"$unset": ["tags", "sub.k"]}]`,
			`{ _id: 1, n: 5, sub: { z: 6 }, new: 1 }`},
		{"replaceRoot", `[{"$match": {"_id": 1}}, {"$replaceRoot": {"newRoot": {"$mergeObjects": [{"a": 1, "k": 0}, "$sub"]}}}]`, `{ a: 1, k: 1 }`},
		{"exclusion", `[{"$match": {"_id": 1}}, {"$project": {"tags": 0, "sub": {"k": 0}}}]`, `{ _id: 1, g: "a", n: 5, sub: {} }`},
		{"inclusion with a computed field", `[{"$match": {"_id": 1}}, {"$project": {"_id": 0, "sub.k": 1, "sub.d": {"$multiply": ["$n", 2]}, "g": 1}}]`,
			`{ g: "a", sub: { k: 1, d: 10 } }`},
		{"documents", `[{"$documents": [{"a": {"$add": [1, 2]}}]}]`, `{ a: 3 }`},
	} {
		got, err := run(t, c.pipeline, input)
		if err != nil || got != c.want {
			t.Errorf("%s:\n got %s %v\nwant %s", c.name, got, err, c.want)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		pipeline string
		code     int32
	}{
		{`[{"$nope": 1}]`, 40324},
		{`[{"$match": {}, "$limit": 1}]`, 40323},
		{`[1]`, value.TypeMismatch},
		{`[{"$limit": 0}]`, 15958},
		{`[{"$group": {"x": {"$sum": 1}}}]`, 15955},
		{`[{"$group": {"_id": 1, "x": {"$nope": 1}}}]`, 15952},
		{`[{"$out": "x"}, {"$limit": 1}]`, 40601},
		{`[{"$project": {}}]`, 51272},
		{`[{"$project": {"a": 1, "b": 0}}]`, 31254},
		{`[{"$project": {"a": 1, "a.b": 1}}]`, 31249},
		{`[{"$set": {"x": {"$nope": 1}}}]`, value.InvalidPipelineOperator},
		{`[{"$set": {"x": "$$nope"}}]`, 17276},
		{`[{"$set": {"x": {"$divide": [1, 0]}}}]`, value.BadValue},
		{`[{"$replaceWith": "$n"}]`, 40228},
		{`[{"$graphLookup": {}}]`, value.NotImplemented},
	} {
		_, err := run(t, c.pipeline, input)
		var e *mql.Error
		if !errors.As(err, &e) || e.Code != c.code {
			t.Errorf("%s: %v, want code %d", c.pipeline, err, c.code)
		}
	}
}

func TestOutput(t *testing.T) {
	p, err := aggregate.Compile(array(t, `[{"$match": {"a": 1}}, {"$merge": {"into": {"db": "d2", "coll": "c"}, "on": ["k", "l"], "whenMatched": [{"$set": {"x": 1}}]}}]`),
		aggregate.Options{DB: "d"})
	if err != nil {
		t.Fatal(err)
	}
	o := p.Output()
	if o.Stage != "$merge" || o.DB != "d2" || o.Collection != "c" || len(o.On) != 2 || o.WhenMatched != "pipeline" || o.WhenNotMatched != "insert" {
		t.Errorf("%+v", o)
	}
	if p.Match() == nil {
		t.Error("the leading $match is not offered")
	}
	if p, err = aggregate.Compile(array(t, `[{"$out": "o"}]`), aggregate.Options{DB: "d"}); err != nil || p.Output().DB != "d" || p.Output().Collection != "o" {
		t.Errorf("%+v %v", p.Output(), err)
	}
}

// Expressions, by their results on expressionInput; $$NOW is given.
func TestExpressions(t *testing.T) {
	for _, c := range expressions {
		got, err := run(t, `[{"$project": {"_id": 0, "r": `+c.expr+`}}]`, expressionInput)
		if want := `{ r: ` + c.want + ` }`; err != nil || got != want {
			t.Errorf("%s\n got %s %v\nwant %s", c.expr, got, err, want)
		}
	}
}

const expressionInput = `[{"_id": 1, "a": [3, 1, 2], "s": "Hello", "d": {"$date": "2025-10-22T08:00:00.123Z"}, "o": {"x": 1}, "z": null, "docs": [{"k": 1}, {"k": 2}, {"j": 3}]}]`

var expressions = []struct{ expr, want string }{
	{`{"$add": [2147483647, 1]}`, `2147483648`},
	{`{"$add": ["$d", 1000]}`, `new Date(1761120001123)`},
	{`{"$subtract": ["$d", "$d"]}`, `0`},
	{`{"$divide": [7, 2]}`, `3.5`},
	{`{"$mod": [-7, 3]}`, `-1`},
	{`{"$multiply": ["$z", 3]}`, `null`},
	{`{"$round": [2.5]}`, `2.0`},
	{`{"$round": [1234.567, 1]}`, `1234.6`},
	{`{"$trunc": [-2.7]}`, `-2.0`},
	{`{"$pow": [2, 10]}`, `1024`},
	{`{"$cmp": ["$s", 5]}`, `1`},
	{`{"$eq": ["$none", null]}`, `false`},
	{`{"$cond": {"if": "$z", "then": 1, "else": "no"}}`, `"no"`},
	{`{"$ifNull": ["$none", "$z", 7]}`, `7`},
	{`{"$switch": {"branches": [{"case": {"$gt": [1, 2]}, "then": "a"}, {"case": true, "then": "b"}]}}`, `"b"`},
	{`{"$concat": ["$s", "!"]}`, `"Hello!"`},
	{`{"$toUpper": "$s"}`, `"HELLO"`},
	{`{"$substrCP": ["$s", 1, 3]}`, `"ell"`},
	{`{"$split": ["a-b", "-"]}`, `[ "a", "b" ]`},
	{`{"$trim": {"input": "  x "}}`, `"x"`},
	{`{"$indexOfCP": ["$s", "l"]}`, `2`},
	{`{"$regexFind": {"input": "$s", "regex": "l+"}}`, `{ match: "ll", idx: 2, captures: [] }`},
	{`{"$replaceAll": {"input": "$s", "find": "l", "replacement": "L"}}`, `"HeLLo"`},
	{`{"$strLenBytes": "ü"}`, `2`},
	{`{"$toString": 1.5}`, `"1.5"`},
	{`{"$toInt": "12"}`, `12`},
	{`{"$convert": {"input": "x", "to": "int", "onError": -1}}`, `-1`},
	{`{"$type": "$none"}`, `"missing"`},
	{`{"$arrayElemAt": ["$a", -1]}`, `2`},
	{`{"$slice": ["$a", 1, 5]}`, `[ 1, 2 ]`},
	{`{"$concatArrays": ["$a", [9]]}`, `[ 3, 1, 2, 9 ]`},
	{`{"$sortArray": {"input": "$a", "sortBy": -1}}`, `[ 3, 2, 1 ]`},
	{`{"$filter": {"input": "$a", "as": "x", "cond": {"$gt": ["$$x", 1]}}}`, `[ 3, 2 ]`},
	{`{"$map": {"input": "$a", "in": {"$multiply": ["$$this", 2]}}}`, `[ 6, 2, 4 ]`},
	{`{"$reduce": {"input": "$a", "initialValue": 0, "in": {"$add": ["$$value", "$$this"]}}}`, `6`},
	{`{"$let": {"vars": {"q": 4}, "in": {"$let": {"vars": {"q": 5, "r": "$$q"}, "in": {"$add": ["$$q", "$$r"]}}}}}`, `9`},
	{`{"$mergeObjects": ["$o", {"y": 2, "x": 9}]}`, `{ x: 9, y: 2 }`},
	{`{"$objectToArray": "$o"}`, `[ { k: "x", v: 1 } ]`},
	{`{"$arrayToObject": [[["a", 1], ["b", 2]]]}`, `{ a: 1, b: 2 }`},
	{`{"$setField": {"field": "a.b", "input": "$o", "value": 2}}`, `{ x: 1, a.b: 2 }`},
	{`{"$getField": {"field": "x", "input": "$o"}}`, `1`},
	{`"$docs.k"`, `[ 1, 2 ]`},
	{`{"$sum": "$docs.k"}`, `3`},
	{`{"$setUnion": ["$a", [2, 5]]}`, `[ 1, 2, 3, 5 ]`},
	{`{"$in": [2, "$a"]}`, `true`},
	{`{"$range": [0, 6, 2]}`, `[ 0, 2, 4 ]`},
	{`{"$zip": {"inputs": [[1, 2], [3]]}}`, `[ [ 1, 3 ] ]`},
	{`{"$dateToString": {"date": "$d"}}`, `"2025-10-22T08:00:00.123Z"`},
	{`{"$dateToString": {"date": "$d", "format": "%d.%m.%Y %H:%M", "timezone": "+02:00"}}`, `"22.10.2025 10:00"`},
	{`{"$dateTrunc": {"date": "$d", "unit": "month"}}`, `new Date(1759276800000)`},
	{`{"$dateAdd": {"startDate": "$d", "unit": "month", "amount": 4}}`, `new Date(1771747200123)`},
	{`{"$dateDiff": {"startDate": {"$dateFromString": {"dateString": "2025-01-31"}}, "endDate": "$d", "unit": "week"}}`, `38`},
	{`{"$isoWeek": "$d"}`, `43`},
	{`{"$dayOfWeek": "$d"}`, `4`},
	{`"$$NOW"`, `new Date(1761120000123)`},
	{`{"$literal": "$s"}`, `"$s"`},
	{`[{"$abs": -1}, "$none"]`, `[ 1, null ]`},
	{`{"$bitAnd": [12, 10]}`, `8`},
}
