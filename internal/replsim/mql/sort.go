package mql

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/value"
)

// Sort is a compiled sort pattern. It is safe for concurrent use.
type Sort struct {
	fields []indexField
	opts   Options
}

// CompileSort reads {field: 1 or -1, ...}.
func CompileSort(spec bson.Raw) (*Sort, error) { return CompileSortWith(spec, Options{}) }

// CompileSortWith reads a sort pattern; only the collation of the options counts.
func CompileSortWith(spec bson.Raw, o Options) (*Sort, error) {
	s := &Sort{opts: o}
	for it := value.Iterate(spec); it.Next(); {
		v, name := it.Value(), string(it.Key())
		if v.Type == bson.TypeEmbeddedDocument {
			return nil, unsimulated("$meta in a sort")
		}
		if !v.IsNumber() {
			return nil, value.Errorf(15974, "Illegal key in $sort specification: %s", value.ElementText(name, v))
		}
		if n, whole := v.Whole(); !whole || n != 1 && n != -1 {
			return nil, value.Errorf(15975, "$sort key ordering must be 1 (for ascending) or -1 (for descending)")
		}
		for _, p := range strings.Split(name, ".") {
			if p == "" {
				return nil, value.Errorf(15998, "FieldPath field names may not be empty strings.")
			}
			if strings.HasPrefix(p, "$") && name != "$natural" {
				return nil, value.Errorf(16410, "FieldPath field names may not start with '$'. Consider using $getField or $setField.")
			}
		}
		s.fields = append(s.fields, indexField{name: name, parts: parsePath(name), descending: v.Float() < 0})
	}
	return s, nil
}

// Natural gives the direction of {$natural: 1 or -1}, 0 for any other sort.
func (s *Sort) Natural() int {
	if len(s.fields) != 1 || s.fields[0].name != "$natural" {
		return 0
	}
	if s.fields[0].descending {
		return -1
	}
	return 1
}

// Fields gives the names of the pattern, in order.
func (s *Sort) Fields() []string { return (&Index{fields: s.fields}).Fields() }

// Key gives a string whose byte order is the order of documents under this sort. Of an array the lowest element counts, or the
// highest where the order falls.
func (s *Sort) Key(doc bson.Raw) (string, error) {
	u := unwinder{fields: s.fields}
	if err := u.start(doc); err != nil {
		return "", value.Errorf(value.BadValue, "cannot sort with keys that are parallel arrays")
	}
	least := ""
	for i, row := range u.rows {
		for _, v := range row {
			if err := s.opts.collates(v); err != nil {
				return "", err
			}
		}
		if k := string(encodeRow(s.fields, row)); i == 0 || k < least {
			least = k
		}
	}
	return least, nil
}

// Documents sorts in place; documents that compare equal keep their order.
func (s *Sort) Documents(docs []bson.Raw) error {
	type keyed struct {
		key string
		doc bson.Raw
	}
	list := make([]keyed, len(docs))
	for i, d := range docs {
		k, err := s.Key(d)
		if err != nil {
			return err
		}
		list[i] = keyed{k, d}
	}
	slices.SortStableFunc(list, func(a, b keyed) int { return strings.Compare(a.key, b.key) })
	for i, k := range list {
		docs[i] = k.doc
	}
	return nil
}
