package schema

import "pitr/internal/replsim/mql/value"

func single(name string, v value.Value) value.Value {
	b, at := value.Begin(nil)
	return value.Doc(value.End(value.Append(b, name, v), at))
}

// explainRules describes the keywords of a schema that a value does not satisfy.
func explainRules(rules []rule, v value.Value) []value.Value {
	var out []value.Value
	for _, r := range rules {
		if r.holds(v) {
			continue
		}
		b, at := value.Begin(nil)
		b = value.Append(b, "operatorName", value.String(r.name))
		switch {
		case r.explain != nil && r.name != "required" && r.name != "additionalProperties":
			b = r.explain(b, v)
		case r.explain != nil:
			b = value.Append(b, "specifiedAs", single(r.name, r.arg))
			b = r.explain(b, v)
		default:
			b = value.Append(b, "specifiedAs", single(r.name, r.arg))
			b = value.Append(b, "reason", value.String(schemaReason(r.name)))
			b = value.Append(b, "consideredValue", v)
			if r.name == "bsonType" || r.name == "type" {
				b = value.Append(b, "consideredType", value.String(value.TypeName(v.Type)))
			}
		}
		out = append(out, value.Doc(value.End(b, at)))
	}
	return out
}

func schemaReason(name string) string {
	switch name {
	case "bsonType", "type":
		return "type did not match"
	case "enum":
		return "value was not found in enum"
	case "pattern":
		return "regular expression did not match"
	case "minLength", "maxLength":
		return "specified string length was not satisfied"
	case "minItems", "maxItems":
		return "array did not match specified length"
	case "uniqueItems":
		return "found a duplicate item"
	case "minProperties", "maxProperties":
		return "specified number of properties was not satisfied"
	case "multipleOf":
		return "considered value is not a multiple of the specified value"
	}
	return "comparison failed"
}
