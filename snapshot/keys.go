package snapshot

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"

	"pitr"
	"pitr/format"
)

const (
	// spoolMemory is how many key entries of a collection are held in memory; more go to files.
	spoolMemory = 1 << 19
	// spoolBits is how many of the top bits of the key hash choose the file. Few enough files to have them all open, enough
	// that each fits in memory for collections of a thousand million documents.
	spoolBits  = 8
	spoolEntry = 8 + 8 + 4 + 4
)

// keySpool collects the key entries of one collection, sorted by nothing, and gives them back by partition. It holds only
// hashes and places. It belongs to one goroutine.
type keySpool struct {
	parent  string
	limit   int // entries in memory
	folder  string
	count   int64
	entries []format.KeyEntry
	files   []*spoolFile
	// err is what ended partitions early.
	err error
}

type spoolFile struct {
	file   *os.File
	writer *bufio.Writer
}

func newKeySpool(folder string) *keySpool { return &keySpool{parent: folder, limit: spoolMemory} }

// reset forgets everything and removes the files.
func (s *keySpool) reset() {
	for _, f := range s.files {
		_ = f.file.Close()
	}
	if s.folder != "" {
		_ = os.RemoveAll(s.folder)
	}
	s.files, s.folder, s.count, s.err = nil, "", 0, nil
	s.entries = s.entries[:0]
}

func (s *keySpool) add(entry format.KeyEntry) error {
	s.count++
	if len(s.entries) < s.limit {
		s.entries = append(s.entries, entry)
		return nil
	}
	if err := s.spill(); err != nil {
		return spoolFailed(err)
	}
	s.entries = append(s.entries, entry)
	return nil
}

func spoolFailed(err error) error {
	return pitr.Errorf(pitr.KindLimit, "keep the keys of a large collection",
		"make room in the work folder, about 24 bytes for each document", "%w", err)
}

// spill moves what is in memory into the files.
func (s *keySpool) spill() (err error) {
	if s.files == nil {
		if err := s.openFiles(); err != nil {
			return err
		}
	}
	var record [spoolEntry]byte
	for _, e := range s.entries {
		binary.LittleEndian.PutUint64(record[0:], e.Key)
		binary.LittleEndian.PutUint64(record[8:], e.Document)
		binary.LittleEndian.PutUint32(record[16:], uint32(e.Chunk)) //nolint:gosec // at most a million
		binary.LittleEndian.PutUint32(record[20:], uint32(e.Frame)) //nolint:gosec // at most 4096
		if _, err := s.files[format.KeyPartition(e.Key, spoolBits)].writer.Write(record[:]); err != nil {
			return err
		}
	}
	s.entries = s.entries[:0]
	return nil
}

func (s *keySpool) openFiles() (err error) {
	if s.folder, err = os.MkdirTemp(s.parent, "pitr-keys-"); err != nil {
		return err
	}
	for i := range 1 << spoolBits {
		file, err := os.OpenFile(filepath.Join(s.folder, strconv.Itoa(i)), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		if err != nil {
			return err
		}
		s.files = append(s.files, &spoolFile{file: file, writer: bufio.NewWriterSize(file, 16<<10)})
	}
	return nil
}

// partitions yields the entries of each of 2^bits partitions, in order; within a partition they are in no order. They are
// good until the next one. Afterwards err says whether all of them could be read.
func (s *keySpool) partitions(bits int) iter.Seq2[int, []format.KeyEntry] {
	return func(yield func(int, []format.KeyEntry) bool) {
		units := 0 // bits that choose what is in memory at once
		if s.files != nil {
			units = min(bits, spoolBits)
		}
		for unit := range 1 << units {
			entries, err := s.load(unit, units)
			if err != nil {
				s.err = spoolFailed(err)
				return
			}
			if bits > units {
				slices.SortFunc(entries, byKey)
			}
			first := unit << (bits - units)
			for partition := first; partition < first+1<<(bits-units); partition++ {
				n := sort.Search(len(entries), func(i int) bool { return format.KeyPartition(entries[i].Key, bits) > partition })
				if !yield(partition, entries[:n]) {
					return
				}
				entries = entries[n:]
			}
		}
	}
}

func byKey(a, b format.KeyEntry) int { return cmp.Compare(a.Key, b.Key) }

// load brings one of 2^units parts of the entries into memory: all of them while there are no files.
func (s *keySpool) load(unit, units int) ([]format.KeyEntry, error) {
	if s.files == nil {
		return s.entries, nil
	}
	if err := s.spill(); err != nil {
		return nil, err
	}
	var entries []format.KeyEntry
	share := 1 << (spoolBits - units)
	for _, f := range s.files[unit*share : (unit+1)*share] {
		if err := f.writer.Flush(); err != nil {
			return nil, err
		}
		if _, err := f.file.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		var record [spoolEntry]byte
		for reader := bufio.NewReaderSize(f.file, 64<<10); ; {
			if _, err := io.ReadFull(reader, record[:]); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, err
			}
			entries = append(entries, format.KeyEntry{
				Key: binary.LittleEndian.Uint64(record[0:]), Document: binary.LittleEndian.Uint64(record[8:]),
				Chunk: int(binary.LittleEndian.Uint32(record[16:])), Frame: int(binary.LittleEndian.Uint32(record[20:])),
			})
		}
	}
	return entries, nil
}

// hasRepeats reports whether a key hash stands in the spool twice, which a scan that met a document twice leaves behind.
func (s *keySpool) hasRepeats(bits int) (bool, error) {
	repeated := false
	for _, entries := range s.partitions(bits) {
		slices.SortFunc(entries, byKey)
		for i := 1; i < len(entries) && !repeated; i++ {
			repeated = entries[i].Key == entries[i-1].Key
		}
	}
	return repeated, s.err
}
