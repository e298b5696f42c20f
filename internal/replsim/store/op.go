package store

import (
	"bytes"
	"encoding/binary"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"pitr"
)

// Op is one operation as an entry tells it.
type Op struct {
	// Kind is i, u, d, c or n.
	Kind string
	NS   string
	UUID pitr.UUID
	O    bson.Raw
	O2   bson.Raw
	Note Note
	// TS is the entry's time in a plain unit; in a group it is set when the group commits.
	TS pitr.Timestamp

	before, after bson.Raw
	fromMigrate   bool
	silent        bool
	// encoded is the entry of a plain unit, built when the operation is logged; at is where its payload begins.
	encoded []byte
	at      int
}

// own copies what a client sent.
func (o *Op) own() { o.O, o.O2, o.after = bytes.Clone(o.O), bytes.Clone(o.O2), bytes.Clone(o.after) }

// state is the document after the operation.
func (o *Op) state() bson.Raw {
	switch o.Kind {
	case "i":
		return o.O
	case "u":
		return o.after
	}
	return nil
}

// appendFields writes what an entry and an inner operation of applyOps have in common.
func (o *Op) appendFields(dst []byte) []byte {
	dst = bsoncore.AppendStringElement(dst, "op", o.Kind)
	dst = bsoncore.AppendStringElement(dst, "ns", o.NS)
	if !o.UUID.IsZero() {
		dst = appendUUID(dst, "ui", o.UUID)
	}
	dst = append(dst, byte(bson.TypeEmbeddedDocument), 'o', 0)
	o.at = len(dst)
	dst = append(dst, o.O...)
	if o.O2 != nil {
		dst = appendDocument(dst, "o2", o.O2)
	}
	if o.Note.Image != "" {
		dst = bsoncore.AppendStringElement(dst, "needsRetryImage", o.Note.Image)
	}
	if o.Note.Statement != 0 {
		dst = bsoncore.AppendInt32Element(dst, "stmtId", o.Note.Statement-1)
	}
	if o.fromMigrate {
		dst = bsoncore.AppendBooleanElement(dst, "fromMigrate", true)
	}
	return dst
}

// appendInner writes the operation as an element of applyOps.
func (o *Op) appendInner(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = append(o.appendFields(dst), 0)
	putLength(dst, start)
	return dst
}

func (o *Op) innerSize() int {
	return len(o.O) + len(o.O2) + len(o.NS) + 96
}

// noTerm is the term before the first election; entries of that time name none.
const noTerm = -1

// entry builds a complete entry of the oplog.
func (s *Store) entry(o *Op, session *Session) []byte {
	dst := make([]byte, 4, len(o.O)+len(o.O2)+len(o.NS)+320)
	if session != nil {
		dst = appendDocument(dst, "lsid", session.LSID)
		dst = bsoncore.AppendInt64Element(dst, "txnNumber", session.TxnNumber)
	}
	dst = o.appendFields(dst)
	dst = bsoncore.AppendTimestampElement(dst, "ts", o.TS.Seconds(), o.TS.Ordinal())
	if s.Term() != noTerm {
		dst = bsoncore.AppendInt64Element(dst, "t", s.Term())
	}
	dst = bsoncore.AppendInt64Element(dst, "v", 2)
	dst = bsoncore.AppendDateTimeElement(dst, "wall", s.options.Now().UnixMilli())
	if session != nil {
		previous := session.Previous
		if previous.IsZero() {
			previous.Term = -1
		}
		dst = appendOpTime(dst, "prevOpTime", previous)
	}
	dst = append(dst, 0)
	putLength(dst, 0)
	return dst
}

func appendDocument(dst []byte, name string, doc bson.Raw) []byte {
	return bsoncore.AppendDocumentElement(dst, name, doc)
}

func appendUUID(dst []byte, name string, u pitr.UUID) []byte {
	return bsoncore.AppendBinaryElement(dst, name, bson.TypeBinaryUUID, u[:])
}

func appendOpTime(dst []byte, name string, o pitr.OpTime) []byte {
	start, dst := bsoncore.AppendDocumentElementStart(dst, name)
	dst = bsoncore.AppendTimestampElement(dst, "ts", o.TS.Seconds(), o.TS.Ordinal())
	dst = bsoncore.AppendInt64Element(dst, "t", o.Term)
	dst, _ = bsoncore.AppendDocumentEnd(dst, start) // fails on overflow only
	return dst
}

func putLength(dst []byte, start int) {
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start)) //nolint:gosec // far below 4 GiB
}

// idDocument makes {_id: value}.
func idDocument(id bson.RawValue) bson.Raw {
	dst := make([]byte, 4, len(id.Value)+10)
	dst = append(dst, byte(id.Type))
	dst = append(dst, "_id\x00"...)
	dst = append(append(dst, id.Value...), 0)
	putLength(dst, 0)
	return dst
}

var plainIDIndex = mustDocument(bson.D{{Key: "v", Value: int32(2)}, {Key: "key", Value: bson.D{{Key: "_id", Value: int32(1)}}}, {Key: "name", Value: "_id_"}})

func mustDocument(d bson.D) bson.Raw {
	raw, err := bson.Marshal(d)
	if err != nil {
		panic(err) // only constants come here
	}
	return raw
}

// IDDocument makes {_id: value}.
func IDDocument(id bson.RawValue) bson.Raw { return idDocument(id) }
