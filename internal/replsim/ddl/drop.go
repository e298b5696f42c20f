package ddl

import (
	"context"
	"errors"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/auth"
	"pitr/internal/replsim/command"
	"pitr/internal/replsim/mql/value"
	"pitr/internal/replsim/store"
	"pitr/internal/replsim/write"
)

func (k *Catalog) dropCommand() *command.Command {
	return &command.Command{Name: "drop", Effect: command.Changes, Fields: []string{"collectionUUID"}, Needs: needs("dropCollection"), Run: k.drop}
}

func (k *Catalog) drop(ctx context.Context, r *command.Request, out *command.Reply) error {
	ns, err := r.Namespace()
	if err != nil {
		return err
	}
	indexes, found := 0, false
	err = k.change(ctx, r, func(u *store.Unit) error {
		buckets := k.find(r.DB+".system.buckets."+store.Name(ns), u)
		c := k.find(ns, u)
		switch {
		case c != nil:
			found, indexes = true, 1+len(c.Indexes)
			if c.Clustered() {
				indexes--
			}
			return u.Drop(c)
		case k.Reads.IsView(ns):
			found = true
			if err := k.removeView(u, ns); err != nil || buckets == nil {
				return err
			}
			indexes = len(buckets.Indexes)
			return u.Drop(buckets)
		}
		return nil
	})
	if err != nil || !found {
		return err
	}
	if indexes > 0 {
		out.Int32("nIndexesWas", indexes)
	}
	out.String("ns", ns)
	return nil
}

func (k *Catalog) removeView(u *store.Unit, ns string) error {
	views := k.find(store.DB(ns)+".system.views", u)
	_, id, err := bson.MarshalValue(ns)
	if err != nil {
		return err
	}
	record, _ := views.ByID(bson.RawValue{Type: bson.TypeString, Value: id}, store.Moment{TS: store.Latest.TS, Unit: u})
	if record == nil {
		return nil
	}
	return u.Remove(views, record, store.Note{})
}

func (k *Catalog) dropDatabaseCommand() *command.Command {
	return &command.Command{
		Name: "dropDatabase", Effect: command.Changes, Fields: []string{}, Run: k.dropDatabase,
		Needs: func(r *command.Request) []auth.Need {
			return []auth.Need{{Resource: auth.Namespace(r.DB, ""), Action: "dropDatabase"}}
		},
	}
}

// dropDatabase drops the views collection, then the others by UUID, each in a unit of its own, and logs the end.
func (k *Catalog) dropDatabase(ctx context.Context, r *command.Request, _ *command.Reply) error {
	if store.Internal(r.DB) {
		return command.Errorf(command.IllegalOperation, "Dropping the '%s' database is prohibited.", r.DB)
	}
	dropped := false
	for {
		var next *store.Collection
		err := k.change(ctx, r, func(u *store.Unit) error {
			all := k.Store.Collections(r.DB, store.Moment{TS: store.Latest.TS, Unit: u})
			if len(all) == 0 {
				if dropped {
					return u.DropDatabase(r.DB)
				}
				return nil
			}
			next = all[0]
			if i := slices.IndexFunc(all, func(c *store.Collection) bool { return store.Name(c.NS) == "system.views" }); i >= 0 {
				next = all[i]
			}
			return u.Drop(next)
		})
		if err != nil || next == nil {
			return err
		}
		dropped = true
	}
}

func (k *Catalog) renameCommand() *command.Command {
	return &command.Command{
		Name: "renameCollection", Effect: command.Changes, Place: command.AdminOnly, Fields: []string{"to", "dropTarget", "stayTemp", "collectionUUID"},
		Run: k.rename,
		Needs: func(r *command.Request) []auth.Need {
			from, _ := r.Argument().StringValueOK()
			to := r.Text("to")
			if store.DB(from) == store.DB(to) {
				return []auth.Need{{Resource: auth.Namespace(store.DB(from), store.Name(from)), Action: "renameCollectionSameDB"}}
			}
			return []auth.Need{
				{Resource: auth.Namespace(store.DB(from), store.Name(from)), Action: "find"},
				{Resource: auth.Namespace(store.DB(from), store.Name(from)), Action: "dropCollection"},
				{Resource: auth.Namespace(store.DB(to), store.Name(to)), Action: "insert"},
				{Resource: auth.Namespace(store.DB(to), store.Name(to)), Action: "createIndex"},
			}
		},
	}
}

func (k *Catalog) rename(ctx context.Context, r *command.Request, _ *command.Reply) error {
	from, _ := r.Argument().StringValueOK()
	to := r.Text("to")
	if err := CheckName(to); err != nil {
		return err
	}
	return k.change(ctx, r, func(u *store.Unit) error {
		c, target := k.find(from, u), k.find(to, u)
		switch {
		case c == nil:
			return command.Errorf(command.NamespaceNotFound, "Source collection %s does not exist", from)
		case from == to:
			return command.Errorf(command.IllegalOperation, "Can't rename a collection to itself")
		case target != nil && !r.Flag("dropTarget"):
			return command.Errorf(command.NamespaceExists, "target namespace exists")
		case k.Reads.IsView(to):
			return command.Errorf(command.NamespaceExists, "a view already exists with that name: %s", to)
		case store.DB(from) != store.DB(to):
			return k.renameAcross(r, c, to)
		}
		return u.Rename(c, to)
	})
}

// renameAcross copies a collection into a temporary one of the other database, renames that, and drops the source. Each step
// is a unit of its own.
func (k *Catalog) renameAcross(r *command.Request, c *store.Collection, to string) error {
	if err := c.InUse(); err != nil {
		return err
	}
	if target := k.find(to, nil); target != nil {
		if err := target.InUse(); err != nil {
			return err
		}
	}
	temporary := store.DB(to) + ".tmp" + k.Letters(5) + ".renameCollection"
	step := func(run func(u *store.Unit) error) error {
		u := k.Store.Begin()
		u.Bypass = write.MayBypass(r)
		if err := run(u); err != nil {
			u.Abort()
			return err
		}
		u.Commit()
		return nil
	}
	var copied *store.Collection
	err := step(func(u *store.Unit) (err error) {
		copied, err = u.Create(store.NewCollection{NS: temporary, Options: c.Options, IDIndex: c.IDIndex})
		return err
	})
	if err != nil {
		return err
	}
	for _, x := range c.Indexes {
		if err := step(func(u *store.Unit) error {
			fresh, err := store.NewIndex(x.Spec)
			if err != nil {
				return err
			}
			return u.CreateIndex(copied, fresh)
		}); err != nil {
			return err
		}
	}
	if err := k.copyGroups(r, c, copied); err != nil {
		return err
	}
	if err := step(func(u *store.Unit) error { return u.Rename(copied, to) }); err != nil {
		return err
	}
	return step(func(u *store.Unit) error { return u.Drop(c) })
}

// copyGroups inserts all documents of one collection into another, in groups of which each is one entry.
func (k *Catalog) copyGroups(r *command.Request, from, to *store.Collection) error {
	u := k.Store.BeginGroup()
	for record := range from.After(store.NaturalStart) {
		doc := record.At(store.Latest)
		if doc == nil {
			continue
		}
		u.Bypass = write.MayBypass(r)
		if _, err := u.Insert(to, doc, store.Note{}); err != nil {
			u.Abort()
			return err
		}
		if u.Ops() == copiedAtOnce {
			u.Commit()
			u = k.Store.BeginGroup()
		}
	}
	u.Commit()
	return nil
}

// copiedAtOnce is internalInsertMaxBatchSize.
const copiedAtOnce = 500

func (k *Catalog) convertCommand() *command.Command {
	return &command.Command{
		Name: "convertToCapped", Effect: command.Changes, Fields: []string{"size"}, Needs: needs("convertToCapped"), Run: k.convert,
	}
}

// convert replaces a collection by a capped copy of itself.
func (k *Catalog) convert(ctx context.Context, r *command.Request, _ *command.Reply) error {
	ns, err := r.Namespace()
	if err != nil {
		return err
	}
	return k.change(ctx, r, func(u *store.Unit) error {
		c := k.find(ns, u)
		if c == nil {
			return command.Errorf(command.NamespaceNotFound, "source collection %s does not exist", ns)
		}
		if err := c.InUse(); err != nil {
			return err
		}
		temporary := store.DB(ns) + ".tmp" + k.Letters(5) + ".convertToCapped." + store.Name(ns)
		options := cappedOptions(r.Lookup("size"), c.Options)
		options = append(options[:2:2], append(bson.D{{Key: "temp", Value: true}}, options[2:]...)...)
		copied, err := k.copyInto(c, store.NewCollection{NS: temporary, Options: value.Marshal(options), IDIndex: c.IDIndex})
		if err != nil {
			return err
		}
		return u.Rename(copied, c.NS)
	})
}

func cappedOptions(size bson.RawValue, old bson.Raw) bson.D {
	options := bson.D{{Key: "capped", Value: true}, {Key: "size", Value: size}}
	for _, e := range value.Fields(old) {
		if !slices.Contains([]string{"capped", "size", "max", "temp", "changeStreamPreAndPostImages"}, e.Key) {
			options = append(options, e)
		}
	}
	return options
}

// copyInto makes a collection and fills it, document by document, marked as internal writes.
func (k *Catalog) copyInto(c *store.Collection, spec store.NewCollection) (*store.Collection, error) {
	u := k.Store.Begin()
	copied, err := u.Create(spec)
	if err != nil {
		u.Abort()
		return nil, err
	}
	u.Commit()
	for record := range c.After(store.NaturalStart) {
		doc := record.At(store.Latest)
		if doc == nil {
			continue
		}
		k.Store.Burn(1)
		u := k.Store.Begin()
		u.Migrate = true
		if _, err := u.Insert(copied, doc, store.Note{}); err != nil {
			u.Abort()
			return nil, err
		}
		u.Commit()
	}
	return copied, nil
}

func (k *Catalog) cloneCommand() *command.Command {
	return &command.Command{
		Name: "cloneCollectionAsCapped", Effect: command.Changes, Fields: []string{"toCollection", "size", "temp"}, Needs: needs("convertToCapped"), Run: k.clone,
	}
}

func (k *Catalog) clone(ctx context.Context, r *command.Request, _ *command.Reply) error {
	ns, err := r.Namespace()
	if err != nil {
		return err
	}
	return k.change(ctx, r, func(u *store.Unit) error {
		c := k.find(ns, u)
		if c == nil {
			return command.Errorf(command.NamespaceNotFound, "source collection %s does not exist", ns)
		}
		to := r.DB + "." + r.Text("toCollection")
		_, err := k.copyInto(c, store.NewCollection{NS: to, Options: value.Marshal(cappedOptions(r.Lookup("size"), c.Options)), IDIndex: c.IDIndex})
		if errors.Is(err, store.ErrExists) {
			return command.Errorf(command.NamespaceExists, "cloneCollectionAsCapped failed - destination collection %s already exists. source collection: %s", to, ns)
		}
		return err
	})
}
