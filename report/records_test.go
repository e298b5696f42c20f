package report_test

import (
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/diff"
	"pitr/reconcile"
	"pitr/report"
)

// pageData is what a page's script reads; the places in a row are those of page/data.js.
type pageData struct {
	Job, Set string
	Looked   bool
	Texts    []string
	Rows     [][]any
}

func written(t testing.TB, page report.Page, records iter.Seq2[reconcile.Record, error], redact ...string) (string, pageData) {
	t.Helper()
	redactor, err := report.NewRedactor(redact)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := report.WritePage(&out, page, records, redactor); err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(out.String(), `<script type="application/json" id="data">`)
	text, _, there := strings.Cut(after, "</script>")
	var data pageData
	if err := json.Unmarshal([]byte(text), &data); err != nil || !there {
		t.Fatalf("the data of the page: %v", err)
	}
	return out.String(), data
}

// shownFields gives the fields of a row as "path: T | E | live", - where absent.
func (d pageData) shownFields(row int) []string {
	var list []string
	for _, each := range d.Rows[row][16].([]any) {
		field := each.([]any)
		line := d.Texts[int(field[0].(float64))] + ":"
		for i := 2; i < 5; i++ {
			text := "-"
			if n := int(field[i].(float64)); n >= 0 {
				text = d.Texts[n]
			}
			line += " " + text
		}
		list = append(list, line)
	}
	return list
}

func equalLists(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// lotOf makes n created records of a size, of which every second one ended as it began.
func lotOf(t *testing.T, n, size int, fill string) iter.Seq2[reconcile.Record, error] {
	created := change(t, "shop.orders", fmt.Sprintf(`{"_id": 1, "pad": %q}`, strings.Repeat("x", size)), "")
	return func(yield func(reconcile.Record, error) bool) {
		for i := range n {
			c := created
			c.N = int64(i + 1)
			// Random text: nothing repeats, so nothing can be stored once.
			document, err := bson.Marshal(bson.D{{Key: "_id", Value: i}, {Key: "pad", Value: strings.Repeat(fmt.Sprint(i, fill), size/len(fmt.Sprint(i, fill))+1)}})
			if err != nil {
				t.Fatal(err)
			}
			c.E = document
			if c.Key, err = pitr.KeyOf(document); err != nil {
				t.Fatal(err)
			}
			if i%2 == 1 {
				c.T, c.Class = c.E, pitr.ClassUnchanged
			}
			if !yield(report.RecordOf(c, fmt.Sprint("token", i)), nil) {
				return
			}
		}
	}
}

// TestPageNeverGrowsBeyondItsLimit: whatever the records are, the page stays within 10 MB, and what it leaves out is
// counted. // case F11
func TestPageNeverGrowsBeyondItsLimit(t *testing.T) {
	for _, c := range []struct {
		name          string
		records, size int
		fill          string
		least         int
	}{
		{"large", 10_000, 5_000, "-", 10_000},
		{"as text six times as long", 10_000, 3_000, "<&>", 10_000},
		{"huge and few", 12, 3 << 20, "-", 12},
	} {
		t.Run(c.name, func(t *testing.T) {
			page, data := written(t, report.Page{Job: "J"}, lotOf(t, c.records, c.size, c.fill))
			if len(page) > 10_000_000 {
				t.Errorf("the page has %d bytes", len(page))
			}
			if len(data.Rows) < c.least {
				t.Errorf("the page has only %d of %d records", len(data.Rows), c.records)
			}
			for i, row := range data.Rows {
				fields := row[16].([]any)
				if last := fields[len(fields)-1].([]any); len(last) != 8 && int(row[17].(float64))+int(row[18].(float64)) == 0 {
					t.Fatalf("record %d is cut and does not say so: %v", i, row)
				}
			}
		})
	}
}

// TestPageLeavesOutWhatNeedsNoDecision: where there are too many records, those with something to decide go first.
func TestPageLeavesOutWhatNeedsNoDecision(t *testing.T) {
	page, data := written(t, report.Page{Job: "J"}, lotOf(t, 19_000, 30, "-"))
	open := 0
	for i, row := range data.Rows {
		if data.Texts[int(row[6].(float64))] != "" {
			open++
		}
		if i > 0 && row[0].(float64) <= data.Rows[i-1][0].(float64) {
			t.Fatalf("record %v comes after %v", row[0], data.Rows[i-1][0])
		}
	}
	if len(data.Rows) != 10_000 || open != 9_500 {
		t.Errorf("%d records, %d of them to decide about, not 10000 and 9500", len(data.Rows), open)
	}
	if !strings.Contains(page, "9,000 more records are not on this page") {
		t.Error("the page does not say that 9,000 records are left out")
	}
}

func TestPageShowsAllVersions(t *testing.T) {
	looked := report.Page{Job: "J", Set: "S", Looked: time.Unix(1761120000, 0)}
	record := func(state reconcile.State, e, s, live string) reconcile.Record {
		r := report.RecordOf(change(t, "shop.orders", e, s), "token")
		r.State = state
		if live != "" {
			r.Live = raw(t, live)
		}
		return r
	}
	one := func(r reconcile.Record, redact ...string) pageData {
		_, data := written(t, looked, func(yield func(reconcile.Record, error) bool) { yield(r, nil) }, redact...)
		return data
	}
	before, after := `{"_id": 1, "state": "new", "n": 1}`, `{"_id": 1, "state": "sent", "n": 1}`
	equalLists(t, "changed, live as before", one(record(reconcile.StateChangeLost, after, before, before)).shownFields(0),
		`state: "new" "sent" "new"`, `_id: 1 1 1`, `n: 1 1 1`)
	equalLists(t, "changed, nobody looked", one(record("", after, before, "")).shownFields(0), `state: "new" "sent" -`, `_id: 1 1 -`, `n: 1 1 -`)
	equalLists(t, "created and live again", one(record(reconcile.StateCameBack, after, "", after)).shownFields(0),
		`_id: - 1 1`, `state: - "sent" "sent"`, `n: - 1 1`)
	equalLists(t, "live is another one", one(record(reconcile.StateChangedSince, after, before, `{"_id": 1, "state": "new", "n": 2, "by": "x"}`)).shownFields(0),
		`state: "new" "sent" "new"`, `n: 1 1 2`, `by: - - "x"`, `_id: 1 1 1`)
	both := record(reconcile.StateChangedSince, after, before, `{"_id": 1, "state": "gone", "n": 1}`)
	both.Merge = []reconcile.FieldMerge{{Path: diff.Path{"state"}, T: both.Change.T.Lookup("state"), E: both.Change.E.Lookup("state"), Live: both.Live.Lookup("state"), Conflict: true}}
	equalLists(t, "changed on both sides", one(both).shownFields(0), `state: "new" "sent" "gone"`, `_id: 1 1 1`, `n: 1 1 1`)
	equalLists(t, "and hidden", one(both, "orders.state").shownFields(0), `state: "(redacted)" "(redacted)" "(redacted)"`, `_id: 1 1 1`, `n: 1 1 1`)
	both.Merge[0].Path = diff.Path{"list", "0", "state"}
	equalLists(t, "and hidden in a list", one(both, "orders.list.state").shownFields(0)[:1], `list.0.state: "(redacted)" "(redacted)" "(redacted)"`)
}

// TestPageHidesRedactedValuesOfGroups: a shared value and a live _id are values, too.
func TestPageHidesRedactedValuesOfGroups(t *testing.T) {
	c := change(t, "shop.orders", `{"_id": "CANARY1", "mail": "CANARY2"}`, "")
	for _, value := range []string{`{"mail": "CANARY2", "n": 7}`, `"CANARY2"`} {
		page, _ := written(t, report.Page{Groups: []reconcile.Group{{Number: 1, NS: c.NS, Index: "mail_1", Value: value, Records: []string{"token1"}, Live: []pitr.Key{c.Key}}}},
			recordsOf(c), "orders.mail", "orders._id")
		if strings.Contains(page, "CANARY") {
			t.Errorf("a page with the shared value %s shows it", value)
		}
	}
	page, _ := written(t, report.Page{Groups: []reconcile.Group{{NS: c.NS, Value: `{"mail": "a@b.c", "n": 7}`}}}, recordsOf(c), "orders.note")
	if !strings.Contains(page, `mail: &#34;a@b.c&#34;, n: 7`) {
		t.Error("a shared value that no rule hides is not shown")
	}
}

func TestValuesAreWrittenAsTheShellDoes(t *testing.T) {
	c := change(t, "shop.orders", `{"_id": {"$oid": "68f8a0000000000000000001"}, "int": 5, "long": {"$numberLong": "5"}, "double": 5.0, "tiny": 1e-9, "minus": {"$numberDouble": "-0.0"},
		"nan": {"$numberDouble": "NaN"}, "dec": {"$numberDecimal": "5.00"}, "date": {"$date": {"$numberLong": "1761122100001"}}, "far": {"$date": {"$numberLong": "999999999999999999"}},
		"uuid": {"$binary": {"base64": "L3j0SAd3TgubHAAAAAAAAQ==", "subType": "04"}}, "bin": {"$binary": {"base64": "AAE=", "subType": "00"}}, "json": "{\"a\":\"b\"}",
		"both": "\"it's\"", "turn": "\u202egnp", "list": [1, null, {"a b": true}], "re": {"$regularExpression": {"pattern": "a\"", "options": "i"}}, "ts": {"$timestamp": {"t": 7, "i": 9}},
		"min": {"$minKey": 1}, "code": {"$code": "f()", "$scope": {"x": 1}}}`, "")
	_, data := written(t, report.Page{}, recordsOf(c))
	var got []string
	for _, line := range data.shownFields(0) {
		got = append(got, strings.TrimSuffix(strings.Replace(line, ": -", ":", 1), " -"))
	}
	equalLists(t, "values", got, `_id: ObjectId("68f8a0000000000000000001")`, `int: 5`, `long: Long("5")`, `double: 5.0`, `tiny: 1e-09`, `minus: -0.0`, `nan: NaN`,
		`dec: Decimal128("5.00")`, `date: ISODate("2025-10-22T08:35:00.001Z")`, `far: Date(999999999999999999)`, `uuid: UUID("2f78f448-0777-4e0b-9b1c-000000000001")`,
		`bin: Binary("AAE=", 0)`, `json: '{"a":"b"}'`, `both: "\"it's\""`, `turn: "\u202egnp"`, `list: [1, null, {"a b": true}]`, `re: RegExp('a"', "i")`, `ts: Timestamp(7, 9)`,
		`min: MinKey()`, `code: Code("f()", {x: 1})`)
}

// FuzzPageData: no document can break the page's data or get out of it. // case X15, X23
func FuzzPageData(f *testing.F) {
	for _, text := range hostile {
		document, err := bson.Marshal(bson.D{{Key: "_id", Value: text}, {Key: strings.ReplaceAll(text, "\x00", ""), Value: bson.A{text}}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(document, document[:len(document)-1])
	}
	f.Fuzz(func(t *testing.T, e, live []byte) {
		key, err := pitr.KeyOf(bson.Raw(e))
		if bson.Raw(e).Validate() != nil || err != nil {
			t.Skip("no document with an _id")
		}
		r := report.RecordOf(pitr.Change{N: 1, NS: pitr.Namespace{DB: "a", Collection: "b"}, Key: key, Class: pitr.ClassCreated, E: e}, "token")
		r.State, r.Live = reconcile.StateChangedSince, live
		page, data := written(t, report.Page{Looked: time.Unix(1, 0)}, func(yield func(reconcile.Record, error) bool) { yield(r, nil) })
		if strings.Count(page, "<script") != 2 || strings.Count(page, "</script") != 2 || len(data.Rows) != 1 {
			t.Errorf("the page of %x is broken", e)
		}
		for _, text := range data.Texts {
			if strings.ContainsAny(text, "\x00\x1b\u202e\u2066\u2028") {
				t.Errorf("%q is shown as it is", text)
			}
		}
	})
}

func BenchmarkWritePage(b *testing.B) {
	status := []string{"accepted", "rejected"}
	sides := make([]bson.Raw, 20_000)
	for i := range sides {
		document, err := bson.Marshal(bson.D{{Key: "_id", Value: fmt.Sprintf("device-%08d", i/2)}, {Key: "tenant", Value: i % 20}, {Key: "status", Value: status[i%2]},
			{Key: "data", Value: strings.Repeat(fmt.Sprint(i/2), 20)}, {Key: "at", Value: bson.DateTime(1761120000000 + int64(i/2))}, {Key: "revision", Value: i % 7}})
		if err != nil {
			b.Fatal(err)
		}
		sides[i] = document
	}
	records := func(yield func(reconcile.Record, error) bool) {
		for i := 0; i < len(sides); i += 2 {
			key, err := pitr.KeyOf(sides[i])
			if !yield(report.RecordOf(pitr.Change{N: int64(i), NS: pitr.Namespace{DB: "a", Collection: "b"}, Key: key, Class: pitr.ClassChanged, E: sides[i+1], T: sides[i]}, fmt.Sprint(i)), err) {
				return
			}
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		page, _ := written(b, report.Page{}, records)
		b.SetBytes(int64(len(page)))
	}
}
