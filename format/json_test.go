package format_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

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
