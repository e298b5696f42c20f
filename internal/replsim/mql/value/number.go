package value

import (
	"math"
	"math/bits"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Widest gives the type of a result: decimal over double over long over int.
func Widest(a, b bson.Type) bson.Type {
	for _, t := range []bson.Type{bson.TypeDecimal128, bson.TypeDouble, bson.TypeInt64} {
		if a == t || b == t {
			return t
		}
	}
	return bson.TypeInt32
}

// Add adds numbers of any types. Ints grow to longs; ok is false if a sum of longs does not fit.
func Add(a, b Value) (sum Value, ok bool) {
	switch t := Widest(a.Type, b.Type); t {
	case bson.TypeDecimal128:
		return Decimal(addDecimals(decimalOf(a), decimalOf(b)).pack()), true
	case bson.TypeDouble:
		return Double(a.Float() + b.Float()), true
	default:
		x, y := a.Int(), b.Int()
		s := x + y
		if (x > 0) == (y > 0) && (s > 0) != (x > 0) && x != 0 && y != 0 {
			return Value{}, false
		}
		return integer(t, s), true
	}
}

// Subtract is Add of the negative.
func Subtract(a, b Value) (difference Value, ok bool) {
	switch t := Widest(a.Type, b.Type); t {
	case bson.TypeDecimal128:
		return Decimal(addDecimals(decimalOf(a), decimalOf(b).negate()).pack()), true
	case bson.TypeDouble:
		return Double(a.Float() - b.Float()), true
	default:
		x, y := a.Int(), b.Int()
		d := x - y
		if (y < 0) != (d > x) && y != 0 {
			return Value{}, false
		}
		return integer(t, d), true
	}
}

// Multiply multiplies numbers of any types. Ints grow to longs; ok is false if a product of longs does not fit.
func Multiply(a, b Value) (product Value, ok bool) {
	switch t := Widest(a.Type, b.Type); t {
	case bson.TypeDecimal128:
		return Decimal(mulDecimals(decimalOf(a), decimalOf(b)).pack()), true
	case bson.TypeDouble:
		return Double(a.Float() * b.Float()), true
	default:
		p, fits := multiplyLongs(a.Int(), b.Int())
		if !fits {
			return Value{}, false
		}
		return integer(t, p), true
	}
}

// DivideDecimals divides numbers as decimals.
func DivideDecimals(a, b Value) Value {
	return Decimal(quoDecimals(decimalOf(a), decimalOf(b)).pack())
}

// integer keeps an int32 where the operands were ints and the result fits.
func integer(t bson.Type, n int64) Value {
	if t == bson.TypeInt32 {
		return IntOrLong(n)
	}
	return Int64(n)
}

func multiplyLongs(x, y int64) (int64, bool) {
	if x == 0 || y == 0 {
		return 0, true
	}
	if x == math.MinInt64 || y == math.MinInt64 {
		return x * y, x == 1 || y == 1
	}
	hi, lo := bits.Mul64(uint64(max(x, -x)), uint64(max(y, -y)))
	p := x * y
	return p, hi == 0 && (lo < 1<<63 || lo == 1<<63 && p < 0) && ((x < 0) != (y < 0)) == (p < 0)
}

// ToDecimal converts a number as $toDecimal does.
func ToDecimal(v Value) Value { return Decimal(decimalOf(v).pack()) }

// RoundDecimal rounds a decimal to a number of places after the point: half to even, or towards zero.
func RoundDecimal(v Value, places int, towardsZero Rounding) Value {
	d := unpack(v.Decimal())
	if d.coef == nil || -d.exp <= places {
		return v
	}
	if towardsZero == Down {
		unit := pow10(min(-places-d.exp, 40))
		d.coef.Quo(d.coef, unit)
		return Decimal(decimal{coef: d.coef, exp: -places}.pack())
	}
	return Decimal(d.quantize(-places).pack())
}

// Rounding is a direction of rounding.
type Rounding int

// The directions: to the nearest, ties to even; towards zero.
const (
	HalfEven Rounding = iota
	Down
)
