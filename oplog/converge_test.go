package oplog_test

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"pitr/oplog"
)

// TestApplyUpdateConverges: the complete list of a document's updates, applied to any of its states, ends in the last
// one. This is what makes a scan right that is not a snapshot: section 6.1 of the oplog facts.
func TestApplyUpdateConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		states := []bson.D{append(bson.D{{Key: "_id", Value: int32(1)}}, drawDocument(t, 2)...)}
		var updates []bson.Raw
		for range rapid.IntRange(1, 12).Draw(t, "updates") {
			before := states[len(states)-1]
			after := mutate(t, before, 3)
			if diff := difference(before, after); len(diff) == 0 {
				continue
			} else if rapid.IntRange(0, 9).Draw(t, "form") == 0 {
				updates = append(updates, marshalled(after))
			} else {
				updates = append(updates, marshalled(bson.D{{Key: "$v", Value: int32(2)}, {Key: "diff", Value: diff}}))
			}
			states = append(states, after)
		}
		want := marshalled(states[len(states)-1])
		for from, state := range states {
			got := marshalled(state)
			for _, o := range updates {
				after, placeholders, err := oplog.ApplyUpdate(got, o)
				if err != nil {
					t.Fatalf("%v\non %v: %v", o, got, err)
				}
				if placeholders > 0 && from == 0 {
					t.Fatalf("%d placeholders on a consistent state", placeholders)
				}
				got = after
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("from state %d: %v\nwant %v\nupdates %v", from, got, want, updates)
			}
		}
	})
}

// FuzzApply: no bytes make ApplyUpdate panic, change its input, or give something that is no document.
func FuzzApply(f *testing.F) {
	for _, seed := range []struct{ before, o string }{
		{`{"_id":1,"a":[1,{"k":2}],"o":{"p":1}}`, `{"$v":2,"diff":{"d":{"x":false},"u":{"y":1},"i":{"z":1},"sa":{"a":true,"l":3,"u0":5,"s1":{"u":{"k":3}}},"so":{"d":{"p":false}}}}`},
		{`{"_id":1,"c":{"$binary":{"base64":"YWJj","subType":"07"}}}`, `{"$v":2,"diff":{"b":{"c":{"o":1,"d":{"$binary":{"base64":"YWJj","subType":"00"}}}}}}`},
		{`{"_id":1,"a":[1,2]}`, `{"$v":1,"$set":{"a.4":9,"b.c":1},"$unset":{"a.0":true}}`},
		{`{"_id":1}`, `{"_id":1,"x":1}`},
	} {
		f.Add([]byte(document(f, seed.before)), []byte(document(f, seed.o)))
	}
	f.Fuzz(func(t *testing.T, before, o []byte) {
		keptBefore, keptO := bytes.Clone(before), bytes.Clone(o)
		after, _, err := oplog.ApplyUpdate(before, o)
		if !bytes.Equal(before, keptBefore) || !bytes.Equal(o, keptO) {
			t.Fatal("an input was changed")
		}
		if (err == nil) == (after == nil) {
			t.Fatalf("result %v with error %v", after, err)
		}
		if err == nil && bson.Raw(before).Validate() == nil && bson.Raw(o).Validate() == nil && after.Validate() != nil {
			t.Fatalf("valid input gave %v", []byte(after))
		}
	})
}

var fieldNames = []string{"a", "b", "c", "", "d.e", "$f", "0", "u"}

func drawDocument(t *rapid.T, depth int) bson.D {
	document := bson.D{}
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(fieldNames), 0, 4, rapid.ID).Draw(t, "fields") {
		document = append(document, bson.E{Key: name, Value: drawValue(t, depth-1)})
	}
	return document
}

func drawValue(t *rapid.T, depth int) any {
	kinds := 3
	if depth > 0 {
		kinds = 5
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return int32(rapid.IntRange(0, 3).Draw(t, "number"))
	case 1:
		return nil
	case 2:
		return rapid.SampledFrom([]string{"", "x", "yy"}).Draw(t, "text")
	case 3:
		return drawDocument(t, depth)
	}
	array := bson.A{}
	for range rapid.IntRange(0, 4).Draw(t, "length") {
		array = append(array, drawValue(t, depth-1))
	}
	return array
}

// mutate gives a changed copy of a document.
func mutate(t *rapid.T, before bson.D, depth int) bson.D {
	after := slices.Clone(before)
	for range rapid.IntRange(1, 3).Draw(t, "changes") {
		first := 0
		if len(after) > 0 && after[0].Key == "_id" {
			first = 1
		}
		at := rapid.IntRange(first, max(first, len(after)-1)).Draw(t, "at")
		switch action := rapid.IntRange(0, 4).Draw(t, "action"); {
		case at >= len(after) || action == 0:
			name := rapid.SampledFrom(fieldNames).Draw(t, "name")
			after = slices.DeleteFunc(after, func(e bson.E) bool { return e.Key == name })
			after = append(after, bson.E{Key: name, Value: drawValue(t, depth)})
		case action == 1:
			after = slices.Delete(slices.Clone(after), at, at+1)
		case action == 2:
			after[at].Value = drawValue(t, depth)
		case action == 3:
			moved := after[at]
			after = append(slices.Delete(slices.Clone(after), at, at+1), moved)
		default:
			after[at].Value = mutateValue(t, after[at].Value, depth-1)
		}
	}
	return after
}

func mutateValue(t *rapid.T, value any, depth int) any {
	switch value := value.(type) {
	case bson.D:
		return mutate(t, value, depth)
	case bson.A:
		after := slices.Clone(value)
		switch at := rapid.IntRange(0, len(after)).Draw(t, "element"); {
		case at == len(after):
			return append(after, drawValue(t, depth))
		case rapid.Bool().Draw(t, "cut"):
			return after[:at]
		default:
			after[at] = mutateValue(t, after[at], depth-1)
			return after
		}
	}
	return drawValue(t, depth)
}

// difference writes the diff between two documents as the server's calculator does; empty where they are equal.
func difference(before, after bson.D) bson.D {
	var deleted, updated, inserted, subs bson.D
	position := func(d bson.D, name string) int {
		return slices.IndexFunc(d, func(e bson.E) bool { return e.Key == name })
	}
	for len(before) > 0 && len(after) > 0 {
		old, now := before[0], after[0]
		if old.Key != now.Key {
			if position(after, old.Key) >= 0 {
				break
			}
			deleted, before = append(deleted, bson.E{Key: old.Key, Value: false}), before[1:]
			continue
		}
		before, after = before[1:], after[1:]
		if equal(old.Value, now.Value) {
			continue
		}
		if sub := subDifference(old.Value, now.Value); sub != nil {
			subs = append(subs, bson.E{Key: "s" + now.Key, Value: sub})
		} else {
			updated = append(updated, now)
		}
	}
	for _, old := range before {
		if position(after, old.Key) < 0 {
			deleted = append(deleted, bson.E{Key: old.Key, Value: false})
		}
	}
	inserted = append(inserted, after...)
	var diff bson.D
	for _, part := range []bson.E{{Key: "d", Value: deleted}, {Key: "u", Value: updated}, {Key: "i", Value: inserted}} {
		if fields, ok := part.Value.(bson.D); ok && len(fields) > 0 {
			diff = append(diff, part)
		}
	}
	return append(diff, subs...)
}

func subDifference(before, after any) bson.D {
	if old, ok := before.(bson.D); ok {
		if now, ok := after.(bson.D); ok {
			return difference(old, now)
		}
	}
	old, isArray := before.(bson.A)
	now, staysArray := after.(bson.A)
	if !isArray || !staysArray {
		return nil
	}
	diff := bson.D{{Key: "a", Value: true}}
	if len(now) < len(old) {
		diff = append(diff, bson.E{Key: "l", Value: int32(len(now))})
	}
	for i := range now {
		index := strconv.Itoa(i)
		switch {
		case i >= len(old):
			diff = append(diff, bson.E{Key: "u" + index, Value: now[i]})
		case equal(old[i], now[i]):
		default:
			if sub := subDifference(old[i], now[i]); sub != nil {
				diff = append(diff, bson.E{Key: "s" + index, Value: sub})
			} else {
				diff = append(diff, bson.E{Key: "u" + index, Value: now[i]})
			}
		}
	}
	return diff
}

func equal(a, b any) bool {
	return bytes.Equal(marshalled(bson.D{{Key: "v", Value: a}}), marshalled(bson.D{{Key: "v", Value: b}}))
}

func marshalled(value any) bson.Raw {
	content, err := bson.Marshal(value)
	if err != nil {
		panic(fmt.Sprint("a test's own document: ", err))
	}
	return content
}
