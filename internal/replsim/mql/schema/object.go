package schema

import (
	"regexp"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/value"
)

// property is a named part of a schema.
type property struct {
	name  string
	re    *regexp.Regexp
	rules []rule
}

// objectRule reads the keywords about the fields of a document.
func (c *reader) objectRule(r *rule, doc bson.Raw) error {
	if r.name != "additionalProperties" && r.arg.Type != bson.TypeEmbeddedDocument {
		return mismatch("$jsonSchema keyword '%s' must be an object", r.name)
	}
	switch r.name {
	case "dependencies":
		return c.dependencies(r)
	case "additionalProperties":
		return c.additional(r, doc)
	}
	list, err := c.properties(r.name, r.arg)
	if err != nil {
		return err
	}
	failing := func(v value.Value) []property {
		var out []property
		for it := value.Iterate(bson.Raw(v.Data)); it.Next(); {
			for _, p := range list {
				if p.covers(it.Key()) && !satisfied(p.rules, it.Value()) {
					out = append(out, property{name: string(it.Key()), rules: p.rules})
				}
			}
		}
		return out
	}
	r.holds = func(v value.Value) bool { return v.Type != bson.TypeEmbeddedDocument || len(failing(v)) == 0 }
	r.explain = func(b []byte, v value.Value) []byte {
		var out []value.Value
		for _, p := range failing(v) {
			d, at := value.Begin(nil)
			d = value.Append(d, "propertyName", value.String(p.name))
			d = value.Append(d, "details", value.Array(explainRules(p.rules, value.Field(bson.Raw(v.Data), p.name))...))
			out = append(out, value.Doc(value.End(d, at)))
		}
		return value.Append(b, "propertiesNotSatisfied", value.Array(out...))
	}
	return nil
}

func (p property) covers(name []byte) bool {
	if p.re != nil {
		return p.re.Match(name)
	}
	return string(name) == p.name
}

// properties reads the schemas of fields; under the keyword patternProperties their names are patterns.
func (c *reader) properties(keyword string, v value.Value) ([]property, error) {
	var list []property
	for it := value.Iterate(v.Document()); it.Next(); {
		if it.Value().Type != bson.TypeEmbeddedDocument {
			return nil, mismatch("Nested schema for $jsonSchema property '%s' must be an object", it.Key())
		}
		rules, err := c.rules(it.Value())
		if err != nil {
			return nil, err
		}
		p := property{name: string(it.Key()), rules: rules}
		if keyword == "patternProperties" {
			if p.re, err = regexp.Compile(p.name); err != nil {
				return nil, value.Errorf(value.BadValue, "Invalid regular expression in 'patternProperties': %v", err)
			}
		}
		list = append(list, p)
	}
	return list, nil
}

func (c *reader) additional(r *rule, doc bson.Raw) error {
	named, err := c.properties("properties", value.Field(doc, "properties"))
	if err != nil {
		return err
	}
	patterns, err := c.properties("patternProperties", value.Field(doc, "patternProperties"))
	if err != nil {
		return err
	}
	known := slices.Concat(named, patterns)
	var rules []rule
	allowed := r.arg.Truth()
	if r.arg.Type == bson.TypeEmbeddedDocument {
		if rules, err = c.rules(r.arg); err != nil {
			return err
		}
	}
	extra := func(v value.Value) []value.Value {
		var out []value.Value
		for it := value.Iterate(bson.Raw(v.Data)); it.Next(); {
			if slices.ContainsFunc(known, func(p property) bool { return p.covers(it.Key()) }) {
				continue
			}
			if !allowed || !satisfied(rules, it.Value()) {
				out = append(out, value.String(string(it.Key())))
			}
		}
		return out
	}
	r.holds = func(v value.Value) bool { return v.Type != bson.TypeEmbeddedDocument || len(extra(v)) == 0 }
	r.explain = func(b []byte, v value.Value) []byte {
		return value.Append(b, "additionalProperties", value.Array(extra(v)...))
	}
	return nil
}

func (c *reader) dependencies(r *rule) error {
	deps := map[string][]rule{}
	for it := value.Iterate(bson.Raw(r.arg.Data)); it.Next(); {
		v := it.Value()
		if v.Type == bson.TypeArray {
			need := rule{name: "required", arg: v}
			if err := requiredRule(&need); err != nil {
				return err
			}
			deps[string(it.Key())] = []rule{need}
			continue
		}
		rules, err := c.rules(v)
		if err != nil {
			return err
		}
		deps[string(it.Key())] = rules
	}
	r.holds = func(v value.Value) bool {
		for name, rules := range deps {
			if v.Type == bson.TypeEmbeddedDocument && value.Field(bson.Raw(v.Data), name).Exists() && !satisfied(rules, v) {
				return false
			}
		}
		return true
	}
	return nil
}
