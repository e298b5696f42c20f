package restore

import (
	"context"
	"fmt"

	"pitr"
	"pitr/format"
)

// Start is what another package says of a job that it runs itself: one that writes to the same cluster, guarded, on the
// word of a person, and that an undo of this package reverses.
type Start struct {
	Kind format.JobKind
	// Job is the job that the new one works on.
	Job   format.ID
	To    pitr.Timestamp
	Scope pitr.Scope
	// Touched counts what the job will write.
	Touched map[pitr.Class]int64
}

// Begin makes the intent of such a job: which cluster this is, how far the archive reaches now, what stands in the way. It
// writes nothing to the cluster.
func Begin(ctx context.Context, deps Deps, start Start) (Intent, error) {
	deps = deps.WithDefaults()
	p := planner{deps: deps, request: Request{To: start.To, Scope: start.Scope}}
	if err := p.meetCluster(ctx); err != nil {
		return Intent{}, err
	}
	p.intent.Kind, p.intent.Job, p.intent.Touched = start.Kind, start.Job, start.Touched
	if err := p.catchUp(ctx); err != nil {
		return Intent{}, err
	}
	live, err := deps.Target.Catalog(ctx, start.Scope)
	if err != nil {
		return Intent{}, fmt.Errorf("list the collections: %w", err)
	}
	p.intent.Detail.Catalog = digestOf(live)
	return p.intent, p.describe(ctx)
}
