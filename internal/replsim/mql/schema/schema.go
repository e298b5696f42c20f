// Package schema is $jsonSchema: rules on the shape of documents.
//
// A schema becomes a list of rules, one per keyword; a rule about fields or elements holds lists of rules of its own. A rule holds
// for values that its keyword is not about. What failed can be explained in the form of the server's validation errors.
//
// It does not fetch other schemas: references are refused.
package schema

import (
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/value"
)

// Schema is a compiled schema. It is safe for concurrent use.
type Schema struct{ rules []rule }

// maxDepth is how deep schemas may nest.
const maxDepth = 100

type reader struct{ depth int }

// Compile reads the argument of $jsonSchema.
func Compile(v value.Value) (*Schema, error) {
	if v.Type != bson.TypeEmbeddedDocument {
		return nil, mismatch("$jsonSchema must be an object")
	}
	rules, err := (&reader{}).rules(v)
	return &Schema{rules}, err
}

// Holds says whether a value satisfies the schema.
func (s *Schema) Holds(v value.Value) bool { return satisfied(s.rules, v) }

// Explain describes each keyword that a value does not satisfy.
func (s *Schema) Explain(v value.Value) []value.Value { return explainRules(s.rules, v) }

// rule is one keyword of a schema. It holds for values to which the keyword does not apply.
type rule struct {
	name  string
	arg   value.Value
	holds func(v value.Value) bool
	// explain gives more about a failure: the fields of its document.
	explain func(b []byte, v value.Value) []byte
}

func satisfied(rules []rule, v value.Value) bool {
	return !slices.ContainsFunc(rules, func(r rule) bool { return !r.holds(v) })
}

func mismatch(format string, args ...any) error {
	return value.Errorf(value.TypeMismatch, format, args...)
}

func (c *reader) rules(v value.Value) ([]rule, error) {
	if c.depth++; c.depth > maxDepth {
		return nil, value.Errorf(value.BadValue, "Maximum number of nested $jsonSchema exceeded")
	}
	defer func() { c.depth-- }()
	doc := bson.Raw(v.Data)
	var out []rule
	for it := value.Iterate(doc); it.Next(); {
		r := rule{name: string(it.Key()), arg: it.Value()}
		var err error
		switch r.name {
		case "title", "description":
			if r.arg.Type != bson.TypeString {
				return nil, mismatch("$jsonSchema keyword '%s' must be of type string", r.name)
			}
			continue
		case "additionalItems", "exclusiveMinimum", "exclusiveMaximum":
			continue // read with their partners
		case "type", "bsonType":
			r.holds, err = typeRule(r)
		case "required":
			err = requiredRule(&r)
		case "properties", "patternProperties", "additionalProperties", "dependencies":
			err = c.objectRule(&r, doc)
		case "items", "minItems", "maxItems", "uniqueItems":
			err = c.arrayRule(&r, doc)
		case "allOf", "anyOf", "oneOf", "not":
			err = c.logicRule(&r)
		case "enum":
			if r.arg.Type != bson.TypeArray {
				return nil, mismatch("$jsonSchema keyword 'enum' must be an array")
			}
			list := r.arg.Elements()
			r.holds = func(v value.Value) bool {
				return slices.ContainsFunc(list, func(x value.Value) bool { return value.Equal(x, v) })
			}
		default:
			r.holds, err = c.scalarRule(r, doc)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// jsonTypes are the type names of JSON Schema.
var jsonTypes = map[string][]bson.Type{
	"object": {bson.TypeEmbeddedDocument}, "array": {bson.TypeArray}, "string": {bson.TypeString}, "boolean": {bson.TypeBoolean},
	"null": {bson.TypeNull}, "number": {bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128},
}

func typeRule(r rule) (func(value.Value) bool, error) {
	if r.name == "bsonType" {
		set, err := value.TypeSet(r.arg, "$jsonSchema keyword 'bsonType'")
		return func(v value.Value) bool { return set[v.Type] }, err
	}
	set := map[bson.Type]bool{}
	list := []value.Value{r.arg}
	if r.arg.Type == bson.TypeArray {
		list = r.arg.Elements()
	}
	for _, v := range list {
		if v.Type != bson.TypeString {
			return nil, mismatch("$jsonSchema keyword 'type' must be either a string or an array of strings")
		}
		known, ok := jsonTypes[v.Str()]
		if !ok {
			return nil, value.Errorf(value.BadValue, "Unknown type name alias: %s", v.Str())
		}
		for _, t := range known {
			set[t] = true
		}
	}
	return func(v value.Value) bool { return set[v.Type] }, nil
}

func requiredRule(r *rule) error {
	if r.arg.Type != bson.TypeArray || r.arg.Len() == 0 {
		return mismatch("$jsonSchema keyword 'required' must be a non-empty array of strings")
	}
	names := make([]string, 0, r.arg.Len())
	for _, v := range r.arg.Elements() {
		names = append(names, v.Str())
	}
	missing := func(v value.Value) []value.Value {
		var out []value.Value
		for _, n := range names {
			if !value.Field(bson.Raw(v.Data), n).Exists() {
				out = append(out, value.String(n))
			}
		}
		return out
	}
	r.holds = func(v value.Value) bool {
		return v.Type != bson.TypeEmbeddedDocument || len(missing(v)) == 0
	}
	r.explain = func(b []byte, v value.Value) []byte {
		return value.Append(b, "missingProperties", value.Array(missing(v)...))
	}
	return nil
}

// number gives a keyword's value as a whole number that is not negative.
func number(r rule) (int64, error) {
	n, ok := r.arg.Whole()
	if !ok || n < 0 {
		return 0, value.Errorf(value.FailedToParse, "$jsonSchema keyword '%s' must be a non-negative integer", r.name)
	}
	return n, nil
}

// scalarRule reads the keywords of numbers, strings and the size of documents.
func (c *reader) scalarRule(r rule, doc bson.Raw) (func(value.Value) bool, error) {
	switch r.name {
	case "minimum", "maximum":
		if !r.arg.IsNumber() {
			return nil, mismatch("$jsonSchema keyword '%s' must be a number", r.name)
		}
		sign, exclusive := 1, value.Field(doc, "exclusiveMinimum").Truth()
		if r.name == "maximum" {
			sign, exclusive = -1, value.Field(doc, "exclusiveMaximum").Truth()
		}
		return func(v value.Value) bool {
			if !v.IsNumber() {
				return true
			}
			x := value.Compare(v, r.arg) * sign
			return !value.IsNaN(v) && (x > 0 || x == 0 && !exclusive)
		}, nil
	case "multipleOf":
		if !r.arg.IsNumber() || r.arg.Float() <= 0 {
			return nil, value.Errorf(value.FailedToParse, "$jsonSchema keyword 'multipleOf' must have a positive value")
		}
		return func(v value.Value) bool { return !v.IsNumber() || math.Mod(v.Float(), r.arg.Float()) == 0 }, nil
	case "pattern":
		x, err := value.CompileRegexp(r.arg.Str(), "")
		return func(v value.Value) bool { return v.Type != bson.TypeString || x.Match(v) }, err
	case "minLength", "maxLength":
		n, err := number(r)
		return func(v value.Value) bool {
			return v.Type != bson.TypeString || within(r.name, int64(utf8.RuneCount(v.Bytes())), n)
		}, err
	case "minProperties", "maxProperties":
		n, err := number(r)
		return func(v value.Value) bool {
			return v.Type != bson.TypeEmbeddedDocument || within(r.name, int64(v.Len()), n)
		}, err
	case "$ref", "$schema", "default", "definitions", "format", "id":
		return nil, value.Errorf(value.FailedToParse, "$jsonSchema keyword '%s' is not currently supported", r.name)
	}
	return nil, value.Errorf(value.FailedToParse, "Unknown $jsonSchema keyword: %s", r.name)
}

// within compares with the limit of a keyword that begins with min or max.
func within(keyword string, have, want int64) bool {
	if strings.HasPrefix(keyword, "min") {
		return have >= want
	}
	return have <= want
}

// arrayRule reads the keywords of arrays.
func (c *reader) arrayRule(r *rule, doc bson.Raw) error {
	switch r.name {
	case "uniqueItems":
		r.holds = func(v value.Value) bool {
			if v.Type != bson.TypeArray || !r.arg.Truth() {
				return true
			}
			seen := map[string]bool{}
			for _, e := range v.Elements() {
				seen[value.Key(e)] = true
			}
			return len(seen) == v.Len()
		}
		return nil
	case "minItems", "maxItems":
		n, err := number(*r)
		keyword := r.name
		r.holds = func(v value.Value) bool { return v.Type != bson.TypeArray || within(keyword, int64(v.Len()), n) }
		return err
	}
	var each [][]rule
	list := []value.Value{r.arg}
	if r.arg.Type == bson.TypeArray {
		list = r.arg.Elements()
	}
	for _, s := range list {
		rules, err := c.rules(s)
		if err != nil {
			return err
		}
		each = append(each, rules)
	}
	rest := each[len(each)-1:]
	if r.arg.Type == bson.TypeArray {
		rest = nil
		switch more := value.Field(doc, "additionalItems"); {
		case more.Type == bson.TypeBoolean && !more.Bool():
			rest = [][]rule{{{holds: func(value.Value) bool { return false }}}}
		case more.Type == bson.TypeEmbeddedDocument:
			rules, err := c.rules(more)
			if err != nil {
				return err
			}
			rest = [][]rule{rules}
		}
	} else {
		each = nil
	}
	r.holds = func(v value.Value) bool {
		if v.Type != bson.TypeArray {
			return true
		}
		for i, e := range v.Elements() {
			switch {
			case i < len(each):
				if !satisfied(each[i], e) {
					return false
				}
			case rest != nil && !satisfied(rest[0], e):
				return false
			}
		}
		return true
	}
	return nil
}

// logicRule reads allOf, anyOf, oneOf and not.
func (c *reader) logicRule(r *rule) error {
	if r.name == "not" {
		rules, err := c.rules(r.arg)
		r.holds = func(v value.Value) bool { return !satisfied(rules, v) }
		return err
	}
	if r.arg.Type != bson.TypeArray || r.arg.Len() == 0 {
		return mismatch("$jsonSchema keyword '%s' must be a non-empty array", r.name)
	}
	var all [][]rule
	for _, s := range r.arg.Elements() {
		rules, err := c.rules(s)
		if err != nil {
			return err
		}
		all = append(all, rules)
	}
	name := r.name
	r.holds = func(v value.Value) bool {
		n := 0
		for _, rules := range all {
			if satisfied(rules, v) {
				n++
			}
		}
		return name == "allOf" && n == len(all) || name == "anyOf" && n > 0 || name == "oneOf" && n == 1
	}
	return nil
}
