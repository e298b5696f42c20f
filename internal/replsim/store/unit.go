package store

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/internal/replsim/mql"
)

// Unit is a unit of work: operations that become visible together. All its methods are called inside Store.Update. A unit
// ends with Commit or Abort; a transaction lives across several updates until then.
type Unit struct {
	// Moment is what the unit reads: the snapshot of a transaction and its own writes.
	Moment Moment
	// Session marks the entries of a retryable write or a transaction; nil for other writes.
	Session *Session
	// Bypass lets the unit write under a user write block.
	Bypass bool
	// Migrate marks the entries as internal writes (fromMigrate).
	Migrate bool

	s       *Store
	grouped bool
	slots   []pitr.Timestamp
	ops     []*Op
	pending []pendingVersion
	keys    []pendingKey
	changes []change
	touched map[*Collection]struct{}
	ended   bool
	// before is Session.Previous as it was when the unit began.
	before pitr.OpTime
}

// Session is what session fields an entry carries.
type Session struct {
	LSID      bson.Raw
	TxnNumber int64
	// Previous is the newest entry of this number, zero before the first.
	Previous pitr.OpTime
}

type pendingVersion struct {
	in      *Collection
	record  *Record
	version *version
	op      *Op
	// delta and size are what the operation adds to the numbers of documents and bytes.
	delta, size int64
}

type pendingKey struct {
	index *Index
	entry *indexEntry
	op    *Op
}

// change is a change of the catalog: how to make it public at a time, and how to take it back.
type change struct {
	op      *Op
	publish func(pitr.Timestamp)
	undo    func()
}

// Begin opens a plain unit: each operation gets a time and an entry of its own.
func (s *Store) Begin() *Unit {
	u := &Unit{s: s}
	u.Moment = Moment{TS: Latest.TS, Unit: u}
	return u
}

// BeginRetryable opens a plain unit whose entries carry session fields.
func (s *Store) BeginRetryable(session *Session) *Unit {
	u := s.Begin()
	u.Session, u.before = session, session.Previous
	return u
}

// BeginGroup opens a unit whose operations are logged as one applyOps and commit at one time. It reads the newest state.
func (s *Store) BeginGroup() *Unit {
	u := s.Begin()
	u.grouped = true
	return u
}

// BeginTransaction opens a group that reads a snapshot and may stay open.
func (s *Store) BeginTransaction(at pitr.Timestamp, session Session) *Unit {
	u := s.BeginGroup()
	u.Moment.TS, u.Session = at, &session
	s.open[u] = struct{}{}
	return u
}

// Now is the wall clock.
func (u *Unit) Now() time.Time { return u.s.options.Now() }

// Timestamp reserves a cluster time for a value inside a document.
func (u *Unit) Timestamp() pitr.Timestamp { return u.s.reserve(1) }

// Reserve takes times for the next n operations in advance, as the server does for a batch of inserts.
func (u *Unit) Reserve(n int) {
	first := u.s.reserve(n)
	for i := range n {
		u.slots = append(u.slots, first+pitr.Timestamp(i)) //nolint:gosec // a count
	}
}

// Ops is the number of operations that will be logged.
func (u *Unit) Ops() int { return len(u.ops) }

// Grouped reports whether the unit logs one applyOps.
func (u *Unit) Grouped() bool { return u.grouped }

// Note is what an entry may say beside the operation.
type Note struct {
	// Statement numbers the statement of a retryable write from 1; 0 is none. The entry's stmtId is one less.
	Statement int32
	// Image is "preImage" or "postImage" for a retryable findAndModify.
	Image string
}

// Insert adds a document that has its _id.
func (u *Unit) Insert(c *Collection, doc bson.Raw, note Note) (*Record, error) {
	id := doc.Lookup("_id")
	r := &Record{key: mql.Encode(id)}
	if err := u.checkID(c, r.key, id); err != nil {
		if u.grouped || c.silent {
			return nil, err
		}
		u.slot()
		return nil, err
	}
	op, err := u.log(c, Op{Kind: "i", O: doc, O2: idDocument(id), Note: note})
	if err != nil {
		return nil, err
	}
	c.nextID++
	r.ID = c.nextID
	for _, x := range c.Indexes {
		if err := x.change(place{u, c, r}, nil, op.O); err != nil {
			return nil, err
		}
	}
	c.records = append(c.records, r)
	c.ids.Set(r)
	u.put(c, r, pendingVersion{op: op, delta: 1, size: int64(len(doc))})
	return r, u.trim(c)
}

// checkID refuses a second document with one _id.
func (u *Unit) checkID(c *Collection, key string, id bson.RawValue) error {
	var err error
	c.withKey(key, func(other *Record) bool {
		switch {
		case other.conflicts(u):
			err = ErrConflict
		case other.alive():
			err = duplicateID(c, key, id)
		}
		return err == nil
	})
	return err
}

func duplicateID(c *Collection, key string, id bson.RawValue) error {
	x, err := mql.CompileIndex(plainIDIndex)
	if err != nil {
		return err
	}
	k := mql.IndexKey{Encoded: key, Values: []bson.RawValue{id}}
	return x.Duplicate(c.NS, k)
}

// Change is a new state of a document.
type Change struct {
	// After is the document, O the payload of the entry.
	After, O bson.Raw
	Note     Note
}

// Replace gives a document a new state.
func (u *Unit) Replace(c *Collection, r *Record, to Change) error {
	if r.conflicts(u) {
		return ErrConflict
	}
	before := r.At(u.Moment)
	for _, x := range c.Indexes {
		if err := x.change(place{u, c, r}, before, to.After); err != nil {
			return err
		}
	}
	op, err := u.log(c, Op{Kind: "u", O: to.O, O2: idDocument(before.Lookup("_id")), Note: to.Note, before: before, after: to.After})
	if err != nil {
		return err
	}
	u.put(c, r, pendingVersion{op: op, size: int64(len(to.After)) - int64(len(before))})
	return u.trim(c)
}

// Remove deletes a document.
func (u *Unit) Remove(c *Collection, r *Record, note Note) error {
	if r.conflicts(u) {
		return ErrConflict
	}
	before := r.At(u.Moment)
	op, err := u.log(c, Op{Kind: "d", O: idDocument(before.Lookup("_id")), Note: note, before: before})
	if err != nil {
		return err
	}
	for _, x := range c.Indexes {
		if err := x.change(place{u, c, r}, before, nil); err != nil {
			return err
		}
	}
	u.put(c, r, pendingVersion{op: op, delta: -1, size: -int64(len(before))})
	return nil
}

// put opens a new newest version.
func (u *Unit) put(c *Collection, r *Record, p pendingVersion) {
	p.in, p.record = c, r
	p.version = &version{owner: u, doc: p.op.state(), prev: r.head}
	r.head = p.version
	u.pending = append(u.pending, p)
	u.touch(c)
}

// Touch notes that the unit has used a collection: until it ends, nobody changes the catalog there.
func (u *Unit) touch(c *Collection) {
	if _, open := u.s.open[u]; !open {
		return
	}
	if u.touched == nil {
		u.touched = map[*Collection]struct{}{}
	}
	u.touched[c] = struct{}{}
	if c.users == nil {
		c.users = map[*Unit]struct{}{}
	}
	c.users[u] = struct{}{}
}

// Touch notes that a transaction reads a collection.
func (u *Unit) Touch(c *Collection) { u.touch(c) }

// trim removes the oldest documents of a capped collection that is over its limit.
func (u *Unit) trim(c *Collection) error {
	if !c.Capped() {
		return nil
	}
	count, size := c.count, c.bytes
	for _, p := range u.pending {
		if p.in == c {
			count, size = count+p.delta, size+p.size
		}
	}
	for r := range c.After(NaturalStart) {
		if size <= c.capped.size && (c.capped.max == 0 || count <= c.capped.max) {
			return nil
		}
		doc := r.At(u.Moment)
		if doc == nil {
			continue
		}
		if err := u.Remove(c, r, Note{}); err != nil {
			return err
		}
		count, size = count-1, size-int64(len(doc))
	}
	return nil
}

// changeKeys opens index entries.
func (u *Unit) changeKeys(x *Index, r *Record, removed, added []mql.IndexKey) {
	for _, key := range added {
		e := &indexEntry{key: key.Encoded, record: r, serial: u.s.serial(), adder: u}
		x.tree.Set(e)
		u.keys = append(u.keys, pendingKey{index: x, entry: e})
	}
	for _, key := range removed {
		x.live(r, key.Encoded, func(e *indexEntry) {
			e.remover = u
			u.keys = append(u.keys, pendingKey{index: x, entry: e})
		})
	}
}

// live finds the entry of a record that is not removed.
func (x *Index) live(r *Record, key string, visit func(*indexEntry)) {
	x.tree.Ascend(&indexEntry{key: key, record: r}, func(e *indexEntry) bool {
		if e.key != key || e.record != r {
			return false
		}
		if e.to == 0 && e.remover == nil {
			visit(e)
			return false
		}
		return true
	})
}

// log adds an operation; a plain unit fixes its time, and here a write block and a full disk end it.
func (u *Unit) log(c *Collection, op Op) (*Op, error) {
	op.NS, op.UUID, op.fromMigrate = c.NS, c.UUID, u.Migrate
	if c.silent {
		op.silent = true
		op.own()
		u.ops = append(u.ops, &op)
		return &op, nil
	}
	if u.s.fullDisk {
		return nil, errFullDisk
	}
	if !u.grouped {
		op.TS = u.slot()
	}
	if u.s.blocked && !u.Bypass && !Internal(DB(op.NS)) {
		if u.grouped {
			u.s.reserve(1)
		}
		return nil, ErrBlocked
	}
	u.keep(&op)
	return &op, nil
}

// keep adds an operation to the unit, in memory of its own: what a client sent may be a small part of a large message.
func (u *Unit) keep(op *Op) {
	u.ops = append(u.ops, op)
	if u.grouped {
		op.own()
		return
	}
	op.encoded = u.s.entry(op, u.Session)
	if op.Kind == "i" {
		op.O = op.encoded[op.at : op.at+len(op.O) : op.at+len(op.O)]
	}
	if u.Session != nil {
		u.Session.Previous = pitr.OpTime{TS: op.TS, Term: u.s.Term()}
	}
}

// slot gives the next reserved time, or reserves one.
func (u *Unit) slot() pitr.Timestamp {
	if len(u.slots) > 0 {
		ts := u.slots[0]
		u.slots = u.slots[1:]
		return ts
	}
	return u.s.reserve(1)
}

// Internal reports whether a database is the server's own, which a write block spares.
func Internal(db string) bool { return db == "admin" || db == "config" || db == "local" }

// ErrBlocked is a write of a user while setUserWriteBlockMode is on.
var ErrBlocked = &mql.Error{Code: 371, Message: "User writes blocked"}

var errFullDisk = &mql.Error{Code: 14031, Message: "available disk space of 0 bytes is less than required minimum"}

func (s *Store) serial() int64 {
	s.graveSerial++
	return s.graveSerial
}
