package guard

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"pitr"
	"pitr/internal/failpoint"
)

// Lookout is asked before every write whether somebody else has written; its error stops the job.
type Lookout interface {
	Check(ctx context.Context) error
}

// Execution performs a plan on a live cluster.
type Execution struct {
	Target  Target
	Lookout Lookout
	Plan    Plan
	Changes Changes
	// Done names the last phase that an earlier attempt is known to have finished; empty for none.
	Done PhaseName
	// Record hears of each phase that is finished, before the next one begins; an error stops the job.
	Record func(context.Context, PhaseName) error
	// Expired says whether a document that is gone was removed by the server's own expiry; its write then expects none. Nil:
	// never.
	Expired func(pitr.DocumentWrite) bool
	// Workers is the number of transactions at a time, 2 when zero.
	Workers  int
	Progress pitr.Progress
}

// Run performs the phases in order. It can be run again after any interruption: what is done already is recognised by the
// state of documents and catalog. The first difference, stray or failure stops it before the next write.
func (x Execution) Run(ctx context.Context) error {
	if x.Workers <= 0 {
		x.Workers = 2
	}
	if x.Progress == nil {
		x.Progress = pitr.Silent
	}
	for _, phase := range x.remaining() {
		if err := x.runPhase(ctx, phase); err != nil {
			return fmt.Errorf("in the phase %q: %w", phase.Name, err)
		}
		if x.Record == nil {
			continue
		}
		if err := x.Record(ctx, phase.Name); err != nil {
			return fmt.Errorf("record the phase %q: %w", phase.Name, err)
		}
	}
	return nil
}

// remaining leaves out the phases that are done.
func (x Execution) remaining() []Phase {
	for i, phase := range x.Plan.Phases {
		if phase.Name == x.Done {
			return x.Plan.Phases[i+1:]
		}
	}
	return x.Plan.Phases
}

func (x Execution) runPhase(ctx context.Context, phase Phase) error {
	part := string(phase.Name)
	x.Progress.Start(part, phase.amount())
	defer x.Progress.Finish(part)
	for _, step := range phase.Catalog {
		if err := x.Lookout.Check(ctx); err != nil {
			return err
		}
		if err := x.apply(ctx, step); err != nil {
			return err
		}
		failpoint.Hit("guard.between-catalog-steps")
	}
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(x.Workers)
	for _, batch := range phase.Batches {
		if working.Err() != nil {
			break
		}
		group.Go(func() error { return x.transact(working, part, batch) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// amount counts the documents of a phase; bytes are not known without reading the changes.
func (p Phase) amount() pitr.Amount {
	var total pitr.Amount
	for _, batch := range p.Batches {
		total.Count += int64(len(batch))
	}
	return total
}

func (x Execution) transact(ctx context.Context, part string, batch Batch) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	writes, err := batch.Writes(x.Changes)
	if err != nil {
		return err
	}
	if err := x.Lookout.Check(ctx); err != nil {
		return err
	}
	for {
		_, err := x.Target.Transact(ctx, writes)
		if err == nil {
			break
		}
		if !x.forgiveExpiry(writes, err) {
			return fmt.Errorf("write %d documents: %w", len(writes), err)
		}
	}
	failpoint.Hit("guard.between-transactions")
	var done pitr.Amount
	for _, write := range writes {
		done.Count++
		done.Bytes += int64(len(write.Result))
	}
	x.Progress.Advance(part, done)
	return nil
}

// forgiveExpiry lets the write whose document has expired expect none, and reports whether there was one.
func (x Execution) forgiveExpiry(writes []pitr.DocumentWrite, err error) bool {
	var difference *pitr.Difference
	if x.Expired == nil || !errors.As(err, &difference) || difference.Live != nil {
		return false
	}
	for i, write := range writes {
		if write.NS == difference.Write.NS && write.Key.Equal() == difference.Write.Key.Equal() && write.Expect != nil && x.Expired(write) {
			writes[i].Expect = nil
			return true
		}
	}
	return false
}

// apply performs one catalog step unless it is done already.
func (x Execution) apply(ctx context.Context, step pitr.CatalogWrite) error {
	live, err := x.Target.Catalog(ctx, affected(step))
	if err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	step, err = judge(live, step)
	if err != nil || step == nil {
		return err
	}
	defer x.watchMeanwhile(ctx)()
	defer failpoint.During("guard.during-catalog-step")()
	if _, err := x.Target.Apply(ctx, step); err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	return nil
}

// watchMeanwhile keeps the lookout reading during a step that can take hours, so that the oplog does not roll over what it
// has not seen. What it finds, it remembers.
func (x Execution) watchMeanwhile(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(lookEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				_ = x.Lookout.Check(ctx) // the check before the next write returns it again
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// lookEvery is how often strays are looked for while a single step takes its time.
const lookEvery = 10 * time.Second

// affected gives the names that a step reads or writes.
func affected(step pitr.CatalogWrite) pitr.Scope {
	names := []string{step.Target().KnownAs().String()}
	if rename, ok := step.(pitr.RenameCollection); ok {
		names = append(names, rename.To.KnownAs().String())
	}
	return pitr.Scope{Only: names}
}
