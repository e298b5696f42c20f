package history

import (
	"context"
	"fmt"
	"iter"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/history/fold"
	"pitr/oplog"
)

// Base is a snapshot, as a history needs it.
type Base interface {
	// Window is (S, E]: the entries after S are needed, and from E on they give exact states.
	Window() pitr.Window
	// Scope is what the snapshot holds.
	Scope() pitr.Scope
	// Collections is the catalog as it was listed at some moment of the window.
	Collections() []pitr.Collection
	// Scan yields the documents of a listed collection, of several copies of one only the last. A document is good until
	// the next is asked for.
	Scan(ctx context.Context, c pitr.Collection) iter.Seq2[bson.Raw, error]
	// Lookup yields those that bear one of the keys, in no order.
	Lookup(ctx context.Context, c pitr.Collection, keys []pitr.Key) iter.Seq2[bson.Raw, error]
}

// Entries yields the entries of a window (After, Through] of one history in order. It can be asked again. An entry is good
// until the next one is asked for.
type Entries func(ctx context.Context, window pitr.Window) iter.Seq2[oplog.Entry, error]

// Options bound the work. The zero value is good.
type Options struct {
	// MaxBytes bounds the memory for documents, DefaultMaxBytes when zero.
	MaxBytes int64
	// MaxOpen bounds the memory for transactions without an end; that of oplog.Assembler when zero.
	MaxOpen int64
	// Version is the feature compatibility version that the entries were written under, such as "7.0"; empty when it is not
	// known. Before 5.0 servers trim capped collections without entries.
	Version string
}

// DefaultMaxBytes is the memory for documents where no other bound is given.
const DefaultMaxBytes = 400 << 20

// History is one snapshot and the oplog that follows it. It keeps no state of its own and is safe for use by several
// goroutines if base and entries are.
type History struct {
	base    Base
	entries Entries
	options Options
	// through is how far the entries go; zero where that is not known.
	through pitr.Timestamp
}

// New makes a history from its parts.
func New(base Base, entries Entries, options Options) *History {
	if options.MaxBytes == 0 {
		options.MaxBytes = DefaultMaxBytes
	}
	return &History{base: base, entries: entries, options: options}
}

// run goes through the committed groups of a history, from one bound to the next.
type run struct {
	history   *History
	assembler *oplog.Assembler
	// read and told are the bounds through which entries were read and groups handed on.
	read, told pitr.Timestamp
	// unknown decides about an entry that came with an error; nil ends the run with it.
	unknown func(*oplog.Entry, error) error
}

// start begins a run that reads entries after a bound; groups that count at or below told are not handed on.
func (h *History) start(read, told pitr.Timestamp) *run {
	assembler := &oplog.Assembler{MaxOpen: h.options.MaxOpen, Base: max(told, h.base.Window().After)}
	return &run{history: h, assembler: assembler, read: read, told: told}
}

// through hands on the groups that count in (told, bound]. A prepared transaction can count before its commit entry: while
// one is open at the bound, it looks for its end behind it.
func (r *run) through(ctx context.Context, bound pitr.Timestamp, tell func(oplog.Committed) error) error {
	err := r.push(ctx, r.assembler, pitr.Window{After: r.read, Through: bound}, func(group oplog.Committed) (bool, error) {
		if group.At <= r.told {
			return true, nil
		}
		return true, tell(group)
	})
	if err != nil {
		return err
	}
	if ahead := r.assembler.Clone(); prepared(ahead, bound) != nil {
		err = r.push(ctx, ahead, pitr.Window{After: bound, Through: pitr.MaxTimestamp}, func(group oplog.Committed) (bool, error) {
			if group.At > r.told && group.At <= bound {
				if err := tell(group); err != nil {
					return false, err
				}
			}
			return prepared(ahead, bound) != nil, nil
		})
		if err != nil {
			return err
		}
		if chain := prepared(ahead, bound); chain != nil {
			return pitr.Errorf(pitr.KindHole, "", fmt.Sprintf("choose a moment before %s", chain.First.TS),
				"the transaction prepared at %s has no end in the archive: whether it counts at %s is not known", chain.Last, bound)
		}
	}
	r.read, r.told = bound, bound
	return nil
}

// push reads entries until the window ends or more says that it has enough.
func (r *run) push(ctx context.Context, assembler *oplog.Assembler, window pitr.Window, more func(oplog.Committed) (bool, error)) error {
	if window.IsEmpty() {
		return nil
	}
	// One entry for all turns: its address goes to functions that do not keep it, and one of each turn would be allocated.
	var entry oplog.Entry
	for each, err := range r.history.entries(ctx, window) {
		entry = each
		if err != nil && r.unknown != nil {
			if err := r.unknown(&entry, err); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		group, ok, err := assembler.Push(&entry)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if goOn, err := more(group); err != nil || !goOn {
			return err
		}
	}
	return ctx.Err()
}

// prepared gives a transaction that is prepared at or before the bound and not ended.
func prepared(assembler *oplog.Assembler, bound pitr.Timestamp) *oplog.Chain {
	for _, chain := range assembler.Open() {
		if chain.Prepared && chain.Last.TS <= bound {
			return &chain
		}
	}
	return nil
}

// serves refuses moments at which the base is not exact yet, and those behind the last entry.
func (h *History) serves(at pitr.Timestamp) error {
	if window := h.base.Window(); at < window.Through {
		return pitr.Errorf(pitr.KindHole, "", "choose an older snapshot, or a moment from "+window.Through.String()+" on",
			"the snapshot serves moments from %s on, not %s", window.Through, at)
	}
	if h.through != 0 && at > h.through {
		return pitr.Errorf(pitr.KindHole, "", "run `pitr archive once`, or choose a moment up to "+h.through.String(),
			"the archive goes through %s, not %s", h.through, at)
	}
	return nil
}

// newState makes a state with the base's catalog and none of its documents.
func (h *History) newState(options fold.Options) (*fold.State, error) {
	options.Scope, options.Exact, options.Partial = h.base.Scope(), h.base.Window().Through, fold.Touched
	state := fold.New(options)
	for _, listed := range h.base.Collections() {
		if err := state.AddCollection(listed); err != nil {
			return nil, err
		}
	}
	return state, nil
}

// baseCollections gives the base's collections by UUID.
func (h *History) baseCollections() map[pitr.UUID]pitr.Collection {
	byUUID := map[pitr.UUID]pitr.Collection{}
	for _, listed := range h.base.Collections() {
		if !listed.UUID.IsZero() {
			byUUID[listed.UUID] = listed
		}
	}
	return byUUID
}

// keySet names documents by collection and key. Whoever adds a key adds it once.
type keySet map[pitr.UUID][]pitr.Key

func (k keySet) add(uuid pitr.UUID, key pitr.Key) { k[uuid] = append(k[uuid], key) }

// load puts what the base has of the documents into a state, and notes which it does not have.
func (h *History) load(ctx context.Context, state *fold.State, wanted keySet) error {
	collections := h.baseCollections()
	for uuid, keys := range wanted {
		c, ok := collections[uuid]
		if !ok {
			continue
		}
		for _, key := range keys {
			if err := state.PutAbsent(uuid, key); err != nil {
				return err
			}
		}
		for document, err := range h.base.Lookup(ctx, c, keys) {
			if err != nil {
				return err
			}
			if err := state.Put(uuid, document); err != nil {
				return err
			}
		}
	}
	return nil
}
