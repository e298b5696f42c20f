package oplog

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// Op is one operation: an entry by itself, or one inside a batch or a transaction. Its bytes belong to the entry's.
type Op struct {
	Kind Kind
	// NS is the collection that the operation is about, as it was called then; for a command without one, only the
	// database. The identity of a collection is its UUID, zero where the entry has none.
	NS   pitr.Namespace
	UUID pitr.UUID
	// O is the payload, O2 what some kinds add: the key of an update, what a command replaced.
	O, O2 bson.Raw
	// Upsert says that an update of a missing document makes one: rare, from old applyOps forms.
	Upsert bool
	// Command is the payload of a command, nil for other kinds.
	Command Command

	override Verdict
	reason   string
}

// Verdict says what becomes of the operation when history is folded, and why. It is that of its kind, but for a few
// operations that their content makes special.
func (o *Op) Verdict() (Verdict, string) {
	if o.override != "" {
		return o.override, o.reason
	}
	return o.Kind.Verdict()
}

// Key gives the identity of the document that an insert, update or delete is about.
func (o *Op) Key() (pitr.Key, error) {
	source := o.O
	if o.Kind == KindUpdate {
		source = o.O2
	}
	key, err := pitr.KeyOf(source)
	if err != nil {
		return pitr.Key{}, pitr.Corruptf("", "an operation %q on %s: %w", o.Kind, o.NS, err)
	}
	return key, nil
}

// Session names who wrote an entry in a retryable write or a transaction: the id document and the number in it.
type Session struct {
	ID  bson.Raw
	Txn int64
}

// IsZero reports whether the entry carries no session.
func (s Session) IsZero() bool { return s.ID == nil }

// Entry is one entry of an oplog. Its bytes share memory with Raw.
type Entry struct {
	Op
	// Raw is the entry as it was read.
	Raw    bson.Raw
	OpTime pitr.OpTime
	// Wall is the primary's clock when it made the entry; it can run back while cluster time does not.
	Wall time.Time
	// Session is zero unless the entry has both lsid and txnNumber.
	Session Session
	// Previous is the entry before in the same transaction or session, zero for the first.
	Previous pitr.OpTime
	// Alone says that the entry is applied by itself whatever Previous says (multiOpType 1, from 8.0).
	Alone bool
}

// Operations lists the operations of an entry as they stand, those inside batches and transactions flattened, whether or
// not they will ever count: Assembler knows that.
func (e *Entry) Operations() ([]Op, error) {
	batch, ok := e.Command.(Batch)
	if !ok {
		return []Op{e.Op}, nil
	}
	ops, err := decodeOps(nil, batch.Ops, 0)
	if err != nil {
		return nil, e.name(err)
	}
	return ops, nil
}
