package lostset

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/diff"
	"pitr/format"
	"pitr/internal/failpoint"
)

// making is one run.
type making struct {
	Deps
	request Request
	started time.Time
	changes format.Changes
	outcome Outcome
}

// refuse looks for what would make the lost set one of nothing: a job that is changing the cluster while it is read.
func (m *making) refuse(ctx context.Context) error {
	if !m.request.A.Live && !m.request.B.Live {
		return nil
	}
	writing, err := m.Repository.ShowLease(ctx, catalog.LeaseWrite)
	if err != nil {
		return err
	}
	if writing.Held() {
		return pitr.Errorf(pitr.KindLocked, op, "wait for the job to end: `pitr jobs` shows it",
			"%s is changing the cluster: the lost set would be that of a state in between", writing.Owner())
	}
	return nil
}

// gap gives the window between the two states. Where B is earlier than A on the same branch of the archive it is (B, A].
// Otherwise there is no history between them that pitr knows, and the window is empty, at the moment of A.
func (m *making) gap() pitr.Window {
	a, b := m.request.A, m.request.B
	if !a.Live && !b.Live && a.Branch != "" && a.Branch == b.Branch && b.At != 0 && b.At < a.At {
		return pitr.Window{After: b.At, Through: a.At}
	}
	return pitr.Window{After: a.At, Through: a.At}
}

func (m *making) publishIntent(ctx context.Context) error {
	id, err := m.Repository.NewID()
	if err != nil {
		return err
	}
	timeline, err := m.Repository.Timeline(ctx)
	if err != nil {
		return err
	}
	detail, err := bson.Marshal(Detail{A: m.request.A.Name, B: m.request.B.Name})
	if err != nil {
		return err
	}
	m.outcome.Job = id
	_, err = m.Repository.PutObject(ctx, &format.Intent{ID: id, Kind: format.JobCompare, Created: m.started, Operator: m.Operator,
		Pitr: m.Version, Cluster: m.request.Cluster, Branch: timeline.Tip(), To: m.request.B.At, Asked: m.request.B.Name,
		Through: m.request.A.At, Scope: m.request.Scope, Detail: detail})
	return err
}

// compare stores what differs while it is found.
func (m *making) compare(ctx context.Context) error {
	writer, err := m.Repository.NewChangeWriter(format.Changes{Job: m.outcome.Job, Gap: m.gap(), Scope: m.request.Scope})
	if err != nil {
		return err
	}
	options := m.request.Compare
	options.Scope, options.Tally, options.Progress = m.request.Scope, &m.outcome.Tally, m.Progress
	if options.After, err = m.compareCatalogs(ctx, writer, options); err != nil {
		return err
	}
	for change, err := range diff.Compare(ctx, m.request.A.Side, m.request.B.Side, options) {
		if err != nil {
			return err
		}
		m.outcome.Summary.Add(change)
		if err := writer.Change(ctx, change); err != nil {
			return fmt.Errorf("store what differs: %w", err)
		}
	}
	for _, state := range []State{m.request.A, m.request.B} {
		if state.Moved != nil {
			m.outcome.Moved = append(m.outcome.Moved, state.Moved()...)
		}
	}
	failpoint.Hit("lostset.before-changes")
	m.changes, err = writer.Publish(ctx)
	return err
}

// compareCatalogs stores the catalog steps and gives their number.
func (m *making) compareCatalogs(ctx context.Context, writer *catalog.ChangeWriter, options diff.Options) (int64, error) {
	a, err := m.request.A.Collections(ctx)
	if err != nil {
		return 0, err
	}
	b, err := m.request.B.Collections(ctx)
	if err != nil {
		return 0, err
	}
	steps := diff.Steps(diff.PairCollections(a, b, m.request.Scope), options)
	for _, step := range steps {
		m.outcome.Summary.AddStep(step)
		if err := writer.Step(ctx, step); err != nil {
			return 0, fmt.Errorf("store what differs in the catalogs: %w", err)
		}
	}
	return int64(len(steps)), nil
}

// publishResult says how the job ended; failure is why it did not end well.
func (m *making) publishResult(ctx context.Context, failure error) error {
	detail := Detail{A: m.request.A.Name, B: m.request.B.Name, Again: m.outcome.Tally.Again}
	for _, ns := range m.outcome.Moved {
		detail.Moved = append(detail.Moved, ns.String())
	}
	content, err := bson.Marshal(detail)
	if err != nil {
		return errors.Join(failure, err)
	}
	// Every part of the change set was read back when it was stored.
	result := format.Result{Job: m.outcome.Job, Attempt: 1, Started: m.started, Finished: m.Repository.Now().UTC(),
		Outcome: "done", Verified: failure == nil, Detail: content}
	if failure != nil {
		result.Outcome, result.Message = "unexpected", failure.Error()
		if kind := pitr.KindOf(failure); kind != pitr.KindUnexpected {
			result.Outcome = string(kind)
		}
	}
	_, err = m.Repository.PutObject(ctx, &result)
	if failure != nil {
		return failure
	}
	if err != nil {
		return fmt.Errorf("publish the result: %w", err)
	}
	return nil
}
