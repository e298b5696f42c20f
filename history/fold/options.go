package fold

import (
	"math"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// optionOrder is the order in which a server writes collection options, in its catalog, in entries and in listings.
// Options that are not here are newer; they stay behind the known ones.
var optionOrder = []string{
	"capped", "size", "max", "autoIndexId", "temp", "recordPreImages", "changeStreamPreAndPostImages", "storageEngine",
	"indexOptionDefaults", "validator", "validationLevel", "validationAction", "collation", "clusteredIndex",
	"expireAfterSeconds", "viewOn", "pipeline", "idIndex", "timeseries", "encryptedFields",
}

// spec is a document under change: options or an index. Its values stay the bytes they are.
type spec []bson.RawElement

func readSpec(document bson.Raw) (spec, error) {
	if len(document) == 0 {
		return nil, nil
	}
	elements, err := document.Elements()
	if err != nil {
		return nil, pitr.Corruptf("", "options or an index spec: %w", err)
	}
	return elements, nil
}

// raw gives the document; an empty one where there is nothing.
func (s spec) raw() bson.Raw {
	size := 5
	for _, element := range s {
		size += len(element)
	}
	document := make([]byte, 0, size)
	document = append(document, byte(size), byte(size>>8), byte(size>>16), byte(size>>24))
	for _, element := range s {
		document = append(document, element...)
	}
	return append(document, 0)
}

func (s spec) place(name string) int {
	return slices.IndexFunc(s, func(element bson.RawElement) bool { return element.Key() == name })
}

func (s spec) value(name string) bson.RawValue {
	if at := s.place(name); at >= 0 {
		return s[at].Value()
	}
	return bson.RawValue{}
}

func (s spec) has(name string) bool { return s.place(name) >= 0 }

// without gives the spec less one field.
func (s spec) without(name string) spec {
	return slices.DeleteFunc(slices.Clone(s), func(element bson.RawElement) bool { return element.Key() == name })
}

// with gives the spec with a field set: in its place if it was there, otherwise where the order wants it.
func (s spec) with(order []string, name string, value bson.RawValue) spec {
	set := append([]byte{byte(value.Type)}, name...)
	set = append(append(set, 0), value.Value...)
	changed := slices.Clone(s)
	if at := changed.place(name); at >= 0 {
		changed[at] = set
		return changed
	}
	rank := rankIn(order, name)
	at := slices.IndexFunc(changed, func(element bson.RawElement) bool { return rankIn(order, element.Key()) > rank })
	if at < 0 {
		at = len(changed)
	}
	return slices.Insert(changed, at, bson.RawElement(set))
}

func rankIn(order []string, name string) int {
	if at := slices.Index(order, name); at >= 0 {
		return at
	}
	return len(order)
}

func rawValue(value any) bson.RawValue {
	kind, content, err := bson.MarshalValue(value)
	if err != nil {
		// Only numbers, booleans and strings are given here, and all of them can be marshalled.
		return bson.RawValue{Type: bson.TypeNull}
	}
	return bson.RawValue{Type: kind, Value: content}
}

// modifyOptions gives the collection options after a collMod, other than what it does to an index. The entry brings the
// complete options before, so that the result does not rest on what was folded until here.
func modifyOptions(present, before, changes bson.Raw) (bson.Raw, error) {
	if before != nil {
		present = before
	}
	options, err := readSpec(present)
	if err != nil {
		return nil, err
	}
	options = options.without("uuid")
	requested, err := readSpec(changes)
	if err != nil {
		return nil, err
	}
	for _, change := range requested {
		if options, err = modifyOption(options, change.Key(), change.Value()); err != nil {
			return nil, err
		}
	}
	return options.raw(), nil
}

// modifyOption gives the options after one change that a collMod asked for.
func modifyOption(options spec, name string, value bson.RawValue) (spec, error) {
	set := func(name string, value bson.RawValue) { options = options.with(optionOrder, name, value) }
	switch name {
	case "validator", "validationLevel", "validationAction":
		// Setting one of the three writes all of them; an empty validator is none.
		if document, ok := value.DocumentOK(); ok && len(document) <= 5 {
			options = options.without(name)
		} else {
			set(name, value)
		}
		if !options.has("validationLevel") {
			set("validationLevel", rawValue("strict"))
		}
		if !options.has("validationAction") {
			set("validationAction", rawValue("error"))
		}
	case "changeStreamPreAndPostImages":
		document, _ := value.DocumentOK()
		if options = options.without(name); isTrue(document.Lookup("enabled")) {
			set(name, value)
		}
	case "recordPreImages":
		if options = options.without(name); isTrue(value) {
			set(name, rawValue(true))
		}
	case "expireAfterSeconds":
		// The other value than a number is the word "off".
		if seconds, ok := wholeNumber(value); ok {
			set(name, rawValue(seconds))
		} else {
			options = options.without(name)
		}
	case "cappedSize":
		// Servers round the size of a capped collection up to a multiple of 256.
		if size, ok := wholeNumber(value); ok {
			value = rawValue((size + 255) &^ 255)
		}
		set("size", narrow(value))
	case "cappedMax":
		if most, ok := wholeNumber(value); ok && most <= 0 {
			value = rawValue(int32(math.MaxInt32))
		}
		set("max", narrow(value))
	case "timeseries":
		changed, err := modifyTimeseries(options.value(name), value)
		if err != nil {
			return nil, err
		}
		set(name, changed)
	case "index", "timeseriesBucketsMayHaveMixedSchemaData", "dryRun":
		// The first belongs to an index. The second is kept outside the options and no listing shows it.
	default:
		return nil, pitr.Errorf(pitr.KindUnsupported, "", "moments before this entry stay reachable; a newer pitr may know it",
			"a collMod of %q is not known", name)
	}
	return options, nil
}

// bucketSpans are the seconds that a bucket spans by default for a granularity.
var bucketSpans = map[string]int32{"seconds": 3600, "minutes": 86400, "hours": 2592000}

var timeseriesOrder = []string{"timeField", "metaField", "granularity", "bucketRoundingSeconds", "bucketMaxSpanSeconds"}

// modifyTimeseries gives the time-series options after a collMod: a granularity brings its own span along, spans of
// one's own replace a granularity.
func modifyTimeseries(present, change bson.RawValue) (bson.RawValue, error) {
	document, _ := present.DocumentOK()
	options, err := readSpec(document)
	if err != nil {
		return change, err
	}
	requested, _ := change.DocumentOK()
	changes, err := readSpec(requested)
	if err != nil {
		return change, err
	}
	for _, each := range changes {
		value := each.Value()
		if each.Key() != "granularity" {
			value = narrow(value)
		}
		options = options.with(timeseriesOrder, each.Key(), value)
	}
	granularity, _ := changes.value("granularity").StringValueOK()
	if span, known := bucketSpans[granularity]; known {
		options = options.with(timeseriesOrder, "bucketMaxSpanSeconds", rawValue(span)).without("bucketRoundingSeconds")
	} else if changes.has("bucketMaxSpanSeconds") {
		options = options.without("granularity")
	}
	return bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: options.raw()}, nil
}

// isTrue reads a value as the server does where it expects yes or no.
func isTrue(value bson.RawValue) bool {
	switch value.Type {
	case 0, bson.TypeNull, bson.TypeUndefined:
		return false
	case bson.TypeBoolean:
		yes, _ := value.BooleanOK()
		return yes
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble:
		number, _ := value.AsFloat64OK()
		return number != 0
	}
	return true
}

// wholeNumber reads any numeric type as a whole number, cut off behind the point.
func wholeNumber(value bson.RawValue) (int64, bool) {
	return value.AsInt64OK()
}

// narrow gives a number the type in which the server writes sizes: the smallest that holds it.
func narrow(value bson.RawValue) bson.RawValue {
	number, ok := wholeNumber(value)
	if !ok {
		return value
	}
	if int64(int32(number)) == number {
		return rawValue(int32(number))
	}
	return rawValue(number)
}
