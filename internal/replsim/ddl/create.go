package ddl

import (
	"context"
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/command"
	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/mql/aggregate"
	"pitr/internal/replsim/mql/value"
	"pitr/internal/replsim/store"
)

// optionOrder is the order in which the server stores and logs the options of a collection.
var optionOrder = []string{
	"capped", "size", "max", "temp", "changeStreamPreAndPostImages", "storageEngine", "indexOptionDefaults", "validator", "validationLevel",
	"validationAction", "collation", "clusteredIndex", "expireAfterSeconds", "timeseries", "encryptedFields",
}

func (k *Catalog) createCommand() *command.Command {
	return &command.Command{
		Name: "create", Effect: command.Changes, Transactions: true, Needs: needs("createCollection"), Run: k.create,
		Fields: append([]string{"autoIndexId", "idIndex", "viewOn", "pipeline", "recordPreImages"}, optionOrder...),
	}
}

func (k *Catalog) create(ctx context.Context, r *command.Request, _ *command.Reply) error {
	ns, err := r.Namespace()
	if err != nil {
		return err
	}
	if err := CheckName(ns); err != nil {
		return err
	}
	if r.Text("viewOn") != "" {
		return k.createView(ctx, r, ns)
	}
	if r.Lookup("timeseries").Type != 0 {
		return k.createTimeseries(ctx, r, ns)
	}
	options, err := collectionOptions(r)
	if err != nil {
		return err
	}
	spec := store.NewCollection{NS: ns, Options: options, Silent: store.DB(ns) == "local"}
	if options.Lookup("clusteredIndex").Type == 0 {
		spec.IDIndex = idIndex(options.Lookup("collation"))
	}
	return k.change(ctx, r, func(u *store.Unit) error {
		if k.Reads.IsView(ns) {
			return command.Errorf(command.NamespaceExists, "A view already exists. NS: %s", ns)
		}
		_, err := u.Create(spec)
		if errors.Is(err, store.ErrExists) {
			return k.alreadyThere(ns, options, u)
		}
		return err
	})
}

// alreadyThere accepts a second create with the same options.
func (k *Catalog) alreadyThere(ns string, options bson.Raw, u *store.Unit) error {
	c := k.find(ns, u)
	if c != nil && string(c.Options) == string(options) {
		return nil
	}
	existing := bson.D{}
	if c != nil {
		existing = append(bson.D{{Key: "uuid", Value: c.UUID.Binary()}}, value.Fields(c.Options)...)
	}
	return command.Errorf(command.NamespaceExists, "namespace %s already exists, but with different options: %s", ns, command.Shown(value.Marshal(existing)))
}

// collectionOptions checks the options of create and puts them in order.
func collectionOptions(r *command.Request) (bson.Raw, error) {
	given := map[string]bson.RawValue{}
	for _, name := range optionOrder {
		if v := r.Lookup(name); v.Type != 0 && v.Type != bson.TypeNull {
			given[name] = v
		}
	}
	capped := command.Truth(given["capped"])
	if capped && given["size"].Type == 0 {
		return nil, command.Errorf(command.InvalidOptions, "the 'size' field is required when 'capped' is true")
	}
	if !capped {
		for _, name := range []string{"capped", "size", "max"} {
			delete(given, name)
		}
	}
	d := bson.D{}
	for _, name := range optionOrder {
		v, ok := given[name]
		if !ok {
			continue
		}
		normal, err := option(name, v)
		if err != nil {
			return nil, err
		}
		if normal != nil {
			d = append(d, bson.E{Key: name, Value: normal})
		}
	}
	return value.Marshal(d), nil
}

func option(name string, v bson.RawValue) (any, error) {
	switch name {
	case "collation":
		return fullCollation(v)
	case "clusteredIndex":
		return clusteredSpec(v)
	case "temp":
		if !command.Truth(v) {
			return nil, nil
		}
	case "changeStreamPreAndPostImages":
		if !command.Truth(document(v).Lookup("enabled")) {
			return nil, nil
		}
	case "validator":
		if _, err := mql.Compile(document(v)); err != nil && command.FailureOf(err).Code != command.NotImplemented {
			return nil, err
		}
	}
	return v, nil
}

// fullCollation writes out the defaults of a collation, as the server stores it. The simple one is none.
func fullCollation(v bson.RawValue) (any, error) {
	given := document(v)
	locale, ok := given.Lookup("locale").StringValueOK()
	if !ok {
		return nil, command.Errorf(40414, "BSON field 'collation.locale' is missing but a required field")
	}
	if locale == "simple" {
		return nil, nil
	}
	full := bson.D{
		{Key: "locale", Value: locale}, {Key: "caseLevel", Value: false}, {Key: "caseFirst", Value: "off"}, {Key: "strength", Value: int32(3)},
		{Key: "numericOrdering", Value: false}, {Key: "alternate", Value: "non-ignorable"}, {Key: "maxVariable", Value: "punct"},
		{Key: "normalization", Value: false}, {Key: "backwards", Value: false}, {Key: "version", Value: "57.1"},
	}
	for i, e := range full {
		if own := given.Lookup(e.Key); own.Type != 0 {
			full[i].Value = own
		}
	}
	return full, nil
}

func clusteredSpec(v bson.RawValue) (any, error) {
	if v.Type == bson.TypeBoolean {
		return v, nil
	}
	given := document(v)
	name, _ := given.Lookup("name").StringValueOK()
	if name == "" {
		name = "_id_"
	}
	if !command.Truth(given.Lookup("unique")) {
		return nil, command.Errorf(5979700, "The clusteredIndex option requires unique: true to be specified")
	}
	return bson.D{{Key: "v", Value: int32(2)}, {Key: "key", Value: given.Lookup("key")}, {Key: "name", Value: name}, {Key: "unique", Value: true}}, nil
}

// createView writes the definition of a view into system.views, which is made for the first one.
func (k *Catalog) createView(ctx context.Context, r *command.Request, ns string) error {
	pipeline := r.Lookup("pipeline")
	if pipeline.Type == 0 {
		pipeline = emptyArray
	}
	if _, err := aggregate.Compile(pipeline, aggregate.Options{DB: r.DB}); err != nil {
		return err
	}
	d := bson.D{{Key: "_id", Value: ns}, {Key: "viewOn", Value: r.Text("viewOn")}, {Key: "pipeline", Value: pipeline}}
	if collation := r.Lookup("collation"); collation.Type != 0 {
		full, err := fullCollation(collation)
		if err != nil {
			return err
		}
		d = append(d, bson.E{Key: "collation", Value: full})
	}
	return k.change(ctx, r, func(u *store.Unit) error {
		if k.find(ns, u) != nil {
			return command.Errorf(command.NamespaceExists, "Collection %s already exists.", ns)
		}
		if k.Reads.IsView(ns) {
			return command.Errorf(command.NamespaceExists, "A view already exists. NS: %s", ns)
		}
		return k.insertView(u, r.DB, value.Marshal(d))
	})
}

func (k *Catalog) insertView(u *store.Unit, db string, doc bson.Raw) error {
	views := k.find(db+".system.views", u)
	if views == nil {
		var err error
		if views, err = k.Implicit(u, db+".system.views"); err != nil {
			return err
		}
	}
	_, err := u.Insert(views, doc, store.Note{})
	return err
}

var emptyArray = bson.RawValue{Type: bson.TypeArray, Value: []byte{5, 0, 0, 0, 0}}

// createTimeseries makes the buckets, their index and the view of a time series. Measurements themselves are not simulated.
func (k *Catalog) createTimeseries(ctx context.Context, r *command.Request, ns string) error {
	series := value.Fields(document(r.Lookup("timeseries")))
	var timeField, metaField string
	span := false
	granularity := false
	for _, e := range series {
		value, _ := e.Value.(bson.RawValue)
		switch e.Key {
		case "timeField":
			timeField, _ = value.StringValueOK()
		case "metaField":
			metaField, _ = value.StringValueOK()
		case "bucketMaxSpanSeconds":
			span = true
		case "granularity":
			granularity = true
		}
	}
	if !granularity {
		series = append(series, bson.E{Key: "granularity", Value: "seconds"})
	}
	if !span {
		series = append(series, bson.E{Key: "bucketMaxSpanSeconds", Value: int32(3600)})
	}
	buckets := r.DB + ".system.buckets." + store.Name(ns)
	options := bson.D{{Key: "validator", Value: bucketValidator(timeField)}, {Key: "clusteredIndex", Value: true}}
	if expire := r.Lookup("expireAfterSeconds"); expire.Type != 0 {
		options = append(options, bson.E{Key: "expireAfterSeconds", Value: expire})
	}
	options = append(options, bson.E{Key: "timeseries", Value: series})
	unpack := bson.D{{Key: "timeField", Value: timeField}}
	if metaField != "" {
		unpack = append(unpack, bson.E{Key: "metaField", Value: metaField})
	}
	unpack = append(unpack, bson.E{Key: "bucketMaxSpanSeconds", Value: int32(3600)})
	return k.change(ctx, r, func(u *store.Unit) error {
		if err := k.createBuckets(u, store.NewCollection{NS: buckets, Options: value.Marshal(options)}, timeField, metaField); err != nil {
			return err
		}
		return k.insertView(u, r.DB, value.Marshal(bson.D{
			{Key: "_id", Value: ns}, {Key: "viewOn", Value: store.Name(buckets)},
			{Key: "pipeline", Value: bson.A{bson.D{{Key: "$_internalUnpackBucket", Value: unpack}}}},
		}))
	})
}

// createBuckets makes the collection under a time series, in a unit of its own.
func (k *Catalog) createBuckets(u *store.Unit, spec store.NewCollection, timeField, metaField string) error {
	own := k.Store.Begin()
	own.Bypass = u.Bypass
	c, err := own.Create(spec)
	if err == nil && metaField != "" {
		var x *store.Index
		x, err = store.NewIndex(value.Marshal(bson.D{
			{Key: "v", Value: int32(2)}, {Key: "name", Value: metaField + "_1_" + timeField + "_1"},
			{Key: "key", Value: bson.D{{Key: "meta", Value: int32(1)}, {Key: "control.min." + timeField, Value: int32(1)}, {Key: "control.max." + timeField, Value: int32(1)}}},
		}))
		if err == nil {
			err = own.CreateIndex(c, x)
		}
	}
	if err != nil {
		own.Abort()
		return err
	}
	own.Commit()
	return nil
}

func bucketValidator(timeField string) bson.D {
	of := func(name string) bson.D { return bson.D{{Key: "bsonType", Value: name}} }
	bounds := bson.D{
		{Key: "bsonType", Value: "object"}, {Key: "required", Value: bson.A{timeField}},
		{Key: "properties", Value: bson.D{{Key: timeField, Value: of("date")}}},
	}
	control := bson.D{
		{Key: "bsonType", Value: "object"}, {Key: "required", Value: bson.A{"version", "min", "max"}},
		{Key: "properties", Value: bson.D{
			{Key: "version", Value: of("number")}, {Key: "min", Value: bounds}, {Key: "max", Value: bounds}, {Key: "closed", Value: of("bool")},
			{Key: "count", Value: bson.D{{Key: "bsonType", Value: "number"}, {Key: "minimum", Value: int32(1)}}},
		}},
		{Key: "additionalProperties", Value: false},
	}
	return bson.D{{Key: "$jsonSchema", Value: bson.D{
		{Key: "bsonType", Value: "object"}, {Key: "required", Value: bson.A{"_id", "control", "data"}},
		{Key: "properties", Value: bson.D{
			{Key: "_id", Value: of("objectId")}, {Key: "control", Value: control}, {Key: "data", Value: of("object")}, {Key: "meta", Value: bson.D{}},
		}},
		{Key: "additionalProperties", Value: false},
	}}}
}
