package fold

import (
	"bytes"
	"math"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/oplog"
)

// indexOrder is the order in which listIndexes shows the fields of a spec, whatever the order in the catalog and in
// entries (servers from 5.0 on). Fields that are not here are newer; they stay behind the known ones.
var indexOrder = []string{
	"v", "key", "name", "background", "unique", "hidden", "partialFilterExpression", "sparse", "expireAfterSeconds",
	"storageEngine", "weights", "default_language", "language_override", "textIndexVersion", "2dsphereIndexVersion", "bits",
	"min", "max", "bucketSize", "collation", "wildcardProjection", "columnstoreProjection", "columnstoreCompressor",
	"coarsestIndexedLevel", "finestIndexedLevel", "dropDups", "originalSpec", "clustered", "prepareUnique",
}

// fieldType says in which type listIndexes shows a field, whatever type the catalog holds.
type fieldType int

const (
	asStored fieldType = iota
	asInt32
	asDouble
	asBoolean
)

var indexTypes = map[string]fieldType{
	"v": asInt32, "expireAfterSeconds": asInt32, "textIndexVersion": asInt32, "2dsphereIndexVersion": asInt32, "bits": asInt32,
	"coarsestIndexedLevel": asInt32, "finestIndexedLevel": asInt32,
	"min": asDouble, "max": asDouble, "bucketSize": asDouble,
	"background": asBoolean, "unique": asBoolean, "hidden": asBoolean, "sparse": asBoolean, "dropDups": asBoolean,
	"clustered": asBoolean, "prepareUnique": asBoolean,
}

// ListedIndex gives an index spec as listIndexes shows it. Specs in entries and in older listings have their fields in
// other orders and types; two specs are the same index when they are the same listed.
func ListedIndex(document bson.Raw) (bson.Raw, error) {
	stored, err := readSpec(document)
	if err != nil {
		return nil, err
	}
	var listed spec
	for _, element := range stored {
		name := element.Key()
		// 4.2 and older put the namespace into each spec.
		if name == "ns" {
			continue
		}
		listed = append(listed, spec{}.with(indexOrder, name, inType(element.Value(), indexTypes[name]))[0])
	}
	slices.SortStableFunc(listed, func(a, b bson.RawElement) int {
		return rankIn(indexOrder, a.Key()) - rankIn(indexOrder, b.Key())
	})
	return listed.raw(), nil
}

// SameIndex reports whether two specs are the same index, however they are written.
func SameIndex(a, b bson.Raw) bool {
	listedA, errA := ListedIndex(a)
	listedB, errB := ListedIndex(b)
	return errA == nil && errB == nil && bytes.Equal(listedA, listedB)
}

func inType(value bson.RawValue, kind fieldType) bson.RawValue {
	switch kind {
	case asInt32:
		if number, ok := value.AsFloat64OK(); ok {
			return rawValue(clampInt32(number))
		}
	case asDouble:
		if number, ok := value.AsFloat64OK(); ok {
			return rawValue(number)
		}
	case asBoolean:
		return rawValue(isTrue(value))
	}
	return value
}

// clampInt32 cuts a number to 32 bits. An expireAfterSeconds that is no number makes an index without expiry, which the
// server shows as the largest value.
func clampInt32(number float64) int32 {
	switch {
	case math.IsNaN(number), number >= math.MaxInt32:
		return math.MaxInt32
	case number <= math.MinInt32:
		return math.MinInt32
	}
	return int32(number)
}

// index is one line of a collection's list of indexes, which is in the order in which they were started, not finished.
type index struct {
	name  string
	spec  bson.Raw
	build pitr.UUID
	// building says that the index does not exist yet.
	building bool
}

func (c *collection) index(name string) *index {
	for i := range c.indexes {
		if c.indexes[i].name == name {
			return &c.indexes[i]
		}
	}
	return nil
}

// place gives the line of an index, a new one if it has none.
func (c *collection) place(name string) *index {
	if each := c.index(name); each != nil {
		return each
	}
	c.indexes = append(c.indexes, index{})
	return &c.indexes[len(c.indexes)-1]
}

// remove takes lines from the list of indexes.
func (c *collection) remove(which func(each index) bool) (found bool) {
	before := len(c.indexes)
	c.indexes = slices.DeleteFunc(c.indexes, which)
	return len(c.indexes) < before
}

// setIndexes puts specs into the list.
func (c *collection) setIndexes(specs []bson.Raw, build pitr.UUID, building bool) error {
	for _, each := range specs {
		listed, err := ListedIndex(each)
		if err != nil {
			return err
		}
		name := pitr.IndexName(listed)
		*c.place(name) = index{name: name, spec: listed, build: build, building: building}
	}
	return nil
}

// makeRoom lets indexes that are about to begin take their place at the end of the list, where a catalog that was listed
// later has them somewhere already: so the order converges, too.
func (s *State) makeRoom(c *collection, specs []bson.Raw) {
	if s.converging {
		c.abortBuild(oplog.Build{Specs: specs})
	}
}

// dropIndex takes an index from the list, by name or, in very old entries, by key or all but that of _id.
func (c *collection) dropIndex(drop oplog.DropIndexes) (found bool) {
	return c.remove(func(each index) bool {
		all := drop.Name == "*" && each.name != "_id_"
		keyed := drop.Key != nil && bytes.Equal(each.spec.Lookup("key").Value, drop.Key)
		return all || keyed || each.name == drop.Name
	}) || drop.Name == "*"
}

// abortBuild takes a build's indexes from the list.
func (c *collection) abortBuild(build oplog.Build) {
	for _, spec := range build.Specs {
		c.remove(func(each index) bool { return each.name == pitr.IndexName(spec) })
	}
}

// modifyIndex gives an index spec after the part of a collMod that is about it.
func modifyIndex(present, change bson.Raw) (bson.Raw, error) {
	changed, err := readSpec(present)
	if err != nil {
		return nil, err
	}
	requested, err := readSpec(change)
	if err != nil {
		return nil, err
	}
	for _, each := range requested {
		name, value := each.Key(), each.Value()
		switch name {
		case "name", "keyPattern":
		case "expireAfterSeconds":
			changed = changed.with(indexOrder, name, value)
		case "hidden", "prepareUnique":
			if changed = changed.without(name); isTrue(value) {
				changed = changed.with(indexOrder, name, rawValue(true))
			}
		case "unique":
			// A conversion ends the preparation for it.
			if isTrue(value) {
				changed = changed.without("prepareUnique").with(indexOrder, name, rawValue(true))
			}
		case "forceNonUnique":
			if isTrue(value) {
				changed = changed.without("unique")
			}
		default:
			return nil, pitr.Errorf(pitr.KindUnsupported, "", "moments before this entry stay reachable; a newer pitr may know it",
				"a collMod of %q of an index is not known", name)
		}
	}
	return ListedIndex(changed.raw())
}

// clusteredIndex gives the line that listIndexes adds for a clustered collection, nil for any other. Buckets of
// time-series are clustered too, and show none.
func clusteredIndex(options bson.Raw) (bson.Raw, error) {
	all, err := readSpec(options)
	if err != nil {
		return nil, err
	}
	document, ok := all.value("clusteredIndex").DocumentOK()
	if !ok {
		return nil, nil
	}
	listed, err := readSpec(document)
	if err != nil {
		return nil, err
	}
	if collation := all.value("collation"); collation.Type == bson.TypeEmbeddedDocument {
		listed = listed.with(indexOrder, "collation", collation)
	}
	if expiry := all.value("expireAfterSeconds"); expiry.Type != 0 {
		listed = listed.with(indexOrder, "expireAfterSeconds", expiry)
	}
	return ListedIndex(listed.with(indexOrder, "clustered", rawValue(true)).raw())
}
