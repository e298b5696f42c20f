package ddl

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/command"
	"pitr/internal/replsim/mql/aggregate"
	"pitr/internal/replsim/mql/value"
	"pitr/internal/replsim/store"
	"pitr/internal/replsim/write"
)

// Out writes the documents of a pipeline that ends with $out: into a temporary collection with the options and indexes of
// the target, which is then renamed over it.
func (k *Catalog) Out(ctx context.Context, r *command.Request, to *aggregate.Output, docs aggregate.Documents) error {
	target := to.DB + "." + to.Collection
	if err := CheckName(target); err != nil {
		return err
	}
	if k.isView(target) {
		return command.Errorf(166, "namespace '%s' is a view, not a collection", target)
	}
	temporary, err := k.prepareOut(ctx, r, target)
	if err != nil {
		return err
	}
	for doc, err := range docs {
		if err == nil {
			err = k.insertOut(ctx, r, temporary, doc)
		}
		if err != nil {
			_ = k.step(ctx, r, func(u *store.Unit) error { return u.Drop(temporary) }) // the first failure counts
			return err
		}
	}
	return k.step(ctx, r, func(u *store.Unit) error { return u.Rename(temporary, target) })
}

func (k *Catalog) isView(ns string) (is bool) {
	k.Store.View(func() { is = k.Reads.IsView(ns) })
	return is
}

// step runs a part of a composed operation in a plain unit of its own.
func (k *Catalog) step(ctx context.Context, r *command.Request, run func(u *store.Unit) error) error {
	return k.Store.Retry(ctx, func() error {
		u := k.Store.Begin()
		u.Bypass = write.MayBypass(r)
		if err := run(u); err != nil {
			u.Abort()
			return err
		}
		r.Client.LastOp = u.Commit()
		return nil
	})
}

func (k *Catalog) prepareOut(ctx context.Context, r *command.Request, target string) (made *store.Collection, err error) {
	spec := store.NewCollection{NS: store.DB(target) + ".tmp.agg_out." + k.Store.NewUUID().String(), IDIndex: idIndex(bson.RawValue{})}
	options := bson.D{{Key: "temp", Value: true}}
	var indexes []*store.Index
	k.Store.View(func() {
		if old := k.Store.Find(target, store.Latest); old != nil {
			spec.IDIndex, indexes = old.IDIndex, old.Indexes
			options = append(options, value.Fields(old.Options)...)
		}
	})
	spec.Options = value.Marshal(options)
	err = k.step(ctx, r, func(u *store.Unit) (err error) {
		made, err = u.Create(spec)
		return err
	})
	for _, x := range indexes {
		if err != nil {
			return nil, err
		}
		err = k.step(ctx, r, func(u *store.Unit) error {
			fresh, err := store.NewIndex(x.Spec)
			if err != nil {
				return err
			}
			return u.CreateIndex(made, fresh)
		})
	}
	return made, err
}

func (k *Catalog) insertOut(ctx context.Context, r *command.Request, into *store.Collection, doc bson.Raw) error {
	return k.step(ctx, r, func(u *store.Unit) error {
		_, err := u.Insert(into, doc, store.Note{})
		return err
	})
}
