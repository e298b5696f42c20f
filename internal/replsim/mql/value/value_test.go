package value_test

import (
	"math"
	"math/rand"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/value"
)

func dec(t *testing.T, s string) value.Value {
	t.Helper()
	d, err := bson.ParseDecimal128(s)
	if err != nil {
		t.Fatal(err)
	}
	return value.Decimal(d)
}

// rising is a list of values in the server's order; values in one row are equal.
func rising(t *testing.T) [][]value.Value {
	doc := func(v any) value.Value {
		b, err := bson.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return value.Doc(b)
	}
	return [][]value.Value{
		{{Type: bson.TypeMinKey}},
		{{}, {Type: bson.TypeUndefined}},
		{value.Null()},
		{value.Double(math.NaN()), dec(t, "NaN")},
		{value.Double(math.Inf(-1)), dec(t, "-Infinity")},
		{dec(t, "-1E+400")},
		{value.Int64(math.MinInt64), value.Double(-(1 << 63))},
		{value.Int64(-(1 << 53) - 1), dec(t, "-9007199254740993")},
		{value.Int32(-1), value.Double(-1), dec(t, "-1.00")},
		{dec(t, "-1E-6000")},
		{value.Int32(0), value.Int64(0), value.Double(math.Copysign(0, -1)), dec(t, "0E+3"), dec(t, "-0")},
		{dec(t, "1E-6000")},
		{dec(t, "0.1")},
		{value.Double(0.1)},
		{value.Int32(7), value.Double(7), dec(t, "7.000")},
		{value.Int64(1 << 53), value.Double(1 << 53)},
		{value.Int64(1<<53 + 1), dec(t, "9007199254740993.0")},
		{dec(t, "9007199254740993.5")},
		{value.Double(1<<53 + 2), value.Int64(1<<53 + 2)},
		{value.Int64(math.MaxInt64), dec(t, "9223372036854775807")},
		{value.Double(1 << 63), dec(t, "9223372036854775808")},
		{value.Double(math.MaxFloat64)},
		{dec(t, "1E+400")},
		{value.Double(math.Inf(1)), dec(t, "Infinity")},
		{value.String("")},
		{value.String("\x00")},
		{value.String("a"), {Type: bson.TypeSymbol, Data: value.String("a").Data}},
		{value.String("a\x00b")},
		{value.String("ab")},
		{value.String("ü")},
		{doc(bson.D{})},
		{doc(bson.D{{Key: "b", Value: 1}})},
		{doc(bson.D{{Key: "b", Value: 1}, {Key: "a", Value: 1}})},
		{doc(bson.D{{Key: "a", Value: "x"}})},
		{value.Array()},
		{value.Array(value.Value{Type: bson.TypeMinKey})},
		{value.Array(value.Int32(1))},
		{value.Array(value.Int32(1), value.Null())},
		{value.Array(value.Int32(2))},
		{{Type: bson.TypeBinary, Data: []byte{1, 0, 0, 0, 5, 9}}},
		{{Type: bson.TypeBinary, Data: []byte{2, 0, 0, 0, 0, 1, 1}}},
		{{Type: bson.TypeBinary, Data: []byte{2, 0, 0, 0, 4, 0, 0}}},
		{value.ObjectID(bson.ObjectID{1})},
		{value.ObjectID(bson.ObjectID{2})},
		{value.Bool(false)},
		{value.Bool(true)},
		{value.Date(-1)},
		{value.Date(5)},
		{value.Timestamp(bson.Timestamp{T: 1, I: 9})},
		{value.Timestamp(bson.Timestamp{T: 1 << 31, I: 0})},
		{{Type: bson.TypeRegex, Data: []byte("a\x00\x00")}},
		{{Type: bson.TypeRegex, Data: []byte("a\x00i\x00")}},
		{{Type: bson.TypeJavaScript, Data: value.String("f").Data}},
		{{Type: bson.TypeMaxKey}},
	}
}

// The order of types and, within them, of values; the encoded form must agree everywhere.
func TestCompareAndEncodeAgree(t *testing.T) {
	rows := rising(t)
	for i, a := range rows {
		for j, b := range rows {
			want := min(1, max(-1, i-j))
			for _, x := range a {
				for _, y := range b {
					if got := value.Compare(x, y); got != want {
						t.Errorf("Compare(%s, %s) = %d, want %d", value.Text(x), value.Text(y), got, want)
					}
					if got := strings.Compare(value.Key(x), value.Key(y)); got != want {
						t.Errorf("encoded %s and %s order as %d, want %d", value.Text(x), value.Text(y), got, want)
					}
				}
			}
		}
	}
}

func TestEncodeAgreesOnRandomNumbers(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	number := func() value.Value {
		base := int64(1) << r.Intn(63)
		n := (base + r.Int63n(5) - 2) * (1 - 2*r.Int63n(2))
		switch r.Intn(4) {
		case 0:
			return value.Int64(n)
		case 1:
			return value.Double(float64(n) + float64(r.Intn(3))/2)
		case 2:
			return value.Double(math.Ldexp(r.Float64(), r.Intn(60)-30))
		}
		return value.ToDecimal(value.Int64(n))
	}
	for range 20000 {
		x, y := number(), number()
		if c, e := value.Compare(x, y), strings.Compare(value.Key(x), value.Key(y)); c != e {
			t.Fatalf("%s against %s: compare %d, encoded %d", value.Text(x), value.Text(y), c, e)
		}
	}
}

func TestArithmetic(t *testing.T) {
	type op func(a, b value.Value) (value.Value, bool)
	for _, c := range []struct {
		name string
		op   op
		a, b value.Value
		want string
	}{
		{"ints grow", value.Add, value.Int32(math.MaxInt32), value.Int32(1), "long 2147483648"},
		{"ints stay", value.Add, value.Int32(2), value.Int32(3), "int 5"},
		{"long stays long", value.Add, value.Int64(2), value.Int32(3), "long 5"},
		{"long overflow", value.Add, value.Int64(math.MaxInt64), value.Int32(1), "missing EOO"},
		{"long product overflow", value.Multiply, value.Int64(math.MinInt64), value.Int32(-1), "missing EOO"},
		{"least long", value.Multiply, value.Int64(1 << 62), value.Int32(-2), "long -9223372036854775808"},
		{"double", value.Add, value.Double(1.5), value.Int32(1), "double 2.5"},
		{"decimal keeps zeros", value.Add, dec(t, "1.10"), value.Int32(2), "decimal 3.10"},
		{"a double has 15 digits", value.Add, dec(t, "1"), value.Double(0.1), "decimal 1.100000000000000"},
		{"decimal product", value.Multiply, dec(t, "1.10"), dec(t, "2.0"), "decimal 2.200"},
		{"zero of a decimal", value.Multiply, dec(t, "1.1"), value.Int32(0), "decimal 0.0"},
		{"subtract", value.Subtract, value.Int64(math.MinInt64), value.Int32(1), "missing EOO"},
		{"subtract least", value.Subtract, value.Int64(-1), value.Int64(math.MinInt64), "long 9223372036854775807"},
	} {
		got, _ := c.op(c.a, c.b)
		if s := value.TypeName(got.Type) + " " + value.Text(got); s != c.want {
			t.Errorf("%s: %s, want %s", c.name, s, c.want)
		}
	}
	if got := value.Text(value.DivideDecimals(value.Int32(1), value.Int32(3))); got != "0.3333333333333333333333333333333333" {
		t.Errorf("a third is %s", got)
	}
	if got := value.Text(value.DivideDecimals(value.Int32(10), value.Int32(4))); got != "2.5" {
		t.Errorf("ten quarters are %s", got)
	}
}

func TestText(t *testing.T) {
	doc := bson.D{
		{Key: "i", Value: int32(1)}, {Key: "d", Value: 2.0}, {Key: "f", Value: 2.5}, {Key: "s", Value: "x\"y"},
		{Key: "e", Value: bson.D{}}, {Key: "a", Value: bson.A{int64(1), "b"}}, {Key: "t", Value: bson.Timestamp{T: 1, I: 2}},
		{Key: "n", Value: nil}, {Key: "dt", Value: bson.DateTime(5)}, {Key: "b", Value: true}, {Key: "big", Value: 1e20}, {Key: "third", Value: 1.0 / 3},
		{Key: "u", Value: bson.Binary{Subtype: 4, Data: []byte("0123456789abcdef")}},
	}
	raw, err := bson.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	want := `{ i: 1, d: 2.0, f: 2.5, s: "x"y", e: {}, a: [ 1, "b" ], t: Timestamp(1, 2), n: null, dt: new Date(5), b: true, ` +
		`big: 1e+20.0, third: 0.3333333333333333, u: UUID("30313233-3435-3637-3839-616263646566") }`
	if got := value.Text(value.Doc(raw)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestIteratorStopsAtDamage(t *testing.T) {
	raw, err := bson.Marshal(bson.D{{Key: "a", Value: "text"}, {Key: "b", Value: bson.D{{Key: "c", Value: 1}}}})
	if err != nil {
		t.Fatal(err)
	}
	if !value.Valid(raw, 10) || value.Valid(raw, 0) {
		t.Error("the sound document is judged wrong")
	}
	for i := range raw {
		for _, x := range []byte{0, 1, 0x7f, 0xff} {
			damaged := append(bson.Raw{}, raw...)
			damaged[i] ^= x
			_ = value.Text(value.Doc(damaged))
			_ = value.Key(value.Doc(damaged))
		}
		if value.Valid(raw[:i], 10) {
			t.Errorf("the first %d bytes pass as a document", i)
		}
	}
}
