// Package admin holds the commands about the server itself: handshake, status, parameters, statistics, sessions, running
// operations and notes in the oplog.
//
// They show what the other packages hold; numbers that no client here looks at are left out or constant.
package admin

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/internal/replsim/auth"
	"pitr/internal/replsim/command"
	"pitr/internal/replsim/read"
	"pitr/internal/replsim/session"
	"pitr/internal/replsim/store"
	"pitr/internal/replsim/write"
)

// Server is what the commands of this package know about the server.
type Server struct {
	Store    *store.Store
	Reads    *read.Reads
	Sessions *session.Table
	SetName  string
	SetID    bson.ObjectID
	Process  bson.ObjectID
	// Host is this member's host:port.
	Host string
	// Version is the release as buildInfo tells it.
	Version [3]int32
	Started time.Time
	Params  *Parameters
	// Operations lists what is running, for currentOp.
	Operations func() []bson.D
	// EndSession aborts the open transaction of a session.
	EndSession func(*session.Session)
	// Connections is the number of open connections and of all so far.
	Connections func() (now, total int64)
	// Auth says whether logins are asked for.
	Auth bool
	// Rollbacks counts them, as replSetGetRBID tells from 1 on.
	Rollbacks atomic.Int32

	mu       sync.Mutex
	topology int64
	changed  chan struct{}
}

// TopologyChanged tells clients that wait for another topology that there is one.
func (a *Server) TopologyChanged() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.topology++
	if a.changed != nil {
		close(a.changed)
		a.changed = nil
	}
}

// version is the counter of the topology, and a channel that is closed when it rises.
func (a *Server) version() (int64, <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.changed == nil {
		a.changed = make(chan struct{})
	}
	return firstTopology + a.topology, a.changed
}

// firstTopology is the counter of a set after its first election.
const firstTopology = 6

// Commands are the commands of this package.
func (a *Server) Commands() []*command.Command {
	return append(a.statusCommands(), []*command.Command{
		{Name: "hello", Open: true, Run: a.hello},
		{Name: "isMaster", Aliases: []string{"ismaster"}, Open: true, Run: a.hello},
		{Name: "ping", Open: true, Fields: []string{}, Run: nothing},
		{Name: "buildInfo", Aliases: []string{"buildinfo"}, Open: true, Run: a.buildInfo},
		{Name: "endSessions", Run: a.endSessions},
		{Name: "killSessions", Run: a.endSessions},
		{Name: "refreshSessions", Run: nothing},
		{Name: "startSession", Run: a.startSession},
		{Name: "whatsmyuri", Open: true, Run: func(_ context.Context, r *command.Request, out *command.Reply) error {
			out.String("you", r.Client.Remote)
			return nil
		}},
		{Name: "getParameter", Place: command.AdminOnly, Needs: cluster("getParameter"), Run: a.getParameter},
		{Name: "setParameter", Place: command.AdminOnly, Needs: cluster("setParameter"), Run: a.setParameter},
		{Name: "appendOplogNote", Place: command.AdminOnly, Effect: command.Changes, Needs: cluster("appendOplogNote"), Run: a.appendOplogNote},
		{Name: "fsync", Place: command.AdminOnly, Needs: cluster("fsync"), Run: func(_ context.Context, _ *command.Request, out *command.Reply) error {
			out.Int32("numFiles", 1)
			return nil
		}},
		{Name: "currentOp", Place: command.AdminOnly, Run: a.currentOp},
		{Name: "dbStats", Aliases: []string{"dbstats"}, Needs: onDatabase("dbStats"), Run: a.dbStats},
		{Name: "collStats", Aliases: []string{"collstats"}, Needs: onCollection("collStats"), Run: a.collStats},
		{Name: "getCmdLineOpts", Place: command.AdminOnly, Needs: cluster("getCmdLineOpts"), Run: a.commandLine},
		{Name: "getLog", Place: command.AdminOnly, Needs: cluster("getLog"), Run: a.getLog},
		{Name: "hostInfo", Place: command.AdminOnly, Needs: cluster("hostInfo"), Run: a.hostInfo},
	}...)
}

func nothing(context.Context, *command.Request, *command.Reply) error { return nil }

func cluster(action string) func(*command.Request) []auth.Need {
	return func(*command.Request) []auth.Need { return []auth.Need{{Resource: auth.Cluster, Action: action}} }
}

func onDatabase(action string) func(*command.Request) []auth.Need {
	return func(r *command.Request) []auth.Need {
		return []auth.Need{{Resource: auth.Namespace(r.DB, ""), Action: action}}
	}
}

func onCollection(action string) func(*command.Request) []auth.Need {
	return func(r *command.Request) []auth.Need {
		name, _ := r.Argument().StringValueOK()
		return []auth.Need{{Resource: auth.Namespace(r.DB, name), Action: action}}
	}
}

func (a *Server) appendOplogNote(ctx context.Context, r *command.Request, _ *command.Reply) error {
	data, err := r.Document("data")
	if err != nil {
		return err
	}
	return a.Store.Retry(ctx, func() error {
		u := a.Store.Begin()
		u.Bypass = write.MayBypass(r)
		if err := u.Message(data); err != nil {
			u.Abort()
			return err
		}
		r.Client.LastOp = u.Commit()
		return nil
	})
}

func (a *Server) endSessions(_ context.Context, r *command.Request, _ *command.Reply) error {
	ids, _ := r.Argument().ArrayOK()
	values, err := ids.Values()
	if err != nil {
		return err
	}
	for _, v := range values {
		if lsid, ok := v.DocumentOK(); ok && a.EndSession != nil {
			a.EndSession(a.Sessions.Find(lsid, r.Client.Login.Name()))
		}
	}
	return nil
}

func (a *Server) startSession(_ context.Context, _ *command.Request, out *command.Reply) error {
	out.Set("id", bson.D{{Key: "id", Value: a.Store.NewUUID().Binary()}})
	out.Int32("timeoutMinutes", 30)
	return nil
}

// Parameters are the settings that getParameter and setParameter reach.
type Parameters struct {
	mu     sync.Mutex
	values map[string]any
	order  []string
	// Changed is told of each change.
	Changed func(name string, value any)
}

// NewParameters makes the settings with their defaults.
func NewParameters() *Parameters {
	p := &Parameters{values: map[string]any{}}
	for _, e := range []bson.E{
		{Key: "featureCompatibilityVersion", Value: bson.D{{Key: "version", Value: "7.1"}}},
		{Key: "internalInsertMaxBatchSize", Value: int32(500)}, {Key: "maxTransactionLockRequestTimeoutMillis", Value: int32(5)},
		{Key: "minSnapshotHistoryWindowInSeconds", Value: int32(300)}, {Key: "periodicNoopIntervalSecs", Value: int32(10)},
		{Key: "transactionLifetimeLimitSeconds", Value: int32(60)}, {Key: "ttlMonitorEnabled", Value: true}, {Key: "ttlMonitorSleepSecs", Value: int32(60)},
		{Key: "authenticationMechanisms", Value: bson.A{"SCRAM-SHA-1", "SCRAM-SHA-256"}}, {Key: "logLevel", Value: int32(0)},
	} {
		p.values[e.Key] = e.Value
		p.order = append(p.order, e.Key)
	}
	return p
}

// Get gives a setting, nil if it is unknown.
func (p *Parameters) Get(name string) any {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.values[name]
}

// Set changes a setting and gives the old value.
func (p *Parameters) Set(name string, value any) any {
	p.mu.Lock()
	old := p.values[name]
	p.values[name] = value
	p.mu.Unlock()
	if p.Changed != nil {
		p.Changed(name, value)
	}
	return old
}

func (a *Server) getParameter(_ context.Context, r *command.Request, out *command.Reply) error {
	all, _ := r.Argument().StringValueOK()
	found := 0
	for _, name := range a.Params.order {
		if all == "*" || r.Lookup(name).Type != 0 {
			out.Set(name, a.Params.Get(name))
			found++
		}
	}
	if found == 0 {
		return command.Errorf(command.InvalidOptions, "no option found to get")
	}
	return nil
}

func (a *Server) setParameter(_ context.Context, r *command.Request, out *command.Reply) error {
	elements, err := r.Body.Elements()
	if err != nil {
		return err
	}
	for _, e := range elements[1:] {
		old := a.Params.Get(e.Key())
		if old == nil {
			continue
		}
		var value any
		switch old.(type) {
		case bool:
			value = command.Truth(e.Value())
		case int32:
			n, _ := e.Value().AsInt64OK()
			value = int32(n) //nolint:gosec // seconds and counts
		default:
			return command.Errorf(20, "not allowed to change [%s] at runtime", e.Key())
		}
		out.Set("was", a.Params.Set(e.Key(), value))
		return nil
	}
	return command.Errorf(command.InvalidOptions, "no option found to set, use help:true to see options ")
}

func (a *Server) currentOp(_ context.Context, r *command.Request, out *command.Reply) error {
	if login := r.Client.Login; login != nil && !r.Flag("$ownOps") && !login.May(auth.Need{Resource: auth.Cluster, Action: "inprog"}) {
		return command.Errorf(command.Unauthorized, "not authorized on admin to execute command %s", command.Shown(r.Body))
	}
	ops := bson.A{}
	for _, op := range a.Operations() {
		ops = append(ops, op)
	}
	out.Set("inprog", ops)
	return nil
}

func (a *Server) dbStats(_ context.Context, r *command.Request, out *command.Reply) error {
	var collections, indexes int
	var objects, size int64
	a.Store.View(func() {
		for _, c := range a.Store.Collections(r.DB, store.Latest) {
			collections++
			indexes += 1 + len(c.Indexes)
			objects += c.Count()
			size += c.Bytes()
		}
	})
	out.String("db", r.DB)
	out.Int64("collections", int64(collections))
	out.Int64("views", 0)
	out.Int64("objects", objects)
	out.Double("avgObjSize", float64(average(size, objects)))
	out.Double("dataSize", float64(size))
	out.Double("storageSize", float64(size))
	out.Int64("indexes", int64(indexes))
	out.Double("indexSize", float64(indexes)*4096)
	out.Double("totalSize", float64(size)+float64(indexes)*4096)
	out.Double("scaleFactor", 1)
	out.Double("fsUsedSize", float64(size))
	out.Double("fsTotalSize", 1<<40)
	return nil
}

func average(size, n int64) int64 {
	if n == 0 {
		return 0
	}
	return size / n
}

func (a *Server) collStats(_ context.Context, r *command.Request, out *command.Reply) error {
	name, _ := r.Argument().StringValueOK()
	ns := r.DB + "." + name
	if ns == "local.oplog.rs" {
		return a.oplogStats(out)
	}
	var c *store.Collection
	a.Store.View(func() { c = a.Store.Find(ns, store.Latest) })
	out.String("ns", ns)
	if c == nil {
		out.Int32("size", 0)
		out.Int32("count", 0)
		out.Int32("numOrphanDocs", 0)
		out.Int32("storageSize", 0)
		out.Int32("totalSize", 0)
		out.Int32("nindexes", 0)
		out.Int32("totalIndexSize", 0)
		out.Set("indexDetails", bson.D{})
		out.Set("indexSizes", bson.D{})
		out.Int32("scaleFactor", 1)
		return nil
	}
	a.Store.View(func() {
		out.Int32("size", int(c.Bytes()))
		out.Int32("count", int(c.Count()))
		if c.Count() > 0 {
			out.Int32("avgObjSize", int(average(c.Bytes(), c.Count())))
		}
		out.Int32("numOrphanDocs", 0)
		out.Int32("storageSize", int(c.Bytes()))
		out.Int32("freeStorageSize", 0)
		out.Set("capped", c.Capped())
		sizes := bson.D{{Key: "_id_", Value: int32(4096)}}
		for _, x := range c.Indexes {
			sizes = append(sizes, bson.E{Key: x.Name, Value: int32(4096)})
		}
		out.Int32("nindexes", len(sizes))
		out.Set("indexBuilds", bson.A{})
		out.Int32("totalIndexSize", 4096*len(sizes))
		out.Int32("totalSize", int(c.Bytes())+4096*len(sizes))
		out.Set("indexSizes", sizes)
		out.Int32("scaleFactor", 1)
	})
	return nil
}

func (a *Server) oplogStats(out *command.Reply) error {
	a.Store.View(func() {
		size, limit := a.Store.OplogBytes()
		n := int64(len(a.Store.Entries(0, pitr.MaxTimestamp)))
		out.String("ns", "local.oplog.rs")
		out.Int32("size", int(size))
		out.Int32("count", int(n))
		out.Int32("avgObjSize", int(average(size, n)))
		out.Int32("numOrphanDocs", 0)
		out.Int32("storageSize", int(size))
		out.Int32("freeStorageSize", 0)
		out.True("capped")
		out.Int32("max", 0)
		out.Int64("maxSize", limit)
		out.Int32("nindexes", 0)
		out.Int32("totalIndexSize", 0)
		out.Int32("totalSize", int(size))
		out.Set("indexSizes", bson.D{})
		out.Int32("scaleFactor", 1)
	})
	return nil
}
