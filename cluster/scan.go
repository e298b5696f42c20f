package cluster

import (
	"context"
	"errors"
	"iter"
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

const (
	// hugeBatch lets the size of a message be the only bound of a reply, also of the first one.
	hugeBatch = math.MaxInt32
	// emptyArray is the size of an array without elements.
	emptyArray = 5
)

var (
	errNoTime = errors.New("it has no operationTime")
	// errStopped ends a loop whose caller wants no more.
	errStopped = errors.New("no more is wanted")
)

// opening is a command that opens a cursor, and the fields of each getMore on it.
type opening struct {
	order
	more bson.D
}

// fetched is one batch, or the reason why there are no more.
type fetched struct {
	batch pitr.Batch
	err   error
}

// ahead is a cursor that is read by a goroutine of its own, one batch ahead of the caller.
type ahead struct {
	replies chan fetched
	cancel  context.CancelFunc
	ended   chan struct{}
}

// stop ends the goroutine and waits until the cursor is released.
func (a *ahead) stop() {
	a.cancel()
	<-a.ended
}

// documents yields the documents of all batches, for small and moderate answers.
func (a *ahead) documents() iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		for got := range a.replies {
			if got.err != nil {
				yield(nil, got.err)
				return
			}
			for document, err := range got.batch.Documents() {
				if !yield(document, err) || err != nil {
					return
				}
			}
		}
	}
}

// prefetch opens a cursor and reads it: while the caller works on one batch, the next is on its way. The channel is
// closed at the end of the cursor; an error, still the driver's, comes as the last element.
func (l *link) prefetch(ctx context.Context, o opening) *ahead {
	ctx, cancel := context.WithCancel(ctx)
	a := &ahead{replies: make(chan fetched), cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(a.ended)
		defer close(a.replies)
		give := func(f fetched) bool {
			select {
			case a.replies <- f:
				return f.err == nil
			case <-ctx.Done():
				return false
			}
		}
		cur, batch, err := l.open(ctx, o.order)
		if err != nil {
			give(fetched{err: err})
			return
		}
		defer func() { cur.close(ctx) }()
		for give(fetched{batch: batch}) && !cur.done() {
			if batch, err = cur.more(ctx, o.op, o.more...); err != nil {
				give(fetched{err: err})
				return
			}
		}
	}()
	return a
}

// Scan reads a range in natural order and yields the server's batches. A lost connection, or a member that steps down or
// restarts, is bridged within Options.Budget as long as nothing is doubled by it: the scan goes on behind the last batch
// at the same moment. Everything else ends it with one of the conditions of package pitr; the caller goes on with the
// Resume of the last batch, or anew.
func (c *Client) Scan(ctx context.Context, r pitr.Range) iter.Seq2[pitr.Batch, error] {
	op := "scan " + r.Collection.NS.String()
	return func(yield func(pitr.Batch, error) bool) {
		if r.At != 0 || r.After != 0 {
			if err := c.needOplog(op); err != nil {
				yield(pitr.Batch{}, err)
				return
			}
		}
		if r.At != 0 && !c.version.atLeast(5, 0) {
			yield(pitr.Batch{}, pitr.Errorf(pitr.KindUnsupported, op, "read it without a moment",
				"version %s cannot read as of a moment outside of transactions: %w", c.server.Version, pitr.ErrMomentUnsupported))
			return
		}
		scan := scanning{client: c, rng: r}
		for {
			err := scan.serve(ctx, yield)
			if err == nil || errors.Is(err, errStopped) {
				return
			}
			if ctx.Err() == nil && isPassing(err) && !scan.tokenless && scan.patience.pause(ctx, c.options) {
				c.options.Log.Debug("go on", "op", op, "error", c.reads.secrets.mask(err.Error()))
				continue
			}
			yield(pitr.Batch{}, c.scanFailed(ctx, op, scan, err))
			return
		}
	}
}

// scanning is a scan that may need several cursors.
type scanning struct {
	client   *Client
	rng      pitr.Range
	patience patience
	// tokenless: documents were handed over without a token, so that another cursor would read them again.
	tokenless bool
}

// serve reads one cursor to its end and moves the range behind each batch that was handed over.
func (s *scanning) serve(ctx context.Context, yield func(pitr.Batch, error) bool) error {
	c := s.client
	ahead := c.reads.prefetch(ctx, opening{order: order{op: "scan", db: s.rng.Collection.NS.DB, command: c.findCommand(s.rng)}})
	defer ahead.stop()
	for got := range ahead.replies {
		if got.err != nil {
			return got.err
		}
		s.patience.over()
		s.tokenless = got.batch.Resume == nil && (s.tokenless || got.batch.Bytes() > emptyArray)
		if !yield(got.batch, nil) {
			return errStopped
		}
		s.rng.Resume = got.batch.Resume
		sleep(ctx, c.scanned.wait(c.options.Now(), int64(got.batch.Bytes()), c.options.BytesPerSecond))
	}
	return ctx.Err()
}

// findCommand builds the natural scan of a range. Resume tokens are asked for where the server is known to have them.
func (c *Client) findCommand(r pitr.Range) bson.D {
	command := bson.D{{Key: "find", Value: c.collectionKey(r.Collection)}, {Key: "batchSize", Value: hugeBatch},
		{Key: "hint", Value: bson.D{{Key: "$natural", Value: 1}}}}
	if c.hasResume() {
		command = append(command, bson.E{Key: "$_requestResumeToken", Value: true})
		if r.Resume != nil {
			command = append(command, bson.E{Key: "$_resumeAfter", Value: r.Resume})
		}
	}
	if concern := c.readConcern(r); concern != nil {
		command = append(command, bson.E{Key: "readConcern", Value: concern})
	}
	return command
}

// hasResume reports whether natural scans give tokens: replica sets since 4.4.
func (c *Client) hasResume() bool { return c.server.Ability == pitr.AbilityFull }

// readConcern gives the concern of a range: a moment, the majority state, or nothing where neither exists.
func (c *Client) readConcern(r pitr.Range) bson.D {
	switch {
	case r.At != 0:
		return bson.D{{Key: "level", Value: "snapshot"}, {Key: "atClusterTime", Value: r.At.BSON()}}
	case c.server.Ability != pitr.AbilityFull:
		return nil
	case r.After != 0:
		return bson.D{{Key: "level", Value: "majority"}, {Key: "afterClusterTime", Value: r.After.BSON()}}
	}
	return bson.D{{Key: "level", Value: "majority"}}
}

// collectionKey names a collection to the server: by UUID where it has one. Servers that only look like MongoDB list UUIDs
// and do not find by them.
func (c *Client) collectionKey(collection pitr.Collection) any {
	if collection.UUID.IsZero() || c.server.Ability != pitr.AbilityFull {
		return collection.NS.Collection
	}
	return collection.UUID.Binary()
}

// scanFailed makes the error that ends a scan; what only a read as of a moment can meet is told as such.
func (c *Client) scanFailed(ctx context.Context, op string, s scanning, err error) error {
	failure := c.reads.failed(ctx, op, err)
	if s.tokenless && isPassing(err) {
		return pitr.Errorf(pitr.KindUnavailable, op, pitr.HintOf(failure), "%w: %w", pitr.ErrCursorGone, failure)
	}
	if s.rng.At != 0 {
		switch codeOf(failure) {
		case codeInvalidOptions, codeNotSupported, codeNotImplemented:
			return pitr.Errorf(pitr.KindUnsupported, op, "read it without a moment", "%w: %w", pitr.ErrMomentUnsupported, failure)
		}
	}
	return failure
}
