package update

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/value"
)

const (
	// maxDepth is how deep a stored document may nest.
	maxDepth = 180
	// maxSize is how large a stored document may be.
	maxSize = 16 << 20
)

func tooDeep() error {
	return value.Errorf(value.Overflow, "Document exceeds maximum nesting depth of %d", maxDepth)
}

// validate checks an element that the update wrote: level is how many names lead to it, top is the first of them.
func validate(e *element, level int, top string) error {
	if strings.HasPrefix(top, "$") && level == 1 {
		return dollar(top)
	}
	if !e.container() {
		if level > maxDepth {
			return tooDeep()
		}
		return nil
	}
	if !fits(e, level) {
		return tooDeep()
	}
	return nil
}

func fits(e *element, level int) bool {
	if level > maxDepth {
		return false
	}
	if e.open {
		for _, k := range e.kids {
			if !fits(k, level+1) {
				return false
			}
		}
		return true
	}
	return !e.container() || value.Valid(bson.Raw(e.raw), maxDepth-level)
}

func dollar(name string) error {
	return value.Errorf(value.DollarPrefixedFieldName, "The dollar ($) prefixed field '%s' in '%s' is not allowed in the context of an "+
		"update's replacement document. Consider using an aggregation pipeline with $replaceWith.", name, name)
}

// storable checks a whole document; topDollar says what top level names with $ are.
func storable(doc bson.Raw, topDollar dollarRule) error {
	previous := ""
	for it := value.Iterate(doc); it.Next(); {
		name := string(it.Key())
		if name == "_id" {
			if err := storableID(it.Value()); err != nil {
				return err
			}
		}
		if topDollar == dollarRefused && strings.HasPrefix(name, "$") && !reference(name, previous) {
			return dollar(name)
		}
		previous = name
	}
	if !value.Valid(doc, maxDepth) {
		return tooDeep()
	}
	return nil
}

type dollarRule int

const (
	dollarRefused dollarRule = iota
	dollarAllowed
)

// reference allows the fields of a DBRef in their order.
func reference(name, previous string) bool {
	return name == "$ref" || name == "$id" && previous == "$ref" || name == "$db" && previous == "$id"
}

func storableID(v value.Value) error {
	switch v.Type {
	case bson.TypeRegex, bson.TypeArray, bson.TypeUndefined:
		return value.Errorf(value.InvalidIDField, "The '_id' value cannot be of type %s", value.TypeName(v.Type))
	case bson.TypeEmbeddedDocument:
		if name := dollarWithin(bson.Raw(v.Data)); name != "" {
			return value.Errorf(value.DollarPrefixedFieldName, "_id fields may not contain '$'-prefixed fields: %s is not valid for storage.", name)
		}
	}
	return nil
}

func dollarWithin(doc bson.Raw) string {
	previous := ""
	for it := value.Iterate(doc); it.Next(); {
		name := string(it.Key())
		if strings.HasPrefix(name, "$") && !reference(name, previous) {
			return name
		}
		if d := it.Value().Document(); d != nil {
			if inner := dollarWithin(d); inner != "" {
				return inner
			}
		}
		previous = name
	}
	return ""
}

// idFirst moves _id to the front.
func idFirst(doc bson.Raw) bson.Raw {
	if first := value.FirstName(doc); first == "_id" {
		return doc
	}
	id := value.Field(doc, "_id")
	if !id.Exists() {
		return doc
	}
	b, at := value.Begin(make([]byte, 0, len(doc)))
	b = value.Append(b, "_id", id)
	moved := false
	for it := value.Iterate(doc); it.Next(); {
		if string(it.Key()) == "_id" && !moved {
			moved = true
			continue
		}
		b = append(b, it.Element()...)
	}
	return value.End(b, at)
}
