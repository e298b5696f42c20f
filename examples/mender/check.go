package mender

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Compare holds a server against the model as of a moment, byte for byte, and gives every difference in a fixed order.
// Tokens that are due now are left out on both sides: the server may have removed them at any time.
func (s *Story) Compare(ctx context.Context, client *mongo.Client, moment Moment) ([]Difference, error) {
	var differences []Difference
	now := time.Now()
	for _, ns := range slices.Sorted(slices.Values(s.model.Namespaces())) {
		server, err := readAll(ctx, client, ns)
		if err != nil {
			return nil, err
		}
		model := s.model.At(ns, moment)
		ids := maps.Clone(server)
		maps.Copy(ids, model)
		for _, id := range slices.Sorted(maps.Keys(ids)) {
			if bytes.Equal(server[id], model[id]) || due(ids[id], now) {
				continue
			}
			differences = append(differences, Difference{NS: ns, ID: id, Server: server[id], Model: model[id]})
		}
	}
	return differences, nil
}

func due(document bson.Raw, now time.Time) bool {
	at, ok := document.Lookup("exp", "time").TimeOK()
	return ok && !at.After(now)
}

func readAll(ctx context.Context, client *mongo.Client, ns string) (map[string]bson.Raw, error) {
	db, name := split(ns)
	cursor, err := client.Database(db).Collection(name).Find(ctx, bson.D{}, options.Find().SetBatchSize(10_000))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", ns, err)
	}
	defer cursor.Close(ctx) //nolint:errcheck // everything was read or the read has failed
	documents := map[string]bson.Raw{}
	for cursor.Next(ctx) {
		document := bson.Raw(bytes.Clone(cursor.Current))
		id := idText(document)
		if _, twice := documents[id]; twice {
			return nil, fmt.Errorf("read %s: %s came twice", ns, id)
		}
		documents[id] = document
	}
	return documents, cursor.Err()
}

// HasIndex reports whether a collection has an index of this name.
func HasIndex(ctx context.Context, client *mongo.Client, ns, name string) (bool, error) {
	db, collection := split(ns)
	specs, err := client.Database(db).Collection(collection).Indexes().ListSpecifications(ctx)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(specs, func(spec mongo.IndexSpecification) bool { return spec.Name == name }), nil
}
