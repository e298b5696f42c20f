package mql

import (
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/value"
)

// leaf tests one value; a missing value is tested too.
type leaf interface {
	test(v value.Value, r *run) bool
}

// relation is a comparison operator.
type relation int

const (
	relEq relation = iota
	relLt
	relLte
	relGt
	relGte
)

type comparison struct {
	rel relation
	rhs value.Value
}

// test compares within one rank of types only; MinKey and MaxKey are below and above all others.
func (c comparison) test(v value.Value, _ *run) bool {
	rv, rr := value.Rank(v.Type), value.Rank(c.rhs.Type)
	if rv != rr {
		if rv+rr == 5 && min(rv, rr) == 0 { // null, undefined and missing
			return c.rel == relEq || c.rel == relLte || c.rel == relGte
		}
		switch c.rhs.Type {
		case bson.TypeMaxKey:
			return c.rel == relLt || c.rel == relLte
		case bson.TypeMinKey:
			return c.rel == relGt || c.rel == relGte
		}
		return false
	}
	if rv == 10 && (value.IsNaN(v) || value.IsNaN(c.rhs)) {
		return value.IsNaN(v) && value.IsNaN(c.rhs) && c.rel != relLt && c.rel != relGt
	}
	x := value.Compare(v, c.rhs)
	switch c.rel {
	case relEq:
		return x == 0
	case relLt:
		return x < 0
	case relLte:
		return x <= 0
	case relGt:
		return x > 0
	}
	return x >= 0
}

// membership is $in. Long lists are looked up by key.
type membership struct {
	values  []value.Value
	keys    map[string]bool
	null    bool
	regexes []regex
}

const membershipLinear = 8

func newMembership(values []value.Value, regexes []regex) *membership {
	m := &membership{values: values, regexes: regexes}
	for _, v := range values {
		m.null = m.null || v.Type == bson.TypeNull
	}
	if len(values) > membershipLinear {
		m.keys = make(map[string]bool, len(values))
		for _, v := range values {
			m.keys[value.Key(v)] = true
		}
	}
	return m
}

func (m *membership) test(v value.Value, r *run) bool {
	if m.null && v.Nullish() {
		return true
	}
	if !v.Exists() {
		return false
	}
	if m.keys != nil {
		var buf [64]byte
		if m.keys[string(value.Encode(buf[:0], v))] {
			return true
		}
	} else {
		for _, x := range m.values {
			if value.Equal(x, v) {
				return true
			}
		}
	}
	for _, x := range m.regexes {
		if x.test(v, r) {
			return true
		}
	}
	return false
}

// regex is $regex.
type regex struct{ value.Regexp }

func newRegex(pattern, flags string) (regex, error) {
	x, err := value.CompileRegexp(pattern, flags)
	return regex{x}, err
}

func (x regex) test(v value.Value, _ *run) bool { return x.Match(v) }

type exists struct{}

func (exists) test(v value.Value, _ *run) bool { return v.Exists() }

// types is a set of types: $type.
type types map[bson.Type]bool

func (t types) test(v value.Value, _ *run) bool { return v.Exists() && t[v.Type] }

type modulus struct{ divisor, remainder int64 }

func (m modulus) test(v value.Value, _ *run) bool {
	if !v.IsNumber() {
		return false
	}
	f := v.Float()
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return false
	}
	if m.divisor == -1 {
		return m.remainder == 0
	}
	return v.Truncated()%m.divisor == m.remainder
}

type arraySize int64

func (n arraySize) test(v value.Value, _ *run) bool {
	return v.Type == bson.TypeArray && int64(v.Len()) == int64(n)
}

// elemMatchDocument is $elemMatch with field names: some element is a document that satisfies the filter.
type elemMatchDocument struct{ filter node }

func (m elemMatchDocument) test(v value.Value, r *run) bool {
	if v.Type != bson.TypeArray {
		return false
	}
	i := 0
	for it := value.Iterate(bson.Raw(v.Data)); it.Next(); i++ {
		if d := it.Value().Document(); d != nil && m.filter.match(d, r) {
			r.found(i)
			return true
		}
	}
	return false
}

// elemMatchValue is $elemMatch with operators: some element satisfies all of them.
type elemMatchValue struct{ cond condition }

func (m elemMatchValue) test(v value.Value, r *run) bool {
	if v.Type != bson.TypeArray {
		return false
	}
	i := 0
	for it := value.Iterate(bson.Raw(v.Data)); it.Next(); i++ {
		if m.cond.single(it.Value(), r) {
			r.found(i)
			return true
		}
	}
	return false
}

// bitTest is the $bits family.
type bitTest struct {
	positions []uint
	set, any  bool // wanted state; one bit is enough
}

func (b bitTest) test(v value.Value, _ *run) bool {
	var bit func(p uint) bool
	switch {
	case v.IsNumber():
		n, whole := v.Whole()
		if !whole {
			return false
		}
		bit = func(p uint) bool { return n>>min(p, 63)&1 == 1 }
	case v.Type == bson.TypeBinary:
		_, data := v.Binary()
		bit = func(p uint) bool { return int(p/8) < len(data) && data[p/8]>>(p%8)&1 == 1 }
	default:
		return false
	}
	for _, p := range b.positions {
		if (bit(p) == b.set) == b.any {
			return b.any
		}
	}
	return !b.any
}
