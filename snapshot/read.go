package snapshot

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"

	"pitr"
)

// maxReopen is how often a scan may break off without a single document in between before the run gives up.
const maxReopen = 5

// read copies all collections, the largest first, several at once. It returns when every chunk and key partition is
// confirmed.
func (t *taking) read(ctx context.Context) error {
	queue := make(chan *collection, len(t.collections))
	for _, c := range slices.SortedFunc(slices.Values(t.collections), func(a, b *collection) int {
		return cmp.Or(cmp.Compare(b.estimate.Bytes, a.estimate.Bytes), cmp.Compare(a.Number, b.Number))
	}) {
		if holdsDocuments(c.Collection) {
			queue <- c
		}
	}
	close(queue)
	// Readers and uploads are one group: the first failure of any ends all.
	group, ctx := errgroup.WithContext(ctx)
	uploads := &uploader{taking: t, group: group, places: make(chan struct{}, t.Uploads)}
	for range t.Workers {
		group.Go(func() error { return t.readQueue(ctx, queue, uploads) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	t.Progress.Finish(partAll)
	return nil
}

func (t *taking) readQueue(ctx context.Context, queue <-chan *collection, uploads *uploader) error {
	packer, err := newPacker(t, uploads)
	if err != nil {
		return err
	}
	defer packer.spool.reset()
	for c := range queue {
		if err := packer.copy(ctx, c); err != nil {
			return err
		}
	}
	return packer.seal(ctx)
}

// copy reads one collection to its end and builds its key index.
func (p *packer) copy(ctx context.Context, c *collection) error {
	t := p.taking
	t.Progress.Start(c.name(), c.estimate)
	defer t.Progress.Finish(c.name())
	p.spool.reset()
	reading := reading{taking: t, rng: pitr.Range{Collection: c.Collection, At: t.sharedMoment(), After: t.from}}
	for {
		before := c.Stored.Documents
		err := p.scan(ctx, c, &reading)
		if err == nil {
			break
		}
		if c.Stored.Documents > before {
			reading.reopened = 0
		}
		if reading.reopened++; reading.reopened > maxReopen {
			return pitr.Errorf(pitr.KindUnavailable, "copy "+c.name(), "take the snapshot again when the server is quieter",
				"the scan broke off %d times in a row: %w", maxReopen, err)
		}
		goOn, err := reading.recover(ctx, err)
		if err != nil {
			return err
		}
		if !goOn {
			break
		}
	}
	return p.finishKeys(ctx, c)
}

// scan hands the batches of one scan to the packer.
func (p *packer) scan(ctx context.Context, c *collection, r *reading) error {
	for batch, err := range p.taking.source.Scan(ctx, r.rng) {
		if err != nil {
			return err
		}
		count, size := c.Stored.Documents, c.Stored.Bytes
		for document, err := range batch.Documents() {
			if err != nil {
				return pitr.Errorf(pitr.KindUnexpected, "copy "+c.name(), "", "%w", err)
			}
			if err := p.add(ctx, c, r.rng.At, document); err != nil {
				return err
			}
		}
		done := pitr.Amount{Count: c.Stored.Documents - count, Bytes: c.Stored.Bytes - size}
		p.taking.Progress.Advance(c.name(), done)
		p.taking.Progress.Advance(partAll, done)
		r.passed(batch)
	}
	return ctx.Err()
}

// reading is where the scan of one collection stands.
type reading struct {
	taking *taking
	rng    pitr.Range
	// tokens are the places after each batch, the last one first to be tried when the scan breaks off. A token is of no use
	// once its record is deleted; then the one before is tried, and what lies between is read twice.
	tokens   []bson.Raw
	blind    bool // documents were read that no token covers
	reopened int
}

func (r *reading) passed(batch pitr.Batch) {
	if batch.Resume == nil {
		r.blind = r.blind || batch.Bytes() > 0
		return
	}
	r.rng.Resume = slices.Clone(batch.Resume)
	r.tokens = append(r.tokens, r.rng.Resume)
}

// recover decides how a scan that broke off goes on; false when the collection is gone and what was read of it is all.
func (r *reading) recover(ctx context.Context, err error) (bool, error) {
	t := r.taking
	t.Log.InfoContext(ctx, "the scan broke off", "collection", r.rng.Collection.NS.String(), "at", r.rng.At.String(), "error", err)
	switch {
	case ctx.Err() != nil:
		return false, stopped(ctx)
	case errors.Is(err, pitr.ErrCollectionGone):
		// Its drop entry lies before E and takes away what was read of it.
		t.setFuzzy()
		return false, nil
	case errors.Is(err, pitr.ErrMomentUnsupported), errors.Is(err, pitr.ErrMomentGone) && r.reopened >= maxReopen-1:
		t.setFuzzy()
		r.rng.At = 0
	case errors.Is(err, pitr.ErrMomentGone):
		t.setFuzzy()
		if r.rng.At, err = t.newMoment(ctx, r.rng.At); err != nil {
			return false, err
		}
	case errors.Is(err, pitr.ErrResumeGone):
		// What is read twice then lies in chunks without a moment: by that readers know that they must look for copies.
		r.stepBack()
		r.rng.At = 0
	case errors.Is(err, pitr.ErrCursorGone):
		if r.blind {
			return false, pitr.Errorf(pitr.KindUnavailable, "copy "+r.rng.Collection.NS.String(), "take the snapshot again",
				"this server cannot go on in the middle of a collection: %w", err)
		}
	default:
		return false, err
	}
	return true, nil
}

// stepBack forgets the newest token.
func (r *reading) stepBack() {
	r.taking.setFuzzy()
	if len(r.tokens) > 0 {
		r.tokens = r.tokens[:len(r.tokens)-1]
	}
	r.rng.Resume = nil
	if n := len(r.tokens); n > 0 {
		r.rng.Resume = r.tokens[n-1]
	}
}

func (t *taking) setFuzzy() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fuzzy = true
}

func (t *taking) sharedMoment() pitr.Timestamp {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.moment
}

// newMoment replaces a moment that the server cannot show any more, for all scans that begin from now on.
func (t *taking) newMoment(ctx context.Context, gone pitr.Timestamp) (pitr.Timestamp, error) {
	majority, err := t.source.MajorityOpTime(ctx)
	if err != nil {
		return 0, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.moment <= gone {
		t.moment = majority.TS
	}
	return t.moment, nil
}
