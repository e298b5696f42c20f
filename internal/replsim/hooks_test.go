package replsim_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"pitr/internal/replsim"
)

func TestFaultsHitOnceAndNothingElse(t *testing.T) {
	server, client := start(t, replsim.Options{})
	insert(t, client, "d.c", id(1))
	once := server.Inject(replsim.Fault{Command: "find", Namespace: "d.c", Skip: 1, Times: 1, Action: replsim.Fail, Code: 91, Message: "going down"})
	run(t, client, "d", bson.D{{Key: "find", Value: "c"}})
	run(t, client, "d", bson.D{{Key: "find", Value: "other"}})
	refused(t, client, "d", 91, bson.D{{Key: "find", Value: "c"}})
	run(t, client, "d", bson.D{{Key: "find", Value: "c"}})
	if once.Fired() != 1 {
		t.Fatalf("fired %d times", once.Fired())
	}
	slow := server.Inject(replsim.Fault{Command: "find", Delay: 80 * time.Millisecond})
	began := time.Now()
	run(t, client, "d", bson.D{{Key: "find", Value: "c"}})
	if took := time.Since(began); took < 80*time.Millisecond {
		t.Fatalf("a delayed find took %s", took)
	}
	slow.Remove()
}

// A reply that is lost after the write was done: the driver's retry must not write twice.
func TestLostRepliesAreRetriedOnce(t *testing.T) {
	for name, fault := range map[string]replsim.Fault{
		"dropped before": {Command: "insert", Times: 1, Action: replsim.Drop},
		"dropped after":  {Command: "insert", Times: 1, Action: replsim.DropAfter},
		"cut":            {Command: "insert", Times: 1, Action: replsim.Cut, Bytes: 30},
		"failed after":   {Command: "insert", Times: 1, Action: replsim.FailAfter, Code: 91, Labels: []string{"RetryableWriteError"}},
	} {
		t.Run(name, func(t *testing.T) {
			server, client := start(t, replsim.Options{})
			insert(t, client, "d.c", id(0))
			from := server.OplogEnd()
			injected := server.Inject(fault)
			if _, err := client.Database("d").Collection("c").InsertOne(t.Context(), id(1)); err != nil {
				t.Fatal(err)
			}
			if injected.Fired() != 1 {
				t.Fatalf("fired %d times", injected.Fired())
			}
			if entries := server.OplogAfter(from); len(entries) != 1 {
				t.Fatalf("%d entries: %v", len(entries), entries)
			}
		})
	}
}

func TestFullDiskFailsWrites(t *testing.T) {
	server, client := start(t, replsim.Options{})
	insert(t, client, "d.c", id(1))
	from := server.OplogEnd()
	server.FillDisk()
	reply, err := client.Database("d").RunCommand(t.Context(), inserts("c", 2)).Raw()
	if err == nil || reply.Lookup("writeErrors", "0", "code").AsInt64() != 14031 {
		t.Fatalf("%s, %v", reply, err)
	}
	refused(t, client, "d", 14031, bson.D{{Key: "create", Value: "other"}})
	if len(server.OplogAfter(from)) != 0 {
		t.Fatal("something was written to a full disk")
	}
	server.FreeDisk()
	insert(t, client, "d.c", id(2))
}

func TestCommandLogTellsWritesFromReads(t *testing.T) {
	server, clients := secured(t, replsim.Options{}, "root", "readAnyDatabase")
	run(t, clients["readAnyDatabase"], "d", bson.D{{Key: "find", Value: "c"}})
	run(t, clients["readAnyDatabase"], "d", bson.D{{Key: "aggregate", Value: "c"}, {Key: "pipeline", Value: bson.A{}}, {Key: "cursor", Value: bson.D{}}})
	refused(t, clients["readAnyDatabase"], "d", 13, inserts("c", 1))
	run(t, clients["root"], "d", inserts("c", 1))
	var got []string
	for _, one := range server.Commands() {
		if one.DB != "d" {
			continue
		}
		kind := "reads"
		if one.Writes {
			kind = "writes"
		}
		if one.Code != 0 {
			kind += ", refused"
		}
		got = append(got, one.User+" "+one.Name+" "+one.Namespace+" "+kind)
		if one.App != "replsim test" || one.Client == "" {
			t.Errorf("%+v", one)
		}
	}
	want := []string{
		"readAnyDatabase@admin find d.c reads", "readAnyDatabase@admin aggregate d.c reads",
		"readAnyDatabase@admin insert d.c writes, refused", "root@admin insert d.c writes",
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%q", got)
	}
}

func TestCurrentOpNamesWhoWrites(t *testing.T) {
	server, clients := secured(t, replsim.Options{}, "root", "readWriteAnyDatabase")
	server.Inject(replsim.Fault{Command: "insert", Delay: time.Second})
	done := make(chan error, 1)
	go func() {
		done <- clients["readWriteAnyDatabase"].Database("d").RunCommand(context.Background(), inserts("c", 1)).Err()
	}()
	var found bson.Raw
	for found == nil {
		reply := run(t, clients["root"], "admin", bson.D{
			{Key: "aggregate", Value: 1}, {Key: "cursor", Value: bson.D{}},
			{Key: "pipeline", Value: bson.A{
				bson.D{{Key: "$currentOp", Value: bson.D{{Key: "allUsers", Value: true}, {Key: "idleConnections", Value: true}}}},
				bson.D{{Key: "$match", Value: bson.D{{Key: "ns", Value: "d.c"}}}},
			}},
		})
		found, _ = reply.Lookup("cursor", "firstBatch", "0").DocumentOK()
	}
	if user, app := found.Lookup("effectiveUsers", "0", "user"), found.Lookup("appName"); user.StringValue() != "readWriteAnyDatabase" ||
		app.StringValue() != "replsim test" || found.Lookup("op").StringValue() != "insert" || found.Lookup("client").StringValue() == "" {
		t.Fatalf("%s", found)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// After a rollback the same cluster times carry other entries with another term, as in the recording of a real one.
func TestRollbackTakesBackWhatTheMajorityDoesNotHave(t *testing.T) {
	clock := time.Date(2025, 10, 22, 8, 0, 0, 0, time.UTC)
	server, client := start(t, replsim.Options{Clock: func() time.Time { return clock }})
	insert(t, client, "d.c", id(1), id(2))
	run(t, client, "d", bson.D{{Key: "createIndexes", Value: "c"}, {Key: "indexes", Value: bson.A{bson.D{{Key: "key", Value: bson.D{{Key: "a", Value: 1}}}, {Key: "name", Value: "a_1"}}}}})
	point := server.OplogEnd()
	server.HoldMajority()
	alone := client.Database("d").RunCommand
	w1 := bson.E{Key: "writeConcern", Value: bson.D{{Key: "w", Value: 1}}}
	for _, command := range []bson.D{
		append(inserts("c", 3), w1),
		{{Key: "delete", Value: "c"}, {Key: "deletes", Value: bson.A{bson.D{{Key: "q", Value: id(1)}, {Key: "limit", Value: 1}}}}, w1},
		{{Key: "dropIndexes", Value: "c"}, {Key: "index", Value: "a_1"}, w1},
		{{Key: "create", Value: "lost"}, w1},
	} {
		if err := alone(t.Context(), command).Err(); err != nil {
			t.Fatal(err)
		}
	}
	lost := server.OplogAfter(point)
	if len(lost) != 4 {
		t.Fatalf("%d entries behind the majority point", len(lost))
	}
	server.Rollback()
	settle(t, client)
	insert(t, client, "d.c", id(4))
	if got := ids(run(t, client, "d", bson.D{{Key: "find", Value: "c"}})); !slices.Equal(got, []int64{1, 2, 4}) {
		t.Fatalf("after the rollback: %v", got)
	}
	if indexes := run(t, client, "d", bson.D{{Key: "listIndexes", Value: "c"}}); indexes.Lookup("cursor", "firstBatch", "1", "name").Type == 0 {
		t.Fatalf("the dropped index did not come back: %s", indexes)
	}
	if listed := run(t, client, "d", bson.D{{Key: "listCollections", Value: 1}}); listed.Lookup("cursor", "firstBatch", "1").Type != 0 {
		t.Fatalf("a collection of the lost history is there: %s", listed)
	}
	now := server.OplogAfter(point)
	same := 0
	for _, was := range lost {
		for _, is := range now {
			if bytes.Equal(was.Lookup("ts").Value, is.Lookup("ts").Value) {
				same++
				if was.Lookup("t").AsInt64() == is.Lookup("t").AsInt64() {
					t.Errorf("two entries of one optime: %s and %s", was, is)
				}
			}
		}
	}
	if same == 0 {
		t.Fatal("the new history does not use the times of the lost one again")
	}
}

func TestElectionEndsTransactionsAndRaisesTheTerm(t *testing.T) {
	server, client := start(t, replsim.Options{})
	insert(t, client, "d.c", id(1))
	from := server.OplogEnd()
	session, inside := begin(t, client)
	if _, err := client.Database("d").Collection("c").InsertOne(inside, id(2)); err != nil {
		t.Fatal(err)
	}
	server.Elect()
	err := session.CommitTransaction(t.Context())
	var failure mongo.ServerError
	if !errors.As(err, &failure) || !failure.HasErrorCode(251) {
		t.Fatalf("want NoSuchTransaction, got %v", err)
	}
	entries := server.OplogAfter(from)
	if message := entries[0].Lookup("o", "msg"); message.StringValue() != "new primary" || entries[0].Lookup("t").AsInt64() != 2 {
		t.Fatalf("%v", entries)
	}
	if status := run(t, client, "admin", bson.D{{Key: "replSetGetStatus", Value: 1}}); status.Lookup("term").AsInt64() != 2 {
		t.Fatalf("%s", status)
	}
}
