package reconcile_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/format"
	"pitr/internal/modelcluster"
	"pitr/reconcile"
)

// TestMerge: three versions, the fields in conflict, and what both decisions bring about. No result means left out.
func TestMerge(t *testing.T) {
	type d = bson.D
	for _, test := range []struct {
		name      string
		t, e, now bson.Raw
		conflicts []string
		put, win  bson.Raw
	}{
		{"other fields", doc("_id", 1, "a", 1, "b", 1), doc("_id", 1, "a", 2, "b", 1), doc("_id", 1, "a", 1, "b", 2), nil,
			doc("_id", 1, "a", 2, "b", 2), doc("_id", 1, "a", 2, "b", 2)},
		{"the same field", doc("_id", 1, "a", 1), doc("_id", 1, "a", 2), doc("_id", 1, "a", 3), []string{"a"}, nil, doc("_id", 1, "a", 2)},
		{"the same change", doc("_id", 1, "a", 1, "b", 1), doc("_id", 1, "a", 2, "b", 1), doc("_id", 1, "a", 2, "b", 3), nil,
			doc("_id", 1, "a", 2, "b", 3), doc("_id", 1, "a", 2, "b", 3)},
		{"added and removed", doc("_id", 1, "a", 1, "b", 1), doc("_id", 1, "a", 1, "new", 1), doc("_id", 1, "a", 2, "b", 1), nil,
			doc("_id", 1, "a", 2, "new", 1), doc("_id", 1, "a", 2, "new", 1)},
		{"within an embedded document", doc("_id", 1, "m", d{{Key: "x", Value: 1}, {Key: "y", Value: 1}}), doc("_id", 1, "m", d{{Key: "x", Value: 2}, {Key: "y", Value: 1}}),
			doc("_id", 1, "m", d{{Key: "x", Value: 1}, {Key: "y", Value: 2}}), nil, doc("_id", 1, "m", d{{Key: "x", Value: 2}, {Key: "y", Value: 2}}),
			doc("_id", 1, "m", d{{Key: "x", Value: 2}, {Key: "y", Value: 2}})},
		{"one takes away what the other changes", doc("_id", 1, "m", d{{Key: "x", Value: 1}}), doc("_id", 1), doc("_id", 1, "m", d{{Key: "x", Value: 2}}), []string{"m"},
			nil, doc("_id", 1)},
		{"one changes what the other takes away", doc("_id", 1, "m", d{{Key: "x", Value: 1}}), doc("_id", 1, "m", d{{Key: "x", Value: 2}}), doc("_id", 1), []string{"m"},
			nil, doc("_id", 1, "m", d{{Key: "x", Value: 2}})},
		{"arrays are one value", doc("_id", 1, "l", bson.A{1, 2, 3}), doc("_id", 1, "l", bson.A{2, 3}), doc("_id", 1, "l", bson.A{1, 2, 3, 4}), []string{"l"},
			nil, doc("_id", 1, "l", bson.A{2, 3})},
		{"in an array", doc("_id", 1, "l", bson.A{d{{Key: "x", Value: 1}}}), doc("_id", 1, "l", bson.A{d{{Key: "x", Value: 2}}}),
			doc("_id", 1, "l", bson.A{d{{Key: "x", Value: 1}}, 2}), []string{"l"}, nil, doc("_id", 1, "l", bson.A{d{{Key: "x", Value: 2}}})},
		{"the order of the record's own fields", doc("_id", 1, "a", 1, "b", 1), doc("_id", 1, "b", 1, "a", 2), doc("_id", 1, "a", 1, "b", 2), nil,
			doc("_id", 1, "a", 2, "b", 2), doc("_id", 1, "a", 2, "b", 2)},
		{"null is a value", doc("_id", 1, "b", 1), doc("_id", 1, "a", nil, "b", 1), doc("_id", 1, "b", 2), nil, doc("_id", 1, "b", 2, "a", nil), doc("_id", 1, "b", 2, "a", nil)},
		{"fields of one name", doc("_id", 1, "a", 1, "a", 2), doc("_id", 1, "a", 1, "a", 3), doc("_id", 1, "a", 1, "a", 2, "b", 1), []string{""}, nil, doc("_id", 1, "a", 1, "a", 3)},
		{"operators are data", doc("_id", 1, "a", 1, "b", 1), doc("_id", 1, "a", d{{Key: "$set", Value: 1}}, "b", 1), doc("_id", 1, "a", 1, "b", 2), nil,
			doc("_id", 1, "a", d{{Key: "$set", Value: 1}}, "b", 2), doc("_id", 1, "a", d{{Key: "$set", Value: 1}}, "b", 2)},
		{"another record has the id", nil, doc("_id", 1, "a", 1), doc("_id", 1, "b", 1), nil, nil, doc("_id", 1, "b", 1, "a", 1)},
		{"deleted since", doc("_id", 1, "a", 1), doc("_id", 1, "a", 2), nil, nil, nil, doc("_id", 1, "a", 2)},
	} {
		for decision, want := range map[reconcile.Decision]bson.Raw{reconcile.DecisionPutBack: test.put, reconcile.DecisionPutBackAll: test.win} {
			t.Run(test.name+", "+string(decision), func(t *testing.T) {
				w := newWorld(t)
				var live []bson.Raw
				if test.now != nil {
					live = append(live, test.now)
				}
				w.cluster.Put(collection(things), live...)
				id := w.lose(change(things, test.e, test.t))
				records, _ := w.plan(id)
				var conflicts []string
				for _, field := range records[0].Merge {
					if field.Conflict {
						conflicts = append(conflicts, field.Path.String())
					}
				}
				if !slices.Equal(conflicts, test.conflicts) {
					t.Errorf("in conflict are %q, want %q", conflicts, test.conflicts)
				}
				outcome, err := w.apply(id, decisions{1: decision})
				now := w.cluster.Documents(things)[records[0].Change.Key.Equal()]
				if want == nil {
					want = test.now
					if len(outcome.LeftOut) != 1 || pitr.KindOf(err) != pitr.KindPartial {
						t.Errorf("it was not left out: %v", err)
					}
				}
				if !bytes.Equal(now, want) {
					t.Errorf("live is %s, want %s", now, want)
				}
			})
		}
	}
}

// refusing is a live cluster that cannot be asked about conditions.
type refusing struct{ *modelcluster.Cluster }

func (refusing) Matching(context.Context, pitr.Condition, []bson.Raw) ([]bson.RawValue, error) {
	return nil, pitr.Errorf(pitr.KindUnsupported, "", "", "too old")
}

// TestValidators: what a validator refuses is left out, where the server can be asked; otherwise that is said. // case F06
func TestValidators(t *testing.T) {
	for _, test := range []struct {
		level, action string
		old           bool
		left          int
	}{{left: 2}, {level: "moderate", left: 1}, {level: "off"}, {action: "warn"}, {action: "errorAndLog", left: 2}, {old: true}} {
		w := newWorld(t)
		info := collection(things)
		info.Options = doc("validator", bson.D{{Key: "kind", Value: "good"}}, "validationLevel", test.level, "validationAction", test.action)
		w.cluster.Put(info, doc("_id", 3, "kind", "bad", "a", 1))
		if test.old {
			w.live = refusing{w.cluster}
		}
		id := w.lose(change(things, doc("_id", 1, "kind", "good"), nil), change(things, doc("_id", 2, "kind", "bad"), nil),
			change(things, doc("_id", 3, "kind", "bad", "a", 2), doc("_id", 3, "kind", "bad", "a", 1)))
		put := reconcile.DecisionPutBack
		outcome, err := w.apply(id, decisions{1: put, 2: put, 3: put})
		if len(outcome.LeftOut) != test.left || outcome.Written != int64(3-test.left) || (err != nil) != (test.left > 0) {
			t.Errorf("%+v: written %d, left out %v, %v", test, outcome.Written, outcome.LeftOut, err)
		}
		if said := len(outcome.Notes) > 0; said != test.old {
			t.Errorf("%+v: the notes are %q", test, outcome.Notes)
		}
	}
}

// TestDuplicatesAmongTheLost: one of each group is suggested, for a reason; and a record whose collection is gone is left.
func TestDuplicatesAmongTheLost(t *testing.T) {
	w := newWorld(t)
	w.cluster.Put(collection(things, index("u", bson.D{{Key: "u", Value: 1}})), doc("_id", 9, "u", "live"))
	first, second, third := change(things, doc("_id", 1, "u", "x"), nil), change(things, doc("_id", 2, "u", "x"), nil), change(things, doc("_id", 3, "u", "x"), nil)
	second.Last.TS = 7
	gone := pitr.Namespace{DB: "shop", Collection: "gone"}
	id := w.lose(first, second, third, change(things, doc("_id", 4, "u", "live"), nil), change(things, doc("_id", 5, "u", bson.A{"live", "y"}), nil),
		change(things, doc("_id", 6, "u", bson.D{{Key: "$gt", Value: ""}}), nil), change(gone, doc("_id", 1), nil))
	records, plan := w.plan(id)
	var states, suggested []string
	for _, record := range records {
		states = append(states, string(record.State))
		suggested = append(suggested, string(record.Suggested))
	}
	if got := strings.Join(states, "; "); got != "lost; lost; lost; lost; came back under another id; came back under another id; lost" {
		t.Errorf("the states are %s", got)
	}
	if got := strings.Join(suggested, "; "); got != "leave; leave; put back; leave; leave; leave; put back" {
		t.Errorf("suggested is %s", got)
	}
	group := plan.Groups[0]
	if len(plan.Groups) != 2 || len(group.Records) != 3 || group.Survivor != records[2].Token || !strings.Contains(group.Reason, "written to last") || group.Value != `{"u": "x"}` {
		t.Errorf("the groups are %+v", plan.Groups)
	}
	if !plan.Groups[1].SurvivorLive {
		t.Errorf("the live record does not stay: %+v", plan.Groups[1])
	}
	all := decisions{}
	for n := range len(records) {
		all[int64(n+1)] = reconcile.DecisionPutBack
	}
	outcome, err := w.apply(id, all)
	if pitr.KindOf(err) != pitr.KindPartial || outcome.Written != 2 || len(outcome.LeftOut) != 5 {
		t.Errorf("written %d, left out %v, %v", outcome.Written, outcome.LeftOut, err)
	}
	if w.cluster.Documents(things)[records[2].Change.Key.Equal()] == nil {
		t.Error("the better one of the duplicates was not the one that was put back")
	}
}

// TestUnfinishedJobs: a lost set that is none yet, or none at all, is refused with the way out.
func TestUnfinishedJobs(t *testing.T) {
	w := newWorld(t)
	for kind, hint := range map[format.JobKind]string{format.JobRewind: "pitr resume", format.JobCopy: "pitr jobs", format.JobUndo: "pitr jobs",
		format.JobCompare: "pitr diff"} {
		id, err := w.repository.NewID()
		w.must(err)
		w.put(&format.Intent{ID: id, Kind: kind, Created: w.clock, Branch: w.branch})
		_, err = reconcile.Make(t.Context(), w.deps(), id)
		if pitr.KindOf(err) != pitr.KindRefused || !strings.Contains(pitr.HintOf(err), hint) {
			t.Errorf("%s: %v, hint %q", kind, err, pitr.HintOf(err))
		}
	}
	if _, err := reconcile.Make(t.Context(), w.deps(), "20200101T000000Z-aaaaaa"); pitr.KindOf(err) != pitr.KindNotFound {
		t.Errorf("a job that is not there: %v", err)
	}
}

// TestNothingBeforeTheConfirmation: a proposal that was not confirmed, or confirmed for another one, writes nothing. // case W04
func TestNothingBeforeTheConfirmation(t *testing.T) {
	w := newWorld(t)
	w.cluster.Put(collection(things))
	id := w.lose(change(things, doc("_id", 1), nil))
	put := decisions{1: reconcile.DecisionPutBack}
	proposal, err := reconcile.Propose(t.Context(), w.deps(), id, put)
	w.must(err)
	other, err := reconcile.Propose(t.Context(), w.deps(), id, put)
	w.must(err)
	confirmed, err := other.Intent.Confirm("devices-eu")
	w.must(err)
	if _, err := proposal.Intent.Confirm("devices-EU"); pitr.KindOf(err) != pitr.KindRefused {
		t.Errorf("another name confirms: %v", err)
	}
	if _, err := reconcile.Apply(t.Context(), w.deps(), proposal, confirmed, put); pitr.KindOf(err) != pitr.KindRefused {
		t.Errorf("a proposal runs on the word for another one: %v", err)
	}
	w.cluster.BeforeWrite = func(string) error { return errors.New("out of reach") }
	outcome, err := reconcile.Apply(t.Context(), w.deps(), other, confirmed, put)
	if pitr.KindOf(err) != pitr.KindHalfway || !strings.Contains(pitr.HintOf(err), "pitr resume") {
		t.Errorf("a write that failed: %v", err)
	}
	w.cluster.BeforeWrite = nil
	if _, err := reconcile.Resume(t.Context(), w.deps(), outcome.Job); err != nil || len(w.content()) != 1 {
		t.Errorf("resume: %v, %d documents", err, len(w.content()))
	}
}
