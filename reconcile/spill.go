package reconcile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/format"
)

// spill keeps the records of a plan, the change and the live document of each, in a file that only this process can see, so
// that memory does not grow with the lost set.
type spill struct {
	file  *os.File
	ends  []int64
	open  []byte
	flown int64
	// window is a piece of the file that was read last, from its place on: most readers go through the list in order.
	window []byte
	at     int64
}

// spillBlock is how much is written and read at a time, at least.
const spillBlock = 256 << 10

func newSpill(folder string) (*spill, error) {
	file, err := os.CreateTemp(folder, "pitr-*.records")
	if err != nil {
		return nil, pitr.Errorf(pitr.KindLimit, "make the work file", "make room, or set TMPDIR to another folder", "%w", err)
	}
	_ = os.Remove(file.Name()) // where the system allows it, the file goes with the process
	return &spill{file: file}, nil
}

// Append adds a record.
func (s *spill) Append(change pitr.Change, live bson.Raw) error {
	content := format.EncodeChange(change)
	s.open = binary.LittleEndian.AppendUint32(s.open, uint32(len(content))) //nolint:gosec // a change is three documents at most
	s.open = append(s.open, content...)
	s.open = append(s.open, live...)
	s.ends = append(s.ends, s.flown+int64(len(s.open)))
	if len(s.open) < spillBlock {
		return nil
	}
	return s.Flush()
}

// Flush writes what is not in the file yet; it has to be called before records are read.
func (s *spill) Flush() error {
	if _, err := s.file.Write(s.open); err != nil {
		return pitr.Errorf(pitr.KindLimit, "write the work file", "make room, or set TMPDIR to another folder", "%w", err)
	}
	s.flown += int64(len(s.open))
	s.open = s.open[:0]
	return nil
}

// Len counts the records.
func (s *spill) Len() int { return len(s.ends) }

// At reads a record back; its documents are its own.
func (s *spill) At(i int) (pitr.Change, bson.Raw, error) {
	start := int64(0)
	if i > 0 {
		start = s.ends[i-1]
	}
	content, err := s.read(start, s.ends[i])
	if err != nil {
		return pitr.Change{}, nil, fmt.Errorf("read the work file: %w", err)
	}
	size := binary.LittleEndian.Uint32(content)
	change, err := format.DecodeChange(content[4 : 4+size : 4+size])
	var live bson.Raw
	if rest := content[4+size:]; len(rest) > 0 {
		live = bson.Raw(rest)
	}
	return change, live, err
}

// read gives a piece of the file in memory that is not used again.
func (s *spill) read(start, end int64) ([]byte, error) {
	if start < s.at || end > s.at+int64(len(s.window)) {
		size := min(max(end-start, spillBlock), s.flown-start)
		s.window, s.at = make([]byte, size), start
		if _, err := s.file.ReadAt(s.window, start); err != nil {
			return nil, err
		}
	}
	return s.window[start-s.at : end-s.at : end-s.at], nil
}

// Close gives the space back.
func (s *spill) Close() error {
	err := s.file.Close()
	if removed := os.Remove(s.file.Name()); removed != nil && !errors.Is(removed, os.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	return err
}
