package format_test

import (
	"context"
	"testing"

	"pitr/format"
)

func chunkName(tb testing.TB) format.Name {
	tb.Helper()
	name, err := format.ChunkName("20251022T092001Z-k3f9q2", 1)
	if err != nil {
		tb.Fatal(err)
	}
	return name
}

func BenchmarkWriter(b *testing.B) {
	documents := newOrders(1).take(40_000)
	raw := 0
	for _, document := range documents {
		raw += len(document)
	}
	w, err := format.NewWriter(format.WriterOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(raw))
	for b.Loop() {
		for _, document := range documents {
			if _, err := w.Append(0, document); err != nil {
				b.Fatal(err)
			}
		}
		sealed, err := w.Finish(chunkName(b), nil)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(sealed.Raw)/float64(sealed.Size()), "ratio")
	}
}

func BenchmarkReader(b *testing.B) {
	w, err := format.NewWriter(format.WriterOptions{})
	if err != nil {
		b.Fatal(err)
	}
	for _, document := range newOrders(1).take(40_000) {
		if _, err := w.Append(0, document); err != nil {
			b.Fatal(err)
		}
	}
	sealed, err := w.Finish(chunkName(b), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(sealed.Raw)
	buffer := make([]byte, 0, 2<<20)
	for b.Loop() {
		container, err := format.OpenContainer(sealed.Data, format.Expect{Name: sealed.Name, Digest: sealed.Digest})
		if err != nil {
			b.Fatal(err)
		}
		for i := range container.Frames() {
			block, err := container.Read(context.Background(), i, buffer)
			if err != nil {
				b.Fatal(err)
			}
			for document := range block.Documents() {
				_ = document
			}
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	documents := newOrders(1).take(4000)
	raw := 0
	for _, document := range documents {
		raw += len(document)
	}
	b.SetBytes(int64(raw))
	for b.Loop() {
		for _, document := range documents {
			if err := format.ValidateDocument(document); err != nil {
				b.Fatal(err)
			}
		}
	}
}
