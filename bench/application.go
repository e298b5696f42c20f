package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"

	"pitr/bench/orders"
	"pitr/format"
)

// application writes to the first collection as the applications do whose data pitr protects.
type application struct {
	client *mongo.Client
	orders *mongo.Collection
	ids    []bson.RawValue
	made   *orders.Orders
	random *rand.Rand
}

func newApplication(ctx context.Context, s settings, on server) (*application, error) {
	client, err := mongo.Connect(options.Client().ApplyURI(on.App).SetAppName("shop"))
	if err != nil {
		return nil, err
	}
	ns := collectionName(0)
	a := &application{client: client, made: orders.New(seed), random: rand.New(rand.NewPCG(seed, 11)), //nolint:gosec // the same every time
		orders: client.Database(ns.DB, options.Database().SetReadConcern(readconcern.Majority())).Collection(ns.Collection)}
	for range s.documents / s.collections {
		a.ids = append(a.ids, a.made.Next().Lookup("_id"))
	}
	return a, a.client.Ping(ctx, nil)
}

func (a *application) close(ctx context.Context) { _ = a.client.Disconnect(ctx) }

// perCommand is how many documents one command of the application writes.
const perCommand = 1000

// update changes two fields of orders, one entry each, from a place in the collection on.
func (a *application) update(ctx context.Context, from, count int) error {
	return a.batches(from, count, func(ids []bson.RawValue) error {
		updates := make(bson.A, 0, len(ids))
		for _, id := range ids {
			change := bson.D{{Key: "$set", Value: bson.D{{Key: "state", Value: fmt.Sprint("state ", a.random.IntN(1000))},
				{Key: "total", Value: float64(a.random.IntN(100_000)) / 100}}}}
			updates = append(updates, bson.D{{Key: "q", Value: bson.D{{Key: "_id", Value: id}}}, {Key: "u", Value: change}})
		}
		return a.command(ctx, "update", bson.E{Key: "updates", Value: updates})
	})
}

// remove deletes orders, one entry each.
func (a *application) remove(ctx context.Context, from, count int) error {
	return a.batches(from, count, func(ids []bson.RawValue) error {
		deletes := make(bson.A, 0, len(ids))
		for _, id := range ids {
			deletes = append(deletes, bson.D{{Key: "q", Value: bson.D{{Key: "_id", Value: id}}}, {Key: "limit", Value: 1}})
		}
		return a.command(ctx, "delete", bson.E{Key: "deletes", Value: deletes})
	})
}

// insert makes new orders, one entry each.
func (a *application) insert(ctx context.Context, count int) error {
	for count > 0 {
		documents := make(bson.A, 0, perCommand)
		for range min(count, perCommand) {
			documents = append(documents, a.made.Next())
		}
		count -= len(documents)
		if err := a.command(ctx, "insert", bson.E{Key: "documents", Value: documents}); err != nil {
			return err
		}
	}
	return nil
}

func (a *application) batches(from, count int, do func([]bson.RawValue) error) error {
	for count > 0 {
		from %= len(a.ids)
		n := min(count, perCommand, len(a.ids)-from)
		if err := do(a.ids[from : from+n]); err != nil {
			return err
		}
		from, count = from+n, count-n
	}
	return nil
}

func (a *application) command(ctx context.Context, name string, what bson.E) error {
	reply, err := a.orders.Database().RunCommand(ctx, bson.D{{Key: name, Value: a.orders.Name()}, what}).Raw()
	if err != nil {
		return err
	}
	list, _ := what.Value.(bson.A)
	if n, _ := reply.Lookup("n").AsInt64OK(); n != int64(len(list)) {
		return fmt.Errorf("the %s wrote %d documents instead of %d: %s", name, n, len(list), reply)
	}
	return nil
}

// sum digests the collection: two states with the same sum hold the same documents.
func (a *application) sum(ctx context.Context) (sum format.ContentSum, err error) {
	cursor, err := a.orders.Find(ctx, bson.D{})
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, cursor.Close(ctx)) }()
	for cursor.Next(ctx) {
		sum.Add(cursor.Current)
	}
	return sum, cursor.Err()
}
