package update_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/mql/internal/corpus"
	"pitr/internal/replsim/mql/update"
)

// Each recorded update, applied to the recorded document, gives the recorded document and the recorded payload, byte for byte.
func TestCorpusTriples(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(corpus.Folder(t), "delta", "triples-*.jsonl.zst"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no triples in the corpus: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			n, wrong := 0, 0
			corpus.Lines(t, file, func(line bson.Raw) {
				n++
				if problem := tryTriple(line); problem != "" {
					if wrong++; wrong <= 10 {
						t.Errorf("line %d: %s", n, problem)
					}
				}
			})
			t.Logf("%d of %d triples are equal", n-wrong, n)
			if n == 0 {
				t.Error("the file is empty")
			}
		})
	}
}

func tryTriple(line bson.Raw) string {
	part := func(name string) bson.Raw { return line.Lookup(name).Value }
	statement, before, o, after := part("update"), bson.Raw(part("before")), part("o"), part("after")
	filter, err := mql.Compile(bson.Raw(statement).Lookup("q").Value)
	if err != nil {
		return "filter: " + err.Error()
	}
	if ok, err := filter.Match(before); err != nil || !ok {
		return "the filter does not match"
	}
	u, err := update.Compile(bson.Raw(statement).Lookup("u"), update.Options{Filter: filter})
	if err != nil {
		return "compile: " + err.Error()
	}
	r, err := u.Apply(before, update.Moment{})
	switch {
	case err != nil:
		return "apply: " + err.Error()
	case !bytes.Equal(r.O, o):
		return "payload of " + bson.Raw(statement).String() + "\n on " + before.String() + "\n got " + r.O.String() + "\nwant " + bson.Raw(o).String()
	case !bytes.Equal(r.After, after):
		return "document after " + bson.Raw(statement).String() + "\n on " + before.String() + "\n got " + r.After.String() + "\nwant " + bson.Raw(after).String()
	}
	replayed, err := update.Replay(before, o)
	if err != nil || !bytes.Equal(replayed, after) {
		return "replay of " + bson.Raw(o).String() + " gives " + replayed.String()
	}
	return ""
}
