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
	"pitr/internal/failpoint"
)

const (
	// lookBatch and lookBytes bound one look-up of live documents.
	lookBatch = 1000
	lookBytes = 8 << 20
	// grown is how much larger than the intent a change set may be without a new question, in percent.
	grown = 20
)

// establishChanges makes the change set exist: computed once, compared with the live documents, ordered, published and read
// back. A resumed job takes the published one as it stands.
func (j *job) establishChanges(ctx context.Context) error {
	if j.plan.Phases != nil || j.ledger != nil {
		return nil
	}
	if err := j.loadCatalogs(ctx); err != nil {
		return err
	}
	var err error
	if j.changes, err = NewSpool(j.WorkFolder); err != nil {
		return err
	}
	j.touched = map[pitr.Namespace]bool{}
	switch {
	case j.published != nil:
		err = j.loadChanges(ctx)
	case j.undone != nil:
		err = j.reverseChanges(ctx)
	default:
		err = j.computeChanges(ctx)
	}
	if err != nil {
		return err
	}
	if err := j.changes.Flush(); err != nil {
		return err
	}
	if err := j.order(); err != nil {
		return err
	}
	if j.published != nil {
		return nil
	}
	failpoint.Hit("restore.before-change-set")
	if err := j.publish(ctx, guard.Steps(j.e, j.t)); err != nil {
		return fmt.Errorf("publish the change set: %w", err)
	}
	failpoint.Hit("restore.after-change-set")
	return nil
}

// loadCatalogs folds the catalogs of both moments, and compares that of F with the live one.
func (j *job) loadCatalogs(ctx context.Context) error {
	if j.undone != nil {
		return j.reverseCatalogs(ctx)
	}
	var err error
	if j.gap, err = j.Past.Gap(ctx, pitr.Window{After: j.intent.To, Through: j.f.TS}, j.intent.Scope); err != nil {
		return fmt.Errorf("fold the gap: %w", err)
	}
	j.t, j.e = j.gap.T, j.gap.E
	if err := sameStory(j.gap); err != nil {
		return err
	}
	if j.published != nil {
		return nil // the live one is on its way to that of T
	}
	live, err := j.Target.Catalog(ctx, j.intent.Scope)
	if err != nil {
		return fmt.Errorf("list the collections: %w", err)
	}
	differences, err := guard.Differences(live, j.e)
	if err != nil {
		return err
	}
	same := len(differences) == 0 && slices.EqualFunc(live, j.e, func(a, b pitr.Collection) bool { return a.NS == b.NS && a.UUID == b.UUID })
	if !same {
		return pitr.Corruptf("compare the live catalog with the archive", "they differ at F: %v", differences)
	}
	return j.refuseAgain(ctx, live)
}

// sameStory compares what the fold says about the identities of collections with what the planner makes of both catalogs.
// Where they differ, the touched documents would not be those that the catalog writes need: names that were traded among
// collections, or a rename across the border of the scope.
func sameStory(gap Gap) error {
	structure := func(steps []pitr.CatalogStep) map[pitr.Namespace]pitr.Step {
		kinds := map[pitr.Namespace]pitr.Step{}
		for _, step := range steps {
			switch step.Step {
			case pitr.StepCreated, pitr.StepDropped, pitr.StepRecreated, pitr.StepRenamed:
				kinds[step.NS] = step.Step
			}
		}
		return kinds
	}
	folded, planned := structure(gap.Steps), structure(guard.Steps(gap.E, gap.T))
	for _, pair := range [][2]map[pitr.Namespace]pitr.Step{{folded, planned}, {planned, folded}} {
		for ns, step := range pair[0] {
			if pair[1][ns] != step {
				return pitr.Refusef("compare the catalogs", "give the collections their old names by hand first, or choose a scope that holds both names",
					"the names of collections were traded, or moved over the border of the scope, at %s", ns)
			}
		}
	}
	return nil
}

// order makes the plan and what recognises its entries; it refuses before anything is published.
func (j *job) order() error {
	var err error
	j.plan, err = guard.PlanTo(guard.Task{Changes: j.changes, E: j.e, T: j.t, Blocked: j.intent.Detail.Way == guard.WayBlock, Limits: j.Limits})
	if err == nil {
		j.ledger = j.plan.Ledger()
	}
	return err
}

// computeChanges asks the archive what the gap touched, and compares each document with the live one.
func (j *job) computeChanges(ctx context.Context) error {
	comparer := comparer{job: j, names: liveNames(j.e, j.t)}
	for change, err := range j.gap.Changes {
		if err != nil {
			return fmt.Errorf("fold what the gap touched: %w", err)
		}
		if err := comparer.add(ctx, change); err != nil {
			return err
		}
		if err := j.appendChange(change); err != nil {
			return err
		}
	}
	if err := comparer.flush(ctx); err != nil {
		return err
	}
	return j.askAgain(ctx)
}

func (j *job) appendChange(change pitr.Change) error {
	j.touched[change.NS] = true
	return j.changes.Append(change)
}

// liveNames gives the names at E of the collections that have another one at T.
func liveNames(e, t []pitr.Collection) map[pitr.Namespace]pitr.Namespace {
	names := map[pitr.Namespace]pitr.Namespace{}
	for _, step := range guard.Steps(e, t) {
		if step.Step == pitr.StepRenamed {
			names[step.CollectionT.NS] = step.CollectionE.NS
		}
	}
	return names
}

// askAgain has a person agree when the damage has grown since the intent.
func (j *job) askAgain(ctx context.Context) error {
	question := Question{Intended: total(j.intent.Touched), Found: int64(j.changes.Len())}
	if question.Found*100 <= question.Intended*(100+grown) {
		return nil
	}
	if j.Ask != nil {
		agreed, err := j.Ask(ctx, question)
		if err != nil || agreed {
			return err
		}
	}
	return pitr.Refusef("compare the change set with the intent", "run the restore again: it shows what there is to do now",
		"%d documents are touched, the intent that was confirmed said %d", question.Found, question.Intended)
}

// comparer holds live documents against folded ones, many at a time. One difference ends the job before any write: the
// archive is wrong, or somebody wrote after F.
type comparer struct {
	job   *job
	names map[pitr.Namespace]pitr.Namespace
	ns    pitr.Namespace
	batch []pitr.Change
	bytes int
}

func (c *comparer) add(ctx context.Context, change pitr.Change) error {
	if change.NS != c.ns || len(c.batch) >= lookBatch || c.bytes >= lookBytes {
		if err := c.flush(ctx); err != nil {
			return err
		}
	}
	// The stream's bytes are valid until its next element only.
	change.E = bytes.Clone(change.E)
	id := change.Key.Stored()
	key, err := pitr.NewKey(bson.RawValue{Type: id.Type, Value: bytes.Clone(id.Value)})
	if err != nil {
		return err
	}
	change.Key, change.T = key, nil
	c.ns = change.NS
	c.batch = append(c.batch, change)
	c.bytes += len(change.E)
	return nil
}

func (c *comparer) flush(ctx context.Context) error {
	if len(c.batch) == 0 {
		return nil
	}
	ns := c.ns
	if live, renamed := c.names[ns]; renamed {
		ns = live
	}
	live, err := LookUp(ctx, c.job.Target, ns, c.batch)
	if err != nil {
		return err
	}
	for _, change := range c.batch {
		if !bytes.Equal(live[change.Key.Equal()], change.E) {
			return pitr.Corruptf("compare live documents with the archive",
				"%s of %s is not live what the archive says that it was at F", change.Key, ns)
		}
	}
	c.batch, c.bytes = c.batch[:0], 0
	return nil
}

// LookUp finds the live documents of changes, by the equality form of their keys.
func LookUp(ctx context.Context, target guard.Reader, ns pitr.Namespace, changes []pitr.Change) (map[string]bson.Raw, error) {
	ids := make([]bson.RawValue, 0, len(changes))
	for _, change := range changes {
		ids = append(ids, change.Key.Stored())
	}
	documents, err := target.Lookup(ctx, ns, ids)
	if err != nil {
		return nil, fmt.Errorf("look up documents of %s: %w", ns, err)
	}
	found := make(map[string]bson.Raw, len(documents))
	for _, document := range documents {
		key, err := pitr.KeyOf(document)
		if err != nil {
			return nil, fmt.Errorf("look up documents of %s: %w", ns, err)
		}
		found[key.Equal()] = document
	}
	return found, nil
}

// publish stores the change set of this job.
func (j *job) publish(ctx context.Context, steps []pitr.CatalogStep) error {
	set, err := Publish(ctx, j.Repository, format.Changes{Job: j.intent.ID, Created: j.Now().UTC(), Scope: j.intent.Scope,
		Gap: pitr.Window{After: j.intent.To, Through: j.f.TS}}, Content{Steps: steps, Changes: j.changes})
	if err == nil {
		j.published = &set
	}
	return err
}

// Content is what a change set is made of.
type Content struct {
	Steps   []pitr.CatalogStep
	Changes *Spool
}

// Publish stores a change set, catalog steps first, and reads it back; the list of its parts comes last. It gives the set
// as it was published, with its counts and parts.
func Publish(ctx context.Context, repository *catalog.Repository, set format.Changes, content Content) (format.Changes, error) {
	writer, err := repository.NewChangeWriter(set)
	if err != nil {
		return set, err
	}
	for _, step := range content.Steps {
		if err := writer.Step(ctx, step); err != nil {
			return set, err
		}
	}
	for i := range content.Changes.Len() {
		change, err := content.Changes.At(i)
		if err != nil {
			return set, err
		}
		change.N = int64(len(content.Steps) + i + 1)
		if err := writer.Change(ctx, change); err != nil {
			return set, err
		}
	}
	return writer.Publish(ctx)
}

// loadChanges takes the published change set.
func (j *job) loadChanges(ctx context.Context) error {
	j.recallLeft()
	for document, err := range j.Repository.ChangeDocuments(ctx, *j.published) {
		if err != nil {
			return fmt.Errorf("read the change set: %w", err)
		}
		if format.IsCatalogStep(document) {
			continue
		}
		change, err := format.DecodeChange(document)
		if err != nil {
			return err
		}
		if err := j.appendChange(change); err != nil {
			return err
		}
	}
	return nil
}
