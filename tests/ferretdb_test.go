package tests

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/FerretDB/FerretDB/ferretdb"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"pitr"
	"pitr/catalog"
	"pitr/cluster"
	"pitr/format"
	"pitr/snapshot"
	"pitr/storage"
)

// startFerret runs a MongoDB-compatible server that nobody of this project wrote.
func startFerret(t *testing.T) string {
	t.Helper()
	server, err := ferretdb.New(&ferretdb.Config{Listener: ferretdb.ListenerConfig{TCP: "127.0.0.1:0"}, Handler: "sqlite",
		SQLiteURL: "file:" + t.TempDir() + "/", Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("FerretDB ended with %v", err)
		}
	})
	return server.MongoDBURI()
}

// TestSnapshotOfFerretDB copies a server without a usable oplog: every document, and no claim about moments.
func TestSnapshotOfFerretDB(t *testing.T) {
	uri := startFerret(t)
	ctx := t.Context()
	driver, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = driver.Disconnect(context.Background()) })
	want := map[string][]bson.Raw{}
	for name, count := range map[string]int{"shop.orders": 5000, "shop.small": 3, "other.docs": 250} {
		ns, _ := pitr.ParseNamespace(name)
		var documents []any
		for i := range count {
			raw, err := bson.Marshal(bson.D{{Key: "_id", Value: i}, {Key: "text", Value: strings.Repeat(fmt.Sprint(i), 50)},
				{Key: "nested", Value: bson.D{{Key: "z", Value: int64(i)}, {Key: "a", Value: bson.A{1.5, "x", nil, true}}}},
				{Key: "when", Value: bson.DateTime(1761120000000 + int64(i))}})
			if err != nil {
				t.Fatal(err)
			}
			documents = append(documents, bson.Raw(raw))
			want[name] = append(want[name], raw)
		}
		if _, err := driver.Database(ns.DB).Collection(ns.Collection).InsertMany(ctx, documents); err != nil {
			t.Fatal(err)
		}
	}
	client, err := cluster.Connect(ctx, cluster.Options{URI: uri, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(context.Background()) })
	if server := client.Server(); server.Ability != pitr.AbilityDocuments {
		t.Fatalf("FerretDB is taken for %+v", server)
	}
	if _, err := client.MajorityOpTime(ctx); pitr.KindOf(err) != pitr.KindUnsupported || pitr.HintOf(err) == "" {
		t.Errorf("asked for its majority point: %v", err)
	}
	repository, err := catalog.Create(ctx, storage.NewMemory(), catalog.CreateOptions{ClusterName: "ferret"})
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := snapshot.Take(ctx, client, repository, snapshot.Options{Reason: format.ReasonManual})
	if err != nil {
		t.Fatal(err)
	}
	if manifest.Exact != format.ExactNo || manifest.At != 0 || manifest.Oplog != nil {
		t.Errorf("the manifest claims %q at %s with %v", manifest.Exact, manifest.At, manifest.Oplog)
	}
	reader, err := snapshot.Open(ctx, repository, manifest.ID)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, c := range reader.Collections() {
		var got []bson.Raw
		for document, err := range reader.Scan(ctx, c) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, slices.Clone(document.Raw))
		}
		slices.SortFunc(got, func(a, b bson.Raw) int { return int(a.Lookup("_id").AsInt64() - b.Lookup("_id").AsInt64()) })
		if !slices.EqualFunc(got, want[c.NS.String()], func(a, b bson.Raw) bool { return bytes.Equal(a, b) }) {
			t.Errorf("%s: %d documents, not the %d that were inserted", c.NS, len(got), len(want[c.NS.String()]))
		}
		seen++
	}
	if seen != len(want) {
		t.Errorf("%d collections of %d", seen, len(want))
	}
}
