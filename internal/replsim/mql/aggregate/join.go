package aggregate

import (
	"context"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/mql/expr"
	"pitr/internal/replsim/mql/value"
)

// lookupStage joins documents of another collection by equality, by a pipeline of its own, or both.
type lookupStage struct {
	c              *compiler
	db, collection string
	local          []string
	foreign        *mql.Index // by the foreign field; nil without one
	as             []string
	names          []string // variables of let
	values         []*expr.Expr
	pipeline       value.Value // missing for none
}

func (c *compiler) lookup(arg value.Value) (stage, error) {
	if arg.Type != bson.TypeEmbeddedDocument {
		return nil, value.Errorf(value.FailedToParse, "the $lookup specification must be an object, but found %s", value.TypeName(arg.Type))
	}
	s := &lookupStage{c: c, db: c.opts.DB}
	for it := value.Iterate(bson.Raw(arg.Data)); it.Next(); {
		name, v := string(it.Key()), it.Value()
		var err error
		switch name {
		case "from":
			s.db, s.collection = namespace(v, c.opts.DB, "coll")
		case "as":
			err = expr.CheckPath(v.Str())
			s.as = strings.Split(v.Str(), ".")
		case "localField":
			s.local = strings.Split(v.Str(), ".")
		case "foreignField":
			s.foreign, err = fieldIndex(v.Str())
		case "let":
			err = s.let(v)
		case "pipeline":
			s.pipeline = v
		default:
			err = value.Errorf(value.FailedToParse, "unknown argument to $lookup: %s", name)
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case s.as == nil:
		return nil, value.Errorf(value.FailedToParse, "must specify 'as' field for a $lookup")
	case s.collection == "":
		return nil, value.Errorf(value.FailedToParse, "must specify 'from' field for a $lookup")
	case (s.local == nil) != (s.foreign == nil) || s.local == nil && !s.pipeline.Exists():
		return nil, value.Errorf(value.FailedToParse, "$lookup requires either 'pipeline' or both 'localField' and 'foreignField' to be specified")
	case c.opts.Source == nil:
		return nil, value.Errorf(value.NotImplemented, "$lookup is not possible here")
	}
	if s.pipeline.Exists() {
		if _, err := s.sub(placeholders(s.names)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// namespace reads "coll" or {db, coll}; the field of the collection is called key.
func namespace(v value.Value, db, key string) (string, string) {
	if v.Type == bson.TypeString {
		return db, v.Str()
	}
	if d := value.Field(v.Document(), "db").Str(); d != "" {
		db = d
	}
	return db, value.Field(v.Document(), key).Str()
}

func fieldIndex(field string) (*mql.Index, error) {
	b, at := value.Begin(nil)
	key := value.End(value.Append(b, field, value.Int32(1)), at)
	b, at = value.Begin(nil)
	return mql.CompileIndex(value.End(value.Append(b, "key", value.Doc(key)), at))
}

func (s *lookupStage) let(v value.Value) error {
	if v.Type != bson.TypeEmbeddedDocument {
		return value.Errorf(value.FailedToParse, "$lookup argument 'let: %s' must be an object", value.Text(v))
	}
	for it := value.Iterate(bson.Raw(v.Data)); it.Next(); {
		e, err := expr.Compile(it.Value(), s.c.opts.Environment())
		if err != nil {
			return err
		}
		s.names, s.values = append(s.names, string(it.Key())), append(s.values, e)
	}
	return nil
}

// placeholders lets the sub-pipeline be checked before there is a document.
func placeholders(names []string) bson.Raw {
	b, at := value.Begin(nil)
	for _, n := range names {
		b = value.Append(b, n, value.Null())
	}
	return value.End(b, at)
}

// sub compiles the sub-pipeline under the variables of one document.
func (s *lookupStage) sub(let bson.Raw) (*Pipeline, error) {
	c := &compiler{opts: s.c.opts, inside: s.c.inside}
	b, at := value.Begin(nil)
	if outer := c.opts.Let; outer != nil {
		b = append(b, outer[4:len(outer)-1]...)
	}
	c.opts.Let = value.End(append(b, let[4:len(let)-1]...), at)
	return c.pipeline(s.pipeline)
}

func (s *lookupStage) run(ctx context.Context, in Documents) Documents {
	var others []bson.Raw
	var byKey map[string][]int
	return each(in, func(doc bson.Raw, yield func(bson.Raw, error) bool) bool {
		var err error
		if byKey == nil {
			others, byKey, err = s.load(ctx)
		}
		var found []bson.Raw
		if err == nil {
			found, err = s.find(ctx, doc, others, byKey)
		}
		if err != nil {
			yield(nil, err)
			return false
		}
		return yield(setPath(doc, s.as, array(found)), nil)
	})
}

// load reads the other collection once and files its documents by the keys of the foreign field.
func (s *lookupStage) load(ctx context.Context) ([]bson.Raw, map[string][]int, error) {
	docs, err := gather(s.c.opts.Source(ctx, s.db, s.collection))
	byKey := map[string][]int{}
	if s.foreign == nil || err != nil {
		return docs, byKey, err
	}
	for i, d := range docs {
		keys, err := s.foreign.Keys(d)
		if err != nil {
			return nil, nil, err
		}
		for _, k := range keys.Keys {
			byKey[k.Encoded] = append(byKey[k.Encoded], i)
		}
	}
	return docs, byKey, nil
}

func (s *lookupStage) find(ctx context.Context, doc bson.Raw, others []bson.Raw, byKey map[string][]int) ([]bson.Raw, error) {
	found := others
	if s.local != nil {
		var at []int
		for _, v := range localValues(value.Doc(doc), s.local) {
			at = append(at, byKey[value.Key(v)]...)
		}
		slices.Sort(at)
		found = nil
		for _, i := range slices.Compact(at) {
			found = append(found, others[i])
		}
	}
	if !s.pipeline.Exists() {
		return found, nil
	}
	b, at := value.Begin(nil)
	for i, e := range s.values {
		v, err := e.Eval(doc)
		if err != nil {
			return nil, err
		}
		if !v.Exists() {
			v = value.Null()
		}
		b = value.Append(b, s.names[i], v)
	}
	p, err := s.sub(value.End(b, at))
	if err != nil {
		return nil, err
	}
	return gather(p.Run(ctx, stream(found)))
}

// localValues gives what the local field is equal to: each element of an array, null for a missing field.
func localValues(v value.Value, path []string) []value.Value {
	for i, name := range path {
		switch v.Type {
		case bson.TypeEmbeddedDocument:
			v = value.Field(bson.Raw(v.Data), name)
		case bson.TypeArray:
			var out []value.Value
			for _, e := range v.Elements() {
				if e.Type == bson.TypeEmbeddedDocument {
					out = append(out, localValues(e, path[i:])...)
				}
			}
			return out
		default:
			return []value.Value{value.Null()}
		}
	}
	switch {
	case v.Type == bson.TypeArray:
		return v.Elements()
	case v.Nullish():
		return []value.Value{value.Null()}
	}
	return []value.Value{v}
}

type unionStage struct {
	c              *compiler
	db, collection string
	pipeline       *Pipeline
}

func (c *compiler) union(arg value.Value) (stage, error) {
	s := unionStage{c: c, db: c.opts.DB, collection: arg.Str(), pipeline: &Pipeline{}}
	if arg.Type == bson.TypeEmbeddedDocument {
		doc := bson.Raw(arg.Data)
		s.collection = value.Field(doc, "coll").Str()
		if p := value.Field(doc, "pipeline"); p.Exists() {
			var err error
			if s.pipeline, err = c.pipeline(p); err != nil {
				return nil, err
			}
		}
	}
	if c.opts.Source == nil {
		return nil, value.Errorf(value.NotImplemented, "$unionWith is not possible here")
	}
	if s.collection == "" {
		return nil, value.Errorf(value.FailedToParse, "the $unionWith stage specification must be an object or string, but found %s", value.TypeName(arg.Type))
	}
	return s, nil
}

func (s unionStage) run(ctx context.Context, in Documents) Documents {
	return func(yield func(bson.Raw, error) bool) {
		for _, part := range []Documents{in, s.pipeline.Run(ctx, s.c.opts.Source(ctx, s.db, s.collection))} {
			for doc, err := range part {
				if !yield(doc, err) || err != nil {
					return
				}
			}
		}
	}
}

// Output is where the documents of a pipeline go.
type Output struct {
	// Stage is "$out" or "$merge".
	Stage          string
	DB, Collection string
	// On are the fields of $merge that identify a document; {"_id"} by default.
	On []string
	// WhenMatched is replace, keepExisting, merge, fail or pipeline; WhenNotMatched is insert, discard or fail. Only $merge.
	WhenMatched, WhenNotMatched string
	// Pipeline is the update of WhenMatched "pipeline": give it to update.Compile, with Let.
	Pipeline bson.RawValue
	Let      bson.Raw
}

func (c *compiler) out(name string, arg value.Value) (*Output, error) {
	o := &Output{Stage: name, DB: c.opts.DB}
	into := arg
	if name == "$merge" {
		o.On, o.WhenMatched, o.WhenNotMatched = []string{"_id"}, "merge", "insert"
		if arg.Type == bson.TypeEmbeddedDocument {
			into = value.Value{}
			if err := o.options(bson.Raw(arg.Data), &into); err != nil {
				return nil, err
			}
		}
	}
	if into.Type != bson.TypeString && into.Type != bson.TypeEmbeddedDocument {
		if name == "$merge" {
			return nil, value.Errorf(51178, "$merge requires a string or object argument, but found %s", value.TypeName(arg.Type))
		}
		return nil, value.Errorf(16990, "$out only supports a string or object argument, but found %s", value.TypeName(arg.Type))
	}
	o.DB, o.Collection = namespace(into, c.opts.DB, "coll")
	if o.Collection == "" {
		return nil, value.Errorf(73, "Invalid %s target namespace: %s.", name, o.DB)
	}
	return o, nil
}

func (o *Output) options(doc bson.Raw, into *value.Value) error {
	for it := value.Iterate(doc); it.Next(); {
		v := it.Value()
		switch name := string(it.Key()); name {
		case "into":
			*into = v
		case "on":
			o.On = []string{v.Str()}
			if v.Type == bson.TypeArray {
				o.On = nil
				for _, f := range v.Elements() {
					o.On = append(o.On, f.Str())
				}
			}
		case "whenMatched":
			if v.Type == bson.TypeArray {
				o.WhenMatched, o.Pipeline = "pipeline", v.Raw()
				continue
			}
			if o.WhenMatched = v.Str(); !slices.Contains([]string{"replace", "keepExisting", "merge", "fail"}, v.Str()) {
				return value.Errorf(value.BadValue, "Enumeration value '%s' for field 'whenMatched' is not a valid value.", v.Str())
			}
		case "whenNotMatched":
			if o.WhenNotMatched = v.Str(); !slices.Contains([]string{"insert", "discard", "fail"}, v.Str()) {
				return value.Errorf(value.BadValue, "Enumeration value '%s' for field '$merge.whenNotMatched' is not a valid value.", v.Str())
			}
		case "let":
			o.Let = v.Document()
		default:
			return value.Errorf(40415, "BSON field '$merge.%s' is an unknown field.", name)
		}
	}
	return nil
}
