package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"pitr/examples/mender"
	"pitr/internal/mongotest"
	"pitr/internal/replsim"
)

// stored reads a collection by the text of _id.
func stored(t *testing.T, client *mongo.Client, db, name string) map[string]bson.Raw {
	t.Helper()
	cursor, err := client.Database(db).Collection(name).Find(context.Background(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	documents := map[string]bson.Raw{}
	for cursor.Next(context.Background()) {
		documents[cursor.Current.Lookup("_id").String()] = bytes.Clone(cursor.Current)
	}
	if err := cursor.Err(); err != nil {
		t.Fatal(err)
	}
	return documents
}

// TestCopies: the moment before the damage, under other names beside the damaged data and in another cluster, equals the
// model; names that exist, a wrong address and nobody to ask are refused before any write. // case W10
func TestCopies(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	other := mongotest.Start(t, mongotest.Need{Faults: true, Users: stageUsers})
	into := secretFile(t, other.As(t, "writer"))
	there, err := mongo.Connect(options.Client().ApplyURI(other.URI))
	s.must(err)
	t.Cleanup(func() { _ = there.Disconnect(context.Background()) })
	here, elsewhere := s.sim.Host(), other.Sim.Host()

	beside := []string{"restore", "--to", s.toGood(), "--only", "deviceauth", "--rename", "deviceauth=before"}
	s.refuses(t, refusal{args: beside, code: exitRefused, next: []string{"--confirm-target"}})
	s.refuses(t, refusal{args: append(beside, "--confirm-target", clusterName), code: exitRefused, next: []string{here}})
	s.refuses(t, refusal{args: []string{"restore", "--to", s.toGood(), "--into-file", s.writer, "--confirm-target", here}, code: exitRefused, next: []string{"--rename"}})
	s.sim.ForgetCommands()
	s.ok(append(beside, "--dry-run")...)
	if writes := s.writes(); len(writes) > 0 {
		t.Errorf("a dry run wrote: %v", writes)
	}

	s.ok(append(beside, "--confirm-target", here)...)
	s.ok("restore", "--to", s.toGood(), "--into-file", into, "--confirm-target", elsewhere)
	for _, ns := range s.story.Model().Namespaces() {
		db, name, _ := strings.Cut(ns, ".")
		want := s.story.Model().At(ns, s.good)
		copies := map[string]map[string]bson.Raw{"in the other cluster": stored(t, there, db, name)}
		if db == "deviceauth" {
			copies["beside"] = stored(t, s.admin(), "before", name)
		}
		for where, got := range copies {
			if len(got) != len(want) {
				t.Errorf("%s %s: %d documents, the model has %d", ns, where, len(got), len(want))
			}
			for id, document := range want {
				if !bytes.Equal(got[id], document) {
					t.Errorf("%s %s: %s is %s, not %s", ns, where, id, got[id], document)
				}
			}
		}
	}
	has, err := mender.HasIndex(context.Background(), there, mender.Devices, mender.IdentityIndex)
	if err != nil || !has {
		t.Errorf("the copy has its unique index: %v %v", has, err)
	}
	s.same(s.bad)
	s.refuses(t, refusal{args: append(beside, "--confirm-target", here), code: exitRefused, says: []string{"exist"}})
}
