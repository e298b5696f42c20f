package verify_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/catalog/verify"
	"pitr/format"
	"pitr/internal/sample"
	"pitr/storage"
	"pitr/storage/storagetest"
)

// found collects what a verification says, and its last error.
func found(t *testing.T, repository *catalog.Repository, o verify.Options) (findings []verify.Finding, err error) {
	t.Helper()
	for finding, failed := range verify.Run(t.Context(), repository, o) {
		if failed != nil {
			err = failed
			continue
		}
		findings = append(findings, finding)
	}
	return findings, err
}

// content is a verification of everything down to the documents.
var content = verify.Options{Level: verify.LevelContent}

// mustFind fails unless there is one finding, of this kind and with this text, and the error that goes with it.
func mustFind(t *testing.T, findings []verify.Finding, err error, kind verify.Kind, text string) {
	t.Helper()
	if len(findings) != 1 || findings[0].Kind != kind || !strings.Contains(findings[0].String(), text) {
		t.Fatalf("found %v, want one that is %s with %q", findings, kind, text)
	}
	want := pitr.KindUnexpected
	switch {
	case findings[0].IsDamage():
		want = pitr.KindCorrupt
	case kind == verify.Newer:
		want = pitr.KindUnsupported
	}
	if pitr.KindOf(err) != want || want == "" && err != nil || want != "" && pitr.HintOf(err) == "" {
		t.Fatalf("ended with %v, want kind %q", err, want)
	}
}

// case I07, I13, I23: records and totals that do not fit, with digests that do.
func TestACatalogThatDoesNotAddUp(t *testing.T) {
	for name, c := range map[string]struct {
		catalog  func(c *catalog.Catalog)
		manifest func(m *format.Manifest)
		text     string
	}{
		"a chunk twice":                 {catalog: func(c *catalog.Catalog) { c.Chunks = append(c.Chunks, c.Chunks[0]) }, text: "twice"},
		"two collections of one number": {catalog: func(c *catalog.Catalog) { c.Collections[1].Number = 0 }, text: "number 0"},
		"one document too many":         {manifest: func(m *format.Manifest) { m.Objects.Documents++ }, text: "the manifest says"},
		"one byte too few":              {manifest: func(m *format.Manifest) { m.Objects.Bytes-- }, text: "the manifest says"},
		"stored bytes":                  {manifest: func(m *format.Manifest) { m.Objects.Stored++ }, text: "the manifest says"},
		"one chunk too many":            {manifest: func(m *format.Manifest) { m.Objects.Chunks++ }, text: "the manifest says"},
		"documents of a chunk":          {catalog: func(c *catalog.Catalog) { c.Chunks[0].Documents++ }, text: "the collections add up"},
		"documents of a collection":     {catalog: func(c *catalog.Catalog) { c.Collections[0].Stored.Documents++ }, text: "the collections add up"},
		"documents moved about": {catalog: func(c *catalog.Catalog) {
			c.Collections[0].Stored.Documents++
			c.Collections[1].Stored.Documents--
		}, text: "adds up to"},
		"the sum of a collection": {catalog: func(c *catalog.Catalog) { c.Collections[1].Stored.Low++ }, text: "adds up to"},
		"the sum at E":            {catalog: func(c *catalog.Catalog) { c.Collections[1].Sum.Low++ }, text: "another sum at E"},
		"no sum at E":             {catalog: func(c *catalog.Catalog) { c.Collections[1].Sum = nil }, text: "another sum at E"},
		"counts moved between chunks": {catalog: func(c *catalog.Catalog) {
			c.Chunks[0].Documents, c.Chunks[1].Documents = c.Chunks[1].Documents, c.Chunks[0].Documents
		}, text: "the catalog says"},
		"time of a chunk":          {catalog: func(c *catalog.Catalog) { c.Chunks[0].At++ }, text: "its time is"},
		"collections of a chunk":   {catalog: func(c *catalog.Catalog) { c.Chunks[0].Collections = []int{0, 1} }, text: "2"},
		"no collection of a chunk": {catalog: func(c *catalog.Catalog) { c.Chunks[0].Collections = []int{1} }, text: "does not lie there"},
		"partitions":               {catalog: func(c *catalog.Catalog) { c.Collections[0].KeyBits = 1 }, text: "2^0"},
		"an index nobody knows":    {catalog: func(c *catalog.Catalog) { c.Collections[0].KeyBits = format.KeysLeftOut }, text: "2^0"},
		"a digest":                 {catalog: func(c *catalog.Catalog) { c.Chunks[0].SHA256[0]++ }, text: "not those that were written"},
		"entries of a partition":   {catalog: func(c *catalog.Catalog) { c.Keys[0].Documents++ }, text: "entries"},
		"another time than E":      {manifest: func(m *format.Manifest) { m.At++ }, text: "read at 0:7"},
	} {
		t.Run(name, func(t *testing.T) {
			m := sample.New(t, storage.NewMemory())
			branch := m.Branch()
			m.Segment(branch, 0, 5, 6, 7)
			m.Snapshot(sample.Shape{Branch: branch, From: 6, At: 7, Exact: format.ExactOneTime,
				Oplog:       &format.Span{Window: pitr.Window{After: 6, Through: 7}},
				Collections: [][]bson.Raw{m.Documents(1, 3), m.Documents(1, 4)}, Catalog: c.catalog, Manifest: c.manifest})
			findings, err := found(t, m.R, content)
			if len(findings) == 0 || pitr.KindOf(err) != pitr.KindCorrupt {
				t.Fatalf("found nothing, ended with %v", err)
			}
			if !strings.Contains(fmt.Sprint(findings), c.text) {
				t.Errorf("found %v, want %q", findings, c.text)
			}
		})
	}
}

// case I14
func TestADocumentThatStandsThereTwice(t *testing.T) {
	for name, c := range map[string]struct {
		shape  sample.Shape
		memory int64
		twice  bool
	}{
		"by the index":            {shape: sample.Shape{Exact: format.ExactOneTime}, twice: true},
		"without an index":        {shape: sample.Shape{Exact: format.ExactOneTime, NoKeys: true}, twice: true},
		"in several passes":       {shape: sample.Shape{Exact: format.ExactOneTime, NoKeys: true}, memory: 64, twice: true},
		"legal through the oplog": {shape: sample.Shape{Exact: format.ExactThroughOplog}},
	} {
		for _, double := range []bool{true, false} {
			t.Run(fmt.Sprint(name, double), func(t *testing.T) {
				m := sample.New(t, storage.NewMemory())
				branch := m.Branch()
				m.Segment(branch, 0, 5, 6, 7)
				documents := m.Documents(1, 40)
				if double {
					// The same key for a server, with other bytes, in another chunk.
					documents = append(documents, m.BSON(bson.D{{Key: "_id", Value: 17.0}}))
				}
				c.shape.Branch, c.shape.From, c.shape.At, c.shape.Chunks = branch, 5, 7, 3
				c.shape.Oplog = &format.Span{Window: pitr.Window{After: 5, Through: 7}}
				c.shape.Collections = [][]bson.Raw{documents, m.Documents(1, 2)}
				m.Snapshot(c.shape)
				findings, err := found(t, m.R, verify.Options{Level: verify.LevelContent, Memory: c.memory})
				if c.twice && double {
					mustFind(t, findings, err, verify.Disagrees, "twice, with _id")
				} else if len(findings) > 0 || err != nil {
					t.Errorf("found %v, %v", findings, err)
				}
			})
		}
	}
}

// An index that is sound by itself and does not say where the documents lie.
func TestAKeyIndexOfOtherDocuments(t *testing.T) {
	for name, edit := range map[string]func(entries []format.KeyEntry) []format.KeyEntry{
		"one missing":            func(e []format.KeyEntry) []format.KeyEntry { return e[1:] },
		"one too many":           func(e []format.KeyEntry) []format.KeyEntry { return append(e, format.KeyEntry{Key: 1, Document: 2}) },
		"another frame":          func(e []format.KeyEntry) []format.KeyEntry { e[0].Frame++; return e },
		"another document":       func(e []format.KeyEntry) []format.KeyEntry { e[1].Document++; return e },
		"one instead of another": func(e []format.KeyEntry) []format.KeyEntry { e[0] = e[1]; return e },
	} {
		t.Run(name, func(t *testing.T) {
			store := storage.NewMemory()
			m := sample.New(t, store)
			m.Snapshot(sample.Shape{Exact: format.ExactNo, Collections: [][]bson.Raw{m.Documents(1, 5)}, Catalog: func(c *catalog.Catalog) {
				part := c.Keys[0].Part
				keys, err := m.R.KeysAt(t.Context(), part)
				m.Check(err)
				var entries []format.KeyEntry
				for entry, err := range keys.Entries(t.Context()) {
					m.Check(err)
					entries = append(entries, entry)
				}
				sealed, err := format.SealKeys(part.Name, 0, edit(entries))
				m.Check(err)
				m.Check(store.Delete(t.Context(), part.Name.String()))
				c.Keys[0].Part = m.Put(sealed, nil)
			}})
			findings, err := found(t, m.R, content)
			mustFind(t, findings, err, verify.Disagrees, "does not say where its documents lie")
		})
	}
}

// A chunk whose facts are not those of its documents, under digests that fit.
func TestFactsOfOtherDocuments(t *testing.T) {
	for name, edit := range map[string]func(f *format.ChunkFacts){
		"sum":  func(f *format.ChunkFacts) { f.Stored.High++ },
		"time": func(f *format.ChunkFacts) { f.At = 3 },
	} {
		t.Run(name, func(t *testing.T) {
			store := storage.NewMemory()
			m := sample.New(t, store)
			documents := m.Documents(1, 3)
			m.Snapshot(sample.Shape{Exact: format.ExactNo, Collections: [][]bson.Raw{documents}, NoKeys: true, Catalog: func(c *catalog.Catalog) {
				facts := format.ChunkFacts{Stored: c.Collections[0].Stored}
				edit(&facts)
				name := c.Chunks[0].Name
				m.Check(store.Delete(t.Context(), name.String()))
				c.Chunks[0].Part = m.Container(name, facts.BSON(), documents...)
			}})
			findings, err := found(t, m.R, content)
			mustFind(t, findings, err, verify.Damaged, "data-000000")
		})
	}
}

// case D06: what a listing says of the archive, and what only its entries say.
func TestAnArchiveThatDoesNotFit(t *testing.T) {
	for name, c := range map[string]struct {
		make  func(m *sample.Mill, branch format.ID)
		kind  verify.Kind
		text  string
		level verify.Level
	}{
		"a hole without a note": {make: func(m *sample.Mill, b format.ID) { m.Segment(b, 0, 5); m.Segment(b, 8, 9) },
			kind: verify.Missing, text: "no note says why"},
		"a hole with a note": {make: func(m *sample.Mill, b format.ID) {
			m.Segment(b, 0, 5)
			m.Segment(b, 0, 9)
			m.Object(&format.Hole{Branch: b, Window: pitr.Window{After: 5, Through: 8}, Reason: "rolled over"})
		}, kind: verify.Hole, text: "rolled over"},
		"a note for half of it": {make: func(m *sample.Mill, b format.ID) {
			m.Segment(b, 0, 5)
			m.Segment(b, 0, 9)
			m.Object(&format.Hole{Branch: b, Window: pitr.Window{After: 6, Through: 8}, Reason: "rolled over"})
		}, kind: verify.Missing, text: "no note says why"},
		"a bound where they do not join": {make: func(m *sample.Mill, b format.ID) {
			m.Segment(b, 0, 5)
			m.SegmentOf(b, format.SegmentFacts{Prev: sample.Mark(m.Entry(4), 5)}, m.Entry(6))
		}, kind: verify.Disagrees, text: "do not join"},
		"a bound that nobody saw": {make: func(m *sample.Mill, b format.ID) { m.Segment(b, 0, 5); m.Segment(b, 0, 6) },
			kind: verify.Hole, text: "nobody saw"},
		"another entry before": {make: func(m *sample.Mill, b format.ID) {
			m.Segment(b, 0, 5)
			prev := sample.Mark(m.Entry(5), 5)
			prev.Digest[30]++
			m.SegmentOf(b, format.SegmentFacts{Prev: prev}, m.Entry(6))
		}, kind: verify.Disagrees, text: "follows another entry", level: verify.LevelDigests},
		"an overlap with an entry less": {make: func(m *sample.Mill, b format.ID) { m.Segment(b, 0, 5, 6, 7, 8); m.Segment(b, 5, 7) },
			kind: verify.Disagrees, text: "do not agree", level: verify.LevelContent},
		"a branch that nothing describes": {make: func(m *sample.Mill, _ format.ID) { m.Segment(m.ID(), 0, 5) },
			kind: verify.Missing, text: "no branch object"},
		"entries out of order": {make: func(m *sample.Mill, b format.ID) {
			m.SegmentOf(b, format.SegmentFacts{}, m.Entry(5), m.Entry(7), m.Entry(6), m.Entry(8))
		}, kind: verify.Damaged, text: "after", level: verify.LevelContent},
	} {
		t.Run(name, func(t *testing.T) {
			m := sample.New(t, storage.NewMemory())
			c.make(m, m.Branch())
			for level := verify.LevelListing; level <= verify.LevelContent; level++ {
				findings, err := found(t, m.R, verify.Options{Level: level})
				if level >= c.level {
					mustFind(t, findings, err, c.kind, c.text)
				} else if len(findings) > 0 || err != nil {
					t.Errorf("level %d found %v, %v already", level, findings, err)
				}
			}
		})
	}
}

func TestASnapshotNeedsItsWindowOfTheArchive(t *testing.T) {
	for name, c := range map[string]struct {
		span format.Span
		kind verify.Kind
		text string
	}{
		"not covered":       {span: format.Span{Window: pitr.Window{After: 5, Through: 9}}, kind: verify.Missing, text: "does not cover"},
		"another beginning": {span: format.Span{Window: pitr.Window{After: 5, Through: 7}, AfterDigest: format.Sum(nil)}, kind: verify.Disagrees, text: "up to 0:5"},
		"another end":       {span: format.Span{Window: pitr.Window{After: 5, Through: 7}, ThroughDigest: format.Sum(nil)}, kind: verify.Disagrees, text: "up to 0:7"},
	} {
		t.Run(name, func(t *testing.T) {
			m := sample.New(t, storage.NewMemory())
			branch := m.Branch()
			m.Segment(branch, 0, 5, 6, 7)
			manifest := m.Snapshot(sample.Shape{Branch: branch, From: 6, At: 7, Exact: format.ExactOneTime, Oplog: &c.span})
			for _, only := range [][]format.ID{nil, {manifest.ID}} {
				findings, err := found(t, m.R, verify.Options{Level: verify.LevelContent, Only: only})
				mustFind(t, findings, err, c.kind, c.text)
			}
		})
	}
}

// case I06, I20: what is not published, or not there, and who is missed by whom.
func TestWhatIsNotPublished(t *testing.T) {
	m := sample.New(t, storage.NewMemory())
	m.Put(format.SealKeys(m.Name(format.KeysName(m.ID(), 0, 0)), 0, nil))
	findings, err := found(t, m.R, content)
	mustFind(t, findings, err, verify.Unreferenced, "never published, or is being taken")
	if _, err = found(t, m.R, verify.Options{Only: []format.ID{"20251022T092001Z-k3f9q2"}}); pitr.KindOf(err) != pitr.KindNotFound {
		t.Errorf("a snapshot that is not there: %v", err)
	}
	_, err = m.R.PutHold(t.Context(), format.Hold{Snapshot: "20251022T092001Z-k3f9q2"})
	m.Check(err)
	findings, err = found(t, m.R, verify.Options{})
	if pitr.KindOf(err) != pitr.KindCorrupt || !strings.Contains(fmt.Sprint(findings), "names this snapshot") {
		t.Errorf("a held snapshot that is gone: %v, %v", findings, err)
	}
}

// case X21, and what people put there.
func TestStrangers(t *testing.T) {
	for object, kind := range map[string]verify.Kind{
		"README.txt":                            verify.Stranger,
		"snapshots/notes":                       verify.Stranger,
		"Pitr.json":                             verify.Damaged,
		"probe/ABC/once":                        "",
		"branches/20251022T090000Z-ABCDEF.json": verify.Damaged,
	} {
		store := storage.NewMemory()
		m := sample.New(t, store)
		m.Check(store.Create(t.Context(), object, []byte("x")))
		findings, err := found(t, m.R, content)
		if kind == "" {
			if len(findings) > 0 || err != nil {
				t.Errorf("%s: %v, %v", object, findings, err)
			}
			continue
		}
		mustFind(t, findings, err, kind, object)
	}
}

// case I18
func TestLevelZeroReadsNoData(t *testing.T) {
	store := small(t)
	counted := storagetest.Counted(store)
	repository, err := catalog.Open(t.Context(), counted, catalog.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if findings, err := found(t, repository, verify.Options{}); err != nil || len(findings) != 1 || findings[0].Kind != verify.Hole {
		t.Fatalf("found %v, %v", findings, err)
	}
	for _, part := range []string{"/data-", "/keys-", "/changes-", "oplog/"} {
		want := 0
		if part == "oplog/" {
			want = 1 // the note of the hole
		}
		if n := counted.Count(storagetest.Read, part); n != want {
			t.Errorf("%d reads of %s", n, part)
		}
	}
	if counted.Count(storagetest.Read, "catalog-") == 0 {
		t.Error("nothing was read: the count proves nothing")
	}
}

// case I08
func TestOneBadReadIsNoDamage(t *testing.T) {
	store := small(t)
	var script []storagetest.Fault
	for _, part := range []string{"pitr.json", "snapshots/*/data-*", "snapshots/*/keys-*", "snapshots/*/catalog-*", "snapshots/*/manifest.json",
		"oplog/*/*/*.bson.zst", "jobs/*/changes-*", "jobs/*/intent.json", "marks/*"} {
		script = append(script, storagetest.Fault{Op: storagetest.Read, Name: part, Effect: storagetest.Flip(30)})
	}
	repository, err := catalog.Open(t.Context(), storagetest.Faulty(t, store, script...), catalog.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	findings, err := found(t, repository, content)
	mustFind(t, findings, err, verify.Hole, "rolled over")
}

// A store that cannot be reached is no damage: the run ends and says so.
func TestAStoreThatFailsIsNoDamage(t *testing.T) {
	store := small(t)
	down := pitr.Errorf(pitr.KindUnavailable, "read", "", "down")
	faulty := storagetest.Faulty(t, store, storagetest.Fault{Op: storagetest.Read, Name: "snapshots/*/data-*", Effect: storagetest.Fail(down)})
	repository, err := catalog.Open(t.Context(), faulty, catalog.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if findings, err := found(t, repository, content); pitr.KindOf(err) != pitr.KindUnavailable {
		t.Errorf("found %v, ended with %v", findings, err)
	}
}

// case I22: objects of a newer format, deep inside.
func TestNewerObjectsAreNamed(t *testing.T) {
	store := storage.NewMemory()
	m := sample.New(t, store)
	name := m.Name(format.HoldName(m.ID()))
	body := "{\n  \"format\": 2,\n"
	text := body + "  \"sha256\": \"" + format.Sum([]byte(body)).String() + "\"\n}\n"
	m.Check(store.Create(t.Context(), name.String(), []byte(text)))
	findings, err := found(t, m.R, content)
	mustFind(t, findings, err, verify.Newer, "format 2")
	if !strings.Contains(pitr.HintOf(err), "update pitr") {
		t.Errorf("hint %q", pitr.HintOf(err))
	}
}

func TestLevelThreeIsBroughtByOthers(t *testing.T) {
	repository, err := catalog.Open(t.Context(), small(t), catalog.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := found(t, repository, verify.Options{Level: verify.LevelHistory}); pitr.KindOf(err) != pitr.KindUnsupported || pitr.HintOf(err) == "" {
		t.Errorf("without a fold: %v", err)
	}
	folded := 0
	fold := func(_ context.Context, _ *catalog.Repository, m format.Manifest) ([]verify.Finding, error) {
		folded++
		if m.Exact == format.ExactThroughOplog {
			return []verify.Finding{{Kind: verify.Disagrees, Object: string(m.ID), What: "folded otherwise"}}, nil
		}
		return nil, nil
	}
	findings, err := found(t, repository, verify.Options{Level: verify.LevelHistory, Fold: fold})
	if folded != 2 || pitr.KindOf(err) != pitr.KindCorrupt || !strings.Contains(fmt.Sprint(findings), "folded otherwise") {
		t.Errorf("%d folds, found %v, %v", folded, findings, err)
	}
	broken := errors.New("broken")
	if _, err := found(t, repository, verify.Options{Level: verify.LevelHistory, Fold: func(context.Context, *catalog.Repository, format.Manifest) ([]verify.Finding, error) {
		return nil, broken
	}}); !errors.Is(err, broken) {
		t.Errorf("the fold's own failure: %v", err)
	}
}

// case I19: each object has the same chance over seeds.
func TestASampleIsFair(t *testing.T) {
	store := storage.NewMemory()
	m := sample.New(t, store)
	m.Snapshot(sample.Shape{Exact: format.ExactNo, Collections: [][]bson.Raw{m.Documents(1, 40)}, Chunks: 20})
	const runs, share = 400, 0.3
	reads := map[string]int{}
	for seed := range uint64(runs) {
		counted := storagetest.Counted(store)
		repository, err := catalog.Open(t.Context(), counted, catalog.OpenOptions{})
		m.Check(err)
		findings, err := found(t, repository, verify.Options{Level: verify.LevelContent, Sample: share, Random: rand.New(rand.NewPCG(seed, 1))})
		if err != nil || len(findings) > 0 {
			t.Fatalf("a sample found %v, %v", findings, err)
		}
		for i := range 20 {
			name := fmt.Sprintf("data-%06d", i)
			reads[name] += counted.Count(storagetest.Read, name)
		}
	}
	// Chi-square with 20 degrees of freedom: 45.3 is passed once in a thousand; the seeds are fixed.
	chi := 0.0
	for _, n := range reads {
		expected := runs * share
		chi += (float64(n) - expected) * (float64(n) - expected) / (expected * (1 - share))
	}
	if len(reads) != 20 || chi > 45.3 {
		t.Errorf("chi-square %.1f of %v", chi, reads)
	}
}

// A hundred thousand chunks, and as many segments, are listed and compared without keeping more than names and sizes.
func TestAHundredThousandObjects(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 200,000 objects")
	}
	const objects = 100_000
	store := storage.NewMemory()
	m := sample.New(t, store)
	branch := m.Branch()
	for i := range objects {
		window := pitr.Window{After: pitr.Timestamp(i + 1), Through: pitr.Timestamp(i + 2)}
		name := m.Name(format.SegmentName(branch, window, format.Sum([]byte{byte(i)}).Short(), format.Sum([]byte{byte(i + 1)}).Short()))
		m.Check(store.Create(t.Context(), name.String(), nil))
	}
	manifest := m.Snapshot(sample.Shape{Exact: format.ExactNo, Collections: [][]bson.Raw{m.Documents(1, 1)}, Catalog: func(c *catalog.Catalog) {
		part := c.Chunks[0].Part
		for i := 1; i < objects; i++ {
			part.Name, part.Size, part.Documents, part.Bytes = m.Name(format.ChunkName(part.Name.ID(), i)), 1, 0, 0
			m.Check(store.Create(t.Context(), part.Name.String(), []byte{1}))
			c.Chunks = append(c.Chunks, format.ChunkRecord{Part: part})
		}
	}})
	findings, err := found(t, m.R, verify.Options{})
	if len(findings) > 0 || err != nil {
		t.Fatalf("found %v, %v", findings[:min(3, len(findings))], err)
	}
	gone := m.Name(format.ChunkName(manifest.ID, 77_777))
	m.Check(store.Delete(t.Context(), gone.String()))
	findings, err = found(t, m.R, verify.Options{})
	mustFind(t, findings, err, verify.Missing, gone.String())
	segments := 0
	for name := range store.List(t.Context(), format.OplogPrefix(branch), "") {
		if segments++; segments == objects/2 {
			m.Check(store.Delete(t.Context(), name.Name))
		}
	}
	findings, err = found(t, m.R, verify.Options{})
	if pitr.KindOf(err) != pitr.KindCorrupt || len(findings) != 2 || !slices.ContainsFunc(findings, func(f verify.Finding) bool { return strings.Contains(f.What, "no note") }) {
		t.Errorf("found %v, %v", findings, err)
	}
}
