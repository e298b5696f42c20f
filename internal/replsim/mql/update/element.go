package update

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/value"
)

// element is a value in a document under change. It is opened only where the update goes, so that all else is copied as bytes.
type element struct {
	name []byte
	typ  bson.Type
	raw  []byte // the value's bytes while not open
	kids []*element
	open bool
}

func newElement(name string, v value.Value) *element {
	return &element{name: []byte(name), typ: v.Type, raw: v.Data}
}

func newRoot(doc bson.Raw) *element { return &element{typ: bson.TypeEmbeddedDocument, raw: doc} }

func (e *element) container() bool {
	return e.typ == bson.TypeEmbeddedDocument || e.typ == bson.TypeArray
}

// children opens the element.
func (e *element) children() []*element {
	if e.open || !e.container() {
		return e.kids
	}
	n := 0
	for it := value.Iterate(bson.Raw(e.raw)); it.Next(); {
		n++
	}
	slab := make([]element, 0, n)
	e.kids = make([]*element, 0, n+2)
	for it := value.Iterate(bson.Raw(e.raw)); it.Next(); {
		v := it.Value()
		slab = append(slab, element{name: it.Key(), typ: v.Type, raw: v.Data})
		e.kids = append(e.kids, &slab[len(slab)-1])
	}
	e.open, e.raw = true, nil
	return e.kids
}

// child finds a field of a document or, by number, an element of an array.
func (e *element) child(name string) *element {
	switch e.typ {
	case bson.TypeEmbeddedDocument:
		for _, k := range e.children() {
			if string(k.name) == name {
				return k
			}
		}
	case bson.TypeArray:
		if i, ok := index(name); ok && i < len(e.children()) {
			return e.kids[i]
		}
	}
	return nil
}

// index reads an array index; leading zeros are allowed, as the server does.
func index(name string) (int, bool) {
	if name == "" || len(name) > 9 {
		return 0, false
	}
	n := 0
	for i := range len(name) {
		if name[i] < '0' || name[i] > '9' {
			return 0, false
		}
		n = n*10 + int(name[i]-'0')
	}
	return n, true
}

// set gives the element another value.
func (e *element) set(v value.Value) {
	e.typ, e.raw, e.kids, e.open = v.Type, v.Data, nil, false
}

// remove takes a child out.
func (e *element) remove(kid *element) {
	for i, k := range e.kids {
		if k == kid {
			e.kids = append(e.kids[:i], e.kids[i+1:]...)
			return
		}
	}
}

// value gives the bytes as they are now.
func (e *element) value() value.Value {
	if !e.open {
		return value.Value{Type: e.typ, Data: e.raw}
	}
	return value.Value{Type: e.typ, Data: e.appendBody(nil)}
}

// appendBody appends the element's value.
func (e *element) appendBody(b []byte) []byte {
	if !e.open {
		return append(b, e.raw...)
	}
	b, at := value.Begin(b)
	for i, k := range e.kids {
		if e.typ == bson.TypeArray {
			b = value.Head(b, k.typ, value.IndexName(i))
		} else {
			b = value.Head(b, k.typ, k.name)
		}
		b = k.appendBody(b)
	}
	return value.End(b, at)
}

// text shows the element as messages do: name: value.
func (e *element) text() string { return value.ElementText(string(e.name), e.value()) }
