package history

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// matches judges a document by the filter of a partial index. It understands the operators that such a filter may have,
// over values of the same type; understood is false where it does not, and then match says nothing.
func matches(filter, document bson.Raw) (match, understood bool) {
	if len(filter) == 0 {
		return true, true
	}
	conditions, err := filter.Elements()
	if err != nil {
		return false, false
	}
	match = true
	for _, condition := range conditions {
		var one, known bool
		switch name := condition.Key(); {
		case name == "$and" || name == "$or":
			one, known = matchesList(name, condition.Value(), document)
		case strings.HasPrefix(name, "$"):
			return false, false
		default:
			one, known = matchesField(reach(document, strings.Split(name, ".")), condition.Value())
		}
		if !known {
			return false, false
		}
		match = match && one
	}
	return match, true
}

func matchesList(operator string, list bson.RawValue, document bson.Raw) (match, understood bool) {
	array, ok := list.ArrayOK()
	branches, err := array.Values()
	if !ok || err != nil {
		return false, false
	}
	match = operator == "$and"
	for _, branch := range branches {
		filter, _ := branch.DocumentOK()
		one, known := matches(filter, document)
		if !known {
			return false, false
		}
		if operator == "$and" {
			match = match && one
		} else {
			match = match || one
		}
	}
	return match, true
}

// matchesField judges the values of one field by a condition: a value, or operators.
func matchesField(values []bson.RawValue, condition bson.RawValue) (match, understood bool) {
	operators, isDocument := condition.DocumentOK()
	if first, err := operators.IndexErr(0); !isDocument || err != nil || !strings.HasPrefix(first.Key(), "$") {
		return anyCompares(values, condition, func(order int) bool { return order == 0 })
	}
	elements, err := operators.Elements()
	if err != nil {
		return false, false
	}
	match = true
	for _, element := range elements {
		var one, known bool
		switch element.Key() {
		case "$exists":
			one, known = (len(values) > 0) == isYes(element.Value()), true
		case "$type":
			one, known = anyOfType(values, element.Value())
		case "$eq":
			one, known = anyCompares(values, element.Value(), func(order int) bool { return order == 0 })
		case "$gt":
			one, known = anyCompares(values, element.Value(), func(order int) bool { return order > 0 })
		case "$gte":
			one, known = anyCompares(values, element.Value(), func(order int) bool { return order >= 0 })
		case "$lt":
			one, known = anyCompares(values, element.Value(), func(order int) bool { return order < 0 })
		case "$lte":
			one, known = anyCompares(values, element.Value(), func(order int) bool { return order <= 0 })
		}
		if !known {
			return false, false
		}
		match = match && one
	}
	return match, true
}

// typeNames are the words that $type knows for types that indexed values often have.
var typeNames = map[string][]bson.Type{
	"string": {bson.TypeString}, "int": {bson.TypeInt32}, "long": {bson.TypeInt64}, "double": {bson.TypeDouble},
	"decimal": {bson.TypeDecimal128}, "number": {bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128},
	"objectId": {bson.TypeObjectID}, "date": {bson.TypeDateTime}, "bool": {bson.TypeBoolean}, "null": {bson.TypeNull},
	"object": {bson.TypeEmbeddedDocument}, "binData": {bson.TypeBinary}, "timestamp": {bson.TypeTimestamp},
}

func anyOfType(values []bson.RawValue, wanted bson.RawValue) (match, understood bool) {
	name, _ := wanted.StringValueOK()
	types, known := typeNames[name]
	if number, ok := wanted.AsInt64OK(); ok {
		types, known = []bson.Type{bson.Type(number)}, number > 0 && number < 0x80 && bson.Type(number) != bson.TypeArray
	}
	for _, value := range values {
		match = match || slices.Contains(types, value.Type)
	}
	return match, known
}

// anyCompares reports whether one of the values stands in the wanted order to another one. Values of other types do not
// match; types whose order is not simple are not understood.
func anyCompares(values []bson.RawValue, other bson.RawValue, wanted func(order int) bool) (match, understood bool) {
	for _, value := range values {
		order, alike, known := compareValues(value, other)
		if !known {
			return false, false
		}
		match = match || alike && wanted(order)
	}
	_, _, known := compareValues(other, other)
	return match, known
}

func compareValues(a, b bson.RawValue) (order int, alike, understood bool) {
	x, xIsNumber := a.AsFloat64OK()
	y, yIsNumber := b.AsFloat64OK()
	switch {
	case xIsNumber && yIsNumber:
		return compareOrdered(x, y), true, true
	case b.Type == bson.TypeDecimal128 || a.Type == bson.TypeDecimal128 && yIsNumber:
		return 0, false, false
	case a.Type != b.Type:
		return 0, false, !isNullLike(b)
	}
	switch a.Type {
	case bson.TypeString:
		return strings.Compare(a.StringValue(), b.StringValue()), true, true
	case bson.TypeDateTime:
		return compareOrdered(a.DateTime(), b.DateTime()), true, true
	case bson.TypeBoolean, bson.TypeObjectID:
		return bytes.Compare(a.Value, b.Value), true, true
	}
	return 0, false, false
}

// isYes reads a value as the server does where it expects yes or no.
func isYes(value bson.RawValue) bool {
	if number, ok := value.AsFloat64OK(); ok {
		return number != 0
	}
	yes, isBoolean := value.BooleanOK()
	return yes || !isBoolean && !isNullLike(value)
}

// isNullLike names values that also match a missing field.
func isNullLike(value bson.RawValue) bool {
	return value.Type == bson.TypeNull || value.Type == bson.TypeUndefined || value.Type == 0
}

func compareOrdered[T int64 | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// digest shortens bytes that are only compared.
func digest(content []byte) (short [16]byte) {
	sum := sha256.Sum256(content)
	copy(short[:], sum[:])
	return short
}
