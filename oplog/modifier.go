package oplog

import (
	"bytes"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// modifier applies one path of $set or $unset, the form of 4.4: section 3 of the oplog facts.
type modifier struct {
	builder
	path  [][]byte
	unset bool
	kind  bson.Type
	value []byte
}

// applyModifier applies the paths one by one in the order in which they are listed, which is the primary's.
func applyModifier(before bson.Raw, p payload) (bson.Raw, error) {
	type operator struct {
		paths []byte
		unset bool
	}
	operators := []operator{{p.set, false}, {p.unset, true}}
	if p.unsetFirst {
		operators[0], operators[1] = operators[1], operators[0]
	}
	document := []byte(before)
	for _, each := range operators {
		if each.paths == nil {
			continue
		}
		f := walk(each.paths)
		for f.next() {
			m := modifier{path: bytes.Split(f.name, []byte(".")), unset: each.unset, kind: f.kind, value: f.value,
				builder: builder{out: make([]byte, 0, len(document)+len(f.name)+len(f.value)+16)}}
			if len(m.path) > maxDepth {
				return nil, malformed("a path of more than %d parts", maxDepth)
			}
			if err := m.document(document, 0); err != nil {
				return nil, err
			}
			document = m.out
		}
		if f.err != nil {
			return nil, malformed("$set or $unset: %w", f.err)
		}
	}
	return document, nil
}

// document writes a document with the path's part at this depth brought to bear.
func (m *modifier) document(old []byte, depth int) error {
	place, met := m.open(), false
	f := walk(old)
	for f.next() {
		if met || !bytes.Equal(f.name, m.path[depth]) {
			m.element(f.kind, f.name, f.value)
			continue
		}
		met = true
		if depth == len(m.path)-1 && m.unset {
			continue
		}
		if err := m.inside(&f, depth); err != nil {
			return err
		}
	}
	if f.err != nil {
		return malformed("the document before: %w", f.err)
	}
	if !met && !m.unset {
		m.create(m.path[depth], depth)
	}
	m.close(place)
	return m.checkSize()
}

// array does the same for an array: a part that is a number addresses an element, any other is blocked.
func (m *modifier) array(old []byte, depth int) error {
	index, ok := readIndex(m.path[depth])
	if !ok {
		m.out = append(m.out, old...)
		return nil
	}
	place, count := m.open(), int64(0)
	f := walk(old)
	for ; f.next(); count++ {
		switch {
		case count != index:
			m.element(f.kind, f.name, f.value)
		case depth == len(m.path)-1 && m.unset:
			m.head(bson.TypeNull, f.name)
		default:
			if err := m.inside(&f, depth); err != nil {
				return err
			}
		}
	}
	if f.err != nil {
		return malformed("the document before: %w", f.err)
	}
	if index >= count && !m.unset {
		if (index-count)*3+int64(len(m.out)) > maxResult {
			return malformed("the update builds a document over %d bytes", maxResult)
		}
		for ; count < index; count++ {
			m.head(bson.TypeNull, strconv.AppendInt(nil, count, 10))
		}
		m.create(strconv.AppendInt(nil, index, 10), depth)
	}
	m.close(place)
	return m.checkSize()
}

// inside brings the rest of the path to bear on a field that is there. A scalar in the way blocks the path: it stays, and
// the rest of the entry still applies, as the server does with updates that come from replication.
func (m *modifier) inside(f *fields, depth int) error {
	switch {
	case depth == len(m.path)-1:
		m.element(m.kind, f.name, m.value)
		return nil
	case f.kind == bson.TypeEmbeddedDocument:
		m.head(f.kind, f.name)
		return m.document(f.value, depth+1)
	case f.kind == bson.TypeArray:
		m.head(f.kind, f.name)
		return m.array(f.value, depth+1)
	}
	m.element(f.kind, f.name, f.value)
	return nil
}

// create writes a field that is not there; missing parents are documents, also for parts that are numbers.
func (m *modifier) create(name []byte, depth int) {
	if depth == len(m.path)-1 {
		m.element(m.kind, name, m.value)
		return
	}
	m.head(bson.TypeEmbeddedDocument, name)
	place := m.open()
	m.create(m.path[depth+1], depth+1)
	m.close(place)
}
