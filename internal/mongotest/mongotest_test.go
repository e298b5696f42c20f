package mongotest_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"pitr/internal/mongotest"
	"pitr/internal/replsim"
)

func client(t *testing.T, uri string) *mongo.Client {
	t.Helper()
	c, err := mongo.Connect(options.Client().ApplyURI(uri).SetTimeout(20 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Disconnect(context.Background()) })
	return c
}

func TestUsersHaveTheirRolesOnly(t *testing.T) {
	set := mongotest.Start(t, mongotest.Need{Users: []mongotest.User{
		{Name: "reader", Password: "pa:ss@word", Roles: []string{"readAnyDatabase"}}, {Name: "writer", Password: "w", Roles: []string{"readWrite@shop"}},
	}})
	ctx := t.Context()
	doc := bson.D{{Key: "_id", Value: 1}}
	if _, err := client(t, set.As(t, "writer")).Database("shop").Collection("c").InsertOne(ctx, doc); err != nil {
		t.Fatal(err)
	}
	reader := client(t, set.As(t, "reader")).Database("shop").Collection("c")
	if err := reader.FindOne(ctx, doc).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := reader.InsertOne(ctx, bson.D{{Key: "_id", Value: 2}}); err == nil || !strings.Contains(err.Error(), "not authorized on shop to execute command") {
		t.Fatalf("a reader wrote: %v", err)
	}
	if _, err := client(t, set.As(t, "writer")).Database("other").Collection("c").InsertOne(ctx, doc); err == nil {
		t.Fatal("a user wrote into a database it has no role in")
	}
	wrong := strings.Replace(set.As(t, "writer"), "writer:w@", "writer:x@", 1)
	if err := client(t, wrong).Ping(ctx, nil); err == nil || !strings.Contains(err.Error(), "Authentication failed") {
		t.Fatalf("a wrong password: %v", err)
	}
}

func TestFaultsComeWithTheSimulatedSet(t *testing.T) {
	set := mongotest.Start(t, mongotest.Need{Faults: true})
	if set.Sim == nil || set.Kind != mongotest.Simulated {
		t.Fatalf("no hooks on %s", set.Kind)
	}
}

// given runs a test of this binary against a set that it did not start.
func given(t *testing.T, uri, test string) (string, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+test+"$", "-test.v")
	command.Env = append(os.Environ(), "PITR_TEST_URI="+uri, "MONGOTEST_INNER=1")
	output, err := command.CombinedOutput()
	return string(output), err
}

func TestInnerMakesADatabase(t *testing.T) {
	if os.Getenv("MONGOTEST_INNER") == "" {
		t.Skip("run by the tests below, on a set that they start")
	}
	set := mongotest.Start(t, mongotest.Need{})
	if set.Kind != mongotest.Given {
		t.Fatalf("served by %s", set.Kind)
	}
	if _, err := client(t, set.URI).Database("made").Collection("c").InsertOne(t.Context(), bson.D{}); err != nil {
		t.Fatal(err)
	}
}

func TestGivenSetIsCleanedAndGuarded(t *testing.T) {
	server, err := replsim.Start(context.Background(), replsim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	for range 2 {
		if output, err := given(t, server.URI(), "TestInnerMakesADatabase"); err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
	}
	c := client(t, server.URI())
	names, err := c.ListDatabaseNames(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if name == "made" {
			t.Fatal("the test's database is still there")
		}
	}
	if _, err := c.Database("production").Collection("c").InsertOne(t.Context(), bson.D{}); err != nil {
		t.Fatal(err)
	}
	for _, ledger := range []string{"with", "without"} {
		if output, err := given(t, server.URI(), "TestInnerMakesADatabase"); err == nil || !strings.Contains(output, "no test made") {
			t.Fatalf("%s a ledger a foreign database was accepted: %v\n%s", ledger, err, output)
		}
		if n, err := c.Database("production").Collection("c").EstimatedDocumentCount(t.Context()); err != nil || n != 1 {
			t.Fatalf("%s a ledger the foreign database was touched: %d, %v", ledger, n, err)
		}
		if err := c.Database("mongotest").Drop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
