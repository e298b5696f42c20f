package reconcile_test

import (
	"context"
	"fmt"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/format"
	"pitr/reconcile"
)

// lostThings publishes a lost set of records that were created in the gap, all decided to be put back.
func lostThings(w *world, n int) (id format.ID, changes []pitr.Change, decided decisions) {
	w.cluster.Put(collection(things, index("u", bson.D{{Key: "u", Value: 1}})))
	decided = decisions{}
	for i := range n {
		changes = append(changes, change(things, thing{"u": fmt.Sprint(i), "a": "gap"}.document(i), nil))
		decided[int64(i+1)] = reconcile.DecisionPutBack
	}
	return w.lose(changes...), changes, decided
}

// TestUndoLeavesWhatCameBackByItself: a device that comes back as it was, between the list of changes and its write, was put
// back by itself and not by the job; so the job does not count it, and its undo does not take it away. // case F04
func TestUndoLeavesWhatCameBackByItself(t *testing.T) {
	w := newWorld(t)
	id, changes, decided := lostThings(w, 5)
	w.cluster.BeforeWrite = func(string) error {
		w.cluster.BeforeWrite = nil
		return w.cluster.UserWrite(things, changes[2].Key, changes[2].E)
	}
	outcome, err := w.apply(id, decided)
	w.must(err)
	if outcome.Written != 4 || outcome.Nothing != 1 {
		t.Errorf("%d written, %d were right already; want 4 and 1", outcome.Written, outcome.Nothing)
	}
	_, err = w.undo(outcome.Job)
	w.must(err)
	live := w.cluster.Documents(things)
	if len(live) != 1 || live[changes[2].Key.Equal()] == nil {
		t.Errorf("after the undo there are %v, want the record that came back by itself", live)
	}
}

// TestUndoLeavesWhatTheJobLeftOut: a record that the job left out, since another one held its value, and that its owner made
// anew after the job, is no record of the job. // case F06
func TestUndoLeavesWhatTheJobLeftOut(t *testing.T) {
	w := newWorld(t)
	id, changes, decided := lostThings(w, 5)
	other, err := pitr.KeyOf(thing{}.document(100))
	w.must(err)
	w.cluster.BeforeWrite = func(string) error {
		w.cluster.BeforeWrite = nil
		return w.cluster.UserWrite(things, other, thing{"u": "2"}.document(100))
	}
	outcome, err := w.apply(id, decided)
	if pitr.KindOf(err) != pitr.KindPartial || len(outcome.LeftOut) != 1 {
		t.Fatalf("left out are %v: %v", outcome.LeftOut, err)
	}
	w.must(w.cluster.UserWrite(things, other, nil))
	w.must(w.cluster.UserWrite(things, changes[2].Key, changes[2].E))
	_, err = w.undo(outcome.Job)
	w.must(err)
	if live := w.cluster.Documents(things); len(live) != 1 || live[changes[2].Key.Equal()] == nil {
		t.Errorf("after the undo there are %v, want the record that the job has not written", live)
	}
}

// TestAReviewThatIsMissingIsNoticed: a review that a later one names and that is not there any more held decisions; without
// them rules would decide, and nobody would know.
func TestAReviewThatIsMissingIsNoticed(t *testing.T) {
	w := newWorld(t)
	id, _, _ := lostThings(w, 3)
	job, err := w.repository.Job(context.Background(), id)
	w.must(err)
	for n := range int64(3) {
		reviewed := reconcile.Reviewed{Decisions: []format.ReviewDecision{{N: n + 1, Decision: string(reconcile.DecisionLeave)}}, Rows: 1}
		_, err := reviewed.Publish(context.Background(), w.repository, job, reconcile.Source{File: "lost.csv", Operator: "ada@console", Now: w.clock})
		w.must(err)
	}
	job, err = w.repository.Job(context.Background(), id)
	w.must(err)
	_, err = reconcile.ReadReview(context.Background(), w.repository, job)
	w.must(err)
	w.must(w.repository.Delete(context.Background(), job.Reviews[1]))
	job, err = w.repository.Job(context.Background(), id)
	w.must(err)
	if _, err := reconcile.ReadReview(context.Background(), w.repository, job); pitr.KindOf(err) != pitr.KindCorrupt {
		t.Errorf("the second of three reviews is gone: %v", err)
	}
}

// TestTheArchiveReachesTheFirstWrite: what somebody wrote between the proposal and its confirmation is archived before the job
// writes, so that the state that it found can be looked at ever after.
func TestTheArchiveReachesTheFirstWrite(t *testing.T) {
	w := newWorld(t)
	id, changes, decided := lostThings(w, 3)
	proposal, err := reconcile.Propose(context.Background(), w.deps(), id, decided)
	w.must(err)
	defer func() { w.must(proposal.Close()) }()
	confirmed, err := proposal.Intent.Confirm("devices-eu")
	w.must(err)
	w.must(w.cluster.UserWrite(things, changes[0].Key, changes[0].E))
	written, looked := w.cluster.Now(), false
	w.cluster.BeforeWrite = func(string) error {
		looked = true
		if w.archived < written {
			t.Errorf("archived through %s, somebody wrote at %s", w.archived, written)
		}
		return nil
	}
	_, err = reconcile.Apply(context.Background(), w.deps(), proposal, confirmed, decided)
	w.must(err)
	if !looked {
		t.Error("nothing was written")
	}
}

// TestTokensAreOfOneJob: two jobs with the same list of changes have other tokens.
func TestTokensAreOfOneJob(t *testing.T) {
	a, b := format.Changes{Job: "20251022T092001Z-k3f9q2"}, format.Changes{Job: "20251022T092001Z-k3f9q3"}
	if reconcile.Token(a, 1) == reconcile.Token(b, 1) || reconcile.Token(a, 1) == reconcile.Token(a, 2) {
		t.Error("a token stands for two records")
	}
}
