package restore

import (
	"bytes"
	"context"
	"fmt"

	"pitr"
	"pitr/guard"
	"pitr/internal/failpoint"
)

// write announces the first write and performs the plan. From the announcement on every failure is halfway.
func (j *job) write(ctx context.Context) error {
	if len(j.plan.Phases) == 0 {
		return nil
	}
	if !j.wrote {
		if _, err := j.checkEvidence(ctx); err != nil {
			return err
		}
		if err := j.countBefore(ctx); err != nil {
			return err
		}
	}
	j.watch = guard.NewWatch(j.Target, j.ledger, j.watchOptions())
	if err := j.lookout().Check(ctx); err != nil {
		return err
	}
	if !j.wrote {
		if err := j.journal.Record(ctx, stepWrite, j.f, StepDetail{}); err != nil {
			return err
		}
		j.wrote = true
	}
	failpoint.Hit("restore.before-first-write")
	run := guard.Execution{Target: j.Target, Lookout: j.lookout(), Plan: j.plan, Changes: j.changes, Done: j.phaseDone(),
		Workers: j.Workers, Expired: j.expired, Progress: j.Progress, Record: func(ctx context.Context, phase guard.PhaseName) error {
			failpoint.Hit("restore.before-phase-record")
			return j.journal.Record(ctx, stepPhase, j.f, StepDetail{Phase: string(phase)})
		}}
	if err := run.Run(ctx); err != nil {
		return err
	}
	j.outcome.Written, j.outcome.Steps = j.plan.Documents, 0
	for _, phase := range j.plan.Phases {
		j.outcome.Steps += int64(len(phase.Catalog))
	}
	return nil
}

// phaseDone names the last phase that an earlier attempt has finished.
func (j *job) phaseDone() guard.PhaseName {
	_, d, _ := j.journal.Last(stepPhase)
	return guard.PhaseName(d.Phase)
}

// countBefore remembers how many documents the touched namespaces have, for the check afterwards.
func (j *job) countBefore(ctx context.Context) error {
	j.before = map[pitr.Namespace]int64{}
	names := liveNames(j.e, j.t)
	touched := map[pitr.Namespace]bool{}
	for ns := range j.touched {
		if live, renamed := names[ns]; renamed {
			ns = live
		}
		touched[ns] = true
	}
	for _, collection := range j.e {
		if !touched[collection.NS] {
			continue
		}
		count, err := j.Target.Count(ctx, collection.NS)
		if err != nil {
			return fmt.Errorf("count %s: %w", collection.NS, err)
		}
		j.before[collection.NS] = count
	}
	return nil
}

// vigil joins the two reasons to stop before a write: somebody else has the lease, or somebody else has written.
type vigil struct{ job *job }

func (v vigil) Check(ctx context.Context) error {
	if err := v.job.lease.Check(); err != nil {
		return err
	}
	return v.job.watch.Check(ctx)
}

func (j *job) lookout() guard.Lookout { return vigil{j} }

// verify looks at every touched key, the whole catalog in scope, and the number of documents.
func (j *job) verify(ctx context.Context) error {
	failpoint.Hit("restore.before-verify")
	if j.watch != nil { // a stray is a better answer than the difference that it makes
		if err := j.lookout().Check(ctx); err != nil {
			return err
		}
	}
	v := verifier{job: j, delta: map[pitr.Namespace]int64{}}
	j.Progress.Start("verify", pitr.Amount{Count: int64(j.changes.Len())})
	defer j.Progress.Finish("verify")
	for i := range j.changes.Len() {
		change, err := j.changes.At(i)
		if err != nil {
			return err
		}
		if err := v.add(ctx, change); err != nil {
			return err
		}
	}
	if err := v.flush(ctx); err != nil {
		return err
	}
	live, err := j.Target.Catalog(ctx, j.intent.Scope)
	if err != nil {
		return fmt.Errorf("list the collections: %w", err)
	}
	differences, err := guard.Differences(live, j.t)
	if err != nil {
		return err
	}
	if len(differences) > 0 {
		return mismatch("the catalog is not that of T: %v is still to be done", differences)
	}
	if err := v.compareCounts(ctx); err != nil {
		return err
	}
	return j.recordVerified(ctx)
}

// recordVerified looks for strays once more, and publishes that the result is right, with all that the end of the job has
// to tell: it can end without looking at a cluster that is back in service.
func (j *job) recordVerified(ctx context.Context) error {
	d := StepDetail{Written: j.outcome.Written}
	if j.watch != nil {
		if err := j.lookout().Check(ctx); err != nil {
			return err
		}
		first, last := j.watch.Own()
		d.First, d.Last = markOf(first), markOf(last)
	}
	return j.journal.Record(ctx, stepVerified, j.f, d)
}

func mismatch(message string, args ...any) error {
	return pitr.Errorf(pitr.KindMismatch, "verify the result", "", message, args...)
}

// verifier compares live documents with what the job was to bring about.
type verifier struct {
	job   *job
	batch []pitr.Change
	bytes int
	delta map[pitr.Namespace]int64
}

func (v *verifier) add(ctx context.Context, change pitr.Change) error {
	if len(v.batch) > 0 && (change.NS != v.batch[0].NS || len(v.batch) >= lookBatch || v.bytes >= lookBytes) {
		if err := v.flush(ctx); err != nil {
			return err
		}
	}
	if change.E != nil {
		v.delta[change.NS]--
	}
	if change.Target() != nil {
		v.delta[change.NS]++
	}
	v.batch = append(v.batch, change)
	v.bytes += len(change.Target())
	return nil
}

func (v *verifier) flush(ctx context.Context) error {
	if len(v.batch) == 0 {
		return nil
	}
	ns := v.batch[0].NS
	live, err := LookUp(ctx, v.job.Target, ns, v.batch)
	if err != nil {
		return err
	}
	for _, change := range v.batch {
		found := live[change.Key.Equal()]
		expired := found == nil && v.job.dueNow(change.NS, change.Target())
		if !expired && !bytes.Equal(found, change.Target()) {
			return mismatch("%s of %s is not what it was to become", change.Key, ns)
		}
	}
	v.job.Progress.Advance("verify", pitr.Amount{Count: int64(len(v.batch)), Bytes: int64(v.bytes)})
	v.batch, v.bytes = v.batch[:0], 0
	return nil
}

// compareCounts warns where the number of documents is not what the writes make of it: collection statistics can be off
// after an unclean shutdown, so that a difference alone is no failure.
func (v *verifier) compareCounts(ctx context.Context) error {
	names := liveNames(v.job.e, v.job.t)
	for _, collection := range v.job.t {
		ns := collection.NS
		was := ns
		if live, renamed := names[ns]; renamed {
			was = live
		}
		before, counted := v.job.before[was]
		if !counted || collection.Type == pitr.TypeView {
			continue
		}
		after, err := v.job.Target.Count(ctx, ns)
		if err != nil {
			return fmt.Errorf("count %s: %w", ns, err)
		}
		if want := before + v.delta[ns]; after != want {
			v.job.outcome.Warnings = append(v.job.outcome.Warnings,
				fmt.Sprintf("%s counts %d documents, %d were expected from its statistics", ns, after, want))
		}
	}
	return nil
}
