package snapshot_test

import (
	"fmt"
	"runtime"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/snapshot"
	"pitr/storage"
)

// TestManyCollections copies as many collections as a snapshot can have; they share chunks.
func TestManyCollections(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	source := newFake()
	source.collections = nil
	source.documents = map[string][]bson.Raw{}
	const many = 100_000
	for i := range many {
		ns := pitr.Namespace{DB: fmt.Sprintf("db%03d", i%300), Collection: fmt.Sprintf("c%06d", i)}
		source.collections = append(source.collections, pitr.Collection{NS: ns, UUID: pitr.UUID{1, byte(i), byte(i >> 8), byte(i >> 16)},
			Type: pitr.TypeCollection, Options: raw(bson.D{}), Indexes: []bson.Raw{raw(bson.D{{Key: "name", Value: "_id_"}})}})
		source.documents[ns.String()] = []bson.Raw{raw(bson.D{{Key: "_id", Value: i}})}
	}
	repository := newRepository(t, storage.NewMemory())
	o := optionsFor(t, repository)
	o.Workers = 1 // the fake notes its scans without a lock
	manifest, err := snapshot.Take(t.Context(), source, repository, o)
	if err != nil {
		t.Fatal(err)
	}
	if manifest.Objects.Documents != many || manifest.Objects.Chunks > 40 || manifest.Objects.Keys != 0 {
		t.Errorf("%+v", manifest.Objects)
	}
	reader, err := snapshot.Open(t.Context(), repository, manifest.ID)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < many; i += many / 50 {
		c := reader.Collections()[i]
		mustEqual(t, c.NS.String(), documentsOf(t, reader, c), source.documents[c.NS.String()])
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	t.Logf("%d MiB from the system", memory.Sys>>20)
}
