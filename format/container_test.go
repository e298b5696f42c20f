package format_test

import (
	"bytes"
	"context"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/format"
)

// seal writes the documents, cycling through so many collections in runs of ten.
func seal(tb testing.TB, name format.Name, collections int, documents []bson.Raw) format.Sealed {
	tb.Helper()
	w, err := format.NewWriter(format.WriterOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	for i, document := range documents {
		if _, err := w.Append(i/10%collections, document); err != nil {
			tb.Fatal(err)
		}
	}
	sealed, err := w.Finish(name, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return sealed
}

func readAll(container *format.Container) ([]bson.Raw, error) {
	var all []bson.Raw
	for document, err := range container.Documents(context.Background()) {
		if err != nil {
			return nil, err
		}
		all = append(all, document)
	}
	return all, nil
}

func TestContainerRoundTrip(t *testing.T) {
	for _, count := range []int{0, 1, 25, 5000} {
		documents := newOrders(7).take(count)
		sealed := seal(t, chunkName(t), 3, documents)
		container, err := format.OpenContainer(sealed.Data, format.Expect{
			Name: sealed.Name, Digest: sealed.Digest, Directory: sealed.Directory})
		if err != nil {
			t.Fatal(err)
		}
		back, err := readAll(container)
		if err != nil {
			t.Fatal(err)
		}
		if len(back) != count || int(sealed.Documents) != count {
			t.Fatalf("%d documents back, %d sealed, %d written", len(back), sealed.Documents, count)
		}
		for i := range back {
			if !bytes.Equal(back[i], documents[i]) {
				t.Fatalf("document %d of %d differs", i, count)
			}
		}
	}
}
