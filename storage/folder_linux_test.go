package storage_test

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"pitr"
	"pitr/storage"
)

// case C07: a disk that is really full, in the middle of writing.
func TestFolderFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=128k,mode=700"); err != nil {
		t.Skipf("no full disk to test with: mounting one needs rights: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	f, err := storage.OpenFolder(dir, storage.FolderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Create(t.Context(), "a/small", make([]byte, 60<<10)); err != nil {
		t.Fatal(err)
	}
	err = f.Create(t.Context(), "a/large", make([]byte, 100<<10))
	if pitr.KindOf(err) != pitr.KindLimit || pitr.HintOf(err) == "" {
		t.Errorf("%v, want kind limit with a hint", err)
	}
	if _, err := f.Stat(t.Context(), "a/large"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("half an object: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "a", ".*")); err != nil || len(left) != 0 {
		t.Errorf("left over: %q, %v", left, err)
	}
	if err := f.Create(t.Context(), "a/more", make([]byte, 20<<10)); err != nil {
		t.Errorf("the room of the failed create did not come back: %v", err)
	}
}
