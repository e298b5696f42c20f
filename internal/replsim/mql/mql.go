package mql

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/value"
)

// Error is a failure as a client sees it: code, code name, message, errInfo.
type Error = value.Error

// Options are what a filter, a pipeline or an update may need besides its own text. The zero value is good.
type Options struct {
	// Let holds the variables that expressions reach as "$$name".
	Let bson.Raw
	// Now is $$NOW; zero means 1970.
	Now time.Time
	// ClusterTime is $$CLUSTER_TIME; zero means that the variable is refused.
	ClusterTime bson.Timestamp
	// Collation is the command's or the collection's collation; anything but the simple one refuses to compare strings.
	Collation bson.Raw
}

// Compare orders two values as the server does: by canonical type, numbers across types. Missing (the zero value) is lowest.
func Compare(a, b bson.RawValue) int { panic("soon") }

// Equal reports Compare == 0.
func Equal(a, b bson.RawValue) bool { return Compare(a, b) == 0 }

// Text writes a value as messages of the server show it: { a: 1, t: "word1" }.
func Text(v bson.RawValue) string { panic("soon") }

// Encode gives a string whose byte order is Compare's order; equal values have equal strings.
func Encode(v bson.RawValue) string { panic("soon") }

// Lookup finds the value at a dotted path, the first one if arrays of documents lie on it; the zero value if there is none.
func Lookup(doc bson.Raw, path string) bson.RawValue { panic("soon") }

// Filter is a compiled query. It is safe for concurrent use.
type Filter struct{}

// Compile reads a filter with default options.
func Compile(filter bson.Raw) (*Filter, error) { return CompileWith(filter, Options{}) }

// CompileWith reads a filter; what the server refuses is an *Error with its code.
func CompileWith(filter bson.Raw, o Options) (*Filter, error) { panic("soon") }

// Match says whether the document satisfies the filter; an error comes only from $expr.
func (f *Filter) Match(doc bson.Raw) (bool, error) { panic("soon") }

// Points gives the values that the path must be equal to in any match ({path: v}, $eq, $in), for a look-up by index.
// ok is false if the filter does not say.
func (f *Filter) Points(path string) (values []bson.RawValue, ok bool) { panic("soon") }

// Range gives the bounds that the path's values must lie in in any match; Bounds without limits if the filter does not say.
func (f *Filter) Range(path string) Bounds { panic("soon") }

// Failure explains why a document does not satisfy a validator: the details of error 121. Nil if it does.
func (f *Filter) Failure(doc bson.Raw) bson.Raw { panic("soon") }

// Bounds are limits on encoded values (see Encode); an empty Low or High is open.
type Bounds struct {
	Low, High               string
	ExcludeLow, ExcludeHigh bool
}

// Sort is a compiled sort pattern.
type Sort struct{}

// CompileSort reads {field: 1 | -1 | {$meta: ...}}.
func CompileSort(spec bson.Raw) (*Sort, error) { panic("soon") }

// Key gives a string whose byte order is the order of documents under this sort.
func (s *Sort) Key(doc bson.Raw) (string, error) { panic("soon") }

// Documents sorts in place, stable.
func (s *Sort) Documents(docs []bson.Raw) error { panic("soon") }

// Projection is a compiled projection of find or findAndModify.
type Projection struct{}

// CompileProjection reads a projection; filter serves the positional operator and may be nil.
func CompileProjection(spec bson.Raw, filter *Filter, o Options) (*Projection, error) { panic("soon") }

// Apply gives the projected document.
func (p *Projection) Apply(doc bson.Raw) (bson.Raw, error) { panic("soon") }

// Index is a compiled index specification: {key, name, unique, sparse, partialFilterExpression, collation, wildcardProjection}.
type Index struct{}

// CompileIndex reads a specification as createIndexes takes it.
func CompileIndex(spec bson.Raw) (*Index, error) { panic("soon") }

// IndexKeys are the keys of one document.
type IndexKeys struct {
	// Keys in rising order, no repeats. Empty if the document is not indexed (sparse, partial).
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
func (x *Index) Keys(doc bson.Raw) (IndexKeys, error) { panic("soon") }

// KeyValue names the values of a key, as keyValue of error 11000 has it.
func (x *Index) KeyValue(k IndexKey) bson.Raw { panic("soon") }

// Duplicate is error 11000 for a key; namespace is "db.collection".
func (x *Index) Duplicate(namespace string, k IndexKey) *Error { panic("soon") }

// Bound encodes a min or max document of find: an inclusive lower or an exclusive upper limit on IndexKey.Encoded.
func (x *Index) Bound(limit bson.Raw) (string, error) { panic("soon") }
