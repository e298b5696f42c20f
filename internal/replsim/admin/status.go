package admin

import (
	"context"
	"strconv"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/internal/replsim/command"
	"pitr/internal/replsim/store"
	"pitr/internal/replsim/write"
)

func (a *Server) statusCommands() []*command.Command {
	return []*command.Command{
		{Name: "serverStatus", Needs: cluster("serverStatus"), Run: a.serverStatus},
		{Name: "replSetGetStatus", Place: command.AdminOnly, Needs: cluster("replSetGetStatus"), Run: a.replSetGetStatus},
		{Name: "replSetGetConfig", Place: command.AdminOnly, Needs: cluster("replSetGetConfig"), Run: a.replSetGetConfig},
		{Name: "replSetGetRBID", Place: command.AdminOnly, Needs: cluster("internal"), Run: func(_ context.Context, _ *command.Request, out *command.Reply) error {
			out.Int32("rbid", int(1+a.Rollbacks.Load()))
			return nil
		}},
	}
}

// point is a moment of the oplog with its wall clock.
type point struct {
	at   pitr.OpTime
	wall time.Time
}

func (a *Server) points() (written, majority point) {
	a.Store.View(func() {
		written.at, majority.at = a.Store.Written(), a.Store.Majority()
	})
	written.wall, majority.wall = written.at.TS.Time(), majority.at.TS.Time()
	return written, majority
}

func opTime(o pitr.OpTime) bson.D {
	return bson.D{{Key: "ts", Value: o.TS.BSON()}, {Key: "t", Value: o.Term}}
}

func date(t time.Time) bson.DateTime { return bson.NewDateTimeFromTime(t) }

// hello describes the member. A client that knows the present topology may wait for another one.
func (a *Server) hello(ctx context.Context, r *command.Request, out *command.Reply) error {
	if r.Client.Metadata == nil {
		if metadata, _ := r.Lookup("client").DocumentOK(); metadata != nil {
			r.Client.Metadata = append(bson.Raw(nil), metadata...)
		}
	}
	if err := a.awaitTopology(ctx, r); err != nil {
		return err
	}
	if r.Flag("helloOk") {
		out.True("helloOk")
	}
	a.topologyVersion(out)
	primary := "isWritablePrimary"
	if r.Name != "hello" {
		primary = "ismaster"
	}
	a.member(out, primary)
	out.Int32("maxBsonObjectSize", 16777216)
	out.Int32("maxMessageSizeBytes", 48000000)
	out.Int32("maxWriteBatchSize", 100000)
	out.Set("localTime", date(a.Store.Now()))
	out.Int32("logicalSessionTimeoutMinutes", 30)
	out.Int32("connectionId", int(r.Client.ID))
	out.Int32("minWireVersion", 0)
	out.Int32("maxWireVersion", 22)
	out.Set("readOnly", false)
	if _, asks := r.Lookup("saslSupportedMechs").StringValueOK(); asks {
		out.Set("saslSupportedMechs", bson.A{"SCRAM-SHA-1", "SCRAM-SHA-256"})
	}
	return nil
}

// maxTopologyWait is how long a client's monitor waits here at most. Drivers cannot always interrupt the wait when they
// disconnect, and would hold up the end of a test for ten seconds.
const maxTopologyWait = 500 * time.Millisecond

func (a *Server) awaitTopology(ctx context.Context, r *command.Request) error {
	known := r.Body.Lookup("topologyVersion", "counter")
	process, _ := r.Body.Lookup("topologyVersion", "processId").ObjectIDOK()
	wait, err := r.Int("maxAwaitTimeMS", 0)
	counter, _ := known.AsInt64OK()
	present, changed := a.version()
	if err != nil || wait <= 0 || process != a.Process || counter != present {
		return err
	}
	timer := time.NewTimer(min(time.Duration(wait)*time.Millisecond, maxTopologyWait))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-changed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (a *Server) topologyVersion(out *command.Reply) {
	counter, _ := a.version()
	out.Set("topologyVersion", bson.D{{Key: "processId", Value: a.Process}, {Key: "counter", Value: counter}})
}

// member writes what hello and serverStatus.repl say about the set and this member.
func (a *Server) member(out *command.Reply, primary string) {
	written, majority := a.points()
	out.Set("hosts", bson.A{a.Host})
	out.String("setName", a.SetName)
	out.Int32("setVersion", 1)
	out.True(primary)
	out.Set("secondary", false)
	out.String("primary", a.Host)
	out.String("me", a.Host)
	out.Set("electionId", write.ElectionID(a.Store.Term()))
	out.Set("lastWrite", bson.D{
		{Key: "opTime", Value: opTime(written.at)}, {Key: "lastWriteDate", Value: date(written.wall)},
		{Key: "majorityOpTime", Value: opTime(majority.at)}, {Key: "majorityWriteDate", Value: date(majority.wall)},
	})
}

func (a *Server) versionText() string {
	text := ""
	for i, n := range a.Version {
		if i > 0 {
			text += "."
		}
		text += strconv.Itoa(int(n))
	}
	return text
}

func (a *Server) buildInfo(_ context.Context, _ *command.Request, out *command.Reply) error {
	out.String("version", a.versionText())
	out.String("gitVersion", "simulated")
	out.Set("modules", bson.A{})
	out.String("allocator", "system")
	out.String("javascriptEngine", "none")
	out.String("sysInfo", "deprecated")
	out.Set("versionArray", bson.A{a.Version[0], a.Version[1], a.Version[2], int32(0)})
	out.Set("openssl", bson.D{{Key: "running", Value: "none"}, {Key: "compiled", Value: "none"}})
	out.Set("buildEnvironment", bson.D{{Key: "distarch", Value: "x86_64"}, {Key: "target_arch", Value: "x86_64"}, {Key: "target_os", Value: "linux"}})
	out.Int32("bits", 64)
	out.Set("debug", false)
	out.Int32("maxBsonObjectSize", 16777216)
	out.Set("storageEngines", bson.A{"devnull", "wiredTiger"})
	return nil
}

func (a *Server) serverStatus(_ context.Context, _ *command.Request, out *command.Reply) error {
	now := a.Store.Now()
	uptime := now.Sub(a.Started)
	current, total := a.Connections()
	out.String("host", a.Host)
	out.String("version", a.versionText())
	out.String("process", "mongod")
	out.Int64("pid", 1)
	out.Double("uptime", uptime.Seconds())
	out.Int64("uptimeMillis", uptime.Milliseconds())
	out.Int64("uptimeEstimate", int64(uptime.Seconds()))
	out.Set("localTime", date(now))
	out.Set("connections", bson.D{
		{Key: "current", Value: int32(current)}, {Key: "available", Value: int32(16000)}, {Key: "totalCreated", Value: int32(total)}, //nolint:gosec // few
	})
	out.Begin("repl")
	a.topologyVersion(out)
	a.member(out, "isWritablePrimary")
	out.Set("primaryOnlyServices", bson.D{})
	out.Int32("rbid", 1)
	var mode store.BlockMode
	var open int
	a.Store.View(func() { mode, open = a.Store.Blocked(), a.Store.Open() })
	out.Int32("userWriteBlockMode", int(mode))
	out.End()
	authentication := "disabled"
	if a.Auth {
		authentication = "enabled"
	}
	out.Set("security", bson.D{{Key: "authentication", Value: authentication}})
	out.Set("storageEngine", bson.D{
		{Key: "name", Value: "wiredTiger"}, {Key: "supportsCommittedReads", Value: true}, {Key: "supportsSnapshotReadConcern", Value: true}, {Key: "readOnly", Value: false}, {Key: "persistent", Value: true},
	})
	out.Set("transactions", bson.D{{Key: "currentOpen", Value: int64(open)}})
	return nil
}

func (a *Server) replSetGetConfig(_ context.Context, _ *command.Request, out *command.Reply) error {
	out.Set("config", a.Config())
	return nil
}

// Config is the configuration of the set, as local.system.replset holds it too.
func (a *Server) Config() bson.D {
	return bson.D{
		{Key: "_id", Value: a.SetName}, {Key: "version", Value: int32(1)}, {Key: "term", Value: int32(a.Store.Term())}, //nolint:gosec // few elections
		{Key: "members", Value: bson.A{bson.D{
			{Key: "_id", Value: int32(0)}, {Key: "host", Value: a.Host}, {Key: "arbiterOnly", Value: false}, {Key: "buildIndexes", Value: true},
			{Key: "hidden", Value: false}, {Key: "priority", Value: 1.0}, {Key: "tags", Value: bson.D{}}, {Key: "secondaryDelaySecs", Value: int64(0)},
			{Key: "votes", Value: int32(1)},
		}}},
		{Key: "protocolVersion", Value: int64(1)}, {Key: "writeConcernMajorityJournalDefault", Value: true},
		{Key: "settings", Value: bson.D{
			{Key: "chainingAllowed", Value: true}, {Key: "heartbeatIntervalMillis", Value: int32(2000)}, {Key: "heartbeatTimeoutSecs", Value: int32(10)},
			{Key: "electionTimeoutMillis", Value: int32(10000)}, {Key: "catchUpTimeoutMillis", Value: int32(-1)},
			{Key: "catchUpTakeoverDelayMillis", Value: int32(30000)}, {Key: "getLastErrorModes", Value: bson.D{}},
			{Key: "getLastErrorDefaults", Value: bson.D{{Key: "w", Value: int32(1)}, {Key: "wtimeout", Value: int32(0)}}},
			{Key: "replicaSetId", Value: a.SetID},
		}},
	}
}

func (a *Server) replSetGetStatus(_ context.Context, _ *command.Request, out *command.Reply) error {
	written, majority := a.points()
	out.String("set", a.SetName)
	out.Set("date", date(a.Store.Now()))
	out.Int32("myState", 1)
	out.Int64("term", a.Store.Term())
	out.String("syncSourceHost", "")
	out.Int32("syncSourceId", -1)
	out.Int64("heartbeatIntervalMillis", 2000)
	for _, name := range []string{"majorityVoteCount", "writeMajorityCount", "votingMembersCount", "writableVotingMembersCount"} {
		out.Int32(name, 1)
	}
	out.Set("optimes", bson.D{
		{Key: "lastCommittedOpTime", Value: opTime(majority.at)}, {Key: "lastCommittedWallTime", Value: date(majority.wall)},
		{Key: "readConcernMajorityOpTime", Value: opTime(majority.at)}, {Key: "appliedOpTime", Value: opTime(written.at)},
		{Key: "durableOpTime", Value: opTime(written.at)}, {Key: "lastAppliedWallTime", Value: date(written.wall)},
		{Key: "lastDurableWallTime", Value: date(written.wall)},
	})
	out.Timestamp("lastStableRecoveryTimestamp", majority.at.TS)
	first := pitr.OpTime{TS: pitr.NewTimestamp(uint32(a.Started.Unix()), 1), Term: -1} //nolint:gosec // seconds fit until 2106
	election := pitr.NewTimestamp(uint32(a.Started.Unix()), 2)                         //nolint:gosec // seconds fit until 2106
	out.Set("electionCandidateMetrics", bson.D{
		{Key: "lastElectionReason", Value: "electionTimeout"}, {Key: "lastElectionDate", Value: date(a.Started)}, {Key: "electionTerm", Value: a.Store.Term()},
		{Key: "lastCommittedOpTimeAtElection", Value: opTime(first)}, {Key: "lastSeenOpTimeAtElection", Value: opTime(first)},
		{Key: "numVotesNeeded", Value: int32(1)}, {Key: "priorityAtElection", Value: 1.0}, {Key: "electionTimeoutMillis", Value: int64(10000)},
		{Key: "newTermStartDate", Value: date(a.Started)}, {Key: "wMajorityWriteAvailabilityDate", Value: date(a.Started)},
	})
	out.Set("members", bson.A{bson.D{
		{Key: "_id", Value: int32(0)}, {Key: "name", Value: a.Host}, {Key: "health", Value: 1.0}, {Key: "state", Value: int32(1)},
		{Key: "stateStr", Value: "PRIMARY"}, {Key: "uptime", Value: int32(a.Store.Now().Sub(a.Started).Seconds())},
		{Key: "optime", Value: opTime(written.at)}, {Key: "optimeDate", Value: date(written.wall)},
		{Key: "lastAppliedWallTime", Value: date(written.wall)}, {Key: "lastDurableWallTime", Value: date(written.wall)},
		{Key: "syncSourceHost", Value: ""}, {Key: "syncSourceId", Value: int32(-1)}, {Key: "infoMessage", Value: ""},
		{Key: "electionTime", Value: election.BSON()}, {Key: "electionDate", Value: date(a.Started)}, {Key: "configVersion", Value: int32(1)},
		{Key: "configTerm", Value: int32(a.Store.Term())}, {Key: "self", Value: true}, {Key: "lastHeartbeatMessage", Value: ""},
	}})
	return nil
}

func (a *Server) commandLine(_ context.Context, _ *command.Request, out *command.Reply) error {
	out.Set("argv", bson.A{"mongod"})
	out.Set("parsed", bson.D{{Key: "replication", Value: bson.D{{Key: "replSet", Value: a.SetName}}}})
	return nil
}

func (a *Server) getLog(_ context.Context, _ *command.Request, out *command.Reply) error {
	out.Int32("totalLinesWritten", 0)
	out.Set("log", bson.A{})
	return nil
}

func (a *Server) hostInfo(_ context.Context, _ *command.Request, out *command.Reply) error {
	out.Set("system", bson.D{{Key: "currentTime", Value: date(a.Store.Now())}, {Key: "hostname", Value: a.Host}, {Key: "numCores", Value: int32(2)}})
	out.Set("os", bson.D{{Key: "type", Value: "Linux"}})
	out.Set("extra", bson.D{})
	return nil
}
