package ddl

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/auth"
	"pitr/internal/replsim/command"
	"pitr/internal/replsim/mql/value"
	"pitr/internal/replsim/store"
)

func (k *Catalog) collModCommand() *command.Command {
	return &command.Command{
		Name: "collMod", Effect: command.Changes, Needs: needs("collMod"), Run: k.collMod,
		Fields: []string{
			"index", "viewOn", "pipeline", "validator", "validationLevel", "validationAction", "expireAfterSeconds", "timeseries",
			"changeStreamPreAndPostImages", "cappedSize", "cappedMax", "dryRun", "recordPreImages", "isTimeseriesNamespace", "prepareUnique",
		},
	}
}

// modOrder is the order of the options in a collMod entry.
var modOrder = []string{"validator", "validationLevel", "validationAction", "changeStreamPreAndPostImages", "expireAfterSeconds"}

func (k *Catalog) collMod(ctx context.Context, r *command.Request, out *command.Reply) error {
	ns, err := r.Namespace()
	if err != nil {
		return err
	}
	return k.change(ctx, r, func(u *store.Unit) error {
		out.Reset()
		c := k.find(ns, u)
		if c == nil {
			if k.Reads.IsView(ns) {
				return k.modifyView(u, r, ns)
			}
			return command.Errorf(command.NamespaceNotFound, "ns does not exist")
		}
		if index := document(r.Lookup("index")); len(index) > 5 {
			return modifyIndex(u, c, r, out)
		}
		return modifyOptions(u, c, r)
	})
}

func modifyOptions(u *store.Unit, c *store.Collection, r *command.Request) error {
	o := bson.D{{Key: "collMod", Value: store.Name(c.NS)}}
	changed := map[string]bson.RawValue{}
	for _, name := range modOrder {
		if v := r.Lookup(name); v.Type != 0 {
			changed[name] = v
			o = append(o, bson.E{Key: name, Value: v})
		}
	}
	o2 := bson.D{{Key: "collectionOptions_old", Value: append(bson.D{{Key: "uuid", Value: c.UUID.Binary()}}, value.Fields(c.Options)...)}}
	return u.Modify(c, store.Modification{New: newOptions(c.Options, changed), O: value.Marshal(o), O2: value.Marshal(o2)})
}

// newOptions puts changed options into place; what is switched off is no option any more.
func newOptions(old bson.Raw, changed map[string]bson.RawValue) bson.Raw {
	d := bson.D{}
	for _, name := range optionOrder {
		v := old.Lookup(name)
		if own, ok := changed[name]; ok {
			v = own
		}
		if v.Type == 0 || off(name, v) {
			continue
		}
		d = append(d, bson.E{Key: name, Value: v})
	}
	for _, e := range value.Fields(old) {
		if !slices.Contains(optionOrder, e.Key) {
			d = append(d, e)
		}
	}
	return value.Marshal(d)
}

func off(name string, v bson.RawValue) bool {
	switch name {
	case "validator":
		return len(document(v)) <= 5
	case "changeStreamPreAndPostImages":
		return !command.Truth(document(v).Lookup("enabled"))
	case "expireAfterSeconds":
		text, _ := v.StringValueOK()
		return text == "off"
	}
	return false
}

// modifyIndex changes hidden, expireAfterSeconds, prepareUnique or unique of one index.
func modifyIndex(u *store.Unit, c *store.Collection, r *command.Request, out *command.Reply) error {
	which := document(r.Lookup("index"))
	x := pickIndex(c, which)
	if x == nil {
		if name := which.Lookup("name"); name.Type != 0 {
			return command.Errorf(command.IndexNotFound, "cannot find index %s for ns %s", name.StringValue(), c.NS)
		}
		return command.Errorf(command.IndexNotFound, "cannot find index %s for ns %s", command.Shown(document(which.Lookup("keyPattern"))), c.NS)
	}
	named := bson.D{{Key: "name", Value: x.Name}}
	old := bson.D{}
	spec := x.Spec
	if v := which.Lookup("expireAfterSeconds"); v.Type != 0 {
		seconds, _ := v.AsInt64OK()
		if before := spec.Lookup("expireAfterSeconds"); before.Type != 0 {
			n, _ := before.AsInt64OK()
			old = append(old, bson.E{Key: "expireAfterSeconds", Value: n})
			out.Int64("expireAfterSeconds_old", n)
		}
		out.Int64("expireAfterSeconds_new", seconds)
		named = append(named, bson.E{Key: "expireAfterSeconds", Value: seconds})
		spec = with(spec, "expireAfterSeconds", seconds)
	}
	for _, name := range []string{"hidden", "prepareUnique"} {
		if v := which.Lookup(name); v.Type != 0 {
			was, will := command.Truth(spec.Lookup(name)), command.Truth(v)
			old = append(old, bson.E{Key: name, Value: was})
			out.Set(name+"_old", was)
			out.Set(name+"_new", will)
			named = append(named, bson.E{Key: name, Value: will})
			if spec = without(spec, name); will {
				spec = with(spec, name, true)
			}
		}
	}
	if command.Truth(which.Lookup("unique")) {
		if err := convertible(c, x); err != nil {
			return err
		}
		if r.Flag("dryRun") {
			return nil
		}
		out.True("unique_new")
		named = append(named, bson.E{Key: "unique", Value: true})
		spec = with(without(spec, "prepareUnique"), "unique", true)
	}
	o := value.Marshal(bson.D{{Key: "collMod", Value: store.Name(c.NS)}, {Key: "index", Value: named}})
	o2 := value.Marshal(bson.D{
		{Key: "collectionOptions_old", Value: append(bson.D{{Key: "uuid", Value: c.UUID.Binary()}}, value.Fields(c.Options)...)},
		{Key: "indexOptions_old", Value: old},
	})
	return u.ModifyIndex(c, x, store.Modification{New: spec, O: o, O2: o2})
}

func pickIndex(c *store.Collection, which bson.Raw) *store.Index {
	if name, ok := which.Lookup("name").StringValueOK(); ok {
		return c.IndexNamed(name)
	}
	for _, x := range c.Indexes {
		if string(document(x.Spec.Lookup("key"))) == string(document(which.Lookup("keyPattern"))) {
			return x
		}
	}
	return nil
}

// convertible refuses to make an index unique over documents that collide, and names them.
func convertible(c *store.Collection, x *store.Index) error {
	ids := x.Repeated(c)
	if len(ids) == 0 {
		return nil
	}
	return &command.Failure{
		Code: 359, Message: "Cannot convert the index to unique. Please resolve conflicting documents before running collMod again.",
		Extra: bson.D{{Key: "violations", Value: bson.A{bson.D{{Key: "ids", Value: ids}}}}},
	}
}

func with(doc bson.Raw, name string, to any) bson.Raw {
	d := value.Fields(doc)
	for i, e := range d {
		if e.Key == name {
			d[i].Value = to
			return value.Marshal(d)
		}
	}
	return value.Marshal(append(d, bson.E{Key: name, Value: to}))
}

func without(doc bson.Raw, name string) bson.Raw {
	return value.Marshal(slices.DeleteFunc(value.Fields(doc), func(e bson.E) bool { return e.Key == name }))
}

func (k *Catalog) modifyView(u *store.Unit, r *command.Request, ns string) error {
	views := k.find(r.DB+".system.views", u)
	_, content, err := bson.MarshalValue(ns)
	if err != nil {
		return err
	}
	record, before := views.ByID(bson.RawValue{Type: bson.TypeString, Value: content}, store.Moment{TS: store.Latest.TS, Unit: u})
	after := before
	for _, name := range []string{"viewOn", "pipeline"} {
		if v := r.Lookup(name); v.Type != 0 {
			after = with(after, name, v)
		}
	}
	return u.Replace(views, record, store.Change{After: after, O: after})
}

func (k *Catalog) blockCommand() *command.Command {
	return &command.Command{
		Name: "setUserWriteBlockMode", Effect: command.Changes, Place: command.AdminOnly, Fields: []string{"global"}, Run: k.block,
		Needs: func(*command.Request) []auth.Need {
			return []auth.Need{{Resource: auth.Cluster, Action: "setUserWriteBlockMode"}}
		},
	}
}

// block switches the user write block: its state is a document, and it waits for open transactions.
func (k *Catalog) block(ctx context.Context, r *command.Request, _ *command.Reply) error {
	on := command.Truth(r.Lookup("global"))
	return k.change(ctx, r, func(u *store.Unit) error {
		if k.Store.Open() > 0 {
			return store.ErrConflict
		}
		c := k.find("config.user_writes_critical_sections", u)
		if c == nil {
			var err error
			if c, err = k.Implicit(u, "config.user_writes_critical_sections"); err != nil {
				return err
			}
		}
		doc := value.Marshal(bson.D{{Key: "_id", Value: ""}, {Key: "blockNewUserShardedDDL", Value: false}, {Key: "blockUserWrites", Value: true}})
		record, _ := c.ByID(doc.Lookup("_id"), store.Latest)
		switch {
		case on && record == nil:
			if _, err := u.Insert(c, doc, store.Note{}); err != nil {
				return err
			}
			k.Store.SetBlocked(store.BlockOn)
		case !on && record != nil:
			if err := u.Remove(c, record, store.Note{}); err != nil {
				return err
			}
			k.Store.SetBlocked(store.BlockOff)
		}
		return nil
	})
}
