package cluster_test

import (
	"bufio"
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/cluster"
	"pitr/internal/replsim/wire"
)

// stub is a server that only says who it is: for clusters that the simulated set cannot be.
type stub struct {
	host    string
	replies map[string]bson.D
	mu      sync.Mutex
	asked   map[string]int
}

// startStub serves the given replies to commands; what has none is an unknown command.
func startStub(t *testing.T, replies map[string]bson.D) *stub {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &stub{host: listener.Addr().String(), replies: replies, asked: map[string]int{}}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			go s.serve(conn)
		}
	}()
	return s
}

func (s *stub) serve(conn net.Conn) {
	in := bufio.NewReader(conn)
	for {
		m, err := wire.Read(in)
		if err != nil {
			return
		}
		name := m.Body.Index(0).Key()
		if name == "isMaster" || name == "ismaster" {
			name = "hello"
		}
		if name == "find" {
			name = "find " + m.Body.Index(0).Value().StringValue()
		}
		s.mu.Lock()
		s.asked[name]++
		reply, known := s.replies[name]
		s.mu.Unlock()
		if !known {
			reply = bson.D{{Key: "ok", Value: 0}, {Key: "errmsg", Value: "no such command: '" + name + "'"}, {Key: "code", Value: 59}, {Key: "codeName", Value: "CommandNotFound"}}
		}
		raw, err := bson.Marshal(reply)
		if err != nil {
			return
		}
		if _, err := conn.Write(wire.Finish(append(wire.Begin(nil, m), raw...), m)); err != nil {
			return
		}
	}
}

func (s *stub) askedFor(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[name]
}

// member gives the replies of a healthy member of a set of 7.0.
func member(hello ...bson.E) map[string]bson.D {
	optime := bson.D{{Key: "ts", Value: bson.Timestamp{T: 1761120000, I: 1}}, {Key: "t", Value: int64(1)}}
	now := time.Now()
	found := bson.D{{Key: "ok", Value: 1}, {Key: "minWireVersion", Value: 0}, {Key: "maxWireVersion", Value: 21}, {Key: "maxBsonObjectSize", Value: 16 << 20},
		{Key: "maxMessageSizeBytes", Value: 48000000}, {Key: "maxWriteBatchSize", Value: 100000}, {Key: "logicalSessionTimeoutMinutes", Value: 30},
		{Key: "localTime", Value: now}, {Key: "lastWrite", Value: bson.D{{Key: "opTime", Value: optime}, {Key: "lastWriteDate", Value: now}, {Key: "majorityOpTime", Value: optime}}}}
	batch := func(documents ...any) bson.D {
		return bson.D{{Key: "ok", Value: 1}, {Key: "cursor", Value: bson.D{{Key: "id", Value: int64(0)}, {Key: "ns", Value: "x.y"}, {Key: "firstBatch", Value: bson.A(documents)}}}}
	}
	return map[string]bson.D{
		"hello":               append(found, hello...),
		"buildInfo":           {{Key: "ok", Value: 1}, {Key: "version", Value: "7.0.5"}},
		"connectionStatus":    {{Key: "ok", Value: 1}, {Key: "authInfo", Value: bson.D{{Key: "authenticatedUsers", Value: bson.A{}}}}},
		"find system.version": batch(bson.D{{Key: "_id", Value: "featureCompatibilityVersion"}, {Key: "version", Value: "7.0"}}),
		"find oplog.rs":       batch(bson.D{{Key: "ts", Value: bson.Timestamp{T: 1761120000, I: 1}}, {Key: "t", Value: int64(1)}, {Key: "v", Value: int64(2)}}),
		"endSessions":         {{Key: "ok", Value: 1}},
	}
}

// alone gives the fields of hello of a set with one member.
func alone(host string) []bson.E {
	return []bson.E{{Key: "setName", Value: "rs0"}, {Key: "isWritablePrimary", Value: true}, {Key: "hosts", Value: bson.A{host}}, {Key: "me", Value: host}, {Key: "primary", Value: host}}
}

func connectTo(t *testing.T, hosts string) (*cluster.Client, error) {
	t.Helper()
	client, err := cluster.Connect(t.Context(), cluster.Options{URI: "mongodb://" + hosts, Timeout: 3 * time.Second})
	if err == nil {
		t.Cleanup(func() { client.Close(context.Background()) })
	}
	return client, err
}

// TestSpeciesOfServers meets what is no plain replica set. // case D15
func TestSpeciesOfServers(t *testing.T) {
	router := startStub(t, member(bson.E{Key: "msg", Value: "isdbgrid"}, bson.E{Key: "isWritablePrimary", Value: true}))
	if _, err := connectTo(t, router.host); pitr.KindOf(err) != pitr.KindUnsupported || pitr.HintOf(err) == "" {
		t.Errorf("a router: kind %q: %v", pitr.KindOf(err), err)
	}
	start := func(change func(map[string]bson.D)) *stub {
		s := startStub(t, nil)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.replies = member(alone(s.host)...)
		change(s.replies)
		return s
	}
	shard := start(func(replies map[string]bson.D) {
		replies["find system.version"] = bson.D{{Key: "ok", Value: 1}, {Key: "cursor", Value: bson.D{{Key: "id", Value: int64(0)}, {Key: "ns", Value: "admin.system.version"},
			{Key: "firstBatch", Value: bson.A{bson.D{{Key: "_id", Value: "shardIdentity"}}}}}}}
	})
	if _, err := connectTo(t, shard.host); pitr.KindOf(err) != pitr.KindUnsupported || pitr.HintOf(err) == "" {
		t.Errorf("a shard: kind %q: %v", pitr.KindOf(err), err)
	}
	for _, c := range []struct {
		name, why string
		change    func(map[string]bson.D)
	}{
		{"a standalone", "not a member", func(replies map[string]bson.D) {
			replies["hello"] = member(bson.E{Key: "isWritablePrimary", Value: true})["hello"]
		}},
		{"an old set", "4.2.9", func(replies map[string]bson.D) {
			replies["buildInfo"] = bson.D{{Key: "ok", Value: 1}, {Key: "version", Value: "4.2.9"}}
		}},
		{"a set that only looks like one", "oplog", func(replies map[string]bson.D) { delete(replies, "find oplog.rs") }},
	} {
		server := start(c.change)
		client, err := connectTo(t, server.host)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		_, err = client.MajorityOpTime(t.Context())
		if client.Server().Ability != pitr.AbilityDocuments || pitr.KindOf(err) != pitr.KindUnsupported || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s has the ability %q: %v", c.name, client.Server().Ability, err)
		}
	}
	healthy := start(func(map[string]bson.D) {})
	if client, err := connectTo(t, healthy.host); err != nil || client.Server().Ability != pitr.AbilityFull || client.Server().FCV != "7.0" {
		t.Errorf("a healthy set: %v", err)
	}
}

// TestReadsGoToAnIdleSecondary has three members, of which one is busy, and then one that lags.
func TestReadsGoToAnIdleSecondary(t *testing.T) {
	stubs := []*stub{startStub(t, nil), startStub(t, nil), startStub(t, nil)}
	var hosts bson.A
	for _, s := range stubs {
		hosts = append(hosts, s.host)
	}
	for i, s := range stubs {
		fields := []bson.E{{Key: "setName", Value: "rs0"}, {Key: "isWritablePrimary", Value: i == 0}, {Key: "secondary", Value: i != 0},
			{Key: "hosts", Value: hosts}, {Key: "me", Value: s.host}, {Key: "primary", Value: stubs[0].host}, {Key: "setVersion", Value: 1}}
		s.mu.Lock()
		s.replies = member(fields...)
		s.replies["serverStatus"] = bson.D{{Key: "ok", Value: 1}, {Key: "globalLock", Value: bson.D{{Key: "activeClients", Value: bson.D{{Key: "total", Value: 50 - 20*i}}}}}}
		s.mu.Unlock()
	}
	client, err := connectTo(t, stubs[0].host+"/?replicaSet=rs0")
	if err != nil {
		t.Fatal(err)
	}
	if got := client.Server().Member; got != stubs[2].host {
		t.Errorf("reads go to %s, the idle secondary is %s", got, stubs[2].host)
	}
	before := stubs[2].askedFor("find oplog.rs")
	if _, _, err := client.OplogBounds(t.Context()); err != nil || stubs[2].askedFor("find oplog.rs") != before+2 {
		t.Errorf("the oplog was read elsewhere: %v", err)
	}
	stubs[2].mu.Lock()
	for i, field := range stubs[2].replies["hello"] {
		if field.Key == "lastWrite" {
			lagging := time.Now().Add(-time.Hour)
			stubs[2].replies["hello"][i].Value = bson.D{{Key: "lastWriteDate", Value: lagging}}
		}
	}
	stubs[2].mu.Unlock()
	if client, err = connectTo(t, stubs[0].host+"/?replicaSet=rs0"); err != nil || client.Server().Member != stubs[1].host {
		t.Errorf("reads go to %s, %v", client.Server().Member, err)
	}
	chosen, err := cluster.Connect(t.Context(), cluster.Options{URI: "mongodb://" + stubs[0].host + "/?replicaSet=rs0", Member: stubs[0].host, Timeout: 3 * time.Second})
	if err != nil || chosen.Server().Member != stubs[0].host {
		t.Errorf("the chosen member: %v", err)
	}
	chosen.Close(context.Background())
}
