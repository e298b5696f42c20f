package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/internal/replsim"
)

// write makes one entry and gives its time.
func (s *stage) write(name string) pitr.Timestamp {
	s.t.Helper()
	_, err := s.client.Database("shop").Collection("orders").InsertOne(context.Background(), bson.D{{Key: "_id", Value: name}})
	s.must(err)
	return s.sim.OplogEnd()
}

// TestMomentsThatCannotBeReached names the nearest two in each case. // cases I06, D04, U05
func TestMomentsThatCannotBeReached(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	first := s.write("before everything")
	s.write("and then")
	s.ok("init", "--cluster-name", clusterName)
	s.refuses(t, refusal{args: []string{"restore", "--to", "through " + first.String()}, code: exitRefused, says: []string{"no archive"}, next: []string{"pitr snapshot take"}})
	s.ok("snapshot", "take")
	archived := s.write("archived")
	s.ok("archive", "once")
	lost := s.write("in the hole")
	s.sim.TruncateOplog(s.write("after the hole"))
	later := s.write("later")
	if got := s.ok("archive", "once", "--json"); lastLine(t, got)["holes"] != 1.0 || !strings.Contains(got.err, "pitr snapshot take") {
		t.Errorf("the archiver passes over a hole in silence: %s%s", got.out, got.err)
	}
	s.refuses(t, refusal{args: []string{"restore", "--to", "through " + later.String()}, code: exitHole})
	s.ok("snapshot", "take")
	restore := func(to string) []string { return []string{"restore", "--to", to, "--confirm-target", clusterName} }
	for _, r := range []refusal{
		{name: "before the first snapshot", args: restore("through " + first.String()), code: exitHole, says: []string{"first snapshot"}, next: []string{"nearest", "none precedes"}},
		{name: "in a hole", args: restore("through " + lost.String()), code: exitHole, says: []string{"hole"}, next: []string{archived.String(), " and "}},
		{name: "with a hole behind it", args: restore("through " + archived.String()), code: exitHole, says: []string{"without a break"}, next: []string{"pitr timeline"}},
		{name: "in the future", args: restore(time.Now().Add(time.Hour).UTC().Format(time.RFC3339)), code: exitHole, says: []string{"future"}, next: []string{"up to"}},
		{name: "1970", args: restore("1970-01-01T00:00:01Z"), code: exitHole, next: []string{"none precedes"}},
		{name: "no zone", args: restore("2025-10-22 08:10:00"), code: exitUsage, says: []string{"zone"}},
		{name: "a typo", args: restore("yesterdya"), code: exitUsage, next: []string{"10m ago"}},
		{name: "a second with entries", args: restore(archived.Time().Format(time.RFC3339)), code: exitUsage, says: []string{"entries"}, next: []string{"before", "through"}},
		{name: "no such mark", args: restore("mark:never"), code: exitNotFound, next: []string{"pitr timeline"}},
	} {
		t.Run(r.name, func(t *testing.T) { s.refuses(t, r) })
	}
	if line := lastLine(t, s.ok("timeline", "--json")); line["type"] != "hole" {
		t.Errorf("the timeline does not end with the hole: %v", line)
	}
}

// TestMomentInsideAJob offers both edges.
func TestMomentInsideAJob(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	before := s.sim.OplogEnd()
	s.ok("restore", "--to", s.toGood(), "--confirm-target", clusterName)
	var inside pitr.Timestamp
	for _, entry := range s.sim.OplogAfter(before) {
		if entry.Lookup("o", "applyOps").Type != 0 {
			seconds, ordinal := entry.Lookup("ts").Timestamp()
			inside = pitr.NewTimestamp(seconds, ordinal)
			break
		}
	}
	s.ok("archive", "once")
	s.refuses(t, refusal{args: []string{"restore", "--to", "through " + inside.String(), "--confirm-target", clusterName}, code: exitHole,
		says: []string{"inside job"}, next: []string{"nearest", " and "}})
}

// TestEntryOfAnUnknownKind is archived and never skipped: no way leads across it. // case D08
func TestEntryOfAnUnknownKind(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	s.must(s.sim.LogCommand("deviceauth", bson.D{{Key: "reticulateSplines", Value: "devices"}}))
	s.ok("archive", "once")
	s.refuses(t, refusal{args: []string{"restore", "--to", s.toGood(), "--confirm-target", clusterName}, code: exitRefused,
		says: []string{"reticulateSplines"}})
	s.same(s.bad)
	after := s.write("after it")
	s.ok("snapshot", "take")
	s.write("damage")
	s.ok("restore", "--to", "through "+after.String(), "--confirm-target", clusterName)
}

// TestSecondOfATransaction: a bare second is ambiguous, too, when all that lies in it in scope is a transaction, or was not
// archived when the command began. // case U05
func TestSecondOfATransaction(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	s.write("before")
	s.ok("init", "--cluster-name", clusterName)
	s.ok("snapshot", "take")
	time.Sleep(1100 * time.Millisecond)
	ctx := context.Background()
	session, err := s.client.StartSession()
	s.must(err)
	defer session.EndSession(ctx)
	_, err = session.WithTransaction(ctx, func(ctx context.Context) (any, error) {
		_, err := s.client.Database("shop").Collection("orders").DeleteOne(ctx, bson.D{{Key: "_id", Value: "before"}})
		return nil, err
	})
	s.must(err)
	ambiguous := refusal{args: []string{"restore", "--to", s.sim.OplogEnd().Time().Format(time.RFC3339), "--only", "shop", "--dry-run"},
		code: exitUsage, says: []string{"1 entries"}, next: []string{"before", "through"}}
	s.refuses(t, ambiguous)
	s.ok("archive", "once")
	s.refuses(t, ambiguous)
}
