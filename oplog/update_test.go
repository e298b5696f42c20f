package oplog_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/internal/recording"
	"pitr/oplog"
)

// TestApplyUpdateVectors holds each worked example of the oplog facts, applied once and once more.
func TestApplyUpdateVectors(t *testing.T) {
	placeholders := map[string]int{"d18": 1, "d19": 1, "d21": 2}
	for _, vector := range readVectors(t, "testdata/updates.jsonl") {
		id := vector.Lookup("id").StringValue()
		before, after := vector.Lookup("before").Document(), vector.Lookup("after").Document()
		o, isModifier := vector.Lookup("o").DocumentOK()
		if !isModifier {
			o = delta(vector.Lookup("diff").Document())
		}
		kept := bytes.Clone(before)
		got, nulls, err := oplog.ApplyUpdate(before, o)
		if err != nil || !bytes.Equal(got, after) {
			t.Errorf("%s: %v, %v; want %v", id, got, err, after)
			continue
		}
		if nulls != placeholders[id] {
			t.Errorf("%s: %d placeholders, want %d", id, nulls, placeholders[id])
		}
		if again, _, err := oplog.ApplyUpdate(got, o); err != nil || !bytes.Equal(again, after) {
			t.Errorf("%s, a second time: %v, %v; want %v", id, again, err, after)
		}
		if !bytes.Equal(before, kept) {
			t.Errorf("%s: the document before was changed", id)
		}
	}
}

func TestApplyUpdateRefusesMalformedDiffs(t *testing.T) {
	before := document(t, `{"_id":1,"a":[1,2,3],"c":{"$binary":{"base64":"YWJj","subType":"00"}}}`)
	kept := bytes.Clone(before)
	for _, vector := range readVectors(t, "testdata/malformed.jsonl") {
		got, _, err := oplog.ApplyUpdate(before, delta(vector.Lookup("diff").Document()))
		if kind := pitr.KindOf(err); got != nil || kind != pitr.KindCorrupt && kind != pitr.KindUnsupported {
			t.Errorf("%v: %v, %v; want a refusal", vector, got, err)
		}
		if !bytes.Equal(before, kept) {
			t.Fatalf("%v: the document before was changed", vector)
		}
	}
}

func TestFormOfFollowsTheServer(t *testing.T) {
	for _, test := range []struct {
		o    string
		form oplog.Form
	}{
		{`{"a":1,"_id":null}`, oplog.FormReplacement},
		{`{"_id":0,"$v":2,"diff":{"u":{"a":1}}}`, oplog.FormReplacement},
		{`{"$v":2,"diff":{},"_id":{}}`, oplog.FormReplacement},
		{`{"$set":{"a":1},"_id":""}`, oplog.FormReplacement},
		{`{"$v":{"$numberLong":"2"},"diff":{"u":{"a":1}}}`, oplog.FormDelta},
		{`{"$v":{"$numberDouble":"2.0"},"diff":{"u":{"a":1}}}`, oplog.FormDelta},
		{`{"diff":{"u":{"a":1}},"$v":2}`, oplog.FormDelta},
		{`{"$v":1,"$set":{"a":1}}`, oplog.FormModifier},
		{`{"$v":{"$numberDouble":"1.0"},"$unset":{"a":1}}`, oplog.FormModifier},
		{`{"$set":{"a":1}}`, oplog.FormModifier},
		{`{"$v":3,"diff":{"u":{"a":1}}}`, ""},
		{`{"$v":2,"$set":{"a":1}}`, ""},
		{`{"$v":2}`, ""},
		{`{"$v":2,"diff":5}`, ""},
		{`{"$v":2,"diff":{"u":{"a":1}},"new":1}`, ""},
		{`{"$v":2,"diff":{"u":{"a":1}},"diff":{"u":{"a":2}}}`, ""},
		{`{"$v":1,"$inc":{"a":1}}`, ""},
		{`{"diff":{"u":{"a":1}}}`, ""},
		{`{"a":1}`, ""},
		{`{}`, ""},
	} {
		form, err := oplog.FormOf(document(t, test.o))
		if form != test.form || (err == nil) != (test.form != "") {
			t.Errorf("%s is a %q, %v; want %q", test.o, form, err, test.form)
		}
		if err != nil && pitr.KindOf(err) != pitr.KindUnsupported {
			t.Errorf("%s: %v is of kind %q", test.o, err, pitr.KindOf(err))
		}
	}
}

// TestApplyUpdateDepth: the server nests documents up to 180 levels, and each costs one level of the diff.
func TestApplyUpdateDepth(t *testing.T) {
	nest := func(levels int) (before, diff, after bson.D) {
		before, diff, after = bson.D{{Key: "k", Value: 1}}, bson.D{{Key: "u", Value: bson.D{{Key: "k", Value: 2}}}}, bson.D{{Key: "k", Value: 2}}
		for range levels {
			before, diff, after = bson.D{{Key: "n", Value: before}}, bson.D{{Key: "sn", Value: diff}}, bson.D{{Key: "n", Value: after}}
		}
		return before, diff, after
	}
	before, diff, after := nest(200)
	got, _, err := oplog.ApplyUpdate(marshal(t, before), delta(marshal(t, diff)))
	if err != nil || !bytes.Equal(got, marshal(t, after)) {
		t.Errorf("200 levels: %v", err)
	}
	before, diff, _ = nest(400)
	if got, _, err = oplog.ApplyUpdate(marshal(t, before), delta(marshal(t, diff))); err == nil || got != nil {
		t.Error("a diff of 400 levels was applied")
	}
	if _, _, err = oplog.ApplyUpdate(document(t, `{"_id":1}`), delta(marshal(t, diff))); err == nil {
		t.Error("a diff of 400 levels on an absent field was accepted")
	}
}

// TestApplyUpdateOnRepeatedFields: BSON allows a name twice, and the server changes each occurrence.
func TestApplyUpdateOnRepeatedFields(t *testing.T) {
	before := raw(element(bson.TypeInt32, "_id", []byte{1, 0, 0, 0}), element(bson.TypeInt32, "a", []byte{1, 0, 0, 0}),
		element(bson.TypeInt32, "b", []byte{9, 0, 0, 0}), element(bson.TypeInt32, "a", []byte{2, 0, 0, 0}))
	for diff, want := range map[string]string{
		`{"u":{"a":5}}`: "1 5 9 5",
		`{"d":{"a":5}}`: "1 9",
		`{"i":{"a":5}}`: "1 9 5",
	} {
		got, _, err := oplog.ApplyUpdate(before, delta(document(t, diff)))
		if err != nil {
			t.Fatal(err)
		}
		values, err := got.Values()
		if err != nil {
			t.Fatal(err)
		}
		var numbers string
		for _, value := range values {
			numbers += fmt.Sprint(" ", value.Int32())
		}
		if numbers != " "+want {
			t.Errorf("%s: %s, want %s", diff, numbers, want)
		}
	}
}

// TestCorpusDeltas reproduces every recorded update of a real server byte for byte.
func TestCorpusDeltas(t *testing.T) {
	for _, file := range recording.Files(t, "delta/*.jsonl.zst") {
		count := 0
		for line := range recording.Lines(t, file) {
			count++
			before, o, after := line.Document(t, "before"), line.Document(t, "o"), line.Document(t, "after")
			got, nulls, err := oplog.ApplyUpdate(before, o)
			if err != nil || nulls != 0 || !bytes.Equal(got, after) {
				t.Fatalf("%s, line %d: %v, %d placeholders\nbefore %v\no      %v\ngot    %v\nwant   %v", file, count, err, nulls, before, o, got, after)
			}
		}
		t.Logf("%s: %d updates", file, count)
	}
}

func readVectors(t *testing.T, file string) []bson.Raw {
	t.Helper()
	opened, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = opened.Close() }()
	var vectors []bson.Raw
	for lines := bufio.NewScanner(opened); lines.Scan(); {
		vectors = append(vectors, document(t, lines.Text()))
	}
	if len(vectors) < 20 {
		t.Fatalf("%s: only %d vectors were read", file, len(vectors))
	}
	return vectors
}

func document(t testing.TB, text string) bson.Raw {
	t.Helper()
	var content bson.Raw
	if err := bson.UnmarshalExtJSON([]byte(text), false, &content); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return content
}

func marshal(t testing.TB, value any) bson.Raw {
	t.Helper()
	content, err := bson.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// delta wraps a diff as an update's payload.
func delta(diff bson.Raw) bson.Raw {
	return raw(element(bson.TypeInt32, "$v", []byte{2, 0, 0, 0}), element(bson.TypeEmbeddedDocument, "diff", diff))
}

func element(kind bson.Type, name string, value []byte) []byte {
	return append(append([]byte{byte(kind)}, name+"\x00"...), value...)
}

func raw(elements ...[]byte) bson.Raw {
	content := bytes.Join(elements, nil)
	size := len(content) + 5
	document := []byte{byte(size), byte(size >> 8), byte(size >> 16), byte(size >> 24)}
	return append(append(document, content...), 0)
}
