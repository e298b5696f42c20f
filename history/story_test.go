package history_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/history"
)

var (
	orders  = pitr.Namespace{DB: "shop", Collection: "orders"}
	firstID = pitr.UUID{1}
	nextID  = pitr.UUID{2}
)

const idSpec = `{"v":2,"key":{"_id":1},"name":"_id_"}`

func parse(t testing.TB, text string) bson.Raw {
	t.Helper()
	var document bson.Raw
	if err := bson.UnmarshalExtJSON([]byte(text), false, &document); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return document
}

// at gives the moment of the n-th entry of a story, which begins at second 10.
func at(n int) pitr.Timestamp { return pitr.NewTimestamp(uint32(10+n), 1) }

// on writes an entry on a collection.
func on(uuid pitr.UUID, rest string) string {
	return fmt.Sprintf(`"ui":{"$uuid":"%s"},%s`, uuid, rest)
}

func insert(uuid pitr.UUID, ns, document string) string {
	return on(uuid, `"op":"i","ns":"`+ns+`","o":`+document)
}

func update(uuid pitr.UUID, ns, id, diff string) string {
	return on(uuid, `"op":"u","ns":"`+ns+`","o":{"$v":2,"diff":`+diff+`},"o2":{"_id":`+id+`}`)
}

func remove(uuid pitr.UUID, ns, id string) string {
	return on(uuid, `"op":"d","ns":"`+ns+`","o":{"_id":`+id+`}`)
}

func command(uuid pitr.UUID, o string) string { return on(uuid, `"op":"c","ns":"shop.$cmd","o":`+o) }

// tell makes a history: orders as they are at second 10, then one entry a second.
func tell(t *testing.T, options history.Options, base []string, entries ...string) *history.History {
	t.Helper()
	memory := &memoryBase{window: pitr.Window{After: at(0), Through: at(0)}, documents: map[pitr.UUID][]bson.Raw{}}
	memory.collections = []pitr.Collection{{NS: orders, UUID: firstID, Type: pitr.TypeCollection, Options: parse(t, `{}`),
		Indexes: []bson.Raw{parse(t, idSpec), parse(t, `{"v":2,"key":{"exp.time":1},"name":"ttl","expireAfterSeconds":5}`)}}}
	for _, document := range base {
		memory.documents[firstID] = append(memory.documents[firstID], parse(t, document))
	}
	var raws []bson.Raw
	for i, rest := range entries {
		raws = append(raws, parse(t, fmt.Sprintf(`{"ts":{"$timestamp":{"t":%d,"i":1}},"t":{"$numberLong":"1"},"v":{"$numberLong":"2"},"wall":{"$date":{"$numberLong":"%d"}},%s}`, 11+i, (11+i)*1000, rest)))
	}
	return history.New(memory, entriesIn(raws), options)
}

// changes tells a gap: "namespace key class T -> E first-last xops".
func changes(t *testing.T, h *history.History, window pitr.Window, scope ...string) []string {
	t.Helper()
	gap, err := h.Gap(context.Background(), window, history.GapOptions{Scope: pitr.Scope{Only: scope}})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, step := range gap.Steps {
		told = append(told, fmt.Sprintf("%s: %s", step.NS, step.Step))
	}
	text := func(document bson.Raw) string {
		if document == nil {
			return "-"
		}
		content, err := bson.MarshalExtJSON(document, false, false)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimPrefix(string(content), `{"_id":`)
	}
	for change, err := range gap.Changes(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		told = append(told, fmt.Sprintf("%s %s: {%s -> {%s, %d-%d x%d", change.NS, change.Class, text(change.T), text(change.E),
			change.First.TS.Seconds()-10, change.Last.TS.Seconds()-10, change.Ops))
	}
	return told
}

func expectLines(t *testing.T, name string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestGapClasses(t *testing.T) {
	date := func(second int) string { return fmt.Sprintf(`{"time":{"$date":{"$numberLong":"%d"}}}`, second*1000) }
	h := tell(t, history.Options{}, []string{`{"_id":1,"a":1}`, `{"_id":2}`, `{"_id":3}`, `{"_id":4,"exp":` + date(11) + `}`, `{"_id":5,"exp":` + date(14) + `}`},
		update(firstID, "shop.orders", "1", `{"u":{"a":2}}`), // 1, before T
		update(firstID, "shop.orders", "1", `{"u":{"a":3}}`),
		remove(firstID, "shop.orders", "2"),
		insert(firstID, "shop.orders", `{"_id":6}`),
		insert(firstID, "shop.orders", `{"_id":7}`),
		remove(firstID, "shop.orders", "7"),
		remove(firstID, "shop.orders", "3"),
		insert(firstID, "shop.orders", `{"_id":3}`),
		remove(firstID, "shop.orders", "4"),
		remove(firstID, "shop.orders", "5"),
	)
	// 4 was due at second 16, 5 will be at 19; the gap ends at 18 in the first look and at 20 in the second.
	expectLines(t, "through 8", changes(t, h, pitr.Window{After: at(1), Through: at(8)}),
		`shop.orders changed: {1,"a":2} -> {1,"a":3}, 2-2 x1`,
		`shop.orders deleted: {2} -> {-, 3-3 x1`,
		`shop.orders unchanged in effect: {3} -> {3}, 7-8 x2`,
		`shop.orders created: {- -> {6}, 4-4 x1`,
		`shop.orders came and went: {- -> {-, 5-6 x2`)
	got := changes(t, h, pitr.Window{After: at(8), Through: at(10)})
	if len(got) != 2 || !strings.Contains(got[0], "expired: {4,") || !strings.Contains(got[1], "expired: {5,") {
		t.Errorf("through 10: %s", strings.Join(got, "\n"))
	}
	if got := changes(t, h, pitr.Window{After: at(8), Through: at(8)}); got != nil {
		t.Errorf("an empty gap: %v", got)
	}
}

// An insert inside an applyOps that somebody sent by hand can meet a document that is there: what it replaced comes back.
func TestInsertByHandOverADocument(t *testing.T) {
	byHand := func(ops ...string) string {
		return `"op":"c","ns":"admin.$cmd","o":{"applyOps":[{` + strings.Join(ops, "},{") + `}]}`
	}
	h := tell(t, history.Options{}, []string{`{"_id":1,"a":1}`},
		byHand(insert(firstID, "shop.orders", `{"_id":1,"a":2}`), insert(firstID, "shop.orders", `{"_id":2}`)))
	expectLines(t, "the gap", changes(t, h, pitr.Window{After: at(0), Through: at(1)}),
		`shop.orders changed: {1,"a":1} -> {1,"a":2}, 1-1 x1`,
		`shop.orders created: {- -> {2}, 1-1 x1`)
}

// An operation without the identity of its collection is never left out of a gap in silence.
func TestOperationWithoutACollectionIsInTheWay(t *testing.T) {
	h := tell(t, history.Options{}, []string{`{"_id":1,"a":1}`},
		`"op":"c","ns":"admin.$cmd","o":{"applyOps":[{"op":"u","ns":"shop.orders","o":{"$v":2,"diff":{"u":{"a":2}}},"o2":{"_id":1}}]}`)
	window := pitr.Window{After: at(0), Through: at(1)}
	if _, err := h.Gap(context.Background(), window, history.GapOptions{}); pitr.KindOf(err) != pitr.KindUnsupported {
		t.Errorf("the gap: %v", err)
	}
	price, err := h.Price(context.Background(), window, pitr.Scope{})
	if err != nil || len(price.Obstacles) != 1 || price.Obstacles[0].NS != orders {
		t.Errorf("the price is %+v, %v", price, err)
	}
	if price, err := h.Price(context.Background(), window, pitr.Scope{Except: []string{"shop"}}); err != nil || len(price.Obstacles) != 0 {
		t.Errorf("the price of another scope is %+v, %v", price, err)
	}
}

func TestGapOfCollections(t *testing.T) {
	with := func(uuid pitr.UUID) string { return `{"$uuid":"` + uuid.String() + `"}` }
	base := []string{`{"_id":1}`, `{"_id":2}`}
	out := tell(t, history.Options{}, base,
		update(firstID, "shop.orders", "1", `{"i":{"x":1}}`),
		command(nextID, `{"create":"tmp.agg_out.1","temp":true,"idIndex":`+idSpec+`}`),
		insert(nextID, "shop.tmp.agg_out.1", `{"_id":2,"new":1}`),
		insert(nextID, "shop.tmp.agg_out.1", `{"_id":3}`),
		update(firstID, "shop.orders", "1", `{"u":{"x":2}}`),
		command(nextID, `{"renameCollection":"shop.tmp.agg_out.1","to":"shop.orders","stayTemp":false,"dropTarget":`+with(firstID)+`}`))
	want := []string{`shop.orders: collection re-created`,
		`shop.orders changed: {2} -> {2,"new":1}, 3-6 x2`,
		`shop.orders deleted: {1,"x":1} -> {-, 5-6 x2`,
		`shop.orders created: {- -> {3}, 4-4 x1`}
	expectLines(t, "$out", changes(t, out, pitr.Window{After: at(1), Through: at(6)}), want...)
	expectLines(t, "$out, in scope by its last name", changes(t, out, pitr.Window{After: at(1), Through: at(6)}, "shop.orders"), want...)
	renamed := tell(t, history.Options{}, base,
		command(firstID, `{"renameCollection":"shop.orders","to":"shop.old","stayTemp":false}`),
		update(firstID, "shop.old", "1", `{"i":{"x":1}}`),
		command(nextID, `{"create":"orders","idIndex":`+idSpec+`}`),
		insert(nextID, "shop.orders", `{"_id":9}`))
	expectLines(t, "rename and a new one", changes(t, renamed, pitr.Window{After: at(0), Through: at(4)}, "shop.orders"),
		`shop.orders: collection created`, `shop.orders: collection renamed`,
		`shop.orders changed: {1} -> {1,"x":1}, 2-2 x1`, `shop.orders created: {- -> {9}, 4-4 x1`)
	dropped := tell(t, history.Options{}, base,
		insert(firstID, "shop.orders", `{"_id":3}`),
		command(firstID, `{"drop":"orders"}`),
		command(nextID, `{"create":"passing","idIndex":`+idSpec+`}`),
		insert(nextID, "shop.passing", `{"_id":1}`),
		command(nextID, `{"drop":"passing"}`))
	expectLines(t, "drop", changes(t, dropped, pitr.Window{After: at(0), Through: at(5)}), `shop.orders: collection dropped`,
		`shop.orders deleted: {1} -> {-, 2-2 x1`, `shop.orders deleted: {2} -> {-, 2-2 x1`, `shop.orders came and went: {- -> {-, 1-1 x1`)
}

// TestPreparedTransactions: case D07; a prepared transaction counts from its commit timestamp on, which may lie before its
// commit entry, and a moment between its two ends looks behind itself.
func TestPreparedTransactions(t *testing.T) {
	session := `"lsid":{"id":1},"txnNumber":{"$numberLong":"1"},`
	prepare := session + `"op":"c","ns":"admin.$cmd","o":{"applyOps":[{` + insert(firstID, "shop.orders", `{"_id":2}`) + `}],"prepare":true},"prevOpTime":{"ts":{"$timestamp":{"t":0,"i":0}},"t":{"$numberLong":"-1"}}`
	commit := session + `"op":"c","ns":"admin.$cmd","o":{"commitTransaction":1,"commitTimestamp":{"$timestamp":{"t":12,"i":5}}},"prevOpTime":{"ts":{"$timestamp":{"t":11,"i":1}},"t":{"$numberLong":"1"}}`
	noop := `"op":"n","ns":"","o":{}`
	h := tell(t, history.Options{}, []string{`{"_id":1}`}, prepare, noop, noop, commit, noop)
	count := func(n int) int {
		view, err := h.View(context.Background(), at(n), pitr.Scope{})
		if err != nil {
			t.Fatal(err)
		}
		documents := 0
		for range view.Documents(context.Background(), view.Collections()[0]) {
			documents++
		}
		return documents
	}
	for n, want := range []int{1, 1, 1, 2, 2, 2} {
		if got := count(n); got != want {
			t.Errorf("at entry %d: %d documents, want %d", n, got, want)
		}
	}
	expectLines(t, "gap across the commit timestamp", changes(t, h, pitr.Window{After: at(2), Through: at(3)}), `shop.orders created: {- -> {2}, 4-4 x1`)
	if got := changes(t, h, pitr.Window{After: at(3), Through: at(5)}); got != nil {
		t.Errorf("a gap behind the commit timestamp: %v", got)
	}
	endless := tell(t, history.Options{}, nil, prepare, noop)
	if _, err := endless.View(context.Background(), at(2), pitr.Scope{}); pitr.KindOf(err) != pitr.KindHole {
		t.Errorf("a prepared transaction without an end: %v", err)
	}
}

func TestLimits(t *testing.T) {
	var entries []string
	for i := range 200 {
		entries = append(entries, insert(firstID, "shop.orders", fmt.Sprintf(`{"_id":%d,"pad":"%s"}`, i, strings.Repeat("x", 100))))
	}
	h := tell(t, history.Options{MaxBytes: 10_000}, nil, entries...)
	ctx := context.Background()
	_, err := h.View(ctx, at(200), pitr.Scope{})
	if pitr.KindOf(err) != pitr.KindLimit || pitr.HintOf(err) == "" {
		t.Errorf("view: %v", err)
	}
	if _, err = h.Gap(ctx, pitr.Window{After: at(0), Through: at(200)}, history.GapOptions{}); pitr.KindOf(err) != pitr.KindLimit {
		t.Errorf("gap: %v", err)
	}
	if _, err = h.Gap(ctx, pitr.Window{After: at(5), Through: at(2)}, history.GapOptions{}); pitr.KindOf(err) != pitr.KindInvalid {
		t.Errorf("a gap that ends before it begins: %v", err)
	}
}

// TestHistoryRefusesWhatItCannotFold: case D08; folding stops at an entry that is not understood, and what only counts
// names it.
func TestHistoryRefusesWhatItCannotFold(t *testing.T) {
	h := tell(t, history.Options{}, nil, insert(firstID, "shop.orders", `{"_id":1}`), `"op":"zz","ns":"shop.orders","o":{}`,
		command(firstID, `{"importCollection":"orders"}`), insert(firstID, "shop.orders", `{"_id":2}`))
	ctx := context.Background()
	if _, err := h.View(ctx, at(1), pitr.Scope{}); err != nil {
		t.Errorf("before it: %v", err)
	}
	if _, err := h.View(ctx, at(2), pitr.Scope{}); pitr.KindOf(err) != pitr.KindUnsupported {
		t.Errorf("across an unknown operation: %v", err)
	}
	window := pitr.Window{After: at(0), Through: at(4)}
	if _, err := h.Gap(ctx, window, history.GapOptions{}); pitr.KindOf(err) != pitr.KindUnsupported {
		t.Errorf("a gap across it: %v", err)
	}
	price, err := h.Price(ctx, window, pitr.Scope{})
	if err != nil || len(price.Obstacles) != 2 || price.Touched[orders][pitr.ClassCreated] != 2 {
		t.Errorf("price: %+v, %v", price, err)
	}
	findings, err := h.Find(ctx, window, history.EventOptions{})
	if err != nil || len(findings.Events) != 2 || findings.Events[0].Kind != history.EventRefused {
		t.Errorf("find: %+v, %v", findings, err)
	}
}

func TestTraceAcrossCollections(t *testing.T) {
	h := tell(t, history.Options{}, []string{`{"_id":1}`},
		update(firstID, "shop.orders", "1", `{"i":{"a":1}}`),
		update(firstID, "shop.orders", "2", `{"i":{"a":1}}`)+`,"b":true`,
		command(firstID, `{"drop":"orders"}`),
		command(nextID, `{"create":"orders","idIndex":`+idSpec+`}`),
		insert(nextID, "shop.orders", `{"_id":{"$numberLong":"1"},"again":true}`),
		remove(nextID, "shop.orders", "1"))
	key, err := pitr.KeyOf(parse(t, `{"_id":1}`))
	if err != nil {
		t.Fatal(err)
	}
	versions, err := h.Trace(context.Background(), orders, key, at(6))
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, v := range versions {
		told = append(told, fmt.Sprintf("%d %s %v %v", v.At.Seconds()-10, v.Kind, v.Paths, v.Document != nil))
	}
	expectLines(t, "trace", told, "0 unknown [] true", "1 u [a] true", "3 drop [] false", "5 i [] true", "6 d [] false")
	if versions[1].Wall != time.UnixMilli(11000).UTC() || versions[3].UUID != nextID {
		t.Errorf("%+v", versions)
	}
}

func TestCappedCollectionsOfOldServers(t *testing.T) {
	h := tell(t, history.Options{Version: "4.4"}, nil, command(nextID, `{"create":"log","capped":true,"size":4096,"idIndex":`+idSpec+`}`),
		insert(nextID, "shop.log", `{"_id":1}`))
	view, err := h.View(context.Background(), at(2), pitr.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	log, _ := view.Collection(pitr.Namespace{DB: "shop", Collection: "log"})
	for _, err := range view.Documents(context.Background(), log) {
		if pitr.KindOf(err) != pitr.KindUnsupported {
			t.Errorf("documents that the server may have trimmed: %v", err)
		}
	}
}

// TestPriceLeavesOutWhatPassed: a collection that was made and dropped in the gap is nobody's loss; one that was dropped is
// priced by the server's own count, less what is counted already.
func TestPriceLeavesOutWhatPassed(t *testing.T) {
	h := tell(t, history.Options{}, []string{`{"_id":1}`, `{"_id":2}`, `{"_id":3}`},
		command(nextID, `{"create":"passing","idIndex":`+idSpec+`}`),
		insert(nextID, "shop.passing", `{"_id":1}`),
		command(nextID, `{"drop":"passing"}`),
		update(firstID, "shop.orders", "1", `{"i":{"x":1}}`),
		insert(firstID, "shop.orders", `{"_id":4}`),
		remove(firstID, "shop.orders", "3"),
		command(firstID, `{"drop":"orders"}`)+`,"o2":{"numRecords":{"$numberLong":"3"}}`)
	if price, err := h.Price(context.Background(), pitr.Window{After: at(0), Through: at(6)}, pitr.Scope{}, pitr.Window{After: at(3), Through: at(5)}); err != nil ||
		len(price.Touched[orders]) != 1 || price.Touched[orders][pitr.ClassDeleted] != 1 {
		t.Errorf("less what a job wrote: %+v, %v", price, err)
	}
	price, err := h.Price(context.Background(), pitr.Window{After: at(0), Through: at(7)}, pitr.Scope{})
	if err != nil || len(price.Touched) != 1 || price.Touched[orders][pitr.ClassDeleted] != 3 || price.Touched[orders][pitr.ClassCameAndWent] != 1 {
		t.Errorf("%+v, %v; want 3 deleted, 1 that came and went", price, err)
	}
}

// TestViewLooksUpOnlyWhatItNeeds: a document whose first entry says everything is not looked for in the base.
func TestViewLooksUpOnlyWhatItNeeds(t *testing.T) {
	memory := &memoryBase{window: pitr.Window{After: at(0), Through: at(0)}, documents: map[pitr.UUID][]bson.Raw{firstID: {parse(t, `{"_id":1}`), parse(t, `{"_id":2}`)}},
		collections: []pitr.Collection{{NS: orders, UUID: firstID, Type: pitr.TypeCollection}}}
	var raws []bson.Raw
	for i, rest := range []string{insert(firstID, "shop.orders", `{"_id":3}`), remove(firstID, "shop.orders", "2"), update(firstID, "shop.orders", "3", `{"i":{"a":1}}`),
		update(firstID, "shop.orders", "1", `{"i":{"a":1}}`)} {
		raws = append(raws, parse(t, fmt.Sprintf(`{"ts":{"$timestamp":{"t":%d,"i":1}},"v":{"$numberLong":"2"},%s}`, 11+i, rest)))
	}
	h := history.New(memory, entriesIn(raws), history.Options{})
	view, err := h.View(context.Background(), at(4), pitr.Scope{})
	if err != nil || memory.lookups != 1 {
		t.Fatalf("%d look-ups, %v; want 1", memory.lookups, err)
	}
	documents := 0
	for range view.Documents(context.Background(), view.Collections()[0]) {
		documents++
	}
	if documents != 2 {
		t.Errorf("%d documents, want 2", documents)
	}
}

func TestBursts(t *testing.T) {
	var entries []string
	for i := range 25 { // one a second: far apart for a pause of one second, a burst for one of two
		entries = append(entries, update(firstID, "shop.orders", fmt.Sprint(i), `{"u":{"status":"x"},"saddress":{"u":{"city":1}}}`)+`,"b":true`)
		if i%12 == 0 {
			entries = append(entries, remove(firstID, "shop.orders", fmt.Sprint(i)))
		}
	}
	h := tell(t, history.Options{}, nil, entries...)
	window := pitr.Window{After: at(0), Through: at(len(entries))}
	for _, test := range []struct {
		quiet time.Duration
		least int64
		want  string
	}{
		{900 * time.Millisecond, 2, "[]"},
		{2 * time.Second, 20, "[25 u status,address.city]"},
		{time.Minute, 2, "[25 u status,address.city 3 d ]"},
	} {
		findings, err := h.Find(context.Background(), window, history.EventOptions{Bursts: history.BurstOptions{Quiet: test.quiet, MinOps: test.least}})
		if err != nil {
			t.Fatal(err)
		}
		var told []string
		for i, burst := range findings.Bursts {
			slices.Reverse(burst.Paths)
			told = append(told, fmt.Sprintf("%d %s %s", burst.Ops, burst.Kind, strings.Join(burst.Paths, ",")))
			if burst.N != i+1 || burst.First.TS > burst.Last.TS || burst.NS != orders {
				t.Errorf("%+v", burst)
			}
		}
		if got := fmt.Sprint(told); got != test.want {
			t.Errorf("quiet %s, at least %d: %s, want %s", test.quiet, test.least, got, test.want)
		}
	}
}
