package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/guard"
	"pitr/internal/failpoint"
)

// Outcome is how a job ended well.
type Outcome struct {
	Job format.ID
	// Written counts documents by what was done to them; Steps counts catalog writes.
	Written, Steps int64
	// LeftAlone are documents and catalog parts that an undo did not touch, because they have changed since.
	LeftAlone []LeftAlone
	// Warnings are findings of the check that do not make the job fail.
	Warnings []string
	// F is the moment of the freeze; First and Last are the job's own first and last entry.
	F, First, Last pitr.OpTime
	Started        time.Time
	Finished       time.Time
}

// LeftAlone is something that an undo did not touch, and why.
type LeftAlone struct {
	NS pitr.Namespace
	// Key is the zero key for a part of the catalog.
	Key    pitr.Key
	Reason string
}

// job is one attempt at a job, first or resumed.
type job struct {
	Deps
	intent  Intent
	journal *Journal
	// undone is the job that an undo reverses, nil for a rewind.
	undone *catalog.Job
	// reversed are the catalog steps of that job.
	reversed []pitr.CatalogStep
	// resumed says that an earlier attempt was stopped; published is the change set, as soon as it exists.
	resumed   bool
	published *format.Changes
	// wrote says that the first write has been announced: from here on every failure is halfway.
	wrote bool
	lease *catalog.Lease

	// newest is the newest entry that is known; f the freeze; announced the optime from which a block of ours is looked
	// for, blocked the entry that set it.
	newest, f, announced, blocked pitr.OpTime
	// frozen says that this attempt has come as far as the freeze.
	frozen  bool
	gap     Gap
	e, t    []pitr.Collection
	changes *Spool
	// touched are the namespaces of the changes.
	touched map[pitr.Namespace]bool
	plan    guard.Plan
	ledger  *guard.Ledger
	watch   *guard.Watch
	// before counts the documents of namespaces before the first write.
	before  map[pitr.Namespace]int64
	outcome Outcome
}

// Run performs a confirmed intent. Before the first write a failure keeps its kind, and the cluster is as it was; after
// it every failure is of kind halfway, and `pitr resume`, `pitr undo` and `pitr unfreeze` go on from there. An undo that
// left something alone returns its outcome and an error of kind partial.
func Run(ctx context.Context, deps Deps, intent Intent, confirmed Confirmed) (Outcome, error) {
	deps = deps.WithDefaults()
	lease, err := TakeLease(ctx, deps)
	if err != nil {
		return Outcome{}, err
	}
	defer Release(ctx, deps, lease)
	ctx = lease.Context(ctx)
	if err := Check(ctx, deps, intent, confirmed); err != nil {
		return Outcome{}, err
	}
	j := &job{Deps: deps, intent: intent, journal: NewJournal(deps, intent.ID, nil), lease: lease}
	if intent.Kind == format.JobUndo {
		undone, err := undoable(ctx, deps, intent.Job)
		if err != nil {
			return Outcome{}, err
		}
		j.undone = &undone
	}
	if _, err := deps.Repository.PutObject(ctx, &intent.Intent); err != nil {
		return Outcome{}, fmt.Errorf("publish the intent: %w", err)
	}
	return j.perform(ctx)
}

// perform takes the steps of a job in their order. Each of them first looks whether an earlier attempt has done it.
func (j *job) perform(ctx context.Context) (Outcome, error) {
	j.outcome = Outcome{Job: j.intent.ID, Started: j.Now()}
	defer j.close()
	for _, step := range []func(context.Context) error{
		j.takeEvidence,
		j.freeze,
		j.seal,
		j.establishChanges,
		j.write,
		j.verify,
		j.unfreeze,
		j.finish,
	} {
		if err := step(ctx); err != nil {
			return j.outcome, j.stop(ctx, err)
		}
	}
	return j.outcome, j.partial()
}

// partial is the error of an undo that left something alone.
func (j *job) partial() error {
	if len(j.outcome.LeftAlone) == 0 {
		return nil
	}
	return pitr.Errorf(pitr.KindPartial, "undo job "+string(j.intent.Job), "look at what was left alone, and decide about it by hand",
		"%d things have changed since and were left alone", len(j.outcome.LeftAlone))
}

// TakeLease takes the lease that every job which writes to a cluster holds.
func TakeLease(ctx context.Context, deps Deps) (*catalog.Lease, error) {
	return deps.Repository.Lease(ctx, catalog.LeaseWrite, catalog.LeaseOptions{Holder: deps.Operator, Host: deps.Host, Process: os.Getpid(),
		Waiting: deps.Waiting, Clock: deps.Clock})
}

// Release gives it back.
func Release(ctx context.Context, deps Deps, lease *catalog.Lease) {
	if err := lease.Release(ctx); err != nil {
		deps.Log.WarnContext(ctx, "the write lease was not given back", "error", err)
	}
}

func (j *job) close() {
	if j.changes != nil {
		if err := j.changes.Close(); err != nil {
			j.Log.Warn("the work file was not removed", "error", err)
		}
	}
}

// stopPatience bounds what a stopped job still does to leave things in order.
const stopPatience = 30 * time.Second

// stop ends an attempt that failed. Before the first write it lifts our block, so that the cluster is as it was.
func (j *job) stop(ctx context.Context, cause error) error {
	if ctx.Err() != nil && pitr.KindOf(cause) == pitr.KindUnexpected {
		cause = &pitr.Error{Kind: pitr.KindInterrupted, Err: errors.Join(context.Cause(ctx), cause)}
		if kind := pitr.KindOf(context.Cause(ctx)); kind != pitr.KindUnexpected { // the lease was lost
			cause = &pitr.Error{Kind: kind, Err: cause}
		}
	}
	if j.wrote {
		return &pitr.Error{Kind: pitr.KindHalfway, Op: "job " + string(j.intent.ID), Err: cause,
			Hint: fmt.Sprintf("evidence is safe; go on with `pitr resume %[1]s`, or back with `pitr undo %[1]s`; `pitr unfreeze %[1]s` lifts the write block",
				j.intent.ID)}
	}
	if lost := j.lease.Check(); lost != nil { // another run may have this job by now: the cluster is its business
		return &pitr.Error{Kind: pitr.KindLocked, Op: "job " + string(j.intent.ID), Err: errors.Join(lost, cause), Hint: fmt.Sprintf(
			"nothing was written; look at `pitr jobs`, then `pitr resume %[1]s` or `pitr unfreeze %[1]s`", j.intent.ID)}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
	defer cancel()
	stopped := &pitr.Error{Op: "job " + string(j.intent.ID), Err: cause, Kind: pitr.KindOf(cause)}
	if err := j.liftOwn(ctx); err != nil {
		stopped.Err = errors.Join(cause, err)
		stopped.Hint = fmt.Sprintf("nothing was written, but the write block may stand: `pitr unfreeze %s` lifts it", j.intent.ID)
	}
	if err := j.endUnwritten(ctx, cause); err != nil {
		stopped.Err = errors.Join(stopped.Err, err)
	}
	return stopped
}

// liftOwn lifts the block that this job has set, as far as it has come to that.
func (j *job) liftOwn(ctx context.Context) error {
	if j.announced.IsZero() || j.adopted() != "" {
		return nil
	}
	_, err := guard.Lift(ctx, j.Target, j.announced)
	return err
}

// endUnwritten ends the job in the repository. A stop that may pass leaves a job without a change set open, so that it
// can be resumed.
func (j *job) endUnwritten(ctx context.Context, cause error) error {
	var problems []error
	kind := pitr.KindOf(cause)
	if err := j.journal.Record(ctx, stepStopped, j.f, StepDetail{Kind: string(kind)}); err != nil {
		problems = append(problems, err)
	}
	if j.published == nil && (kind == pitr.KindUnavailable || kind == pitr.KindInterrupted || kind == pitr.KindLocked) {
		return errors.Join(problems...)
	}
	result := format.Result{Job: j.intent.ID, Attempt: j.journal.attempt, Started: j.outcome.Started.UTC(), Finished: j.Now().UTC(),
		Outcome: outcomeOf(kind), Message: cause.Error()}
	if _, err := j.Repository.PutObject(ctx, &result); err != nil {
		problems = append(problems, fmt.Errorf("publish the result: %w", err))
	}
	return errors.Join(problems...)
}

func outcomeOf(kind pitr.Kind) string {
	if kind == pitr.KindUnexpected {
		return "unexpected"
	}
	return string(kind)
}

// adopted gives the job whose block this one works under, empty when the block is its own.
func (j *job) adopted() format.ID {
	if j.undone == nil {
		return ""
	}
	if _, d, ok := j.journal.Last(stepFreeze); ok && d.Adopted != "" {
		return format.ID(d.Adopted)
	}
	return ""
}

// finish publishes the result; the job is over.
func (j *job) finish(ctx context.Context) error {
	j.outcome.Finished = j.Now()
	_, d, _ := j.journal.Last(stepVerified)
	j.outcome.First, j.outcome.Last, j.outcome.Written = d.First.opTime(), d.Last.opTime(), d.Written
	j.outcome.F = j.f
	result := format.Result{Job: j.intent.ID, Attempt: j.journal.attempt, Started: j.outcome.Started.UTC(), Finished: j.outcome.Finished.UTC(),
		Outcome: outcomeDone, Verified: true, First: j.outcome.First, Last: j.outcome.Last, Written: j.outcome.Written,
		Skipped: int64(len(j.outcome.LeftAlone))}
	failpoint.Hit("restore.before-result")
	if _, err := j.Repository.PutObject(ctx, &result); err != nil {
		return fmt.Errorf("publish the result: %w", err)
	}
	return nil
}

const outcomeDone = "done"
