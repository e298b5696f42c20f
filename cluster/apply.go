package cluster

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// majority is the write concern of everything that changes the catalog.
var majority = bson.E{Key: "writeConcern", Value: bson.D{{Key: "w", Value: "majority"}}}

// Apply changes the catalog by one step and returns when it is on a majority, however long an index build takes. A step
// that names a UUID is refused when the name means another collection now. A step whose reply was lost is repeated, and
// finding it done counts as done. It gives a cluster time at or after the step.
func (p *Primary) Apply(ctx context.Context, step pitr.CatalogWrite) (pitr.Timestamp, error) {
	op := step.String()
	if err := p.sameCollection(ctx, op, step); err != nil {
		return 0, err
	}
	db, command, err := catalogCommand(op, step)
	if err != nil {
		return 0, err
	}
	var patient patience
	for again := false; ; again = true {
		// No limit of time: an index build answers when it is done.
		reply, err := p.link.mongo.Database(db).RunCommand(ctx, command).Raw()
		if err == nil {
			return p.done(op, reply)
		}
		if ctx.Err() == nil && isPassing(err) && patient.pause(ctx, p.link.options) {
			p.link.options.Log.Debug("repeat", "op", op, "error", p.link.secrets.mask(err.Error()))
			continue
		}
		failure := p.link.failed(ctx, op, err)
		if again {
			return p.doneBefore(ctx, step, failure)
		}
		return 0, applyFailed(op, step, failure)
	}
}

// applyFailed gives the duplicates that stand in the way of a unique index their own kind.
func applyFailed(op string, step pitr.CatalogWrite, failure error) error {
	if _, indexes := step.(pitr.CreateIndexes); indexes && codeOf(failure) == codeDuplicateKey {
		return pitr.Errorf(pitr.KindMismatch, op, "find the duplicates with `pitr find`", "%w", failure)
	}
	return failure
}

// doneBefore decides about a refusal after an attempt whose outcome is unknown: the step may have been done by it.
func (p *Primary) doneBefore(ctx context.Context, step pitr.CatalogWrite, failure error) (pitr.Timestamp, error) {
	found := func(ns pitr.Namespace) (pitr.Collection, bool) {
		listed, err := p.Catalog(ctx, pitr.Scope{Only: []string{ns.KnownAs().String()}})
		at := slices.IndexFunc(listed, func(c pitr.Collection) bool { return c.NS == ns })
		if err != nil || at < 0 {
			return pitr.Collection{}, false
		}
		return listed[at], true
	}
	done := false
	switch s := step.(type) {
	case pitr.CreateCollection:
		now, ok := found(s.Collection.NS)
		done = ok && codeOf(failure) == codeNamespaceExists && string(now.Options) == string(s.Collection.Options)
	case pitr.DropCollection:
		done = codeOf(failure) == codeNamespaceNotFound
	case pitr.RenameCollection:
		now, ok := found(s.To)
		done = ok && now.UUID == s.UUID
	case pitr.DropIndex:
		done = codeOf(failure) == codeIndexNotFound
	}
	if !done {
		return 0, applyFailed(step.String(), step, failure)
	}
	return p.settled(ctx, step)
}

// settled waits until what a step did is on a majority, and gives a time after it.
func (p *Primary) settled(ctx context.Context, step pitr.CatalogWrite) (pitr.Timestamp, error) {
	op := step.String()
	reply, err := p.link.read(ctx, order{op: op, db: step.Target().DB, command: bson.D{
		{Key: "delete", Value: step.Target().Collection}, majority,
		{Key: "deletes", Value: bson.A{bson.D{{Key: "q", Value: bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: bson.A{}}}}}},
			{Key: "limit", Value: 1}}}}}})
	if err != nil {
		return 0, err
	}
	return p.done(op, reply)
}

// sameCollection refuses a step on a name that does not mean the collection any more that the step is about, and a create
// under a name that is taken: servers since 7.0 say yes to a create that finds the same options.
func (p *Primary) sameCollection(ctx context.Context, op string, step pitr.CatalogWrite) error {
	want, ns := uuidOf(step), step.Target()
	_, creates := step.(pitr.CreateCollection)
	if want.IsZero() && !creates {
		return nil
	}
	listed, err := p.asked().collections(ctx, ns.DB, pitr.Scope{Only: []string{ns.KnownAs().String()}})
	if err != nil {
		return err
	}
	at := slices.IndexFunc(listed, func(c pitr.Collection) bool { return c.NS == ns })
	switch {
	case at < 0 && creates, at >= 0 && !creates && listed[at].UUID == want:
		return nil
	case at < 0:
		return pitr.Errorf(pitr.KindNotFound, op, "look at the catalog again", "%s is not there", ns)
	case creates:
		return pitr.Errorf(pitr.KindConflict, op, "look at the catalog again", "%s is there already", ns)
	}
	return pitr.Errorf(pitr.KindConflict, op, "look at the catalog again", "%s is another collection now: %s instead of %s",
		ns, listed[at].UUID, want)
}

func uuidOf(step pitr.CatalogWrite) pitr.UUID {
	switch s := step.(type) {
	case pitr.DropCollection:
		return s.UUID
	case pitr.RenameCollection:
		return s.UUID
	case pitr.CreateIndexes:
		return s.UUID
	case pitr.DropIndex:
		return s.UUID
	case pitr.ModifyCollection:
		return s.UUID
	}
	return pitr.UUID{}
}

// catalogCommand words a step for the server.
func catalogCommand(op string, step pitr.CatalogWrite) (string, bson.D, error) {
	db, name := step.Target().DB, step.Target().Collection
	switch s := step.(type) {
	case pitr.CreateCollection:
		return db, append(withFields(bson.D{{Key: "create", Value: name}}, s.Collection.Options, notForCreate), majority), nil
	case pitr.DropCollection:
		return db, bson.D{{Key: "drop", Value: name}, majority}, nil
	case pitr.RenameCollection:
		return "admin", bson.D{{Key: "renameCollection", Value: s.From.String()}, {Key: "to", Value: s.To.String()}, majority}, nil
	case pitr.CreateIndexes:
		specs := bson.A{}
		for _, spec := range s.Specs {
			specs = append(specs, withFields(bson.D{}, spec, notForIndexes))
		}
		return db, bson.D{{Key: "createIndexes", Value: name}, {Key: "indexes", Value: specs}, majority}, nil
	case pitr.DropIndex:
		return db, bson.D{{Key: "dropIndexes", Value: name}, {Key: "index", Value: pitr.IndexName(s.Spec)}, majority}, nil
	case pitr.ModifyCollection:
		return db, append(withFields(bson.D{{Key: "collMod", Value: name}}, s.Changes, nil), majority), nil
	}
	return "", nil, pitr.Errorf(pitr.KindUnexpected, op, "", "an unknown step of type %T", step)
}

var (
	// notForCreate are options that listCollections shows and create refuses, or that describe one node's storage.
	notForCreate = []string{"uuid", "temp", "autoIndexId", "recordIdsReplicated", "storageEngine"}
	// notForIndexes are fields of old or node-bound specs that createIndexes refuses.
	notForIndexes = []string{"ns", "background", "dropDups", "storageEngine"}
)

// withFields appends the fields of a raw document, but for those to leave out. Values keep their bytes.
func withFields(command bson.D, document bson.Raw, without []string) bson.D {
	elements, err := document.Elements()
	if err != nil {
		return command
	}
	for _, element := range elements {
		if !slices.Contains(without, element.Key()) {
			command = append(command, bson.E{Key: element.Key(), Value: element.Value()})
		}
	}
	return command
}
