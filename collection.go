package pitr

import (
	"encoding/hex"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// UUID is the identity of a collection: it survives renames, and a re-created collection has another one.
type UUID [16]byte

// ParseUUID reads the dashed lower-case form.
func ParseUUID(text string) (UUID, error) {
	var u UUID
	if len(text) != 36 {
		return u, fmt.Errorf("%q is not a UUID", text)
	}
	content, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(content) != len(u) {
		return u, fmt.Errorf("%q is not a UUID", text)
	}
	copy(u[:], content)
	if u.String() != strings.ToLower(text) {
		return UUID{}, fmt.Errorf("%q is not a UUID", text)
	}
	return u, nil
}

// UUIDOf reads the BSON form, a binary of subtype 4 and 16 bytes.
func UUIDOf(value bson.RawValue) (UUID, error) {
	var u UUID
	subtype, content, ok := value.BinaryOK()
	if !ok || subtype != bson.TypeBinaryUUID || len(content) != len(u) {
		return u, fmt.Errorf("a value of type %s is not a UUID", value.Type)
	}
	copy(u[:], content)
	return u, nil
}

// IsZero reports whether the collection has no UUID (views, compatible servers).
func (u UUID) IsZero() bool { return u == UUID{} }

// Binary gives the BSON form.
func (u UUID) Binary() bson.Binary {
	return bson.Binary{Subtype: bson.TypeBinaryUUID, Data: append([]byte(nil), u[:]...)}
}

// String gives the dashed form.
func (u UUID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}

// MarshalText gives the dashed form.
func (u UUID) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText reads the dashed form.
func (u *UUID) UnmarshalText(text []byte) (err error) {
	*u, err = ParseUUID(string(text))
	return err
}

// CollectionType is the kind of thing a namespace names, in the server's own words.
type CollectionType string

// The types that listCollections reports.
const (
	TypeCollection CollectionType = "collection"
	TypeView       CollectionType = "view"
	TypeTimeseries CollectionType = "timeseries"
)

// Collection is one entry of a catalog: a namespace with its identity, options and indexes at one moment. Options and
// index specs are raw BSON, so that the order of keys and the types of numbers survive.
type Collection struct {
	NS   Namespace
	UUID UUID
	Type CollectionType
	// Options is the options document of listCollections; an empty document when there are none.
	Options bson.Raw
	// Indexes are complete specs as listIndexes gives them, the _id index among them, in the server's order.
	Indexes []bson.Raw
}

// IsCapped reports whether natural order is part of the data.
func (c Collection) IsCapped() bool {
	capped, ok := lookup(c.Options, "capped").BooleanOK()
	return ok && capped
}

// Collation gives the collection's default collation, which plays a part in the equality of string ids; nil when simple.
func (c Collection) Collation() bson.Raw {
	document, ok := lookup(c.Options, "collation").DocumentOK()
	if !ok {
		return nil
	}
	if locale, ok := lookup(document, "locale").StringValueOK(); ok && locale == "simple" {
		return nil
	}
	return document
}

func lookup(document bson.Raw, name string) bson.RawValue {
	if len(document) == 0 {
		return bson.RawValue{}
	}
	return document.Lookup(name)
}

// IndexName gives the name of an index spec, empty when it has none.
func IndexName(spec bson.Raw) string {
	name, _ := lookup(spec, "name").StringValueOK()
	return name
}

// IsUnique reports whether an index spec forbids two documents with one key; the _id index does without saying so.
func IsUnique(spec bson.Raw) bool {
	if unique, ok := lookup(spec, "unique").BooleanOK(); ok && unique {
		return true
	}
	return IndexName(spec) == "_id_"
}

// Index gives the spec with this name, nil when there is none.
func (c Collection) Index(name string) bson.Raw {
	for _, spec := range c.Indexes {
		if IndexName(spec) == name {
			return spec
		}
	}
	return nil
}
