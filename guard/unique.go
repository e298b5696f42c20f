package guard

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// uniqueIndex is what planning has to know of an index that refuses duplicates. It never computes the server's index keys:
// it gives a superset of them, in a form in which two values that the server takes for equal are equal. More values than
// the server has only make groups larger.
type uniqueIndex struct {
	number int
	paths  []keyPath
	sparse bool
	filter bson.Raw
	// fields are the top-level fields that the key and the partial filter mention.
	fields []string
	// collated says that strings are compared by rules that we do not know; all strings count as equal then.
	collated bool
	// opaque says that nothing is known of the keys: every document may collide with every other.
	opaque bool
}

type keyPath []string

// maxTuples bounds the combinations that one document may have in one index before planning gives up telling them apart.
// The server allows one array per document in a compound index, so only single-array keys come near it.
const maxTuples = 100_000

// refusesDuplicates reports whether the server checks writes against this index.
func refusesDuplicates(spec bson.Raw) bool {
	prepared, ok := spec.Lookup("prepareUnique").BooleanOK()
	return pitr.IsUnique(spec) && pitr.IndexName(spec) != idIndex || ok && prepared
}

const idIndex = "_id_"

func newUniqueIndex(number int, spec bson.Raw) uniqueIndex {
	index := uniqueIndex{number: number}
	index.sparse, _ = spec.Lookup("sparse").BooleanOK()
	index.filter, _ = spec.Lookup("partialFilterExpression").DocumentOK()
	if collation, ok := spec.Lookup("collation").DocumentOK(); ok {
		locale, _ := collation.Lookup("locale").StringValueOK()
		index.collated = locale != "simple"
	}
	key, _ := spec.Lookup("key").DocumentOK()
	elements, err := key.Elements()
	index.opaque = err != nil || len(elements) == 0
	for _, element := range elements {
		path := strings.Split(element.Key(), ".")
		// A direction is a number; words such as "2dsphere" and wildcards make keys that are no plain values.
		if element.Value().Type == bson.TypeString || slices.Contains(path, "$**") {
			index.opaque = true
		}
		index.paths = append(index.paths, path)
		index.fields = append(index.fields, path[0])
	}
	filterFields, plain := mentionedFields(index.filter)
	index.fields = append(index.fields, filterFields...)
	index.opaque = index.opaque || !plain
	return index
}

// mentionedFields gives the top-level fields of a filter, and whether it is built of fields and logic only.
func mentionedFields(filter bson.Raw) ([]string, bool) {
	elements, err := filter.Elements()
	if len(filter) > 0 && err != nil {
		return nil, false
	}
	var fields []string
	for _, element := range elements {
		name, value := element.Key(), element.Value()
		if !strings.HasPrefix(name, "$") {
			first, _, _ := strings.Cut(name, ".")
			fields = append(fields, first)
			continue
		}
		list, ok := value.ArrayOK()
		if !ok {
			return nil, false
		}
		branches, err := list.Values()
		if err != nil {
			return nil, false
		}
		for _, branch := range branches {
			document, ok := branch.DocumentOK()
			inner, plain := mentionedFields(document)
			if !ok || !plain {
				return nil, false
			}
			fields = append(fields, inner...)
		}
	}
	return fields, true
}

// sameFields reports whether the fields that decide about the index are the same bytes on both sides. An absent side has
// none of them.
func (x *uniqueIndex) sameFields(e, t bson.Raw) bool {
	if x.opaque || e == nil || t == nil {
		return false
	}
	for _, field := range x.fields {
		a, b := e.Lookup(field), t.Lookup(field)
		if a.Type != b.Type || !bytes.Equal(a.Value, b.Value) {
			return false
		}
	}
	return true
}

// values gives hashes of a superset of the document's keys in the index. When there are too many of them it declares the
// index opaque and says false: what was computed with this index before is void.
func (x *uniqueIndex) values(seed maphash.Seed, document bson.Raw) ([]uint64, bool) {
	hash := func(form string) uint64 { return maphash.String(seed, strconv.Itoa(x.number)+"/"+form) }
	if x.opaque {
		return []uint64{hash("opaque")}, true
	}
	if filteredOut(x.filter, document) {
		return nil, true
	}
	tuples := []string{""}
	found := false
	for _, path := range x.paths {
		forms, here := x.forms(path, document)
		found = found || here
		if len(tuples)*len(forms) > maxTuples {
			x.opaque = true
			return nil, false
		}
		next := make([]string, 0, len(tuples)*len(forms))
		for _, tuple := range tuples {
			for _, form := range forms {
				next = append(next, tuple+strconv.Itoa(len(form))+":"+form)
			}
		}
		tuples = next
	}
	if x.sparse && !found {
		return nil, true
	}
	values := make([]uint64, len(tuples))
	for i, tuple := range tuples {
		values[i] = hash(tuple)
	}
	return values, true
}

// forms gives the equality forms of every value that the path may stand for in the document, and whether there is any.
func (x *uniqueIndex) forms(path keyPath, document bson.Raw) ([]string, bool) {
	reached := reach(path, bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: document}, nil)
	if len(reached) == 0 {
		return []string{formNull}, false
	}
	forms := make([]string, 0, len(reached))
	for _, value := range reached {
		forms = append(forms, x.form(value))
	}
	slices.Sort(forms)
	return slices.Compact(forms), true
}

// formNull is the form of what the server indexes as null or undefined: missing fields and empty arrays among them.
const formNull = "null"

func (x *uniqueIndex) form(value bson.RawValue) string {
	switch value.Type {
	case 0, bson.TypeNull, bson.TypeUndefined:
		return formNull
	case bson.TypeString, bson.TypeSymbol, bson.TypeEmbeddedDocument, bson.TypeArray:
		if x.collated {
			return "collated"
		}
	}
	key, err := pitr.NewKey(wrap(value))
	if err != nil { // bytes that no server would keep; being equal to everything like it is the safe side
		return "broken"
	}
	return key.Equal()
}

// wrap puts a value into a document, because an identity can be of fewer types than an indexed value.
func wrap(value bson.RawValue) bson.RawValue {
	size := 4 + 1 + 1 + len(value.Value) + 1
	document := make([]byte, 0, size)
	document = binary.LittleEndian.AppendUint32(document, uint32(size)) //nolint:gosec // a part of a document
	document = append(document, byte(value.Type), 0)
	document = append(document, value.Value...)
	return bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: append(document, 0)}
}

// reach collects the values at the end of a path, through arrays by position and by element. What is missing inside an
// array counts as a value of type zero; a path that does not exist at all gives nothing.
func reach(path keyPath, value bson.RawValue, reached []bson.RawValue) []bson.RawValue {
	if value.Type == bson.TypeArray {
		return reachInto(path, value, reached)
	}
	if len(path) == 0 {
		return append(reached, value)
	}
	document, ok := value.DocumentOK()
	if !ok {
		return reached
	}
	next, err := document.LookupErr(path[0])
	if err != nil {
		return reached
	}
	return reach(path[1:], next, reached)
}

func reachInto(path keyPath, array bson.RawValue, reached []bson.RawValue) []bson.RawValue {
	elements, err := bson.RawArray(array.Value).Values()
	if err != nil || len(elements) == 0 {
		return append(reached, bson.RawValue{})
	}
	for i, element := range elements {
		if len(path) == 0 {
			reached = append(reached, element)
			continue
		}
		before := len(reached)
		if path[0] == strconv.Itoa(i) {
			reached = reach(path[1:], element, reached)
		}
		reached = reach(path, element, reached)
		if len(reached) == before {
			reached = append(reached, bson.RawValue{})
		}
	}
	if len(path) == 0 {
		reached = append(reached, array) // a position in front of the path may make the whole array the value
	}
	return reached
}
