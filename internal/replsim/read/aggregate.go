package read

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/auth"
	"pitr/internal/replsim/command"
	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/mql/aggregate"
	"pitr/internal/replsim/store"
)

func (rd *Reads) aggregateCommand() *command.Command {
	return &command.Command{
		Name: "aggregate", Transactions: true, Effect: command.Writes,
		Fields: []string{
			"pipeline", "explain", "allowDiskUse", "cursor", "bypassDocumentValidation", "hint", "collation", "let", "needsMerge",
			"fromMongos", "unwrappedReadPref", "requestReshardingResumeToken", "exchange", "runtimeConstants", "collectionUUID",
			"passthroughToShard", "encryptionInformation", "includeQueryStatsMetrics", "legacyRuntimeConstants",
		},
		Needs: rd.aggregateNeeds, Run: rd.aggregate,
	}
}

func (rd *Reads) aggregateNeeds(r *command.Request) []auth.Need {
	if _, isNumber := r.Argument().AsInt64OK(); isNumber {
		return nil
	}
	return rd.findNeeds(r)
}

func (rd *Reads) compile(r *command.Request, stages []bson.RawValue) (*aggregate.Pipeline, error) {
	t, content, err := bson.MarshalValue(stages)
	if err != nil {
		return nil, err
	}
	return aggregate.Compile(bson.RawValue{Type: t, Value: content}, aggregate.Options{
		Options: r.Options(rd.Store), DB: r.DB,
		Source: func(ctx context.Context, db, collection string) aggregate.Documents {
			ns := db + "." + collection
			if rd.viewOf(ns) != nil {
				return rd.viewDocuments(ctx, r, ns)
			}
			return rd.documents(r, ns, nil)
		},
	})
}

// documents are those of a collection, narrowed by a filter if there is one.
func (rd *Reads) documents(r *command.Request, ns string, filter *mql.Filter) aggregate.Documents {
	return func(yield func(bson.Raw, error) bool) {
		var c *store.Collection
		rd.Store.View(func() { c = rd.Store.Find(ns, r.Moment(rd.Store)) })
		if c == nil && ns != oplogName {
			return
		}
		if filter == nil {
			var err error
			if filter, err = mql.Compile(emptyDocument); err != nil {
				yield(nil, err)
				return
			}
		}
		src, err := rd.plan(&query{request: r, ns: ns, collection: c, filter: filter})
		for err == nil {
			var docs []bson.Raw
			var exhausted bool
			if docs, exhausted, err = chunk(src); err != nil {
				break
			}
			for _, doc := range docs {
				if !yield(doc, nil) {
					return
				}
			}
			if exhausted {
				return
			}
		}
		yield(nil, err)
	}
}

var emptyDocument = bson.Raw{5, 0, 0, 0, 0}

// chunk takes some documents out of a source.
func chunk(src source) ([]bson.Raw, bool, error) {
	scratch := command.NewReply(nil)
	scratch.BeginArray("a")
	exhausted, err := src.fill(&batch{out: scratch, limit: 5000})
	if err != nil {
		return nil, false, err
	}
	scratch.End()
	array, _ := scratch.Document().Lookup("a").ArrayOK()
	values, err := array.Values()
	docs := make([]bson.Raw, len(values))
	for i, v := range values {
		docs[i] = bson.Raw(v.Value)
	}
	return docs, exhausted, err
}

func (rd *Reads) aggregate(ctx context.Context, r *command.Request, out *command.Reply) error {
	array, ok := r.Lookup("pipeline").ArrayOK()
	if !ok {
		return command.Errorf(command.TypeMismatch, "'pipeline' option must be specified as an array")
	}
	stages, err := array.Values()
	if err != nil {
		return err
	}
	b := batch{limit: firstBatch}
	if size, given := document(r.Lookup("cursor")).Lookup("batchSize").AsInt64OK(); given {
		b.limit = int(size)
	}
	ns := r.DB + ".$cmd.aggregate"
	if _, isNumber := r.Argument().AsInt64OK(); !isNumber {
		if _, ns, err = rd.resolve(r); err != nil {
			return err
		}
	}
	c := &cursor{ns: ns, login: loginName(r), concern: r.ReadConcern}
	if c.source, err = rd.runPipeline(ctx, r, ns, stages); err != nil {
		return err
	}
	return rd.answer(ctx, out, c, b, "firstBatch")
}

func (rd *Reads) runPipeline(ctx context.Context, r *command.Request, ns string, stages []bson.RawValue) (source, error) {
	input, stages, err := rd.serverStage(r, ns, stages)
	if err != nil {
		return nil, err
	}
	base := ns
	if input == nil {
		if base, stages, err = rd.unfold(ns, stages); err != nil {
			return nil, err
		}
	}
	pipeline, err := rd.compile(r, stages)
	if err != nil {
		return nil, err
	}
	if input == nil {
		input = rd.documents(r, base, pipeline.Match())
	}
	results := pipeline.Run(ctx, input)
	if output := pipeline.Output(); output != nil {
		if rd.Output == nil {
			return nil, command.Errorf(command.CommandNotSupported, "%s is not supported", output.Stage)
		}
		return &fixed{}, rd.Output(ctx, r, output, results)
	}
	var docs []bson.Raw
	for doc, err := range results {
		if err != nil {
			return nil, err
		}
		docs = append(docs, doc)
	}
	return &fixed{docs: docs}, nil
}

// serverStage feeds the documents of a first stage that only the server knows.
func (rd *Reads) serverStage(r *command.Request, ns string, stages []bson.RawValue) (aggregate.Documents, []bson.RawValue, error) {
	if len(stages) == 0 {
		return nil, stages, nil
	}
	first, err := document(stages[0]).Elements()
	if err != nil || len(first) != 1 {
		return nil, stages, err
	}
	feed := rd.Stages[first[0].Key()]
	if feed == nil {
		return nil, stages, nil
	}
	docs, err := feed(r, ns, document(first[0].Value()))
	if err != nil {
		return nil, nil, err
	}
	return func(yield func(bson.Raw, error) bool) {
		for _, doc := range docs {
			if !yield(doc, nil) {
				return
			}
		}
	}, stages[1:], nil
}
