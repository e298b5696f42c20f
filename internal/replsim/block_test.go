package replsim_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"pitr/internal/replsim"
)

// secured starts a set with authentication and gives a client for each role, and "none" for nobody.
func secured(t *testing.T, o replsim.Options, roles ...string) (*replsim.Server, map[string]*mongo.Client) {
	t.Helper()
	o.Auth = true
	for _, role := range roles {
		o.Users = append(o.Users, replsim.User{Name: role, Password: "p", Roles: []string{role}})
	}
	server, err := replsim.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	clients := map[string]*mongo.Client{"none": connect(t, server.URI())}
	for _, role := range roles {
		clients[role] = connect(t, strings.Replace(server.URI(), "mongodb://", "mongodb://"+role+":p@", 1)+"&authSource=admin")
	}
	return server, clients
}

// block and unblock switch the user write block.
var (
	block   = bson.D{{Key: "setUserWriteBlockMode", Value: 1}, {Key: "global", Value: true}}
	unblock = bson.D{{Key: "setUserWriteBlockMode", Value: 1}, {Key: "global", Value: false}}
)

func inserts(c string, n int) bson.D {
	return bson.D{{Key: "insert", Value: c}, {Key: "documents", Value: bson.A{id(n)}}}
}

func TestWriteBlockSparesThoseWhoMayBypass(t *testing.T) {
	server, clients := secured(t, replsim.Options{}, "root", "restore", "readWriteAnyDatabase", "backup")
	root, writer := clients["root"], clients["readWriteAnyDatabase"]
	insert(t, root, "d.c", id(1))
	mode := func() int64 {
		return run(t, root, "admin", bson.D{{Key: "serverStatus", Value: 1}}).Lookup("repl", "userWriteBlockMode").AsInt64()
	}
	if mode() != 1 {
		t.Fatalf("mode %d before the block", mode())
	}
	refused(t, writer, "admin", 13, block)
	run(t, clients["backup"], "admin", block)
	run(t, clients["backup"], "admin", block) // accepted silently
	if mode() != 2 {
		t.Fatalf("mode %d under the block", mode())
	}
	reply, err := writer.Database("d").RunCommand(t.Context(), inserts("c", 2)).Raw()
	if code := reply.Lookup("writeErrors", "0", "code"); err == nil || code.Type == 0 || code.AsInt64() != 371 {
		t.Fatalf("a blocked insert: %s, %v", reply, err)
	}
	refused(t, writer, "d", 371, bson.D{{Key: "create", Value: "other"}})
	run(t, clients["restore"], "d", inserts("c", 3))
	run(t, root, "d", bson.D{{Key: "createIndexes", Value: "c"}, {Key: "indexes", Value: bson.A{bson.D{{Key: "key", Value: bson.D{{Key: "a", Value: 1}}}, {Key: "name", Value: "a_1"}}}}})
	server.Restart()
	settle(t, writer)
	settle(t, clients["restore"])
	refused(t, writer, "d", 371, bson.D{{Key: "create", Value: "other"}})
	run(t, clients["restore"], "admin", unblock) // anybody with the right may lift it
	run(t, writer, "d", inserts("c", 2))
}

func TestWriteBlockEndsIndexBuilds(t *testing.T) {
	server, client := start(t, replsim.Options{})
	insert(t, client, "d.c", id(1))
	server.PauseBuilds(300 * time.Millisecond)
	failed := make(chan error, 1)
	go func() {
		failed <- client.Database("d").RunCommand(context.Background(), bson.D{{Key: "createIndexes", Value: "c"}, {Key: "indexes", Value: bson.A{bson.D{{Key: "key", Value: bson.D{{Key: "a", Value: 1}}}, {Key: "name", Value: "a_1"}}}}}).Err()
	}()
	deadline := time.Now().Add(5 * time.Second)
	for {
		listed := run(t, client, "d", bson.D{{Key: "listIndexes", Value: "c"}, {Key: "includeIndexBuildInfo", Value: true}})
		if listed.Lookup("cursor", "firstBatch", "1", "indexBuildInfo", "buildUUID").Type != 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the build does not show: %s", listed)
		}
	}
	run(t, client, "admin", block)
	err := <-failed
	if err == nil || !strings.Contains(err.Error(), "IndexBuildAborted") {
		t.Fatalf("the build under a block: %v", err)
	}
	listed := run(t, client, "d", bson.D{{Key: "listIndexes", Value: "c"}})
	if listed.Lookup("cursor", "firstBatch", "1").Type != 0 {
		t.Fatalf("an index is left: %s", listed)
	}
}

func TestWriteBlockSuspendsExpiry(t *testing.T) {
	server, client := start(t, replsim.Options{TTLInterval: 10 * time.Millisecond})
	run(t, client, "d", bson.D{{Key: "createIndexes", Value: "c"}, {Key: "indexes", Value: bson.A{bson.D{{Key: "key", Value: bson.D{{Key: "at", Value: 1}}}, {Key: "name", Value: "at_1"}, {Key: "expireAfterSeconds", Value: 60}}}}})
	insert(t, client, "d.c", bson.D{{Key: "_id", Value: 1}, {Key: "at", Value: time.Now()}}, bson.D{{Key: "_id", Value: 2}, {Key: "at", Value: "never"}})
	run(t, client, "admin", block)
	server.JumpClock(2 * time.Minute)
	time.Sleep(100 * time.Millisecond)
	if got := ids(run(t, client, "d", bson.D{{Key: "find", Value: "c"}})); len(got) != 2 {
		t.Fatalf("expired under the block: %v", got)
	}
	run(t, client, "admin", unblock)
	deadline := time.Now().Add(5 * time.Second)
	for len(ids(run(t, client, "d", bson.D{{Key: "find", Value: "c"}}))) == 2 {
		if time.Now().After(deadline) {
			t.Fatal("nothing expires")
		}
	}
}

// TestRolesAreAsMeasured holds the built-in roles to what was measured on the recorded line.
func TestRolesAreAsMeasured(t *testing.T) {
	_, clients := secured(t, replsim.Options{}, "root", "backup", "restore", "readWriteAnyDatabase", "dbAdminAnyDatabase", "clusterMonitor", "readAnyDatabase")
	insert(t, clients["root"], "d.c", id(1))
	index := bson.D{{Key: "createIndexes", Value: "c"}, {Key: "indexes", Value: bson.A{bson.D{{Key: "key", Value: bson.D{{Key: "a", Value: 1}}}, {Key: "name", Value: "a_1"}}}}}
	find := func(c string) bson.D { return bson.D{{Key: "find", Value: c}} }
	update := bson.D{{Key: "update", Value: "c"}, {Key: "updates", Value: bson.A{bson.D{{Key: "q", Value: id(1)}, {Key: "u", Value: bson.D{{Key: "$set", Value: bson.D{{Key: "x", Value: 1}}}}}}}}}
	remove := bson.D{{Key: "delete", Value: "c"}, {Key: "deletes", Value: bson.A{bson.D{{Key: "q", Value: id(77)}, {Key: "limit", Value: 1}}}}}
	one := func(name string) bson.D { return bson.D{{Key: name, Value: 1}} }
	for _, c := range []struct {
		role, db string
		command  bson.D
		may      bool
	}{
		{"backup", "d", find("c"), true}, {"backup", "local", find("oplog.rs"), true}, {"backup", "config", find("transactions"), true},
		{"backup", "d", bson.D{{Key: "listCollections", Value: 1}}, true}, {"backup", "d", bson.D{{Key: "listIndexes", Value: "c"}}, true},
		{"backup", "admin", bson.D{{Key: "appendOplogNote", Value: 1}, {Key: "data", Value: bson.D{}}}, true},
		{"backup", "admin", one("replSetGetConfig"), false}, {"backup", "admin", one("replSetGetStatus"), false},
		{"backup", "admin", bson.D{{Key: "currentOp", Value: 1}}, false}, {"backup", "admin", bson.D{{Key: "usersInfo", Value: 1}}, false},
		{"backup", "local", find("system.replset"), false}, {"backup", "config", find("system.preimages"), false},
		{"backup", "d", find("system.views"), false}, {"backup", "d", inserts("c", 50), false},
		{"restore", "d", inserts("c", 2), true}, {"restore", "d", bson.D{{Key: "create", Value: "made"}}, true}, {"restore", "d", index, true},
		{"restore", "d", bson.D{{Key: "collMod", Value: "c"}, {Key: "validationLevel", Value: "strict"}}, true},
		{"restore", "admin", bson.D{{Key: "applyOps", Value: bson.A{}}}, true}, {"restore", "d", bson.D{{Key: "drop", Value: "made"}}, true},
		{"restore", "d", find("c"), false}, {"restore", "d", update, false}, {"restore", "d", remove, false},
		{"restore", "d", bson.D{{Key: "dropIndexes", Value: "c"}, {Key: "index", Value: "a_1"}}, false},
		{"restore", "admin", bson.D{{Key: "renameCollection", Value: "d.c"}, {Key: "to", Value: "d.e"}}, false},
		{"readWriteAnyDatabase", "d", find("c"), true}, {"readWriteAnyDatabase", "d", update, true}, {"readWriteAnyDatabase", "d", remove, true},
		{"readWriteAnyDatabase", "admin", bson.D{{Key: "renameCollection", Value: "d.c"}, {Key: "to", Value: "d.e"}}, true},
		{"readWriteAnyDatabase", "admin", bson.D{{Key: "renameCollection", Value: "d.e"}, {Key: "to", Value: "d.c"}}, true},
		{"readWriteAnyDatabase", "d", bson.D{{Key: "dropIndexes", Value: "c"}, {Key: "index", Value: "a_1"}}, true},
		{"readWriteAnyDatabase", "d", bson.D{{Key: "collMod", Value: "c"}, {Key: "validationLevel", Value: "strict"}}, false},
		{"readWriteAnyDatabase", "local", find("oplog.rs"), false}, {"readWriteAnyDatabase", "d", bson.D{{Key: "dropDatabase", Value: 1}}, false},
		{"dbAdminAnyDatabase", "d", bson.D{{Key: "collMod", Value: "c"}, {Key: "validationLevel", Value: "strict"}}, true},
		{"dbAdminAnyDatabase", "d", find("c"), false}, {"dbAdminAnyDatabase", "d", inserts("c", 51), false},
		{"clusterMonitor", "admin", one("replSetGetConfig"), true}, {"clusterMonitor", "local", find("system.replset"), true},
		{"clusterMonitor", "admin", bson.D{{Key: "currentOp", Value: 1}}, true}, {"clusterMonitor", "d", find("c"), false},
		{"readAnyDatabase", "d", find("c"), true}, {"readAnyDatabase", "local", find("oplog.rs"), false},
		{"none", "d", find("c"), false}, {"none", "admin", one("hello"), true}, {"none", "admin", one("ping"), true},
		{"dbAdminAnyDatabase", "d", bson.D{{Key: "dropDatabase", Value: 1}}, true},
	} {
		err := clients[c.role].Database(c.db).RunCommand(t.Context(), c.command).Err()
		denied := false
		if e, ok := err.(mongo.CommandError); ok { //nolint:errorlint // the driver gives it as it is
			denied = e.Code == 13
		}
		if err != nil && !denied || denied == c.may {
			t.Errorf("%s, %s on %s: may %v, got %v", c.role, c.command, c.db, c.may, err)
		}
	}
}
