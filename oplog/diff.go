package oplog

import (
	"bytes"
	"math"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// section is the letter that says what a diff does to a field.
type section byte

// The sections, in the order in which a document diff must have them.
const (
	sectionDelete section = 'd'
	sectionUpdate section = 'u'
	sectionInsert section = 'i'
	sectionBinary section = 'b'
	sectionSub    section = 's'

	sectionOrder = "duibs"
)

// step is what a diff does to one field or array element.
type step struct {
	section section
	name    []byte
	index   int64
	kind    bson.Type
	value   []byte
	// met is set once the old document turned out to have the field.
	met bool
}

// checkUnmet looks through the parts of a diff that found nothing to work on, so that a malformed entry is refused
// whatever it meets.
func (s *step) checkUnmet(depth int) error {
	switch {
	case s.met:
		return nil
	case s.section == sectionSub:
		return checkSub(s.value, depth+1)
	case s.section == sectionBinary:
		_, _, err := readSplice(s.value)
		return err
	}
	return nil
}

func checkSub(diff []byte, depth int) error {
	kind, err := subKind(diff)
	if err != nil {
		return err
	}
	var steps []step
	if kind == bson.TypeArray {
		steps, _, err = readArrayDiff(nil, diff, depth)
	} else {
		steps, err = readDocumentDiff(nil, diff, depth)
	}
	for i := range steps {
		if err == nil {
			err = steps[i].checkUnmet(depth)
		}
	}
	return err
}

// subKind tells which type a sub-diff was written for: the first field of an array diff is "a".
func subKind(diff []byte) (bson.Type, error) {
	f := walk(diff)
	switch found := f.next(); {
	case f.err != nil:
		return 0, malformed("a diff: %w", f.err)
	case !found:
		return 0, malformed("an empty diff")
	case string(f.name) == "a":
		return bson.TypeArray, nil
	}
	return bson.TypeEmbeddedDocument, nil
}

// readDocumentDiff lists what a document diff does, in the order in which it says so.
func readDocumentDiff(steps []step, diff []byte, depth int) ([]step, error) {
	if depth > maxDepth {
		return nil, malformed("a diff nested deeper than %d levels", maxDepth)
	}
	last := -1
	f := walk(diff)
	for f.next() {
		place := -1
		if len(f.name) > 0 {
			place = strings.IndexByte(sectionOrder, f.name[0])
		}
		isSub := place == len(sectionOrder)-1
		switch {
		case place < 0 || !isSub && len(f.name) != 1:
			return nil, notUnderstood("section %q of a diff", f.name)
		case place < last || place == last && !isSub:
			return nil, malformed("section %q of a diff is out of order", f.name)
		case f.kind != bson.TypeEmbeddedDocument:
			return nil, malformed("section %q of a diff is no document", f.name)
		}
		last = place
		if isSub {
			steps = append(steps, step{section: sectionSub, name: f.name[1:], kind: f.kind, value: f.value})
			continue
		}
		var err error
		if steps, err = readSection(steps, section(sectionOrder[place]), f.value); err != nil {
			return nil, err
		}
	}
	switch {
	case f.err != nil:
		return nil, malformed("a diff: %w", f.err)
	case last < 0:
		return nil, malformed("an empty diff")
	}
	return steps, checkDistinct(steps)
}

// readSection lists the fields of one of the flat sections.
func readSection(steps []step, letter section, document []byte) ([]step, error) {
	f := walk(document)
	for f.next() {
		if letter == sectionBinary && f.kind != bson.TypeEmbeddedDocument {
			return nil, malformed("the binary change of field %q is no document", f.name)
		}
		steps = append(steps, step{section: letter, name: f.name, kind: f.kind, value: f.value})
	}
	if f.err != nil {
		return nil, malformed("a diff: %w", f.err)
	}
	return steps, nil
}

// readArrayDiff lists what an array diff does; the length is -1 where the diff sets none.
func readArrayDiff(steps []step, diff []byte, depth int) ([]step, int64, error) {
	if depth > maxDepth {
		return nil, 0, malformed("a diff nested deeper than %d levels", maxDepth)
	}
	length, last := int64(-1), int64(-1)
	f := walk(diff)
	for place := 0; f.next(); place++ {
		switch {
		case place == 0:
			if string(f.name) != "a" || f.kind != bson.TypeBoolean || f.value[0] != 1 {
				return nil, 0, malformed("an array diff does not begin with a: true")
			}
		case place == 1 && string(f.name) == "l":
			if f.kind != bson.TypeInt32 || f.raw().Int32() < 0 {
				return nil, 0, malformed("the length in an array diff is no length")
			}
			length = int64(f.raw().Int32())
		default:
			s, err := readElement(&f)
			if err != nil {
				return nil, 0, err
			}
			if s.index <= last || length >= 0 && s.index >= length {
				return nil, 0, malformed("index %d of an array diff is out of order", s.index)
			}
			last = s.index
			steps = append(steps, s)
		}
	}
	if f.err != nil {
		return nil, 0, malformed("an array diff: %w", f.err)
	}
	return steps, length, nil
}

// readElement reads u<index> or s<index>.
func readElement(f *fields) (step, error) {
	s := step{name: f.name, kind: f.kind, value: f.value}
	if len(f.name) > 0 {
		s.section = section(f.name[0])
	}
	if s.section != sectionUpdate && s.section != sectionSub {
		return s, malformed("%q in an array diff", f.name)
	}
	index, ok := readIndex(f.name[1:])
	if !ok {
		return s, malformed("%q in an array diff has no index", f.name)
	}
	if s.section == sectionSub && f.kind != bson.TypeEmbeddedDocument {
		return s, malformed("%q in an array diff is no document", f.name)
	}
	s.index = index
	return s, nil
}

// readIndex reads a place in an array: plain decimal digits, at most what an array can have.
func readIndex(digits []byte) (int64, bool) {
	if len(digits) == 0 || len(digits) > 10 {
		return 0, false
	}
	index := int64(0)
	for _, digit := range digits {
		if digit < '0' || digit > '9' {
			return 0, false
		}
		index = index*10 + int64(digit-'0')
	}
	return index, index < math.MaxInt32
}

// readSplice reads {o: offset, d: binary}.
func readSplice(document []byte) (offset int64, patch []byte, err error) {
	hasOffset, hasPatch := false, false
	f := walk(document)
	for f.next() {
		switch {
		case string(f.name) == "o" && !hasOffset:
			offset, hasOffset = number(f.raw())
		case string(f.name) == "d" && !hasPatch && f.kind == bson.TypeBinary:
			patch, hasPatch = f.value[5:], true
		default:
			return 0, nil, malformed("field %q of a binary change", f.name)
		}
	}
	if f.err != nil {
		return 0, nil, malformed("a binary change: %w", f.err)
	}
	if !hasOffset || !hasPatch || offset < 0 {
		return 0, nil, malformed("a binary change without a valid offset and data")
	}
	return offset, patch, nil
}

// manySteps is from where on a table beats looking through the list.
const manySteps = 12

// tabulate gives the place of each field's step, nil where the list is short enough to be looked through.
func tabulate(steps []step) map[string]int {
	if len(steps) <= manySteps {
		return nil
	}
	table := make(map[string]int, len(steps))
	for i := range steps {
		table[string(steps[i].name)] = i
	}
	return table
}

// find gives the place of a field's step, -1 when the diff does not name it.
func find(steps []step, table map[string]int, name []byte) int {
	if table != nil {
		if at, ok := table[string(name)]; ok {
			return at
		}
		return -1
	}
	for i := range steps {
		if bytes.Equal(steps[i].name, name) {
			return i
		}
	}
	return -1
}

// checkDistinct refuses a diff that names one field twice.
func checkDistinct(steps []step) error {
	table := tabulate(steps)
	for i := range steps {
		if find(steps, table, steps[i].name) != i {
			return malformed("field %q twice in one diff", steps[i].name)
		}
	}
	return nil
}
