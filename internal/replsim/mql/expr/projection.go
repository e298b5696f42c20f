package expr

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/value"
)

// Projection is a compiled $project, $addFields or projection of find. It is safe for concurrent use.
type Projection struct {
	root  *fields
	kind  Kind
	slots int
}

// Kind says what happens to fields that a projection does not name.
type Kind int

// The kinds: named fields stay, named fields go, or all stay and some are computed.
const (
	Undecided Kind = iota
	Inclusion
	Exclusion
	Addition
)

// fields is one level of a projection.
type fields struct {
	kept     map[string]bool // named leaves: included or excluded
	children map[string]*fields
	computed map[string]node
	// order is where computed fields and levels that hold some were first named.
	order  []string
	deeply bool // some level below or this one computes
}

func newFields() *fields {
	return &fields{kept: map[string]bool{}, children: map[string]*fields{}, computed: map[string]node{}}
}

type projectionCompiler struct {
	c    *compiler
	kind Kind
	root *fields
	// keepID is what the projection says about _id at the top: nil for nothing.
	keepID *bool
}

// CompileProjection reads a projection. kind is Addition for $addFields, Undecided for all others: the first field decides.
func CompileProjection(spec bson.Raw, kind Kind, env Environment) (*Projection, error) {
	p := &projectionCompiler{c: newCompiler(env), kind: kind, root: newFields()}
	if value.FirstName(spec) == "" && value.Doc(spec).Len() == 0 {
		return nil, value.Errorf(51272, "projection specification must have at least one field")
	}
	if err := p.document("", spec); err != nil {
		return nil, err
	}
	if p.kind == Undecided {
		p.kind = Exclusion
		if p.keepID != nil && *p.keepID {
			p.kind = Inclusion
		}
	}
	switch {
	case p.kind == Inclusion && (p.keepID == nil || *p.keepID):
		if p.root.children["_id"] == nil && p.root.computed["_id"] == nil {
			p.root.kept["_id"] = true
		}
	case p.kind == Exclusion && p.keepID != nil && !*p.keepID:
		p.root.kept["_id"] = true
	}
	return &Projection{root: p.root, kind: p.kind, slots: p.c.slots}, nil
}

// Kind gives Inclusion, Exclusion or Addition.
func (p *Projection) Kind() Kind { return p.kind }

func (p *projectionCompiler) document(prefix string, spec bson.Raw) error {
	for it := value.Iterate(spec); it.Next(); {
		if err := p.element(prefix+string(it.Key()), it.Value()); err != nil {
			return err
		}
	}
	return nil
}

func (p *projectionCompiler) element(path string, v value.Value) error {
	if err := CheckPath(path); err != nil {
		return err
	}
	if v.Type == bson.TypeEmbeddedDocument {
		first := value.FirstName(bson.Raw(v.Data))
		empty := value.Doc(bson.Raw(v.Data)).Len() == 0
		switch {
		case empty && p.kind != Addition:
			return value.Errorf(51270, "An empty sub-projection is not a valid value. Found empty object at path")
		case !empty && !strings.HasPrefix(first, "$"):
			return p.document(path+".", bson.Raw(v.Data))
		}
	}
	if p.kind != Addition && (v.IsNumber() || v.Type == bson.TypeBoolean) {
		return p.flag(path, v)
	}
	if p.kind == Exclusion {
		return value.Errorf(31252, "Cannot use an expression %s: %s in an exclusion projection", path, value.Text(v))
	}
	if p.kind == Undecided {
		p.kind = Inclusion
	}
	n, err := p.c.compile(v)
	if err != nil {
		return err
	}
	level, name, err := p.level(path, asComputed)
	if err != nil {
		return err
	}
	level.computed[name] = n
	level.order = append(level.order, name)
	return nil
}

// CheckPath refuses what is no path of field names.
func CheckPath(path string) error {
	for _, part := range strings.Split(path, ".") {
		switch {
		case path == "":
			return value.Errorf(40352, "FieldPath cannot be constructed with empty string")
		case strings.ContainsRune(part, 0):
			return value.Errorf(16411, "FieldPath field names may not contain null bytes.")
		case part == "":
			return value.Errorf(15998, "FieldPath field names may not be empty strings.")
		case strings.HasPrefix(part, "$"):
			return value.Errorf(16410, "FieldPath field names may not start with '$'. Consider using $getField or $setField.")
		}
	}
	return nil
}

// flag is a plain 1, true, 0 or false.
func (p *projectionCompiler) flag(path string, v value.Value) error {
	keep := v.Truth()
	if path == "_id" {
		p.keepID = &keep
		return nil
	}
	want := Exclusion
	if keep {
		want = Inclusion
	}
	if p.kind == Undecided {
		p.kind = want
	}
	if p.kind != want {
		if keep {
			return value.Errorf(31253, "Cannot do inclusion on field %s in exclusion projection", path)
		}
		return value.Errorf(31254, "Cannot do exclusion on field %s in inclusion projection", path)
	}
	level, name, err := p.level(path, asNamed)
	if err != nil {
		return err
	}
	level.kept[name] = true
	return nil
}

// use is what a projection does with a path.
type use int

const (
	asNamed use = iota
	asComputed
)

// level finds or makes the level that the last name of the path stands in.
func (p *projectionCompiler) level(path string, u use) (*fields, string, error) {
	level := p.root
	parts := strings.Split(path, ".")
	for i, name := range parts[:len(parts)-1] {
		level.deeply = level.deeply || u == asComputed
		if level.kept[name] || level.computed[name] != nil {
			return nil, "", value.Errorf(31249, "Path collision at %s remaining portion %s", path, strings.Join(parts[i+1:], "."))
		}
		child := level.children[name]
		if child == nil {
			child = newFields()
			level.children[name] = child
		}
		if u == asComputed && !child.deeply {
			level.order = append(level.order, name)
		}
		level = child
	}
	level.deeply = level.deeply || u == asComputed
	name := parts[len(parts)-1]
	if level.kept[name] || level.computed[name] != nil || level.children[name] != nil {
		return nil, "", value.Errorf(31250, "Path collision at %s", path)
	}
	return level, name, nil
}

// Apply gives the projected document; bound supplies the variables of Environment.Bound.
func (p *Projection) Apply(doc bson.Raw, bound ...value.Value) (bson.Raw, error) {
	out := doc
	if p.kind != Addition {
		out = p.root.project(doc, p.kind)
	}
	if !p.root.deeply {
		return out, nil
	}
	return p.root.compute(newScope(doc, p.slots, bound), out)
}

// project keeps or drops the named fields.
func (f *fields) project(doc bson.Raw, kind Kind) bson.Raw {
	b, at := value.Begin(make([]byte, 0, len(doc)))
	for it := value.Iterate(doc); it.Next(); {
		child := f.children[string(it.Key())]
		switch {
		case child != nil:
			b = value.Append(b, it.Key(), child.projectValue(it.Value(), kind))
		case f.kept[string(it.Key())] == (kind == Inclusion):
			b = append(b, it.Element()...)
		}
	}
	return value.End(b, at)
}

// projectValue goes into documents and arrays. Other values stay under an exclusion and go under an inclusion.
func (f *fields) projectValue(v value.Value, kind Kind) value.Value {
	switch v.Type {
	case bson.TypeEmbeddedDocument:
		return value.Doc(f.project(bson.Raw(v.Data), kind))
	case bson.TypeArray:
		var out []value.Value
		for it := value.Iterate(bson.Raw(v.Data)); it.Next(); {
			if x := f.projectValue(it.Value(), kind); x.Exists() {
				out = append(out, x)
			}
		}
		return value.Array(out...)
	}
	if kind == Inclusion {
		return value.Value{}
	}
	return v
}

// compute sets the computed fields in a document; the expressions see the document before the projection.
func (f *fields) compute(s *scope, doc bson.Raw) (bson.Raw, error) {
	set := make(map[string]value.Value, len(f.order))
	for _, name := range f.order {
		var v value.Value
		var err error
		if child := f.children[name]; child != nil {
			v, err = child.computeValue(s, value.Field(doc, name))
		} else {
			v, err = f.computed[name].eval(s)
		}
		if err != nil {
			return nil, err
		}
		set[name] = v
	}
	b, at := value.Begin(make([]byte, 0, len(doc)+16*len(set)))
	for it := value.Iterate(doc); it.Next(); {
		v, ok := set[string(it.Key())]
		if !ok {
			b = append(b, it.Element()...)
			continue
		}
		b = value.Append(b, it.Key(), v)
		set[string(it.Key())] = value.Value{}
	}
	for _, name := range f.order {
		b = value.Append(b, name, set[name])
	}
	return value.End(b, at), nil
}

// computeValue makes a document of what is none.
func (f *fields) computeValue(s *scope, v value.Value) (value.Value, error) {
	switch v.Type {
	case bson.TypeEmbeddedDocument:
		d, err := f.compute(s, bson.Raw(v.Data))
		return value.Doc(d), err
	case bson.TypeArray:
		list := v.Elements()
		for i, x := range list {
			var err error
			if list[i], err = f.computeValue(s, x); err != nil {
				return v, err
			}
		}
		return value.Array(list...), nil
	}
	d, err := f.compute(s, value.Empty())
	return value.Doc(d), err
}
