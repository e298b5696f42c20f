// Package delta applies the differences that update entries of the oplog carry, as the server does when it replays them.
//
// A difference is read whole and checked before it touches the document. It tolerates documents that are not the ones it was made
// for: see applyValue. The writing of differences is in package update.
package delta

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/value"
)

// Apply gives the document after the difference. The result may lack an _id that the difference removes.
func Apply(before, diff bson.Raw) (bson.Raw, error) {
	d, err := readDocument(diff, 0)
	if err != nil {
		return nil, err
	}
	return d.apply(before), nil
}

// maxIndex is the highest array index that a difference may name.
const maxIndex = 2 << 20

// index reads an array index.
func index(name string) (int, bool) {
	if name == "" || len(name) > 9 {
		return 0, false
	}
	n := 0
	for _, c := range []byte(name) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

// maxDiffDepth caps hostile nesting; real deltas are as deep as documents.
const maxDiffDepth = 250

// delta is a parsed difference of a document or an array.
type delta struct {
	array bool
	// length is the array's new length, or -1.
	length  int
	changes []deltaChange // of a document: in the order of sections; of an array: by rising index
	byName  map[string]int
}

type deltaChange struct {
	name    string
	section byte // d, u, i or s
	v       value.Value
	sub     *delta
}

func readDocument(doc bson.Raw, depth int) (*delta, error) {
	if depth > maxDiffDepth {
		return nil, value.Errorf(value.Overflow, "diff exceeds maximum nesting depth of %d", maxDiffDepth)
	}
	d := &delta{length: -1, byName: map[string]int{}}
	const sections = "duis"
	last := -1
	for it := value.Iterate(doc); it.Next(); {
		key := string(it.Key())
		at := -1
		for i := range len(sections) {
			if key != "" && key[0] == sections[i] {
				at = i
			}
		}
		if at < 0 || at < last || at == last && at != 3 || at != 3 && len(key) != 1 {
			return nil, value.Errorf(4770503, "Unexpected section: %s in document diff", key)
		}
		last = at
		v := it.Value()
		if v.Type != bson.TypeEmbeddedDocument {
			return nil, value.Errorf(4770507, "Expected %s section to be an object", key)
		}
		if at == 3 {
			sub, err := readAny(bson.Raw(v.Data), depth+1)
			if err != nil {
				return nil, err
			}
			if err := d.add(deltaChange{name: key[1:], section: 's', sub: sub}); err != nil {
				return nil, err
			}
			continue
		}
		for f := value.Iterate(bson.Raw(v.Data)); f.Next(); {
			if err := d.add(deltaChange{name: string(f.Key()), section: key[0], v: f.Value()}); err != nil {
				return nil, err
			}
		}
	}
	if len(d.changes) == 0 {
		return nil, value.Errorf(4770500, "Expected diff to be non-empty")
	}
	return d, nil
}

func (d *delta) add(c deltaChange) error {
	if _, ok := d.byName[c.name]; ok {
		return value.Errorf(4728000, "duplicate field name in diff: %s", c.name)
	}
	d.byName[c.name] = len(d.changes)
	d.changes = append(d.changes, c)
	return nil
}

func readAny(doc bson.Raw, depth int) (*delta, error) {
	if value.FirstName(doc) == "a" {
		return readArray(doc, depth)
	}
	return readDocument(doc, depth)
}

func readArray(doc bson.Raw, depth int) (*delta, error) {
	if depth > maxDiffDepth {
		return nil, value.Errorf(value.Overflow, "diff exceeds maximum nesting depth of %d", maxDiffDepth)
	}
	d := &delta{array: true, length: -1}
	place, last := 0, -1
	for it := value.Iterate(doc); it.Next(); place++ {
		key, v := string(it.Key()), it.Value()
		if place == 0 {
			if !v.Bool() {
				return nil, value.Errorf(4770520, "Expected array header to be boolean true")
			}
			continue
		}
		if key == "l" && place == 1 {
			if v.Type != bson.TypeInt32 || v.Int() < 0 {
				return nil, value.Errorf(4770518, "Expected resize section to be a non-negative int")
			}
			d.length = int(v.Int())
			continue
		}
		n, ok := -1, false
		if len(key) > 1 {
			n, ok = index(key[1:])
		}
		if !ok || key[0] != 'u' && key[0] != 's' || n <= last || d.length >= 0 && n >= d.length || n > maxIndex {
			return nil, value.Errorf(4770512, "Expected an array diff modification in rising order, found: %s", key)
		}
		last = n
		c := deltaChange{name: key[1:], section: key[0], v: v}
		if key[0] == 's' {
			if v.Type != bson.TypeEmbeddedDocument {
				return nil, value.Errorf(4770501, "Expected sub-diff to be an object")
			}
			var err error
			if c.sub, err = readAny(bson.Raw(v.Data), depth+1); err != nil {
				return nil, err
			}
		}
		d.changes = append(d.changes, c)
	}
	return d, nil
}

// apply changes a document: fields keep their places, inserted ones go to the end.
func (d *delta) apply(doc bson.Raw) bson.Raw {
	b, at := value.Begin(make([]byte, 0, len(doc)))
	seen := make([]bool, len(d.changes))
	for it := value.Iterate(doc); it.Next(); {
		i, ok := d.byName[string(it.Key())]
		if !ok {
			b = append(b, it.Element()...)
			continue
		}
		seen[i] = true
		switch c := d.changes[i]; c.section {
		case 'u':
			b = value.Append(b, it.Key(), c.v)
		case 's':
			b = value.Append(b, it.Key(), c.sub.applyValue(it.Value()))
		}
	}
	for i, c := range d.changes {
		if c.section == 'i' || c.section == 'u' && !seen[i] {
			b = value.Append(b, c.name, c.v)
		}
	}
	return value.End(b, at)
}

// applyValue gives null where the value is not of the kind that the delta expects: a later entry is certain to overwrite it.
func (d *delta) applyValue(v value.Value) value.Value {
	switch {
	case d.array && v.Type == bson.TypeArray:
		return d.applyArray(v)
	case !d.array && v.Type == bson.TypeEmbeddedDocument:
		return value.Doc(d.apply(bson.Raw(v.Data)))
	}
	return value.Null()
}

func (d *delta) applyArray(v value.Value) value.Value {
	list := v.Elements()
	for _, c := range d.changes {
		i, _ := index(c.name)
		old := len(list)
		for len(list) <= i {
			list = append(list, value.Null())
		}
		switch {
		case c.section == 'u':
			list[i] = c.v
		case i >= old:
			list[i] = value.Null()
		default:
			list[i] = c.sub.applyValue(list[i])
		}
	}
	if d.length >= 0 {
		for len(list) < min(d.length, maxIndex) {
			list = append(list, value.Null())
		}
		list = list[:min(d.length, len(list))]
	}
	return value.Array(list...)
}
