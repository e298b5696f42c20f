package command

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"pitr"
)

// Reply is the document of an answer while it grows in the connection's buffer.
type Reply struct {
	buffer []byte
	start  int
	open   []int
}

// NewReply opens a document at the end of a buffer.
func NewReply(buffer []byte) *Reply {
	return &Reply{buffer: append(buffer, 0, 0, 0, 0), start: len(buffer)}
}

// Reset throws away what was added.
func (r *Reply) Reset() {
	r.buffer = r.buffer[:r.start+4]
	r.open = nil
}

// Bytes closes the document and gives the buffer.
func (r *Reply) Bytes() []byte {
	r.buffer = append(r.buffer, 0)
	r.putLength(r.start)
	return r.buffer
}

// Document gives the document as it stands, closed; the reply goes on growing.
func (r *Reply) Document() bson.Raw {
	doc := append(append(bson.Raw(nil), r.buffer[r.start:]...), 0)
	binary.LittleEndian.PutUint32(doc, uint32(len(doc))) //nolint:gosec // far below 4 GiB
	return doc
}

func (r *Reply) putLength(start int) {
	binary.LittleEndian.PutUint32(r.buffer[start:], uint32(len(r.buffer)-start)) //nolint:gosec // far below 4 GiB
}

// Size is the number of bytes so far.
func (r *Reply) Size() int { return len(r.buffer) - r.start }

// Int32 adds a field.
func (r *Reply) Int32(name string, v int) {
	r.buffer = bsoncore.AppendInt32Element(r.buffer, name, int32(v)) //nolint:gosec // counts and codes
}

// Int64 adds a field.
func (r *Reply) Int64(name string, v int64) {
	r.buffer = bsoncore.AppendInt64Element(r.buffer, name, v)
}

// Double adds a field.
func (r *Reply) Double(name string, v float64) {
	r.buffer = bsoncore.AppendDoubleElement(r.buffer, name, v)
}

// True adds a field that is true.
func (r *Reply) True(name string) { r.buffer = bsoncore.AppendBooleanElement(r.buffer, name, true) }

// String adds a field.
func (r *Reply) String(name, v string) { r.buffer = bsoncore.AppendStringElement(r.buffer, name, v) }

// Timestamp adds a field.
func (r *Reply) Timestamp(name string, ts pitr.Timestamp) {
	r.buffer = bsoncore.AppendTimestampElement(r.buffer, name, ts.Seconds(), ts.Ordinal())
}

// Raw adds a document.
func (r *Reply) Raw(name string, doc bson.Raw) {
	r.buffer = bsoncore.AppendDocumentElement(r.buffer, name, doc)
}

// Value adds a value as it stands.
func (r *Reply) Value(name string, v bson.RawValue) {
	r.buffer = append(r.buffer, byte(v.Type))
	r.buffer = append(append(r.buffer, name...), 0)
	r.buffer = append(r.buffer, v.Value...)
}

// Set adds any value that the BSON library can write.
func (r *Reply) Set(name string, v any) {
	t, content, err := bson.MarshalValue(v)
	if err != nil {
		panic(fmt.Sprintf("a reply with %s = %v: %v", name, v, err)) // only values of our own come here
	}
	r.Value(name, bson.RawValue{Type: t, Value: content})
}

// Fields adds all fields of a document.
func (r *Reply) Fields(doc bson.Raw) {
	if len(doc) >= 5 {
		r.buffer = append(r.buffer, doc[4:len(doc)-1]...)
	}
}

// OpTime adds an optime.
func (r *Reply) OpTime(name string, o pitr.OpTime) {
	r.Begin(name)
	r.Timestamp("ts", o.TS)
	r.Int64("t", o.Term)
	r.End()
}

// Begin opens a document inside, End closes the innermost one.
func (r *Reply) Begin(name string) { r.beginAs(bson.TypeEmbeddedDocument, name) }

// BeginArray opens an array inside.
func (r *Reply) BeginArray(name string) { r.beginAs(bson.TypeArray, name) }

func (r *Reply) beginAs(t bson.Type, name string) {
	r.buffer = append(r.buffer, byte(t))
	r.buffer = append(append(r.buffer, name...), 0)
	r.open = append(r.open, len(r.buffer))
	r.buffer = append(r.buffer, 0, 0, 0, 0)
}

// End closes what was opened last.
func (r *Reply) End() {
	r.buffer = append(r.buffer, 0)
	last := len(r.open) - 1
	r.putLength(r.open[last])
	r.open = r.open[:last]
}

// Element adds a document to the open array; the caller counts.
func (r *Reply) Element(i int, doc bson.Raw) {
	r.buffer = append(r.buffer, byte(bson.TypeEmbeddedDocument))
	r.buffer = strconv.AppendInt(r.buffer, int64(i), 10)
	r.buffer = append(r.buffer, 0)
	r.buffer = append(r.buffer, doc...)
}
