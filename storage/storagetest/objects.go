package storagetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pitr"
	"pitr/storage"
)

func testCreateOnce(t *testing.T, s storage.Store) {
	create(t, s, "marks/a.json", []byte("first"))
	wantError(t, s.Create(t.Context(), "marks/a.json", []byte("second")), pitr.KindConflict, storage.ErrExists)
	wantError(t, s.Create(t.Context(), "marks/a.json", []byte("first")), pitr.KindConflict, storage.ErrExists)
	if got := read(t, s, "marks/a.json"); string(got) != "first" {
		t.Errorf("a refused create changed the object to %q", got)
	}
	if names := list(t, s, "", ""); len(names) != 1 {
		t.Errorf("names %q, want one", names)
	}
}

func testCreateRace(t *testing.T, s storage.Store) {
	const racers, rounds = 16, 8
	for round := range rounds {
		name := fmt.Sprintf("leases/write/%020d.json", round)
		var wins []int
		var mu sync.Mutex
		var all sync.WaitGroup
		start := make(chan struct{})
		for racer := range racers {
			all.Go(func() {
				<-start
				err := s.Create(t.Context(), name, noise(uint64(racer), 10_000+racer))
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					wins = append(wins, racer)
				case !errors.Is(err, storage.ErrExists):
					t.Errorf("racer %d: %v", racer, err)
				}
			})
		}
		close(start)
		all.Wait()
		if len(wins) != 1 {
			t.Fatalf("racers %v won, want exactly one", wins)
		}
		if !bytes.Equal(read(t, s, name), noise(uint64(wins[0]), 10_000+wins[0])) {
			t.Errorf("the object is not what the winner wrote")
		}
	}
}

// case S19: what the grammar allows works, what it does not is refused before anything happens.
func testNames(t *testing.T, s storage.Store) {
	part := strings.Repeat("n", 204)
	long := strings.Join([]string{part, part, part, part, part}, "/") // 1,024 bytes
	good := []string{
		"pitr.json", "a/b/c/d/e/f", "A-Za-z.0_9", "a..b", "x-", "x.", long, strings.Repeat("p", 255),
		"oplog/20251022T092001Z-k3f9q2/20251022/68f8a2b100000001-00000000-68f8a2c000000007-8a61e0d1.bson.zst",
	}
	for i, name := range good {
		create(t, s, name, []byte{byte(i)})
		if got := read(t, s, name); !bytes.Equal(got, []byte{byte(i)}) {
			t.Errorf("%q holds %v, want [%d]", name, got, i)
		}
	}
	listed := list(t, s, "", "")
	if len(listed) != len(good) {
		t.Errorf("listed %q, want the names %q", listed, good)
	}
	bad := []string{
		"", "/", "a/", "/a", "a//b", ".", "..", "../a", "a/../b", "a/..", "./a", "a/.", ".hidden", "a/.hidden/b", `a\b`, "C:a",
		"a b", "a+b", "a%2Fb", "a\x00b", "a\nb", "a\x7f", "\u00e4", "a\xff", "a*", "a?b", strings.Repeat("n", 256), long + "n",
	}
	for _, name := range bad {
		wantError(t, s.Create(t.Context(), name, nil), pitr.KindInvalid, nil)
		_, err := s.Read(t.Context(), name, 0, -1)
		wantError(t, err, pitr.KindInvalid, nil)
		_, err = s.Stat(t.Context(), name)
		wantError(t, err, pitr.KindInvalid, nil)
		wantError(t, s.Delete(t.Context(), name), pitr.KindInvalid, nil)
		if t.Failed() {
			t.Fatalf("the name was %q", name)
		}
	}
}

func testFolders(t *testing.T, s storage.Store) {
	create(t, s, "a/b", []byte("x"))
	_, err := s.Read(t.Context(), "a", 0, -1)
	wantError(t, err, pitr.KindNotFound, storage.ErrNotFound)
	_, err = s.Stat(t.Context(), "a")
	wantError(t, err, pitr.KindNotFound, storage.ErrNotFound)
	_, err = s.Stat(t.Context(), "a/b/c")
	wantError(t, err, pitr.KindNotFound, storage.ErrNotFound)
	wantError(t, s.Delete(t.Context(), "a"), pitr.KindNotFound, storage.ErrNotFound)
	if got := read(t, s, "a/b"); string(got) != "x" {
		t.Errorf("a/b holds %q", got)
	}
}

func testSizes(t *testing.T, s storage.Store) {
	for _, size := range []int{0, 1, 4095, 4096, 1 << 20, storage.MaxObject} {
		name, data := fmt.Sprintf("data/%d", size), noise(uint64(size), size)
		create(t, s, name, data)
		if !bytes.Equal(read(t, s, name), data) {
			t.Errorf("%d bytes read back are other bytes", size)
		}
	}
	err := s.Create(t.Context(), "data/large", make([]byte, storage.MaxObject+1))
	wantError(t, err, pitr.KindLimit, nil)
	_, err = s.Stat(t.Context(), "data/large")
	wantError(t, err, pitr.KindNotFound, storage.ErrNotFound)
}

// testRanges reads at every edge; a range that is not wholly inside is never answered short.
func testRanges(t *testing.T, s storage.Store) {
	data := noise(1, 1000)
	create(t, s, "data/x", data)
	create(t, s, "data/empty", nil)
	for _, r := range []struct{ offset, n, end int64 }{
		{0, -1, 1000}, {0, 0, 0}, {0, 1, 1}, {0, 1000, 1000}, {1, -1, 1000}, {1, 999, 1000}, {500, 0, 500}, {500, 250, 750},
		{999, 1, 1000}, {999, -1, 1000}, {1000, 0, 1000}, {1000, -1, 1000},
	} {
		got, err := s.Read(t.Context(), "data/x", r.offset, r.n)
		if err != nil || !bytes.Equal(got, data[r.offset:r.end]) {
			t.Errorf("read %d at %d: %d bytes, %v", r.n, r.offset, len(got), err)
		}
	}
	for _, n := range []int64{0, -1} {
		if got, err := s.Read(t.Context(), "data/empty", 0, n); err != nil || len(got) != 0 {
			t.Errorf("read %d of the empty object: %d bytes, %v", n, len(got), err)
		}
	}
	const huge = 1 << 62
	for _, r := range []struct {
		name      string
		offset, n int64
		kind      pitr.Kind
	}{
		{"data/x", 0, 1001, pitr.KindCorrupt}, {"data/x", 1, 1000, pitr.KindCorrupt}, {"data/x", 1000, 1, pitr.KindCorrupt},
		{"data/x", 1001, 0, pitr.KindCorrupt}, {"data/x", 1001, -1, pitr.KindCorrupt}, {"data/x", huge, huge, pitr.KindCorrupt},
		{"data/x", 1, 1<<63 - 1, pitr.KindCorrupt}, {"data/x", -1, 1, pitr.KindInvalid},
		{"data/empty", 0, 1, pitr.KindCorrupt}, {"data/empty", 1, -1, pitr.KindCorrupt},
		{"data/none", 0, -1, pitr.KindNotFound}, {"data/none", 5, 5, pitr.KindNotFound}, {"data/none", 0, 0, pitr.KindNotFound},
	} {
		got, err := s.Read(t.Context(), r.name, r.offset, r.n)
		if pitr.KindOf(err) != r.kind {
			t.Errorf("read %s, %d at %d: %d bytes, %v, want kind %q", r.name, r.n, r.offset, len(got), err, r.kind)
		}
	}
}

func testStat(t *testing.T, s storage.Store) {
	data := noise(7, 12_345)
	create(t, s, "data/x", data)
	o, err := s.Stat(t.Context(), "data/x")
	if err != nil {
		t.Fatal(err)
	}
	if o.Name != "data/x" || o.Size != 12_345 {
		t.Errorf("stat says %+v", o)
	}
	if age := time.Since(o.Modified).Abs(); age > 5*time.Minute {
		t.Errorf("created %v ago, says the store", age)
	}
	digest := sha256.Sum256(data)
	if o.SHA256 != "" && o.SHA256 != hex.EncodeToString(digest[:]) {
		t.Errorf("the store keeps digest %s, the object has %x", o.SHA256, digest)
	}
	_, err = s.Stat(t.Context(), "data/y")
	wantError(t, err, pitr.KindNotFound, storage.ErrNotFound)
}

func testDelete(t *testing.T, s storage.Store) {
	create(t, s, "a/x", []byte("x"))
	create(t, s, "a/y", []byte("y"))
	if err := s.Delete(t.Context(), "a/x"); err != nil {
		t.Fatal(err)
	}
	wantError(t, s.Delete(t.Context(), "a/x"), pitr.KindNotFound, storage.ErrNotFound)
	wantError(t, s.Delete(t.Context(), "b/x"), pitr.KindNotFound, storage.ErrNotFound)
	_, err := s.Read(t.Context(), "a/x", 0, -1)
	wantError(t, err, pitr.KindNotFound, storage.ErrNotFound)
	if names := list(t, s, "", ""); len(names) != 1 || names[0] != "a/y" {
		t.Errorf("left over: %q", names)
	}
	if err := s.Delete(t.Context(), "a/y"); err != nil {
		t.Fatal(err)
	}
	create(t, s, "a/y", []byte("again"))
	if got := read(t, s, "a/y"); string(got) != "again" {
		t.Errorf("a/y holds %q", got)
	}
}

func testEndedContext(t *testing.T, s storage.Store) {
	create(t, s, "a", []byte("x"))
	lost := errors.New("lease lost")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(lost)
	_, readErr := s.Read(ctx, "a", 0, -1)
	_, statErr := s.Stat(ctx, "a")
	_, listErr := collect(ctx, s, "", "")
	for op, err := range map[string]error{
		"create": s.Create(ctx, "b", nil), "read": readErr, "stat": statErr, "list": listErr, "delete": s.Delete(ctx, "a"),
	} {
		if !errors.Is(err, context.Canceled) || !errors.Is(err, lost) {
			t.Errorf("%s with an ended context: %v, want both the context's error and its cause", op, err)
		}
	}
	if names := list(t, s, "", ""); len(names) != 1 || names[0] != "a" {
		t.Errorf("calls with an ended context left %q", names)
	}
}

// testAliasing checks that store and caller share no memory.
func testAliasing(t *testing.T, s storage.Store) {
	data := []byte("original")
	create(t, s, "a", data)
	data[0] = 'X'
	got := read(t, s, "a")
	got[1] = 'X'
	if again := read(t, s, "a"); string(again) != "original" {
		t.Errorf("the object became %q", again)
	}
}
