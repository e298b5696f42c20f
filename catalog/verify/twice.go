package verify

import (
	"context"
	"slices"

	"pitr"
	"pitr/format"
)

// twice looks for a document that stands there twice, which a snapshot exact at one time cannot have. Equal key hashes are
// only a suspicion; the keys themselves decide.
func (k *contents) twice(ctx context.Context, c *collection, what string) error {
	if err := k.suspect(ctx, c); err != nil {
		return err
	}
	if len(c.suspects) == 0 {
		return nil
	}
	seen := map[string]bool{}
	for key, err := range k.keysOf(ctx, c) {
		if err != nil {
			return err
		}
		if !c.suspects[format.KeyHash(key)] {
			continue
		}
		if seen[key.Equal()] {
			return k.disagree(format.SnapshotPrefix(k.manifest.ID),
				"%s has a document twice, with _id %.200s, in a snapshot exact at one time", what, key)
		}
		seen[key.Equal()] = true
	}
	return nil
}

// suspect finds equal key hashes of a collection without an index: in its list, or, where that grew too large, by reading
// the collection as often as it takes, each time for a part of the hashes.
func (k *contents) suspect(ctx context.Context, c *collection) error {
	if c.record.KeyBits != format.KeysLeftOut {
		return nil // the index has told
	}
	if !c.crowded {
		c.repeats(c.hashes)
		return nil
	}
	passes := uint64(c.stored.Documents*8/k.Memory + 1) //nolint:gosec // counted by us
	for pass := range passes {
		var hashes []uint64
		for key, err := range k.keysOf(ctx, c) {
			if err != nil {
				return err
			}
			if hash := format.KeyHash(key); hash%passes == pass {
				hashes = append(hashes, hash)
			}
		}
		c.repeats(hashes)
	}
	return nil
}

// repeats notes the hashes that a list has more than once.
func (c *collection) repeats(hashes []uint64) {
	slices.Sort(hashes)
	for i := 1; i < len(hashes) && len(c.suspects) < maxSuspects; i++ {
		if hashes[i] == hashes[i-1] {
			c.suspects[hashes[i]] = true
		}
	}
}

// keysOf reads the keys of a collection again.
func (k *contents) keysOf(ctx context.Context, c *collection) func(func(pitr.Key, error) bool) {
	return func(yield func(pitr.Key, error) bool) {
		for object, err := range k.load(ctx, c.chunks) {
			var container *format.Container
			if err == nil {
				container, err = format.OpenContainer(object.data, object.part.Expect()) //nolint:contextcheck // the bytes are in memory
			}
			if err != nil {
				yield(pitr.Key{}, err)
				return
			}
			for i, frame := range container.Frames() {
				if frame.Collection != c.record.Number {
					continue
				}
				block, err := container.Read(ctx, i, nil)
				if err != nil {
					yield(pitr.Key{}, err)
					return
				}
				if !eachKey(block, yield) {
					return
				}
			}
		}
	}
}

func eachKey(block format.Block, yield func(pitr.Key, error) bool) bool {
	for document := range block.Documents() {
		key, err := pitr.KeyOf(document)
		if !yield(key, err) || err != nil {
			return false
		}
	}
	return true
}
