package storage_test

import (
	"os"
	"testing"

	"pitr/storage"
	"pitr/storage/storagetest"
)

// unsynced keeps the suite quick; what flushing is for has tests of its own.
var unsynced = storage.FolderOptions{Sync: func(*os.File) error { return nil }}

func openFolder(t *testing.T, dir string, o storage.FolderOptions) *storage.Folder {
	t.Helper()
	f, err := storage.CreateFolder(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func TestMemory(t *testing.T) {
	storagetest.Run(t, func(*testing.T) storage.Store { return storage.NewMemory() })
}

func TestFolder(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Store { return openFolder(t, t.TempDir(), unsynced) })
}
