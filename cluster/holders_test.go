package cluster_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// TestHolders asks a server who holds values of its unique indexes; a value that looks like an operator is data. // case X20
func TestHolders(t *testing.T) {
	r := newRig(t)
	p := r.client.Primary()
	r.insert("db.c", bson.D{{Key: "_id", Value: 1}, {Key: "a", Value: "x"}, {Key: "b", Value: 1}}, bson.D{{Key: "_id", Value: 2}, {Key: "a", Value: "y"}},
		bson.D{{Key: "_id", Value: 3}, {Key: "a", Value: bson.D{{Key: "$gt", Value: ""}}}, {Key: "p", Value: "in"}},
		bson.D{{Key: "_id", Value: 4}, {Key: "a", Value: bson.A{"l", "m"}}, {Key: "p", Value: "out"}},
		bson.D{{Key: "_id", Value: 5}, {Key: "a", Value: bson.Regex{Pattern: "x"}}})
	unique := func(name string, key bson.D, more ...bson.E) {
		r.run("db", bson.D{{Key: "createIndexes", Value: "c"}, {Key: "indexes", Value: bson.A{append(bson.D{{Key: "key", Value: key},
			{Key: "name", Value: name}, {Key: "unique", Value: true}}, more...)}}})
	}
	unique("compound", bson.D{{Key: "a", Value: 1}, {Key: "b", Value: -1}})
	unique("sparse", bson.D{{Key: "b", Value: 1}}, bson.E{Key: "sparse", Value: true})
	unique("partial", bson.D{{Key: "a", Value: 1}, {Key: "p", Value: 1}}, bson.E{Key: "partialFilterExpression", Value: bson.D{{Key: "p", Value: "in"}}})
	c := r.find("db.c")
	for _, test := range []struct {
		index string
		value bson.D
		want  string
	}{
		{"compound", bson.D{{Key: "a", Value: "x"}, {Key: "b", Value: 1.0}}, "1"},
		{"compound", bson.D{{Key: "a", Value: "y"}, {Key: "b", Value: nil}}, "2"},
		{"compound", bson.D{{Key: "a", Value: bson.D{{Key: "$gt", Value: ""}}}, {Key: "b", Value: nil}}, "3"},
		{"compound", bson.D{{Key: "a", Value: bson.D{{Key: "$exists", Value: true}}}, {Key: "b", Value: nil}}, ""},
		{"compound", bson.D{{Key: "a", Value: "m"}, {Key: "b", Value: nil}}, "4"},
		{"compound", bson.D{{Key: "a", Value: bson.Regex{Pattern: "x"}}, {Key: "b", Value: nil}}, "5"},
		{"compound", bson.D{{Key: "a", Value: bson.Regex{Pattern: "."}}, {Key: "b", Value: nil}}, ""},
		{"sparse", bson.D{{Key: "b", Value: int64(1)}}, "1"},
		{"partial", bson.D{{Key: "a", Value: bson.D{{Key: "$gt", Value: ""}}}, {Key: "p", Value: "in"}}, "3"},
		{"partial", bson.D{{Key: "a", Value: "m"}, {Key: "p", Value: "out"}}, ""},
	} {
		found, err := p.Holders(t.Context(), c.NS, c.Index(test.index), []bson.Raw{mustRaw(test.value), mustRaw(test.value)})
		if err != nil {
			t.Errorf("%s %v: %v", test.index, test.value, err)
			continue
		}
		var ids []string
		for _, document := range found {
			id, _ := document.Lookup("_id").AsInt64OK()
			ids = append(ids, fmt.Sprint(id))
		}
		slices.Sort(ids)
		if got := strings.Join(ids, " "); got != test.want {
			t.Errorf("%s %v is held by %q, want %q", test.index, test.value, got, test.want)
		}
	}
}

// TestMatching asks a server which documents satisfy a condition; what stands in them is not evaluated.
func TestMatching(t *testing.T) {
	r := newRig(t)
	p := r.client.Primary()
	documents := []bson.Raw{mustRaw(bson.D{{Key: "_id", Value: 1}, {Key: "a", Value: 5}}), mustRaw(bson.D{{Key: "_id", Value: "$$NOW"}, {Key: "a", Value: "$a"}}),
		mustRaw(bson.D{{Key: "_id", Value: bson.D{{Key: "$add", Value: bson.A{1, 2}}}}, {Key: "a", Value: bson.D{{Key: "$literal", Value: 5}}}})}
	for range 700 { // more than one question carries
		documents = append(documents, mustRaw(bson.D{{Key: "_id", Value: bson.NewObjectID()}, {Key: "a", Value: 4}}))
	}
	for _, test := range []struct {
		filter bson.D
		want   int
		first  string
	}{
		{bson.D{{Key: "a", Value: 5}}, 1, `{"$numberInt":"1"}`},
		{bson.D{{Key: "a", Value: "$a"}}, 1, `"$$NOW"`},
		{bson.D{{Key: "$jsonSchema", Value: bson.D{{Key: "properties", Value: bson.D{{Key: "a", Value: bson.D{{Key: "bsonType", Value: "number"}}}}}}}}, 701, `{"$numberInt":"1"}`},
	} {
		ids, err := p.Matching(t.Context(), pitr.Condition{DB: "db", Filter: mustRaw(test.filter)}, documents)
		if err != nil || len(ids) != test.want || ids[0].String() != test.first {
			t.Errorf("%v is satisfied by %d documents, %v", test.filter, len(ids), err)
		}
	}
}

// TestDuplicateKeyIsKnown: a caller can tell the refusal of a unique index from every other conflict.
func TestDuplicateKeyIsKnown(t *testing.T) {
	r := newRig(t)
	p := r.client.Primary()
	r.insert("db.c", bson.D{{Key: "_id", Value: 1}, {Key: "a", Value: 1}})
	r.run("db", bson.D{{Key: "createIndexes", Value: "c"}, {Key: "indexes", Value: bson.A{bson.D{{Key: "key", Value: bson.D{{Key: "a", Value: 1}}}, {Key: "name", Value: "a"},
		{Key: "unique", Value: true}}}}})
	_, err := p.Transact(t.Context(), []pitr.DocumentWrite{{NS: pitr.Namespace{DB: "db", Collection: "c"}, Key: keyOf(t, 2),
		Result: mustRaw(bson.D{{Key: "_id", Value: 2}, {Key: "a", Value: 1}})}})
	if !errors.Is(err, pitr.ErrDuplicateKey) || pitr.KindOf(err) != pitr.KindConflict {
		t.Errorf("a duplicate key is %v", err)
	}
}
