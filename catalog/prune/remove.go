package prune

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/internal/failpoint"
	"pitr/storage"
)

// errBusy ends the removal when a run begins.
var errBusy = errors.New("a run began")

// remove takes away what has waited, against the order of writing.
func (r *runner) remove(ctx context.Context) error {
	for _, step := range []func(context.Context) error{r.removeHolds, r.removeSnapshots, r.removeArchive, r.removeOthers} {
		err := step(ctx)
		if errors.Is(err, errBusy) {
			r.outcome.Stopped = err.Error()
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// removeHolds removes expired holds before the snapshots that they name, so that none names what is not there.
func (r *runner) removeHolds(ctx context.Context) error {
	for item := range r.items(Leaves) {
		if item.Kind == format.KindHold {
			if err := r.delete(ctx, item); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeSnapshots removes manifests and then what they named. Where the store keeps a manifest, the plan is made again: the
// snapshot stays, and so does everything that it needs.
func (r *runner) removeSnapshots(ctx context.Context) error {
	locked := map[format.ID]bool{}
	for item := range r.items(Leaves) {
		if !item.Name.IsZero() {
			continue
		}
		if err := r.quiet(ctx); err != nil {
			return err
		}
		still, err := r.removeSnapshot(ctx, item)
		if err != nil {
			return err
		}
		if still {
			locked[item.ID] = true
		}
	}
	if len(locked) > 0 { // case S16
		r.inventory.Locked = locked
		shown := r.outcome.Plan
		again := PlanOf(r.inventory, r.Policy)
		shown.Archive, shown.Others = again.Archive, again.Others
		r.outcome.Plan = shown
	}
	return nil
}

// removeSnapshot removes one snapshot, its manifest first: from then on it does not exist. It reports whether the store kept the
// manifest.
func (r *runner) removeSnapshot(ctx context.Context, item Item) (locked bool, err error) {
	manifest, err := format.ManifestName(item.ID)
	if err != nil {
		return false, err
	}
	if item.Kind == format.KindManifest {
		failpoint.Hit("prune.before-manifest")
		done, err := r.deleteObject(ctx, manifest)
		if err != nil {
			return false, err
		}
		if !done {
			r.outcome.Locked.add(item)
			return true, nil
		}
		failpoint.Hit("prune.after-manifest")
		r.outcome.Removed.Snapshots++
		r.outcome.Removed.Objects++
	}
	var rest []catalog.Found
	for found, err := range r.repository.List(ctx, format.SnapshotPrefix(item.ID), "") {
		if err != nil {
			return false, err
		}
		if found.Name == manifest && item.Kind != format.KindManifest {
			return false, nil // it was published after all
		}
		rest = append(rest, found)
	}
	// Catalog parts come before chunks and key partitions, as their names do.
	for _, found := range rest {
		if found.Name == manifest {
			continue
		}
		if err := r.delete(ctx, Item{Kind: found.Name.Kind(), Name: found.Name, Size: found.Size}); err != nil {
			return false, err
		}
	}
	return false, nil
}

// removeArchive removes segments by their ends, so that what is left always reaches without a new break from the first one on
// to the last; what becomes a break by being kept on both sides gets its note first.
func (r *runner) removeArchive(ctx context.Context) error {
	leaving := map[format.ID]map[format.Name]bool{}
	for _, item := range r.outcome.Plan.Archive {
		if item.Verdict == Leaves && item.Kind == format.KindSegment {
			if leaving[item.ID] == nil {
				leaving[item.ID] = map[format.Name]bool{}
			}
			leaving[item.ID][item.Name] = true
		}
	}
	for _, line := range r.inventory.Timeline.Lines {
		if len(leaving[line.Branch]) == 0 {
			continue
		}
		goes := map[int]bool{}
		for i, segment := range line.Segments {
			if name, err := segment.Name(line.Branch); err == nil && leaving[line.Branch][name] {
				goes[i] = true
			}
		}
		settle(line, goes) // of what goes, some may have to wait
		if err := r.note(ctx, line, goes); err != nil {
			return err
		}
		if err := r.removeSegments(ctx, line, goes); err != nil {
			return err
		}
	}
	return r.removeNotes(ctx)
}

// note writes down the breaks that the removal makes.
func (r *runner) note(ctx context.Context, line catalog.Line, goes map[int]bool) error {
	for _, window := range breaks(line, goes) {
		hole := format.Hole{Branch: line.Branch, Window: window, Created: r.repository.Now().UTC(), Reason: RemovedReason}
		_, err := r.repository.PutObject(ctx, &hole)
		if err != nil && !errors.Is(err, storage.ErrExists) { // an earlier note says that nothing is there, too
			return fmt.Errorf("note what is removed: %w", err)
		}
	}
	failpoint.Hit("prune.after-notes")
	return nil
}

// RemovedReason is what the note of a break says that prune made.
const RemovedReason = "removed by prune"

// breaks gives the windows for which a note has to be written before the segments at some places go.
func breaks(line catalog.Line, goes map[int]bool) []pitr.Window {
	kept := left(line, goes)
	if len(kept) == 0 {
		return nil
	}
	noted := func(w pitr.Window) bool {
		return slices.ContainsFunc(line.Notes, func(n catalog.HoleNote) bool { return n.Covers(w) })
	}
	var windows []pitr.Window
	alone := catalog.Timeline{Lines: []catalog.Line{{Branch: line.Branch, Segments: kept}}}
	for _, hole := range alone.Holes(line.Branch) {
		if !hole.IsEmpty() && !noted(hole.Window) {
			windows = append(windows, hole.Window)
		}
	}
	end, tail := pitr.Timestamp(0), pitr.Timestamp(0)
	for _, segment := range kept {
		end = max(end, segment.Through)
	}
	for i := range goes {
		tail = max(tail, line.Segments[i].Through)
	}
	if behind := (pitr.Window{After: end, Through: tail}); !behind.IsEmpty() && !noted(behind) {
		windows = append(windows, behind)
	}
	return windows
}

func (r *runner) removeSegments(ctx context.Context, line catalog.Line, goes map[int]bool) error {
	order := make([]int, 0, len(goes))
	for i := range goes {
		order = append(order, i)
	}
	slices.SortFunc(order, func(a, b int) int { return compareEnds(line.Segments[a], line.Segments[b]) })
	r.Progress.Start("archive", pitr.Amount{Count: int64(len(order))})
	defer r.Progress.Finish("archive")
	for n, i := range order {
		if n%100 == 0 {
			if err := r.quiet(ctx); err != nil {
				return err
			}
		}
		name, err := line.Segments[i].Name(line.Branch)
		if err != nil {
			return err
		}
		if err := r.delete(ctx, Item{Kind: format.KindSegment, Name: name, Size: line.Segments[i].Size}); err != nil {
			return err
		}
		if r.failed[name] {
			// Without what follows it there would be a break that nobody noted.
			r.outcome.Stopped = fmt.Sprintf("%d segments behind %s stay with it", len(order)-n-1, name)
			return nil
		}
		r.Progress.Advance("archive", pitr.Amount{Count: 1, Bytes: line.Segments[i].Size})
	}
	return nil
}

func compareEnds(a, b catalog.Segment) int {
	switch {
	case a.Through != b.Through && a.Through < b.Through, a.Through == b.Through && a.After < b.After:
		return -1
	case a == b:
		return 0
	}
	return 1
}

// removeNotes removes notes that explain nothing any more, given what is really gone.
func (r *runner) removeNotes(ctx context.Context) error {
	for item := range r.items(Leaves) {
		if item.Kind != format.KindHole {
			continue
		}
		line := lineOf(r.inventory.Timeline, item.ID)
		var kept []catalog.Segment
		for _, segment := range line.Segments {
			if name, err := segment.Name(line.Branch); err == nil && !r.gone[name] {
				kept = append(kept, segment)
			}
		}
		if explains(item.Name.Window(), kept) {
			continue
		}
		if err := r.delete(ctx, item); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) removeOthers(ctx context.Context) error {
	for _, item := range r.outcome.Plan.Others {
		if item.Verdict == Leaves && item.Kind != format.KindHold {
			if err := r.delete(ctx, item); err != nil {
				return err
			}
		}
	}
	return nil
}

// delete removes one object and counts it.
func (r *runner) delete(ctx context.Context, item Item) error {
	done, err := r.deleteObject(ctx, item.Name)
	switch {
	case err != nil:
		return err
	case done:
		r.outcome.Removed.add(item)
	default:
		r.outcome.Locked.add(item)
	}
	return nil
}

// deleteObject reports whether an object is gone. One that the store does not let go is left to later runs.
func (r *runner) deleteObject(ctx context.Context, name format.Name) (gone bool, err error) {
	if err := r.lease.Check(); err != nil {
		return false, err
	}
	failpoint.Hit("prune.before-delete")
	err = r.repository.Delete(ctx, name)
	kind := pitr.KindOf(err)
	switch {
	case err == nil, errors.Is(err, storage.ErrNotFound):
		r.gone[name] = true
		return true, nil
	case kind == pitr.KindDenied, kind == pitr.KindRefused:
		r.failed[name] = true
		if len(r.outcome.Refused) < shownRefusals {
			r.outcome.Refused = append(r.outcome.Refused, catalog.Damaged{Object: name, Err: err})
		}
		return false, nil
	}
	return false, fmt.Errorf("remove %s: %w", name, err)
}

// quiet looks whether a run has begun that may read what is about to be removed. // case L05
func (r *runner) quiet(ctx context.Context) error {
	now, err := r.now(ctx)
	if err != nil {
		return err
	}
	names, err := busy(ctx, r.repository, now)
	if err == nil && len(names) > 0 {
		return fmt.Errorf("%w: %s", errBusy, names[0])
	}
	return err
}
