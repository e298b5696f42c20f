package prune_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pitr"
	"pitr/catalog"
	"pitr/catalog/prune"
	"pitr/format"
)

// The model: short histories of a few days in steps of six hours, with everything in them that a plan looks at, and clocks that
// are wrong by hours or years in whatever people and machines claim. The oracle walks from step to step; it shares no rule with
// the code but the words of docs/retention.md.

const (
	steps = 24
	step  = 6 * time.Hour
	main_ = format.ID("20250101T000000Z-branch")
)

var beginning = time.Date(2025, 3, 1, 0, 0, 0, 0, time.UTC)

func timeOf(m int) time.Time      { return beginning.Add(time.Duration(m) * step) }
func at(m int) pitr.Timestamp     { return pitr.NewTimestamp(uint32(timeOf(m).Unix()), 0) } //nolint:gosec // a date of this century
func window(a, b int) pitr.Window { return pitr.Window{After: at(a), Through: at(b)} }
func short(n int) format.Short    { return format.Short{0, 0, 0, byte(n)} }

// stepOf is the inverse of at, rounded up.
func stepOf(ts pitr.Timestamp) int {
	span := ts.Time().Sub(beginning)
	m := int(span / step)
	if at(m) < ts {
		m++
	}
	return m
}

// drawn is a random history with its ground truth in steps.
type drawn struct {
	*rand.Rand
	inventory prune.Inventory
	policy    prune.Policy
	line      catalog.Line
	now       int
}

func (d *drawn) one(in int) bool { return d.IntN(in) == 0 }

// claimed is a time as a machine with a clock of its own says it.
func (d *drawn) claimed(t time.Time) time.Time {
	switch d.IntN(8) {
	case 0:
		return t.Add(time.Hour)
	case 1:
		return t.Add(-time.Hour)
	case 2:
		return t.AddDate(d.IntN(20), 0, 0)
	case 3:
		return t.AddDate(-d.IntN(20), 0, 0)
	}
	return t
}

func (d *drawn) id(t time.Time) format.ID {
	return format.ID(fmt.Sprintf("%s-%06d", t.UTC().Format("20060102T150405Z"), d.IntN(1_000_000)))
}

func draw(seed uint64) *drawn {
	d := &drawn{Rand: rand.New(rand.NewPCG(seed, 7))} //nolint:gosec // a model, not a secret
	d.now = steps + d.IntN(40)
	d.inventory.Now = timeOf(d.now)
	d.line = catalog.Line{Branch: main_}
	d.segments()
	d.snapshots()
	d.inventory.Timeline = catalog.Timeline{Lines: []catalog.Line{d.line}}
	if d.one(6) {
		d.inventory.Timeline.Lines = append(d.inventory.Timeline.Lines, catalog.Line{})
	}
	d.marksAndHolds()
	d.jobs()
	d.rest()
	for _, rule := range []*int{&d.policy.Last, &d.policy.Hourly, &d.policy.Daily, &d.policy.Weekly, &d.policy.Monthly, &d.policy.Yearly} {
		if d.one(2) {
			*rule = d.IntN(4)
			d.policy.Keep = d.policy.Keep || *rule > 0
		}
	}
	if d.one(4) {
		d.policy.Within, d.policy.Keep = time.Duration(1+d.IntN(20))*step, true
	}
	if d.one(5) {
		d.policy.Minimum = 2 + d.IntN(2)
	}
	if !d.one(4) {
		d.policy.Window = time.Duration(1+d.IntN(20)) * step
	}
	return d
}

// segments draws a chain with breaks, overlaps, duplicates and entries of other histories.
func (d *drawn) segments() {
	digest := func(bound int) format.Short {
		switch d.IntN(24) {
		case 0:
			return short(100 + bound)
		case 1:
			return format.Short{}
		}
		return short(1 + bound)
	}
	add := func(after, through int) {
		d.line.Segments = append(d.line.Segments, catalog.Segment{Window: window(after, through), Prev: digest(after), Last: digest(through), Size: 1})
	}
	for m := 0; m < steps; {
		through := min(m+1+d.IntN(4), steps)
		if !d.one(9) {
			add(m, through)
		}
		m = through
	}
	for range d.IntN(3) {
		after := d.IntN(steps)
		add(after, min(after+1+d.IntN(8), steps))
	}
	for range d.IntN(3) {
		after := d.IntN(steps)
		d.line.Notes = append(d.line.Notes, catalog.HoleNote{Window: window(after, min(after+1+d.IntN(4), steps)), Reason: "rolled over"})
	}
	d.Shuffle(len(d.line.Segments), reflect.Swapper(d.line.Segments))
}

func (d *drawn) snapshots() {
	for range d.IntN(8) {
		to := d.IntN(steps + 1)
		from := max(0, to-d.IntN(3))
		since := timeOf(to).Add(time.Duration(d.IntN(120)) * time.Minute)
		created := d.claimed(since)
		s := prune.Snapshot{Since: since, Size: 1, Manifest: format.Manifest{ID: d.id(created), Branch: main_, Created: created, From: at(from), At: at(to),
			Exact: format.ExactThroughOplog}}
		if from == to {
			s.Exact = format.ExactOneTime
		}
		if d.one(6) {
			s.Exact = format.ExactNo
		}
		if d.one(4) {
			s.Scope.Only = []string{"shop"}
		}
		if d.one(10) {
			s.Damage = "a chunk is missing"
		}
		d.inventory.Snapshots = append(d.inventory.Snapshots, s)
		d.line.Snapshots = append(d.line.Snapshots, catalog.Point{Snapshot: s.ID, From: s.From, At: s.At, Scope: s.Scope, Alone: s.Exact == format.ExactNo})
	}
}

// someSnapshot gives the id of a snapshot, or of none.
func (d *drawn) someSnapshot() format.ID {
	if len(d.inventory.Snapshots) == 0 {
		return "20200101T000000Z-nobody"
	}
	return d.inventory.Snapshots[d.IntN(len(d.inventory.Snapshots))].ID
}

func (d *drawn) marksAndHolds() {
	for i := range d.IntN(3) {
		m := d.IntN(steps + 1)
		created := d.claimed(timeOf(m))
		mark := prune.Mark{Since: timeOf(m), Mark: format.Mark{ID: d.id(created), At: at(m), Branch: main_, Name: fmt.Sprint("m", i), Created: created}}
		if !d.one(4) {
			mark.Expires = created.Add(time.Duration(d.IntN(30)) * step)
		}
		d.inventory.Marks = append(d.inventory.Marks, mark)
		d.line.Marks = append(d.line.Marks, catalog.Moment{Name: mark.Name, At: mark.At})
	}
	for range d.IntN(3) {
		m := d.IntN(steps + 1)
		created := d.claimed(timeOf(m))
		hold := prune.Hold{Since: timeOf(m), Hold: format.Hold{ID: d.id(created), Created: created}}
		if d.one(2) {
			hold.Expires = created.Add(time.Duration(d.IntN(50)) * step)
		}
		if !d.one(3) {
			hold.Snapshot = d.someSnapshot()
		}
		if d.one(3) {
			after := d.IntN(steps)
			w := window(after, after+1+d.IntN(4))
			hold.Branch, hold.Window = main_, &w
		}
		d.inventory.Holds = append(d.inventory.Holds, hold)
	}
}

func (d *drawn) jobs() {
	for range d.IntN(3) {
		to := d.IntN(steps)
		end := to + 1 + d.IntN(3)
		job := prune.Job{Last: timeOf(end), Job: catalog.Job{ID: d.id(d.claimed(timeOf(end)))}}
		job.Intent = &format.Intent{ID: job.ID, Kind: format.JobRewind, Branch: main_, To: at(to), Base: d.someSnapshot()}
		if d.one(2) {
			job.Changes = &format.Changes{Job: job.ID, Gap: window(to, end)}
		}
		if d.one(2) {
			job.Result = &format.Result{Job: job.ID, Outcome: []string{"done", "refused"}[d.IntN(2)]}
		}
		d.inventory.Jobs = append(d.inventory.Jobs, job)
		if d.one(2) {
			d.inventory.Holds = append(d.inventory.Holds, prune.Hold{Since: timeOf(end), Hold: format.Hold{ID: d.id(timeOf(end)), Job: job.ID}})
		}
		if d.one(4) {
			undo := prune.Job{Last: timeOf(end + 1), Job: catalog.Job{ID: d.id(timeOf(end + 1)), Result: &format.Result{Outcome: "done"}}}
			undo.Intent = &format.Intent{ID: undo.ID, Kind: format.JobUndo, Branch: main_, Job: job.ID, To: at(to)}
			d.inventory.Jobs = append(d.inventory.Jobs, undo)
		}
	}
}

// rest draws unfinished snapshots, lists of condemned things, and whether somebody is at work.
func (d *drawn) rest() {
	for range d.IntN(3) {
		first := d.IntN(d.now)
		last := first + d.IntN(min(8, d.now-first+1))
		d.inventory.Unfinished = append(d.inventory.Unfinished, prune.Folder{ID: d.id(d.claimed(timeOf(first))), First: timeOf(first), Last: timeOf(last)})
	}
	for range d.IntN(3) {
		list := prune.List{Since: timeOf(d.now - d.IntN(8)), Condemned: format.Condemned{ID: d.id(d.inventory.Now)}}
		for range d.IntN(3) {
			list.Snapshots = append(list.Snapshots, d.someSnapshot())
		}
		for _, f := range d.inventory.Unfinished {
			if d.one(3) {
				list.Snapshots = append(list.Snapshots, f.ID)
			}
		}
		for _, segment := range d.line.Segments {
			if name, err := segment.Name(main_); err == nil && d.one(2) {
				list.Objects = append(list.Objects, name)
			}
		}
		d.inventory.Lists = append(d.inventory.Lists, list)
	}
	if d.one(8) {
		d.inventory.Busy = []string{"snapshot"}
	}
}

// track is what can be walked on a set of segments: whether each step is covered and leads on from the one before.
type track struct{ covered, leads [steps + 2]bool }

func trackOf(segments []catalog.Segment) *track {
	var t track
	for m := 1; m <= steps; m++ {
		across, met := false, false
		var names []format.Short
		name := func(digest format.Short) {
			if digest != (format.Short{}) && !slices.Contains(names, digest) {
				names = append(names, digest)
			}
		}
		for _, a := range segments {
			t.covered[m] = t.covered[m] || a.After < at(m) && at(m) <= a.Through
			across = across || a.After < at(m-1) && at(m) <= a.Through
			if a.Through == at(m-1) {
				name(a.Last)
			}
			if a.After == at(m-1) {
				name(a.Prev)
			}
			for _, b := range segments {
				met = met || a.Through == at(m-1) && b.After == at(m-1) && a.Last == b.Prev && b.Prev != (format.Short{})
			}
		}
		t.leads[m] = len(names) <= 1 && (across || met)
	}
	return &t
}

// walk reports whether everything in (after, through] is there without a break.
func (t *track) walk(after, through int) bool {
	for m := after + 1; m <= through; m++ {
		if !t.covered[m] || m > after+1 && !t.leads[m] {
			return false
		}
	}
	return true
}

// reaches reports whether one of the points reaches a step.
func (t *track) reaches(points []catalog.Point, m int, scope pitr.Scope) bool {
	return slices.ContainsFunc(points, func(p catalog.Point) bool {
		if !p.Scope.ContainsAll(scope) || p.At > at(m) {
			return false
		}
		if p.Alone {
			return p.At == at(m)
		}
		return t.walk(stepOf(p.From), m)
	})
}

// case R01, R02, R03, R05, R06, R07, R08
func TestAHundredThousandHistoriesKeepWhatIsNeeded(t *testing.T) {
	histories := 100_000
	if testing.Short() {
		histories = 5_000
	}
	var next, gone, failed atomic.Int64
	var wait sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for seed := next.Add(1); seed <= int64(histories) && failed.Load() < 5; seed = next.Add(1) {
				d := draw(uint64(seed)) //nolint:gosec // a small number
				plan := prune.PlanOf(d.inventory, d.policy)
				n, problems := d.judge(plan)
				gone.Add(int64(n))
				if len(problems) > 0 {
					failed.Add(1)
					t.Errorf("seed %d, policy %s, now %d:\n%s", seed, d.policy, d.now, strings.Join(problems, "\n"))
				}
			}
		})
	}
	wait.Wait()
	if gone.Load() < int64(histories) {
		t.Errorf("only %d things went in %d histories: the model tests nothing", gone.Load(), histories)
	}
	t.Logf("%d things go in %d histories", gone.Load(), histories)
}

// judge compares a plan with the oracle, and gives how many things go.
func (d *drawn) judge(plan prune.Plan) (gone int, problems []string) {
	wrong := func(message string, values ...any) { problems = append(problems, fmt.Sprintf(message, values...)) }
	why := map[format.ID][]string{}
	for _, item := range plan.Snapshots {
		if item.Verdict == prune.Stays {
			why[item.ID] = item.Why
		} else {
			gone++
		}
	}
	var stay []catalog.Segment
	left := map[format.Name]bool{}
	for _, item := range plan.Archive {
		if item.Verdict == prune.Stays {
			left[item.Name] = true
		} else {
			gone++
		}
	}
	for _, segment := range d.line.Segments {
		if name, err := segment.Name(main_); err != nil || left[name] {
			stay = append(stay, segment)
		}
	}
	var points []catalog.Point
	for _, p := range d.line.Snapshots {
		if why[p.Snapshot] != nil {
			points = append(points, p)
		}
	}
	before, after := trackOf(d.line.Segments), trackOf(stay)
	d.judgeMoments(world{before, d.line.Snapshots}, world{after, points}, wrong)
	d.judgeRules(before, why, wrong)
	d.judgeNeeds(why, stay, wrong)
	d.judgeSentences(plan, wrong)
	return gone, problems
}

// world is what can be reached of a repository.
type world struct {
	*track
	points []catalog.Point
}

// judgeMoments: every promised moment stays reachable, every kept snapshot exact, and nothing becomes reachable.
func (d *drawn) judgeMoments(before, after world, wrong func(string, ...any)) {
	promised := steps + 1
	end := 0
	for m := 1; m <= steps; m++ {
		if before.covered[m] {
			end = m
		}
	}
	if end == 0 {
		end = d.now
	}
	if d.policy.Window > 0 {
		promised = min(promised, min(end, d.now)-int(d.policy.Window/step))
	}
	for _, mark := range d.inventory.Marks {
		span := mark.Expires.Sub(mark.Created)
		if mark.Expires.IsZero() || d.inventory.Now.Before(mark.Since.Add(span)) || d.inventory.Now.Before(mark.Expires) {
			promised = min(promised, stepOf(mark.At))
		}
	}
	for _, job := range d.inventory.Jobs {
		if d.open(job) {
			promised = min(promised, stepOf(job.Intent.To))
		}
	}
	for _, scope := range []pitr.Scope{{}, {Only: []string{"shop"}}} {
		for m := 0; m <= steps; m++ {
			was, is := before.reaches(before.points, m, scope), after.reaches(after.points, m, scope)
			switch {
			case is && !was:
				wrong("step %d of %s became reachable", m, scope)
			case was && !is && m >= promised:
				wrong("step %d of %s is promised from %d on and is not reachable any more", m, scope, promised)
			case !is && d.policy.Window == 0 && before.reaches(after.points, m, scope):
				wrong("step %d of %s follows a kept snapshot and is not reachable any more", m, scope)
			}
		}
	}
	for _, p := range after.points {
		if !p.Alone && before.walk(stepOf(p.From), stepOf(p.At)) && !after.walk(stepOf(p.From), stepOf(p.At)) {
			wrong("snapshot %s stays and is not exact any more", p.Snapshot)
		}
	}
}

// undone reports whether a job was undone.
func (d *drawn) undone(id format.ID) bool {
	return slices.ContainsFunc(d.inventory.Jobs, func(j prune.Job) bool {
		return j.Intent.Job == id && j.Intent.Kind == format.JobUndo && j.Result != nil
	})
}

// open reports whether a job may still be resumed.
func (d *drawn) open(job prune.Job) bool {
	return job.Result == nil && !d.undone(job.ID) && (job.Changes != nil || d.inventory.Now.Sub(job.Last) < 7*24*time.Hour)
}

// judgeRules: a snapshot stays by a rule if and only if the rule's own words say so, by the store's clock.
func (d *drawn) judgeRules(before *track, why map[format.ID][]string, wrong func(string, ...any)) {
	if !d.policy.Keep {
		for _, s := range d.inventory.Snapshots {
			if why[s.ID] == nil {
				wrong("snapshot %s goes without a rule", s.ID)
			}
		}
		return
	}
	good := func(s prune.Snapshot) bool {
		return s.Damage == "" && (s.Exact == format.ExactNo || before.walk(stepOf(s.From), stepOf(s.At)))
	}
	periods := map[string]func(time.Time) string{
		"hourly": func(t time.Time) string { return t.Format("2006-01-02 15") },
		"daily":  func(t time.Time) string { return t.Format("2006-01-02") },
		"weekly": func(t time.Time) string {
			for t.Weekday() != time.Monday {
				t = t.AddDate(0, 0, -1)
			}
			return t.Format("2006-01-02")
		},
		"monthly": func(t time.Time) string { return t.Format("2006-01") },
		"yearly":  func(t time.Time) string { return t.Format("2006") },
	}
	counts := map[string]int{"last": d.policy.Last, "hourly": d.policy.Hourly, "daily": d.policy.Daily, "weekly": d.policy.Weekly,
		"monthly": d.policy.Monthly, "yearly": d.policy.Yearly, "minimum redundancy": max(2, d.policy.Minimum)}
	for _, s := range d.inventory.Snapshots {
		if !good(s) {
			if why[s.ID] == nil {
				wrong("snapshot %s is not good and goes", s.ID)
			}
			continue
		}
		// newer are the good snapshots that could stand in for this one and came later.
		var newer []prune.Snapshot
		for _, other := range d.inventory.Snapshots {
			later := other.Since.After(s.Since) || other.Since.Equal(s.Since) && other.ID > s.ID
			if later && good(other) && other.Scope.ContainsAll(s.Scope) && (s.Exact == format.ExactNo || other.Exact != format.ExactNo) {
				newer = append(newer, other)
			}
		}
		for name, n := range counts {
			want := len(newer) < n
			if period := periods[name]; period != nil {
				seen := map[string]bool{}
				for _, other := range newer {
					seen[period(other.Since)] = true
				}
				want = n > 0 && !seen[period(s.Since)] && len(seen) < n
			}
			if got := slices.Contains(why[s.ID], name); got != want {
				wrong("snapshot %s stays by %s: %v, the oracle says %v", s.ID, name, got, want)
			}
		}
		if d.policy.Within > 0 && d.inventory.Now.Sub(s.Since) < d.policy.Within && why[s.ID] == nil {
			wrong("snapshot %s is within %s and goes", s.ID, d.policy.Within)
		}
	}
}

// judgeNeeds: what holds, jobs and runs in progress need stays.
func (d *drawn) judgeNeeds(why map[format.ID][]string, stay []catalog.Segment, wrong func(string, ...any)) {
	exists := func(id format.ID) bool {
		return slices.ContainsFunc(d.inventory.Snapshots, func(s prune.Snapshot) bool { return s.ID == id })
	}
	needs := func(id format.ID, who string) {
		if id != "" && exists(id) && why[id] == nil {
			wrong("snapshot %s goes, %s needs it", id, who)
		}
	}
	segments := func(w pitr.Window, who string) {
		for _, s := range d.line.Segments {
			if !s.Intersect(w).IsEmpty() && !slices.Contains(stay, s) {
				wrong("segment %s goes, %s needs it", s.Window, who)
			}
		}
	}
	held := map[format.ID]bool{}
	for _, h := range d.inventory.Holds {
		if !h.Expires.IsZero() && !d.inventory.Now.Before(h.Expires) && !d.inventory.Now.Before(h.Since.Add(h.Expires.Sub(h.Created))) {
			continue
		}
		held[h.Job] = true
		needs(h.Snapshot, "a hold")
		if h.Window != nil {
			segments(*h.Window, "a hold")
		}
	}
	for _, job := range d.inventory.Jobs {
		done := job.Result != nil && job.Result.Outcome == "done" && job.Changes != nil && held[job.ID] && !d.undone(job.ID)
		if d.open(job) || done {
			needs(job.Intent.Base, "job "+string(job.ID))
			if job.Changes != nil {
				segments(pitr.Window{After: job.Changes.Gap.After, Through: pitr.MaxTimestamp}, "job "+string(job.ID))
			}
		}
	}
	for _, f := range d.inventory.Unfinished {
		if d.inventory.Now.Sub(f.Last) < 7*24*time.Hour || len(d.inventory.Busy) > 0 {
			segments(pitr.Window{After: min(at(steps), pitr.NewTimestamp(uint32(f.First.Unix()), 0)), Through: pitr.MaxTimestamp}, "a snapshot in progress") //nolint:gosec // a date of this century
		}
	}
}

// judgeSentences: nothing leaves that was not condemned for a day, and nothing in progress goes.
func (d *drawn) judgeSentences(plan prune.Plan, wrong func(string, ...any)) {
	condemned := func(item prune.Item) bool {
		return slices.ContainsFunc(d.inventory.Lists, func(l prune.List) bool {
			named := item.Name.IsZero() && slices.Contains(l.Snapshots, item.ID) || !item.Name.IsZero() && slices.Contains(l.Objects, item.Name)
			return named && !d.inventory.Now.Before(l.Since.Add(24*time.Hour))
		})
	}
	for _, item := range slices.Concat(plan.Snapshots, plan.Archive) {
		if item.Verdict == prune.Leaves && !condemned(item) {
			wrong("%s%s leaves, and nobody condemned it a day ago", item.ID, item.Name)
		}
	}
	for _, f := range d.inventory.Unfinished {
		for _, item := range plan.Snapshots {
			listed := slices.ContainsFunc(d.inventory.Lists, func(l prune.List) bool { return slices.Contains(l.Snapshots, f.ID) })
			young := d.inventory.Now.Sub(f.Last) < 7*24*time.Hour && !listed
			if item.ID == f.ID && item.Verdict != prune.Stays && (young || len(d.inventory.Busy) > 0) {
				wrong("unfinished %s goes", f.ID)
			}
		}
	}
}

// TestACutOffComparisonHoldsNothing: a comparison wrote to no cluster and is never gone on with, so that one which was cut off
// changes nothing of a plan.
func TestACutOffComparisonHoldsNothing(t *testing.T) {
	for seed := range uint64(300) {
		d := draw(seed)
		want := prune.PlanOf(d.inventory, d.policy)
		id := d.id(beginning)
		d.inventory.Jobs = append(slices.Clone(d.inventory.Jobs), prune.Job{Job: catalog.Job{ID: id, Changes: &format.Changes{Job: id},
			Intent: &format.Intent{ID: id, Kind: format.JobCompare, Branch: main_}}})
		if got := prune.PlanOf(d.inventory, d.policy); !reflect.DeepEqual(got.Archive, want.Archive) || !reflect.DeepEqual(got.Snapshots, want.Snapshots) {
			t.Fatalf("seed %d: the plan is another one", seed)
		}
	}
}
