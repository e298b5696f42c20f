package ddl

import (
	"context"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/internal/replsim/command"
	"pitr/internal/replsim/mql/value"
	"pitr/internal/replsim/store"
)

func (k *Catalog) createIndexesCommand() *command.Command {
	return &command.Command{
		Name: "createIndexes", Effect: command.Changes, Transactions: true, Needs: needs("createIndex"), Run: k.createIndexes,
		Fields: []string{"indexes", "commitQuorum", "ignoreUnknownIndexOptions", "isTimeseriesNamespace", "v"},
	}
}

// indexing is one createIndexes command.
type indexing struct {
	ns     string
	specs  []bson.Raw
	before int
	made   bool
	// fresh are the indexes that are not there yet.
	fresh []*store.Index
	build pitr.UUID
}

func (k *Catalog) createIndexes(ctx context.Context, r *command.Request, out *command.Reply) error {
	ns, err := r.Namespace()
	if err != nil {
		return err
	}
	if err := CheckName(ns); err != nil {
		return err
	}
	given, err := r.Documents("indexes")
	if err != nil {
		return err
	}
	if len(given) == 0 {
		return command.Errorf(command.BadValue, "Must specify at least one index to create")
	}
	job := &indexing{ns: ns}
	for _, spec := range given {
		normal, err := normalize(spec)
		if err != nil {
			return err
		}
		job.specs = append(job.specs, normal)
	}
	onData := false
	err = k.change(ctx, r, func(u *store.Unit) (err error) {
		onData, err = k.createOnEmpty(u, job)
		return err
	})
	if err == nil && onData {
		err = k.createOnData(ctx, r, job)
	}
	if err != nil {
		return err
	}
	out.Int32("numIndexesBefore", job.before)
	out.Int32("numIndexesAfter", job.before+len(job.fresh))
	if len(job.fresh) > 0 {
		out.Set("createdCollectionAutomatically", job.made)
	}
	out.String("commitQuorum", "votingMembers")
	if len(job.fresh) == 0 {
		out.String("note", "all indexes already exist")
	}
	return nil
}

// createOnEmpty makes the indexes in one phase if the collection is empty or absent; otherwise it reports that there is data.
func (k *Catalog) createOnEmpty(u *store.Unit, job *indexing) (onData bool, err error) {
	c := k.find(job.ns, u)
	if c == nil {
		if k.Reads.IsView(job.ns) {
			return false, command.Errorf(166, "Cannot create indexes on a view: %s", job.ns)
		}
		if c, err = k.Implicit(u, job.ns); err != nil {
			return false, err
		}
		job.made = true
	}
	if err := job.compare(c); err != nil {
		return false, err
	}
	if len(job.fresh) == 0 {
		return false, nil
	}
	if !c.Empty() {
		if u.Grouped() {
			return false, command.Errorf(command.NotSupportedInTransaction, "Cannot create new indexes on non-empty collection %s in a multi-document transaction.", job.ns)
		}
		return true, nil
	}
	for _, x := range job.fresh {
		if err := u.CreateIndex(c, x); err != nil {
			return false, err
		}
	}
	return false, nil
}

// compare finds the specs that are new, and refuses those that clash with what is there.
func (job *indexing) compare(c *store.Collection) error {
	job.before = len(c.Indexes)
	if c.IDIndex != nil {
		job.before++
	}
	job.fresh = nil
	for _, spec := range job.specs {
		if key := document(spec.Lookup("key")); pitr.IndexName(spec) == "_id_" || string(key) == string(idKey) {
			continue
		}
		known, err := clash(c, spec)
		if err != nil {
			return err
		}
		if known {
			continue
		}
		if c.Collation() != nil && spec.Lookup("collation").Type == 0 {
			spec = value.Marshal(append(value.Fields(spec), bson.E{Key: "collation", Value: c.Collation()}))
		}
		x, err := store.NewIndex(spec)
		if err != nil {
			return err
		}
		job.fresh = append(job.fresh, x)
	}
	return nil
}

var idKey = value.Marshal(bson.D{{Key: "_id", Value: int32(1)}})

// clash reports whether an index is there already; one with the same name or key but other options is an error.
func clash(c *store.Collection, spec bson.Raw) (bool, error) {
	for _, x := range c.Indexes {
		sameKey := string(document(x.Spec.Lookup("key"))) == string(document(spec.Lookup("key"))) && sameValue(x.Spec, spec, "collation") &&
			sameValue(x.Spec, spec, "partialFilterExpression") && sameValue(x.Spec, spec, "unique") && sameValue(x.Spec, spec, "sparse")
		switch {
		case x.Name == pitr.IndexName(spec) && sameKey:
			if !x.Build.IsZero() {
				return false, command.Errorf(285, "Index build already in progress: %s", x.Name)
			}
			if sameValue(x.Spec, spec, "expireAfterSeconds") {
				return true, nil
			}
			return false, command.Errorf(85, "An equivalent index already exists with the same name but different options. Requested index: %s, existing index: %s", command.Shown(spec), command.Shown(x.Spec))
		case x.Name == pitr.IndexName(spec):
			return false, command.Errorf(86, "An existing index has the same name as the requested index. When index names are not specified, they are auto generated and can cause conflicts. Please refer to our documentation. Requested index: %s, existing index: %s", command.Shown(spec), command.Shown(x.Spec))
		case sameKey:
			return false, command.Errorf(85, "Index already exists with a different name: %s", x.Name)
		}
	}
	return false, nil
}

func sameValue(a, b bson.Raw, name string) bool {
	x, y := a.Lookup(name), b.Lookup(name)
	if x.Type == bson.TypeBoolean || y.Type == bson.TypeBoolean {
		return command.Truth(x) == command.Truth(y)
	}
	return string(x.Value) == string(y.Value)
}

// normalize puts an index spec into the form in which the server stores it.
func normalize(spec bson.Raw) (bson.Raw, error) {
	key, ok := spec.Lookup("key").DocumentOK()
	if !ok || len(key) <= 5 {
		return nil, command.Errorf(67, "Index keys cannot be an empty object")
	}
	if pitr.IndexName(spec) == "" {
		return nil, command.Errorf(command.FailedToParse, "The 'name' field is a required property of an index specification")
	}
	d := bson.D{{Key: "v", Value: int32(2)}}
	for _, name := range []string{"unique", "hidden"} {
		if v := spec.Lookup(name); command.Truth(v) {
			d = append(d, bson.E{Key: name, Value: true})
		}
	}
	text := false
	for _, e := range value.Fields(key) {
		value, _ := e.Value.(bson.RawValue)
		kind, _ := value.StringValueOK()
		text = text || kind == "text"
	}
	for _, e := range value.Fields(spec) {
		value, _ := e.Value.(bson.RawValue)
		switch e.Key {
		case "v", "unique", "hidden", "ns", "background", "dropDups":
		case "key":
			if text {
				e.Value = textKey(key)
			}
			d = append(d, e)
		case "sparse":
			d = append(d, bson.E{Key: "sparse", Value: command.Truth(value)})
		case "collation":
			full, err := fullCollation(value)
			if err != nil {
				return nil, err
			}
			if full != nil {
				d = append(d, bson.E{Key: "collation", Value: full})
			}
		default:
			d = append(d, e)
		}
	}
	if text {
		d = textDefaults(d, key)
	}
	return value.Marshal(d), nil
}

// textKey is the key of a text index as the server stores it.
func textKey(key bson.Raw) bson.D {
	var d bson.D
	done := false
	for _, e := range value.Fields(key) {
		value, _ := e.Value.(bson.RawValue)
		if kind, _ := value.StringValueOK(); kind != "text" {
			d = append(d, e)
			continue
		}
		if !done {
			d = append(d, bson.E{Key: "_fts", Value: "text"}, bson.E{Key: "_ftsx", Value: int32(1)})
			done = true
		}
	}
	return d
}

func textDefaults(d bson.D, key bson.Raw) bson.D {
	has := func(name string) bool { return slices.ContainsFunc(d, func(e bson.E) bool { return e.Key == name }) }
	if !has("weights") {
		weights := bson.D{}
		for _, e := range value.Fields(key) {
			value, _ := e.Value.(bson.RawValue)
			if kind, _ := value.StringValueOK(); kind == "text" {
				weights = append(weights, bson.E{Key: e.Key, Value: int32(1)})
			}
		}
		slices.SortFunc(weights, func(a, b bson.E) int { return strings.Compare(a.Key, b.Key) })
		d = append(d, bson.E{Key: "weights", Value: weights})
	}
	for _, e := range (bson.D{{Key: "default_language", Value: "english"}, {Key: "language_override", Value: "language"}, {Key: "textIndexVersion", Value: int32(3)}}) {
		if !has(e.Key) {
			d = append(d, e)
		}
	}
	return d
}

func (k *Catalog) dropIndexesCommand() *command.Command {
	return &command.Command{
		Name: "dropIndexes", Aliases: []string{"deleteIndexes"}, Effect: command.Changes, Fields: []string{"index", "isTimeseriesNamespace"},
		Needs: needs("dropIndex"), Run: k.dropIndexes,
	}
}

func (k *Catalog) dropIndexes(ctx context.Context, r *command.Request, out *command.Reply) error {
	ns, err := r.Namespace()
	if err != nil {
		return err
	}
	before := 0
	err = k.change(ctx, r, func(u *store.Unit) error {
		c := k.find(ns, u)
		if c == nil {
			return command.Errorf(command.NamespaceNotFound, "ns not found %s", ns)
		}
		if before = len(c.Indexes); c.IDIndex != nil {
			before++
		}
		chosen, err := chooseIndexes(c, r.Lookup("index"))
		if err != nil {
			return err
		}
		for _, x := range chosen {
			if err := u.DropIndex(c, x); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	out.Int32("nIndexesWas", before)
	if name, _ := r.Lookup("index").StringValueOK(); name == "*" {
		out.String("msg", "non-_id indexes dropped for collection")
	}
	return nil
}

func chooseIndexes(c *store.Collection, which bson.RawValue) ([]*store.Index, error) {
	switch which.Type {
	case bson.TypeString:
		name := which.StringValue()
		if name == "*" {
			return c.InDropOrder(), nil
		}
		if name == "_id_" {
			return nil, command.Errorf(command.InvalidOptions, "cannot drop _id index")
		}
		if x := c.IndexNamed(name); x != nil {
			return []*store.Index{x}, nil
		}
		return nil, command.Errorf(command.IndexNotFound, "index not found with name [%s]", name)
	case bson.TypeEmbeddedDocument:
		for _, x := range c.Indexes {
			if string(document(x.Spec.Lookup("key"))) == string(which.Value) {
				return []*store.Index{x}, nil
			}
		}
		if string(which.Value) == string(idKey) {
			return nil, command.Errorf(command.InvalidOptions, "cannot drop _id index")
		}
		return nil, command.Errorf(command.IndexNotFound, "can't find index with key: %s", command.Shown(bson.Raw(which.Value)))
	case bson.TypeArray:
		var chosen []*store.Index
		values, err := which.Array().Values()
		for _, v := range values {
			one, err := chooseIndexes(c, v)
			if err != nil {
				return nil, err
			}
			chosen = append(chosen, one...)
		}
		return chosen, err
	}
	return nil, command.Errorf(40414, "BSON field 'dropIndexes.index' is missing but a required field")
}
