package reconcile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/guard"
	"pitr/internal/failpoint"
	"pitr/restore"
)

// Outcome is how an apply ended well.
type Outcome struct {
	Job format.ID
	// Written counts the documents that were inserted, changed or deleted, Nothing those that were right already.
	Written, Nothing int64
	LeftOut          []LeftOut
	Notes            []string
	Started          time.Time
	Finished         time.Time
}

// job is one attempt at an apply, first or resumed.
type job struct {
	Deps
	intent  restore.Intent
	journal *restore.Journal
	lease   *catalog.Lease
	resumed bool
	changes *restore.Spool
	catalog []pitr.Collection
	set     *format.Changes
	// x is the moment that the change set is about: E is what was live then.
	x     pitr.OpTime
	plan  guard.Plan
	watch *guard.Watch
	wrote bool

	mu      sync.Mutex
	applied map[int]bool
	left    map[int]string
	// others are the changes that somebody else has made: right, and none of the job's.
	others  map[int]bool
	outcome Outcome
}

// Apply performs a confirmed proposal. Under the lease it decides once more against what is live then. Before the first
// write a failure keeps its kind and the cluster is as it was; after it every failure is of kind halfway. Records that had
// to be left out are listed, and make the error one of kind partial.
func Apply(ctx context.Context, deps Deps, proposal *Proposal, confirmed restore.Confirmed, decisions Decisions) (Outcome, error) {
	deps = deps.withDefaults()
	lease, err := restore.TakeLease(ctx, deps.Deps)
	if err != nil {
		return Outcome{}, err
	}
	defer restore.Release(ctx, deps.Deps, lease)
	ctx = lease.Context(ctx)
	intent := proposal.Intent
	if err := restore.Check(ctx, deps.Deps, intent, confirmed); err != nil {
		return Outcome{}, err
	}
	plan, err := Make(ctx, deps, intent.Job)
	if err != nil {
		return Outcome{}, err
	}
	fresh, err := propose(ctx, deps, plan, decisions)
	_ = plan.Close() // nothing of it is used any more
	if err != nil {
		return Outcome{}, err
	}
	defer func() { _ = fresh.Close() }()
	j := &job{Deps: deps, intent: intent, journal: restore.NewJournal(deps.Deps, intent.ID, nil), lease: lease, changes: fresh.changes,
		catalog: fresh.catalog, applied: map[int]bool{}, left: map[int]string{}, others: map[int]bool{}}
	j.outcome = Outcome{Job: intent.ID, Started: deps.Now(), Nothing: fresh.Nothing, LeftOut: fresh.LeftOut, Notes: fresh.Notes}
	if fresh.Total() == 0 {
		j.outcome.Job, j.outcome.Finished = "", deps.Now()
		return j.outcome, j.partial()
	}
	if _, err := deps.Repository.PutObject(ctx, &intent.Intent); err != nil {
		return Outcome{}, fmt.Errorf("publish the intent: %w", err)
	}
	return j.perform(ctx)
}

// perform takes the steps of an apply in their order.
func (j *job) perform(ctx context.Context) (Outcome, error) {
	for _, step := range []func(context.Context) error{
		j.archive,
		j.publish,
		j.order,
		j.write,
		j.compare,
		j.finish,
	} {
		if err := step(ctx); err != nil {
			return j.outcome, j.stop(ctx, err)
		}
	}
	return j.outcome, j.partial()
}

func (j *job) partial() error {
	if len(j.outcome.LeftOut) == 0 {
		return nil
	}
	return pitr.Errorf(pitr.KindPartial, "put records of job "+string(j.intent.Job)+" back", "look at the reasons, decide anew, and apply again",
		"%d records were left out", len(j.outcome.LeftOut))
}

// archive brings the archive through now: what is live, and was looked up before, is in it.
func (j *job) archive(ctx context.Context) error {
	if j.set != nil {
		return nil
	}
	newest, err := guard.Newest(ctx, j.Target, pitr.OpTime{TS: j.intent.Through})
	if err != nil {
		return fmt.Errorf("look for the newest entry: %w", err)
	}
	if j.x, err = j.Archive.Through(ctx, newest.TS); err != nil {
		return fmt.Errorf("catch up with the oplog: %w", err)
	}
	return nil
}

// publish makes the change set exist, before anything is written: the undo record.
func (j *job) publish(ctx context.Context) error {
	if j.set != nil {
		return nil
	}
	if err := j.recordLeft(ctx, nil); err != nil {
		return err
	}
	failpoint.Hit("reconcile.before-change-set")
	set, err := restore.Publish(ctx, j.Repository, format.Changes{Job: j.intent.ID, Created: j.Now().UTC(), Scope: j.intent.Scope,
		Gap: pitr.Window{After: min(j.intent.To, j.x.TS), Through: j.x.TS}}, restore.Content{Changes: j.changes})
	if err != nil {
		return fmt.Errorf("publish the change set: %w", err)
	}
	j.set = &set
	failpoint.Hit("reconcile.after-change-set")
	return nil
}

// recordLeft publishes what is left out, so that a resumed apply still tells it, and the numbers of the changes that the job
// has published and not made, so that its undo does not take away what others have made.
func (j *job) recordLeft(ctx context.Context, unwritten []int64) error {
	if len(j.outcome.LeftOut)+len(unwritten) == 0 {
		return nil
	}
	var list []restore.LeftAlone
	for _, left := range j.outcome.LeftOut {
		list = append(list, restore.LeftAlone{NS: left.NS, Key: left.Key, Reason: left.Reason})
	}
	detail := restore.LeftDetail(list)
	detail.Unwritten = restore.PackNumbers(unwritten)
	return j.journal.Record(ctx, restore.StepLeft, j.x, detail)
}

// order makes the plan of the writes, and finds out what an earlier attempt has done already: an entry of the oplog that has
// the effect of a change did it, whatever has become of the document since.
func (j *job) order(ctx context.Context) error {
	var err error
	j.plan, err = guard.PlanTo(guard.Task{Changes: j.changes, E: j.catalog, T: j.catalog, Limits: j.Limits})
	if err != nil {
		return err
	}
	j.watch = guard.NewWatch(j.Target, j.plan.Ledger(), guard.WatchOptions{From: j.x, Scope: j.intent.Scope,
		Effect: func(change int) { j.applied[change] = true }})
	if !j.resumed {
		return nil
	}
	return j.look(ctx)
}

// look reads the oplog up to now.
func (j *job) look(ctx context.Context) error {
	err := j.watch.Check(ctx)
	if pitr.KindOf(err) == pitr.KindHole {
		return pitr.Refusef("look for what was written already", "take the job back with `pitr undo "+string(j.intent.ID)+"`",
			"the oplog has rolled over, so that nobody can tell what was applied once: %w", err)
	}
	return err
}

// write announces the first write and performs the plan, phase by phase.
func (j *job) write(ctx context.Context) error {
	if !j.wrote {
		if err := j.lease.Check(); err != nil {
			return err
		}
		if err := j.journal.Record(ctx, restore.StepWrite, j.x, restore.StepDetail{}); err != nil {
			return err
		}
		j.wrote = true
	}
	failpoint.Hit("reconcile.before-first-write")
	return j.perPhase(ctx)
}

func (j *job) perPhase(ctx context.Context) error {
	const part = "put back"
	j.Progress.Start(part, pitr.Amount{Count: int64(j.changes.Len())})
	defer j.Progress.Finish(part)
	for _, phase := range j.plan.Phases {
		group, working := errgroup.WithContext(ctx)
		group.SetLimit(max(j.Workers, 1))
		for _, batch := range phase.Batches {
			if working.Err() != nil {
				break
			}
			group.Go(func() error {
				j.Progress.Advance(part, pitr.Amount{Count: int64(len(batch))})
				return j.transact(working, batch)
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
	}
	return nil
}

// transact writes a batch. A document that somebody changed meanwhile is left out, and the others go on; where a unique
// index refuses one of them, the batch is cut in halves until it is known which.
func (j *job) transact(ctx context.Context, batch guard.Batch) error {
	for batch = j.remaining(batch); len(batch) > 0; batch = j.remaining(batch) {
		if err := j.lease.Check(); err != nil {
			return err
		}
		writes, err := batch.Writes(j.changes)
		if err != nil {
			return err
		}
		for i := range writes {
			writes[i].Own = true
		}
		_, err = j.Target.Transact(ctx, writes)
		var difference *pitr.Difference
		switch {
		case err == nil:
			failpoint.Hit("reconcile.between-transactions")
			return nil
		case errors.As(err, &difference):
			if err := j.leaveDifferent(batch, writes, difference); err != nil {
				return err
			}
		case errors.Is(err, pitr.ErrDuplicateKey) && len(batch) == 1:
			j.leaveOut(int(batch[0].Change), "a unique index of the database refuses it: another record holds the value")
		case errors.Is(err, pitr.ErrDuplicateKey):
			if err := j.transact(ctx, batch[:len(batch)/2]); err != nil {
				return err
			}
			return j.transact(ctx, batch[len(batch)/2:])
		default:
			return fmt.Errorf("write %d documents: %w", len(writes), err)
		}
	}
	return nil
}

// remaining leaves out what is done, and what is left out.
func (j *job) remaining(batch guard.Batch) guard.Batch {
	j.mu.Lock()
	defer j.mu.Unlock()
	var rest guard.Batch
	for _, ref := range batch {
		if i := int(ref.Change); !j.applied[i] && j.left[i] == "" && !j.others[i] {
			rest = append(rest, ref)
		}
	}
	return rest
}

// leaveDifferent leaves the document out that a transaction found changed.
func (j *job) leaveDifferent(batch guard.Batch, writes []pitr.DocumentWrite, difference *pitr.Difference) error {
	for i, write := range writes {
		if write.NS == difference.Write.NS && write.Key.Equal() == difference.Write.Key.Equal() {
			if bytes.Equal(difference.Live, write.Result) {
				j.leaveToOthers(int(batch[i].Change))
				return nil
			}
			reason := "somebody has changed it meanwhile"
			if difference.Live == nil {
				reason = "somebody has deleted it meanwhile"
			}
			j.leaveOut(int(batch[i].Change), reason)
			return nil
		}
	}
	return fmt.Errorf("a transaction differs in a document that it does not write: %w", difference)
}

func (j *job) leaveOut(change int, reason string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.left[change] = reason
}

// leaveToOthers remembers that a record came to be what it was to become by somebody else.
func (j *job) leaveToOthers(change int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.others[change] = true
}

// rounds bounds how often an apply compares and writes again.
const rounds = 3

// compare reads the oplog and the live documents until every record is written, or left out for a reason.
func (j *job) compare(ctx context.Context) error {
	failpoint.Hit("reconcile.before-compare")
	for range rounds {
		if err := j.look(ctx); err != nil {
			return err
		}
		missing, err := j.missing(ctx)
		if err != nil || missing == 0 {
			return err
		}
		if err := j.perPhase(ctx); err != nil {
			return err
		}
	}
	return pitr.Errorf(pitr.KindMismatch, "compare the result", "", "some records are still not as they were to become")
}

// missing counts the records that are neither left out nor seen to be written, and are not live as they were to become.
func (j *job) missing(ctx context.Context) (int, error) {
	missing := 0
	var batch []pitr.Change
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		live, err := restore.LookUp(ctx, j.Target, batch[0].NS, batch)
		if err != nil {
			return err
		}
		for _, change := range batch {
			if i := int(change.N) - 1; bytes.Equal(live[change.Key.Equal()], change.T) {
				j.applied[i] = true
			} else {
				missing++
			}
		}
		batch = batch[:0]
		return nil
	}
	for i := range j.changes.Len() {
		if j.applied[i] || j.left[i] != "" || j.others[i] {
			continue
		}
		change, err := j.changes.At(i)
		if err != nil {
			return 0, err
		}
		if len(batch) > 0 && (batch[0].NS != change.NS || len(batch) >= lookBatch) {
			if err := flush(); err != nil {
				return 0, err
			}
		}
		batch = append(batch, change)
	}
	return missing, flush()
}

// resultDetail is what the result of an apply says beside what every result says.
type resultDetail struct {
	Nothing int64 `bson:"nothing"`
}

// finish publishes the result; the job is over.
func (j *job) finish(ctx context.Context) error {
	told := map[string]bool{} // a killed attempt may have come as far as this
	for _, left := range j.outcome.LeftOut {
		told[nameOf(left.NS, left.Key)] = true
	}
	var unwritten []int64
	for i := range j.changes.Len() {
		reason := j.left[i]
		if reason == "" && !j.others[i] {
			j.outcome.Written++
			continue
		}
		change, err := j.changes.At(i)
		if err != nil {
			return err
		}
		unwritten = append(unwritten, change.N)
		if j.others[i] {
			j.outcome.Nothing++
			continue
		}
		if told[nameOf(change.NS, change.Key)] {
			continue
		}
		j.outcome.LeftOut = append(j.outcome.LeftOut, LeftOut{NS: change.NS, Key: change.Key.Clone(), Reason: reason})
	}
	if len(unwritten) > 0 {
		if err := j.recordLeft(ctx, unwritten); err != nil {
			return err
		}
	}
	detail, err := bson.Marshal(resultDetail{Nothing: j.outcome.Nothing})
	if err != nil {
		return fmt.Errorf("publish the result: %w", err)
	}
	j.outcome.Finished = j.Now()
	result := format.Result{Job: j.intent.ID, Attempt: j.journal.Attempt(), Started: j.outcome.Started.UTC(), Finished: j.outcome.Finished.UTC(),
		Outcome: "done", Verified: true, Written: j.outcome.Written, Skipped: int64(len(j.outcome.LeftOut)), Detail: detail}
	result.First, result.Last = j.watch.Own()
	failpoint.Hit("reconcile.before-result")
	if _, err := j.Repository.PutObject(ctx, &result); err != nil {
		return fmt.Errorf("publish the result: %w", err)
	}
	return nil
}
