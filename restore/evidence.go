package restore

import (
	"context"
	"fmt"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/internal/failpoint"
)

// takeEvidence takes the bulk evidence while the service is still up: a snapshot of the scope, where the intent says so.
func (j *job) takeEvidence(ctx context.Context) error {
	if err := j.catchUp(ctx); err != nil {
		return err
	}
	if _, _, done := j.journal.Last(stepEvidence); done || !j.intent.Detail.Bulk || j.published != nil || j.undone != nil {
		return nil
	}
	if j.Evidence == nil {
		return pitr.Refusef("take evidence", "let the archive seal the present state instead", "there is nothing that takes snapshots")
	}
	manifest, err := j.Evidence.Take(ctx, j.intent.ID, j.intent.Scope)
	if err != nil {
		return fmt.Errorf("take evidence: %w", err)
	}
	if _, err := j.Repository.PutHold(ctx, format.Hold{Operator: j.Operator, Reason: "evidence of job " + string(j.intent.ID),
		Job: j.intent.ID, Snapshot: manifest.ID}); err != nil {
		return fmt.Errorf("hold the evidence: %w", err)
	}
	return j.journal.Record(ctx, stepEvidence, pitr.OpTime{}, StepDetail{Snapshot: string(manifest.ID)})
}

// catchUp brings the archive as far as the intent at least, and learns its newest entry.
func (j *job) catchUp(ctx context.Context) error {
	newest, err := j.Archive.Through(ctx, j.intent.Through)
	if err != nil {
		return fmt.Errorf("catch up with the oplog: %w", err)
	}
	j.newest = newest
	return nil
}

// seal brings the archive through F, holds everything that the state at E = F needs, and looks whether it is there.
func (j *job) seal(ctx context.Context) error {
	if _, err := j.Archive.Through(ctx, j.f.TS); err != nil {
		return fmt.Errorf("archive through F: %w", err)
	}
	held, err := j.checkEvidence(ctx)
	if err != nil {
		return err
	}
	if _, _, done := j.journal.Last(stepSealed); done && j.published != nil {
		return nil
	}
	hold := format.Hold{Operator: j.Operator, Reason: "the state before job " + string(j.intent.ID), Job: j.intent.ID,
		Snapshot: held.snapshot, Branch: j.intent.Branch, Window: &held.window}
	if _, err := j.Repository.PutHold(ctx, hold); err != nil {
		return fmt.Errorf("hold the evidence: %w", err)
	}
	return j.journal.Record(ctx, stepSealed, j.f, StepDetail{Snapshot: string(held.snapshot)})
}

// evidence is what the state at E is made of: a snapshot and the archive from there through F.
type evidence struct {
	snapshot format.ID
	window   pitr.Window
}

// checkEvidence looks whether the state at E can be made from the repository, now. It is asked when the evidence is
// sealed and once more before the first write.
func (j *job) checkEvidence(ctx context.Context) (evidence, error) {
	timeline, err := j.Repository.Timeline(ctx)
	if err != nil {
		return evidence{}, err
	}
	if j.undone != nil {
		// What an undo overwrites stands in the change set of the other job; the archive has to tell what came after it.
		held := evidence{window: pitr.Window{After: j.undone.Changes.Gap.Through, Through: j.f.TS}}
		return held, j.covered(timeline, held)
	}
	id, err := j.evidenceSnapshot(timeline)
	if err != nil {
		return evidence{}, err
	}
	manifest, err := j.Repository.Manifest(ctx, id)
	if err != nil {
		return evidence{}, gone(err)
	}
	if !manifest.Scope.ContainsAll(j.intent.Scope) || manifest.Branch != j.intent.Branch && j.isBulk() {
		return evidence{}, pitr.Refusef("seal the evidence", "take evidence of the whole scope",
			"the snapshot %s is evidence of %s, not of %s", id, manifest.Scope, j.intent.Scope)
	}
	held := evidence{snapshot: id, window: pitr.Window{After: manifest.From, Through: j.f.TS}}
	if err := j.covered(timeline, held); err != nil {
		return evidence{}, err
	}
	return held, j.checkSnapshot(ctx, manifest)
}

func (j *job) isBulk() bool {
	_, _, taken := j.journal.Last(stepEvidence)
	return taken
}

// evidenceSnapshot names the snapshot that the state at E begins with: the one that was taken, the one that was sealed, or
// the one that the timeline proposes.
func (j *job) evidenceSnapshot(timeline catalog.Timeline) (format.ID, error) {
	for _, step := range []string{stepEvidence, stepSealed} {
		if _, d, ok := j.journal.Last(step); ok {
			return format.ID(d.Snapshot), nil
		}
	}
	route, err := timeline.ReachOn(j.intent.Branch, j.f.TS, j.intent.Scope)
	if pitr.KindOf(err) == pitr.KindHole {
		return "", noEvidence(err)
	}
	return route.Snapshot.Snapshot, err
}

// covered refuses evidence with a hole in its archive.
func (j *job) covered(timeline catalog.Timeline, held evidence) error {
	for _, window := range timeline.Windows(j.intent.Branch) {
		if window.Covers(held.window) {
			return nil
		}
	}
	return noEvidence(fmt.Errorf("the archive does not reach without a break over %s: %v", held.window, timeline.Holes(j.intent.Branch)))
}

func noEvidence(cause error) error {
	return pitr.Refusef("seal the evidence", "run `pitr archive run` until it has passed this moment, or let it take a full export (`--full-export`)",
		"there would be no evidence of the present state: %w", cause)
}

// checkSnapshot asks the store for every object of a snapshot. Their bytes were read back when they were written.
func (j *job) checkSnapshot(ctx context.Context, manifest format.Manifest) error {
	for record, err := range j.Repository.CatalogRecords(ctx, manifest) {
		if err != nil {
			return gone(err)
		}
		chunk, ok := record.(format.ChunkRecord)
		if !ok {
			continue
		}
		object, err := j.Repository.Stat(ctx, chunk.Name)
		if err != nil {
			return gone(err)
		}
		if object.Size != chunk.Size {
			return pitr.Corruptf("check the evidence", "%s has %d bytes, not %d", chunk.Name, object.Size, chunk.Size)
		}
	}
	failpoint.Hit("restore.after-evidence-check")
	return nil
}

// gone makes a missing object of the evidence what it is: damage.
func gone(err error) error {
	if pitr.KindOf(err) == pitr.KindNotFound {
		return pitr.Corruptf("check the evidence", "a part of it is not there any more: %w", err)
	}
	return err
}
