package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"pitr"
	"pitr/catalog"
	"pitr/cluster"
	"pitr/format"
	"pitr/history/fold"
	"pitr/internal/mongotest"
	"pitr/internal/replsim"
	"pitr/oplog"
	"pitr/snapshot"
	"pitr/storage"
)

// live is a server with a large collection and several small ones, and everything around it.
type live struct {
	t          *testing.T
	server     *replsim.Server
	driver     *mongo.Client
	client     *cluster.Client
	repository *catalog.Repository
	archive    *oplog.Archiver
}

const bigDocuments = 6750

func newLive(t *testing.T) *live {
	t.Helper()
	l := &live{t: t}
	instance := mongotest.Start(t, mongotest.Need{Faults: true})
	l.server = instance.Sim
	driver, err := mongo.Connect(options.Client().ApplyURI(instance.URI))
	if err != nil {
		t.Fatal(err)
	}
	l.driver = driver
	t.Cleanup(func() { _ = l.driver.Disconnect(context.Background()) })
	l.client, err = cluster.Connect(t.Context(), cluster.Options{URI: instance.URI + "&heartbeatFrequencyMS=500",
		Await: 50 * time.Millisecond, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.client.Close(context.Background()) })
	l.repository = newRepository(t, storage.NewMemory())
	l.archive = oplog.NewArchiver(l.client, l.repository, oplog.ArchiveOptions{Lease: catalog.LeaseOptions{Holder: "me@here", Host: "here", Process: 1}})
	for part := range 9 {
		documents := bson.A{}
		for i := range bigDocuments / 9 {
			documents = append(documents, bson.D{{Key: "_id", Value: part*bigDocuments/9 + i}, {Key: "n", Value: 0},
				{Key: "pad", Value: strings.Repeat(fmt.Sprint(i), 8000/len(fmt.Sprint(i)))}})
		}
		l.run("db", bson.D{{Key: "insert", Value: "big"}, {Key: "documents", Value: documents}})
	}
	for i := range 5 {
		l.run("db", bson.D{{Key: "insert", Value: fmt.Sprint("small", i)}, {Key: "documents", Value: bson.A{
			bson.D{{Key: "_id", Value: 1}}, bson.D{{Key: "_id", Value: "two"}}}}})
	}
	// The other kinds of collections. // case I15
	for _, command := range []bson.D{
		{{Key: "create", Value: "view"}, {Key: "viewOn", Value: "small0"}, {Key: "pipeline", Value: bson.A{bson.D{{Key: "$match", Value: bson.D{{Key: "n", Value: 1}}}}}}},
		{{Key: "create", Value: "capped"}, {Key: "capped", Value: true}, {Key: "size", Value: 4096}},
		{{Key: "insert", Value: "capped"}, {Key: "documents", Value: bson.A{bson.D{{Key: "_id", Value: 2}}, bson.D{{Key: "_id", Value: 1}}}}},
		{{Key: "create", Value: "collated"}, {Key: "collation", Value: bson.D{{Key: "locale", Value: "de"}, {Key: "strength", Value: 2}}}},
		{{Key: "insert", Value: "collated"}, {Key: "documents", Value: bson.A{bson.D{{Key: "_id", Value: "Aa"}}, bson.D{{Key: "_id", Value: "b"}}}}},
		{{Key: "create", Value: "clustered"}, {Key: "clusteredIndex", Value: bson.D{{Key: "key", Value: bson.D{{Key: "_id", Value: 1}}}, {Key: "unique", Value: true}}}},
		{{Key: "insert", Value: "clustered"}, {Key: "documents", Value: bson.A{bson.D{{Key: "_id", Value: 2}}, bson.D{{Key: "_id", Value: 1}}}}},
		{{Key: "create", Value: "dots.and ünïcode"}, {Key: "validator", Value: bson.D{{Key: "z", Value: bson.D{{Key: "$ne", Value: 1.0}}}, {Key: "a", Value: bson.D{{Key: "$ne", Value: 2}}}}}},
	} {
		l.run("db", command)
	}
	return l
}

func (l *live) run(db string, command bson.D) bson.Raw {
	l.t.Helper()
	reply, err := l.driver.Database(db).RunCommand(context.Background(), command).Raw()
	if err != nil {
		l.t.Errorf("%v: %v", command[0], err)
	}
	return reply
}

// hooked is the client with something that happens between the batches of the large collection.
type hooked struct {
	*cluster.Client
	// between is called behind each batch, counted from 1 over all scans of the collection.
	between func(batch int)
	batches int
	// noMoments refuses to read as of a moment, as servers before 5.0 do.
	noMoments bool
	// listing is called before the catalog is listed.
	listing func()
	ends    []error
}

func (h *hooked) Listing(ctx context.Context, scope pitr.Scope) ([]pitr.Collection, error) {
	if h.listing != nil {
		h.listing()
	}
	return h.Client.Listing(ctx, scope)
}

func (h *hooked) Scan(ctx context.Context, r pitr.Range) iter.Seq2[pitr.Batch, error] {
	return func(yield func(pitr.Batch, error) bool) {
		if h.noMoments && r.At != 0 {
			yield(pitr.Batch{}, pitr.Errorf(pitr.KindUnsupported, "", "", "%w", pitr.ErrMomentUnsupported))
			return
		}
		for batch, err := range h.Client.Scan(ctx, r) {
			if err != nil && r.Collection.NS.Collection == "big" {
				h.ends = append(h.ends, err)
			}
			if !yield(batch, err) {
				return
			}
			if err == nil && h.between != nil && r.Collection.NS.Collection == "big" {
				h.batches++
				h.between(h.batches)
			}
		}
	}
}

// write plays applications on all collections until it is told to stop.
func (l *live) write(seed uint64, stop <-chan struct{}) {
	random := rand.New(rand.NewPCG(seed, 3))
	for {
		select {
		case <-stop:
			return
		default:
		}
		id, name := random.IntN(bigDocuments+500), "big"
		if random.IntN(4) == 0 {
			name, id = fmt.Sprint("small", random.IntN(5)), random.IntN(20)
		}
		by := bson.D{{Key: "_id", Value: id}}
		switch random.IntN(10) {
		case 0, 1:
			l.run("db", bson.D{{Key: "delete", Value: name}, {Key: "deletes", Value: bson.A{bson.D{{Key: "q", Value: by}, {Key: "limit", Value: 1}}}}})
		case 2, 3:
			l.run("db", bson.D{{Key: "update", Value: name}, {Key: "updates", Value: bson.A{bson.D{{Key: "q", Value: by},
				{Key: "u", Value: bson.D{{Key: "replaced", Value: random.IntN(1e6)}}}, {Key: "upsert", Value: true}}}}})
		default:
			l.run("db", bson.D{{Key: "update", Value: name}, {Key: "updates", Value: bson.A{bson.D{{Key: "q", Value: by},
				{Key: "u", Value: bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}, {Key: "$set", Value: bson.D{{Key: fmt.Sprint("f", random.IntN(5)), Value: random.IntN(1000)}}}}}}}}})
		}
	}
}

// state is a catalog with its documents, as text, for comparing.
type state map[string][]string

func stateOf(t *testing.T, collections []pitr.Collection, documents func(pitr.Collection) []bson.Raw) state {
	t.Helper()
	s := state{}
	for _, c := range collections {
		lines := []string{fmt.Sprintf("%s %s %s", c.UUID, c.Type, c.Options)}
		for _, spec := range c.Indexes {
			lines = append(lines, spec.String())
		}
		slices.Sort(lines[1:])
		if c.Type == pitr.TypeCollection {
			var content []string
			for _, d := range documents(c) {
				content = append(content, string(d))
			}
			slices.Sort(content)
			lines = append(lines, content...)
		}
		s[c.NS.String()] = lines
	}
	return s
}

func (s state) mustEqual(t *testing.T, what string, want state) {
	t.Helper()
	for ns, lines := range want {
		if len(s[ns]) != len(lines) {
			t.Errorf("%s: %s has %d lines, not %d", what, ns, len(s[ns]), len(lines))
			continue
		}
		for i, line := range lines {
			if s[ns][i] != line {
				t.Errorf("%s: %s differs: %.200q, not %.200q", what, ns, s[ns][i], line)
				break
			}
		}
	}
	for ns := range s {
		if want[ns] == nil {
			t.Errorf("%s: %s should not be there", what, ns)
		}
	}
}

// serverState reads the state of the server, now or as of a moment.
func (l *live) serverState(at pitr.Timestamp) state {
	l.t.Helper()
	listed, err := l.client.Listing(l.t.Context(), pitr.Scope{})
	if err != nil {
		l.t.Fatal(err)
	}
	return stateOf(l.t, listed, func(c pitr.Collection) (documents []bson.Raw) {
		for batch, err := range l.client.Scan(l.t.Context(), pitr.Range{Collection: c, At: at}) {
			if err != nil {
				l.t.Fatal(err)
			}
			for document := range batch.Documents() {
				documents = append(documents, document)
			}
		}
		return documents
	})
}

// folded gives the state at a moment from the snapshot and the archive.
func (l *live) folded(manifest format.Manifest, at pitr.Timestamp) state {
	l.t.Helper()
	ctx := l.t.Context()
	if _, err := l.archive.CatchUp(ctx, at); err != nil {
		l.t.Fatal(err)
	}
	reader, err := snapshot.Open(ctx, l.repository, manifest.ID)
	if err != nil {
		l.t.Fatal(err)
	}
	folded := fold.New(fold.Options{Exact: manifest.At})
	for _, c := range reader.Collections() {
		if err := folded.AddCollection(c.Collection); err != nil {
			l.t.Fatal(err)
		}
		for document, err := range reader.Scan(ctx, c) {
			if err != nil {
				l.t.Fatal(err)
			}
			if err := folded.Put(c.UUID, slices.Clone(document.Raw)); err != nil {
				l.t.Fatal(err)
			}
		}
	}
	assembler := oplog.Assembler{Base: manifest.From}
	for entry, err := range oplog.Read(ctx, l.repository, catalog.BranchWindow{Branch: manifest.Branch,
		Window: pitr.Window{After: manifest.Oplog.After, Through: at}}) {
		if err != nil {
			l.t.Fatal(err)
		}
		group, ok, err := assembler.Push(&entry)
		if err != nil {
			l.t.Fatal(err)
		}
		if ok && group.At > manifest.From {
			if err := folded.Apply(group); err != nil {
				l.t.Fatal(err)
			}
		}
	}
	if tally := folded.Tally(); tally.Overwritten+tally.Missed+tally.Placeholders != 0 {
		l.t.Errorf("the fold behind E met %+v", tally)
	}
	collections, err := folded.Collections()
	if err != nil {
		l.t.Fatal(err)
	}
	return stateOf(l.t, collections, func(c pitr.Collection) (documents []bson.Raw) {
		for _, document := range folded.Documents(c.UUID) {
			if document != nil {
				documents = append(documents, document)
			}
		}
		return documents
	})
}

func (l *live) now() pitr.Timestamp {
	l.t.Helper()
	majority, err := l.client.MajorityOpTime(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	return majority.TS
}

// TestSnapshotOfALiveServer copies while applications write and the catalog changes, and folds the copy to its E and to the
// end. The server's own answers are what it has to equal.
func TestSnapshotOfALiveServer(t *testing.T) {
	ddl := func(l *live) {
		l.run("db", bson.D{{Key: "createIndexes", Value: "small0"}, {Key: "indexes", Value: bson.A{bson.D{
			{Key: "key", Value: bson.D{{Key: "n", Value: 1}}}, {Key: "name", Value: "n_1"}}}}})
		l.run("db", bson.D{{Key: "drop", Value: "small1"}})
		l.run("db", bson.D{{Key: "drop", Value: "small2"}})
		l.run("db", bson.D{{Key: "insert", Value: "small2"}, {Key: "documents", Value: bson.A{bson.D{{Key: "_id", Value: "another"}}}}})
		l.run("admin", bson.D{{Key: "renameCollection", Value: "db.small3"}, {Key: "to", Value: "db.moved"}})
		l.run("admin", bson.D{{Key: "renameCollection", Value: "db.small4"}, {Key: "to", Value: "db.small3"}})
		l.run("db", bson.D{{Key: "insert", Value: "fresh"}, {Key: "documents", Value: bson.A{bson.D{{Key: "_id", Value: 1}}}}})
	}
	for _, c := range []struct {
		name      string
		noMoments bool
		writers   int
		between   func(*live, int)
		exact     format.Exactness
		end       error // how a scan of the large collection has to have ended once
	}{
		{"quiet", false, 0, nil, format.ExactOneTime, nil},
		{"writers", false, 3, nil, format.ExactOneTime, nil},
		{"writers, no moments", true, 3, nil, format.ExactThroughOplog, nil},
		{"moment too old", false, 2, func(l *live, batch int) {
			if batch == 1 {
				l.server.JumpClock(400 * time.Second)
				l.run("db", bson.D{{Key: "insert", Value: "small0"}, {Key: "documents", Value: bson.A{bson.D{{Key: "_id", Value: "later"}}}}})
			}
		}, format.ExactThroughOplog, pitr.ErrMomentGone},
		{"cursors killed", false, 2, func(l *live, batch int) { // case D03
			if batch == 1 {
				l.server.KillCursors()
			}
		}, format.ExactOneTime, pitr.ErrCursorGone},
		{"connections lost", false, 0, func(l *live, batch int) { // case D16
			if batch == 1 {
				l.server.DropConnections()
			}
		}, format.ExactOneTime, nil},
		{"election", false, 2, func(l *live, batch int) { // case D01
			if batch == 1 {
				l.server.Elect()
			}
		}, "", nil},
		{"renamed", true, 2, func(l *live, batch int) { // case D03
			if batch == 1 {
				l.run("admin", bson.D{{Key: "renameCollection", Value: "db.big"}, {Key: "to", Value: "db.large"}})
			}
		}, format.ExactThroughOplog, pitr.ErrCursorGone},
		{"renamed and its place deleted", true, 0, func(l *live, batch int) {
			if batch == 1 {
				l.run("admin", bson.D{{Key: "renameCollection", Value: "db.big"}, {Key: "to", Value: "db.large"}})
				l.run("db", bson.D{{Key: "delete", Value: "large"}, {Key: "deletes", Value: bson.A{bson.D{
					{Key: "q", Value: bson.D{{Key: "_id", Value: bson.D{{Key: "$lt", Value: bigDocuments - 50}}}}}, {Key: "limit", Value: 0}}}}})
				l.run("db", bson.D{{Key: "insert", Value: "large"}, {Key: "documents", Value: bson.A{
					bson.D{{Key: "_id", Value: 0}, {Key: "again", Value: true}}, bson.D{{Key: "_id", Value: 7.0}, {Key: "again", Value: true}}}}})
			}
		}, format.ExactThroughOplog, pitr.ErrResumeGone},
		{"dropped", true, 0, func(l *live, batch int) {
			if batch == 1 {
				l.run("db", bson.D{{Key: "drop", Value: "big"}})
			}
		}, format.ExactThroughOplog, pitr.ErrCollectionGone},
		{"catalog changes, one moment", false, 0, func(l *live, batch int) {
			if batch == 1 {
				ddl(l)
			}
		}, "", nil},
		{"catalog changes before the listing", false, 0, func(l *live, batch int) {
			if batch == 0 {
				ddl(l)
			}
		}, format.ExactOneTime, nil},
		{"catalog changes, no moments", true, 0, func(l *live, batch int) {
			if batch == 1 {
				ddl(l)
			}
		}, format.ExactThroughOplog, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLive(t)
			stop := make(chan struct{})
			var writers sync.WaitGroup
			for i := range c.writers {
				writers.Go(func() { l.write(uint64(i), stop) })
			}
			source := &hooked{Client: l.client, noMoments: c.noMoments}
			if c.between != nil {
				source.between = func(batch int) { c.between(l, batch) }
				source.listing = func() { c.between(l, 0) }
			}
			o := optionsFor(t, l.repository)
			o.Archive, o.Workers = l.archive, 1
			manifest, err := snapshot.Take(t.Context(), source, l.repository, o)
			close(stop)
			writers.Wait()
			if err != nil {
				t.Fatal(err)
			}
			if c.exact != "" && manifest.Exact != c.exact {
				t.Errorf("exact %q: %v", manifest.Exact, source.ends)
			}
			if c.end != nil && !slices.ContainsFunc(source.ends, func(err error) bool { return errors.Is(err, c.end) }) {
				t.Errorf("the scan ended with %v, never with %v", source.ends, c.end)
			}
			if c.between == nil {
				l.folded(manifest, manifest.At).mustEqual(t, "at E", l.serverState(manifest.At))
			}
			now := l.now()
			l.folded(manifest, now).mustEqual(t, "at the end", l.serverState(0))
			if c.writers > 0 && now == manifest.At {
				t.Error("nothing was written meanwhile")
			}
		})
	}
}

// TestSnapshotEqualsAModel copies while one application writes, whose own book says what every document was at every moment.
func TestSnapshotEqualsAModel(t *testing.T) {
	l := newLive(t)
	type line struct {
		at       pitr.Timestamp
		id       int
		document bson.Raw
	}
	var book []line
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		random := rand.New(rand.NewPCG(5, 5))
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			id := random.IntN(300)
			document := raw(bson.D{{Key: "_id", Value: id}, {Key: "n", Value: n}})
			update := bson.D{{Key: "q", Value: bson.D{{Key: "_id", Value: id}}}, {Key: "u", Value: document}, {Key: "upsert", Value: true}}
			command := bson.D{{Key: "update", Value: "model"}, {Key: "updates", Value: bson.A{update}}}
			if n%5 == 4 {
				document = nil
				command = bson.D{{Key: "delete", Value: "model"}, {Key: "deletes", Value: bson.A{bson.D{{Key: "q", Value: bson.D{{Key: "_id", Value: id}}}, {Key: "limit", Value: 1}}}}}
			}
			seconds, ordinal := l.run("db", command).Lookup("opTime", "ts").Timestamp()
			book = append(book, line{pitr.NewTimestamp(seconds, ordinal), id, document})
		}
	}()
	time.Sleep(100 * time.Millisecond)
	o := optionsFor(t, l.repository)
	o.Archive = l.archive
	manifest, err := snapshot.Take(t.Context(), l.client, l.repository, o)
	close(stop)
	<-stopped
	if err != nil {
		t.Fatal(err)
	}
	model := map[int]bson.Raw{}
	for _, entry := range book {
		if entry.at <= manifest.At {
			model[entry.id] = entry.document
		}
	}
	reader, err := snapshot.Open(t.Context(), l.repository, manifest.ID)
	if err != nil {
		t.Fatal(err)
	}
	c, ok := find(reader, "db.model")
	if !ok || manifest.Exact != format.ExactOneTime || book[len(book)-1].at <= manifest.At {
		t.Fatalf("listed %t, exact %q, book through %s", ok, manifest.Exact, book[len(book)-1].at)
	}
	for _, document := range documentsOf(t, reader, c) {
		id := int(document.Lookup("_id").AsInt64())
		if !bytes.Equal(document, model[id]) {
			t.Errorf("%s is there, the book says %s", document, model[id])
		}
		delete(model, id)
	}
	for id, document := range model {
		if document != nil {
			t.Errorf("document %d is missing: %s", id, document)
		}
	}
}

func find(reader *snapshot.Reader, ns string) (format.CollectionRecord, bool) {
	for _, c := range reader.Collections() {
		if c.NS.String() == ns {
			return c, true
		}
	}
	return format.CollectionRecord{}, false
}
