package replsim_test

import (
	"context"
	"fmt"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"pitr/internal/replsim"
)

func benchClient(b *testing.B) *mongo.Client {
	b.Helper()
	server, err := replsim.Start(context.Background(), replsim.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(server.Close)
	client, err := mongo.Connect(options.Client().ApplyURI(server.URI()))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	return client
}

// order is a document of about 480 bytes.
func order(i int) bson.D {
	return bson.D{
		{Key: "_id", Value: i}, {Key: "customer", Value: fmt.Sprintf("customer-%06d", i%5000)}, {Key: "state", Value: "new"},
		{Key: "total", Value: float64(i) * 1.25},
		{Key: "lines", Value: bson.A{
			bson.D{{Key: "sku", Value: "A-1000"}, {Key: "n", Value: 3}, {Key: "note", Value: "packed with care, please handle it so"}},
			bson.D{{Key: "sku", Value: "B-2000"}, {Key: "n", Value: 1}, {Key: "note", Value: "packed with care, please handle it so"}},
		}},
		{Key: "address", Value: bson.D{{Key: "street", Value: "Long Road 15"}, {Key: "city", Value: "Oslo"}, {Key: "zip", Value: "0150"}}},
		{Key: "comment", Value: "a comment of a length that people write when they have something to say about an order"},
	}
}

const perCommand = 1000

// fill inserts documents with one command per thousand.
func fill(b *testing.B, client *mongo.Client, n int) {
	b.Helper()
	for at := 0; at < n; at += perCommand {
		docs := make(bson.A, 0, perCommand)
		for i := at; i < min(n, at+perCommand); i++ {
			docs = append(docs, order(i))
		}
		if err := client.Database("d").RunCommand(context.Background(), bson.D{{Key: "insert", Value: "c"}, {Key: "documents", Value: docs}}).Err(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkInsert(b *testing.B) {
	client := benchClient(b)
	docs := make(bson.A, perCommand)
	at := 0
	b.ResetTimer()
	for b.Loop() {
		b.StopTimer()
		for i := range docs {
			docs[i] = order(at + i)
		}
		at += perCommand
		raw, err := bson.Marshal(bson.D{{Key: "insert", Value: "c"}, {Key: "documents", Value: docs}})
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := client.Database("d").RunCommand(context.Background(), bson.Raw(raw)).Err(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*perCommand), "ns/document")
}

func BenchmarkNaturalScan(b *testing.B) {
	client := benchClient(b)
	fill(b, client, 200000)
	db := client.Database("d")
	bytes := int64(0)
	b.ResetTimer()
	for b.Loop() {
		bytes = 0
		reply, err := db.RunCommand(context.Background(), bson.D{
			{Key: "find", Value: "c"}, {Key: "hint", Value: bson.D{{Key: "$natural", Value: 1}}}, {Key: "batchSize", Value: 1 << 30},
			{Key: "readConcern", Value: bson.D{{Key: "level", Value: "majority"}}},
		}).Raw()
		for {
			if err != nil {
				b.Fatal(err)
			}
			bytes += int64(len(reply))
			id := reply.Lookup("cursor", "id").Int64()
			if id == 0 {
				break
			}
			reply, err = db.RunCommand(context.Background(), bson.D{{Key: "getMore", Value: id}, {Key: "collection", Value: "c"}}).Raw()
		}
	}
	b.SetBytes(bytes)
}

func BenchmarkFindByID(b *testing.B) {
	client := benchClient(b)
	fill(b, client, 100000)
	c := client.Database("d").Collection("c")
	b.ResetTimer()
	i := 0
	for b.Loop() {
		i++
		if err := c.FindOne(context.Background(), bson.D{{Key: "_id", Value: i * 7919 % 100000}}).Err(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGuardedTransaction finds 500 documents by _id, replaces them and commits.
func BenchmarkGuardedTransaction(b *testing.B) {
	client := benchClient(b)
	fill(b, client, 100000)
	c := client.Database("d").Collection("c")
	session, err := client.StartSession()
	if err != nil {
		b.Fatal(err)
	}
	at := 0
	b.ResetTimer()
	for b.Loop() {
		_, err := session.WithTransaction(context.Background(), func(ctx context.Context) (any, error) {
			ids := make(bson.A, 500)
			models := make([]mongo.WriteModel, 500)
			for i := range ids {
				ids[i] = (at + i) % 100000
				models[i] = mongo.NewReplaceOneModel().SetFilter(bson.D{{Key: "_id", Value: ids[i]}}).SetReplacement(order(at%100000 + i + 1)[1:])
			}
			at += 500
			cursor, err := c.Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}})
			if err != nil {
				return nil, err
			}
			var found []bson.Raw
			if err := cursor.All(ctx, &found); err != nil || len(found) != 500 {
				return nil, fmt.Errorf("%d found, %w", len(found), err)
			}
			return c.BulkWrite(ctx, models)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*500)/b.Elapsed().Seconds(), "documents/s")
}
