package snapshot

import (
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"pitr/format"
)

// TestKeySpool compares the spool with a plain sort, in memory and in files, with few and many partitions.
func TestKeySpool(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, limit := range []int{100_000, 1000} {
		for _, bits := range []int{0, 3, 8, 11} {
			folder := t.TempDir()
			spool := newKeySpool(folder)
			spool.limit = limit
			for range 2 { // a spool serves one collection after the other
				spool.reset()
				var want []format.KeyEntry
				for i := range 30_000 {
					entry := format.KeyEntry{Key: random.Uint64(), Document: random.Uint64(), Chunk: i / 700, Frame: i % 700}
					want = append(want, entry)
					if err := spool.add(entry); err != nil {
						t.Fatal(err)
					}
				}
				slices.SortFunc(want, byKey)
				for range 2 { // hasRepeats reads it once before
					var got []format.KeyEntry
					next := 0
					for partition, entries := range spool.partitions(bits) {
						if partition != next {
							t.Fatalf("partition %d, not %d", partition, next)
						}
						next++
						for _, entry := range entries {
							if format.KeyPartition(entry.Key, bits) != partition {
								t.Fatalf("limit %d: an entry of partition %d in %d", limit, format.KeyPartition(entry.Key, bits), partition)
							}
						}
						slices.SortFunc(entries, byKey)
						got = append(got, entries...)
					}
					if next != 1<<bits || spool.err != nil || !slices.Equal(got, want) {
						t.Fatalf("limit %d, bits %d: %d partitions, %d entries of %d, %v", limit, bits, next, len(got), len(want), spool.err)
					}
				}
				if repeated, err := spool.hasRepeats(bits); repeated || err != nil {
					t.Errorf("repeats: %t, %v", repeated, err)
				}
				if err := spool.add(want[12345]); err != nil {
					t.Fatal(err)
				}
				if repeated, err := spool.hasRepeats(bits); !repeated || err != nil {
					t.Errorf("limit %d, bits %d: a repeated key is not found: %v", limit, bits, err)
				}
			}
			spool.reset()
			if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
				t.Errorf("%d files are left, %v", len(left), err)
			}
		}
	}
}
