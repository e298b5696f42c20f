package report

import "go.mongodb.org/mongo-driver/v2/bson"

// fields lists both versions of a record field by field, in the order of the version at T, then what only E has.
func fields(e, t bson.Raw) []field {
	var list []field
	shown := map[string]bool{}
	for _, side := range []bson.Raw{t, e} {
		elements, err := side.Elements()
		if err != nil {
			continue
		}
		for _, element := range elements {
			name := element.Key()
			if shown[name] {
				continue
			}
			shown[name] = true
			list = append(list, newField(name, lookup(e, name), lookup(t, name)))
		}
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

func lookup(document bson.Raw, name string) bson.RawValue {
	if document == nil {
		return bson.RawValue{}
	}
	value, err := document.LookupErr(name)
	if err != nil {
		return bson.RawValue{}
	}
	return value
}
