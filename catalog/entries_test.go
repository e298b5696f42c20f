package catalog_test

import (
	"bytes"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/storage"
)

func (m *mill) read(windows ...catalog.BranchWindow) (moments []pitr.Timestamp, err error) {
	for entry, err := range m.r.Entries(m.t.Context(), windows...) {
		if err != nil {
			return moments, err
		}
		at, ok := catalog.EntryTime(entry)
		if !ok || !bytes.Equal(entry, m.entry(at.TS)) {
			m.t.Errorf("entry %v is not the one that was archived", at)
		}
		moments = append(moments, at.TS)
	}
	return moments, nil
}

// case D05, D06: windows at, beside and between the edges of segments that overlap, repeat and miss.
func TestEntriesOfAWindow(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newMill(t, storage.NewMemory())
		branch := m.branch()
		var history []pitr.Timestamp
		at := pitr.NewTimestamp(1000, 1)
		for range 30 {
			// The same second, other ordinals; holes among the ordinals; the next second.
			at += rapid.SampledFrom([]pitr.Timestamp{1, 1, 2, 5, 1 << 32}).Draw(rt, "step")
			history = append(history, at)
		}
		covered := make([]bool, len(history))
		joined := make([]bool, len(history)) // the archive proves that i follows i-1
		for range rapid.IntRange(1, 8).Draw(rt, "segments") {
			from := rapid.IntRange(0, len(history)-1).Draw(rt, "from")
			to := rapid.IntRange(from+1, min(from+12, len(history))).Draw(rt, "to")
			prev := pitr.Timestamp(0)
			if from > 0 {
				prev = history[from-1]
			}
			m.segment(branch, prev, history[from:to]...)
			for i := from; i < to; i++ {
				covered[i], joined[i] = true, joined[i] || i > from || prev != 0
			}
		}
		after := rapid.IntRange(0, len(history)-1).Draw(rt, "after")
		through := rapid.IntRange(after, len(history)-1).Draw(rt, "through")
		w := pitr.Window{After: history[after], Through: history[through]}
		want, whole := history[after+1:through+1], true
		for i := after + 1; i <= through; i++ {
			whole = whole && covered[i] && joined[i]
		}
		got, err := m.read(catalog.BranchWindow{Branch: branch, Window: w})
		switch {
		case whole && (err != nil || !slices.Equal(got, want)):
			rt.Fatalf("window %s: got %v and %v, want %v", w, got, err, want)
		case !whole && (pitr.KindOf(err) != pitr.KindHole || len(got) > 0):
			rt.Fatalf("window %s: got %v and %v across a hole", w, got, err)
		}
	})
}

func TestEntriesStopsWhenItsConsumerDoes(t *testing.T) {
	m := newMill(t, storage.NewMemory())
	branch := m.branch()
	m.segment(branch, 0, 5, 6, 7)
	m.segment(branch, 7, 8)
	for range m.r.Entries(t.Context(), catalog.BranchWindow{Branch: branch, Window: pitr.Window{After: 4, Through: 8}}) {
		break
	}
}

// case D06: segments that cover the same time and do not agree are damage, never a choice.
func TestSegmentsThatDisagree(t *testing.T) {
	for name, archive := range map[string]func(m *mill, branch format.ID){
		"an entry less": func(m *mill, branch format.ID) {
			m.segment(branch, 0, 5, 6, 7, 8)
			m.segment(branch, 5, 7)
		},
		"an entry more": func(m *mill, branch format.ID) {
			m.segment(branch, 0, 5, 7, 8)
			m.segment(branch, 5, 6, 7)
		},
		"other bytes": func(m *mill, branch format.ID) {
			m.segment(branch, 0, 5, 6, 7)
			m.forged(branch, 5, 6, 7)
		},
		"another entry before": func(m *mill, branch format.ID) {
			m.segment(branch, 0, 5, 6)
			m.twin(branch, 6, 7)
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMill(t, storage.NewMemory())
			branch := m.branch()
			archive(m, branch)
			last, _, err := m.r.LastSegment(t.Context(), branch)
			m.check(err)
			_, err = m.read(catalog.BranchWindow{Branch: branch, Window: pitr.Window{After: 4, Through: last.Through}})
			if pitr.KindOf(err) != pitr.KindCorrupt {
				t.Errorf("read on: %v", err)
			}
		})
	}
}

// forged archives two entries of which the first has other bytes than segment would give it.
func (m *mill) forged(branch format.ID, prev, first, last pitr.Timestamp) {
	entry := m.bson(bson.D{{Key: "op", Value: "n"}, {Key: "ts", Value: first.BSON()}, {Key: "t", Value: int64(1)}})
	m.facts(branch, format.SegmentFacts{Prev: mark(m.entry(prev), prev)}, entry, m.entry(last))
}

// twin archives an entry after one whose digest begins like the true one's, so that names join.
func (m *mill) twin(branch format.ID, prev, only pitr.Timestamp) {
	before := mark(m.entry(prev), prev)
	before.Digest[31]++
	m.facts(branch, format.SegmentFacts{Prev: before}, m.entry(only))
}

// facts archives entries with facts of which only what lies before them is given.
func (m *mill) facts(branch format.ID, f format.SegmentFacts, entries ...bson.Raw) {
	m.t.Helper()
	first, _ := catalog.EntryTime(entries[0])
	last, _ := catalog.EntryTime(entries[len(entries)-1])
	f.Branch, f.First, f.Entries = branch, first, int64(len(entries))
	f.Last, f.Majority = format.EntryMark{OpTime: last, Digest: format.Sum(entries[len(entries)-1])}, last
	f.Window = pitr.Window{After: f.Prev.TS, Through: last.TS}
	for _, entry := range entries {
		_, err := m.w.Append(0, entry)
		m.check(err)
	}
	m.put(m.w.Finish(m.name(f.SegmentName()), f.BSON()))
}

func TestEntriesAcrossAFork(t *testing.T) {
	m := newMill(t, storage.NewMemory())
	parent := m.branch()
	m.segment(parent, 0, 5, 6, 7, 8)
	child := m.id()
	m.check(m.r.PutBranch(t.Context(), format.Branch{ID: child, Created: m.at, Set: "rs0", Hosts: []string{"a:27017"},
		Fork: &format.Fork{Branch: parent, At: pitr.OpTime{TS: 6, Term: 1}, Digest: format.Sum(m.entry(6))}}))
	f := format.SegmentFacts{Branch: child, Prev: mark(m.entry(6), 6), Window: pitr.Window{After: 8, Through: 10}, Entries: 2,
		First: pitr.OpTime{TS: 9, Term: 1}, Last: mark(m.entry(10), 10)}
	for _, at := range []pitr.Timestamp{9, 10} {
		_, err := m.w.Append(0, m.entry(at))
		m.check(err)
	}
	m.put(m.w.Finish(m.name(f.SegmentName()), f.BSON()))
	m.snapshot(shape{branch: parent, from: 5, at: 5, exact: format.ExactOneTime})
	timeline, err := m.r.Timeline(t.Context())
	m.check(err)
	route, err := timeline.Reach(10, pitr.Scope{})
	m.check(err)
	if got, err := m.read(route.Windows...); err != nil || !slices.Equal(got, []pitr.Timestamp{6, 9, 10}) {
		t.Errorf("read %v, %v by %+v", got, err, route.Windows)
	}
	// The same windows with one entry more of the parent do not join.
	route.Windows[0].Through = 7
	if _, err := m.read(route.Windows...); pitr.KindOf(err) != pitr.KindCorrupt {
		t.Errorf("joined what does not: %v", err)
	}
}
