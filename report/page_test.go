package report_test

import (
	"fmt"
	"iter"
	"strings"
	"testing"

	"pitr"
	"pitr/reconcile"
	"pitr/report"
)

func recordsOf(list ...pitr.Change) iter.Seq2[reconcile.Record, error] {
	return func(yield func(reconcile.Record, error) bool) {
		for i, c := range list {
			c.N = int64(i + 1)
			if !yield(report.RecordOf(c, fmt.Sprintf("token%d", i+1)), nil) {
				return
			}
		}
	}
}

func change(t *testing.T, ns, e, s string) pitr.Change {
	t.Helper()
	c := pitr.Change{Ops: 1}
	var err error
	if c.NS, err = pitr.ParseNamespace(ns); err != nil {
		t.Fatal(err)
	}
	for _, side := range []struct {
		text string
		to   *[]byte
	}{{e, (*[]byte)(&c.E)}, {s, (*[]byte)(&c.T)}} {
		if side.text != "" {
			document := raw(t, side.text)
			*side.to = document
			if c.Key, err = pitr.KeyOf(document); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.Class = pitr.Classify(c.E, c.T)
	return c
}

// hostile is data that wants to be markup. // case X15
var hostile = []string{
	`</script><script>alert(1)</script>`, `<img src=x onerror=alert(1)>`, `{{.Title}}`, `${alert(1)}`, `javascript:alert(1)`,
	"\u2028\u2029", `<!--`, `<svg onload=alert(1)>`, `&lt;b&gt;`,
}

func TestPageCarriesHostileDataAsText(t *testing.T) {
	var list []pitr.Change
	for i, text := range hostile {
		list = append(list, change(t, "shop."+strings.ReplaceAll(text, ".", "_"), fmt.Sprintf(`{"_id": %d, "x": %q}`, i, text), ""))
	}
	var page strings.Builder
	err := report.WritePage(&page, report.Page{Title: hostile[0], Lead: hostile[1], Facts: []report.Fact{{Name: hostile[0], Value: hostile[7]}},
		Timeline: []report.Event{{What: hostile[0], Where: hostile[1]}},
		Groups:   []reconcile.Group{{NS: list[0].NS, Index: hostile[1], Value: hostile[0], Reason: hostile[7]}},
	}, recordsOf(list...), report.Redactor{})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(page.String(), "<script"); got != 2 {
		t.Errorf("%d script elements, want the data and the page's own", got)
	}
	for _, bad := range []string{"<img", "<svg", "<script>alert", "onerror=alert(1)>"} {
		if strings.Contains(page.String(), bad) {
			t.Errorf("the page contains %q as markup", bad)
		}
	}
}

func TestPageCountsWhatItCannotShow(t *testing.T) { // case F11
	one := change(t, "shop.orders", `{"_id": 1, "note": "`+strings.Repeat("x", 5000)+`"}`, "")
	many := func(yield func(reconcile.Record, error) bool) {
		for n := range 10_003 {
			c := one
			c.N = int64(n + 1)
			if !yield(report.RecordOf(c, fmt.Sprint(n)), nil) {
				return
			}
		}
	}
	var page strings.Builder
	if err := report.WritePage(&page, report.Page{Title: "t", Job: "J"}, many, report.Redactor{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"3 more records are not on this page", `<td class="n">10,003</td>`, "pitr report J --json"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(page.String(), strings.Repeat("x", 2500)) {
		t.Error("a long value was not cut")
	}
}

func TestPageHidesRedactedFields(t *testing.T) {
	redactor, err := report.NewRedactor([]string{"tokens.jwt", "tokens._id"})
	if err != nil {
		t.Fatal(err)
	}
	var page strings.Builder
	err = report.WritePage(&page, report.Page{Title: "t"}, recordsOf(
		change(t, "deviceauth.tokens", `{"_id": "CANARY1", "jwt": "CANARY2"}`, `{"_id": "CANARY1", "jwt": "CANARY3"}`)), redactor)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(page.String(), "CANARY") {
		t.Error("a redacted value stands in the page")
	}
}

func TestPageEndsWithTheErrorOfItsRecords(t *testing.T) {
	broken := func(yield func(reconcile.Record, error) bool) {
		yield(reconcile.Record{}, pitr.Corruptf("read a change", "bad digest"))
	}
	if err := report.WritePage(&strings.Builder{}, report.Page{}, broken, report.Redactor{}); pitr.KindOf(err) != pitr.KindCorrupt {
		t.Errorf("got %v", err)
	}
}
