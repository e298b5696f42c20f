package aggregate

import (
	"context"
	"iter"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/mql/expr"
	"pitr/internal/replsim/mql/value"
)

// Documents is a stream of documents that may end with an error.
type Documents = iter.Seq2[bson.Raw, error]

// Source gives the documents of another collection or view of the same or another database, for $lookup and $unionWith.
type Source func(ctx context.Context, db, collection string) Documents

// Options belong to one aggregate command.
type Options struct {
	mql.Options
	// DB is the database of the command.
	DB string
	// Source opens other collections; nil refuses the stages that need it.
	Source Source
}

// Pipeline is a compiled pipeline. Stages that only the server can do ($collStats, $currentOp, $indexStats, $changeStream, ...)
// are not taken: the server removes a first stage of that kind and feeds its documents in.
type Pipeline struct {
	stages []stage
	match  *mql.Filter
	output *Output
}

// stage turns a stream into another.
type stage interface {
	run(ctx context.Context, in Documents) Documents
}

const maxDepth = 20

// compiler reads stages; inside is how deep the pipeline is nested in others.
type compiler struct {
	opts   Options
	inside int
}

// Compile reads the array of stages.
func Compile(pipeline bson.RawValue, o Options) (*Pipeline, error) {
	return (&compiler{opts: o}).pipeline(value.Of(pipeline))
}

func (c *compiler) pipeline(v value.Value) (*Pipeline, error) {
	if v.Type != bson.TypeArray {
		return nil, value.Errorf(value.TypeMismatch, "'pipeline' option must be specified as an array")
	}
	if c.inside++; c.inside > maxDepth {
		return nil, value.Errorf(232, "Maximum number of nested sub-pipelines exceeded. Limit is %d", maxDepth)
	}
	defer func() { c.inside-- }()
	p := &Pipeline{}
	list := v.Elements()
	for i, s := range list {
		if s.Type != bson.TypeEmbeddedDocument {
			return nil, value.Errorf(value.TypeMismatch, "Each element of the 'pipeline' array must be an object")
		}
		if s.Len() != 1 {
			return nil, value.Errorf(40323, "A pipeline stage specification object must contain exactly one field.")
		}
		name := value.FirstName(bson.Raw(s.Data))
		arg := value.Field(bson.Raw(s.Data), name)
		if name == "$out" || name == "$merge" {
			if i != len(list)-1 {
				return nil, value.Errorf(40601, "%s can only be the final stage in the pipeline", name)
			}
			if c.inside > 1 {
				return nil, value.Errorf(51047, "%s is not allowed within a sub-pipeline", name)
			}
			var err error
			if p.output, err = c.out(name, arg); err != nil {
				return nil, err
			}
			continue
		}
		st, err := c.stage(name, arg)
		if err != nil {
			return nil, err
		}
		if m, ok := st.(matchStage); ok && i == 0 {
			p.match = m.filter
		}
		p.stages = append(p.stages, st)
	}
	return p, nil
}

func (c *compiler) stage(name string, arg value.Value) (stage, error) {
	t, err := expr.CompileTransform(name, arg, c.opts.Environment())
	if err != nil {
		return nil, err
	}
	if t != nil {
		return transformStage{t}, nil
	}
	switch name {
	case "$match":
		return c.matches(arg)
	case "$sort":
		return c.sort(arg)
	case "$limit", "$skip":
		return window(name, arg)
	case "$count":
		return count(arg)
	case "$group":
		return c.group(arg)
	case "$sortByCount":
		return c.sortByCount(arg)
	case "$unwind":
		return unwind(arg)
	case "$lookup":
		return c.lookup(arg)
	case "$unionWith":
		return c.union(arg)
	case "$facet":
		return c.facet(arg)
	case "$sample":
		return c.sample(arg)
	case "$documents":
		return c.documents(arg)
	}
	if unsimulated[name] {
		return nil, value.Errorf(value.NotImplemented, "%s is not simulated", name)
	}
	return nil, value.Errorf(40324, "Unrecognized pipeline stage name: '%s'", name)
}

// unsimulated are stages that the real server has.
var unsimulated = map[string]bool{"$bucket": true, "$bucketAuto": true, "$changeStream": true, "$collStats": true, "$currentOp": true,
	"$densify": true, "$fill": true, "$geoNear": true, "$graphLookup": true, "$indexStats": true, "$listLocalSessions": true,
	"$listSessions": true, "$planCacheStats": true, "$redact": true, "$search": true, "$setWindowFields": true}

// Match gives the filter of the leading $match, for a look-up by index; nil if there is none. Run applies it all the same.
func (p *Pipeline) Match() *mql.Filter { return p.match }

// Output gives the last stage if it is $out or $merge, else nil. Run yields the documents to write; the server writes them.
func (p *Pipeline) Output() *Output { return p.output }

// Run streams the input through the stages. It stops when the context ends.
func (p *Pipeline) Run(ctx context.Context, input Documents) Documents {
	out := Documents(func(yield func(bson.Raw, error) bool) {
		for doc, err := range input {
			if err == nil {
				err = context.Cause(ctx)
			}
			if !yield(doc, err) || err != nil {
				return
			}
		}
	})
	for _, s := range p.stages {
		out = s.run(ctx, out)
	}
	return out
}

// gather collects a stream.
func gather(in Documents) ([]bson.Raw, error) {
	var docs []bson.Raw
	for doc, err := range in {
		if err != nil {
			return nil, err
		}
		docs = append(docs, doc)
	}
	return docs, nil
}

// each gives a stream of f's results; f yields any number of documents and reports whether to go on.
func each(in Documents, f func(doc bson.Raw, yield func(bson.Raw, error) bool) bool) Documents {
	return func(yield func(bson.Raw, error) bool) {
		for doc, err := range in {
			if err != nil {
				yield(nil, err)
				return
			}
			if !f(doc, yield) {
				return
			}
		}
	}
}

// all gives a stream of f's results on the whole input.
func all(in Documents, f func(docs []bson.Raw) ([]bson.Raw, error)) Documents {
	return func(yield func(bson.Raw, error) bool) {
		docs, err := gather(in)
		if err == nil {
			docs, err = f(docs)
		}
		if err != nil {
			yield(nil, err)
			return
		}
		for _, d := range docs {
			if !yield(d, nil) {
				return
			}
		}
	}
}
