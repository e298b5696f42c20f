package guard

import (
	"slices"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/text/collate"
	"golang.org/x/text/language"

	"pitr"
)

// UniqueIndex tells which values of a unique index a document would hold, for those who ask beforehand what the server
// would refuse. Where it cannot tell exactly it names more values than the server would, never fewer; under a collation it
// follows its rules as a library knows them, so that the server has the last word.
type UniqueIndex struct {
	Name string
	Spec bson.Raw
	// Filter is the condition of a partial index, nil without one.
	Filter bson.Raw
	// Collation is the index's own, nil where strings are compared by bytes.
	Collation bson.Raw
	// Opaque says that nothing can be told of the index's keys.
	Opaque bool

	index    uniqueIndex
	collator *collate.Collator
	buffer   collate.Buffer
}

// UniqueIndexes gives the indexes of a collection that refuse duplicates, but for that of _id.
func UniqueIndexes(collection pitr.Collection) []*UniqueIndex {
	var list []*UniqueIndex
	for i, spec := range collection.Indexes {
		if !refusesDuplicates(spec) {
			continue
		}
		x := &UniqueIndex{Name: pitr.IndexName(spec), Spec: spec, index: newUniqueIndex(i, spec)}
		x.Filter, x.Opaque = x.index.filter, x.index.opaque
		if x.index.collated {
			x.Collation, _ = spec.Lookup("collation").DocumentOK()
			x.collator = collatorOf(x.Collation)
			x.Opaque = x.Opaque || x.collator == nil
		}
		list = append(list, x)
	}
	return list
}

// collatorOf gives a comparison that finds at least what the server's finds equal; nil for rules that the library lacks.
func collatorOf(spec bson.Raw) *collate.Collator {
	text := func(name string) string { value, _ := spec.Lookup(name).StringValueOK(); return value }
	if text("alternate") == "shifted" {
		return nil
	}
	tag, err := language.Parse(text("locale"))
	if err != nil {
		tag = language.Und
	}
	var options []collate.Option
	switch strength, given := spec.Lookup("strength").AsInt64OK(); {
	case given && strength == 1:
		options = append(options, collate.Loose)
	case given && strength == 2:
		options = append(options, collate.IgnoreCase, collate.IgnoreWidth)
	}
	if numeric, _ := spec.Lookup("numericOrdering").BooleanOK(); numeric {
		options = append(options, collate.Numeric)
	}
	return collate.New(tag, options...)
}

// Tuple is one value of a unique index: a value for each field of its key. The type of a value is zero where the document
// has none, which counts as null.
type Tuple struct {
	// Form is equal for two tuples that may be equal to the server.
	Form   string
	Fields []string
	Values []bson.RawValue
}

// maxTold bounds the values that one document may have in one index before it counts as opaque.
const maxTold = 200

// Tuples gives the values of the index that a document holds, none where the index leaves it out. It says false when there
// are too many to tell, or the index is opaque.
func (x *UniqueIndex) Tuples(document bson.Raw) ([]Tuple, bool) {
	if x.Opaque {
		return nil, false
	}
	if document == nil || filteredOut(x.Filter, document) {
		return nil, true
	}
	tuples, found := []Tuple{{}}, false
	for _, path := range x.index.paths {
		values := x.distinct(reach(path, bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: document}, nil))
		found = found || len(values) > 0
		if len(values) == 0 {
			values = []bson.RawValue{{}}
		}
		if len(tuples)*len(values) > maxTold {
			return nil, false
		}
		next := make([]Tuple, 0, len(tuples)*len(values))
		for _, tuple := range tuples {
			for _, value := range values {
				form := x.form(value)
				next = append(next, Tuple{Form: tuple.Form + strconv.Itoa(len(form)) + ":" + form,
					Fields: append(slices.Clip(tuple.Fields), path.String()), Values: append(slices.Clip(tuple.Values), value)})
			}
		}
		tuples = next
	}
	if x.index.sparse && !found {
		return nil, true
	}
	return tuples, true
}

func (p keyPath) String() string {
	text := ""
	for i, name := range p {
		if i > 0 {
			text += "."
		}
		text += name
	}
	return text
}

// distinct leaves out values of a form that was met before.
func (x *UniqueIndex) distinct(values []bson.RawValue) []bson.RawValue {
	seen := map[string]bool{}
	return slices.DeleteFunc(values, func(value bson.RawValue) bool {
		form := x.form(value)
		known := seen[form]
		seen[form] = true
		return known
	})
}

// form gives the equality form of a value, strings by the rules of the collation.
func (x *UniqueIndex) form(value bson.RawValue) string {
	if x.collator == nil {
		return x.index.form(value)
	}
	switch value.Type {
	case bson.TypeString, bson.TypeSymbol:
		defer x.buffer.Reset()
		return "c" + string(x.collator.Key(&x.buffer, stringOf(value)))
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		elements, err := bson.Raw(value.Value).Elements()
		if err != nil {
			return "broken"
		}
		form := "o"
		for _, element := range elements {
			inner := x.form(element.Value())
			form += strconv.Itoa(len(element.Key())) + ":" + element.Key() + strconv.Itoa(len(inner)) + ":" + inner
		}
		return form
	}
	return x.index.form(value)
}

// stringOf gives the text of a string or a symbol, without the length in front and the zero behind.
func stringOf(value bson.RawValue) []byte {
	if len(value.Value) < 5 {
		return nil
	}
	return value.Value[4 : len(value.Value)-1]
}

// SameKey reports whether both versions of a document certainly hold the same values of the index.
func (x *UniqueIndex) SameKey(e, t bson.Raw) bool { return x.index.sameFields(e, t) }
