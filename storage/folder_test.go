package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pitr"
	"pitr/storage"
	"pitr/storage/storagetest"
)

func TestFolderModes(t *testing.T) { // case X06
	dir := filepath.Join(t.TempDir(), "new", "repository")
	f := openFolder(t, dir, storage.FolderOptions{})
	if err := f.Create(t.Context(), "a/b", []byte("x")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{"": 0o700, "a": 0o700, "a/b": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%q: %v, %v, want mode %o", name, info.Mode(), err, want)
		}
	}
}

func TestFolderMissing(t *testing.T) {
	_, err := storage.OpenFolder(filepath.Join(t.TempDir(), "none"), storage.FolderOptions{})
	if pitr.KindOf(err) != pitr.KindNotFound || !strings.Contains(pitr.HintOf(err), "pitr init") {
		t.Errorf("%v, hint %q", err, pitr.HintOf(err))
	}
}

// TestFolderPlanted puts things in the store's folder that lead out of it or wait for ever. case X08
func TestFolderPlanted(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.MkdirAll(outside, 0o700); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, plant := range []struct {
		what, name string // what is planted at marks, or at marks/x
		make       func(path string) error
	}{
		{"link to a file", "marks/x", func(path string) error { return os.Symlink(secret, path) }},
		{"link to nothing", "marks/x", func(path string) error { return os.Symlink(filepath.Join(outside, "x"), path) }},
		{"link to a file inside", "marks/x", func(path string) error { return os.Symlink("../pitr.json", path) }},
		{"pipe", "marks/x", func(path string) error { return syscall.Mkfifo(path, 0o600) }},
		{"link to a folder", "marks", func(path string) error { return os.Symlink(outside, path) }},
		{"link to a folder inside", "marks", func(path string) error { return os.Symlink("holds", path) }},
	} {
		t.Run(plant.what, func(t *testing.T) {
			dir := t.TempDir()
			f := openFolder(t, dir, unsynced)
			for _, name := range []string{"pitr.json", "holds/secret"} {
				if err := f.Create(t.Context(), name, []byte("inside")); err != nil {
					t.Fatal(err)
				}
			}
			if plant.name != "marks" {
				if err := os.Mkdir(filepath.Join(dir, "marks"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if err := plant.make(filepath.Join(dir, plant.name)); err != nil {
				t.Fatal(err)
			}
			object := "marks/x"
			if plant.name == "marks" {
				object = "marks/secret"
			}
			_, readErr := f.Read(t.Context(), object, 0, -1)
			_, statErr := f.Stat(t.Context(), object)
			var listErr error
			for _, err := range f.List(t.Context(), "marks/", "") {
				listErr = err
			}
			for op, err := range map[string]error{
				"create": f.Create(t.Context(), object, []byte("y")), "read": readErr, "stat": statErr, "list": listErr,
				"delete": f.Delete(t.Context(), object),
			} {
				if pitr.KindOf(err) != pitr.KindRefused || pitr.HintOf(err) == "" {
					t.Errorf("%s: %v, want a refusal with a hint", op, err)
				}
			}
			left, err := os.ReadDir(outside)
			if data, readErr := os.ReadFile(secret); err != nil || readErr != nil || string(data) != "secret" || len(left) != 1 {
				t.Errorf("outside changed: %v, %v, %q, %v", left, err, data, readErr)
			}
		})
	}
}

// case C07: no room when the bytes are flushed. What stood there stays, nothing half-done is left, and it works again later.
func TestFolderNoRoom(t *testing.T) {
	full := true
	f := openFolder(t, t.TempDir(), storage.FolderOptions{Sync: func(file *os.File) error {
		if info, err := file.Stat(); err != nil || full && !info.IsDir() {
			return errors.Join(syscall.ENOSPC, err)
		}
		return nil
	}})
	err := f.Create(t.Context(), "a/b", []byte("x"))
	if pitr.KindOf(err) != pitr.KindLimit || pitr.HintOf(err) == "" {
		t.Errorf("%v, want kind limit with a hint", err)
	}
	if storage.IsTransient(err) {
		t.Error("a full disk is no reason to repeat")
	}
	full = false
	if err := f.Create(t.Context(), "a/b", []byte("x")); err != nil {
		t.Error(err)
	}
}

// TestFolderFailedFlush fails each flush of a create in turn, once: the create fails, and a second create starts from nothing
// instead of finding a name whose flush the kernel has already given up. case C08
func TestFolderFailedFlush(t *testing.T) {
	for nth := 1; ; nth++ {
		dir, flushes, fails := t.TempDir(), 0, nth
		f := openFolder(t, dir, storage.FolderOptions{Sync: func(file *os.File) error {
			if flushes++; flushes == fails {
				return syscall.EIO
			}
			return nil
		}})
		err := f.Create(t.Context(), "a/b/c", []byte("x"))
		if err == nil {
			if nth != 5 { // two new folders in the ones above, the file, its folder
				t.Errorf("a create flushes %d times, want 4", nth-1)
			}
			return
		}
		if pitr.KindOf(err) != pitr.KindUnavailable || storage.IsTransient(err) {
			t.Errorf("flush %d: %v, want unavailable and not to be repeated as if fine", nth, err)
		}
		if _, err := f.Stat(t.Context(), "a/b/c"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("flush %d failed, yet the name is there: %v", nth, err)
		}
		if left, err := filepath.Glob(filepath.Join(dir, "a/b/.*")); err != nil || len(left) != 0 {
			t.Errorf("left over: %q, %v", left, err)
		}
		before := flushes
		if err := f.Create(t.Context(), "a/b/c", []byte("x")); err != nil {
			t.Errorf("again after flush %d: %v", nth, err)
		}
		if flushes == before {
			t.Errorf("the second create flushed nothing")
		}
	}
}

// case C06: temporary files of a crash are no objects, and go when no writer can be alive.
func TestFolderLeftovers(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	young, old := filepath.Join(dir, "a", ".pitr-YOUNG.tmp"), filepath.Join(dir, "a", ".pitr-OLD.tmp")
	other := filepath.Join(dir, "a", ".DS_Store")
	if err := os.Mkdir(filepath.Join(dir, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	for path, age := range map[string]time.Duration{young: 23 * time.Hour, old: 25 * time.Hour, other: 1000 * time.Hour} {
		if err := errors.Join(os.WriteFile(path, []byte("half"), 0o600), os.Chtimes(path, time.Time{}, now.Add(-age))); err != nil {
			t.Fatal(err)
		}
	}
	f := openFolder(t, dir, storage.FolderOptions{Sync: unsynced.Sync, Now: func() time.Time { return now }})
	for o, err := range f.List(t.Context(), "", "") {
		t.Errorf("listed %q, %v", o.Name, err)
	}
	if err := f.Create(t.Context(), "a/b", nil); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{young: true, old: false, other: true} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: %v, want it there: %v", filepath.Base(path), err, want)
		}
	}
}

// A person who tidies up empty folders does not stop a writer.
func TestFolderTidied(t *testing.T) {
	dir := t.TempDir()
	f := openFolder(t, dir, unsynced)
	for _, name := range []string{"a/b/1", "a/b/2"} {
		if err := f.Create(t.Context(), name, nil); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(dir, "a")); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFolderPowerCut cuts the power ahead of every flush and after every call: what was promised is there, and whatever else is
// there is whole. case C15
func TestFolderPowerCut(t *testing.T) {
	dir := t.TempDir()
	cut := storagetest.NewPowerCut(dir)
	f := openFolder(t, dir, storage.FolderOptions{Sync: cut.Sync})
	intended, promised := map[string][]byte{}, map[string]bool{}
	cuts := 0
	check := func() {
		cuts++
		left := openFolder(t, cut.Remains(t), unsynced)
		found := map[string]bool{}
		for o, err := range left.List(t.Context(), "", "") {
			if err != nil {
				t.Fatal(err)
			}
			data, err := left.Read(t.Context(), o.Name, 0, -1)
			if err != nil || !bytes.Equal(data, intended[o.Name]) {
				t.Errorf("cut %d: %s is torn: %d bytes, %v", cuts, o.Name, len(data), err)
			}
			found[o.Name] = true
		}
		for name, there := range promised {
			if there != found[name] {
				t.Errorf("cut %d: %s is there: %v, promised: %v", cuts, name, found[name], there)
			}
		}
	}
	cut.Before(check)
	for i := range 12 {
		name := fmt.Sprintf("snapshots/s%d/data-%06d", i%3, i)
		intended[name] = bytes.Repeat([]byte{byte(i)}, 100+i)
		if err := f.Create(t.Context(), name, intended[name]); err != nil {
			t.Fatal(err)
		}
		promised[name] = true
		check()
		if err := f.Create(t.Context(), name, nil); !errors.Is(err, storage.ErrExists) {
			t.Fatal(err)
		}
		if i%4 == 3 {
			delete(promised, name) // until the call returns it may be there or not
			if err := f.Delete(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			promised[name] = false
			check()
		}
	}
	if cuts < 60 {
		t.Errorf("only %d cuts", cuts)
	}
}

// Another process may have linked a name and not yet flushed the folder: whoever is told that the name is taken can rely on it.
func TestFolderTakenIsDurable(t *testing.T) {
	dir := t.TempDir()
	cut := storagetest.NewPowerCut(dir)
	f := openFolder(t, dir, storage.FolderOptions{Sync: cut.Sync})
	if err := f.Create(t.Context(), "a/first", nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a", "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Create(t.Context(), "a/x", nil); !errors.Is(err, storage.ErrExists) {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(cut.Remains(t), "a", "x")); err != nil {
		t.Error(err)
	}
}

func BenchmarkFolderCreate(b *testing.B) {
	for _, size := range []int{1 << 10, 1 << 20, 16 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			f, err := storage.CreateFolder(b.TempDir(), storage.FolderOptions{})
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			data := bytes.Repeat([]byte("0123456789abcdef"), size/16)
			b.SetBytes(int64(size))
			for i := 0; b.Loop(); i++ {
				if err := f.Create(b.Context(), fmt.Sprintf("oplog/b/20251022/%09d", i), data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
