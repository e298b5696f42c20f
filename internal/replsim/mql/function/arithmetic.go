package function

import (
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/value"
)

// Function is an operator whose arguments are all evaluated first. Most is -1 for any number. If Fields is set, the arguments
// are named; "!" marks those that must be given.
type Function struct {
	Least, Most int
	Fields      []string
	Call        func(args []value.Value) (value.Value, error)
}

type values = []value.Value

func one(f func(v value.Value) (value.Value, error)) Function {
	return Function{Least: 1, Most: 1, Call: func(a values) (value.Value, error) { return f(a[0]) }}
}

func two(f func(a, b value.Value) (value.Value, error)) Function {
	return Function{Least: 2, Most: 2, Call: func(a values) (value.Value, error) { return f(a[0], a[1]) }}
}

func many(f func(a values) (value.Value, error)) Function {
	return Function{Least: 0, Most: -1, Call: f}
}

// Lookup finds an operator by name.
func Lookup(name string) (Function, bool) {
	for _, t := range []map[string]Function{arithmetic, comparisons, arrays, stringFunctions, dateFunctions, conversions} {
		if f, ok := t[name]; ok {
			return f, true
		}
	}
	return Function{}, false
}

func test(f func(c int) bool) Function {
	return two(func(a, b value.Value) (value.Value, error) { return value.Bool(f(value.Compare(a, b))), nil })
}

var comparisons = map[string]Function{
	"$eq":  test(func(c int) bool { return c == 0 }),
	"$ne":  test(func(c int) bool { return c != 0 }),
	"$lt":  test(func(c int) bool { return c < 0 }),
	"$lte": test(func(c int) bool { return c <= 0 }),
	"$gt":  test(func(c int) bool { return c > 0 }),
	"$gte": test(func(c int) bool { return c >= 0 }),
	"$cmp": two(func(a, b value.Value) (value.Value, error) { return value.Int32(int32(value.Compare(a, b))), nil }),
	"$not": one(func(v value.Value) (value.Value, error) { return value.Bool(!v.Truth()), nil }),
}

var arithmetic = map[string]Function{
	"$add":      many(add),
	"$multiply": many(multiply),
	"$subtract": two(subtract),
	"$divide":   two(divide),
	"$mod":      two(mod),
	"$abs":      one(abs),
	"$ceil":     one(integral("$ceil", math.Ceil)),
	"$floor":    one(integral("$floor", math.Floor)),
	"$round":    {Least: 1, Most: 2, Call: rounding("$round", math.RoundToEven, value.HalfEven)},
	"$trunc":    {Least: 1, Most: 2, Call: rounding("$trunc", math.Trunc, value.Down)},
	"$exp":      one(realFunc("$exp", math.Exp)),
	"$ln":       one(realFunc("$ln", math.Log)),
	"$log10":    one(realFunc("$log10", math.Log10)),
	"$sqrt":     one(realFunc("$sqrt", math.Sqrt)),
	"$log":      two(realPair("$log", func(x, base float64) float64 { return math.Log(x) / math.Log(base) })),
	"$pow":      two(pow),
	"$sin":      one(realFunc("$sin", math.Sin)),
	"$cos":      one(realFunc("$cos", math.Cos)),
	"$tan":      one(realFunc("$tan", math.Tan)),
	"$bitAnd":   many(bitwise("$bitAnd", -1, func(a, b int64) int64 { return a & b })),
	"$bitOr":    many(bitwise("$bitOr", 0, func(a, b int64) int64 { return a | b })),
	"$bitXor":   many(bitwise("$bitXor", 0, func(a, b int64) int64 { return a ^ b })),
	"$sum":      many(overList(Sum)),
	"$avg":      many(overList(Avg)),
	"$min":      many(overList(Min)),
	"$max":      many(overList(Max)),
}

func add(args values) (value.Value, error) {
	sum, date := value.Int32(0), false
	for _, v := range args {
		switch {
		case v.Nullish():
			return value.Null(), nil
		case v.Type == bson.TypeDateTime:
			if date {
				return v, value.Errorf(16612, "only one date allowed in an $add expression")
			}
			date = true
			sum = grow(value.Add, sum, value.Int64(v.Int()))
		case !v.IsNumber():
			return v, value.Errorf(value.TypeMismatch, "$add only supports numeric or date types, not %s", value.TypeName(v.Type))
		default:
			sum = grow(value.Add, sum, v)
		}
	}
	if !date {
		return sum, nil
	}
	if ms, ok := sum.Whole(); ok {
		return value.Date(ms), nil
	}
	return value.Date(int64(math.RoundToEven(sum.Float()))), nil
}

// grow computes as doubles what does not fit into a long.
func grow(op func(a, b value.Value) (value.Value, bool), a, b value.Value) value.Value {
	if v, ok := op(a, b); ok {
		return v
	}
	v, _ := op(value.Double(a.Float()), value.Double(b.Float()))
	return v
}

func multiply(args values) (value.Value, error) {
	p := value.Int32(1)
	for _, v := range args {
		if v.Nullish() {
			return value.Null(), nil
		}
		if !v.IsNumber() {
			return v, value.Errorf(value.TypeMismatch, "$multiply only supports numeric types, not %s", value.TypeName(v.Type))
		}
		p = grow(value.Multiply, p, v)
	}
	return p, nil
}

func subtract(a, b value.Value) (value.Value, error) {
	switch {
	case a.Nullish() || b.Nullish():
		return value.Null(), nil
	case a.IsNumber() && b.IsNumber():
		return grow(value.Subtract, a, b), nil
	case a.Type == bson.TypeDateTime && b.Type == bson.TypeDateTime:
		return value.Int64(a.Int() - b.Int()), nil
	case a.Type == bson.TypeDateTime && b.IsNumber():
		return value.Date(a.Int() - int64(math.RoundToEven(b.Float()))), nil
	}
	return a, value.Errorf(value.TypeMismatch, "can't $subtract %s from %s", value.TypeName(b.Type), value.TypeName(a.Type))
}

func divide(a, b value.Value) (value.Value, error) {
	switch {
	case a.IsNumber() && b.IsNumber():
		if !b.Truth() {
			return a, value.Errorf(value.BadValue, "can't $divide by zero")
		}
		if value.Widest(a.Type, b.Type) == bson.TypeDecimal128 {
			return value.DivideDecimals(a, b), nil
		}
		return value.Double(a.Float() / b.Float()), nil
	case a.Nullish() || b.Nullish():
		return value.Null(), nil
	}
	return a, value.Errorf(value.TypeMismatch, "$divide only supports numeric types, not %s and %s",
		value.TypeName(a.Type), value.TypeName(b.Type))
}

func mod(a, b value.Value) (value.Value, error) {
	switch {
	case a.IsNumber() && b.IsNumber():
		if !b.Truth() {
			return a, value.Errorf(16610, "can't $mod by zero")
		}
		switch t := value.Widest(a.Type, b.Type); t {
		case bson.TypeDecimal128:
			return value.ToDecimal(value.Double(math.Mod(a.Float(), b.Float()))), nil
		case bson.TypeDouble:
			if x, ok := a.Whole(); ok {
				if y, ok := b.Whole(); ok && y != -1 && a.Type != bson.TypeDouble {
					return value.Double(float64(x % y)), nil
				}
			}
			return value.Double(math.Mod(a.Float(), b.Float())), nil
		default:
			if b.Int() == -1 {
				return sized(t, 0), nil
			}
			return sized(t, a.Int()%b.Int()), nil
		}
	case a.Nullish() || b.Nullish():
		return value.Null(), nil
	}
	return a, value.Errorf(value.TypeMismatch, "$mod only supports numeric types, not %s and %s",
		value.TypeName(a.Type), value.TypeName(b.Type))
}

func sized(t bson.Type, n int64) value.Value {
	if t == bson.TypeInt32 {
		return value.IntOrLong(n)
	}
	return value.Int64(n)
}

func abs(v value.Value) (value.Value, error) {
	if r, done, err := numeric("$abs", v); done {
		return r, err
	}
	if value.Compare(v, value.Int32(0)) >= 0 {
		return v, nil
	}
	r, ok := value.Multiply(v, value.Int32(-1))
	if !ok {
		return v, value.Errorf(28680, "can't take $abs of long long min")
	}
	return r, nil
}

// numeric passes null on and refuses what is no number.
func numeric(name string, v value.Value) (value.Value, bool, error) {
	if v.Nullish() {
		return value.Null(), true, nil
	}
	if !v.IsNumber() {
		return v, true, value.Errorf(28765, "%s only supports numeric types, not %s", name, value.TypeName(v.Type))
	}
	return v, false, nil
}

func realFunc(name string, f func(float64) float64) func(value.Value) (value.Value, error) {
	return func(v value.Value) (value.Value, error) {
		if r, done, err := numeric(name, v); done {
			return r, err
		}
		out := value.Double(f(v.Float()))
		if v.Type == bson.TypeDecimal128 {
			out = value.ToDecimal(out)
		}
		return out, nil
	}
}

func realPair(name string, f func(a, b float64) float64) func(a, b value.Value) (value.Value, error) {
	return func(a, b value.Value) (value.Value, error) {
		if r, done, err := numeric(name, a); done {
			return r, err
		}
		if r, done, err := numeric(name, b); done {
			return r, err
		}
		return value.Double(f(a.Float(), b.Float())), nil
	}
}

func pow(a, b value.Value) (value.Value, error) {
	r, err := realPair("$pow", math.Pow)(a, b)
	if err != nil || !r.IsNumber() {
		return r, err
	}
	if t := value.Widest(a.Type, b.Type); t == bson.TypeInt32 || t == bson.TypeInt64 {
		if n, whole := r.Whole(); whole && n < 1<<53 && n > -1<<53 && b.Int() >= 0 {
			return sized(t, n), nil
		}
	}
	return r, nil
}

func integral(name string, f func(float64) float64) func(value.Value) (value.Value, error) {
	return func(v value.Value) (value.Value, error) {
		r, done, err := numeric(name, v)
		switch {
		case done:
			return r, err
		case v.Type == bson.TypeDouble:
			return value.Double(f(v.Double())), nil
		case v.Type == bson.TypeDecimal128:
			down := value.RoundDecimal(v, 0, value.Down)
			c := value.Compare(down, v)
			if c > 0 && name == "$floor" {
				down, _ = value.Subtract(down, value.Int32(1))
			} else if c < 0 && name == "$ceil" {
				down, _ = value.Add(down, value.Int32(1))
			}
			return down, nil
		}
		return v, nil
	}
}

func rounding(name string, f func(float64) float64, mode value.Rounding) func(values) (value.Value, error) {
	return func(args values) (value.Value, error) {
		v := args[0]
		r, done, err := numeric(name, v)
		if done {
			return r, err
		}
		places := int64(0)
		if len(args) == 2 {
			if args[1].Nullish() {
				return value.Null(), nil
			}
			var ok bool
			if places, ok = args[1].Whole(); !ok || places < -20 || places > 100 {
				return v, value.Errorf(51083, "cannot apply %s with precision value %s value must be in [-20, 100]", name, value.Text(args[1]))
			}
		}
		switch {
		case v.Type == bson.TypeDecimal128:
			return value.RoundDecimal(v, int(places), mode), nil
		case v.Type == bson.TypeDouble && places == 0:
			return value.Double(f(v.Double())), nil
		case v.Type == bson.TypeDouble:
			return value.Double(value.RoundDecimal(value.ToDecimal(v), int(places), mode).Float()), nil
		case places >= 0:
			return v, nil
		}
		n, _ := value.RoundDecimal(value.ToDecimal(v), int(places), mode).Whole()
		return sized(v.Type, n), nil
	}
}

func bitwise(name string, start int64, f func(a, b int64) int64) func(values) (value.Value, error) {
	return func(args values) (value.Value, error) {
		out, t := start, bson.TypeInt32
		for _, v := range args {
			if v.Nullish() {
				return value.Null(), nil
			}
			if v.Type != bson.TypeInt32 && v.Type != bson.TypeInt64 {
				return v, value.Errorf(value.TypeMismatch, "%s only supports int and long operands.", name)
			}
			out, t = f(out, v.Int()), value.Widest(t, v.Type)
		}
		return sized(t, out), nil
	}
}

// overList makes an accumulator an operator: one array argument is taken as the list.
func overList(f func(values) value.Value) func(values) (value.Value, error) {
	return func(args values) (value.Value, error) {
		if len(args) == 1 && args[0].Type == bson.TypeArray {
			return f(args[0].Elements()), nil
		}
		return f(args), nil
	}
}

// Sum adds the numbers of a list and passes over the rest; 0 for none.
func Sum(list []value.Value) value.Value {
	sum := value.Int32(0)
	for _, v := range list {
		if v.IsNumber() {
			sum = grow(value.Add, sum, v)
		}
	}
	return sum
}

// Avg is the mean of the numbers of a list; null for none.
func Avg(list []value.Value) value.Value {
	sum, n := value.Int32(0), int32(0)
	for _, v := range list {
		if v.IsNumber() {
			sum = grow(value.Add, sum, v)
			n++
		}
	}
	if n == 0 {
		return value.Null()
	}
	if sum.Type == bson.TypeDecimal128 {
		return value.DivideDecimals(sum, value.Int32(n))
	}
	return value.Double(sum.Float() / float64(n))
}

// Min is the lowest value that is neither null nor missing; null for none.
func Min(list []value.Value) value.Value { return extreme(list, -1) }

// Max is the highest value that is neither null nor missing; null for none.
func Max(list []value.Value) value.Value { return extreme(list, 1) }

func extreme(list []value.Value, sign int) value.Value {
	out := value.Null()
	for _, v := range list {
		if !v.Nullish() && (out.Type == bson.TypeNull || value.Compare(v, out)*sign > 0) {
			out = v
		}
	}
	return out
}
