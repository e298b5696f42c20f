package snapshot_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/snapshot"
	"pitr/storage"
)

// readBack opens a snapshot and reads it in every way; it fails with what a reader is told, or when documents are wrong.
func readBack(t *testing.T, repository *catalog.Repository, id format.ID, want map[string][]bson.Raw) error {
	t.Helper()
	ctx := t.Context()
	reader, err := snapshot.Open(ctx, repository, id)
	if err != nil {
		return err
	}
	var failure error
	for _, c := range reader.Collections() {
		all := want[c.NS.String()]
		var got []bson.Raw
		err := error(nil)
		for document, scanErr := range reader.Scan(ctx, c) {
			if err = scanErr; err != nil {
				break
			}
			got = append(got, slices.Clone(document.Raw))
		}
		if err == nil && !slices.EqualFunc(got, all, func(a, b bson.Raw) bool { return bytes.Equal(a, b) }) {
			t.Errorf("%s: other documents than those that were stored, and no error", c.NS)
		}
		failure = errors.Join(failure, err, reader.Check(ctx, c))
		// A few keys are looked up by ranges, all of them in whole partitions.
		for _, step := range []int{1 + len(all)/7, 1} {
			failure = errors.Join(failure, lookUp(t, reader, c, all, step))
		}
	}
	return failure
}

func lookUp(t *testing.T, reader *snapshot.Reader, c format.CollectionRecord, all []bson.Raw, step int) error {
	t.Helper()
	var keys []pitr.Key
	want := map[string]bson.Raw{}
	for i := 0; i < len(all); i += step {
		key, _ := pitr.KeyOf(all[i])
		keys = append(keys, key)
		want[key.Equal()] = all[i]
	}
	for document, err := range reader.Lookup(t.Context(), c, keys) {
		if err != nil {
			return err
		}
		key, _ := pitr.KeyOf(document.Raw)
		if !bytes.Equal(document.Raw, want[key.Equal()]) {
			t.Errorf("%s: a look-up found what was not stored", c.NS)
		}
		delete(want, key.Equal())
	}
	if len(want) != 0 {
		t.Errorf("%s: %d keys were not found, and no error", c.NS, len(want))
	}
	return nil
}

// TestDamageIsNoticed changes single bits of every object of a snapshot, cuts objects, and lets them trade places. Nobody may
// be given a wrong document. // case I01, I02, I04
func TestDamageIsNoticed(t *testing.T) {
	store := storage.NewMemory()
	repository := newRepository(t, store)
	source := newFake()
	o := optionsFor(t, repository)
	o.Workers = 1
	manifest, err := snapshot.Take(t.Context(), source, repository, o)
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string][]byte{}
	for object, err := range store.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		data, err := store.Read(t.Context(), object.Name, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		objects[object.Name] = data
	}
	with := func(change map[string][]byte) error {
		copied := storage.NewMemory()
		for name, data := range objects {
			if changed, ok := change[name]; ok {
				data = changed
			}
			if err := copied.Create(t.Context(), name, data); err != nil {
				t.Fatal(err)
			}
		}
		opened, err := catalog.Open(t.Context(), copied, catalog.OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return readBack(t, opened, manifest.ID, source.documents)
	}
	if err := with(nil); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 1))
	var chunks []string
	for name, data := range objects {
		if !strings.HasPrefix(name, format.SnapshotsPrefix) {
			continue
		}
		if strings.Contains(name, "/data-") {
			chunks = append(chunks, name)
		}
		for range 12 {
			flipped := slices.Clone(data)
			at := random.IntN(len(data))
			flipped[at] ^= 1 << random.IntN(8)
			if err := with(map[string][]byte{name: flipped}); pitr.KindOf(firstOf(err)) != pitr.KindCorrupt && pitr.KindOf(firstOf(err)) != pitr.KindUnsupported {
				t.Errorf("%s with a flipped bit at %d of %d: %v", name, at, len(data), err)
			}
		}
		for _, length := range []int{0, 1, len(data) / 2, len(data) - 1} {
			if err := with(map[string][]byte{name: data[:length]}); pitr.KindOf(firstOf(err)) != pitr.KindCorrupt {
				t.Errorf("%s cut to %d of %d: %v", name, length, len(data), err)
			}
		}
	}
	if len(chunks) < 1 {
		t.Fatal("no chunks")
	}
	for name := range objects {
		if strings.HasPrefix(name, format.SnapshotsPrefix) && name != chunks[0] {
			err := with(map[string][]byte{name: objects[chunks[0]], chunks[0]: objects[name]})
			if pitr.KindOf(firstOf(err)) != pitr.KindCorrupt {
				t.Errorf("%s and %s traded places: %v", name, chunks[0], err)
			}
		}
	}
}

// firstOf gives the first of joined errors.
func firstOf(err error) error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) && len(joined.Unwrap()) > 0 {
		return firstOf(joined.Unwrap()[0])
	}
	return err
}
