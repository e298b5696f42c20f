package restore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// Spool keeps the changes of a job in a file that only this process can see, so that memory does not grow with the damage.
// It satisfies guard.Changes; At may be called by several goroutines once everything is appended.
//
// Changes lie there in a form of their own, in blocks: reading one in order costs little more than looking at memory, and
// a job reads each of them several times.
type Spool struct {
	file *os.File
	// namespaces and uuids are numbered; the numbers stand in the records.
	namespaces []pitr.Namespace
	uuids      []pitr.UUID
	numbers    map[pitr.Namespace]int
	identities map[pitr.UUID]int
	// ends are the ends of the records within their blocks.
	ends   []uint32
	blocks []spoolBlock
	open   []byte

	mu     sync.Mutex
	cached []cachedBlock
}

// spoolBlock is a run of whole records.
type spoolBlock struct {
	first, count int
	offset       int64
	size         int
}

type cachedBlock struct {
	number  int
	content []byte
}

const (
	// blockTarget is the size at which a block is written; one record can be larger.
	blockTarget = 256 << 10
	// keptBlocks is how many are in memory: readers go through the list in order, a few at a time.
	keptBlocks = 12
)

// classNumbers number the classes in records.
var classNumbers = []pitr.Class{pitr.ClassCreated, pitr.ClassChanged, pitr.ClassDeleted, pitr.ClassCameAndWent, pitr.ClassUnchanged, pitr.ClassExpired}

// NewSpool makes an empty one in a folder.
func NewSpool(folder string) (*Spool, error) {
	file, err := os.CreateTemp(folder, "pitr-*.changes")
	if err != nil {
		return nil, pitr.Errorf(pitr.KindLimit, "make the work file", "make room, or set TMPDIR to another folder", "%w", err)
	}
	// Where the system allows it, the file has no name from here on and goes with the process.
	_ = os.Remove(file.Name())
	return &Spool{file: file, numbers: map[pitr.Namespace]int{}, identities: map[pitr.UUID]int{}}, nil
}

// Append adds a change; its bytes are copied.
func (s *Spool) Append(change pitr.Change) error {
	if len(s.open) >= blockTarget {
		if err := s.Flush(); err != nil {
			return err
		}
	}
	class := slices.Index(classNumbers, change.Class)
	if class < 0 {
		return pitr.Errorf(pitr.KindUnexpected, "write the work file", "report this defect", "a change of class %q", change.Class)
	}
	b := s.open
	b = binary.AppendUvarint(b, uint64(number(s.numbers, &s.namespaces, change.NS))) //nolint:gosec // an index
	b = binary.AppendUvarint(b, uint64(number(s.identities, &s.uuids, change.UUID))) //nolint:gosec // an index
	b = append(b, byte(class), byte(change.Key.Stored().Type))
	b = appendBytes(b, change.Key.Stored().Value)
	b = appendBytes(b, change.E)
	b = appendBytes(b, change.T)
	for _, at := range []pitr.OpTime{change.First, change.Last} {
		b = binary.AppendUvarint(b, uint64(at.TS))
		b = binary.AppendVarint(b, at.Term)
	}
	b = binary.AppendUvarint(b, uint64(change.Ops)) //nolint:gosec // a count
	b = binary.AppendUvarint(b, uint64(len(change.Bursts)))
	for _, burst := range change.Bursts {
		b = binary.AppendUvarint(b, uint64(burst)) //nolint:gosec // numbered from one
	}
	if len(b) > math.MaxUint32 {
		return pitr.Errorf(pitr.KindLimit, "write the work file", "report this defect", "a change of %d bytes", len(b))
	}
	s.open = b
	s.ends = append(s.ends, uint32(len(b))) //nolint:gosec // checked above
	return nil
}

// number gives the place of a value in a list, which it joins when it is new.
func number[T comparable](numbers map[T]int, list *[]T, value T) int {
	n, known := numbers[value]
	if !known {
		n = len(*list)
		numbers[value] = n
		*list = append(*list, value)
	}
	return n
}

// appendBytes writes a length and the bytes; nil is another value than empty.
func appendBytes(b, content []byte) []byte {
	if content == nil {
		return append(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(len(content))+1)
	return append(b, content...)
}

// Flush writes the open block; it has to be called before changes are read.
func (s *Spool) Flush() error {
	if len(s.open) == 0 {
		return nil
	}
	block := spoolBlock{size: len(s.open)}
	if last := len(s.blocks) - 1; last >= 0 {
		block.first = s.blocks[last].first + s.blocks[last].count
		block.offset = s.blocks[last].offset + int64(s.blocks[last].size)
	}
	block.count = len(s.ends) - block.first
	if _, err := s.file.Write(s.open); err != nil {
		return pitr.Errorf(pitr.KindLimit, "write the work file", "make room, or set TMPDIR to another folder", "%w", err)
	}
	s.blocks = append(s.blocks, block)
	s.open = s.open[:0]
	return nil
}

// Len counts the changes.
func (s *Spool) Len() int { return len(s.ends) }

// At reads a change back; N is its place, counted from one. The caller must not change its bytes.
func (s *Spool) At(i int) (pitr.Change, error) {
	number, _ := slices.BinarySearchFunc(s.blocks, i, func(b spoolBlock, i int) int {
		switch {
		case b.first+b.count <= i:
			return -1
		case b.first > i:
			return 1
		}
		return 0
	})
	if number == len(s.blocks) {
		return pitr.Change{}, pitr.Errorf(pitr.KindUnexpected, "read the work file", "report this defect", "it has no change %d", i)
	}
	content, err := s.block(number)
	if err != nil {
		return pitr.Change{}, err
	}
	start := uint32(0)
	if i > s.blocks[number].first {
		start = s.ends[i-1]
	}
	return s.decode(i, content[start:s.ends[i]])
}

// block gives the content of a block, which is never changed.
func (s *Spool) block(number int) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, cached := range s.cached {
		if cached.number == number {
			copy(s.cached[1:i+1], s.cached[:i])
			s.cached[0] = cached
			return cached.content, nil
		}
	}
	content := make([]byte, s.blocks[number].size)
	if _, err := s.file.ReadAt(content, s.blocks[number].offset); err != nil {
		return nil, fmt.Errorf("read the work file: %w", err)
	}
	s.cached = slices.Insert(s.cached, 0, cachedBlock{number: number, content: content})
	s.cached = s.cached[:min(len(s.cached), keptBlocks)]
	return content, nil
}

// decode reads a record, in the order in which Append has written it.
func (s *Spool) decode(i int, record []byte) (pitr.Change, error) {
	r := recordReader{rest: record}
	change := pitr.Change{N: int64(i + 1), NS: s.namespaces[r.number()], UUID: s.uuids[r.number()]}
	change.Class = classNumbers[r.byte()]
	kind := bson.Type(r.byte())
	id := bson.RawValue{Type: kind, Value: r.bytes()}
	change.E, change.T = r.bytes(), r.bytes()
	for _, at := range []*pitr.OpTime{&change.First, &change.Last} {
		at.TS = pitr.Timestamp(r.number())
		at.Term = r.signed()
	}
	change.Ops = int(r.number()) //nolint:gosec // a count that was an int
	for range r.number() {
		change.Bursts = append(change.Bursts, int(r.number())) //nolint:gosec // a number that was an int
	}
	var err error
	change.Key, err = pitr.NewKey(id)
	if err == nil {
		err = r.err
	}
	if err != nil {
		return pitr.Change{}, fmt.Errorf("read change %d from the work file: %w", i, err)
	}
	return change, nil
}

// recordReader takes a record apart. What it reads was written by this process.
type recordReader struct {
	rest []byte
	err  error
}

var errRecord = errors.New("the record ends too early")

func (r *recordReader) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.err = errRecord
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *recordReader) signed() int64 {
	n, size := binary.Varint(r.rest)
	if size <= 0 {
		r.err = errRecord
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *recordReader) byte() byte {
	if len(r.rest) == 0 {
		r.err = errRecord
		return 0
	}
	first := r.rest[0]
	r.rest = r.rest[1:]
	return first
}

func (r *recordReader) bytes() []byte {
	size := r.number()
	if size == 0 {
		return nil
	}
	size--
	if uint64(len(r.rest)) < size {
		r.err = errRecord
		return nil
	}
	content := r.rest[:size:size]
	r.rest = r.rest[size:]
	return content
}

// Close gives the space back.
func (s *Spool) Close() error {
	err := s.file.Close()
	if removed := os.Remove(s.file.Name()); removed != nil && !errors.Is(removed, os.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	return err
}
