package function

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/value"
)

func distinct(list values) values {
	out := slices.Clone(list)
	slices.SortStableFunc(out, value.Compare)
	return slices.CompactFunc(out, value.Equal)
}

// setOf takes an array as a set; null is passed on by done.
func setOf(name string, code int32, v value.Value) (set values, done bool, err error) {
	if v.Nullish() {
		return nil, true, nil
	}
	if v.Type != bson.TypeArray {
		return nil, true, value.Errorf(code, "All operands of %s must be arrays. One argument is of type: %s", name, value.TypeName(v.Type))
	}
	return distinct(v.Elements()), false, nil
}

func setUnion(args values) (value.Value, error) {
	var out values
	for _, a := range args {
		set, done, err := setOf("$setUnion", 17043, a)
		if done {
			return value.Null(), err
		}
		out = append(out, set...)
	}
	return value.Array(distinct(out)...), nil
}

func setIntersection(args values) (value.Value, error) {
	var out values
	for i, a := range args {
		set, done, err := setOf("$setIntersection", 17047, a)
		if done {
			return value.Null(), err
		}
		if i == 0 {
			out = set
			continue
		}
		out = slices.DeleteFunc(out, func(v value.Value) bool { return !contains(set, v) })
	}
	return value.Array(out...), nil
}

func setDifference(a, b value.Value) (value.Value, error) {
	if a.Nullish() || b.Nullish() {
		return value.Null(), nil
	}
	if a.Type != bson.TypeArray || b.Type != bson.TypeArray {
		return a, value.Errorf(17048, "both operands of $setDifference must be arrays. First argument is of type: %s", value.TypeName(a.Type))
	}
	var out values
	other := b.Elements()
	for _, v := range a.Elements() {
		if !contains(other, v) && !contains(out, v) {
			out = append(out, v)
		}
	}
	return value.Array(out...), nil
}

func setEquals(args values) (value.Value, error) {
	var first values
	for i, a := range args {
		if a.Type != bson.TypeArray {
			return a, value.Errorf(17044, "All operands of $setEquals must be arrays. %d-th argument is of type: %s", i+1, value.TypeName(a.Type))
		}
		set := distinct(a.Elements())
		if i == 0 {
			first = set
		} else if !slices.EqualFunc(first, set, value.Equal) {
			return value.Bool(false), nil
		}
	}
	return value.Bool(true), nil
}

func setIsSubset(a, b value.Value) (value.Value, error) {
	if a.Type != bson.TypeArray {
		return a, value.Errorf(17046, "both operands of $setIsSubset must be arrays. First argument is of type: %s", value.TypeName(a.Type))
	}
	if b.Type != bson.TypeArray {
		return a, value.Errorf(17042, "both operands of $setIsSubset must be arrays. Second argument is of type: %s", value.TypeName(b.Type))
	}
	other := b.Elements()
	return value.Bool(!slices.ContainsFunc(a.Elements(), func(v value.Value) bool { return !contains(other, v) })), nil
}

func truthOf(name string, a value.Value, want bool) (value.Value, error) {
	if a.Type != bson.TypeArray {
		return a, value.Errorf(17041, "%s's argument must be an array, but is %s", name, value.TypeName(a.Type))
	}
	found := slices.ContainsFunc(a.Elements(), func(v value.Value) bool { return v.Truth() == want })
	return value.Bool(found == want), nil
}
