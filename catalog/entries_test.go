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
	"pitr/internal/sample"
	"pitr/storage"
)

func read(t testing.TB, m *sample.Mill, windows ...catalog.BranchWindow) (moments []pitr.Timestamp, err error) {
	for entry, err := range m.R.Entries(t.Context(), windows...) {
		if err != nil {
			return moments, err
		}
		at, ok := catalog.EntryTime(entry)
		if !ok || !bytes.Equal(entry, m.Entry(at.TS)) {
			t.Errorf("entry %v is not the one that was archived", at)
		}
		moments = append(moments, at.TS)
	}
	return moments, nil
}

// case D05, D06: windows at, beside and between the edges of segments that overlap, repeat and miss.
func TestEntriesOfAWindow(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := sample.New(t, storage.NewMemory())
		branch := m.Branch()
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
			m.Segment(branch, prev, history[from:to]...)
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
		got, err := read(t, m, catalog.BranchWindow{Branch: branch, Window: w})
		switch {
		case whole && (err != nil || !slices.Equal(got, want)):
			rt.Fatalf("window %s: got %v and %v, want %v", w, got, err, want)
		case !whole && (pitr.KindOf(err) != pitr.KindHole || len(got) > 0):
			rt.Fatalf("window %s: got %v and %v across a hole", w, got, err)
		}
	})
}

func TestEntriesStopsWhenItsConsumerDoes(t *testing.T) {
	m := sample.New(t, storage.NewMemory())
	branch := m.Branch()
	m.Segment(branch, 0, 5, 6, 7)
	m.Segment(branch, 7, 8)
	for range m.R.Entries(t.Context(), catalog.BranchWindow{Branch: branch, Window: pitr.Window{After: 4, Through: 8}}) {
		break
	}
}

// case D06: segments that cover the same time and do not agree are damage, never a choice.
func TestSegmentsThatDisagree(t *testing.T) {
	for name, archive := range map[string]func(m *sample.Mill, branch format.ID){
		"an entry less": func(m *sample.Mill, branch format.ID) {
			m.Segment(branch, 0, 5, 6, 7, 8)
			m.Segment(branch, 5, 7)
		},
		"an entry more": func(m *sample.Mill, branch format.ID) {
			m.Segment(branch, 0, 5, 7, 8)
			m.Segment(branch, 5, 6, 7)
		},
		"other bytes": func(m *sample.Mill, branch format.ID) {
			m.Segment(branch, 0, 5, 6, 7)
			forged(m, branch, 5, 6, 7)
		},
		"another entry before": func(m *sample.Mill, branch format.ID) {
			m.Segment(branch, 0, 5, 6)
			twin(m, branch, 6, 7)
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := sample.New(t, storage.NewMemory())
			branch := m.Branch()
			archive(m, branch)
			last, _, err := m.R.LastSegment(t.Context(), branch)
			m.Check(err)
			_, err = read(t, m, catalog.BranchWindow{Branch: branch, Window: pitr.Window{After: 4, Through: last.Through}})
			if pitr.KindOf(err) != pitr.KindCorrupt {
				t.Errorf("read on: %v", err)
			}
		})
	}
}

// forged archives two entries of which the first has other bytes than segment would give it.
func forged(m *sample.Mill, branch format.ID, prev, first, last pitr.Timestamp) {
	entry := m.BSON(bson.D{{Key: "op", Value: "n"}, {Key: "ts", Value: first.BSON()}, {Key: "t", Value: int64(1)}})
	m.SegmentOf(branch, format.SegmentFacts{Prev: sample.Mark(m.Entry(prev), prev)}, entry, m.Entry(last))
}

// twin archives an entry after one whose digest begins like the true one's, so that names join.
func twin(m *sample.Mill, branch format.ID, prev, only pitr.Timestamp) {
	before := sample.Mark(m.Entry(prev), prev)
	before.Digest[31]++
	m.SegmentOf(branch, format.SegmentFacts{Prev: before}, m.Entry(only))
}

func TestEntriesAcrossAFork(t *testing.T) {
	m := sample.New(t, storage.NewMemory())
	parent := m.Branch()
	m.Segment(parent, 0, 5, 6, 7, 8)
	child := m.ID()
	m.Check(m.R.PutBranch(t.Context(), format.Branch{ID: child, Created: m.Now, Set: "rs0", Hosts: []string{"a:27017"},
		Fork: &format.Fork{Branch: parent, At: pitr.OpTime{TS: 6, Term: 1}, Digest: format.Sum(m.Entry(6))}}))
	m.SegmentOf(child, format.SegmentFacts{Prev: sample.Mark(m.Entry(6), 6), Window: pitr.Window{After: 8}}, m.Entry(9), m.Entry(10))
	m.Snapshot(sample.Shape{Branch: parent, From: 5, At: 5, Exact: format.ExactOneTime})
	timeline, err := m.R.Timeline(t.Context())
	m.Check(err)
	route, err := timeline.Reach(10, pitr.Scope{})
	m.Check(err)
	if got, err := read(t, m, route.Windows...); err != nil || !slices.Equal(got, []pitr.Timestamp{6, 9, 10}) {
		t.Errorf("read %v, %v by %+v", got, err, route.Windows)
	}
	// The same windows with one entry more of the parent do not join.
	route.Windows[0].Through = 7
	if _, err := read(t, m, route.Windows...); pitr.KindOf(err) != pitr.KindCorrupt {
		t.Errorf("joined what does not: %v", err)
	}
}
