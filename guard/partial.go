package guard

import (
	"bytes"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// filteredOut reports whether a partial index certainly leaves the document out. It understands the conditions that
// partial filters are mostly made of; where it does not, it says false, which only makes groups larger.
func filteredOut(filter, document bson.Raw) bool {
	elements, err := filter.Elements()
	if err != nil {
		return false
	}
	for _, element := range elements {
		if element.Key() == "$and" {
			if anyFilteredOut(element.Value(), document) {
				return true
			}
			continue
		}
		if strings.HasPrefix(element.Key(), "$") {
			continue
		}
		if conditionFails(strings.Split(element.Key(), "."), element.Value(), document) {
			return true
		}
	}
	return false
}

func anyFilteredOut(list bson.RawValue, document bson.Raw) bool {
	array, ok := list.ArrayOK()
	branches, err := array.Values()
	if !ok || err != nil {
		return false
	}
	for _, branch := range branches {
		if filter, ok := branch.DocumentOK(); ok && filteredOut(filter, document) {
			return true
		}
	}
	return false
}

// conditionFails judges one field: certain are a missing field under conditions that need one, and a scalar that is not
// the scalar that is asked for.
func conditionFails(path keyPath, condition bson.RawValue, document bson.Raw) bool {
	reached := reach(path, bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: document}, nil)
	operators, isDocument := condition.DocumentOK()
	first, err := operators.IndexErr(0)
	if !isDocument || err != nil || !strings.HasPrefix(first.Key(), "$") {
		return equalityFails(reached, condition)
	}
	elements, err := operators.Elements()
	if err != nil {
		return false
	}
	for _, element := range elements {
		operand := element.Value()
		switch element.Key() {
		case "$exists":
			if wanted, ok := operand.BooleanOK(); ok && wanted && len(reached) == 0 {
				return true
			}
		case "$eq":
			if equalityFails(reached, operand) {
				return true
			}
		case "$gt", "$gte", "$lt", "$lte":
			if len(reached) == 0 && isPlainScalar(operand) {
				return true
			}
		case "$type":
			if len(reached) == 0 {
				return true
			}
		}
	}
	return false
}

func equalityFails(reached []bson.RawValue, wanted bson.RawValue) bool {
	switch {
	case !isPlainScalar(wanted):
		return false
	case len(reached) == 0:
		return true
	case len(reached) != 1 || !isPlainScalar(reached[0]):
		return false
	case isNumber(wanted) || isNumber(reached[0]):
		return isNumber(wanted) != isNumber(reached[0])
	case wanted.Type == bson.TypeString && reached[0].Type == bson.TypeString:
		return false // the collation of the index decides
	}
	return wanted.Type != reached[0].Type || !bytes.Equal(wanted.Value, reached[0].Value)
}

// isPlainScalar names the types whose equality is that of bytes, but for numbers and collated strings, and which a
// missing field does not match.
func isPlainScalar(value bson.RawValue) bool {
	switch value.Type {
	case bson.TypeString, bson.TypeBoolean, bson.TypeObjectID, bson.TypeDateTime:
		return true
	}
	return isNumber(value)
}

func isNumber(value bson.RawValue) bool {
	switch value.Type {
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128:
		return true
	}
	return false
}
