package update

import (
	"math"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/value"
)

type pullOp struct {
	match func(value.Value) (bool, error)
}

func (o pullOp) change(_ *applier, at place) (outcome, error) {
	if at.e.typ != bson.TypeArray {
		return 0, bad("Cannot apply $pull to a non-array value")
	}
	kept := make([]*element, 0, len(at.e.children()))
	for _, k := range at.e.children() {
		gone, err := o.match(k.value())
		if err != nil {
			return 0, err
		}
		if !gone {
			kept = append(kept, k)
		}
	}
	if len(kept) == len(at.e.kids) {
		return unchanged, nil
	}
	at.e.kids = kept
	return changed, nil
}

func (pullOp) create(*applier) (value.Value, bool, error) { return value.Value{}, false, nil }

type popOp struct{ front bool }

func newPop(path string, arg value.Value) (modifier, error) {
	if !arg.IsNumber() {
		return nil, failed("Expected a number in: %s", value.ElementText(path, arg))
	}
	n, whole := arg.Whole()
	if !whole {
		return nil, failed("Expected an integer: %s", value.ElementText(path, arg))
	}
	if n != 1 && n != -1 {
		return nil, failed("$pop expects 1 or -1, found: %d", n)
	}
	return popOp{front: n < 0}, nil
}

func (o popOp) change(_ *applier, at place) (outcome, error) {
	if at.e.typ != bson.TypeArray {
		return 0, value.Errorf(value.TypeMismatch, "Path '%s' contains an element of non-array type '%s'", at.path(), value.TypeName(at.e.typ))
	}
	kids := at.e.children()
	switch {
	case len(kids) == 0:
		return unchanged, nil
	case o.front:
		at.e.kids = kids[1:]
	default:
		at.e.kids = kids[:len(kids)-1]
	}
	return changed, nil
}

func (popOp) create(*applier) (value.Value, bool, error) { return value.Value{}, false, nil }

type addToSet struct{ values []value.Value }

func newAddToSet(arg value.Value) (modifier, error) {
	list := []value.Value{arg}
	if arg.Type == bson.TypeEmbeddedDocument && value.FirstName(bson.Raw(arg.Data)) == "$each" {
		each := value.Field(bson.Raw(arg.Data), "$each")
		if each.Type != bson.TypeArray {
			return nil, value.Errorf(value.TypeMismatch, "The argument to $each in $addToSet must be an array but it was of type %s", value.TypeName(each.Type))
		}
		if arg.Len() > 1 {
			return nil, bad("Found unexpected fields after $each in $addToSet: %s", value.Text(arg))
		}
		list = each.Elements()
	}
	var out addToSet
	for _, v := range list {
		if !slices.ContainsFunc(out.values, func(x value.Value) bool { return value.Equal(x, v) }) {
			out.values = append(out.values, v)
		}
	}
	return out, nil
}

func (o addToSet) change(_ *applier, at place) (outcome, error) {
	if at.e.typ != bson.TypeArray {
		return 0, bad("Cannot apply $addToSet to non-array field. Field named '%s' has non-array type %s", at.e.name, value.TypeName(at.e.typ))
	}
	kids := at.e.children()
	n := len(kids)
	for _, v := range o.values {
		if !slices.ContainsFunc(kids[:n], func(k *element) bool { return value.Equal(k.value(), v) }) {
			kids = append(kids, newElement("", v))
		}
	}
	at.e.kids = kids
	if len(kids) == n {
		return unchanged, nil
	}
	return changed, nil
}

func (o addToSet) create(*applier) (value.Value, bool, error) {
	return value.Array(o.values...), true, nil
}

type pushOp struct {
	values   []value.Value
	position int64 // math.MaxInt64 for the end
	slice    int64 // math.MaxInt64 for no limit
	sort     func(a, b value.Value) int
}

func newPush(arg value.Value) (modifier, error) {
	o := &pushOp{position: math.MaxInt64, slice: math.MaxInt64}
	if arg.Type != bson.TypeEmbeddedDocument || !value.Field(bson.Raw(arg.Data), "$each").Exists() {
		o.values = []value.Value{arg}
		return o, nil
	}
	seen := map[string]bool{}
	for it := value.Iterate(bson.Raw(arg.Data)); it.Next(); {
		name := string(it.Key())
		if name != "$each" && name != "$slice" && name != "$sort" && name != "$position" {
			return nil, bad("Unrecognized clause in $push: %s", name)
		}
		if seen[name] {
			return nil, bad("Only one %s is supported.", name)
		}
		seen[name] = true
		if err := o.clause(name, it.Value()); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func (o *pushOp) clause(name string, v value.Value) error {
	var ok bool
	switch name {
	case "$each":
		if v.Type != bson.TypeArray {
			return bad("The argument to $each in $push must be an array but it was of type: %s", value.TypeName(v.Type))
		}
		o.values = v.Elements()
	case "$slice":
		if o.slice, ok = v.Whole(); !ok {
			return bad("The value for $slice must be an integer value but was given type: %s", value.TypeName(v.Type))
		}
	case "$position":
		if o.position, ok = v.Whole(); !ok {
			return bad("The value for $position must be an integer value, not of type: %s", value.TypeName(v.Type))
		}
	case "$sort":
		return o.sortBy(v)
	}
	return nil
}

func (o *pushOp) sortBy(v value.Value) error {
	direction := func(v value.Value) (int, error) {
		n, _ := v.Whole()
		if !v.IsNumber() || n != 1 && n != -1 {
			return 0, bad("The $sort element value must be either 1 or -1")
		}
		return int(n), nil
	}
	if v.IsNumber() {
		sign, err := direction(v)
		o.sort = func(a, b value.Value) int { return value.Compare(a, b) * sign }
		return err
	}
	if v.Type != bson.TypeEmbeddedDocument {
		return bad("The $sort is invalid: use 1/-1 to sort the whole element, or {field:1/-1} to sort embedded fields")
	}
	type key struct {
		path []string
		sign int
	}
	var keys []key
	for it := value.Iterate(bson.Raw(v.Data)); it.Next(); {
		sign, err := direction(it.Value())
		if err != nil {
			return err
		}
		path := strings.Split(string(it.Key()), ".")
		if string(it.Key()) == "" {
			return bad("The $sort field cannot be empty")
		}
		if slices.Contains(path, "") {
			return bad("The $sort field is a dotted field but has an empty part: %s", it.Key())
		}
		keys = append(keys, key{path, sign})
	}
	if len(keys) == 0 {
		return bad("The $sort pattern is empty when it should be a set of fields.")
	}
	o.sort = func(a, b value.Value) int {
		for _, k := range keys {
			if c := value.Compare(sortKey(a, k.path), sortKey(b, k.path)); c != 0 {
				return c * k.sign
			}
		}
		return 0
	}
	return nil
}

// sortKey is null where the path leads nowhere; a value that is no document has no fields.
func sortKey(v value.Value, path []string) value.Value {
	for _, name := range path {
		v = value.Field(v.Document(), name)
	}
	if !v.Exists() {
		return value.Null()
	}
	return v
}

func (o *pushOp) change(a *applier, at place) (outcome, error) {
	if at.e.typ != bson.TypeArray {
		return 0, bad("The field '%s' must be an array but is of type %s in document {%s}", at.path(), value.TypeName(at.e.typ), a.idText())
	}
	return o.push(at.e), nil
}

func (o *pushOp) push(e *element) outcome {
	kids := e.children()
	out := unchanged
	if n := int64(len(kids)); len(o.values) > 0 {
		place := o.position
		out = changed
		switch {
		case n > 0 && place > n:
			place, out = n, appended
		case place > n:
			place = n
		case place < 0:
			place = max(0, n+place)
		}
		fresh := make([]*element, len(o.values))
		for i, v := range o.values {
			fresh[i] = newElement("", v)
		}
		kids = slices.Insert(slices.Clone(kids), int(place), fresh...)
	}
	if o.sort != nil {
		out = changed
		kids = slices.Clone(kids)
		slices.SortStableFunc(kids, func(x, y *element) int { return o.sort(x.value(), y.value()) })
	}
	limit := o.slice
	if limit == math.MinInt64 {
		limit++
	}
	if n := int64(len(kids)); n > max(limit, -limit) {
		out = changed
		if limit >= 0 {
			kids = kids[:limit]
		} else {
			kids = kids[n+limit:]
		}
	}
	e.kids = kids
	return out
}

func (o *pushOp) create(*applier) (value.Value, bool, error) {
	e := newElement("", value.Array())
	o.push(e)
	return e.value(), true, nil
}
