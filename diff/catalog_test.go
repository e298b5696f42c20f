package diff_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/diff"
)

// catalog makes collections from "name uuid option index=key,...".
func collection(tb testing.TB, name string, uuid byte, option string, indexes ...string) pitr.Collection {
	c := pitr.Collection{NS: pitr.Namespace{DB: "shop", Collection: name}, UUID: pitr.UUID{uuid}, Type: pitr.TypeCollection, Options: raw(tb, bson.D{})}
	if option != "" {
		c.Options = raw(tb, bson.D{{Key: "note", Value: option}})
	}
	for _, index := range indexes {
		c.Indexes = append(c.Indexes, raw(tb, bson.D{{Key: "name", Value: index[:1]}, {Key: "key", Value: index[1:]}}))
	}
	return c
}

func TestCatalogSteps(t *testing.T) {
	view := pitr.Collection{NS: pitr.Namespace{DB: "shop", Collection: "v"}, Type: pitr.TypeView, Options: raw(t, bson.D{{Key: "viewOn", Value: "a"}})}
	for what, c := range map[string]struct {
		e, t []pitr.Collection
		want []string
	}{
		"nothing": {[]pitr.Collection{collection(t, "a", 1, "", "x1"), view}, []pitr.Collection{view, collection(t, "a", 1, "", "x1")}, nil},
		"created": {[]pitr.Collection{collection(t, "a", 1, "")}, nil, []string{"1 collection created shop.a"}},
		"dropped": {nil, []pitr.Collection{collection(t, "a", 1, "", "x1")}, []string{"1 collection dropped shop.a"}},
		"re-created with other options and indexes": {
			[]pitr.Collection{collection(t, "a", 2, "n")}, []pitr.Collection{collection(t, "a", 1, "", "x1")},
			[]string{"1 collection re-created shop.a", "2 options changed shop.a", "3 index dropped shop.a x"}},
		"renamed": {
			[]pitr.Collection{collection(t, "b", 1, "", "x1")}, []pitr.Collection{collection(t, "a", 1, "", "x2")},
			[]string{"1 collection renamed shop.a", "2 index changed shop.a x x"}},
		"renamed, and its name taken": {
			[]pitr.Collection{collection(t, "a", 2, ""), collection(t, "b", 1, "")}, []pitr.Collection{collection(t, "a", 1, "")},
			[]string{"1 collection re-created shop.a", "2 collection created shop.b"}},
		"renamed, and its name taken, listed the other way": {
			[]pitr.Collection{collection(t, "b", 1, ""), collection(t, "a", 2, "")}, []pitr.Collection{collection(t, "a", 1, "")},
			[]string{"1 collection re-created shop.a", "2 collection created shop.b"}},
		"renamed over another": {
			[]pitr.Collection{collection(t, "a", 2, "")}, []pitr.Collection{collection(t, "a", 1, ""), collection(t, "c", 2, "")},
			[]string{"1 collection re-created shop.a", "2 collection dropped shop.c"}},
		"two names traded": {
			[]pitr.Collection{collection(t, "a", 2, ""), collection(t, "b", 1, "")},
			[]pitr.Collection{collection(t, "a", 1, ""), collection(t, "b", 2, "")},
			[]string{"1 collection re-created shop.a", "2 collection re-created shop.b"}},
		"indexes": {
			[]pitr.Collection{collection(t, "a", 1, "", "y1", "x2", "n1")}, []pitr.Collection{collection(t, "a", 1, "", "x1", "y1", "z1")},
			[]string{"1 index changed shop.a x x", "2 index dropped shop.a z", "3 index created shop.a n"}},
		"a view instead": {
			[]pitr.Collection{{NS: shopA, Type: pitr.TypeView, Options: view.Options}}, []pitr.Collection{collection(t, "a", 1, "", "x1")},
			[]string{"1 collection re-created shop.a", "2 options changed shop.a", "3 index dropped shop.a x"}},
		"system collections": {[]pitr.Collection{{NS: pitr.Namespace{DB: "config", Collection: "x"}, UUID: pitr.UUID{1}}}, nil, nil},
	} {
		var got []string
		for _, step := range diff.Steps(diff.PairCollections(c.e, c.t, pitr.Scope{}), diff.Options{}) {
			text := fmt.Sprintf("%d %s %s", step.N, step.Step, step.NS)
			if name := pitr.IndexName(step.T); name != "" {
				text += " " + name
			}
			if name := pitr.IndexName(step.E); name != "" {
				text += " " + name
			}
			got = append(got, text)
			if (step.CollectionE == nil) != (step.Step == pitr.StepDropped) || (step.CollectionT == nil) != (step.Step == pitr.StepCreated) {
				t.Errorf("%s: %s carries the wrong entries", what, text)
			}
			if step.CollectionE != nil && step.UUID != step.CollectionE.UUID {
				t.Errorf("%s: %s has another identity than the live collection", what, text)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s gives %q", what, got)
		}
	}
}

func TestStepsAcrossClustersKnowNoIdentity(t *testing.T) {
	e, s := []pitr.Collection{collection(t, "a", 2, "", "x1")}, []pitr.Collection{collection(t, "a", 1, "", "x2")}
	steps := diff.Steps(diff.PairCollections(e, s, pitr.Scope{}), diff.Options{AcrossClusters: true})
	if len(steps) != 1 || steps[0].Step != pitr.StepIndexChanged {
		t.Errorf("the steps are %v", steps)
	}
}

func TestScopeHoldsForBothNamesOfARename(t *testing.T) {
	e, s := []pitr.Collection{collection(t, "b", 1, ""), collection(t, "c", 3, "")}, []pitr.Collection{collection(t, "a", 1, "")}
	for _, only := range []string{"shop.a", "shop.b"} {
		if pairs := diff.PairCollections(e, s, pitr.Scope{Only: []string{only}}); len(pairs) != 1 || pairs[0].NS() != shopA {
			t.Errorf("%s chooses %v", only, pairs)
		}
	}
	if pairs := diff.PairCollections(e, s, pitr.Scope{Except: []string{"shop"}}); len(pairs) != 0 {
		t.Errorf("nothing chooses %v", pairs)
	}
}

// Documents of a renamed collection are compared with themselves, under the name that it had at T.
func TestRenamedCollectionsMeetThemselves(t *testing.T) {
	e, s := numbers(t, 0, 5), numbers(t, 1, 5)
	e.collections[0].NS = shopB
	e.documents[shopB] = e.documents[shopA]
	changes, err := collect(diff.Compare(context.Background(), e, s, diff.Options{}))
	if err != nil || len(changes) != 1 || changes[0].Class != pitr.ClassCreated || changes[0].NS != shopA {
		t.Errorf("the changes are %v, %v", changes, err)
	}
}

func TestSummariesCountBothKinds(t *testing.T) {
	var summary diff.Summary
	if !summary.IsEmpty() {
		t.Error("a summary of nothing is not empty")
	}
	summary.Add(pitr.Change{NS: shopB, Class: pitr.ClassUnchanged})
	if !summary.IsEmpty() {
		t.Error("a document that is the same again is a difference")
	}
	summary.AddStep(pitr.CatalogStep{NS: shopA, Step: pitr.StepCreated})
	summary.Add(pitr.Change{NS: shopA, Class: pitr.ClassCreated})
	namespaces := summary.Namespaces()
	if summary.IsEmpty() || len(namespaces) != 2 || namespaces[0].NS != shopA || namespaces[0].Steps[pitr.StepCreated] != 1 ||
		summary.Total().Classes[pitr.ClassUnchanged] != 1 {
		t.Errorf("counted as %v", namespaces)
	}
}
