package diff

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

func filled(t *testing.T, folder string) *spill {
	t.Helper()
	s := newSpill(folder, seededHash())
	t.Cleanup(s.close)
	for i := range 20_000 {
		r := record{key: uint64(i % 10), kind: kind(atE), id: bson.RawValue{Type: bson.TypeInt32, Value: []byte{byte(i), 0, 0, 0}}}
		if err := s.add(r); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// The work file has no name while it is in use, so that nothing of it is left by a process that is killed, and nobody can put
// something else in its place; a flipped bit of it is noticed.
func TestWorkFileIsNobodyElses(t *testing.T) {
	folder := t.TempDir()
	s := filled(t, folder)
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 || s.written == 0 {
		t.Errorf("a work file of %d bytes has a name: %v, %v", s.written, left, err)
	}
	if _, err := os.Stat(s.file.Name()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it can be opened: %v", err)
	}
	if info, err := s.file.Stat(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("it was made with %v, %v", info.Mode(), err)
	}
	count := 0
	tell := func(group []record) error { count += len(group); return nil }
	if err := s.groups(tell); err != nil || count != 20_000 {
		t.Errorf("%d records come back, %v", count, err)
	}
	s = filled(t, folder)
	var one [1]byte
	if _, err := s.file.ReadAt(one[:], s.written/2); err != nil {
		t.Fatal(err)
	}
	one[0] ^= 4
	if _, err := s.file.WriteAt(one[:], s.written/2); err != nil {
		t.Fatal(err)
	}
	if err := s.groups(tell); pitr.KindOf(err) != pitr.KindCorrupt {
		t.Errorf("a flipped bit gives %v", err)
	}
}
