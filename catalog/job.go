package catalog

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/format"
	"pitr/storage"
)

// Job is what a repository has of a run that may write to a cluster.
type Job struct {
	ID format.ID
	// Intent is nil where it is damaged.
	Intent *format.Intent
	// Steps are in the order of attempts, then of numbers.
	Steps []format.StepRecord
	// Changes is nil until the change set exists, Result until the job has ended.
	Changes *format.Changes
	Result  *format.Result
	// Reviews are the imported decisions, in their order.
	Reviews []format.Name
	// Damaged are the job's objects that cannot be used.
	Damaged []Damaged
}

// outcomeDone is the outcome of a job that did what it was to do.
const outcomeDone = "done"

// Done reports whether the job has ended well.
func (j Job) Done() bool { return j.Result != nil && j.Result.Outcome == outcomeDone }

// Jobs gives all jobs, oldest first.
func (r *Repository) Jobs(ctx context.Context) ([]Job, error) {
	var jobs []Job
	for id, err := range r.owners(ctx, format.JobsPrefix) {
		if err != nil {
			return nil, err
		}
		job, err := r.Job(ctx, id)
		if pitr.KindOf(err) == pitr.KindNotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, job)
	}
	return jobs, nil
}

// Job gives one job; kind notfound when there is none of this id.
func (r *Repository) Job(ctx context.Context, id format.ID) (Job, error) {
	job := Job{ID: id}
	var steps []format.Name
	seen := false
	for found, err := range r.List(ctx, format.JobPrefix(id), "") {
		if err != nil {
			return Job{}, err
		}
		switch found.Name.Kind() {
		case format.KindIntent:
			job.Intent, err = readPart[format.Intent](ctx, r, &job, found.Name)
		case format.KindChanges:
			job.Changes, err = readPart[format.Changes](ctx, r, &job, found.Name)
		case format.KindResult:
			job.Result, err = readPart[format.Result](ctx, r, &job, found.Name)
		case format.KindReview:
			job.Reviews = append(job.Reviews, found.Name)
		case format.KindStep:
			steps = append(steps, found.Name)
		}
		if err != nil {
			return Job{}, err
		}
		seen = seen || found.Name.Kind() == format.KindIntent
	}
	// Without an intent there is no job: what lies there is what a crash left behind.
	if !seen && len(steps) == 0 {
		return Job{}, pitr.Errorf(pitr.KindNotFound, "", "see `pitr jobs`", "there is no job %s", id)
	}
	listing, err := readAll[format.StepRecord](ctx, r, steps)
	if err != nil {
		return Job{}, err
	}
	job.Steps = listing.Items
	job.Damaged = append(job.Damaged, listing.Damaged...)
	slices.SortFunc(job.Steps, func(a, b format.StepRecord) int {
		return cmp.Or(cmp.Compare(a.Attempt, b.Attempt), cmp.Compare(a.Number, b.Number))
	})
	return job, nil
}

// readPart reads an object of a job; a damaged one is noted, and nil.
func readPart[T any, P pointerTo[T]](ctx context.Context, r *Repository, job *Job, name format.Name) (*T, error) {
	object, err := ReadObject[T, P](ctx, r, name)
	switch {
	case err == nil:
		return &object, nil
	case isDamage(err):
		job.Damaged = append(job.Damaged, Damaged{Object: name, Err: err})
		return nil, nil
	case errors.Is(err, storage.ErrNotFound):
		return nil, nil
	}
	return nil, err
}

// ChangeDocuments gives the documents of a change set in their order: catalog steps first, then changes. Each object is
// read once and checked against the digest in changes.json.
func (r *Repository) ChangeDocuments(ctx context.Context, changes format.Changes) iter.Seq2[bson.Raw, error] {
	return r.documents(ctx, changes.Parts)
}

// Review reads imported decisions about the lost set of a job.
func (r *Repository) Review(ctx context.Context, name format.Name) (format.Review, error) {
	return ReadObject[format.Review](ctx, r, name)
}

// ReviewDecisions gives the decisions of a review in the order of their numbers, checked as change sets are.
func (r *Repository) ReviewDecisions(ctx context.Context, review format.Review) iter.Seq2[format.ReviewDecision, error] {
	return func(yield func(format.ReviewDecision, error) bool) {
		for document, err := range r.documents(ctx, review.Parts) {
			var decision format.ReviewDecision
			if err == nil {
				decision, err = format.DecodeReviewDecision(document)
			}
			if !yield(decision, err) || err != nil {
				return
			}
		}
	}
}

// documents reads containers one after the other.
func (r *Repository) documents(ctx context.Context, parts []format.Part) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		for _, part := range parts {
			container, err := r.Container(ctx, part)
			if err != nil {
				yield(nil, err)
				return
			}
			for document, err := range container.Documents(ctx) {
				if !yield(document, err) || err != nil {
					return
				}
			}
		}
	}
}

// interval gives what a job wrote, as far as it is known. A job that has a change set and has not ended may have written
// at any time since the newest moment it knew before that.
func (j Job) interval() (Interval, bool) {
	if j.Result != nil {
		i := Interval{Job: j.ID, First: j.Result.First.TS, Last: j.Result.Last.TS}
		return i, i.First != 0
	}
	i := Interval{Job: j.ID, Last: pitr.MaxTimestamp}
	switch {
	case j.Changes != nil:
		i.First = j.Changes.Gap.Through + 1
		for _, step := range j.Steps {
			if step.At.TS >= i.First && !step.Taken.After(j.Changes.Created) {
				i.First = step.At.TS + 1
			}
		}
	case len(j.Damaged) > 0:
		// Nobody can say what it did: it may have written since it was made.
		i.First = pitr.NewTimestamp(uint32(max(0, j.ID.Time().Unix())), 0) //nolint:gosec // an id's time has four digits of year
	default:
		return Interval{}, false // without a change set nothing was written
	}
	return i, true
}
