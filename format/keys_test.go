package format_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"pitr"
	"pitr/format"
)

func keysName(tb testing.TB, partition int) format.Name {
	tb.Helper()
	name, err := format.KeysName(snapshotID, 0, partition)
	if err != nil {
		tb.Fatal(err)
	}
	return name
}

// keyEntries makes entries of one partition, in no order.
func keyEntries(random *rand.Rand, partition, bits, count int) []format.KeyEntry {
	entries := make([]format.KeyEntry, count)
	for i := range entries {
		entries[i] = format.KeyEntry{
			Key:      random.Uint64()>>bits | uint64(partition)<<(64-bits),
			Document: random.Uint64(), Chunk: random.IntN(1_000_000), Frame: random.IntN(format.MaxFrames),
		}
	}
	return entries
}

func sealKeys(tb testing.TB, bits, count int) format.Sealed {
	tb.Helper()
	sealed, err := format.SealKeys(keysName(tb, 0), bits, keyEntries(rand.New(rand.NewPCG(1, 2)), 0, bits, count))
	if err != nil {
		tb.Fatal(err)
	}
	return sealed
}

// counted reads from memory and counts.
type counted struct {
	data         []byte
	reads, bytes int64
}

func (c *counted) read(_ context.Context, offset, n int64) ([]byte, error) {
	c.reads++
	c.bytes += n
	return c.data[offset : offset+n], nil
}

func TestKeysAreFound(t *testing.T) {
	ctx := context.Background()
	for _, count := range []int{0, 1, 818, 819, 820, 1638, 20_000} {
		random := rand.New(rand.NewPCG(uint64(count), 3))
		entries := keyEntries(random, 5, 3, count)
		// Some keys stand in a whole block and across the borders of blocks.
		for i := 1000; i+900 < count && i < 4000; i++ {
			entries[i].Key = entries[1000].Key
		}
		byKey := make(map[uint64][]format.KeyEntry)
		for _, entry := range entries {
			byKey[entry.Key] = append(byKey[entry.Key], entry)
		}
		sealed, err := format.SealKeys(keysName(t, 5), 3, slices.Clone(entries))
		if err != nil {
			t.Fatal(err)
		}
		source := &counted{data: sealed.Data}
		keys, err := format.OpenKeys(ctx, source.read, format.Expect{Name: sealed.Name, Size: sealed.Size(), Directory: sealed.Directory})
		if err != nil {
			t.Fatal(err)
		}
		if keys.Len() != count || keys.Bits() != 3 {
			t.Errorf("%d entries of 2^%d, %d were written", keys.Len(), keys.Bits(), count)
		}
		for key, want := range byKey {
			found, err := keys.Lookup(ctx, key)
			if err != nil || len(found) != len(want) {
				t.Fatalf("%d of %d entries of %016x found among %d: %v", len(found), len(want), key, count, err)
			}
			for _, entry := range found {
				if !slices.Contains(want, entry) {
					t.Fatalf("%+v was never put there", entry)
				}
			}
		}
		source.reads = 0
		for range 200 {
			key := random.Uint64()>>3 | 5<<61
			if found, err := keys.Lookup(ctx, key); err != nil || len(found) != len(byKey[key]) {
				t.Errorf("a key that is not there: %v, %v", found, err)
			}
		}
		if source.reads > 200 {
			t.Errorf("200 look-ups among %d entries took %d reads", count, source.reads)
		}
	}
}

func TestKeysRefuseForeignEntries(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	if _, err := format.SealKeys(keysName(t, 1), 3, keyEntries(random, 2, 3, 5)); err == nil {
		t.Error("entries of another partition are sealed")
	}
	sealed := sealKeys(t, 3, 10)
	keys, err := format.OpenKeysData(sealed.Data, format.Expect{Name: sealed.Name})
	if err != nil {
		t.Fatal(err)
	}
	short := func(_ context.Context, offset, n int64) ([]byte, error) {
		return sealed.Data[offset : offset+min(n, 9)], nil
	}
	if _, err := format.OpenKeys(context.Background(), short, format.Expect{Name: sealed.Name, Size: sealed.Size()}); err == nil {
		t.Error("a short read is taken for a whole header")
	}
	if _, err := keys.Lookup(context.Background(), 7<<61); err == nil {
		t.Error("a look-up in the wrong partition finds nothing and says so without an error")
	}
}

// A full partition, of a size that no unevenness of the hashes will exceed, still fits its limit.
func TestKeyPartitionsStayUnderTheirLimit(t *testing.T) {
	sealed := sealKeys(t, 0, format.MaxKeyEntries)
	if sealed.Size() >= format.MaxChunk {
		t.Errorf("a full partition has %d bytes", sealed.Size())
	}
	if _, err := format.SealKeys(keysName(t, 0), 0, make([]format.KeyEntry, format.MaxKeyEntries+1)); pitr.KindOf(err) != pitr.KindLimit {
		t.Errorf("one more entry: %v", err)
	}
	for documents, want := range map[int64]int{0: 0, 800_000: 0, 800_001: 1, 1_600_000: 1, 145_000_000: 8} {
		if bits, err := format.KeyBits(documents); err != nil || bits != want {
			t.Errorf("%d documents in 2^%d partitions, %v", documents, bits, err)
		}
	}
	if _, err := format.KeyBits(1 << 40); pitr.KindOf(err) != pitr.KindLimit {
		t.Errorf("far too many documents: %v", err)
	}
	if format.KeysPay(1000, 80_000-1) || !format.KeysPay(1000, 80_000) {
		t.Error("an index is left out when it takes more than a quarter of the stored data, not otherwise")
	}
}
