package recording

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// State is one state of a recording: what a real server showed at a moment.
type State struct {
	At          pitr.Timestamp
	Collections []pitr.Collection
	Documents   map[pitr.Namespace][]bson.Raw
}

// ReadState reads one state.
func ReadState(t testing.TB, file string) State {
	t.Helper()
	state := State{Documents: map[pitr.Namespace][]bson.Raw{}}
	for line := range Lines(t, file) {
		switch {
		case line.Has("at"):
			state.At = line.Timestamp(t, "at")
		case line.Has("collection"):
			state.Collections = append(state.Collections, readCollection(t, line))
		case line.Has("document") && line.Has("ns"):
			ns, err := pitr.ParseNamespace(line.Text(t, "ns"))
			if err != nil {
				t.Fatal(err)
			}
			state.Documents[ns] = append(state.Documents[ns], line.Document(t, "document"))
		}
	}
	return state
}

// readCollection reads a line of listCollections with the reply of listIndexes.
func readCollection(t testing.TB, line Line) pitr.Collection {
	t.Helper()
	listed := line.Document(t, "collection")
	collection := pitr.Collection{
		NS:      pitr.Namespace{DB: line.Text(t, "db"), Collection: listed.Lookup("name").StringValue()},
		Type:    pitr.CollectionType(listed.Lookup("type").StringValue()),
		Options: listed.Lookup("options").Document(),
	}
	if id := listed.Lookup("info", "uuid"); id.Type != 0 {
		uuid, err := pitr.UUIDOf(id)
		if err != nil {
			t.Fatal(err)
		}
		collection.UUID = uuid
	}
	if line.Has("indexes") && string(line["indexes"]) != "null" {
		collection.Indexes = line.Documents(t, "indexes")
	}
	return collection
}

// Scan is a recorded reading of a database that was written to meanwhile.
type Scan struct {
	State
	From, Through pitr.Timestamp
	ByUUID        []Scanned
}

// Scanned is a document that was read by its collection's UUID.
type Scanned struct {
	UUID     pitr.UUID
	Document bson.Raw
}

// ReadScan reads one scan.
func ReadScan(t testing.TB, file string) Scan {
	t.Helper()
	read := Scan{State: ReadState(t, file)}
	for line := range Lines(t, file) {
		switch {
		case line.Has("from"):
			read.From = line.Timestamp(t, "from")
		case line.Has("through"):
			read.Through = line.Timestamp(t, "through")
		case line.Has("uuid") && line.Has("document"):
			uuid, err := pitr.UUIDOf(line.Document(t, "uuid").Lookup("u"))
			if err != nil {
				t.Fatal(err)
			}
			read.ByUUID = append(read.ByUUID, Scanned{UUID: uuid, Document: line.Document(t, "document")})
		}
	}
	if read.From == 0 || read.Through == 0 {
		t.Fatalf("%s has no begin or end", file)
	}
	return read
}
