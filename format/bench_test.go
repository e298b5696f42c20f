package format_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

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

// cpu reports the processor time of the benchmark's loop in seconds per GB of raw documents, which neighbours on the
// machine disturb less than the wall clock.
func cpu(b *testing.B, bytes int64) (report func()) {
	b.Helper()
	b.SetBytes(bytes)
	start := processorTime(b)
	return func() {
		spent := processorTime(b) - start
		b.ReportMetric(spent.Seconds()/(float64(bytes)*float64(b.N))*1e9, "CPU-s/GB")
	}
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
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
	defer cpu(b, int64(raw))()
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
	defer cpu(b, sealed.Raw)()
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
	defer cpu(b, int64(raw))()
	for b.Loop() {
		for _, document := range documents {
			if err := format.ValidateDocument(document); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkKeysLookup(b *testing.B) {
	sealed := sealKeys(b, 0, 800_000)
	source := &counted{data: sealed.Data}
	keys, err := format.OpenKeys(context.Background(), source.read, format.Expect{Name: sealed.Name, Size: sealed.Size()})
	if err != nil {
		b.Fatal(err)
	}
	source.bytes = 0
	lookups := 0
	for key := uint64(0); b.Loop(); key += 0x9e3779b97f4a7c15 {
		if _, err := keys.Lookup(context.Background(), key); err != nil {
			b.Fatal(err)
		}
		lookups++
	}
	b.ReportMetric(float64(source.bytes)/float64(lookups), "read/op")
}

func BenchmarkKeysSeal(b *testing.B) {
	entries := keyEntries(rand.New(rand.NewPCG(1, 2)), 0, 0, 800_000)
	for b.Loop() {
		if _, err := format.SealKeys(keysName(b, 0), 0, slices.Clone(entries)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkContentSum(b *testing.B) {
	documents := newOrders(1).take(4000)
	total := 0
	for _, document := range documents {
		total += len(document)
	}
	b.SetBytes(int64(total))
	var sum format.ContentSum
	for b.Loop() {
		for _, document := range documents {
			sum.Add(document)
		}
	}
}
