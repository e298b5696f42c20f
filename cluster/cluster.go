// Package cluster talks to a MongoDB server for the rest of pitr; it is the only importer of the MongoDB client.
//
// Connecting learns what is at the other end: one member answers hello, tells the set, its members, versions and whether
// we are known; from that follows the ability, full or documents only. Sharded clusters are refused. A client has two
// ways to the cluster: reads go to one chosen member over a direct connection, so that a cursor that is opened again
// meets the same history and the same record ids; writes follow the primary.
//
// Everything is read as raw BSON. Scans and the oplog come as the server's own batches, the next one requested while the
// caller works on this one. What the driver or the server reports becomes an error with a kind, an operation and a hint,
// never with a secret; the conditions that can end a scan are those of package pitr.
//
// The package gives primitives and decides nothing: it does not know snapshots, archives, guards or jobs. Its writes are
// to be used through package guard only. Every type in the signatures that consumers need is from package pitr, bson or
// the standard library, so that they define their own interfaces.
package cluster

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"pitr"
)

// Options say how to connect. Only URI is needed.
type Options struct {
	// URI is a mongodb or mongodb+srv connection string. With directConnection=true only the named member is used.
	URI string
	// AppName is what the server's log and currentOp show; "pitr" when empty.
	AppName string
	// Member is the host:port that reads go to; empty: the least loaded healthy secondary, else the primary.
	Member string
	// Timeout bounds how long a server is looked for; 30 s when zero.
	Timeout time.Duration
	// Budget bounds how long an interrupted read is tried again; 2 min when zero.
	Budget time.Duration
	// Stall bounds the wait for one reply; 2 min when zero.
	Stall time.Duration
	// Await is how long the server holds a reply about the oplog open when there is nothing new; 1 s when zero.
	Await time.Duration
	// BytesPerSecond throttles scans; no limit when zero.
	BytesPerSecond int64
	// Now is the clock, Log the log; the real clock and silence when nil.
	Now func() time.Time
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.AppName == "" {
		o.AppName = "pitr"
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Budget == 0 {
		o.Budget = 2 * time.Minute
	}
	if o.Stall == 0 {
		o.Stall = 2 * time.Minute
	}
	if o.Await == 0 {
		o.Await = time.Second
	}
	if o.Now == nil {
		o.Now = time.Now //nolint:forbidigo // the default of the clock that jobs are handed
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	return o
}

// Client is a connection to one cluster. It is safe for use by several goroutines.
type Client struct {
	options Options
	learnt
	// writes follows the primary; reads is bound to one member and may be the same.
	writes, reads *link
	// scanned meters the scans for the throttle.
	scanned meter
}

// Connect looks for the cluster within Options.Timeout and learns what it is. It fails with kind invalid for a URI that
// cannot be used, denied for a login that was refused, unavailable when nobody answers, unsupported for a sharded cluster.
func Connect(ctx context.Context, o Options) (*Client, error) {
	c := &Client{options: o.withDefaults()}
	settings, err := c.options.settings()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	connected, err := mongo.Connect(settings)
	if err != nil {
		return nil, c.options.badURI(err)
	}
	c.writes = &link{mongo: connected, options: c.options, secrets: secretsOf(o.URI)}
	c.reads = c.writes
	if c.learnt, err = c.writes.learn(ctx, "connect to "+MaskURI(o.URI)); err == nil {
		err = c.chooseMember(ctx, settings)
	}
	if err != nil {
		c.Close(context.WithoutCancel(ctx))
		return nil, err
	}
	return c, nil
}

// settings reads the URI. Compression is left to it; reads and writes are never repeated by the driver behind our back.
func (o Options) settings() (*options.ClientOptions, error) {
	if o.URI == "" {
		return nil, o.badURI(errors.New("no uri is configured"))
	}
	settings := options.Client().ApplyURI(o.URI)
	settings.SetAppName(o.AppName)
	settings.SetServerSelectionTimeout(o.Timeout)
	settings.SetRetryReads(false).SetRetryWrites(false)
	if err := settings.Validate(); err != nil {
		return nil, o.badURI(err)
	}
	return settings, nil
}

func (o Options) badURI(err error) error {
	return pitr.Errorf(pitr.KindInvalid, "connect to "+MaskURI(o.URI),
		"the uri looks like mongodb://user:password@host:27017/?replicaSet=rs0; special characters in it are percent-encoded",
		"%w", append(secretsOf(o.URI), o.URI).error(err))
}

// Server gives what was learnt when connecting.
func (c *Client) Server() pitr.Server { return c.server }

// Close ends all connections. It waits at most a few seconds for cursors and sessions to be released.
func (c *Client) Close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, way := range []*link{c.reads, c.writes} {
		if err := way.mongo.Disconnect(ctx); err != nil && !errors.Is(err, mongo.ErrClientDisconnected) {
			c.options.Log.Debug("disconnect", "error", way.secrets.mask(err.Error()))
		}
	}
}

// needOplog refuses what a server without a usable oplog cannot do.
func (c *Client) needOplog(op string) error {
	if c.server.Ability == pitr.AbilityFull {
		return nil
	}
	return pitr.Errorf(pitr.KindUnsupported, op, "snapshot, diff and copy work without moments; everything else needs a"+
		" replica set of MongoDB 4.4 or later", "%s has no usable oplog: %s", c.server.Member, c.lacking)
}

// meter spreads what passes over time.
type meter struct {
	mu   sync.Mutex
	free time.Time
}

// wait gives the time to pause after n bytes so that no more than rate bytes pass in a second.
func (m *meter) wait(now time.Time, n, rate int64) time.Duration {
	if rate <= 0 {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.free.Before(now) {
		m.free = now
	}
	m.free = m.free.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
	return m.free.Sub(now)
}
