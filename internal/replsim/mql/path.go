package mql

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/value"
)

// part is one name of a dotted path; index is its number if it is one, else -1.
type part struct {
	name  string
	index int
}

func parsePath(path string) []part {
	names := strings.Split(path, ".")
	parts := make([]part, len(names))
	for i, n := range names {
		parts[i] = part{name: n, index: arrayIndex(n)}
	}
	return parts
}

// arrayIndex reads a canonical array index: no sign, no leading zero; -1 if it is none.
func arrayIndex(s string) int {
	if s == "" || len(s) > 9 || s[0] == '0' && len(s) > 1 {
		return -1
	}
	n := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// run is what one evaluation carries along. It is nil while nobody asks for positions and no expression can fail.
type run struct {
	// position is the index of the array element that the last path predicate matched through, or -1.
	position int
	err      error
}

// walker visits the values that a path stands for: implicitly unwound arrays give each of their elements.
type walker struct {
	leaf leaf
	// whole leaves an array at the end of the path as it is.
	whole bool
	run   *run
}

// document starts at the top of a document. found is the outermost array index passed on the way, or -1.
func (w *walker) document(doc bson.Raw, parts []part) (matched bool, found int) {
	v := value.Doc(doc)
	for i := range parts {
		if v.Type == bson.TypeArray {
			return w.array(v, parts[i:])
		}
		if v.Type != bson.TypeEmbeddedDocument {
			return w.leaf.test(value.Value{}, w.run), -1
		}
		v = value.Field(bson.Raw(v.Data), parts[i].name)
	}
	if v.Type == bson.TypeArray && !w.whole {
		return w.end(v)
	}
	return w.leaf.test(v, w.run), -1
}

// end is an array at the end of a path: its elements, then itself.
func (w *walker) end(v value.Value) (bool, int) {
	i := 0
	for it := value.Iterate(bson.Raw(v.Data)); it.Next(); i++ {
		if w.leaf.test(it.Value(), w.run) {
			return true, i
		}
	}
	return w.leaf.test(v, w.run), -1
}

// array is an array with names left: documents in it are entered, and a number addresses an element too.
func (w *walker) array(v value.Value, parts []part) (bool, int) {
	i := 0
	for it := value.Iterate(bson.Raw(v.Data)); it.Next(); i++ {
		e := it.Value()
		if e.Type == bson.TypeEmbeddedDocument {
			if ok, _ := w.document(bson.Raw(e.Data), parts); ok {
				return true, i
			}
		}
		if parts[0].index != i {
			continue
		}
		if ok, at := w.element(e, parts[1:]); ok {
			return true, at
		}
	}
	return false, -1
}

// element is an array element that the path addressed by number; an array there is not unwound at the end of the path.
func (w *walker) element(e value.Value, rest []part) (bool, int) {
	switch {
	case len(rest) == 0:
		return w.leaf.test(e, w.run), -1
	case e.Type == bson.TypeEmbeddedDocument:
		return w.document(bson.Raw(e.Data), rest)
	case e.Type == bson.TypeArray:
		return w.array(e, rest)
	}
	return false, -1
}

// lookup finds the value at a path through documents, and through arrays by number only.
func lookup(doc bson.Raw, parts []part) value.Value {
	v := value.Doc(doc)
	for _, p := range parts {
		switch v.Type {
		case bson.TypeEmbeddedDocument, bson.TypeArray:
			v = value.Field(bson.Raw(v.Data), p.name)
		default:
			return value.Value{}
		}
	}
	return v
}
