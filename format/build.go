package format

import (
	"encoding/binary"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// builder appends elements to a BSON document. The driver's own encoder is not used for what pitr writes: here the order
// of fields, their types and their absence are part of the format, and can be read off the code.
type builder struct {
	data   []byte
	starts []int
}

func newDocument() *builder { return &builder{data: make([]byte, 4, 256), starts: []int{0}} }

// done closes the document.
func (b *builder) done() bson.Raw {
	b.end()
	return b.data
}

func (b *builder) end() {
	start := b.starts[len(b.starts)-1]
	b.starts = b.starts[:len(b.starts)-1]
	b.data = append(b.data, 0)
	binary.LittleEndian.PutUint32(b.data[start:], uint32(len(b.data)-start))
}

func (b *builder) key(kind bson.Type, key string) *builder {
	b.data = append(b.data, byte(kind))
	b.data = append(b.data, key...)
	b.data = append(b.data, 0)
	return b
}

// begin opens an embedded document or array; end closes it.
func (b *builder) begin(kind bson.Type, key string) {
	b.key(kind, key)
	b.starts = append(b.starts, len(b.data))
	b.data = append(b.data, 0, 0, 0, 0)
}

func (b *builder) uint32(n uint32) { b.data = binary.LittleEndian.AppendUint32(b.data, n) }
func (b *builder) uint64(n uint64) { b.data = binary.LittleEndian.AppendUint64(b.data, n) }

func (b *builder) int32(key string, n int) {
	b.key(bson.TypeInt32, key).uint32(uint32(n))
}

func (b *builder) int64(key string, n int64) {
	b.key(bson.TypeInt64, key).uint64(uint64(n))
}

func (b *builder) string(key, text string) {
	b.key(bson.TypeString, key).uint32(uint32(len(text) + 1))
	b.data = append(b.data, text...)
	b.data = append(b.data, 0)
}

func (b *builder) binary(key string, content []byte) {
	b.key(bson.TypeBinary, key).uint32(uint32(len(content)))
	b.data = append(b.data, bson.TypeBinaryGeneric)
	b.data = append(b.data, content...)
}

func (b *builder) null(key string) { b.key(bson.TypeNull, key) }

func (b *builder) timestamp(key string, t pitr.Timestamp) {
	b.key(bson.TypeTimestamp, key).uint64(uint64(t))
}

// opTime appends {ts, t}, as the server does.
func (b *builder) opTime(key string, o pitr.OpTime) {
	b.begin(bson.TypeEmbeddedDocument, key)
	b.timestamp("ts", o.TS)
	b.int64("t", o.Term)
	b.end()
}

// uuid appends the UUID unless it is zero.
func (b *builder) uuid(key string, u pitr.UUID) {
	if u.IsZero() {
		return
	}
	b.key(bson.TypeBinary, key).uint32(uint32(len(u)))
	b.data = append(b.data, bson.TypeBinaryUUID)
	b.data = append(b.data, u[:]...)
}

// document appends a document as it is, unless it is nil.
func (b *builder) document(key string, document bson.Raw) {
	if document != nil {
		b.value(key, bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: document})
	}
}

// value appends a value as it is.
func (b *builder) value(key string, value bson.RawValue) {
	b.key(value.Type, key)
	b.data = append(b.data, value.Value...)
}

// fields takes a document apart, each of pitr's own fields by name and type; the first fault stays. Fields that nobody
// asks for belong to a later pitr and are left alone.
type fields struct {
	all []element
	// places finds the fields of documents that have many by name; nil for those with few.
	places map[string]int
	err    error
}

type element struct {
	key   string
	value bson.RawValue
}

// fewFields is up to how many fields looking through a list is faster than a map.
const fewFields = 24

// readFields refuses documents of broken structure and repeated fields.
func readFields(document bson.Raw) *fields {
	f := &fields{}
	if f.err = ValidateDocument(document); f.err != nil {
		return f
	}
	elements, err := document.Elements()
	if err != nil {
		f.err = err
		return f
	}
	f.all = make([]element, 0, len(elements))
	if len(elements) > fewFields {
		f.places = make(map[string]int, len(elements))
	}
	for _, each := range elements {
		key := each.Key()
		if f.place(key) >= 0 {
			f.err = fmt.Errorf("the field %.80q stands twice", key)
			return f
		}
		if f.places != nil {
			f.places[key] = len(f.all)
		}
		f.all = append(f.all, element{key: key, value: each.Value()})
	}
	return f
}

// place gives the number of a field, -1 where it is absent.
func (f *fields) place(key string) int {
	if f.places != nil {
		if at, found := f.places[key]; found {
			return at
		}
		return -1
	}
	return slices.IndexFunc(f.all, func(each element) bool { return each.key == key })
}

// value gives a field as it is.
func (f *fields) value(key string) (bson.RawValue, bool) {
	at := f.place(key)
	if at < 0 {
		return bson.RawValue{}, false
	}
	return f.all[at].value, true
}

// fail keeps the first fault.
func (f *fields) fail(key string, err error) {
	if f.err == nil {
		f.err = fmt.Errorf("field %q: %w", key, err)
	}
}

func (f *fields) has(key string) bool {
	value, found := f.value(key)
	return found && value.Type != bson.TypeNull
}

// typed gives the value of a field that must be there; ok is what the value's own reader said.
func typed[V any](f *fields, key string, read func(bson.RawValue) (V, bool)) V {
	value, found := f.value(key)
	content, ok := read(value)
	if !found || !ok {
		f.fail(key, fmt.Errorf("missing or of another type"))
	}
	return content
}

// int64 accepts both integer types.
func (f *fields) int64(key string) int64 {
	return typed(f, key, func(v bson.RawValue) (int64, bool) {
		if v.Type == bson.TypeInt32 {
			return int64(v.Int32()), true
		}
		return v.Int64OK()
	})
}

// count reads a number that is not negative and at most largest.
func (f *fields) count(key string, largest int64) int64 { return f.between(key, 0, largest) }

func (f *fields) between(key string, smallest, largest int64) int64 {
	n := f.int64(key)
	if n < smallest || n > largest {
		f.fail(key, fmt.Errorf("%d is out of bounds", n))
		return 0
	}
	return n
}

func (f *fields) string(key string) string {
	return typed(f, key, bson.RawValue.StringValueOK)
}

func (f *fields) document(key string) bson.Raw {
	return typed(f, key, bson.RawValue.DocumentOK)
}

// optional gives nil where the field is absent.
func (f *fields) optional(key string) bson.Raw {
	if !f.has(key) {
		return nil
	}
	return f.document(key)
}

// list gives the values of an array in their order.
func (f *fields) list(key string) []bson.RawValue {
	array := typed(f, key, bson.RawValue.ArrayOK)
	values, err := array.Values()
	if err != nil {
		f.fail(key, err)
	}
	return values
}

func (f *fields) binary(key string, size int) []byte {
	return typed(f, key, func(v bson.RawValue) ([]byte, bool) {
		_, content, ok := v.BinaryOK()
		if !ok || len(content) != size {
			return make([]byte, size), false
		}
		return content, true
	})
}

func (f *fields) digest(key string) Digest { return Digest(f.binary(key, len(Digest{}))) }

func (f *fields) timestamp(key string) pitr.Timestamp {
	return typed(f, key, func(v bson.RawValue) (pitr.Timestamp, bool) {
		seconds, ordinal, ok := v.TimestampOK()
		return pitr.NewTimestamp(seconds, ordinal), ok
	})
}

func (f *fields) opTime(key string) pitr.OpTime {
	inner := readFields(f.document(key))
	o := pitr.OpTime{TS: inner.timestamp("ts"), Term: inner.int64("t")}
	if inner.err != nil {
		f.fail(key, inner.err)
	}
	return o
}

// uuid gives zero where the field is absent.
func (f *fields) uuid(key string) pitr.UUID {
	if !f.has(key) {
		return pitr.UUID{}
	}
	return typed(f, key, func(v bson.RawValue) (pitr.UUID, bool) {
		u, err := pitr.UUIDOf(v)
		return u, err == nil
	})
}

func (f *fields) namespace(key string) pitr.Namespace {
	return typed(f, key, func(v bson.RawValue) (pitr.Namespace, bool) {
		text, ok := v.StringValueOK()
		ns, err := pitr.ParseNamespace(text)
		return ns, ok && err == nil
	})
}
