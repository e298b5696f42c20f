package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim"
	"pitr/reconcile"
)

// reconcileJob gives the newest job that puts records back, the zero value where there is none.
func (s *stage) reconcileJob() jobLine {
	s.t.Helper()
	var found jobLine
	for line := range strings.Lines(s.ok("jobs", "--json").out) {
		var job jobLine
		s.must(json.Unmarshal([]byte(line), &job))
		if job.Kind == "reconcile" {
			found = job
		}
	}
	return found
}

// TestKilledReconciles: whatever place an apply is killed at, resume or another apply ends where the unbroken run ends, undo
// where it began, and a record that somebody deletes after it was put back is not put back once more. // case C03
func TestKilledReconciles(t *testing.T) {
	program := buildKillable(t)
	restored := func(t *testing.T) (s *stage, apply []string) {
		s = newStage(t, stageUsers, replsim.Options{})
		job := s.restored()
		return s, []string{"reconcile", "apply", job, "--suggested", "--confirm-target", clusterName}
	}
	unbroken, apply := restored(t)
	before := len(unbroken.live())
	put := 0
	for _, record := range unbroken.lostRecords(apply[2]) {
		if record.Decision == reconcile.DecisionPutBack {
			put++
		}
	}
	places := unbroken.places(program, apply...)
	mustPass(t, places, failpointsOf(t, "../../reconcile")...)
	if after := len(unbroken.live()); put == 0 || after != before+put {
		t.Fatalf("the unbroken run has put back %d of %d records", after-before, put)
	}
	places = slices.DeleteFunc(places, func(place string) bool {
		// What holds for every object was tried with the restore.
		return strings.HasPrefix(place, "folder.") || strings.HasPrefix(place, "put.before.") || strings.Contains(place, ".lease")
	})
	for _, place := range places {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			s, apply := restored(t)
			start := s.live()
			if !s.killAt(program, place, apply...) {
				t.Skip("this time it was not passed so often")
			}
			killed := s.live()
			gone := ""
			for key, document := range killed {
				if _, was := start[key]; !was && gone == "" { // put back by the killed attempt, and deleted by the service since
					gone = key
					result, err := s.client.Database("deviceauth").Collection("devices").DeleteOne(context.Background(),
						bson.D{{Key: "_id", Value: bson.Raw(document).Lookup("_id")}})
					s.must(err)
					if result.DeletedCount != 1 {
						t.Fatalf("%s was not there to delete", key)
					}
				}
			}
			job := s.reconcileJob()
			switch {
			case job.Job == "":
				s.ok(apply...)
			case job.State == "done":
			default:
				if got := s.pitr("resume", string(job.Job)); got.code == exitRefused {
					if !strings.Contains(got.err, "pitr reconcile apply") || len(killed) != len(start) {
						t.Errorf("resume refuses:\n%s", got.err)
					}
					s.ok(apply...)
				} else if got.code != exitDone {
					t.Errorf("resume ends with %d:\n%s%s", got.code, got.out, got.err)
				}
			}
			want := before + put
			if gone != "" {
				want--
			}
			end := s.live()
			if _, back := end[gone]; back || len(end) != want {
				t.Errorf("%d records, want %d; %q is back: %v", len(end), want, gone, back)
			}
			code := s.pitr("undo", string(s.reconcileJob().Job), "--confirm-target", clusterName).code
			if code != exitDone {
				t.Errorf("the undo ends with %d", code)
			}
			if !equal(s.live(), start) {
				t.Error("the undo did not end where the apply began")
			}
			s.whole(t)
		})
	}
}
