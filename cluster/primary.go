package cluster

import (
	"context"
	"iter"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// Primary is the way in which jobs that write see a cluster: everything goes to whoever is primary, and what is read
// includes what was written through it. It is for package guard, which decides what may be written.
type Primary struct {
	client *Client
	link   *link
	// latest is the newest cluster time that a write of ours was answered with.
	latest atomic.Uint64
	loads  loads
}

// Primary gives the way to the primary. It keeps the client's connection: close the client after it.
func (c *Client) Primary() *Primary { return &Primary{client: c, link: c.writes} }

// Server asks the primary which cluster this is.
func (p *Primary) Server(ctx context.Context) (pitr.Server, error) {
	fresh := *p.link
	found, err := fresh.learn(ctx, "ask the primary who it is")
	return found.server, err
}

// Catalog lists the collections of a scope as the primary knows them; see Client.Listing.
func (p *Primary) Catalog(ctx context.Context, scope pitr.Scope) ([]pitr.Collection, error) {
	return p.asked().Listing(ctx, scope)
}

// asked gives a client whose reads go to the primary too.
func (p *Primary) asked() *Client {
	return &Client{options: p.client.options, learnt: p.client.learnt, reads: p.link, writes: p.link}
}

// Lookup finds documents by _id, with the collection's own collation, as of a majority-committed state that includes our
// own writes. Ids without a document and names without a collection give nothing.
func (p *Primary) Lookup(ctx context.Context, ns pitr.Namespace, ids []bson.RawValue) ([]bson.Raw, error) {
	keys := make([]pitr.Key, 0, len(ids))
	for _, id := range ids {
		key, err := pitr.NewKey(id)
		if err != nil {
			return nil, pitr.Errorf(pitr.KindInvalid, "look up documents of "+ns.String(), "", "%w", err)
		}
		keys = append(keys, key)
	}
	var documents []bson.Raw
	after := pitr.Range{Collection: pitr.Collection{NS: ns}, After: pitr.Timestamp(p.latest.Load())}
	for part := range keyParts(keys) {
		found, err := p.asked().findByKeys(ctx, after, part)
		if err != nil {
			return nil, err
		}
		documents = append(documents, found...)
	}
	return documents, nil
}

// Count gives the number of documents as collection statistics know it.
func (p *Primary) Count(ctx context.Context, ns pitr.Namespace) (int64, error) {
	amount, err := p.asked().Estimate(ctx, ns)
	return amount.Count, err
}

// Entries reads the oplog behind a moment up to the majority point at the time of the call. The entry at the moment itself
// must still be there, which proves that nothing between is missing; without it the error is of kind hole.
func (p *Primary) Entries(ctx context.Context, after pitr.Timestamp) iter.Seq2[bson.Raw, error] {
	const op = "read the oplog of the primary"
	return func(yield func(bson.Raw, error) bool) {
		newest, err := p.asked().MajorityOpTime(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		span := bson.D{{Key: "$gte", Value: after.BSON()}, {Key: "$lte", Value: max(newest.TS, after).BSON()}}
		ahead := p.link.prefetch(ctx, opening{order: order{op: op, db: oplogDB, command: bson.D{
			{Key: "find", Value: oplogCollection}, {Key: "filter", Value: bson.D{{Key: "ts", Value: span}}},
			{Key: "batchSize", Value: hugeBatch}, {Key: "readConcern", Value: bson.D{{Key: "level", Value: "majority"}}}}}})
		defer ahead.stop()
		joined := false
		for entry, err := range ahead.documents() {
			switch {
			case err != nil:
				yield(nil, p.link.failed(ctx, op, err))
				return
			case !joined && !bearsTime(entry, after):
				yield(nil, rolledOver(op, after))
				return
			case joined && !yield(entry, nil):
				return
			}
			joined = true
		}
		if err := ctx.Err(); err != nil {
			yield(nil, interrupted(ctx, op))
		} else if !joined {
			yield(nil, rolledOver(op, after))
		}
	}
}

// bearsTime reports whether an entry has this time.
func bearsTime(entry bson.Raw, at pitr.Timestamp) bool {
	t, i, ok := entry.Lookup("ts").TimestampOK()
	return ok && pitr.NewTimestamp(t, i) == at
}

func rolledOver(op string, at pitr.Timestamp) error {
	return pitr.Errorf(pitr.KindHole, op, "what happened since then can only be told from the archive: see `pitr timeline`",
		"the primary's oplog has no entry at %s", at)
}

// done remembers the cluster time of a write that was answered, and gives it.
func (p *Primary) done(op string, reply bson.Raw) (pitr.Timestamp, error) {
	t, i, ok := reply.Lookup("operationTime").TimestampOK()
	if !ok {
		return 0, wrongReply(op, reply, errNoTime)
	}
	at := pitr.NewTimestamp(t, i)
	p.saw(at)
	return at, nil
}

func (p *Primary) saw(at pitr.Timestamp) {
	for {
		known := p.latest.Load()
		if known >= uint64(at) || p.latest.CompareAndSwap(known, uint64(at)) {
			return
		}
	}
}
