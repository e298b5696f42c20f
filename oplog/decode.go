package oplog

import (
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// maxNesting bounds applyOps inside applyOps; the server allows its users ten levels.
const maxNesting = 10

// Decode reads what pitr needs to know of one entry; the entry keeps the bytes, and shares memory with them.
//
// Errors are of kind unsupported, naming optime and word, where the entry is sound but says something that pitr does not
// know: then time, session and bytes of the entry are still right, and an archive can keep it. They are of kind corrupt
// where the bytes are no entry.
func Decode(raw bson.Raw) (Entry, error) {
	e := Entry{Raw: raw, OpTime: pitr.OpTime{Term: -1}}
	var h header
	f := walk(raw)
	for f.next() {
		if err := h.read(&e, &f); err != nil {
			return e, e.name(err)
		}
	}
	if err := f.damage("the entry"); err != nil {
		return e, e.name(err)
	}
	if e.Session.ID == nil || !h.has(fieldTxnNumber) {
		e.Session = Session{}
	}
	switch {
	case !h.has(fieldTS) || !h.has(fieldOp) || !h.has(fieldNS) || !h.has(fieldO):
		return e, e.name(pitr.Corruptf("", "an entry without ts, op, ns or o"))
	case h.version != 2:
		return e, e.name(unknownWord("oplog version", fmt.Sprint(h.version)))
	}
	if err := e.finish(h.op, h.ns); err != nil {
		return e, e.name(err)
	}
	return e, nil
}

// name adds the optime of an entry to what is wrong with it.
func (e *Entry) name(err error) error {
	if e.OpTime.TS == 0 {
		return fmt.Errorf("read an oplog entry: %w", err)
	}
	return fmt.Errorf("read the oplog entry at %s: %w", e.OpTime, err)
}

func unknownWord(what, word string) error {
	return pitr.Errorf(pitr.KindUnsupported, "", "moments before this entry stay reachable; a newer pitr may know it",
		"the %s %q is not known", what, word)
}

// Bits of the fields that may stand in an entry only once.
const (
	fieldTS = 1 << iota
	fieldT
	fieldV
	fieldWall
	fieldOp
	fieldNS
	fieldUI
	fieldO
	fieldO2
	fieldB
	fieldLsid
	fieldTxnNumber
	fieldPrevious
	fieldMulti
)

// header collects what is read before the kind is known.
type header struct {
	seen    int
	op, ns  []byte
	version int64
}

func (h *header) has(field int) bool { return h.seen&field != 0 }

// once refuses a field that comes twice, or with another type than it has.
func (h *header) once(field int, f *fields, kinds ...bson.Type) error {
	if h.has(field) {
		return pitr.Corruptf("", "the field %q twice", f.name)
	}
	h.seen |= field
	for _, kind := range kinds {
		if f.kind == kind {
			return nil
		}
	}
	return pitr.Corruptf("", "the field %q of type %s", f.name, f.kind)
}

// read takes one top-level field of an entry; fields that pitr has no use for are passed over.
func (h *header) read(e *Entry, f *fields) error {
	var err error
	switch string(f.name) {
	case "ts":
		if err = h.once(fieldTS, f, bson.TypeTimestamp); err == nil {
			e.OpTime.TS = timestamp(f.value)
		}
	case "t":
		if err = h.once(fieldT, f, bson.TypeInt64, bson.TypeInt32); err == nil {
			e.OpTime.Term, _ = number(f.raw())
		}
	case "v":
		if err = h.once(fieldV, f, bson.TypeInt64, bson.TypeInt32); err == nil {
			h.version, _ = number(f.raw())
		}
	case "wall":
		if err = h.once(fieldWall, f, bson.TypeDateTime); err == nil {
			e.Wall = time.UnixMilli(f.raw().DateTime()).UTC()
		}
	case "lsid":
		if err = h.once(fieldLsid, f, bson.TypeEmbeddedDocument); err == nil {
			e.Session.ID = bson.Raw(f.value)
		}
	case "txnNumber":
		if err = h.once(fieldTxnNumber, f, bson.TypeInt64); err == nil {
			e.Session.Txn, _ = number(f.raw())
		}
	case "prevOpTime":
		if err = h.once(fieldPrevious, f, bson.TypeEmbeddedDocument); err == nil {
			e.Previous, err = readOpTime(f.value)
		}
	case "multiOpType":
		if err = h.once(fieldMulti, f, bson.TypeInt32, bson.TypeInt64, bson.TypeDouble); err == nil {
			kind, _ := number(f.raw())
			e.Alone = kind == 1
		}
	default:
		return h.readOp(&e.Op, f)
	}
	return err
}

// readOp takes one of the fields that an inner operation has too.
func (h *header) readOp(o *Op, f *fields) error {
	var err error
	switch string(f.name) {
	case "op":
		if err = h.once(fieldOp, f, bson.TypeString); err == nil {
			h.op = text(f.value)
		}
	case "ns":
		if err = h.once(fieldNS, f, bson.TypeString); err == nil {
			h.ns = text(f.value)
		}
	case "ui":
		if err = h.once(fieldUI, f, bson.TypeBinary); err == nil {
			o.UUID, err = readUUID(f.value)
		}
	case "o":
		if err = h.once(fieldO, f, bson.TypeEmbeddedDocument); err == nil {
			o.O = bson.Raw(f.value)
		}
	case "o2":
		if err = h.once(fieldO2, f, bson.TypeEmbeddedDocument); err == nil {
			o.O2 = bson.Raw(f.value)
		}
	case "b":
		if err = h.once(fieldB, f, bson.TypeBoolean); err == nil {
			o.Upsert = truth(f.raw())
		}
	case "isTimeseries":
		if truth(f.raw()) {
			o.override, o.reason = Refused, "viewless time-series collections are not understood yet"
		}
	case "tid":
		o.override, o.reason = Refused, "entries of serverless tenants are not understood"
	}
	return err
}

// finish gives an operation its kind, collection and command.
func (o *Op) finish(op, ns []byte) error {
	name := string(ns)
	for i := range ns {
		if ns[i] == '.' {
			o.NS = pitr.Namespace{DB: name[:i], Collection: name[i+1:]}
			break
		}
	}
	if len(op) == 1 && op[0] == 'c' {
		return o.decodeCommand()
	}
	o.Kind = kindOfOp(string(op))
	switch o.Kind {
	case KindUnknown:
		return unknownWord("operation", string(op))
	case KindInsert, KindUpdate, KindDelete:
		if o.NS.DB == "" || o.NS.Collection == "" {
			return pitr.Corruptf("", "an operation %q on %q", op, ns)
		}
		if o.Kind == KindUpdate && o.O2 == nil {
			return pitr.Corruptf("", "an update on %s without its key", o.NS)
		}
		if o.NS.DB == "admin" && o.NS.Collection == "system.version" {
			o.judgeVersion()
		}
	}
	return nil
}

// judgeVersion refuses a change of the feature compatibility version: the server rewrites parts of its catalog with it
// that have no entries.
func (o *Op) judgeVersion() {
	source := o.O
	if o.Kind == KindUpdate {
		source = o.O2
	}
	if id, ok := source.Lookup("_id").StringValueOK(); ok && id == "featureCompatibilityVersion" {
		o.override, o.reason = Refused, "the feature compatibility version changes here"
	}
}

// decodeOps lists the operations of an applyOps array, those of inner ones in their place.
func decodeOps(ops []Op, array bson.Raw, depth int) ([]Op, error) {
	if depth > maxNesting {
		return nil, pitr.Corruptf("", "applyOps nested deeper than %d levels", maxNesting)
	}
	f := walk(array)
	for f.next() {
		if f.kind != bson.TypeEmbeddedDocument {
			return nil, pitr.Corruptf("", "an applyOps holds a value of type %s", f.kind)
		}
		o, err := decodeInner(f.value)
		if err != nil {
			return nil, err
		}
		switch command := o.Command.(type) {
		case Batch:
			if command.Partial || command.Prepare {
				return nil, pitr.Corruptf("", "a part of a transaction inside an applyOps")
			}
			if ops, err = decodeOps(ops, command.Ops, depth+1); err != nil {
				return nil, err
			}
			continue
		case Commit, Abort, DropDatabase:
			return nil, pitr.Corruptf("", "a %s inside an applyOps", o.Kind)
		}
		ops = append(ops, o)
	}
	if err := f.damage("applyOps"); err != nil {
		return nil, err
	}
	return ops, nil
}

func decodeInner(document []byte) (Op, error) {
	var (
		o Op
		h header
	)
	f := walk(document)
	for f.next() {
		if err := h.readOp(&o, &f); err != nil {
			return o, err
		}
	}
	if err := f.damage("an operation inside an applyOps"); err != nil {
		return o, err
	}
	if !h.has(fieldOp) || !h.has(fieldNS) || !h.has(fieldO) {
		return o, pitr.Corruptf("", "an operation inside an applyOps without op, ns or o")
	}
	return o, o.finish(h.op, h.ns)
}

func timestamp(value []byte) pitr.Timestamp {
	seconds, ordinal := bson.RawValue{Type: bson.TypeTimestamp, Value: value}.Timestamp()
	return pitr.NewTimestamp(seconds, ordinal)
}

// readOpTime reads {ts, t}; the null form is the zero optime.
func readOpTime(document []byte) (pitr.OpTime, error) {
	var at pitr.OpTime
	f := walk(document)
	for f.next() {
		switch {
		case string(f.name) == "ts" && f.kind == bson.TypeTimestamp:
			at.TS = timestamp(f.value)
		case string(f.name) == "t":
			at.Term, _ = number(f.raw())
		}
	}
	if at.TS == 0 {
		at = pitr.OpTime{}
	}
	return at, f.damage("an optime")
}

func readUUID(value []byte) (pitr.UUID, error) {
	var id pitr.UUID
	if len(value) != 5+len(id) || value[4] != bson.TypeBinaryUUID {
		return id, pitr.Corruptf("", "the field \"ui\" is no UUID")
	}
	copy(id[:], value[5:])
	return id, nil
}
