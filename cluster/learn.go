package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// version is the line of a server.
type version struct{ major, minor int }

func (v version) atLeast(major, minor int) bool {
	return v.major > major || v.major == major && v.minor >= minor
}

func parseVersion(text string) (v version) {
	parts := strings.SplitN(text, ".", 3)
	v.major, _ = strconv.Atoi(parts[0])
	if len(parts) > 1 {
		v.minor, _ = strconv.Atoi(parts[1])
	}
	return v
}

// greeting is the part of a hello reply that pitr uses.
type greeting struct {
	Msg               string    `bson:"msg"`
	SetName           string    `bson:"setName"`
	Me                string    `bson:"me"`
	Primary           string    `bson:"primary"`
	Hosts             []string  `bson:"hosts"`
	Passives          []string  `bson:"passives"`
	IsWritablePrimary bool      `bson:"isWritablePrimary"`
	IsMaster          bool      `bson:"ismaster"`
	Secondary         bool      `bson:"secondary"`
	LocalTime         time.Time `bson:"localTime"`
	SessionMinutes    *int      `bson:"logicalSessionTimeoutMinutes"`
	LastWrite         lastWrite `bson:"lastWrite"`
}

type lastWrite struct {
	OpTime         opTime    `bson:"opTime"`
	LastWriteDate  time.Time `bson:"lastWriteDate"`
	MajorityOpTime opTime    `bson:"majorityOpTime"`
}

// opTime is an optime in the server's form.
type opTime struct {
	TS   bson.Timestamp `bson:"ts"`
	Term int64          `bson:"t"`
}

func (o opTime) plain() pitr.OpTime { return pitr.OpTime{TS: pitr.TimestampOf(o.TS), Term: o.Term} }

// learnt is what one member told about its cluster.
type learnt struct {
	server  pitr.Server
	version version
	// lacking says why there is no usable oplog; empty when there is.
	lacking string
}

// learn asks the member at the other end of a link what the cluster is.
func (l *link) learn(ctx context.Context, op string) (learnt, error) {
	hello, err := l.greet(ctx, op)
	if err != nil {
		return learnt{}, err
	}
	if hello.Msg == "isdbgrid" {
		return learnt{}, pitr.Errorf(pitr.KindUnsupported, op, "give the uri of one replica set that stands alone",
			"this is a router of a sharded cluster, which pitr does not support yet")
	}
	l.sessions = hello.SessionMinutes != nil
	found := learnt{server: pitr.Server{Set: hello.SetName, Member: hello.Me, Clock: hello.LocalTime,
		Hosts: slices.Sorted(slices.Values(slices.Concat(hello.Hosts, hello.Passives)))}}
	for _, part := range []func(context.Context, string, *learnt) error{l.learnVersion, l.learnUser, l.learnStored, l.learnSetID} {
		if err := part(ctx, op, &found); err != nil {
			return found, err
		}
	}
	return found, l.learnAbility(ctx, op, hello, &found)
}

// greet asks a member who it is.
func (l *link) greet(ctx context.Context, op string) (greeting, error) {
	var hello greeting
	reply, err := l.once(ctx, order{op: op, db: "admin", command: bson.D{{Key: "hello", Value: 1}}})
	if err != nil {
		return hello, l.unreached(ctx, op, err)
	}
	if err := bson.Unmarshal(reply, &hello); err != nil {
		return hello, wrongReply(op, reply, err)
	}
	return hello, nil
}

// unreached is like failed, for the first contact: a context that ran out of time means that nobody answered.
func (l *link) unreached(ctx context.Context, op string, err error) error {
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return pitr.Errorf(pitr.KindUnavailable, op, hintFor(pitr.KindUnavailable, 0),
			"no answer within %s: %w", l.options.Timeout, l.secrets.error(err))
	}
	return l.failed(ctx, op, err)
}

func (l *link) learnVersion(ctx context.Context, op string, found *learnt) error {
	reply, err := l.once(ctx, order{db: "admin", command: bson.D{{Key: "buildInfo", Value: 1}}})
	if err != nil {
		return l.unreached(ctx, op, err)
	}
	found.server.Version, _ = reply.Lookup("version").StringValueOK()
	found.version = parseVersion(found.server.Version)
	return nil
}

// learnUser also proves the login: connectionStatus is allowed to everybody who got in.
func (l *link) learnUser(ctx context.Context, op string, found *learnt) error {
	reply, err := l.once(ctx, order{db: "admin", command: bson.D{{Key: "connectionStatus", Value: 1}}})
	if err != nil {
		if err = l.unreached(ctx, op, err); isUnknownToServer(err) {
			return nil
		}
		return err
	}
	if users, ok := reply.Lookup("authInfo", "authenticatedUsers").ArrayOK(); ok {
		known, err := users.Values()
		found.server.Authenticated = err == nil && len(known) > 0
	}
	return nil
}

// learnStored reads what the server keeps about itself, where it lets us: the feature version, and whether it is a shard
// of a sharded cluster that was reached directly.
func (l *link) learnStored(ctx context.Context, op string, found *learnt) error {
	documents, err := l.all(ctx, order{op: op, db: "admin", command: bson.D{{Key: "find", Value: "system.version"}}})
	if err != nil {
		l.options.Log.Debug("read admin.system.version", "error", err)
	}
	for _, document := range documents {
		switch id, _ := document.Lookup("_id").StringValueOK(); id {
		case "featureCompatibilityVersion":
			found.server.FCV, _ = document.Lookup("version").StringValueOK()
		case "shardIdentity":
			return pitr.Errorf(pitr.KindUnsupported, op, "give the uri of one replica set that stands alone",
				"%s is a shard of a sharded cluster, which pitr does not support yet", found.server.Member)
		}
	}
	if found.server.FCV != "" {
		return nil
	}
	reply, err := l.once(ctx, order{db: "admin", command: bson.D{
		{Key: "getParameter", Value: 1}, {Key: "featureCompatibilityVersion", Value: 1}}})
	if err == nil {
		found.server.FCV, _ = reply.Lookup("featureCompatibilityVersion", "version").StringValueOK()
	}
	return nil
}

// learnSetID reads the set's id where a right allows it; without it the hosts are the witness of who this is.
func (l *link) learnSetID(ctx context.Context, op string, found *learnt) error {
	if found.server.Set == "" {
		return nil
	}
	var config bson.Raw
	reply, err := l.once(ctx, order{db: "admin", command: bson.D{{Key: "replSetGetConfig", Value: 1}}})
	if err == nil {
		config, _ = reply.Lookup("config").DocumentOK()
	} else if stored, failure := l.all(ctx, order{op: op, db: "local", command: bson.D{
		{Key: "find", Value: "system.replset"}, {Key: "limit", Value: 1}}}); failure == nil && len(stored) > 0 {
		config = stored[0]
	}
	if id, ok := config.Lookup("settings", "replicaSetId").ObjectIDOK(); ok {
		found.server.SetID = id.Hex()
	}
	return nil
}

// learnAbility decides whether moments exist here: a replica set of 4.4 or later with sessions, a majority point, and an
// oplog in the form that pitr reads. Servers that only look alike fail one of these.
func (l *link) learnAbility(ctx context.Context, op string, hello greeting, found *learnt) error {
	found.server.Ability = pitr.AbilityDocuments
	switch {
	case hello.SetName == "":
		found.lacking = "it is not a member of a replica set"
		return nil
	case !found.version.atLeast(4, 4):
		found.lacking = fmt.Sprintf("version %s is older than 4.4", found.server.Version)
		return nil
	case !l.sessions || hello.LastWrite.MajorityOpTime.TS.T == 0:
		found.lacking = "it has no sessions or no majority point"
		return nil
	}
	newest, err := l.oplogEnd(ctx, op, -1)
	kind := pitr.KindOf(err)
	switch v, _ := newest.Lookup("v").AsInt64OK(); {
	case kind == pitr.KindUnavailable, kind == pitr.KindInterrupted:
		return err
	case kind == pitr.KindDenied:
		// A user who only writes need not read the oplog; whoever needs it is told when it is read.
		found.server.Ability = pitr.AbilityFull
	case err != nil || newest == nil:
		found.lacking = "local.oplog.rs cannot be read or is empty"
	case v != 2:
		found.lacking = "the entries of local.oplog.rs are not of version 2"
	default:
		found.server.Ability = pitr.AbilityFull
	}
	return nil
}
