package pitr_test

import (
	"bytes"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

func TestBatchYieldsDocumentsByteForByte(t *testing.T) {
	var want []bson.Raw
	array := bson.A{}
	for i := range 12 {
		document, err := bson.Marshal(bson.D{{Key: "_id", Value: i}, {Key: "text", Value: "\x00a"}})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, document)
		array = append(array, bson.Raw(document))
	}
	_, content, err := bson.MarshalValue(array)
	if err != nil {
		t.Fatal(err)
	}
	var got []bson.Raw
	for document, err := range (pitr.Batch{Array: content}).Documents() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, document)
	}
	if len(got) != len(want) {
		t.Fatalf("%d documents of %d", len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("document %d is not the one that was put in", i)
		}
	}
	for cut := 1; cut < len(content); cut++ {
		if countUntilError(content[:cut]) == nil {
			t.Fatalf("a batch cut at %d of %d bytes was accepted", cut, len(content))
		}
	}
	for _, hostile := range [][]byte{
		{8, 0, 0, 0, 16, 0, 0, 0},
		{13, 0, 0, 0, 3, '0', 0, 255, 255, 255, 127, 0, 0},
		{13, 0, 0, 0, 3, '0', 0, 0, 0, 0, 0, 0, 0},
		{13, 0, 0, 0, 3, '0', 1, 5, 0, 0, 0, 1, 0},
	} {
		if countUntilError(hostile) == nil {
			t.Errorf("% x was accepted", hostile)
		}
	}
}

func countUntilError(content []byte) error {
	for _, err := range (pitr.Batch{Array: content}).Documents() {
		if err != nil {
			return err
		}
	}
	return nil
}
