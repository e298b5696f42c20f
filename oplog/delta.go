package oplog

import (
	"encoding/binary"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// delta applies one $v: 2 diff. The rules are the server's: section 2 of the oplog facts. Order of fields is part of the
// result, because members of a replica set are compared byte for byte.
type delta struct {
	builder
	placeholders int
}

// document writes the document that the diff makes of the old one.
func (d *delta) document(old, diff []byte, depth int) error {
	var few [manySteps]step
	steps, err := readDocumentDiff(few[:0], diff, depth)
	if err != nil {
		return err
	}
	table := tabulate(steps)
	place := d.open()
	f := walk(old)
	// What lies between two changed fields is copied in one piece, which starts at kept.
	kept := len(old) - 1 - len(f.rest)
	for f.next() {
		at := find(steps, table, f.name)
		if at < 0 {
			continue
		}
		end := len(old) - 1 - len(f.rest)
		d.out = append(d.out, old[kept:end-f.size()]...)
		kept = end
		if err := d.field(&steps[at], &f, depth); err != nil {
			return err
		}
	}
	if f.err != nil {
		return malformed("the document before: %w", f.err)
	}
	d.out = append(d.out, old[kept:len(old)-1]...)
	for i := range steps {
		s := &steps[i]
		if s.section == sectionInsert || s.section == sectionUpdate && !s.met {
			d.element(s.kind, s.name, s.value)
		}
		if s.section == sectionBinary && !s.met {
			d.placeholders++
		}
		if err := s.checkUnmet(depth); err != nil {
			return err
		}
	}
	d.close(place)
	return d.checkSize()
}

// field writes what becomes of a field that the old document has.
func (d *delta) field(s *step, old *fields, depth int) error {
	s.met = true
	switch s.section {
	case sectionUpdate:
		d.element(s.kind, old.name, s.value)
	case sectionBinary:
		return d.splice(s, old)
	case sectionSub:
		return d.sub(s, old, depth)
	}
	return nil
}

// sub writes what a sub-diff makes of a field or element: a null where it meets another type than it was written for.
func (d *delta) sub(s *step, old *fields, depth int) error {
	expected, err := subKind(s.value)
	if err != nil {
		return err
	}
	if old.kind != expected {
		d.placeholders++
		d.head(bson.TypeNull, old.name)
		return checkSub(s.value, depth+1)
	}
	d.head(old.kind, old.name)
	if old.kind == bson.TypeArray {
		return d.array(old.value, s.value, depth+1)
	}
	return d.document(old.value, s.value, depth+1)
}

// splice keeps the first bytes of a binary value, and its subtype, and puts others behind them. A value that is too short
// or no binary stays as it is: the entry meets a later state.
func (d *delta) splice(s *step, old *fields) error {
	offset, patch, err := readSplice(s.value)
	if err != nil {
		return err
	}
	if old.kind != bson.TypeBinary {
		d.placeholders++
		d.element(old.kind, old.name, old.value)
		return nil
	}
	subtype, content := old.value[4], old.value[5:]
	if int64(len(content)) < offset {
		d.element(old.kind, old.name, old.value)
		return nil
	}
	d.head(bson.TypeBinary, old.name)
	d.out = binary.LittleEndian.AppendUint32(d.out, uint32(int(offset)+len(patch)))
	d.out = append(d.out, subtype)
	d.out = append(d.out, content[:offset]...)
	d.out = append(d.out, patch...)
	return d.checkSize()
}

// array writes the array that an array diff makes of the old one.
func (d *delta) array(old, diff []byte, depth int) error {
	var few [manySteps]step
	steps, length, err := readArrayDiff(few[:0], diff, depth)
	if err != nil {
		return err
	}
	place, index := d.open(), int64(0)
	var digits [20]byte
	f := walk(old)
	for (length < 0 || index < length) && f.next() {
		f.name = strconv.AppendInt(digits[:0], index, 10)
		if len(steps) == 0 || steps[0].index != index {
			d.element(f.kind, f.name, f.value)
		} else if err := d.field(&steps[0], &f, depth); err != nil {
			return err
		} else {
			steps = steps[1:]
		}
		index++
	}
	if f.err != nil {
		return malformed("the document before: %w", f.err)
	}
	if err := d.pad(index, length, steps, depth); err != nil {
		return err
	}
	d.close(place)
	return d.checkSize()
}

// pad writes the elements behind the old array's end: those that the diff sets, and nulls.
func (d *delta) pad(index, length int64, steps []step, depth int) error {
	if len(steps) > 0 {
		length = max(length, steps[len(steps)-1].index+1)
	}
	// An element takes at least three bytes, so a length from a hostile entry is refused before it takes memory.
	if (length-index)*3+int64(len(d.out)) > maxResult {
		return malformed("the update builds a document over %d bytes", maxResult)
	}
	var digits [20]byte
	for ; index < length; index++ {
		missing := fields{kind: bson.TypeNull, name: strconv.AppendInt(digits[:0], index, 10)}
		if len(steps) == 0 || steps[0].index != index {
			d.head(missing.kind, missing.name)
			continue
		}
		if err := d.field(&steps[0], &missing, depth); err != nil {
			return err
		}
		steps = steps[1:]
	}
	return nil
}
