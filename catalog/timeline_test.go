package catalog_test

import (
	"errors"
	"fmt"
	"math/rand"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"pitr"
	"pitr/catalog"
	"pitr/format"
)

// The oracle walks moment by moment over a handful of them; it shares no rule with the code but the words of the format.

const lastMoment = 24

// unseen is the digest of an entry that nobody saw.
var unseen format.Short

func short(n int) format.Short { return format.Short{0, 0, 0, byte(n)} }

// canStep reports whether the listing proves what lies between two neighbouring moments of one branch.
func canStep(segments []catalog.Segment, from pitr.Timestamp) bool {
	names := map[format.Short]bool{}
	across, met := false, false
	for _, a := range segments {
		if a.Through == from && a.Last != unseen {
			names[a.Last] = true
		}
		if a.After == from && a.Prev != unseen {
			names[a.Prev] = true
		}
		across = across || a.After < from && from+1 <= a.Through
		for _, b := range segments {
			met = met || a.Through == from && b.After == from && a.Last == b.Prev && b.Prev != unseen
		}
	}
	return len(names) <= 1 && (across || met)
}

// canWalk reports whether every moment of (after, through] is covered and every step between two of them is proven.
func canWalk(segments []catalog.Segment, after, through pitr.Timestamp) bool {
	for moment := after + 1; moment <= through; moment++ {
		covered := slices.ContainsFunc(segments, func(s catalog.Segment) bool { return s.Contains(moment) })
		if !covered || moment > after+1 && !canStep(segments, moment-1) {
			return false
		}
	}
	return true
}

// canReach is the oracle of one branch: the snapshot that Reach must choose, if any.
func canReach(line catalog.Line, moment pitr.Timestamp, scope pitr.Scope) (catalog.Point, bool) {
	for _, job := range line.Jobs {
		if job.First <= moment && moment < job.Last {
			return catalog.Point{}, false
		}
	}
	var best catalog.Point
	found := false
	for _, p := range line.Snapshots {
		usable := p.At <= moment && p.Scope.ContainsAll(scope) && canWalk(line.Segments, p.From, moment)
		if p.Alone {
			usable = p.At == moment && p.Scope.ContainsAll(scope)
		}
		newer := !found || p.At > best.At || p.At == best.At &&
			(p.From > best.From || p.From == best.From && p.Snapshot > best.Snapshot)
		if usable && newer {
			best, found = p, true
		}
	}
	return best, found
}

func drawLine(t *rapid.T) catalog.Line {
	line := catalog.Line{Branch: "a"}
	digest := func(bound int, label string) format.Short {
		// Mostly the true one, sometimes that of another history, sometimes unknown.
		switch rapid.IntRange(0, 11).Draw(t, label) {
		case 0:
			return short(100 + bound)
		case 1:
			return unseen
		}
		return short(1 + bound)
	}
	for range rapid.IntRange(0, 8).Draw(t, "segments") {
		after := rapid.IntRange(0, lastMoment-1).Draw(t, "after")
		through := rapid.IntRange(after+1, min(after+8, lastMoment)).Draw(t, "through")
		line.Segments = append(line.Segments, catalog.Segment{Window: window(after, through),
			Prev: digest(after, "prev"), Last: digest(through, "last")})
	}
	for i := range rapid.IntRange(0, 4).Draw(t, "snapshots") {
		from := rapid.IntRange(0, lastMoment).Draw(t, "from")
		point := catalog.Point{Snapshot: format.ID(fmt.Sprintf("s%d", i)), From: pitr.Timestamp(from),
			At:    pitr.Timestamp(rapid.IntRange(from, min(from+4, lastMoment)).Draw(t, "at")),
			Alone: rapid.IntRange(0, 5).Draw(t, "alone") == 0}
		if rapid.IntRange(0, 3).Draw(t, "part") == 0 {
			point.Scope.Only = []string{"shop"}
		}
		line.Snapshots = append(line.Snapshots, point)
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "jobs") {
		first := rapid.IntRange(1, lastMoment).Draw(t, "first")
		line.Jobs = append(line.Jobs, catalog.Interval{Job: format.ID(fmt.Sprintf("j%d", i)), First: pitr.Timestamp(first),
			Last: pitr.Timestamp(rapid.IntRange(first, lastMoment).Draw(t, "last entry"))})
	}
	return line
}

func window(after, through int) pitr.Window {
	return pitr.Window{After: pitr.Timestamp(after), Through: pitr.Timestamp(through)}
}

// case D05, D06: every moment of a random listing, against the oracle.
func TestReachAgreesWithAWalkFromMomentToMoment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := drawLine(t)
		timeline := catalog.Timeline{Lines: []catalog.Line{line}}
		scope := pitr.Scope{}
		if rapid.Bool().Draw(t, "narrow") {
			scope.Only = []string{"shop"}
		}
		var reachable []pitr.Timestamp
		for m := pitr.Timestamp(0); m <= lastMoment+1; m++ {
			if _, ok := canReach(line, m, scope); ok {
				reachable = append(reachable, m)
			}
		}
		for m := pitr.Timestamp(0); m <= lastMoment+1; m++ {
			want, ok := canReach(line, m, scope)
			route, err := timeline.Reach(m, scope)
			if ok != (err == nil) {
				t.Fatalf("moment %d: oracle says %v, Reach says %v", m, ok, err)
			}
			if ok {
				checkRoute(t, route, want, m)
				continue
			}
			checkRefusal(t, err, reachable, m)
		}
	})
}

func checkRoute(t *rapid.T, route catalog.Route, want catalog.Point, m pitr.Timestamp) {
	if !reflect.DeepEqual(route.Snapshot, want) {
		t.Fatalf("moment %d: snapshot %+v, want %+v", m, route.Snapshot, want)
	}
	var windows []catalog.BranchWindow
	if !want.Alone && want.From < m {
		windows = []catalog.BranchWindow{{Branch: "a", Window: pitr.Window{After: want.From, Through: m}}}
	}
	if !slices.Equal(route.Windows, windows) {
		t.Fatalf("moment %d: windows %v, want %v", m, route.Windows, windows)
	}
}

func checkRefusal(t *rapid.T, err error, reachable []pitr.Timestamp, m pitr.Timestamp) {
	var refusal *catalog.Unreachable
	if pitr.KindOf(err) != pitr.KindHole || pitr.HintOf(err) == "" || !errors.As(err, &refusal) {
		t.Fatalf("moment %d: %v is not a refusal of kind hole with a hint", m, err)
	}
	var earlier, later pitr.Timestamp
	for _, r := range reachable {
		if r < m {
			earlier = r
		}
		if r > m && later == 0 {
			later = r
		}
	}
	if refusal.Earlier != earlier || refusal.Later != later {
		t.Fatalf("moment %d: nearest are %d and %d, want %d and %d", m, refusal.Earlier, refusal.Later, earlier, later)
	}
}

// Windows are the longest runs that can be walked, and what lies between them are the holes.
func TestWindowsAgreeWithAWalkAndIgnoreOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := drawLine(t)
		var want []pitr.Window
		for m := pitr.Timestamp(1); m <= lastMoment; m++ {
			if !canWalk(line.Segments, m-1, m) {
				continue
			}
			last := len(want) - 1
			if last >= 0 && want[last].Through == m-1 && canWalk(line.Segments, m-2, m) {
				want[last].Through = m
				continue
			}
			want = append(want, pitr.Window{After: m - 1, Through: m})
		}
		timeline := catalog.Timeline{Lines: []catalog.Line{line}}
		if got := timeline.Windows("a"); !slices.Equal(got, want) {
			t.Fatalf("windows %v, want %v", got, want)
		}
		holes := timeline.Holes("a")
		for i := 1; i < len(want); i++ {
			hole := pitr.Window{After: want[i-1].Through, Through: want[i].After}
			if !slices.ContainsFunc(holes, func(h catalog.Hole) bool { return h.Window == hole }) {
				t.Fatalf("holes %v miss %v", holes, hole)
			}
		}
		shuffled := line
		shuffled.Segments = append(slices.Clone(line.Segments), line.Segments...) // duplicates are legal
		shuffled.Snapshots = slices.Clone(line.Snapshots)
		random := rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed")))
		random.Shuffle(len(shuffled.Segments), reflect.Swapper(shuffled.Segments))
		random.Shuffle(len(shuffled.Snapshots), reflect.Swapper(shuffled.Snapshots))
		other := catalog.Timeline{Lines: []catalog.Line{shuffled}}
		if !slices.Equal(other.Windows("a"), want) || !reflect.DeepEqual(other.Holes("a"), holes) {
			t.Fatalf("the order of the listing changed the answer")
		}
		if !reflect.DeepEqual(other.Reachable("a", pitr.Scope{}), timeline.Reachable("a", pitr.Scope{})) {
			t.Fatalf("the order of the listing changed what is reachable")
		}
	})
}

func TestReachCrossesAForkOnlyWhereItJoins(t *testing.T) {
	parent := catalog.Line{Branch: "a",
		Segments:  []catalog.Segment{{Window: window(0, 10), Prev: unseen, Last: short(10)}, {Window: window(10, 20), Prev: short(10), Last: short(20)}},
		Snapshots: []catalog.Point{{Snapshot: "p", From: 3, At: 5}, {Snapshot: "lost", From: 16, At: 18}}}
	child := catalog.Line{Branch: "b", Fork: &catalog.Fork{Parent: "a", At: pitr.OpTime{TS: 15}, Digest: short(15)},
		Segments: []catalog.Segment{{Window: window(17, 30), Prev: short(15), Last: short(30)}}}
	timeline := catalog.Timeline{Lines: []catalog.Line{child, parent}}
	if timeline.Tip() != "b" {
		t.Fatalf("the tip is %q", timeline.Tip())
	}
	route, err := timeline.Reach(25, pitr.Scope{})
	want := []catalog.BranchWindow{{Branch: "a", Window: window(3, 15)}, {Branch: "b", Window: window(17, 25)}}
	if err != nil || route.Snapshot.Snapshot != "p" || !slices.Equal(route.Windows, want) {
		t.Fatalf("route %+v, error %v", route, err)
	}
	if cut := timeline.Cut("b", window(3, 25)); !slices.Equal(cut, want) {
		t.Fatalf("cut into %+v", cut)
	}
	// Between the fork and the child's first entry nothing happened.
	if route, err = timeline.Reach(16, pitr.Scope{}); err != nil || len(route.Windows) != 1 {
		t.Fatalf("route %+v, error %v", route, err)
	}
	// What the parent wrote after the fork did not happen on the child, and is still there on the parent.
	route, err = timeline.ReachOn("a", 19, pitr.Scope{})
	if err != nil || route.Snapshot.Snapshot != "lost" {
		t.Fatalf("route %+v, error %v", route, err)
	}
	child.Segments[0].Prev = short(66)
	if _, err = timeline.Reach(25, pitr.Scope{}); pitr.KindOf(err) != pitr.KindHole {
		t.Fatalf("a fork that does not join was crossed: %v", err)
	}
	child.Segments[0].Prev = unseen
	if _, err = timeline.Reach(25, pitr.Scope{}); pitr.KindOf(err) != pitr.KindHole {
		t.Fatalf("a fork that nobody saw was crossed: %v", err)
	}
	// Whoever reads over it all the same asks for what is missing, and is told.
	want[1].After = 15
	if cut := timeline.Cut("b", window(3, 25)); !slices.Equal(cut, want) {
		t.Fatalf("cut into %+v", cut)
	}
	timeline.Lines = timeline.Lines[:1]
	want[0].After = 3
	if cut := timeline.Cut("b", window(3, 25)); !slices.Equal(cut, want) {
		t.Fatalf("without the parent cut into %+v", cut)
	}
	if cut := timeline.Cut("?", window(3, 25)); len(cut) != 1 || cut[0].Branch != "?" || cut[0].Window != window(3, 25) {
		t.Fatalf("an unknown branch cut into %+v", cut)
	}
}

func TestHolesCarryTheReasonThatWasWrittenDown(t *testing.T) {
	line := catalog.Line{Branch: "a",
		Segments: []catalog.Segment{{Window: window(0, 10), Last: short(10), Prev: unseen},
			{Window: window(14, 20), Prev: unseen, Last: short(20)}, {Window: window(20, 22), Prev: short(99), Last: short(22)}},
		Notes: []catalog.HoleNote{{Window: window(10, 14), Reason: "rolled over"}, {Window: window(22, 30), Reason: "stopped"}}}
	timeline := catalog.Timeline{Lines: []catalog.Line{line}}
	want := []catalog.Hole{{Window: window(10, 14), Reason: "rolled over"},
		{Window: window(20, 20), Reason: "the segments on both sides do not join"}, {Window: window(22, 30), Reason: "stopped"}}
	if got := timeline.Holes("a"); !slices.Equal(got, want) {
		t.Fatalf("holes %v", got)
	}
	// A later segment that covers a hole closes it.
	closed := line
	closed.Segments = append(slices.Clone(line.Segments), catalog.Segment{Window: window(10, 15), Prev: short(10), Last: short(15)})
	if got := (catalog.Timeline{Lines: []catalog.Line{closed}}).Holes("a"); !slices.Equal(got, want[1:]) {
		t.Fatalf("holes %v", got)
	}
}

// A digest of zeros in a name says that nobody saw the entry before; it joins nothing, not even an entry whose digest
// begins so.
func TestAnEntryThatNobodySawJoinsNothing(t *testing.T) {
	line := catalog.Line{Branch: "a", Segments: []catalog.Segment{
		{Window: window(0, 10), Prev: unseen, Last: unseen},
		{Window: window(10, 20), Prev: unseen, Last: short(20)}}}
	want := []pitr.Window{window(0, 10), window(10, 20)}
	if got := (catalog.Timeline{Lines: []catalog.Line{line}}).Windows("a"); !slices.Equal(got, want) {
		t.Fatalf("windows %v, want %v", got, want)
	}
}

// Each refusal says why, and names both neighbours where there are two.
func TestRefusalsSayWhy(t *testing.T) {
	line := catalog.Line{Branch: "a",
		Segments: []catalog.Segment{{Window: window(0, 10), Prev: unseen, Last: short(10)}, {Window: window(14, 20), Prev: unseen, Last: short(20)},
			{Window: window(20, 30), Prev: short(99), Last: short(30)}},
		Snapshots: []catalog.Point{{Snapshot: "s", From: 2, At: 4}, {Snapshot: "late", From: 24, At: 25},
			{Snapshot: "part", From: 15, At: 16, Scope: pitr.Scope{Only: []string{"shop"}}}},
		Jobs: []catalog.Interval{{Job: "j", First: 6, Last: 8}, {Job: "open", First: 28, Last: pitr.MaxTimestamp}}}
	timeline := catalog.Timeline{Lines: []catalog.Line{line}}
	for moment, want := range map[pitr.Timestamp]struct {
		why            string
		earlier, later pitr.Timestamp
	}{
		3:  {"the first snapshot of everything was complete at 1970-01-01 00:00:00 UTC (0:4)", 0, 4},
		7:  {"it lies inside job j, which was writing from 1970-01-01 00:00:00 UTC (0:6) to 1970-01-01 00:00:00 UTC (0:8)", 5, 8},
		12: {"the archive has a hole from 1970-01-01 00:00:00 UTC (0:10) to 1970-01-01 00:00:00 UTC (0:14)", 10, 25},
		16: {"no snapshot of everything lies between the break of the archive at 1970-01-01 00:00:00 UTC (0:14) and it", 10, 25},
		22: {"no snapshot of everything lies between the break of the archive at 1970-01-01 00:00:00 UTC (0:20) and it", 10, 25},
		29: {"job open has been writing since 1970-01-01 00:00:00 UTC (0:28) and has not ended", 27, 0},
		40: {"job open has been writing since 1970-01-01 00:00:00 UTC (0:28) and has not ended", 27, 0},
	} {
		_, err := timeline.Reach(moment, pitr.Scope{})
		var refusal *catalog.Unreachable
		if !errors.As(err, &refusal) || refusal.Why != want.why || refusal.Earlier != want.earlier || refusal.Later != want.later {
			t.Errorf("moment %s: %+v, want %+v", moment, refusal, want)
		}
	}
	line.Jobs = nil
	timeline = catalog.Timeline{Lines: []catalog.Line{line}}
	for moment, why := range map[pitr.Timestamp]string{31: "the archive ends at 1970-01-01 00:00:00 UTC (0:30)", pitr.MaxTimestamp: "the archive ends at 1970-01-01 00:00:00 UTC (0:30)"} {
		if _, err := timeline.Reach(moment, pitr.Scope{}); err == nil || !errors.As(err, new(*catalog.Unreachable)) || !strings.Contains(err.Error(), why) {
			t.Errorf("the future: %v", err)
		}
	}
	line.Snapshots = line.Snapshots[2:]
	if _, err := (catalog.Timeline{Lines: []catalog.Line{line}}).Reach(16, pitr.Scope{}); err == nil || !strings.Contains(err.Error(), "no snapshot holds all of everything") {
		t.Errorf("a part is not everything: %v", err)
	}
	if _, err := (catalog.Timeline{}).Reach(16, pitr.Scope{}); err == nil || !strings.Contains(pitr.HintOf(err), "pitr snapshot take") {
		t.Errorf("an empty repository: %v", err)
	}
}
