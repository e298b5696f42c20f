// Package fold brings the operations of an oplog to bear on a database in memory. It is pure: what goes in are documents and
// committed groups of operations, what comes out are documents and a catalog, byte for byte as the server would show them:
// options as listCollections gives them, index specs as listIndexes gives them. Natural order is not modelled.
//
// A State begins as a snapshot: collections by UUID, documents by key. Commands change names, options and indexes by UUID,
// so that an entry which the snapshot's catalog already shows does nothing; inserts, updates and deletes change documents.
// Up to the moment at which the snapshot is exact an entry may meet a document that already has later changes, or that is
// gone: the whole of the entries converges, so what does not fit is passed over. After that moment it is an error.
package fold

import (
	"bytes"
	"fmt"
	"iter"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/oplog"
)

// Options are what a fold has to know about its base. The zero value suits a base that is exact from the start, of
// everything.
type Options struct {
	// Scope is what the base holds: entries on other namespaces are passed over.
	Scope pitr.Scope
	// Exact is the moment from which on the base is exact. Groups that count at or below it meet documents and catalogs of
	// several moments, so what does not fit is passed over; after it, it is an error.
	Exact pitr.Timestamp
	// Partial says that only some documents of the base are put into the state: those that the entries need.
	Partial Completeness
	// MaxBytes bounds the memory for documents; zero is no bound.
	MaxBytes int64
	// Keep chooses the documents that the state keeps, by collection and equality form of the key; nil keeps all. What was
	// put or kept once is kept, without another question. The catalog is always followed.
	Keep func(pitr.UUID, string) bool
	// Watch, where it is set, hears of each operation on a document of a known collection, before it is brought to bear.
	Watch func(Touch)
}

// Touch is one operation on one document, as a state meets it. Op and Group are good for the call only.
type Touch struct {
	UUID  pitr.UUID
	NS    pitr.Namespace
	Key   pitr.Key
	Op    *oplog.Op
	Group *oplog.Committed
}

// Completeness says how much of a base a state holds.
type Completeness int

// The two kinds of state.
const (
	// Whole states hold every document of the scope.
	Whole Completeness = iota
	// Touched states hold the documents that entries touch, and know which of them are absent.
	Touched
)

// Tally counts what a fold met after its base was exact. All but Groups and Ops are signs of a missing entry or a wrong
// base, though none of them is proof: a user can bring them about by applying operations by hand.
type Tally struct {
	Groups, Ops int64
	// Overwritten are inserts of documents that were there, Missed deletes of documents that were not.
	Overwritten, Missed int64
	// Placeholders are nulls that deltas left where they met another type than they were written for.
	Placeholders int64
}

// State is a database in memory: what a snapshot and the entries after it add up to. It is no safer for use by several
// goroutines than a map. Documents that come out share memory with it and must not be changed.
type State struct {
	options     Options
	collections map[pitr.UUID]*collection
	views       map[pitr.Namespace]view
	tally       Tally
	bytes       int64
	// group is the one at hand, and converging says that it counts before the base is exact.
	group      oplog.Committed
	converging bool
}

// New makes an empty state; the base is put into it before the first group is applied.
func New(options Options) *State {
	return &State{options: options, collections: map[pitr.UUID]*collection{}, views: map[pitr.Namespace]view{}}
}

// AddCollection puts one line of the base's catalog. Indexes must be those that exist: one that was still being built when
// the catalog was listed comes with its commit entry.
func (s *State) AddCollection(listed pitr.Collection) error {
	if listed.Type != pitr.TypeCollection && listed.Type != "" {
		s.views[listed.NS] = view{kind: listed.Type, options: bytes.Clone(listed.Options), indexes: listed.Indexes}
		return nil
	}
	if s.collections[listed.UUID] != nil {
		return pitr.Corruptf("", "two collections with the UUID %s", listed.UUID)
	}
	c := &collection{ns: listed.NS, uuid: listed.UUID, options: bytes.Clone(listed.Options),
		whole: s.options.Partial == Whole, documents: map[string]bson.Raw{}}
	if len(c.options) == 0 {
		c.options = emptyDocument
	}
	s.collections[listed.UUID] = c
	return c.setIndexes(listed.Indexes, pitr.UUID{}, false)
}

// Put puts a document of the base. A document that comes twice, because it was deleted and inserted again while it was
// read, counts as it came last.
func (s *State) Put(uuid pitr.UUID, document bson.Raw) error {
	key, err := pitr.KeyOf(document)
	if err != nil {
		return pitr.Corruptf("", "a document of the base: %w", err)
	}
	c := s.collections[uuid]
	if c == nil {
		return mismatch("a document of the collection %s, which the base does not list", uuid)
	}
	return s.set(c, key.Equal(), bytes.Clone(document))
}

// PutAbsent notes that the base does not have a document; only a state that is not whole needs to be told.
func (s *State) PutAbsent(uuid pitr.UUID, key pitr.Key) error {
	c := s.collections[uuid]
	if c == nil || c.whole {
		return nil
	}
	return s.set(c, key.Equal(), nil)
}

// Expect makes room for so many documents of a collection of the base, where none is held yet: a map that grows by itself
// moves everything several times.
func (s *State) Expect(uuid pitr.UUID, documents int) {
	if c := s.collections[uuid]; c != nil && len(c.documents) == 0 {
		c.documents = make(map[string]bson.Raw, documents)
	}
}

// Apply brings one group to bear. Groups come in the order of their entries. Errors: kind mismatch where an entry does not
// fit a state that is exact, kind unsupported for what cannot be folded, kind limit at MaxBytes.
func (s *State) Apply(group oplog.Committed) error {
	s.group, s.converging = group, group.At <= s.options.Exact
	if !s.converging {
		s.tally.Groups++
		s.tally.Ops += int64(len(group.Ops))
	}
	for i := range group.Ops {
		if err := s.applyOp(&group.Ops[i]); err != nil {
			return fmt.Errorf("fold the entry at %s: %w", group.OpTime, err)
		}
	}
	return nil
}

// Tally tells what the fold met since its base was exact.
func (s *State) Tally() Tally { return s.tally }

// Bytes gives the memory that documents and keys take, roughly.
func (s *State) Bytes() int64 { return s.bytes }

// Reserve counts memory that the caller keeps beside the state into its bound.
func (s *State) Reserve(bytes int64) { s.bytes += bytes }

func (s *State) applyOp(o *oplog.Op) error {
	switch verdict, reason := o.Verdict(); {
	case verdict == oplog.Skipped:
		return nil
	case verdict == oplog.Refused && s.Concerns(o.NS):
		return pitr.Errorf(pitr.KindUnsupported, "", "moments before this entry stay reachable",
			"%s on %s cannot be folded: %s", o.Kind, o.NS, reason)
	case verdict == oplog.Refused:
		return nil
	case o.Command != nil:
		return s.catalogCommand(o)
	case o.NS.Collection == viewsCollection:
		return s.applyToViews(o)
	case o.NS.IsSystem():
		return nil
	}
	c := s.find(o)
	if c == nil || c.stranger {
		return s.unknown(o, c)
	}
	key, err := o.Key()
	if err != nil {
		return err
	}
	if s.options.Watch != nil {
		s.options.Watch(Touch{UUID: c.uuid, NS: c.ns, Key: key, Op: o, Group: &s.group})
	}
	before, held := c.documents[key.Equal()]
	if !held && s.options.Keep != nil && !s.options.Keep(c.uuid, key.Equal()) {
		return nil
	}
	return s.applyDocument(c, o, known{key: key, before: before, held: held || c.whole})
}

// Concerns reports whether a refused operation stands in the way: those on the server's own collections always do.
func (s *State) Concerns(ns pitr.Namespace) bool {
	return ns.Collection == "" || ns.IsSystem() || s.inScope(ns)
}

func (s *State) inScope(ns pitr.Namespace) bool { return s.options.Scope.Contains(ns.KnownAs()) }

// find gives the collection that an operation is about, by UUID; operations that very old users applied have none.
func (s *State) find(o *oplog.Op) *collection {
	if o.UUID.IsZero() {
		return s.named(o.NS)
	}
	return s.collections[o.UUID]
}

// Find gives the collection that an operation is about, as it stands now.
func (s *State) Find(o *oplog.Op) (pitr.Collection, bool) {
	if c := s.find(o); c != nil && !c.stranger {
		return c.listed(), true
	}
	return pitr.Collection{}, false
}

// Named gives the collection that bears a name now.
func (s *State) Named(ns pitr.Namespace) (pitr.Collection, bool) {
	if c := s.named(ns); c != nil {
		return c.listed(), true
	}
	return pitr.Collection{}, false
}

func (s *State) named(ns pitr.Namespace) *collection {
	for _, c := range s.collections {
		if c.ns == ns && !c.stranger {
			return c
		}
	}
	return nil
}

// unknown decides about an operation on a collection that is not there. Collections that were gone before the catalog was
// listed are passed over, and so is what lies outside the scope.
func (s *State) unknown(o *oplog.Op, c *collection) error {
	if c != nil || s.converging || o.NS.IsSystem() || !s.inScope(o.NS) {
		return nil
	}
	return mismatch("an operation %q on %s, whose UUID %s neither the base nor an entry made", o.Kind, o.NS, o.UUID)
}

func mismatch(format string, args ...any) error {
	return pitr.Errorf(pitr.KindMismatch, "", "run `pitr verify` and take a new snapshot; moments before this entry stay reachable",
		format, args...)
}

// known is what a state knows of a document before an operation on it.
type known struct {
	key    pitr.Key
	before bson.Raw
	// held says that a before of nil is an absence; otherwise nobody told the state.
	held bool
}

// applyDocument brings an insert, update or delete to bear on one document.
func (s *State) applyDocument(c *collection, o *oplog.Op, is known) error {
	key, before := is.key.Equal(), is.before
	switch o.Kind {
	case oplog.KindInsert:
		if before != nil && !s.converging {
			s.tally.Overwritten++
		}
		return s.set(c, key, bytes.Clone(o.O))
	case oplog.KindDelete:
		if is.held && before == nil && !s.converging {
			s.tally.Missed++
		}
		return s.set(c, key, nil)
	}
	if before == nil {
		return s.updateMissing(c, o, is)
	}
	after, placeholders, err := oplog.ApplyUpdate(before, o.O)
	if err != nil {
		return fmt.Errorf("an update on %s: %w", o.NS, err)
	}
	if !s.converging {
		s.tally.Placeholders += int64(placeholders)
	}
	return s.set(c, key, own(after, o.O))
}

// updateMissing decides about an update that does not find its document.
func (s *State) updateMissing(c *collection, o *oplog.Op, is known) error {
	key := is.key.Equal()
	form, err := oplog.FormOf(o.O)
	switch {
	case err != nil:
		return fmt.Errorf("an update on %s: %w", o.NS, err)
	case form == oplog.FormReplacement && (o.Upsert || !is.held):
		return s.set(c, key, bytes.Clone(o.O))
	case o.Upsert:
		after, _, err := oplog.ApplyUpdate(is.key.Filter(), o.O)
		if err != nil {
			return fmt.Errorf("an update on %s: %w", o.NS, err)
		}
		return s.set(c, key, after)
	case is.held && s.converging:
		return nil
	}
	return mismatch("an update of the document %s of %s, which does not exist", o.O2, o.NS)
}

// own gives bytes that a state may keep: not those of an entry, and without much room that is not used.
func own(after, o bson.Raw) bson.Raw {
	if len(after) > 0 && len(o) > 0 && &after[0] == &o[0] || cap(after)-len(after) > 64+len(after)/8 {
		return bytes.Clone(after)
	}
	return after
}

// Overhead is what a map takes for a document besides its bytes and its key's.
const Overhead = 64

func weight(key string, document bson.Raw) int64 { return int64(len(key) + len(document) + Overhead) }

// set puts a document, or its absence, into a collection.
func (s *State) set(c *collection, key string, document bson.Raw) error {
	if before, there := c.documents[key]; there {
		s.bytes -= weight(key, before)
	}
	if document == nil && c.whole {
		delete(c.documents, key)
		return nil
	}
	c.documents[key] = document
	s.bytes += weight(key, document)
	if limit := s.options.MaxBytes; limit > 0 && s.bytes > limit {
		return LimitError(limit)
	}
	return nil
}

// LimitError says that documents take more memory than they may.
func LimitError(limit int64) error {
	return pitr.Errorf(pitr.KindLimit, "", "raise the memory limit, choose fewer collections with --only, or start from a newer snapshot",
		"the documents that entries touched take more than %d MiB", limit>>20)
}

// Document gives a document by the equality form of its key; nil when it is absent. Known is false where a state that is
// not whole was not told.
func (s *State) Document(uuid pitr.UUID, key string) (document bson.Raw, known bool) {
	c := s.collections[uuid]
	if c == nil {
		return nil, false
	}
	document, known = c.documents[key]
	return document, known || c.whole
}

// Held counts the documents that a state holds of a collection, known absences among them.
func (s *State) Held(uuid pitr.UUID) int {
	if c := s.collections[uuid]; c != nil {
		return len(c.documents)
	}
	return 0
}

// Documents gives the documents that a state holds of a collection, by the equality form of their keys, in no order.
// Known absences are nil.
func (s *State) Documents(uuid pitr.UUID) iter.Seq2[string, bson.Raw] {
	return func(yield func(string, bson.Raw) bool) {
		c := s.collections[uuid]
		if c == nil {
			return
		}
		for key, document := range c.documents {
			if !yield(key, document) {
				return
			}
		}
	}
}
