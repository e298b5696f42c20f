package prune

import (
	"context"
	"fmt"
	"slices"
	"time"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/internal/failpoint"
)

// Options say how to prune.
type Options struct {
	Policy Policy
	// Lease says who holds the lease "prune" meanwhile; Operator is written into the lists.
	Lease    catalog.LeaseOptions
	Operator string
	// Confirm is asked before a plan is carried out whose Drastic is not empty; nil refuses.
	Confirm  func(Plan) error
	Progress pitr.Progress
}

// Tally counts what was done.
type Tally struct {
	Snapshots, Objects int
	Bytes              int64
}

// Outcome is what a run did.
type Outcome struct {
	// Plan is what the run found to do.
	Plan Plan
	// Condemned was named now, and may be removed by a run after Until. Removed is gone. Locked is what the store refused to
	// delete; a snapshot whose manifest is locked counts as one object.
	Condemned, Removed, Locked Tally
	Until                      time.Time
	// Refused are the first objects that the store refused to delete, with its words.
	Refused []catalog.Damaged
	// Stopped says why the run left things for the next one; empty when it did not.
	Stopped string
}

const (
	// listLength is how many names go into one list: its object must stay below 4 MiB.
	listLength = 16_000
	// shownRefusals is how many refusals are kept with their words.
	shownRefusals = 10
)

// Run makes a plan and carries it out: it removes what has been condemned for a day and still goes, and condemns what goes by
// now. It fails with kind locked, before anything is done, while another prune, a snapshot or a job that writes is at work.
// One that the store did not let delete everything, or that stopped because a run began, returns its outcome and an error of
// kind partial; the next run goes on.
func Run(ctx context.Context, repository *catalog.Repository, o Options) (Outcome, error) {
	if o.Progress == nil {
		o.Progress = pitr.Silent
	}
	lease, err := repository.Lease(ctx, catalog.LeasePrune, o.Lease)
	if err != nil {
		return Outcome{}, err
	}
	defer func() { _ = lease.Release(ctx) }() // a lease that is not given back ends by itself
	r := &runner{repository: repository, Options: o, lease: lease}
	ctx = lease.Context(ctx)
	for _, step := range []func(context.Context) error{r.look, r.confirm, r.condemn, r.remove, r.close} {
		if err := step(ctx); err != nil {
			return r.outcome, err
		}
	}
	return r.outcome, r.verdict()
}

// runner is one run.
type runner struct {
	repository *catalog.Repository
	Options
	lease     *catalog.Lease
	inventory Inventory
	outcome   Outcome
	// failed are the objects that the store refused to delete, gone those that it deleted.
	failed, gone map[format.Name]bool
}

// now is the present by the clock of the store: the time of the lease that this run renews.
func (r *runner) now(ctx context.Context) (time.Time, error) {
	if err := r.lease.Check(); err != nil {
		return time.Time{}, err
	}
	state, err := r.repository.ShowLease(ctx, catalog.LeasePrune)
	return state.Modified, err
}

// look makes inventory and plan. The present is read first, so that nothing looks older than it is.
func (r *runner) look(ctx context.Context) error {
	r.failed, r.gone = map[format.Name]bool{}, map[format.Name]bool{}
	now, err := r.now(ctx)
	if err != nil {
		return err
	}
	if r.inventory, err = Load(ctx, r.repository); err != nil {
		return err
	}
	r.inventory.Now = now
	if r.inventory.Busy, err = busy(ctx, r.repository, now); err != nil {
		return err
	}
	if len(r.inventory.Busy) > 0 { // case L05
		return pitr.Errorf(pitr.KindLocked, "prune", "wait for it to end, or look at `pitr lease list`", "a run is at work: %s", r.inventory.Working())
	}
	r.outcome.Plan = PlanOf(r.inventory, r.Policy)
	return nil
}

func (r *runner) confirm(ctx context.Context) error {
	drastic := r.outcome.Plan.Drastic()
	switch {
	case drastic == "":
		return nil
	case r.Confirm == nil:
		return pitr.Refusef("prune", "look at the plan with `pitr prune`", "%s", drastic)
	}
	if err := r.Confirm(r.outcome.Plan); err != nil {
		return err
	}
	return r.look(ctx) // a person may have thought for long
}

// condemn publishes what goes and is not condemned yet.
func (r *runner) condemn(ctx context.Context) error {
	var list format.Condemned
	publish := func() error {
		if len(list.Snapshots)+len(list.Objects) == 0 {
			return nil
		}
		var err error
		if list.ID, err = r.repository.NewID(); err != nil {
			return err
		}
		list.Created, list.Operator, list.Reason = r.repository.Now().UTC(), r.Operator, r.Policy.String()
		name, err := r.repository.PutObject(ctx, &list)
		if err != nil {
			return fmt.Errorf("condemn: %w", err)
		}
		stored, err := r.repository.Stat(ctx, name)
		r.outcome.Until = stored.Modified.Add(Wait)
		list = format.Condemned{}
		return err
	}
	for item := range r.items(Goes) {
		if item.Name.IsZero() {
			list.Snapshots = append(list.Snapshots, item.ID)
		} else {
			list.Objects = append(list.Objects, item.Name)
		}
		r.outcome.Condemned.add(item)
		if len(list.Snapshots)+len(list.Objects) == listLength {
			if err := publish(); err != nil {
				return err
			}
		}
	}
	return publish()
}

func (t *Tally) add(item Item) {
	if item.Kind == format.KindManifest && item.Name.IsZero() {
		t.Snapshots++
	}
	t.Objects++
	t.Bytes += item.Size
}

// items yields the items of a verdict: snapshots, then the archive by the ends of its windows, then the others.
func (r *runner) items(verdict Verdict) func(func(Item) bool) {
	return func(yield func(Item) bool) {
		for _, list := range [][]Item{r.outcome.Plan.Snapshots, r.outcome.Plan.Archive, r.outcome.Plan.Others} {
			for _, item := range list {
				if item.Verdict == verdict && !yield(item) {
					return
				}
			}
		}
	}
}

// close removes the lists of which nothing is left to remove.
func (r *runner) close(ctx context.Context) error {
	if r.outcome.Stopped != "" {
		return nil
	}
	owed := r.owed()
	for _, list := range r.inventory.Lists {
		owes := slices.ContainsFunc(list.Snapshots, func(id format.ID) bool { return owed[format.SnapshotPrefix(id)] }) ||
			slices.ContainsFunc(list.Objects, func(name format.Name) bool { return owed[name.String()] })
		if owes || r.inventory.Now.Sub(list.Since) < Wait {
			continue
		}
		name, err := list.ObjectName()
		if err != nil {
			return err
		}
		failpoint.Hit("prune.before-list")
		if _, err := r.deleteObject(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// owed are the objects and the folders of snapshots that were to be removed and are still there.
func (r *runner) owed() map[string]bool {
	owed := map[string]bool{}
	for item := range r.items(Leaves) {
		if !item.Name.IsZero() && !r.gone[item.Name] {
			owed[item.Name.String()] = true
		}
	}
	for name := range r.failed {
		switch name.Kind() {
		case format.KindManifest, format.KindCatalogPart, format.KindChunk, format.KindKeys:
			owed[format.SnapshotPrefix(name.ID())] = true
		default:
			owed[name.String()] = true
		}
	}
	return owed
}

// verdict is how a run ends that did all it could.
func (r *runner) verdict() error {
	switch {
	case r.outcome.Locked.Objects > 0:
		return pitr.Errorf(pitr.KindPartial, "prune", "they go when their lock ends; the next `pitr prune --run` tries again",
			"the store refused to delete %d objects, the first is %s: %w", r.outcome.Locked.Objects, r.outcome.Refused[0].Object, r.outcome.Refused[0].Err)
	case r.outcome.Stopped != "":
		return pitr.Errorf(pitr.KindPartial, "prune", "run `pitr prune --run` again", "stopped: %s", r.outcome.Stopped)
	}
	return nil
}
