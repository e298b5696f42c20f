package mql

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/expr"
	"pitr/internal/replsim/mql/value"
)

// Error is a failure as a client sees it: code, code name, message, errInfo.
type Error = value.Error

// Options are what a filter, a pipeline or an update may need besides its own text. The zero value is good.
type Options struct {
	// Let holds the variables that expressions reach as "$$name".
	Let bson.Raw
	// Now is $$NOW.
	Now time.Time
	// ClusterTime is $$CLUSTER_TIME; zero means that the variable is refused.
	ClusterTime bson.Timestamp
	// Collation is the command's or the collection's collation; anything but the simple one refuses to compare strings.
	Collation bson.Raw
}

// Environment gives what expressions can see.
func (o Options) Environment() expr.Environment {
	return expr.Environment{Let: o.Let, Now: o.Now, ClusterTime: o.ClusterTime}
}

// Compare orders two values as the server does: by rank of type, numbers across types. Missing (the zero value) is below null.
func Compare(a, b bson.RawValue) int { return value.Compare(value.Of(a), value.Of(b)) }

// Equal reports Compare == 0.
func Equal(a, b bson.RawValue) bool { return Compare(a, b) == 0 }

// Text writes a value as messages of the server show it: { a: 1, t: "word1" }.
func Text(v bson.RawValue) string { return value.Text(value.Of(v)) }

// Encode gives a string whose byte order is Compare's order; equal values have equal strings.
func Encode(v bson.RawValue) string { return value.Key(value.Of(v)) }

// Lookup finds the value at a dotted path through documents, and through arrays by number; the zero value if there is none.
func Lookup(doc bson.Raw, path string) bson.RawValue { return lookup(doc, parsePath(path)).Raw() }

// Valid reports that a document is well-formed and nests at most 200 levels deep, as clients must send it.
func Valid(doc bson.Raw) bool { return value.Valid(doc, 200) }

// Filter is a compiled query. It is safe for concurrent use.
type Filter struct {
	root        node
	spec        bson.Raw
	expressions bool
}

// Compile reads a filter with default options. The filter's bytes must not change afterwards.
func Compile(filter bson.Raw) (*Filter, error) { return CompileWith(filter, Options{}) }

// CompileWith reads a filter; what the server refuses is an *Error with its code. A nil filter matches everything.
func CompileWith(filter bson.Raw, o Options) (*Filter, error) {
	if filter == nil {
		filter = value.Empty()
	}
	c := compiler{opts: o}
	root, err := c.document(filter)
	if err != nil {
		return nil, err
	}
	return &Filter{root: root, spec: filter, expressions: c.expressions}, nil
}

// Spec gives the text of the filter.
func (f *Filter) Spec() bson.Raw { return f.spec }

// Empty reports a filter that matches everything.
func (f *Filter) Empty() bool {
	all, ok := f.root.(andNode)
	return ok && len(all) == 0
}

// Expressions reports that the filter uses $expr.
func (f *Filter) Expressions() bool { return f.expressions }

// Match says whether the document satisfies the filter; an error comes only from $expr.
func (f *Filter) Match(doc bson.Raw) (bool, error) {
	if !f.expressions {
		return f.root.match(doc, nil), nil
	}
	r := run{position: -1}
	ok := f.root.match(doc, &r)
	return ok && r.err == nil, r.err
}

// Position matches and tells the index of the array element through which the last condition on an array matched: what $ stands
// for in updates and projections. It is -1 if no array was passed.
func (f *Filter) Position(doc bson.Raw) (index int, matched bool, err error) {
	r := run{position: -1}
	ok := f.root.match(doc, &r)
	return r.position, ok && r.err == nil, r.err
}

// MatchValue says whether a value satisfies a filter that sees it as the field of that name: how array filters and $pull see the
// elements of an array.
func (f *Filter) MatchValue(name string, v bson.RawValue) (bool, error) {
	b, at := value.Begin(nil)
	b = value.Append(b, name, value.Of(v))
	return f.Match(value.End(b, at))
}

// expression compiles $expr.
func (c *compiler) expression(v value.Value) (node, error) {
	e, err := expr.Compile(v, c.opts.Environment())
	if err != nil {
		return nil, err
	}
	c.expressions = true
	eval := func(doc bson.Raw) (bool, error) {
		out, err := e.Eval(doc)
		return out.Truth(), err
	}
	return &exprNode{eval: eval, arg: v}, nil
}
