package snapshot_test

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/snapshot"
	"pitr/storage"
	"pitr/storage/storagetest"
)

func take(t *testing.T, source *fake) (*snapshot.Reader, format.Manifest) {
	t.Helper()
	repository := newRepository(t, storage.NewMemory())
	manifest, err := snapshot.Take(t.Context(), source, repository, optionsFor(t, repository))
	if err != nil {
		t.Fatal(err)
	}
	reader, err := snapshot.Open(t.Context(), repository, manifest.ID)
	if err != nil {
		t.Fatal(err)
	}
	return reader, manifest
}

// documentsOf reads a collection of a snapshot and copies it out.
func documentsOf(t *testing.T, reader *snapshot.Reader, c format.CollectionRecord) []bson.Raw {
	t.Helper()
	var got []bson.Raw
	for document, err := range reader.Scan(t.Context(), c) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, slices.Clone(document.Raw))
	}
	return got
}

func mustEqual(t *testing.T, what string, got, want []bson.Raw) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d documents, not %d", what, len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("%s: document %d is %s, not %s", what, i, got[i], want[i])
		}
	}
}

func TestSnapshotGivesBackWhatWasRead(t *testing.T) {
	source := newFake()
	source.open = pitr.OpTime{TS: 950, Term: 1}
	source.afterScan = func() { source.clock += 10 }
	reader, manifest := take(t, source)

	if manifest.Exact != format.ExactOneTime || manifest.From != 1000 || manifest.At != 1000 {
		t.Errorf("exact %q from %s at %s", manifest.Exact, manifest.From, manifest.At)
	}
	span := manifest.Oplog
	if span == nil || span.Window != (pitr.Window{After: 949, Through: 1000}) ||
		span.AfterDigest != format.Sum(entryAt(949)) || span.ThroughDigest != format.Sum(entryAt(1000)) {
		t.Errorf("the span is %+v", span)
	}
	if manifest.Cluster.Name != "test" || manifest.Operator != "me@here" || manifest.Finished.IsZero() {
		t.Errorf("the manifest says %+v", manifest)
	}
	for _, scan := range source.scans {
		if scan.At != 1000 || scan.After != 1000 {
			t.Errorf("%s was read at %s after %s", scan.Collection.NS, scan.At, scan.After)
		}
	}
	collections := reader.Collections()
	if len(collections) != len(source.collections) {
		t.Fatalf("%d collections", len(collections))
	}
	for i, c := range collections {
		want := source.collections[i]
		if c.NS != want.NS || c.UUID != want.UUID || c.Type != want.Type || !bytes.Equal(c.Options, want.Options) {
			t.Errorf("collection %+v is not %+v", c.Collection, want)
		}
		mustEqual(t, c.NS.String(), documentsOf(t, reader, c), source.documents[c.NS.String()])
		if err := reader.Check(t.Context(), c); err != nil {
			t.Error(err)
		}
		if c.Sum == nil || !c.Sum.Equal(c.Stored) {
			t.Errorf("%s is exact at one time and has no sum", c.NS)
		}
	}
	if big, few := collections[0], collections[1]; big.KeyBits != 0 || few.KeyBits != format.KeysLeftOut {
		t.Errorf("key bits of big %d and of few %d", big.KeyBits, few.KeyBits)
	}
}

func TestLookupReadsWhatItNeeds(t *testing.T) {
	source := newFake()
	reader, _ := take(t, source)
	big := reader.Collections()[0]
	before := reader.BytesRead()
	var keys []pitr.Key
	want := map[string]bson.Raw{}
	for _, i := range []int{0, 17, 4500, 8999} {
		key, err := pitr.KeyOf(source.documents["a.big"][i])
		if err != nil {
			t.Fatal(err)
		}
		// The same key in another number type.
		_, value, _ := bson.MarshalValue(float64(i))
		alike, err := pitr.NewKey(bson.RawValue{Type: bson.TypeDouble, Value: value})
		if err != nil || alike.Equal() != key.Equal() {
			t.Fatal(err)
		}
		keys = append(keys, alike)
		want[key.Equal()] = source.documents["a.big"][i]
	}
	_, value, _ := bson.MarshalValue("absent")
	absent, _ := pitr.NewKey(bson.RawValue{Type: bson.TypeString, Value: value})
	got := 0
	for document, err := range reader.Lookup(t.Context(), big, append(keys, absent)) {
		if err != nil {
			t.Fatal(err)
		}
		key, _ := pitr.KeyOf(document.Raw)
		if !bytes.Equal(document.Raw, want[key.Equal()]) || document.Since != 1000 {
			t.Errorf("%s since %s", document.Raw, document.Since)
		}
		got++
	}
	if got != len(want) {
		t.Errorf("%d documents of %d", got, len(want))
	}
	if read := reader.BytesRead() - before; read == 0 || read > 400_000 {
		t.Errorf("%d bytes were read", read)
	}
	few := reader.Collections()[3]
	key, _ := pitr.KeyOf(source.documents["b.few"][7])
	for document, err := range reader.Lookup(t.Context(), few, []pitr.Key{key}) {
		if err != nil || !bytes.Equal(document.Raw, source.documents["b.few"][7]) {
			t.Errorf("%s, %v", document.Raw, err)
		}
		got++
	}
	if got != len(want)+1 {
		t.Error("the look-up without an index found nothing")
	}
}

// TestScansThatBreakOff walks the ways in which a scan ends early. // case D03
func TestScansThatBreakOff(t *testing.T) {
	const big = "a.big"
	for _, c := range []struct {
		name   string
		breaks []interruption
		exact  format.Exactness
		stored int64 // documents of big that lie in the snapshot, with copies
		gone   bool
	}{
		{"cursor killed", []interruption{{1400, pitr.ErrCursorGone}, {0, pitr.ErrCursorGone}, {2100, pitr.ErrCursorGone}},
			format.ExactOneTime, 9000, false},
		{"no moment at all", []interruption{{0, pitr.ErrMomentUnsupported}}, format.ExactThroughOplog, 9000, false},
		{"moment too old", []interruption{{2100, pitr.ErrMomentGone}}, format.ExactThroughOplog, 9000, false},
		{"moment never", []interruption{{0, pitr.ErrMomentGone}, {0, pitr.ErrMomentGone}, {0, pitr.ErrMomentGone},
			{0, pitr.ErrMomentGone}, {0, pitr.ErrMomentGone}}, format.ExactThroughOplog, 9000, false},
		{"place gone", []interruption{{2100, pitr.ErrCursorGone}, {0, pitr.ErrResumeGone}}, format.ExactThroughOplog, 9700, false},
		{"every place gone", []interruption{{1400, pitr.ErrCursorGone}, {0, pitr.ErrResumeGone}, {0, pitr.ErrResumeGone}},
			format.ExactThroughOplog, 10400, false},
		{"collection gone", []interruption{{2100, pitr.ErrCollectionGone}}, format.ExactThroughOplog, 2100, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			source := newFake()
			source.breaks[big] = c.breaks
			source.afterScan = func() { source.clock++ }
			reader, manifest := take(t, source)
			if manifest.Exact != c.exact {
				t.Errorf("exact %q", manifest.Exact)
			}
			if exact := manifest.At == manifest.From; exact != (c.exact == format.ExactOneTime) {
				t.Errorf("from %s at %s", manifest.From, manifest.At)
			}
			for _, found := range reader.Collections() {
				want := source.documents[found.NS.String()]
				if found.NS.String() == big {
					if found.Stored.Documents != c.stored {
						t.Errorf("%d documents lie there, not %d", found.Stored.Documents, c.stored)
					}
					want = want[:min(int64(len(want)), c.stored)]
				}
				mustEqual(t, found.NS.String(), sorted(documentsOf(t, reader, found)), sorted(want))
				if err := reader.Check(t.Context(), found); err != nil {
					t.Error(err)
				}
				if (found.Sum != nil) != (c.exact == format.ExactOneTime) {
					t.Errorf("%s has the sum %v", found.NS, found.Sum)
				}
			}
		})
	}
}

// TestLaterCopyWins reads a document again after it changed, by scan and by key.
func TestLaterCopyWins(t *testing.T) {
	source := newFake()
	changed := raw(bson.D{{Key: "_id", Value: 100.0}, {Key: "new", Value: true}})
	source.breaks["a.big"] = []interruption{{2100, pitr.ErrCursorGone}, {0, pitr.ErrResumeGone}, {0, pitr.ErrResumeGone}, {0, pitr.ErrResumeGone}}
	calls := 0
	source.breaks["a.few"] = nil
	old := source.documents["a.big"]
	source.documents["a.big"] = slices.Concat(old, []bson.Raw{changed})
	source.afterScan = func() { calls++ }
	reader, _ := take(t, source)
	big := reader.Collections()[0]
	want := slices.Concat(old[:100], old[101:], []bson.Raw{changed})
	mustEqual(t, "big", sorted(documentsOf(t, reader, big)), sorted(want))
	key, _ := pitr.KeyOf(changed)
	n := 0
	for document, err := range reader.Lookup(t.Context(), big, []pitr.Key{key}) {
		if err != nil || !bytes.Equal(document.Raw, changed) {
			t.Errorf("%s, %v", document.Raw, err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("%d copies", n)
	}
}

func sorted(documents []bson.Raw) []bson.Raw {
	return slices.SortedFunc(slices.Values(documents), func(a, b bson.Raw) int { return bytes.Compare(a, b) })
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name string
		kind pitr.Kind
		with func(*fake, *snapshot.Options, *catalog.Repository)
	}{
		{"no room", pitr.KindLimit, func(_ *fake, o *snapshot.Options, _ *catalog.Repository) {
			o.Free = func(context.Context) (int64, error) { return 1000, nil }
		}},
		{"viewless time series", pitr.KindUnsupported, func(f *fake, _ *snapshot.Options, _ *catalog.Repository) {
			f.collections[1].Type = pitr.TypeTimeseries
		}},
		{"oplog rolled over", pitr.KindHole, func(f *fake, o *snapshot.Options, _ *catalog.Repository) { // case D04
			f.breaks["a.big"] = []interruption{{700, pitr.ErrMomentGone}}
			f.afterScan = func() { f.clock += 100 }
			archiver, _ := o.Archive.(*archive)
			archiver.skip = pitr.Window{After: 1050, Through: 1060}
		}},
		{"a job writes", pitr.KindLocked, func(_ *fake, _ *snapshot.Options, r *catalog.Repository) { // case W15
			lease, err := r.Lease(t.Context(), catalog.LeaseWrite, catalog.LeaseOptions{Holder: "other@there"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = lease.Release(context.Background()) })
		}},
		{"the server has no tokens", pitr.KindUnavailable, func(f *fake, o *snapshot.Options, _ *catalog.Repository) {
			f.server.Ability = pitr.AbilityDocuments
			f.breaks["a.big"] = []interruption{{700, pitr.ErrCursorGone}}
		}},
		{"it breaks off for ever", pitr.KindUnavailable, func(f *fake, _ *snapshot.Options, _ *catalog.Repository) {
			f.breaks["a.big"] = slices.Repeat([]interruption{{0, pitr.ErrCursorGone}}, 20)
		}},
		{"a document without _id", pitr.KindUnsupported, func(f *fake, _ *snapshot.Options, _ *catalog.Repository) {
			f.documents["a.few"] = append(f.documents["a.few"], raw(bson.D{{Key: "id", Value: 1}}))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			repository := newRepository(t, storage.NewMemory())
			source, o := newFake(), optionsFor(t, repository)
			c.with(source, &o, repository)
			_, err := snapshot.Take(t.Context(), source, repository, o)
			if pitr.KindOf(err) != c.kind || pitr.HintOf(err) == "" {
				t.Errorf("kind %q, hint %q: %v", pitr.KindOf(err), pitr.HintOf(err), err)
			}
			mustSeeNothing(t, repository)
		})
	}
}

func mustSeeNothing(t *testing.T, repository *catalog.Repository) {
	t.Helper()
	snapshots, err := repository.Snapshots(context.Background())
	if err != nil || len(snapshots.Items) != 0 || len(snapshots.Damaged) != 0 {
		t.Errorf("what failed can be seen: %+v, %v", snapshots, err)
	}
}

// TestInterruptedAtEachCreate stops a run at every object it creates, by an error and by a context. // case C01
func TestInterruptedAtEachCreate(t *testing.T) {
	for n, creates := 1, countCreates(t); n <= creates; n++ {
		for _, effect := range []string{"fails", "interrupted", "reply lost"} {
			store := storage.NewMemory()
			repository := newRepository(t, store)
			ctx, cancel := context.WithCancelCause(t.Context())
			faulty := storagetest.Faulty(t, store, storagetest.Fault{Op: storagetest.Create, Nth: n,
				Effect: func(_ context.Context, _ *storagetest.Call, do func() error) error {
					switch effect {
					case "fails":
						return pitr.Errorf(pitr.KindUnavailable, "create", "", "cut")
					case "interrupted":
						cancel(pitr.Errorf(pitr.KindInterrupted, "", "", "a person pressed Ctrl-C"))
						return do()
					}
					_ = do()
					return pitr.Errorf(pitr.KindUnavailable, "create", "", "cut")
				}})
			opened, err := catalog.Open(ctx, faulty, catalog.OpenOptions{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = snapshot.Take(ctx, newFake(), opened, optionsFor(t, opened))
			// The last object is the lease that is given back, the one before it the manifest.
			if err == nil && n < creates-1 {
				t.Errorf("create %d of %d %s and the run did not fail", n, creates, effect)
			}
			mustSeeNothingHalf(t, repository, effect != "fails" && n >= creates-1 || n == creates)
		}
	}
}

// mustSeeNothingHalf allows a whole snapshot where the manifest may have been created, and nothing otherwise.
func mustSeeNothingHalf(t *testing.T, repository *catalog.Repository, mayBeWhole bool) {
	t.Helper()
	snapshots, err := repository.Snapshots(context.Background())
	if err != nil || len(snapshots.Damaged) != 0 {
		t.Fatalf("%+v, %v", snapshots, err)
	}
	if len(snapshots.Items) == 0 {
		return
	}
	if !mayBeWhole {
		t.Fatal("what was interrupted can be seen")
	}
	reader, err := snapshot.Open(t.Context(), repository, snapshots.Items[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range reader.Collections() {
		if err := reader.Check(t.Context(), c); err != nil {
			t.Error(err)
		}
	}
}

func countCreates(t *testing.T) int {
	counted := storagetest.Counted(storage.NewMemory())
	repository := newRepository(t, counted)
	before := counted.Count(storagetest.Create, "")
	if _, err := snapshot.Take(t.Context(), newFake(), repository, optionsFor(t, repository)); err != nil {
		t.Fatal(err)
	}
	creates := counted.Count(storagetest.Create, "") - before
	if creates < 8 {
		t.Fatalf("only %d objects are created", creates)
	}
	return creates
}

// TestStoreThatKeepsOtherBytes is told that all went well by a store that lies. // case I11, I12
func TestStoreThatKeepsOtherBytes(t *testing.T) {
	for _, name := range []string{"snapshots/*/data-*", "snapshots/*/keys-*", "snapshots/*/catalog-*", "snapshots/*/manifest.json"} {
		for _, fault := range []storagetest.Fault{
			{Op: storagetest.Create, Effect: storagetest.Flip(100)}, {Op: storagetest.Create, Effect: storagetest.Truncate(80)},
			// What the store says of the object is right: only who reads it back sees that it is not.
			{Op: storagetest.Read, Effect: storagetest.Flip(100)},
		} {
			fault.Name = name
			store := storage.NewMemory()
			newRepository(t, store)
			opened, err := catalog.Open(t.Context(), storagetest.Faulty(t, store, fault), catalog.OpenOptions{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = snapshot.Take(t.Context(), newFake(), opened, optionsFor(t, opened))
			if pitr.KindOf(err) != pitr.KindCorrupt {
				t.Errorf("%s: kind %q: %v", name, pitr.KindOf(err), err)
			}
		}
	}
}
