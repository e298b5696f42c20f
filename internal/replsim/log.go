package replsim

import (
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/auth"
	"pitr/internal/replsim/command"
)

// Logged is one command as the server remembers it.
type Logged struct {
	At time.Time
	// User is "name@db", empty without a login; App and Client tell who sent it.
	User, App, Client string
	DB, Name          string
	Namespace         string
	// Writes says that the command is one that changes data, the catalog or the server.
	Writes bool
	// Code is that of the error it ended with, 0 if none.
	Code int32
}

// commandLog is all commands but handshakes.
type commandLog struct {
	mu  sync.Mutex
	all []Logged
}

func (l *commandLog) add(at time.Time, r *command.Request, err error) {
	if r.Command.Name == "hello" || r.Command.Name == "isMaster" {
		return
	}
	one := Logged{
		At: at, User: r.Client.Login.Name(), App: r.Client.AppName(), Client: r.Client.Remote, DB: r.DB, Name: r.Command.Name,
		Namespace: namespaceOf(r), Writes: r.Command.Effect != command.Reads && !readOnly(r),
	}
	if err != nil {
		one.Code = command.FailureOf(err).Code
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, one)
}

// readOnly reports whether a command that can write does not: an aggregation without $out and $merge.
func readOnly(r *command.Request) bool {
	if r.Command.Name != "aggregate" {
		return false
	}
	array, _ := r.Lookup("pipeline").ArrayOK()
	values, err := array.Values()
	if err != nil || len(values) == 0 {
		return true
	}
	last, _ := values[len(values)-1].DocumentOK()
	return last.Lookup("$out").Type == 0 && last.Lookup("$merge").Type == 0
}

// Commands gives the commands so far, handshakes left out.
func (s *Server) Commands() []Logged {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return slices.Clone(s.log.all)
}

// ForgetCommands empties the log of commands.
func (s *Server) ForgetCommands() {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.all = nil
}

func (c *connection) begin(r *command.Request, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running, c.since = r, at
}

func (c *connection) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = nil
}

// operations lists connections as currentOp shows them, with what they run.
func (s *Server) operations() []bson.D {
	s.mu.Lock()
	all := make([]*connection, 0, len(s.connections))
	for c := range s.connections {
		all = append(all, c)
	}
	s.mu.Unlock()
	slices.SortFunc(all, func(a, b *connection) int { return int(a.client.ID - b.client.ID) })
	ops := make([]bson.D, 0, len(all))
	for _, c := range all {
		ops = append(ops, c.describe(s))
	}
	return ops
}

func (c *connection) describe(s *Server) bson.D {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := bson.D{
		{Key: "type", Value: "op"}, {Key: "host", Value: s.host}, {Key: "desc", Value: "conn" + itoa(c.client.ID)},
		{Key: "connectionId", Value: c.client.ID}, {Key: "client", Value: c.client.Remote},
	}
	if app := c.client.AppName(); app != "" {
		d = append(d, bson.E{Key: "appName", Value: app})
	}
	if c.client.Metadata != nil {
		d = append(d, bson.E{Key: "clientMetadata", Value: c.client.Metadata})
	}
	d = append(d, bson.E{Key: "active", Value: c.running != nil})
	if l := c.client.Login; l != nil {
		d = append(d, bson.E{Key: "effectiveUsers", Value: bson.A{bson.D{{Key: "user", Value: l.User}, {Key: "db", Value: l.DB}}}})
	}
	if c.running == nil {
		return d
	}
	running := s.now().Sub(c.since)
	return append(d,
		bson.E{Key: "opid", Value: c.client.ID}, bson.E{Key: "secs_running", Value: int64(running.Seconds())},
		bson.E{Key: "microsecs_running", Value: running.Microseconds()}, bson.E{Key: "op", Value: operation(c.running)},
		bson.E{Key: "ns", Value: namespaceOf(c.running)}, bson.E{Key: "command", Value: truncated(c.running.Body)},
		bson.E{Key: "waitingForLock", Value: false},
	)
}

// operation is the kind of a running command in the server's words.
func operation(r *command.Request) string {
	switch r.Command.Name {
	case "insert", "update":
		return r.Command.Name
	case "delete":
		return "remove"
	case "find":
		return "query"
	case "getMore":
		return "getmore"
	}
	return "command"
}

// truncated shows only the start of a large command.
func truncated(body bson.Raw) any {
	if len(body) <= 1000 {
		return body
	}
	return bson.D{{Key: "$truncated", Value: command.Shown(body)[:1000]}}
}

// currentOpStage is $currentOp, the first stage of an aggregation on admin.
func (s *Server) currentOpStage(r *command.Request, _ string, stage bson.Raw) ([]bson.Raw, error) {
	login := r.Client.Login
	all := command.Truth(stage.Lookup("allUsers"))
	if all && s.admin.Auth && !login.May(auth.Need{Resource: auth.Cluster, Action: "inprog"}) {
		return nil, command.Errorf(command.Unauthorized, "not authorized on admin to execute command %s", command.Shown(r.Body))
	}
	var docs []bson.Raw
	for _, op := range s.operations() {
		raw, err := bson.Marshal(op)
		if err != nil {
			return nil, err
		}
		doc := bson.Raw(raw)
		if !doc.Lookup("active").Boolean() && !command.Truth(stage.Lookup("idleConnections")) {
			continue
		}
		user, _ := doc.Lookup("effectiveUsers", "0", "user").StringValueOK()
		if !all && login != nil && user != login.User {
			continue
		}
		docs = append(docs, doc)
	}
	return docs, nil
}
