package snapshot

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"

	"pitr"
	"pitr/format"
)

// keyBlockCost is about what one look-up in a key partition reads; from some number of look-ups on it is cheaper to read
// the partition whole.
const keyBlockCost = 16 << 10

// Lookup yields the documents of a collection that bear one of the keys, in no particular order; keys without a document
// are passed over. With a key index it reads a few KiB for each key and the frames that hold the documents; without one, all
// of the collection, which is small then.
func (r *Reader) Lookup(ctx context.Context, c format.CollectionRecord, keys []pitr.Key) iter.Seq2[Document, error] {
	wanted := make(map[string]bool, len(keys))
	for _, key := range keys {
		wanted[key.Equal()] = true
	}
	if c.KeyBits == format.KeysLeftOut {
		return r.lookupByScan(ctx, c, wanted)
	}
	return func(yield func(Document, error) bool) {
		frames, doubtful, err := r.find(ctx, c, keys)
		if err != nil {
			yield(Document{}, err)
			return
		}
		l := lookup{reader: r, wanted: wanted, doubtful: doubtful, kept: map[string]kept{}}
		if err := l.run(ctx, c, frames, yield); err != nil {
			if !errors.Is(err, errStopped) {
				yield(Document{}, err)
			}
			return
		}
		for _, last := range l.kept {
			if !yield(last.Document, nil) {
				return
			}
		}
	}
}

func (r *Reader) lookupByScan(ctx context.Context, c format.CollectionRecord, wanted map[string]bool) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		if len(wanted) == 0 {
			return
		}
		for document, err := range r.Scan(ctx, c) {
			if err != nil {
				yield(Document{}, err)
				return
			}
			key, err := pitr.KeyOf(document.Raw)
			if err != nil || wanted[key.Equal()] && !yield(document, nil) {
				return
			}
		}
	}
}

// find looks the keys up in the index: the frames to read, by chunk, and the key hashes that stand in several places.
func (r *Reader) find(ctx context.Context, c format.CollectionRecord, keys []pitr.Key) (map[int][]int, map[uint64]bool, error) {
	hashes := make([]uint64, 0, len(keys))
	for _, key := range keys {
		hashes = append(hashes, format.KeyHash(key))
	}
	slices.Sort(hashes)
	hashes = slices.Compact(hashes)
	places, doubtful := map[place]bool{}, map[uint64]bool{}
	for len(hashes) > 0 {
		partition := format.KeyPartition(hashes[0], c.KeyBits)
		n, _ := slices.BinarySearchFunc(hashes, partition+1, func(hash uint64, p int) int {
			return cmp.Compare(format.KeyPartition(hash, c.KeyBits), p)
		})
		opened, err := r.keysFor(ctx, r.keysOf[c.Number][partition], n)
		if err != nil {
			return nil, nil, err
		}
		var entries []format.KeyEntry
		err = r.insist(ctx, func() (err error) {
			entries, err = opened.LookupAll(ctx, hashes[:n])
			return err
		})
		if err != nil {
			return nil, nil, err
		}
		for i, entry := range entries {
			places[place{chunk: entry.Chunk, frame: entry.Frame}] = true
			if i > 0 && entries[i-1].Key == entry.Key {
				doubtful[entry.Key] = true
			}
		}
		hashes = hashes[n:]
	}
	frames := map[int][]int{}
	for at := range places {
		frames[at.chunk] = append(frames[at.chunk], at.frame)
	}
	return frames, doubtful, nil
}

// keysFor opens a partition for n look-ups.
func (r *Reader) keysFor(ctx context.Context, part format.KeysRecord, n int) (*format.Keys, error) {
	if int64(n)*keyBlockCost > part.Size {
		return r.wholeKeys(ctx, part)
	}
	r.mu.Lock()
	keys, known := r.keys.get(part.Name)
	r.mu.Unlock()
	if known {
		return keys, nil
	}
	err := r.insist(ctx, func() (err error) {
		keys, err = format.OpenKeys(ctx, r.ranges(part.Name), part.Expect())
		return err
	})
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys.put(part.Name, keys)
	return keys, nil
}

func (r *Reader) wholeKeys(ctx context.Context, part format.KeysRecord) (*format.Keys, error) {
	data, err := r.repository.GetSum(ctx, part.Name, part.SHA256)
	if err != nil {
		return nil, err
	}
	r.read.Add(part.Size)
	return format.OpenKeysData(data, part.Expect()) //nolint:contextcheck // it is in memory: nothing is waited for
}

// lookup is one run through the frames that may hold wanted documents.
type lookup struct {
	reader   *Reader
	wanted   map[string]bool
	doubtful map[uint64]bool
	// kept holds documents of which another copy may follow.
	kept map[string]kept
}

type kept struct {
	Document
	at place
}

// errStopped ends a loop whose caller wants no more.
var errStopped = errors.New("no more is wanted")

// run reads the frames, each once, and yields what is sure.
func (l *lookup) run(ctx context.Context, c format.CollectionRecord, frames map[int][]int, yield func(Document, error) bool) error {
	numbers := make([]int, 0, len(frames))
	for number := range frames {
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	var buffer []byte
	for _, number := range numbers {
		container, err := l.open(ctx, number, frames[number])
		if err != nil {
			return err
		}
		slices.Sort(frames[number])
		for _, frame := range frames[number] {
			found, err := l.wantedFrame(ctx, c, container, frame, buffer)
			if err != nil {
				return err
			}
			if !l.through(found, yield) {
				return errStopped
			}
			buffer = found.block[:0]
		}
	}
	return nil
}

// wantedFrame reads a frame that the key index names.
func (l *lookup) wantedFrame(ctx context.Context, c format.CollectionRecord, container *format.Container, frame int, buffer []byte) (foundFrame, error) {
	if frame >= len(container.Frames()) || container.Frames()[frame].Collection != c.Number {
		return foundFrame{}, pitr.Corruptf("look up documents of "+c.NS.String(),
			"the key index names frame %d of %s, which is not the collection's", frame, container.Name())
	}
	return l.reader.frame(ctx, container, frame, buffer)
}

// open opens a chunk by ranges, or whole where most of its frames are wanted.
func (l *lookup) open(ctx context.Context, number int, frames []int) (*format.Container, error) {
	container, err := l.reader.chunkAt(ctx, number)
	if err != nil {
		return nil, err
	}
	if len(frames) > len(container.Frames())/2 {
		return l.reader.wholeChunk(ctx, l.reader.chunks[number])
	}
	return container, nil
}

// through picks the wanted documents of a frame.
func (l *lookup) through(found foundFrame, yield func(Document, error) bool) bool {
	for i, document := range found.documents() {
		key, err := pitr.KeyOf(document)
		if err != nil || !l.wanted[key.Equal()] {
			continue
		}
		if !l.one(key, found.at(i), Document{Raw: document, Since: found.since}, yield) {
			return false
		}
	}
	return true
}

// one yields a document, or keeps it where another copy may follow.
func (l *lookup) one(key pitr.Key, at place, document Document, yield func(Document, error) bool) bool {
	if !l.doubtful[format.KeyHash(key)] {
		return yield(document, nil)
	}
	if before, known := l.kept[key.Equal()]; !known || before.at.before(at) {
		document.Raw = slices.Clone(document.Raw)
		l.kept[key.Equal()] = kept{document, at}
	}
	return true
}
