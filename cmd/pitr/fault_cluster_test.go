package main

import (
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/mongotest"
	"pitr/internal/replsim"
)

// TestClustersThatCannotBeUsed is every way in which the other end is not what it should be. // cases D12, D15, X01
func TestClustersThatCannotBeUsed(t *testing.T) {
	users := append(stageUsers[:len(stageUsers):len(stageUsers)],
		mongotest.User{Name: "watcher", Password: "watcher", Roles: []string{"clusterMonitor"}})
	s := newStage(t, users, replsim.Options{})
	s.play()
	wrong := secretFile(t, strings.Replace(s.set.As(t, "reader"), "reader:reader", "reader:CANARY", 1))
	gone := secretFile(t, "mongodb://127.0.0.1:1/?replicaSet=rs0")
	watcher := secretFile(t, s.set.As(t, "watcher"))
	router := secretFile(t, startStub(t, bson.D{{Key: "msg", Value: "isdbgrid"}}))
	lonely := secretFile(t, startStub(t, nil))
	for _, r := range []refusal{
		{name: "nobody answers", args: []string{"snapshot", "take", "--uri-file", gone, "--timeout", "1s"}, code: exitUnavailable,
			says: []string{"waiting for the cluster of PITR_URI", "127.0.0.1:1"}, next: []string{"directConnection"}},
		{name: "no connection string", args: []string{"snapshot", "take", "--uri-file", "/nowhere/uri"}, code: exitUsage,
			says: []string{"/nowhere/uri"}, next: []string{"--uri-file"}},
		{name: "not a connection string", args: []string{"snapshot", "take", "--uri-file", secretFile(t, "http://u:CANARY@x")}, code: exitUsage,
			next: []string{"mongodb://"}},
		{name: "a wrong password", args: []string{"snapshot", "take", "--uri-file", wrong}, code: exitDenied, next: []string{"password"}},
		{name: "a wrong password for writing", args: []string{"restore", "--to", s.toGood(), "--confirm-target", clusterName, "--restore-uri-file", wrong},
			code: exitDenied, next: []string{"password"}},
		{name: "no right to read", args: []string{"snapshot", "take", "--uri-file", watcher}, code: exitDenied, says: []string{"find on every database (role backup)"}, next: []string{"PITR_URI", "backup"}},
		{name: "no right to write", args: []string{"restore", "--to", s.toGood(), "--confirm-target", clusterName, "--restore-uri-file", watcher},
			code: exitDenied, says: []string{"insert on every database (role readWriteAnyDatabase)"}, next: []string{"PITR_RESTORE_URI", "readWriteAnyDatabase"}},
		{name: "a router of a sharded cluster", args: []string{"snapshot", "take", "--uri-file", router}, code: exitRefused,
			says: []string{"sharded cluster"}, next: []string{"replica set"}},
		{name: "a router to restore into", args: []string{"restore", "--to", s.toGood(), "--confirm-target", clusterName, "--restore-uri-file", router},
			code: exitRefused, says: []string{"sharded cluster"}, next: []string{"replica set"}},
		{name: "no oplog to archive", args: []string{"archive", "once", "--uri-file", lonely}, code: exitRefused,
			says: []string{"no usable oplog"}, next: []string{"replica set"}},
		{name: "no oplog to follow", args: []string{"archive", "run", "--uri-file", lonely}, code: exitRefused,
			says: []string{"no usable oplog"}, next: []string{"replica set"}},
		{name: "no oplog to mark a moment in", args: []string{"mark", "now", "--uri-file", lonely}, code: exitRefused,
			says: []string{"no usable oplog"}, next: []string{"replica set"}},
		{name: "no oplog to rewind by", args: []string{"restore", "--to", s.toGood(), "--confirm-target", clusterName, "--uri-file", lonely, "--restore-uri-file", lonely},
			code: exitRefused, says: []string{"no replica set"}, next: []string{"--into"}},
	} {
		t.Run(r.name, func(t *testing.T) { s.refuses(t, r) })
	}
}
