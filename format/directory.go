package format

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// The limits of a container. A reader refuses what is beyond them before it decompresses anything.
const (
	// MaxObject is the size of the largest object; one request writes it.
	MaxObject = 64 << 20
	// MaxChunk is the stored size that chunks, catalog parts and change parts are cut at.
	MaxChunk = 16 << 20
	// MaxFrames is how many frames a container can have: a place in the key index has 12 bits for them.
	MaxFrames = 1 << 12
	// MaxDocument is the size of the largest document: a change with two of 16 MiB, and what stands around them.
	MaxDocument = 36 << 20
	// MaxCollections is how many collections a snapshot can have.
	MaxCollections = 100_000
	// frameTarget is the raw size at which a frame is closed; a larger document has a frame of its own.
	frameTarget = 1 << 20
	// maxDirectory bounds the directory, which may hold the touched keys of a segment.
	maxDirectory = 16 << 20
)

const (
	skippableMagic = 0x184D2A57
	trailerMagic   = "PITRDIR1"
	skippableHead  = 8
	trailerSize    = 4 + sha256.Size + len(trailerMagic)
)

// Frame is one compressed frame of a container, as its directory describes it.
type Frame struct {
	// Offset and Stored are its place and compressed size within the object, Raw the size of its documents.
	Offset, Stored, Raw int
	Documents           int
	// Collection is the number of the collection that all its documents belong to, within its snapshot.
	Collection int
	// Hash is the first half of the sha256 of the compressed bytes.
	Hash [16]byte
}

// frameHash gives the digest of a compressed frame as the directory holds it.
func frameHash(stored []byte) [16]byte {
	full := sha256.Sum256(stored)
	return [16]byte(full[:16])
}

// appendDirectory adds the skippable frame with the directory to an object, and gives the directory's digest.
func appendDirectory(object []byte, name Name, frames []Frame, facts bson.Raw) ([]byte, Digest) {
	b := newDocument()
	b.int32("v", Version)
	b.string("kind", string(name.kind))
	b.string("name", name.text)
	b.begin(bson.TypeArray, "frames")
	for i, frame := range frames {
		b.begin(bson.TypeEmbeddedDocument, fmt.Sprint(i))
		b.int32("o", frame.Offset)
		b.int32("c", frame.Stored)
		b.int32("r", frame.Raw)
		b.int32("n", frame.Documents)
		b.binary("h", frame.Hash[:])
		b.int32("k", frame.Collection)
		b.end()
	}
	b.end()
	b.document("facts", facts)
	return appendTrailer(object, b.done())
}

// appendTrailer wraps a directory in the skippable frame with its length, its digest and the magic.
func appendTrailer(object, directory []byte) ([]byte, Digest) {
	directory = binary.LittleEndian.AppendUint32(directory, uint32(len(directory)))
	digest := Sum(directory)
	object = binary.LittleEndian.AppendUint32(object, skippableMagic)
	object = binary.LittleEndian.AppendUint32(object, uint32(len(directory)+sha256.Size+len(trailerMagic)))
	object = append(object, directory...)
	object = append(object, digest[:]...)
	return append(object, trailerMagic...), digest
}

// trailer is what the last bytes of a container say.
type trailer struct {
	directory int // size of the directory without its length
	digest    Digest
}

// size is that of the whole skippable frame.
func (t trailer) size() int { return skippableHead + t.directory + trailerSize }

// readTrailer reads the end of an object of this size.
func readTrailer(tail []byte, size int64) (trailer, error) {
	if len(tail) < trailerSize || string(tail[len(tail)-len(trailerMagic):]) != trailerMagic {
		return trailer{}, fmt.Errorf("the object does not end as a container does")
	}
	tail = tail[len(tail)-trailerSize:]
	t := trailer{directory: int(binary.LittleEndian.Uint32(tail)), digest: Digest(tail[4 : 4+sha256.Size])}
	if t.directory > maxDirectory || int64(t.size()) > size {
		return trailer{}, fmt.Errorf("a directory of %d bytes in an object of %d", t.directory, size)
	}
	return t, nil
}

// directory is the parsed directory of a container.
type directory struct {
	frames []Frame
	facts  bson.Raw
}

// readDirectory checks the skippable frame at the end of an object against its trailer and takes the directory apart.
func readDirectory(skippable []byte, t trailer, name Name, size int64) (directory, error) {
	content := skippable[skippableHead:]
	if binary.LittleEndian.Uint32(skippable) != skippableMagic ||
		int64(binary.LittleEndian.Uint32(skippable[4:])) != int64(len(content)) {
		return directory{}, fmt.Errorf("no skippable frame around the directory")
	}
	if Sum(content[:t.directory+4]) != t.digest {
		return directory{}, fmt.Errorf("the directory is not what was written")
	}
	document := bson.Raw(bytes.Clone(content[:t.directory]))
	f := readFields(document)
	if v := f.count("v", math.MaxInt32); f.err == nil && v > Version {
		return directory{}, newerFormat(v)
	}
	kind, said := f.string("kind"), f.string("name")
	values := f.list("frames")
	d := directory{facts: f.optional("facts")}
	if f.err != nil {
		return d, fmt.Errorf("the directory: %w", f.err)
	}
	if f.int64("v") != Version {
		return d, fmt.Errorf("the directory is of format 0")
	}
	if said != name.text || kind != string(name.kind) {
		return d, fmt.Errorf("the object says that it is %.160q, a %.20s", said, kind)
	}
	var err error
	d.frames, err = readFrames(values, size-int64(t.size()))
	return d, err
}

// readFrames checks that the frames tile the object up to the directory.
func readFrames(values []bson.RawValue, end int64) ([]Frame, error) {
	if len(values) > MaxFrames {
		return nil, fmt.Errorf("%d frames", len(values))
	}
	frames := make([]Frame, 0, len(values))
	next := int64(0)
	for i, value := range values {
		document, _ := value.DocumentOK()
		f := readFields(document)
		frame := Frame{
			Offset:     int(f.count("o", MaxObject)),
			Stored:     int(f.count("c", MaxObject)),
			Raw:        int(f.count("r", MaxDocument)),
			Documents:  int(f.count("n", MaxDocument/5)),
			Collection: int(f.count("k", MaxCollections-1)),
			Hash:       [16]byte(f.binary("h", 16)),
		}
		if f.err != nil {
			return nil, fmt.Errorf("frame %d: %w", i, f.err)
		}
		if int64(frame.Offset) != next || frame.Stored == 0 || frame.Documents == 0 || frame.Raw < 5*frame.Documents {
			return nil, fmt.Errorf("frame %d does not follow the one before it", i)
		}
		next += int64(frame.Stored)
		frames = append(frames, frame)
	}
	if next != end {
		return nil, fmt.Errorf("frames end at byte %d, the directory begins at %d", next, end)
	}
	return frames, nil
}

// newerFormat is the refusal of what a later pitr wrote.
func newerFormat(version int64) error {
	return pitr.Errorf(pitr.KindUnsupported, "", "update pitr: this repository was written by a newer one",
		"format %d; this pitr reads up to %d", version, Version)
}
