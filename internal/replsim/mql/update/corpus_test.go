package update_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/recording"
	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/mql/update"
)

// deviations is a file of "<triples file>:<line>" whose recorded result this package does not reach; it may only shrink.
const deviations = "testdata/deviations.txt"

// Each recorded update, applied to the recorded document, gives the recorded document and the recorded payload, byte for byte.
func TestCorpusTriples(t *testing.T) {
	text, err := os.ReadFile(deviations)
	if err != nil {
		t.Fatal(err)
	}
	listed := strings.Fields(string(text))
	for _, file := range recording.Files(t, "delta/triples-*.jsonl.zst") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			n, wrong := 0, 0
			for line := range recording.Lines(t, file) {
				n++
				problem := tryTriple(t, line)
				known := slices.Contains(listed, fmt.Sprintf("%s:%d", filepath.Base(file), n))
				if (problem != "") == known {
					continue
				}
				if wrong++; wrong <= 10 {
					t.Errorf("line %d (listed as a deviation: %t): %s", n, known, problem)
				}
			}
			t.Logf("%d triples, %d wrong", n, wrong)
			if n == 0 {
				t.Error("the file is empty")
			}
		})
	}
}

func tryTriple(t *testing.T, line recording.Line) string {
	t.Helper()
	part := func(name string) bson.Raw { return line.Document(t, name) }
	statement, before, o, after := part("update"), part("before"), part("o"), part("after")
	filter, err := mql.Compile(statement.Lookup("q").Value)
	if err != nil {
		return "filter: " + err.Error()
	}
	if ok, err := filter.Match(before); err != nil || !ok {
		return "the filter does not match"
	}
	u, err := update.Compile(statement.Lookup("u"), update.Options{Filter: filter})
	if err != nil {
		return "compile: " + err.Error()
	}
	r, err := u.Apply(before, update.Moment{})
	switch {
	case err != nil:
		return "apply: " + err.Error()
	case !bytes.Equal(r.O, o):
		return "payload of " + statement.String() + "\n on " + before.String() + "\n got " + r.O.String() + "\nwant " + o.String()
	case !bytes.Equal(r.After, after):
		return "document after " + statement.String() + "\n on " + before.String() + "\n got " + r.After.String() + "\nwant " + after.String()
	}
	replayed, err := update.Replay(before, o)
	if err != nil || !bytes.Equal(replayed, after) {
		return "replay of " + o.String() + " gives " + replayed.String()
	}
	return ""
}
