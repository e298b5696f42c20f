package restore

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/guard"
)

// PlanUndo makes the intent of reversing a job: every document and every part of the catalog that it changed becomes what
// it was before, unless it has changed since. It writes nothing.
func PlanUndo(ctx context.Context, deps Deps, id format.ID) (Intent, error) {
	deps = deps.WithDefaults()
	undone, err := undoable(ctx, deps, id)
	if err != nil {
		return Intent{}, err
	}
	p := planner{deps: deps, request: Request{To: undone.Changes.Gap.Through, Scope: undone.Changes.Scope}}
	if err := p.meetCluster(ctx); err != nil {
		return Intent{}, err
	}
	if ours, err := standsFor(ctx, deps, undone); err != nil || ours {
		if err != nil {
			return Intent{}, err
		}
		p.intent.Refused = nil // the block is the one that the job left standing
	}
	p.intent.Kind, p.intent.Job = format.JobUndo, id
	if err := p.catchUp(ctx); err != nil {
		return Intent{}, err
	}
	p.intent.Touched = undone.Changes.Documents
	p.intent.Steps = undone.Changes.Steps
	live, err := deps.Target.Catalog(ctx, p.request.Scope)
	if err != nil {
		return Intent{}, fmt.Errorf("list the collections: %w", err)
	}
	p.intent.Detail.Catalog = digestOf(live)
	return p.intent, p.describe(ctx)
}

// undoable reads a job that has something to undo.
func undoable(ctx context.Context, deps Deps, id format.ID) (catalog.Job, error) {
	op := "undo job " + string(id)
	found, err := Sound(ctx, deps, id)
	if err != nil {
		return found, err
	}
	records := NewJournal(deps, id, found.Steps)
	_, _, wrote := records.Last(stepWrite)
	switch {
	case found.Intent.Kind == format.JobCopy || found.Intent.Kind == format.JobCompare || found.Intent.Kind == format.JobRebuild:
		return found, pitr.Refusef(op, "see `pitr jobs`", "a job of kind %s is not undone this way", found.Intent.Kind)
	case found.Changes == nil || !wrote && found.Intent.Kind != format.JobReconcile:
		return found, pitr.Refusef(op, "see `pitr jobs`; `pitr unfreeze "+string(id)+"` lifts a write block that it left", "the job has written nothing")
	}
	by, err := UndoneBy(ctx, deps, id)
	if err != nil || by != "" {
		return found, orRefuse(err, op, "it was undone by job %s already", by)
	}
	return found, nil
}

// UndoneBy names the job that has undone another one; empty when none has.
func UndoneBy(ctx context.Context, deps Deps, id format.ID) (format.ID, error) {
	jobs, err := deps.Repository.Jobs(ctx)
	if err != nil {
		return "", err
	}
	for _, job := range jobs {
		if job.Intent != nil && job.Intent.Kind == format.JobUndo && job.Intent.Job == id && job.Done() {
			return job.ID, nil
		}
	}
	return "", nil
}

// standsFor reports whether a block stands that the job left.
func standsFor(ctx context.Context, deps Deps, undone catalog.Job) (bool, error) {
	block, err := deps.Target.WriteBlock(ctx)
	if err != nil || !block.Standing {
		return false, err
	}
	records := NewJournal(deps, undone.ID, undone.Steps)
	announced, _, ok := records.Last(stepFreeze)
	if !ok {
		return false, nil
	}
	_, ours, err := guard.FindBlock(ctx, deps.Target, announced.At)
	return ours, err
}

// reverseCatalogs decides what part of the catalog goes back. What is neither as the undone job found it nor as it left
// it has changed since, and is left alone. A resumed undo takes what it has published.
func (j *job) reverseCatalogs(ctx context.Context) error {
	live, err := j.Target.Catalog(ctx, j.undone.Changes.Scope)
	if err != nil {
		return fmt.Errorf("list the collections: %w", err)
	}
	if j.published != nil {
		steps, err := stepsOf(ctx, j.Deps, j.published)
		if err != nil {
			return err
		}
		j.e, j.t = overlay(live, steps, sideE), overlay(live, steps, sideT)
		return nil
	}
	steps, err := stepsOf(ctx, j.Deps, j.undone.Changes)
	if err != nil {
		return err
	}
	j.reversed = steps
	r := newReversal(live, steps)
	r.halfway = !j.undone.Done()
	for _, ns := range r.names() {
		if err := r.decide(ns); err != nil {
			return err
		}
	}
	j.e, j.t = live, r.result
	sortByName(j.t)
	j.outcome.LeftAlone = append(j.outcome.LeftAlone, r.left...)
	return nil
}

func sortByName(list []pitr.Collection) {
	slices.SortFunc(list, func(a, b pitr.Collection) int { return a.NS.Compare(b.NS) })
}

// stepsOf reads the catalog steps of a change set.
func stepsOf(ctx context.Context, deps Deps, changes *format.Changes) ([]pitr.CatalogStep, error) {
	var steps []pitr.CatalogStep
	for document, err := range deps.Repository.ChangeDocuments(ctx, *changes) {
		if err != nil {
			return nil, fmt.Errorf("read the change set of job %s: %w", changes.Job, err)
		}
		if !format.IsCatalogStep(document) {
			break
		}
		step, err := format.DecodeCatalogStep(bytes.Clone(document))
		if err != nil {
			return nil, err
		}
		steps = append(steps, step)
	}
	return steps, nil
}

// sideE and sideT choose a side of a catalog step.
func sideE(step pitr.CatalogStep) *pitr.Collection { return step.CollectionE }
func sideT(step pitr.CatalogStep) *pitr.Collection { return step.CollectionT }

// overlay gives a catalog in which everything that steps are about is as it is on one of their sides.
func overlay(live []pitr.Collection, steps []pitr.CatalogStep, side func(pitr.CatalogStep) *pitr.Collection) []pitr.Collection {
	names := byName(live)
	for _, step := range steps {
		for _, either := range []*pitr.Collection{step.CollectionE, step.CollectionT} {
			if either != nil {
				delete(names, either.NS)
			}
		}
	}
	for _, step := range steps {
		if chosen := side(step); chosen != nil {
			names[chosen.NS] = chosen
		}
	}
	list := make([]pitr.Collection, 0, len(names))
	for _, collection := range names {
		list = append(list, *collection)
	}
	sortByName(list)
	return list
}

func byName(list []pitr.Collection) map[pitr.Namespace]*pitr.Collection {
	names := map[pitr.Namespace]*pitr.Collection{}
	for i := range list {
		names[list[i].NS] = &list[i]
	}
	return names
}

// reversal decides about each name of a catalog.
type reversal struct {
	// was is the catalog before the undone job, made the one that it was to make, live the one that there is.
	was, made, live map[pitr.Namespace]*pitr.Collection
	// halfway says that the undone job was stopped, so that what it replaces may be gone.
	halfway bool
	result  []pitr.Collection
	left    []LeftAlone
}

func newReversal(live []pitr.Collection, steps []pitr.CatalogStep) *reversal {
	r := &reversal{was: map[pitr.Namespace]*pitr.Collection{}, made: map[pitr.Namespace]*pitr.Collection{}, live: byName(live)}
	for _, step := range steps {
		if step.CollectionE != nil {
			r.was[step.CollectionE.NS] = step.CollectionE
		}
		if step.CollectionT != nil {
			r.made[step.CollectionT.NS] = step.CollectionT
		}
	}
	return r
}

func (r *reversal) names() []pitr.Namespace {
	var all []pitr.Namespace
	for _, side := range []map[pitr.Namespace]*pitr.Collection{r.was, r.made, r.live} {
		for ns := range side {
			all = append(all, ns)
		}
	}
	slices.SortFunc(all, pitr.Namespace.Compare)
	return slices.Compact(all)
}

func (r *reversal) decide(ns pitr.Namespace) error {
	was, made, live := r.was[ns], r.made[ns], r.live[ns]
	if was == nil && made == nil { // the job had nothing to do with it
		r.result = append(r.result, *live)
		return nil
	}
	reverses, err := r.reverses(was, made, live)
	switch {
	case err != nil:
		return err
	case !reverses:
		r.left = append(r.left, LeftAlone{NS: ns, Reason: "its options or indexes have changed since the job"})
		if live != nil {
			r.result = append(r.result, *live)
		}
	case was != nil:
		r.result = append(r.result, *was)
	}
	return nil
}

// reverses reports whether a live collection is on the way between what it was and what the job made of it: each of its
// indexes is one of either side, and nothing else has changed.
func (r *reversal) reverses(was, made, live *pitr.Collection) (bool, error) {
	if live == nil {
		return was == nil || made == nil || r.halfway, nil
	}
	known := slices.Concat(indexesOf(was), indexesOf(made))
	for _, spec := range live.Indexes {
		if !slices.ContainsFunc(known, func(other bson.Raw) bool { return guard.SameIndex(spec, other) }) {
			return false, nil
		}
	}
	for _, side := range []*pitr.Collection{was, made} {
		if side == nil {
			continue
		}
		bare, same := *side, *live
		bare.Indexes, same.Indexes = nil, nil
		different, err := differ(&bare, &same)
		if err != nil || !different {
			return err == nil, err
		}
	}
	return false, nil
}

func indexesOf(c *pitr.Collection) []bson.Raw {
	if c == nil {
		return nil
	}
	return c.Indexes
}

func differ(a, b *pitr.Collection) (bool, error) {
	list := func(c *pitr.Collection) []pitr.Collection {
		if c == nil {
			return nil
		}
		return []pitr.Collection{*c}
	}
	differences, err := guard.Differences(list(a), list(b))
	if pitr.KindOf(err) == pitr.KindUnsupported {
		return true, nil
	}
	return len(differences) > 0, err
}

// reverseChanges makes the change set of an undo: the live documents of the other job's keys, and what they were before
// it. A document that is neither what the job found nor what it brought has changed since, and is left alone.
func (j *job) reverseChanges(ctx context.Context) error {
	var batch []pitr.Change
	size := 0
	unwritten, err := unwrittenBy(j.Deps, j.undone)
	if err != nil {
		return err
	}
	for document, err := range j.Repository.ChangeDocuments(ctx, *j.undone.Changes) {
		if err != nil {
			return fmt.Errorf("read the change set of job %s: %w", j.undone.ID, err)
		}
		if format.IsCatalogStep(document) {
			continue
		}
		change, err := format.DecodeChange(bytes.Clone(document))
		if err != nil {
			return err
		}
		if unwritten[change.N] {
			continue
		}
		if len(batch) > 0 && (change.NS != batch[0].NS || len(batch) >= lookBatch || size >= lookBytes) {
			if err := j.reverse(ctx, batch); err != nil {
				return err
			}
			batch, size = batch[:0], 0
		}
		batch = append(batch, change)
		size += len(document)
	}
	if err := j.reverse(ctx, batch); err != nil {
		return err
	}
	if err := j.changes.Flush(); err != nil {
		return err
	}
	if err := j.keepInhabited(ctx); err != nil {
		return err
	}
	return j.recordLeft(ctx)
}

// reverse looks at the live documents of some changes of one namespace.
func (j *job) reverse(ctx context.Context, changes []pitr.Change) error {
	if len(changes) == 0 {
		return nil
	}
	liveName, name := j.namesNow(changes[0].NS)
	live, err := LookUp(ctx, j.Target, liveName, changes)
	if err != nil {
		return err
	}
	for _, change := range changes {
		now := live[change.Key.Equal()]
		switch {
		case bytes.Equal(now, change.E):
			continue
		case bytes.Equal(now, change.Target()):
		case now == nil && !j.undone.Done() && j.undone.Intent.Kind != format.JobReconcile:
			// What a stopped job leaves between two of its phases; a reconcile takes no document away for a while.
		default:
			ns := liveName
			j.outcome.LeftAlone = append(j.outcome.LeftAlone, LeftAlone{NS: ns, Key: change.Key, Reason: "the document has changed since the job"})
			continue
		}
		back := pitr.Change{NS: name, UUID: change.UUID, Key: change.Key, E: now, T: change.E,
			Class: pitr.Classify(now, change.E), First: change.First, Last: change.Last, Ops: change.Ops}
		if err := j.appendChange(back); err != nil {
			return err
		}
	}
	return nil
}

// namesNow gives the live name of the collection that the undone job knew by a name, and the name that the undo gives it.
func (j *job) namesNow(ns pitr.Namespace) (live, target pitr.Namespace) {
	live = ns
	names := byName(j.e)
	if names[ns] == nil { // the job was stopped before it gave the collection its old name back
		for _, step := range j.reversed {
			if step.Step == pitr.StepRenamed && step.CollectionT.NS == ns && names[step.CollectionE.NS] != nil {
				live = step.CollectionE.NS
			}
		}
	}
	target = live
	for at, was := range liveNames(j.e, j.t) {
		if was == live {
			target = at
		}
	}
	return live, target
}

// left is how a step record names something that was left alone.
type left struct {
	NS     string        `bson:"ns"`
	Key    bson.RawValue `bson:"key,omitempty"`
	Reason string        `bson:"reason"`
}

// maxLeft bounds what a step record lists.
const maxLeft = 1000

// recordLeft publishes what was left alone, so that a resumed undo still tells it.
func (j *job) recordLeft(ctx context.Context) error {
	if len(j.outcome.LeftAlone) == 0 {
		return nil
	}
	return j.journal.Record(ctx, stepLeft, j.f, LeftDetail(j.outcome.LeftAlone))
}

// LeftDetail makes the detail of a step that lists what was left alone: how many, and the first of them.
func LeftDetail(list []LeftAlone) StepDetail {
	d := StepDetail{LeftCount: int64(len(list))}
	for _, alone := range list[:min(maxLeft, len(list))] {
		d.Left = append(d.Left, left{NS: alone.NS.String(), Key: alone.Key.Stored(), Reason: alone.Reason})
	}
	return d
}

// Listed gives what the detail lists.
func (d StepDetail) Listed() []LeftAlone {
	var list []LeftAlone
	for _, alone := range d.Left {
		ns, _ := pitr.ParseNamespace(alone.NS)
		key, _ := pitr.NewKey(alone.Key) // no key for a part of the catalog
		list = append(list, LeftAlone{NS: ns, Key: key, Reason: alone.Reason})
	}
	return list
}

// recallLeft takes up what an earlier attempt left alone.
func (j *job) recallLeft() {
	if _, d, ok := j.journal.Last(stepLeft); ok {
		j.outcome.LeftAlone = append(j.outcome.LeftAlone, d.Listed()...)
	}
}

// keepInhabited leaves a collection in place that the undo would drop, when others have put documents into it since.
func (j *job) keepInhabited(ctx context.Context) error {
	removed := map[pitr.Namespace]int64{}
	for i := range j.changes.Len() {
		change, err := j.changes.At(i)
		if err != nil {
			return err
		}
		if change.E != nil && change.T == nil {
			removed[change.NS]++
		}
	}
	for _, step := range guard.Steps(j.e, j.t) {
		if step.Step != pitr.StepCreated || step.CollectionE.Type == pitr.TypeView {
			continue
		}
		count, err := j.Target.Count(ctx, step.NS)
		if err != nil {
			return fmt.Errorf("count %s: %w", step.NS, err)
		}
		if count > removed[step.NS] {
			j.t = append(j.t, *step.CollectionE)
			j.outcome.LeftAlone = append(j.outcome.LeftAlone, LeftAlone{NS: step.NS, Reason: "it holds documents that were written since the job"})
		}
	}
	sortByName(j.t)
	return nil
}
