package cluster

import (
	"context"
	"errors"
	"iter"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

const (
	oplogDB         = "local"
	oplogCollection = "oplog.rs"
)

// MajorityOpTime gives the newest optime that the chosen member knows to be committed by a majority: no entry at or
// below it can be rolled back.
func (c *Client) MajorityOpTime(ctx context.Context) (pitr.OpTime, error) {
	const op = "read the majority point"
	if err := c.needOplog(op); err != nil {
		return pitr.OpTime{}, err
	}
	reply, err := c.reads.read(ctx, order{op: op, db: "admin", command: bson.D{{Key: "hello", Value: 1}}})
	if err != nil {
		return pitr.OpTime{}, err
	}
	var hello greeting
	if err := bson.Unmarshal(reply, &hello); err != nil {
		return pitr.OpTime{}, wrongReply(op, reply, err)
	}
	if hello.LastWrite.MajorityOpTime.TS.T == 0 {
		return pitr.OpTime{}, pitr.Errorf(pitr.KindUnavailable, op, hintFor(pitr.KindUnavailable, 0),
			"%s knows no majority point at present", c.server.Member)
	}
	return hello.LastWrite.MajorityOpTime.plain(), nil
}

// OplogBounds gives the optimes of the oldest and the newest entry of the chosen member's oplog. The newest is an upper
// bound to wait for, no proof that everything below can be read already.
func (c *Client) OplogBounds(ctx context.Context) (oldest, newest pitr.OpTime, err error) {
	const op = "read the bounds of the oplog"
	if err := c.needOplog(op); err != nil {
		return oldest, newest, err
	}
	if newest, err = c.boundOfOplog(ctx, op, -1); err != nil {
		return oldest, newest, err
	}
	oldest, err = c.boundOfOplog(ctx, op, 1)
	return oldest, newest, err
}

func (c *Client) boundOfOplog(ctx context.Context, op string, direction int) (pitr.OpTime, error) {
	entry, err := c.reads.oplogEnd(ctx, op, direction)
	if err != nil {
		return pitr.OpTime{}, err
	}
	if entry == nil {
		return pitr.OpTime{}, pitr.Errorf(pitr.KindUnavailable, op,
			"the member may be in its initial sync: choose another one", "the oplog of %s is empty", c.server.Member)
	}
	at := opTime{Term: -1} // entries older than the first election have no term
	if err := bson.Unmarshal(entry, &at); err != nil {
		return pitr.OpTime{}, wrongReply(op, entry, err)
	}
	return at.plain(), nil
}

// oplogEnd gives the first entry of the oplog in a direction, nil when there is none.
func (l *link) oplogEnd(ctx context.Context, op string, direction int) (bson.Raw, error) {
	entries, err := l.all(ctx, order{op: op, db: oplogDB, command: bson.D{{Key: "find", Value: oplogCollection},
		{Key: "sort", Value: bson.D{{Key: "$natural", Value: direction}}}, {Key: "limit", Value: 1}}})
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	return entries[0], nil
}

// OldestOpenTransaction gives the optime of the first entry of the oldest transaction that is open at the given moment
// and has entries already; zero when there is none. The member is made to wait until it has seen the moment, so that
// neither lag nor a hole can hide a transaction.
func (c *Client) OldestOpenTransaction(ctx context.Context, at pitr.Timestamp) (pitr.OpTime, error) {
	const op = "look for open transactions"
	var oldest pitr.OpTime
	if err := c.needOplog(op); err != nil {
		return oldest, err
	}
	open, err := c.reads.all(ctx, order{op: op, db: "config", command: bson.D{{Key: "find", Value: "transactions"},
		{Key: "filter", Value: bson.D{{Key: "state", Value: bson.D{{Key: "$in", Value: bson.A{"prepared", "inProgress"}}}}}},
		{Key: "readConcern", Value: bson.D{{Key: "level", Value: "local"}, {Key: "afterClusterTime", Value: at.BSON()}}}}})
	if err != nil {
		return oldest, err
	}
	for _, document := range open {
		var record struct {
			Start opTime `bson:"startOpTime"`
		}
		if err := bson.Unmarshal(document, &record); err != nil {
			return oldest, wrongReply(op, document, err)
		}
		if start := record.Start.plain(); start.TS != 0 && (oldest.IsZero() || start.TS < oldest.TS) {
			oldest = start
		}
	}
	return oldest, nil
}

// Oplog follows the chosen member's oplog from the first entry at or after a moment on, and goes on for ever. Entries
// come in the server's batches; an empty batch says that there is nothing new at present, at least once in Options.Await.
// It ends with an error: kind unavailable when the connection was lost, ErrCursorGone when the oplog has run over the
// cursor. The caller starts again and proves that what it gets then continues what it has.
func (c *Client) Oplog(ctx context.Context, from pitr.Timestamp) iter.Seq2[pitr.Batch, error] {
	const op = "follow the oplog"
	return func(yield func(pitr.Batch, error) bool) {
		if err := c.needOplog(op); err != nil {
			yield(pitr.Batch{}, err)
			return
		}
		for {
			err := c.tail(ctx, op, from, yield)
			switch {
			case errors.Is(err, errStopped):
				return
			case err != nil:
				yield(pitr.Batch{}, c.reads.failed(ctx, op, err))
				return
			case !sleep(ctx, c.options.Await):
				yield(pitr.Batch{}, interrupted(ctx, op))
				return
			}
		}
	}
}

// tail serves one cursor until it ends. The error is nil only for a cursor that ended before it gave an entry: an oplog
// without any entry from the moment on closes the cursor at once, and the caller looks again later.
func (c *Client) tail(ctx context.Context, op string, from pitr.Timestamp, yield func(pitr.Batch, error) bool) error {
	ahead := c.reads.prefetch(ctx, opening{order: order{op: op, db: oplogDB, command: bson.D{{Key: "find", Value: oplogCollection},
		{Key: "filter", Value: bson.D{{Key: "ts", Value: bson.D{{Key: "$gte", Value: from.BSON()}}}}},
		{Key: "tailable", Value: true}, {Key: "awaitData", Value: true}, {Key: "batchSize", Value: hugeBatch}}},
		more: bson.D{{Key: "maxTimeMS", Value: c.options.Await.Milliseconds()}}})
	defer ahead.stop()
	began := false
	for got := range ahead.replies {
		if got.err != nil {
			return got.err
		}
		began = began || got.batch.Bytes() > emptyArray
		if !yield(got.batch, nil) {
			return errStopped
		}
	}
	if began && ctx.Err() == nil {
		return pitr.Errorf(pitr.KindUnavailable, op, "start again from the last entry", "%w", pitr.ErrCursorGone)
	}
	return ctx.Err()
}

// Note writes a document into the oplog as an entry without effect and gives its time: a mark that everybody who reads
// the oplog sees. The right is appendOplogNote, which the role backup has.
func (c *Client) Note(ctx context.Context, data bson.Raw) (pitr.Timestamp, error) {
	const op = "write a note into the oplog"
	if err := c.needOplog(op); err != nil {
		return 0, err
	}
	reply, err := c.writes.once(ctx, order{op: op, db: "admin", command: bson.D{
		{Key: "appendOplogNote", Value: 1}, {Key: "data", Value: data}}})
	if err != nil {
		return 0, c.reads.failed(ctx, op, err)
	}
	t, i, ok := reply.Lookup("operationTime").TimestampOK()
	if !ok {
		return 0, wrongReply(op, reply, errNoTime)
	}
	return pitr.NewTimestamp(t, i), nil
}
