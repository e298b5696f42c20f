// Package storagetest holds implementations of storage.Store to the contract and lets tests break them on purpose.
//
//   - Run is the conformance suite; every implementation passes the same one.
//   - Faulty breaks chosen calls of a store, in a script all of whose lines must come to pass.
//   - Counted counts the calls that reach a store.
//   - PowerCut is a disk that forgets what was never flushed.
package storagetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"pitr"
	"pitr/storage"
)

// Run checks a store against the contract. The function makes an empty store for each part of the suite; a store that several
// of them share must be told apart by prefix.
func Run(t *testing.T, open func(t *testing.T) storage.Store) {
	for _, part := range []struct {
		name string
		run  func(*testing.T, storage.Store)
	}{
		{"create once", testCreateOnce},
		{"race of creates", testCreateRace},
		{"names", testNames},
		{"folders", testFolders},
		{"sizes", testSizes},
		{"ranges", testRanges},
		{"stat", testStat},
		{"delete", testDelete},
		{"list in order", testListOrder},
		{"list ranges", testListRanges},
		{"list while changing", testListWhileChanging},
		{"list many", testListMany},
		{"ended context", testEndedContext},
		{"aliasing", testAliasing},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, open(t)) })
	}
}

func create(t *testing.T, s storage.Store, name string, data []byte) {
	t.Helper()
	if err := s.Create(t.Context(), name, data); err != nil {
		t.Fatalf("create %s: %v", name, err)
	}
}

func read(t *testing.T, s storage.Store, name string) []byte {
	t.Helper()
	data, err := s.Read(t.Context(), name, 0, -1)
	if err != nil {
		t.Fatalf("read %s: %v", name, err)
	}
	return data
}

// wantError checks both ways in which callers tell errors apart; sentinel may be nil.
func wantError(t *testing.T, err error, kind pitr.Kind, sentinel error) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want kind %q", kind)
	}
	if got := pitr.KindOf(err); got != kind {
		t.Errorf("kind %q, want %q: %v", got, kind, err)
	}
	if sentinel != nil && !errors.Is(err, sentinel) {
		t.Errorf("%v is not %q", err, sentinel)
	}
}

// list collects the names of a listing.
func list(t *testing.T, s storage.Store, prefix, after string) []string {
	t.Helper()
	names, err := collect(t.Context(), s, prefix, after)
	if err != nil {
		t.Fatalf("list %q after %q: %v", prefix, after, err)
	}
	return names
}

func collect(ctx context.Context, s storage.Store, prefix, after string) ([]string, error) {
	var names []string
	for o, err := range s.List(ctx, prefix, after) {
		if err != nil {
			return names, err
		}
		names = append(names, o.Name)
	}
	return names, nil
}

// noise makes bytes that no store can compress or guess, the same ones for the same seed.
func noise(seed uint64, size int) []byte {
	data := make([]byte, size)
	source := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
	_, _ = source.Read(data) // it never fails
	return data
}
