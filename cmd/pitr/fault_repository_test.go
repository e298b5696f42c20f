package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pitr/internal/replsim"
)

// copyRepository gives a repository of its own to a case that breaks it.
func (s *stage) copyRepository(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(folder, os.DirFS(s.folder)); err != nil {
		t.Fatal(err)
	}
	return folder
}

// objects lists the files below a folder whose path has a part.
func objects(t *testing.T, folder, part string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.Contains(path[len(folder):], part) {
			found = append(found, path)
		}
		return err
	})
	if err != nil || len(found) == 0 {
		t.Fatalf("no object %s in %s: %v", part, folder, err)
	}
	return found
}

// damage flips one bit in the middle of an object.
func damage(t *testing.T, name string) {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 4
	if err := os.Chmod(name, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// fromNewerFormat rewrites a JSON object as a later version of pitr would have written it.
func fromNewerFormat(t *testing.T, name string) {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	content = bytes.Replace(content, []byte(`"format": 1,`), []byte(`"format": 2,`), 1)
	at := bytes.LastIndex(content, []byte(`  "sha256": "`))
	content = fmt.Appendf(content[:at:at], "  \"sha256\": \"%x\"\n}\n", sha256.Sum256(content[:at]))
	if err := os.Chmod(name, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRepositoriesThatCannotBeUsed: absent, of a later version, damaged. // cases I01, I06, I22
func TestRepositoriesThatCannotBeUsed(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	restore := []string{"restore", "--to", s.toGood(), "--confirm-target", clusterName}
	t.Run("absent", func(t *testing.T) {
		for _, args := range [][]string{restore, {"snapshot", "take"}, {"archive", "once"}, {"timeline"}, {"jobs"}} {
			s.refuses(t, refusal{args: append(args, "--repo", "file:///nowhere/at/all"), code: exitNotFound, next: []string{"pitr init"}})
		}
		empty := t.TempDir()
		s.refuses(t, refusal{args: append(restore, "--repo", "file://"+empty), code: exitNotFound, next: []string{"pitr init"}})
		s.refuses(t, refusal{args: append(restore, "--repo", "ftp://CANARY@x/y"), code: exitUsage, next: []string{"file:///"}})
		s.refuses(t, refusal{args: []string{"snapshot", "show", "20251022T092001Z-k3f9q2"}, code: exitNotFound, next: []string{"pitr snapshot list"}})
		s.refuses(t, refusal{args: []string{"resume", "20251022T092001Z-k3f9q2"}, code: exitNotFound, next: []string{"pitr jobs"}})
		s.refuses(t, refusal{args: []string{"undo", "20251022T092001Z-k3f9q2"}, code: exitNotFound, next: []string{"pitr jobs"}})
		s.refuses(t, refusal{args: []string{"unfreeze", "20251022T092001Z-k3f9q2"}, code: exitNotFound, next: []string{"pitr jobs"}})
		s.refuses(t, refusal{args: []string{"restore", "--to", "mark:never set"}, code: exitNotFound, next: []string{"pitr timeline"}})
		s.refuses(t, refusal{args: []string{"init", "--cluster-name", clusterName}, code: exitRefused, says: []string{"there already"}})
	})
	t.Run("of a later version", func(t *testing.T) {
		for _, object := range []string{"pitr.json", "/manifest.json", "branches/"} {
			folder := s.copyRepository(t)
			fromNewerFormat(t, objects(t, folder, object)[0])
			s.refuses(t, refusal{args: append(restore, "--repo", "file://"+folder), code: exitRefused, says: []string{"format 2"}, next: []string{"update pitr"}})
		}
	})
	for _, object := range []string{"pitr.json", "/manifest.json", "branches/", "catalog-", "/data-", "oplog/"} {
		t.Run("damaged "+strings.Trim(object, "/-"), func(t *testing.T) {
			folder := s.copyRepository(t)
			for _, name := range objects(t, folder, object) {
				damage(t, name)
			}
			s.refuses(t, refusal{args: append(restore, "--repo", "file://"+folder, "--full-export=false"), code: exitCorrupt})
			if s.blocked() {
				t.Error("the write block was not lifted")
			}
		})
	}
}

// TestStoresWithoutConditionalCreate are refused, unless a person promises to be alone. // cases S14, S15
func TestStoresWithoutConditionalCreate(t *testing.T) {
	for name, c := range map[string]condition{"ignored": ignoresCondition, "refused": refusesCondition} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, stageUsers, replsim.Options{})
			b := startBucket(t, c)
			place := b.arguments(t)
			with := func(args ...string) []string { return append(args, place...) }
			s.refuses(t, refusal{args: with("init", "--cluster-name", clusterName), code: exitRefused, next: []string{"--single-writer"}})
			if got := s.pitr(with("snapshot", "list")...); got.code != exitNotFound {
				t.Errorf("the refused repository is there: exit %d", got.code)
			}
			s.ok(with("init", "--cluster-name", clusterName, "--single-writer")...)
			b.replaced = nil
			s.ok(with("snapshot", "take")...)
			s.ok(with("archive", "once")...)
			s.ok(with("snapshot", "take")...)
			if len(b.replaced) > 0 {
				t.Errorf("objects were replaced: %v", b.replaced)
			}
		})
	}
}

// TestFullStores: no room for the next object, in a bucket and on a disk. // case C07
func TestFullStores(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	t.Run("bucket", func(t *testing.T) {
		b := startBucket(t, keepsCondition)
		place := b.arguments(t)
		with := func(args ...string) []string { return append(args, place...) }
		s.ok(with("init", "--cluster-name", clusterName)...)
		b.fill(20_000)
		s.refuses(t, refusal{args: with("snapshot", "take"), code: exitLimit, next: []string{"room"}})
		b.fill(-1)
		if got := s.ok(with("snapshot", "list", "--json")...); got.out != "" {
			t.Errorf("a snapshot that was never finished is listed: %s", got.out)
		}
		s.ok(with("snapshot", "take")...)
	})
	t.Run("disk", func(t *testing.T) {
		folder := t.TempDir()
		if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=256k"); err != nil {
			t.Skipf("a small file system cannot be mounted here: %v", err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(folder, syscall.MNT_DETACH) }) // the store has its folder open
		repo := []string{"--repo", "file://" + folder + "/repository"}
		s.ok(append([]string{"init", "--cluster-name", clusterName}, repo...)...)
		if err := os.WriteFile(filepath.Join(folder, "filler"), make([]byte, 200_000), 0o600); err != nil {
			t.Fatal(err)
		}
		s.refuses(t, refusal{args: append([]string{"snapshot", "take"}, repo...), code: exitLimit, next: []string{"room"}})
		if err := os.Remove(filepath.Join(folder, "filler")); err != nil {
			t.Fatal(err)
		}
		s.ok(append([]string{"snapshot", "take"}, repo...)...)
	})
}

func describeFile(t *testing.T, name string) string {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s %d %s", name, info.Size(), info.ModTime())
}
