package format_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/format"
)

var noon = time.Date(2025, 10, 22, 12, 0, 0, 0, time.UTC)

const (
	snapshotID = format.ID("20251022T092001Z-k3f9q2")
	otherID    = format.ID("20251022T092001Z-k3f9q3")
	jobID      = format.ID("20251022T093000Z-aaaaaa")
	branchID   = format.ID("20251001T000000Z-bbbbbb")
)

func manifest() *format.Manifest {
	part := format.Part{Size: 7, SHA256: format.Sum([]byte("a")), Directory: format.Sum([]byte("b")), Documents: 2, Bytes: 30}
	part.Name, _ = format.CatalogPartName(snapshotID, 0)
	return &format.Manifest{
		ID: snapshotID, Branch: branchID, Created: noon, Finished: noon.Add(time.Minute), Reason: format.ReasonManual,
		Note: "before <the> migration & after", Cluster: format.Cluster{Name: "devices-eu", Set: "rs0"},
		From: pitr.NewTimestamp(1761120000, 7), At: pitr.NewTimestamp(1761120060, 1), Exact: format.ExactOneTime,
		Oplog: &format.Span{Window: pitr.Window{After: pitr.NewTimestamp(1761120000, 6), Through: pitr.NewTimestamp(1761120060, 1)},
			ThroughDigest: format.Sum([]byte("c"))},
		Objects: format.Objects{Collections: 1, Chunks: 1, Documents: 3, Catalog: []format.Part{part}},
	}
}

func encode(tb testing.TB, object format.Object) format.Sealed {
	tb.Helper()
	sealed, err := format.EncodeJSON(object)
	if err != nil {
		tb.Fatal(err)
	}
	return sealed
}

func TestJSONObjectsReadBack(t *testing.T) {
	objects := []format.Object{
		manifest(),
		&format.Header{ID: snapshotID, ClusterName: "devices-eu", Created: noon, Encryption: "none"},
		&format.Lease{Lease: "archive", Generation: 3, Holder: "h", Host: "host", Process: 9, Taken: noon},
		&format.Result{Job: jobID, Attempt: 1, Finished: noon, Outcome: "done"},
	}
	for _, object := range objects {
		sealed := encode(t, object)
		back := reflect.New(reflect.TypeOf(object).Elem()).Interface().(format.Object)
		if err := format.DecodeJSON(sealed.Name, sealed.Data, back); err != nil {
			t.Fatalf("%s: %v\n%s", sealed.Name, err, sealed.Data)
		}
		if !reflect.DeepEqual(object, back) {
			t.Errorf("%s reads back as\n%+v", sealed.Name, back)
		}
		text := string(sealed.Data)
		if !strings.HasPrefix(text, "{\n  \"format\": 1,\n") || !strings.HasSuffix(text, "\"\n}\n") {
			t.Errorf("%s is laid out as\n%s", sealed.Name, text)
		}
	}
}

// What a newer pitr wrote into a known format survives reading and writing by this one.
func TestUnknownFieldsAreKept(t *testing.T) {
	sealed := encode(t, manifest())
	text := string(sealed.Data)
	text = text[:strings.LastIndex(text, "  \"sha256\"")]
	text = strings.Replace(text, `"reason"`, `"signature": {"by": ["x", 1.50]}, "reason"`, 1)
	text = strings.Replace(text, `"set": "rs0"`, `"set": "rs0", "shard": "s1"`, 1)
	text = strings.Replace(text, `"after": `, `"lag": 1e3, "after": `, 1)
	var first, second format.Manifest
	if err := format.DecodeJSON(sealed.Name, format.ForgeJSON(text), &first); err != nil {
		t.Fatal(err)
	}
	again := encode(t, &first)
	for _, want := range []string{`"shard": "s1"`, `"lag": 1e3`, "\"signature\": {\n    \"by\": [\n      \"x\",\n      1.50\n"} {
		if !strings.Contains(string(again.Data), want) {
			t.Errorf("%s is lost in\n%s", want, again.Data)
		}
	}
	if err := format.DecodeJSON(sealed.Name, again.Data, &second); err != nil || !reflect.DeepEqual(first, second) {
		t.Errorf("reads back as %+v, %v", second, err)
	}
	if third := encode(t, &second); string(third.Data) != string(again.Data) {
		t.Error("encoding is not stable")
	}
}

// Documents inside JSON objects come back to the same bytes, whatever Extended JSON makes of them.
func TestShownDocumentsKeepTheirBytes(t *testing.T) {
	twice := append(raw(t, bson.D{{Key: "a", Value: 1}})[:4:4], 10, 'a', 0, 10, 'a', 0, 0)
	twice[0] = byte(len(twice))
	for what, document := range map[string]bson.Raw{
		"nothing":                   nil,
		"an empty document":         raw(t, bson.D{}),
		"an index":                  raw(t, bson.D{{Key: "key", Value: bson.D{{Key: "b", Value: 1.0}, {Key: "a", Value: int64(-1)}}}}),
		"markup":                    raw(t, bson.D{{Key: "</script>", Value: "\u2028<&>\x00"}}),
		"a name twice":              twice,
		"text that is not UTF-8":    raw(t, bson.D{{Key: "a", Value: "\xff\xfe"}}),
		"a name that looks like us": raw(t, bson.D{{Key: "$raw", Value: "AAAA"}}),
		"text that looks like us":   raw(t, bson.D{{Key: "a", Value: "$raw"}}),
		"names that look extended":  raw(t, bson.D{{Key: "a", Value: bson.D{{Key: "$numberInt", Value: "x"}}}}),
		"a NaN":                     element(1, 1, 0, 0, 0, 0, 0, 0xf8, 0x7f),
		"an old symbol":             element(14, 2, 0, 0, 0, 'x', 0),
		"an old binary":             element(5, 5, 0, 0, 0, 2, 1, 0, 0, 0, 7),
		"a deep document":           nested(40),
		"the deepest document":      nested(format.MaxDepth),
	} {
		sealed := encode(t, &format.StepRecord{Job: jobID, Attempt: 1, Number: 1, Step: "x", Taken: noon, Detail: format.Document(document)})
		var back format.StepRecord
		if err := format.DecodeJSON(sealed.Name, sealed.Data, &back); err != nil {
			t.Errorf("%s: %v\n%s", what, err, sealed.Data)
		}
		if string(back.Detail) != string(document) || (back.Detail == nil) != (document == nil) {
			t.Errorf("%s comes back as %x\n%s", what, back.Detail, sealed.Data)
		}
	}
}
