package oplog

import (
	"bytes"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// maxDepth bounds the nesting of what is looked into: the server allows 180 levels, its own tests of diffs go to 150.
const maxDepth = 250

// Form is the way in which an update entry says what the document becomes.
type Form string

// The forms of an update, in the order in which they are recognised.
const (
	// FormReplacement gives the complete new document.
	FormReplacement Form = "replacement"
	// FormDelta gives the difference to the document before ($v: 2).
	FormDelta Form = "delta"
	// FormModifier gives paths to set and unset ($v: 1 or none); servers up to 4.4, perhaps 5.0, write it.
	FormModifier Form = "modifier"
)

// FormOf recognises the form of an update's payload by the server's own rules: a field _id anywhere makes a replacement,
// even of a document that holds $v; then $v decides. Anything else is an error of kind unsupported.
func FormOf(o bson.Raw) (Form, error) {
	p, err := readPayload(o)
	return p.form, err
}

// payload is an update's o, taken apart at the top.
type payload struct {
	form       Form
	diff       []byte
	set, unset []byte
	// unsetFirst says which of the two stands first.
	unsetFirst bool
}

func readPayload(o bson.Raw) (payload, error) {
	var p payload
	version := int64(0)
	var first, stray []byte // no strings: those of every update would be allocated
	f := walk(o)
	for f.next() {
		if len(first) == 0 {
			first = f.name
		}
		isDocument := f.kind == bson.TypeEmbeddedDocument
		switch name := f.name; {
		case string(name) == "_id":
			return payload{form: FormReplacement}, nil
		case string(name) == "$v":
			version, _ = number(f.raw())
		case string(name) == "diff" && isDocument && p.diff == nil:
			p.diff = f.value
		case string(name) == "$set" && isDocument && p.set == nil:
			p.set, p.unsetFirst = f.value, p.unset != nil
		case string(name) == "$unset" && isDocument && p.unset == nil:
			p.unset = f.value
		default:
			stray = name
		}
	}
	if f.err != nil {
		return p, malformed("%w", f.err)
	}
	modifies := p.set != nil || p.unset != nil
	switch {
	case len(stray) > 0:
		return p, notUnderstood("an update with the field %q", stray)
	case version == 2 && p.diff != nil && !modifies:
		p.form = FormDelta
	case (version == 1 || version == 0 && bytes.HasPrefix(first, []byte("$"))) && p.diff == nil && modifies:
		p.form = FormModifier
	default:
		return p, notUnderstood("an update that is no replacement, with $v %d", version)
	}
	return p, nil
}

// ApplyUpdate gives the document that an update entry's payload makes of the one before, byte for byte as the server
// does. Neither input is changed; the result of a replacement is o itself and shares its memory. Placeholders counts the
// nulls that a delta left because it met another type than it was written for: right while a scan is brought up to date,
// a sign of a missing entry or a wrong base afterwards.
//
// Errors are of kind unsupported for a form that is not known and corrupt for one that is malformed; then there is no
// result.
func ApplyUpdate(before, o bson.Raw) (after bson.Raw, placeholders int, err error) {
	p, err := readPayload(o)
	if err != nil {
		return nil, 0, err
	}
	switch p.form {
	case FormReplacement:
		return o, 0, nil
	case FormDelta:
		d := delta{builder: builder{out: make([]byte, 0, len(before)+len(p.diff))}}
		if err := d.document(before, p.diff, 0); err != nil {
			return nil, 0, err
		}
		return d.out, d.placeholders, nil
	}
	after, err = applyModifier(before, p)
	return after, 0, err
}

func malformed(format string, args ...any) error {
	return pitr.Corruptf("apply an update", format, args...)
}

func notUnderstood(format string, args ...any) error {
	return pitr.Errorf(pitr.KindUnsupported, "", "the archive keeps it as it is; folding it needs a newer pitr",
		"%s is not understood", fmt.Sprintf(format, args...))
}
