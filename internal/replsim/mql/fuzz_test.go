package mql_test

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql"
)

// FuzzFilter compiles any filter and runs it on any document: nothing may panic, and what the filter says about itself must agree
// with what it matches.
func FuzzFilter(f *testing.F) {
	for _, filter := range []string{
		`{"a": 1, "b.c": {"$gt": 2, "$lte": {"$numberDecimal": "7.5"}}}`, `{"$or": [{"a": {"$in": [1, null]}}, {"$nor": [{"b": {"$exists": false}}]}]}`,
		`{"a": {"$elemMatch": {"k": {"$not": {"$regex": "^x"}}}}}`, `{"a": {"$all": [1, {"x": 2}], "$size": 2, "$type": ["array", 16]}}`,
		`{"$expr": {"$gt": [{"$add": ["$a", 1]}, {"$size": "$l"}]}}`, `{"$jsonSchema": {"required": ["a"], "properties": {"a": {"minimum": 3}}}}`,
		`{"a": {"$mod": [3, 1], "$bitsAnySet": 5}}`, `{"_id": {"$gte": 1, "$lt": 5}}`,
	} {
		f.Add(filter, `{"_id": 1, "a": [1, {"k": "xy"}], "b": {"c": 3}, "l": []}`)
	}
	f.Fuzz(func(t *testing.T, filterText, docText string) {
		var filter, d bson.Raw
		if bson.UnmarshalExtJSON([]byte(filterText), false, &filter) != nil || bson.UnmarshalExtJSON([]byte(docText), false, &d) != nil {
			return
		}
		compiled, err := mql.Compile(filter)
		if err != nil {
			return
		}
		ok, err := compiled.Match(d)
		if _, also, _ := compiled.Position(d); err == nil && also != ok {
			t.Errorf("Match says %t, Position %t", ok, also)
		}
		if failure := compiled.Failure(d); err == nil && (failure == nil) != ok {
			t.Errorf("a match of %t is explained by %s", ok, failure)
		}
		if id := d.Lookup("_id"); ok && id.Type != 0 && id.Type != bson.TypeArray {
			if !compiled.Range("_id").Contains(mql.Encode(id)) {
				t.Errorf("the document matches but its _id is out of range")
			}
			if points, is := compiled.Points("_id"); is && !contains(points, id) {
				t.Errorf("the document matches but its _id is no point")
			}
		}
		_ = compiled.Equalities()
	})
}

func contains(list []bson.RawValue, v bson.RawValue) bool {
	for _, x := range list {
		if mql.Equal(x, v) {
			return true
		}
	}
	return false
}

// FuzzDamaged runs filters, sorts, projections and indexes on bytes that are no sound document: nothing may panic.
func FuzzDamaged(f *testing.F) {
	sound := doc(f, `{"_id": 1, "a": [1, {"k": "xy"}], "b": {"c": 3}, "s": "text", "r": {"$regularExpression": {"pattern": "x", "options": "i"}},
		"x": {"$binary": {"base64": "AQID", "subType": "04"}}, "c": {"$code": "f()", "$scope": {"a": 1}}, "d": {"$numberDecimal": "1.5"}}`)
	f.Add([]byte(sound))
	filter, err := mql.Compile(doc(f, `{"$or": [{"a.k": {"$gt": "x"}}, {"b.c": {"$in": [3, "z"]}}, {"x": {"$bitsAllSet": [1]}}, {"r": {"$regularExpression": {"pattern": "x", "options": "i"}}}]}`))
	if err != nil {
		f.Fatal(err)
	}
	sort, err := mql.CompileSort(doc(f, `{"a.k": 1, "c": -1, "d": 1}`))
	if err != nil {
		f.Fatal(err)
	}
	index, err := mql.CompileIndex(doc(f, `{"key": {"a": 1, "c": 1}}`))
	if err != nil {
		f.Fatal(err)
	}
	projection, err := mql.CompileProjection(doc(f, `{"a.k": 1, "z": {"$concat": ["$s", "!"]}}`), filter, mql.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		d := bson.Raw(data)
		_, _ = filter.Match(d)
		_, _ = sort.Key(d)
		_, _ = index.Keys(d)
		_, _ = projection.Apply(d)
		_ = filter.Failure(d)
		_ = text(d)
	})
}

var document = `{"_id": {"$oid": "653700000000000000000048"}, "name": "device 17", "status": "accepted", "created": {"$date": "2025-10-22T08:00:00Z"},
	"attributes": [{"name": "mac", "value": "aa:bb:cc:dd:ee:ff", "scope": "identity"}, {"name": "sn", "value": "0000017", "scope": "identity"}],
	"revision": 3, "tags": ["a", "b", "c"], "nested": {"level": {"deep": 5}}, "tenant": "t1"}`

func BenchmarkMatch(b *testing.B) {
	d := doc(b, document)
	for name, filter := range map[string]string{
		"id":     `{"_id": {"$oid": "653700000000000000000048"}}`,
		"fields": `{"tenant": "t1", "status": {"$in": ["accepted", "pending"]}, "revision": {"$gte": 2, "$lt": 10}}`,
		"array":  `{"attributes": {"$elemMatch": {"name": "sn", "value": "0000017"}}}`,
		"deep":   `{"nested.level.deep": 5, "tags": "c"}`,
	} {
		f, err := mql.Compile(doc(b, filter))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if ok, err := f.Match(d); !ok || err != nil {
					b.Fatal("no match")
				}
			}
		})
	}
}

func BenchmarkIndexKeys(b *testing.B) {
	d := doc(b, document)
	x, err := mql.CompileIndex(doc(b, `{"key": {"tenant": 1, "attributes.value": 1}, "name": "x"}`))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := x.Keys(d); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSortKey(b *testing.B) {
	d := doc(b, document)
	s, err := mql.CompileSort(doc(b, `{"revision": -1, "_id": 1}`))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Key(d); err != nil {
			b.Fatal(err)
		}
	}
}
