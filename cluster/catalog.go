package cluster

import (
	"context"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"

	"pitr"
)

// listingWorkers is how many collections are asked for their indexes at once.
const listingWorkers = 4

// Listing gives the collections of a scope with UUID, type, options and indexes, in the order of their names. Views and
// time-series collections are listed beside the collections that hold their documents; the scope chooses bucket and
// encryption side collections by the name that people see. An index that is still being built is left out. The listing is
// not one moment: collections may come, go and change while it is made, and one that went is listed without indexes.
func (c *Client) Listing(ctx context.Context, scope pitr.Scope) ([]pitr.Collection, error) {
	databases, err := c.databases(ctx, scope)
	if err != nil {
		return nil, err
	}
	var listed []pitr.Collection
	for _, db := range databases {
		collections, err := c.collections(ctx, db, scope)
		if err != nil {
			return nil, err
		}
		listed = append(listed, collections...)
	}
	slices.SortFunc(listed, func(a, b pitr.Collection) int { return a.NS.Compare(b.NS) })
	group, inGroup := errgroup.WithContext(ctx)
	group.SetLimit(listingWorkers)
	for i := range listed {
		if listed[i].Type == pitr.TypeView || listed[i].Type == pitr.TypeTimeseries && listed[i].UUID.IsZero() {
			continue
		}
		group.Go(func() (err error) {
			listed[i].Indexes, err = c.indexes(inGroup, listed[i])
			return err
		})
	}
	return listed, group.Wait()
}

// databases gives the names of the databases that a scope can choose from.
func (c *Client) databases(ctx context.Context, scope pitr.Scope) ([]string, error) {
	const op = "list the databases"
	reply, err := c.reads.read(ctx, order{op: op, db: "admin", command: bson.D{
		{Key: "listDatabases", Value: 1}, {Key: "nameOnly", Value: true}}})
	if err != nil {
		return nil, err
	}
	var found struct {
		Databases []struct {
			Name string `bson:"name"`
		} `bson:"databases"`
	}
	if err := bson.Unmarshal(reply, &found); err != nil {
		return nil, wrongReply(op, reply, err)
	}
	var names []string
	for _, database := range found.Databases {
		if !(pitr.Namespace{DB: database.Name}).IsSystem() && mayHold(scope, database.Name) {
			names = append(names, database.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// mayHold reports whether a scope may choose something of a database.
func mayHold(scope pitr.Scope, database string) bool {
	if slices.Contains(scope.Except, database) {
		return false
	}
	return len(scope.Only) == 0 || slices.ContainsFunc(scope.Only, func(element string) bool {
		return element == database || strings.HasPrefix(element, database+".")
	})
}

func (c *Client) collections(ctx context.Context, db string, scope pitr.Scope) ([]pitr.Collection, error) {
	op := "list the collections of " + db
	entries, err := c.reads.all(ctx, order{op: op, db: db, command: bson.D{{Key: "listCollections", Value: 1}}})
	if err != nil {
		return nil, err
	}
	var listed []pitr.Collection
	for _, entry := range entries {
		collection, err := readCollection(db, entry)
		if err != nil {
			return nil, wrongReply(op, entry, err)
		}
		if !collection.NS.IsSystem() && scope.Contains(collection.NS.KnownAs()) {
			listed = append(listed, collection)
		}
	}
	return listed, nil
}

// readCollection reads an element of listCollections. Options keep their bytes.
func readCollection(db string, entry bson.Raw) (pitr.Collection, error) {
	var found struct {
		Name    string   `bson:"name"`
		Type    string   `bson:"type"`
		Options bson.Raw `bson:"options"`
		Info    bson.Raw `bson:"info"`
	}
	if err := bson.Unmarshal(entry, &found); err != nil {
		return pitr.Collection{}, err
	}
	collection := pitr.Collection{NS: pitr.Namespace{DB: db, Collection: found.Name},
		Type: pitr.CollectionType(found.Type), Options: found.Options}
	if collection.Type == "" {
		collection.Type = pitr.TypeCollection
	}
	if len(collection.Options) == 0 {
		collection.Options = bson.Raw{5, 0, 0, 0, 0}
	}
	if id := found.Info.Lookup("uuid"); id.Type == bson.TypeBinary {
		var err error
		if collection.UUID, err = pitr.UUIDOf(id); err != nil {
			return pitr.Collection{}, err
		}
	}
	return collection, nil
}

// indexes gives the complete specs of the indexes that are built, none for a collection that is gone.
func (c *Client) indexes(ctx context.Context, collection pitr.Collection) ([]bson.Raw, error) {
	o := order{op: "list the indexes of " + collection.NS.String(), db: collection.NS.DB,
		command: c.listIndexes(collection)}
	entries, err := c.reads.all(ctx, o)
	if isUnknownToServer(err) {
		o.command = bson.D{{Key: "listIndexes", Value: collection.NS.Collection}}
		entries, err = c.reads.all(ctx, o)
	}
	if codeOf(err) == codeNamespaceNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var specs []bson.Raw
	for _, entry := range entries {
		if spec := builtSpec(entry); spec != nil {
			specs = append(specs, slices.Clone(spec))
		}
	}
	return specs, nil
}

// listIndexes asks in the way in which this line of the server tells indexes that are being built from built ones.
func (c *Client) listIndexes(collection pitr.Collection) bson.D {
	command := bson.D{{Key: "listIndexes", Value: c.collectionKey(collection)}}
	switch {
	case c.server.Ability != pitr.AbilityFull:
	case c.version.atLeast(7, 1):
		command = append(command, bson.E{Key: "includeIndexBuildInfo", Value: true})
	default:
		command = append(command, bson.E{Key: "includeBuildUUIDs", Value: true})
	}
	return command
}

// builtSpec gives the spec of an element of listIndexes in any of its three shapes, nil for an index under construction.
func builtSpec(entry bson.Raw) bson.Raw {
	spec, nested := entry.Lookup("spec").DocumentOK()
	if !nested {
		return entry
	}
	for _, sign := range []string{"buildUUID", "indexBuildInfo"} {
		if entry.Lookup(sign).Type != 0 {
			return nil
		}
	}
	return spec
}

// Estimate gives the number of documents of a collection and their size without counting; zero for one that is gone or a
// server that does not say. The figures can be off after a server was killed.
func (c *Client) Estimate(ctx context.Context, ns pitr.Namespace) (pitr.Amount, error) {
	reply, err := c.reads.read(ctx, order{op: "estimate the size of " + ns.String(), db: ns.DB,
		command: bson.D{{Key: "collStats", Value: ns.Collection}}})
	switch {
	case codeOf(err) == codeNamespaceNotFound, codeOf(err) == codeViewNotSupported, isUnknownToServer(err):
		return pitr.Amount{}, nil
	case err != nil:
		return pitr.Amount{}, err
	}
	count, _ := reply.Lookup("count").AsInt64OK()
	size, _ := reply.Lookup("size").AsInt64OK()
	return pitr.Amount{Count: count, Bytes: size}, nil
}
