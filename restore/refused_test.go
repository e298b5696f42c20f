package restore_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/cluster"
	"pitr/internal/mongotest"
	"pitr/restore"
)

// A login that lacks a right is refused before any work, and the right is named. // case D12
func TestMissingRightsAreNamed(t *testing.T) {
	for lacking, roles := range map[string][]string{
		"bypassDocumentValidation": {"readWriteAnyDatabase", "clusterMonitor"},
		"update":                   {"restore", "clusterMonitor"},
		"replSetGetConfig":         {"restore", "readWriteAnyDatabase"},
	} {
		users := append(slices.Clone(logins), mongotest.User{Name: "restorer", Password: "r", Roles: roles})
		users = slices.Delete(users, 1, 2)
		s := newStage(t, mongotest.Need{Users: users})
		s.devicesAtT()
		s.snapshot()
		deps := s.deps()
		deps.MissingRights = func(ctx context.Context) ([]string, error) { return s.writing.MissingRights(ctx, cluster.ForWriting) }
		_, err := restore.Plan(t.Context(), deps, restore.Request{To: s.now()})
		if pitr.KindOf(err) != pitr.KindDenied || !strings.Contains(err.Error(), lacking) {
			t.Errorf("without %s: %v", lacking, err)
		}
	}
}

// A document of T that an index of T has made due by F stays away, is counted, and can be found in the lost set. // case D10
func TestExpiredDocumentsStayAway(t *testing.T) {
	s := newStage(t, mongotest.Need{Users: logins})
	s.devicesAtT()
	s.insert(tokens, bson.D{{Key: "_id", Value: "due"}, {Key: "exp", Value: time.Now().Add(1500 * time.Millisecond)}},
		bson.D{{Key: "_id", Value: "long"}, {Key: "exp", Value: time.Now().Add(time.Hour)}})
	s.snapshot()
	at := s.now()
	s.remove(tokens, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: bson.A{"due", "long"}}}}})
	time.Sleep(3 * time.Second)
	outcome, err := s.restore(at)
	s.must(err)
	left := s.capture().documents[tokens]
	if len(left) != 2 || left[keyOf(t, document(t, "_id", "long")).Equal()] == nil {
		t.Errorf("tokens: %v", left)
	}
	job, err := s.repository.Job(t.Context(), outcome.Job)
	s.must(err)
	if job.Changes.Documents[pitr.ClassExpired] != 1 || job.Changes.Documents[pitr.ClassDeleted] != 1 {
		t.Errorf("classes %v", job.Changes.Documents)
	}
}

// Names that were traded, or moved over the border of the scope, are refused before any write: the documents that the gap
// touched are not those that such a catalog needs.
func TestTradedNamesAreRefused(t *testing.T) {
	rename := func(s *stage, from, to pitr.Namespace) {
		s.run("admin", bson.E{Key: "renameCollection", Value: from.String()}, bson.E{Key: "to", Value: to.String()})
	}
	other := pitr.Namespace{DB: "other", Collection: "limits"}
	for name, test := range map[string]struct {
		scope  pitr.Scope
		damage func(s *stage)
	}{
		"kept aside and made anew": {damage: func(s *stage) {
			rename(s, old, renamed)
			s.insert(old, bson.D{{Key: "_id", Value: 7}})
		}},
		"swapped": {damage: func(s *stage) {
			rename(s, old, renamed)
			rename(s, limits, old)
			rename(s, renamed, limits)
		}},
		"out of the scope": {scope: pitr.Scope{Except: []string{renamed.String()}}, damage: func(s *stage) { rename(s, old, renamed) }},
		"into the scope":   {scope: pitr.Scope{Except: []string{old.String()}}, damage: func(s *stage) { rename(s, old, renamed) }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, mongotest.Need{Users: logins})
			s.devicesAtT()
			s.insert(other, bson.D{{Key: "_id", Value: 1}})
			s.snapshot()
			at := s.now()
			test.damage(s)
			damaged := s.capture()
			deps := s.deps()
			intent, err := restore.Plan(t.Context(), deps, restore.Request{To: at, Scope: test.scope})
			s.must(err)
			confirmed, err := intent.Confirm("devices-eu")
			s.must(err)
			if _, err := restore.Run(t.Context(), deps, intent, confirmed); pitr.KindOf(err) != pitr.KindRefused {
				t.Errorf("run: %v", err)
			}
			s.same(damaged)
			if block, err := s.writing.Primary().WriteBlock(t.Context()); err != nil || block.Standing {
				t.Errorf("a block was left: %v", err)
			}
		})
	}
}
