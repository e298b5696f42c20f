package tests

import (
	"context"
	"fmt"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/report"
)

// browser is a headless Chromium that remembers what a page must not do.
type browser struct {
	ctx context.Context

	mu sync.Mutex
	// trouble is console output, exceptions, dialogs and broken policies; requests are the addresses that were asked for.
	trouble, requests []string
}

func startBrowser(t *testing.T) *browser {
	t.Helper()
	path := mustHave(t, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
	o := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.WindowSize(1200, 900), chromedp.WSURLReadTimeout(90*time.Second),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	allocator, stop := chromedp.NewExecAllocator(t.Context(), o...)
	t.Cleanup(stop)
	b := &browser{}
	ctx, closeTab := chromedp.NewContext(allocator)
	t.Cleanup(closeTab)
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(cancel)
	b.ctx = ctx
	chromedp.ListenTarget(ctx, b.hear)
	if err := chromedp.Run(ctx, network.Enable(), log.Enable()); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return b
}

func (b *browser) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		b.trouble = append(b.trouble, fmt.Sprintf("console %s", e.Type))
	case *runtime.EventExceptionThrown:
		b.trouble = append(b.trouble, "exception "+e.ExceptionDetails.Error())
	case *log.EventEntryAdded:
		b.trouble = append(b.trouble, "log "+e.Entry.Text)
	case *page.EventJavascriptDialogOpening:
		b.trouble = append(b.trouble, "dialog "+e.Message)
		go func() { _ = chromedp.Run(b.ctx, page.HandleJavaScriptDialog(true)) }() // else the page waits for ever
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	}
}

// open shows a page from disk and waits until its script is done.
func (b *browser) open(t *testing.T, p report.Page, changes iter.Seq2[pitr.Change, error]) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "lost records.html")
	file, err := os.Create(name)
	must(t, err)
	must(t, report.WritePage(file, p, changes, report.Redactor{}))
	must(t, file.Close())
	address := (&url.URL{Scheme: "file", Path: name}).String()
	b.run(t, chromedp.Navigate(address), chromedp.WaitReady(`html[data-ready="true"]`, chromedp.ByQuery))
	return address
}

func (b *browser) run(t *testing.T, actions ...chromedp.Action) {
	t.Helper()
	if err := chromedp.Run(b.ctx, actions...); err != nil {
		t.Fatalf("%v; so far: %v", err, b.trouble)
	}
}

// value evaluates an expression in the page.
func value[T any](t *testing.T, b *browser, expression string) (result T) {
	t.Helper()
	b.run(t, chromedp.Evaluate(expression, &result))
	return result
}

// quiet fails the test if the page did anything but show itself.
func (b *browser) quiet(t *testing.T, address string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.trouble) > 0 {
		t.Errorf("the page is not quiet: %v", b.trouble)
	}
	if !slices.Equal(b.requests, []string{address}) {
		t.Errorf("the page asks for %v, only %s is allowed", b.requests, address)
	}
}

func changeOf(t *testing.T, ns string, e, at bson.D) pitr.Change {
	t.Helper()
	c := pitr.Change{Ops: 1, First: pitr.OpTime{TS: 1761120000 << 32}, Last: pitr.OpTime{TS: 1761120001 << 32}}
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
	return c
}

func changesOf(list []pitr.Change) iter.Seq2[pitr.Change, error] {
	return func(yield func(pitr.Change, error) bool) {
		for _, c := range list {
			if !yield(c, nil) {
				return
			}
		}
	}
}

const (
	found     = `document.getElementById("found").textContent`
	where     = `document.getElementById("where").textContent`
	firstKey  = `document.querySelector("#list .k").textContent`
	listed    = `document.querySelectorAll("#list details").length`
	choose    = `(() => { const s = document.getElementById(%q); s.value = %q; s.dispatchEvent(new Event("input")); })()`
	pressable = `!document.getElementById(%q).disabled`
)

// TestPageHoldsTenThousandRecords opens the largest page from disk and uses it by keyboard. // case F11
func TestPageHoldsTenThousandRecords(t *testing.T) {
	b := startBrowser(t)
	var list []pitr.Change
	for i := range 10_000 {
		device := bson.D{{Key: "_id", Value: fmt.Sprintf("device-%05d", i)}, {Key: "serial", Value: fmt.Sprintf("SN%09d", i*7)}, {Key: "revision", Value: i}}
		rejected := append(slices.Clone(device), bson.E{Key: "status", Value: "rejected"})
		accepted := append(slices.Clone(device), bson.E{Key: "status", Value: "accepted"})
		switch i % 3 {
		case 0:
			list = append(list, changeOf(t, "deviceauth.devices", rejected, accepted))
		case 1:
			list = append(list, changeOf(t, "deviceauth.devices", rejected, nil))
		default:
			list = append(list, changeOf(t, "deployments.enrollments", nil, accepted))
		}
	}
	address := b.open(t, report.Page{Title: "Lost records"}, changesOf(list))
	for expression, want := range map[string]string{found: "10000 records", where: "Page 1 of 400", firstKey: `"device-00000"`} {
		if got := value[string](t, b, expression); got != want {
			t.Errorf("%s is %q, not %q", expression, got, want)
		}
	}
	// Keyboard only: to the next page, to a larger page, into the search.
	b.run(t, chromedp.Focus("#on", chromedp.ByQuery), chromedp.KeyEvent(kb.Enter), chromedp.KeyEvent(" "))
	if got := value[string](t, b, where) + value[string](t, b, firstKey); got != `Page 3 of 400"device-00050"` {
		t.Errorf("after two times next: %s", got)
	}
	b.run(t, chromedp.Focus("#q", chromedp.ByQuery), chromedp.KeyEvent("sn000069993"))
	if got := value[string](t, b, found) + value[string](t, b, firstKey); got != `1 record"device-09999"` {
		t.Errorf("the search finds %s", got)
	}
	b.run(t, chromedp.Focus("#list summary", chromedp.ByQuery), chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible("#list .body td", chromedp.ByQuery))
	if got := value[string](t, b, `document.querySelector("#list .body tbody").innerText`); !strings.Contains(got, "accepted") || !strings.Contains(got, "rejected") {
		t.Errorf("an opened record shows %q", got)
	}
	value[any](t, b, fmt.Sprintf(choose, "q", ""))
	value[any](t, b, fmt.Sprintf(choose, "ns", "deployments.enrollments"))
	value[any](t, b, fmt.Sprintf(choose, "size", "500"))
	if got := value[string](t, b, found) + ", " + value[string](t, b, where); got != "3333 records, Page 1 of 7" {
		t.Errorf("one collection, 500 a page: %s", got)
	}
	for range 6 {
		b.run(t, chromedp.Focus("#on", chromedp.ByQuery), chromedp.KeyEvent(kb.Enter))
	}
	if n, more := value[int](t, b, listed), value[bool](t, b, fmt.Sprintf(pressable, "on")); n != 333 || more {
		t.Errorf("the last page has %d records; another one follows: %v", n, more)
	}
	value[any](t, b, fmt.Sprintf(choose, "class", "created"))
	if got := value[string](t, b, found) + ", " + value[string](t, b, where); got != "0 records, Page 1 of 1" {
		t.Errorf("a class that the collection does not have: %s", got)
	}
	b.quiet(t, address)
}

// TestPageShowsHostileDataAsText: whatever a database holds, the page shows it and does not do it. // case X15
func TestPageShowsHostileDataAsText(t *testing.T) {
	hostile := []string{
		`</script><script>alert(1)</script>`, `<img src=x onerror=alert(1)>`, `{{.Title}}`, `${alert(1)}`, `javascript:alert(1)`, "\u2028\u2029",
		`<!--<script>`, `<svg onload=alert(1)>`, `&lt;b&gt;`, `"><iframe src="https://example.com">`, `<base href="https://example.com">`,
		`<meta http-equiv="refresh" content="0;url=https://example.com">`, "\x00\x1b]52;c;eA==\x07", "\u202egnp.exe", `__proto__`, `constructor`,
	}
	b := startBrowser(t)
	var list []pitr.Change
	var duplicates []report.DuplicateGroup
	var events []report.Event
	for _, text := range hostile {
		name := strings.ReplaceAll(text, "\x00", "")
		list = append(list, changeOf(t, "shop."+name, bson.D{{Key: "_id", Value: text}, {Key: name, Value: text}, {Key: "y", Value: bson.A{text}}},
			bson.D{{Key: "_id", Value: text}, {Key: name, Value: "other " + text}}))
		duplicates = append(duplicates, report.DuplicateGroup{NS: text, Index: text, Value: text, IDs: []string{text}})
		events = append(events, report.Event{What: text, Where: text})
	}
	all := strings.Join(hostile, " ")
	address := b.open(t, report.Page{Title: all, Lead: all, Facts: []report.Fact{{Name: all, Value: all}}, Timeline: events,
		Duplicates: duplicates, Next: all, Footer: all}, changesOf(list))
	b.run(t, chromedp.Evaluate(`document.querySelectorAll("#list details").forEach(d => d.open = true)`, nil), chromedp.Sleep(300*time.Millisecond))
	counts := value[map[string]int](t, b, `({scripts: document.scripts.length, metas: document.querySelectorAll("meta").length,
		strangers: document.querySelectorAll("img,svg,iframe,base,object,embed,link,form").length, links: document.links.length})`)
	if counts["scripts"] != 2 || counts["strangers"] != 0 || counts["metas"] != 4 || counts["links"] != 1 {
		t.Errorf("elements that are not the page's own: %v", counts)
	}
	shown := value[[]string](t, b, `Array.from(document.querySelectorAll("#list .body tr td:nth-child(3)")).map(c => c.textContent)`)
	for i, text := range hostile {
		quoted, err := bson.MarshalExtJSON(bson.D{{Key: "v", Value: text}}, true, false)
		must(t, err)
		want := strings.TrimSuffix(strings.TrimPrefix(string(quoted), `{"v":`), `}`)
		if !slices.Contains(shown, want) {
			t.Errorf("hostile value %d (%q) is not shown as %s", i, text, want)
		}
	}
	b.quiet(t, address)
}
