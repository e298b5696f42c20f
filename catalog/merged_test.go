package catalog_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/internal/sample"
	"pitr/storage"
)

// pastOf is one of two histories that part at a moment; its digests say which.
type pastOf struct {
	moments []pitr.Timestamp
	fork    int
	other   bool
}

func (h pastOf) digest(i int) (short format.Short) {
	if i < 0 {
		return short
	}
	text := fmt.Sprintf("%d", h.moments[i])
	if h.other && i >= h.fork {
		text += " of the other history"
	}
	return format.Sum([]byte(text)).Short()
}

func (h pastOf) segment(from, to int) catalog.Segment {
	after := h.moments[from].Before()
	if from > 0 {
		after = h.moments[from-1]
	}
	return catalog.Segment{Window: pitr.Window{After: after, Through: h.moments[to]}, Prev: h.digest(from - 1), Last: h.digest(to)}
}

// Whatever lies in a branch: a segment counts as superfluous only if a longer one of the same history has its entries.
func TestRedundantSegmentsAreRepeatedByALongerOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var moments []pitr.Timestamp
		for i := range 12 {
			moments = append(moments, pitr.Timestamp(10+3*i))
		}
		type source struct {
			other    bool
			from, to int
		}
		fork := rapid.IntRange(0, 12).Draw(t, "fork")
		sources := map[catalog.Segment][]source{}
		var list []catalog.Segment
		for range rapid.IntRange(1, 14).Draw(t, "segments") {
			s := source{other: rapid.Bool().Draw(t, "other"), from: rapid.IntRange(0, 11).Draw(t, "from")}
			s.to = rapid.IntRange(s.from, min(11, s.from+rapid.SampledFrom([]int{0, 1, 2, 11}).Draw(t, "length"))).Draw(t, "to")
			segment := pastOf{moments: moments, fork: fork, other: s.other}.segment(s.from, s.to)
			if len(sources[segment]) == 0 {
				list = append(list, segment)
			}
			sources[segment] = append(sources[segment], s)
		}
		// Up to the fork both histories are one.
		same := func(short, long source) bool { return short.other == long.other || short.to < fork }
		redundant := catalog.Redundant(list)
		for _, short := range redundant {
			repeated := slices.ContainsFunc(list, func(long catalog.Segment) bool {
				return long != short && long.Covers(short.Window) && slices.ContainsFunc(sources[long], func(l source) bool {
					return slices.ContainsFunc(sources[short], func(s source) bool {
						return same(s, l)
					})
				})
			})
			if !repeated {
				t.Fatalf("%v is called superfluous among %v", short, list)
			}
		}
		// Nothing is lost by removing them in their order, one by one.
		line := func(segments []catalog.Segment) string {
			return fmt.Sprint(catalog.Timeline{Lines: []catalog.Line{{Branch: "b", Segments: segments}}}.Windows("b"))
		}
		if fork == 12 {
			left, before := slices.Clone(list), line(list)
			for _, short := range redundant {
				left = slices.DeleteFunc(left, func(s catalog.Segment) bool { return s == short })
				if line(left) != before {
					t.Fatalf("without %v the archive is %s, it was %s", short, line(left), before)
				}
			}
			if rest := catalog.Redundant(left); len(rest) > 0 {
				t.Fatalf("%v is still superfluous", rest)
			}
		}
	})
}

// What prune began and did not finish is still seen as superfluous.
func TestRedundantAfterHalfAPrune(t *testing.T) {
	h := pastOf{moments: []pitr.Timestamp{10, 13, 16, 19, 22}, fork: 5}
	list := []catalog.Segment{h.segment(1, 3), h.segment(1, 1), h.segment(2, 2), h.segment(3, 3)}
	for len(list) > 1 {
		redundant := catalog.Redundant(list)
		if len(redundant) != len(list)-1 {
			t.Fatalf("%v of %v", redundant, list)
		}
		list = slices.DeleteFunc(list, func(s catalog.Segment) bool { return s == redundant[0] })
	}
}

// A plan takes whole hours that are over, and never across a break.
func TestMergePlanTakesHoursThatAreOver(t *testing.T) {
	at := func(minute, ordinal uint32) pitr.Timestamp { return pitr.NewTimestamp(minute*60, ordinal) }
	var moments []pitr.Timestamp
	for minute := uint32(60); minute < 60*5; minute += 20 {
		moments = append(moments, at(minute, 1))
	}
	h := pastOf{moments: moments, fork: len(moments)}
	var list []catalog.Segment
	for i := range moments {
		list = append(list, h.segment(i, i))
	}
	list[4].Prev = format.Short{1} // a break within the second hour: 2:00, 2:20 | 2:40
	var got []string
	for _, group := range catalog.MergePlan(list) {
		got = append(got, fmt.Sprintf("%d:%d", group[0].Through.Seconds()/60, len(group)))
	}
	// The last entry is of 4:40, so hours 1 and 2 have been over for an hour.
	if want := []string{"60:3", "140:2"}; !slices.Equal(got, want) {
		t.Errorf("plan %v, want %v", got, want)
	}
}

// A damaged long segment is read around as long as what it was made of is there; a comparison finds the damage.
func TestDamagedLongSegmentIsReadAround(t *testing.T) {
	store := storage.NewMemory()
	m := sample.New(t, store)
	branch := m.Branch()
	m.Segment(branch, 0, 5)
	m.Segment(branch, 5, 6, 7)
	m.Segment(branch, 7, 8)
	m.Segment(branch, 8, 9)
	m.Segment(branch, 5, 6, 7, 8)
	window := catalog.BranchWindow{Branch: branch, Window: pitr.Window{After: 4, Through: 9}}
	segments, err := m.R.Segments(t.Context(), branch, window.Window)
	m.Check(err)
	long := segments[slices.IndexFunc(segments, func(s catalog.Segment) bool { return s.After == 5 && s.Through == 8 })]
	name, err := long.Name(branch)
	m.Check(err)
	data, err := store.Read(t.Context(), name.String(), 0, -1)
	m.Check(err)
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 4
		m.Check(store.Delete(t.Context(), name.String()))
		m.Check(store.Create(t.Context(), name.String(), bad))
		if got, err := read(t, m, window); err != nil || !slices.Equal(got, []pitr.Timestamp{5, 6, 7, 8, 9}) {
			t.Fatalf("byte %d: read %v, %v", i, got, err)
		}
		if i%16 == 0 {
			var met error
			for _, err := range m.R.EntriesCompared(t.Context(), window) {
				met = err
			}
			if pitr.KindOf(met) != pitr.KindCorrupt {
				t.Fatalf("byte %d: a comparison says %v", i, met)
			}
		}
	}
}

// The long one is read alone: with the short ones damaged nobody notices but whoever compares.
func TestReadersPreferTheLongSegment(t *testing.T) {
	m := sample.New(t, storage.NewMemory())
	branch := m.Branch()
	m.Segment(branch, 0, 5)
	forgedWithin(m, branch)
	m.Segment(branch, 7, 8)
	m.Segment(branch, 5, 6, 7, 8)
	window := catalog.BranchWindow{Branch: branch, Window: pitr.Window{After: 4, Through: 8}}
	if got, err := read(t, m, window); err != nil || len(got) != 4 {
		t.Errorf("read %v, %v", got, err)
	}
	var met error
	for _, err := range m.R.EntriesCompared(t.Context(), window) {
		met = err
	}
	if pitr.KindOf(met) != pitr.KindCorrupt {
		t.Errorf("a comparison says %v", met)
	}
}

// forgedWithin archives (5, 7] with another entry at 6.
func forgedWithin(m *sample.Mill, branch format.ID) { forged(m, branch, 5, 6, 7) }
