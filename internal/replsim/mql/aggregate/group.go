package aggregate

import (
	"context"
	"math"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/expr"
	"pitr/internal/replsim/mql/function"
	"pitr/internal/replsim/mql/value"
)

type groupStage struct {
	id     *expr.Expr
	fields []groupField
}

type groupField struct {
	name string
	arg  *expr.Expr
	make func() accumulator
}

// accumulator folds values into one.
type accumulator interface {
	add(v value.Value) error
	result() value.Value
}

func (c *compiler) group(arg value.Value) (stage, error) {
	if arg.Type != bson.TypeEmbeddedDocument {
		return nil, value.Errorf(15947, "a group's fields must be specified in an object")
	}
	var s groupStage
	for it := value.Iterate(bson.Raw(arg.Data)); it.Next(); {
		name, v := string(it.Key()), it.Value()
		if name == "_id" {
			var err error
			if s.id, err = expr.Compile(v, c.opts.Environment()); err != nil {
				return nil, err
			}
			continue
		}
		f, err := c.groupField(name, v)
		if err != nil {
			return nil, err
		}
		s.fields = append(s.fields, f)
	}
	if s.id == nil {
		return nil, value.Errorf(15955, "a group specification must include an _id")
	}
	return s, nil
}

func (c *compiler) groupField(name string, v value.Value) (groupField, error) {
	f := groupField{name: name}
	switch {
	case strings.Contains(name, "."):
		return f, value.Errorf(40235, "The field name '%s' cannot contain '.'", name)
	case strings.HasPrefix(name, "$"):
		return f, value.Errorf(40236, "The field name '%s' cannot be an operator name", name)
	case v.Type != bson.TypeEmbeddedDocument:
		return f, value.Errorf(40234, "The field '%s' must be an accumulator object", name)
	case v.Len() != 1:
		return f, value.Errorf(40238, "The field '%s' must specify one accumulator", name)
	}
	op := value.FirstName(bson.Raw(v.Data))
	arg := value.Field(bson.Raw(v.Data), op)
	if f.make = accumulators[op]; f.make == nil {
		return f, value.Errorf(15952, "unknown group operator '%s'", op)
	}
	if op == "$count" {
		if arg.Type != bson.TypeEmbeddedDocument || arg.Len() != 0 {
			return f, value.Errorf(value.TypeMismatch, "$count takes no arguments, i.e. $count:{}")
		}
		arg = value.Int32(1)
	}
	if arg.Type == bson.TypeArray && op != "$push" && op != "$addToSet" {
		if arg.Len() != 1 {
			return f, value.Errorf(40237, "The %s accumulator is a unary operator", op)
		}
		arg = arg.Elements()[0]
	}
	var err error
	f.arg, err = expr.Compile(arg, c.opts.Environment())
	return f, err
}

var accumulators = map[string]func() accumulator{
	"$sum":          func() accumulator { return &sum{} },
	"$count":        func() accumulator { return &sum{} },
	"$avg":          func() accumulator { return &sum{mean: true} },
	"$min":          func() accumulator { return &fold{f: extreme(-1)} },
	"$max":          func() accumulator { return &fold{f: extreme(1)} },
	"$first":        func() accumulator { return &edge{} },
	"$last":         func() accumulator { return &edge{last: true} },
	"$push":         func() accumulator { return &list{} },
	"$addToSet":     func() accumulator { return &list{keys: map[string]bool{}} },
	"$mergeObjects": func() accumulator { return &merged{} },
	"$stdDevPop":    func() accumulator { return &deviation{} },
	"$stdDevSamp":   func() accumulator { return &deviation{sample: 1} },
}

func (s groupStage) run(_ context.Context, in Documents) Documents {
	return func(yield func(bson.Raw, error) bool) {
		type group struct {
			id  value.Value
			acc []accumulator
		}
		var order []*group
		groups := map[string]*group{}
		for doc, err := range in {
			var id value.Value
			if err == nil {
				id, err = s.id.Eval(doc)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if !id.Exists() {
				id = value.Null()
			}
			key := value.Key(id)
			g := groups[key]
			if g == nil {
				g = &group{id: id, acc: make([]accumulator, len(s.fields))}
				for i, f := range s.fields {
					g.acc[i] = f.make()
				}
				groups[key], order = g, append(order, g)
			}
			for i, f := range s.fields {
				v, err := f.arg.Eval(doc)
				if err == nil {
					err = g.acc[i].add(v)
				}
				if err != nil {
					yield(nil, err)
					return
				}
			}
		}
		for _, g := range order {
			b, at := value.Begin(nil)
			b = value.Append(b, "_id", g.id)
			for i, f := range s.fields {
				b = value.Append(b, f.name, g.acc[i].result())
			}
			if !yield(value.End(b, at), nil) {
				return
			}
		}
	}
}

// sum adds numbers: integers exactly until they overflow, doubles with the lost digits kept, decimals as decimals.
type sum struct {
	mean    bool
	n       int64
	whole   value.Value // sum of ints and longs; missing while there are none
	real    float64
	lost    float64
	decimal value.Value
	double  bool
}

func (s *sum) add(v value.Value) error {
	switch v.Type {
	case bson.TypeInt32, bson.TypeInt64:
		if !s.whole.Exists() {
			s.whole = value.Int32(0)
		}
		if t, ok := value.Add(s.whole, v); ok {
			s.whole = t
		} else {
			s.addReal(s.whole.Float())
			s.double, s.whole = true, v
		}
	case bson.TypeDouble:
		s.double = true
		s.addReal(v.Double())
	case bson.TypeDecimal128:
		if !s.decimal.Exists() {
			s.decimal = value.ToDecimal(value.Int32(0))
		}
		s.decimal, _ = value.Add(s.decimal, v)
	default:
		return nil
	}
	s.n++
	return nil
}

func (s *sum) addReal(f float64) {
	t := s.real + f
	if math.Abs(s.real) >= math.Abs(f) {
		s.lost += s.real - t + f
	} else {
		s.lost += f - t + s.real
	}
	s.real = t
}

func (s *sum) total() value.Value {
	t := value.Int32(0)
	if s.whole.Exists() {
		t = s.whole
	}
	if s.double {
		whole := s.real
		if !math.IsNaN(s.lost) && !math.IsInf(s.lost, 0) {
			whole += s.lost
		}
		t = value.Double(whole + t.Float())
	}
	if s.decimal.Exists() {
		t, _ = value.Add(s.decimal, t)
	}
	return t
}

func (s *sum) result() value.Value {
	t := s.total()
	switch {
	case !s.mean:
		return t
	case s.n == 0:
		return value.Null()
	case t.Type == bson.TypeDecimal128:
		return value.DivideDecimals(t, value.Int64(s.n))
	}
	return value.Double(t.Float() / float64(s.n))
}

// fold keeps one value that a function of two picks; null and missing do not count.
type fold struct {
	v value.Value
	f func(kept, v value.Value) value.Value
}

func extreme(sign int) func(kept, v value.Value) value.Value {
	return func(kept, v value.Value) value.Value {
		if value.Compare(v, kept)*sign > 0 {
			return v
		}
		return kept
	}
}

func (f *fold) add(v value.Value) error {
	switch {
	case v.Nullish():
	case !f.v.Exists():
		f.v = v
	default:
		f.v = f.f(f.v, v)
	}
	return nil
}

func (f *fold) result() value.Value {
	if !f.v.Exists() {
		return value.Null()
	}
	return f.v
}

// edge is the value of the first or last document.
type edge struct {
	last, seen bool
	v          value.Value
}

func (e *edge) add(v value.Value) error {
	if !e.seen || e.last {
		e.v, e.seen = v, true
	}
	return nil
}

func (e *edge) result() value.Value {
	if !e.v.Exists() {
		return value.Null()
	}
	return e.v
}

// list is $push, and with keys $addToSet.
type list struct {
	values []value.Value
	keys   map[string]bool
}

func (l *list) add(v value.Value) error {
	if !v.Exists() {
		return nil
	}
	if l.keys != nil {
		k := value.Key(v)
		if l.keys[k] {
			return nil
		}
		l.keys[k] = true
	}
	l.values = append(l.values, v)
	return nil
}

func (l *list) result() value.Value { return value.Array(l.values...) }

type merged struct{ values []value.Value }

func (m *merged) add(v value.Value) error {
	if !v.Nullish() && v.Type != bson.TypeEmbeddedDocument {
		return value.Errorf(40400, "$mergeObjects requires object inputs, but input %s is of type %s", value.Text(v), value.TypeName(v.Type))
	}
	m.values = append(m.values, v)
	return nil
}

func (m *merged) result() value.Value {
	f, _ := function.Lookup("$mergeObjects")
	v, _ := f.Call(m.values)
	return v
}

// deviation is the standard deviation by Welford's method.
type deviation struct {
	sample  int64 // taken off the count
	n       int64
	mean, m float64
}

func (d *deviation) add(v value.Value) error {
	if v.IsNumber() {
		d.n++
		x := v.Float()
		delta := x - d.mean
		d.mean += delta / float64(d.n)
		d.m += delta * (x - d.mean)
	}
	return nil
}

func (d *deviation) result() value.Value {
	if d.n-d.sample <= 0 {
		return value.Null()
	}
	return value.Double(math.Sqrt(d.m / float64(d.n-d.sample)))
}

// sortByCount is $group by an expression with a count, then $sort by the count, falling.
func (c *compiler) sortByCount(arg value.Value) (stage, error) {
	id, err := expr.Compile(arg, c.opts.Environment())
	if err != nil {
		return nil, err
	}
	one, err := expr.Compile(value.Int32(1), c.opts.Environment())
	if err != nil {
		return nil, err
	}
	group := groupStage{id: id, fields: []groupField{{name: "count", arg: one, make: accumulators["$sum"]}}}
	b, at := value.Begin(nil)
	sorted, err := c.sort(value.Doc(value.End(value.Append(b, "count", value.Int32(-1)), at)))
	return chain{group, sorted}, err
}

type chain []stage

func (s chain) run(ctx context.Context, in Documents) Documents {
	for _, x := range s {
		in = x.run(ctx, in)
	}
	return in
}
