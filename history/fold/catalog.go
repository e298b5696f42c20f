package fold

import (
	"bytes"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/oplog"
)

// emptyDocument is the options document of a collection without options.
var emptyDocument = bson.Raw{5, 0, 0, 0, 0}

// collection is what is known of one UUID.
type collection struct {
	ns      pitr.Namespace
	uuid    pitr.UUID
	options bson.Raw
	indexes []index
	// stranger is a collection that was renamed into the scope from outside: its documents were never read.
	stranger bool
	// whole says that every document is here; otherwise only those that were put or folded are known.
	whole     bool
	documents map[string]bson.Raw
}

// view is a view, or the name under which a time-series collection is used: it has no UUID and is known by its name.
type view struct {
	kind    pitr.CollectionType
	options bson.Raw
	indexes []bson.Raw
}

// viewsCollection holds a database's views as documents. Its entries are the only trace of a change of a view.
const viewsCollection = "system.views"

// bucketsPrefix names the collection that holds a time-series collection's data.
const bucketsPrefix = "system.buckets."

// catalogCommand brings one command to bear.
func (s *State) catalogCommand(o *oplog.Op) error {
	switch command := o.Command.(type) {
	case oplog.Create:
		return s.create(o.UUID, command)
	case oplog.Rename:
		return s.rename(o.UUID, command)
	case oplog.Drop:
		if command.NS.Collection == viewsCollection {
			s.dropViews(command.NS.DB)
		}
		return s.drop(o)
	case oplog.DropDatabase:
		// Each collection has had its own drop.
		return nil
	}
	c := s.find(o)
	if c == nil || c.stranger {
		return s.unknown(o, c)
	}
	switch command := o.Command.(type) {
	case oplog.CreateIndexes:
		s.makeRoom(c, command.Specs)
		return c.setIndexes(command.Specs, pitr.UUID{}, false)
	case oplog.StartBuild:
		s.makeRoom(c, command.Specs)
		return c.setIndexes(command.Specs, command.ID, true)
	case oplog.CommitBuild:
		return c.setIndexes(command.Specs, command.ID, false)
	case oplog.AbortBuild:
		c.abortBuild(command.Build)
	case oplog.DropIndexes:
		if !c.dropIndex(command) && !s.converging {
			return mismatch("%s has no index %q to drop", c.ns, command.Name)
		}
	case oplog.Modify:
		return s.modify(c, command)
	}
	return nil
}

func (s *State) create(uuid pitr.UUID, command oplog.Create) error {
	// A listing that was read after this entry has the collection already, perhaps under a later name.
	if s.collections[uuid] != nil {
		return nil
	}
	c := &collection{ns: command.NS, uuid: uuid, options: command.Options, whole: true, documents: map[string]bson.Raw{}}
	s.collections[uuid] = c
	clustered, err := clusteredIndex(c.options)
	switch {
	case err != nil:
		return err
	case clustered != nil:
		return c.setIndexes([]bson.Raw{clustered}, pitr.UUID{}, false)
	case command.IDIndex != nil:
		return c.setIndexes([]bson.Raw{command.IDIndex}, pitr.UUID{}, false)
	case c.options.Lookup("clusteredIndex").Type != 0, isFalse(c.options.Lookup("autoIndexId")):
		return nil
	}
	// An entry without a spec for the index of _id, from before servers wrote it, makes one of version 1.
	key := bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: spec{}.with(nil, "_id", rawValue(int32(1))).raw()}
	id := spec{}.with(indexOrder, "v", rawValue(int32(1))).with(indexOrder, "key", key).with(indexOrder, "name", rawValue("_id_"))
	return c.setIndexes([]bson.Raw{id.raw()}, pitr.UUID{}, false)
}

func isFalse(value bson.RawValue) bool { return value.Type != 0 && !isTrue(value) }

func (s *State) rename(uuid pitr.UUID, command oplog.Rename) error {
	if command.DropsTarget {
		target := command.Target
		if other := s.named(command.To); target.IsZero() && other != nil && other.uuid != uuid {
			target = other.uuid
		}
		s.forget(target)
	}
	c := s.collections[uuid]
	if uuid.IsZero() {
		c = s.named(command.From)
	}
	switch {
	case c == nil && s.converging && uuid.IsZero():
		return nil
	case c == nil && !uuid.IsZero() && (s.converging || !s.inScope(command.From)):
		// Either it is gone before anybody listed it, or it was outside the scope: its documents are not known.
		s.collections[uuid] = &collection{ns: command.To, uuid: uuid, stranger: true}
		return nil
	case c == nil:
		return mismatch("there is no collection %s to rename", command.From)
	}
	c.ns = command.To
	if !command.StayTemp && c.options.Lookup("temp").Type != 0 {
		options, err := readSpec(c.options)
		if err != nil {
			return err
		}
		c.options = options.without("temp").raw()
	}
	return nil
}

func (s *State) drop(o *oplog.Op) error {
	c := s.find(o)
	if c == nil {
		return s.unknown(o, nil)
	}
	s.forget(c.uuid)
	return nil
}

// forget removes a collection with its documents.
func (s *State) forget(uuid pitr.UUID) {
	if c := s.collections[uuid]; c != nil {
		for key, document := range c.documents {
			s.bytes -= weight(key, document)
		}
		delete(s.collections, uuid)
	}
}

// modify brings a collMod to bear.
func (s *State) modify(c *collection, command oplog.Modify) error {
	options, err := modifyOptions(c.options, command.Before, command.Changes)
	if err != nil {
		return err
	}
	c.options = options
	if clustered, err := clusteredIndex(options); err != nil {
		return err
	} else if clustered != nil {
		if err := c.setIndexes([]bson.Raw{clustered}, pitr.UUID{}, false); err != nil {
			return err
		}
	}
	change, ok := command.Changes.Lookup("index").DocumentOK()
	if !ok {
		return nil
	}
	each := c.index(pitr.IndexName(change))
	if pattern, isKey := change.Lookup("keyPattern").DocumentOK(); each == nil && isKey {
		for i := range c.indexes {
			if bytes.Equal(c.indexes[i].spec.Lookup("key").Value, pattern) {
				each = &c.indexes[i]
			}
		}
	}
	if each == nil {
		if s.converging {
			return nil
		}
		return mismatch("%s has no index %q to change", c.ns, pitr.IndexName(change))
	}
	each.spec, err = modifyIndex(each.spec, change)
	return err
}

// applyToViews brings an entry on system.views to bear: views have no commands.
func (s *State) applyToViews(o *oplog.Op) error {
	key, err := o.Key()
	if err != nil {
		return err
	}
	name, _ := key.Stored().StringValueOK()
	ns, err := pitr.ParseNamespace(name)
	if err != nil || ns.DB != o.NS.DB {
		return pitr.Corruptf("", "a view called %s in %s", key, o.NS.DB)
	}
	document := o.O
	switch o.Kind {
	case oplog.KindDelete:
		delete(s.views, ns)
		return nil
	case oplog.KindUpdate:
		before, err := s.viewDocument(ns)
		if err != nil {
			return err
		}
		if document, _, err = oplog.ApplyUpdate(before, o.O); err != nil {
			return err
		}
	}
	options, err := readSpec(bytes.Clone(document))
	if err != nil {
		return err
	}
	s.views[ns] = view{kind: pitr.TypeView, options: options.without("_id").raw()}
	return nil
}

// viewDocument gives the document in system.views that a view's listing stands for.
func (s *State) viewDocument(ns pitr.Namespace) (bson.Raw, error) {
	options, err := readSpec(s.views[ns].options)
	if err != nil {
		return nil, err
	}
	return append(spec{}.with(nil, "_id", rawValue(ns.String())), options...).raw(), nil
}

func (s *State) dropViews(db string) {
	for ns := range s.views {
		if ns.DB == db {
			delete(s.views, ns)
		}
	}
}

// Collections lists the catalog of the scope, ordered by namespace. It fails with kind unsupported when a collection came
// into the scope from outside, because nobody read its documents.
func (s *State) Collections() ([]pitr.Collection, error) {
	var list []pitr.Collection
	for _, c := range s.collections {
		if !s.inScope(c.ns) {
			continue
		}
		if c.stranger {
			return nil, strangerError(c.ns)
		}
		list = append(list, c.listed())
	}
	for ns, v := range s.views {
		if s.inScope(ns) {
			list = append(list, s.listedView(ns, v))
		}
	}
	slices.SortFunc(list, func(a, b pitr.Collection) int { return a.NS.Compare(b.NS) })
	return list, nil
}

func strangerError(ns pitr.Namespace) error {
	return pitr.Errorf(pitr.KindUnsupported, "", "take a snapshot of everything, or choose a moment before the rename",
		"%s was renamed into the snapshot's scope from outside it", ns)
}

func (c *collection) listed() pitr.Collection {
	listed := pitr.Collection{NS: c.ns, UUID: c.uuid, Type: pitr.TypeCollection, Options: c.options}
	for _, each := range c.indexes {
		if !each.building {
			listed.Indexes = append(listed.Indexes, each.spec)
		}
	}
	return listed
}

// timeseriesOptions are the options of a collection of buckets that are shown of the time-series collection, too.
var timeseriesOptions = []string{"storageEngine", "indexOptionDefaults", "collation", "expireAfterSeconds", "timeseries"}

func (s *State) listedView(ns pitr.Namespace, v view) pitr.Collection {
	listed := pitr.Collection{NS: ns, Type: v.kind, Options: v.options, Indexes: v.indexes}
	source, _ := v.options.Lookup("viewOn").StringValueOK()
	if v.kind != pitr.TypeTimeseries && source != bucketsPrefix+ns.Collection {
		return listed
	}
	buckets := s.named(pitr.Namespace{DB: ns.DB, Collection: bucketsPrefix + ns.Collection})
	if buckets == nil || !strings.HasPrefix(buckets.ns.Collection, bucketsPrefix) {
		return listed
	}
	options, err := readSpec(buckets.options)
	if err != nil || !options.has("timeseries") {
		return listed
	}
	shown := slices.DeleteFunc(options, func(element bson.RawElement) bool {
		return !slices.Contains(timeseriesOptions, element.Key())
	})
	listed.Type, listed.Options = pitr.TypeTimeseries, shown.raw()
	return listed
}
