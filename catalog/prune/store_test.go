package prune_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/catalog/prune"
	"pitr/catalog/verify"
	"pitr/format"
	"pitr/internal/sample"
	"pitr/storage"
	"pitr/storage/storagetest"
)

// deleting is a store whose deletions can fail.
type deleting struct {
	storage.Store
	fail func(name string) error
	// start is called before the header is stored: the probe before it wants a clock that is right.
	start func()
}

func (d *deleting) Create(ctx context.Context, name string, data []byte) error {
	if name == "pitr.json" {
		d.start()
	}
	return d.Store.Create(ctx, name, data)
}

func (d *deleting) Delete(ctx context.Context, name string) error {
	if d.fail != nil && !strings.HasPrefix(name, "leases/") {
		if err := d.fail(name); err != nil {
			return err
		}
	}
	return d.Store.Delete(ctx, name)
}

// life is a repository through some days, with a ghost beside it from which nothing is ever removed.
type life struct {
	*rand.Rand
	t      *testing.T
	now    time.Time
	store  *deleting
	r      *catalog.Repository
	policy prune.Policy
	ghost  catalog.Line
	branch format.ID
	// begun is a snapshot without a manifest yet.
	begun  *format.Manifest
	stored map[format.ID]int64
	holds  []format.Hold
	marks  []format.Mark
	// bases are snapshots of open jobs.
	bases []format.ID
	ran   int
}

func (l *life) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *life) put(name format.Name, err error) int64 {
	l.t.Helper()
	l.must(err)
	data := make([]byte, 1+l.IntN(9))
	l.must(l.store.Create(l.t.Context(), name.String(), data))
	return int64(len(data))
}

func newLife(t *testing.T, seed uint64) *life {
	l := &life{Rand: rand.New(rand.NewPCG(seed, 11)), t: t, now: timeOf(0), stored: map[format.ID]int64{}} //nolint:gosec // a model, not a secret
	memory := storage.NewMemory()
	l.store = &deleting{Store: memory, start: func() { memory.Now = func() time.Time { return l.now } }}
	claimed := func() time.Time { // case R03
		switch l.IntN(6) {
		case 0:
			return l.now.AddDate(l.IntN(9), 0, 0)
		case 1:
			return l.now.AddDate(-l.IntN(9), 0, 0)
		}
		return l.now
	}
	var err error
	l.r, err = catalog.Create(t.Context(), l.store, catalog.CreateOptions{ClusterName: "test", OpenOptions: catalog.OpenOptions{Now: func() time.Time { return l.now }}})
	l.must(err)
	l.r, err = catalog.Open(t.Context(), l.store, catalog.OpenOptions{Now: claimed})
	l.must(err)
	l.branch = l.id()
	l.must(l.r.PutBranch(t.Context(), format.Branch{ID: l.branch, Created: l.now, Set: "rs0", Hosts: []string{"a:1"}}))
	l.ghost.Branch = l.branch
	rules := []string{"", "last=1", "last=2", "daily=2", "daily=2,weekly=1", "within=2d"}
	windows := []string{"", "6h", "18h", "48h"}
	l.policy, err = prune.ParsePolicy(rules[l.IntN(len(rules))], windows[l.IntN(len(windows))])
	l.must(err)
	return l
}

func (l *life) id() format.ID {
	l.t.Helper()
	id, err := l.r.NewID()
	l.must(err)
	return id
}

// archive adds a segment of one step.
func (l *life) archive(m int) {
	segment := catalog.Segment{Window: window(m-1, m), Prev: short(m), Last: short(1 + m)}
	segment.Size = l.put(segment.Name(l.branch))
	l.ghost.Segments = append(l.ghost.Segments, segment)
}

// overlap adds a longer segment beside others, sometimes one of another history.
func (l *life) overlap(m int) {
	after := max(0, m-2-l.IntN(4))
	segment := catalog.Segment{Window: window(after, m), Prev: short(1 + after), Last: short(1 + m)}
	if l.one(3) {
		segment.Last = short(100 + m)
	}
	for _, known := range l.ghost.Segments {
		if known.Window == segment.Window {
			return
		}
	}
	segment.Size = l.put(segment.Name(l.branch))
	l.ghost.Segments = append(l.ghost.Segments, segment)
}

// begin stores the chunks of a snapshot, finish its manifest.
func (l *life) begin(m int) {
	manifest := format.Manifest{ID: l.id(), Branch: l.branch, Created: l.r.Now(), Finished: l.r.Now(), Reason: format.ReasonScheduled,
		Cluster: format.Cluster{Name: "test"}, From: at(m), Exact: format.ExactThroughOplog, Objects: format.Objects{Chunks: 2}}
	for i := range 2 {
		manifest.Objects.Stored += l.put(format.ChunkName(manifest.ID, i))
	}
	l.begun = &manifest
}

func (l *life) finish(m int) {
	manifest := *l.begun
	l.begun = nil
	name, err := format.CatalogPartName(manifest.ID, 0)
	size := l.put(name, err)
	manifest.Objects.Stored += size
	manifest.Objects.Catalog = []format.Part{{Name: name, Size: size}}
	manifest.At = at(m)
	if manifest.From == manifest.At {
		manifest.Exact = format.ExactOneTime
	}
	manifest.Oplog = &format.Span{Window: pitr.Window{After: manifest.From.Before(), Through: manifest.At}}
	if manifest.From < manifest.At {
		manifest.Oplog.After = manifest.From
	}
	_, err = l.r.PutObject(l.t.Context(), &manifest)
	l.must(err)
	l.stored[manifest.ID] = manifest.Objects.Stored
	point := catalog.Point{Snapshot: manifest.ID, From: manifest.From, At: manifest.At}
	if point.From == point.At {
		point.From = at(m - 1) // the step before, whole, for an oracle that knows no moments within steps
	}
	l.ghost.Snapshots = append(l.ghost.Snapshots, point)
}

// live gives the snapshots that are listed now.
func (l *life) live() []format.Manifest {
	l.t.Helper()
	listing, err := l.r.Snapshots(l.t.Context())
	l.must(err)
	return listing.Items
}

// act lets people and jobs do something.
func (l *life) act(m int) {
	ctx := l.t.Context()
	var live []format.Manifest
	what := l.IntN(9)
	if what == 5 || what == 7 {
		live = l.live()
	}
	switch what {
	case 0, 1:
		if l.begun == nil {
			l.begin(m)
		}
	case 2, 3:
		if l.begun != nil {
			l.finish(m)
		}
	case 4:
		mark := format.Mark{At: at(m), Branch: l.branch, Name: "m"}
		mark.Created = l.r.Now()
		mark.Expires = mark.Created.Add(time.Duration(1+l.IntN(9)) * step)
		mark, err := l.r.PutMark(ctx, mark)
		l.must(err)
		mark.Expires = l.now.Add(mark.Expires.Sub(mark.Created)) // by the store's clock
		l.marks = append(l.marks, mark)
	case 5:
		if len(live) > 0 { // case R09
			hold, err := l.r.PutHold(ctx, format.Hold{Snapshot: live[l.IntN(len(live))].ID, Reason: "case"})
			if err == nil {
				l.holds = append(l.holds, hold)
			} else if pitr.KindOf(err) != pitr.KindRefused {
				l.t.Fatal(err)
			}
		}
	case 6:
		if len(l.holds) > 0 {
			name, err := l.holds[0].ObjectName()
			l.must(err)
			l.must(l.r.Delete(ctx, name))
			l.holds = l.holds[1:]
		}
	case 7:
		if len(live) > 0 { // case R07
			base := live[l.IntN(len(live))]
			job := l.id()
			_, err := l.r.PutObject(ctx, &format.Intent{ID: job, Kind: format.JobRewind, Created: l.now, Branch: l.branch, To: base.At, Base: base.ID,
				Cluster: format.Cluster{Name: "test"}})
			l.must(err)
			_, err = l.r.PutObject(ctx, &format.Changes{Job: job, Created: l.now, Gap: window(m, m+1)})
			l.must(err)
			l.bases = append(l.bases, base.ID)
		}
	}
}

var errCut = errors.New("the store is gone")

// prune runs it, sometimes cut off after some deletions, sometimes over a store that refuses some.
func (l *life) prune() {
	l.t.Helper()
	confirm := func(prune.Plan) error { return nil }
	left := l.IntN(12)
	refused := 1 + l.IntN(5)
	switch l.IntN(4) {
	case 0: // case C04
		l.store.fail = func(string) error {
			if left--; left < 0 {
				return &pitr.Error{Kind: pitr.KindUnavailable, Err: errCut}
			}
			return nil
		}
	case 1: // case S16
		l.store.fail = func(name string) error {
			if len(name)*int(name[len(name)/2])%refused == 0 {
				return &pitr.Error{Kind: pitr.KindDenied, Err: errCut}
			}
			return nil
		}
	}
	outcome, err := prune.Run(l.t.Context(), l.r, prune.Options{Policy: l.policy, Confirm: confirm, Lease: catalog.LeaseOptions{Holder: "op"}})
	l.store.fail = nil
	if err != nil && !errors.Is(err, errCut) {
		l.t.Fatalf("prune: %v", err)
	}
	l.ran += outcome.Removed.Objects
	l.check()
}

// check holds the repository to the ghost.
func (l *life) check() {
	l.t.Helper()
	there := map[format.ID]int64{}
	for found, err := range l.r.List(l.t.Context(), format.SnapshotsPrefix, "") {
		l.must(err)
		if found.Name.Kind() != format.KindManifest {
			there[found.Name.ID()] += found.Size
		}
	}
	var points []catalog.Point
	for _, m := range l.live() {
		if there[m.ID] != l.stored[m.ID] {
			l.t.Errorf("snapshot %s is published and has %d of %d bytes", m.ID, there[m.ID], l.stored[m.ID])
		}
		i := slices.IndexFunc(l.ghost.Snapshots, func(p catalog.Point) bool { return p.Snapshot == m.ID })
		points = append(points, l.ghost.Snapshots[i])
	}
	if l.begun != nil && there[l.begun.ID] != l.begun.Objects.Stored { // case R06
		l.t.Errorf("objects of the snapshot in progress are gone")
	}
	for _, id := range l.bases {
		if !slices.ContainsFunc(points, func(p catalog.Point) bool { return p.Snapshot == id }) {
			l.t.Errorf("the base %s of an open job is gone", id)
		}
	}
	for _, h := range l.holds {
		if !slices.ContainsFunc(points, func(p catalog.Point) bool { return p.Snapshot == h.Snapshot }) {
			l.t.Errorf("the held snapshot %s is gone", h.Snapshot)
		}
	}
	timeline, err := l.r.Timeline(l.t.Context())
	l.must(err)
	line := timeline.Lines[0]
	end := 0
	for _, segment := range l.ghost.Segments {
		end = max(end, stepOf(segment.Through))
	}
	promised := steps + 1
	if l.policy.Window > 0 {
		promised = end - int(l.policy.Window/step)
	}
	for _, mark := range l.marks {
		if l.now.Before(mark.Expires) {
			promised = min(promised, stepOf(mark.At))
		}
	}
	is, was := trackOf(line.Segments), trackOf(l.ghost.Segments)
	for m := 0; m <= steps; m++ {
		before, after := was.reaches(l.ghost.Snapshots, m, pitr.Scope{}), is.reaches(points, m, pitr.Scope{})
		if after != before && (m >= promised || after) {
			l.t.Errorf("step %d of %d, promised from %d on: reachable %v, was %v", m, end, promised, after, before)
		}
	}
	for _, p := range points {
		if was.walk(stepOf(p.From), stepOf(p.At)) && !is.walk(stepOf(p.From), stepOf(p.At)) {
			l.t.Errorf("snapshot %s is not exact any more", p.Snapshot)
		}
	}
	// Whatever happened, a break of the archive that was not there before has a note. Only a cut between two deletions of the
	// beginning can leave less than that, and never a break.
	for _, hole := range timeline.Holes(l.branch) {
		w := hole.Window
		whole := was.walk(stepOf(w.After), stepOf(w.Through))
		if w.IsEmpty() {
			whole = was.walk(stepOf(w.After)-1, stepOf(w.After)+1)
		}
		if whole && hole.Reason != prune.RemovedReason {
			l.t.Errorf("the break %s has no note: %s", w, hole.Reason)
		}
	}
}

// case R01, R03, R06, R07, R09, R10, C04, S16
func TestRepositoriesLiveThroughPrune(t *testing.T) {
	lives := 250
	if testing.Short() {
		lives = 50
	}
	if n, err := strconv.Atoi(os.Getenv("PITR_TEST_LIVES")); err == nil { // for long runs
		lives = n
	}
	removed := 0
	for seed := range uint64(lives) { //nolint:gosec // a small number
		l := newLife(t, seed)
		for m := 1; m <= steps; m++ {
			l.now = timeOf(m)
			if !l.one(10) {
				l.archive(m)
			}
			if l.one(12) {
				l.overlap(m)
			}
			for range 2 {
				l.act(m)
			}
			if l.one(3) {
				l.prune()
			}
		}
		l.begun = nil // case C14: the run has died, and what it left may go after the grace time
		for range 4 {
			l.now = l.now.Add(time.Duration(1+l.IntN(5)) * 24 * time.Hour)
			l.prune()
		}
		l.leftovers()
		removed += l.ran
		if t.Failed() {
			t.Fatalf("seed %d, policy %s", seed, l.policy)
		}
	}
	if removed < 3*lives {
		t.Errorf("only %d objects were removed in %d lives", removed, lives)
	}
	t.Logf("%d objects were removed in %d lives", removed, lives)
}

// leftovers fails the test where something of a dead run is left a month later.
func (l *life) leftovers() {
	l.t.Helper()
	for range 3 {
		l.now = l.now.Add(10 * 24 * time.Hour)
		_, err := prune.Run(l.t.Context(), l.r, prune.Options{Policy: l.policy, Confirm: func(prune.Plan) error { return nil }})
		l.must(err)
	}
	l.check()
	published := map[format.ID]bool{}
	for _, m := range l.live() {
		published[m.ID] = true
	}
	for found, err := range l.r.List(l.t.Context(), format.SnapshotsPrefix, "") {
		l.must(err)
		if !published[found.Name.ID()] {
			l.t.Errorf("%s is left", found.Name)
		}
	}
}

func (l *life) one(in int) bool { return l.IntN(in) == 0 }

// whole is a repository with real content: ten days, each with a snapshot and two segments.
func whole(t *testing.T) (*sample.Mill, *deleting, []format.Manifest) {
	t.Helper()
	memory := storage.NewMemory()
	now := time.Date(2025, 10, 22, 9, 0, 0, 0, time.UTC)
	store := &deleting{Store: memory, start: func() { memory.Now = func() time.Time { return now } }}
	m := sample.New(t, store)
	memory.Now = func() time.Time { return m.Now }
	branch := m.Branch()
	var manifests []format.Manifest
	var previous pitr.Timestamp
	for range 10 {
		seconds := uint32(m.Now.Unix())                                                                 //nolint:gosec // a date of this century
		s := func(hours int) pitr.Timestamp { return pitr.NewTimestamp(seconds+uint32(hours*3600), 1) } //nolint:gosec // a few
		m.Segment(branch, previous, s(0), s(1))
		manifests = append(manifests, m.Snapshot(sample.Shape{Branch: branch, From: s(0), At: s(1), Exact: format.ExactThroughOplog,
			Oplog:       &format.Span{Window: pitr.Window{After: s(0), Through: s(1)}, AfterDigest: format.Sum(m.Entry(s(0))), ThroughDigest: format.Sum(m.Entry(s(1)))},
			Collections: [][]bson.Raw{m.Documents(1, 3)}, Chunks: 2}))
		m.Segment(branch, s(1), s(12), s(20))
		previous = s(20)
		m.Now = m.Now.Add(24 * time.Hour)
	}
	return m, store, manifests
}

// sound fails the test unless the repository is whole at level 2, and gives what else there is to say.
func sound(t *testing.T, r *catalog.Repository) (findings []string) {
	t.Helper()
	for finding, err := range verify.Run(t.Context(), r, verify.Options{Level: verify.LevelContent}) {
		if err != nil || finding.IsDamage() {
			t.Fatalf("%v, %v", finding, err)
		}
		findings = append(findings, finding.String())
	}
	return findings
}

// After a prune the repository is whole, the break that a hold leaves is noted, and the timeline tells the truth.
func TestWhatPruneLeavesIsWhole(t *testing.T) {
	m, _, manifests := whole(t)
	hold, err := m.R.PutHold(t.Context(), format.Hold{Snapshot: manifests[2].ID, Reason: "case"})
	m.Check(err)
	policy, err := prune.ParsePolicy("last=3", "72h")
	m.Check(err)
	run := func() prune.Outcome {
		t.Helper()
		outcome, err := prune.Run(t.Context(), m.R, prune.Options{Policy: policy, Confirm: func(prune.Plan) error { return nil }})
		m.Check(err)
		return outcome
	}
	first := run()
	if first.Removed.Objects != 0 || first.Condemned.Snapshots != 5 {
		t.Fatalf("the first run: %+v, %+v", first.Condemned, first.Removed)
	}
	if _, err := m.R.PutHold(t.Context(), format.Hold{Snapshot: manifests[0].ID, Reason: "late"}); pitr.KindOf(err) != pitr.KindRefused {
		t.Errorf("a condemned snapshot could be held: %v", err)
	}
	m.Now = m.Now.Add(23 * time.Hour)
	if outcome := run(); outcome.Removed.Objects != 0 {
		t.Errorf("removed after 23 hours: %+v", outcome.Removed)
	}
	m.Now = m.Now.Add(2 * time.Hour)
	if outcome := run(); outcome.Removed.Snapshots != 5 {
		t.Errorf("removed after 25 hours: %+v", outcome.Removed)
	}
	findings := sound(t, m.R)
	if !slices.ContainsFunc(findings, func(f string) bool { return strings.Contains(f, prune.RemovedReason) }) {
		t.Errorf("nobody tells of the break: %v", findings)
	}
	timeline, err := m.R.Timeline(t.Context())
	m.Check(err)
	if _, err := timeline.Reach(manifests[2].At, pitr.Scope{}); err != nil {
		t.Errorf("the held snapshot: %v", err)
	}
	if _, err := timeline.Reach(manifests[4].At, pitr.Scope{}); pitr.KindOf(err) != pitr.KindHole {
		t.Errorf("what was removed can be reached: %v", err)
	}
	if lists, err := m.R.Condemned(t.Context()); err != nil || len(lists.Items) != 0 {
		t.Errorf("lists are left: %v, %v", lists.Items, err)
	}
	// Without the hold its island goes, and the note with it.
	name, err := hold.ObjectName()
	m.Check(err)
	m.Check(m.R.Delete(t.Context(), name))
	run()
	m.Now = m.Now.Add(25 * time.Hour)
	run()
	m.Now = m.Now.Add(25 * time.Hour)
	run() // a note goes after what it explained
	m.Now = m.Now.Add(25 * time.Hour)
	run()
	if findings := sound(t, m.R); len(findings) != 0 {
		t.Errorf("left: %v", findings)
	}
}

// case S16: whatever a locked snapshot needs stays with it; the counts are right.
func TestALockedSnapshotStaysWhole(t *testing.T) {
	m, store, manifests := whole(t)
	policy, err := prune.ParsePolicy("last=3", "24h")
	m.Check(err)
	o := prune.Options{Policy: policy, Confirm: func(prune.Plan) error { return nil }}
	_, err = prune.Run(t.Context(), m.R, o)
	m.Check(err)
	m.Now = m.Now.Add(25 * time.Hour)
	store.fail = func(name string) error {
		if strings.Contains(name, string(manifests[1].ID)) || strings.Contains(name, string(manifests[4].ID)) {
			return pitr.Errorf(pitr.KindDenied, "delete "+name, "", "Access Denied because object protected by object lock")
		}
		return nil
	}
	outcome, err := prune.Run(t.Context(), m.R, o)
	if pitr.KindOf(err) != pitr.KindPartial || outcome.Locked.Snapshots != 2 || outcome.Locked.Objects != 2 || outcome.Removed.Snapshots != 5 || len(outcome.Refused) != 2 {
		t.Fatalf("%v: locked %+v, removed %+v", err, outcome.Locked, outcome.Removed)
	}
	sound(t, m.R)
	store.fail = nil
	if outcome, err = prune.Run(t.Context(), m.R, o); err != nil || outcome.Removed.Snapshots != 2 {
		t.Fatalf("%v: removed %+v", err, outcome.Removed)
	}
	m.Now = m.Now.Add(25 * time.Hour)
	_, err = prune.Run(t.Context(), m.R, o)
	m.Check(err)
	sound(t, m.R)
}

// case L05: prune keeps away while a snapshot is taken or a job writes, and stops when one begins.
func TestPruneKeepsAwayFromRuns(t *testing.T) {
	m, store, _ := whole(t)
	policy, err := prune.ParsePolicy("last=3", "24h")
	m.Check(err)
	var begin func()
	faulty := storagetest.Faulty(t, store, storagetest.Fault{Op: storagetest.Delete, Name: "snapshots/*/manifest.json",
		Effect: storagetest.Meanwhile(func() { begin() })})
	r, err := catalog.Open(t.Context(), faulty, catalog.OpenOptions{Now: func() time.Time { return m.Now }})
	m.Check(err)
	o := prune.Options{Policy: policy, Confirm: func(prune.Plan) error { return nil }}
	lease, err := r.Lease(t.Context(), catalog.LeaseSnapshot, catalog.LeaseOptions{Holder: "cron@db1"})
	m.Check(err)
	if _, err = prune.Run(t.Context(), r, o); pitr.KindOf(err) != pitr.KindLocked || !strings.Contains(err.Error(), "cron@db1") {
		t.Errorf("while a snapshot is taken: %v", err)
	}
	m.Check(lease.Release(t.Context()))
	_, err = prune.Run(t.Context(), r, o)
	m.Check(err)
	m.Now = m.Now.Add(25 * time.Hour)
	begin = func() {
		_, err := r.Lease(t.Context(), catalog.LeaseWrite, catalog.LeaseOptions{Holder: "ada@laptop"})
		m.Check(err)
	}
	outcome, err := prune.Run(t.Context(), r, o)
	if pitr.KindOf(err) != pitr.KindPartial || outcome.Removed.Snapshots != 1 || !strings.Contains(outcome.Stopped, "ada@laptop") {
		t.Errorf("a job began: %v, %+v", err, outcome.Removed)
	}
	sound(t, r)
}

// case L05: a verification that looks while prune removes calls nothing damage that was condemned, and everything else.
func TestVerifyLooksWhilePruneRemoves(t *testing.T) {
	for _, condemned := range []bool{true, false} {
		m, store, manifests := whole(t)
		if condemned {
			m.Object(&format.Condemned{ID: m.ID(), Created: m.Now, Snapshots: []format.ID{manifests[0].ID}})
		}
		name, err := format.ManifestName(manifests[0].ID)
		m.Check(err)
		faulty := storagetest.Faulty(t, store, storagetest.Fault{Op: storagetest.Read, Name: name.String(),
			Effect: storagetest.Meanwhile(func() { m.Check(store.Delete(t.Context(), name.String())) })})
		r, err := catalog.Open(t.Context(), faulty, catalog.OpenOptions{})
		m.Check(err)
		damage := 0
		for finding := range verify.Run(t.Context(), r, verify.Options{}) {
			if finding.IsDamage() {
				damage++
			}
		}
		if (damage == 0) != condemned {
			t.Errorf("condemned %v: %d findings are damage", condemned, damage)
		}
	}
}

// case R04, and what cannot be read stops everything.
func TestPruneAsksAndRefuses(t *testing.T) {
	m, _, manifests := whole(t)
	policy, err := prune.ParsePolicy("last=1", "24h")
	m.Check(err)
	if _, err = prune.Run(t.Context(), m.R, prune.Options{Policy: policy}); pitr.KindOf(err) != pitr.KindRefused {
		t.Errorf("most snapshots go and nobody was asked: %v", err)
	}
	name, err := format.HoldName("20251022T090000Z-aaaaaa")
	m.Check(err)
	m.Check(m.R.Put(t.Context(), name, []byte(fmt.Sprintf(`{"snapshot": %q`, manifests[0].ID))))
	if _, err = prune.Run(t.Context(), m.R, prune.Options{Policy: policy}); pitr.KindOf(err) != pitr.KindCorrupt || pitr.HintOf(err) == "" {
		t.Errorf("a hold that cannot be read: %v", err)
	}
}
