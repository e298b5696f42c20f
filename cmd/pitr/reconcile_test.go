package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/examples/mender"
	"pitr/internal/replsim"
	"pitr/reconcile"
)

// restored plays the incident and brings the cluster back; it gives the job.
func (s *stage) restored() string {
	s.t.Helper()
	s.play()
	s.enrollMore()
	return jobPattern.FindString(s.ok("restore", "--to", s.toGood(), "--confirm-target", clusterName, "--full-export=false").out)
}

// enrollMore has devices enroll in the gap, while the unique index of identities is missing: ten good ones, and one twice.
func (s *stage) enrollMore() {
	s.t.Helper()
	ctx := context.Background()
	devices := s.client.Database("deviceauth").Collection("devices")
	var pattern bson.D
	s.must(devices.FindOne(ctx, bson.D{}).Decode(&pattern))
	for i := range 11 {
		name := fmt.Sprintf("gap-%02d", i)
		document := with(with(pattern, "_id", name), "id_data_sha256", bson.Binary{Data: bytes.Repeat([]byte{byte(min(i, 9))}, 32)})
		_, err := devices.InsertOne(ctx, document)
		s.must(err)
	}
}

// lostRecords reads the plan of a job.
func (s *stage) lostRecords(job string, more ...string) []recordLine {
	s.t.Helper()
	var list []recordLine
	for line := range strings.Lines(s.ok(append([]string{"reconcile", "plan", job, "--json"}, more...)...).out) {
		var record recordLine
		s.must(json.Unmarshal([]byte(line), &record))
		if record.Type == "lost record" {
			list = append(list, record)
		}
	}
	return list
}

func (s *stage) documentOf(text json.RawMessage) bson.D {
	s.t.Helper()
	var document bson.D
	s.must(bson.UnmarshalExtJSON(text, true, &document))
	return document
}

// live is everything of the story that a reconcile may touch.
func (s *stage) live() contents {
	s.t.Helper()
	return s.contents(mender.Devices, mender.AuthSets, mender.Tokens, mender.Enrollments)
}

func with(document bson.D, field string, value any) bson.D {
	changed := bson.D{}
	for _, element := range document {
		if element.Key == field {
			element.Value = value
		}
		changed = append(changed, element)
	}
	return changed
}

// meanwhile is what devices do by themselves after a restore: some enroll anew under another id, some come back as they were,
// and some that the gap changed are changed again. It gives the ids of the first and the last.
func (s *stage) meanwhile(job string) (anew, changed []string) {
	s.t.Helper()
	devices := s.client.Database("deviceauth").Collection("devices")
	seen := map[string]bool{}
	for _, record := range s.lostRecords(job) {
		if record.NS.String() != mender.Devices {
			continue
		}
		switch {
		case record.State == reconcile.StateLost && record.Group == 0 && len(anew) < 3 && !seen[string(record.Key)]:
			id := "anew-" + strings.Trim(string(record.Key), `"`)
			_, err := devices.InsertOne(context.Background(), with(s.documentOf(record.E), "_id", id))
			s.must(err)
			anew = append(anew, string(record.Key))
		case record.State == reconcile.StateChangeLost && len(changed) < 3:
			_, err := devices.UpdateByID(context.Background(), s.documentOf(record.E)[0].Value, bson.D{{Key: "$set", Value: bson.D{{Key: "later", Value: true}}}})
			s.must(err)
			changed = append(changed, string(record.Key))
		}
	}
	if len(anew) == 0 || len(changed) == 0 {
		s.t.Fatalf("the incident has no records to play with: %v, %v", anew, changed)
	}
	return anew, changed
}

// TestReconcileTheIncident: devices come back by themselves after a restore; what is put back doubles nothing and overwrites
// nothing, a second time does nothing, and undo takes exactly that back. // cases F05 F10 W11
func TestReconcileTheIncident(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	job := s.restored()
	anew, changed := s.meanwhile(job)
	states := map[string]reconcile.State{}
	lost := map[string]recordLine{}
	for _, record := range s.lostRecords(job) {
		if record.NS.String() == mender.Devices {
			states[string(record.Key)] = record.State
		}
		if record.Decision == reconcile.DecisionPutBack {
			lost[record.NS.String()+" "+string(record.Key)] = record
		}
	}
	for _, key := range anew {
		if states[key] != reconcile.StateCameBackElsewhere {
			t.Errorf("%s enrolled anew and is %q", key, states[key])
		}
	}
	for _, key := range changed {
		if states[key] != reconcile.StateChangedSince {
			t.Errorf("%s was changed on both sides and is %q", key, states[key])
		}
	}
	text := s.ok("reconcile", "plan", job)
	if !strings.Contains(text.out, "came back under another id") || !strings.Contains(text.err, "pitr reconcile apply "+job) {
		t.Errorf("the plan says:\n%s%s", text.out, text.err)
	}

	before := s.live()
	s.sim.ForgetCommands()
	s.ok("reconcile", "apply", job, "--suggested", "--dry-run")
	if writes := s.writes(); len(writes) > 0 {
		t.Errorf("a dry run wrote: %v", writes)
	}
	s.refuses(t, refusal{args: []string{"reconcile", "apply", job, "--suggested"}, code: exitRefused, next: []string{"--confirm-target"}})
	s.refuses(t, refusal{args: []string{"reconcile", "apply", job, "--suggested", "--confirm-target", "devices-EU"}, code: exitRefused})
	if writes := s.writes(); len(writes) > 0 {
		t.Errorf("without a confirmation: %v", writes)
	}

	applied := s.ok("reconcile", "apply", job, "--suggested", "--confirm-target", clusterName)
	after := s.live()
	if len(lost) == 0 || len(after) != len(before)+len(lost) {
		t.Errorf("%d records were to be put back, there are %d more", len(lost), len(after)-len(before))
	}
	for key, content := range before {
		if after[key] != content {
			t.Errorf("%s was overwritten", key)
		}
	}
	s.hasIndex(true)
	again := s.ok("reconcile", "apply", job, "--suggested", "--confirm-target", clusterName)
	if !strings.Contains(again.out, "nothing was written") {
		t.Errorf("a second time says:\n%s%s", again.out, again.err)
	}
	reconciled := jobPattern.FindString(applied.out)
	s.refuses(t, refusal{args: []string{"reconcile", "plan", reconciled}, code: exitRefused, next: []string{job}})
	s.ok("undo", reconciled, "--confirm-target", clusterName)
	if undone := s.live(); !equal(undone, before) {
		t.Error("the undo did not give exactly what was there")
	}
}

// meanwhileAll has something happen to records of every kind: a conflict among them.
func (s *stage) meanwhileAll(job string) {
	s.t.Helper()
	s.meanwhile(job)
	for _, record := range s.lostRecords(job) {
		if record.State == reconcile.StateChangeLost && record.NS.String() == mender.Devices {
			_, err := s.client.Database("deviceauth").Collection("devices").UpdateByID(context.Background(), s.documentOf(record.E)[0].Value,
				bson.D{{Key: "$set", Value: bson.D{{Key: "schema", Value: "another"}, {Key: "status", Value: "another"}}}})
			s.must(err)
			return
		}
	}
}

func equal(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for key, value := range a {
		if b[key] != value {
			return false
		}
	}
	return true
}

// TestUndoneLostSet: records that are live again are no lost set any more, and a job that has not ended has none yet.
func TestUndoneLostSet(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	job := s.restored()
	s.ok("undo", job, "--confirm-target", clusterName)
	s.refuses(t, refusal{args: []string{"reconcile", "plan", job}, code: exitRefused, says: []string{"undone by job"}, next: []string{"pitr jobs"}})
	s.refuses(t, refusal{args: []string{"reconcile", "apply", job, "--suggested", "--confirm-target", clusterName}, code: exitRefused, says: []string{"undone by job"}})
	s.refuses(t, refusal{args: []string{"reconcile", "apply", job}, code: exitUsage, next: []string{"--rules", "--suggested"}})
}

// TestRulesOnTheCommandLine: a change is put back where nobody has changed the field, left out where somebody has; and
// an undo leaves alone what was changed after the apply. // cases F04 F06 F08
func TestRulesOnTheCommandLine(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	job := s.restored()
	_, changed := s.meanwhile(job)
	file := filepath.Join(t.TempDir(), "back.yaml")
	write := func(text string) {
		t.Helper()
		s.must(os.WriteFile(file, []byte(text), 0o600))
	}
	for _, bad := range []string{"rules: [{decision: put back}]", "rules: [{class: created, decision: delete}]", "rules: [{where: {$where: x}, decision: leave}]",
		"overrides: {aaaaaaaaaaaaaaaa: put back}", "rules: [{collection: deviceauth.nothing, decision: leave}]", "sugested: true", ""} {
		write(bad)
		s.refuses(t, refusal{args: []string{"reconcile", "plan", job, "--rules", file}, code: exitUsage})
	}
	write("rules:\n- {collection: deviceauth.devices, state: changed on both sides, decision: put back}\n")
	got := s.pitr("reconcile", "apply", job, "--rules", file, "--confirm-target", clusterName)
	if got.code != exitDone {
		t.Fatalf("ends with %d:\n%s%s", got.code, got.out, got.err)
	}
	devices := s.client.Database("deviceauth").Collection("devices")
	for _, record := range s.lostRecords(job) {
		for _, key := range changed {
			if string(record.Key) != key || record.NS.String() != mender.Devices {
				continue
			}
			live := string(record.Live)
			if !strings.Contains(live, `"later":true`) {
				t.Errorf("%s has lost what was changed after the restore: %s", key, live)
			}
			if len(record.Conflicts) > 0 || live == string(record.T) {
				t.Errorf("%s has not got back what the gap changed: %s", key, live)
			}
		}
	}
	id := strings.Trim(changed[0], `"`)
	_, err := devices.UpdateByID(context.Background(), id, bson.D{{Key: "$set", Value: bson.D{{Key: "later", Value: false}}}})
	s.must(err)
	undone := s.pitr("undo", jobPattern.FindString(got.out), "--confirm-target", clusterName)
	if undone.code != exitPartial || strings.Count(undone.err, "left alone: ") != 1 {
		t.Errorf("the undo ends with %d:\n%s%s", undone.code, undone.out, undone.err)
	}
}
