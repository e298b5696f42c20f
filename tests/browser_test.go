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

	browserdomain "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"pitr/reconcile"
	"pitr/report"
)

// browser is a headless Chromium that remembers what a page must not do.
type browser struct {
	ctx context.Context
	// downloads is the folder into which pages save files.
	downloads string

	mu sync.Mutex
	// trouble is console output, exceptions, dialogs and broken policies; requests are the addresses that were asked for.
	trouble, requests []string
}

func startBrowser(t *testing.T) *browser {
	t.Helper()
	path := mustHave(t, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
	profile, err := os.MkdirTemp("", "pitr-browser-")
	must(t, err)
	// A browser that is told to end goes on writing for a moment, so its folder cannot be one of the test's own.
	t.Cleanup(func() {
		for range 50 {
			if os.RemoveAll(profile) == nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
	o := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path), chromedp.UserDataDir(profile),
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
	b.ctx, b.downloads = ctx, t.TempDir()
	chromedp.ListenTarget(ctx, b.hear)
	// The network is off, so what a page asks for cannot even be answered; requests are recorded all the same.
	if err := chromedp.Run(ctx, network.Enable(), log.Enable(), network.EmulateNetworkConditions(true, 0, 0, 0),
		browserdomain.SetDownloadBehavior(browserdomain.SetDownloadBehaviorBehaviorAllow).WithDownloadPath(b.downloads)); err != nil {
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
		// A file that the page makes and saves itself, and the browser's own picture in a field for times.
		if !strings.HasPrefix(e.Request.URL, "blob:") && !strings.HasPrefix(e.Request.URL, "data:image/svg+xml") {
			b.requests = append(b.requests, e.Request.URL)
		}
	}
}

// open shows a page from disk and waits until its script is done.
func (b *browser) open(t *testing.T, p report.Page, records iter.Seq2[reconcile.Record, error]) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "lost records.html")
	file, err := os.Create(name)
	must(t, err)
	must(t, report.WritePage(file, p, records, report.Redactor{}))
	must(t, file.Close())
	address := (&url.URL{Scheme: "file", Path: name}).String()
	b.run(t, chromedp.Navigate(address))
	b.ready(t)
	return address
}

// ready waits until the page's script is done, and not long for one that has failed.
func (b *browser) ready(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Run(ctx, chromedp.WaitReady(`html[data-ready="true"]`, chromedp.ByQuery)); err != nil {
		t.Fatalf("the page is not ready: %v; so far: %v", err, b.trouble)
	}
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
