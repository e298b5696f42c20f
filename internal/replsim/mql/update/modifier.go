package update

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/mql/value"
)

// outcome is what an operator did to an existing value.
type outcome int

const (
	unchanged outcome = iota
	changed
	appended // values were added to the end of an array
	removed  // the field is gone
)

// modifier is an operator at the end of a path.
type modifier interface {
	// change works on a value that is there.
	change(a *applier, at place) (outcome, error)
	// create gives the value for a path that is not there; ok is false for operators that only work on what is there.
	create(a *applier) (v value.Value, ok bool, err error)
}

var modifierNames = []string{"$addToSet", "$bit", "$currentDate", "$inc", "$max", "$min", "$mul", "$pop", "$pull", "$pullAll",
	"$push", "$rename", "$set", "$setOnInsert", "$unset"}

func known(operator string) bool { return slices.Contains(modifierNames, operator) }

func (p *parser) modifier(operator, path string, arg value.Value) (modifier, error) {
	switch operator {
	case "$set", "$setOnInsert":
		return setOp{arg}, nil
	case "$unset":
		return unsetOp{}, nil
	case "$inc", "$mul":
		return newArithmetic(operator, path, arg)
	case "$min":
		return compareOp{arg, -1}, nil
	case "$max":
		return compareOp{arg, 1}, nil
	case "$currentDate":
		return newCurrentDate(arg)
	case "$bit":
		return newBit(arg)
	case "$pop":
		return newPop(path, arg)
	case "$push":
		return newPush(arg)
	case "$addToSet":
		return newAddToSet(arg)
	case "$pullAll":
		if arg.Type != bson.TypeArray {
			return nil, bad("$pullAll requires an array argument but was given a %s", value.TypeName(arg.Type))
		}
		return pullOp{anyOf(arg.Elements())}, nil
	}
	return newPull(arg, p.opts)
}

type setOp struct{ v value.Value }

func (o setOp) change(_ *applier, at place) (outcome, error) {
	if !at.e.open && at.e.typ == o.v.Type && string(at.e.raw) == string(o.v.Data) {
		return unchanged, nil
	}
	at.e.set(o.v)
	return changed, nil
}

func (o setOp) create(*applier) (value.Value, bool, error) { return o.v, true, nil }

type unsetOp struct{}

// change makes an array element null instead of removing it.
func (unsetOp) change(_ *applier, at place) (outcome, error) {
	if at.parent.typ == bson.TypeArray {
		at.e.set(value.Null())
		return changed, nil
	}
	at.parent.remove(at.e)
	return removed, nil
}

func (unsetOp) create(*applier) (value.Value, bool, error) { return value.Value{}, false, nil }

type arithmetic struct {
	name string
	arg  value.Value
	op   func(a, b value.Value) (value.Value, bool)
}

func newArithmetic(operator, path string, arg value.Value) (modifier, error) {
	o := arithmetic{name: operator, arg: arg, op: value.Add}
	verb := "increment"
	if operator == "$mul" {
		o.op, verb = value.Multiply, "multiply"
	}
	if !arg.IsNumber() {
		return nil, value.Errorf(value.TypeMismatch, "Cannot %s with non-numeric argument: {%s}", verb, value.ElementText(path, arg))
	}
	return o, nil
}

func (o arithmetic) change(a *applier, at place) (outcome, error) {
	was := at.e.value()
	if !was.IsNumber() {
		return 0, value.Errorf(value.TypeMismatch, "Cannot apply %s to a value of non-numeric type. {%s} has the field '%s' of non-numeric type %s",
			o.name, a.idText(), at.e.name, value.TypeName(was.Type))
	}
	v, ok := o.op(o.arg, was)
	if !ok {
		return 0, bad("Failed to apply %s operations to current value (%s) for document {%s}", o.name, debugNumber(was), a.idText())
	}
	if v.Type == was.Type && !value.IsNaN(v) && value.Equal(v, was) {
		return unchanged, nil // -0.0 and 0.0 are one number here, NaN is not even itself
	}
	at.e.set(v)
	return changed, nil
}

func debugNumber(v value.Value) string {
	kind := map[bson.Type]string{bson.TypeInt32: "NumberInt", bson.TypeInt64: "NumberLong", bson.TypeDouble: "NumberDouble",
		bson.TypeDecimal128: "NumberDecimal"}[v.Type]
	return "(" + kind + ")" + value.Text(v)
}

func (o arithmetic) create(*applier) (value.Value, bool, error) {
	if o.name == "$inc" {
		return o.arg, true, nil
	}
	v, _ := value.Multiply(o.arg, value.Int32(0))
	return v, true, nil
}

type compareOp struct {
	v    value.Value
	sign int
}

func (o compareOp) change(_ *applier, at place) (outcome, error) {
	if value.Compare(o.v, at.e.value())*o.sign <= 0 {
		return unchanged, nil
	}
	at.e.set(o.v)
	return changed, nil
}

func (o compareOp) create(*applier) (value.Value, bool, error) { return o.v, true, nil }

// currentDate holds whether a timestamp is wanted.
type currentDate struct{ timestamp bool }

func newCurrentDate(arg value.Value) (modifier, error) {
	switch arg.Type {
	case bson.TypeBoolean:
		return currentDate{}, nil
	case bson.TypeEmbeddedDocument:
		out, found := currentDate{}, false
		for it := value.Iterate(bson.Raw(arg.Data)); it.Next(); {
			if string(it.Key()) != "$type" {
				return nil, bad("Unrecognized $currentDate option: %s", it.Key())
			}
			if kind := it.Value().Str(); kind == "date" || kind == "timestamp" {
				out.timestamp, found = kind == "timestamp", true
			}
		}
		if !found {
			return nil, bad("The '$type' string field is required to be 'date' or 'timestamp': {$currentDate: {field : {$type: 'date'}}}")
		}
		return out, nil
	}
	return nil, bad("%s is not valid type for $currentDate. Please use a boolean ('true') or a $type expression ({$type: 'timestamp/date'}).",
		value.TypeName(arg.Type))
}

func (o currentDate) change(a *applier, at place) (outcome, error) {
	v, _, err := o.create(a)
	at.e.set(v)
	return changed, err
}

func (o currentDate) create(a *applier) (value.Value, bool, error) {
	if o.timestamp {
		return value.Timestamp(a.moment.timestamp()), true, nil
	}
	return value.Date(a.moment.Now.UnixMilli()), true, nil
}

type bitOp struct{ steps []bitStep }

type bitStep struct {
	name string
	arg  value.Value
}

func newBit(arg value.Value) (modifier, error) {
	if arg.Type != bson.TypeEmbeddedDocument {
		return nil, bad("The $bit modifier is not compatible with a %s. You must pass in an embedded document: {$bit: {field: {and/or/xor: #}}",
			value.TypeName(arg.Type))
	}
	var out bitOp
	for it := value.Iterate(bson.Raw(arg.Data)); it.Next(); {
		name, v := string(it.Key()), it.Value()
		if name != "and" && name != "or" && name != "xor" {
			return nil, bad("The $bit modifier only supports 'and', 'or', and 'xor', not '%s' which is an unknown operator: {%s}",
				name, value.ElementText(name, v))
		}
		if v.Type != bson.TypeInt32 && v.Type != bson.TypeInt64 {
			return nil, bad("The $bit modifier field must be an Integer(32/64 bit); a '%s' is not supported here: {%s}",
				value.TypeName(v.Type), value.ElementText(name, v))
		}
		out.steps = append(out.steps, bitStep{name, v})
	}
	if len(out.steps) == 0 {
		return nil, bad("You must pass in at least one bitwise operation. The format is: {$bit: {field: {and/or/xor: #}}")
	}
	return out, nil
}

func (o bitOp) apply(v value.Value) value.Value {
	for _, s := range o.steps {
		n, m := v.Int(), s.arg.Int()
		switch s.name {
		case "and":
			n &= m
		case "or":
			n |= m
		default:
			n ^= m
		}
		if value.Widest(v.Type, s.arg.Type) == bson.TypeInt32 {
			v = value.Int32(int32(n))
		} else {
			v = value.Int64(n)
		}
	}
	return v
}

func (o bitOp) change(a *applier, at place) (outcome, error) {
	was := at.e.value()
	if was.Type != bson.TypeInt32 && was.Type != bson.TypeInt64 {
		return 0, bad("Cannot apply $bit to a value of non-integral type.%s has the field %s of non-integer type %s",
			a.idText(), at.e.name, value.TypeName(was.Type))
	}
	v := o.apply(was)
	if value.Same(v, was) {
		return unchanged, nil
	}
	at.e.set(v)
	return changed, nil
}

func (o bitOp) create(*applier) (value.Value, bool, error) { return o.apply(value.Int32(0)), true, nil }

// renameOp sets the destination to the value of the source and removes the source.
type renameOp struct {
	from []string
	to   string
}

func (o *renameOp) change(*applier, place) (outcome, error) { return unchanged, nil }

func (o *renameOp) create(*applier) (value.Value, bool, error) { return value.Value{}, false, nil }

func newPull(arg value.Value, opts mql.Options) (modifier, error) {
	if arg.Type == bson.TypeEmbeddedDocument && !pathOperators[value.FirstName(bson.Raw(arg.Data))] {
		f, err := mql.CompileWith(bson.Raw(arg.Data), opts)
		if err != nil {
			return nil, err
		}
		return pullOp{func(v value.Value) (bool, error) {
			if v.Type != bson.TypeEmbeddedDocument {
				return false, nil
			}
			return f.Match(bson.Raw(v.Data))
		}}, nil
	}
	if arg.Type == bson.TypeEmbeddedDocument || arg.Type == bson.TypeRegex {
		b, at := value.Begin(nil)
		f, err := mql.CompileWith(value.End(value.Append(b, "", arg), at), opts)
		if err != nil {
			return nil, err
		}
		return pullOp{func(v value.Value) (bool, error) { return f.MatchValue("", v.Raw()) }}, nil
	}
	return pullOp{anyOf([]value.Value{arg})}, nil
}

// pathOperators are the operators that stand beside a path; a $pull condition that begins with one tests the element itself.
var pathOperators = map[string]bool{"$eq": true, "$ne": true, "$lt": true, "$lte": true, "$gt": true, "$gte": true, "$in": true,
	"$nin": true, "$not": true, "$all": true, "$elemMatch": true, "$exists": true, "$mod": true, "$regex": true, "$options": true,
	"$size": true, "$type": true, "$bitsAllSet": true, "$bitsAnySet": true, "$bitsAllClear": true, "$bitsAnyClear": true}

func anyOf(list []value.Value) func(value.Value) (bool, error) {
	return func(v value.Value) (bool, error) {
		return slices.ContainsFunc(list, func(x value.Value) bool { return value.Equal(x, v) }), nil
	}
}
