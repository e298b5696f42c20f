// Package replsim is a simulated MongoDB replica set of one member that speaks the real wire protocol, for tests, the demo
// and benchmarks. It holds documents, applies commands and writes an oplog as the recorded server (7.1 line) does; recordings
// are replayed against it by its own tests.
//
// A connection reads messages and hands them one by one to the dispatcher (dispatch.go), which checks name, place, fields and
// rights, opens session and transaction, runs the command, waits for the write concern and completes the reply. The commands
// are in the sub-packages read, write, ddl and admin; the data is in store.
//
// It keeps everything in memory, has no compression and no TLS, and imports nothing of the program but package pitr.
package replsim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"pitr"
	"pitr/internal/replsim/admin"
	"pitr/internal/replsim/command"
	"pitr/internal/replsim/ddl"
	"pitr/internal/replsim/mql/aggregate"
	"pitr/internal/replsim/read"
	"pitr/internal/replsim/session"
	"pitr/internal/replsim/store"
	"pitr/internal/replsim/users"
	"pitr/internal/replsim/write"
)

// Options set up a server. The zero value is a set "rs0" on a free port of the loopback, without authentication.
type Options struct {
	// Address is where to listen, "127.0.0.1:0" if empty.
	Address string
	SetName string
	// Clock is the wall clock.
	Clock func() time.Time
	// NewUUID makes the identities of collections; random if nil.
	NewUUID func() pitr.UUID
	// OplogBytes is the size above which the oldest entries fall off.
	OplogBytes int64
	// Auth asks for logins; users without it are created all the same.
	Auth bool
	// Users are created before the server serves.
	Users []User
	// TTLInterval is the time between two passes of the TTL monitor, a minute if zero.
	TTLInterval time.Duration
}

// User is a login of the database admin.
type User struct {
	Name, Password string
	// Roles are names of roles of admin, or "role@db".
	Roles []string
}

// Server is a running set.
type Server struct {
	options  Options
	listener net.Listener
	host     string
	started  time.Time

	store    *store.Store
	reads    *read.Reads
	writes   *write.Writes
	catalog  *ddl.Catalog
	admin    *admin.Server
	sessions *session.Table
	users    *users.Users
	table    command.Table

	cancel context.CancelCauseFunc
	group  sync.WaitGroup

	mu          sync.Mutex
	connections map[*connection]struct{}
	total       atomic.Int64
	hooks       hooks
	ids         objectIDs
	log         commandLog
}

// errShutdown is why commands end when the server does.
var errShutdown = &command.Failure{Code: 11600, Message: "interrupted at shutdown"}

// Start listens and serves until Close, or until the context ends.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	if o.SetName == "" {
		o.SetName = "rs0"
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", o.Address)
	if err != nil {
		return nil, fmt.Errorf("start a simulated replica set: %w", err)
	}
	s := &Server{
		options: o, listener: listener, host: listener.Addr().String(), started: o.Clock(),
		sessions: &session.Table{}, table: command.Table{}, connections: map[*connection]struct{}{},
	}
	s.ids.now = s.now
	s.assemble()
	if err := s.initiate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start a simulated replica set: %w", err), listener.Close())
	}
	serving, cancel := context.WithCancelCause(ctx)
	s.cancel = cancel
	s.group.Go(func() { s.accept(serving) })
	s.group.Go(func() { s.housekeep(serving) })
	s.group.Go(func() { s.watchTTL(serving) })
	context.AfterFunc(serving, func() { _ = listener.Close() })
	return s, nil
}

// assemble puts the parts together.
func (s *Server) assemble() {
	o := s.options
	s.store = store.New(store.Options{Now: s.now, NewUUID: o.NewUUID, OplogBytes: o.OplogBytes})
	s.reads = &read.Reads{Store: s.store, Stages: map[string]read.Stage{"$currentOp": s.currentOpStage}}
	s.catalog = &ddl.Catalog{Store: s.store, Reads: s.reads, Host: s.host, Pause: s.hooks.buildPause, Letters: letters}
	s.writes = &write.Writes{Store: s.store, Reads: s.reads, Catalog: s.catalog, NewID: s.ids.next}
	s.reads.Output = func(ctx context.Context, r *command.Request, to *aggregate.Output, docs aggregate.Documents) error {
		if to.Stage == "$out" {
			return s.catalog.Out(ctx, r, to, docs)
		}
		return s.writes.Merge(ctx, r, to, docs)
	}
	s.admin = &admin.Server{
		Store: s.store, Reads: s.reads, Sessions: s.sessions, SetName: o.SetName, SetID: s.ids.next(), Process: s.ids.next(), Host: s.host,
		Version: [3]int32{7, 1, 0}, Started: s.started, Params: admin.NewParameters(), Operations: s.operations, EndSession: s.endSession,
		Connections: s.countConnections, Auth: o.Auth,
	}
	s.users = &users.Users{Store: s.store, Session: s.ownSession}
	s.table.Add(s.reads.Commands()...)
	s.table.Add(s.writes.Commands()...)
	s.table.Add(s.catalog.Commands()...)
	s.table.Add(s.admin.Commands()...)
	s.table.Add(s.users.Commands()...)
	s.table.Add(s.transactionCommands()...)
}

// URI is the connection string, with the name of the set.
func (s *Server) URI() string {
	u := url.URL{Scheme: "mongodb", Host: s.host, Path: "/", RawQuery: "replicaSet=" + url.QueryEscape(s.options.SetName)}
	return u.String()
}

// Host is the member's host:port.
func (s *Server) Host() string { return s.host }

// Close ends all connections and waits until nothing runs any more.
func (s *Server) Close() {
	s.cancel(errShutdown)
	s.mu.Lock()
	for c := range s.connections {
		_ = c.net.Close() // its reader finds out
	}
	s.mu.Unlock()
	s.group.Wait()
}

func (s *Server) accept(ctx context.Context) {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		c := s.connect(conn)
		s.group.Go(func() {
			defer s.disconnect(c)
			c.serve(ctx)
		})
	}
}

func (s *Server) connect(conn net.Conn) *connection {
	c := &connection{server: s, net: conn, client: &command.Client{ID: s.total.Add(1), Remote: conn.RemoteAddr().String()}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connections[c] = struct{}{}
	return c
}

func (s *Server) disconnect(c *connection) {
	_ = c.net.Close() // both sides are done with it
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.connections, c)
}

func (s *Server) countConnections() (now, total int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(s.connections)), s.total.Load()
}
