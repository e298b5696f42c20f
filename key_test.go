package pitr_test

import (
	"bytes"
	"math"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

func keyOf(t *testing.T, id any) pitr.Key {
	t.Helper()
	document, err := bson.Marshal(bson.D{{Key: "x", Value: 1}, {Key: "_id", Value: id}})
	if err != nil {
		t.Fatal(err)
	}
	key, err := pitr.KeyOf(document)
	if err != nil {
		t.Fatalf("%v: %v", id, err)
	}
	want, err := bson.Marshal(bson.D{{Key: "_id", Value: id}})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(key.Filter(), want) {
		t.Fatalf("%v: the filter is %s", id, key.Filter())
	}
	return key
}

func decimal(t *testing.T, text string) bson.Decimal128 {
	t.Helper()
	number, err := bson.ParseDecimal128(text)
	if err != nil {
		t.Fatal(err)
	}
	return number
}

// TestKeyEquality holds the equality form against the server's rule that numbers are one type and order of fields counts.
func TestKeyEquality(t *testing.T) {
	classes := [][]any{
		{int32(1), int64(1), 1.0, decimal(t, "1"), decimal(t, "1.00"), decimal(t, "10E-1")},
		{int32(0), 0.0, math.Copysign(0, -1), decimal(t, "-0"), decimal(t, "0E+6000")},
		{math.NaN(), decimal(t, "NaN")},
		{math.Inf(1), decimal(t, "Infinity")},
		{math.Inf(-1), decimal(t, "-Infinity")},
		{int64(1) << 60, math.Ldexp(1, 60), decimal(t, "1152921504606846976")},
		{int64(1)<<60 + 1},
		{math.Ldexp(1, 70), decimal(t, "1180591620717411303424")},
		{0.5, decimal(t, "0.5")},
		{0.1},
		{decimal(t, "0.1")},
		{"1", bson.Symbol("1")},
		{""},
		{nil},
		{true},
		{false},
		{bson.D{}},
		{bson.D{{Key: "a", Value: 1}, {Key: "b", Value: 2}}, bson.D{{Key: "a", Value: 1.0}, {Key: "b", Value: int64(2)}}},
		{bson.D{{Key: "b", Value: 2}, {Key: "a", Value: 1}}},
		{bson.D{{Key: "a", Value: bson.A{1}}}, bson.D{{Key: "a", Value: bson.A{1.0}}}},
		{bson.D{{Key: "a", Value: bson.D{{Key: "0", Value: 1}}}}},
		{bson.Binary{Subtype: 0, Data: []byte{1}}},
		{bson.Binary{Subtype: 4, Data: []byte{1}}},
		{bson.DateTime(1)},
		{bson.Timestamp{I: 1}},
		{bson.MinKey{}},
	}
	seen := map[string]int{}
	for class, values := range classes {
		for _, value := range values {
			form := keyOf(t, value).Equal()
			if other, found := seen[form]; found && other != class {
				t.Errorf("%v is equal to a value of class %d", value, other)
			}
			seen[form] = class
		}
	}
	if len(seen) != len(classes) {
		t.Errorf("%d forms for %d classes: equal values have different forms", len(seen), len(classes))
	}
}

func TestKeyRefusesWhatTheServerRefuses(t *testing.T) {
	for _, id := range []any{bson.A{1}, bson.Regex{Pattern: "x"}, bson.Undefined{}} {
		document, err := bson.Marshal(bson.D{{Key: "_id", Value: id}})
		if err != nil {
			t.Fatal(err)
		}
		if key, err := pitr.KeyOf(document); err == nil {
			t.Errorf("%v became the key %s", id, key)
		}
	}
	if _, err := pitr.KeyOf(bson.Raw{5, 0, 0, 0, 0}); err == nil {
		t.Error("a document without _id has a key")
	}
}

func TestScope(t *testing.T) {
	orders := pitr.Namespace{DB: "shop", Collection: "orders"}
	for _, c := range []struct {
		only, except []string
		want         bool
	}{
		{nil, nil, true}, {[]string{"shop"}, nil, true}, {[]string{"shop.orders"}, nil, true}, {[]string{"shop.order"}, nil, false},
		{nil, []string{"shop"}, false}, {[]string{"shop"}, []string{"shop.orders"}, false}, {[]string{"other"}, nil, false},
	} {
		scope, err := pitr.NewScope(c.only, c.except)
		if err != nil || scope.Contains(orders) != c.want {
			t.Errorf("%v: %v", c, err)
		}
	}
	for _, bad := range []string{"admin", "config.x", "local.oplog.rs", "shop.system.views", ""} { // case W12
		if _, err := pitr.NewScope([]string{bad}, nil); pitr.KindOf(err) != pitr.KindRefused {
			t.Errorf("%q was accepted: %v", bad, err)
		}
	}
	for _, system := range []string{"admin.x", "shop.system.profile", "shop.system.views", "config.y"} {
		ns, err := pitr.ParseNamespace(system)
		if err != nil || (pitr.Scope{}).Contains(ns) {
			t.Errorf("%s is in the scope of everything (%v)", system, err)
		}
	}
}

func TestScopeContainsAll(t *testing.T) {
	for _, c := range []struct {
		outer, inner pitr.Scope
		want         bool
	}{
		{pitr.Scope{}, pitr.Scope{Only: []string{"a.b"}}, true},
		{pitr.Scope{Only: []string{"a"}}, pitr.Scope{Only: []string{"a.b"}}, true},
		{pitr.Scope{Only: []string{"a.b"}}, pitr.Scope{Only: []string{"a"}}, false},
		{pitr.Scope{Only: []string{"a"}}, pitr.Scope{}, false},
		{pitr.Scope{Except: []string{"a.b"}}, pitr.Scope{}, false},
		{pitr.Scope{Except: []string{"a.b"}}, pitr.Scope{Only: []string{"a.c"}}, true},
		{pitr.Scope{Except: []string{"a.b"}}, pitr.Scope{Only: []string{"a"}}, false},
		{pitr.Scope{Except: []string{"a.b"}}, pitr.Scope{Except: []string{"a.b", "c"}}, true},
	} {
		if got := c.outer.ContainsAll(c.inner); got != c.want {
			t.Errorf("%v contains all of %v: got %v", c.outer, c.inner, got)
		}
	}
}
