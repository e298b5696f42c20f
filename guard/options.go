package guard

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// defaults are the options that mean the same when they are absent. The server keeps some of them after collMod.
var defaults = map[string]any{
	"validationLevel":              "strict",
	"validationAction":             "error",
	"validator":                    bson.D{},
	"pipeline":                     bson.A{},
	"changeStreamPreAndPostImages": bson.D{{Key: "enabled", Value: false}},
	"expireAfterSeconds":           "off",
	"hidden":                       false,
}

// modifiable are the options that collMod can bring to any value.
var modifiable = []string{
	"validator", "validationLevel", "validationAction", "changeStreamPreAndPostImages", "expireAfterSeconds", "viewOn", "pipeline",
}

// incidental are fields of options and specs that say nothing about the data.
var incidental = []string{"uuid", "autoIndexId", "idIndex", "recordIdsReplicated"}

// inPlaceIndexFields are the fields of an index that collMod changes without a new build.
var inPlaceIndexFields = []string{"expireAfterSeconds", "hidden"}

// sameOptions compares the options of two collections or views by meaning.
func sameOptions(a, b bson.Raw) bool { return sameBut(a, b, incidental...) }

// canBecome reports whether a live collection can take the other options without being made anew.
func canBecome(e, t bson.Raw) bool {
	return sameBut(e, t, slices.Concat(modifiable, incidental)...) && hasField(e, "viewOn") == hasField(t, "viewOn")
}

// sameBut compares two documents field by field, numbers by value, absent fields by their defaults, without regard to
// the order of the outer fields.
func sameBut(a, b bson.Raw, ignored ...string) bool {
	x, y := meaning(a), meaning(b)
	for _, name := range ignored {
		delete(x, name)
		delete(y, name)
	}
	if len(x) != len(y) {
		return false
	}
	for name, form := range x {
		if other, ok := y[name]; !ok || other != form {
			return false
		}
	}
	return true
}

// meaning gives the equality form of each field that is not at its default.
func meaning(document bson.Raw) map[string]string {
	fields := map[string]string{}
	elements, err := document.Elements()
	if err != nil {
		return fields
	}
	for _, element := range elements {
		form := equalityForm(element.Value())
		if byDefault, ok := defaultForm(element.Key()); !ok || byDefault != form {
			fields[element.Key()] = form
		}
	}
	return fields
}

func equalityForm(value bson.RawValue) string {
	key, err := pitr.NewKey(wrap(value))
	if err != nil {
		return string(value.Value)
	}
	return key.Equal()
}

func defaultForm(name string) (string, bool) {
	value, ok := defaults[name]
	if !ok {
		return "", false
	}
	return equalityForm(rawValue(value)), true
}

func rawValue(value any) bson.RawValue {
	kind, content, err := bson.MarshalValue(value)
	if err != nil {
		return bson.RawValue{Type: bson.TypeNull}
	}
	return bson.RawValue{Type: kind, Value: content}
}

func hasField(document bson.Raw, name string) bool {
	_, err := document.LookupErr(name)
	return err == nil
}

// modifications gives the fields of collMod that turn the options e into t.
func modifications(e, t bson.Raw) bson.Raw {
	changes := bson.D{}
	x, y := meaning(e), meaning(t)
	for _, name := range modifiable {
		// A view takes its pipeline only together with its source.
		together := (name == "viewOn" || name == "pipeline") && hasField(t, "viewOn")
		if x[name] == y[name] && !together {
			continue
		}
		if value, err := t.LookupErr(name); err == nil {
			changes = append(changes, bson.E{Key: name, Value: value})
		} else {
			changes = append(changes, bson.E{Key: name, Value: defaults[name]})
		}
	}
	return marshal(changes)
}

// differsInPlace reports whether collMod can turn one index into the other.
func differsInPlace(e, t bson.Raw) bool {
	if !sameBut(e, t, slices.Concat([]string{"ns", "background"}, inPlaceIndexFields)...) {
		return false
	}
	// collMod can change the time of an expiring index, not make an index one or stop it from being one.
	return hasField(e, "expireAfterSeconds") == hasField(t, "expireAfterSeconds")
}

// indexModification gives the fields of collMod that turn the index e into t.
func indexModification(e, t bson.Raw) bson.Raw {
	index := bson.D{{Key: "name", Value: pitr.IndexName(t)}}
	x, y := meaning(e), meaning(t)
	if x["expireAfterSeconds"] != y["expireAfterSeconds"] {
		index = append(index, bson.E{Key: "expireAfterSeconds", Value: t.Lookup("expireAfterSeconds")})
	}
	if x["hidden"] != y["hidden"] {
		hidden, _ := t.Lookup("hidden").BooleanOK()
		index = append(index, bson.E{Key: "hidden", Value: hidden})
	}
	return marshal(bson.D{{Key: "index", Value: index}})
}

// marshal writes documents that are made of values which always can be written.
func marshal(document bson.D) bson.Raw {
	content, err := bson.Marshal(document)
	if err != nil {
		panic("a document of plain values could not be written: " + err.Error())
	}
	return content
}
