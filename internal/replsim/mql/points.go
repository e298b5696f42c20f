package mql

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/value"
)

// Bounds are limits on encoded values (see Encode); an empty Low or High is open.
type Bounds struct {
	Low, High               string
	ExcludeLow, ExcludeHigh bool
}

// Points gives the values that the path must be equal to in any match ({path: v}, $eq, $in), for a look-up by index.
// ok is false if the filter does not say, or says it with null, an array or a regular expression.
func (f *Filter) Points(path string) (values []bson.RawValue, ok bool) {
	for _, c := range f.conditions(path) {
		l, isLeaf := c.(*leafCond)
		if !isLeaf {
			continue
		}
		var list []value.Value
		switch x := l.leaf.(type) {
		case comparison:
			if x.rel != relEq {
				continue
			}
			list = []value.Value{x.rhs}
		case *membership:
			if len(x.regexes) > 0 {
				continue
			}
			list = x.values
		default:
			continue
		}
		if out, plain := plainValues(list); plain && (!ok || len(out) < len(values)) {
			values, ok = out, true
		}
	}
	return values, ok
}

func plainValues(list []value.Value) ([]bson.RawValue, bool) {
	out := make([]bson.RawValue, 0, len(list))
	for _, v := range list {
		if v.Nullish() || v.Type == bson.TypeArray {
			return nil, false
		}
		out = append(out, v.Raw())
	}
	return out, true
}

// Range gives the bounds that the path's values must lie in in any match; Bounds without limits if the filter does not say.
// It holds for paths whose values are never arrays, such as _id.
func (f *Filter) Range(path string) Bounds {
	var b Bounds
	for _, c := range f.conditions(path) {
		l, isLeaf := c.(*leafCond)
		if !isLeaf {
			continue
		}
		x, isComparison := l.leaf.(comparison)
		if !isComparison || x.rhs.Nullish() || x.rhs.Type == bson.TypeMinKey || x.rhs.Type == bson.TypeMaxKey || value.IsNaN(x.rhs) {
			continue
		}
		key := value.Key(x.rhs)
		low, high := rankLimits(key)
		switch x.rel {
		case relEq:
			b.raise(limit{key: key})
			b.lower(limit{key: key})
		case relGt, relGte:
			b.raise(limit{key, x.rel == relGt})
			b.lower(limit{high, true})
		case relLt, relLte:
			b.lower(limit{key, x.rel == relLt})
			b.raise(limit{key: low})
		}
	}
	return b
}

// rankLimits brackets all values of the rank that an encoded value has.
func rankLimits(key string) (low, high string) {
	return key[:1], string([]byte{key[0] + 1})
}

type limit struct {
	key     string
	exclude bool
}

func (b *Bounds) raise(l limit) {
	if b.Low == "" || l.key > b.Low || l.key == b.Low && l.exclude {
		b.Low, b.ExcludeLow = l.key, l.exclude
	}
}

func (b *Bounds) lower(l limit) {
	if b.High == "" || l.key < b.High || l.key == b.High && l.exclude {
		b.High, b.ExcludeHigh = l.key, l.exclude
	}
}

// Contains says whether an encoded value lies within.
func (b Bounds) Contains(key string) bool {
	switch {
	case b.Low != "" && (key < b.Low || key == b.Low && b.ExcludeLow):
		return false
	case b.High != "" && (key > b.High || key == b.High && b.ExcludeHigh):
		return false
	}
	return true
}

// conditions gives what must hold for a path in every match.
func (f *Filter) conditions(path string) []condition {
	var out []condition
	var walk func(n node)
	walk = func(n node) {
		switch n := n.(type) {
		case andNode:
			for _, x := range n {
				walk(x)
			}
		case *pathNode:
			if n.name != path {
				return
			}
			if all, ok := n.cond.(*allCond); ok && all.op.name == "" {
				out = append(out, all.conds...)
				return
			}
			out = append(out, n.cond)
		}
	}
	walk(f.root)
	return out
}

// Equality is a path and the value that a filter demands there.
type Equality struct {
	Path  string
	Value bson.RawValue
}

// Equalities gives the equality conditions of the filter, which an upsert puts into its document, in the order written;
// conditions below $or count if it has one branch.
func (f *Filter) Equalities() []Equality {
	var out []Equality
	var walk func(n node)
	add := func(path string, c condition) {
		if l, ok := c.(*leafCond); ok {
			switch x := l.leaf.(type) {
			case comparison:
				if x.rel == relEq {
					out = append(out, Equality{path, x.rhs.Raw()})
				}
			case *membership:
				if len(x.values) == 1 && len(x.regexes) == 0 {
					out = append(out, Equality{path, x.values[0].Raw()})
				}
			}
		}
	}
	walk = func(n node) {
		switch n := n.(type) {
		case andNode:
			for _, x := range n {
				walk(x)
			}
		case orNode:
			if len(n) == 1 {
				walk(n[0])
			}
		case *pathNode:
			if all, ok := n.cond.(*allCond); ok {
				for _, c := range all.conds {
					add(n.name, c)
				}
				return
			}
			add(n.name, n.cond)
		}
	}
	walk(f.root)
	return out
}
