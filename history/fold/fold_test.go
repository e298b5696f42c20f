package fold_test

import (
	"fmt"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/history/fold"
	"pitr/oplog"
)

// story folds hand-written entries, one per second from 11 on, over a base that is exact at a chosen second.
type story struct {
	t         *testing.T
	state     *fold.State
	assembler oplog.Assembler
	second    int
}

var (
	orders = pitr.Namespace{DB: "shop", Collection: "orders"}
	first  = pitr.UUID{1}
	second = pitr.UUID{2}
	idSpec = `{"v":2,"key":{"_id":1},"name":"_id_"}`
)

func tell(t *testing.T, exact int, scope ...string) *story {
	t.Helper()
	s := &story{t: t, second: 10, state: fold.New(fold.Options{
		Scope: pitr.Scope{Only: scope}, Exact: pitr.NewTimestamp(uint32(exact), 1)})}
	s.must(s.state.AddCollection(pitr.Collection{NS: orders, UUID: first, Type: pitr.TypeCollection, Indexes: []bson.Raw{parse(t, idSpec)}}))
	return s
}

func (s *story) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func parse(t testing.TB, text string) bson.Raw {
	t.Helper()
	var document bson.Raw
	if err := bson.UnmarshalExtJSON([]byte(text), false, &document); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return document
}

// entry folds one entry on a UUID.
func (s *story) entry(uuid pitr.UUID, rest string) error {
	s.t.Helper()
	s.second++
	raw := parse(s.t, fmt.Sprintf(`{"ts":{"$timestamp":{"t":%d,"i":1}},"t":{"$numberLong":"1"},"v":{"$numberLong":"2"},"ui":{"$uuid":"%s"},%s}`, s.second, uuid, rest))
	entry, err := oplog.Decode(raw)
	s.must(err)
	group, ok, err := s.assembler.Push(&entry)
	s.must(err)
	if !ok {
		return nil
	}
	return s.state.Apply(group)
}

func (s *story) command(uuid pitr.UUID, o string, o2 ...string) error {
	s.t.Helper()
	rest := `"op":"c","ns":"shop.$cmd","o":` + o
	if len(o2) > 0 {
		rest += `,"o2":` + o2[0]
	}
	return s.entry(uuid, rest)
}

// collections tells the catalog: name, options, names of the indexes.
func (s *story) collections() string {
	s.t.Helper()
	list, err := s.state.Collections()
	s.must(err)
	var told []string
	for _, each := range list {
		text := fmt.Sprintf("%s %s %s", each.NS, each.Type, relaxed(s.t, each.Options))
		for _, index := range each.Indexes {
			text += " " + pitr.IndexName(index)
		}
		told = append(told, text)
	}
	return strings.Join(told, "; ")
}

func relaxed(t testing.TB, document bson.Raw) string {
	t.Helper()
	text, err := bson.MarshalExtJSON(document, false, false)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (s *story) document(id string) string {
	s.t.Helper()
	key, err := pitr.KeyOf(parse(s.t, `{"_id":`+id+`}`))
	s.must(err)
	document, _ := s.state.Document(first, key.Equal())
	if document == nil {
		return ""
	}
	return relaxed(s.t, document)
}

const (
	insert1 = `"op":"i","ns":"shop.orders","o":{"_id":1,"a":1}`
	update1 = `"op":"u","ns":"shop.orders","o":{"$v":2,"diff":{"u":{"a":2}}},"o2":{"_id":1}`
	whole1  = `"op":"u","ns":"shop.orders","o":{"_id":1,"w":1},"o2":{"_id":1}`
	delete1 = `"op":"d","ns":"shop.orders","o":{"_id":1}`
)

// TestFoldIsStrictAfterTheBaseIsExact: what may not fit while a base is brought up to date is an error afterwards.
func TestFoldIsStrictAfterTheBaseIsExact(t *testing.T) {
	stray := pitr.UUID{9}
	for name, rest := range map[string]string{
		"update of a missing document":      update1,
		"replacement of a missing document": whole1,
	} {
		if err := tell(t, 99).entry(first, rest); err != nil {
			t.Errorf("%s, early: %v", name, err)
		}
		if err := tell(t, 10).entry(first, rest); pitr.KindOf(err) != pitr.KindMismatch || !strings.Contains(err.Error(), "11:1") {
			t.Errorf("%s, late: %v", name, err)
		}
	}
	for name, rest := range map[string]string{
		"unknown collection":         insert1,
		"drop of an unknown one":     `"op":"c","ns":"shop.$cmd","o":{"drop":"orders"}`,
		"index of an unknown one":    `"op":"c","ns":"shop.$cmd","o":{"dropIndexes":"orders","index":"x"}`,
		"collMod of an unknown one":  `"op":"c","ns":"shop.$cmd","o":{"collMod":"orders"}`,
		"rename of an unknown one":   `"op":"c","ns":"shop.$cmd","o":{"renameCollection":"shop.orders","to":"shop.x"}`,
		"refused whatever the state": `"op":"c","ns":"shop.$cmd","o":{"importCollection":"orders"}`,
	} {
		early, late := tell(t, 99).entry(stray, rest), tell(t, 10).entry(stray, rest)
		if refused := strings.HasPrefix(name, "refused"); (early != nil) != refused || late == nil {
			t.Errorf("%s: early %v, late %v", name, early, late)
		}
		if outside := tell(t, 10, "other").entry(stray, rest); outside != nil {
			t.Errorf("%s, outside the scope: %v", name, outside)
		}
	}
	if err := tell(t, 10).command(first, `{"dropIndexes":"orders","index":"nope"}`); pitr.KindOf(err) != pitr.KindMismatch {
		t.Errorf("drop of an unknown index: %v", err)
	}
	if err := tell(t, 10).command(first, `{"collMod":"orders","index":{"name":"nope","hidden":true}}`); pitr.KindOf(err) != pitr.KindMismatch {
		t.Errorf("collMod of an unknown index: %v", err)
	}
	if err := tell(t, 10).command(first, `{"collMod":"orders","reticulate":true}`); pitr.KindOf(err) != pitr.KindUnsupported {
		t.Errorf("collMod of an unknown option: %v", err)
	}
}

func TestFoldDocuments(t *testing.T) {
	for name, test := range map[string]struct {
		entries string
		want    string
		tally   fold.Tally
	}{
		"insert and update":                {insert1 + "|" + update1, `{"_id":1,"a":2}`, fold.Tally{}},
		"replacement":                      {insert1 + "|" + whole1, `{"_id":1,"w":1}`, fold.Tally{}},
		"insert twice":                     {insert1 + "|" + insert1, `{"_id":1,"a":1}`, fold.Tally{Overwritten: 1}},
		"delete of what is gone":           {delete1, "", fold.Tally{Missed: 1}},
		"delete under another number type": {insert1 + `|"op":"d","ns":"shop.orders","o":{"_id":{"$numberDouble":"1.0"}}`, "", fold.Tally{}},
		"upsert flag, delta":               {update1 + `,"b":true`, `{"_id":1,"a":2}`, fold.Tally{}},
		"upsert flag, whole":               {whole1 + `,"b":true`, `{"_id":1,"w":1}`, fold.Tally{}},
		"placeholder": {insert1 + `|"op":"u","ns":"shop.orders","o":{"$v":2,"diff":{"sa":{"u":{"x":1}}}},"o2":{"_id":1}`,
			`{"_id":1,"a":null}`, fold.Tally{Placeholders: 1}},
	} {
		s := tell(t, 10)
		for entry := range strings.SplitSeq(test.entries, "|") {
			s.must(s.entry(first, entry))
		}
		tally := s.state.Tally()
		tally.Groups, tally.Ops = 0, 0
		if got := s.document("1"); got != test.want || tally != test.tally {
			t.Errorf("%s: %s, %+v; want %s, %+v", name, got, tally, test.want, test.tally)
		}
	}
}

func TestFoldCatalog(t *testing.T) {
	with := func(uuid pitr.UUID) string { return `{"$uuid":"` + uuid.String() + `"}` }
	for name, test := range map[string]struct {
		commands []string
		want     string
	}{
		"create and drop": {[]string{`{"create":"new","capped":true,"size":256,"idIndex":` + idSpec + `}`}, "shop.new collection {\"capped\":true,\"size\":256} _id_; shop.orders collection {} _id_"},
		"create again is nothing": {[]string{`{"create":"new","idIndex":` + idSpec + `}`, `{"create":"other"}`},
			"shop.new collection {} _id_; shop.orders collection {} _id_"},
		"create without a spec for _id": {[]string{`{"create":"new"}`}, "shop.new collection {} _id_; shop.orders collection {} _id_"},
		"clustered": {[]string{`{"create":"new","clusteredIndex":{"v":2,"key":{"_id":1},"name":"byid","unique":true}}`},
			`shop.new collection {"clusteredIndex":{"v":2,"key":{"_id":1},"name":"byid","unique":true}} byid; shop.orders collection {} _id_`},
		"rename over": {[]string{`{"create":"tmp","temp":true,"idIndex":` + idSpec + `}`,
			`{"renameCollection":"shop.tmp","to":"shop.orders","stayTemp":false,"dropTarget":` + with(first) + `}`}, "shop.orders collection {} _id_"},
		"rename over, old form, temp kept": {[]string{`{"create":"tmp","temp":true,"idIndex":` + idSpec + `}`,
			`{"renameCollection":"shop.tmp","to":"shop.orders","stayTemp":true,"dropTarget":true}`}, `shop.orders collection {"temp":true} _id_`},
		"index builds interleaved, one aborted": {[]string{`{"create":"new","idIndex":` + idSpec + `}`,
			`{"startIndexBuild":"new","indexBuildUUID":` + with(pitr.UUID{7}) + `,"indexes":[{"v":2,"key":{"a":1},"name":"a"}]}`,
			`{"startIndexBuild":"new","indexBuildUUID":` + with(pitr.UUID{8}) + `,"indexes":[{"v":2,"key":{"b":1},"name":"b"}]}`,
			`{"startIndexBuild":"new","indexBuildUUID":` + with(pitr.UUID{9}) + `,"indexes":[{"v":2,"key":{"c":1},"name":"c"}]}`,
			`{"commitIndexBuild":"new","indexBuildUUID":` + with(pitr.UUID{9}) + `,"indexes":[{"v":2,"key":{"c":1},"name":"c"}]}`,
			`{"abortIndexBuild":"new","indexBuildUUID":` + with(pitr.UUID{8}) + `,"indexes":[{"v":2,"key":{"b":1},"name":"b"}]}`,
			`{"commitIndexBuild":"new","indexBuildUUID":` + with(pitr.UUID{7}) + `,"indexes":[{"v":2,"key":{"a":1},"name":"a"}]}`},
			"shop.new collection {} _id_ a c; shop.orders collection {} _id_"},
		"open build": {[]string{`{"create":"new","idIndex":` + idSpec + `}`,
			`{"startIndexBuild":"new","indexBuildUUID":` + with(pitr.UUID{7}) + `,"indexes":[{"v":2,"key":{"a":1},"name":"a"}]}`},
			"shop.new collection {} _id_; shop.orders collection {} _id_"},
		"dropDatabase after its drops": {[]string{`{"dropDatabase":1}`}, "shop.orders collection {} _id_"},
	} {
		s := tell(t, 10)
		for _, command := range test.commands {
			s.must(s.command(second, command))
		}
		if got := s.collections(); got != test.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, test.want)
		}
	}
}

// TestFoldConvergesOnIndexes: a catalog that was listed after some of the entries comes to the same order as one that was
// listed before all of them.
func TestFoldConvergesOnIndexes(t *testing.T) {
	spec := func(name string) string { return `"v":2,"key":{"` + name + `":1},"name":"` + name + `"` }
	history := []string{`{"dropIndexes":"orders","index":"a"}`, `{"createIndexes":"orders",` + spec("a") + `}`, `{"createIndexes":"orders",` + spec("b") + `}`,
		`{"startIndexBuild":"orders","indexBuildUUID":{"$uuid":"07000000-0000-0000-0000-000000000000"},"indexes":[{` + spec("c") + `}]}`,
		`{"dropIndexes":"orders","index":"b"}`, `{"createIndexes":"orders",` + spec("b") + `}`,
		`{"commitIndexBuild":"orders","indexBuildUUID":{"$uuid":"07000000-0000-0000-0000-000000000000"},"indexes":[{` + spec("c") + `}]}`}
	for listedAfter := range len(history) + 1 {
		early := tell(t, 99)
		early.must(early.command(first, `{"createIndexes":"orders",`+spec("a")+`}`))
		for _, command := range history[:listedAfter] {
			early.must(early.command(first, command))
		}
		listed, err := early.state.Collections()
		early.must(err)
		again := &story{t: t, second: 10, state: fold.New(fold.Options{Exact: pitr.NewTimestamp(99, 1)})}
		again.must(again.state.AddCollection(listed[0]))
		for _, command := range history {
			again.must(again.command(first, command))
		}
		if got := again.collections(); got != "shop.orders collection {} _id_ a c b" {
			t.Errorf("listed after %d entries: %s", listedAfter, got)
		}
	}
}

func TestFoldCollMod(t *testing.T) {
	for name, test := range map[string]struct{ before, changes, want string }{
		"validator brings level and action": {`{}`, `"validator":{"a":1}`, `{"validator":{"a":1},"validationLevel":"strict","validationAction":"error"}`},
		"order among other options": {`{"capped":true,"size":256,"collation":{"locale":"de"}}`, `"validationAction":"warn","validator":{"a":1}`,
			`{"capped":true,"size":256,"validator":{"a":1},"validationLevel":"strict","validationAction":"warn","collation":{"locale":"de"}}`},
		"empty validator":    {`{"validator":{"a":1},"validationLevel":"moderate","validationAction":"warn"}`, `"validator":{}`, `{"validationLevel":"moderate","validationAction":"warn"}`},
		"pre-images on":      {`{"validator":{"a":1}}`, `"changeStreamPreAndPostImages":{"enabled":true}`, `{"changeStreamPreAndPostImages":{"enabled":true},"validator":{"a":1}}`},
		"pre-images off":     {`{"changeStreamPreAndPostImages":{"enabled":true}}`, `"changeStreamPreAndPostImages":{"enabled":false}`, `{}`},
		"old pre-images":     {`{}`, `"recordPreImages":true`, `{"recordPreImages":true}`},
		"capped":             {`{"capped":true,"size":256,"max":3}`, `"cappedSize":{"$numberLong":"5000"},"cappedMax":7`, `{"capped":true,"size":5120,"max":7}`},
		"expiry off":         {`{"expireAfterSeconds":{"$numberLong":"5"}}`, `"expireAfterSeconds":"off"`, `{}`},
		"granularity":        {`{"timeseries":{"timeField":"t","granularity":"seconds","bucketMaxSpanSeconds":3600}}`, `"timeseries":{"granularity":"hours"}`, `{"timeseries":{"timeField":"t","granularity":"hours","bucketMaxSpanSeconds":2592000}}`},
		"nothing":            {`{"validator":{"a":1}}`, ``, `{"validator":{"a":1}}`},
		"newer option stays": {`{"brandNew":1}`, `"validationLevel":"off"`, `{"validationLevel":"off","validationAction":"error","brandNew":1}`},
	} {
		s := tell(t, 10)
		changes := test.changes
		if changes != "" {
			changes = "," + changes
		}
		// The entry brings the options before, so what was folded until here does not matter.
		before := strings.Replace(`{"uuid":{"$uuid":"`+first.String()+`"},`+test.before[1:], ",}", "}", 1)
		s.must(s.command(first, `{"collMod":"orders"`+changes+`}`, `{"collectionOptions_old":`+before+`}`))
		if got, want := s.collections(), "shop.orders collection "+test.want+" _id_"; got != want {
			t.Errorf("%s: %s\nwant %s", name, got, want)
		}
	}
}

func TestFoldIndexChanges(t *testing.T) {
	for _, test := range []struct{ spec, change, want string }{
		{`{"v":2,"unique":true,"key":{"a":1},"name":"x","sparse":true}`, "", `{"v":2,"key":{"a":1},"name":"x","unique":true,"sparse":true}`},
		{`{"v":{"$numberLong":"2"},"key":{"a":"2d"},"name":"x","min":-10,"max":10,"bits":{"$numberDouble":"26"},"sparse":1,"ns":"shop.orders"}`, "",
			`{"v":2,"key":{"a":"2d"},"name":"x","sparse":true,"bits":26,"min":-10.0,"max":10.0}`},
		{`{"v":2,"key":{"a":1},"name":"x","expireAfterSeconds":{"$numberDouble":"NaN"}}`, "", `{"v":2,"key":{"a":1},"name":"x","expireAfterSeconds":2147483647}`},
		{`{"v":2,"key":{"a":1},"name":"x"}`, `"hidden":true`, `{"v":2,"key":{"a":1},"name":"x","hidden":true}`},
		{`{"v":2,"hidden":true,"key":{"a":1},"name":"x"}`, `"hidden":false`, `{"v":2,"key":{"a":1},"name":"x"}`},
		{`{"v":2,"key":{"a":1},"name":"x","collation":{"locale":"fr"}}`, `"expireAfterSeconds":{"$numberLong":"60"}`, `{"v":2,"key":{"a":1},"name":"x","expireAfterSeconds":60,"collation":{"locale":"fr"}}`},
		{`{"v":2,"prepareUnique":true,"key":{"a":1},"name":"x"}`, `"unique":true`, `{"v":2,"key":{"a":1},"name":"x","unique":true}`},
		{`{"v":2,"key":{"a":1},"name":"x"}`, `"prepareUnique":true`, `{"v":2,"key":{"a":1},"name":"x","prepareUnique":true}`},
		{`{"v":2,"unique":true,"key":{"a":1},"name":"x"}`, `"forceNonUnique":true`, `{"v":2,"key":{"a":1},"name":"x"}`},
		{`{"v":2,"brandNew":1,"key":{"a":1},"name":"x"}`, "", `{"v":2,"key":{"a":1},"name":"x","brandNew":1}`},
	} {
		s := tell(t, 10)
		s.must(s.command(first, `{"createIndexes":"orders",`+test.spec[1:]))
		if test.change != "" {
			s.must(s.command(first, `{"collMod":"orders","index":{"name":"x",`+test.change+`}}`))
		}
		list, err := s.state.Collections()
		s.must(err)
		if got := relaxed(t, list[0].Indexes[1]); got != test.want {
			t.Errorf("%s with %s: %s\nwant %s", test.spec, test.change, got, test.want)
		}
		if !fold.SameIndex(parse(t, test.spec), list[0].Indexes[1]) && test.change == "" {
			t.Errorf("%s is not the same index as %s", test.spec, test.want)
		}
	}
}

func TestFoldViews(t *testing.T) {
	s := tell(t, 10)
	s.must(s.state.AddCollection(pitr.Collection{NS: pitr.Namespace{DB: "shop", Collection: "old"}, Type: pitr.TypeView,
		Options: parse(t, `{"viewOn":"orders","pipeline":[]}`)}))
	views := pitr.UUID{5}
	s.must(s.entry(views, `"op":"i","ns":"shop.system.views","o":{"_id":"shop.v","viewOn":"orders","pipeline":[{"$match":{"a":1}}],"collation":{"locale":"de"}}`))
	s.must(s.entry(views, `"op":"u","ns":"shop.system.views","o":{"$v":2,"diff":{"u":{"viewOn":"others"}}},"o2":{"_id":"shop.old"}`))
	want := `shop.old view {"viewOn":"others","pipeline":[]}; shop.orders collection {} _id_; shop.v view {"viewOn":"orders","pipeline":[{"$match":{"a":1}}],"collation":{"locale":"de"}}`
	if got := s.collections(); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	s.must(s.entry(views, `"op":"d","ns":"shop.system.views","o":{"_id":"shop.v"}`))
	s.must(s.command(views, `{"drop":"system.views"}`))
	if got := s.collections(); got != `shop.orders collection {} _id_` {
		t.Errorf("after the drop of system.views: %s", got)
	}
}

// TestFoldRefusesStrangers: a collection renamed into the scope from outside was never read.
func TestFoldRefusesStrangers(t *testing.T) {
	s := tell(t, 10, "shop.orders", "shop.new")
	s.must(s.command(second, `{"renameCollection":"shop.outside","to":"shop.new"}`))
	s.must(s.entry(second, `"op":"i","ns":"shop.new","o":{"_id":1}`))
	if _, err := s.state.Collections(); pitr.KindOf(err) != pitr.KindUnsupported {
		t.Errorf("a stranger in the scope: %v", err)
	}
	s.must(s.command(second, `{"drop":"new"}`))
	if got := s.collections(); got != `shop.orders collection {} _id_` {
		t.Errorf("after the stranger's drop: %s", got)
	}
	// What is made outside the scope and renamed into it, as $out does, is known from its first entry on.
	s.must(s.command(second, `{"create":"tmp.agg_out.1","idIndex":`+idSpec+`}`))
	s.must(s.command(second, `{"renameCollection":"shop.tmp.agg_out.1","to":"shop.new"}`))
	if got := s.collections(); got != `shop.new collection {} _id_; shop.orders collection {} _id_` {
		t.Errorf("renamed into the scope: %s", got)
	}
}

func TestFoldRefusesVersionChanges(t *testing.T) {
	err := tell(t, 99).entry(second, `"op":"u","ns":"admin.system.version","o":{"$v":2,"diff":{"u":{"version":"8.0"}}},"o2":{"_id":"featureCompatibilityVersion"}`)
	if pitr.KindOf(err) != pitr.KindUnsupported || pitr.HintOf(err) == "" {
		t.Errorf("a change of the feature compatibility version: %v", err)
	}
}

func TestFoldLimitsMemory(t *testing.T) {
	state := fold.New(fold.Options{MaxBytes: 1000})
	if err := state.AddCollection(pitr.Collection{NS: orders, UUID: first}); err != nil {
		t.Fatal(err)
	}
	var err error
	for i := 0; i < 100 && err == nil; i++ {
		err = state.Put(first, parse(t, fmt.Sprintf(`{"_id":%d}`, i)))
	}
	if pitr.KindOf(err) != pitr.KindLimit || state.Bytes() > 1200 {
		t.Errorf("%v after %d bytes", err, state.Bytes())
	}
}

// FuzzFold: no entry makes a fold panic, or gives a catalog or a document that cannot be read.
func FuzzFold(f *testing.F) {
	for _, seed := range []string{insert1, update1, whole1, delete1,
		`"op":"c","ns":"shop.$cmd","o":{"collMod":"orders","index":{"name":"_id_","hidden":true},"validator":{"a":1}}`,
		`"op":"c","ns":"shop.$cmd","o":{"create":"new","clusteredIndex":{"key":{"_id":1},"unique":true}}`,
		`"op":"c","ns":"shop.$cmd","o":{"renameCollection":"shop.orders","to":"shop.b","dropTarget":true}`,
		`"op":"c","ns":"shop.$cmd","o":{"createIndexes":"orders","v":2,"key":{"a":1},"name":"a_1","expireAfterSeconds":{"$numberDouble":"NaN"}}`,
		`"op":"u","ns":"shop.system.views","o":{"$v":2,"diff":{"u":{"viewOn":"others"}}},"o2":{"_id":"shop.old"}`,
	} {
		f.Add([]byte(parse(f, `{"ts":{"$timestamp":{"t":11,"i":1}},"v":{"$numberLong":"2"},"ui":{"$uuid":"`+first.String()+`"},`+seed+`}`)))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		entry, err := oplog.Decode(raw)
		if err != nil {
			return
		}
		state := fold.New(fold.Options{Exact: 5})
		if err := state.AddCollection(pitr.Collection{NS: orders, UUID: first, Indexes: []bson.Raw{parse(t, idSpec)}}); err != nil {
			t.Fatal(err)
		}
		if err := state.Put(first, parse(t, `{"_id":1,"a":[1,{"b":2}]}`)); err != nil {
			t.Fatal(err)
		}
		var assembler oplog.Assembler
		group, ok, err := assembler.Push(&entry)
		if err != nil || !ok || state.Apply(group) != nil {
			return
		}
		list, err := state.Collections()
		if err != nil {
			return
		}
		for _, c := range list {
			if bson.Raw(raw).Validate() == nil && c.Options.Validate() != nil {
				t.Errorf("options %v", []byte(c.Options))
			}
		}
	})
}
