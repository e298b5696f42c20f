package mql

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/schema"
	"pitr/internal/replsim/mql/value"
)

// maxDepth is how deep filters may nest.
const maxDepth = 100

// compiler turns the text of a filter into nodes.
type compiler struct {
	opts  Options
	depth int
	// expressions is set when an $expr was seen: then Match can fail.
	expressions bool
}

func bad(format string, args ...any) error { return value.Errorf(value.BadValue, format, args...) }

func unsimulated(what string) error {
	return value.Errorf(value.NotImplemented, "%s is not simulated", what)
}

// document compiles a whole filter document.
func (c *compiler) document(doc bson.Raw) (node, error) {
	if c.depth++; c.depth > maxDepth {
		return nil, bad("Filter expression exceeds maximum depth of %d", maxDepth)
	}
	defer func() { c.depth-- }()
	var all andNode
	for it := value.Iterate(doc); it.Next(); {
		n, err := c.element(string(it.Key()), it.Value())
		if err != nil {
			return nil, err
		}
		if n != nil {
			all = append(all, n)
		}
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return all, nil
}

// element compiles one field of a filter: a top level operator, or a path with its condition. It gives nil for $comment.
func (c *compiler) element(name string, v value.Value) (node, error) {
	if !strings.HasPrefix(name, "$") {
		cond, err := c.condition(v)
		if err != nil {
			return nil, err
		}
		return &pathNode{name: name, parts: parsePath(name), cond: cond}, nil
	}
	switch name {
	case "$and", "$or", "$nor":
		return c.tree(name, v)
	case "$comment":
		return nil, nil
	case "$alwaysTrue", "$alwaysFalse":
		if n, ok := v.Whole(); !ok || n != 1 {
			return nil, value.Errorf(value.FailedToParse, "%s must be an integer value of 1", name)
		}
		return constNode(name == "$alwaysTrue"), nil
	case "$expr":
		return c.expression(v)
	case "$jsonSchema":
		s, err := schema.Compile(v)
		return &schemaNode{s}, err
	case "$where":
		return nil, bad("no globalScriptEngine in $where parsing")
	case "$text":
		return nil, value.Errorf(27, "text index required for $text query")
	case "$sampleRate":
		return nil, unsimulated(name)
	case "$ref", "$id", "$db":
		cond, err := c.condition(v)
		if err != nil {
			return nil, err
		}
		return &pathNode{name: name, parts: parsePath(name), cond: cond}, nil
	}
	return nil, bad("unknown top level operator: %s. If you have a field name that starts with a '$' symbol, "+
		"consider using $getField or $setField.", name)
}

func (c *compiler) tree(name string, v value.Value) (node, error) {
	if v.Type != bson.TypeArray {
		return nil, bad("%s must be an array", name)
	}
	var all []node
	for it := value.Iterate(bson.Raw(v.Data)); it.Next(); {
		if it.Value().Type != bson.TypeEmbeddedDocument {
			return nil, bad("$or/$and/$nor entries need to be full objects")
		}
		n, err := c.document(bson.Raw(it.Value().Data))
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	if len(all) == 0 {
		return nil, bad("$and/$or/$nor must be a nonempty array")
	}
	switch name {
	case "$and":
		return andNode(all), nil
	case "$or":
		return orNode(all), nil
	}
	return norNode(all), nil
}

// isOperators says whether a value is a document of operators, not a literal: its first name starts with $, except in a DBRef.
func isOperators(v value.Value) bool {
	if v.Type != bson.TypeEmbeddedDocument {
		return false
	}
	first := value.FirstName(bson.Raw(v.Data))
	if !strings.HasPrefix(first, "$") {
		return false
	}
	return first != "$ref" && first != "$id" && first != "$db"
}

// condition compiles what stands beside a path.
func (c *compiler) condition(v value.Value) (condition, error) {
	if !isOperators(v) {
		if v.Type == bson.TypeRegex {
			x, err := newRegex(v.Regex())
			if err != nil {
				return nil, err
			}
			return &leafCond{leaf: x, op: operator{"$regex", v}}, nil
		}
		return c.compare(relEq, operator{"$eq", v})
	}
	all, err := c.operators(v)
	if err != nil {
		return nil, err
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return &allCond{conds: all}, nil
}

func (c *compiler) operators(v value.Value) ([]condition, error) {
	if c.depth++; c.depth > maxDepth {
		return nil, bad("Filter expression exceeds maximum depth of %d", maxDepth)
	}
	defer func() { c.depth-- }()
	var all []condition
	doc := bson.Raw(v.Data)
	for it := value.Iterate(doc); it.Next(); {
		op := operator{string(it.Key()), it.Value()}
		cond, err := c.operator(op, doc)
		if err != nil {
			return nil, err
		}
		if cond != nil {
			all = append(all, cond)
		}
	}
	return all, nil
}

var relations = map[string]relation{"$eq": relEq, "$lt": relLt, "$lte": relLte, "$gt": relGt, "$gte": relGte}

// operator compiles one operator; siblings is the document it stands in. It gives nil for $options and $comment.
func (c *compiler) operator(op operator, siblings bson.Raw) (condition, error) {
	if rel, ok := relations[op.name]; ok {
		return c.compare(rel, op)
	}
	switch op.name {
	case "$ne":
		if op.arg.Type == bson.TypeRegex {
			return nil, bad("Can't have regex as arg to $ne.")
		}
		inner, err := c.compare(relEq, op)
		return &notCond{inner: inner, op: op}, err
	case "$in", "$nin":
		return c.in(op)
	case "$not":
		return c.not(op)
	case "$exists":
		if op.arg.Truth() {
			return &leafCond{leaf: exists{}, op: op}, nil
		}
		return &notCond{inner: &leafCond{leaf: exists{}, op: op}, op: op}, nil
	case "$type":
		set, err := value.TypeSet(op.arg, op.name)
		return &leafCond{leaf: types(set), op: op}, err
	case "$size":
		return c.size(op)
	case "$all":
		return c.all(op)
	case "$elemMatch":
		return c.elemMatch(op)
	case "$regex":
		return c.regexOperator(op, siblings)
	case "$options":
		if !value.Field(siblings, "$regex").Exists() {
			return nil, bad("$options needs a $regex")
		}
		return nil, nil
	case "$mod":
		return c.mod(op)
	case "$bitsAllSet", "$bitsAnySet", "$bitsAllClear", "$bitsAnyClear":
		return c.bits(op)
	case "$comment":
		return nil, nil
	case "$near", "$nearSphere", "$geoNear", "$geoWithin", "$within", "$geoIntersects":
		return nil, unsimulated(op.name)
	}
	return nil, bad("unknown operator: %s", op.name)
}

// literal checks a constant that is compared.
func (c *compiler) literal(v value.Value) error {
	if v.Type == bson.TypeUndefined {
		return bad("cannot compare to undefined")
	}
	return c.opts.collates(v)
}

func (c *compiler) compare(rel relation, op operator) (condition, error) {
	if err := c.literal(op.arg); err != nil {
		return nil, err
	}
	if op.arg.Type == bson.TypeRegex && rel != relEq {
		return nil, bad("Can't have RegEx as arg to predicate over field '%s'.", op.name)
	}
	return &leafCond{leaf: comparison{rel: rel, rhs: op.arg}, op: op}, nil
}

func (c *compiler) in(op operator) (condition, error) {
	if op.arg.Type != bson.TypeArray {
		return nil, bad("%s needs an array", op.name)
	}
	var values []value.Value
	var regexes []regex
	for _, v := range op.arg.Elements() {
		if isOperators(v) {
			return nil, bad("cannot nest $ under %s", op.name)
		}
		if v.Type == bson.TypeRegex {
			x, err := newRegex(v.Regex())
			if err != nil {
				return nil, err
			}
			regexes = append(regexes, x)
			continue
		}
		if err := c.literal(v); err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	in := &leafCond{leaf: newMembership(values, regexes), op: op}
	if op.name == "$nin" {
		return &notCond{inner: in, op: op}, nil
	}
	return in, nil
}

func (c *compiler) not(op operator) (condition, error) {
	if op.arg.Type == bson.TypeRegex {
		inner, err := c.condition(op.arg)
		return &notCond{inner: inner, op: op}, err
	}
	if op.arg.Type != bson.TypeEmbeddedDocument {
		return nil, bad("$not needs a regex or a document")
	}
	if value.FirstName(bson.Raw(op.arg.Data)) == "" {
		return nil, bad("$not cannot be empty")
	}
	all, err := c.operators(op.arg)
	if err != nil {
		return nil, err
	}
	return &notCond{inner: &allCond{conds: all}, op: op}, nil
}

func (c *compiler) size(op operator) (condition, error) {
	n, whole := op.arg.Whole()
	if !op.arg.IsNumber() {
		return nil, bad("Failed to parse $size. Expected a number in: $size: %s", value.Text(op.arg))
	}
	if !whole {
		return nil, bad("Failed to parse $size. Expected an integer: $size: %s", value.Text(op.arg))
	}
	if n < 0 {
		return nil, bad("Failed to parse $size. Expected a non-negative number in: $size: %s", value.Text(op.arg))
	}
	return &leafCond{leaf: arraySize(n), whole: true, op: op}, nil
}

func (c *compiler) all(op operator) (condition, error) {
	if op.arg.Type != bson.TypeArray {
		return nil, bad("$all needs an array")
	}
	var all []condition
	for i, v := range op.arg.Elements() {
		var cond condition
		var err error
		first := value.FirstName(v.Document())
		switch {
		case v.Type == bson.TypeEmbeddedDocument && first == "$elemMatch":
			cond, err = c.elemMatch(operator{"$elemMatch", value.Field(bson.Raw(v.Data), "$elemMatch")})
		case isOperators(v):
			return nil, bad("no $ expressions in $all")
		default:
			cond, err = c.condition(v)
		}
		if err != nil {
			return nil, err
		}
		if i > 0 && (first == "$elemMatch") != (value.FirstName(op.arg.Elements()[0].Document()) == "$elemMatch") {
			return nil, bad("$all/$elemMatch has to be consistent")
		}
		all = append(all, cond)
	}
	if len(all) == 0 {
		return &leafCond{leaf: types{}, op: op}, nil
	}
	return &allCond{conds: all, op: op}, nil
}

func (c *compiler) elemMatch(op operator) (condition, error) {
	if op.arg.Type != bson.TypeEmbeddedDocument {
		return nil, bad("$elemMatch needs an Object")
	}
	doc := bson.Raw(op.arg.Data)
	byValue := isOperators(op.arg)
	switch value.FirstName(doc) {
	case "$and", "$or", "$nor", "$where", "$expr", "$jsonSchema":
		byValue = false
	}
	if byValue {
		all, err := c.operators(op.arg)
		if err != nil {
			return nil, err
		}
		return &leafCond{leaf: elemMatchValue{&allCond{conds: all}}, whole: true, op: op}, nil
	}
	inner, err := c.document(doc)
	if err != nil {
		return nil, err
	}
	return &leafCond{leaf: elemMatchDocument{inner}, whole: true, op: op}, nil
}

func (c *compiler) regexOperator(op operator, siblings bson.Raw) (condition, error) {
	pattern, flags := "", ""
	switch op.arg.Type {
	case bson.TypeString:
		pattern = op.arg.Str()
	case bson.TypeRegex:
		pattern, flags = op.arg.Regex()
	default:
		return nil, bad("$regex has to be a string")
	}
	if o := value.Field(siblings, "$options"); o.Exists() {
		if o.Type != bson.TypeString {
			return nil, bad("$options has to be a string")
		}
		if flags != "" {
			return nil, value.Errorf(51075, "options set in both $regex and $options")
		}
		flags = o.Str()
	}
	x, err := newRegex(pattern, flags)
	return &leafCond{leaf: x, op: op}, err
}

func (c *compiler) mod(op operator) (condition, error) {
	if op.arg.Type != bson.TypeArray {
		return nil, bad("malformed mod, needs to be an array")
	}
	list := op.arg.Elements()
	switch {
	case len(list) < 2:
		return nil, bad("malformed mod, not enough elements")
	case len(list) > 2:
		return nil, bad("malformed mod, too many elements")
	case !list[0].IsNumber():
		return nil, bad("malformed mod, divisor not a number")
	case !list[1].IsNumber():
		return nil, bad("malformed mod, remainder not a number")
	case list[0].Truncated() == 0:
		return nil, bad("divisor cannot be 0")
	}
	return &leafCond{leaf: modulus{list[0].Truncated(), list[1].Truncated()}, op: op}, nil
}

func (c *compiler) bits(op operator) (condition, error) {
	b := bitTest{set: strings.HasSuffix(op.name, "Set"), any: strings.HasPrefix(op.name, "$bitsAny")}
	switch {
	case op.arg.Type == bson.TypeArray:
		for _, v := range op.arg.Elements() {
			n, ok := v.Whole()
			if !ok || n < 0 {
				return nil, bad("bit positions must be non-negative integers: %s", value.Text(v))
			}
			b.positions = append(b.positions, uint(n))
		}
	case op.arg.Type == bson.TypeBinary:
		_, data := op.arg.Binary()
		for i := range uint(len(data) * 8) {
			if data[i/8]>>(i%8)&1 == 1 {
				b.positions = append(b.positions, i)
			}
		}
	case op.arg.IsNumber():
		n, ok := op.arg.Whole()
		if !ok || n < 0 {
			return nil, value.Errorf(value.FailedToParse, "Expected a non-negative number in: %s: %s", op.name, value.Text(op.arg))
		}
		for i := range uint(63) {
			if n>>i&1 == 1 {
				b.positions = append(b.positions, i)
			}
		}
	default:
		return nil, bad("%s takes an Array, a number, or a BinData but received: %s", op.name, value.Text(op.arg))
	}
	return &leafCond{leaf: b, op: op}, nil
}

// collates refuses a value whose comparison depends on a collation other than the simple one.
func (o Options) collates(v value.Value) error {
	locale := value.Field(o.Collation, "locale").Str()
	if locale == "" || locale == "simple" || !holdsString(v) {
		return nil
	}
	return unsimulated("comparing strings under the collation " + value.Text(value.Doc(o.Collation)))
}

func holdsString(v value.Value) bool {
	switch v.Type {
	case bson.TypeString, bson.TypeSymbol:
		return true
	}
	for it := value.Iterate(v.Document()); it.Next(); {
		if holdsString(it.Value()) {
			return true
		}
	}
	return false
}
