package store

import (
	"errors"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"pitr"
	"pitr/internal/replsim/mql"
)

// ErrExists is a collection that is there already.
var ErrExists = errors.New("the collection exists")

// NewCollection is what Create needs.
type NewCollection struct {
	NS   string
	UUID pitr.UUID
	// Options is the options document in the server's order; nil for none.
	Options bson.Raw
	// IDIndex is the _id index; nil for a clustered collection.
	IDIndex bson.Raw
	// O is the payload of the entry where it is not the usual one.
	O bson.Raw
	// Silent collections change without entries.
	Silent bool
}

// Create makes a collection and logs it.
func (u *Unit) Create(spec NewCollection) (*Collection, error) {
	if taken := u.s.names[spec.NS]; taken != nil {
		if taken.owner != nil && taken.owner != u {
			return nil, ErrConflict
		}
		return nil, ErrExists
	}
	if spec.UUID.IsZero() {
		spec.UUID = u.s.NewUUID()
	}
	if spec.Options == nil {
		spec.Options = emptyDocument
	}
	c := &Collection{
		UUID: spec.UUID, NS: spec.NS, IDIndex: slices.Clone(spec.IDIndex), store: u.s, owner: u, ids: newIDs(), silent: spec.Silent,
	}
	if err := c.setOptions(slices.Clone(spec.Options)); err != nil {
		return nil, err
	}
	op := &Op{silent: true}
	if !spec.Silent {
		o := spec.O
		if o == nil {
			o = createPayload(c)
		}
		var err error
		if op, err = u.Command(DB(spec.NS), spec.UUID, o, nil); err != nil {
			return nil, err
		}
	}
	u.s.names[spec.NS], u.s.uuids[spec.UUID] = c, c
	u.touch(c)
	u.changes = append(u.changes, change{
		op: op,
		publish: func(ts pitr.Timestamp) {
			c.owner = nil
			c.remember(ts)
		},
		undo: func() {
			delete(u.s.names, c.NS)
			delete(u.s.uuids, c.UUID)
		},
	})
	return c, nil
}

func createPayload(c *Collection) bson.Raw {
	dst := make([]byte, 4, 64+len(c.Options)+len(c.IDIndex))
	dst = bsoncore.AppendStringElement(dst, "create", Name(c.NS))
	dst = append(dst, c.Options[4:len(c.Options)-1]...)
	if c.IDIndex != nil {
		dst = appendDocument(dst, "idIndex", c.IDIndex)
	}
	return finish(dst)
}

var emptyDocument = bson.Raw{5, 0, 0, 0, 0}

func (c *Collection) setOptions(options bson.Raw) error {
	c.Options, c.capped, c.Validator, c.clustered = options, limit{}, nil, false
	if capped, _ := options.Lookup("capped").BooleanOK(); capped {
		c.capped.size, _ = options.Lookup("size").AsInt64OK()
		c.capped.max, _ = options.Lookup("max").AsInt64OK()
	}
	if clustered := options.Lookup("clusteredIndex"); clustered.Type != 0 {
		c.clustered = clustered.Type == bson.TypeEmbeddedDocument || clustered.Boolean()
	}
	validator := document(options.Lookup("validator"))
	if len(validator) <= len(emptyDocument) {
		return nil
	}
	compiled, err := mql.Compile(validator)
	var refused *mql.Error
	if errors.As(err, &refused) && refused.Code == notImplemented {
		return nil // such a validator is stored and shown, and refuses nothing
	}
	c.Validator = compiled
	return err
}

// remember notes the present state of the catalog entry.
func (c *Collection) remember(ts pitr.Timestamp) {
	indexes := make([]indexState, len(c.Indexes))
	for i, x := range c.Indexes {
		indexes[i] = indexState{index: x, spec: x.Spec, ready: x.ready}
	}
	c.states = append(c.states, state{from: ts, ns: c.NS, options: c.Options, indexes: indexes})
	c.store.changed = ts
}

// Command logs a command entry of a database.
func (u *Unit) Command(db string, uuid pitr.UUID, o, o2 bson.Raw) (*Op, error) {
	return u.log(&Collection{NS: db + ".$cmd", UUID: uuid}, Op{Kind: "c", O: o, O2: o2})
}

// Message logs a no-op entry.
func (u *Unit) Message(o bson.Raw) error {
	_, err := u.log(&Collection{NS: ""}, Op{Kind: "n", O: o})
	return err
}

// Drop removes a collection. It conflicts as long as a transaction uses it.
func (u *Unit) Drop(c *Collection) error {
	if c.busy(u) {
		return ErrConflict
	}
	op := &Op{silent: true}
	if !c.silent {
		var err error
		o := mustDocument(bson.D{{Key: "drop", Value: Name(c.NS)}})
		if op, err = u.Command(DB(c.NS), c.UUID, o, c.numRecords()); err != nil {
			return err
		}
	}
	u.vanish(c, op)
	return nil
}

func (c *Collection) numRecords() bson.Raw {
	return mustDocument(bson.D{{Key: "numRecords", Value: int32(c.count)}}) //nolint:gosec // far fewer here
}

// vanish takes a collection out of the catalog; its data stays for the history window.
func (u *Unit) vanish(c *Collection, op *Op) {
	ns := c.NS
	delete(u.s.names, ns)
	u.changes = append(u.changes, change{
		op: op,
		publish: func(ts pitr.Timestamp) {
			c.states = append(c.states, state{from: ts, ns: ns, options: c.Options, dropped: true})
			u.s.changed = ts
			u.s.graves.add(grave{ts: ts, in: c})
		},
		undo: func() { u.s.names[ns] = c },
	})
}

// InUse gives ErrConflict while an open transaction uses the collection: asked before a composed change, whose first parts
// could not be taken back.
func (c *Collection) InUse() error {
	if len(c.users) > 0 {
		return ErrConflict
	}
	return nil
}

// busy reports whether another open unit uses the collection.
func (c *Collection) busy(u *Unit) bool {
	for other := range c.users {
		if other != u {
			return true
		}
	}
	return false
}

// DropDatabase logs the end of a database whose collections are gone.
func (u *Unit) DropDatabase(db string) error {
	_, err := u.Command(db, pitr.UUID{}, mustDocument(bson.D{{Key: "dropDatabase", Value: int32(1)}}), nil)
	return err
}

// Rename gives a collection another name in its database; a collection with that name is dropped by the same entry.
func (u *Unit) Rename(c *Collection, to string) error {
	target := u.s.names[to]
	if c.busy(u) || target != nil && target.busy(u) {
		return ErrConflict
	}
	o := bson.D{{Key: "renameCollection", Value: c.NS}, {Key: "to", Value: to}, {Key: "stayTemp", Value: false}}
	var o2 bson.Raw
	if target != nil {
		o = append(o, bson.E{Key: "dropTarget", Value: target.UUID.Binary()})
		o2 = target.numRecords()
	}
	op, err := u.Command(DB(c.NS), c.UUID, mustDocument(o), o2)
	if err != nil {
		return err
	}
	if target != nil {
		u.vanish(target, op)
	}
	from, options := c.NS, c.Options
	delete(u.s.names, from)
	u.s.names[to] = c
	c.NS = to
	if err := c.setOptions(withoutField(options, "temp")); err != nil {
		return err
	}
	u.changes = append(u.changes, change{
		op:      op,
		publish: c.remember,
		undo: func() {
			delete(u.s.names, to)
			u.s.names[from] = c
			c.NS = from
			_ = c.setOptions(options) // compiled before
		},
	})
	return nil
}

func withoutField(doc bson.Raw, name string) bson.Raw {
	if doc.Lookup(name).Type == 0 {
		return doc
	}
	elements, err := doc.Elements()
	if err != nil {
		return doc
	}
	dst := make([]byte, 4, len(doc))
	for _, e := range elements {
		if e.Key() != name {
			dst = append(dst, e...)
		}
	}
	return finish(dst)
}

// Modify changes the options of a collection.
func (u *Unit) Modify(c *Collection, to Modification) error {
	if c.busy(u) {
		return ErrConflict
	}
	old := c.Options
	if err := c.setOptions(slices.Clone(to.New)); err != nil {
		_ = c.setOptions(old) // compiled before
		return err
	}
	op, err := u.Command(DB(c.NS), c.UUID, to.O, to.O2)
	u.changes = append(u.changes, change{
		op: op, publish: c.remember,
		undo: func() { _ = c.setOptions(old) }, // compiled before
	})
	return err
}

// Find gives the collection that a name had at a moment, nil if none.
func (s *Store) Find(ns string, m Moment) *Collection {
	c := s.names[ns]
	if c != nil && c.owner != nil && c.owner != m.Unit {
		c = nil
	}
	if m.TS >= s.changed || c != nil && c.owner == m.Unit && m.Unit != nil {
		return c
	}
	for _, other := range s.uuids {
		if at, there := other.at(m.TS); there && at.ns == ns {
			return other
		}
	}
	return nil
}

// ByUUID gives the collection with an identity, nil if there is none now.
func (s *Store) ByUUID(uuid pitr.UUID, m Moment) *Collection {
	c := s.uuids[uuid]
	if c == nil || c.Dropped() || c.owner != nil && c.owner != m.Unit {
		return nil
	}
	return c
}

// Collections gives the collections of a database, in the order of their UUIDs as the server lists them; all databases if
// the name is empty.
func (s *Store) Collections(db string, m Moment) []*Collection {
	var found []*Collection
	for ns, c := range s.names {
		if (db == "" || strings.HasPrefix(ns, db) && DB(ns) == db) && (c.owner == nil || c.owner == m.Unit) {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b *Collection) int {
		if order := strings.Compare(DB(a.NS), DB(b.NS)); order != 0 {
			return order
		}
		return strings.Compare(string(a.UUID[:]), string(b.UUID[:]))
	})
	return found
}

// Open is the number of open transactions.
func (s *Store) Open() int { return len(s.open) }

// SetBlocked switches the user write block. It is kept by whoever writes its document.
func (s *Store) SetBlocked(mode BlockMode) { s.blocked = mode == BlockOn }

// Blocked reports the mode of the user write block.
func (s *Store) Blocked() BlockMode {
	if s.blocked {
		return BlockOn
	}
	return BlockOff
}

// BlockMode is the state of the user write block, with the numbers of serverStatus.
type BlockMode int32

// The two modes.
const (
	BlockOff BlockMode = 1
	BlockOn  BlockMode = 2
)

// Disk is the state of the simulated disk.
type Disk int

// The states: on a full disk every write fails.
const (
	DiskGood Disk = iota
	DiskFull
)

// SetDisk fills or frees the disk.
func (s *Store) SetDisk(disk Disk) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fullDisk = disk == DiskFull
}
