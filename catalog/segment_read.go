package catalog

import (
	"context"
	"encoding/binary"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/format"
)

// wholeSegment is the size up to which a segment is fetched in one request; longer ones are read frame by frame.
const wholeSegment = 16 << 20

// OpenSegment opens a segment of the archive. Its name, its facts, its directory and, for a segment of ordinary size, all
// its stored bytes have been found to fit when it returns; the frames of a longer one are checked as they are read.
func (r *Repository) OpenSegment(ctx context.Context, branch format.ID, segment Segment) (*format.Container, format.SegmentFacts, error) {
	name, err := segment.Name(branch)
	if err != nil {
		return nil, format.SegmentFacts{}, err
	}
	var container *format.Container
	var facts format.SegmentFacts
	err = r.insist(ctx, name, func() (err error) {
		if container, err = r.openSegment(ctx, name, segment.Size); err == nil {
			facts, err = container.SegmentFacts()
		}
		return err
	})
	return container, facts, err
}

func (r *Repository) openSegment(ctx context.Context, name format.Name, size int64) (*format.Container, error) {
	if size > wholeSegment {
		return format.OpenContainerAt(ctx, r.ranges(name), format.Expect{Name: name, Size: size})
	}
	data, err := r.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	container, err := format.OpenContainer(data, format.Expect{Name: name}) //nolint:contextcheck // the bytes are in memory
	if err != nil {
		return nil, err
	}
	return container, container.CheckStored(ctx)
}

// EntryTime gives the optime of a raw entry of the oplog.
func EntryTime(entry bson.Raw) (pitr.OpTime, bool) {
	seconds, ordinal, ok := entry.Lookup("ts").TimestampOK()
	if !ok {
		return pitr.OpTime{}, false
	}
	term, ok := entry.Lookup("t").AsInt64OK()
	if !ok {
		// The entry that initiates a set and very old ones have no term; package oplog calls that -1 too.
		term = -1
	}
	return pitr.OpTime{TS: pitr.NewTimestamp(seconds, ordinal), Term: term}, true
}

// SegmentReader reads the entries of one segment in their order and checks that they are what the segment says: rising,
// inside its window, ending with the last one that its name and its facts give.
type SegmentReader struct {
	repository *Repository
	name       format.Name
	container  *format.Container
	facts      format.SegmentFacts
	frame      int
	block      []byte
	// entry is the current entry, nil before the first and after the last; at is its optime.
	entry bson.Raw
	at    pitr.OpTime
}

// ReadSegment opens a segment for reading from its beginning.
func (r *Repository) ReadSegment(ctx context.Context, branch format.ID, segment Segment) (*SegmentReader, error) {
	container, facts, err := r.OpenSegment(ctx, branch, segment)
	if err != nil {
		return nil, err
	}
	return &SegmentReader{repository: r, name: container.Name(), container: container, facts: facts}, nil
}

// Facts gives what the segment says of itself.
func (s *SegmentReader) Facts() format.SegmentFacts { return s.facts }

// Raw gives the size of its entries before compression.
func (s *SegmentReader) Raw() int64 {
	_, raw := s.container.Count()
	return raw
}

// Entry gives the current entry; it may be kept. At gives its optime.
func (s *SegmentReader) Entry() bson.Raw { return s.entry }

// At gives the optime of the current entry.
func (s *SegmentReader) At() pitr.OpTime { return s.at }

// Next goes to the next entry; false after the last one.
func (s *SegmentReader) Next(ctx context.Context) (bool, error) {
	for len(s.block) == 0 {
		if s.frame == len(s.container.Frames()) {
			return false, s.finish()
		}
		// Entries may be kept, so each frame has memory of its own.
		block, err := s.read(ctx)
		if err != nil {
			return false, err
		}
		s.block = block
		s.frame++
	}
	size := binary.LittleEndian.Uint32(s.block) // a block holds whole documents, that was checked
	entry := bson.Raw(s.block[:size:size])
	s.block = s.block[size:]
	at, ok := EntryTime(entry)
	switch {
	case !ok:
		return false, s.corrupt("an entry without a cluster time")
	case !s.facts.Window.Contains(at.TS):
		return false, s.corrupt("an entry of %s outside of the window", at.TS)
	case s.entry == nil && at != s.facts.First:
		return false, s.corrupt("it begins with %s, its facts say %s", at, s.facts.First)
	case s.entry != nil && at.TS <= s.at.TS:
		return false, s.corrupt("entry %s after %s", at.TS, s.at.TS)
	}
	s.entry, s.at = entry, at
	return true, nil
}

func (s *SegmentReader) read(ctx context.Context) (block format.Block, err error) {
	err = s.repository.insist(ctx, s.name, func() error {
		block, err = s.container.Read(ctx, s.frame, nil)
		return err
	})
	return block, err
}

// finish compares the last entry with what the segment says.
func (s *SegmentReader) finish() error {
	switch {
	case s.entry == nil:
		return s.corrupt("no entries")
	case s.at != s.facts.Last.OpTime || format.Sum(s.entry) != s.facts.Last.Digest:
		return s.corrupt("its last entry is not the one that it names")
	}
	s.entry = nil
	return nil
}

func (s *SegmentReader) corrupt(message string, args ...any) error {
	return pitr.Corruptf("read "+s.name.String(), message, args...)
}
