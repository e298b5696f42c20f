package doctor_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pitr"
	"pitr/catalog"
	"pitr/doctor"
	"pitr/format"
	"pitr/storage"
)

var now = time.Date(2025, 10, 22, 9, 16, 0, 0, time.UTC)

func at(before time.Duration) pitr.Timestamp {
	return pitr.NewTimestamp(uint32(now.Add(-before).Unix()), 1)
}

func optime(before time.Duration) pitr.OpTime { return pitr.OpTime{TS: at(before), Term: 1} }

const branch = format.ID("20251001T000000Z-bbbbbb")

// lease gives the newest generation of a lease, renewed so long ago.
func lease(t *testing.T, name string, renewed time.Duration) catalog.LeaseState {
	t.Helper()
	object, err := format.LeaseName(name, 3)
	if err != nil {
		t.Fatal(err)
	}
	return catalog.LeaseState{Object: object, Modified: now.Add(-renewed), Record: format.Lease{Lease: name, Holder: "ada@db1", Host: "db1", Taken: now.Add(-time.Hour)}}
}

// sound are the facts of a morning on which everything is as it should be.
func sound(t *testing.T) doctor.Facts {
	t.Helper()
	repository, err := catalog.Create(t.Context(), storage.NewMemory(), catalog.CreateOptions{ClusterName: "devices-eu"})
	if err != nil {
		t.Fatal(err)
	}
	server := pitr.Server{Ability: pitr.AbilityFull, Set: "rs0", SetID: "aa", Member: "a:27017", Hosts: []string{"a:27017", "b:27017", "c:27017"},
		Version: "7.0.14", FCV: "7.0", Authenticated: true, Clock: now}
	return doctor.Facts{
		Subjects: doctor.Subjects{Repository: repository, Reading: doctor.Login{Server: server, Asked: now}, Restoring: true,
			Writing: doctor.Login{Server: server, Asked: now}, Retention: "daily=14", Now: now},
		Header: repository.Header(), Branch: format.Branch{ID: branch, SetID: "aa"},
		Timeline: catalog.Timeline{Lines: []catalog.Line{{Branch: branch,
			Segments:  []catalog.Segment{{Window: pitr.Window{After: at(30 * time.Hour), Through: at(5 * time.Second)}}},
			Snapshots: []catalog.Point{{Snapshot: "20251022T030000Z-aaaaaa", From: at(6 * time.Hour), At: at(6 * time.Hour)}}}}},
		Snapshots:  []format.Manifest{{ID: "20251022T030000Z-aaaaaa", Finished: now.Add(-6 * time.Hour)}},
		Leases:     []catalog.LeaseState{lease(t, catalog.LeaseArchive, 10*time.Second)},
		Oplog:      doctor.Oplog{Oldest: optime(50 * time.Hour), Newest: optime(0)},
		Block:      doctor.Block{WriteBlock: pitr.WriteBlock{MaySet: true, MayPass: true}},
		StoreKnown: true,
	}
}

func job(steps ...string) catalog.Job {
	j := catalog.Job{ID: "20251022T080000Z-cccccc", Intent: &format.Intent{Kind: format.JobRewind}}
	for _, step := range steps {
		j.Steps = append(j.Steps, format.StepRecord{Step: step})
	}
	return j
}

// Each thing that can be wrong is found: its check, how bad it is, and the kind that gives the exit code. // case U09
func TestEachThingIsFound(t *testing.T) {
	refused := pitr.Errorf(pitr.KindUnavailable, "connect", "check the network", "no answer")
	for name, c := range map[string]struct {
		change func(f *doctor.Facts)
		check  string
		level  doctor.Level
		kind   pitr.Kind
		says   string
	}{
		"repository gone":   {func(f *doctor.Facts) { f.Repository, f.RepositoryErr = nil, refused }, "repository", doctor.Bad, pitr.KindUnavailable, "no answer"},
		"listing fails":     {func(f *doctor.Facts) { f.Problem = errors.Join(refused) }, "repository", doctor.Bad, pitr.KindUnavailable, "no answer"},
		"manifest damaged":  {func(f *doctor.Facts) { f.Timeline.Damaged = []catalog.Damaged{{Err: pitr.Corruptf("", "bits")}} }, "repository", doctor.Bad, pitr.KindCorrupt, "bits"},
		"single writer":     {func(f *doctor.Facts) { f.Header.Store.SingleWriter = true }, "store", doctor.Warning, "", "single writer"},
		"no condition":      {func(f *doctor.Facts) { f.Header.Store.ConditionalCreate = false }, "store", doctor.Warning, "", "refuses to replace"},
		"versioning off":    {func(f *doctor.Facts) { f.Header.Store.Kind = "s3" }, "store", doctor.Warning, "", "Object Lock"},
		"cluster gone":      {func(f *doctor.Facts) { f.Reading = doctor.Login{Err: refused} }, "cluster", doctor.Bad, pitr.KindUnavailable, "no answer"},
		"no oplog":          {func(f *doctor.Facts) { f.Reading.Server.Ability = pitr.AbilityDocuments }, "cluster", doctor.Bad, pitr.KindUnsupported, "no usable oplog"},
		"old FCV":           {func(f *doctor.Facts) { f.Reading.Server.FCV = "6.0" }, "cluster", doctor.Warning, "", "6.0"},
		"one member":        {func(f *doctor.Facts) { f.Reading.Server.Hosts = []string{"a:27017"} }, "cluster", doctor.Warning, "", "one member"},
		"right missing":     {func(f *doctor.Facts) { f.Reading.Missing = []string{"find on local.oplog.rs (role backup)"} }, "uri rights", doctor.Bad, pitr.KindDenied, "local.oplog.rs"},
		"no authentication": {func(f *doctor.Facts) { f.Reading.Server.Authenticated = false }, "uri rights", doctor.Warning, "", "asks nobody"},
		"another cluster":   {func(f *doctor.Facts) { f.Branch.SetID = "bb" }, "cluster", doctor.Bad, pitr.KindRefused, "not the cluster of the repository"},
		"login refused":     {func(f *doctor.Facts) { f.Writing = doctor.Login{Err: pitr.Errorf(pitr.KindDenied, "", "x", "login")} }, "restore login", doctor.Bad, pitr.KindDenied, "login"},
		"write right missing": {func(f *doctor.Facts) {
			f.Writing.Missing = []string{"remove on every database (role readWriteAnyDatabase)"}
		}, "restore rights", doctor.Bad, pitr.KindDenied, "remove"},
		"two clusters": {func(f *doctor.Facts) { f.Writing.Server.SetID = "bb" }, "restore login", doctor.Bad, pitr.KindRefused, "two different"},
		"no right to block": {func(f *doctor.Facts) {
			f.Writing.Missing = []string{"setUserWriteBlockMode on the cluster (role restore)"}
			f.Block = doctor.Block{WriteBlock: pitr.WriteBlock{Missing: "rights"}}
		}, "write block", doctor.Warning, "", "setUserWriteBlockMode"},
		"no write block":   {func(f *doctor.Facts) { f.Block = doctor.Block{WriteBlock: pitr.WriteBlock{Missing: "too old"}} }, "write block", doctor.Warning, "", "too old"},
		"block stands":     {func(f *doctor.Facts) { f.Block.Standing = true }, "write block", doctor.Bad, pitr.KindRefused, "stands"},
		"server clock off": {func(f *doctor.Facts) { f.Reading.Server.Clock = now.Add(-time.Minute) }, "clocks", doctor.Warning, "", "60 s behind"},
		"store clock off":  {func(f *doctor.Facts) { f.StoreAhead = time.Hour }, "clocks", doctor.Warning, "", "60 min ahead"},
		"short oplog":      {func(f *doctor.Facts) { f.Oplog.Oldest = optime(time.Hour) }, "oplog window", doctor.Warning, "", "60 min only"},
		"hole is near": {func(f *doctor.Facts) {
			f.Timeline.Lines[0].Segments[0].Through = at(40 * time.Hour)
			f.Timeline.Lines[0].Segments[0].After = at(60 * time.Hour)
		}, "oplog window", doctor.Warning, "", "hole is near"},
		"hole is there":     {func(f *doctor.Facts) { f.Oplog.Oldest = optime(time.Second) }, "oplog window", doctor.Bad, pitr.KindHole, "is lost"},
		"oplog denied":      {func(f *doctor.Facts) { f.Oplog.Err = pitr.Errorf(pitr.KindDenied, "", "x", "no") }, "oplog window", doctor.Bad, pitr.KindDenied, "no"},
		"nobody archives":   {func(f *doctor.Facts) { f.Leases = nil }, "archiver", doctor.Warning, "", "nobody is archiving"},
		"archiver silent":   {func(f *doctor.Facts) { f.Leases[0].Modified = now.Add(-time.Hour) }, "archiver", doctor.Warning, "", "no sign of life for 60 min"},
		"archiver behind":   {func(f *doctor.Facts) { f.Timeline.Lines[0].Segments[0].Through = at(20 * time.Minute) }, "archiver", doctor.Warning, "", "20 min behind"},
		"archive empty":     {func(f *doctor.Facts) { f.Timeline.Lines[0].Segments = nil }, "archiver", doctor.Warning, "", "empty"},
		"nothing reachable": {func(f *doctor.Facts) { f.Timeline.Lines[0].Snapshots = nil }, "moments", doctor.Bad, pitr.KindHole, "no moment"},
		"hole": {func(f *doctor.Facts) {
			f.Timeline.Lines[0].Segments = append(f.Timeline.Lines[0].Segments, catalog.Segment{Window: pitr.Window{After: at(50 * time.Hour), Through: at(40 * time.Hour)}})
		}, "hole", doctor.Warning, "", "no moment of"},
		"empty bucket":    {func(f *doctor.Facts) { f.Snapshots = nil }, "last snapshot", doctor.Warning, "", "there is none"},
		"old snapshot":    {func(f *doctor.Facts) { f.Snapshots[0].Finished = now.Add(-72 * time.Hour) }, "last snapshot", doctor.Warning, "", "3 days old"},
		"never verified":  {func(*doctor.Facts) {}, "verified", doctor.Warning, "", "no record"},
		"never drilled":   {func(*doctor.Facts) {}, "drill", doctor.Warning, "", "not built"},
		"stuck lease":     {func(f *doctor.Facts) { f.Leases = append(f.Leases, lease(t, catalog.LeaseSnapshot, time.Hour)) }, "lease snapshot", doctor.Warning, "", "no sign of life"},
		"somebody writes": {func(f *doctor.Facts) { f.Leases = append(f.Leases, lease(t, catalog.LeaseWrite, time.Second)) }, "lease write", doctor.Bad, pitr.KindLocked, "ada@db1"},
		"lease unreadable": {func(f *doctor.Facts) {
			broken := lease(t, catalog.LeasePrune, time.Second)
			broken.Problem = pitr.Corruptf("", "bits")
			f.Leases = append(f.Leases, broken)
		}, "lease prune", doctor.Bad, pitr.KindCorrupt, "bits"},
		"job half-way":   {func(f *doctor.Facts) { f.Jobs = []catalog.Job{job("freeze", "write")} }, "job", doctor.Bad, pitr.KindRefused, "began to write"},
		"job left block": {func(f *doctor.Facts) { f.Jobs = []catalog.Job{job("freeze")} }, "job", doctor.Bad, pitr.KindRefused, "write block"},
		"job begun":      {func(f *doctor.Facts) { f.Jobs = []catalog.Job{job()} }, "job", doctor.Warning, "", "written nothing"},
		"mark expires":   {func(f *doctor.Facts) { f.Marks = []format.Mark{{Name: "before v4", Expires: now.Add(time.Hour)}} }, "mark", doctor.Warning, "", "before v4"},
		"condemned stays": {func(f *doctor.Facts) {
			f.Condemned = []format.Condemned{{ID: "20251001T000000Z-dddddd", Created: now.Add(-100 * time.Hour)}}
		}, "condemned", doctor.Warning, "", "4 days"},
		"no retention": {func(f *doctor.Facts) { f.Retention = "" }, "retention", doctor.Warning, "", "only grows"},
	} {
		t.Run(name, func(t *testing.T) {
			f := sound(t)
			c.change(&f)
			for _, finding := range doctor.Judge(f) {
				if finding.Check == c.check && finding.Level == c.level && strings.Contains(finding.What, c.says) {
					if finding.Level == doctor.Bad && (finding.Kind != c.kind || doctor.Verdict([]doctor.Finding{finding}) == nil) {
						t.Errorf("kind %q, want %q", finding.Kind, c.kind)
					}
					return
				}
			}
			t.Errorf("nobody found it: %+v", doctor.Judge(f))
		})
	}
}

// What is sound is called so: only what pitr cannot know is a warning.
func TestWhatIsSoundIsNotBad(t *testing.T) {
	for _, finding := range doctor.Judge(sound(t)) {
		if finding.Level != doctor.Good && finding.Check != "verified" && finding.Check != "drill" {
			t.Errorf("%+v", finding)
		}
	}
	undone := sound(t)
	other := job("freeze", "write")
	undo := catalog.Job{ID: "20251022T081000Z-eeeeee", Intent: &format.Intent{Kind: format.JobUndo, Job: other.ID}, Result: &format.Result{Outcome: "done"}}
	undone.Jobs = []catalog.Job{other, undo}
	if err := doctor.Verdict(doctor.Judge(undone)); err != nil {
		t.Errorf("a job that was taken back: %v", err)
	}
	if err := doctor.Verdict(nil); err != nil {
		t.Error(err)
	}
}
