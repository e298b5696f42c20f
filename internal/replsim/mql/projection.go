package mql

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/expr"
	"pitr/internal/replsim/mql/value"
)

// Projection is a compiled projection of find or findAndModify. It is safe for concurrent use.
type Projection struct {
	// inner is nil where nothing is included, excluded or computed.
	inner      *expr.Projection
	filter     *Filter
	positional []string
	slices     []sliceField
	elements   []elementField
}

type sliceField struct {
	path        []string
	skip, limit int64
}

// elementField is {field: {$elemMatch: ...}}.
type elementField struct {
	path []part
	name string
	test condition
}

// CompileProjection reads a projection; filter serves the positional operator and may be nil. An empty projection gives whole
// documents.
func CompileProjection(spec bson.Raw, filter *Filter, o Options) (*Projection, error) {
	p := &Projection{filter: filter}
	plain, at := value.Begin(nil)
	kind, named := expr.Undecided, false
	for it := value.Iterate(spec); it.Next(); {
		name, v := string(it.Key()), it.Value()
		op := ""
		if v.Type == bson.TypeEmbeddedDocument {
			op = value.FirstName(bson.Raw(v.Data))
		}
		switch {
		case strings.HasSuffix(name, ".$"):
			if p.positional != nil {
				return nil, value.Errorf(31276, "Cannot specify more than one positional projection per query.")
			}
			if !v.IsNumber() && v.Type != bson.TypeBoolean {
				return nil, value.Errorf(31395, "positional projection cannot be used with an expression or sub object")
			}
			name = strings.TrimSuffix(name, ".$")
			p.positional = strings.Split(name, ".")
			plain = value.Append(plain, name, value.Int32(1))
			kind, named = expr.Inclusion, true
		case op == "$slice" && v.Len() == 1 && !isExpressionSlice(v):
			if err := p.slice(name, value.Field(bson.Raw(v.Data), op)); err != nil {
				return nil, err
			}
		case op == "$elemMatch":
			if err := p.elemMatch(name, value.Field(bson.Raw(v.Data), op), o); err != nil {
				return nil, err
			}
			kind = expr.Inclusion
		default:
			plain = value.Append(plain, name, v)
			named = true
			if flag := v.IsNumber() || v.Type == bson.TypeBoolean; name != "_id" && kind == expr.Undecided {
				kind = expr.Inclusion
				if flag && !v.Truth() {
					kind = expr.Exclusion
				}
			} else if name == "_id" && !flag {
				kind = expr.Inclusion
			}
		}
	}
	if kind == expr.Undecided && value.Field(spec, "_id").Truth() && named {
		kind = expr.Inclusion
	}
	return p, p.compile(plain, at, kind, o)
}

// compile reads what the base of the projection understands; slices of an inclusion are included.
func (p *Projection) compile(plain []byte, at int, kind expr.Kind, o Options) error {
	if kind == expr.Inclusion {
		for _, s := range p.slices {
			plain = value.Append(plain, strings.Join(s.path, "."), value.Int32(1))
		}
		if len(plain) == 4 {
			plain = value.Append(plain, "_id", value.Int32(1))
		}
	}
	spec := bson.Raw(value.End(plain, at))
	if len(spec) == len(value.Empty()) {
		return nil
	}
	var err error
	p.inner, err = expr.CompileProjection(spec, kind, o.Environment())
	return err
}

// isExpressionSlice tells the operator of expressions from that of projections by its first argument.
func isExpressionSlice(v value.Value) bool {
	list := value.Field(bson.Raw(v.Data), "$slice").Elements()
	return len(list) > 2 || len(list) == 2 && !list[0].IsNumber()
}

func (p *Projection) slice(name string, v value.Value) error {
	s := sliceField{path: strings.Split(name, ".")}
	switch {
	case v.IsNumber():
		if n := v.Truncated(); n < 0 {
			s.skip, s.limit = n, -n
		} else {
			s.limit = n
		}
	case v.Type == bson.TypeArray && v.Len() == 2:
		list := v.Elements()
		if !list[1].IsNumber() || list[1].Truncated() <= 0 {
			return value.Errorf(28724, "First argument to $slice must be an array, but is of type: %s", value.TypeName(list[0].Type))
		}
		s.skip, s.limit = list[0].Truncated(), list[1].Truncated()
	default:
		return value.Errorf(28667, "Invalid $slice syntax. The given syntax %s did not match the find() syntax", value.Text(v))
	}
	p.slices = append(p.slices, s)
	return nil
}

func (p *Projection) elemMatch(name string, v value.Value, o Options) error {
	if strings.Contains(name, ".") {
		return value.Errorf(31275, "Cannot use $elemMatch projection on a nested field.")
	}
	c := compiler{opts: o}
	test, err := c.elemMatch(operator{"$elemMatch", v})
	if err != nil {
		return err
	}
	p.elements = append(p.elements, elementField{path: parsePath(name), name: name, test: test})
	return nil
}

// Apply gives the projected document.
func (p *Projection) Apply(doc bson.Raw) (bson.Raw, error) {
	out := doc
	var err error
	if p.inner != nil {
		if out, err = p.inner.Apply(doc); err != nil {
			return nil, err
		}
	}
	if p.positional != nil {
		if out, err = p.pick(doc, out); err != nil {
			return nil, err
		}
	}
	for _, s := range p.slices {
		out = replaceAt(out, s.path, s.cut)
	}
	for _, e := range p.elements {
		if out, err = e.add(doc, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// pick leaves of the array on the positional path only the element that the filter matched.
func (p *Projection) pick(doc, out bson.Raw) (bson.Raw, error) {
	at := -1
	if p.filter != nil {
		var err error
		if at, _, err = p.filter.Position(doc); err != nil {
			return nil, err
		}
	}
	found := true
	out = replaceAt(out, p.positional, func(v value.Value) value.Value {
		if v.Type != bson.TypeArray {
			return v
		}
		list := v.Elements()
		if found = at >= 0 && at < len(list); !found {
			return v
		}
		return value.Array(list[at])
	})
	if !found {
		return nil, value.Errorf(51246, "positional operator '.$' couldn't find a matching element in the array")
	}
	return out, nil
}

// replaceAt changes the value at a path, or the first array on the way.
func replaceAt(doc bson.Raw, path []string, f func(value.Value) value.Value) bson.Raw {
	b, at := value.Begin(make([]byte, 0, len(doc)))
	for it := value.Iterate(doc); it.Next(); {
		v := it.Value()
		switch {
		case string(it.Key()) != path[0]:
			b = append(b, it.Element()...)
		case len(path) > 1 && v.Type == bson.TypeEmbeddedDocument:
			b = value.Append(b, path[0], value.Doc(replaceAt(bson.Raw(v.Data), path[1:], f)))
		default:
			b = value.Append(b, path[0], f(v))
		}
	}
	return value.End(b, at)
}

func (s sliceField) cut(v value.Value) value.Value {
	if v.Type != bson.TypeArray {
		return v
	}
	list := v.Elements()
	n := int64(len(list))
	from := min(s.skip, n)
	if s.skip < 0 {
		from = max(0, n+s.skip)
	}
	return value.Array(list[from:min(n, from+min(s.limit, n))]...)
}

// add puts the first element that passes at the end of the document.
func (e elementField) add(doc, out bson.Raw) (bson.Raw, error) {
	var r run
	r.position = -1
	ok := e.test.path(doc, e.path, &r)
	if r.err != nil || !ok {
		return out, r.err
	}
	list := lookup(doc, e.path).Elements()
	b, at := value.Begin(make([]byte, 0, len(out)))
	for it := value.Iterate(out); it.Next(); {
		if string(it.Key()) != e.name {
			b = append(b, it.Element()...)
		}
	}
	b = value.Append(b, e.name, value.Array(list[r.position]))
	return value.End(b, at), nil
}
