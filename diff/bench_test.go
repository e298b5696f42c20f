package diff_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/diff"
)

// hashes is a side that is only an index, with one part made again and again: what is measured is the merge. Its documents
// are made up when they are asked for.
type hashes struct {
	parts, entries int
	// different is the share of documents that are another version, one in so many; zero for none.
	different int
	version   byte
	// made are the parts, made before the clock runs.
	made [][]diff.Entry
}

func (h hashes) Collections(context.Context) ([]pitr.Collection, error) {
	return []pitr.Collection{{NS: shopA, UUID: pitr.UUID{1}, Type: pitr.TypeCollection}}, nil
}

func (h hashes) Documents(context.Context, pitr.Collection) iter.Seq2[bson.Raw, error] { return nil }

func (h hashes) Index(context.Context, pitr.Collection) (diff.Index, error) { return hashIndex{h}, nil }

type hashIndex struct{ hashes }

func (h hashIndex) Parts() int                                    { return h.parts }
func (h hashIndex) Digest(context.Context, int) ([32]byte, error) { return [32]byte{}, nil }
func (h hashIndex) Entries(_ context.Context, part int) ([]diff.Entry, error) {
	return h.made[part], nil
}

func (h hashes) part(part int) []diff.Entry {
	random := rand.New(rand.NewPCG(uint64(part), 1))
	entries := make([]diff.Entry, h.entries)
	step := ^uint64(0) / uint64(h.parts*h.entries)
	for i := range entries {
		n := part*h.entries + i
		entries[i] = diff.Entry{Key: step*uint64(n) + random.Uint64()%step, Document: uint64(n), Place: uint32(n)}
		if h.different > 0 && n%h.different == 0 {
			entries[i].Document += uint64(h.version) << 40
		}
	}
	return entries
}

func (h hashIndex) Documents(_ context.Context, entries []diff.Entry) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		places := make([]uint32, 0, len(entries))
		for _, entry := range entries {
			places = append(places, entry.Place)
		}
		slices.Sort(places)
		made := newMaker(h.version)
		for _, place := range places {
			if !yield(made.document(int(place)), nil) {
				return
			}
		}
	}
}

// maker makes documents of about 100 bytes in one buffer.
type maker struct{ raw bson.Raw }

func newMaker(version byte) maker {
	content, _ := bson.Marshal(bson.D{{Key: "_id", Value: int64(0)}, {Key: "version", Value: int32(version)},
		{Key: "x", Value: "about a hundred bytes of text so that the document is not its key"}})
	return maker{raw: content}
}

func (m maker) document(n int) bson.Raw {
	binary.LittleEndian.PutUint64(m.raw[4+1+4:], uint64(n))
	return m.raw
}

// BenchmarkFullDiffByIndex compares indexes of 5 million entries that are in memory.
func BenchmarkFullDiffByIndex(b *testing.B) {
	const parts, entries = 8, 625_000
	for _, different := range []int{0, 100} {
		b.Run(fmt.Sprintf("one in %d differs", different), func(b *testing.B) {
			e := hashes{parts: parts, entries: entries, different: different, version: 1}
			t := e
			t.version = 0
			for part := range parts {
				e.made, t.made = append(e.made, e.part(part)), append(t.made, t.part(part))
			}
			for b.Loop() {
				n := consume(b, e, t, diff.Options{})
				if want := (parts*entries + max(different, 1) - 1) / max(different, 1); different > 0 && n != want || different == 0 && n != 0 {
					b.Fatalf("%d differences", n)
				}
			}
			b.ReportMetric(float64(b.N)*parts*entries/b.Elapsed().Seconds(), "documents/s")
		})
	}
}

func consume(b *testing.B, e, t diff.Side, o diff.Options) int {
	b.Helper()
	n := 0
	for _, err := range diff.Compare(context.Background(), e, t, o) {
		if err != nil {
			b.Fatal(err)
		}
		n++
	}
	return n
}

// many is a side of many documents, in the order of their numbers or in one in which neighbours lie far apart.
type many struct {
	count    int
	shuffled bool
	// different is the share of documents of another version, one in so many; zero for none.
	different int
	version   byte
}

func (m many) Collections(context.Context) ([]pitr.Collection, error) {
	return []pitr.Collection{{NS: shopA, UUID: pitr.UUID{1}, Type: pitr.TypeCollection}}, nil
}

func (m many) make(made [2]maker, n int) bson.Raw {
	if m.different > 0 && n%m.different == 0 {
		return made[1].document(n)
	}
	return made[0].document(n)
}

func (m many) Documents(context.Context, pitr.Collection) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		made := [2]maker{newMaker(0), newMaker(m.version)}
		for i := range m.count {
			if m.shuffled {
				i = int(uint64(i) * 7_368_787 % uint64(m.count)) // a prime that does not divide the count
			}
			if !yield(m.make(made, i), nil) {
				return
			}
		}
	}
}

func (m many) Lookup(_ context.Context, _ pitr.Collection, keys []pitr.Key) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		made := [2]maker{newMaker(0), newMaker(m.version)}
		for _, key := range keys {
			if !yield(m.make(made, int(key.Stored().Int64())), nil) {
				return
			}
		}
	}
}

// BenchmarkTenMillion compares ten million documents by reading, none, some and all of them different, in the same order on
// both sides and in another: then their hashes go through the work file. // case F03
func BenchmarkTenMillion(b *testing.B) {
	const count = 10_000_000
	for _, shuffled := range []bool{false, true} {
		for _, different := range []int{0, 100, 1} {
			b.Run(fmt.Sprintf("shuffled %v, one in %d differs", shuffled, different), func(b *testing.B) {
				peak := watchMemory(b)
				var tally diff.Tally
				for b.Loop() {
					tally = diff.Tally{}
					e := many{count: count, different: different, version: 1}
					t := many{count: count, shuffled: shuffled}
					if n := consume(b, e, t, diff.Options{Tally: &tally, Folder: b.TempDir()}); different > 0 && n != count/different || different == 0 && n != 0 {
						b.Fatalf("%d differences", n)
					}
				}
				b.ReportMetric(float64(b.N)*count/b.Elapsed().Seconds(), "documents/s")
				b.ReportMetric(float64(peak())/(1<<20), "peak-MiB")
				b.ReportMetric(float64(tally.Spilled)/(1<<20), "work-file-MiB")
			})
		}
	}
}

// watchMemory gives the most memory that the runtime held from the system, less what it gave back.
func watchMemory(b *testing.B) func() int64 {
	var peak atomic.Int64
	done := make(chan struct{})
	look := func() {
		var now runtime.MemStats
		runtime.ReadMemStats(&now)
		peak.Store(max(peak.Load(), int64(now.Sys-now.HeapReleased))) //nolint:gosec // bytes
	}
	go func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(50 * time.Millisecond):
				look()
			}
		}
	}()
	return func() int64 {
		close(done)
		b.StopTimer()
		return peak.Load()
	}
}
