package modelcluster

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// Apply performs a catalog step and writes its entry.
func (c *Cluster) Apply(_ context.Context, step pitr.CatalogWrite) (pitr.Timestamp, error) {
	if err := c.before(step.String()); err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	ts, err := c.apply(step)
	if err == nil {
		c.log = append(c.log, step.String())
	}
	return ts, err
}

// UserApply performs a catalog step of somebody else: it fails under a block, and drops collections with what is in them.
func (c *Cluster) UserApply(step pitr.CatalogWrite) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.block.Standing {
		return errBlocked
	}
	if drop, ok := step.(pitr.DropCollection); ok && c.collections[drop.NS] != nil {
		c.collections[drop.NS].documents = map[string]bson.Raw{}
		step = pitr.DropCollection{NS: drop.NS, UUID: c.collections[drop.NS].UUID}
	}
	_, err := c.apply(step)
	return err
}

func (c *Cluster) apply(step pitr.CatalogWrite) (pitr.Timestamp, error) {
	ns := step.Target()
	there := c.collections[ns]
	create, isCreate := step.(pitr.CreateCollection)
	switch {
	case isCreate && there != nil:
		return 0, pitr.Errorf(pitr.KindConflict, step.String(), "", "the name is taken")
	case isCreate:
		return c.create(create.Collection), nil
	case there == nil:
		return 0, pitr.Errorf(pitr.KindNotFound, step.String(), "", "no collection %s", ns)
	}
	switch s := step.(type) {
	case pitr.DropCollection:
		if s.UUID != there.UUID || len(there.documents) > 0 {
			return 0, pitr.Errorf(pitr.KindConflict, step.String(), "", "it is not the empty collection that may be dropped")
		}
		delete(c.collections, ns)
		return c.command(there, bson.D{{Key: "drop", Value: ns.Collection}}), nil
	case pitr.RenameCollection:
		if c.collections[s.To] != nil {
			return 0, pitr.Errorf(pitr.KindConflict, step.String(), "", "the name is taken")
		}
		delete(c.collections, ns)
		there.NS = s.To
		c.collections[s.To] = there
		return c.command(there, bson.D{{Key: "renameCollection", Value: ns.String()}, {Key: "to", Value: s.To.String()}}), nil
	case pitr.CreateIndexes:
		return c.createIndexes(there, s)
	case pitr.DropIndex:
		for i, spec := range there.Indexes {
			if pitr.IndexName(spec) == pitr.IndexName(s.Spec) {
				there.Indexes = append(there.Indexes[:i:i], there.Indexes[i+1:]...)
				return c.command(there, bson.D{{Key: "dropIndexes", Value: ns.Collection}, {Key: "index", Value: pitr.IndexName(spec)}}), nil
			}
		}
		return 0, pitr.Errorf(pitr.KindNotFound, step.String(), "", "no such index")
	case pitr.ModifyCollection:
		c.modify(there, s.Changes)
		changes := bson.D{{Key: "collMod", Value: ns.Collection}}
		return c.command(there, append(changes, fieldsOf(s.Changes)...)), nil
	}
	return 0, pitr.Errorf(pitr.KindUnexpected, step.String(), "", "unknown step")
}

func (c *Cluster) create(info pitr.Collection) pitr.Timestamp {
	c.uuids++
	made := &collection{Collection: info, documents: map[string]bson.Raw{}}
	made.Indexes = nil
	if info.Type != pitr.TypeView {
		made.UUID = pitr.UUID{0xee, c.uuids}
		made.Indexes = []bson.Raw{raw(bson.D{{Key: "v", Value: int32(2)}, {Key: "key", Value: bson.D{{Key: "_id", Value: int32(1)}}}, {Key: "name", Value: "_id_"}})}
	}
	c.collections[info.NS] = made
	return c.command(made, append(bson.D{{Key: "create", Value: info.NS.Collection}}, fieldsOf(info.Options)...))
}

func (c *Cluster) createIndexes(there *collection, s pitr.CreateIndexes) (pitr.Timestamp, error) {
	for _, spec := range s.Specs {
		if !pitr.IsUnique(spec) {
			continue
		}
		for _, document := range there.documents {
			if err := there.collidesIn(spec, document); err != nil {
				return 0, pitr.Errorf(pitr.KindMismatch, s.String(), "", "%w", err)
			}
		}
	}
	there.Indexes = append(there.Indexes, s.Specs...)
	specs := bson.A{}
	for _, spec := range s.Specs {
		specs = append(specs, spec)
	}
	build := bson.E{Key: "indexBuildUUID", Value: pitr.UUID{0xbb}.Binary()}
	indexes := bson.E{Key: "indexes", Value: specs}
	c.command(there, bson.D{{Key: "startIndexBuild", Value: there.NS.Collection}, build, indexes})
	return c.command(there, bson.D{{Key: "commitIndexBuild", Value: there.NS.Collection}, build, indexes}), nil
}

// modify sets fields of the options, or of one index.
func (c *Cluster) modify(there *collection, changes bson.Raw) {
	if index, ok := changes.Lookup("index").DocumentOK(); ok {
		for i, spec := range there.Indexes {
			if pitr.IndexName(spec) == pitr.IndexName(index) {
				there.Indexes[i] = merge(spec, index)
			}
		}
		return
	}
	there.Options = merge(there.Options, changes)
}

// merge replaces and adds fields.
func merge(document, changes bson.Raw) bson.Raw {
	merged := fieldsOf(document)
next:
	for _, change := range fieldsOf(changes) {
		for i := range merged {
			if merged[i].Key == change.Key {
				merged[i].Value = change.Value
				continue next
			}
		}
		merged = append(merged, change)
	}
	return raw(merged)
}

func fieldsOf(document bson.Raw) bson.D {
	var fields bson.D
	elements, err := document.Elements()
	if err != nil {
		panic(err)
	}
	for _, element := range elements {
		fields = append(fields, bson.E{Key: element.Key(), Value: element.Value()})
	}
	return fields
}

func (c *Cluster) command(there *collection, command bson.D) pitr.Timestamp {
	entry := bson.D{{Key: "op", Value: "c"}, {Key: "ns", Value: there.NS.DB + ".$cmd"}}
	if !there.UUID.IsZero() {
		entry = append(entry, bson.E{Key: "ui", Value: there.UUID.Binary()})
	}
	return c.entry(append(entry, bson.E{Key: "o", Value: command}))
}
