package restore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"pitr"
	"pitr/catalog"
	"pitr/cluster"
	"pitr/format"
	"pitr/guard"
	"pitr/history"
	"pitr/internal/mongotest"
	"pitr/oplog"
	"pitr/restore"
	"pitr/snapshot"
	"pitr/storage"
)

// stage is a server, an application that writes to it, and a repository.
type stage struct {
	t          testing.TB
	set        *mongotest.Instance
	app        *mongo.Client
	reading    *cluster.Client
	writing    *cluster.Client
	store      storage.Store
	repository *catalog.Repository
	archiver   *oplog.Archiver
}

var logins = []mongotest.User{
	{Name: "reader", Password: "r", Roles: []string{"backup", "clusterMonitor"}},
	{Name: "restorer", Password: "r", Roles: []string{"restore", "readWriteAnyDatabase", "clusterMonitor"}},
	{Name: "app", Password: "a", Roles: []string{"readWriteAnyDatabase", "dbAdminAnyDatabase"}},
	{Name: "root", Password: "r", Roles: []string{"root"}},
}

// newStage starts a server, with or without authentication.
func newStage(t testing.TB, need mongotest.Need) *stage {
	t.Helper()
	s := &stage{t: t, set: mongotest.Start(t, need), store: storage.NewMemory()}
	as := func(name string) string {
		if len(need.Users) == 0 {
			return s.set.URI
		}
		return s.set.As(t, name)
	}
	s.app = s.connect(as("app"))
	s.reading, s.writing = s.client(as("reader")), s.client(as("restorer"))
	var err error
	s.repository, err = catalog.Create(t.Context(), s.store, catalog.CreateOptions{ClusterName: "devices-eu"})
	s.must(err)
	s.archiver = oplog.NewArchiver(s.reading, s.repository, oplog.ArchiveOptions{})
	return s
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) connect(uri string) *mongo.Client {
	s.t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(uri).SetTimeout(30 * time.Second))
	s.must(err)
	s.t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	return client
}

func (s *stage) client(uri string) *cluster.Client {
	s.t.Helper()
	client, err := cluster.Connect(s.t.Context(), cluster.Options{URI: uri, Await: 100 * time.Millisecond})
	s.must(err)
	s.t.Cleanup(func() { client.Close(context.Background()) })
	return client
}

// run sends a command of the application.
func (s *stage) run(db string, command ...bson.E) {
	s.t.Helper()
	s.must(s.app.Database(db).RunCommand(s.t.Context(), bson.D(command)).Err())
}

func (s *stage) insert(ns pitr.Namespace, documents ...any) {
	s.t.Helper()
	_, err := s.app.Database(ns.DB).Collection(ns.Collection).InsertMany(s.t.Context(), documents)
	s.must(err)
}

func (s *stage) replace(ns pitr.Namespace, id, document any) {
	s.t.Helper()
	_, err := s.app.Database(ns.DB).Collection(ns.Collection).ReplaceOne(s.t.Context(), bson.D{{Key: "_id", Value: id}}, document)
	s.must(err)
}

func (s *stage) remove(ns pitr.Namespace, filter bson.D) {
	s.t.Helper()
	_, err := s.app.Database(ns.DB).Collection(ns.Collection).DeleteMany(s.t.Context(), filter)
	s.must(err)
}

// now gives a moment after everything that was written.
func (s *stage) now() pitr.Timestamp {
	s.t.Helper()
	at, err := s.reading.MajorityOpTime(s.t.Context())
	s.must(err)
	return at.TS
}

// capture reads the whole cluster with the application's own client.
func (s *stage) capture() state {
	s.t.Helper()
	list, err := s.reading.Listing(s.t.Context(), pitr.Scope{})
	s.must(err)
	now := state{catalog: list, documents: map[pitr.Namespace]map[string]bson.Raw{}}
	for _, collection := range list {
		if collection.Type == pitr.TypeView {
			continue
		}
		cursor, err := s.app.Database(collection.NS.DB).Collection(collection.NS.Collection).Find(s.t.Context(), bson.D{})
		s.must(err)
		documents := map[string]bson.Raw{}
		for cursor.Next(s.t.Context()) {
			content := bytes.Clone(cursor.Current)
			documents[keyOf(s.t, content).Equal()] = content
		}
		s.must(cursor.Err())
		now.documents[collection.NS] = documents
	}
	return now
}

// same compares the cluster with a state: documents by bytes, the catalog by meaning.
func (s *stage) same(want state) {
	s.t.Helper()
	live := s.capture()
	differences, err := guard.Differences(live.catalog, want.catalog)
	s.must(err)
	if len(differences) > 0 {
		s.t.Fatalf("the catalog differs: %v", differences)
	}
	for ns, documents := range want.documents {
		if len(documents) != len(live.documents[ns]) {
			s.t.Fatalf("%s has %d documents, want %d", ns, len(live.documents[ns]), len(documents))
		}
		for key, document := range documents {
			if !bytes.Equal(document, live.documents[ns][key]) {
				s.t.Fatalf("%s: %s, want %s", ns, live.documents[ns][key], document)
			}
		}
	}
}

// twoLogins reads entries with the login for reading, as the program does.
type twoLogins struct {
	*cluster.Primary
	reading *cluster.Primary
}

func (t twoLogins) Entries(ctx context.Context, after pitr.Timestamp) iter.Seq2[bson.Raw, error] {
	return t.reading.Entries(ctx, after)
}

// through gives restore the archiver in the form that it asks for.
type through struct{ *stage }

func (a through) Through(ctx context.Context, at pitr.Timestamp) (pitr.OpTime, error) {
	branch, err := a.archiver.CatchUp(ctx, at)
	if err != nil {
		return pitr.OpTime{}, err
	}
	last, _, err := a.repository.LastSegment(ctx, branch)
	if err != nil {
		return pitr.OpTime{}, err
	}
	_, facts, err := a.repository.OpenSegment(ctx, branch, last)
	return facts.Last.OpTime, err
}

func (s *stage) deps() restore.Deps {
	s.t.Helper()
	timeline, err := s.repository.Timeline(s.t.Context())
	s.must(err)
	return restore.Deps{Repository: s.repository, Target: twoLogins{s.writing.Primary(), s.reading.Primary()},
		Past: restore.InRepository(s.repository, timeline.Tip(), history.Options{}), Archive: through{s},
		Writers: s.reading, Operator: "ada@console", Host: "console", Quiet: 2 * time.Second, WorkFolder: s.t.TempDir()}
}

func (s *stage) snapshot() format.Manifest {
	s.t.Helper()
	manifest, err := snapshot.Take(s.t.Context(), s.reading, s.repository, snapshot.Options{Archive: s.archiver, Reason: format.ReasonManual})
	s.must(err)
	return manifest
}

func (s *stage) restore(to pitr.Timestamp) (restore.Outcome, error) {
	s.t.Helper()
	deps := s.deps()
	intent, err := restore.Plan(s.t.Context(), deps, restore.Request{To: to})
	s.must(err)
	for _, refusal := range intent.Refused {
		s.t.Logf("refused: %+v", refusal)
	}
	confirmed, err := intent.Confirm("devices-eu")
	s.must(err)
	return restore.Run(s.t.Context(), deps, intent, confirmed)
}

func (s *stage) undo(job format.ID) (restore.Outcome, error) {
	s.t.Helper()
	deps := s.deps()
	intent, err := restore.PlanUndo(s.t.Context(), deps, job)
	s.must(err)
	confirmed, err := intent.Confirm("devices-eu")
	s.must(err)
	return restore.Run(s.t.Context(), deps, intent, confirmed)
}

// devicesAtT fills a database as it is before the damage.
func (s *stage) devicesAtT() {
	s.t.Helper()
	s.run("deviceauth", bson.E{Key: "create", Value: "devices"}, bson.E{Key: "validator", Value: bson.D{{Key: "status", Value: bson.D{{Key: "$exists", Value: true}}}}})
	s.run("deviceauth", bson.E{Key: "createIndexes", Value: "devices"}, bson.E{Key: "indexes", Value: bson.A{
		bson.D{{Key: "key", Value: bson.D{{Key: "tenant", Value: 1}, {Key: "hash", Value: 1}}}, {Key: "name", Value: "tenant_hash"}, {Key: "unique", Value: true}},
		bson.D{{Key: "key", Value: bson.D{{Key: "serial", Value: 1}}}, {Key: "name", Value: "serial"}, {Key: "unique", Value: true}},
	}})
	var list []any
	for i := range 300 {
		list = append(list, bson.D{{Key: "_id", Value: fmt.Sprint("device-", i)}, {Key: "tenant", Value: i % 3}, {Key: "hash", Value: i}, {Key: "serial", Value: i}, {Key: "status", Value: "accepted"}})
	}
	s.insert(devices, list...)
	s.insert(limits, bson.D{{Key: "_id", Value: "tenant"}, {Key: "max", Value: 5}})
	s.insert(old, bson.D{{Key: "_id", Value: 1}}, bson.D{{Key: "_id", Value: 2.5}})
	s.insert(tokens, bson.D{{Key: "_id", Value: "a"}, {Key: "exp", Value: time.Now().Add(time.Hour)}})
	s.run("deviceauth", bson.E{Key: "createIndexes", Value: "tokens"}, bson.E{Key: "indexes", Value: bson.A{
		bson.D{{Key: "key", Value: bson.D{{Key: "exp", Value: 1}}}, {Key: "name", Value: "exp"}, {Key: "expireAfterSeconds", Value: 0}}}})
}

// damage does what an incident does.
func (s *stage) damage() {
	s.t.Helper()
	s.run("deviceauth", bson.E{Key: "dropIndexes", Value: "devices"}, bson.E{Key: "index", Value: "tenant_hash"})
	for i := range 40 {
		s.insert(devices, bson.D{{Key: "_id", Value: fmt.Sprint("twin-", i)}, {Key: "tenant", Value: i % 3}, {Key: "hash", Value: i}, {Key: "serial", Value: 1000 + i}, {Key: "status", Value: "pending"}})
	}
	update := bson.D{{Key: "q", Value: bson.D{{Key: "tenant", Value: 1}}}, {Key: "u", Value: bson.D{{Key: "$set", Value: bson.D{{Key: "status", Value: "rejected"}}}}}, {Key: "multi", Value: true}}
	s.run("deviceauth", bson.E{Key: "update", Value: "devices"}, bson.E{Key: "updates", Value: bson.A{update}})
	s.remove(devices, bson.D{{Key: "tenant", Value: 2}, {Key: "serial", Value: bson.D{{Key: "$lt", Value: 100}}}})
	// two devices trade serials under an index that stays
	trade := func(id string, serial int) {
		s.replace(devices, id, bson.D{{Key: "_id", Value: id}, {Key: "tenant", Value: 0}, {Key: "hash", Value: 7000 + serial}, {Key: "serial", Value: serial}, {Key: "status", Value: "traded"}})
	}
	trade("device-0", -1)
	trade("device-3", 0)
	trade("device-0", 3)
	s.run("deviceauth", bson.E{Key: "collMod", Value: "devices"}, bson.E{Key: "validator", Value: bson.D{}})
	s.run("deviceauth", bson.E{Key: "drop", Value: "limits"})
	s.run("deviceauth", bson.E{Key: "create", Value: "limits"}, bson.E{Key: "collation", Value: bson.D{{Key: "locale", Value: "de"}}})
	s.insert(limits, bson.D{{Key: "_id", Value: "tenant"}, {Key: "max", Value: 50}})
	s.run("admin", bson.E{Key: "renameCollection", Value: old.String()}, bson.E{Key: "to", Value: renamed.String()})
	s.insert(renamed, bson.D{{Key: "_id", Value: 9}})
	s.insert(fresh, bson.D{{Key: "_id", Value: 1}})
	s.run("deviceauth", bson.E{Key: "drop", Value: "tokens"})
}

// A cluster that was rewound is, byte for byte, what it was at T, and after the undo what it was before the rewind.
func TestRewindOnAServer(t *testing.T) {
	for name, need := range map[string]mongotest.Need{"with users": {Users: logins}, "without authentication": {}} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, need)
			s.devicesAtT()
			s.snapshot()
			s.insert(devices, bson.D{{Key: "_id", Value: "after the snapshot"}, {Key: "tenant", Value: 5}, {Key: "hash", Value: 5}, {Key: "serial", Value: 5000}, {Key: "status", Value: "accepted"}})
			at, want := s.now(), s.capture()
			s.damage()
			damaged := s.capture()
			outcome, err := s.restore(at)
			s.must(err)
			s.same(want)
			if len(outcome.Warnings) > 0 {
				t.Errorf("warnings %v", outcome.Warnings)
			}
			block, err := s.writing.Primary().WriteBlock(t.Context())
			s.must(err)
			if block.Standing {
				t.Error("a block was left")
			}
			undone, err := s.undo(outcome.Job)
			if err != nil {
				t.Fatalf("undo: %v: %+v", err, undone.LeftAlone)
			}
			s.same(damaged)
			// Back once more: a rewind over two jobs.
			again, err := s.restore(at)
			s.must(err)
			s.same(want)
			if again.First.TS <= undone.Last.TS {
				t.Errorf("the second rewind began at %s, the undo ended at %s", again.First, undone.Last)
			}
		})
	}
}

// Random life, rewound to random moments of it, again and again: each time the cluster is what it was.
func TestRandomLivesAreRewound(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	s := newStage(t, mongotest.Need{Users: logins})
	s.devicesAtT()
	s.snapshot()
	type moment struct {
		at    pitr.Timestamp
		state state
	}
	moments := []moment{{s.now(), s.capture()}}
	for round := range 6 {
		for range 3 {
			for range 10 + random.IntN(30) {
				s.live(random)
			}
			moments = append(moments, moment{s.now(), s.capture()})
		}
		chosen, damaged := moments[random.IntN(len(moments)-1)], moments[len(moments)-1].state
		outcome, err := s.restore(chosen.at)
		if err != nil {
			t.Fatalf("round %d, to %s: %v", round, chosen.at, err)
		}
		s.same(chosen.state)
		if random.IntN(2) == 0 {
			undone, err := s.undo(outcome.Job)
			if err != nil {
				t.Fatalf("round %d, undo: %v: %+v", round, err, undone.LeftAlone)
			}
			s.same(damaged)
		}
		moments = append(moments, moment{s.now(), s.capture()})
	}
}

// live does one random thing, which may fail as it does for any application.
func (s *stage) live(random *rand.Rand) {
	db := s.app.Database("life")
	name := fmt.Sprint("c", random.IntN(3))
	collection := db.Collection(name)
	ctx := s.t.Context()
	id := random.IntN(30)
	document := bson.D{{Key: "_id", Value: id}, {Key: "u", Value: random.IntN(40)}, {Key: "v", Value: bson.A{random.IntN(5), "x"}}}
	command := func(elements ...bson.E) { _ = db.RunCommand(ctx, bson.D(elements)).Err() }
	switch random.IntN(24) {
	case 0:
		command(bson.E{Key: "drop", Value: name})
	case 1:
		command(bson.E{Key: "create", Value: name}, bson.E{Key: "validator", Value: bson.D{{Key: "u", Value: bson.D{{Key: "$exists", Value: true}}}}})
	case 2, 3:
		command(bson.E{Key: "createIndexes", Value: name}, bson.E{Key: "indexes", Value: bson.A{
			bson.D{{Key: "key", Value: bson.D{{Key: "u", Value: 1}}}, {Key: "name", Value: "u"}, {Key: "unique", Value: true}}}})
	case 4:
		command(bson.E{Key: "dropIndexes", Value: name}, bson.E{Key: "index", Value: "u"})
	case 5:
		command(bson.E{Key: "collMod", Value: name}, bson.E{Key: "validationLevel", Value: []string{"off", "strict", "moderate"}[random.IntN(3)]})
	case 6:
		_, _ = collection.UpdateMany(ctx, bson.D{{Key: "u", Value: bson.D{{Key: "$gt", Value: random.IntN(40)}}}}, bson.D{{Key: "$inc", Value: bson.D{{Key: "u", Value: 1}}}})
	case 7:
		_, _ = collection.DeleteMany(ctx, bson.D{{Key: "u", Value: bson.D{{Key: "$lt", Value: random.IntN(10)}}}})
	case 8:
		_ = s.app.UseSession(ctx, func(ctx context.Context) error {
			session := mongo.SessionFromContext(ctx)
			if err := session.StartTransaction(); err != nil {
				return err
			}
			_, _ = collection.DeleteOne(ctx, bson.D{{Key: "_id", Value: id}})
			_, _ = collection.InsertOne(ctx, document)
			return session.CommitTransaction(ctx)
		})
	case 9, 10:
		_, _ = collection.DeleteOne(ctx, bson.D{{Key: "_id", Value: id}})
	case 11, 12, 13:
		_, _ = collection.UpdateOne(ctx, bson.D{{Key: "_id", Value: id}}, bson.D{{Key: "$set", Value: bson.D{{Key: "u", Value: random.IntN(40)}}}, {Key: "$push", Value: bson.D{{Key: "v", Value: random.IntN(9)}}}})
	case 14, 15:
		_, _ = collection.ReplaceOne(ctx, bson.D{{Key: "_id", Value: id}}, document, options.Replace().SetUpsert(true))
	default:
		_, _ = collection.InsertOne(ctx, document)
	}
}

// Somebody who passes the block is seen, and a block of somebody else is left alone. // case D11
func TestOthersOnAServer(t *testing.T) {
	s := newStage(t, mongotest.Need{Users: logins})
	s.devicesAtT()
	s.snapshot()
	at := s.now()
	s.damage()
	root := s.connect(s.set.As(t, "root"))

	block := func(on bool) {
		t.Helper()
		s.must(root.Database("admin").RunCommand(t.Context(), bson.D{{Key: "setUserWriteBlockMode", Value: 1}, {Key: "global", Value: on}}).Err())
	}
	block(true)
	intent, err := restore.Plan(t.Context(), s.deps(), restore.Request{To: at})
	s.must(err)
	if len(intent.Refused) != 1 {
		t.Fatalf("refused %+v", intent.Refused)
	}
	block(false)

	deps := s.deps()
	intent, err = restore.Plan(t.Context(), deps, restore.Request{To: at})
	s.must(err)
	confirmed, err := intent.Confirm("devices-eu")
	s.must(err)
	deps.Progress = meddler{pitr.Silent, func() {
		_, err := root.Database("deviceauth").Collection("tokens").InsertOne(t.Context(), bson.D{{Key: "_id", Value: "stray"}})
		s.must(err)
	}}
	deps.Limits.Writes = 10
	_, err = restore.Run(t.Context(), deps, intent, confirmed)
	var stray *guard.Stray
	if pitr.KindOf(err) != pitr.KindHalfway || !errors.As(err, &stray) || stray.NS != tokens {
		t.Fatalf("run: %v", err)
	}
	if now, err := s.writing.Primary().WriteBlock(t.Context()); err != nil || !now.Standing {
		t.Errorf("the block fell: %v", err)
	}
	undo, err := restore.PlanUndo(t.Context(), s.deps(), intent.ID)
	s.must(err)
	if confirmed, err = undo.Confirm("devices-eu"); err != nil {
		t.Fatal(err)
	}
	outcome, err := restore.Run(t.Context(), s.deps(), undo, confirmed)
	if pitr.KindOf(err) != pitr.KindPartial || len(outcome.LeftAlone) != 1 {
		t.Errorf("undo: %v %+v", err, outcome.LeftAlone)
	}
	if now, err := s.writing.Primary().WriteBlock(t.Context()); err != nil || now.Standing {
		t.Errorf("the block stands: %v", err)
	}
}

// meddler does something when documents begin to be written.
type meddler struct {
	pitr.Progress
	do func()
}

func (m meddler) Start(part string, _ pitr.Amount) {
	if part == string(guard.PhaseWrite) {
		m.do()
	}
}
