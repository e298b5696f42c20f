// Package read holds the commands that read: find, getMore, killCursors, count, distinct, aggregate and the lists of
// databases, collections and indexes.
//
// A find makes a plan (which records, in which order), the plan becomes a source, and a source fills replies, as many bytes
// as fit, until it is exhausted. What is left over waits in a cursor. Each batch takes the store's lock by itself, so a long
// scan sees changes as it goes on, unless it reads a snapshot.
package read

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/internal/replsim/command"
	"pitr/internal/replsim/mql/aggregate"
	"pitr/internal/replsim/session"
	"pitr/internal/replsim/store"
)

// maxBatch is what the documents of one reply may weigh.
const maxBatch = 16 << 20

// firstBatch is the number of documents of a first reply that was not asked for a number.
const firstBatch = 101

// source yields documents. fill adds some to a batch and reports whether there will never be more.
type source interface {
	fill(b *batch) (exhausted bool, err error)
	// token is where a later scan can go on, the zero value if this source has no such place.
	token() bson.RawValue
}

// batch is the array of documents of one reply.
type batch struct {
	out   *command.Reply
	limit int
	n     int
	bytes int
}

// full reports whether a document of a size does not fit any more.
func (b *batch) full(size int) bool {
	return b.limit >= 0 && b.n >= b.limit || b.n > 0 && b.bytes+size > maxBatch
}

func (b *batch) add(doc bson.Raw) {
	b.out.Element(b.n, doc)
	b.n++
	b.bytes += len(doc)
}

// cursor is a source that waits for getMore.
type cursor struct {
	id     int64
	ns     string
	source source
	// collection is what the cursor dies with, nil for lists and the oplog.
	collection *store.Collection
	concern    command.ReadConcern
	login      string
	session    *session.Session
	txnNumber  int64
	// await says that an empty batch waits for new entries.
	await  bool
	tokens bool
	last   time.Time
	killed *command.Failure
	busy   sync.Mutex
}

// Stage gives the documents of a first stage of a pipeline that only the server knows.
type Stage func(r *command.Request, ns string, stage bson.Raw) ([]bson.Raw, error)

// Reads runs the reading commands of one server.
type Reads struct {
	Store *store.Store
	// ID makes cursor ids; random if nil.
	ID func() int64
	// Output writes the documents of a pipeline that ends with $out or $merge.
	Output func(ctx context.Context, r *command.Request, to *aggregate.Output, docs aggregate.Documents) error
	// Stages give the documents of first stages that are no query, such as $currentOp.
	Stages map[string]Stage

	mu      sync.Mutex
	cursors map[int64]*cursor
}

// Commands are the commands of this package.
func (rd *Reads) Commands() []*command.Command {
	return []*command.Command{
		rd.findCommand(), rd.getMoreCommand(), rd.killCursorsCommand(), rd.countCommand(), rd.distinctCommand(),
		rd.aggregateCommand(), rd.listDatabasesCommand(), rd.listCollectionsCommand(), rd.listIndexesCommand(),
	}
}

func (rd *Reads) newID() int64 {
	if rd.ID != nil {
		return rd.ID()
	}
	return rand.Int64() //nolint:gosec // no secret
}

func (rd *Reads) keep(c *cursor) {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	if rd.cursors == nil {
		rd.cursors = map[int64]*cursor{}
	}
	c.id = rd.newID()
	rd.cursors[c.id] = c
}

func (rd *Reads) lookup(id int64) *cursor {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	return rd.cursors[id]
}

func (rd *Reads) remove(id int64) {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	delete(rd.cursors, id)
}

// Open is the number of cursors.
func (rd *Reads) Open() int {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	return len(rd.cursors)
}

// KillAll ends all cursors, as a restart or an operator does. Later getMores find none.
func (rd *Reads) KillAll() {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	rd.cursors = nil
}

// moment is what a cursor reads at this batch.
func (rd *Reads) moment(c command.ReadConcern, unit *store.Unit) store.Moment {
	r := command.Request{ReadConcern: c, Unit: unit}
	return r.Moment(rd.Store)
}

// answer writes the cursor document of a reply: a first or a next batch, and the id under which the rest waits.
func (rd *Reads) answer(ctx context.Context, out *command.Reply, c *cursor, b batch, field string) error {
	out.Begin("cursor")
	out.BeginArray(field)
	b.out = out
	exhausted, err := c.source.fill(&b)
	if err != nil {
		return err
	}
	if b.n == 0 && !exhausted && c.await && field == "nextBatch" {
		if exhausted, err = rd.awaitEntries(ctx, c, &b); err != nil {
			return err
		}
	}
	out.End()
	if c.tokens {
		if token := c.source.token(); token.Type != 0 {
			out.Begin("postBatchResumeToken")
			out.Value("$recordId", token)
			out.End()
		}
	}
	c.last = rd.Store.Now()
	switch {
	case exhausted && c.id != 0:
		rd.remove(c.id)
		c.id = 0
	case !exhausted && c.id == 0:
		rd.keep(c)
	}
	out.Int64("id", c.id)
	out.String("ns", c.ns)
	if c.concern.Level == command.LevelSnapshot && c.concern.At != 0 {
		out.Timestamp("atClusterTime", c.concern.At)
	}
	out.End()
	return nil
}

// awaitEntries fills a batch with what is added to the oplog before the context ends.
func (rd *Reads) awaitEntries(ctx context.Context, c *cursor, b *batch) (bool, error) {
	for {
		added := rd.Store.EntryAdded()
		exhausted, err := c.source.fill(b)
		if err != nil || exhausted || b.n > 0 {
			return exhausted, err
		}
		select {
		case <-added:
		case <-ctx.Done():
			return false, nil
		}
	}
}

func int64Value(n int64) bson.RawValue {
	return bson.RawValue{Type: bson.TypeInt64, Value: binary.LittleEndian.AppendUint64(nil, uint64(n))} //nolint:gosec // bits
}

func timestampText(ts pitr.Timestamp) string {
	return "Timestamp(" + itoa(int64(ts.Seconds())) + ", " + itoa(int64(ts.Ordinal())) + ")"
}
