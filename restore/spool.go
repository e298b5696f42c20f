package restore

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/format"
)

// spool keeps the changes of a job in a file that only this process can see, so that memory does not grow with the damage.
// It satisfies guard.Changes; At may be called by several goroutines once everything is appended.
type spool struct {
	file  *os.File
	ends  []int64
	batch bytes.Buffer
}

// spoolBuffer is how much is gathered before it is written.
const spoolBuffer = 1 << 20

func newSpool(folder string) (*spool, error) {
	file, err := os.CreateTemp(folder, "pitr-*.changes")
	if err != nil {
		return nil, pitr.Errorf(pitr.KindLimit, "make the work file", "make room, or set TMPDIR to another folder", "%w", err)
	}
	// Where the system allows it, the file has no name from here on and goes with the process.
	_ = os.Remove(file.Name())
	return &spool{file: file}, nil
}

// Append adds a change.
func (s *spool) Append(change pitr.Change) error { return s.appendRaw(format.EncodeChange(change)) }

func (s *spool) appendRaw(document bson.Raw) error {
	s.batch.Write(document)
	s.ends = append(s.ends, s.end()+int64(len(document)))
	if s.batch.Len() >= spoolBuffer {
		return s.flush()
	}
	return nil
}

func (s *spool) end() int64 {
	if len(s.ends) == 0 {
		return 0
	}
	return s.ends[len(s.ends)-1]
}

func (s *spool) flush() error {
	_, err := s.file.Write(s.batch.Bytes())
	s.batch.Reset()
	if err != nil {
		return pitr.Errorf(pitr.KindLimit, "write the work file", "make room, or set TMPDIR to another folder", "%w", err)
	}
	return nil
}

// Len counts the changes.
func (s *spool) Len() int { return len(s.ends) }

// At reads a change back.
func (s *spool) At(i int) (pitr.Change, error) {
	document, err := s.raw(i)
	if err != nil {
		return pitr.Change{}, err
	}
	return format.DecodeChange(document)
}

func (s *spool) raw(i int) (bson.Raw, error) {
	start := int64(0)
	if i > 0 {
		start = s.ends[i-1]
	}
	document := make([]byte, s.ends[i]-start)
	if _, err := s.file.ReadAt(document, start); err != nil {
		return nil, fmt.Errorf("read the work file: %w", err)
	}
	return document, nil
}

// Close gives the space back.
func (s *spool) Close() error {
	err := s.file.Close()
	if removed := os.Remove(s.file.Name()); removed != nil && !errors.Is(removed, os.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	return err
}
