package expr

import (
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/value"
)

// Transform turns one document into another.
type Transform interface {
	Apply(doc bson.Raw, bound ...value.Value) (bson.Raw, error)
}

// CompileTransform reads a stage that works document by document: $project, $set, $addFields, $unset, $replaceWith or
// $replaceRoot. It gives nil for any other name.
func CompileTransform(stage string, arg value.Value, env Environment) (Transform, error) {
	var t Transform
	var err error
	switch stage {
	case "$project", "$set", "$addFields":
		kind := Addition
		if stage == "$project" {
			kind = Undecided
		}
		if arg.Type != bson.TypeEmbeddedDocument {
			code := int32(40272)
			if stage == "$project" {
				code = 15969
			}
			return nil, value.Errorf(code, "%s specification stage must be an object, got %s", stage, value.TypeName(arg.Type))
		}
		t, err = CompileProjection(bson.Raw(arg.Data), kind, env)
	case "$unset":
		t, err = compileUnset(arg, env)
	case "$replaceWith", "$replaceRoot":
		return compileReplace(stage, arg, env)
	default:
		return nil, nil
	}
	if err != nil {
		var e *value.Error
		if errors.As(err, &e) {
			err = &value.Error{Code: e.Code, Message: "Invalid " + stage + " :: caused by :: " + e.Message}
		}
		return nil, err
	}
	return t, nil
}

func compileUnset(arg value.Value, env Environment) (*Projection, error) {
	list := []value.Value{arg}
	if arg.Type == bson.TypeArray {
		list = arg.Elements()
		if len(list) == 0 {
			return nil, value.Errorf(31119, "$unset specification must be a string or an array with at least one field")
		}
	}
	b, at := value.Begin(nil)
	for _, v := range list {
		if v.Type != bson.TypeString {
			code := int32(31120)
			if arg.Type != bson.TypeArray {
				code = 31002
			}
			return nil, value.Errorf(code, "$unset specification must be a string or an array containing only string values")
		}
		b = value.Append(b, v.Str(), value.Bool(false))
	}
	return CompileProjection(value.End(b, at), Exclusion, env)
}

type replaceRoot struct{ e *Expr }

func compileReplace(stage string, arg value.Value, env Environment) (Transform, error) {
	if stage == "$replaceRoot" {
		if arg.Type != bson.TypeEmbeddedDocument {
			return nil, value.Errorf(40229, "expected an object as specification for $replaceRoot stage, got %s", value.TypeName(arg.Type))
		}
		for it := value.Iterate(bson.Raw(arg.Data)); it.Next(); {
			if string(it.Key()) != "newRoot" {
				return nil, value.Errorf(40415, "BSON field '$replaceRoot.%s' is an unknown field.", it.Key())
			}
		}
		if arg = value.Field(bson.Raw(arg.Data), "newRoot"); !arg.Exists() {
			return nil, value.Errorf(40414, "BSON field '$replaceRoot.newRoot' is missing but a required field")
		}
	}
	e, err := Compile(arg, env)
	if err != nil {
		return nil, err
	}
	return replaceRoot{e}, nil
}

func (r replaceRoot) Apply(doc bson.Raw, bound ...value.Value) (bson.Raw, error) {
	v, err := r.e.Eval(doc, bound...)
	if err != nil {
		return nil, err
	}
	if v.Type != bson.TypeEmbeddedDocument {
		return nil, value.Errorf(40228, "'newRoot' expression must evaluate to an object, but resulting value was: %s. "+
			"Type of resulting value: '%s'. Input document: %s", value.Text(v), value.TypeName(v.Type), value.Text(value.Doc(doc)))
	}
	return bson.Raw(v.Data), nil
}
