package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"pitr"
	"pitr/examples/mender"
	"pitr/internal/replsim"
)

// TestAForeignRestoreIsReconciled: what a restore by another tool took away comes back from the comparison, without a record
// twice, and goes again by undo. Plain maps of what the application reads decide.
func TestAForeignRestoreIsReconciled(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	s.prepare()
	all := s.story.Model().Namespaces()
	good := map[string]contents{}
	for _, ns := range all {
		good[ns] = s.contents(ns)
	}
	s.damage()
	want := map[string]bson.D{}
	insert := func(ns string, document bson.D) {
		t.Helper()
		_, err := s.collection(ns).InsertOne(context.Background(), document)
		s.must(err)
		raw, err := bson.Marshal(document)
		s.must(err)
		key, err := pitr.KeyOf(raw)
		s.must(err)
		want[ns+" "+key.Equal()] = document
	}
	for i := range 5 {
		insert(mender.Enrollments, bson.D{{Key: "_id", Value: fmt.Sprintf("gap-%d", i)}, {Key: "group", Value: "production"}})
		insert(mender.Devices, bson.D{{Key: "_id", Value: fmt.Sprintf("gap-%d", i)}, {Key: "tenant_id", Value: "tenant-00"},
			{Key: "id_data_sha256", Value: bson.Binary{Data: []byte{byte(i)}}}})
	}
	s.ok("init", "--cluster-name", clusterName)
	id := jobPattern.FindString(s.ok("snapshot", "take", "--reason", "before-restore").out)
	s.foreignRestore(mender.Devices, good)
	_, err := s.collection(mender.Devices).Indexes().CreateOne(context.Background(), mongo.IndexModel{
		Keys: bson.D{{Key: "tenant_id", Value: 1}, {Key: "id_data_sha256", Value: 1}}, Options: options.Index().SetName(mender.IdentityIndex).SetUnique(true)})
	s.must(err)
	restored := s.contents(all...)

	got := s.ok("diff", id, "live", "--as-lost-set")
	job := jobPattern.FindString(got.out)
	if !strings.Contains(got.err, "pitr reconcile plan "+job) {
		t.Errorf("the next command is not named:\n%s", got.err)
	}
	s.ok("reconcile", "plan", job)
	applied := s.ok("reconcile", "apply", job, "--suggested", "--confirm-target", clusterName)
	after := s.contents(all...)
	for key, content := range restored {
		if after[key] != content {
			t.Errorf("%s was overwritten", key)
		}
	}
	for key := range after {
		if _, was := restored[key]; !was && want[key] == nil {
			t.Errorf("%s was put back, although its place is taken", key)
		}
	}
	for key, document := range want {
		raw, err := bson.Marshal(document)
		s.must(err)
		if after[key] != string(raw) {
			t.Errorf("%s is not back", key)
		}
	}
	s.hasIndex(true)
	if again := s.ok("reconcile", "apply", job, "--suggested", "--confirm-target", clusterName); !strings.Contains(again.out, "nothing was written") {
		t.Errorf("a second apply says:\n%s%s", again.out, again.err)
	}
	s.ok("undo", jobPattern.FindString(applied.out), "--confirm-target", clusterName)
	if undone := s.contents(all...); fmt.Sprint(undone) != fmt.Sprint(restored) {
		t.Error("the undo did not give exactly what was there")
	}
	s.whole(t)
}
