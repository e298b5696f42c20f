package mql

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/value"
)

// Failure explains why a document does not satisfy a validator: the details of error 121. Nil if it does.
func (f *Filter) Failure(doc bson.Raw) bson.Raw {
	if ok, err := f.Match(doc); ok && err == nil {
		return nil
	}
	return explain(f.root, doc, wanted)
}

// expectation says which outcome of a predicate was hoped for.
type expectation int

const (
	wanted expectation = iota
	unwanted
)

func (e expectation) not() expectation { return 1 - e }

// explain describes a predicate that had the wrong outcome.
func explain(n node, doc bson.Raw, e expectation) bson.Raw {
	switch n := n.(type) {
	case andNode:
		return explainList("$and", n, doc, e)
	case orNode:
		return explainList("$or", n, doc, e)
	case norNode:
		return explainList("$nor", n, doc, e)
	case notNode:
		return explain(n.inner, doc, e.not())
	case *pathNode:
		return explainCondition(n, n.cond, doc, e)
	case *exprNode:
		b, at := value.Begin(nil)
		b = value.Append(b, "operatorName", value.String("$expr"))
		b = value.Append(b, "specifiedAs", single("$expr", n.arg))
		b = value.Append(b, "reason", value.String([]string{"expression did not match", "expression did match"}[e]))
		b = value.Append(b, "expressionResult", value.Bool(e == unwanted))
		return value.End(b, at)
	case *schemaNode:
		b, at := value.Begin(nil)
		b = value.Append(b, "operatorName", value.String("$jsonSchema"))
		if e == unwanted {
			b = value.Append(b, "reason", value.String("schema matched"))
			return value.End(b, at)
		}
		b = value.Append(b, "schemaRulesNotSatisfied", value.Array(n.schema.Explain(value.Doc(doc))...))
		return value.End(b, at)
	}
	return value.Empty()
}

func single(name string, v value.Value) value.Value {
	b, at := value.Begin(nil)
	return value.Doc(value.End(value.Append(b, name, v), at))
}

// explainList describes $and, $or and $nor by those clauses that decided.
func explainList(name string, list []node, doc bson.Raw, e expectation) bson.Raw {
	inner := e
	if name == "$nor" {
		inner = e.not()
	}
	var clauses []value.Value
	for i, n := range list {
		if n.match(doc, nil) == (inner == wanted) {
			continue
		}
		b, at := value.Begin(nil)
		b = value.Append(b, "index", value.Int32(int32(i)))
		b = value.Append(b, "details", value.Doc(explain(n, doc, inner)))
		clauses = append(clauses, value.Doc(value.End(b, at)))
	}
	b, at := value.Begin(nil)
	b = value.Append(b, "operatorName", value.String(name))
	b = value.Append(b, []string{"clausesNotSatisfied", "clausesSatisfied"}[inner], value.Array(clauses...))
	return value.End(b, at)
}

func explainCondition(n *pathNode, c condition, doc bson.Raw, e expectation) bson.Raw {
	switch c := c.(type) {
	case *allCond:
		list := make([]node, len(c.conds))
		for i, x := range c.conds {
			list[i] = &pathNode{name: n.name, parts: n.parts, cond: x}
		}
		if c.op.name == "" {
			return explainList("$and", list, doc, e)
		}
		return explainLeaf(n, c.op, doc, e)
	case *notCond:
		if c.op.name == "$not" {
			b, at := value.Begin(nil)
			b = value.Append(b, "operatorName", value.String("$not"))
			b = value.Append(b, "details", value.Doc(explainCondition(n, c.inner, doc, e.not())))
			return value.End(b, at)
		}
		return explainLeaf(n, c.op, doc, e)
	case *leafCond:
		return explainLeaf(n, c.op, doc, e)
	}
	return value.Empty()
}

// reasons are why an operator did not hold, and why it held though it should not.
var reasons = map[string][2]string{
	"$exists":    {"path does not exist", "path does exist"},
	"$type":      {"type did not match", "type did match"},
	"$size":      {"array length was not equal to given size", "array length was equal to given size"},
	"$all":       {"array did not contain all specified values", "array did contain all specified values"},
	"$elemMatch": {"array did not satisfy the child predicate", "array did satisfy the child predicate"},
	"$regex":     {"regular expression did not match", "regular expression did match"},
	"$in":        {"no matching value found in array", "matching value found in array"},
	"$nin":       {"matching value found in array", "no matching value found in array"},
	"$mod":       {"$mod did not evaluate to expected remainder", "$mod did evaluate to expected remainder"},
	"$ne":        {"comparison succeeded", "comparison failed"},
}

func explainLeaf(n *pathNode, op operator, doc bson.Raw, e expectation) bson.Raw {
	reason, ok := reasons[op.name]
	if !ok {
		reason = [2]string{"comparison failed", "comparison succeeded"}
	}
	if op.name == "$exists" && !op.arg.Truth() {
		reason[0], reason[1] = reason[1], reason[0]
	}
	specified := single(op.name, op.arg)
	if cond := value.Field(bsonSpec(n), n.name); cond.Exists() {
		specified = cond
	}
	values := considered(doc, n.parts)
	b, at := value.Begin(nil)
	b = value.Append(b, "operatorName", value.String(op.name))
	b = value.Append(b, "specifiedAs", single(n.name, specified))
	switch {
	case op.name == "$exists":
		return value.End(value.Append(b, "reason", value.String(reason[e])), at)
	case len(values) == 0 && e == wanted && op.name != "$ne" && op.name != "$nin":
		return value.End(value.Append(b, "reason", value.String("field was missing")), at)
	}
	b = value.Append(b, "reason", value.String(reason[e]))
	switch len(values) {
	case 0:
	case 1:
		b = value.Append(b, "consideredValue", values[0])
		if op.name == "$type" {
			b = value.Append(b, "consideredType", value.String(value.TypeName(values[0].Type)))
		}
	default:
		b = value.Append(b, "consideredValues", value.Array(values...))
	}
	return value.End(b, at)
}

// bsonSpec gives how an equality was written: {a: 5} is not shown as {a: {$eq: 5}}.
func bsonSpec(n *pathNode) bson.Raw {
	l, ok := n.cond.(*leafCond)
	if !ok || l.op.name != "$eq" {
		return nil
	}
	b, at := value.Begin(nil)
	return value.End(value.Append(b, n.name, l.op.arg), at)
}

// considered collects the values that a path stands for.
func considered(doc bson.Raw, parts []part) []value.Value {
	c := &collector{}
	(&walker{leaf: c}).document(doc, parts)
	return c.values
}

type collector struct{ values []value.Value }

func (c *collector) test(v value.Value, _ *run) bool {
	if v.Exists() {
		c.values = append(c.values, v)
	}
	return false
}
