package diff

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// DefaultLimit is how many bytes of documents without a partner a comparison keeps in memory when it is not told otherwise.
const DefaultLimit = 64 << 20

// Options are the choices of a comparison; the zero value is good.
type Options struct {
	// Scope chooses the namespaces.
	Scope pitr.Scope
	// Limit bounds the memory for documents that have not met their partner; DefaultLimit where it is zero. Beyond it their
	// hashes go to a work file.
	Limit int64
	// Folder is where the work file is made, the system's folder for such files when empty.
	Folder string
	// Hash hashes keys and documents for the work file; nil is a good one whose seed nobody can guess.
	Hash Hash
	// Whole reads every document even where both sides have an index.
	Whole bool
	// AcrossClusters compares collections of different clusters, where identities differ by nature.
	AcrossClusters bool
	// LeaveOut leaves a document out on both sides, such as one that a TTL index makes due; nil leaves out nothing.
	LeaveOut func(collection pitr.Collection, document bson.Raw) bool
	// After is the number before the first change's, such as the number of catalog steps in front.
	After int64
	// Progress hears of every namespace; nil is silent.
	Progress pitr.Progress
	// Tally is filled with what the comparison did; nil does not want to know.
	Tally *Tally
}

// Tally is what a comparison did.
type Tally struct {
	// Indexed counts documents that were compared by hashes of indexes alone, Read those that were read, on both sides.
	Indexed, Read int64
	// Spilled counts the bytes of the work file, Again the documents that were looked up by key.
	Spilled, Again int64
}

func (o Options) leavesOut(collection *pitr.Collection, document bson.Raw) bool {
	return o.LeaveOut != nil && o.LeaveOut(*collection, document)
}

// Compare yields the documents that differ: those created after T, changed, or deleted. Documents of one key are equal
// when their bytes are; by indexes, when the hashes are. Changes come by namespace. Within one, while memory suffices, first
// the changed ones as they are met, then the created and the deleted ones in the order of their keys' equality forms; beyond
// that, in no order. A change owns its memory. The entries that made a difference are not known here, so First, Last, Ops
// and Bursts stay zero.
//
// An error ends the sequence: one of a side, a key that a side gives twice (kind mismatch), no room for the work file or a
// side that cannot find documents beyond the memory (kind limit). What came before it is right but not complete.
func Compare(ctx context.Context, e, t Side, options Options) iter.Seq2[pitr.Change, error] {
	return func(yield func(pitr.Change, error) bool) {
		if err := compare(ctx, e, t, options, yield); err != nil && !errors.Is(err, errStopped) {
			yield(pitr.Change{}, err)
		}
	}
}

// errStopped ends a comparison whose consumer wants no more.
var errStopped = errors.New("the consumer stopped")

func compare(ctx context.Context, e, t Side, options Options, yield func(pitr.Change, error) bool) error {
	if options.Limit <= 0 {
		options.Limit = DefaultLimit
	}
	if options.Progress == nil {
		options.Progress = pitr.Silent
	}
	if options.Hash == nil {
		options.Hash = seededHash()
	}
	if options.Tally == nil {
		options.Tally = new(Tally)
	}
	catalogE, err := e.Collections(ctx)
	if err != nil {
		return fmt.Errorf("list the collections at E: %w", err)
	}
	catalogT, err := t.Collections(ctx)
	if err != nil {
		return fmt.Errorf("list the collections at T: %w", err)
	}
	n := options.After
	for _, pair := range PairCollections(catalogE, catalogT, options.Scope) {
		c := comparison{pair: pair, options: options, number: n, yield: yield}
		c.e, c.t = newEnd(e, pair.E, atE), newEnd(t, pair.T, atT)
		if err := c.run(ctx); err != nil {
			return fmt.Errorf("compare %s: %w", pair.NS(), err)
		}
		n = c.number
	}
	return nil
}

// comparison is that of one pair of collections.
type comparison struct {
	pair    Pair
	options Options
	number  int64
	yield   func(pitr.Change, error) bool
	e, t    end
	// waiting has the documents of each side that have not met their partner, by the equality form of their keys.
	waiting map[string]waiting
	bytes   int64
	// spill has the hashes of those for which there was no room, and of those that were told while a side can still move;
	// nil while nothing was put there. spilled says that there are some of the first kind.
	spill   *spill
	spilled bool
}

// end is one side of a pair.
type end struct {
	side Side
	// collection is nil where the side has none, or none with documents of its own.
	collection *pitr.Collection
	at         moment
}

// newEnd knows that views and time series have no documents of their own.
func newEnd(side Side, collection *pitr.Collection, at moment) end {
	if collection != nil && collection.Type != pitr.TypeCollection && collection.Type != "" {
		collection = nil
	}
	return end{side: side, collection: collection, at: at}
}

// moving gives the side where it can lose its moment, nil otherwise.
func (e end) moving() Moving {
	moving, can := e.side.(Moving)
	if !can || e.collection == nil {
		return nil
	}
	return moving
}

func (e end) hasMoved() bool {
	moving := e.moving()
	return moving != nil && moving.Moved(*e.collection)
}

func (c *comparison) end(at moment) end {
	if at == atE {
		return c.e
	}
	return c.t
}

func (c *comparison) canMove() bool  { return c.e.moving() != nil || c.t.moving() != nil }
func (c *comparison) hasMoved() bool { return c.e.hasMoved() || c.t.hasMoved() }

type waiting struct {
	document bson.Raw
	equal    string
	at       moment
}

// moment is E or T.
type moment byte

const (
	atE moment = 'E'
	atT moment = 'T'
)

// waitingCost is what a waiting document takes beside its bytes and its key.
const waitingCost = 200

// reportEvery is how many documents lie between two words to the progress.
const reportEvery = 4096

func (c *comparison) run(ctx context.Context) error {
	part := c.pair.NS().String()
	c.options.Progress.Start(part, pitr.Amount{})
	defer c.options.Progress.Finish(part)
	defer c.close()
	c.waiting = make(map[string]waiting)
	compared, err := c.byIndex(ctx)
	if err != nil {
		return err
	}
	if !compared {
		if err := c.meetAll(ctx, c.open(ctx, c.e), c.open(ctx, c.t)); err != nil {
			return err
		}
	}
	if !c.spilled && !c.hasMoved() {
		return c.finish()
	}
	if err := c.spillWaiting(); err != nil {
		return err
	}
	return c.settle(ctx)
}

func (c *comparison) close() {
	if c.spill != nil {
		c.options.Tally.Spilled += c.spill.written
		c.spill.close()
	}
}

// meetAll reads both sides at the same pace, so that documents that lie in a like order wait shortly.
func (c *comparison) meetAll(ctx context.Context, readE, readT *reading) error {
	defer readE.stop()
	defer readT.stop()
	part := c.pair.NS().String()
	var done pitr.Amount
	for !readE.ended || !readT.ended {
		if done.Count >= reportEvery {
			if err := ctx.Err(); err != nil {
				return err
			}
			c.options.Progress.Advance(part, done)
			c.options.Tally.Read += done.Count
			done = pitr.Amount{}
		}
		documentE, err := readE.next()
		if err != nil {
			return fmt.Errorf("read at E: %w", err)
		}
		documentT, err := readT.next()
		if err != nil {
			return fmt.Errorf("read at T: %w", err)
		}
		done.Count++
		done.Bytes += int64(max(len(documentE), len(documentT)))
		if documentE != nil && bytes.Equal(documentE, documentT) {
			continue
		}
		if err := c.meet(documentE, atE); err != nil {
			return err
		}
		if err := c.meet(documentT, atT); err != nil {
			return err
		}
	}
	c.options.Progress.Advance(part, done)
	c.options.Tally.Read += done.Count
	return nil
}

// meet settles a document against its waiting partner, or lets it wait. A nil document is none.
func (c *comparison) meet(document bson.Raw, at moment) error {
	if document == nil {
		return nil
	}
	key, err := pitr.KeyOf(document)
	if err != nil {
		return pitr.Corruptf("", "%w", err)
	}
	partner, found := c.waiting[key.Equal()]
	if found && partner.at == at {
		if !c.end(at).hasMoved() {
			return twice(key, at)
		}
		// What is met again after the moment was lost is the newer one.
		found = false
	}
	if found {
		delete(c.waiting, key.Equal())
		c.bytes -= cost(partner)
		if bytes.Equal(partner.document, document) {
			return nil
		}
		own := waiting{document: bytes.Clone(document), equal: key.Equal(), at: at}
		if at == atE {
			return c.differ(own, partner)
		}
		return c.differ(partner, own)
	}
	w := waiting{document: bytes.Clone(document), equal: key.Equal(), at: at}
	c.bytes += cost(w) - cost(c.waiting[w.equal])
	c.waiting[w.equal] = w
	if c.bytes > c.options.Limit {
		return c.spillWaiting()
	}
	return nil
}

func twice(key pitr.Key, at moment) error {
	return pitr.Errorf(pitr.KindMismatch, "", "run `pitr verify` on the side that has it twice",
		"two documents with _id %s at %c", key, at)
}

func cost(w waiting) int64 {
	if w.document == nil {
		return 0
	}
	return int64(len(w.document)+len(w.equal)) + waitingCost
}

// differ settles two documents of one key. Where a side has lost its moment they are compared again at the end; where it
// still can, the key is remembered, so that a document which is met a second time is not told a second time.
func (c *comparison) differ(e, t waiting) error {
	if c.hasMoved() {
		c.spilled = true
		return errors.Join(c.note(e, kind(atE)), c.note(t, kind(atT)))
	}
	if c.canMove() {
		if err := c.note(e, kindTold); err != nil {
			return err
		}
	}
	return c.emit(pitr.Change{E: e.document, T: t.document})
}

// finish yields what never met a partner.
func (c *comparison) finish() error {
	left := make([]waiting, 0, len(c.waiting))
	for _, w := range c.waiting {
		left = append(left, w)
	}
	slices.SortFunc(left, func(a, b waiting) int {
		return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(a.equal, b.equal))
	})
	for _, w := range left {
		change := pitr.Change{T: w.document}
		if w.at == atE {
			change = pitr.Change{E: w.document}
		}
		if err := c.emit(change); err != nil {
			return err
		}
	}
	return nil
}

// emit completes a change and hands it out.
func (c *comparison) emit(change pitr.Change) (err error) {
	c.number++
	change.N, change.NS, change.UUID = c.number, c.pair.NS(), c.pair.uuid()
	change.Class = pitr.Classify(change.E, change.T)
	// The live bytes of _id are those that a look-up has to use.
	document := change.E
	if document == nil {
		document = change.T
	}
	if change.Key, err = pitr.KeyOf(document); err != nil {
		return pitr.Corruptf("", "%w", err)
	}
	if !c.yield(change, nil) {
		return errStopped
	}
	return nil
}

// reading pulls the documents of one side.
type reading struct {
	pull  func() (bson.Raw, error, bool)
	stop  func()
	leave func(bson.Raw) bool
	ended bool
}

// open reads a collection.
func (c *comparison) open(ctx context.Context, e end) *reading {
	if e.collection == nil {
		return &reading{ended: true, stop: func() {}}
	}
	return c.read(e, e.side.Documents(ctx, *e.collection))
}

func (c *comparison) read(e end, documents iter.Seq2[bson.Raw, error]) *reading {
	pull, stop := iter.Pull2(documents)
	return &reading{pull: pull, stop: stop, leave: func(document bson.Raw) bool { return c.options.leavesOut(e.collection, document) }}
}

// next gives the next document that is not left out, nil when there are no more.
func (r *reading) next() (bson.Raw, error) {
	for !r.ended {
		document, err, more := r.pull()
		if !more {
			r.ended = true
			return nil, nil
		}
		if err != nil || !r.leave(document) {
			return document, err
		}
	}
	return nil, nil
}
