package mql

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/schema"
	"pitr/internal/replsim/mql/value"
)

// node is a predicate on a document.
type node interface {
	match(doc bson.Raw, r *run) bool
}

// condition is what stands beside a path: operators that are tested on the path's values.
type condition interface {
	path(doc bson.Raw, parts []part, r *run) bool
	single(v value.Value, r *run) bool
}

// found notes the array index that a match went through.
func (r *run) found(i int) {
	if r != nil && i >= 0 {
		r.position = i
	}
}

type (
	andNode []node
	orNode  []node
	norNode []node
	notNode struct{ inner node }
	// constNode is $alwaysTrue and $alwaysFalse.
	constNode bool
	pathNode  struct {
		name  string
		parts []part
		cond  condition
	}
)

func (n andNode) match(doc bson.Raw, r *run) bool {
	for _, x := range n {
		if !x.match(doc, r) {
			return false
		}
	}
	return true
}

func (n orNode) match(doc bson.Raw, r *run) bool {
	for _, x := range n {
		if x.match(doc, r) {
			return true
		}
	}
	return false
}

func (n norNode) match(doc bson.Raw, r *run) bool { return !orNode(n).match(doc, r) }

func (n notNode) match(doc bson.Raw, r *run) bool { return !n.inner.match(doc, r) }

func (n constNode) match(bson.Raw, *run) bool { return bool(n) }

func (n *pathNode) match(doc bson.Raw, r *run) bool { return n.cond.path(doc, n.parts, r) }

type (
	// leafCond tests each value of the path until one passes.
	leafCond struct {
		leaf  leaf
		whole bool // arrays at the end of the path are not unwound
		op    operator
	}
	notCond struct {
		inner condition
		op    operator
	}
	allCond struct {
		conds []condition
		op    operator
	}
)

// operator remembers how a condition was written, for the explanation of a failure.
type operator struct {
	name string
	arg  value.Value
}

func (c *leafCond) path(doc bson.Raw, parts []part, r *run) bool {
	w := walker{leaf: c.leaf, whole: c.whole, run: r}
	ok, at := w.document(doc, parts)
	if ok {
		r.found(at)
	}
	return ok
}

func (c *leafCond) single(v value.Value, r *run) bool { return c.leaf.test(v, r) }

func (c *notCond) path(doc bson.Raw, parts []part, r *run) bool { return !c.inner.path(doc, parts, r) }

func (c *notCond) single(v value.Value, r *run) bool { return !c.inner.single(v, r) }

func (c *allCond) path(doc bson.Raw, parts []part, r *run) bool {
	for _, x := range c.conds {
		if !x.path(doc, parts, r) {
			return false
		}
	}
	return true
}

func (c *allCond) single(v value.Value, r *run) bool {
	for _, x := range c.conds {
		if !x.single(v, r) {
			return false
		}
	}
	return true
}

// exprNode is $expr.
type exprNode struct {
	eval func(doc bson.Raw) (bool, error)
	arg  value.Value
}

func (n *exprNode) match(doc bson.Raw, r *run) bool {
	ok, err := n.eval(doc)
	if err != nil && r != nil && r.err == nil {
		r.err = err
	}
	return ok && err == nil
}

// schemaNode is $jsonSchema.
type schemaNode struct{ schema *schema.Schema }

func (n *schemaNode) match(doc bson.Raw, _ *run) bool { return n.schema.Holds(value.Doc(doc)) }
