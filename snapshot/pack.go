package snapshot

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"

	"pitr"
	"pitr/format"
	"pitr/internal/failpoint"
)

// packer cuts documents into chunks. Each reader of collections has one; a chunk holds what one reader read at one time,
// many small collections or a part of a large one. The numbers of its chunks rise, so that of two copies of a document the
// later one lies in the later place.
type packer struct {
	taking  *taking
	uploads *uploader
	writer  *format.Writer
	spool   *keySpool

	// The open chunk: its number, the one time of its documents (zero where there is none), what it holds of whom.
	number  int
	at      pitr.Timestamp
	numbers []int
	sum     format.ContentSum

	// stored and raw measure how documents compress, to know whether a key index pays.
	stored, raw int64
}

// freshRatio is how documents are taken to compress before any were.
const freshRatio = 0.3

func newPacker(t *taking, uploads *uploader) (*packer, error) {
	writer, err := format.NewWriter(format.WriterOptions{})
	if err != nil {
		return nil, err
	}
	return &packer{taking: t, uploads: uploads, writer: writer, spool: newKeySpool(t.WorkFolder)}, nil
}

// add puts a document into the open chunk, or into a new one when that is full or was read at another time.
func (p *packer) add(ctx context.Context, c *collection, at pitr.Timestamp, document bson.Raw) error {
	if p.writer.Documents() > 0 && (p.writer.Full() || at != p.at) {
		if err := p.seal(ctx); err != nil {
			return err
		}
	}
	if p.writer.Documents() == 0 {
		p.number, p.at = p.taking.nextChunk(), at
	}
	frame, err := p.writer.Append(c.Number, document)
	if err != nil {
		return pitr.Errorf(pitr.KindOf(err), "copy "+c.name(), pitr.HintOf(err), "%w", err)
	}
	if n := len(p.numbers); n == 0 || p.numbers[n-1] != c.Number {
		p.numbers = append(p.numbers, c.Number)
	}
	p.sum.Add(document)
	c.Stored.Add(document)
	key, err := pitr.KeyOf(document)
	if err != nil {
		return pitr.Errorf(pitr.KindUnsupported, "copy "+c.name(), "leave the collection out with --except", "%w", err)
	}
	return p.spool.add(format.KeyEntry{Key: format.KeyHash(key), Document: format.DocumentHash(document),
		Chunk: p.number, Frame: frame})
}

// seal closes the open chunk and hands it to the uploader; it waits when too many are under way.
func (p *packer) seal(ctx context.Context) error {
	if p.writer.Documents() == 0 {
		return nil
	}
	t := p.taking
	facts := format.ChunkFacts{At: p.at, Stored: p.sum}
	if p.at == 0 && t.hasMoments() {
		through, err := t.source.MajorityOpTime(ctx)
		if err != nil {
			return err
		}
		facts.Fuzzy = pitr.Window{After: t.from, Through: through.TS}
	}
	name, err := format.ChunkName(t.id, p.number)
	if err != nil {
		return err
	}
	sealed, err := p.writer.Finish(name, facts.BSON())
	if err != nil {
		return err
	}
	slices.Sort(p.numbers)
	record := format.ChunkRecord{Part: format.PartOf(sealed), At: facts.At, Fuzzy: facts.Fuzzy, Collections: slices.Clone(p.numbers)}
	p.stored, p.raw = p.stored+sealed.Size(), p.raw+sealed.Raw
	p.numbers, p.sum = p.numbers[:0], format.ContentSum{}
	return p.uploads.put(ctx, sealed, func() { t.chunks = append(t.chunks, record) })
}

// ratio gives how much of a document's size is stored, as far as this packer has seen.
func (p *packer) ratio() float64 {
	if p.raw == 0 {
		return freshRatio
	}
	return float64(p.stored) / float64(p.raw)
}

// scanIsCheap is the size of documents below which a collection gets no key index: reading all of it costs little more than
// reading the index.
const scanIsCheap = 4 << 20

// finishKeys makes the key index of a collection that was read to its end. Where it does not pay it is left out, but not
// when some key stands there twice: readers know by the index which copies are old.
func (p *packer) finishKeys(ctx context.Context, c *collection) error {
	stored := int64(float64(c.Stored.Bytes) * p.ratio())
	pays := c.Stored.Bytes > scanIsCheap && format.KeysPay(c.Stored.Documents, stored)
	bits, err := format.KeyBits(p.spool.count)
	if err != nil {
		return err
	}
	if !pays {
		repeated, err := p.spool.hasRepeats(bits)
		if err != nil || !repeated {
			return err
		}
	}
	c.KeyBits = bits
	for partition, entries := range p.spool.partitions(bits) {
		if err := ctx.Err(); err != nil {
			return stopped(ctx)
		}
		name, err := format.KeysName(p.taking.id, c.Number, partition)
		if err != nil {
			return err
		}
		sealed, err := format.SealKeys(name, bits, entries)
		if err != nil {
			return err
		}
		record := format.KeysRecord{Part: format.PartOf(sealed)}
		if err := p.uploads.put(ctx, sealed, func() { p.taking.keys = append(p.taking.keys, record) }); err != nil {
			return err
		}
	}
	return p.spool.err
}

func (t *taking) nextChunk() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next++
	return t.next - 1
}

// uploader puts objects into the repository, several at a time. The group ends the whole run at the first failure.
type uploader struct {
	taking *taking
	group  *errgroup.Group
	places chan struct{}
}

// put uploads an object in the background and calls done, under the run's lock, once it is confirmed. It waits for a free
// place, which bounds the memory of the run.
func (u *uploader) put(ctx context.Context, sealed format.Sealed, done func()) error {
	select {
	case u.places <- struct{}{}:
	case <-ctx.Done():
		return stopped(ctx)
	}
	u.group.Go(func() error {
		defer func() { <-u.places }()
		confirm := u.taking.repository.Put
		if u.taking.mustReadBack() {
			confirm = u.taking.repository.PutAndRead
		}
		if err := confirm(ctx, sealed.Name, sealed.Data); err != nil {
			return err
		}
		failpoint.Hit("snapshot.after-object")
		u.taking.mu.Lock()
		defer u.taking.mu.Unlock()
		done()
		return nil
	})
	return nil
}

// checkedByStore is the kind of store that compares each upload with the checksum sent along with it.
const checkedByStore = "s3"

// mustReadBack reports whether objects are read again after they were stored: always what a restore relies on, and wherever
// the store does not check what it is given.
func (t *taking) mustReadBack() bool {
	return t.Job != "" || t.Reason == format.ReasonBeforeRestore || t.repository.Header().Store.Kind != checkedByStore
}
