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

// Side is one of the two states.
type Side interface {
	// Collections gives the catalog, views included.
	Collections(ctx context.Context) ([]pitr.Collection, error)
	// Documents yields every document of a collection once, in any order. An error ends it. Documents are good until the
	// next one is asked for.
	Documents(ctx context.Context, collection pitr.Collection) iter.Seq2[bson.Raw, error]
}

// DefaultLimit is how many bytes of documents without a partner a comparison keeps when it is not told otherwise.
const DefaultLimit = 256 << 20

// Options are the choices of a comparison; the zero value is good.
type Options struct {
	// Scope chooses the namespaces.
	Scope pitr.Scope
	// Limit bounds the memory for documents that have not met their partner; DefaultLimit where it is zero.
	Limit int64
	// AcrossClusters compares collections of different clusters, where identities differ by nature.
	AcrossClusters bool
	// LeaveOut leaves a document out on both sides, such as one that a TTL index makes due; nil leaves out nothing.
	LeaveOut func(collection pitr.Collection, document bson.Raw) bool
	// After is the number before the first change's, such as the number of catalog steps in front.
	After int64
	// Progress hears of every namespace; nil is silent.
	Progress pitr.Progress
}

func (o Options) leavesOut(collection *pitr.Collection, document bson.Raw) bool {
	return o.LeaveOut != nil && o.LeaveOut(*collection, document)
}

// Compare yields the documents that differ: those created after T, changed, or deleted. Documents of one key are equal
// when their bytes are. Changes come by namespace, within one first the changed ones as they are met, then the created
// and the deleted ones in the order of their keys' equality forms; a change owns its memory. The entries that made a
// difference are not known here, so First, Last, Ops and Bursts stay zero.
//
// An error ends the sequence: one of a side, a key that a side gives twice (kind mismatch), or more documents without a
// partner than the limit allows (kind limit). What came before it is right but not complete.
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
		if err := c.run(ctx, e, t); err != nil {
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
	// waiting has the documents of each side that have not met their partner, by the equality form of their keys.
	waiting map[string]waiting
	bytes   int64
}

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

func (c *comparison) run(ctx context.Context, e, t Side) error {
	part := c.pair.NS().String()
	c.options.Progress.Start(part, pitr.Amount{})
	defer c.options.Progress.Finish(part)
	c.waiting = make(map[string]waiting)
	readE, readT := c.open(ctx, e, c.pair.E), c.open(ctx, t, c.pair.T)
	defer readE.stop()
	defer readT.stop()
	var done pitr.Amount
	for !readE.ended || !readT.ended {
		if done.Count >= reportEvery {
			if err := ctx.Err(); err != nil {
				return err
			}
			c.options.Progress.Advance(part, done)
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
	return c.finish()
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
	switch {
	case found && partner.at == at:
		return pitr.Errorf(pitr.KindMismatch, "", "run `pitr verify` on the side that has it twice",
			"two documents with _id %s at %c", key, at)
	case found:
		delete(c.waiting, key.Equal())
		c.bytes -= cost(partner)
		if bytes.Equal(partner.document, document) {
			return nil
		}
		own := bytes.Clone(document)
		if at == atE {
			return c.emit(pitr.Change{E: own, T: partner.document})
		}
		return c.emit(pitr.Change{E: partner.document, T: own})
	}
	w := waiting{document: bytes.Clone(document), equal: key.Equal(), at: at}
	c.waiting[w.equal] = w
	if c.bytes += cost(w); c.bytes > c.options.Limit {
		return pitr.Errorf(pitr.KindLimit, "",
			"raise the memory limit, or compare fewer documents: choose namespaces with --only, or moments that lie closer together",
			"%d documents without a partner take more than %d bytes", len(c.waiting), c.options.Limit)
	}
	return nil
}

func cost(w waiting) int64 { return int64(len(w.document)+len(w.equal)) + waitingCost }

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

// open reads a collection; views, time series and absent collections have no documents of their own.
func (c *comparison) open(ctx context.Context, side Side, collection *pitr.Collection) *reading {
	if collection == nil || (collection.Type != pitr.TypeCollection && collection.Type != "") {
		return &reading{ended: true, stop: func() {}}
	}
	pull, stop := iter.Pull2(side.Documents(ctx, *collection))
	return &reading{pull: pull, stop: stop, leave: func(document bson.Raw) bool { return c.options.leavesOut(collection, document) }}
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
