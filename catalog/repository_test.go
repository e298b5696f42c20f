package catalog_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/internal/sample"
	"pitr/storage"
	"pitr/storage/storagetest"
)

func TestCreateRefusesAPlaceThatIsNotEmpty(t *testing.T) {
	store := storage.NewMemory()
	create(t, store)
	_, err := catalog.Create(t.Context(), store, catalog.CreateOptions{ClusterName: "test"})
	if pitr.KindOf(err) != pitr.KindConflict || pitr.HintOf(err) == "" {
		t.Errorf("made a second repository: %v", err)
	}
	strange := storage.NewMemory()
	if err := strange.Create(t.Context(), "holiday/photo.jpg", nil); err != nil {
		t.Fatal(err)
	}
	if _, err = catalog.Create(t.Context(), strange, catalog.CreateOptions{ClusterName: "test"}); pitr.KindOf(err) != pitr.KindRefused {
		t.Errorf("made a repository among somebody's objects: %v", err)
	}
	for _, name := range []string{"", "two words", "..", "a/b", "devices\u200beu", strings.Repeat("a", 64)} {
		_, err := catalog.Create(t.Context(), storage.NewMemory(), catalog.CreateOptions{ClusterName: name})
		if pitr.KindOf(err) != pitr.KindInvalid {
			t.Errorf("cluster name %q: %v", name, err)
		}
	}
}

// case S15: a store that replaces objects is refused unless a person promises to be the only writer.
func TestCreateRefusesAStoreThatReplacesObjects(t *testing.T) {
	_, err := catalog.Create(t.Context(), replacing{storage.NewMemory()}, catalog.CreateOptions{ClusterName: "test"})
	if pitr.KindOf(err) != pitr.KindRefused {
		t.Errorf("accepted: %v", err)
	}
	r, err := catalog.Create(t.Context(), replacing{storage.NewMemory()}, catalog.CreateOptions{ClusterName: "test", SingleWriter: true})
	if err != nil || r.Header().Store.ConditionalCreate || !r.Header().Store.SingleWriter {
		t.Errorf("refused a promise: %v", err)
	}
}

type replacing struct{ storage.Store }

func (s replacing) Create(ctx context.Context, name string, data []byte) error {
	err := s.Store.Create(ctx, name, data)
	if errors.Is(err, storage.ErrExists) {
		if err = s.Delete(ctx, name); err == nil {
			err = s.Store.Create(ctx, name, data)
		}
	}
	return err
}

// case I22
func TestOpenRefusesANewerRepository(t *testing.T) {
	store := storage.NewMemory()
	body := "{\n  \"format\": 2,\n  \"new\": true,\n"
	text := body + "  \"sha256\": \"" + format.Sum([]byte(body)).String() + "\"\n}\n"
	if err := store.Create(t.Context(), "pitr.json", []byte(text)); err != nil {
		t.Fatal(err)
	}
	counted := storagetest.Counted(store)
	_, err := catalog.Open(t.Context(), counted, catalog.OpenOptions{})
	if pitr.KindOf(err) != pitr.KindUnsupported || !strings.Contains(pitr.HintOf(err), "update pitr") {
		t.Errorf("opened it: %v", err)
	}
	if counted.Count(storagetest.Read, "") != counted.Count(storagetest.Read, "pitr.json") || counted.Count(storagetest.List, "") != 0 {
		t.Error("looked at more than the header")
	}
	if _, err = catalog.Open(t.Context(), storage.NewMemory(), catalog.OpenOptions{}); pitr.KindOf(err) != pitr.KindNotFound {
		t.Errorf("opened nothing: %v", err)
	}
}

// case S06, S07, I12
func TestPutConfirmsAndRecognisesItsOwn(t *testing.T) {
	lost := storage.Transient(pitr.Errorf(pitr.KindUnavailable, "create", "", "the reply was lost"))
	name, err := format.BranchName("20251022T090000Z-aaaaaa")
	if err != nil {
		t.Fatal(err)
	}
	data := []byte("some bytes")
	for what, c := range map[string]struct {
		faults []storagetest.Fault
		before []byte
		kind   pitr.Kind
	}{
		"done":              {},
		"ours already":      {before: data},
		"another's already": {before: []byte("some other"), kind: pitr.KindConflict},
		"reply lost":        {faults: []storagetest.Fault{{Op: storagetest.Create, Effect: storagetest.LoseReply(lost)}}},
		"store kept less":   {faults: []storagetest.Fault{{Op: storagetest.Create, Effect: storagetest.Truncate(3)}}, kind: pitr.KindCorrupt},
		"store kept other":  {faults: []storagetest.Fault{{Op: storagetest.Create, Effect: storagetest.Flip(3)}}, kind: pitr.KindCorrupt},
		"store kept none":   {faults: []storagetest.Fault{{Op: storagetest.Create, Effect: storagetest.Pretend()}}, kind: pitr.KindNotFound},
		"reads back other":  {faults: []storagetest.Fault{{Op: storagetest.Read, Effect: storagetest.Flip(3)}}, kind: pitr.KindCorrupt},
	} {
		t.Run(what, func(t *testing.T) {
			store := storage.NewMemory()
			create(t, store)
			if c.before != nil {
				if err := store.Create(t.Context(), name.String(), c.before); err != nil {
					t.Fatal(err)
				}
			}
			for i := range c.faults {
				c.faults[i].Name = name.String()
			}
			r := open(t, storage.Retry(storagetest.Faulty(t, store, c.faults...), storage.RetryOptions{First: time.Millisecond}))
			if err := r.PutAndRead(t.Context(), name, data); pitr.KindOf(err) != c.kind || (c.kind == "") != (err == nil) {
				t.Errorf("error %v, want kind %q", err, c.kind)
			}
		})
	}
}

// case I08, I09
func TestBytesThatDoNotFitAreReadAgain(t *testing.T) {
	for what, c := range map[string]struct {
		times int
		kind  pitr.Kind
	}{"once": {times: 1}, "twice": {times: 2}, "always": {times: 3, kind: pitr.KindCorrupt}} {
		t.Run(what, func(t *testing.T) {
			store := storage.NewMemory()
			m := sample.New(t, store)
			manifest := m.Snapshot(sample.Shape{Exact: format.ExactNo, Collections: [][]bson.Raw{m.Documents(1, 2)}})
			part := manifest.Objects.Catalog[0]
			faulty := storagetest.Faulty(t, store, storagetest.Fault{Op: storagetest.Read, Name: part.Name.String(), Times: c.times,
				Effect: storagetest.Flip(40)})
			var log bytes.Buffer
			r, err := catalog.Open(t.Context(), faulty, catalog.OpenOptions{Log: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			_, err = r.Parts(t.Context(), manifest)
			if pitr.KindOf(err) != c.kind || (c.kind == "") != (err == nil) {
				t.Errorf("error %v, want kind %q", err, c.kind)
			}
			if warnings := strings.Count(log.String(), "WARN"); warnings != c.times {
				t.Errorf("%d warnings for %d bad reads", warnings, c.times)
			}
		})
	}
}

func TestSnapshotsAreThoseWithAManifest(t *testing.T) {
	store := storage.NewMemory()
	m := sample.New(t, store)
	first := m.Snapshot(sample.Shape{Exact: format.ExactNo, Collections: [][]bson.Raw{m.Documents(1, 2)}})
	unpublished := m.Name(format.ChunkName(m.ID(), 0))
	m.Check(m.R.Put(t.Context(), unpublished, []byte("half a snapshot")))
	m.Now = m.Now.Add(time.Hour)
	second := m.Snapshot(sample.Shape{Exact: format.ExactNo, Collections: [][]bson.Raw{m.Documents(1, 3), nil}})
	damaged := m.Name(format.ManifestName(m.ID()))
	m.Check(m.R.Put(t.Context(), damaged, []byte("{}")))
	listing, err := m.R.Snapshots(t.Context())
	m.Check(err)
	if len(listing.Items) != 2 || listing.Items[0].ID != first.ID || listing.Items[1].ID != second.ID {
		t.Errorf("snapshots %+v", listing.Items)
	}
	if len(listing.Damaged) != 1 || listing.Damaged[0].Object != damaged {
		t.Errorf("damaged %+v", listing.Damaged)
	}
	c, err := m.R.Parts(t.Context(), second)
	m.Check(err)
	if len(c.Collections) != 2 || len(c.Chunks) != 1 || len(c.Keys) != 2 || c.Chunks[0].Documents != 3 {
		t.Errorf("catalog %+v", c)
	}
	if _, err := m.R.Manifest(t.Context(), unpublished.ID()); pitr.KindOf(err) != pitr.KindNotFound {
		t.Errorf("an unpublished snapshot: %v", err)
	}
}

func TestMarksAreFoundByNameUnlessTwoBearIt(t *testing.T) {
	m := sample.New(t, storage.NewMemory())
	one, err := m.R.PutMark(t.Context(), format.Mark{At: 7, Name: "deploy"})
	m.Check(err)
	if found, err := m.R.ResolveMark(t.Context(), "deploy"); err != nil || found.ID != one.ID {
		t.Errorf("found %+v, %v", found, err)
	}
	_, err = m.R.PutMark(t.Context(), format.Mark{At: 9, Name: "deploy"})
	m.Check(err)
	_, err = m.R.ResolveMark(t.Context(), "deploy")
	if pitr.KindOf(err) != pitr.KindRefused || !strings.Contains(pitr.HintOf(err), "0:9, 0:7") {
		t.Errorf("took one of two: %v (%s)", err, pitr.HintOf(err))
	}
	if found, err := m.R.ResolveMark(t.Context(), string(one.ID)); err != nil || found.At != 7 {
		t.Errorf("by id: %+v, %v", found, err)
	}
	if _, err = m.R.ResolveMark(t.Context(), "nothing"); pitr.KindOf(err) != pitr.KindNotFound {
		t.Errorf("found nothing: %v", err)
	}
}

func TestACondemnedObjectCannotBeHeld(t *testing.T) {
	m := sample.New(t, storage.NewMemory())
	branch := m.Branch()
	segment := m.Segment(branch, 0, 5, 6, 7)
	m.Object(&format.Condemned{ID: m.ID(), Created: m.Now, Snapshots: []format.ID{"20251022T080000Z-aaaaaa"}, Objects: []format.Name{segment}})
	for _, hold := range []format.Hold{
		{Snapshot: "20251022T080000Z-aaaaaa"},
		{Branch: branch, Window: &pitr.Window{After: 6, Through: 20}},
		{Branch: branch},
	} {
		if _, err := m.R.PutHold(t.Context(), hold); pitr.KindOf(err) != pitr.KindRefused {
			t.Errorf("held %+v: %v", hold, err)
		}
	}
	if _, err := m.R.PutHold(t.Context(), format.Hold{Branch: branch, Window: &pitr.Window{After: 7, Through: 20}}); err != nil {
		t.Error(err)
	}
	holds, err := m.R.Holds(t.Context())
	if err != nil || len(holds.Items) != 1 {
		t.Errorf("holds %+v, %v", holds, err)
	}
}

// Segments of several days, found by listing only the days that can matter, are those that a look at all names finds.
func TestSegmentsOfAWindow(t *testing.T) {
	const branch = format.ID("20251022T090000Z-aaaaaa")
	const day = 24 * 60 * 60
	rapid.Check(t, func(rt *rapid.T) {
		memory := storage.NewMemory()
		create(t, memory)
		r := open(t, memory)
		var all []catalog.Segment
		for range rapid.IntRange(0, 12).Draw(rt, "segments") {
			after := rapid.IntRange(0, 5*4).Draw(rt, "after")
			through := rapid.IntRange(after+1, after+9).Draw(rt, "through")
			s := catalog.Segment{Window: pitr.Window{After: pitr.NewTimestamp(uint32(after*day/4), 0), Through: pitr.NewTimestamp(uint32(through*day/4), 0)}, Prev: short(after), Last: short(through)}
			name, err := s.Name(branch)
			if err != nil {
				rt.Fatal(err)
			}
			if memory.Create(t.Context(), name.String(), nil) == nil {
				all = append(all, s)
			}
		}
		after := rapid.IntRange(0, 30).Draw(rt, "window after")
		through := rapid.IntRange(after, 40).Draw(rt, "window through")
		w := pitr.Window{After: pitr.NewTimestamp(uint32(after*day/4), 0), Through: pitr.NewTimestamp(uint32(through*day/4), 0)}
		got, err := r.Segments(t.Context(), branch, w)
		if err != nil {
			rt.Fatal(err)
		}
		covers := slices.ContainsFunc((catalog.Timeline{Lines: []catalog.Line{{Branch: branch, Segments: got}}}).Windows(branch),
			func(c pitr.Window) bool { return c.Covers(w) })
		for _, s := range all {
			wanted := !s.Intersect(w).IsEmpty()
			found := slices.Contains(got, s)
			if found && !wanted || wanted && !found && !covers {
				rt.Fatalf("window %v: segment %v wanted %v, found %v", w, s.Window, wanted, found)
			}
		}
		var furthest pitr.Timestamp
		for _, s := range all {
			furthest = max(furthest, s.Through)
		}
		last, ok, err := r.LastSegment(t.Context(), branch)
		if err != nil || ok != (len(all) > 0) || last.Through != furthest {
			rt.Fatalf("last segment %v, %v, %v; want %v", last, ok, err, furthest)
		}
	})
}

func TestTimelineOfARepository(t *testing.T) {
	m := sample.New(t, storage.NewMemory())
	branch := m.Branch()
	m.Segment(branch, 0, 10, 11, 20)
	m.Segment(branch, 20, 21, 30)
	m.Segment(branch, 0, 40, 50)
	m.Object(&format.Hole{Branch: branch, Window: pitr.Window{After: 30, Through: 39}, Created: m.Now, Reason: "rolled over"})
	snapshot := m.Snapshot(sample.Shape{Branch: branch, From: 11, At: 20, Exact: format.ExactThroughOplog, Collections: [][]bson.Raw{m.Documents(1, 2)}})
	m.Check(func() error {
		_, err := m.R.PutMark(t.Context(), format.Mark{At: 21, Branch: branch, Name: "m"})
		return err
	}())
	job := m.ID()
	m.Object(&format.Intent{ID: job, Kind: format.JobRewind, Created: m.Now, Branch: branch, To: 11})
	timeline, err := m.R.Timeline(t.Context())
	m.Check(err)
	route, err := timeline.Reach(25, pitr.Scope{})
	want := []catalog.BranchWindow{{Branch: branch, Window: pitr.Window{After: 11, Through: 25}}}
	if err != nil || route.Snapshot.Snapshot != snapshot.ID || !slices.Equal(route.Windows, want) {
		t.Errorf("route %+v, %v", route, err)
	}
	if holes := timeline.Holes(branch); len(holes) != 1 || holes[0].Reason != "rolled over" {
		t.Errorf("holes %+v", holes)
	}
	if len(timeline.Lines[0].Marks) != 1 || len(timeline.Damaged) != 0 {
		t.Errorf("timeline %+v", timeline)
	}

	// An intent alone has written nothing. From the change set on, everything after the gap may be the job's doing.
	m.Object(&format.Changes{Job: job, Created: m.Now, Gap: pitr.Window{After: 11, Through: 22}})
	refuses(t, m, 25)
	reaches(t, m, 22)
	// Once it has ended, only its inside is refused.
	m.Object(&format.Result{Job: job, Attempt: 1, Outcome: "done", First: pitr.OpTime{TS: 24}, Last: pitr.OpTime{TS: 26}})
	reaches(t, m, 23)
	refuses(t, m, 24)
	refuses(t, m, 25)
	reaches(t, m, 26)
	// A job that never ended was ended by its undo.
	broken, undo := m.ID(), m.ID()
	m.Object(&format.Intent{ID: broken, Kind: format.JobRewind, Created: m.Now, Branch: branch, To: 11})
	m.Object(&format.Changes{Job: broken, Created: m.Now, Gap: pitr.Window{After: 11, Through: 27}})
	refuses(t, m, 30)
	m.Object(&format.Intent{ID: undo, Kind: format.JobUndo, Created: m.Now, Branch: branch, Job: broken})
	m.Object(&format.Result{Job: undo, Attempt: 1, Outcome: "done", First: pitr.OpTime{TS: 28}, Last: pitr.OpTime{TS: 29}})
	refuses(t, m, 28)
	reaches(t, m, 29)
}

func reaches(t *testing.T, m *sample.Mill, moment pitr.Timestamp) {
	t.Helper()
	timeline, err := m.R.Timeline(t.Context())
	m.Check(err)
	if _, err := timeline.Reach(moment, pitr.Scope{}); err != nil {
		t.Errorf("%s: %v", moment, err)
	}
}

func refuses(t *testing.T, m *sample.Mill, moment pitr.Timestamp) {
	t.Helper()
	timeline, err := m.R.Timeline(t.Context())
	m.Check(err)
	if _, err := timeline.Reach(moment, pitr.Scope{}); pitr.KindOf(err) != pitr.KindHole {
		t.Errorf("%s is reachable: %v", moment, err)
	}
}
