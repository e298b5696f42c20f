package tests

import (
	"context"
	"encoding/csv"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/diff"
	"pitr/reconcile"
	"pitr/report"
)

// recordOf makes a record that nobody has looked up; its token tells its number, so that saved files can be checked.
func recordOf(t *testing.T, n int, ns string, e, at bson.D) reconcile.Record {
	t.Helper()
	c := pitr.Change{N: int64(n), Ops: 1, First: pitr.OpTime{TS: pitr.NewTimestamp(1761120000+uint32(n), 1)}, Last: pitr.OpTime{TS: pitr.NewTimestamp(1761120001+uint32(n), 1)}}
	var err error
	db, collection, _ := strings.Cut(ns, ".")
	c.NS = pitr.Namespace{DB: db, Collection: collection}
	for _, side := range []struct {
		from bson.D
		to   *bson.Raw
	}{{e, &c.E}, {at, &c.T}} {
		if side.from != nil {
			*side.to, err = bson.Marshal(side.from)
			must(t, err)
			c.Key, err = pitr.KeyOf(*side.to)
			must(t, err)
		}
	}
	c.Class = pitr.Classify(c.E, c.T)
	return report.RecordOf(c, fmt.Sprintf("token%d", n))
}

func recordsOf(list []reconcile.Record) iter.Seq2[reconcile.Record, error] {
	return func(yield func(reconcile.Record, error) bool) {
		for _, r := range list {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func device(n int, status string, more ...bson.E) bson.D {
	return append(bson.D{
		{Key: "_id", Value: fmt.Sprintf("%08x-77aa-4e0b-9b1c-%012x", n*2654435761%(1<<32), n)}, {Key: "tenant_id", Value: fmt.Sprintf("tenant-%02d", n%20)},
		{Key: "id_data", Value: fmt.Sprintf(`{"mac":"02:00:00:%02x:%02x:%02x","serial":"SN%09d","sku":"GW-%d"}`, n>>16&255, n>>8&255, n&255, n*7, n%9)},
		{Key: "id_data_sha256", Value: bson.Binary{Data: slices.Repeat([]byte{byte(n), byte(n >> 8)}, 16)}}, {Key: "status", Value: status},
		{Key: "created_ts", Value: bson.DateTime(1761120000000 + int64(n)*1000)}, {Key: "updated_ts", Value: bson.DateTime(1761124000000 + int64(n)*100)},
		{Key: "revision", Value: n % 12}}, more...)
}

// manyDevices are n records as an incident makes them: a third changed, a third created, a third deleted.
func manyDevices(t *testing.T, n int) []reconcile.Record {
	t.Helper()
	var list []reconcile.Record
	for i := 1; i <= n; i++ {
		switch i % 3 {
		case 0:
			list = append(list, recordOf(t, i, "deviceauth.devices", device(i, "rejected"), device(i, "accepted")))
		case 1:
			list = append(list, recordOf(t, i, "deviceauth.devices", device(i, "pending"), nil))
		default:
			list = append(list, recordOf(t, i, "deployments.enrollments", nil, device(i, "accepted")))
		}
		list[i-1].Change.Bursts = []int{1 + i/1000}
	}
	return list
}

// lookedUp is a small lost set with every state, a group of duplicates and a field that both sides have changed.
func lookedUp(t *testing.T) (report.Page, []reconcile.Record) {
	t.Helper()
	raw := func(d bson.D) bson.Raw {
		content, err := bson.Marshal(d)
		must(t, err)
		return content
	}
	var list []reconcile.Record
	add := func(state reconcile.State, suggested reconcile.Decision, e, at, live bson.D) *reconcile.Record {
		r := recordOf(t, len(list)+1, "deviceauth.devices", e, at)
		if e == nil && at == nil {
			key, err := pitr.KeyOf(raw(device(99, "")))
			must(t, err)
			r.Change.Key = key
		}
		r.State, r.Suggested, r.Reason = state, suggested, "it is what the fixture of the test says"
		if live != nil {
			r.Live = raw(live)
		}
		list = append(list, r)
		return &list[len(list)-1]
	}
	add(reconcile.StateLost, reconcile.DecisionPutBack, device(1, "accepted"), nil, nil)
	add(reconcile.StateLost, reconcile.DecisionLeave, device(2, "pending"), nil, nil)
	add(reconcile.StateChangeLost, reconcile.DecisionLeave, device(3, "rejected"), device(3, "accepted"), device(3, "accepted"))
	add(reconcile.StateCameBack, reconcile.DecisionLeave, device(4, "accepted"), nil, device(4, "accepted"))
	add(reconcile.StateCameBackElsewhere, reconcile.DecisionLeave, device(5, "accepted"), nil, nil)
	both := add(reconcile.StateChangedSince, reconcile.DecisionLeave, device(6, "rejected", bson.E{Key: "schema", Value: 2}), device(6, "accepted"), device(6, "noauth"))
	value := func(r bson.Raw, name string) bson.RawValue { return r.Lookup(name) }
	both.Merge = []reconcile.FieldMerge{
		{Path: diff.Path{"status"}, T: value(both.Change.T, "status"), E: value(both.Change.E, "status"), Live: value(both.Live, "status"), Conflict: true},
		{Path: diff.Path{"schema"}, E: value(both.Change.E, "schema")},
	}
	add(reconcile.StateGoneSince, reconcile.DecisionLeave, device(7, "rejected"), device(7, "accepted"), nil)
	add(reconcile.StateDeleted, reconcile.DecisionLeave, nil, device(8, "accepted"), device(8, "accepted"))
	add(reconcile.StateCameAndWent, reconcile.DecisionLeave, nil, nil, nil)
	add(reconcile.StateUnchanged, reconcile.DecisionLeave, device(10, "accepted"), device(10, "accepted"), device(10, "accepted"))
	page := report.Page{
		Title: "Lost records of devices-eu", Lead: "The cluster was brought back to 2025-10-22 08:10:00 UTC.", Job: "20251022T092001Z-k3f9q2",
		Set: t.Name(), Looked: time.Date(2025, 10, 22, 9, 40, 0, 0, time.UTC), Footer: "Job 20251022T092001Z-k3f9q2.",
		Facts:    []report.Fact{{Name: "Lost or changed", Value: "10"}, {Name: "Seconds frozen", Value: "0.4"}},
		Timeline: []report.Event{{At: pitr.NewTimestamp(1761120000, 7), What: "index dropped tenant_id_id_data_sha256", Where: "deviceauth.devices"}},
		Groups: []reconcile.Group{
			{Number: 1, NS: list[0].Change.NS, Index: "tenant_id_id_data_sha256", Value: `{"tenant_id": "tenant-01"}`,
				Records: []string{"token1", "token2"}, Survivor: "token1", Reason: "it was written to last"},
			{Number: 2, NS: list[0].Change.NS, Index: "tenant_id_id_data_sha256", Value: `{"tenant_id": "tenant-05"}`,
				Records: []string{"token5"}, Live: []pitr.Key{list[3].Change.Key}, SurvivorLive: true, Reason: "a live record holds the value"},
		},
	}
	return page, list
}

const (
	found     = `document.getElementById("found").textContent`
	where     = `document.getElementById("where").textContent`
	said      = `document.getElementById("said").textContent`
	tally     = `document.getElementById("tally").innerText.replaceAll("\n", "; ")`
	firstKey  = `document.querySelector("#list .key").textContent`
	listed    = `document.querySelectorAll("#list .record").length`
	choose    = `(() => { const s = document.getElementById(%q); s.value = %q; s.dispatchEvent(new Event("input", {bubbles: true})); })()`
	pressable = `!document.getElementById(%q).disabled`
)

func (b *browser) choose(t *testing.T, id, choice string) {
	t.Helper()
	value[any](t, b, fmt.Sprintf(choose, id, choice))
	if got := value[string](t, b, fmt.Sprintf(`document.getElementById(%q).value`, id)); got != choice {
		t.Fatalf("#%s cannot be %q, it is %q", id, choice, got)
	}
	b.run(t, chromedp.Sleep(200*time.Millisecond)) // the search waits for the end of typing
}

// becomes waits for what an expression gives.
func (b *browser) becomes(t *testing.T, expression, want string) {
	t.Helper()
	got := ""
	for range 100 {
		if got = value[string](t, b, expression); got == want {
			return
		}
		b.run(t, chromedp.Sleep(50*time.Millisecond))
	}
	t.Errorf("%s stays %q, not %q", expression, got, want)
}

// press gives an element the focus and types, as people without a mouse do.
func (b *browser) press(t *testing.T, selector, keys string) {
	t.Helper()
	b.run(t, chromedp.Focus(selector, chromedp.ByQuery), chromedp.KeyEvent(keys))
}

func is(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, not %q", what, got, want)
	}
}

// saved presses the button and gives the rows of the file that the page saves.
func (b *browser) saved(t *testing.T, name string) [][]string {
	t.Helper()
	b.press(t, "#save", kb.Enter)
	path := filepath.Join(b.downloads, name)
	for range 200 {
		if content, err := os.ReadFile(path); err == nil && len(content) > 0 {
			rows, err := csv.NewReader(strings.NewReader(string(content))).ReadAll()
			must(t, err)
			must(t, os.Remove(path))
			return rows
		}
		b.run(t, chromedp.Sleep(50*time.Millisecond))
	}
	t.Fatalf("%s was not saved", name)
	return nil
}

// TestPageHoldsTenThousandRecords opens the largest page from disk and uses it by keyboard. // case F11
func TestPageHoldsTenThousandRecords(t *testing.T) {
	b := startBrowser(t)
	started := time.Now()
	address := b.open(t, report.Page{Title: "Lost records", Job: "J", Set: t.Name()}, recordsOf(manyDevices(t, 10_000)))
	ready := value[float64](t, b, `performance.now()`)
	size := value[int](t, b, `document.documentElement.outerHTML.length`)
	t.Logf("10,000 records: %.1f MB, ready %.2f s after the browser began to read it (%.2f s with writing it)", float64(size)/1e6, ready/1e3, time.Since(started).Seconds())
	if size > 10_000_000 {
		t.Errorf("the page has %d bytes", size)
	}
	is(t, "at first", value[string](t, b, found)+value[string](t, b, where), "10,000 records1–50 of 10,000, page 1 of 200")
	// Keyboard only: to the next page, to the last one, into the search.
	b.press(t, "#on", kb.Enter+" ")
	is(t, "after two times next", value[string](t, b, where), "101–150 of 10,000, page 3 of 200")
	b.press(t, "#last", kb.Enter)
	is(t, "the last page", value[string](t, b, where)+value[string](t, b, `document.activeElement.id`), "9,951–10,000 of 10,000, page 200 of 200back")
	b.press(t, "#q", "sn000069993 Rejected")
	b.run(t, chromedp.Sleep(400*time.Millisecond))
	is(t, "the search", value[string](t, b, found), "1 record of 10,000 found")
	b.press(t, "#list .open", kb.Enter)
	if got := value[string](t, b, `document.querySelector("#list .fields").innerText`); !strings.Contains(got, `"accepted"`) || !strings.Contains(got, `"rejected"`) || !strings.Contains(got, "SN000069993") {
		t.Errorf("an opened record shows %q", got)
	}
	b.press(t, "#q", kb.Escape)
	b.choose(t, "ns", "deployments.enrollments")
	b.choose(t, "size", "500")
	is(t, "one collection", value[string](t, b, found)+", "+value[string](t, b, where), "3,333 records of 10,000 found, 1–500 of 3,333, page 1 of 7")
	b.press(t, "#last", kb.Enter)
	if n, more := value[int](t, b, listed), value[bool](t, b, fmt.Sprintf(pressable, "on")); n != 333 || more {
		t.Errorf("the last page has %d records; another one follows: %v", n, more)
	}
	b.choose(t, "burst", "3")
	is(t, "and one burst", value[string](t, b, found), "334 records of 10,000 found")
	b.choose(t, "class", "created")
	is(t, "a class that the collection does not have", value[string](t, b, found)+value[string](t, b, where), "0 records of 10,000 foundPage 1 of 1")
	b.press(t, "#clear", kb.Enter)
	b.choose(t, "from", "2025-10-22T08:00:01")
	b.choose(t, "until", "2025-10-22T08:00:04")
	is(t, "touched in four seconds", value[string](t, b, found), "4 records of 10,000 found")
	b.quiet(t, address)
}

// TestPageSavesDecisions decides one by one and for many at once, takes back, saves, comes back, and reads a saved file.
func TestPageSavesDecisions(t *testing.T) {
	b := startBrowser(t)
	page := report.Page{Title: "Lost records", Job: "20251022T092001Z-k3f9q2", Set: t.Name()}
	address := b.open(t, page, recordsOf(manyDevices(t, 300)))
	file := "decisions-20251022T092001Z-k3f9q2.csv"

	// One by one: record 1 was created, 2 deleted, 3 changed.
	b.press(t, "#list .open", "p"+kb.ArrowDown+"p")
	is(t, "what cannot be", value[string](t, b, said), `"3c6ef362-77aa-4e0b-9b1c-000000000002": put back does not fit this record.`)
	b.run(t, chromedp.KeyEvent("d"), chromedp.KeyEvent(kb.ArrowDown), chromedp.KeyEvent("g"), chromedp.KeyEvent(kb.End), chromedp.KeyEvent("l"), chromedp.KeyEvent("x"))
	is(t, "the counts", value[string](t, b, tally), "1 put back; 1 put back, gap wins; 1 delete again; 0 leave; 297 without a decision, left as they are")
	want := [][]string{{"token", "decision"}, {"token1", "put back"}, {"token2", "delete again"}, {"token3", "put back, gap wins"}}
	if got := b.saved(t, file); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("saved %q, not %q", got, want)
	}
	is(t, "what to do next", value[string](t, b, said), "Saved 3 records as "+file+". Next, for whoever runs pitr: pitr reconcile import 20251022T092001Z-k3f9q2 "+
		file+" then pitr reconcile apply 20251022T092001Z-k3f9q2 --dry-run")

	// All that are found: those for which it makes no sense stay as they are.
	b.choose(t, "ns", "deviceauth.devices")
	b.choose(t, "bulk", "g")
	b.press(t, "#apply", kb.Enter)
	is(t, "for all found", value[string](t, b, said), "put back, gap wins: 99 records changed, 100 left as they were, because this decision does not fit them.")
	b.choose(t, "decided", "none")
	is(t, "without a decision", value[string](t, b, found), "99 records of 300 found")
	b.choose(t, "bulk", "p")
	b.press(t, "#apply", kb.Enter)
	is(t, "the counts", value[string](t, b, tally), "100 put back; 100 put back, gap wins; 1 delete again; 0 leave; 99 without a decision, left as they are")
	// One that a person has decided about since stays so when the rest is taken back.
	b.press(t, "#clear", kb.Enter)
	b.run(t, chromedp.Sleep(200*time.Millisecond))
	value[any](t, b, `document.querySelectorAll("#list .open")[3].focus()`)
	b.run(t, chromedp.KeyEvent("l"))
	b.press(t, "#undo", kb.Enter)
	is(t, "undo", value[string](t, b, said), "Taken back for 98 records.")
	b.press(t, "#undo", kb.Enter)
	is(t, "undo twice", value[string](t, b, tally), "1 put back; 1 put back, gap wins; 1 delete again; 1 leave; 296 without a decision, left as they are")
	if value[bool](t, b, fmt.Sprintf(pressable, "undo")) {
		t.Error("there is more to take back")
	}
	kept := b.saved(t, file)
	if want = append(want, []string{"token4", "leave"}); fmt.Sprint(kept) != fmt.Sprint(want) {
		t.Errorf("saved %q, not %q", kept, want)
	}
	b.quiet(t, address)

	// The browser remembers, for this change set alone.
	b.run(t, chromedp.Reload())
	b.ready(t)
	is(t, "after coming back", value[string](t, b, said), "4 records decided about in this browser before.")
	page.Set = "another"
	b.open(t, page, recordsOf(manyDevices(t, 300)))
	is(t, "another change set", value[string](t, b, said), "")
	// A saved file, from a colleague: what the page does not know is counted.
	content := "\ufeffnote,decision,token\r\n\"a, \"\"b\"\"\",put back,token1\r\n,\"put back, gap wins\",token3\r\n,,token4\r\n,delete,token2\r\n,leave,nobody\r\n"
	name := filepath.Join(t.TempDir(), "from a colleague.csv")
	must(t, os.WriteFile(name, []byte(content), 0o600))
	b.run(t, chromedp.SetUploadFiles("#file", []string{name}, chromedp.ByQuery), chromedp.Sleep(300*time.Millisecond))
	is(t, "a loaded file", value[string](t, b, said), "Loaded from a colleague.csv, 2 records decided: 2 records changed. 2 lines name a record that this page does not have, or a decision that it does not know or that does not fit.")
	is(t, "the counts", value[string](t, b, tally), "1 put back; 1 put back, gap wins; 0 delete again; 0 leave; 298 without a decision, left as they are")
}

// TestPageShowsWhatIsLive: with the live database looked at, the page tells states, suggestions, conflicts and groups.
func TestPageShowsWhatIsLive(t *testing.T) {
	b := startBrowser(t)
	page, list := lookedUp(t)
	address := b.open(t, page, recordsOf(list))
	states := value[[]string](t, b, `Array.from(document.querySelectorAll("#list .record")).map(r => r.querySelector(".what").textContent + ": " +
		Array.from(r.querySelectorAll("option")).map(o => o.value).join(""))`)
	want := []string{"lost: pl", "lost: pl", "change lost: pl", "came back: ", "came back under another id: ", "changed on both sides: pgl",
		"deleted since: gl", "deleted in the gap: dl", "came and went: ", "unchanged in effect: "}
	if !slices.Equal(states, want) {
		t.Errorf("states and choices are %q, not %q", states, want)
	}
	b.choose(t, "only", "conflicts")
	b.press(t, "#list .open", kb.Enter)
	rows := value[[]string](t, b, `Array.from(document.querySelectorAll("#list .fields tbody tr")).slice(0, 3).map(r => r.className + "|" + Array.from(r.cells).map(c => c.textContent).join("|"))`)
	for i, row := range []string{`conflict|statuschanged on both sides|"accepted"|"rejected"|"noauth"`, `|schema|not there|2|not there`, `same|_id|`} {
		if !strings.HasPrefix(rows[i], row) {
			t.Errorf("row %d is %s, not %s", i, rows[i], row)
		}
	}
	b.press(t, "#clear", kb.Enter)
	b.run(t, chromedp.Sleep(200*time.Millisecond))
	for query, want := range map[string]string{"Status: rejected": "3 records of 10 found", "tenant_id:rejected": "0 records of 10 found", "status:rejected tenant-06": "1 record of 10 found"} {
		b.press(t, "#q", query)
		b.run(t, chromedp.Sleep(200*time.Millisecond))
		is(t, query, value[string](t, b, found), want)
		b.press(t, "#q", kb.Escape)
	}
	b.choose(t, "state", string(reconcile.StateCameBackElsewhere))
	b.press(t, "#list .open", kb.Enter)
	if got := value[string](t, b, `document.querySelector("#list .ingroup").textContent`); !strings.Contains(got, device(4, "")[0].Value.(string)+"\" live now") {
		t.Errorf("a record whose place is taken says %q, and not by which", got)
	}
	b.press(t, "#list .open", kb.Enter)
	b.press(t, "#clear", kb.Enter)
	b.run(t, chromedp.Sleep(200*time.Millisecond))
	b.choose(t, "bulk", "suggested")
	b.press(t, "#apply", kb.Enter)
	is(t, "as suggested", value[string](t, b, tally), "1 put back; 0 put back, gap wins; 0 delete again; 5 leave; 4 without a decision, left as they are")
	groups := value[[]string](t, b, `Array.from(document.querySelectorAll(".groups tbody tr")).map(r => Array.from(r.querySelectorAll(".members li")).map(m => m.textContent).join("|"))`)
	key := func(n int) string { return fmt.Sprintf("%q", device(n, "")[0].Value) }
	for i, group := range []string{key(1) + " should stay|" + key(2), key(4) + " live now should stay|" + key(5)} {
		is(t, "a group", groups[i], group)
	}
	b.press(t, "tr[data-group='1'] button", kb.Enter)
	is(t, "the records of a group", value[string](t, b, found), "2 records of 10 found, group 1 only")
	b.quiet(t, address)
}

// TestPageShowsHostileDataAsText: whatever a database holds, the page shows it and does not do it. // case X15, X16
func TestPageShowsHostileDataAsText(t *testing.T) {
	hostile := map[string]string{
		`</script><script>alert(1)</script>`: ``, `<img src=x onerror=alert(1)>`: ``, `{{.Title}}`: ``, `${alert(1)}`: ``, `javascript:alert(1)`: ``,
		"\u2028\u2029": `\u2028\u2029`, `<!--<script>`: ``, `<svg onload=alert(1)>`: ``, `&lt;b&gt;`: ``, `"><iframe src="https://example.com">`: ``,
		`<base href="https://example.com">`: ``, `__proto__`: ``, `constructor`: ``, "\x00\x1b]52;c;eA==\x07": `\u0000\u001b]52;c;eA==\u0007`,
		"\u202egnp.exe": `\u202egnp.exe`, "\x1b[31mred": `\u001b[31mred`, `<meta http-equiv="refresh" content="0;url=https://example.com">`: ``,
	}
	b := startBrowser(t)
	page := report.Page{Job: "J", Set: "hostile"}
	var list []reconcile.Record
	all := ""
	for text := range hostile {
		name := strings.ReplaceAll(text, "\x00", "")
		e := bson.D{{Key: "_id", Value: text}, {Key: name, Value: text}, {Key: "y", Value: bson.A{text}}}
		r := recordOf(t, len(list)+1, "shop."+name, e, bson.D{{Key: "_id", Value: text}, {Key: name, Value: "other " + text}})
		r.Reason = text
		list = append(list, r)
		page.Groups = append(page.Groups, reconcile.Group{Number: len(list), NS: r.Change.NS, Index: text, Value: text, Records: []string{r.Token}, Survivor: r.Token, Reason: text})
		page.Timeline = append(page.Timeline, report.Event{What: text, Where: text})
		all += text
	}
	page.Title, page.Lead, page.Footer, page.Facts = all, all, all, []report.Fact{{Name: all, Value: all}}
	address := b.open(t, page, recordsOf(list))
	b.run(t, chromedp.Evaluate(`document.querySelectorAll("#list .open").forEach(d => d.click())`, nil), chromedp.Sleep(300*time.Millisecond))
	counts := value[map[string]int](t, b, `({scripts: document.scripts.length, metas: document.querySelectorAll("meta").length, styles: document.querySelectorAll("style").length,
		strangers: document.querySelectorAll("img,svg,iframe,base,object,embed,link").length, outside: Array.from(document.links).filter(l => !l.getAttribute("href").startsWith("#")).length})`)
	if counts["scripts"] != 2 || counts["strangers"] != 0 || counts["metas"] != 5 || counts["styles"] != 1 || counts["outside"] != 0 {
		t.Errorf("elements that are not the page's own: %v", counts)
	}
	shown := value[[]string](t, b, `Array.from(document.querySelectorAll("#list .fields tr td:nth-child(3)")).map(c => c.textContent)`)
	for text, escaped := range hostile {
		if escaped == "" {
			escaped = text
		}
		if !slices.Contains(shown, `"`+escaped+`"`) && !slices.Contains(shown, `'`+escaped+`'`) {
			t.Errorf("hostile value %q is not shown as %s", text, escaped)
		}
	}
	if value[bool](t, b, `/[\u202a-\u202e\u2066-\u2069\u0000-\u0008\u001b]/.test(document.body.innerText)`) {
		t.Error("the page shows a character that turns text around or controls")
	}
	b.quiet(t, address)
	// The policy itself: markup that got in all the same would do nothing.
	value[any](t, b, `document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='document.title=1'><i style='color:red' id=styled>x</i>")`)
	b.run(t, chromedp.Sleep(200*time.Millisecond))
	if title, color := value[string](t, b, `document.title`), value[string](t, b, `getComputedStyle(document.getElementById("styled")).color`); title == "1" || color == "rgb(255, 0, 0)" {
		t.Errorf("the policy lets handlers (%q) or styles (%s) through", title, color)
	}
}

// TestPageAtItsEdges opens pages of no record, one, one too many, and of a value too long to show. // case F11
func TestPageAtItsEdges(t *testing.T) {
	b := startBrowser(t)
	page := report.Page{Title: "Lost records", Job: "J", Set: "edges"}
	b.open(t, page, recordsOf(nil))
	is(t, "no record", value[string](t, b, found)+value[string](t, b, `document.querySelector("#list").innerText`), "0 recordsNo record was touched in the gap.")
	b.open(t, page, recordsOf([]reconcile.Record{recordOf(t, 17, "shop.orders", bson.D{{Key: "_id", Value: 1}, {Key: "long", Value: strings.Repeat("ü", 1<<20)}}, nil)}))
	is(t, "one record", value[string](t, b, found)+value[string](t, b, where), "1 record1–1 of 1, page 1 of 1")
	b.press(t, "#list .open", kb.Enter)
	cell := value[string](t, b, `document.querySelector("#list .fields tr:nth-child(2) td").textContent`)
	if shown, mark, _ := strings.Cut(cell, " … "); len([]rune(shown)) != 1000 || mark != "1,047,578 more characters" {
		t.Errorf("the long value shows %d characters and says %q", len([]rune(shown)), mark)
	}
	is(t, "where all of it stands", value[string](t, b, `document.querySelector(".cutnote").textContent`), "Some values are cut. All of it stands in the line with n = 17 of pitr report J --json")
	many := manyDevices(t, 10_001)
	b.open(t, page, recordsOf(many))
	is(t, "one too many", value[string](t, b, found)+value[string](t, b, `document.querySelector("main").innerText.match(/\d+ more record.*?lists all of them/)[0]`),
		"10,000 records1 more record is not on this page. pitr report J --json lists all of them")
}

// TestPagePrintsEveryRecord: print shows all records that are found, opened, and puts the page back afterwards. // case F11
func TestPagePrintsEveryRecord(t *testing.T) {
	b := startBrowser(t)
	page, _ := lookedUp(t)
	address := b.open(t, page, recordsOf(manyDevices(t, 120)))
	counts := `document.querySelectorAll("#list .record").length + " listed, " + document.querySelectorAll("#list .fields").length + " opened"`
	b.run(t, emulation.SetEmulatedMedia().WithMedia("print"))
	b.becomes(t, counts, "120 listed, 120 opened")
	if shown := value[string](t, b, `Array.from(document.querySelectorAll(".tools,.pager,.bulk,.jump,.act")).filter(e => e.offsetHeight).map(e => e.className).join()`); shown != "" {
		t.Errorf("in print there is still %s", shown)
	}
	b.run(t, emulation.SetEmulatedMedia().WithMedia(""))
	b.becomes(t, counts, "50 listed, 0 opened")
	b.quiet(t, address)
}

// TestPageWorksWithoutMemory: where the browser keeps nothing, decisions are made and saved all the same.
func TestPageWorksWithoutMemory(t *testing.T) {
	b := startBrowser(t)
	b.run(t, chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := page.AddScriptToEvaluateOnNewDocument(`Object.defineProperty(window, "localStorage", {get() { throw new DOMException("no", "SecurityError"); }})`).Do(ctx)
		return err
	}))
	address := b.open(t, report.Page{Job: "J", Set: t.Name()}, recordsOf(manyDevices(t, 3)))
	b.press(t, "#list .open", "p")
	if got := fmt.Sprint(b.saved(t, "decisions-J.csv")); got != "[[token decision] [token1 put back]]" {
		t.Errorf("saved %s", got)
	}
	b.quiet(t, address)
}
