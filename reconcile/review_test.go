package reconcile_test

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"pitr"
	"pitr/catalog"
	"pitr/catalog/verify"
	"pitr/format"
	"pitr/internal/sample"
	"pitr/reconcile"
	"pitr/storage"
)

func rowsOf(rows ...reconcile.ReviewRow) iter.Seq2[reconcile.ReviewRow, error] {
	return func(yield func(reconcile.ReviewRow, error) bool) {
		for i, row := range rows {
			row.Number = i + 2
			if !yield(row, nil) {
				return
			}
		}
	}
}

// changes is a change set as its list describes it: two catalog steps, then n changes.
func changes(n int64) format.Changes {
	return format.Changes{Job: "20251022T093000Z-aaaaaa", Steps: 2, Documents: map[pitr.Class]int64{pitr.ClassCreated: n - 1, pitr.ClassDeleted: 1},
		Parts: []format.Part{{SHA256: format.Sum([]byte("part"))}}}
}

// TestRowsAreBoundToTheChangeSet: what is not of this list, was edited, or says two things is told by its row, and decides
// nothing.
func TestRowsAreBoundToTheChangeSet(t *testing.T) {
	of := changes(5) // numbers 3 to 7
	other := of
	other.Parts = []format.Part{{SHA256: format.Sum([]byte("another part"))}}
	token := func(n int64) string { return reconcile.Token(of, n) }
	edited := token(4)
	edited = edited[:15] + map[bool]string{true: "b", false: "a"}[edited[15] == 'a']
	found, err := reconcile.ReadRows(of, rowsOf(
		reconcile.ReviewRow{Token: token(3), Decision: "put back"},                                   // 2
		reconcile.ReviewRow{Token: " " + strings.ToUpper(token(5)), Decision: "Put Back,  GAP wins"}, // 3
		reconcile.ReviewRow{Token: edited, Decision: "leave"},                                        // 4
		reconcile.ReviewRow{Token: reconcile.Token(other, 4), Decision: "leave"},                     // 5
		reconcile.ReviewRow{Token: token(2), Decision: "put back"},                                   // 6: a catalog step
		reconcile.ReviewRow{Token: token(8), Decision: "put back"},                                   // 7: behind the end
		reconcile.ReviewRow{Token: token(4), Decision: "put it back"},                                // 8
		reconcile.ReviewRow{Token: token(6), Decision: "delete again"},                               // 9
		reconcile.ReviewRow{Token: token(6), Decision: "leave"},                                      // 10
		reconcile.ReviewRow{Token: token(7)},                                                         // 11
		reconcile.ReviewRow{}, reconcile.ReviewRow{Decision: "leave"},                                // 12, 13
		reconcile.ReviewRow{Token: token(3), Decision: "putback"}, reconcile.ReviewRow{Token: edited, Decision: "also bad"}, // 14, 15
	))
	if err != nil {
		t.Fatal(err)
	}
	want := []format.ReviewDecision{{N: 3, Decision: "put back"}, {N: 5, Decision: "put back, gap wins"}}
	if !slices.Equal(found.Decisions, want) {
		t.Errorf("decisions %+v", found.Decisions)
	}
	var bad []int
	for _, row := range found.Bad {
		bad = append(bad, row.Row)
	}
	if !slices.Equal(bad, []int{4, 5, 6, 7, 8, 10, 13, 15, 15}) {
		t.Errorf("bad rows %v: %+v", bad, found.Bad)
	}
	if found.Rows != 12 || found.Blank != 1 {
		t.Errorf("%d rows, %d blank", found.Rows, found.Blank)
	}
	if _, err := reconcile.ReadRows(of, func(yield func(reconcile.ReviewRow, error) bool) {
		if yield(reconcile.ReviewRow{Token: token(3), Decision: "leave"}, nil) {
			yield(reconcile.ReviewRow{}, errors.New("row 3 cannot be read"))
		}
	}); err == nil {
		t.Error("a file that broke off is taken for a whole one")
	}
}

// FuzzParseDecision: what is understood is one of the words, and nothing but spelling stands between them.
func FuzzParseDecision(f *testing.F) {
	for _, text := range []string{"", " ", "leave", "PUT-BACK", "put_back,gap wins.", "delete  again", "putbackgap", "leave1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		decision, understood := reconcile.ParseDecision(text)
		switch {
		case !understood && decision != "", understood && decision == "" && strings.TrimSpace(text) != "":
			t.Errorf("%q is %q, %v", text, decision, understood)
		case understood && decision != "" && !slices.Contains(reconcile.AllDecisions, decision):
			t.Errorf("%q is %q", text, decision)
		}
	})
}

// reviewedJob is a repository with a job whose change set has one catalog step and one change, number 2.
func reviewedJob(t *testing.T) (*catalog.Repository, catalog.Job, *storage.Memory) {
	t.Helper()
	store := storage.NewMemory()
	m := sample.Whole(t, store)
	return m.R, jobOf(t, m.R), store
}

func jobOf(t *testing.T, repository *catalog.Repository) catalog.Job {
	t.Helper()
	jobs, err := repository.Jobs(t.Context())
	if err != nil || len(jobs) != 1 {
		t.Fatalf("%d jobs, %v", len(jobs), err)
	}
	return jobs[0]
}

func publish(t *testing.T, repository *catalog.Repository, job catalog.Job, decision reconcile.Decision) (format.Review, error) {
	t.Helper()
	found, err := reconcile.ReadRows(*job.Changes, rowsOf(reconcile.ReviewRow{Token: reconcile.Token(*job.Changes, 2), Decision: string(decision)}))
	if err != nil {
		t.Fatal(err)
	}
	return found.Publish(t.Context(), repository, job, reconcile.Source{File: "b.csv", Digest: format.Sum(nil), Operator: "ada", Now: time.Unix(1761120000, 0)})
}

func decided(t *testing.T, repository *catalog.Repository) reconcile.Decision {
	t.Helper()
	decisions, err := reconcile.ReadReview(t.Context(), repository, jobOf(t, repository))
	if err != nil {
		t.Fatal(err)
	}
	decision, _ := decisions.Of(2)
	return decision
}

// TestTheNewestReviewCounts: of two that speak of a record the later one, also behind what a killed import left.
func TestTheNewestReviewCounts(t *testing.T) {
	repository, job, store := reviewedJob(t)
	if got := decided(t, repository); got != reconcile.DecisionPutBack {
		t.Errorf("the first review says %q", got)
	}
	review, err := publish(t, repository, job, reconcile.DecisionLeave)
	if err != nil || review.Number != 2 || review.Previous != 1 || review.Decisions["leave"] != 1 {
		t.Fatalf("%+v, %v", review, err)
	}
	if got := decided(t, repository); got != reconcile.DecisionLeave {
		t.Errorf("after the second review: %q", got)
	}
	left, err := format.DecisionsName(job.ID, 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Create(t.Context(), left.String(), []byte("a killed import")); err != nil {
		t.Fatal(err)
	}
	if review, err = publish(t, repository, job, reconcile.DecisionPutBackAll); err != nil || review.Number != 4 || review.Previous != 2 {
		t.Fatalf("%+v, %v", review, err)
	}
	if got := decided(t, repository); got != reconcile.DecisionPutBackAll {
		t.Errorf("after the third: %q", got)
	}
	for finding, err := range verify.Run(t.Context(), repository, verify.Options{Level: verify.LevelContent}) {
		if err != nil || finding.IsDamage() {
			t.Errorf("%v, %v", finding, err)
		}
	}
	// A review in the middle that is gone is missed: its decisions would be.
	second, err := format.ReviewName(job.ID, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Delete(t.Context(), second.String()); err != nil {
		t.Fatal(err)
	}
	missed := false
	for finding := range verify.Run(t.Context(), repository, verify.Options{}) {
		missed = missed || finding.Kind == verify.Missing && finding.Object == second.String()
	}
	if !missed {
		t.Error("nobody misses a review in the middle")
	}
}

// TestAReviewOfAnotherListIsNoReview: a review that names another change set, another owner's part or an unknown word stops
// whoever reads it, and verify tells of the first two.
func TestAReviewOfAnotherListIsNoReview(t *testing.T) {
	for what, c := range map[string]struct {
		spoil func(*format.Review)
		word  string
		// n is the number decided about, 2 where it is zero.
		n    int64
		kind pitr.Kind
	}{
		"a catalog step":  {n: 1, kind: pitr.KindCorrupt},
		"no record":       {n: 3, kind: pitr.KindCorrupt},
		"another count":   {spoil: func(r *format.Review) { r.Decisions["leave"] = 2 }, kind: pitr.KindCorrupt},
		"another list":    {spoil: func(r *format.Review) { r.Changes = format.Sum([]byte("other")) }, kind: pitr.KindCorrupt},
		"another's part":  {spoil: func(r *format.Review) { r.Parts[0].Name = partName(r.Job, 7) }, kind: pitr.KindCorrupt},
		"an unknown word": {word: "maybe", kind: pitr.KindUnsupported},
	} {
		repository, job, _ := reviewedJob(t)
		word := c.word
		if word == "" {
			word = "leave"
		}
		w, err := format.NewWriter(format.WriterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Append(0, format.ReviewDecision{N: cmp.Or(c.n, 2), Decision: word}.BSON()); err != nil {
			t.Fatal(err)
		}
		sealed, err := w.Finish(partName(job.ID, 2), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := repository.PutAndRead(t.Context(), sealed.Name, sealed.Data); err != nil {
			t.Fatal(err)
		}
		review := format.Review{Job: job.ID, Number: 2, Previous: 1, File: "x", Changes: job.Changes.Digest(), Decisions: map[string]int64{word: 1},
			Parts: []format.Part{format.PartOf(sealed)}}
		if c.spoil != nil {
			c.spoil(&review)
		}
		if _, err := repository.PutObject(t.Context(), &review); err != nil {
			t.Fatal(err)
		}
		if _, err := reconcile.ReadReview(t.Context(), repository, jobOf(t, repository)); pitr.KindOf(err) != c.kind {
			t.Errorf("%s: %v", what, err)
		}
		found := false
		for finding := range verify.Run(t.Context(), repository, verify.Options{Level: verify.LevelContent}) {
			found = found || finding.IsDamage()
		}
		if found != (c.kind == pitr.KindCorrupt) {
			t.Errorf("%s: verify finds damage: %v", what, found)
		}
	}
}

func partName(job format.ID, review int) format.Name {
	name, err := format.DecisionsName(job, review, 0)
	if err != nil {
		panic(err)
	}
	return name
}

// TestWordsExplainEveryWord: each decision and each state stands on the sheet that explains, and says something.
func TestWordsExplainEveryWord(t *testing.T) {
	explained := map[string]string{}
	for _, word := range reconcile.Words() {
		explained[word.Word] = word.Meaning
	}
	for _, decision := range reconcile.AllDecisions {
		if len(explained[string(decision)]) < 20 {
			t.Errorf("%q is not explained", decision)
		}
	}
	for _, state := range []reconcile.State{reconcile.StateLost, reconcile.StateChangeLost, reconcile.StateCameBack, reconcile.StateCameBackElsewhere,
		reconcile.StateChangedSince, reconcile.StateGoneSince, reconcile.StateDeleted, reconcile.StateCameAndWent, reconcile.StateExpired,
		reconcile.StateUnchanged} {
		if len(explained[string(state)]) < 20 || (reconcile.Record{State: state}).What() == "" {
			t.Errorf("%q is not explained", state)
		}
	}
}

func BenchmarkReadRows(b *testing.B) {
	const n = 100_000
	of := changes(n)
	rows := make([]reconcile.ReviewRow, 0, n)
	for i := int64(3); i < n+3; i++ {
		rows = append(rows, reconcile.ReviewRow{Token: reconcile.Token(of, i), Decision: "put back"})
	}
	for b.Loop() {
		found, err := reconcile.ReadRows(of, rowsOf(rows...))
		if err != nil || len(found.Decisions) != n {
			b.Fatal(fmt.Sprint(len(found.Decisions), err))
		}
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "rows/s")
}
