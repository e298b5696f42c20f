package aggregate

import (
	"context"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/expr"
	"pitr/internal/replsim/mql/value"
)

type unwindStage struct {
	path  []string
	index []string // nil for none
	// keep passes documents on that have nothing to unwind.
	keep bool
}

func unwind(arg value.Value) (stage, error) {
	var s unwindStage
	path := arg
	switch arg.Type {
	case bson.TypeString:
	case bson.TypeEmbeddedDocument:
		path = value.Value{}
		for it := value.Iterate(bson.Raw(arg.Data)); it.Next(); {
			v := it.Value()
			switch string(it.Key()) {
			case "path":
				if path = v; v.Type != bson.TypeString {
					return nil, value.Errorf(28808, "expected a string as the path for $unwind stage, got %s", value.TypeName(v.Type))
				}
			case "preserveNullAndEmptyArrays":
				if s.keep = v.Bool(); v.Type != bson.TypeBoolean {
					return nil, value.Errorf(28809, "expected a boolean for the preserveNullAndEmptyArrays option to $unwind stage, got %s", value.TypeName(v.Type))
				}
			case "includeArrayIndex":
				if v.Str() == "" {
					return nil, value.Errorf(28810, "expected a non-empty string for the includeArrayIndex  option to $unwind stage, got %s", value.TypeName(v.Type))
				}
				if err := expr.CheckPath(v.Str()); err != nil {
					return nil, err
				}
				s.index = strings.Split(v.Str(), ".")
			default:
				return nil, value.Errorf(28811, "unrecognized option to $unwind stage: %s", it.Key())
			}
		}
	default:
		return nil, value.Errorf(15981, "expected either a string or an object as specification for $unwind stage, got %s", value.TypeName(arg.Type))
	}
	if path.Str() == "" {
		return nil, value.Errorf(28812, "no path specified to $unwind stage")
	}
	if !strings.HasPrefix(path.Str(), "$") {
		return nil, value.Errorf(28818, "path option to $unwind stage should be prefixed with a '$': %s", path.Str())
	}
	s.path = strings.Split(path.Str()[1:], ".")
	return s, nil
}

func (s unwindStage) run(_ context.Context, in Documents) Documents {
	return each(in, func(doc bson.Raw, yield func(bson.Raw, error) bool) bool {
		v := value.Doc(doc)
		for _, name := range s.path {
			if v.Type != bson.TypeEmbeddedDocument {
				v = value.Value{}
				break
			}
			v = value.Field(bson.Raw(v.Data), name)
		}
		switch {
		case v.Type != bson.TypeArray && !v.Nullish():
			return yield(s.numbered(doc, value.Null()), nil)
		case v.Type != bson.TypeArray || v.Len() == 0:
			if !s.keep {
				return true
			}
			if v.Type == bson.TypeArray {
				doc = setPath(doc, s.path, value.Value{})
			}
			return yield(s.numbered(doc, value.Null()), nil)
		}
		n := int64(0)
		for it := value.Iterate(bson.Raw(v.Data)); it.Next(); n++ {
			if !yield(s.numbered(setPath(doc, s.path, it.Value()), value.Int64(n)), nil) {
				return false
			}
		}
		return true
	})
}

func (s unwindStage) numbered(doc bson.Raw, n value.Value) bson.Raw {
	if s.index == nil {
		return doc
	}
	return setPath(doc, s.index, n)
}

// setPath sets the value at a path of documents, making those that are not there; a missing value removes the field.
func setPath(doc bson.Raw, path []string, v value.Value) bson.Raw {
	place := func(old value.Value) value.Value {
		if len(path) == 1 {
			return v
		}
		if old.Type != bson.TypeEmbeddedDocument {
			old = value.Doc(value.Empty())
		}
		return value.Doc(setPath(bson.Raw(old.Data), path[1:], v))
	}
	b, at := value.Begin(make([]byte, 0, len(doc)+len(v.Data)+16))
	done := false
	for it := value.Iterate(doc); it.Next(); {
		if !done && string(it.Key()) == path[0] {
			b, done = value.Append(b, path[0], place(it.Value())), true
			continue
		}
		b = append(b, it.Element()...)
	}
	if !done {
		b = value.Append(b, path[0], place(value.Value{}))
	}
	return value.End(b, at)
}
