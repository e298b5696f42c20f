package update

import (
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/value"
)

// applier runs an operator tree on one document.
type applier struct {
	root *element
	// log is the tree of the payload, nil when none is wanted.
	log *change
	// matched is the array index that $ stands for, "" if the filter gave none.
	matched string
	insert  bool
	moment  Moment
}

// place is where the tree walk stands: the deepest element that is there, the names that led to it, and the names below it that
// are not there.
type place struct {
	e      *element
	parent *element
	taken  []step
	create []string
	// quiet keeps this part out of the payload: somebody above logs it as a whole.
	quiet bool
}

func (p place) path() string {
	names := make([]string, len(p.taken))
	for i, s := range p.taken {
		names[i] = s.name
	}
	return strings.Join(names, ".")
}

// down goes to a child, or notes its name as one to create.
func (p place) down(name string) place {
	if len(p.create) == 0 {
		if kid := p.e.child(name); kid != nil {
			p.taken = append(p.taken[:len(p.taken):len(p.taken)], step{name, p.e.typ == bson.TypeArray})
			p.e, p.parent = kid, p.e
			return p
		}
	}
	p.create = append(p.create[:len(p.create):len(p.create)], name)
	return p
}

// settle takes up names that an earlier operator has created meanwhile.
func (p place) settle() place {
	for len(p.create) > 0 {
		kid := p.e.child(p.create[0])
		if kid == nil {
			break
		}
		p.taken = append(p.taken[:len(p.taken):len(p.taken)], step{p.create[0], p.e.typ == bson.TypeArray})
		p.e, p.parent, p.create = kid, p.e, p.create[1:]
	}
	return p
}

func (a *applier) idText() string {
	if id := a.root.child("_id"); id != nil {
		return id.text()
	}
	return "no id"
}

// apply reports whether anything changed.
func (a *applier) apply(n node, at place) (bool, error) {
	switch n := n.(type) {
	case *objectNode:
		return a.object(n, at)
	case *arrayNode:
		return a.array(n, at)
	case leafNode:
		return a.leaf(n, at)
	}
	return false, nil
}

// object applies the branches in order; the one named $ takes the place that the matched index has among them.
func (a *applier) object(n *objectNode, at place) (bool, error) {
	positional := n.positional
	if positional != nil && a.matched == "" {
		return false, bad("The positional operator did not find the match needed from the query.")
	}
	touched := false
	step := func(name string, n node) error {
		at = at.settle()
		done, err := a.apply(n, at.down(name))
		touched = touched || done
		return err
	}
	for _, b := range n.branches {
		if positional != nil && b.name == a.matched {
			joined, err := join(positional, b.node, append(at.names(), a.matched))
			if err != nil {
				return false, err
			}
			positional, b.node = nil, joined
		}
		if positional != nil && a.matched < b.name {
			if err := step(a.matched, positional); err != nil {
				return false, err
			}
			positional = nil
		}
		if err := step(b.name, b.node); err != nil {
			return false, err
		}
	}
	if positional != nil {
		if err := step(a.matched, positional); err != nil {
			return false, err
		}
	}
	return touched, nil
}

func (p place) names() []string {
	var names []string
	for _, s := range p.taken {
		names = append(names, s.name)
	}
	return append(names, p.create...)
}

// join merges two trees that meet at one element.
func join(x, y node, path []string) (node, error) {
	switch l := x.(type) {
	case *objectNode:
		if r, ok := y.(*objectNode); ok {
			out := &objectNode{}
			if err := joinBranches(out, l.branches, r.branches, path); err != nil {
				return nil, err
			}
			var err error
			out.positional, err = joinOptional(l.positional, r.positional, append(path, "$"))
			return out, err
		}
	case *arrayNode:
		if r, ok := y.(*arrayNode); ok {
			out := &arrayNode{filters: l.filters}
			return out, joinBranches(out, l.branches, r.branches, path)
		}
	}
	return nil, value.Errorf(value.ConflictingUpdateOperators, "Update created a conflict at '%s'", strings.Join(path, "."))
}

func joinOptional(x, y node, path []string) (node, error) {
	switch {
	case x == nil:
		return y, nil
	case y == nil:
		return x, nil
	}
	return join(x, y, path)
}

func joinBranches(out inner, x, y []branch, path []string) error {
	for _, b := range x {
		n, err := joinOptional(b.node, find(y, b.name), append(path[:len(path):len(path)], b.name))
		if err != nil {
			return err
		}
		out.put(b.name, n)
	}
	for _, b := range y {
		if find(x, b.name) == nil {
			out.put(b.name, b.node)
		}
	}
	return nil
}

// array applies the branches whose filters select an element to it. If filters selected more than one element, what the payload
// says is not what the operators did inside but the changed element, or the array if several changed.
func (a *applier) array(n *arrayNode, at place) (bool, error) {
	if len(at.create) > 0 {
		return false, bad("The path '%s' must exist in the document in order to apply array updates.", strings.Join(at.names(), "."))
	}
	if at.e.typ != bson.TypeArray {
		return false, bad("Cannot apply array updates to non-array element %s", at.e.text())
	}
	kids := at.e.children()
	chosen := make([]node, len(kids))
	count := 0
	for i, k := range kids {
		for _, b := range n.branches {
			if b.name != "" {
				ok, err := n.filters[b.name].MatchValue(b.name, k.value().Raw())
				if err != nil {
					return false, err
				}
				if !ok {
					continue
				}
			}
			if chosen[i] == nil {
				chosen[i] = b.node
				count++
				continue
			}
			joined, err := join(chosen[i], b.node, append(at.names(), strconv.Itoa(i)))
			if err != nil {
				return false, err
			}
			chosen[i] = joined
		}
	}
	quiet := at.quiet || count > 1
	changes, last := 0, 0
	for i, c := range chosen {
		if c == nil {
			continue
		}
		below := at.down(strconv.Itoa(i))
		below.quiet = quiet
		done, err := a.apply(c, below)
		if err != nil {
			return false, err
		}
		if done {
			changes, last = changes+1, i
		}
	}
	if quiet && !at.quiet {
		switch {
		case changes > 1:
			a.logSet(at.taken, at.e)
		case changes == 1:
			below := at.down(strconv.Itoa(last))
			a.logSet(below.taken, below.e)
		}
	}
	return changes > 0, nil
}

func (a *applier) logSet(path []step, e *element) {
	if a.log != nil {
		a.log.put(path, len(path), &change{kind: updated, e: e})
	}
}

func (a *applier) leaf(n leafNode, at place) (bool, error) {
	if n.placeholder || n.onInsert && !a.insert {
		return false, nil
	}
	if r, ok := n.op.(*renameOp); ok {
		return a.rename(r, at)
	}
	if len(at.create) > 0 {
		return a.create(n.op, at)
	}
	return a.change(n.op, at)
}

func (a *applier) change(op modifier, at place) (bool, error) {
	done, err := op.change(a, at)
	if err != nil || done == unchanged {
		return false, err
	}
	if at.taken[0].name == "_id" {
		return false, value.Errorf(value.ImmutableField, "Performing an update on the path '%s' would modify the immutable field '_id'", at.path())
	}
	if done != removed {
		if err := validate(at.e, len(at.taken), at.taken[0].name); err != nil {
			return false, err
		}
	}
	if a.log == nil || at.quiet {
		return true, nil
	}
	switch done {
	case removed:
		a.log.put(at.taken, len(at.taken), newChange(deleted))
	case appended:
		push, ok := op.(*pushOp)
		if !ok {
			return false, value.Errorf(value.InternalError, "only $push appends")
		}
		from := len(at.e.kids) - len(push.values)
		for i, v := range push.values {
			path := append(at.taken[:len(at.taken):len(at.taken)], step{strconv.Itoa(from + i), true})
			a.log.put(path, len(at.taken), &change{kind: inserted, v: v})
		}
	default:
		a.logSet(at.taken, at.e)
	}
	return true, nil
}

func (a *applier) create(op modifier, at place) (bool, error) {
	v, ok, err := op.create(a)
	if err != nil {
		return false, err
	}
	if !ok {
		if _, unset := op.(unsetOp); !unset && !viable(at) {
			return false, value.Errorf(value.PathNotViable, "Cannot use the part (%s) of (%s.%s) to traverse the element ({%s})",
				at.create[0], at.path(), strings.Join(at.create, "."), at.e.text())
		}
		return false, nil
	}
	return true, a.make(at, v)
}

// viable says whether the missing path could be made below an element.
func viable(at place) bool {
	if at.e.typ == bson.TypeArray {
		_, ok := index(at.create[0])
		return ok
	}
	return at.e.typ == bson.TypeEmbeddedDocument
}

// maxPadding is how many nulls a write beyond the end of an array may add.
const maxPadding = 1500000

// make creates the missing path with a value at its end, and logs it.
func (a *applier) make(at place, v value.Value) error {
	if !viable(at) {
		return value.Errorf(value.PathNotViable, "Cannot create field '%s' in element {%s}", at.create[0], at.e.text())
	}
	fresh := newElement(at.create[len(at.create)-1], v)
	top := fresh
	for i := len(at.create) - 2; i >= 0; i-- {
		top = &element{name: []byte(at.create[i]), typ: bson.TypeEmbeddedDocument, open: true, kids: []*element{top}}
	}
	at.e.children()
	inArray := at.e.typ == bson.TypeArray
	if inArray {
		i, _ := index(at.create[0])
		if i-len(at.e.kids) > maxPadding {
			return value.Errorf(34, "can't backfill more than %d elements", maxPadding)
		}
		for len(at.e.kids) < i {
			at.e.kids = append(at.e.kids, newElement("", value.Null()))
		}
	}
	at.e.kids = append(at.e.kids, top)
	first := at.create[0]
	if len(at.taken) > 0 {
		first = at.taken[0].name
	}
	if err := validate(top, len(at.taken)+1, first); err != nil {
		return err
	}
	if len(at.taken) > 0 && at.taken[0].name == "_id" {
		return value.Errorf(value.ImmutableField, "Updating the path '%s' to %s would modify the immutable field '_id'", at.path(), at.e.text())
	}
	if a.log == nil || at.quiet {
		return nil
	}
	path := append([]step(nil), at.taken...)
	for i, name := range at.create {
		path = append(path, step{name, inArray && i == 0})
	}
	a.log.put(path, len(at.taken), &change{kind: inserted, e: fresh})
	return nil
}

// rename sets the destination at first and then removes the source.
func (a *applier) rename(op *renameOp, at place) (bool, error) {
	from := strings.Join(op.from, ".")
	source := place{e: a.root}
	for i, name := range op.from {
		if i > 0 && !viable(place{e: source.e, create: []string{name}}) {
			return false, value.Errorf(value.PathNotViable, "cannot use the part (%s of %s) to traverse the element ({%s})", op.from[i-1], from, source.e.text())
		}
		if source = source.down(name); len(source.create) > 0 {
			return false, nil
		}
	}
	for e, taken := a.root, op.from; len(taken) > 1; taken = taken[1:] {
		if e = e.child(taken[0]); e.typ == bson.TypeArray {
			return false, bad("The source field cannot be an array element, '%s' in doc with %s has an array field called '%s'", from, a.idText(), e.name)
		}
	}
	for i, e := 0, a.root; i < len(at.taken); i++ {
		if e = e.child(at.taken[i].name); e.typ == bson.TypeArray && (i < len(at.taken)-1 || len(at.create) > 0) {
			return false, bad("The destination field cannot be an array element, '%s' in doc with %s has an array field called '%s'", op.to, a.idText(), e.name)
		}
	}
	v := source.e.value()
	if len(at.create) > 0 {
		if err := a.make(at, v); err != nil {
			return false, err
		}
	} else if !value.Equal(v, at.e.value()) {
		if _, err := a.change(setOp{v}, at); err != nil {
			return false, err
		}
	}
	source.parent.remove(source.e)
	if op.from[0] == "_id" {
		return false, value.Errorf(value.ImmutableField, "Unsetting the path '%s' using $rename would modify the immutable field '_id'", from)
	}
	if a.log != nil {
		a.log.put(source.taken, len(source.taken), newChange(deleted))
	}
	return true, nil
}
