package diff

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"os"
	"slices"

	"github.com/zeebo/xxh3"
	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// Sum is a hash of 128 bits.
type Sum struct{ High, Low uint64 }

// Hash gives the hash of some bytes.
type Hash func(content []byte) Sum

// seededHash is xxh3-128 with a seed that nobody can guess, so that nobody can make two documents that count as one.
func seededHash() Hash {
	var random [8]byte
	_, _ = rand.Read(random[:]) // it never fails
	seed := binary.LittleEndian.Uint64(random[:])
	return func(content []byte) Sum {
		h := xxh3.Hash128Seed(content, seed)
		return Sum{High: h.Hi, Low: h.Lo}
	}
}

// spill keeps the hashes of documents in a work file, cut into parts by the hash of their keys. The file has no name where
// the system allows that: nobody else can open it, and it goes with the process, however that ends. Each block is checked
// when it is read back. It belongs to one goroutine.
type spill struct {
	folder string
	hash   Hash
	// level is which byte of the key hash, from the top, chooses the part.
	level   int
	file    *os.File
	parts   [spillParts]spillPart
	written int64
}

type spillPart struct {
	open   []byte
	blocks []spillBlock
	size   int64
}

type spillBlock struct {
	offset int64
	size   int
	sum    Sum
}

const (
	spillParts = 256
	// spillBlockSize is the size at which a block is written; one record can be larger.
	spillBlockSize = 32 << 10
	// spillSplit is the size beyond which a part is cut into parts of its own before it is sorted.
	spillSplit = 32 << 20
	lastLevel  = 7
)

// kind says what a record is: a document that was read at E or T and has not met its partner, or one that was told already.
type kind byte

const kindTold kind = '!'

// record is what the work file has of a document.
type record struct {
	key      uint64
	document Sum
	kind     kind
	// id is the value of _id; size the document's.
	id   bson.RawValue
	size int
}

const recordFixed = 8 + 16 + 1 + 1 + 4 + 4

func newSpill(folder string, hash Hash) *spill { return &spill{folder: folder, hash: hash} }

func spillFailed(err error) error {
	return pitr.Errorf(pitr.KindLimit, "keep the hashes of documents in a work file",
		"make room, about 50 bytes for each document, or set TMPDIR to another folder", "%w", err)
}

// add appends a record.
func (s *spill) add(r record) error {
	part := &s.parts[byte(r.key>>(56-8*s.level))]
	b := part.open
	if len(b) > 0 && len(b)+recordFixed+len(r.id.Value) > spillBlockSize {
		if err := s.flush(part); err != nil {
			return err
		}
		b = part.open
	}
	b = binary.LittleEndian.AppendUint64(b, r.key)
	b = binary.LittleEndian.AppendUint64(b, r.document.High)
	b = binary.LittleEndian.AppendUint64(b, r.document.Low)
	b = append(b, byte(r.kind), byte(r.id.Type))
	b = binary.LittleEndian.AppendUint32(b, uint32(r.size))          //nolint:gosec // a document is at most 16 MiB
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.id.Value))) //nolint:gosec // and so is its _id
	part.open = append(b, r.id.Value...)
	return nil
}

// flush writes the open block of a part.
func (s *spill) flush(part *spillPart) (err error) {
	if s.file == nil {
		if s.file, err = os.CreateTemp(s.folder, "pitr-*.hashes"); err != nil {
			return spillFailed(err)
		}
		_ = os.Remove(s.file.Name()) // where the system allows it
	}
	if _, err := s.file.WriteAt(part.open, s.written); err != nil {
		return spillFailed(err)
	}
	part.blocks = append(part.blocks, spillBlock{offset: s.written, size: len(part.open), sum: s.hash(part.open)})
	s.written += int64(len(part.open))
	part.size += int64(len(part.open))
	part.open = part.open[:0]
	return nil
}

// close gives the space back.
func (s *spill) close() {
	if s.file != nil {
		_ = s.file.Close()
		_ = os.Remove(s.file.Name()) // where it still had a name
	}
}

// groups hands on the records of each key hash, one part after the other. Records are good until the next call.
func (s *spill) groups(tell func([]record) error) error {
	for i := range s.parts {
		part := &s.parts[i]
		if part.size > spillSplit && s.level < lastLevel {
			if err := s.split(part, tell); err != nil {
				return err
			}
			continue
		}
		content := make([]byte, 0, part.size+int64(len(part.open)))
		for _, block := range part.blocks {
			var err error
			if content, err = s.read(content, block); err != nil {
				return err
			}
		}
		if err := tellGroups(append(content, part.open...), tell); err != nil {
			return err
		}
		*part = spillPart{}
	}
	return nil
}

// split cuts a part that is too large to be sorted in memory by the next byte of the key hashes.
func (s *spill) split(part *spillPart, tell func([]record) error) error {
	finer := newSpill(s.folder, s.hash)
	finer.level = s.level + 1
	defer finer.close()
	distribute := func(content []byte) error {
		for len(content) > 0 {
			var r record
			r, content = nextRecord(content)
			if err := finer.add(r); err != nil {
				return err
			}
		}
		return nil
	}
	var content []byte
	for _, block := range part.blocks {
		var err error
		if content, err = s.read(content[:0], block); err != nil {
			return err
		}
		if err := distribute(content); err != nil {
			return err
		}
	}
	if err := distribute(part.open); err != nil {
		return err
	}
	*part = spillPart{}
	return finer.groups(tell)
}

// read appends a block, which must be what was written: a flipped bit here could lose a record without a word.
func (s *spill) read(to []byte, block spillBlock) ([]byte, error) {
	start := len(to)
	to = append(to, make([]byte, block.size)...)
	if _, err := s.file.ReadAt(to[start:], block.offset); err != nil {
		return nil, spillFailed(err)
	}
	if s.hash(to[start:]) != block.sum {
		return nil, pitr.Errorf(pitr.KindCorrupt, "read the work file", "check the disk, or set TMPDIR to another one",
			"a block is not what was written")
	}
	return to, nil
}

// nextRecord takes the first record off. What it reads was written by this process, and its block was checked.
func nextRecord(content []byte) (record, []byte) {
	r := record{
		key:      binary.LittleEndian.Uint64(content),
		document: Sum{High: binary.LittleEndian.Uint64(content[8:]), Low: binary.LittleEndian.Uint64(content[16:])},
		kind:     kind(content[24]), size: int(binary.LittleEndian.Uint32(content[26:])),
	}
	end := recordFixed + int(binary.LittleEndian.Uint32(content[30:]))
	r.id = bson.RawValue{Type: bson.Type(content[25]), Value: content[recordFixed:end:end]}
	return r, content[end:]
}

// tellGroups sorts the records of a part and hands on those of each key hash.
func tellGroups(content []byte, tell func([]record) error) error {
	type place struct {
		key uint64
		at  int
	}
	var places []place
	for rest := content; len(rest) > 0; {
		at := len(content) - len(rest)
		var r record
		r, rest = nextRecord(rest)
		places = append(places, place{key: r.key, at: at})
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.at, b.at)) })
	var group []record
	for i, each := range places {
		r, _ := nextRecord(content[each.at:])
		group = append(group, r)
		if i+1 < len(places) && places[i+1].key == each.key {
			continue
		}
		if err := tell(group); err != nil {
			return err
		}
		group = group[:0]
	}
	return nil
}
