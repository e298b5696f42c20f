package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pitr"
	"pitr/format"
	"pitr/restore"
)

// stopPatience bounds what a stopped job still does to leave things in order.
const stopPatience = 30 * time.Second

// stop ends an attempt that failed.
func (j *job) stop(ctx context.Context, cause error) error {
	if ctx.Err() != nil && pitr.KindOf(cause) == pitr.KindUnexpected {
		cause = &pitr.Error{Kind: pitr.KindInterrupted, Err: errors.Join(context.Cause(ctx), cause)}
		if kind := pitr.KindOf(context.Cause(ctx)); kind != pitr.KindUnexpected { // the lease was lost
			cause = &pitr.Error{Kind: kind, Err: cause}
		}
	}
	op := "job " + string(j.intent.ID)
	if j.wrote {
		return &pitr.Error{Kind: pitr.KindHalfway, Op: op, Err: cause,
			Hint: fmt.Sprintf("go on with `pitr resume %[1]s`, or back with `pitr undo %[1]s`", j.intent.ID)}
	}
	if lost := j.lease.Check(); lost != nil { // another run may have this job by now
		return &pitr.Error{Kind: pitr.KindLocked, Op: op, Err: errors.Join(lost, cause), Hint: "nothing was written; look at `pitr jobs`"}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
	defer cancel()
	return &pitr.Error{Op: op, Err: errors.Join(cause, endUnwritten(ctx, j.Deps, j.intent.ID, j.journal.Attempt(), cause))}
}

// endUnwritten ends a job that has written nothing: its decisions are not kept, so that it cannot be resumed, and another
// apply does all of it.
func endUnwritten(ctx context.Context, deps Deps, id format.ID, attempt int, cause error) error {
	kind := pitr.KindOf(cause)
	result := format.Result{Job: id, Attempt: attempt, Started: deps.Now().UTC(), Finished: deps.Now().UTC(), Outcome: string(kind), Message: cause.Error()}
	if kind == pitr.KindUnexpected {
		result.Outcome = "unexpected"
	}
	if _, err := deps.Repository.PutObject(ctx, &result); err != nil {
		return fmt.Errorf("publish the result: %w", err)
	}
	return nil
}

// Resume goes on with an apply that was stopped or killed, from the change set that it has published. One that had not come
// so far has written nothing, and is ended.
func Resume(ctx context.Context, deps Deps, id format.ID) (Outcome, error) {
	deps = deps.withDefaults()
	op := "resume job " + string(id)
	lease, err := restore.TakeLease(ctx, deps.Deps)
	if err != nil {
		return Outcome{}, err
	}
	defer restore.Release(ctx, deps.Deps, lease)
	ctx = lease.Context(ctx)
	found, err := restore.Sound(ctx, deps.Deps, id)
	if err != nil {
		return Outcome{}, err
	}
	by, err := restore.UndoneBy(ctx, deps.Deps, id)
	if err != nil {
		return Outcome{}, err
	}
	switch {
	case found.Intent.Kind != format.JobReconcile:
		return Outcome{}, pitr.Refusef(op, "see `pitr jobs`", "a job of kind %s is not resumed this way", found.Intent.Kind)
	case found.Result != nil:
		return Outcome{}, pitr.Refusef(op, "see `pitr jobs`", "the job has ended (%s)", found.Result.Outcome)
	case by != "":
		return Outcome{}, pitr.Refusef(op, "see `pitr jobs`", "the job was undone by job %s", by)
	}
	intent, err := restore.LoadIntent(*found.Intent)
	if err != nil {
		return Outcome{}, err
	}
	if err := restore.SameCluster(ctx, deps.Deps, intent); err != nil {
		return Outcome{}, &pitr.Error{Op: op, Err: err}
	}
	j := &job{Deps: deps, intent: intent, journal: restore.NewJournal(deps.Deps, id, found.Steps), lease: lease, resumed: true,
		set: found.Changes, applied: map[int]bool{}, left: map[int]string{}, others: map[int]bool{}}
	j.outcome = Outcome{Job: id, Started: deps.Now()}
	if found.Changes == nil {
		cause := pitr.Refusef(op, "run `pitr reconcile apply "+string(intent.Job)+"` again with the same decisions", "the job was stopped before its first write")
		return Outcome{}, errors.Join(cause, endUnwritten(ctx, deps, id, j.journal.Attempt(), cause))
	}
	return j.goOn(ctx)
}

// goOn takes up the published change set.
func (j *job) goOn(ctx context.Context) (Outcome, error) {
	var err error
	if j.changes, err = restore.NewSpool(j.WorkFolder); err != nil {
		return j.outcome, err
	}
	defer func() { _ = j.changes.Close() }()
	if j.catalog, err = j.Target.Catalog(ctx, j.intent.Scope); err != nil {
		return j.outcome, fmt.Errorf("list the collections: %w", err)
	}
	there := newProber(j.Live, j.catalog)
	for document, err := range j.Repository.ChangeDocuments(ctx, *j.set) {
		if err != nil {
			return j.outcome, fmt.Errorf("read the change set: %w", err)
		}
		change, err := format.DecodeChange(document)
		if err != nil {
			return j.outcome, err
		}
		if reason := there.noPlace(change.NS); reason != "" {
			return j.outcome, pitr.Refusef("resume job "+string(j.intent.ID), "take back what was written with `pitr undo "+string(j.intent.ID)+"`",
				"a record of %s cannot be written: %s", change.NS, reason)
		}
		if err := j.changes.Append(change); err != nil {
			return j.outcome, err
		}
	}
	if err := j.changes.Flush(); err != nil {
		return j.outcome, err
	}
	_, _, j.wrote = j.journal.Last(restore.StepWrite)
	j.x = pitr.OpTime{TS: j.set.Gap.Through}
	if _, d, listed := j.journal.Last(restore.StepLeft); listed {
		for _, left := range d.Listed() {
			j.outcome.LeftOut = append(j.outcome.LeftOut, LeftOut{NS: left.NS, Key: left.Key, Reason: left.Reason})
		}
		if err := j.recallUnwritten(d); err != nil {
			return j.outcome, err
		}
	}
	return j.perform(ctx)
}

// recallUnwritten takes up which changes an attempt that was killed at its very end has left to others.
func (j *job) recallUnwritten(d restore.StepDetail) error {
	reasons := map[string]string{}
	for _, left := range j.outcome.LeftOut {
		reasons[nameOf(left.NS, left.Key)] = left.Reason
	}
	numbers, err := restore.UnpackNumbers(d.Unwritten)
	if err != nil {
		return err
	}
	for n := range numbers {
		if n < 1 || n > int64(j.changes.Len()) {
			return pitr.Corruptf("read what job "+string(j.intent.ID)+" left out", "it has no change %d", n)
		}
		i := int(n) - 1
		change, err := j.changes.At(i)
		if err != nil {
			return err
		}
		if reason := reasons[nameOf(change.NS, change.Key)]; reason != "" {
			j.left[i] = reason
		} else {
			j.others[i] = true
		}
	}
	return nil
}
