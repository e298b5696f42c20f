package update

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/value"
)

// step is one name of a path that was gone; array says that the name is an index.
type step struct {
	name  string
	array bool
}

// change is a node of the payload's tree: a document or array that goes on, or what became of one field.
type change struct {
	kind changeKind
	// e or v is the value of a set or inserted field; e is read when the payload is written.
	e    *element
	v    value.Value
	kids []named
	// size is the estimate that decides between difference and replacement; only computed differences keep it.
	size int
	// length is the new length of a shortened array, or -1.
	length int
}

type named struct {
	name   string
	number int // of an array element
	*change
}

type changeKind int

const (
	inDocument changeKind = iota
	inArray
	newDocument // a document that the update made
	inserted
	updated
	deleted
)

func newChange(kind changeKind) *change { return &change{kind: kind, length: -1} }

func (c *change) kid(name string) *change {
	for _, k := range c.kids {
		if k.name == name {
			return k.change
		}
	}
	return nil
}

func (c *change) add(name string, kid *change) *change {
	n := named{name: name, change: kid}
	if c.kind == inArray {
		n.number, _ = index(name)
	}
	c.kids = append(c.kids, n)
	return kid
}

// put hangs a leaf under a path. created is the place of the first name that the update made, or len(path) if it made none.
func (c *change) put(path []step, created int, leaf *change) {
	for i, s := range path[:len(path)-1] {
		next := c.kid(s.name)
		if next == nil {
			kind := inDocument
			switch {
			case path[i+1].array:
				kind = inArray
			case i >= created:
				kind = newDocument
			}
			next = c.add(s.name, newChange(kind))
		}
		c = next
	}
	c.add(path[len(path)-1].name, leaf)
}

func (c *change) value() value.Value {
	if c.e != nil {
		return c.e.value()
	}
	return c.v
}

// payload writes {$v: 2, diff: ...}.
func (c *change) payload() bson.Raw {
	b, at := value.Begin(nil)
	b = value.Append(b, "$v", value.Int32(2))
	b = value.Head(b, bson.TypeEmbeddedDocument, "diff")
	b = c.appendTo(b)
	return value.End(b, at)
}

func (c *change) appendTo(b []byte) []byte {
	switch c.kind {
	case inDocument:
		return c.appendDocument(b)
	case inArray:
		return c.appendArray(b)
	}
	return c.appendNew(b)
}

// appendDocument writes the sections in their fixed order; within one, fields stand in the order they were touched.
func (c *change) appendDocument(b []byte) []byte {
	b, at := value.Begin(b)
	b = c.section(b, "d", func(k named) bool { return k.kind == deleted })
	b = c.section(b, "u", func(k named) bool { return k.kind == updated })
	b = c.section(b, "i", func(k named) bool { return k.kind == inserted || k.kind == newDocument })
	for _, k := range c.kids {
		if k.kind == inDocument || k.kind == inArray {
			b = value.Head(b, bson.TypeEmbeddedDocument, "s"+k.name)
			b = k.appendTo(b)
		}
	}
	return value.End(b, at)
}

func (c *change) section(b []byte, name string, in func(named) bool) []byte {
	if !slices.ContainsFunc(c.kids, in) {
		return b
	}
	b, at := value.Begin(value.Head(b, bson.TypeEmbeddedDocument, name))
	for _, k := range c.kids {
		switch {
		case !in(k):
		case k.kind == deleted:
			b = value.Append(b, k.name, value.Bool(false))
		case k.kind == newDocument:
			b = k.appendNew(value.Head(b, bson.TypeEmbeddedDocument, k.name))
		default:
			b = value.Append(b, k.name, k.value())
		}
	}
	return value.End(b, at)
}

// appendNew writes a document that the update made, as a value.
func (c *change) appendNew(b []byte) []byte {
	b, at := value.Begin(b)
	for _, k := range c.kids {
		if k.kind == newDocument {
			b = k.appendNew(value.Head(b, bson.TypeEmbeddedDocument, k.name))
			continue
		}
		b = value.Append(b, k.name, k.value())
	}
	return value.End(b, at)
}

func (c *change) appendArray(b []byte) []byte {
	b, at := value.Begin(b)
	b = value.Append(b, "a", value.Bool(true))
	if c.length >= 0 {
		b = value.Append(b, "l", value.Int32(int32(c.length)))
	}
	kids := slices.Clone(c.kids)
	slices.SortStableFunc(kids, func(x, y named) int { return x.number - y.number })
	for _, k := range kids {
		name := value.IndexName(k.number)
		switch k.kind {
		case inDocument, inArray:
			b = k.appendTo(value.Head(b, bson.TypeEmbeddedDocument, "s"+name))
		case newDocument:
			b = k.appendNew(value.Head(b, bson.TypeEmbeddedDocument, "u"+name))
		default:
			b = value.Append(b, "u"+name, k.value())
		}
	}
	return value.End(b, at)
}
