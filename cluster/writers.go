package cluster

import (
	"cmp"
	"context"
	"net"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// operation is the part of an element of $currentOp that tells who it is and what it does.
type operation struct {
	App    string `bson:"appName"`
	Client string `bson:"client"`
	Op     string `bson:"op"`
	NS     string `bson:"ns"`
	Users  []struct {
		User string `bson:"user"`
		DB   string `bson:"db"`
	} `bson:"effectiveUsers"`
	Command bson.Raw `bson:"command"`
}

// Writers tells who is connected to the primary and able to write: users, applications and hosts, and where a write is
// under way also its namespace; those come first. pitr's own connections and those without a client are left out. It
// fails with kind denied where the right to see other users' operations (inprog, in the role clusterMonitor) is missing.
func (c *Client) Writers(ctx context.Context) ([]pitr.Writer, error) {
	const op = "ask who is writing"
	reply, err := c.writes.once(ctx, order{op: op, db: "admin", command: bson.D{
		{Key: "aggregate", Value: 1}, {Key: "cursor", Value: bson.D{{Key: "batchSize", Value: hugeBatch}}},
		{Key: "pipeline", Value: bson.A{bson.D{{Key: "$currentOp", Value: bson.D{
			{Key: "allUsers", Value: true}, {Key: "idleConnections", Value: true}, {Key: "idleSessions", Value: false}}}}}}}})
	if err != nil {
		return nil, c.writes.failed(ctx, op, err)
	}
	cursor, err := readCursor(reply)
	if err != nil {
		return nil, wrongReply(op, reply, err)
	}
	writing := map[pitr.Writer]string{}
	for document, err := range cursor.batch.Documents() {
		if err != nil {
			return nil, wrongReply(op, reply, err)
		}
		var seen operation
		if err := bson.Unmarshal(document, &seen); err != nil {
			return nil, wrongReply(op, document, err)
		}
		// Where logins are asked for, a connection without one only watches the server.
		if who := seen.who(); who.Host != "" && who.App != c.options.AppName && (who.User != "" || !c.server.Authenticated) {
			writing[who] = cmp.Or(seen.written(), writing[who])
		}
	}
	writers := make([]pitr.Writer, 0, len(writing))
	for who, ns := range writing {
		who.NS = ns
		writers = append(writers, who)
	}
	slices.SortFunc(writers, func(a, b pitr.Writer) int {
		return cmp.Or(cmp.Compare(min(len(b.NS), 1), min(len(a.NS), 1)), cmp.Compare(a.App, b.App),
			cmp.Compare(a.User, b.User), cmp.Compare(a.Host, b.Host))
	})
	return writers, nil
}

// who names the client of an operation; the port says nothing to a person.
func (o operation) who() pitr.Writer {
	writer := pitr.Writer{App: o.App, Host: o.Client}
	if host, _, err := net.SplitHostPort(o.Client); err == nil {
		writer.Host = host
	}
	if len(o.Users) > 0 {
		writer.User = o.Users[0].User + "@" + o.Users[0].DB
	}
	return writer
}

// written gives the namespace that an operation is writing to, empty when it does not write.
func (o operation) written() string {
	switch o.Op {
	case "insert", "update", "remove":
		return o.NS
	case "command":
		for _, verb := range []string{"insert", "update", "delete", "findAndModify", "findandmodify", "bulkWrite"} {
			if o.Command.Lookup(verb).Type != 0 {
				return o.NS
			}
		}
	}
	return ""
}
