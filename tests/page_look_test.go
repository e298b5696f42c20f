package tests

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/reconcile"
	"pitr/report"
)

// judge gives the path of a file of the page's judges, which `make deps` fetches.
func judge(t *testing.T, name string) string {
	t.Helper()
	cache := os.Getenv("PITR_TEST_CACHE")
	if cache == "" {
		cache = filepath.Join("..", ".cache")
	}
	path, err := filepath.Abs(filepath.Join(cache, "webcheck-1", "node_modules", name))
	must(t, err)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no %s: run `make deps`", name)
	}
	return path
}

// looks are the ways in which people see the page.
var looks = []struct {
	name          string
	width, height int64
	scheme        string
}{{"desktop", 1280, 900, "light"}, {"dark", 1280, 900, "dark"}, {"narrow", 400, 900, "light"}, {"narrow dark", 400, 900, "dark"}}

// everyWay shows the page in each way, with records opened, decided, cut and in conflict, and a message in the bar.
func everyWay(t *testing.T, b *browser, look func(name string)) {
	t.Helper()
	p, list := lookedUp(t)
	long := recordOf(t, 11, "shop.orders", bson.D{{Key: "_id", Value: 1}, {Key: "note", Value: strings.Repeat("long ", 1000)}}, bson.D{{Key: "_id", Value: 1}, {Key: "note", Value: "short"}})
	long.State, long.Suggested, long.Reason = reconcile.StateChangeLost, reconcile.DecisionLeave, "it is long"
	address := b.open(t, p, recordsOf(append(list, long)))
	for _, way := range looks {
		b.run(t, emulation.SetDeviceMetricsOverride(way.width, way.height, 1, false),
			emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: way.scheme}}), chromedp.Navigate(address))
		b.ready(t)
		value[any](t, b, `document.querySelectorAll("details").forEach(d => d.open = true), document.querySelectorAll("#list .open").forEach(o => o.click())`)
		b.choose(t, "bulk", "suggested")
		b.press(t, "#apply", kb.Enter)
		look(way.name)
	}
}

// contrast finds text whose colour does not stand out enough from what is behind it, by the formulas of WCAG 2.2 (level AA).
const contrast = `(() => {
  const parse = (c) => { const m = c.match(/[\d.]+/g).map(Number); return {r: m[0], g: m[1], b: m[2], a: m[3] ?? 1}; };
  const over = (top, under) => ({r: top.r*top.a + under.r*(1-top.a), g: top.g*top.a + under.g*(1-top.a), b: top.b*top.a + under.b*(1-top.a), a: 1});
  const light = (c) => { const [r, g, b] = [c.r, c.g, c.b].map((v) => { v /= 255; return v <= 0.04045 ? v/12.92 : ((v+0.055)/1.055)**2.4; }); return 0.2126*r + 0.7152*g + 0.0722*b; };
  const behind = (e) => { let layers = []; for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); layers.push(c); if (c.a === 1) break; }
    return layers.reverse().reduce((under, top) => over(top, under), {r: 255, g: 255, b: 255, a: 1}); };
  const bad = [], seen = new Set();
  let looked = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement, style = getComputedStyle(e);
    if (!walker.currentNode.textContent.trim() || !e.checkVisibility() || ["SCRIPT", "STYLE"].includes(e.tagName) || e.closest("[disabled],.hidden,.skip")) continue;
    looked++;
    const size = parseFloat(style.fontSize), large = size >= 24 || size >= 18.66 && Number(style.fontWeight) >= 700;
    const under = behind(e), ink = over(parse(style.color), under), a = light(ink), b = light(under);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const what = e.tagName + "." + e.className + " " + style.color + " on " + JSON.stringify(under);
    if (ratio < (large ? 3 : 4.5) && !seen.has(what)) { seen.add(what); bad.push(ratio.toFixed(2) + " " + what + ": " + e.textContent.slice(0, 30)); }
  }
  return looked < 100 ? ["only " + looked + " texts were looked at"] : bad;
})()`

// TestPageCanBeRead: every text stands out, and nothing is wider than the screen, in light and dark, wide and narrow.
func TestPageCanBeRead(t *testing.T) {
	b := startBrowser(t)
	everyWay(t, b, func(name string) {
		for _, line := range value[[]string](t, b, contrast) {
			t.Errorf("%s: %s", name, line)
		}
		if wide := value[int](t, b, `document.documentElement.scrollWidth - innerWidth`); wide > 0 {
			t.Errorf("%s: the page is %d pixels wider than the screen", name, wide)
		}
	})
	// The check itself: text that hardly stands out is found.
	value[any](t, b, `document.getElementById("found").style.color = "#777777"`)
	if bad := value[[]string](t, b, contrast); len(bad) != 1 {
		t.Errorf("the check finds %q, not the one text that was made faint", bad)
	}
}

// TestPagePassesAxe lets an accessibility checker that nobody here wrote look at the page.
func TestPagePassesAxe(t *testing.T) {
	source, err := os.ReadFile(judge(t, "axe-core/axe.min.js"))
	must(t, err)
	b := startBrowser(t)
	everyWay(t, b, func(name string) {
		var broken []string
		b.run(t, chromedp.Evaluate(string(source)+";0", nil), chromedp.Evaluate(`axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then(
			r => r.passes.length < 20 ? ["only " + r.passes.length + " rules were looked at"] : r.violations.map(v => v.id + ": " + v.help + ": " + v.nodes.slice(0, 3).map(n => n.html).join(" | ")))`,
			&broken, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
		for _, line := range broken {
			t.Errorf("%s: %s", name, line)
		}
	})
}

// TestPageIsValidHTML lets a validator read the page, and one that is broken.
func TestPageIsValidHTML(t *testing.T) {
	validator := judge(t, ".bin/html-validate")
	folder := t.TempDir()
	must(t, os.WriteFile(filepath.Join(folder, ".htmlvalidate.json"), []byte(`{"root": true, "extends": ["html-validate:standard"]}`), 0o600))
	var content strings.Builder
	p, list := lookedUp(t)
	must(t, report.WritePage(&content, p, recordsOf(list), report.Redactor{}))
	for name, test := range map[string]struct {
		text string
		good bool
	}{"page.html": {content.String(), true}, "broken.html": {strings.Replace(content.String(), "</table>", "", 1), false}} {
		must(t, os.WriteFile(filepath.Join(folder, name), []byte(test.text), 0o600))
		command := exec.Command(validator, name)
		command.Dir = folder
		if output, err := command.CombinedOutput(); (err == nil) != test.good {
			t.Errorf("%s: %v\n%s", name, err, output)
		}
	}
}

// TestPageScreens takes pictures of the page for people to look at, into the folder of PITR_TEST_SCREENS.
func TestPageScreens(t *testing.T) {
	folder := os.Getenv("PITR_TEST_SCREENS")
	if folder == "" {
		t.Skip("PITR_TEST_SCREENS names no folder for pictures")
	}
	b := startBrowser(t)
	p, list := lookedUp(t)
	address := b.open(t, p, recordsOf(append(list, manyDevices(t, 300)...)))
	if given := os.Getenv("PITR_TEST_PAGE"); given != "" {
		address = "file://" + given
	}
	for _, screen := range looks {
		b.run(t, emulation.SetDeviceMetricsOverride(screen.width, screen.height, 1, false),
			emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: screen.scheme}}), chromedp.Navigate(address))
		b.ready(t)
		shoot := func(part string) {
			var picture []byte
			b.run(t, chromedp.Sleep(300*time.Millisecond), chromedp.CaptureScreenshot(&picture))
			must(t, os.WriteFile(filepath.Join(folder, screen.name+"-"+part+".png"), picture, 0o600))
		}
		shoot("top")
		value[any](t, b, `document.getElementById("steps").scrollIntoView()`)
		shoot("steps")
		value[any](t, b, `document.getElementById("records").scrollIntoView()`)
		b.press(t, "#list .open", kb.Enter+"p"+kb.ArrowDown+kb.ArrowDown+kb.Enter+"p")
		value[any](t, b, `document.getElementById("records").scrollIntoView()`)
		shoot("records")
		value[any](t, b, `(document.querySelectorAll("#list .record")[5] ?? document.body).scrollIntoView()`)
		value[any](t, b, `document.querySelectorAll("#list .open")[5].click()`)
		value[any](t, b, `document.getElementById("save").click()`)
		shoot("conflict")
	}
	b.run(t, emulation.ClearDeviceMetricsOverride(), emulation.SetEmulatedMedia(), chromedp.Navigate(address))
	b.ready(t)
	b.run(t, chromedp.ActionFunc(func(ctx context.Context) error {
		content, _, err := page.PrintToPDF().WithPrintBackground(true).WithPaperWidth(8.27).WithPaperHeight(11.69).Do(ctx)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(folder, "print.pdf"), content, 0o600)
	}))
}
