package ddl

import (
	"context"
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/internal/replsim/command"
	"pitr/internal/replsim/mql/value"
	"pitr/internal/replsim/store"
)

// Apply runs a command entry of applyOps.
func (k *Catalog) Apply(ctx context.Context, r *command.Request, op bson.Raw) error {
	o, _ := op.Lookup("o").DocumentOK()
	elements, err := o.Elements()
	if err != nil || len(elements) == 0 {
		return command.Errorf(command.FailedToParse, "empty 'o' field in a command entry")
	}
	ns, _ := op.Lookup("ns").StringValueOK()
	db, name := store.DB(ns), elements[0].Key()
	switch name {
	case "startIndexBuild", "commitIndexBuild", "abortIndexBuild":
		return command.Errorf(command.CommandNotSupported, "The %s operation is not supported in applyOps mode", name)
	case "create":
		return k.applyCreate(ctx, r, db, op, o)
	}
	known := map[string]*command.Command{
		"drop": k.dropCommand(), "dropDatabase": k.dropDatabaseCommand(), "renameCollection": k.renameCommand(), "collMod": k.collModCommand(),
		"dropIndexes": k.dropIndexesCommand(), "createIndexes": k.createIndexesCommand(),
	}[name]
	if known == nil {
		return command.Errorf(command.BadValue, "Unrecognized command in applyOps: %s", name)
	}
	body := o
	if name == "createIndexes" {
		spec := value.Fields(o)[1:]
		body = value.Marshal(bson.D{{Key: name, Value: elements[0].Value()}, {Key: "indexes", Value: bson.A{spec}}})
	}
	inner := &command.Request{Client: r.Client, Command: known, Name: name, DB: db, Body: body}
	return known.Run(ctx, inner, command.NewReply(nil))
}

// applyCreate makes a collection as an entry tells it, with its UUID if it has one.
func (k *Catalog) applyCreate(ctx context.Context, r *command.Request, db string, op, o bson.Raw) error {
	name, _ := o.Lookup("create").StringValueOK()
	spec := store.NewCollection{NS: db + "." + name, O: o}
	if ui := op.Lookup("ui"); ui.Type != 0 {
		uuid, err := pitr.UUIDOf(ui)
		if err != nil {
			return err
		}
		spec.UUID = uuid
	}
	request := &command.Request{Client: r.Client, Command: k.createCommand(), Name: "create", DB: db, Body: o}
	options, err := collectionOptions(request)
	if err != nil {
		return err
	}
	spec.Options = options
	if options.Lookup("clusteredIndex").Type == 0 {
		spec.IDIndex = idIndex(options.Lookup("collation"))
	}
	return k.change(ctx, r, func(u *store.Unit) error {
		if known := k.Store.ByUUID(spec.UUID, store.Latest); known != nil && known.NS == spec.NS {
			return nil
		}
		_, err := u.Create(spec)
		if errors.Is(err, store.ErrExists) {
			return command.Errorf(command.NamespaceExists, "Collection %s already exists.", spec.NS)
		}
		return err
	})
}
