package restore

import (
	"context"
	"fmt"

	"pitr"
	"pitr/format"
	"pitr/guard"
	"pitr/internal/failpoint"
)

// freeze keeps the writes of others away. A resumed job goes on under the block that an earlier attempt set; where that
// is gone, it makes sure that nobody has written since, and freezes again.
func (j *job) freeze(ctx context.Context) error {
	kept, err := j.keepFreeze(ctx)
	if err != nil || kept {
		return err
	}
	if j.published != nil {
		return j.freezeAgain(ctx)
	}
	adopted, err := j.adoptBlock(ctx)
	if err != nil || adopted {
		return err
	}
	f, err := j.freezeNow(ctx, StepDetail{Way: string(j.intent.Detail.Way)})
	if err != nil {
		return err
	}
	return j.frozenAt(ctx, f)
}

// keepFreeze finds the block of an earlier attempt still standing, and takes up its F.
func (j *job) keepFreeze(ctx context.Context) (bool, error) {
	announced, d, ok := j.journal.Last(stepFreeze)
	if !ok || !j.resumed {
		return false, nil
	}
	if guard.Way(d.Way) != guard.WayBlock {
		return false, nil
	}
	block, err := j.Target.WriteBlock(ctx)
	if err != nil {
		return false, fmt.Errorf("ask about the write block: %w", err)
	}
	if !block.Standing {
		return false, nil
	}
	set, ours, err := guard.FindBlock(ctx, j.Target, announced.At)
	if err != nil || !ours {
		return false, err // Freeze refuses the block of somebody else
	}
	j.announced, j.blocked = announced.At, set
	if j.published != nil {
		j.frozen = true
		j.f, err = j.publishedF()
		return true, err
	}
	if d.Adopted != "" {
		return false, nil // the undo looks again at what there is to undo
	}
	return true, j.frozenAt(ctx, set)
}

// publishedF gives the F that the published change set is about.
func (j *job) publishedF() (pitr.OpTime, error) {
	frozen, _, ok := j.journal.Last(stepFrozen)
	if !ok || frozen.At.TS != j.published.Gap.Through {
		return pitr.OpTime{}, pitr.Corruptf("read the steps of the job", "none of them is the freeze that the change set is about")
	}
	return frozen.At, nil
}

// freezeNow announces the freeze and takes it.
func (j *job) freezeNow(ctx context.Context, d StepDetail) (pitr.OpTime, error) {
	failpoint.Hit("restore.before-freeze")
	f, err := guard.Freeze(ctx, j.Target, guard.Way(d.Way), guard.FreezeOptions{
		After: j.newest, Scope: j.intent.Scope, Quiet: j.Quiet, Patience: j.Patience, Now: j.Now, Sleep: j.Sleep,
		Announce: func(ctx context.Context, newest pitr.OpTime) error {
			if err := j.journal.Record(ctx, stepFreeze, newest, d); err != nil {
				return err
			}
			j.announced = newest
			return nil
		},
	})
	if err != nil {
		return pitr.OpTime{}, fmt.Errorf("freeze: %w", err)
	}
	failpoint.Hit("restore.after-freeze")
	if guard.Way(d.Way) == guard.WayBlock {
		j.blocked = f
	}
	return f, nil
}

func (j *job) frozenAt(ctx context.Context, f pitr.OpTime) error {
	j.f, j.frozen = f, true
	return j.journal.Record(ctx, stepFrozen, f, StepDetail{Way: string(j.intent.Detail.Way), Block: markOf(j.blocked)})
}

// freezeAgain goes on with a published change set whose block is gone, or that never had one: nobody may have written in
// scope since F. F stays what it was, and the watch of the writes begins there, too.
func (j *job) freezeAgain(ctx context.Context) error {
	var err error
	if j.f, err = j.publishedF(); err != nil {
		return err
	}
	if err := j.establishChanges(ctx); err != nil {
		return err
	}
	options := j.watchOptions()
	options.Blocked = pitr.OpTime{} // the switching of our own blocks lies in between
	if err := guard.NewWatch(j.Target, j.ledger, options).Check(ctx); err != nil {
		return fmt.Errorf("go on with the job: %w", err)
	}
	if _, err := j.freezeNow(ctx, StepDetail{Way: string(j.intent.Detail.Way)}); err != nil {
		return err
	}
	j.frozen = true
	return nil
}

// adoptBlock lets an undo work under the block that the undone job left standing: nobody could write since.
func (j *job) adoptBlock(ctx context.Context) (bool, error) {
	if j.undone == nil {
		return false, nil
	}
	block, err := j.Target.WriteBlock(ctx)
	if err != nil {
		return false, fmt.Errorf("ask about the write block: %w", err)
	}
	other := NewJournal(j.Deps, j.undone.ID, j.undone.Steps)
	announced, _, ok := other.Last(stepFreeze)
	if !block.Standing || !ok {
		return false, nil
	}
	set, ours, err := guard.FindBlock(ctx, j.Target, announced.At)
	if err != nil || !ours {
		return false, err
	}
	if err := j.journal.Record(ctx, stepFreeze, announced.At, StepDetail{Way: string(guard.WayBlock), Adopted: string(j.undone.ID)}); err != nil {
		return false, err
	}
	j.announced, j.blocked = announced.At, set
	newest, err := j.Archive.Through(ctx, set.TS)
	if err != nil {
		return false, fmt.Errorf("catch up with the oplog: %w", err)
	}
	return true, j.frozenAt(ctx, newest)
}

// unfreeze looks for strays for the last time and lifts the block that the job works under.
func (j *job) unfreeze(ctx context.Context) error {
	if j.watch != nil {
		if err := j.lookout().Check(ctx); err != nil {
			return err
		}
	}
	failpoint.Hit("restore.before-unfreeze")
	if !j.blocked.IsZero() {
		if _, err := guard.Lift(ctx, j.Target, j.announced); err != nil {
			return err
		}
	}
	return j.journal.Record(ctx, stepUnfrozen, pitr.OpTime{}, StepDetail{})
}

// Unfreeze lifts the write block that a stopped job left standing, without going on with the job. A block of somebody
// else is refused, and so is one of a job that is running. It reports whether there was a block to lift.
func Unfreeze(ctx context.Context, deps Deps, id format.ID) (bool, error) {
	deps = deps.WithDefaults()
	lease, err := TakeLease(ctx, deps)
	if err != nil {
		return false, err
	}
	defer Release(ctx, deps, lease)
	found, err := deps.Repository.Job(ctx, id)
	if err != nil {
		return false, err
	}
	records := NewJournal(deps, id, found.Steps)
	announced, d, ok := records.Last(stepFreeze)
	if !ok || guard.Way(d.Way) != guard.WayBlock {
		return false, nil
	}
	lifted, err := guard.Lift(lease.Context(ctx), deps.Target, announced.At)
	if err != nil || !lifted {
		return false, err
	}
	return true, records.Record(ctx, stepUnfrozen, pitr.OpTime{}, StepDetail{})
}
