package diff_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"runtime"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"pitr"
	"pitr/diff"
)

var (
	shopA = pitr.Namespace{DB: "shop", Collection: "a"}
	shopB = pitr.Namespace{DB: "shop", Collection: "b"}
)

// apply plays changes on a state of one side; from and to choose the direction.
func apply(t *rapid.T, s state, changes iter.Seq2[pitr.Change, error], from, to func(pitr.Change) bson.Raw) int {
	count := 0
	for change, err := range changes {
		if err != nil {
			t.Fatal(err)
		}
		count++
		if change.N != int64(count) || change.Class != pitr.Classify(change.E, change.T) || change.Class == pitr.ClassUnchanged {
			t.Fatalf("change %d has number %d and class %s", count, change.N, change.Class)
		}
		documents := s[change.NS]
		if documents == nil {
			documents = make(map[string]string)
			s[change.NS] = documents
		}
		before, was := documents[change.Key.Equal()]
		if (from(change) != nil) != was || before != string(from(change)) {
			t.Fatalf("change %s of %s begins with another document", change.Key, change.NS)
		}
		delete(documents, change.Key.Equal())
		if after := to(change); after != nil {
			documents[change.Key.Equal()] = string(after)
		}
	}
	return count
}

// ids are values that are equal across types, and some that only look so.
func ids(t *rapid.T, label string) any {
	number := rapid.IntRange(0, 12).Draw(t, label)
	return rapid.SampledFrom([]any{int32(number), int64(number), float64(number), fmt.Sprint(number), bson.D{{Key: "n", Value: number}}}).Draw(t, label)
}

// case F01: what differs between two random states, applied to either one, gives the other; in whatever order they are read.
func TestApplyingTheDifferenceGivesTheOtherSide(t *testing.T) {
	sideE := func(c pitr.Change) bson.Raw { return c.E }
	sideT := func(c pitr.Change) bson.Raw { return c.T }
	rapid.Check(t, func(rt *rapid.T) {
		e, s := make(state), make(state)
		for i, both := range []state{e, s} {
			for _, ns := range []pitr.Namespace{shopA, shopB} {
				if rapid.IntRange(0, 5).Draw(rt, "absent") == 0 {
					continue
				}
				both[ns] = make(map[string]string)
				for range rapid.IntRange(0, 30).Draw(rt, "documents") {
					document := raw(t, bson.D{{Key: "_id", Value: ids(rt, "id")}, {Key: "v", Value: rapid.IntRange(0, 1+i).Draw(rt, "v")}})
					both[ns][equalKey(t, document)] = string(document)
				}
			}
		}
		seeds := rapid.SliceOfN(rapid.Uint64Range(1, 99), 2, 2).Draw(rt, "seeds")
		compare := func() iter.Seq2[pitr.Change, error] {
			return diff.Compare(context.Background(), e.side(t, seeds[0]), s.side(t, seeds[1]), diff.Options{})
		}
		forward, backward := e.clone(), s.clone()
		apply(rt, forward, compare(), sideE, sideT)
		apply(rt, backward, compare(), sideT, sideE)
		for ns := range map[pitr.Namespace]bool{shopA: true, shopB: true} {
			if !sameDocuments(forward[ns], s[ns]) || !sameDocuments(backward[ns], e[ns]) {
				rt.Fatalf("%s: applying the difference does not give the other side", ns)
			}
		}
		if count := apply(rt, e.clone(), diff.Compare(context.Background(), e.side(t, seeds[0]), e.side(t, seeds[1]), diff.Options{}), sideE, sideT); count != 0 {
			rt.Fatalf("a state differs from itself in %d documents", count)
		}
	})
}

func sameDocuments(a, b map[string]string) bool {
	return len(a) == len(b) && (len(a) == 0 || reflect.DeepEqual(a, b))
}

func collect(changes iter.Seq2[pitr.Change, error]) (all []pitr.Change, err error) {
	for change, err := range changes {
		if err != nil {
			return all, err
		}
		all = append(all, change)
	}
	return all, nil
}

func numbers(tb testing.TB, from, to int) *side {
	s := &side{documents: make(map[pitr.Namespace][]bson.Raw)}
	s.collections = []pitr.Collection{{NS: shopA, UUID: pitr.UUID{1}, Type: pitr.TypeCollection}}
	for i := from; i < to; i++ {
		s.documents[shopA] = append(s.documents[shopA], raw(tb, bson.D{{Key: "_id", Value: i}, {Key: "x", Value: "some text"}}))
	}
	return s
}

func TestErrorsOfSidesAreNotSwallowed(t *testing.T) {
	failure := errors.New("the cursor died")
	for _, atE := range []bool{true, false} {
		e, s := numbers(t, 0, 100), numbers(t, 0, 100)
		broken := s
		if atE {
			broken = e
		}
		broken.failure, broken.failAfter = failure, 60
		changes, err := collect(diff.Compare(context.Background(), e, s, diff.Options{}))
		if !errors.Is(err, failure) || len(changes) != 0 {
			t.Errorf("%d changes and %v", len(changes), err)
		}
		if e.open != 0 || s.open != 0 {
			t.Error("a side is left open")
		}
	}
}

func TestASideThatRepeatsAKeyIsRefused(t *testing.T) {
	e, s := numbers(t, 0, 3), numbers(t, 5, 8)
	e.documents[shopA] = append(e.documents[shopA], raw(t, bson.D{{Key: "_id", Value: 2.0}}))
	if _, err := collect(diff.Compare(context.Background(), e, s, diff.Options{})); pitr.KindOf(err) != pitr.KindMismatch {
		t.Errorf("a key that stands twice gives %v", err)
	}
}

func TestAConsumerMayStop(t *testing.T) {
	e, s := numbers(t, 0, 50), numbers(t, 50, 100)
	for change, err := range diff.Compare(context.Background(), e, s, diff.Options{}) {
		if err != nil || change.N != 1 {
			t.Errorf("change %d, %v", change.N, err)
		}
		break
	}
	if e.open != 0 || s.open != 0 {
		t.Error("a side is left open")
	}
}

func TestACancelledComparisonEnds(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("two signals")
	cancel(why)
	if _, err := collect(diff.Compare(ctx, numbers(t, 0, 20_000), numbers(t, 0, 20_000), diff.Options{})); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled comparison gives %v", err)
	}
}

func TestChangesAreNumberedAndOrdered(t *testing.T) {
	e, s := numbers(t, 0, 5), numbers(t, 2, 9)
	e.seed, s.seed = 3, 4
	e.documents[shopA][3] = raw(t, bson.D{{Key: "_id", Value: 3}, {Key: "x", Value: "other"}})
	changes, err := collect(diff.Compare(context.Background(), e, s, diff.Options{After: 10}))
	if err != nil {
		t.Fatal(err)
	}
	var summary diff.Summary
	text := ""
	for _, change := range changes {
		text += fmt.Sprintf("%d %s %s, ", change.N, change.Class, change.Key)
		summary.Add(change)
	}
	want := `11 changed {"$numberInt":"3"}, 12 created {"$numberInt":"0"}, 13 created {"$numberInt":"1"}, ` +
		`14 deleted {"$numberInt":"5"}, 15 deleted {"$numberInt":"6"}, 16 deleted {"$numberInt":"7"}, 17 deleted {"$numberInt":"8"}, `
	if text != want {
		t.Errorf("the changes are\n%s", text)
	}
	for _, change := range changes {
		for _, document := range []bson.Raw{change.E, change.T} {
			if document != nil && equalKey(t, document) != change.Key.Equal() {
				t.Errorf("change %d holds %s after the side went on", change.N, document)
			}
		}
	}
	if x := changes[0].E.Lookup("x").StringValue() + changes[0].T.Lookup("x").StringValue(); x != "othersome text" {
		t.Errorf("the changed document became %q after the side went on", x)
	}
	total := summary.Total()
	if total.Classes[pitr.ClassCreated] != 2 || total.Classes[pitr.ClassDeleted] != 4 || total.Classes[pitr.ClassChanged] != 1 {
		t.Errorf("counted as %v", total)
	}
}

func TestDocumentsAreLeftOutOnBothSides(t *testing.T) {
	e, s := numbers(t, 0, 5), numbers(t, 3, 9)
	options := diff.Options{LeaveOut: func(_ pitr.Collection, document bson.Raw) bool {
		return document.Lookup("_id").AsInt64()%2 == 0
	}}
	changes, err := collect(diff.Compare(context.Background(), e, s, options))
	if err != nil || len(changes) != 3 {
		t.Errorf("%d changes, %v", len(changes), err)
	}
}

// drifting makes documents on the fly, in the order of another side up to a drift.
type drifting struct {
	count, drift int
	first        int
	made         int
}

func (d *drifting) Collections(context.Context) ([]pitr.Collection, error) {
	return []pitr.Collection{{NS: shopA, UUID: pitr.UUID{1}, Type: pitr.TypeCollection}}, nil
}

func (d *drifting) Documents(context.Context, pitr.Collection) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		document, _ := bson.Marshal(bson.D{{Key: "_id", Value: int64(0)}, {Key: "x", Value: "about a hundred bytes of text so that the document is not only its key"}})
		value := document[4+1+4:]
		for i := range d.count {
			// Blocks of the order are turned round.
			number := d.first + i/d.drift*d.drift + (d.drift - 1 - i%d.drift)
			for b := range 8 {
				value[b] = byte(number >> (8 * b))
			}
			d.made++
			if !yield(document, nil) {
				return
			}
		}
	}
}

// case F03 in small: memory follows the differences and the drift of the orders, not the number of documents.
func TestMemoryFollowsTheDifference(t *testing.T) {
	const count = 300_000
	e, s := &drifting{count: count, drift: 1}, &drifting{count: count, drift: 1000}
	changes, err := collect(diff.Compare(context.Background(), e, s, diff.Options{Limit: 1 << 20}))
	if err != nil || len(changes) != 0 {
		t.Errorf("%d changes, %v", len(changes), err)
	}
	all := diff.Options{Limit: 8 << 20}
	e, s = &drifting{count: count, drift: 1}, &drifting{count: count, drift: 1, first: count}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	changes, err = collect(diff.Compare(context.Background(), e, s, all))
	runtime.ReadMemStats(&after)
	if pitr.KindOf(err) != pitr.KindLimit || pitr.HintOf(err) == "" || len(changes) != 0 {
		t.Errorf("%d changes, %v", len(changes), err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
		t.Errorf("a limit of 8 MiB let %d MiB be allocated", grown>>20)
	}
	if e.made > count/2 {
		t.Errorf("the limit was noticed after %d documents", e.made)
	}
}

func BenchmarkCompareEqualOrder(b *testing.B) { benchmarkCompare(b, 1) }

func BenchmarkCompareDrifting(b *testing.B) { benchmarkCompare(b, 500) }

func benchmarkCompare(b *testing.B, drift int) {
	const count = 100_000
	for b.Loop() {
		e, s := &drifting{count: count, drift: 1}, &drifting{count: count, drift: drift}
		for _, err := range diff.Compare(context.Background(), e, s, diff.Options{}) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/count, "ns/document")
}
