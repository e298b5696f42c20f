package mql

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/value"
)

// Index is a compiled index specification. It is safe for concurrent use.
type Index struct {
	name    string
	spec    bson.Raw
	fields  []indexField
	special string // kind of an index whose keys are not simulated: text, 2d, 2dsphere, hashed, wildcard
	unique  bool
	sparse  bool
	partial *Filter
	opts    Options
}

type indexField struct {
	name       string
	parts      []part
	descending bool
	pattern    value.Value
}

// CompileIndex reads {key, name, unique, sparse, partialFilterExpression, collation} as createIndexes takes it.
func CompileIndex(spec bson.Raw) (*Index, error) {
	x := &Index{
		name: value.Field(spec, "name").Str(), spec: spec,
		unique: value.Field(spec, "unique").Truth(), sparse: value.Field(spec, "sparse").Truth(),
		opts: Options{Collation: value.Field(spec, "collation").Document()},
	}
	key := value.Field(spec, "key")
	if key.Type != bson.TypeEmbeddedDocument || key.Len() == 0 {
		return nil, value.Errorf(value.CannotCreateIndex, "Index keys cannot be empty.")
	}
	for it := value.Iterate(bson.Raw(key.Data)); it.Next(); {
		f := indexField{name: string(it.Key()), pattern: it.Value()}
		if err := x.field(&f); err != nil {
			return nil, err
		}
		x.fields = append(x.fields, f)
	}
	if p := value.Field(spec, "partialFilterExpression"); p.Type == bson.TypeEmbeddedDocument {
		var err error
		if x.partial, err = Compile(bson.Raw(p.Data)); err != nil {
			return nil, err
		}
	}
	return x, nil
}

var indexKinds = []string{"text", "2d", "2dsphere", "hashed"}

func (x *Index) field(f *indexField) error {
	switch {
	case f.name == "":
		return value.Errorf(value.CannotCreateIndex, "Index keys cannot be an empty field.")
	case f.name == "$**" || strings.HasSuffix(f.name, ".$**"):
		x.special = "wildcard"
	case strings.HasPrefix(f.name, "$") && f.name != "$**" && !strings.HasPrefix(f.name, "$id") && !strings.HasPrefix(f.name, "$ref"):
		return value.Errorf(value.CannotCreateIndex, "Index key contains an illegal field name: field name starts with '$'.")
	}
	f.parts = parsePath(f.name)
	for _, p := range f.parts {
		if p.name == "" {
			return value.Errorf(value.CannotCreateIndex, "Index keys cannot contain an empty field.")
		}
	}
	switch v := f.pattern; {
	case v.Type == bson.TypeString:
		if !slices.Contains(indexKinds, v.Str()) {
			return value.Errorf(value.CannotCreateIndex, "Unknown index plugin '%s'", v.Str())
		}
		x.special = v.Str()
	case !v.IsNumber():
		return value.Errorf(value.CannotCreateIndex,
			"Values in v:2 index key pattern cannot be of type %s. Only numbers > 0, numbers < 0, and strings are allowed.", value.TypeName(v.Type))
	case !v.Truth() || value.IsNaN(v):
		return value.Errorf(value.CannotCreateIndex, "Values in the index key pattern cannot be 0.")
	default:
		f.descending = v.Float() < 0
	}
	return nil
}

// Name gives the index's name.
func (x *Index) Name() string { return x.name }

// Fields gives the names of the key pattern, in order.
func (x *Index) Fields() []string {
	names := make([]string, len(x.fields))
	for i, f := range x.fields {
		names[i] = f.name
	}
	return names
}

// IndexKeys are the keys of one document.
type IndexKeys struct {
	// Keys in rising order, no repeats. Empty if the document is not indexed (sparse, partial, or a kind without keys here).
	Keys []IndexKey
	// Multikey says that an array was unwound.
	Multikey bool
}

// IndexKey is one entry of an index.
type IndexKey struct {
	// Encoded orders as the index does, descending fields included; equal keys are equal strings.
	Encoded string
	// Values has one value per field of the key pattern, missing ones as null.
	Values []bson.RawValue
}

// Keys extracts the keys of a document.
func (x *Index) Keys(doc bson.Raw) (IndexKeys, error) {
	if x.special != "" {
		return IndexKeys{}, x.refuses(doc)
	}
	if x.partial != nil {
		if ok, err := x.partial.Match(doc); !ok || err != nil {
			return IndexKeys{}, err
		}
	}
	u := unwinder{fields: x.fields, sparse: x.sparse}
	if err := u.start(doc); err != nil {
		return IndexKeys{}, err
	}
	out := IndexKeys{Multikey: u.multikey, Keys: make([]IndexKey, 0, len(u.rows))}
	for _, row := range u.rows {
		key := IndexKey{Values: make([]bson.RawValue, len(row))}
		for i, v := range row {
			if err := x.opts.collates(v); err != nil {
				return IndexKeys{}, err
			}
			key.Values[i] = v.Raw()
		}
		key.Encoded = string(encodeRow(x.fields, row))
		out.Keys = append(out.Keys, key)
	}
	if len(out.Keys) > 1 {
		slices.SortFunc(out.Keys, func(a, b IndexKey) int { return strings.Compare(a.Encoded, b.Encoded) })
		out.Keys = slices.CompactFunc(out.Keys, func(a, b IndexKey) bool { return a.Encoded == b.Encoded })
	}
	return out, nil
}

// refuses knows the documents that a special index cannot hold.
func (x *Index) refuses(doc bson.Raw) error {
	for _, f := range x.fields {
		if f.pattern.Type == bson.TypeString && f.pattern.Str() == "hashed" && lookup(doc, f.parts).Type == bson.TypeArray {
			return value.Errorf(16766, "Error: hashed indexes do not currently support array values")
		}
	}
	return nil
}

func encodeRow(fields []indexField, row []value.Value) []byte {
	b := make([]byte, 0, 32*len(row))
	for i, v := range row {
		at := len(b)
		b = value.Encode(b, v)
		if fields[i].descending {
			value.Invert(b[at:])
		}
	}
	return b
}

// unwinder extracts rows of values, one per combination of array elements. All arrays on the way must be the same one.
type unwinder struct {
	fields   []indexField
	sparse   bool
	multikey bool
	rows     [][]value.Value
}

// cursor is how far one field has been followed. rest is empty and open false when its value is final.
type cursor struct {
	v    value.Value
	rest []part
	open bool // v is an array that must be unwound
}

func (u *unwinder) start(doc bson.Raw) error {
	cursors := make([]cursor, len(u.fields))
	for i, f := range u.fields {
		cursors[i] = follow(value.Doc(doc), f.parts)
	}
	return u.unwind(cursors)
}

// follow walks through documents, and into arrays where a name is the number of an element.
func follow(v value.Value, rest []part) cursor {
	for len(rest) > 0 {
		switch v.Type {
		case bson.TypeEmbeddedDocument:
			v = value.Field(bson.Raw(v.Data), rest[0].name)
		case bson.TypeArray:
			if rest[0].index < 0 {
				return cursor{v: v, rest: rest, open: true}
			}
			e := value.Field(bson.Raw(v.Data), rest[0].name)
			if !e.Exists() {
				return cursor{v: v, rest: rest, open: true}
			}
			v = e
		default:
			return cursor{}
		}
		rest = rest[1:]
	}
	return cursor{v: v, open: v.Type == bson.TypeArray}
}

func (u *unwinder) unwind(cursors []cursor) error {
	first := -1
	for i, c := range cursors {
		if !c.open {
			continue
		}
		if first < 0 {
			first = i
		} else if &c.v.Data[0] != &cursors[first].v.Data[0] {
			return value.Errorf(value.CannotIndexParallelArrays, "cannot index parallel arrays [%s] [%s]", lastName(u.fields[i]), lastName(u.fields[first]))
		}
	}
	if first < 0 {
		u.emit(cursors)
		return nil
	}
	u.multikey = true
	array := bson.Raw(cursors[first].v.Data)
	empty := true
	next := make([]cursor, len(cursors))
	for it := value.Iterate(array); it.Next(); {
		empty = false
		for i, c := range cursors {
			next[i] = c
			if c.open {
				next[i] = enter(it.Value(), c.rest)
			}
		}
		if err := u.unwind(next); err != nil {
			return err
		}
	}
	if empty {
		for i, c := range cursors {
			next[i] = c
			if c.open {
				next[i] = cursor{}
				if len(c.rest) == 0 {
					next[i].v = value.Value{Type: bson.TypeUndefined}
				}
			}
		}
		u.emit(next)
	}
	return nil
}

// enter goes on in an array element: only documents have more names, and an array in an array is a value.
func enter(e value.Value, rest []part) cursor {
	if len(rest) == 0 {
		return cursor{v: e}
	}
	if e.Type != bson.TypeEmbeddedDocument {
		return cursor{}
	}
	return follow(e, rest)
}

func lastName(f indexField) string { return f.parts[len(f.parts)-1].name }

func (u *unwinder) emit(cursors []cursor) {
	row, missing := make([]value.Value, len(cursors)), 0
	for i, c := range cursors {
		row[i] = c.v
		if !c.v.Exists() {
			row[i] = value.Null()
			missing++
		}
	}
	if u.sparse && missing == len(row) {
		return
	}
	u.rows = append(u.rows, row)
}

// KeyValue names the values of a key, as keyValue of error 11000 has it.
func (x *Index) KeyValue(k IndexKey) bson.Raw {
	b, at := value.Begin(nil)
	for i, f := range x.fields {
		b = value.Append(b, f.name, value.Of(k.Values[i]))
	}
	return value.End(b, at)
}

// Duplicate is error 11000 for a key; namespace is "db.collection". Info has keyPattern and keyValue.
func (x *Index) Duplicate(namespace string, k IndexKey) *Error {
	kv := x.KeyValue(k)
	b, at := value.Begin(nil)
	b = value.Append(b, "keyPattern", value.Field(x.spec, "key"))
	b = value.Append(b, "keyValue", value.Doc(kv))
	e := value.Errorf(value.DuplicateKey, "E11000 duplicate key error collection: %s index: %s dup key: %s", namespace, x.name, value.Text(value.Doc(kv)))
	e.Info = value.End(b, at)
	return e
}

// Bound encodes a min or max document of find: an inclusive lower or an exclusive upper limit on IndexKey.Encoded. Its fields
// must be those of the key pattern, in order.
func (x *Index) Bound(limit bson.Raw) (string, error) {
	row := make([]value.Value, 0, len(x.fields))
	for it := value.Iterate(limit); it.Next(); {
		if len(row) == len(x.fields) || string(it.Key()) != x.fields[len(row)].name {
			return "", value.Errorf(51174, "The index specified by hint does not match the field names of min or max: %s", value.Text(value.Doc(limit)))
		}
		if err := x.opts.collates(it.Value()); err != nil {
			return "", err
		}
		row = append(row, it.Value())
	}
	if len(row) != len(x.fields) {
		return "", value.Errorf(51174, "The index specified by hint does not match the field names of min or max: %s", value.Text(value.Doc(limit)))
	}
	return string(encodeRow(x.fields, row)), nil
}
