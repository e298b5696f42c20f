package replsim_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"pitr/internal/replsim"
	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/mql/update"
)

// TestOplogTellsTheWholeStory lets clients write at random, with transactions that conflict, and folds the oplog from its
// beginning: it must give the documents that a scan finds, byte for byte.
func TestOplogTellsTheWholeStory(t *testing.T) {
	server, client := start(t, replsim.Options{})
	run(t, client, "d", bson.D{{Key: "createIndexes", Value: "a"}, {Key: "indexes", Value: bson.A{bson.D{{Key: "key", Value: bson.D{{Key: "u", Value: 1}}}, {Key: "name", Value: "u_1"}, {Key: "unique", Value: true}, {Key: "sparse", Value: true}}}}})
	var writers sync.WaitGroup
	for seed := range uint64(4) {
		writers.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 1))
			for range 150 {
				writeSomething(client, rng)
			}
		})
	}
	writers.Wait()
	folded := fold(t, server)
	for _, name := range []string{"a", "b"} {
		cursor, err := client.Database("d").Collection(name).Find(t.Context(), bson.D{})
		if err != nil {
			t.Fatal(err)
		}
		var docs []bson.Raw
		if err := cursor.All(t.Context(), &docs); err != nil {
			t.Fatal(err)
		}
		keys := map[string]bool{}
		for _, doc := range docs {
			id := "d." + name + mql.Encode(doc.Lookup("_id"))
			if string(folded[id]) != string(doc) {
				t.Errorf("%s: the oplog gives %s, a scan %s", name, folded[id], doc)
			}
			delete(folded, id)
			if u := doc.Lookup("u"); name == "a" && u.Type != 0 {
				if keys[u.String()] {
					t.Errorf("two documents with u: %s", u)
				}
				keys[u.String()] = true
			}
		}
		if len(docs) == 0 {
			t.Errorf("%s is empty: the test wrote nothing", name)
		}
	}
	for id, doc := range folded {
		t.Errorf("the oplog gives %s (%q), a scan does not", doc, id)
	}
}

// writeSomething makes one random write or transaction; conflicts and duplicates are part of it.
func writeSomething(client *mongo.Client, rng *rand.Rand) {
	ctx := context.Background()
	one := func(ctx context.Context) error {
		c := client.Database("d").Collection([]string{"a", "b"}[rng.IntN(2)])
		id := bson.D{{Key: "_id", Value: rng.IntN(40)}}
		var err error
		switch rng.IntN(7) {
		case 0:
			_, err = c.InsertOne(ctx, append(id, bson.E{Key: "u", Value: rng.IntN(60)}))
		case 1:
			_, err = c.UpdateOne(ctx, id, bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}, {Key: "$push", Value: bson.D{{Key: "l", Value: rng.IntN(9)}}}}, options.UpdateOne().SetUpsert(true))
		case 2:
			_, err = c.UpdateMany(ctx, bson.D{{Key: "n", Value: bson.D{{Key: "$gt", Value: 2}}}}, bson.D{{Key: "$set", Value: bson.D{{Key: fmt.Sprintf("f%d", rng.IntN(5)), Value: rng.IntN(100)}}}})
		case 3:
			_, err = c.ReplaceOne(ctx, id, bson.D{{Key: "u", Value: rng.IntN(60)}, {Key: "whole", Value: true}}, options.Replace().SetUpsert(true))
		case 4:
			_, err = c.DeleteOne(ctx, id)
		case 5:
			_, err = c.DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$gte", Value: rng.IntN(40)}, {Key: "$lt", Value: 40}}}, {Key: "n", Value: bson.D{{Key: "$gt", Value: 5}}}})
		case 6:
			err = c.FindOneAndUpdate(ctx, id, bson.D{{Key: "$unset", Value: bson.D{{Key: "u", Value: 1}}}}).Err()
		}
		return err
	}
	if rng.IntN(3) > 0 {
		_ = one(ctx) // duplicates happen
		return
	}
	session, err := client.StartSession()
	if err != nil {
		return
	}
	defer session.EndSession(ctx)
	_, _ = session.WithTransaction(ctx, func(ctx context.Context) (any, error) { // it may lose for good
		for range 1 + rng.IntN(4) {
			if err := one(ctx); err != nil && err != mongo.ErrNoDocuments { //nolint:errorlint // the driver gives it as it is
				return nil, err
			}
		}
		return nil, nil
	})
}

// fold applies the entries of database d to nothing.
func fold(t *testing.T, server *replsim.Server) map[string]bson.Raw {
	t.Helper()
	state := map[string]bson.Raw{}
	var apply func(op bson.Raw)
	apply = func(op bson.Raw) {
		o, _ := op.Lookup("o").DocumentOK()
		ns, _ := op.Lookup("ns").StringValueOK()
		switch kind := op.Lookup("op").StringValue(); kind {
		case "i", "d", "u":
			if len(ns) < 2 || ns[:2] != "d." {
				return
			}
			id := o.Lookup("_id")
			if kind == "u" {
				id = op.Lookup("o2", "_id")
			}
			key := ns + mql.Encode(id)
			switch kind {
			case "i":
				state[key] = o
			case "d":
				delete(state, key)
			default:
				after, err := update.Replay(state[key], o)
				if err != nil {
					t.Fatalf("%s on %s: %v", o, state[key], err)
				}
				state[key] = after
			}
		case "c":
			inner, _ := o.Lookup("applyOps").ArrayOK()
			values, err := inner.Values()
			if err != nil {
				return
			}
			for _, v := range values {
				apply(v.Document())
			}
		}
	}
	for _, entry := range server.OplogAfter(0) {
		apply(entry)
	}
	return state
}
