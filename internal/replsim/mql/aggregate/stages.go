package aggregate

import (
	"context"
	"math/rand/v2"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/mql/expr"
	"pitr/internal/replsim/mql/value"
)

type transformStage struct{ t expr.Transform }

func (s transformStage) run(_ context.Context, in Documents) Documents {
	return each(in, func(doc bson.Raw, yield func(bson.Raw, error) bool) bool {
		out, err := s.t.Apply(doc)
		return yield(out, err) && err == nil
	})
}

type matchStage struct{ filter *mql.Filter }

func (c *compiler) matches(arg value.Value) (stage, error) {
	if arg.Type != bson.TypeEmbeddedDocument {
		return nil, value.Errorf(15959, "the match filter must be an expression in an object")
	}
	f, err := mql.CompileWith(bson.Raw(arg.Data), c.opts.Options)
	return matchStage{f}, err
}

func (s matchStage) run(_ context.Context, in Documents) Documents {
	return each(in, func(doc bson.Raw, yield func(bson.Raw, error) bool) bool {
		ok, err := s.filter.Match(doc)
		if err != nil {
			yield(nil, err)
			return false
		}
		return !ok || yield(doc, nil)
	})
}

type sortStage struct{ sort *mql.Sort }

func (c *compiler) sort(arg value.Value) (stage, error) {
	if arg.Type != bson.TypeEmbeddedDocument {
		return nil, value.Errorf(15973, "the $sort key specification must be an object")
	}
	if arg.Len() == 0 {
		return nil, value.Errorf(15976, "$sort stage must have at least one sort key")
	}
	s, err := mql.CompileSortWith(bson.Raw(arg.Data), c.opts.Options)
	return sortStage{s}, err
}

func (s sortStage) run(_ context.Context, in Documents) Documents {
	return all(in, func(docs []bson.Raw) ([]bson.Raw, error) { return docs, s.sort.Documents(docs) })
}

// windowStage is $skip and $limit.
type windowStage struct{ skip, limit int64 }

func window(name string, arg value.Value) (stage, error) {
	code := map[string]int32{"$limit": 5107201, "$skip": 5107200}[name]
	n, whole := arg.Whole()
	switch {
	case !arg.IsNumber():
		return nil, value.Errorf(code, "invalid argument to %s stage: Expected a number in: %s", name, value.ElementText(name, arg))
	case !whole:
		return nil, value.Errorf(code, "invalid argument to %s stage: Expected an integer: %s", name, value.ElementText(name, arg))
	case n < 0:
		return nil, value.Errorf(code, "invalid argument to %s stage: Expected a non-negative number in: %s", name, value.ElementText(name, arg))
	case name == "$skip":
		return windowStage{skip: n, limit: -1}, nil
	case n == 0:
		return nil, value.Errorf(15958, "the limit must be positive")
	}
	return windowStage{limit: n}, nil
}

func (s windowStage) run(_ context.Context, in Documents) Documents {
	return func(yield func(bson.Raw, error) bool) {
		skip, left := s.skip, s.limit
		for doc, err := range in {
			if err == nil && skip > 0 {
				skip--
				continue
			}
			if !yield(doc, err) || err != nil {
				return
			}
			if left--; left == 0 {
				return
			}
		}
	}
}

type countStage string

func count(arg value.Value) (stage, error) {
	name := arg.Str()
	switch {
	case arg.Type != bson.TypeString:
		return nil, value.Errorf(40156, "the count field must be a non-empty string")
	case name == "":
		return nil, value.Errorf(40157, "the count field must be a non-empty string")
	case strings.HasPrefix(name, "$"):
		return nil, value.Errorf(40158, "the count field cannot be a $-prefixed path")
	case strings.ContainsRune(name, 0):
		return nil, value.Errorf(40159, "the count field cannot contain a null byte")
	case strings.Contains(name, "."):
		return nil, value.Errorf(40160, "the count field cannot contain '.'")
	}
	return countStage(name), nil
}

func (s countStage) run(_ context.Context, in Documents) Documents {
	return all(in, func(docs []bson.Raw) ([]bson.Raw, error) {
		if len(docs) == 0 {
			return nil, nil
		}
		b, at := value.Begin(nil)
		return []bson.Raw{value.End(value.Append(b, string(s), value.IntOrLong(int64(len(docs)))), at)}, nil
	})
}

type sampleStage struct {
	size int64
	seed uint64
}

func (c *compiler) sample(arg value.Value) (stage, error) {
	size := value.Field(arg.Document(), "size")
	n, whole := size.Whole()
	if !whole || n < 0 {
		return nil, value.Errorf(28747, "size argument to $sample must not be negative")
	}
	return sampleStage{n, uint64(c.opts.Now.UnixNano())}, nil
}

func (s sampleStage) run(_ context.Context, in Documents) Documents {
	return all(in, func(docs []bson.Raw) ([]bson.Raw, error) {
		r := rand.New(rand.NewPCG(s.seed, uint64(len(docs))))
		r.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
		return docs[:min(s.size, int64(len(docs)))], nil
	})
}

// documentsStage is $documents: its own input.
type documentsStage struct{ e *expr.Expr }

func (c *compiler) documents(arg value.Value) (stage, error) {
	e, err := expr.Compile(arg, c.opts.Environment())
	return documentsStage{e}, err
}

func (s documentsStage) run(context.Context, Documents) Documents {
	return func(yield func(bson.Raw, error) bool) {
		v, err := s.e.Eval(value.Empty())
		if err != nil {
			yield(nil, err)
			return
		}
		for _, d := range v.Elements() {
			if d.Type != bson.TypeEmbeddedDocument {
				yield(nil, value.Errorf(40228, "'newRoot' expression must evaluate to an object, but resulting value was: %s", value.Text(d)))
				return
			}
			if !yield(bson.Raw(d.Data), nil) {
				return
			}
		}
	}
}

type facetStage struct {
	names     []string
	pipelines []*Pipeline
}

func (c *compiler) facet(arg value.Value) (stage, error) {
	if arg.Type != bson.TypeEmbeddedDocument || arg.Len() == 0 {
		return nil, value.Errorf(40169, "the $facet specification must be a non-empty object")
	}
	var s facetStage
	for it := value.Iterate(bson.Raw(arg.Data)); it.Next(); {
		if it.Value().Type != bson.TypeArray {
			return nil, value.Errorf(40170, "arguments to $facet must be arrays, %s is of type %s", it.Key(), value.TypeName(it.Value().Type))
		}
		p, err := c.pipeline(it.Value())
		if err != nil {
			return nil, err
		}
		s.names, s.pipelines = append(s.names, string(it.Key())), append(s.pipelines, p)
	}
	return s, nil
}

func (s facetStage) run(ctx context.Context, in Documents) Documents {
	return all(in, func(docs []bson.Raw) ([]bson.Raw, error) {
		b, at := value.Begin(nil)
		for i, p := range s.pipelines {
			out, err := gather(p.Run(ctx, stream(docs)))
			if err != nil {
				return nil, err
			}
			b = value.Append(b, s.names[i], array(out))
		}
		return []bson.Raw{value.End(b, at)}, nil
	})
}

func stream(docs []bson.Raw) Documents {
	return func(yield func(bson.Raw, error) bool) {
		for _, d := range docs {
			if !yield(d, nil) {
				return
			}
		}
	}
}

func array(docs []bson.Raw) value.Value {
	list := make([]value.Value, len(docs))
	for i, d := range docs {
		list[i] = value.Doc(d)
	}
	return value.Array(list...)
}
