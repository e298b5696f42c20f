package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/cluster"
	"pitr/internal/mongotest"
	"pitr/internal/replsim"
)

// fill inserts enough for several replies of 16 MB and gives the collection.
func (r *rig) fill(ns string) (pitr.Collection, int) {
	r.t.Helper()
	pad := strings.Repeat("z", 9000)
	const count = 8000
	for part := range 8 {
		var documents []any
		for i := range count / 8 {
			documents = append(documents, bson.D{{Key: "_id", Value: part*count/8 + i}, {Key: "pad", Value: pad}})
		}
		r.insert(ns, documents...)
	}
	return r.find(ns), count
}

// TestScanBridgesWhatPasses disturbs a scan in ways that a network and an election do: no document is lost or read twice.
// case D01, D16, S08
func TestScanBridgesWhatPasses(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault replsim.Fault
	}{
		{"connection lost before getMore", replsim.Fault{Command: "getMore", Skip: 1, Times: 1, Action: replsim.Drop}},
		{"reply lost", replsim.Fault{Command: "getMore", Skip: 1, Times: 1, Action: replsim.DropAfter}},
		{"reply cut", replsim.Fault{Command: "getMore", Times: 1, Action: replsim.Cut, Bytes: 1 << 20}},
		{"first reply cut", replsim.Fault{Command: "find", Times: 2, Action: replsim.Cut, Bytes: 100}},
		{"stepped down", replsim.Fault{Command: "getMore", Skip: 1, Times: 2, Action: replsim.Fail, Code: 11602}},
		{"shutting down", replsim.Fault{Command: "find", Times: 3, Action: replsim.Fail, Code: 91}},
		{"no bytes for ever", replsim.Fault{Command: "getMore", Skip: 1, Times: 1, Delay: time.Hour}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newFaultyRig(t)
			collection, count := r.fill("db.c")
			client := r.connect(cluster.Options{URI: r.uri, Stall: time.Second})
			fault := r.server.Inject(c.fault)
			seen := 0
			for batch, err := range client.Scan(t.Context(), pitr.Range{Collection: collection, At: r.now()}) {
				if err != nil {
					t.Fatal(err)
				}
				for document := range batch.Documents() {
					if id := int(document.Lookup("_id").AsInt64()); id != seen {
						t.Fatalf("document %d comes in the place of %d", id, seen)
					}
					seen++
				}
			}
			if seen != count || fault.Fired() == 0 {
				t.Errorf("%d documents of %d; the fault fired %d times", seen, count, fault.Fired())
			}
		})
	}
}

// TestScanGivesUp ends with the right kind when a disturbance does not pass. // case D16
func TestScanGivesUp(t *testing.T) {
	r := newFaultyRig(t)
	collection, _ := r.fill("db.c")
	client := r.connect(cluster.Options{URI: r.uri, Budget: 700 * time.Millisecond})
	scan := func() (err error) {
		for _, err = range client.Scan(t.Context(), pitr.Range{Collection: collection}) {
			if err != nil {
				return err
			}
		}
		return nil
	}
	for _, c := range []struct {
		fault     replsim.Fault
		kind      pitr.Kind
		condition error
	}{
		{replsim.Fault{Command: "getMore", Action: replsim.Drop}, "", nil}, // each find makes progress
		{replsim.Fault{Command: "find", Action: replsim.Drop}, pitr.KindUnavailable, nil},
		{replsim.Fault{Command: "find", Action: replsim.Fail, Code: 13}, pitr.KindDenied, nil},
		{replsim.Fault{Command: "getMore", Action: replsim.Fail, Code: 43}, "", pitr.ErrCursorGone},
		{replsim.Fault{Command: "getMore", Action: replsim.Fail, Code: 237}, "", pitr.ErrCursorGone},
		{replsim.Fault{Command: "find", Action: replsim.Fail, Code: 246}, "", pitr.ErrMomentGone},
		{replsim.Fault{Command: "find", Action: replsim.Fail, Code: 14031}, pitr.KindLimit, nil}, // case D18
	} {
		fault := r.server.Inject(c.fault)
		began := time.Now()
		err := scan()
		if pitr.KindOf(err) != c.kind || c.condition != nil && !errors.Is(err, c.condition) {
			t.Errorf("%s %d: kind %q: %v", c.fault.Command, c.fault.Code, pitr.KindOf(err), err)
		}
		if c.kind != "" && pitr.HintOf(err) == "" && c.kind != pitr.KindLimit {
			t.Errorf("no hint: %v", err)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("it took %s", took)
		}
		fault.Remove()
	}
	if err := scan(); err != nil {
		t.Errorf("after all faults: %v", err)
	}
	deadline := time.Now().Add(5 * time.Second)
	for r.server.OpenCursors() > 0 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if open := r.server.OpenCursors(); open > 3 {
		t.Errorf("%d cursors are left", open)
	}
}

// TestTransactionsSurviveDisturbances writes each list exactly once, whatever happens to commands and replies. // case D01, D17
func TestTransactionsSurviveDisturbances(t *testing.T) {
	ns := pitr.Namespace{DB: "db", Collection: "c"}
	for _, c := range []struct {
		name  string
		fault replsim.Fault
	}{
		{"commit lost", replsim.Fault{Command: "commitTransaction", Times: 1, Action: replsim.Drop}},
		{"reply of the commit lost", replsim.Fault{Command: "commitTransaction", Times: 2, Action: replsim.DropAfter}},
		{"commit during an election", replsim.Fault{Command: "commitTransaction", Times: 1, Action: replsim.FailAfter, Code: 11602,
			Labels: []string{"UnknownTransactionCommitResult"}}},
		{"conflict", replsim.Fault{Command: "update", Times: 2, Action: replsim.Fail, Code: 112, Labels: []string{"TransientTransactionError"}}},
		{"connection lost inside", replsim.Fault{Command: "insert", Times: 1, Action: replsim.DropAfter}},
		{"connection lost at the beginning", replsim.Fault{Command: "find", Times: 1, Action: replsim.Drop}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newFaultyRig(t)
			r.insert("db.c", bson.D{{Key: "_id", Value: 1}, {Key: "n", Value: 1}})
			p := r.client.Primary()
			fault := r.server.Inject(c.fault)
			at, err := p.Transact(t.Context(), []pitr.DocumentWrite{
				{NS: ns, Key: keyOf(t, 1), Expect: mustRaw(bson.D{{Key: "_id", Value: 1}, {Key: "n", Value: 1}}), Result: mustRaw(bson.D{{Key: "_id", Value: 1}, {Key: "n", Value: 2}})},
				{NS: ns, Key: keyOf(t, 2), Result: mustRaw(bson.D{{Key: "_id", Value: 2}})},
			})
			fault.Remove()
			if err != nil {
				t.Fatal(err)
			}
			if got := r.live("db.c"); len(got) != 2 || !strings.Contains(got[0], `"n": {"$numberInt":"2"}`) {
				t.Errorf("it has %q", got)
			}
			if fault.Fired() == 0 {
				t.Error("the fault did not fire")
			}
			commits := 0
			for _, entry := range r.server.OplogAfter(0) {
				if entry.Lookup("o", "applyOps").Type != 0 && entry.Lookup("lsid").Type != 0 {
					commits++
				}
			}
			if commits != 1 {
				t.Errorf("%d transactions stand in the oplog", commits)
			}
			_ = at
		})
	}
}

// TestLoadSurvivesLostReplies loads every document exactly once. // case D17
func TestLoadSurvivesLostReplies(t *testing.T) {
	for _, fault := range []replsim.Fault{
		{Command: "insert", Times: 1, Action: replsim.Drop},
		{Command: "insert", Times: 2, Action: replsim.DropAfter},
		{Command: "insert", Times: 1, Action: replsim.Fail, Code: 189},
	} {
		r := newFaultyRig(t)
		injected := r.server.Inject(fault)
		var documents []bson.Raw
		for i := range 5000 {
			documents = append(documents, mustRaw(bson.D{{Key: "_id", Value: i}, {Key: "x", Value: fmt.Sprint(i)}}))
		}
		p := r.client.Primary()
		if err := p.Load(t.Context(), pitr.Namespace{DB: "db", Collection: "c"}, documents); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		injected.Remove()
		got, _, err := r.scanAll(pitr.Range{Collection: r.find("db.c")})
		if err != nil || !slices.EqualFunc(got, documents, func(a, b bson.Raw) bool { return bytes.Equal(a, b) }) || injected.Fired() == 0 {
			t.Errorf("%d documents of %d, %v", len(got), len(documents), err)
		}
	}
}

// TestCatalogStepsSurviveLostReplies does each step once and says yes when it finds it done.
func TestCatalogStepsSurviveLostReplies(t *testing.T) {
	r := newFaultyRig(t)
	p := r.client.Primary()
	ns, to := pitr.Namespace{DB: "db", Collection: "c"}, pitr.Namespace{DB: "db", Collection: "d"}
	spec := mustRaw(bson.D{{Key: "v", Value: 2}, {Key: "key", Value: bson.D{{Key: "a", Value: 1}}}, {Key: "name", Value: "a_1"}})
	apply := func(command string, step pitr.CatalogWrite) {
		t.Helper()
		fault := r.server.Inject(replsim.Fault{Command: command, Times: 1, Action: replsim.DropAfter})
		defer fault.Remove()
		if at, err := p.Apply(t.Context(), step); err != nil || at == 0 || fault.Fired() != 1 {
			t.Fatalf("%s: at %s, fired %d, %v", step, at, fault.Fired(), err)
		}
	}
	apply("create", pitr.CreateCollection{Collection: pitr.Collection{NS: ns, Type: pitr.TypeCollection, Options: mustRaw(bson.D{})}})
	uuid := r.find("db.c").UUID
	apply("createIndexes", pitr.CreateIndexes{NS: ns, UUID: uuid, Specs: []bson.Raw{spec}})
	apply("dropIndexes", pitr.DropIndex{NS: ns, UUID: uuid, Spec: spec})
	apply("renameCollection", pitr.RenameCollection{UUID: uuid, From: ns, To: to})
	if r.find("db.d").UUID != uuid {
		t.Error("another collection")
	}
	apply("drop", pitr.DropCollection{NS: to, UUID: uuid})
}

// TestLoginAndRights connects with logins that lack something. // case D12
func TestLoginAndRights(t *testing.T) {
	instance := mongotest.Start(t, mongotest.Need{Users: []mongotest.User{
		{Name: "reader", Password: "p%ss:w/rd@1", Roles: []string{"backup", "clusterMonitor"}},
		{Name: "backup", Password: "secret2", Roles: []string{"backup"}},
		{Name: "restorer", Password: "secret3", Roles: []string{"restore", "readWriteAnyDatabase", "clusterMonitor"}},
		{Name: "app", Password: "secret4", Roles: []string{"readWriteAnyDatabase"}},
	}})
	connect := func(uri string) (*cluster.Client, error) {
		client, err := cluster.Connect(t.Context(), cluster.Options{Timeout: 5 * time.Second, URI: uri})
		if err == nil {
			t.Cleanup(func() { client.Close(context.Background()) })
		}
		return client, err
	}
	_, err := connect(strings.Replace(instance.As(t, "backup"), "secret2", "wr0ng", 1))
	if pitr.KindOf(err) != pitr.KindDenied || pitr.HintOf(err) == "" || strings.Contains(fmt.Sprintf("%+v", err), "wr0ng") {
		t.Errorf("a wrong password: kind %q: %v", pitr.KindOf(err), err)
	}
	missing := func(user string, purpose cluster.Purpose) []string {
		t.Helper()
		client, err := connect(instance.As(t, user))
		if err != nil {
			t.Fatal(err)
		}
		if !client.Server().Authenticated {
			t.Errorf("%s is not known", user)
		}
		lacking, err := client.MissingRights(t.Context(), purpose)
		if err != nil {
			t.Fatal(err)
		}
		return lacking
	}
	if lacking := missing("reader", cluster.ForReading); len(lacking) != 0 {
		t.Errorf("the reader lacks %q", lacking)
	}
	if lacking := missing("restorer", cluster.ForRestoring); len(lacking) != 0 {
		t.Errorf("the restorer lacks %q", lacking)
	}
	if lacking := missing("backup", cluster.ForReading); len(lacking) == 0 || !strings.Contains(lacking[0], "clusterMonitor") {
		t.Errorf("without clusterMonitor it lacks %q", lacking)
	}
	if lacking := missing("app", cluster.ForRestoring); !slices.ContainsFunc(lacking, func(l string) bool { return strings.HasPrefix(l, "setUserWriteBlockMode") }) {
		t.Errorf("an application lacks %q", lacking)
	}
	reader, err := connect(instance.As(t, "reader"))
	if err != nil {
		t.Fatal(err)
	}
	if server := reader.Server(); server.SetID == "" || server.Ability != pitr.AbilityFull || server.FCV == "" {
		t.Errorf("the reader learnt %+v", server)
	}
	if _, err := reader.Primary().Transact(t.Context(), []pitr.DocumentWrite{{NS: pitr.Namespace{DB: "db", Collection: "c"},
		Key: keyOf(t, 1), Result: mustRaw(bson.D{{Key: "_id", Value: 1}})}}); pitr.KindOf(err) != pitr.KindDenied {
		t.Errorf("a reader who writes: %v", err)
	}
	restorer, err := connect(instance.As(t, "restorer"))
	if err != nil {
		t.Fatal(err)
	}
	if server := restorer.Server(); server.SetID == "" || server.Ability != pitr.AbilityFull {
		t.Errorf("the restorer learnt %+v", server)
	}
	p := restorer.Primary()
	block, err := p.WriteBlock(t.Context())
	if err != nil || !block.Usable() || block.Standing || block.Missing != "" {
		t.Errorf("the restorer's block is %+v, %v", block, err)
	}
	if err := p.BlockWrites(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Transact(t.Context(), []pitr.DocumentWrite{{NS: pitr.Namespace{DB: "db", Collection: "c"},
		Key: keyOf(t, 1), Result: mustRaw(bson.D{{Key: "_id", Value: 1}})}}); err != nil {
		t.Errorf("the restorer under its block: %v", err)
	}
	if err := p.UnblockWrites(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestWritersNamesApplications(t *testing.T) {
	r := newFaultyRig(t)
	r.insert("db.c", bson.D{{Key: "_id", Value: 1}})
	writers, err := r.client.Writers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range writers {
		if w.App == "pitr" || w.Host == "" {
			t.Errorf("%+v", w)
		}
	}
	if len(writers) == 0 {
		t.Error("the application is not seen")
	}
}
