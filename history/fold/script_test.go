package fold_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/history/fold"
	"pitr/internal/recording"
	"pitr/oplog"
)

// TestCorpusScripts folds the entries of each recorded script from nothing, and holds the state against what the server
// answered in the same script: listCollections, listIndexes, and find of whole collections.
func TestCorpusScripts(t *testing.T) {
	compared := map[string]int{}
	for _, file := range recording.Files(t, "scripts/*.jsonl.zst") {
		script := strings.TrimSuffix(filepath.Base(file), ".jsonl.zst")
		if testing.Short() && script == "transaction-large" {
			continue
		}
		state := fold.New(fold.Options{})
		var assembler oplog.Assembler
		for line := range recording.Lines(t, file) {
			if !line.Has("entries") || string(line["entries"]) == "null" {
				continue
			}
			for _, raw := range line.Documents(t, "entries") {
				if err := foldOne(state, &assembler, raw); err != nil {
					t.Fatalf("%s: %v\n%v", script, err, raw)
				}
			}
			answer{t, script, line, state}.compare(compared)
		}
	}
	for _, command := range []string{"listCollections", "listIndexes", "find"} {
		if compared[command] == 0 {
			t.Errorf("no reply to %s was compared", command)
		}
	}
	t.Logf("compared: %v", compared)
}

// answer is a step of a script with the state after its entries.
type answer struct {
	t      *testing.T
	script string
	line   recording.Line
	state  *fold.State
}

// compare holds the state against the reply, when the reply tells about the state as a whole.
func (a answer) compare(compared map[string]int) {
	a.t.Helper()
	command, reply := a.line.Document(a.t, "command"), a.line.Document(a.t, "reply")
	batch, err := reply.LookupErr("cursor", "firstBatch")
	if err != nil || reply.Lookup("cursor", "id").AsInt64() != 0 {
		return
	}
	elements, err := command.Elements()
	if err != nil {
		a.t.Fatal(err)
	}
	for _, element := range elements[1:] {
		switch element.Key() {
		case "lsid", "cursor", "batchSize":
		default:
			return
		}
	}
	values, err := batch.Array().Values()
	if err != nil {
		a.t.Fatal(err)
	}
	ns := pitr.Namespace{DB: a.line.Text(a.t, "db")}
	name := elements[0].Key()
	switch name {
	case "listCollections":
		a.listCollections(ns, values)
	case "listIndexes":
		ns.Collection = elements[0].Value().StringValue()
		if found, _ := a.collection(ns); found.Type != pitr.TypeCollection {
			return
		}
		a.listIndexes(ns, values)
	case "find":
		collection, isName := elements[0].Value().StringValueOK()
		ns.Collection = collection
		found, ok := a.collection(ns)
		if !isName || ns.IsSystem() || !ok || found.Type != pitr.TypeCollection {
			return
		}
		documents := make([]bson.Raw, 0, len(values))
		for _, value := range values {
			documents = append(documents, value.Document())
		}
		compareDocuments(a.t, a.script+": "+ns.String(), a.state, found.UUID, documents)
	default:
		return
	}
	compared[name]++
}

func (a answer) collection(ns pitr.Namespace) (pitr.Collection, bool) {
	a.t.Helper()
	collections, err := a.state.Collections()
	if err != nil {
		a.t.Fatal(err)
	}
	for _, collection := range collections {
		if collection.NS == ns {
			return collection, true
		}
	}
	return pitr.Collection{}, false
}

func (a answer) listCollections(ns pitr.Namespace, listed []bson.RawValue) {
	a.t.Helper()
	for _, value := range listed {
		document := value.Document()
		ns.Collection = document.Lookup("name").StringValue()
		if ns.IsSystem() {
			continue
		}
		folded, ok := a.collection(ns)
		if !ok {
			a.t.Errorf("%s: %s is missing", a.script, ns)
			continue
		}
		if string(folded.Type) != document.Lookup("type").StringValue() || !bytes.Equal(folded.Options, document.Lookup("options").Document()) {
			a.t.Errorf("%s: %s is folded %s %v\nlisted %v", a.script, ns, folded.Type, folded.Options, document)
		}
	}
}

func (a answer) listIndexes(ns pitr.Namespace, listed []bson.RawValue) {
	a.t.Helper()
	folded, ok := a.collection(ns)
	if !ok || len(folded.Indexes) != len(listed) {
		a.t.Errorf("%s: %s has %d indexes, listed %d", a.script, ns, len(folded.Indexes), len(listed))
		return
	}
	for i, value := range listed {
		if !bytes.Equal(folded.Indexes[i], value.Document()) {
			a.t.Errorf("%s: %s has the index %v\nlisted %v", a.script, ns, folded.Indexes[i], value.Document())
		}
	}
}
