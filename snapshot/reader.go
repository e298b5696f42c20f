package snapshot

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
)

// Reader reads a published snapshot. Nothing that it gives was decoded before its digest fitted. It is safe for use by
// several goroutines.
type Reader struct {
	repository *catalog.Repository
	manifest   format.Manifest
	// collections are in the order of their names.
	collections []format.CollectionRecord
	chunks      map[int]format.ChunkRecord
	chunksOf    map[int][]int // of a collection, rising
	keysOf      map[int][]format.KeysRecord
	read        atomic.Int64

	mu     sync.Mutex
	opened cache[int, *format.Container]
	keys   cache[format.Name, *format.Keys]
}

// Document is a document of a snapshot.
type Document struct {
	// Raw is good until the next document is asked for; who keeps it clones it.
	Raw bson.Raw
	// Since is the moment as of which it was read, or the earliest one where it was read in a window: entries after Since
	// that touch it may not be in it yet. Zero where the source had no moments.
	Since pitr.Timestamp
}

// How many directories of chunks and of key partitions are kept at once: some megabytes.
const (
	keptChunks = 32
	keptKeys   = 256
)

// Open reads manifest and catalog of a snapshot. It fails with kind notfound when the snapshot does not exist.
func Open(ctx context.Context, repository *catalog.Repository, id format.ID) (*Reader, error) {
	manifest, err := repository.Manifest(ctx, id)
	if err != nil {
		return nil, err
	}
	parts, err := repository.Parts(ctx, manifest)
	if err != nil {
		return nil, err
	}
	r := &Reader{repository: repository, manifest: manifest, collections: parts.Collections,
		chunks: map[int]format.ChunkRecord{}, chunksOf: map[int][]int{}, keysOf: map[int][]format.KeysRecord{},
		opened: newCache[int, *format.Container](keptChunks), keys: newCache[format.Name, *format.Keys](keptKeys)}
	slices.SortFunc(r.collections, func(a, b format.CollectionRecord) int { return a.NS.Compare(b.NS) })
	for _, chunk := range parts.Chunks {
		r.chunks[chunk.Name.Number()] = chunk
		for _, number := range chunk.Collections {
			r.chunksOf[number] = append(r.chunksOf[number], chunk.Name.Number())
		}
	}
	for _, chunks := range r.chunksOf {
		slices.Sort(chunks)
	}
	for _, keys := range parts.Keys {
		r.keysOf[keys.Name.Number()] = append(r.keysOf[keys.Name.Number()], keys)
	}
	return r, r.checkKeys()
}

// checkKeys holds the key partitions against what their collections say.
func (r *Reader) checkKeys() error {
	for _, c := range r.collections {
		parts := r.keysOf[c.Number]
		slices.SortFunc(parts, func(a, b format.KeysRecord) int { return a.Name.Partition() - b.Name.Partition() })
		want := 0
		if c.KeyBits != format.KeysLeftOut {
			want = 1 << c.KeyBits
		}
		whole := len(parts) == want
		for i, part := range parts {
			whole = whole && part.Name.Partition() == i
		}
		if !whole {
			return pitr.Corruptf("open snapshot "+string(r.manifest.ID), "the key index of %s has %d partitions, not %d",
				c.NS, len(parts), want)
		}
	}
	return nil
}

// Manifest gives what was published last.
func (r *Reader) Manifest() format.Manifest { return r.manifest }

// Collections gives everything that was listed, in the order of names. Views hold no documents.
func (r *Reader) Collections() []format.CollectionRecord { return r.collections }

// Collection finds a collection by its identity; by its name where the source gave none.
func (r *Reader) Collection(ns pitr.Namespace, uuid pitr.UUID) (format.CollectionRecord, bool) {
	i := slices.IndexFunc(r.collections, func(c format.CollectionRecord) bool {
		return c.UUID == uuid && (!uuid.IsZero() || c.NS == ns)
	})
	if i < 0 {
		return format.CollectionRecord{}, false
	}
	return r.collections[i], true
}

// BytesRead counts what was read from the repository for documents and keys since the reader was opened.
func (r *Reader) BytesRead() int64 { return r.read.Load() }

// Scan yields the documents of a collection in the order in which they were read; of several copies of a document only the
// last. A collection that is capped is in its natural order.
func (r *Reader) Scan(ctx context.Context, c format.CollectionRecord) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		old, err := r.oldCopies(ctx, c)
		if err != nil {
			yield(Document{}, err)
			return
		}
		for found, err := range r.frames(ctx, c) {
			if err != nil {
				yield(Document{}, err)
				return
			}
			for i, document := range found.documents() {
				if old.has(found.at(i), document) {
					continue
				}
				if !yield(Document{Raw: document, Since: found.since}, nil) {
					return
				}
			}
		}
	}
}

// Check reads a whole collection and compares it with the content sum that the catalog gives.
func (r *Reader) Check(ctx context.Context, c format.CollectionRecord) error {
	var sum format.ContentSum
	for found, err := range r.frames(ctx, c) {
		if err != nil {
			return err
		}
		for document := range found.block.Documents() {
			sum.Add(document)
		}
	}
	if !sum.Equal(c.Stored) {
		return pitr.Corruptf(fmt.Sprintf("check %s of snapshot %s", c.NS, r.manifest.ID),
			"its documents add up to %s, the catalog says %s", sum, c.Stored)
	}
	return nil
}

// place is where a document lies; later places hold later copies.
type place struct{ chunk, frame, index int }

func (p place) before(other place) bool {
	switch {
	case p.chunk != other.chunk:
		return p.chunk < other.chunk
	case p.frame != other.frame:
		return p.frame < other.frame
	}
	return p.index < other.index
}

// foundFrame is a frame that was read.
type foundFrame struct {
	chunk, frame int
	since        pitr.Timestamp
	block        format.Block
}

func (f foundFrame) at(index int) place { return place{f.chunk, f.frame, index} }

func (f foundFrame) documents() iter.Seq2[int, bson.Raw] {
	return func(yield func(int, bson.Raw) bool) {
		i := 0
		for document := range f.block.Documents() {
			if !yield(i, document) {
				return
			}
			i++
		}
	}
}

// frames yields the frames of a collection in order, the next chunk being read while the caller works on this one. A
// frame is good until the next one.
func (r *Reader) frames(ctx context.Context, c format.CollectionRecord) iter.Seq2[foundFrame, error] {
	return func(yield func(foundFrame, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		type read struct {
			container *format.Container
			err       error
		}
		ahead := make(chan read)
		go func() {
			defer close(ahead)
			for _, number := range r.chunksOf[c.Number] {
				container, err := r.chunk(ctx, c, number)
				select {
				case ahead <- read{container, err}:
				case <-ctx.Done():
					return
				}
			}
		}()
		var buffer []byte
		for next := range ahead {
			if next.err != nil {
				yield(foundFrame{}, next.err)
				return
			}
			for i, frame := range next.container.Frames() {
				if frame.Collection != c.Number {
					continue
				}
				found, err := r.frame(ctx, next.container, i, buffer)
				if !yield(found, err) || err != nil {
					return
				}
				buffer = found.block[:0]
			}
		}
		if ctx.Err() != nil {
			yield(foundFrame{}, stopped(ctx))
		}
	}
}

// chunk opens a chunk for reading a collection's frames: the whole object where most of it is the collection's.
func (r *Reader) chunk(ctx context.Context, c format.CollectionRecord, number int) (*format.Container, error) {
	record := r.chunks[number]
	if len(record.Collections) == 1 {
		return r.wholeChunk(ctx, record)
	}
	container, err := r.chunkAt(ctx, number)
	if err != nil {
		return nil, err
	}
	var wanted int64
	for _, frame := range container.Frames() {
		if frame.Collection == c.Number {
			wanted += int64(frame.Stored)
		}
	}
	if wanted > record.Size/2 {
		return r.wholeChunk(ctx, record)
	}
	return container, nil
}

func (r *Reader) wholeChunk(ctx context.Context, record format.ChunkRecord) (*format.Container, error) {
	r.read.Add(record.Size)
	return r.repository.Container(ctx, record.Part)
}

// chunkAt opens a chunk for reading single frames. Directories are kept for a while.
func (r *Reader) chunkAt(ctx context.Context, number int) (*format.Container, error) {
	r.mu.Lock()
	container, known := r.opened.get(number)
	r.mu.Unlock()
	if known {
		return container, nil
	}
	record, there := r.chunks[number]
	if !there {
		return nil, pitr.Corruptf("read snapshot "+string(r.manifest.ID), "a key index names chunk %d, which is not there", number)
	}
	err := r.insist(ctx, func() (err error) {
		container, err = format.OpenContainerAt(ctx, r.ranges(record.Name), record.Expect())
		return err
	})
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opened.put(number, container)
	return container, nil
}

func (r *Reader) ranges(name format.Name) format.ReadRange {
	return func(ctx context.Context, offset, n int64) ([]byte, error) {
		data, err := r.repository.GetRange(ctx, name, offset, n)
		r.read.Add(int64(len(data)))
		return data, err
	}
}

func (r *Reader) frame(ctx context.Context, container *format.Container, number int, buffer []byte) (foundFrame, error) {
	found := foundFrame{chunk: container.Name().Number(), frame: number}
	record := r.chunks[found.chunk]
	if found.since = record.At; found.since == 0 {
		found.since = record.Fuzzy.After
	}
	err := r.insist(ctx, func() (err error) {
		found.block, err = container.Read(ctx, number, buffer)
		return err
	})
	return found, err
}

// attempts is how often bytes that do not fit their digest are read before they count as damaged: a path to a store damages
// more than a store does.
const attempts = 3

// insist repeats a read whose bytes were wrong.
func (r *Reader) insist(ctx context.Context, read func() error) (err error) {
	for range attempts {
		if err = read(); pitr.KindOf(err) != pitr.KindCorrupt || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// cache keeps the newest few values.
type cache[K comparable, V any] struct {
	limit  int
	values map[K]V
	order  []K
}

func newCache[K comparable, V any](limit int) cache[K, V] {
	return cache[K, V]{limit: limit, values: map[K]V{}}
}

func (c *cache[K, V]) get(key K) (V, bool) {
	value, known := c.values[key]
	return value, known
}

func (c *cache[K, V]) put(key K, value V) {
	if _, known := c.values[key]; !known {
		c.order = append(c.order, key)
	}
	c.values[key] = value
	if len(c.order) > c.limit {
		delete(c.values, c.order[0])
		c.order = c.order[1:]
	}
}
