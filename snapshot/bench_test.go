package snapshot_test

import (
	"context"
	"iter"
	"syscall"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/bench/orders"
	"pitr/snapshot"
	"pitr/storage"
)

// prepared is a source that costs nothing to read: batches that were made before.
type prepared struct {
	*fake
	batches []pitr.Batch
}

func (p *prepared) Scan(context.Context, pitr.Range) iter.Seq2[pitr.Batch, error] {
	return func(yield func(pitr.Batch, error) bool) {
		for _, batch := range p.batches {
			if !yield(batch, nil) {
				return
			}
		}
	}
}

// BenchmarkTake measures what a snapshot costs the client beside reading from the server and writing to a disk.
func BenchmarkTake(b *testing.B) {
	source := &prepared{fake: newFake()}
	source.collections = source.collections[:1]
	source.server.Ability = pitr.AbilityDocuments
	made, size := orders.New(1), 0
	for range 16 {
		array := bson.A{}
		for range 8000 {
			document := made.Next()
			size += len(document)
			array = append(array, document)
		}
		_, content, err := bson.MarshalValue(array)
		if err != nil {
			b.Fatal(err)
		}
		source.batches = append(source.batches, pitr.Batch{Array: content})
	}
	b.SetBytes(int64(size))
	before := cpuSeconds(b)
	runs := 0
	for b.Loop() {
		repository := newRepository(b, storage.NewMemory())
		o := optionsFor(b, repository)
		o.Archive = nil
		manifest, err := snapshot.Take(b.Context(), source, repository, o)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(manifest.Objects.Bytes)/float64(manifest.Objects.Stored), "ratio")
		runs++
	}
	b.ReportMetric((cpuSeconds(b)-before)/float64(runs)/(float64(size)/1e9), "cpu-s/GB")
	b.ReportMetric(float64(size)/float64(16*8000), "bytes/doc")
}

func cpuSeconds(tb testing.TB) float64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		tb.Fatal(err)
	}
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9
}
