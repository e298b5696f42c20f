package oplog_test

import (
	"context"
	"iter"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/oplog"
	"pitr/storage"
)

// ready is a source whose replies lie in memory, as large as a server makes them.
type ready struct {
	*member
	batches []pitr.Batch
}

func (r *ready) Oplog(ctx context.Context, _ pitr.Timestamp) iter.Seq2[pitr.Batch, error] {
	return func(yield func(pitr.Batch, error) bool) {
		for _, batch := range r.batches {
			if !yield(batch, nil) {
				return
			}
		}
		<-ctx.Done()
		yield(pitr.Batch{}, context.Cause(ctx))
	}
}

// fromFirstToLast lets an archive begin with the first entry and end with the last.
func (r *ready) fromFirstToLast(entries []bson.Raw) {
	looks := 0
	r.looked = func(m *member) {
		if m.majority = optime(entries[0]); looks > 0 {
			m.majority = optime(entries[len(entries)-1])
		}
		looks++
	}
}

func manyEntries(b *testing.B, n int) (entries []bson.Raw, size int64) {
	text := "an order with a text of some length, so that the entry has the size of an ordinary one in a shop: "
	for i := range n {
		entries = append(entries, insert(b, pitr.NewTimestamp(uint32(1000+i/100), uint32(i%100+1)), 1, text+text))
		size += int64(len(entries[i]))
	}
	return entries, size
}

// BenchmarkArchive: entries through the whole archiver into a store in memory. The target is 50,000 entries/s with half a core.
func BenchmarkArchive(b *testing.B) {
	const count, reply = 100_000, 20_000
	entries, size := manyEntries(b, count)
	source := &ready{member: newMember(entries...)}
	for i := 0; i < count; i += reply {
		source.batches = append(source.batches, pitr.Batch{Array: array(entries[i : i+reply])})
	}
	b.SetBytes(size)
	for b.Loop() {
		source.fromFirstToLast(entries)
		status, err := oplog.NewArchiver(source, benchRepository(b), oplog.ArchiveOptions{}).Once(b.Context())
		if err != nil || status.Entries != count {
			b.Fatal(status, err)
		}
	}
	b.ReportMetric(float64(count)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkRead: entries out of the archive, checked and decoded.
func BenchmarkRead(b *testing.B) {
	const count = 100_000
	entries, size := manyEntries(b, count)
	repository := benchRepository(b)
	source := &ready{member: newMember(entries...), batches: []pitr.Batch{{Array: array(entries)}}}
	source.fromFirstToLast(entries)
	status, err := oplog.NewArchiver(source, repository, oplog.ArchiveOptions{}).Once(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	window := catalog.BranchWindow{Branch: status.Branch, Window: pitr.Window{After: optime(entries[0]).TS, Through: status.Through.TS}}
	b.SetBytes(size)
	for b.Loop() {
		n := 1
		for _, err := range oplog.Read(b.Context(), repository, window) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != count {
			b.Fatal(n)
		}
	}
	b.ReportMetric(float64(count)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

func benchRepository(b *testing.B) *catalog.Repository {
	b.Helper()
	repository, err := catalog.Create(b.Context(), storage.NewMemory(), catalog.CreateOptions{ClusterName: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	return repository
}
