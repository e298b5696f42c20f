package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"pitr/internal/replsim"
)

// kindsOf gives the types of the JSON lines of a run.
func kindsOf(t *testing.T, got outcome) []string {
	t.Helper()
	var kinds []string
	for line := range strings.Lines(got.out) {
		var fields struct{ Type string }
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, fields.Type)
	}
	return kinds
}

// writeAlone writes without waiting for a majority.
func (s *stage) writeAlone(name string) {
	s.t.Helper()
	alone := options.Collection().SetWriteConcern(writeconcern.W1())
	_, err := s.client.Database("shop").Collection("orders", alone).InsertOne(context.Background(), bson.D{{Key: "_id", Value: name}})
	s.must(err)
}

// TestAdoptingAForcedRollback: a set that was set back past what a majority had is another history. The archiver says so, a
// person names the cluster, and both histories stay to be looked at. // cases D01, D02
func TestAdoptingAForcedRollback(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	kept := s.write("in both histories")
	s.ok("archive", "once")
	s.write("only in the first")
	s.write("only in the first, too")
	s.ok("archive", "once")
	s.refuses(t, refusal{args: []string{"archive", "adopt", "--new-branch", "--confirm-target", clusterName}, code: exitRefused,
		says: []string{"nothing to adopt"}, next: []string{"pitr archive run"}})
	s.sim.ForceRollback(kept)
	s.reconnect()
	s.sim.JumpClock(2 * time.Second) // the new history begins in a later second than that of the fork
	s.write("only in the second")
	for _, args := range [][]string{{"archive", "once"}, {"archive", "run"}, {"snapshot", "take"}} {
		s.refuses(t, refusal{args: args, code: exitRefused, says: []string{"archive"}, next: []string{"pitr archive adopt", "pitr init"}})
	}
	before := inventory(t, s.folder)
	looked := s.ok("archive", "adopt")
	for _, want := range []string{"fork", kept.String(), "did not happen in the other history", "pitr archive adopt --new-branch"} {
		if !strings.Contains(looked.err, want) {
			t.Errorf("the look does not say %q:\n%s", want, looked.err)
		}
	}
	s.refuses(t, refusal{args: []string{"archive", "adopt", "--new-branch"}, code: exitRefused, next: []string{"--confirm-target devices-eu"}})
	s.refuses(t, refusal{args: []string{"archive", "adopt", "--new-branch", "--confirm-target", "devices-us"}, code: exitRefused, next: []string{"exactly"}})
	if got := s.pitrAt(context.Background(), streams{in: strings.NewReader("yes\n"), interactive: true}, "archive", "adopt", "--new-branch"); got.code != exitRefused {
		t.Errorf("typing yes: exit %d", got.code)
	}
	unleased := func(list []string) []string {
		return slices.DeleteFunc(list, func(line string) bool { return strings.Contains(line, "leases") })
	}
	if after := inventory(t, s.folder); !slices.Equal(unleased(before), unleased(after)) {
		t.Errorf("what was refused wrote to the repository:\n%v\n%v", before, after)
	}
	got := s.pitrAt(context.Background(), streams{in: strings.NewReader(clusterName + "\n"), interactive: true}, "archive", "adopt", "--new-branch", "--reason", "forced reconfiguration")
	if got.code != exitDone {
		t.Fatalf("the right name, typed: exit %d\n%s", got.code, got.err)
	}
	s.ok("archive", "once")
	shown := s.ok("timeline")
	for _, want := range []string{"left", "archived now", "forced reconfiguration", kept.String()} {
		if !strings.Contains(shown.out, want) {
			t.Errorf("the timeline does not show %q:\n%s", want, shown.out)
		}
	}
	if kinds := kindsOf(t, s.ok("timeline", "--json")); !slices.Equal(kinds[:3], []string{"expiry", "branch", "branch"}) {
		t.Errorf("lines %v", kinds)
	}
	// What the archive folds to, across the fork, is what lives.
	s.ok("diff", "now", "live", "--exit-code")
	s.ok("restore", "--to", "through "+kept.String(), "--dry-run")
	s.refuses(t, refusal{args: []string{"restore", "--to", kept.Time().Format(time.RFC3339), "--dry-run"}, code: exitUsage, says: []string{"entries"}, next: []string{"before", "through"}})
	s.ok("snapshot", "take")
	s.ok("diff", "now", "live", "--exit-code")
	s.whole(t)
	s.refuses(t, refusal{args: []string{"archive", "adopt"}, code: exitRefused, says: []string{"nothing to adopt"}})
}

// TestArchiveThroughElectionsAndRollbacks: an election, and a rollback of what no majority had, are nothing to stop for; what
// was lost never was in the archive. A log that was cut is a hole, and is said to be one. // cases D01, D02, D04
func TestArchiveThroughElectionsAndRollbacks(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan outcome, 1)
	go func() { done <- s.pitrAt(ctx, streams{in: strings.NewReader("")}, "archive", "run") }()
	await := func(what string) {
		t.Helper()
		at := s.write(what)
		for begin := time.Now(); ; time.Sleep(100 * time.Millisecond) {
			lines := s.ok("archive", "status", "--json").out
			var line struct{ Last string }
			s.must(json.Unmarshal([]byte(lines[strings.LastIndex(strings.TrimSpace(lines), "\n")+1:]), &line))
			if line.Last >= at.String() {
				return
			}
			if time.Since(begin) > 60*time.Second {
				t.Fatalf("the archive never comes to %s: %s", at, lines)
			}
		}
	}
	s.sim.Elect()
	await("in the second term")
	s.sim.HoldMajority()
	s.writeAlone("no majority has this")
	time.Sleep(1500 * time.Millisecond) // the archiver reads it, and keeps it back
	s.sim.Rollback()
	s.sim.ReleaseMajority()
	s.reconnect()
	await("in the third term")
	cancel()
	if got := <-done; got.code != exitDone {
		t.Fatalf("exit %d:\n%s", got.code, got.err)
	}
	s.ok("diff", "now", "live", "--exit-code")
	if stretches := s.count("archive", "status"); stretches != 1 {
		t.Errorf("the archive has %d stretches", stretches)
	}
	s.write("in the hole")
	s.sim.TruncateOplog(s.write("behind the hole"))
	got := s.ok("archive", "once")
	if !strings.Contains(got.err, "hole") {
		t.Errorf("nothing is said of the hole:\n%s", got.err)
	}
	if shown := s.ok("timeline"); !strings.Contains(shown.out, "hole ") || !strings.Contains(shown.out, "had rolled over") {
		t.Errorf("the timeline shows no hole:\n%s", shown.out)
	}
}

// TestKilledMerges leave extra objects at worst: the archive is whole, folds to what lives, and the next merge ends the work.
// case C01
func TestKilledMerges(t *testing.T) {
	program := buildKillable(t)
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	for range 4 {
		for range 3 {
			s.write(fmt.Sprint("of an hour ", time.Now().UnixNano()))
			s.ok("archive", "once")
		}
		s.sim.JumpClock(time.Hour)
	}
	s.write("much later")
	s.ok("archive", "once")
	unmerged := s.copied(t)
	places := unmerged.copied(t).places(program, "archive", "merge")
	mustPass(t, places, "put.before.segment", "put.after.segment", "folder.before-name", "folder.after-name")
	want := s.ok("timeline", "--json").out
	for _, place := range places {
		t.Run(place, func(t *testing.T) {
			s := unmerged.copied(t)
			before := len(objects(t, s.folder, "/oplog/"))
			if !s.killAt(program, place, "archive", "merge") {
				t.Skip("this time it was not passed so often")
			}
			s.whole(t)
			if got := s.ok("timeline", "--json").out; got != want {
				t.Errorf("the timeline is\n%s, it was\n%s", got, want)
			}
			s.ok("archive", "merge")
			s.whole(t)
			s.ok("diff", "now", "live", "--exit-code")
			if line := lastLine(t, s.ok("archive", "merge", "--json")); line["merged"] != 0.0 {
				t.Errorf("a merge after the merge: %v", line)
			}
			if after := len(objects(t, s.folder, "/oplog/")); after <= before {
				t.Errorf("%d segments after, %d before", after, before)
			}
		})
	}
}
