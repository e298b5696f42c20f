package restore

import (
	"context"
	"fmt"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/guard"
)

// Resume goes on with a job that was stopped or killed, from what it has published. A job that had not come as far as its
// first write is resumed only while its intent is valid, or under its own block.
func Resume(ctx context.Context, deps Deps, id format.ID) (Outcome, error) {
	deps = deps.WithDefaults()
	lease, err := TakeLease(ctx, deps)
	if err != nil {
		return Outcome{}, err
	}
	defer Release(ctx, deps, lease)
	ctx = lease.Context(ctx)
	j, err := load(ctx, deps, id)
	if err != nil {
		return Outcome{}, err
	}
	j.lease = lease
	if err := j.resumable(ctx); err != nil {
		return Outcome{}, j.refuseResume(err)
	}
	over, err := j.isOver(ctx)
	if err != nil {
		return Outcome{}, j.refuseResume(err)
	}
	if over {
		return j.closeRecords(ctx)
	}
	return j.perform(ctx)
}

// isOver reports whether an earlier attempt has verified the result and given the cluster back, so that only the end of
// the records is missing. What others have written since is none of the job's business.
func (j *job) isOver(ctx context.Context) (bool, error) {
	frozen, way, _ := j.journal.Last(stepFreeze)
	verified, _, ok := j.journal.Last(stepVerified)
	if !ok || verified.Attempt < frozen.Attempt {
		return false, nil
	}
	if guard.Way(way.Way) != guard.WayBlock {
		return true, nil
	}
	block, err := j.Target.WriteBlock(ctx)
	if err != nil {
		return false, fmt.Errorf("ask about the write block: %w", err)
	}
	if !block.Standing {
		return true, nil
	}
	_, ours, err := guard.FindBlock(ctx, j.Target, frozen.At)
	return !ours, err
}

// closeRecords ends the records of a job that is over.
func (j *job) closeRecords(ctx context.Context) (Outcome, error) {
	j.outcome = Outcome{Job: j.intent.ID, Started: j.Now()}
	j.recallLeft()
	var err error
	if j.f, err = j.publishedF(); err != nil {
		return Outcome{}, j.refuseResume(err)
	}
	if err := j.finish(ctx); err != nil {
		return j.outcome, j.refuseResume(err)
	}
	return j.outcome, j.partial()
}

// load reads a job that has not ended.
func load(ctx context.Context, deps Deps, id format.ID) (*job, error) {
	found, err := Sound(ctx, deps, id)
	if err != nil {
		return nil, err
	}
	if found.Result != nil {
		return nil, pitr.Refusef("resume job "+string(id), "see `pitr report "+string(id)+"`", "the job has ended (%s)", found.Result.Outcome)
	}
	if by, err := UndoneBy(ctx, deps, id); err != nil || by != "" {
		return nil, orRefuse(err, "resume job "+string(id), "the job was undone by job %s", by)
	}
	intent, err := LoadIntent(*found.Intent)
	if err != nil {
		return nil, err
	}
	if intent.Kind != format.JobRewind && intent.Kind != format.JobUndo {
		return nil, pitr.Refusef("resume job "+string(id), "see `pitr jobs`", "a job of kind %s is not resumed this way", intent.Kind)
	}
	j := &job{Deps: deps, intent: intent, journal: NewJournal(deps, id, found.Steps), resumed: true, published: found.Changes}
	_, _, j.wrote = j.journal.Last(stepWrite)
	if intent.Kind == format.JobUndo {
		undone, err := Sound(ctx, deps, intent.Job)
		if err != nil {
			return nil, err
		}
		j.undone = &undone
	}
	return j, nil
}

// Sound reads a job and refuses one that is damaged.
func Sound(ctx context.Context, deps Deps, id format.ID) (catalog.Job, error) {
	found, err := deps.Repository.Job(ctx, id)
	if err != nil {
		return found, err
	}
	if len(found.Damaged) > 0 {
		return found, pitr.Corruptf("read job "+string(id), "%s: %w", found.Damaged[0].Object, found.Damaged[0].Err)
	}
	if found.Intent == nil {
		return found, pitr.Corruptf("read job "+string(id), "its intent is missing")
	}
	return found, nil
}

func orRefuse(err error, op, message string, args ...any) error {
	if err != nil {
		return err
	}
	return pitr.Refusef(op, "see `pitr jobs`", message, args...)
}

// resumable checks that the world is still the one that the job was confirmed for.
func (j *job) resumable(ctx context.Context) error {
	if err := SameCluster(ctx, j.Deps, j.intent); err != nil {
		return err
	}
	if j.published != nil {
		return nil
	}
	if announced, d, ok := j.journal.Last(stepFreeze); ok && guard.Way(d.Way) == guard.WayBlock {
		block, err := j.Target.WriteBlock(ctx)
		if err != nil {
			return fmt.Errorf("ask about the write block: %w", err)
		}
		_, ours, err := guard.FindBlock(ctx, j.Target, announced.At)
		if err != nil || ours && block.Standing {
			return err
		}
	}
	if j.Now().After(j.intent.Expires) {
		return pitr.Refusef("resume job "+string(j.intent.ID), "run the restore again: it shows what there is to do now",
			"nothing was written yet, and its intent is not valid any more")
	}
	return nil
}

// refuseResume gives the refusal of a resumed job its kind: after the first write every failure is halfway.
func (j *job) refuseResume(cause error) error {
	if !j.wrote {
		return &pitr.Error{Op: "resume job " + string(j.intent.ID), Err: cause}
	}
	return &pitr.Error{Kind: pitr.KindHalfway, Op: "resume job " + string(j.intent.ID), Err: cause, Hint: pitr.HintOf(cause)}
}
