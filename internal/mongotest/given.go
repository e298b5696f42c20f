package mongotest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// ledger is the database in which test processes agree about a set that they did not start: who works on it now. Whoever
// takes the lock finds no other user database, so that all there are at the end were made by its test.
const ledger = "mongotest"

// lockLife is how long a lock counts whose holder no longer renews it.
const lockLife = 30 * time.Second

// useGiven works on a set that somebody started.
func (i *Instance) useGiven(t testing.TB, uri string) {
	t.Helper()
	i.Kind, i.URI = Given, uri
	client := connect(t, uri)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Minute)
	defer cancel()
	release, err := lock(ctx, client)
	if err != nil {
		t.Fatalf("lock %s: %v", uri, err)
	}
	t.Cleanup(release)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleaning)
		defer cancel()
		if err := sweep(ctx, client); err != nil {
			t.Errorf("drop what the test made: %v", err)
		}
	})
}

func connect(t testing.TB, uri string) *mongo.Client {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(uri).SetAppName("mongotest"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	return client
}

// errForeign is a user database that cannot be told to be a test's.
var errForeign = errors.New("the set holds user databases that no test made, or that a killed test left: drop them by hand, or give the tests a set of their own")

// lock waits until no other process works on the set and takes the lock. A set with user databases is refused.
func lock(ctx context.Context, client *mongo.Client) (func(), error) {
	foreign, err := userDatabases(ctx, client)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(foreign, ledger) && len(foreign) > 0 {
		return nil, errForeign
	}
	locks := client.Database(ledger).Collection("locks")
	me := bson.NewObjectID()
	for {
		now := time.Now()
		_, err := locks.UpdateOne(ctx,
			bson.D{{Key: "_id", Value: "set"}, {Key: "until", Value: bson.D{{Key: "$lt", Value: now}}}},
			bson.D{{Key: "$set", Value: bson.D{{Key: "by", Value: me}, {Key: "until", Value: now.Add(lockLife)}}}},
			options.UpdateOne().SetUpsert(true))
		if err == nil {
			break
		}
		if !mongo.IsDuplicateKeyError(err) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
	release := renew(locks, me)
	left, err := userDatabases(ctx, client)
	if err == nil && len(left) > 1 {
		err = errForeign
	}
	if err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// renew keeps the lock until the function it gives is called.
func renew(locks *mongo.Collection, me bson.ObjectID) func() {
	done, stopped := make(chan struct{}), make(chan struct{})
	set := func(until time.Time) {
		ctx, cancel := context.WithTimeout(context.Background(), lockLife/3)
		defer cancel()
		_, _ = locks.UpdateOne(ctx, bson.D{{Key: "_id", Value: "set"}, {Key: "by", Value: me}}, // a lost lock shows at the next use
			bson.D{{Key: "$set", Value: bson.D{{Key: "until", Value: until}}}})
	}
	go func() {
		defer close(stopped)
		for {
			select {
			case <-done:
				set(time.Unix(0, 0))
				return
			case <-time.After(lockLife / 3):
				set(time.Now().Add(lockLife))
			}
		}
	}()
	return func() {
		close(done)
		<-stopped
	}
}

func userDatabases(ctx context.Context, client *mongo.Client) ([]string, error) {
	names, err := client.ListDatabaseNames(ctx, bson.D{})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "admin" || name == "config" || name == "local" }), nil
}

// sweep lifts a write block and drops all user databases but the ledger.
func sweep(ctx context.Context, client *mongo.Client) error {
	_ = client.Database("admin").RunCommand(ctx, bson.D{{Key: "setUserWriteBlockMode", Value: 1}, {Key: "global", Value: false}}).Err() // older lines do not know it
	names, err := userDatabases(ctx, client)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == ledger {
			continue
		}
		if err := client.Database(name).Drop(ctx); err != nil {
			return err
		}
	}
	return nil
}
