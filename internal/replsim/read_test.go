package replsim_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"pitr"
	"pitr/internal/replsim"
)

// run sends a command to a database and gives the reply.
func run(t *testing.T, client *mongo.Client, db string, command bson.D) bson.Raw {
	t.Helper()
	reply, err := client.Database(db).RunCommand(t.Context(), command).Raw()
	if err != nil {
		t.Fatalf("%v: %v", command, err)
	}
	return reply
}

// settle uses up the connections that a server closed on purpose.
func settle(t *testing.T, client *mongo.Client) {
	t.Helper()
	for range 100 {
		if err := client.Ping(t.Context(), nil); err == nil {
			return
		}
	}
	t.Fatal("the server does not come back")
}

// refused sends a command that must fail with a code.
func refused(t *testing.T, client *mongo.Client, db string, code int, command bson.D) {
	t.Helper()
	err := client.Database(db).RunCommand(t.Context(), command).Err()
	var failure mongo.ServerError
	if !errors.As(err, &failure) || !failure.HasErrorCode(code) {
		t.Fatalf("%v: want code %d, got %v", command, code, err)
	}
}

func insert(t *testing.T, client *mongo.Client, ns string, docs ...any) {
	t.Helper()
	db, c, _ := cutNamespace(ns)
	run(t, client, db, bson.D{{Key: "insert", Value: c}, {Key: "documents", Value: bson.A(docs)}})
}

func cutNamespace(ns string) (string, string, bool) {
	for i, r := range ns {
		if r == '.' {
			return ns[:i], ns[i+1:], true
		}
	}
	return ns, "", false
}

// begin starts a transaction; inside is the context of its operations.
func begin(t *testing.T, client *mongo.Client) (session *mongo.Session, inside context.Context) {
	t.Helper()
	session, err := client.StartSession()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.EndSession(context.Background()) })
	if err := session.StartTransaction(); err != nil {
		t.Fatal(err)
	}
	return session, mongo.NewSessionContext(t.Context(), session)
}

func id(n int) bson.D { return bson.D{{Key: "_id", Value: n}} }

// ids are the _ids of the first batch of a reply.
func ids(reply bson.Raw) []int64 {
	found := []int64{}
	values, err := reply.Lookup("cursor", "firstBatch").Array().Values()
	if err != nil {
		panic(err)
	}
	for _, v := range values {
		found = append(found, v.Document().Lookup("_id").AsInt64())
	}
	return found
}

func snapshotAt(ts pitr.Timestamp) bson.E {
	return bson.E{Key: "readConcern", Value: bson.D{{Key: "level", Value: "snapshot"}, {Key: "atClusterTime", Value: ts.BSON()}}}
}

func TestSnapshotReadsSeeTheirMoment(t *testing.T) {
	server, client := start(t, replsim.Options{})
	insert(t, client, "d.c", id(1), id(2), id(3))
	before := server.OplogEnd()
	run(t, client, "d", bson.D{{Key: "update", Value: "c"}, {Key: "updates", Value: bson.A{bson.D{{Key: "q", Value: id(1)}, {Key: "u", Value: bson.D{{Key: "$set", Value: bson.D{{Key: "x", Value: 1}}}}}}}}})
	run(t, client, "d", bson.D{{Key: "delete", Value: "c"}, {Key: "deletes", Value: bson.A{bson.D{{Key: "q", Value: id(2)}, {Key: "limit", Value: 1}}}}})
	insert(t, client, "d.c", id(4), id(2))
	old := run(t, client, "d", bson.D{{Key: "find", Value: "c"}, snapshotAt(before)})
	if got := ids(old); !slices.Equal(got, []int64{1, 2, 3}) || old.Lookup("cursor", "firstBatch", "0", "x").Type != 0 {
		t.Fatalf("at %s: %s", before, old)
	}
	if got := ids(run(t, client, "d", bson.D{{Key: "find", Value: "c"}})); !slices.Equal(got, []int64{1, 3, 4, 2}) {
		t.Fatalf("now, in natural order: %v", got)
	}
	// a drop and a new collection of the same name do not change the past either
	run(t, client, "d", bson.D{{Key: "drop", Value: "c"}})
	insert(t, client, "d.c", id(9))
	if got := ids(run(t, client, "d", bson.D{{Key: "find", Value: "c"}, snapshotAt(before)})); !slices.Equal(got, []int64{1, 2, 3}) {
		t.Fatalf("at %s, after the drop: %v", before, got)
	}
	server.ForgetHistory()
	refused(t, client, "d", 239, bson.D{{Key: "find", Value: "c"}, snapshotAt(before)})
	future := pitr.NewTimestamp(server.OplogEnd().Seconds()+1000, 1)
	refused(t, client, "d", 72, bson.D{{Key: "find", Value: "c"}, snapshotAt(future)})
}

func TestSnapshotReadsEndWithTheWindow(t *testing.T) {
	server, client := start(t, replsim.Options{})
	insert(t, client, "d.c", id(1), id(2), id(3))
	reply := run(t, client, "d", bson.D{{Key: "find", Value: "c"}, {Key: "batchSize", Value: 1}, snapshotAt(server.OplogEnd())})
	server.JumpClock(6 * time.Minute)
	insert(t, client, "d.c", id(4))
	refused(t, client, "d", 239, bson.D{{Key: "getMore", Value: reply.Lookup("cursor", "id").Int64()}, {Key: "collection", Value: "c"}})
}

func TestMajorityReadsStopAtTheMajorityPoint(t *testing.T) {
	server, client := start(t, replsim.Options{})
	insert(t, client, "d.c", id(1))
	server.HoldMajority()
	run(t, client, "d", bson.D{{Key: "insert", Value: "c"}, {Key: "documents", Value: bson.A{id(2)}}, {Key: "writeConcern", Value: bson.D{{Key: "w", Value: 1}}}})
	majority := bson.E{Key: "readConcern", Value: bson.D{{Key: "level", Value: "majority"}}}
	if got := ids(run(t, client, "d", bson.D{{Key: "find", Value: "c"}, majority})); !slices.Equal(got, []int64{1}) {
		t.Fatalf("majority sees %v", got)
	}
	if got := ids(run(t, client, "d", bson.D{{Key: "find", Value: "c"}})); !slices.Equal(got, []int64{1, 2}) {
		t.Fatalf("local sees %v", got)
	}
	hello := run(t, client, "admin", bson.D{{Key: "hello", Value: 1}})
	newest, _, _ := hello.Lookup("lastWrite", "opTime", "ts").TimestampOK()
	if _, ordinal := hello.Lookup("lastWrite", "majorityOpTime", "ts").Timestamp(); pitr.NewTimestamp(newest, ordinal) >= server.OplogEnd() {
		t.Fatalf("the majority point did not stop: %s", hello.Lookup("lastWrite"))
	}
	entries := run(t, client, "local", bson.D{{Key: "find", Value: "oplog.rs"}, {Key: "filter", Value: bson.D{{Key: "op", Value: "i"}, {Key: "ns", Value: "d.c"}}}, majority})
	if values, _ := entries.Lookup("cursor", "firstBatch").Array().Values(); len(values) != 1 {
		t.Fatalf("a majority read of the oplog shows %s", entries)
	}
	waits, err := client.Database("d").RunCommand(t.Context(), bson.D{{Key: "insert", Value: "c"}, {Key: "documents", Value: bson.A{id(3)}}, {Key: "writeConcern", Value: bson.D{{Key: "w", Value: "majority"}, {Key: "wtimeout", Value: 50}}}}).Raw()
	if err == nil {
		t.Fatalf("a majority write did not wait: %s", waits)
	}
	if code := waits.Lookup("writeConcernError", "code").AsInt64(); code != 64 {
		t.Fatalf("a majority write did not time out: %s", waits)
	}
	time.AfterFunc(50*time.Millisecond, server.ReleaseMajority)
	after := bson.E{Key: "readConcern", Value: bson.D{{Key: "level", Value: "majority"}, {Key: "afterClusterTime", Value: server.OplogEnd().BSON()}}}
	if got := ids(run(t, client, "d", bson.D{{Key: "find", Value: "c"}, after})); len(got) != 3 {
		t.Fatalf("after the majority went on: %v", got)
	}
}

func TestScansGoOnAtTheirToken(t *testing.T) {
	_, client := start(t, replsim.Options{})
	docs := make([]any, 300)
	for i := range docs {
		docs[i] = id((i * 37) % 300)
	}
	insert(t, client, "d.c", docs...)
	natural := bson.D{{Key: "$natural", Value: 1}}
	var got []int64
	var token bson.RawValue
	for {
		command := bson.D{{Key: "find", Value: "c"}, {Key: "hint", Value: natural}, {Key: "$_requestResumeToken", Value: true}, {Key: "batchSize", Value: 70}, {Key: "singleBatch", Value: true}}
		if token.Type != 0 {
			command = append(command, bson.E{Key: "$_resumeAfter", Value: token})
		}
		reply := run(t, client, "d", command)
		if len(ids(reply)) == 0 {
			break
		}
		got = append(got, ids(reply)...)
		token = reply.Lookup("cursor", "postBatchResumeToken")
	}
	for i := range got {
		if got[i] != int64((i*37)%300) {
			t.Fatalf("document %d is %d", i, got[i])
		}
	}
	if len(got) != 300 {
		t.Fatalf("%d documents in a scan by tokens", len(got))
	}
	byID := bson.D{{Key: "_id", Value: 1}}
	part := run(t, client, "d", bson.D{{Key: "find", Value: "c"}, {Key: "hint", Value: byID}, {Key: "min", Value: id(100)}, {Key: "max", Value: id(104)}})
	if got := ids(part); !slices.Equal(got, []int64{100, 101, 102, 103}) {
		t.Fatalf("between 100 and 104: %v", got)
	}
	rest := run(t, client, "d", bson.D{{Key: "find", Value: "c"}, {Key: "hint", Value: byID}, {Key: "min", Value: id(298)}})
	if got := ids(rest); !slices.Equal(got, []int64{298, 299}) {
		t.Fatalf("from 298 on: %v", got)
	}
	refused(t, client, "d", 51173, bson.D{{Key: "find", Value: "c"}, {Key: "min", Value: id(1)}})
	refused(t, client, "d", 2, bson.D{{Key: "find", Value: "c"}, {Key: "hint", Value: "nope"}})
}

func TestTransactionsDoNotSeeANewCatalog(t *testing.T) {
	_, client := start(t, replsim.Options{})
	insert(t, client, "d.c", id(1))
	insert(t, client, "d.other", id(1))
	_, inside := begin(t, client)
	if err := client.Database("d").Collection("other").FindOne(inside, id(1)).Err(); err != nil {
		t.Fatal(err)
	}
	run(t, client, "d", bson.D{{Key: "collMod", Value: "c"}, {Key: "validationLevel", Value: "strict"}})
	err := client.Database("d").Collection("c").FindOne(inside, id(1)).Err()
	var failure mongo.ServerError
	if !errors.As(err, &failure) || !failure.HasErrorCode(246) || !failure.HasErrorLabel("TransientTransactionError") {
		t.Fatalf("want SnapshotUnavailable, got %v", err)
	}
}

func TestCatalogChangesWaitForTransactions(t *testing.T) {
	_, client := start(t, replsim.Options{})
	insert(t, client, "d.c", id(1))
	session, inside := begin(t, client)
	if err := client.Database("d").Collection("c").FindOne(inside, id(1)).Err(); err != nil {
		t.Fatal(err)
	}
	refused(t, client, "d", 50, bson.D{{Key: "drop", Value: "c"}, {Key: "maxTimeMS", Value: 50}})
	refused(t, client, "admin", 50, bson.D{{Key: "setUserWriteBlockMode", Value: 1}, {Key: "global", Value: true}, {Key: "maxTimeMS", Value: 50}})
	insert(t, client, "d.c", id(2)) // nothing was switched
	time.AfterFunc(50*time.Millisecond, func() { _ = session.AbortTransaction(context.Background()) })
	run(t, client, "d", bson.D{{Key: "drop", Value: "c"}})
}

func TestTailEndsWhenTheOplogRollsOver(t *testing.T) {
	server, client := start(t, replsim.Options{})
	insert(t, client, "d.c", id(1))
	from := server.OplogEnd()
	insert(t, client, "d.c", id(2))
	tail := func() bson.Raw {
		return run(t, client, "local", bson.D{
			{Key: "find", Value: "oplog.rs"}, {Key: "filter", Value: bson.D{{Key: "ts", Value: bson.D{{Key: "$gte", Value: from.BSON()}}}}},
			{Key: "tailable", Value: true}, {Key: "awaitData", Value: true}, {Key: "batchSize", Value: 1},
		})
	}
	reply := tail()
	insert(t, client, "d.c", id(3), id(4))
	server.TruncateOplog(server.OplogEnd())
	refused(t, client, "local", 136, bson.D{{Key: "getMore", Value: reply.Lookup("cursor", "id").Int64()}, {Key: "collection", Value: "oplog.rs"}})
	entries, err := tail().Lookup("cursor", "firstBatch").Array().Values()
	if err != nil || len(entries) != 1 || entries[0].Document().Lookup("o", "_id").AsInt64() != 4 {
		t.Fatalf("a new tail begins with %v, %v", entries, err)
	}
}

func TestCursorsOfOthersAreOutOfReach(t *testing.T) {
	_, client := start(t, replsim.Options{})
	insert(t, client, "d.c", id(1), id(2))
	cursor := run(t, client, "d", bson.D{{Key: "find", Value: "c"}, {Key: "batchSize", Value: 1}}).Lookup("cursor", "id").Int64()
	refused(t, client, "d", 13, bson.D{{Key: "getMore", Value: cursor}, {Key: "collection", Value: "other"}})
	more := run(t, client, "d", bson.D{{Key: "getMore", Value: cursor}, {Key: "collection", Value: "c"}})
	if more.Lookup("cursor", "id").Int64() != 0 {
		t.Fatal(fmt.Sprint("the cursor is not exhausted: ", more))
	}
}

func TestOplogStaysUnderItsSizeAndTimeNeverGoesBack(t *testing.T) {
	server, client := start(t, replsim.Options{OplogBytes: 20000})
	first := server.OplogAfter(0)[0].Lookup("ts")
	for i := range 300 {
		insert(t, client, "d.c", append(id(i), bson.E{Key: "pad", Value: "0123456789"}))
		if i == 150 {
			server.JumpClock(-time.Hour)
		}
	}
	entries := server.OplogAfter(0)
	size, last := 0, pitr.Timestamp(0)
	for _, e := range entries {
		size += len(e)
		s, o := e.Lookup("ts").Timestamp()
		if ts := pitr.NewTimestamp(s, o); ts <= last {
			t.Fatalf("%s after %s", ts, last)
		} else {
			last = ts
		}
	}
	if size > 20000 || size < 19000 {
		t.Errorf("%d bytes of oplog", size)
	}
	if string(entries[0].Lookup("ts").Value) == string(first.Value) {
		t.Error("the oldest entry is still there")
	}
	newest := run(t, client, "local", bson.D{{Key: "find", Value: "oplog.rs"}, {Key: "sort", Value: bson.D{{Key: "$natural", Value: -1}}}, {Key: "limit", Value: 2}})
	values, err := newest.Lookup("cursor", "firstBatch").Array().Values()
	if err != nil || len(values) != 2 || string(values[0].Value) != string(entries[len(entries)-1]) || string(values[1].Value) != string(entries[len(entries)-2]) {
		t.Errorf("newest first: %v, %v", values, err)
	}
}
