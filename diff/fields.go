package diff

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// FieldKind says how a field differs.
type FieldKind string

// The kinds of differences. Time runs from T to E: what only E has was added.
const (
	// FieldAdded is there at E only. A field that is null is there.
	FieldAdded FieldKind = "added"
	// FieldRemoved is there at T only.
	FieldRemoved FieldKind = "removed"
	// FieldChanged has another value.
	FieldChanged FieldKind = "changed"
	// FieldRewritten has a value that the server takes for the same, stored as other bytes: 1 and 1.0, 0 and -0, decimals
	// with other exponents, NaN and another NaN.
	FieldRewritten FieldKind = "rewritten"
	// FieldMoved stands at another place among the fields that both versions have. Order matters to the server when it
	// compares embedded documents.
	FieldMoved FieldKind = "moved"
)

// Path leads to a field: names, and indexes of arrays in decimal. The empty path is the whole document.
type Path []string

// String joins the names with dots. A name that would be misread (empty, with a dot, a quote or a character that does not
// print) is quoted.
func (p Path) String() string {
	names := make([]string, len(p))
	for i, name := range p {
		names[i] = name
		quoted := strconv.Quote(name)
		if name == "" || strings.ContainsAny(name, ".\"") || quoted != `"`+name+`"` {
			names[i] = quoted
		}
	}
	return strings.Join(names, ".")
}

// FieldChange is one difference between two versions of a document.
type FieldChange struct {
	Path Path
	Kind FieldKind
	// E and T are the values; the zero value where there is none. They alias the documents.
	E, T bson.RawValue
}

// Fields says where the version at E differs from that at T; either may be nil for an absent document, which has no
// fields. There are none exactly where the bytes are equal. The order is that of the fields at T, then of those that
// only E has; the fields of an embedded document stand in its place.
//
//   - A field is found by its name; of fields with the same name the first belongs to the first.
//   - Documents are compared field by field. A field that is out of order beside the others is moved; one that was moved
//     and changed is listed as both.
//   - Arrays are compared after the elements that are equal at their beginning and at their end were set aside: what is
//     left is compared place by place, and what is left over is added or removed. The index is that of the side that has
//     the element.
//   - All other values are equal when type and bytes are; so a date is never equal to a timestamp or a text.
//   - Null is a value: a missing field and one that is null differ.
func Fields(e, t bson.Raw) []FieldChange {
	var f finder
	f.documents(nil, e, t)
	return f.found
}

// maxFieldDepth is how deep Fields looks; deeper documents are compared as a whole.
const maxFieldDepth = 300

type finder struct{ found []FieldChange }

func (f *finder) add(path Path, kind FieldKind, e, t bson.RawValue) {
	f.found = append(f.found, FieldChange{Path: path, Kind: kind, E: e, T: t})
}

// with gives the path of a field, in memory of its own.
func (p Path) with(name string) Path { return append(slices.Clip(p), name) }

func whole(document bson.Raw) bson.RawValue {
	if document == nil {
		return bson.RawValue{}
	}
	return bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: document}
}

// documents compares two documents field by field.
func (f *finder) documents(path Path, e, t bson.Raw) {
	if bytes.Equal(e, t) {
		return
	}
	elementsE, errE := e.Elements()
	elementsT, errT := t.Elements()
	if errE != nil || errT != nil || len(path) > maxFieldDepth {
		f.add(path, FieldChanged, whole(e), whole(t))
		return
	}
	before := len(f.found)
	// Versions of one document mostly have the same fields: as far as their names agree nothing has to be looked up.
	start, shorter := 0, min(len(elementsE), len(elementsT))
	for start < shorter && elementsE[start].Key() == elementsT[start].Key() {
		f.values(path, elementsE[start].Key(), elementsE[start].Value(), elementsT[start].Value())
		start++
	}
	f.remaining(path, elementsE[start:], elementsT[start:])
	if len(f.found) == before {
		// Bytes differ and no field does: one document is absent and the other empty.
		f.add(path, FieldChanged, whole(e), whole(t))
	}
}

// place is a field of a document: the n-th of its name.
type place struct {
	name string
	nth  int
}

// remaining compares the fields from the first one on that has another name on the other side.
func (f *finder) remaining(path Path, elementsE, elementsT []bson.RawElement) {
	if len(elementsE) == 0 && len(elementsT) == 0 {
		return
	}
	placesE := make(map[place]int, len(elementsE))
	for i, at := range placesOf(elementsE) {
		placesE[at] = i
	}
	met := make([]bool, len(elementsE))
	// order holds, for each field of T that E has too, its index at E, both its index at T.
	var order, both []int
	for i, at := range placesOf(elementsT) {
		if indexE, found := placesE[at]; found {
			met[indexE] = true
			order, both = append(order, indexE), append(both, i)
		}
	}
	stays := longestRise(order)
	next := 0
	for i, element := range elementsT {
		if next == len(both) || both[next] != i {
			f.add(path.with(element.Key()), FieldRemoved, bson.RawValue{}, element.Value())
			continue
		}
		valueE := elementsE[order[next]].Value()
		if !stays[next] {
			f.add(path.with(element.Key()), FieldMoved, valueE, element.Value())
		}
		f.values(path, element.Key(), valueE, element.Value())
		next++
	}
	for i, element := range elementsE {
		if !met[i] {
			f.add(path.with(element.Key()), FieldAdded, element.Value(), bson.RawValue{})
		}
	}
}

func placesOf(elements []bson.RawElement) []place {
	counts := make(map[string]int, len(elements))
	places := make([]place, len(elements))
	for i, element := range elements {
		name := element.Key()
		places[i] = place{name, counts[name]}
		counts[name]++
	}
	return places
}

// values compares two values of one field of the document or array at a path.
func (f *finder) values(within Path, name string, e, t bson.RawValue) {
	if e.Type == t.Type && bytes.Equal(e.Value, t.Value) {
		return
	}
	path := within.with(name)
	documentE, isDocumentE := e.DocumentOK()
	documentT, isDocumentT := t.DocumentOK()
	arrayE, isArrayE := e.ArrayOK()
	arrayT, isArrayT := t.ArrayOK()
	switch {
	case isDocumentE && isDocumentT:
		f.documents(path, documentE, documentT)
	case isArrayE && isArrayT:
		f.arrays(path, bson.Raw(arrayE), bson.Raw(arrayT))
	case sameNumber(e, t):
		f.add(path, FieldRewritten, e, t)
	default:
		f.add(path, FieldChanged, e, t)
	}
}

// sameNumber reports whether the server takes both values for one number.
func sameNumber(e, t bson.RawValue) bool {
	if !e.IsNumber() || !t.IsNumber() {
		return false
	}
	keyE, errE := pitr.NewKey(e)
	keyT, errT := pitr.NewKey(t)
	return errE == nil && errT == nil && keyE.Equal() == keyT.Equal()
}

func (f *finder) arrays(path Path, e, t bson.Raw) {
	elementsE, errE := e.Elements()
	elementsT, errT := t.Elements()
	if errE != nil || errT != nil || len(path) > maxFieldDepth {
		f.add(path, FieldChanged, bson.RawValue{Type: bson.TypeArray, Value: e}, bson.RawValue{Type: bson.TypeArray, Value: t})
		return
	}
	before := len(f.found)
	same := func(a, b bson.RawElement) bool {
		valueA, valueB := a.Value(), b.Value()
		return valueA.Type == valueB.Type && bytes.Equal(valueA.Value, valueB.Value)
	}
	start, shorter := 0, min(len(elementsE), len(elementsT))
	for start < shorter && same(elementsE[start], elementsT[start]) {
		start++
	}
	endE, endT := len(elementsE), len(elementsT)
	for endE > start && endT > start && same(elementsE[endE-1], elementsT[endT-1]) {
		endE, endT = endE-1, endT-1
	}
	for i := start; i < max(endE, endT); i++ {
		name := strconv.Itoa(i)
		switch {
		case i >= endE:
			f.add(path.with(name), FieldRemoved, bson.RawValue{}, elementsT[i].Value())
		case i >= endT:
			f.add(path.with(name), FieldAdded, elementsE[i].Value(), bson.RawValue{})
		default:
			f.values(path, name, elementsE[i].Value(), elementsT[i].Value())
		}
	}
	if len(f.found) == before {
		// The elements are equal and the names that stand before them are not: no driver writes that, a server may hold it.
		f.add(path, FieldRewritten, bson.RawValue{Type: bson.TypeArray, Value: e}, bson.RawValue{Type: bson.TypeArray, Value: t})
	}
}

// longestRise marks a longest rising subsequence: the fields that keep their order. The others moved.
func longestRise(order []int) []bool {
	// tails[k] is the index of the smallest last element of a rising subsequence of length k+1.
	var tails []int
	previous := make([]int, len(order))
	for i, value := range order {
		k, _ := slices.BinarySearchFunc(tails, value, func(at, value int) int { return order[at] - value })
		previous[i] = -1
		if k > 0 {
			previous[i] = tails[k-1]
		}
		if k == len(tails) {
			tails = append(tails, i)
		} else {
			tails[k] = i
		}
	}
	stays := make([]bool, len(order))
	if len(tails) > 0 {
		for at := tails[len(tails)-1]; at >= 0; at = previous[at] {
			stays[at] = true
		}
	}
	return stays
}
