package update

import (
	"bytes"
	"slices"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/value"
)

// Sizes that the server reckons with when it weighs a difference against the whole document.
const (
	emptyDocument = 5
	emptyArray    = 9
	sectionFrame  = 8
	payloadFrame  = 15
)

// difference computes the payload that leads from one image to the next, or nil if it would not be smaller than the new image.
func difference(before, after bson.Raw) bson.Raw {
	d := documentDifference(before, after, payloadFrame)
	if d == nil {
		return nil
	}
	return d.payload()
}

// note adds a field to a computed difference and reckons its size.
func (c *change) note(name string, kid *change) {
	c.size += len(name) + 2
	switch kid.kind {
	case inDocument, inArray:
		c.size += kid.size
	case deleted:
		c.size++
	default:
		c.size += len(kid.v.Data)
	}
	if c.kind == inArray {
		c.size++
		c.add(name, kid)
		return
	}
	switch kid.kind {
	case inDocument, inArray:
		c.size++
	default:
		if !slices.ContainsFunc(c.kids, func(k named) bool { return k.kind == kid.kind }) {
			c.size += sectionFrame
		}
	}
	c.add(name, kid)
}

func leaf(kind changeKind, v value.Value) *change { return &change{kind: kind, v: v, length: -1} }

// documentDifference walks both documents in step. A field that is not next in the new image counts as removed, and what is left
// of the new image at the end as inserted: so a field that moved is inserted again.
func documentDifference(before, after bson.Raw, frame int) *change {
	out := newChange(inDocument)
	out.size = emptyDocument + frame
	gone := map[string]bool{}
	a, b := value.Iterate(before), value.Iterate(after)
	moreA, moreB := a.Next(), b.Next()
	for moreA && moreB {
		switch {
		case bytes.Equal(a.Element(), b.Element()):
			moreA, moreB = a.Next(), b.Next()
		case bytes.Equal(a.Key(), b.Key()):
			out.note(string(a.Key()), valueDifference(a.Value(), b.Value()))
			moreA, moreB = a.Next(), b.Next()
		default:
			gone[string(a.Key())] = true
			moreA = a.Next()
		}
	}
	for ; moreA; moreA = a.Next() {
		out.note(string(a.Key()), leaf(deleted, value.Value{}))
	}
	for ; moreB; moreB = b.Next() {
		out.note(string(b.Key()), leaf(inserted, b.Value()))
		delete(gone, string(b.Key()))
	}
	names := make([]string, 0, len(gone))
	for name := range gone {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		out.note(name, leaf(deleted, value.Value{}))
	}
	if out.size >= len(after) {
		return nil
	}
	return out
}

func valueDifference(a, b value.Value) *change {
	if a.Type == b.Type {
		var sub *change
		switch a.Type {
		case bson.TypeEmbeddedDocument:
			sub = documentDifference(bson.Raw(a.Data), bson.Raw(b.Data), 0)
		case bson.TypeArray:
			sub = arrayDifference(bson.Raw(a.Data), bson.Raw(b.Data))
		}
		if sub != nil {
			return sub
		}
	}
	return leaf(updated, b)
}

func arrayDifference(before, after bson.Raw) *change {
	out := newChange(inArray)
	out.size = emptyArray
	a, b := value.Iterate(before), value.Iterate(after)
	moreA, moreB := a.Next(), b.Next()
	n := 0
	for ; moreA && moreB; n++ {
		if !value.Same(a.Value(), b.Value()) {
			out.note(strconv.Itoa(n), valueDifference(a.Value(), b.Value()))
		}
		moreA, moreB = a.Next(), b.Next()
	}
	if moreA {
		out.length = n
		out.size += 7
	}
	for ; moreB; n++ {
		out.note(strconv.Itoa(n), leaf(updated, b.Value()))
		moreB = b.Next()
	}
	if out.size >= len(after) {
		return nil
	}
	return out
}
