package verify

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
)

// contents is what the documents of one snapshot add up to.
type contents struct {
	*verifier
	manifest    format.Manifest
	collections map[int]*collection
	// complete says that every object was there and could be read, so that sums mean something.
	complete bool
	// spent is the memory of all lists of key hashes.
	spent int64
}

// collection is one collection of a snapshot as its chunks and its key index show it.
type collection struct {
	record format.CollectionRecord
	stored format.ContentSum
	// places and indexed add up where each document lies, by the documents and by the index; order plays no part.
	places, indexed format.ContentSum
	partitions      int
	chunks          []format.Part
	// hashes are the key hashes of a collection without an index, until there are too many of them.
	hashes  []uint64
	crowded bool
	// suspects are key hashes that stand there twice.
	suspects map[uint64]bool
}

// maxSuspects bounds the key hashes that are looked at twice. Chance makes none; a collection with as many is damaged.
const maxSuspects = 1000

// content reads the data objects of a snapshot: level 1, and level 2 on top of it.
func (v *verifier) content(ctx context.Context, manifest format.Manifest, c catalog.Catalog, absent map[format.Name]bool) error {
	k := &contents{verifier: v, manifest: manifest, collections: map[int]*collection{}, complete: v.whole() && len(absent) == 0}
	for _, record := range c.Collections {
		k.collections[record.Number] = &collection{record: record, suspects: map[uint64]bool{}}
	}
	records := map[format.Name]format.ChunkRecord{}
	var parts []format.Part
	for _, chunk := range c.Chunks {
		records[chunk.Name] = chunk
		parts = append(parts, chunk.Part)
	}
	for _, keys := range c.Keys {
		parts = append(parts, keys.Part)
	}
	parts = slices.DeleteFunc(parts, func(p format.Part) bool { return absent[p.Name] || !v.chosen() })
	folder := format.SnapshotPrefix(manifest.ID)
	for object, err := range v.load(ctx, parts) {
		if err == nil && v.Level >= LevelContent {
			if object.part.Name.Kind() == format.KindKeys {
				err = k.keys(ctx, object)
			} else {
				err = k.chunk(ctx, object, records[object.part.Name])
			}
		}
		if err != nil {
			k.complete = false
			if err = v.judge(object.part.Name.String(), v.where(ctx, object), err); err != nil {
				return err
			}
		}
		v.Progress.Advance(folder, pitr.Amount{Count: object.part.Documents, Bytes: object.part.Size})
	}
	if v.Level < LevelContent {
		return nil
	}
	return k.sums(ctx)
}

// loaded is a data object in memory.
type loaded struct {
	part format.Part
	data []byte
}

// load reads objects one after the other, the next one while the consumer works. Their digests have been checked; the error
// of one that could not be read comes with its part, and the next follows.
func (v *verifier) load(ctx context.Context, parts []format.Part) iter.Seq2[loaded, error] {
	type result struct {
		loaded
		err error
	}
	return func(yield func(loaded, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		results := make(chan result, 1)
		go func() {
			defer close(results)
			for _, part := range parts {
				data, err := v.repository.GetSum(ctx, part.Name, part.SHA256)
				select {
				case results <- result{loaded{part, data}, err}:
				case <-ctx.Done():
					return
				}
			}
		}()
		for r := range results {
			if !yield(r.loaded, r.err) {
				return
			}
		}
	}
}

// chunk decodes a chunk and counts what is in it.
func (k *contents) chunk(ctx context.Context, object loaded, record format.ChunkRecord) error {
	container, err := format.OpenContainer(object.data, object.part.Expect()) //nolint:contextcheck // the bytes are in memory
	if err != nil {
		return err
	}
	facts, err := container.ChunkFacts()
	if err != nil {
		return err
	}
	name := object.part.Name
	if facts.At != record.At || facts.Fuzzy != record.Fuzzy {
		return pitr.Corruptf("", "its time is %s %s, the catalog says %s %s", facts.At, facts.Fuzzy, record.At, record.Fuzzy)
	}
	if err := k.checkTime(name, facts); err != nil {
		return err
	}
	var sum format.ContentSum
	numbers := map[int]bool{}
	var buffer []byte
	for i, frame := range container.Frames() {
		block, err := container.Read(ctx, i, buffer)
		if err != nil {
			return err
		}
		buffer = block
		c := k.collections[frame.Collection]
		if c == nil || !slices.Contains(record.Collections, frame.Collection) {
			return pitr.Corruptf("", "frame %d is of collection %d, which does not lie there", i, frame.Collection)
		}
		if !numbers[frame.Collection] {
			numbers[frame.Collection] = true
			c.chunks = append(c.chunks, object.part)
		}
		for document := range block.Documents() {
			sum.Add(document)
			if err := k.document(c, document, format.KeyEntry{Chunk: name.Number(), Frame: i}); err != nil {
				return err
			}
		}
	}
	switch {
	case sum != facts.Stored:
		return pitr.Corruptf("", "its documents add up to %s, its facts say %s", sum, facts.Stored)
	case sum.Documents != record.Documents || sum.Bytes != record.Bytes:
		return pitr.Corruptf("", "it has %d documents and %d bytes, the catalog says %d and %d",
			sum.Documents, sum.Bytes, record.Documents, record.Bytes)
	case len(numbers) != len(record.Collections):
		return pitr.Corruptf("", "it has documents of %d collections, the catalog says %d", len(numbers), len(record.Collections))
	}
	return nil
}

// checkTime holds a chunk's time against what the manifest says of the whole.
func (k *contents) checkTime(name format.Name, facts format.ChunkFacts) error {
	m := k.manifest
	within := facts.At != 0 && facts.At >= m.From && facts.At <= m.At ||
		facts.Fuzzy != pitr.Window{} && facts.Fuzzy.After >= m.From && facts.Fuzzy.Through <= m.At
	wrong := false
	switch m.Exact {
	case format.ExactOneTime:
		wrong = facts.At != m.At
	case format.ExactThroughOplog:
		wrong = !within
	default:
		wrong = m.Exact != format.ExactNo
	}
	if wrong {
		return k.disagree(name.String(), "read at %s %s, in a snapshot from %s to %s that is exact %q", facts.At, facts.Fuzzy, m.From, m.At, m.Exact)
	}
	return nil
}

// document counts a document of a collection.
func (k *contents) document(c *collection, document bson.Raw, place format.KeyEntry) error {
	c.stored.Add(document)
	indexed := c.record.KeyBits != format.KeysLeftOut
	if !indexed && k.manifest.Exact != format.ExactOneTime {
		return nil
	}
	key, err := pitr.KeyOf(document)
	if err != nil {
		return pitr.Corruptf("", "a document of %s: %w", c.record.NS, err)
	}
	place.Key = format.KeyHash(key)
	if indexed {
		place.Document = format.DocumentHash(document)
		c.places.Add(encode(place))
		return nil
	}
	if !c.crowded {
		c.hashes = append(c.hashes, place.Key)
		if k.spent += 8; k.spent > k.Memory {
			k.spent -= int64(8 * len(c.hashes))
			c.hashes, c.crowded = nil, true
		}
	}
	return nil
}

// encode gives an index entry as bytes for a sum that does not know their order.
func encode(e format.KeyEntry) bson.Raw {
	data := make([]byte, 0, 32)
	data = binary.LittleEndian.AppendUint64(data, e.Key)
	data = binary.LittleEndian.AppendUint64(data, e.Document)
	data = binary.LittleEndian.AppendUint64(data, uint64(e.Chunk)) //nolint:gosec // never negative
	return binary.LittleEndian.AppendUint64(data, uint64(e.Frame)) //nolint:gosec // never negative
}

// keys checks a partition of a key index by itself and counts what is in it.
func (k *contents) keys(ctx context.Context, object loaded) error {
	name := object.part.Name
	keys, err := format.OpenKeysData(object.data, object.part.Expect()) //nolint:contextcheck // the bytes are in memory
	if err != nil {
		return err
	}
	c := k.collections[name.Number()]
	switch {
	case c == nil:
		return pitr.Corruptf("", "no collection has number %d", name.Number())
	case keys.Bits() != c.record.KeyBits || name.Partition() >= 1<<keys.Bits():
		return pitr.Corruptf("", "a partition of 2^%d, the catalog says 2^%d", keys.Bits(), c.record.KeyBits)
	case int64(keys.Len()) != object.part.Documents:
		return pitr.Corruptf("", "%d entries, the catalog says %d", keys.Len(), object.part.Documents)
	}
	c.partitions++
	var last format.KeyEntry
	first := true
	for entry, err := range keys.Entries(ctx) {
		switch {
		case err != nil:
			return err
		case format.KeyPartition(entry.Key, keys.Bits()) != name.Partition():
			return pitr.Corruptf("", "an entry that belongs to another partition")
		case !first && entry.Key < last.Key:
			return pitr.Corruptf("", "entries out of order")
		case !first && entry.Key == last.Key && len(c.suspects) < maxSuspects:
			c.suspects[entry.Key] = true
		}
		c.indexed.Add(encode(entry))
		last, first = entry, false
	}
	return nil
}

// sums compares what was counted with the catalog, once everything has been.
func (k *contents) sums(ctx context.Context) error {
	if !k.complete {
		return nil
	}
	folder := format.SnapshotPrefix(k.manifest.ID)
	for number, c := range sorted(k.collections) {
		what := fmt.Sprintf("collection %d (%s)", number, c.record.NS)
		var err error
		switch {
		case c.stored != c.record.Stored:
			err = k.disagree(folder, "%s adds up to %s, the catalog says %s", what, c.stored, c.record.Stored)
		case k.manifest.Exact == format.ExactOneTime && (c.record.Sum == nil || *c.record.Sum != c.stored):
			err = k.disagree(folder, "%s has another sum at E than it has, in a snapshot exact at one time", what)
		case c.record.KeyBits == format.KeysLeftOut && c.partitions != 0,
			c.record.KeyBits != format.KeysLeftOut && c.partitions != 1<<c.record.KeyBits:
			err = k.disagree(folder, "%s has %d key partitions", what, c.partitions)
		case c.places != c.indexed:
			err = k.disagree(folder, "the key index of %s does not say where its documents lie", what)
		case k.manifest.Exact == format.ExactOneTime:
			err = k.twice(ctx, c, what)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func sorted(collections map[int]*collection) iter.Seq2[int, *collection] {
	return func(yield func(int, *collection) bool) {
		numbers := make([]int, 0, len(collections))
		for number := range collections {
			numbers = append(numbers, number)
		}
		slices.Sort(numbers)
		for _, number := range numbers {
			if !yield(number, collections[number]) {
				return
			}
		}
	}
}
