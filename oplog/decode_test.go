package oplog_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/internal/recording"
	"pitr/oplog"
)

const someUUID = `"ui":{"$binary":{"base64":"AAECAwQFBgcICQoLDA0ODw==","subType":"04"}}`

// entry gives an entry of which only what matters is written.
func entry(t testing.TB, second int, rest string) bson.Raw {
	t.Helper()
	return document(t, fmt.Sprintf(`{"ts":{"$timestamp":{"t":%d,"i":1}},"t":{"$numberLong":"1"},"v":{"$numberLong":"2"},"wall":{"$date":{"$numberLong":"1000"}},%s}`, second, rest))
}

func TestDecode(t *testing.T) {
	e, err := oplog.Decode(entry(t, 7, `"op":"u","ns":"shop.a.b$c","o":{"$v":2,"diff":{"u":{"a":1}}},"o2":{"_id":5},"new field":1,
		"lsid":{"id":1},"txnNumber":{"$numberLong":"9"},"prevOpTime":{"ts":{"$timestamp":{"t":6,"i":1}},"t":{"$numberLong":"1"}},`+someUUID))
	if err != nil {
		t.Fatal(err)
	}
	want := pitr.OpTime{TS: pitr.NewTimestamp(7, 1), Term: 1}
	if e.OpTime != want || e.Kind != oplog.KindUpdate || e.NS != (pitr.Namespace{DB: "shop", Collection: "a.b$c"}) ||
		e.UUID.String() != "00010203-0405-0607-0809-0a0b0c0d0e0f" || e.Session.Txn != 9 || e.Wall.UnixMilli() != 1000 ||
		e.Previous.TS != pitr.NewTimestamp(6, 1) {
		t.Errorf("decoded %+v", e)
	}
	if key, err := e.Key(); err != nil || key.String() != `{"$numberInt":"5"}` {
		t.Errorf("key %v, %v", key, err)
	}
}

func TestDecodeCommands(t *testing.T) {
	ns := pitr.Namespace{DB: "shop", Collection: "c"}
	spec := document(t, `{"v":2,"key":{"a":1},"name":"a_1"}`)
	var uuid pitr.UUID
	for i := range uuid {
		uuid[i] = byte(i)
	}
	id := strings.TrimPrefix(someUUID, `"ui":`)
	build := oplog.Build{NS: ns, ID: uuid, Specs: []bson.Raw{spec}}
	for _, test := range []struct {
		o, o2 string
		want  oplog.Command
	}{
		{`{"create":"c","capped":true,"idIndex":{"v":2},"size":5}`, "", oplog.Create{NS: ns,
			Options: document(t, `{"capped":true,"size":5}`), IDIndex: document(t, `{"v":2}`)}},
		{`{"drop":"c"}`, "", oplog.Drop{NS: ns}},
		{`{"dropDatabase":1}`, "", oplog.DropDatabase{DB: "shop"}},
		{`{"renameCollection":"shop.c","to":"shop.d.e","stayTemp":true,"dropTarget":` + id + `}`, "",
			oplog.Rename{From: ns, To: pitr.Namespace{DB: "shop", Collection: "d.e"}, StayTemp: true, Target: uuid, DropsTarget: true}},
		{`{"renameCollection":"shop.c","to":"shop.d","dropTarget":true}`, "",
			oplog.Rename{From: ns, To: pitr.Namespace{DB: "shop", Collection: "d"}, DropsTarget: true}},
		{`{"createIndexes":"c","v":2,"key":{"a":1},"name":"a_1"}`, "", oplog.CreateIndexes{NS: ns, Specs: []bson.Raw{spec}}},
		{`{"startIndexBuild":"c","indexBuildUUID":` + id + `,"indexes":[{"v":2,"key":{"a":1},"name":"a_1"}]}`, "", oplog.StartBuild{Build: build}},
		{`{"commitIndexBuild":"c","indexBuildUUID":` + id + `,"indexes":[{"v":2,"key":{"a":1},"name":"a_1"}]}`, "", oplog.CommitBuild{Build: build}},
		{`{"abortIndexBuild":"c","indexBuildUUID":` + id + `,"indexes":[{"v":2,"key":{"a":1},"name":"a_1"}],"cause":{"code":11000}}`, "",
			oplog.AbortBuild{Build: build, Cause: document(t, `{"code":11000}`)}},
		{`{"dropIndexes":"c","index":"a_1"}`, `{"v":2}`, oplog.DropIndexes{NS: ns, Name: "a_1", Spec: document(t, `{"v":2}`)}},
		{`{"deleteIndexes":"c","index":{"a":1}}`, "", oplog.DropIndexes{NS: ns, Key: document(t, `{"a":1}`)}},
		{`{"collMod":"c","validator":{}}`, `{"collectionOptions_old":{"x":1},"indexOptions_old":{"hidden":false}}`,
			oplog.Modify{NS: ns, Changes: document(t, `{"validator":{}}`), Before: document(t, `{"x":1}`), IndexBefore: document(t, `{"hidden":false}`)}},
		{`{"commitTransaction":1,"commitTimestamp":{"$timestamp":{"t":3,"i":4}}}`, "", oplog.Commit{At: pitr.NewTimestamp(3, 4)}},
		{`{"abortTransaction":1}`, "", oplog.Abort{}},
		{`{"applyOps":[{"a":1}],"prepare":true,"partialTxn":false,"count":{"$numberLong":"3"}}`, "",
			oplog.Batch{Ops: document(t, `{"0":{"a":1}}`), Prepare: true, Count: 3}},
		{`{"dbCheck":"c"}`, "", nil},
	} {
		rest := `"op":"c","ns":"shop.$cmd","o":` + test.o
		if test.o2 != "" {
			rest += `,"o2":` + test.o2
		}
		e, err := oplog.Decode(entry(t, 1, rest))
		if err != nil || fmt.Sprintf("%#v", e.Command) != fmt.Sprintf("%#v", test.want) {
			t.Errorf("%s: %#v, %v\nwant %#v", test.o, e.Command, err, test.want)
		}
	}
}

// TestDecodeRefusesWhatItDoesNotKnow: case D08; an unknown word is an error that names time and word.
func TestDecodeRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, test := range []struct{ rest, word string }{
		{`"op":"zz","ns":"a.b","o":{}`, "zz"},
		{`"op":"","ns":"a.b","o":{}`, `""`},
		{`"op":"c","ns":"a.$cmd","o":{"reticulate":"b"}`, "reticulate"},
	} {
		e, err := oplog.Decode(entry(t, 77, test.rest))
		if pitr.KindOf(err) != pitr.KindUnsupported || !strings.Contains(err.Error(), test.word) ||
			!strings.Contains(err.Error(), "77:1") || pitr.HintOf(err) == "" {
			t.Errorf("%s: %v", test.rest, err)
		}
		if e.OpTime.TS != pitr.NewTimestamp(77, 1) || e.Raw == nil {
			t.Errorf("%s: the time of the entry is lost: %+v", test.rest, e)
		}
	}
	old := document(t, `{"ts":{"$timestamp":{"t":1,"i":1}},"v":1,"op":"n","ns":"","o":{}}`)
	if _, err := oplog.Decode(old); pitr.KindOf(err) != pitr.KindUnsupported {
		t.Errorf("format version 1: %v", err)
	}
}

func TestDecodeRefusesDamage(t *testing.T) {
	good := entry(t, 1, `"op":"i","ns":"a.b","o":{"_id":1},`+someUUID)
	for length := range len(good) {
		if _, err := oplog.Decode(good[:length]); pitr.KindOf(err) != pitr.KindCorrupt {
			t.Fatalf("cut at %d: %v", length, err)
		}
	}
	for _, rest := range []string{
		`"op":"i","op":"d","ns":"a.b","o":{"_id":1}`,
		`"op":"i","ns":"a.b","o":{"_id":1},"o":{"_id":2}`,
		`"op":5,"ns":"a.b","o":{"_id":1}`,
		`"op":"i","ns":"a.b"`,
		`"op":"i","ns":"a.b","o":[1]`,
		`"op":"i","ns":"ab","o":{"_id":1}`,
		`"op":"i","ns":"a.b","o":{"_id":1},"ui":{"$binary":{"base64":"AAEC","subType":"04"}}`,
		`"op":"u","ns":"a.b","o":{"_id":1}`,
		`"op":"c","ns":"a.$cmd","o":{}`,
		`"op":"c","ns":"a.$cmd","o":{"drop":1}`,
		`"op":"c","ns":"a.$cmd","o":{"renameCollection":"a.b","to":5}`,
		`"op":"c","ns":"a.$cmd","o":{"createIndexes":"b","v":2}`,
		`"op":"c","ns":"a.$cmd","o":{"startIndexBuild":"b","indexes":[{"v":2}]}`,
		`"op":"c","ns":"a.$cmd","o":{"dropIndexes":"b"}`,
		`"op":"c","ns":"admin.$cmd","o":{"applyOps":5}`,
		`"op":"c","ns":"admin.$cmd","o":{"commitTransaction":1}`,
	} {
		if _, err := oplog.Decode(entry(t, 1, rest)); pitr.KindOf(err) != pitr.KindCorrupt {
			t.Errorf("%s: %v of kind %q", rest, err, pitr.KindOf(err))
		}
	}
}

// TestVerdicts: some operations are judged by their content.
func TestVerdicts(t *testing.T) {
	for _, test := range []struct {
		rest string
		want oplog.Verdict
	}{
		{`"op":"n","ns":"","o":{"msg":"periodic noop"}`, oplog.Skipped},
		{`"op":"km","ns":"","o":{}`, oplog.Skipped},
		{`"op":"ci","ns":"admin.$container","o":{}`, oplog.Skipped},
		{`"op":"c","ns":"a.$cmd","o":{"importCollection":"a.b"}`, oplog.Refused},
		{`"op":"c","ns":"config.$cmd","o":{"truncateRange":"config.system.preimages"}`, oplog.Skipped},
		{`"op":"c","ns":"a.$cmd","o":{"truncateRange":"a.b"}`, oplog.Refused},
		{`"op":"u","ns":"admin.system.version","o":{"_id":"featureCompatibilityVersion","version":"8.0"},"o2":{"_id":"featureCompatibilityVersion"}`, oplog.Refused},
		{`"op":"i","ns":"admin.system.version","o":{"_id":"authSchema"}`, oplog.Applied},
		{`"op":"i","ns":"a.b","o":{"_id":1},"isTimeseries":true`, oplog.Refused},
		{`"op":"i","ns":"a.b","o":{"_id":1},"tid":{"$oid":"653700000000000000000048"}`, oplog.Refused},
		{`"op":"xi","ns":"a.b","o":{}`, oplog.Refused},
	} {
		e, err := oplog.Decode(entry(t, 1, test.rest))
		if err != nil {
			t.Errorf("%s: %v", test.rest, err)
			continue
		}
		if verdict, reason := e.Verdict(); verdict != test.want || reason == "" {
			t.Errorf("%s: %s because %q, want %s", test.rest, verdict, reason, test.want)
		}
	}
	words := map[string]bool{}
	for _, rule := range oplog.Rules() {
		if rule.Word == "" || rule.Reason == "" || rule.Verdict == "" || words[rule.Word] {
			t.Errorf("the rule %+v is incomplete or repeated", rule)
		}
		words[rule.Word] = true
	}
}

// TestCorpusEntries: every entry that a real server was seen to write is understood, whatever it was asked to do.
func TestCorpusEntries(t *testing.T) {
	decode := func(file string, raw bson.Raw) {
		kept := bytes.Clone(raw)
		e, err := oplog.Decode(raw)
		if err != nil {
			t.Fatalf("%s: %v\n%v", file, err, raw)
		}
		if verdict, _ := e.Verdict(); verdict == oplog.Refused {
			t.Errorf("%s: refused %v", file, raw)
		}
		ops, err := e.Operations()
		if err != nil {
			t.Fatalf("%s: %v\n%v", file, err, raw)
		}
		for _, op := range ops {
			if op.Kind == oplog.KindInsert || op.Kind == oplog.KindUpdate || op.Kind == oplog.KindDelete {
				if _, err := op.Key(); err != nil || op.UUID.IsZero() {
					t.Errorf("%s: %v, %v", file, op, err)
				}
			}
		}
		if !bytes.Equal(raw, kept) {
			t.Fatalf("%s: the entry was changed", file)
		}
	}
	entries := 0
	for _, file := range recording.Files(t, "scripts/*.jsonl.zst") {
		if testing.Short() && strings.Contains(file, "transaction-large") {
			continue
		}
		for line := range recording.Lines(t, file) {
			var list []json.RawMessage
			if !line.Has("entries") || json.Unmarshal(line["entries"], &list) != nil {
				continue
			}
			for _, raw := range line.Documents(t, "entries") {
				entries++
				decode(file, raw)
			}
		}
	}
	for _, file := range recording.Files(t, "*/*/oplog.jsonl.zst") {
		for raw := range recording.Documents(t, file) {
			entries++
			decode(file, raw)
		}
	}
	t.Logf("%d entries", entries)
}

// FuzzDecode: no bytes make Decode or Assembler panic.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`"op":"i","ns":"a.b","o":{"_id":1},` + someUUID,
		`"op":"c","ns":"admin.$cmd","o":{"applyOps":[{"op":"i","ns":"a.b","o":{"_id":1}},{"op":"c","ns":"admin.$cmd","o":{"applyOps":[]}}],"partialTxn":true},"lsid":{"id":1},"txnNumber":{"$numberLong":"9"}`,
		`"op":"c","ns":"a.$cmd","o":{"createIndexes":"b","v":2,"key":{"a":1},"name":"a_1"}`,
		`"op":"c","ns":"a.$cmd","o":{"renameCollection":"a.b","to":"a.c","dropTarget":true}`,
		`"op":"c","ns":"a.$cmd","o":{"commitIndexBuild":"b","indexes":[{"v":2,"key":{"a":1},"name":"a_1"}]}`,
		`"op":"c","ns":"admin.$cmd","o":{"commitTransaction":1,"commitTimestamp":{"$timestamp":{"t":3,"i":4}}}`,
	} {
		f.Add([]byte(entry(f, 1, seed)))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := oplog.Decode(raw)
		if err != nil {
			return
		}
		_, _ = e.Operations()
		_, _ = e.Key()
		var a oplog.Assembler
		_, _, _ = a.Push(&e)
	})
}
