package oplog

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// ChangedPaths lists the paths that an update's payload changes, sorted, each once: "status", "address.city". What lies
// inside an array counts as the array. A replacement changes the whole document, which is the path "".
func ChangedPaths(o bson.Raw) ([]string, error) {
	p, err := readPayload(o)
	if err != nil {
		return nil, err
	}
	var paths []string
	switch p.form {
	case FormReplacement:
		return []string{""}, nil
	case FormDelta:
		if paths, err = diffPaths(nil, "", p.diff, 0); err != nil {
			return nil, err
		}
	case FormModifier:
		for _, operator := range [][]byte{p.set, p.unset} {
			if operator == nil {
				continue
			}
			f := walk(operator)
			for f.next() {
				paths = append(paths, string(f.name))
			}
			if f.err != nil {
				return nil, malformed("$set or $unset: %w", f.err)
			}
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths), nil
}

func diffPaths(paths []string, prefix string, diff []byte, depth int) ([]string, error) {
	var few [manySteps]step
	steps, err := readDocumentDiff(few[:0], diff, depth)
	if err != nil {
		return nil, err
	}
	for i := range steps {
		s := &steps[i]
		path := prefix + string(s.name)
		kind := bson.TypeArray
		if s.section == sectionSub {
			if kind, err = subKind(s.value); err != nil {
				return nil, err
			}
		}
		if kind == bson.TypeArray {
			paths = append(paths, path)
		} else if paths, err = diffPaths(paths, path+".", s.value, depth+1); err != nil {
			return nil, err
		}
	}
	return paths, nil
}
