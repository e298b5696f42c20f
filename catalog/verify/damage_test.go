package verify_test

import (
	"context"
	"fmt"
	"iter"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"pitr"
	"pitr/catalog"
	"pitr/catalog/verify"
	"pitr/format"
	"pitr/internal/sample"
	"pitr/storage"
)

// small makes a repository with every kind of object, each as small as it can be.
func small(t testing.TB) *storage.Memory {
	t.Helper()
	store := storage.NewMemory()
	sample.Whole(t, store)
	return store
}

// bent is a store with one object that is not what was written.
type bent struct {
	storage.Store
	name string
	data []byte
	gone bool
	// brief leaves out of listings what has nothing to do with the object, so that a hundred thousand runs end soon: what is
	// left is a sound repository, too.
	brief bool
}

// apart are the folders that the archive and snapshots can do without.
var apart = []string{"condemned/", "holds/", "jobs/", "leases/", "marks/"}

func (b *bent) hides(name string) bool {
	within := func(name string) func(string) bool {
		return func(folder string) bool { return strings.HasPrefix(name, folder) }
	}
	return b.brief && !slices.ContainsFunc(apart, within(b.name)) && slices.ContainsFunc(apart, within(name))
}

func (b *bent) Read(ctx context.Context, name string, offset, n int64) ([]byte, error) {
	if name != b.name {
		return b.Store.Read(ctx, name, offset, n)
	}
	if b.gone {
		return nil, storage.NotFound("read", name)
	}
	n, err := storage.Span(name, int64(len(b.data)), offset, n)
	if err != nil {
		return nil, err
	}
	return slices.Clone(b.data[offset : offset+n]), nil
}

func (b *bent) Stat(ctx context.Context, name string) (storage.Object, error) {
	object, err := b.Store.Stat(ctx, name)
	if name == b.name {
		if b.gone {
			return storage.Object{}, storage.NotFound("stat", name)
		}
		object.Size, object.SHA256 = int64(len(b.data)), ""
	}
	return object, err
}

func (b *bent) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Object, error] {
	return func(yield func(storage.Object, error) bool) {
		for object, err := range b.Store.List(ctx, prefix, after) {
			if b.hides(object.Name) {
				continue
			}
			if object.Name == b.name {
				if b.gone {
					continue
				}
				object.Size = int64(len(b.data))
			}
			if !yield(object, err) {
				return
			}
		}
	}
}

// detects reports whether opening or verifying finds damage, and what it says about it first.
func detects(ctx context.Context, store storage.Store) (verify.Finding, error) {
	repository, err := catalog.Open(ctx, store, catalog.OpenOptions{})
	if err != nil {
		if kind := pitr.KindOf(err); kind == pitr.KindCorrupt || kind == pitr.KindNotFound {
			return verify.Finding{Kind: verify.Damaged, Object: "pitr.json", Where: "text"}, nil
		}
		return verify.Finding{}, err
	}
	for finding, err := range verify.Run(ctx, repository, verify.Options{Level: verify.LevelContent}) {
		if err != nil || finding.IsDamage() {
			return finding, err
		}
	}
	return verify.Finding{}, nil
}

// contents gives the names and bytes of all objects of a store.
func contents(t testing.TB, store storage.Store) (names []string, data map[string][]byte) {
	t.Helper()
	data = map[string][]byte{}
	for object, err := range store.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		content, err := store.Read(t.Context(), object.Name, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, object.Name)
		data[object.Name] = content
	}
	return names, data
}

// damage is one way to spoil one object.
type damage struct {
	name  string
	what  string
	data  []byte
	brief bool
}

// each runs every damage against the repository, and tells of those that nobody finds or that are laid at the wrong door.
func each(t *testing.T, store storage.Store, damages iter.Seq[damage]) int {
	t.Helper()
	work := make(chan damage, 64)
	var wait sync.WaitGroup
	for range max(2, runtime.GOMAXPROCS(0)) {
		wait.Go(func() {
			for d := range work {
				finding, err := detects(t.Context(), &bent{Store: store, name: d.name, data: d.data, brief: d.brief})
				switch {
				case err != nil:
					t.Errorf("%s, %s: %v", d.name, d.what, err)
				case !finding.IsDamage():
					t.Errorf("%s, %s: nobody found it", d.name, d.what)
				case finding.Object != d.name && !strings.HasPrefix(d.name, finding.Object):
					t.Errorf("%s, %s: laid at the door of %s", d.name, d.what, finding)
				case finding.Where == "":
					t.Errorf("%s, %s: %s does not say where", d.name, d.what, finding)
				}
			}
		})
	}
	count := 0
	for d := range damages {
		work <- d
		count++
		if t.Failed() && count > 2000 {
			break
		}
	}
	close(work)
	wait.Wait()
	return count
}

// stride is how many damages are left out between two: none by default, some in a short run.
func stride() int {
	if n, err := strconv.Atoi(os.Getenv("PITR_DAMAGE_STRIDE")); err == nil && n > 0 {
		return n
	}
	if testing.Short() {
		return 61
	}
	return 1
}

func TestASoundRepositoryIsFoundSound(t *testing.T) {
	store := small(t)
	for _, name := range []string{"", "oplog/"} {
		if finding, err := detects(t.Context(), &bent{Store: store, name: name, brief: name != ""}); err != nil || finding.IsDamage() {
			t.Fatalf("%s, %v", finding, err)
		}
	}
}

// case I01: each bit of every object.
func TestEveryFlippedBitIsFound(t *testing.T) {
	store := small(t)
	names, data := contents(t, store)
	step := stride()
	count := each(t, store, func(yield func(damage) bool) {
		for _, name := range names {
			for bit := 0; bit < 8*len(data[name]); bit += step {
				bad := slices.Clone(data[name])
				bad[bit/8] ^= 1 << (bit % 8)
				if !yield(damage{name: name, what: fmt.Sprintf("bit %d of byte %d", bit%8, bit/8), data: bad, brief: true}) {
					return
				}
			}
		}
	})
	t.Logf("%d bits of %d objects", count, len(names))
}

// case I02: each object cut at each length, also to nothing.
func TestEveryTruncationIsFound(t *testing.T) {
	store := small(t)
	names, data := contents(t, store)
	step := stride()
	count := each(t, store, func(yield func(damage) bool) {
		for _, name := range names {
			for size := 0; size < len(data[name]); size += step {
				if !yield(damage{name: name, what: fmt.Sprintf("cut to %d bytes", size), data: data[name][:size], brief: true}) {
					return
				}
			}
		}
	})
	t.Logf("%d lengths of %d objects", count, len(names))
}

// case I03: bytes behind every object, among them a second container.
func TestEveryAppendedByteIsFound(t *testing.T) {
	store := small(t)
	names, data := contents(t, store)
	each(t, store, func(yield func(damage) bool) {
		for _, name := range names {
			for _, more := range [][]byte{{0}, {'\n'}, {' '}, []byte("}\n"), data[name], {0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}, frame(t, data)} {
				if !yield(damage{name: name, what: fmt.Sprintf("%d bytes behind it", len(more)), data: slices.Concat(data[name], more)}) {
					return
				}
			}
		}
	})
}

// frame gives a valid zstd frame: the first of a chunk.
func frame(t testing.TB, data map[string][]byte) []byte {
	t.Helper()
	for name, content := range data {
		parsed, err := format.ParseName(name)
		if err != nil || parsed.Kind() != format.KindChunk {
			continue
		}
		container, err := format.OpenContainer(content, format.Expect{Name: parsed})
		if err != nil {
			t.Fatal(err)
		}
		return content[:container.Frames()[0].Stored]
	}
	t.Fatal("no chunk")
	return nil
}

// case I04, I05, I07: every object under the name of every other one, whatever its size, kind or owner.
func TestEverySwapIsFound(t *testing.T) {
	store := small(t)
	names, data := contents(t, store)
	count := each(t, store, func(yield func(damage) bool) {
		for _, name := range names {
			for _, other := range names {
				if other != name && !yield(damage{name: name, what: "it holds " + other, data: data[other]}) {
					return
				}
			}
		}
	})
	t.Logf("%d swaps", count)
}

// case I06: each object deleted. Those that nobody can miss, because nothing names them, are listed here, each with a reason.
func TestEveryDeletionIsFoundThatCanBe(t *testing.T) {
	store := small(t)
	names, _ := contents(t, store)
	unmissed := map[format.Kind]string{
		format.KindMark:      "a mark is named by nothing but people",
		format.KindHold:      "a hold that is lifted is deleted",
		format.KindCondemned: "a list that prune is done with is deleted",
		format.KindLease:     "old generations are deleted",
		format.KindManifest:  "a snapshot without a manifest was not published; its objects are listed as unreferenced",
		format.KindResult:    "a job without a result has not ended",
		format.KindChanges:   "a job without changes.json has no change set yet; its parts are listed as unreferenced",
		format.KindReview:    "a review without its object was not published; its parts are listed as unreferenced",
		format.KindStep:      "the last step has none behind it",
		format.KindPlaybook:  "the last entry has none behind it",
		format.KindSegment:   "behind the last segment the archive simply ends",
	}
	passed := map[format.Kind]int{}
	for _, name := range names {
		parsed, err := format.ParseName(name)
		if err != nil {
			continue
		}
		finding, err := detects(t.Context(), &bent{Store: store, name: name, gone: true})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if finding.IsDamage() {
			continue
		}
		if passed[parsed.Kind()]++; unmissed[parsed.Kind()] == "" || passed[parsed.Kind()] > 1 {
			t.Errorf("%s deleted: nobody misses it", name)
		}
	}
}
