package diff_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"pitr/diff"
)

func decimal(tb testing.TB, text string) bson.Decimal128 {
	tb.Helper()
	d, err := bson.ParseDecimal128(text)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func listed(changes []diff.FieldChange) string {
	var texts []string
	for _, change := range changes {
		texts = append(texts, fmt.Sprintf("%s %s", change.Path, change.Kind))
	}
	return strings.Join(texts, ", ")
}

// case F02: the rule, one row per promise. Rows are read from T to E.
func TestFieldsFollowTheRule(t *testing.T) {
	otherNaN := math.Float64frombits(math.Float64bits(math.NaN()) ^ 8)
	moment := time.UnixMilli(1761120000001)
	d := func(pairs ...any) bson.D {
		document := bson.D{}
		for i := 0; i < len(pairs); i += 2 {
			document = append(document, bson.E{Key: pairs[i].(string), Value: pairs[i+1]})
		}
		return document
	}
	for what, c := range map[string]struct {
		t, e bson.D
		want string
	}{
		"equal":                           {d("a", 1, "b", d("c", 2)), d("a", 1, "b", d("c", 2)), ""},
		"changed, removed, added":         {d("a", 1, "b", 2), d("a", 3, "c", 4), "a changed, b removed, c added"},
		"nested":                          {d("a", d("b", d("c", 1, "x", 1))), d("a", d("b", d("c", 2, "x", 1))), "a.b.c changed"},
		"int and long":                    {d("a", int32(1)), d("a", int64(1)), "a rewritten"},
		"int and double":                  {d("a", int32(1)), d("a", 1.0), "a rewritten"},
		"double and decimal":              {d("a", 1.5), d("a", decimal(t, "1.5")), "a rewritten"},
		"decimals of one value":           {d("a", decimal(t, "1.0")), d("a", decimal(t, "1.00")), "a rewritten"},
		"a tenth is no decimal tenth":     {d("a", 0.1), d("a", decimal(t, "0.1")), "a changed"},
		"zeros":                           {d("a", 0.0), d("a", math.Copysign(0, -1)), "a rewritten"},
		"one NaN":                         {d("a", math.NaN()), d("a", math.NaN()), ""},
		"two NaNs":                        {d("a", math.NaN()), d("a", otherNaN), "a rewritten"},
		"NaN of a decimal":                {d("a", math.NaN()), d("a", decimal(t, "NaN")), "a rewritten"},
		"NaN and a number":                {d("a", math.NaN()), d("a", 0.0), "a changed"},
		"null and missing":                {d("a", nil), d(), "a removed"},
		"missing and null":                {d(), d("a", nil), "a added"},
		"null and a value":                {d("a", nil), d("a", 0), "a changed"},
		"true and 1":                      {d("a", true), d("a", 1), "a changed"},
		"a number and its text":           {d("a", 1), d("a", "1"), "a changed"},
		"dates a millisecond apart":       {d("a", moment), d("a", moment.Add(time.Millisecond)), "a changed"},
		"a date in another zone":          {d("a", moment.UTC()), d("a", moment.In(time.FixedZone("x", 3600))), ""},
		"a date and its number":           {d("a", moment), d("a", moment.UnixMilli()), "a changed"},
		"a date and a timestamp":          {d("a", moment), d("a", bson.Timestamp{T: 1761120000}), "a changed"},
		"binary subtypes":                 {d("a", bson.Binary{Data: []byte{1}}), d("a", bson.Binary{Subtype: 128, Data: []byte{1}}), "a changed"},
		"text that looks the same":        {d("a", "\u00e9"), d("a", "e\u0301"), "a changed"},
		"fields turned round":             {d("a", 1, "b", 2), d("b", 2, "a", 1), "a moved"},
		"one field moved to the end":      {d("a", 1, "b", 2, "c", 3), d("b", 2, "c", 3, "a", 1), "a moved"},
		"one field moved to the start":    {d("a", 1, "b", 2, "c", 3), d("c", 3, "a", 1, "b", 2), "c moved"},
		"moved and changed":               {d("a", 1, "b", 2, "c", 3), d("b", 2, "c", 3, "a", 9), "a moved, a changed"},
		"order inside":                    {d("k", d("a", 1, "b", 1)), d("k", d("b", 1, "a", 1)), "k.a moved"},
		"a field before does not move":    {d("a", 1, "b", 2), d("n", 0, "a", 1, "b", 2), "n added"},
		"a document and a value":          {d("a", d("b", 1)), d("a", 1), "a changed"},
		"a document and an array":         {d("a", d("0", 1)), d("a", bson.A{1}), "a changed"},
		"an empty document and none":      {d("a", d()), d(), "a removed"},
		"an array with one more":          {d("a", bson.A{1, 2}), d("a", bson.A{1, 2, 3}), "a.2 added"},
		"an array with one in front":      {d("a", bson.A{1, 2}), d("a", bson.A{0, 1, 2}), "a.0 added"},
		"an array with one less inside":   {d("a", bson.A{1, 2, 3}), d("a", bson.A{1, 3}), "a.1 removed"},
		"an array with another":           {d("a", bson.A{1, d("x", 1), 3}), d("a", bson.A{1, d("x", 2), 3}), "a.1.x changed"},
		"an array turned round":           {d("a", bson.A{1, 2}), d("a", bson.A{2, 1}), "a.0 changed, a.1 changed"},
		"an array shortened and changed":  {d("a", bson.A{1, 2, 3, 4}), d("a", bson.A{1, 9}), "a.1 changed, a.2 removed, a.3 removed"},
		"repeated elements":               {d("a", bson.A{1, 1, 1}), d("a", bson.A{1, 1}), "a.2 removed"},
		"a name twice":                    {d("a", 1, "a", 2), d("a", 1, "a", 3), "a changed"},
		"a name once and twice":           {d("a", 1), d("a", 1, "a", 1), "a added"},
		"names that would be misread":     {d("a.b", 1, "", 1, "c", d("\x1b", 1)), d(), `"a.b" removed, "" removed, c removed`},
		"names inside that are misread":   {d("c", d("a.b", 1)), d("c", d("a.b", 2)), `c."a.b" changed`},
		"a field name that does not show": {d("\u202e", 1), d("\u202e", 2), `"\u202e" changed`},
	} {
		if got := listed(diff.Fields(raw(t, c.e), raw(t, c.t))); got != c.want {
			t.Errorf("%s: %s", what, got)
		}
	}
	document := raw(t, d("a", 1, "b", nil))
	if got := listed(diff.Fields(document, nil)); got != "a added, b added" {
		t.Errorf("a created document: %s", got)
	}
	if got := listed(diff.Fields(nil, document)); got != "a removed, b removed" {
		t.Errorf("a deleted document: %s", got)
	}
	if got := listed(diff.Fields(raw(t, d()), nil)); got != " changed" {
		t.Errorf("an empty document and none: %s", got)
	}
	odd := append(bson.Raw(nil), raw(t, d("a", bson.A{7}))...)
	odd[4+3+4+1] = '5'
	if got := listed(diff.Fields(odd, raw(t, d("a", bson.A{7})))); got != "a rewritten" {
		t.Errorf("an array with odd names inside: %s", got)
	}
	if got := listed(diff.Fields([]byte{9, 0, 0, 0, 3, 0}, document)); got != " changed" {
		t.Errorf("broken bytes: %s", got)
	}
}

func anyValue(t *rapid.T, depth int) any {
	kinds := 7
	if depth == 0 {
		kinds = 5
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return rapid.Int32Range(0, 2).Draw(t, "int")
	case 1:
		return float64(rapid.IntRange(0, 2).Draw(t, "double"))
	case 2:
		return nil
	case 3:
		return rapid.SampledFrom([]string{"", "a"}).Draw(t, "text")
	case 4:
		return rapid.Bool().Draw(t, "bool")
	case 5:
		var array bson.A
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			array = append(array, anyValue(t, depth-1))
		}
		return array
	}
	return anyDocument(t, depth-1)
}

func anyDocument(t *rapid.T, depth int) bson.D {
	document := bson.D{}
	for range rapid.IntRange(0, 4).Draw(t, "fields") {
		document = append(document, bson.E{Key: rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "name"), Value: anyValue(t, depth)})
	}
	return document
}

// Fields finds a difference exactly where there is one, and never the same field twice in the same way.
func TestFieldsMissNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e, s := raw(t, anyDocument(rt, 3)), raw(t, anyDocument(rt, 3))
		changes := diff.Fields(e, s)
		if (len(changes) == 0) != (string(e) == string(s)) {
			rt.Fatalf("%s and %s differ in %s", e, s, listed(changes))
		}
		for _, change := range changes {
			hasE, hasT := change.E.Type != 0, change.T.Type != 0
			if hasE == (change.Kind == diff.FieldRemoved) || hasT == (change.Kind == diff.FieldAdded) {
				rt.Fatalf("%s %s has the wrong sides", change.Path, change.Kind)
			}
		}
		back := diff.Fields(s, e)
		count := func(changes []diff.FieldChange, kind diff.FieldKind) (n int) {
			for _, change := range changes {
				if change.Kind == kind {
					n++
				}
			}
			return n
		}
		if count(changes, diff.FieldAdded) != count(back, diff.FieldRemoved) || count(changes, diff.FieldMoved) != count(back, diff.FieldMoved) {
			rt.Fatalf("%s one way, %s the other", listed(changes), listed(back))
		}
	})
}

func FuzzFields(f *testing.F) {
	f.Add([]byte(raw(f, bson.D{{Key: "a", Value: bson.A{1, bson.D{}}}})), []byte(raw(f, bson.D{{Key: "a", Value: 1.0}})))
	f.Fuzz(func(t *testing.T, e, s []byte) {
		if changes := diff.Fields(e, s); (len(changes) == 0) != (string(e) == string(s)) {
			t.Errorf("%x and %x differ in %s", e, s, listed(changes))
		}
	})
}

func BenchmarkFields(b *testing.B) {
	document := bson.D{}
	for i := range 30 {
		document = append(document, bson.E{Key: fmt.Sprintf("field%d", i), Value: bson.D{{Key: "a", Value: i}, {Key: "b", Value: "text"}}})
	}
	e := raw(b, document)
	document[20].Value = 5
	s := raw(b, document)
	b.SetBytes(int64(len(e)))
	for b.Loop() {
		diff.Fields(e, s)
	}
}
