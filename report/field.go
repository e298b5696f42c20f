package report

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/diff"
)

// fields lists both versions of a record field by field. A record that stands on one side only is listed with all its
// fields; of one that was changed, the _id and what differs.
func fields(e, t bson.Raw) []field {
	if e == nil || t == nil {
		return wholeRecord(e, t)
	}
	var list []field
	for _, change := range diff.Fields(e, t) {
		path := change.Path.String()
		if change.Kind == diff.FieldMoved {
			path += " (has another place)"
		}
		list = append(list, newField(path, change.E, change.T))
	}
	return list
}

func wholeRecord(e, t bson.Raw) []field {
	document := e
	if document == nil {
		document = t
	}
	elements, err := document.Elements()
	if err != nil {
		return nil
	}
	var list []field
	for _, element := range elements {
		if e == nil {
			list = append(list, newField(element.Key(), bson.RawValue{}, element.Value()))
			continue
		}
		list = append(list, newField(element.Key(), element.Value(), bson.RawValue{}))
	}
	return list
}

func newField(path string, e, t bson.RawValue) field {
	kind := "same"
	if !e.Equal(t) {
		kind = "changed"
	}
	textT, cutT := valueText(t)
	textE, cutE := valueText(e)
	return field{path, kind, textT, textE, cutT, cutE}
}
