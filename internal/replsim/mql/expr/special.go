package expr

import (
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/function"
	"pitr/internal/replsim/mql/value"
)

// special compiles the operators that bind variables, skip arguments, or take literals. ok is false for all others.
func (c *compiler) special(name string, arg value.Value) (n node, ok bool, err error) {
	switch name {
	case "$literal", "$const":
		return constant{arg}, true, nil
	case "$cond":
		n, err = c.cond(arg)
	case "$ifNull":
		var args []node
		if args, err = c.arguments(arg); err == nil && len(args) < 2 {
			err = value.Errorf(1257300, "$ifNull needs at least two arguments, had: %d", len(args))
		}
		n = ifNull(args)
	case "$and", "$or":
		var args []node
		args, err = c.arguments(arg)
		n = logic{args: args, stop: name == "$or"}
	case "$switch":
		n, err = c.switches(arg)
	case "$let":
		n, err = c.let(arg)
	case "$map", "$filter":
		n, err = c.each(name, arg)
	case "$reduce":
		n, err = c.reduce(arg)
	case "$convert":
		n, err = c.convert(arg)
	case "$getField":
		n, err = c.getField(arg)
	case "$meta":
		err = value.Errorf(value.NotImplemented, "$meta is not simulated")
	case "$function", "$accumulator":
		err = value.Errorf(31264, "%s not allowed without javascript", name)
	default:
		return nil, false, nil
	}
	return n, true, err
}

// fields compiles the named parts of a document; it refuses unknown ones and reports which were given.
func (c *compiler) fields(op string, arg value.Value, code int32, names ...string) (map[string]node, error) {
	if arg.Type != bson.TypeEmbeddedDocument {
		return nil, value.Errorf(code, "%s only supports an object as its argument", op)
	}
	out := map[string]node{}
	for it := value.Iterate(bson.Raw(arg.Data)); it.Next(); {
		known := false
		for _, n := range names {
			known = known || n == string(it.Key())
		}
		if !known {
			return nil, value.Errorf(code, "Unrecognized parameter to %s: %s", op, it.Key())
		}
		n, err := c.compile(it.Value())
		if err != nil {
			return nil, err
		}
		out[string(it.Key())] = n
	}
	return out, nil
}

type condNode struct{ test, then, other node }

func (n condNode) eval(s *scope) (value.Value, error) {
	v, err := n.test.eval(s)
	if err != nil {
		return v, err
	}
	if v.Truth() {
		return n.then.eval(s)
	}
	return n.other.eval(s)
}

func (c *compiler) cond(arg value.Value) (node, error) {
	if arg.Type != bson.TypeEmbeddedDocument {
		args, err := c.arguments(arg)
		if err != nil {
			return nil, err
		}
		if len(args) != 3 {
			return nil, value.Errorf(16020, "Expression $cond takes exactly 3 arguments. %d were passed in.", len(args))
		}
		return condNode{args[0], args[1], args[2]}, nil
	}
	parts, err := c.fields("$cond", arg, 17083, "if", "then", "else")
	if err != nil {
		return nil, err
	}
	for i, name := range []string{"if", "then", "else"} {
		if parts[name] == nil {
			return nil, value.Errorf(int32(17080+i), "Missing '%s' parameter to $cond", name)
		}
	}
	return condNode{parts["if"], parts["then"], parts["else"]}, nil
}

type ifNull []node

func (n ifNull) eval(s *scope) (value.Value, error) {
	for i, x := range n {
		v, err := x.eval(s)
		if err != nil || !v.Nullish() || i == len(n)-1 {
			return v, err
		}
	}
	return value.Value{}, nil
}

type logic struct {
	args []node
	stop bool
}

func (n logic) eval(s *scope) (value.Value, error) {
	for _, x := range n.args {
		v, err := x.eval(s)
		if err != nil {
			return v, err
		}
		if v.Truth() == n.stop {
			return value.Bool(n.stop), nil
		}
	}
	return value.Bool(!n.stop), nil
}

type switchNode struct {
	branches []condNode
	other    node
}

func (n switchNode) eval(s *scope) (value.Value, error) {
	for _, b := range n.branches {
		v, err := b.test.eval(s)
		if err != nil {
			return v, err
		}
		if v.Truth() {
			return b.then.eval(s)
		}
	}
	if n.other == nil {
		return value.Value{}, value.Errorf(40066, "$switch could not find a matching branch for an input, and no default was specified.")
	}
	return n.other.eval(s)
}

func (c *compiler) switches(arg value.Value) (node, error) {
	if arg.Type != bson.TypeEmbeddedDocument {
		return nil, value.Errorf(40060, "$switch requires an object as an argument, found: %s", value.TypeName(arg.Type))
	}
	var out switchNode
	for it := value.Iterate(bson.Raw(arg.Data)); it.Next(); {
		switch v := it.Value(); string(it.Key()) {
		case "branches":
			if v.Type != bson.TypeArray {
				return nil, value.Errorf(40061, "$switch expected an array for 'branches', found: %s", value.TypeName(v.Type))
			}
			for _, b := range v.Elements() {
				parts, err := c.fields("$switch branch", b, 40062, "case", "then")
				if err != nil {
					return nil, err
				}
				if parts["case"] == nil {
					return nil, value.Errorf(40064, "$switch requires each branch have a 'case' expression")
				}
				if parts["then"] == nil {
					return nil, value.Errorf(40065, "$switch requires each branch have a 'then' expression.")
				}
				out.branches = append(out.branches, condNode{test: parts["case"], then: parts["then"]})
			}
		case "default":
			n, err := c.compile(v)
			if err != nil {
				return nil, err
			}
			out.other = n
		default:
			return nil, value.Errorf(40067, "$switch found an unknown argument: %s", it.Key())
		}
	}
	if len(out.branches) == 0 {
		return nil, value.Errorf(40068, "$switch requires at least one branch.")
	}
	return out, nil
}

type letNode struct {
	first  int
	values []node
	in     node
}

func (n letNode) eval(s *scope) (value.Value, error) {
	vs := make([]value.Value, len(n.values))
	for i, x := range n.values {
		v, err := x.eval(s)
		if err != nil {
			return v, err
		}
		vs[i] = v
	}
	copy(s.vars[n.first:], vs)
	return n.in.eval(s)
}

func (c *compiler) let(arg value.Value) (node, error) {
	if arg.Type != bson.TypeEmbeddedDocument {
		return nil, value.Errorf(16874, "$let only supports an object as its argument")
	}
	vars, in := value.Field(bson.Raw(arg.Data), "vars"), value.Field(bson.Raw(arg.Data), "in")
	if !vars.Exists() || !in.Exists() {
		return nil, value.Errorf(16876, "Missing 'vars' or 'in' parameter to $let")
	}
	var out letNode
	var names []string
	for it := value.Iterate(vars.Document()); it.Next(); {
		n, err := c.compile(it.Value())
		if err != nil {
			return nil, err
		}
		names = append(names, string(it.Key()))
		out.values = append(out.values, n)
	}
	first, err := c.bind(names, func() (err error) {
		out.in, err = c.compile(in)
		return err
	})
	out.first = first
	return out, err
}

// eachNode is $map and $filter.
type eachNode struct {
	name      string
	input, in node
	first     int
	keep      bool
	limit     node
}

func (n eachNode) eval(s *scope) (value.Value, error) {
	in, err := n.input.eval(s)
	if err != nil {
		return in, err
	}
	if in.Nullish() {
		return value.Null(), nil
	}
	if in.Type != bson.TypeArray {
		if n.keep {
			return in, value.Errorf(28651, "input to $filter must be an array not %s", value.TypeName(in.Type))
		}
		return in, value.Errorf(16883, "input to $map must be an array not %s", value.TypeName(in.Type))
	}
	most := -1
	if n.limit != nil {
		v, err := n.limit.eval(s)
		if err != nil {
			return v, err
		}
		if l, ok := v.Whole(); v.Nullish() {
			most = -1
		} else if !ok || l < 1 {
			return v, value.Errorf(327392, "$filter: limit must be greater than 0, found: %s", value.Text(v))
		} else {
			most = int(l)
		}
	}
	var out []value.Value
	for it := value.Iterate(bson.Raw(in.Data)); it.Next() && len(out) != most; {
		s.vars[n.first] = it.Value()
		v, err := n.in.eval(s)
		if err != nil {
			return v, err
		}
		switch {
		case !n.keep:
			out = append(out, v)
		case v.Truth():
			out = append(out, it.Value())
		}
	}
	return value.Array(out...), nil
}

func (c *compiler) each(name string, arg value.Value) (node, error) {
	if arg.Type != bson.TypeEmbeddedDocument {
		return nil, value.Errorf(16878, "%s only supports an object as its argument", name)
	}
	body := "in"
	if name == "$filter" {
		body = "cond"
	}
	doc := bson.Raw(arg.Data)
	input, in := value.Field(doc, "input"), value.Field(doc, body)
	if !input.Exists() {
		return nil, value.Errorf(16880, "Missing 'input' parameter to %s", name)
	}
	if !in.Exists() {
		return nil, value.Errorf(16882, "Missing '%s' parameter to %s", body, name)
	}
	out := eachNode{name: name, keep: name == "$filter"}
	var err error
	if out.input, err = c.compile(input); err != nil {
		return nil, err
	}
	if l := value.Field(doc, "limit"); l.Exists() && out.keep {
		if out.limit, err = c.compile(l); err != nil {
			return nil, err
		}
	}
	as := "this"
	if v := value.Field(doc, "as"); v.Exists() {
		as = v.Str()
	}
	out.first, err = c.bind([]string{as}, func() (err error) {
		out.in, err = c.compile(in)
		return err
	})
	return out, err
}

type reduceNode struct {
	input, initial, in node
	first              int
}

func (n reduceNode) eval(s *scope) (value.Value, error) {
	in, err := n.input.eval(s)
	if err != nil {
		return in, err
	}
	if in.Nullish() {
		return value.Null(), nil
	}
	if in.Type != bson.TypeArray {
		return in, value.Errorf(40080, "$reduce requires that 'input' be an array, found: %s", value.Text(in))
	}
	acc, err := n.initial.eval(s)
	for it := value.Iterate(bson.Raw(in.Data)); err == nil && it.Next(); {
		s.vars[n.first], s.vars[n.first+1] = acc, it.Value()
		acc, err = n.in.eval(s)
	}
	return acc, err
}

func (c *compiler) reduce(arg value.Value) (node, error) {
	if arg.Type != bson.TypeEmbeddedDocument {
		return nil, value.Errorf(40075, "$reduce requires an object as an argument, found: %s", value.TypeName(arg.Type))
	}
	doc := bson.Raw(arg.Data)
	input, initial, in := value.Field(doc, "input"), value.Field(doc, "initialValue"), value.Field(doc, "in")
	switch {
	case !input.Exists():
		return nil, value.Errorf(40077, "$reduce requires 'input' to be specified")
	case !initial.Exists():
		return nil, value.Errorf(40078, "$reduce requires 'initialValue' to be specified")
	case !in.Exists():
		return nil, value.Errorf(40079, "$reduce requires 'in' to be specified")
	}
	var out reduceNode
	var err error
	if out.input, err = c.compile(input); err != nil {
		return nil, err
	}
	if out.initial, err = c.compile(initial); err != nil {
		return nil, err
	}
	out.first, err = c.bind([]string{"value", "this"}, func() (err error) {
		out.in, err = c.compile(in)
		return err
	})
	return out, err
}

type convertNode struct{ input, to, onError, onNull node }

func (n convertNode) eval(s *scope) (value.Value, error) {
	v, err := n.input.eval(s)
	if err != nil {
		return v, err
	}
	to, err := n.to.eval(s)
	if err != nil {
		return to, err
	}
	if v.Nullish() {
		if n.onNull != nil {
			return n.onNull.eval(s)
		}
		return value.Null(), nil
	}
	if to.Nullish() {
		return value.Null(), nil
	}
	t, ok := value.TypeNamed(to.Str())
	if to.IsNumber() {
		t, ok = value.TypeByNumber(to.Truncated())
	}
	if !ok {
		return to, value.Errorf(value.BadValue, "Unknown type name: %s", to.Str())
	}
	out, err := function.Convert(v, t)
	var e *value.Error
	if errors.As(err, &e) && e.Code == value.ConversionFailure && n.onError != nil {
		return n.onError.eval(s)
	}
	return out, err
}

func (c *compiler) convert(arg value.Value) (node, error) {
	p, err := c.fields("$convert", arg, value.FailedToParse, "input", "to", "onError", "onNull")
	if err != nil {
		return nil, err
	}
	if p["input"] == nil || p["to"] == nil {
		return nil, value.Errorf(value.FailedToParse, "Missing 'input' or 'to' parameter to $convert")
	}
	return convertNode{p["input"], p["to"], p["onError"], p["onNull"]}, nil
}

func (c *compiler) getField(arg value.Value) (node, error) {
	f := function.Function{Fields: []string{"field!", "input!"}, Call: function.GetField}
	if arg.Type == bson.TypeEmbeddedDocument && (value.Field(bson.Raw(arg.Data), "field").Exists() || value.Field(bson.Raw(arg.Data), "input").Exists()) {
		return c.named("$getField", f, arg)
	}
	field, err := c.compile(arg)
	return call{fn: function.GetField, args: []node{field, rootNode{}}}, err
}
