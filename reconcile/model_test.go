package reconcile_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"pitr"
	"pitr/reconcile"
)

// thing is a document of the model: small values in few fields, so that everything that can collide does.
type thing map[string]string

// fieldNames are in the order in which documents carry them.
var fieldNames = []string{"u", "v", "p", "a", "b"}

func (x thing) document(id int) bson.Raw {
	if x == nil {
		return nil
	}
	fields := []any{"_id", int32(id)} //nolint:gosec // a small number
	for _, name := range fieldNames {
		if value, has := x[name]; has {
			fields = append(fields, name, value)
		}
	}
	return doc(fields...)
}

func (x thing) equal(y thing) bool { return bytes.Equal(x.document(0), y.document(0)) }

// contentOf reads a document back, whatever the order of its fields is.
func contentOf(document bson.Raw) thing {
	if document == nil {
		return nil
	}
	x := thing{}
	elements, _ := document.Elements()
	for _, element := range elements {
		if text, ok := element.Value().StringValueOK(); ok {
			x[element.Key()] = text
		}
	}
	return x
}

func drawThing(t *rapid.T, label string) thing {
	if rapid.IntRange(0, 3).Draw(t, label+" absent") == 0 {
		return nil
	}
	x := thing{}
	for _, name := range fieldNames {
		if value := rapid.SampledFrom([]string{"", "x", "X", "y"}).Draw(t, label+" "+name); value != "" {
			x[name] = value
		}
	}
	return x
}

// uniqueKinds are the unique indexes that the model has, with what they make of a thing: "" where they leave it out.
var uniqueKinds = []struct {
	spec bson.Raw
	key  func(thing) string
}{
	{index("compound", bson.D{{Key: "u", Value: 1}, {Key: "v", Value: 1}}), func(x thing) string { return "k" + x["u"] + "/" + x["v"] }},
	{index("sparse", bson.D{{Key: "u", Value: 1}}, bson.E{Key: "sparse", Value: true}), func(x thing) string { return x["u"] }},
	{index("partial", bson.D{{Key: "u", Value: 1}}, bson.E{Key: "partialFilterExpression", Value: bson.D{{Key: "p", Value: "x"}}}), func(x thing) string {
		if x["p"] != "x" {
			return ""
		}
		return "k" + x["u"]
	}},
	{index("collated", bson.D{{Key: "v", Value: 1}}, bson.E{Key: "sparse", Value: true},
		bson.E{Key: "collation", Value: bson.D{{Key: "locale", Value: "en"}, {Key: "strength", Value: int32(2)}}}), func(x thing) string { return strings.ToLower(x["v"]) }},
}

// oracle says what a decision makes of one record, by the page docs/reconcile.md and without a look at the code: the thing
// to be live afterwards, or that the record is left out.
func oracle(t, e, live thing, d reconcile.Decision) (want thing, leftOut bool) {
	force := d == reconcile.DecisionPutBackAll
	switch {
	case d == reconcile.DecisionLeave || d == "":
		return live, false
	case d == reconcile.DecisionDelete:
		if e != nil || t == nil {
			return live, true
		}
		if live == nil || live.equal(t) {
			return nil, false
		}
		return live, true
	case t == nil && e == nil, e.equal(t) && t != nil && e != nil: // came and went, unchanged in effect
		return live, true
	case e == nil: // deleted in the gap: nothing to put back
		return live, true
	case live == nil && t == nil, live != nil && t != nil && live.equal(t):
		return e, false
	case live != nil && live.equal(e):
		return live, false
	case live == nil:
		return e, !force
	case t == nil && !force:
		return live, true
	}
	merged := thing{}
	for _, name := range fieldNames {
		was, gap, now := value(t, name), value(e, name), value(live, name)
		chosen := now
		if gap != was {
			if now != was && now != gap && !force {
				return live, true
			}
			chosen = gap
		}
		if chosen != "" {
			merged[name] = chosen
		}
	}
	return merged, false
}

func value(x thing, name string) string { return x[name] }

// decisions is what the model's people say.
type decisions map[int64]reconcile.Decision

func (d decisions) Of(n int64) (reconcile.Decision, bool) {
	decision, is := d[n]
	return decision, is && decision != ""
}

var anyDecision = []reconcile.Decision{"", reconcile.DecisionLeave, reconcile.DecisionPutBack, reconcile.DecisionPutBack, reconcile.DecisionPutBackAll, reconcile.DecisionDelete}

// model is one random case.
type model struct {
	rt        *rapid.T
	w         *world
	kind      int
	t, e      []thing
	live      []thing
	decisions []reconcile.Decision
}

// fits puts a thing at a place unless the unique index forbids it beside the others.
func (m *model) fits(state []thing, at int, x thing) bool {
	key := uniqueKinds[m.kind].key
	if x == nil || key(x) == "" {
		return true
	}
	for i, other := range state {
		if i != at && other != nil && key(other) == key(x) {
			return false
		}
	}
	return true
}

// drawModel makes what T, the gap and the time after the restore have left. The unique index holds at T and live; the gap
// did without it.
func drawModel(rt *rapid.T, t *testing.T) *model {
	n := rapid.IntRange(1, 7).Draw(rt, "things")
	m := &model{rt: rt, w: newWorld(t), kind: rapid.IntRange(0, len(uniqueKinds)-1).Draw(rt, "index"),
		t: make([]thing, n), e: make([]thing, n), live: make([]thing, n), decisions: make([]reconcile.Decision, n)}
	for i := range n {
		if x := drawThing(rt, "T"); m.fits(m.t, i, x) {
			m.t[i] = x
		}
		m.e[i] = drawThing(rt, "E")
		m.decisions[i] = rapid.SampledFrom(anyDecision).Draw(rt, "decision")
	}
	copy(m.live, m.t)
	for i := range n {
		switch rapid.IntRange(0, 4).Draw(rt, "since") {
		case 0:
			if x := drawThing(rt, "live"); m.fits(m.live, i, x) {
				m.live[i] = x
			}
		case 1:
			if m.fits(m.live, i, m.e[i]) {
				m.live[i] = m.e[i]
			}
		}
	}
	// Newcomers of the time after the restore hold values, too.
	for range rapid.IntRange(0, 2).Draw(rt, "newcomers") {
		if x := drawThing(rt, "newcomer"); m.fits(m.live, -1, x) {
			m.live = append(m.live, x)
		}
	}
	return m
}

func (m *model) documents() []bson.Raw {
	var list []bson.Raw
	for i, x := range m.live {
		if x != nil {
			list = append(list, x.document(i))
		}
	}
	return list
}

// TestModel holds plan, apply and undo against an oracle: random lost sets, random lives after the restore, random
// decisions, every kind of unique index. // cases F04 F05 F06 F10
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := drawModel(rt, t)
		m.w.cluster.Put(collection(things, uniqueKinds[m.kind].spec), m.documents()...)
		var changes []pitr.Change
		decided := decisions{}
		var at []int
		for i := range m.t {
			e, before := m.e[i].document(i), m.t[i].document(i)
			if e == nil && before == nil {
				continue
			}
			changes = append(changes, change(things, e, before))
			decided[int64(len(changes))] = m.decisions[i]
			at = append(at, i)
		}
		if len(changes) == 0 {
			return
		}
		id := m.w.lose(changes...)
		before := m.w.content()
		outcome, err := m.w.apply(id, decided)
		if err != nil && pitr.KindOf(err) != pitr.KindPartial {
			rt.Fatalf("apply: %v", err)
		}
		if (err != nil) != (len(outcome.LeftOut) > 0) {
			rt.Fatalf("left out are %v, and the error is %v", outcome.LeftOut, err)
		}
		if len(outcome.LeftOut) != m.w.foreseen {
			rt.Fatalf("%d conflicts were known beforehand, left out are %v", m.w.foreseen, outcome.LeftOut)
		}
		m.check(at, outcome)
		after := m.w.content()
		again, err := m.w.apply(id, decided)
		if again.Written != 0 || err != nil && pitr.KindOf(err) != pitr.KindPartial || len(again.LeftOut) > 0 && len(outcome.LeftOut) == 0 {
			rt.Fatalf("a second apply: %+v, %v", again, err)
		}
		if d := difference(after, m.w.content()); d != "" {
			rt.Fatalf("a second apply changed:\n%s", d)
		}
		if outcome.Job == "" {
			if d := difference(before, after); d != "" {
				rt.Fatalf("without a job there are changes:\n%s", d)
			}
			return
		}
		if _, err := m.w.undo(outcome.Job); err != nil {
			rt.Fatalf("undo: %v", err)
		}
		if d := difference(before, m.w.content()); d != "" {
			rt.Fatalf("the undo gave something else than what was there:\n%s", d)
		}
	})
}

// check compares what is live with what the oracle says, record by record. A record that the oracle would write may be left
// out only where the unique index forbids it beside what was live, or beside what the others were to become.
func (m *model) check(at []int, outcome reconcile.Outcome) {
	left := map[string]string{}
	for _, each := range outcome.LeftOut {
		left[each.Key.Equal()] = each.Reason
	}
	live := m.w.cluster.Documents(things)
	want := slices.Clone(m.live)
	for _, i := range at {
		wanted, out := oracle(m.t[i], m.e[i], m.live[i], m.decisions[i])
		if !out {
			want[i] = wanted
		}
	}
	for i := range m.live {
		key, _ := pitr.KeyOf(thing{}.document(i))
		reason, leftOut := left[key.Equal()]
		now := contentOf(live[key.Equal()])
		delete(left, key.Equal())
		if !slices.Contains(at, i) {
			if !now.equal(m.live[i]) {
				m.rt.Fatalf("thing %d is %v, and nobody decided about it", i, now)
			}
			continue
		}
		wanted, out := oracle(m.t[i], m.e[i], m.live[i], m.decisions[i])
		switch {
		case leftOut && !now.equal(m.live[i]):
			m.rt.Fatalf("thing %d is left out (%s) and was written: %v", i, reason, now)
		case leftOut && !out && m.fits(m.live, i, wanted) && m.fits(want, i, wanted):
			m.rt.Fatalf("thing %d is left out without need: %s; %v", i, reason, m.describe(i))
		case !leftOut && out:
			m.rt.Fatalf("thing %d should be left out, and is %v; %v", i, now, m.describe(i))
		case !leftOut && !now.equal(wanted):
			m.rt.Fatalf("thing %d is %v, should be %v; %v", i, now, wanted, m.describe(i))
		}
	}
	if len(left) > 0 {
		m.rt.Fatalf("left out is what is not in the lost set: %v", left)
	}
}

func (m *model) describe(i int) string {
	return fmt.Sprintf("T %v, E %v, live %v, decision %q", m.t[i], m.e[i], m.live[i], m.decisions[i])
}

// TestOthersWriteMeanwhile has somebody change, delete and insert documents between the transactions of an apply: what they
// have touched is left out and as they left it, everything else is written. // case F04
func TestOthersWriteMeanwhile(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		unique := index("u", bson.D{{Key: "u", Value: 1}})
		w.cluster.Put(collection(things, unique))
		n := rapid.IntRange(2, 20).Draw(rt, "records")
		var changes []pitr.Change
		decided := decisions{}
		for i := range n {
			changes = append(changes, change(things, thing{"u": fmt.Sprint(i), "a": "gap"}.document(i), nil))
			decided[int64(i+1)] = reconcile.DecisionPutBack
		}
		id := w.lose(changes...)
		foreign := map[int]string{}
		w.cluster.BeforeWrite = func(string) error {
			i := rapid.IntRange(0, n-1).Draw(rt, "who")
			key, document := changes[i].Key, thing{"u": fmt.Sprint(i), "a": "theirs"}.document(i)
			what := rapid.SampledFrom([]string{"nothing", "same id", "same value"}).Draw(rt, "what")
			if what == "same value" {
				key, _ = pitr.KeyOf(thing{}.document(i + 100))
				document = thing{"u": fmt.Sprint(i)}.document(i + 100)
			}
			if _, done := w.cluster.Documents(things)[changes[i].Key.Equal()]; what == "nothing" || done {
				return nil
			}
			if w.cluster.UserWrite(things, key, document) == nil {
				foreign[i] = what
			}
			return nil
		}
		outcome, err := w.apply(id, decided)
		w.cluster.BeforeWrite = nil
		if len(foreign) > 0 && pitr.KindOf(err) != pitr.KindPartial || len(foreign) == 0 && err != nil {
			rt.Fatalf("others wrote %v: %v", foreign, err)
		}
		if len(outcome.LeftOut) != len(foreign) || outcome.Written != int64(n-len(foreign)) {
			rt.Fatalf("others wrote %v; %d written, left out %v", foreign, outcome.Written, outcome.LeftOut)
		}
		live := w.cluster.Documents(things)
		for i := range n {
			now := contentOf(live[changes[i].Key.Equal()])
			switch foreign[i] {
			case "same id":
				if now["a"] != "theirs" {
					rt.Fatalf("record %d was overwritten", i)
				}
			case "same value":
				if now != nil {
					rt.Fatalf("record %d is doubled", i)
				}
			default:
				if now["a"] != "gap" {
					rt.Fatalf("record %d was not put back", i)
				}
			}
		}
		if _, err := w.undo(outcome.Job); err != nil && pitr.KindOf(err) != pitr.KindPartial {
			rt.Fatalf("undo: %v", err)
		}
		for i := range n {
			if now := w.cluster.Documents(things)[changes[i].Key.Equal()]; foreign[i] != "same id" && now != nil {
				rt.Fatalf("record %d stays after the undo", i)
			}
		}
	})
}
