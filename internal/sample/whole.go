package sample

import (
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/format"
	"pitr/storage"
)

// Whole makes a repository in which every kind of object of format version 1 stands, each as small as it can be:
// an archive with a hole, a snapshot of each exactness, a finished job with its change set and a review, a playbook run, a mark, a
// hold, a list of condemned objects and a lease.
func Whole(t testing.TB, store storage.Store) *Mill {
	t.Helper()
	m := New(t, store)
	second := func(ordinal int) pitr.Timestamp { return pitr.NewTimestamp(uint32(m.Now.Unix()), uint32(ordinal)) } //nolint:gosec // a few
	branch := m.Branch()
	m.Segment(branch, 0, second(1), second(2))
	m.Segment(branch, second(2), second(3), second(4))
	m.Segment(branch, 0, second(9))
	m.Object(&format.Hole{Branch: branch, Window: pitr.Window{After: second(4), Through: second(8)}, Created: m.Now, Reason: "rolled over"})

	oneTime := m.Snapshot(Shape{Branch: branch, From: second(2), At: second(2), Exact: format.ExactOneTime,
		Oplog: &format.Span{Window: pitr.Window{After: second(1), Through: second(2)},
			AfterDigest: format.Sum(m.Entry(second(1))), ThroughDigest: format.Sum(m.Entry(second(2)))},
		Collections: [][]bson.Raw{m.Documents(1, 3)}, Chunks: 2})
	m.Now = m.Now.Add(time.Minute)
	m.Snapshot(Shape{Branch: branch, From: second(3) - 60<<32, At: second(4) - 60<<32, Exact: format.ExactThroughOplog,
		Oplog:       &format.Span{Window: pitr.Window{After: second(2) - 60<<32, Through: second(4) - 60<<32}},
		Collections: [][]bson.Raw{m.Documents(5, 2)}, NoKeys: true})

	job := m.ID()
	gap := pitr.Window{After: second(2) - 60<<32, Through: second(4) - 60<<32}
	m.Object(&format.Intent{ID: job, Kind: format.JobRewind, Created: m.Now, Branch: branch, To: gap.After, Through: gap.Through, Base: oneTime.ID,
		Cluster: format.Cluster{Name: "devices-eu"}})
	for number, step := range []string{"freeze", "write"} {
		m.Object(&format.StepRecord{Job: job, Attempt: 1, Number: number + 1, Step: step, Taken: m.Now, At: pitr.OpTime{TS: gap.Through, Term: 1}})
	}
	parts := m.changes(job, gap)
	changes := format.Changes{Job: job, Created: m.Now, Gap: gap, Steps: 1, Documents: map[pitr.Class]int64{pitr.ClassCreated: 1}, Parts: parts}
	m.Object(&changes)
	decisions := m.Container(m.Name(format.DecisionsName(job, 1, 0)), nil, format.ReviewDecision{N: 2, Decision: "put back"}.BSON())
	m.Object(&format.Review{Job: job, Number: 1, Created: m.Now, Operator: "op@host", File: "lost.csv", FileDigest: format.Sum([]byte("file")),
		Changes: changes.Digest(), Decisions: map[string]int64{"put back": 1}, Rows: 1, Parts: []format.Part{decisions}})
	m.Object(&format.Result{Job: job, Attempt: 1, Started: m.Now, Finished: m.Now, Outcome: "done", Verified: true,
		First: pitr.OpTime{TS: gap.Through + 1, Term: 1}, Last: pitr.OpTime{TS: gap.Through + 2, Term: 1}, Written: 1})

	_, err := m.R.PutMark(t.Context(), format.Mark{At: gap.After, Branch: branch, Name: "before v4.1.0"})
	m.Check(err)
	_, err = m.R.PutHold(t.Context(), format.Hold{Snapshot: oneTime.ID, Reason: "evidence"})
	m.Check(err)
	m.Object(&format.Condemned{ID: m.ID(), Created: m.Now, Snapshots: []format.ID{"20251001T000000Z-aaaaaa"}})
	m.Object(&format.Lease{Lease: "archive", Generation: 1, Holder: "op@host", Host: "host", Process: 1, Taken: m.Now, Released: true})
	run := m.ID()
	m.Object(&format.PlaybookEntry{Run: run, Number: 1, Event: format.PlaybookBegun, Taken: m.Now, Operator: "op@host",
		Procedure: &format.Procedure{Name: "one step", Cluster: "devices-eu", Steps: []format.ProcedureStep{{Command: "find"}}}})
	m.Object(&format.PlaybookEntry{Run: run, Number: 2, Event: format.PlaybookStep, Taken: m.Now, Step: 1})
	m.Object(&format.PlaybookEntry{Run: run, Number: 3, Event: format.PlaybookEnded, Taken: m.Now, Outcome: "done"})
	return m
}

// changes stores a change set of two parts: a catalog step, and a created document.
func (m *Mill) changes(job format.ID, gap pitr.Window) []format.Part {
	m.t.Helper()
	ns := pitr.Namespace{DB: "shop", Collection: "c0"}
	step := pitr.CatalogStep{N: 1, Step: pitr.StepIndexDropped, NS: ns, UUID: uuid(0),
		T: m.BSON(bson.D{{Key: "v", Value: int32(2)}, {Key: "key", Value: bson.D{{Key: "v", Value: int32(1)}}}, {Key: "name", Value: "v_1"}})}
	document := m.Documents(9, 1)[0]
	key, err := pitr.KeyOf(document)
	m.Check(err)
	change := pitr.Change{N: 2, NS: ns, UUID: uuid(0), Key: key, Class: pitr.ClassCreated, E: document,
		First: pitr.OpTime{TS: gap.Through, Term: 1}, Last: pitr.OpTime{TS: gap.Through, Term: 1}, Ops: 1}
	return []format.Part{
		m.Container(m.Name(format.ChangePartName(job, 0)), nil, format.EncodeCatalogStep(step)),
		m.Container(m.Name(format.ChangePartName(job, 1)), nil, format.EncodeChange(change)),
	}
}
