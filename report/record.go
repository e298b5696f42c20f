package report

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/diff"
	"pitr/reconcile"
)

// RecordOf makes the record of a change that nobody has looked up in the live database: what has become of it since is
// open, and nothing is suggested.
func RecordOf(change pitr.Change, token string) reconcile.Record {
	return reconcile.Record{Token: token, Change: change}
}

// shownRecord is one record as the page carries it. It holds text only, so that the documents can be let go.
type shownRecord struct {
	record reconcile.Record // without its documents
	key    string
	groups []int
	fields []shownField
	there  presence
	// more counts fields that the page leaves out; same those of them that are equal in all versions.
	more, same int
}

// presence says which versions of a record there are, and which of them the live one equals.
type presence int

const (
	thereT presence = 1 << iota
	thereE
	thereLive
	liveIsT
	liveIsE
)

func presenceOf(r reconcile.Record) presence {
	var p presence
	for _, v := range []struct {
		document bson.Raw
		bit      presence
	}{{r.Change.T, thereT}, {r.Change.E, thereE}, {r.Live, thereLive}} {
		if v.document != nil {
			p |= v.bit
		}
	}
	switch {
	case r.Live == nil:
	case bytes.Equal(r.Live, r.Change.T):
		p |= liveIsT
	case bytes.Equal(r.Live, r.Change.E):
		p |= liveIsE
	}
	return p
}

// shownField is one field of a record in its versions.
type shownField struct {
	path       string
	kind       fieldKind
	t, e, live cell
}

// fieldKind is a number in the page's data; page/data.js has the same list.
type fieldKind int

const (
	fieldSame fieldKind = iota
	fieldChanged
	// fieldConflict was changed in the gap and again since, in different ways.
	fieldConflict
	fieldMoved
)

// cell is a value as text; the zero cell is an absent value. cut counts the characters that are left out at its end.
type cell struct {
	text string
	cut  int
}

func newCell(value bson.RawValue, limit int) cell {
	if value.IsZero() {
		return cell{}
	}
	return cell{text: shownValue(value)}.shortened(limit)
}

// shortened cuts a cell to a number of bytes, in memory of its own.
func (c cell) shortened(limit int) cell {
	if len(c.text) <= limit {
		return c
	}
	end := limit
	for !utf8.RuneStart(c.text[end]) {
		end--
	}
	return cell{text: strings.Clone(c.text[:end]), cut: c.cut + utf8.RuneCountInString(c.text[end:])}
}

// size is about how many bytes the record takes in the page.
func (r *shownRecord) size() int {
	n := 150 + len(r.key) + len(r.record.Reason)
	for _, f := range r.fields {
		n += 20 + len(f.path)/4 + len(f.t.text) // paths repeat, and are stored once
		if f.e != f.t {
			n += len(f.e.text)
		}
		if f.live != f.e && f.live != f.t {
			n += len(f.live.text)
		}
	}
	return n
}

// shorten brings a record down to a level.
func (r *shownRecord) shorten(to level) {
	if !to.same {
		kept := slices.DeleteFunc(r.fields, func(f shownField) bool { return f.kind == fieldSame })
		r.same += len(r.fields) - len(kept)
		r.fields = slices.Clip(kept)
	}
	if len(r.fields) > to.fields {
		r.more += len(r.fields) - to.fields
		r.fields = slices.Clone(r.fields[:to.fields])
	}
	for i := range r.fields {
		f := &r.fields[i]
		f.t, f.e, f.live = f.t.shortened(to.value), f.e.shortened(to.value), f.live.shortened(to.value)
	}
}

// versions are the documents of a record, with what must not be shown hidden.
type versions struct {
	e, t, live bson.Raw
	there      presence
	limit      int
}

func newShownRecord(r reconcile.Record, redact Redactor, at level) shownRecord {
	c := r.Change
	v := versions{there: presenceOf(r), limit: at.value}
	v.e, v.t = redact.Pair(c.NS, c.E, c.T)
	v.live, _ = redact.Pair(c.NS, r.Live, c.T)
	shown := shownRecord{key: newCell(redact.Document(c.NS, c.Key.Filter()).Lookup("_id"), pageName).marked(), there: v.there, fields: v.fields(r.Merge, mergeRedactor{redact, c.NS})}
	shown.shorten(at)
	r.Change.E, r.Change.T, r.Live, r.Merge, r.Change.Key = nil, nil, nil, nil, pitr.Key{}
	shown.record = r
	return shown
}

// fields lists the fields that differ between any two versions, then those that do not.
func (v versions) fields(merge []reconcile.FieldMerge, redact mergeRedactor) []shownField {
	var list []shownField
	differing := map[string]bool{}
	switch {
	case len(merge) > 0:
		for _, m := range merge {
			list = append(list, v.merged(redact.hide(m)))
			differing[first(m.Path)] = true
		}
	case v.e != nil && v.t != nil:
		for _, change := range diff.Fields(v.e, v.t) {
			list = append(list, v.compared(change))
			differing[first(change.Path)] = true
		}
		list = append(list, v.liveOnly(differing)...)
	default:
		return v.whole()
	}
	return append(list, v.unchanged(differing)...)
}

func first(path diff.Path) string {
	if len(path) == 0 {
		return ""
	}
	return path[0]
}

func (v versions) merged(m reconcile.FieldMerge) shownField {
	f := shownField{path: m.Path.String(), kind: fieldChanged, t: newCell(m.T, v.limit), e: newCell(m.E, v.limit), live: newCell(m.Live, v.limit)}
	if m.Conflict {
		f.kind = fieldConflict
	}
	return f
}

func (v versions) compared(change diff.FieldChange) shownField {
	f := shownField{path: change.Path.String(), kind: fieldChanged, t: newCell(change.T, v.limit), e: newCell(change.E, v.limit)}
	if change.Kind == diff.FieldMoved {
		f.kind = fieldMoved
	}
	f.live = v.liveCell(f, change.Path)
	return f
}

// liveCell gives the live value of a field whose other values are known.
func (v versions) liveCell(f shownField, path diff.Path) cell {
	switch {
	case v.live == nil:
		return cell{}
	case v.there&liveIsT != 0:
		return f.t
	case v.there&liveIsE != 0:
		return f.e
	}
	value, err := v.live.LookupErr(path...)
	if err != nil {
		return cell{}
	}
	return newCell(value, v.limit)
}

// liveOnly lists the fields that are the same at T and at E and another one now, by the first name of their path, which it
// adds to the names.
func (v versions) liveOnly(differing map[string]bool) []shownField {
	if v.live == nil || v.there&(liveIsT|liveIsE) != 0 {
		return nil
	}
	var list []shownField
	for _, name := range names(v.t, v.live) {
		if at, live := v.t.Lookup(name), v.live.Lookup(name); !differing[name] && !at.Equal(live) {
			shown := newCell(at, v.limit)
			list = append(list, shownField{path: diff.Path{name}.String(), kind: fieldChanged, t: shown, e: shown, live: newCell(live, v.limit)})
			differing[name] = true
		}
	}
	return list
}

// whole lists every field of a record that only one of T and E has, or whose versions are equal.
func (v versions) whole() []shownField {
	var list []shownField
	for _, name := range names(v.t, v.e, v.live) {
		f := shownField{path: diff.Path{name}.String(), kind: fieldChanged}
		if v.t != nil {
			f.t = newCell(v.t.Lookup(name), v.limit)
		}
		if v.e != nil {
			f.e = newCell(v.e.Lookup(name), v.limit)
		}
		f.live = v.liveCell(f, diff.Path{name})
		list = append(list, f)
	}
	return list
}

// unchanged lists the fields in which nothing has happened; people need them to know what the record is about.
func (v versions) unchanged(differing map[string]bool) []shownField {
	document := v.t
	if document == nil {
		document = v.e
	}
	var list []shownField
	for _, name := range names(document) {
		if !differing[name] {
			shown := newCell(document.Lookup(name), v.limit)
			f := shownField{path: diff.Path{name}.String(), kind: fieldSame, t: shown, e: shown}
			if v.live != nil {
				f.live = shown
			}
			list = append(list, f)
		}
	}
	return list
}

// names gives the names of the fields of all documents, each once, in their order.
func names(documents ...bson.Raw) []string {
	var list []string
	seen := map[string]bool{}
	for _, document := range documents {
		elements, err := document.Elements()
		if err != nil {
			continue
		}
		for _, element := range elements {
			if !seen[element.Key()] {
				seen[element.Key()] = true
				list = append(list, element.Key())
			}
		}
	}
	return list
}

// mergeRedactor hides values of merged fields, which come without their documents.
type mergeRedactor struct {
	redact Redactor
	ns     pitr.Namespace
}

func (r mergeRedactor) hide(m reconcile.FieldMerge) reconcile.FieldMerge {
	if !r.hides(m.Path) {
		return m
	}
	for _, value := range []*bson.RawValue{&m.T, &m.E, &m.Live} {
		if !value.IsZero() {
			*value = textDocument(redacted).Lookup("document")
		}
	}
	return m
}

// hides asks with and without the places in arrays: a rule names fields only.
func (r mergeRedactor) hides(path diff.Path) bool {
	plain := slices.DeleteFunc(slices.Clone(path), func(name string) bool { return strings.Trim(name, "0123456789") == "" })
	return r.redact.Hides(r.ns, strings.Join(path, ".")) || r.redact.Hides(r.ns, strings.Join(plain, "."))
}
