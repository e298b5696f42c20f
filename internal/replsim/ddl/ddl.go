// Package ddl holds the commands that change the catalog: create, drop, dropDatabase, renameCollection, collMod,
// createIndexes, dropIndexes, convertToCapped, cloneCollectionAsCapped, views, and the user write block.
//
// Options and index specs are put into the form and order in which the server stores and logs them; the store does the rest.
package ddl

import (
	"context"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/auth"
	"pitr/internal/replsim/command"
	"pitr/internal/replsim/mql/value"
	"pitr/internal/replsim/read"
	"pitr/internal/replsim/store"
	"pitr/internal/replsim/write"
)

// Catalog runs the catalog commands of one server.
type Catalog struct {
	Store *store.Store
	Reads *read.Reads
	// Host names this member in index builds.
	Host string
	// Pause is how long an index build on data takes between its start and its check.
	Pause func() time.Duration
	// Letters makes the random part of temporary names.
	Letters func(n int) string
}

// Commands are the commands of this package.
func (k *Catalog) Commands() []*command.Command {
	return []*command.Command{
		k.createCommand(), k.dropCommand(), k.dropDatabaseCommand(), k.renameCommand(), k.collModCommand(), k.createIndexesCommand(),
		k.dropIndexesCommand(), k.convertCommand(), k.cloneCommand(), k.blockCommand(),
	}
}

// begin opens the unit of a command: the transaction's, or one of its own.
func (k *Catalog) begin(r *command.Request) *store.Unit {
	if r.Unit != nil {
		return r.Unit
	}
	u := k.Store.Begin()
	u.Bypass = write.MayBypass(r)
	return u
}

// change runs a change of the catalog in a unit and waits for transactions that stand in its way.
func (k *Catalog) change(ctx context.Context, r *command.Request, run func(u *store.Unit) error) error {
	if r.Unit != nil {
		return k.Store.Update(func() error { return run(r.Unit) })
	}
	return k.Store.Retry(ctx, func() error {
		u := k.begin(r)
		if err := run(u); err != nil {
			u.Abort()
			return err
		}
		u.Commit()
		r.Client.LastOp = k.Store.Written() // composed operations commit parts of their own
		return nil
	})
}

// find gives the collection that a command names, nil if there is none. It is called inside the store.
func (k *Catalog) find(ns string, u *store.Unit) *store.Collection {
	return k.Store.Find(ns, store.Moment{TS: store.Latest.TS, Unit: u})
}

func idIndex(collation bson.RawValue) bson.Raw {
	d := bson.D{{Key: "v", Value: int32(2)}, {Key: "key", Value: bson.D{{Key: "_id", Value: int32(1)}}}, {Key: "name", Value: "_id_"}}
	if collation.Type != 0 {
		d = append(d, bson.E{Key: "collation", Value: collation})
	}
	return value.Marshal(d)
}

func document(v bson.RawValue) bson.Raw {
	doc, _ := v.DocumentOK()
	return doc
}

// Implicit creates the collection that a first write names; the server logs it by itself, in front of the write.
func (k *Catalog) Implicit(u *store.Unit, ns string) (*store.Collection, error) {
	if err := CheckName(ns); err != nil {
		return nil, err
	}
	spec := store.NewCollection{NS: ns, IDIndex: idIndex(bson.RawValue{}), Silent: store.DB(ns) == "local"}
	if u.Grouped() {
		return u.Create(spec)
	}
	own := k.Store.Begin()
	own.Bypass = u.Bypass
	c, err := own.Create(spec)
	if err != nil {
		own.Abort()
		return nil, err
	}
	own.Commit()
	return c, nil
}

// CheckName refuses what is no name of a collection.
func CheckName(ns string) error {
	db, name := store.DB(ns), store.Name(ns)
	switch {
	case db == "" || name == "" || strings.ContainsAny(db, "/\\. \"$") || strings.Contains(name, "$"):
		return command.Errorf(command.InvalidNamespace, "Invalid namespace specified '%s'", ns)
	case strings.HasPrefix(name, "."):
		return command.Errorf(command.InvalidNamespace, "Invalid collection name: %s", name)
	case len(ns) > 255:
		return command.Errorf(command.InvalidNamespace, "Fully qualified namespace is too long. Namespace: %s Max: 255", ns)
	}
	return nil
}

// needs is a right on the collection that a command names.
func needs(action string) func(*command.Request) []auth.Need {
	return func(r *command.Request) []auth.Need {
		name, _ := r.Argument().StringValueOK()
		return []auth.Need{{Resource: auth.Namespace(r.DB, name), Action: action}}
	}
}
