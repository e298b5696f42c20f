package replsim_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"pitr/internal/replsim"
)

func start(t *testing.T, o replsim.Options) (*replsim.Server, *mongo.Client) {
	t.Helper()
	server, err := replsim.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server, connect(t, server.URI())
}

func connect(t *testing.T, uri string) *mongo.Client {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(uri).SetAppName("replsim test").SetTimeout(20 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	return client
}

func TestDriverReadsItsOwnWrites(t *testing.T) {
	_, client := start(t, replsim.Options{})
	ctx := t.Context()
	c := client.Database("shop").Collection("orders", options.Collection().SetReadConcern(readconcern.Majority()).SetWriteConcern(writeconcern.Majority()))
	var docs []any
	for i := range 1200 {
		docs = append(docs, bson.D{{Key: "_id", Value: i}, {Key: "state", Value: []string{"new", "paid"}[i%2]}})
	}
	if _, err := c.InsertMany(ctx, docs); err != nil {
		t.Fatal(err)
	}
	updated, err := c.UpdateMany(ctx, bson.D{{Key: "state", Value: "paid"}}, bson.D{{Key: "$set", Value: bson.D{{Key: "late", Value: true}}}})
	if err != nil || updated.ModifiedCount != 600 {
		t.Fatalf("updated %+v, %v", updated, err)
	}
	deleted, err := c.DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$lt", Value: 100}}}})
	if err != nil || deleted.DeletedCount != 100 {
		t.Fatalf("deleted %+v, %v", deleted, err)
	}
	cursor, err := c.Find(ctx, bson.D{{Key: "late", Value: true}}, options.Find().SetSort(bson.D{{Key: "_id", Value: -1}}).SetBatchSize(17))
	if err != nil {
		t.Fatal(err)
	}
	var found []bson.Raw
	if err := cursor.All(ctx, &found); err != nil || len(found) != 550 || found[0].Lookup("_id").AsInt64() != 1199 {
		t.Fatalf("found %d, %v", len(found), err)
	}
	if n, err := c.EstimatedDocumentCount(ctx); err != nil || n != 1100 {
		t.Fatalf("counted %d, %v", n, err)
	}
}

func TestDriverTransactions(t *testing.T) {
	_, client := start(t, replsim.Options{})
	ctx := t.Context()
	c := client.Database("bank").Collection("accounts")
	if _, err := c.InsertMany(ctx, []any{bson.D{{Key: "_id", Value: "a"}, {Key: "n", Value: 10}}, bson.D{{Key: "_id", Value: "b"}, {Key: "n", Value: 0}}}); err != nil {
		t.Fatal(err)
	}
	session, err := client.StartSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.EndSession(ctx)
	snapshot := options.Transaction().SetReadConcern(readconcern.Snapshot()).SetWriteConcern(writeconcern.Majority())
	_, err = session.WithTransaction(ctx, func(ctx context.Context) (any, error) {
		if _, err := c.UpdateOne(ctx, bson.D{{Key: "_id", Value: "a"}}, bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: -3}}}}); err != nil {
			return nil, err
		}
		return c.UpdateOne(ctx, bson.D{{Key: "_id", Value: "b"}}, bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 3}}}})
	}, snapshot)
	if err != nil {
		t.Fatal(err)
	}
	failed := errors.New("changed my mind")
	_, err = session.WithTransaction(ctx, func(ctx context.Context) (any, error) {
		if _, err := c.DeleteOne(ctx, bson.D{{Key: "_id", Value: "a"}}); err != nil {
			return nil, err
		}
		if err := c.FindOne(ctx, bson.D{{Key: "_id", Value: "a"}}).Err(); !errors.Is(err, mongo.ErrNoDocuments) {
			t.Errorf("the transaction does not see its own delete: %v", err)
		}
		if err := c.FindOne(context.Background(), bson.D{{Key: "_id", Value: "a"}}).Err(); err != nil {
			t.Errorf("others see a delete that is not committed: %v", err)
		}
		return nil, failed
	}, snapshot)
	if !errors.Is(err, failed) {
		t.Fatal(err)
	}
	var got struct{ N int }
	if err := c.FindOne(ctx, bson.D{{Key: "_id", Value: "a"}}).Decode(&got); err != nil || got.N != 7 {
		t.Fatalf("a is %+v, %v", got, err)
	}
}

func TestTransactionThatLosesIsToldToTryAgain(t *testing.T) {
	_, client := start(t, replsim.Options{})
	ctx := t.Context()
	c := client.Database("bank").Collection("accounts")
	if _, err := c.InsertOne(ctx, bson.D{{Key: "_id", Value: 1}, {Key: "n", Value: 1}}); err != nil {
		t.Fatal(err)
	}
	_, inside := begin(t, client)
	if err := c.FindOne(inside, bson.D{{Key: "_id", Value: 1}}).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.UpdateOne(ctx, bson.D{{Key: "_id", Value: 1}}, bson.D{{Key: "$set", Value: bson.D{{Key: "n", Value: 2}}}}); err != nil {
		t.Fatal(err)
	}
	_, err := c.UpdateOne(inside, bson.D{{Key: "_id", Value: 1}}, bson.D{{Key: "$set", Value: bson.D{{Key: "n", Value: 3}}}})
	var failure mongo.ServerError
	if !errors.As(err, &failure) || !failure.HasErrorCode(112) || !failure.HasErrorLabel("TransientTransactionError") {
		t.Fatalf("want WriteConflict, got %v", err)
	}
}
