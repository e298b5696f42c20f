package reconcile

import (
	"bytes"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/diff"
)

// versions are the three of one record: at T, at E, and live now. All of them exist.
type versions struct{ T, E, Live bson.Raw }

// mergeFields says what the gap and the time after the restore have done to the fields of a record.
//
// A field is a path of names through embedded documents; an array is one value, since places in it mean nothing once both
// sides have put something in or taken something out. So is an embedded document whose fields have another order. The order
// of the fields of the record itself counts for nothing. Both sides conflict where they have changed the same field, or one
// a field and the other something that it is a part of, and do not agree about the result.
func mergeFields(v versions) []FieldMerge {
	for _, document := range []bson.Raw{v.T, v.E, v.Live} {
		if hasTwins(document, 0) {
			return []FieldMerge{{T: whole(v.T), E: whole(v.E), Live: whole(v.Live), Conflict: !bytes.Equal(v.E, v.Live)}}
		}
	}
	gap, since := v.changed(v.E), v.changed(v.Live)
	var paths []diff.Path
	for _, path := range slices.Concat(gap, since) {
		paths = insertPath(paths, path)
	}
	var list []FieldMerge
	for _, path := range paths {
		f := FieldMerge{Path: path, T: valueAt(v.T, path), E: valueAt(v.E, path), Live: valueAt(v.Live, path)}
		f.Conflict = meets(gap, path) && meets(since, path) && !same(f.E, f.Live)
		list = append(list, f)
	}
	return list
}

// changed gives the paths at which another version differs from that at T, none of them within another.
func (v versions) changed(other bson.Raw) []diff.Path {
	var paths []diff.Path
	for _, change := range diff.Fields(other, v.T) {
		path := change.Path
		if change.Kind == diff.FieldMoved {
			path = path[:len(path)-1]
		}
		path = v.outsideArrays(path)
		if len(path) == 0 || path[0] == "_id" { // the order of the record's own fields, or the way in which its id is stored
			continue
		}
		paths = insertPath(paths, path)
	}
	return paths
}

// outsideArrays cuts a path at the first array that one of the versions has on it.
func (v versions) outsideArrays(path diff.Path) diff.Path {
	for n := 1; n < len(path); n++ {
		for _, document := range []bson.Raw{v.T, v.E, v.Live} {
			if valueAt(document, path[:n]).Type == bson.TypeArray {
				return path[:n]
			}
		}
	}
	return path
}

// insertPath adds a path to a list in which none is within another: the shorter one stands for both.
func insertPath(paths []diff.Path, path diff.Path) []diff.Path {
	for _, other := range paths {
		if isPrefix(other, path) {
			return paths
		}
	}
	paths = slices.DeleteFunc(paths, func(other diff.Path) bool { return isPrefix(path, other) })
	return append(paths, path)
}

func isPrefix(short, long diff.Path) bool {
	return len(short) <= len(long) && slices.Equal(short, long[:len(short)])
}

// meets reports whether one of the paths is this one, a part of it, or something that it is a part of.
func meets(paths []diff.Path, path diff.Path) bool {
	return slices.ContainsFunc(paths, func(other diff.Path) bool { return isPrefix(other, path) || isPrefix(path, other) })
}

// merged puts the gap's changes on top of the live version. Where both sides have changed a field in different ways the
// gap wins; who does not want that looks for conflicts first.
func merged(v versions, fields []FieldMerge) (bson.Raw, error) {
	if len(fields) == 1 && len(fields[0].Path) == 0 {
		return v.E, nil
	}
	gap := v.changed(v.E)
	result := v.Live
	for _, field := range fields {
		if !meets(gap, field.Path) || same(field.E, field.Live) {
			continue
		}
		next, err := put(result, field.Path, field.E)
		if err != nil {
			return nil, fmt.Errorf("merge the field %s: %w", field.Path, err)
		}
		result = next
	}
	return result, nil
}

// put gives the document with another value at a path; the zero value takes the field away. New fields come last.
func put(document bson.Raw, path diff.Path, value bson.RawValue) (bson.Raw, error) {
	elements, err := document.Elements()
	if err != nil {
		return nil, err
	}
	fields := make(bson.D, 0, len(elements)+1)
	found := false
	for _, element := range elements {
		if element.Key() != path[0] {
			fields = append(fields, bson.E{Key: element.Key(), Value: element.Value()})
			continue
		}
		found = true
		inner, isDocument := element.Value().DocumentOK()
		switch {
		case len(path) == 1 && value.Type != 0:
			fields = append(fields, bson.E{Key: path[0], Value: value})
		case len(path) > 1 && !isDocument:
			return nil, fmt.Errorf("%s is no embedded document", path[:1])
		case len(path) > 1:
			changed, err := put(inner, path[1:], value)
			if err != nil {
				return nil, err
			}
			fields = append(fields, bson.E{Key: path[0], Value: changed})
		}
	}
	switch {
	case !found && len(path) > 1:
		return nil, fmt.Errorf("%s is not there", path[:1])
	case !found && value.Type != 0:
		fields = append(fields, bson.E{Key: path[0], Value: value})
	}
	return bson.Marshal(fields)
}

// valueAt gives the value at a path through embedded documents, the zero value where there is none.
func valueAt(document bson.Raw, path diff.Path) bson.RawValue {
	value := whole(document)
	for _, name := range path {
		inner, ok := value.DocumentOK()
		if !ok {
			return bson.RawValue{}
		}
		next, err := inner.LookupErr(name)
		if err != nil {
			return bson.RawValue{}
		}
		value = next
	}
	return value
}

func whole(document bson.Raw) bson.RawValue {
	if document == nil {
		return bson.RawValue{}
	}
	return bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: document}
}

func same(a, b bson.RawValue) bool { return a.Type == b.Type && bytes.Equal(a.Value, b.Value) }

// maxTwinDepth is how deep a server lets documents be nested, with room to spare.
const maxTwinDepth = 200

// hasTwins reports whether a document, or one embedded in it, has two fields of one name: no path tells them apart.
func hasTwins(document bson.Raw, depth int) bool {
	elements, err := document.Elements()
	if err != nil || depth > maxTwinDepth {
		return true
	}
	names := make(map[string]bool, len(elements))
	for _, element := range elements {
		if names[element.Key()] {
			return true
		}
		names[element.Key()] = true
		if inner, ok := element.Value().DocumentOK(); ok && hasTwins(inner, depth+1) {
			return true
		}
	}
	return false
}
