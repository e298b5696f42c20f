package format

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"iter"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// Expect is what the reader of an object knows before it opens it.
type Expect struct {
	// Name is the name that it was read under. The object must say the same.
	Name Name
	// Size is the object's size; reading by range needs it, otherwise zero stands for "not known".
	Size int64
	// Digest and Directory are the digests that another object gives for it, zero where there is none.
	Digest, Directory Digest
}

// ReadRange reads n bytes of an object from an offset.
type ReadRange func(ctx context.Context, offset, n int64) ([]byte, error)

// Container is an opened container: its directory has been checked, its frames will be when they are read.
type Container struct {
	name   Name
	frames []Frame
	facts  bson.Raw
	read   ReadRange
}

// firstTail is how much of the end is read at first: enough for the directory of an ordinary chunk.
const firstTail = 8 << 10

// OpenContainer opens a container that is in memory. Where the digest of the whole object is expected it is checked.
func OpenContainer(data []byte, expect Expect) (*Container, error) {
	if !expect.Digest.IsZero() && Sum(data) != expect.Digest {
		return nil, pitr.Corruptf("open "+expect.Name.text, "the object is not what was written")
	}
	if expect.Size != 0 && expect.Size != int64(len(data)) {
		return nil, pitr.Corruptf("open "+expect.Name.text, "%d bytes where %d were written", len(data), expect.Size)
	}
	expect.Size = int64(len(data))
	return OpenContainerAt(context.Background(), func(_ context.Context, offset, n int64) ([]byte, error) {
		return data[offset : offset+n], nil
	}, expect)
}

// OpenContainerAt opens a container by ranges; expect.Size must be known. It reads the end of the object, once or twice.
// What is damaged has kind corrupt; errors of read pass through.
func OpenContainerAt(ctx context.Context, read ReadRange, expect Expect) (*Container, error) {
	op := "open " + expect.Name.text
	if !expect.Name.kind.IsContainer() {
		return nil, pitr.Errorf(pitr.KindUnexpected, op, "", "%q is not the name of a container", expect.Name.text)
	}
	if expect.Size < skippableHead+int64(trailerSize) || expect.Size > MaxObject {
		return nil, pitr.Corruptf(op, "a container of %d bytes", expect.Size)
	}
	tail, err := readExactly(ctx, read, max(0, expect.Size-firstTail), min(expect.Size, firstTail))
	if err != nil {
		return nil, err
	}
	t, err := readTrailer(tail, expect.Size)
	if err != nil {
		return nil, pitr.Corruptf(op, "%w", err)
	}
	if !expect.Directory.IsZero() && t.digest != expect.Directory {
		return nil, pitr.Corruptf(op, "the directory is not the one that was written")
	}
	if t.size() > len(tail) {
		if tail, err = readExactly(ctx, read, expect.Size-int64(t.size()), int64(t.size())); err != nil {
			return nil, err
		}
	}
	d, err := readDirectory(tail[len(tail)-t.size():], t, expect.Name, expect.Size)
	if pitr.KindOf(err) == pitr.KindUnsupported {
		return nil, err
	}
	if err != nil {
		return nil, pitr.Corruptf(op, "%w", err)
	}
	return &Container{name: expect.Name, frames: d.frames, facts: d.facts, read: read}, nil
}

// readExactly refuses what a range read gives too much or too little of.
func readExactly(ctx context.Context, read ReadRange, offset, n int64) ([]byte, error) {
	data, err := read(ctx, offset, n)
	if err == nil && int64(len(data)) != n {
		err = pitr.Corruptf("read by range", "%d bytes where %d were asked for", len(data), n)
	}
	return data, err
}

// Name gives the name that the container was opened under, and that it says itself.
func (c *Container) Name() Name { return c.name }

// Frames gives the frames in their order.
func (c *Container) Frames() []Frame { return c.frames }

// Facts gives the facts document of the directory, nil where there is none.
func (c *Container) Facts() bson.Raw { return c.facts }

// Count gives the number of documents and their bytes, as the directory says.
func (c *Container) Count() (documents, raw int64) {
	for _, frame := range c.frames {
		documents += int64(frame.Documents)
		raw += int64(frame.Raw)
	}
	return documents, raw
}

// CheckStored reads every frame and checks its digest, without decompressing. It is what proves a segment, for which no
// other object holds a digest.
func (c *Container) CheckStored(ctx context.Context) error {
	for i := range c.frames {
		if _, err := c.stored(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (c *Container) stored(ctx context.Context, i int) ([]byte, error) {
	frame := c.frames[i]
	stored, err := readExactly(ctx, c.read, int64(frame.Offset), int64(frame.Stored))
	if err != nil {
		return nil, err
	}
	if frameHash(stored) != frame.Hash {
		return nil, pitr.Corruptf("read "+c.name.text, "frame %d is not what was written", i)
	}
	return stored, nil
}

// Read gives the documents of a frame. Where buffer is large enough they are decompressed into it, and are good until it
// is used again; buffer may be nil.
func (c *Container) Read(ctx context.Context, frame int, buffer []byte) (Block, error) {
	stored, err := c.stored(ctx, frame)
	if err != nil {
		return nil, err
	}
	block, err := decodeFrame(stored, c.frames[frame].Raw, buffer)
	if err == nil {
		err = Block(block).check(c.frames[frame].Documents)
	}
	if err != nil {
		return nil, pitr.Corruptf("read "+c.name.text, "frame %d: %w", frame, err)
	}
	return block, nil
}

// Documents gives all documents in their order. Each frame has memory of its own, so documents may be kept.
func (c *Container) Documents(ctx context.Context) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		for i := range c.frames {
			block, err := c.Read(ctx, i, nil)
			if err != nil {
				yield(nil, err)
				return
			}
			for document := range block.Documents() {
				if !yield(document, nil) {
					return
				}
			}
		}
	}
}

// Block is the content of a frame: whole documents, back to back, whose structure was checked.
type Block []byte

// Documents gives the documents without copying them.
func (b Block) Documents() iter.Seq[bson.Raw] {
	return func(yield func(bson.Raw) bool) {
		for rest := b; len(rest) > 0; {
			size := binary.LittleEndian.Uint32(rest)
			if !yield(bson.Raw(rest[:size:size])) {
				return
			}
			rest = rest[size:]
		}
	}
}

// check makes Documents safe: the block holds exactly so many well-formed documents.
func (b Block) check(documents int) error {
	found := 0
	for rest := []byte(b); len(rest) > 0; found++ {
		size, err := validateFirst(rest)
		if err != nil {
			return fmt.Errorf("document %d: %w", found, err)
		}
		rest = rest[size:]
	}
	if found != documents {
		return fmt.Errorf("%d documents where the directory says %d", found, documents)
	}
	return nil
}

// Clone copies the block, for documents that outlive a buffer.
func (b Block) Clone() Block { return bytes.Clone(b) }
