package update_test

import (
	"bytes"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/mql/update"
	"pitr/internal/replsim/mql/value"
)

// FuzzUpdate compiles any statement and applies it to any document: nothing may panic, what comes out is sound, and the payload
// replayed on the old document gives the new one.
func FuzzUpdate(f *testing.F) {
	for _, u := range []string{
		`{"$set": {"a.b": 1, "l.3": 2}, "$unset": {"c": 1}, "$inc": {"n": 2}}`, `{"$push": {"l": {"$each": [1, 2], "$position": 1, "$slice": -3, "$sort": 1}}}`,
		`{"$rename": {"a": "x.y"}, "$addToSet": {"l": {"$each": [1, 1]}}, "$pull": {"d": {"k": {"$gt": 1}}}}`, `{"x": 1, "_id": 1}`,
		`{"$set": {"d.$[].v": 5, "d.$[i].w": 6}, "$mul": {"n": 3}}`, `{"$pop": {"l": -1}, "$bit": {"n": {"xor": 5}}, "$min": {"c": 0}, "$max": {"a.b": "z"}}`,
		`[{"$set": {"l": {"$slice": ["$l", 1]}, "d": {"$reverseArray": "$d"}}}, {"$unset": ["a.b"]}]`, `[{"$replaceWith": {"$mergeObjects": ["$$ROOT", {"z": 1}]}}]`,
		`{"$set": {"d.$.v": 1}, "$currentDate": {"t": true}}`, `[{"$project": {"a": 1}}]`,
	} {
		f.Add(u, `{"d.k": {"$gte": 1}}`, `[{"i.k": 2}]`, `{"_id": 1, "a": {"b": 1}, "l": [3, 1, 2], "c": null, "n": 4, "d": [{"k": 1}, {"k": 2}]}`)
	}
	f.Fuzz(func(t *testing.T, uText, qText, filtersText, docText string) {
		var line, d bson.Raw
		text := `{"u":` + uText + `,"q":` + qText + `,"f":` + filtersText + `}`
		if bson.UnmarshalExtJSON([]byte(text), false, &line) != nil || bson.UnmarshalExtJSON([]byte(docText), false, &d) != nil {
			return
		}
		d, err := update.Insert(d, moment, func() bson.ObjectID { return bson.ObjectID{} })
		if err != nil || repeats(d) {
			return // a delta reaches every field of a repeated name, an operator only the first
		}
		q, _ := line.Lookup("q").DocumentOK()
		filter, err := mql.Compile(q)
		if err != nil {
			return
		}
		u, err := update.Compile(line.Lookup("u"), update.Options{Filter: filter, ArrayFilters: line.Lookup("f")})
		if err != nil {
			if u, err = update.Compile(line.Lookup("u"), update.Options{Filter: filter}); err != nil {
				return
			}
		}
		if doc, err := u.Upsert(moment, func() bson.ObjectID { return bson.ObjectID{} }); err == nil && !value.Valid(doc, 200) {
			t.Errorf("an upsert makes an unsound document: %x", doc)
		}
		r, err := u.Apply(d, moment)
		if err != nil {
			return
		}
		if !value.Valid(r.After, 200) || r.O != nil && !value.Valid(r.O, 400) {
			t.Fatalf("unsound: %x, %x", r.After, r.O)
		}
		if r.O == nil {
			if !bytes.Equal(r.After, d) {
				t.Error("changed without a payload")
			}
			return
		}
		again, err := update.Replay(d, r.O)
		if err != nil || !sameDocument(again, r.After) {
			t.Errorf("%s on %s: logs %s, which gives %s (%v), want %s", line, d, r.O, again, err, r.After)
		}
	})
}

// repeats says whether a document, or one in it, has a name twice.
func repeats(d bson.Raw) bool {
	seen := map[string]bool{}
	for it := value.Iterate(d); it.Next(); {
		inner := it.Value().Document()
		if seen[string(it.Key())] || inner != nil && repeats(inner) {
			return true
		}
		seen[string(it.Key())] = true
	}
	return false
}

// sameDocument compares bytes, but lets _id stand anywhere: a replacement is logged as it was given.
func sameDocument(a, b bson.Raw) bool {
	if bytes.Equal(a, b) {
		return true
	}
	without := func(d bson.Raw) []byte {
		out, at := value.Begin(nil)
		for it := value.Iterate(d); it.Next(); {
			if string(it.Key()) != "_id" {
				out = append(out, it.Element()...)
			}
		}
		return value.End(out, at)
	}
	return bytes.Equal(without(a), without(b)) && bytes.Equal(a.Lookup("_id").Value, b.Lookup("_id").Value)
}

const device = `{"_id": {"$oid": "653700000000000000000048"}, "name": "device 17", "status": "accepted", "created": {"$date": "2025-10-22T08:00:00Z"},
	"attributes": [{"name": "mac", "value": "aa:bb:cc:dd:ee:ff", "scope": "identity"}, {"name": "sn", "value": "0000017", "scope": "identity"}],
	"revision": 3, "tags": ["a", "b", "c"], "nested": {"level": {"deep": 5}}, "tenant": "t1"}`

func BenchmarkApply(b *testing.B) {
	d := parse(b, device)
	for name, statement := range map[string]string{
		"set":         `{"q": {}, "u": {"$set": {"status": "rejected", "seen": 1}, "$inc": {"revision": 1}}}`,
		"nested":      `{"q": {}, "u": {"$set": {"attributes.1.value": "x", "nested.level.deep": 6}}}`,
		"push":        `{"q": {}, "u": {"$push": {"tags": "d"}}}`,
		"replacement": `{"q": {}, "u": ` + strings.Replace(device, "accepted", "rejected", 1) + `}`,
		"pipeline":    `{"q": {}, "u": [{"$set": {"revision": {"$add": ["$revision", 1]}}}]}`,
	} {
		u, err := compile(b, statement)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := u.Apply(d, moment); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	s := parse(b, `{"q": {"_id": 1}, "u": {"$set": {"status": "rejected", "seen": 1}, "$inc": {"revision": 1}}}`)
	b.ReportAllocs()
	for b.Loop() {
		filter, err := mql.Compile(s.Lookup("q").Document())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := update.Compile(s.Lookup("u"), update.Options{Filter: filter}); err != nil {
			b.Fatal(err)
		}
	}
}
