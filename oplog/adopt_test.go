package oplog_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/storage"
)

// adopt plans and does.
func adopt(t *testing.T, repository *catalog.Repository, m *member) (format.Branch, error) {
	t.Helper()
	plan, err := archiver(repository, m).PlanAdoption(t.Context())
	if err != nil {
		return format.Branch{}, err
	}
	return archiver(repository, m).Adopt(t.Context(), plan, "a test")
}

// Only a source that the archiver refuses can be adopted, and the branch begins where nothing is lost and nothing doubled.
func TestAdoptOnlyWhatWasRefused(t *testing.T) {
	base := func(t *testing.T) []bson.Raw { return inserts(t, 1, "us", 10, 11, 12, 13) }
	later := func(t *testing.T, entries ...bson.Raw) []bson.Raw { return append(base(t), entries...) }
	for name, c := range map[string]struct {
		oplog  func(t *testing.T) []bson.Raw
		change func(s *pitr.Server)
		kind   pitr.Kind
		hint   string
		fork   pitr.Timestamp
		// windows are those of the new branch's history.
		windows []pitr.Window
	}{
		"the same history":        {oplog: func(t *testing.T) []bson.Raw { return later(t, insert(t, 14, 1, "us")) }, kind: pitr.KindRefused, hint: "`pitr archive run`"},
		"a member that is behind": {oplog: func(t *testing.T) []bson.Raw { return base(t)[:2] }, kind: pitr.KindUnavailable, hint: "wait"},
		"rolled over":             {oplog: func(t *testing.T) []bson.Raw { return inserts(t, 1, "us", 20, 21) }, kind: pitr.KindRefused, hint: "`pitr archive run`"},
		"other entries at equal times": {oplog: func(t *testing.T) []bson.Raw { return append(base(t)[:2], inserts(t, 2, "others", 12, 13, 14)...) },
			fork: 11, windows: []pitr.Window{{After: 9, Through: 14}}},
		"our newest never was": {oplog: func(t *testing.T) []bson.Raw { return append(base(t)[:3], inserts(t, 2, "others", 14, 15)...) },
			fork: 12, windows: []pitr.Window{{After: 9, Through: 15}}},
		"a clone that goes on": {oplog: func(t *testing.T) []bson.Raw { return later(t, insert(t, 14, 1, "clone")) },
			change: func(s *pitr.Server) { s.Hosts, s.Member = []string{"x:27017"}, "x:27017" }, fork: 13, windows: []pitr.Window{{After: 9, Through: 14}}},
		"nothing in common": {oplog: func(t *testing.T) []bson.Raw { return inserts(t, 1, "rebuilt", 11, 12, 20) },
			change: func(s *pitr.Server) { s.SetID = "78f8a1b2c3d4e5f6a7b8c9d0" }, windows: []pitr.Window{{After: 10, Through: 20}}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				repository := newRepository(t, storage.NewMemory())
				m := newMember(base(t)...)
				m.majority = pitr.OpTime{TS: 10, Term: 1}
				if _, err := archiver(repository, m).Once(t.Context()); err != nil {
					t.Fatal(err)
				}
				once(t, repository, m)
				before, _ := segmentsOf(t, repository)
				m.entries = c.oplog(t)
				if c.change != nil {
					c.change(&m.server)
				}
				time.Sleep(time.Second)
				branch, err := adopt(t, repository, m)
				if pitr.KindOf(err) != c.kind || c.kind == "" && err != nil {
					t.Fatalf("error %v, want kind %q", err, c.kind)
				}
				if c.kind != "" {
					if !strings.Contains(pitr.HintOf(err), c.hint) {
						t.Errorf("the hint %q does not lead on", pitr.HintOf(err))
					}
					if after, _ := segmentsOf(t, repository); after != before {
						t.Error("a refused adoption left a branch")
					}
					return
				}
				if branch.Fork == nil || branch.Fork.Branch != before || branch.Fork.At.TS != c.fork {
					t.Fatalf("fork %+v, want %s", branch.Fork, c.fork)
				}
				status := once(t, repository, m)
				if status.Branch != branch.ID {
					t.Fatalf("archived on %s", status.Branch)
				}
				m.grow(insert(t, 30, 2, "and on"))
				once(t, repository, m)
				timeline, err := repository.Timeline(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				c.windows[len(c.windows)-1].Through = 30
				if got := timeline.Windows(branch.ID); !slices.Equal(got, c.windows) {
					t.Errorf("the new history covers %v, want %v", got, c.windows)
				}
				if got := timeline.Windows(before); !slices.Equal(got, []pitr.Window{{After: 9, Through: 13}}) {
					t.Errorf("the old history covers %v", got)
				}
			})
		})
	}
}

// A plan that somebody looked at is not carried out on another world.
func TestAdoptRefusesAnOldPlan(t *testing.T) {
	bubble(t, func(t *testing.T) {
		repository := newRepository(t, storage.NewMemory())
		m := newMember(inserts(t, 1, "us", 10, 11, 12)...)
		once(t, repository, m)
		m.entries = append(inserts(t, 1, "us", 10), inserts(t, 2, "others", 11, 12, 13)...)
		m.server.Hosts, m.server.Member = []string{"x:27017"}, "x:27017"
		plan, err := archiver(repository, m).PlanAdoption(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m.entries = inserts(t, 1, "us", 10, 11, 12, 13)
		if _, err := archiver(repository, m).Adopt(t.Context(), plan, "late"); pitr.KindOf(err) != pitr.KindRefused {
			t.Errorf("went on: %v", err)
		}
		if _, err := archiver(newRepository(t, storage.NewMemory()), m).PlanAdoption(t.Context()); pitr.KindOf(err) != pitr.KindRefused {
			t.Errorf("adopted into an empty archive: %v", err)
		}
	})
}
