// Package lostset makes a job of the comparison of two states, for a restore that was done with another tool: what the
// damaged state A had and the restored state B has not is then a lost set like that of pitr's own restores, and can be
// reported, reviewed and put back.
//
//  1. Publish the intent, so that whoever lists jobs sees that it began.
//  2. List what differs in the catalogs, compare the documents, and store what differs while it is found. A is the E side,
//     B the T side of the change set.
//  3. Publish the list of the parts: from here on the lost set exists.
//  4. Publish the result.
//
// Nothing is read from a cluster but by the sides, and nothing is written to one. A run that ends before step 3 leaves a job
// without a change set, which nothing takes for a lost set; the next run is another job.
package lostset

import (
	"cmp"
	"context"
	"fmt"

	"pitr"
	"pitr/catalog"
	"pitr/diff"
	"pitr/format"
	"pitr/internal/failpoint"
)

// Deps are what the job works with; all but Progress are required.
type Deps struct {
	Repository        *catalog.Repository
	Operator, Version string
	Progress          pitr.Progress
}

// State is one of the two states, in the words of whoever asked for it.
type State struct {
	diff.Side
	// Name says what it is: "live", a snapshot, a moment.
	Name string
	// At is the cluster time that it shows, zero where it shows none.
	At pitr.Timestamp
	// Branch is the history that it belongs to, empty where that is not known.
	Branch format.ID
	// Live says that it is a cluster as it is now.
	Live bool
	// Moved lists, after the comparison, the collections for which its one moment was lost; nil where it cannot move.
	Moved func() []pitr.Namespace
}

// Request is what a person asks for.
type Request struct {
	// A is the damaged state, B what the cluster was brought back to.
	A, B  State
	Scope pitr.Scope
	// Cluster is the one that the lost set is about.
	Cluster format.Cluster
	// Compare are the choices of the comparison; scope, tally and progress are filled in.
	Compare diff.Options
}

// Outcome is what came of it.
type Outcome struct {
	Job     format.ID
	Summary diff.Summary
	Tally   diff.Tally
	Moved   []pitr.Namespace
}

// Detail is what intent and result of the job remember beside what every job has.
type Detail struct {
	A string `bson:"a"`
	B string `bson:"b"`
	// Moved are the collections whose documents were compared again by their newest state; Again counts those documents.
	Moved []string `bson:"moved,omitempty"`
	Again int64    `bson:"again,omitempty"`
}

const op = "make a lost set"

// Make compares the two states and publishes the lost set.
func Make(ctx context.Context, deps Deps, request Request) (Outcome, error) {
	deps.Progress = cmp.Or(deps.Progress, pitr.Silent)
	m := making{Deps: deps, request: request, started: deps.Repository.Now().UTC()}
	if err := m.refuse(ctx); err != nil {
		return m.outcome, err
	}
	if err := m.publishIntent(ctx); err != nil {
		return m.outcome, fmt.Errorf("publish the intent: %w", err)
	}
	failpoint.Hit("lostset.after-intent")
	err := m.compare(ctx)
	if err := m.publishResult(context.WithoutCancel(ctx), err); err != nil {
		return m.outcome, err
	}
	return m.outcome, nil
}
