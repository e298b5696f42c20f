package cluster

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"pitr"
)

// version is what the server's line can do.
type version struct {
	major, minor int
	sessions     bool
}

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

// learn asks one member what the cluster is.
func (c *Client) learn(ctx context.Context) error {
	op := "connect to " + MaskURI(c.options.URI)
	hello, err := c.greet(ctx, c.writes, op)
	if err != nil {
		return err
	}
	if hello.Msg == "isdbgrid" {
		return pitr.Errorf(pitr.KindUnsupported, op, "give the uri of one replica set, such as one shard's",
			"this is a router of a sharded cluster, which pitr does not support yet")
	}
	c.version.sessions = hello.SessionMinutes != nil
	c.server = pitr.Server{Set: hello.SetName, Member: hello.Me, Clock: hello.LocalTime,
		Hosts: slices.Sorted(slices.Values(slices.Concat(hello.Hosts, hello.Passives)))}
	if err := c.learnVersion(ctx, op); err != nil {
		return err
	}
	if err := c.learnUser(ctx, op); err != nil {
		return err
	}
	if err := c.learnStored(ctx, op); err != nil {
		return err
	}
	c.learnSetID(ctx, op)
	return c.learnAbility(ctx, op, hello)
}

// greet asks a member who it is.
func (c *Client) greet(ctx context.Context, on *mongo.Client, op string) (greeting, error) {
	var hello greeting
	reply, err := c.once(ctx, on, order{op: op, db: "admin", command: bson.D{{Key: "hello", Value: 1}}})
	if err != nil {
		return hello, c.unreached(ctx, op, err)
	}
	if err := bson.Unmarshal(reply, &hello); err != nil {
		return hello, wrongReply(op, reply, err)
	}
	return hello, nil
}

// unreached is like failed, for the first contact: a context that ran out of time means that nobody answered.
func (c *Client) unreached(ctx context.Context, op string, err error) error {
	if context.Cause(ctx) == context.DeadlineExceeded {
		return pitr.Errorf(pitr.KindUnavailable, op, hintFor(pitr.KindUnavailable, 0),
			"no answer within %s: %w", c.options.Timeout, c.secrets.error(err))
	}
	return c.failed(ctx, op, err)
}

func (c *Client) learnVersion(ctx context.Context, op string) error {
	reply, err := c.once(ctx, c.reads, order{db: "admin", command: bson.D{{Key: "buildInfo", Value: 1}}})
	if err != nil {
		return c.unreached(ctx, op, err)
	}
	c.server.Version, _ = reply.Lookup("version").StringValueOK()
	sessions := c.version.sessions
	c.version = parseVersion(c.server.Version)
	c.version.sessions = sessions
	return nil
}

// learnUser also proves the login: connectionStatus is allowed to everybody who got in.
func (c *Client) learnUser(ctx context.Context, op string) error {
	reply, err := c.once(ctx, c.reads, order{db: "admin", command: bson.D{{Key: "connectionStatus", Value: 1}}})
	if err != nil {
		return c.unreached(ctx, op, err)
	}
	if users, ok := reply.Lookup("authInfo", "authenticatedUsers").ArrayOK(); ok {
		known, err := users.Values()
		c.server.Authenticated = err == nil && len(known) > 0
	}
	return nil
}

// learnStored reads what the server keeps about itself, where it lets us: the feature version, and whether it is a shard
// of a sharded cluster that was reached directly.
func (c *Client) learnStored(ctx context.Context, op string) error {
	documents, err := c.all(ctx, order{op: op, db: "admin", command: bson.D{{Key: "find", Value: "system.version"}}})
	if err != nil {
		c.options.Log.Debug("read admin.system.version", "error", err)
	}
	for _, document := range documents {
		switch id, _ := document.Lookup("_id").StringValueOK(); id {
		case "featureCompatibilityVersion":
			c.server.FCV, _ = document.Lookup("version").StringValueOK()
		case "shardIdentity":
			return pitr.Errorf(pitr.KindUnsupported, op, "pitr works with replica sets that stand alone",
				"%s is a shard of a sharded cluster, which pitr does not support yet", c.server.Member)
		}
	}
	if c.server.FCV != "" {
		return nil
	}
	reply, err := c.once(ctx, c.reads, order{db: "admin", command: bson.D{
		{Key: "getParameter", Value: 1}, {Key: "featureCompatibilityVersion", Value: 1}}})
	if err == nil {
		c.server.FCV, _ = reply.Lookup("featureCompatibilityVersion", "version").StringValueOK()
	}
	return nil
}

// learnSetID reads the set's id where a right allows it; without it the hosts are the witness of who this is.
func (c *Client) learnSetID(ctx context.Context, op string) {
	if c.server.Set == "" {
		return
	}
	reply, err := c.once(ctx, c.reads, order{db: "admin", command: bson.D{{Key: "replSetGetConfig", Value: 1}}})
	config := reply
	if err == nil {
		config, _ = reply.Lookup("config").DocumentOK()
	} else if stored, failure := c.all(ctx, order{op: op, db: "local", command: bson.D{
		{Key: "find", Value: "system.replset"}, {Key: "limit", Value: 1}}}); failure == nil && len(stored) > 0 {
		config = stored[0]
	}
	if id, ok := config.Lookup("settings", "replicaSetId").ObjectIDOK(); ok {
		c.server.SetID = id.Hex()
	}
}

// learnAbility decides whether moments exist here: a replica set of 4.4 or later with sessions, a majority point, and an
// oplog in the form that pitr reads. Servers that only look alike fail one of these.
func (c *Client) learnAbility(ctx context.Context, op string, hello greeting) error {
	c.server.Ability = pitr.AbilityDocuments
	switch {
	case hello.SetName == "":
		c.lacking = "it is not a member of a replica set"
	case !c.version.atLeast(4, 4):
		c.lacking = fmt.Sprintf("version %s is older than 4.4", c.server.Version)
	case !c.version.sessions || hello.LastWrite.MajorityOpTime.TS.T == 0:
		c.lacking = "it has no sessions or no majority point"
	default:
		return c.learnOplog(ctx, op)
	}
	return nil
}

func (c *Client) learnOplog(ctx context.Context, op string) error {
	newest, err := c.oplogEnd(ctx, op, -1)
	switch kind := pitr.KindOf(err); {
	case kind == pitr.KindUnavailable, kind == pitr.KindInterrupted:
		return err
	case kind == pitr.KindDenied:
		// A user who only writes need not read the oplog; whoever needs it is told when it is read.
		c.server.Ability = pitr.AbilityFull
		return nil
	case err != nil || newest == nil:
		c.lacking = "local.oplog.rs cannot be read or is empty"
		return nil
	}
	if v, ok := newest.Lookup("v").AsInt64OK(); !ok || v != 2 {
		c.lacking = "the entries of local.oplog.rs are not of version 2"
		return nil
	}
	c.server.Ability = pitr.AbilityFull
	return nil
}
