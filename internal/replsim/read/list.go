package read

import (
	"context"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/internal/replsim/auth"
	"pitr/internal/replsim/command"
	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/mql/value"
	"pitr/internal/replsim/store"
)

func (rd *Reads) listDatabasesCommand() *command.Command {
	return &command.Command{
		Name: "listDatabases", Place: command.AdminOnly, Fields: []string{"filter", "nameOnly", "authorizedDatabases"}, Run: rd.listDatabases,
	}
}

func (rd *Reads) listDatabases(_ context.Context, r *command.Request, out *command.Reply) error {
	filter, err := r.Document("filter")
	if err != nil {
		return err
	}
	compiled, err := mql.Compile(filter)
	if err != nil {
		return err
	}
	all := r.Client.Login == nil || r.Client.Login.May(auth.Need{Resource: auth.Cluster, Action: "listDatabases"})
	out.BeginArray("databases")
	var total int64
	n := 0
	for _, db := range rd.databases() {
		if !all && !r.Client.Login.May(auth.Need{Resource: auth.Namespace(db.name, ""), Action: "find"}) {
			continue
		}
		d := bson.D{{Key: "name", Value: db.name}}
		if !r.Flag("nameOnly") {
			d = append(d, bson.E{Key: "sizeOnDisk", Value: db.size}, bson.E{Key: "empty", Value: false})
		}
		doc, err := bson.Marshal(d)
		if err != nil {
			return err
		}
		if ok, err := compiled.Match(doc); err != nil || !ok {
			continue
		}
		total += db.size
		out.Element(n, doc)
		n++
	}
	out.End()
	if !r.Flag("nameOnly") {
		out.Int64("totalSize", total)
		out.Int64("totalSizeMb", total>>20)
	}
	return nil
}

type database struct {
	name string
	size int64
}

func (rd *Reads) databases() []database {
	sizes := map[string]int64{"local": 4096}
	rd.Store.View(func() {
		for _, c := range rd.Store.Collections("", store.Latest) {
			sizes[store.DB(c.NS)] += (c.Bytes()+4096)/4096*4096 + int64(1+len(c.Indexes))*4096
		}
	})
	all := make([]database, 0, len(sizes))
	for name, size := range sizes {
		all = append(all, database{name: name, size: size})
	}
	slices.SortFunc(all, func(a, b database) int { return strings.Compare(a.name, b.name) })
	return all
}

func (rd *Reads) listCollectionsCommand() *command.Command {
	return &command.Command{
		Name: "listCollections", Fields: []string{"filter", "nameOnly", "authorizedCollections", "cursor", "includePendingDrops"},
		Needs: func(r *command.Request) []auth.Need {
			if r.Flag("nameOnly") && r.Flag("authorizedCollections") {
				return nil
			}
			return []auth.Need{{Resource: auth.Namespace(r.DB, ""), Action: "listCollections"}}
		},
		Run: rd.listCollections,
	}
}

func (rd *Reads) listCollections(ctx context.Context, r *command.Request, out *command.Reply) error {
	filter, err := r.Document("filter")
	if err != nil {
		return err
	}
	compiled, err := mql.Compile(filter)
	if err != nil {
		return err
	}
	var docs []bson.Raw
	rd.Store.View(func() {
		for _, d := range rd.describe(r) {
			var doc bson.Raw
			if doc, err = bson.Marshal(d); err != nil {
				return
			}
			if ok, matchErr := compiled.Match(doc); matchErr == nil && ok {
				docs = append(docs, shortened(doc, r))
			}
		}
	})
	if err != nil {
		return err
	}
	return rd.list(ctx, r, out, &cursor{ns: r.DB + ".$cmd.listCollections", source: &fixed{docs: docs}})
}

// shortened leaves name and type where nothing else was asked for.
func shortened(doc bson.Raw, r *command.Request) bson.Raw {
	if !r.Flag("nameOnly") {
		return doc
	}
	raw, err := bson.Marshal(bson.D{{Key: "name", Value: doc.Lookup("name")}, {Key: "type", Value: doc.Lookup("type")}})
	if err != nil {
		return doc
	}
	return raw
}

// describe lists the collections of a database by UUID, a time series in front of its buckets, and then the views.
func (rd *Reads) describe(r *command.Request) []bson.D {
	s := rd.Store
	var all []bson.D
	for _, c := range s.Collections(r.DB, r.Moment(s)) {
		name := store.Name(c.NS)
		if series, ok := strings.CutPrefix(name, "system.buckets."); ok {
			all = append(all, bson.D{
				{Key: "name", Value: series}, {Key: "type", Value: "timeseries"},
				{Key: "options", Value: bson.D{{Key: "timeseries", Value: c.Options.Lookup("timeseries")}}},
				{Key: "info", Value: bson.D{{Key: "readOnly", Value: false}}},
			})
		}
		d := bson.D{
			{Key: "name", Value: name}, {Key: "type", Value: "collection"}, {Key: "options", Value: c.Options},
			{Key: "info", Value: bson.D{{Key: "readOnly", Value: false}, {Key: "uuid", Value: c.UUID.Binary()}}},
		}
		if c.IDIndex != nil {
			d = append(d, bson.E{Key: "idIndex", Value: c.IDIndex})
		}
		all = append(all, d)
	}
	for _, v := range rd.views(r.DB) {
		if document(v.pipelineStage(0)).Lookup("$_internalUnpackBucket").Type != 0 {
			continue
		}
		all = append(all, bson.D{
			{Key: "name", Value: store.Name(v.ns)}, {Key: "type", Value: "view"}, {Key: "options", Value: v.options()},
			{Key: "info", Value: bson.D{{Key: "readOnly", Value: true}}},
		})
	}
	return all
}

// list answers with documents that are there, in batches of the size that the cursor field asks for.
func (rd *Reads) list(ctx context.Context, r *command.Request, out *command.Reply, c *cursor) error {
	b := batch{limit: -1}
	if size, ok := document(r.Lookup("cursor")).Lookup("batchSize").AsInt64OK(); ok {
		b.limit = int(size)
	}
	c.login = loginName(r)
	return rd.answerList(ctx, out, c, b)
}

// answerList is answer with the order of fields that lists have.
func (rd *Reads) answerList(_ context.Context, out *command.Reply, c *cursor, b batch) error {
	scratch := command.NewReply(nil)
	scratch.BeginArray("firstBatch")
	b.out = scratch
	exhausted, err := c.source.fill(&b)
	if err != nil {
		return err
	}
	scratch.End()
	c.last = rd.Store.Now()
	if !exhausted {
		rd.keep(c)
	}
	out.Begin("cursor")
	out.Int64("id", c.id)
	out.String("ns", c.ns)
	out.Fields(scratch.Document())
	out.End()
	return nil
}

func (rd *Reads) listIndexesCommand() *command.Command {
	return &command.Command{
		Name: "listIndexes", Fields: []string{"cursor", "includeBuildUUIDs", "includeIndexBuildInfo", "isTimeseriesNamespace"},
		Needs: rd.listIndexesNeeds, Run: rd.listIndexes,
	}
}

func (rd *Reads) listIndexesNeeds(r *command.Request) []auth.Need {
	needs := rd.findNeeds(r)
	needs[len(needs)-1].Action = "listIndexes"
	return needs
}

func (rd *Reads) listIndexes(ctx context.Context, r *command.Request, out *command.Reply) error {
	c, ns, err := rd.resolve(r)
	if err != nil {
		return err
	}
	if c == nil {
		return command.Errorf(command.NamespaceNotFound, "ns does not exist: %s", ns)
	}
	var docs []bson.Raw
	rd.Store.View(func() {
		if c.IDIndex != nil {
			docs = append(docs, rd.indexEntry(r, c.IDIndex, pitr.UUID{}))
		}
		if clustered, ok := c.Options.Lookup("clusteredIndex").DocumentOK(); ok {
			docs = append(docs, withClustered(clustered))
		}
		for _, x := range c.Indexes {
			docs = append(docs, rd.indexEntry(r, x.Spec, x.Build))
		}
	})
	return rd.list(ctx, r, out, &cursor{ns: ns, source: &fixed{docs: docs}})
}

func withClustered(spec bson.Raw) bson.Raw {
	raw, err := bson.Marshal(append(value.Fields(spec), bson.E{Key: "clustered", Value: true}))
	if err != nil {
		return spec
	}
	return raw
}

// indexEntry shows an index as listIndexes does, alone or with the state of its build.
func (rd *Reads) indexEntry(r *command.Request, spec bson.Raw, build pitr.UUID) bson.Raw {
	listed := Listed(spec)
	var d bson.D
	switch {
	case r.Flag("includeIndexBuildInfo"):
		d = bson.D{{Key: "spec", Value: listed}}
		if !build.IsZero() {
			d = append(d, bson.E{Key: "indexBuildInfo", Value: bson.D{{Key: "buildUUID", Value: build.Binary()}}})
		}
	case r.Flag("includeBuildUUIDs") && !build.IsZero():
		d = bson.D{{Key: "spec", Value: listed}, {Key: "buildUUID", Value: build.Binary()}}
	default:
		return listed
	}
	raw, err := bson.Marshal(d)
	if err != nil {
		return listed
	}
	return raw
}

// listedFirst is the order in which listIndexes writes the fields of a spec that it knows by name.
var listedFirst = []string{"v", "key", "name", "ns", "background", "unique", "hidden", "partialFilterExpression", "sparse", "expireAfterSeconds"}

// Listed puts a spec into the order of listIndexes.
func Listed(spec bson.Raw) bson.Raw {
	var d bson.D
	for _, name := range listedFirst {
		if v := spec.Lookup(name); v.Type != 0 {
			if seconds, ok := v.Int64OK(); ok && name == "expireAfterSeconds" {
				d = append(d, bson.E{Key: name, Value: int32(min(seconds, 1<<31-1))}) //nolint:gosec // bounded
				continue
			}
			d = append(d, bson.E{Key: name, Value: v})
		}
	}
	for _, e := range value.Fields(spec) {
		if !slices.Contains(listedFirst, e.Key) {
			d = append(d, e)
		}
	}
	raw, err := bson.Marshal(d)
	if err != nil {
		return spec
	}
	return raw
}
