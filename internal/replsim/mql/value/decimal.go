package value

import (
	"cmp"
	"math"
	"math/big"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// decimal is an unpacked 128-bit decimal: coefficient times ten to the exponent, or a special value.
type decimal struct {
	coef *big.Int // with sign; nil for special values
	exp  int
	inf  int // -1, 1, or 0
	neg0 bool
}

const (
	decimalDigits = 34
	decimalMinExp = -6176
	decimalMaxExp = 6111
)

var ten = big.NewInt(10)

func pow10(n int) *big.Int { return new(big.Int).Exp(ten, big.NewInt(int64(n)), nil) }

var decimalLimit = pow10(decimalDigits)

func (d decimal) nan() bool { return d.coef == nil && d.inf == 0 }

func (d decimal) zero() bool { return d.coef != nil && d.coef.Sign() == 0 }

func unpack(v bson.Decimal128) decimal {
	switch {
	case v.IsNaN():
		return decimal{}
	case v.IsInf() != 0:
		return decimal{inf: v.IsInf()}
	}
	b, exp, err := v.BigInt()
	if err != nil {
		return decimal{}
	}
	if new(big.Int).Abs(b).Cmp(decimalLimit) >= 0 {
		b = new(big.Int) // not canonical: the standard reads it as zero
	}
	h, _ := v.GetBytes()
	return decimal{coef: b, exp: exp, neg0: b.Sign() == 0 && h>>63 == 1}
}

// pack rounds half to even to 34 digits and to the range of exponents.
func (d decimal) pack() bson.Decimal128 {
	const nan, inf = uint64(0x7c) << 56, uint64(0x78) << 56
	sign := uint64(0)
	if d.inf < 0 || d.neg0 || d.coef != nil && d.coef.Sign() < 0 {
		sign = 1 << 63
	}
	if d.inf != 0 {
		return bson.NewDecimal128(inf|sign, 0)
	}
	if d.nan() {
		return bson.NewDecimal128(nan, 0)
	}
	d = d.round(decimalDigits)
	if d.exp < decimalMinExp {
		d = d.quantize(decimalMinExp)
	}
	if d.exp > decimalMaxExp && d.coef.Sign() != 0 {
		grown := new(big.Int).Mul(d.coef, pow10(min(d.exp-decimalMaxExp, decimalDigits+1)))
		if new(big.Int).Abs(grown).Cmp(decimalLimit) >= 0 {
			return bson.NewDecimal128(inf|sign, 0)
		}
		d.coef, d.exp = grown, decimalMaxExp
	}
	exp := max(min(d.exp, decimalMaxExp), decimalMinExp)
	out, _ := bson.ParseDecimal128FromBigInt(new(big.Int).Abs(d.coef), exp)
	h, l := out.GetBytes()
	return bson.NewDecimal128(h|sign, l)
}

func digits(b *big.Int) int {
	if b.Sign() == 0 {
		return 1
	}
	return len(new(big.Int).Abs(b).Text(10))
}

// round keeps at most n digits.
func (d decimal) round(n int) decimal {
	if over := digits(d.coef) - n; over > 0 {
		d = d.quantize(d.exp + over)
		if digits(d.coef) > n { // 99..9 became 100..0
			d.coef, d.exp = new(big.Int).Quo(d.coef, ten), d.exp+1
		}
	}
	return d
}

// quantize gives the value that exponent, half to even.
func (d decimal) quantize(exp int) decimal {
	if exp <= d.exp {
		d.coef = new(big.Int).Mul(d.coef, pow10(d.exp-exp))
		d.exp = exp
		return d
	}
	shift := exp - d.exp
	if shift > digits(d.coef)+1 {
		return decimal{coef: new(big.Int), exp: exp, neg0: d.coef.Sign() < 0 || d.neg0}
	}
	unit := pow10(shift)
	q, r := new(big.Int).QuoRem(new(big.Int).Abs(d.coef), unit, new(big.Int))
	if c := r.Lsh(r, 1).Cmp(unit); c > 0 || c == 0 && q.Bit(0) == 1 {
		q.Add(q, big.NewInt(1))
	}
	neg := d.coef.Sign() < 0 || d.neg0
	if neg {
		q.Neg(q)
	}
	return decimal{coef: q, exp: exp, neg0: neg && q.Sign() == 0}
}

// decimalOf widens any number; a double takes 15 digits, as the server does in arithmetic.
func decimalOf(v Value) decimal {
	switch v.Type {
	case bson.TypeInt32, bson.TypeInt64:
		return decimal{coef: big.NewInt(v.Int())}
	case bson.TypeDouble:
		return decimalFromDouble(v.Double())
	case bson.TypeDecimal128:
		return unpack(v.Decimal())
	}
	return decimal{}
}

func decimalFromDouble(f float64) decimal {
	switch {
	case math.IsNaN(f):
		return decimal{}
	case math.IsInf(f, 0):
		return decimal{inf: int(math.Copysign(1, f))}
	case f == 0:
		return decimal{coef: new(big.Int), neg0: math.Signbit(f)}
	}
	s := strconv.FormatFloat(math.Abs(f), 'e', 14, 64) // d.dddddddddddddde±xx
	exp, _ := strconv.Atoi(s[17:])
	coef, _ := new(big.Int).SetString(s[:1]+s[2:16], 10)
	if f < 0 {
		coef.Neg(coef)
	}
	return decimal{coef: coef, exp: exp - 14}
}

func (d decimal) rat() *big.Rat {
	r := new(big.Rat).SetInt(d.coef)
	if d.exp >= 0 {
		return r.Mul(r, new(big.Rat).SetInt(pow10(d.exp)))
	}
	return r.Quo(r, new(big.Rat).SetInt(pow10(-d.exp)))
}

func decimalWhole(v bson.Decimal128) (int64, bool) {
	d := unpack(v)
	if d.coef == nil {
		return 0, false
	}
	if d.zero() {
		return 0, true
	}
	if d.exp > 19 {
		return 0, false
	}
	r := d.rat()
	if !r.IsInt() || !r.Num().IsInt64() {
		return 0, false
	}
	return r.Num().Int64(), true
}

func decimalFloat(v bson.Decimal128) float64 {
	d := unpack(v)
	switch {
	case d.nan():
		return math.NaN()
	case d.inf != 0:
		return math.Inf(d.inf)
	case d.zero() && d.neg0:
		return math.Copysign(0, -1)
	}
	f, err := strconv.ParseFloat(d.coef.Text(10)+"e"+strconv.Itoa(d.exp), 64)
	if err != nil && !math.IsInf(f, 0) {
		return 0
	}
	return f
}

// compareWithDecimal compares exactly if at least one side is a decimal.
func compareWithDecimal(a, b Value) int {
	ca, cb := numberClass(a), numberClass(b)
	if ca != cb || ca != classFinite {
		return cmp.Compare(ca, cb)
	}
	ra, rb := exact(a), exact(b)
	if c := cmp.Compare(ra.coef.Sign(), rb.coef.Sign()); c != 0 {
		return c
	}
	// Different magnitudes are told apart without building large powers.
	if ma, mb := digits(ra.coef)+ra.exp, digits(rb.coef)+rb.exp; ma != mb && ra.coef.Sign() != 0 {
		return cmp.Compare(ma, mb) * ra.coef.Sign()
	}
	low := min(ra.exp, rb.exp)
	return ra.quantize(low).coef.Cmp(rb.quantize(low).coef)
}

const (
	classNaN = iota
	classNegative
	classFinite
	classPositive
)

func numberClass(v Value) int {
	inf, nan := 0, false
	switch v.Type {
	case bson.TypeDouble:
		f := v.Double()
		nan = math.IsNaN(f)
		if math.IsInf(f, 0) {
			inf = int(math.Copysign(1, f))
		}
	case bson.TypeDecimal128:
		d := unpack(v.Decimal())
		nan, inf = d.nan(), d.inf
	}
	switch {
	case nan:
		return classNaN
	case inf < 0:
		return classNegative
	case inf > 0:
		return classPositive
	}
	return classFinite
}

// exact gives the finite number without rounding; every double is a finite decimal.
func exact(v Value) decimal {
	if v.Type != bson.TypeDouble {
		return decimalOf(v)
	}
	mant, exp := math.Frexp(v.Double())
	coef := big.NewInt(int64(mant * (1 << 53)))
	exp -= 53
	if exp >= 0 {
		return decimal{coef: coef.Lsh(coef, uint(exp))}
	}
	// m / 2^n = m * 5^n / 10^n
	return decimal{coef: coef.Mul(coef, new(big.Int).Exp(big.NewInt(5), big.NewInt(int64(-exp)), nil)), exp: exp}
}

func addDecimals(a, b decimal) decimal {
	switch {
	case a.nan() || b.nan() || a.inf*b.inf < 0:
		return decimal{}
	case a.inf != 0:
		return a
	case b.inf != 0:
		return b
	case a.exp-b.exp > 100 && !a.zero(): // keep powers small: the far smaller side only nudges the last digit
		b = decimal{coef: big.NewInt(int64(b.coef.Sign())), exp: a.exp - 80}
	case b.exp-a.exp > 100 && !b.zero():
		a = decimal{coef: big.NewInt(int64(a.coef.Sign())), exp: b.exp - 80}
	}
	low := min(a.exp, b.exp)
	sum := new(big.Int).Add(a.quantize(low).coef, b.quantize(low).coef)
	return decimal{coef: sum, exp: low, neg0: a.neg0 && b.neg0}
}

func (d decimal) negate() decimal {
	if d.coef != nil {
		d.coef = new(big.Int).Neg(d.coef)
		d.neg0 = d.coef.Sign() == 0 && !d.neg0
	}
	d.inf = -d.inf
	return d
}

func (d decimal) sign() int {
	switch {
	case d.inf != 0:
		return d.inf
	case d.neg0 || d.coef != nil && d.coef.Sign() < 0:
		return -1
	}
	return 1
}

func mulDecimals(a, b decimal) decimal {
	switch {
	case a.nan() || b.nan() || a.inf != 0 && b.zero() || b.inf != 0 && a.zero():
		return decimal{}
	case a.inf != 0 || b.inf != 0:
		return decimal{inf: a.sign() * b.sign()}
	}
	p := new(big.Int).Mul(a.coef, b.coef)
	return decimal{coef: p, exp: a.exp + b.exp, neg0: p.Sign() == 0 && a.sign()*b.sign() < 0}
}

// quoDecimals divides; the result has as few digits as an exact quotient allows.
func quoDecimals(a, b decimal) decimal {
	switch {
	case a.nan() || b.nan() || a.inf != 0 && b.inf != 0 || a.zero() && b.zero():
		return decimal{}
	case a.inf != 0 || b.zero():
		return decimal{inf: a.sign() * b.sign()}
	case b.inf != 0:
		return decimal{coef: new(big.Int), neg0: a.sign()*b.sign() < 0}
	}
	want := a.exp - b.exp
	shift := max(0, decimalDigits+2+digits(b.coef)-digits(a.coef))
	q, r := new(big.Int).QuoRem(new(big.Int).Mul(a.coef, pow10(shift)), b.coef, new(big.Int))
	out := decimal{coef: q, exp: want - shift}
	if r.Sign() != 0 { // a sticky digit decides ties
		out.coef = q.Mul(q, ten)
		out.coef.Add(out.coef, big.NewInt(int64(a.coef.Sign()*b.coef.Sign())))
		out.exp--
		return out.round(decimalDigits)
	}
	for out.exp < want {
		q, r := new(big.Int).QuoRem(out.coef, ten, new(big.Int))
		if r.Sign() != 0 {
			break
		}
		out.coef, out.exp = q, out.exp+1
	}
	return out
}
