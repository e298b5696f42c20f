package update

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/mql/value"
)

// The operators of an update form a tree by path: nodes for documents, nodes for arrays that array filters select from, and an
// operator at each end.
type node interface{}

// branch is one way down from a node.
type branch struct {
	name string
	node node
}

type objectNode struct {
	branches   []branch // in the order in which the server applies them
	positional node     // the branch named $
}

type arrayNode struct {
	branches []branch // by identifier; "" is all elements
	filters  map[string]*mql.Filter
}

type leafNode struct {
	op modifier
	// onInsert is $setOnInsert.
	onInsert bool
	// placeholder keeps the source of a $rename from other operators.
	placeholder bool
}

func find(list []branch, name string) node {
	for _, b := range list {
		if b.name == name {
			return b.node
		}
	}
	return nil
}

// pathLess orders names: numbers by value, all others by their bytes.
func pathLess(a, b string) bool {
	if digits(a) && digits(b) {
		x, y := strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		if len(x) != len(y) {
			return len(x) < len(y)
		}
		return x < y
	}
	return a < b
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func insertBranch(list []branch, b branch, less func(a, b string) bool) []branch {
	i := len(list)
	for i > 0 && less(b.name, list[i-1].name) {
		i--
	}
	return slices.Insert(list, i, b)
}

func (n *objectNode) child(name string) node {
	if name == "$" {
		return n.positional
	}
	return find(n.branches, name)
}

func (n *objectNode) put(name string, child node) {
	if name == "$" {
		n.positional = child
		return
	}
	n.branches = insertBranch(n.branches, branch{name, child}, pathLess)
}

func (n *arrayNode) child(name string) node { return find(n.branches, name) }

func (n *arrayNode) put(name string, child node) {
	n.branches = insertBranch(n.branches, branch{name, child}, func(a, b string) bool { return a < b })
}

type inner interface {
	child(name string) node
	put(name string, child node)
}

// parser builds the tree.
type parser struct {
	root    *objectNode
	filters map[string]*mql.Filter
	used    map[string]bool
	opts    mql.Options
}

func failed(format string, args ...any) error {
	return value.Errorf(value.FailedToParse, format, args...)
}

func bad(format string, args ...any) error { return value.Errorf(value.BadValue, format, args...) }

func (p *parser) document(u bson.Raw) error {
	for it := value.Iterate(u); it.Next(); {
		name, v := string(it.Key()), it.Value()
		if !known(name) {
			return failed("Unknown modifier: %s. Expected a valid update modifier or pipeline-style update specified as an array", name)
		}
		if v.Type != bson.TypeEmbeddedDocument {
			return failed("Modifiers operate on fields but we found type %s instead. For example: {$mod: {<field>: ...}} not {%s}",
				value.TypeName(v.Type), value.ElementText(name, v))
		}
		for f := value.Iterate(bson.Raw(v.Data)); f.Next(); {
			if err := p.field(name, string(f.Key()), f.Value()); err != nil {
				return err
			}
		}
	}
	unused := make([]string, 0)
	for id := range p.filters {
		if !p.used[id] {
			unused = append(unused, id)
		}
	}
	if len(unused) > 0 {
		return failed("The array filter for identifier '%s' was not used in the update %s", slices.Min(unused), value.Text(value.Doc(u)))
	}
	return nil
}

func (p *parser) field(operator, path string, arg value.Value) error {
	if operator == "$rename" {
		return p.rename(path, arg)
	}
	if err := checkPath(path); err != nil {
		return err
	}
	op, err := p.modifier(operator, path, arg)
	if err != nil {
		return err
	}
	return p.place(path, leafNode{op: op, onInsert: operator == "$setOnInsert"})
}

func checkPath(path string) error {
	if path == "" {
		return value.Errorf(value.EmptyFieldName, "An empty update path is not valid.")
	}
	parts := strings.Split(path, ".")
	positional := 0
	for _, part := range parts {
		if part == "" {
			return value.Errorf(value.EmptyFieldName, "The update path '%s' contains an empty field name, which is not allowed.", path)
		}
		if part == "$" {
			positional++
		}
	}
	if positional > 1 {
		return bad("Too many positional (i.e. '$') elements found in path '%s'", path)
	}
	if parts[0] == "$" {
		return bad("Cannot have positional (i.e. '$') element in the first position in path '%s'", path)
	}
	return nil
}

// identifier reads $[id]; ok is false for any other name.
func identifier(part string) (id string, ok bool) {
	if len(part) < 3 || !strings.HasPrefix(part, "$[") || !strings.HasSuffix(part, "]") {
		return "", false
	}
	return part[2 : len(part)-1], true
}

func conflict(path, at string) error {
	return value.Errorf(value.ConflictingUpdateOperators, "Updating the path '%s' would create a conflict at '%s'", path, at)
}

// place hangs a leaf at the end of its path.
func (p *parser) place(path string, leaf leafNode) error {
	parts := strings.Split(path, ".")
	var current inner = p.root
	for i, part := range parts {
		name, err := p.branchName(part, i, path)
		if err != nil {
			return err
		}
		child := current.child(name)
		if i == len(parts)-1 {
			if child != nil {
				return conflict(path, path)
			}
			current.put(name, leaf)
			return nil
		}
		_, wantArray := identifier(parts[i+1])
		if child == nil {
			child = &objectNode{}
			if wantArray {
				child = &arrayNode{filters: p.filters}
			}
			current.put(name, child)
		}
		_, isArray := child.(*arrayNode)
		next, isInner := child.(inner)
		if !isInner || isArray != wantArray {
			return conflict(path, strings.Join(parts[:i+1], "."))
		}
		current = next
	}
	return nil
}

func (p *parser) branchName(part string, i int, path string) (string, error) {
	id, ok := identifier(part)
	if !ok {
		return part, nil
	}
	if i == 0 {
		return "", bad("Cannot have array filter identifier (i.e. '$[<id>]') element in the first position in path '%s'", path)
	}
	if id != "" {
		if p.filters[id] == nil {
			return "", bad("No array filter found for identifier '%s' in path '%s'", id, path)
		}
		p.used[id] = true
	}
	return id, nil
}

func (p *parser) rename(from string, arg value.Value) error {
	if err := checkPath(from); err != nil {
		return err
	}
	if err := p.place(from, leafNode{placeholder: true}); err != nil {
		return err
	}
	if arg.Type != bson.TypeString {
		return bad("The 'to' field for $rename must be a string: %s", value.ElementText(from, arg))
	}
	to := arg.Str()
	if err := checkPath(to); err != nil {
		return err
	}
	switch {
	case strings.ContainsRune(to, 0):
		return bad("The 'to' field for $rename cannot contain an embedded null byte")
	case from == to:
		return bad("The source and target field for $rename must differ: %s", value.ElementText(from, arg))
	case strings.HasPrefix(to, from+".") || strings.HasPrefix(from, to+"."):
		return bad("The source and target field for $rename must not be on the same path: %s", value.ElementText(from, arg))
	case dynamic(from):
		return bad("The source field for $rename may not be dynamic: %s", from)
	case dynamic(to):
		return bad("The destination field for $rename may not be dynamic: %s", to)
	}
	return p.place(to, leafNode{op: &renameOp{from: strings.Split(from, "."), to: to}})
}

func dynamic(path string) bool {
	return slices.ContainsFunc(strings.Split(path, "."), func(part string) bool {
		_, ok := identifier(part)
		return ok || part == "$"
	})
}

// parseFilters reads the arrayFilters of a statement.
func parseFilters(list value.Value, opts mql.Options) (map[string]*mql.Filter, error) {
	filters := map[string]*mql.Filter{}
	for _, v := range list.Elements() {
		if v.Type != bson.TypeEmbeddedDocument {
			return nil, value.Errorf(value.TypeMismatch, "Array filters must be objects")
		}
		doc := bson.Raw(v.Data)
		names := map[string]bool{}
		topNames(doc, names)
		if len(names) == 0 {
			return nil, failed("Cannot use an expression without a top-level field name in arrayFilters")
		}
		list := make([]string, 0, len(names))
		for n := range names {
			list = append(list, n)
		}
		slices.Sort(list)
		if len(list) > 1 {
			return nil, failed("Error parsing array filter :: caused by :: Expected a single top-level field name, found '%s' and '%s'", list[0], list[1])
		}
		id := list[0]
		if !validIdentifier(id) {
			return nil, bad("Error parsing array filter :: caused by :: The top-level field name must be an alphanumeric string beginning "+
				"with a lowercase letter, found '%s'", id)
		}
		if filters[id] != nil {
			return nil, failed("Found multiple array filters with the same top-level field name %s", id)
		}
		f, err := mql.CompileWith(doc, opts)
		if err != nil {
			return nil, err
		}
		filters[id] = f
	}
	return filters, nil
}

func validIdentifier(s string) bool {
	for i, c := range []byte(s) {
		lower, upper, digit := c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9'
		if !lower && (i == 0 || !upper && !digit) {
			return false
		}
	}
	return s != ""
}

// topNames collects the first names of the paths in a filter.
func topNames(doc bson.Raw, names map[string]bool) {
	for it := value.Iterate(doc); it.Next(); {
		key := string(it.Key())
		switch key {
		case "$and", "$or", "$nor":
			for _, v := range it.Value().Elements() {
				topNames(v.Document(), names)
			}
		default:
			if !strings.HasPrefix(key, "$") {
				first, _, _ := strings.Cut(key, ".")
				names[first] = true
			}
		}
	}
}
