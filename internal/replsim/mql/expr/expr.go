package expr

import (
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/function"
	"pitr/internal/replsim/mql/value"
)

// Environment is what an expression can see besides its document. The zero value has no variables.
type Environment struct {
	// Let holds constants that are read as "$$name".
	Let bson.Raw
	// Now is $$NOW.
	Now time.Time
	// ClusterTime is $$CLUSTER_TIME; zero means that there is none.
	ClusterTime bson.Timestamp
	// Bound are names of variables that each evaluation supplies, in the order of its arguments.
	Bound []string
}

// Expr is a compiled expression. It is safe for concurrent use.
type Expr struct {
	root  node
	slots int
}

type node interface {
	eval(s *scope) (value.Value, error)
}

// scope is the state of one evaluation.
type scope struct {
	root bson.Raw
	vars []value.Value
}

const maxDepth = 200

type compiler struct {
	env   Environment
	names []string // variables in force, by slot
	slots int
	depth int
}

// Compile reads an expression: a field path, a variable, an operator, a literal, or documents and arrays of expressions.
func Compile(v value.Value, env Environment) (*Expr, error) {
	c := newCompiler(env)
	n, err := c.compile(v)
	if err != nil {
		return nil, err
	}
	return &Expr{root: n, slots: c.slots}, nil
}

func newCompiler(env Environment) *compiler {
	return &compiler{env: env, names: append([]string(nil), env.Bound...), slots: len(env.Bound)}
}

// Eval computes the expression on a document; bound supplies the variables of Environment.Bound.
func (e *Expr) Eval(doc bson.Raw, bound ...value.Value) (value.Value, error) {
	return e.root.eval(newScope(doc, e.slots, bound))
}

func newScope(doc bson.Raw, slots int, bound []value.Value) *scope {
	s := &scope{root: doc}
	if slots > 0 {
		s.vars = make([]value.Value, slots)
		copy(s.vars, bound)
	}
	return s
}

// Constant gives the value of an expression that is a literal.
func (e *Expr) Constant() (value.Value, bool) {
	c, ok := e.root.(constant)
	return c.v, ok
}

func (c *compiler) compile(v value.Value) (node, error) {
	if c.depth++; c.depth > maxDepth {
		return nil, value.Errorf(value.Overflow, "expression exceeds the maximum depth of %d", maxDepth)
	}
	defer func() { c.depth-- }()
	switch v.Type {
	case bson.TypeString:
		if s := v.Str(); strings.HasPrefix(s, "$") {
			return c.path(s)
		}
	case bson.TypeEmbeddedDocument:
		return c.object(bson.Raw(v.Data))
	case bson.TypeArray:
		return c.array(v)
	}
	return constant{v}, nil
}

// object is an operator if its only name starts with $, else a document of expressions.
func (c *compiler) object(doc bson.Raw) (node, error) {
	first := value.FirstName(doc)
	if strings.HasPrefix(first, "$") {
		if n := value.Doc(doc).Len(); n != 1 {
			return nil, value.Errorf(15983, "an object representing an expression must have exactly one field: %s", value.Text(value.Doc(doc)))
		}
		return c.operator(first, value.Field(doc, first))
	}
	var o objectNode
	for it := value.Iterate(doc); it.Next(); {
		name := string(it.Key())
		if strings.HasPrefix(name, "$") {
			return nil, value.Errorf(15983, "an object representing an expression must have exactly one field: %s", value.Text(value.Doc(doc)))
		}
		if strings.Contains(name, ".") {
			return nil, value.Errorf(16412, "FieldPath field names may not contain '.'. Consider using $getField or $setField.")
		}
		n, err := c.compile(it.Value())
		if err != nil {
			return nil, err
		}
		o.names = append(o.names, name)
		o.values = append(o.values, n)
	}
	return folded(o, o.values), nil
}

func (c *compiler) array(v value.Value) (node, error) {
	nodes, err := c.list(v)
	if err != nil {
		return nil, err
	}
	return folded(arrayNode(nodes), nodes), nil
}

func (c *compiler) list(v value.Value) ([]node, error) {
	var nodes []node
	for it := value.Iterate(bson.Raw(v.Data)); it.Next(); {
		n, err := c.compile(it.Value())
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// folded replaces a document or array of constants by its value.
func folded(n node, parts []node) node {
	for _, p := range parts {
		if k, ok := p.(constant); !ok || !k.v.Exists() {
			return n
		}
	}
	v, err := n.eval(nil)
	if err != nil {
		return n
	}
	return constant{v}
}

type constant struct{ v value.Value }

func (n constant) eval(*scope) (value.Value, error) { return n.v, nil }

// absent is an argument that was not given.
type absent struct{}

func (absent) eval(*scope) (value.Value, error) { return value.Value{}, nil }

type objectNode struct {
	names  []string
	values []node
}

func (n objectNode) eval(s *scope) (value.Value, error) {
	b, at := value.Begin(nil)
	for i, x := range n.values {
		v, err := x.eval(s)
		if err != nil {
			return value.Value{}, err
		}
		b = value.Append(b, n.names[i], v)
	}
	return value.Doc(value.End(b, at)), nil
}

type arrayNode []node

func (n arrayNode) eval(s *scope) (value.Value, error) {
	vs := make([]value.Value, len(n))
	for i, x := range n {
		v, err := x.eval(s)
		if err != nil {
			return value.Value{}, err
		}
		vs[i] = v
	}
	return value.Array(vs...), nil
}

// path compiles "$a.b" and "$$name.a.b".
func (c *compiler) path(s string) (node, error) {
	name, rest := "ROOT", s[1:]
	if strings.HasPrefix(s, "$$") {
		name, rest, _ = strings.Cut(s[2:], ".")
		if name == "" {
			return nil, value.Errorf(value.FailedToParse, "empty variable names are not allowed")
		}
	} else if rest == "" {
		return nil, value.Errorf(16872, "'$' by itself is not a valid FieldPath")
	}
	base, err := c.variable(name)
	if err != nil || rest == "" {
		return base, err
	}
	parts := strings.Split(rest, ".")
	for _, p := range parts {
		switch {
		case p == "":
			return nil, value.Errorf(15998, "FieldPath field names may not be empty strings.")
		case strings.HasPrefix(p, "$"):
			return nil, value.Errorf(16410, "FieldPath field names may not start with '$'. Consider using $getField or $setField.")
		}
	}
	return pathNode{base: base, parts: parts}, nil
}

func (c *compiler) variable(name string) (node, error) {
	for i := len(c.names) - 1; i >= 0; i-- {
		if c.names[i] == name {
			return slot(i), nil
		}
	}
	switch name {
	case "ROOT", "CURRENT":
		return rootNode{}, nil
	case "REMOVE":
		return constant{}, nil
	case "NOW":
		return constant{value.Date(c.env.Now.UnixMilli())}, nil
	case "CLUSTER_TIME":
		if c.env.ClusterTime.IsZero() {
			return nil, value.Errorf(51144, "Builtin variable '$$CLUSTER_TIME' is not available")
		}
		return constant{value.Timestamp(c.env.ClusterTime)}, nil
	}
	if v := value.Field(c.env.Let, name); v.Exists() {
		return constant{v}, nil
	}
	return nil, value.Errorf(17276, "Use of undefined variable: %s", name)
}

// bind puts variables in force while inner is compiled.
func (c *compiler) bind(names []string, inner func() error) (first int, err error) {
	first = len(c.names)
	for _, n := range names {
		if n != "CURRENT" && (n == "" || n[0] < 'a' || n[0] > 'z') && n[0] < 0x80 {
			return 0, value.Errorf(value.FailedToParse, "'%s' starts with an invalid character for a user variable name", n)
		}
	}
	c.names = append(c.names, names...)
	c.slots = max(c.slots, len(c.names))
	err = inner()
	c.names = c.names[:first]
	return first, err
}

type slot int

func (n slot) eval(s *scope) (value.Value, error) { return s.vars[n], nil }

type rootNode struct{}

func (rootNode) eval(s *scope) (value.Value, error) { return value.Doc(s.root), nil }

type pathNode struct {
	base  node
	parts []string
}

func (n pathNode) eval(s *scope) (value.Value, error) {
	v, err := n.base.eval(s)
	if err != nil {
		return v, err
	}
	return function.Walk(v, n.parts), nil
}

// call is an operator that evaluates all its arguments.
type call struct {
	fn   func(args []value.Value) (value.Value, error)
	args []node
}

func (n call) eval(s *scope) (value.Value, error) {
	var buf [4]value.Value
	args := buf[:0]
	for _, a := range n.args {
		v, err := a.eval(s)
		if err != nil {
			return value.Value{}, err
		}
		args = append(args, v)
	}
	return n.fn(args)
}

// operator compiles {$name: arg}.
func (c *compiler) operator(name string, arg value.Value) (node, error) {
	if n, ok, err := c.special(name, arg); ok || err != nil {
		return n, err
	}
	f, ok := function.Lookup(name)
	if !ok {
		return nil, value.Errorf(value.InvalidPipelineOperator, "Unrecognized expression '%s'", name)
	}
	if f.Fields != nil {
		return c.named(name, f, arg)
	}
	args, err := c.arguments(arg)
	if err != nil {
		return nil, err
	}
	switch n := len(args); {
	case f.Least == f.Most && n != f.Least:
		return nil, value.Errorf(16020, "Expression %s takes exactly %d arguments. %d were passed in.", name, f.Least, n)
	case n < f.Least || f.Most >= 0 && n > f.Most:
		if f.Most < 0 {
			return nil, value.Errorf(28667, "Expression %s takes at least %d arguments, but %d were passed in.", name, f.Least, n)
		}
		return nil, value.Errorf(28667, "Expression %s takes at least %d arguments, and at most %d, but %d were passed in.",
			name, f.Least, f.Most, n)
	}
	return call{fn: f.Call, args: args}, nil
}

// arguments takes an array as a list, anything else as one argument.
func (c *compiler) arguments(arg value.Value) ([]node, error) {
	if arg.Type == bson.TypeArray {
		return c.list(arg)
	}
	n, err := c.compile(arg)
	return []node{n}, err
}

// named compiles an operator whose arguments are the fields of a document.
func (c *compiler) named(name string, f function.Function, arg value.Value) (node, error) {
	if arg.Type != bson.TypeEmbeddedDocument {
		return nil, value.Errorf(value.FailedToParse, "%s only supports an object as its argument", name)
	}
	args := make([]node, len(f.Fields))
	for i := range args {
		args[i] = absent{}
	}
	for it := value.Iterate(bson.Raw(arg.Data)); it.Next(); {
		at := -1
		for i, field := range f.Fields {
			if strings.TrimSuffix(field, "!") == string(it.Key()) {
				at = i
			}
		}
		if at < 0 {
			return nil, value.Errorf(value.FailedToParse, "%s found an unknown argument: %s", name, it.Key())
		}
		n, err := c.compile(it.Value())
		if err != nil {
			return nil, err
		}
		args[at] = n
	}
	for i, field := range f.Fields {
		if want, must := strings.CutSuffix(field, "!"); must && args[i] == node(absent{}) {
			return nil, value.Errorf(value.FailedToParse, "%s requires '%s' to be specified", name, want)
		}
	}
	return call{fn: f.Call, args: args}, nil
}
