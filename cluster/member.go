package cluster

import (
	"cmp"
	"context"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"pitr"
)

// member is one member of the set as it answered for itself.
type member struct {
	host      string
	link      *link
	err       error
	secondary bool
	written   time.Time
	// load is the number of clients that are being served, where the server tells; trip is how long hello took.
	load int64
	trip time.Duration
}

const (
	// probeTime bounds how long one member may take to say who it is.
	probeTime = 5 * time.Second
	// maxLag is how far behind the others a member may be to be read from.
	maxLag = 10 * time.Second
)

// chooseMember binds the reads to one member: the one that was asked for, or the least loaded secondary that is healthy
// and not far behind, or the primary. A cluster of one host, or a direct connection, leaves nothing to choose.
func (c *Client) chooseMember(ctx context.Context, settings *options.ClientOptions) error {
	hosts := c.server.Hosts
	switch {
	case c.options.Member != "":
		hosts = []string{c.options.Member}
	case len(hosts) < 2 || settings.Direct != nil && *settings.Direct:
		if c.server.Member == "" {
			c.server.Member = settings.Hosts[0]
		}
		return nil
	}
	members := c.probe(ctx, settings, hosts)
	chosen := choose(members)
	for _, m := range members {
		if m.link != nil && m != chosen {
			_ = m.link.mongo.Disconnect(ctx)
		}
	}
	if chosen == nil {
		return pitr.Errorf(pitr.KindUnavailable, "choose a member to read from", hintFor(pitr.KindUnavailable, 0),
			"none of %v can be read from: %w", hosts, members[0].err)
	}
	c.reads, c.server.Member = chosen.link, chosen.host
	c.options.Log.Debug("reads go to", "member", chosen.host, "secondary", chosen.secondary)
	return nil
}

// choose gives the best member, nil when none can be read from.
func choose(members []*member) *member {
	var newest time.Time
	for _, m := range members {
		if m.err == nil && m.written.After(newest) {
			newest = m.written
		}
	}
	usable := slices.DeleteFunc(slices.Clone(members), func(m *member) bool {
		return m.err != nil || newest.Sub(m.written) > maxLag
	})
	if len(usable) == 0 {
		return nil
	}
	return slices.MinFunc(usable, func(a, b *member) int {
		if a.secondary != b.secondary {
			if a.secondary {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.load, b.load), cmp.Compare(a.trip, b.trip), cmp.Compare(a.host, b.host))
	})
}

// probe asks all hosts at once, each over a direct connection of its own.
func (c *Client) probe(ctx context.Context, settings *options.ClientOptions, hosts []string) []*member {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	answers := make(chan *member)
	for _, host := range hosts {
		go func() { answers <- c.probeOne(ctx, settings, host) }()
	}
	var members []*member
	for range hosts {
		members = append(members, <-answers)
	}
	slices.SortFunc(members, func(a, b *member) int { return cmp.Compare(a.host, b.host) })
	return members
}

func (c *Client) probeOne(ctx context.Context, settings *options.ClientOptions, host string) *member {
	m := &member{host: host}
	client, err := mongo.Connect(directTo(host, settings))
	if err != nil {
		m.err = c.options.badURI(err)
		return m
	}
	m.link = &link{mongo: client, options: c.options, secrets: c.writes.secrets, sessions: c.writes.sessions}
	began := c.options.Now()
	hello, err := m.link.greet(ctx, "greet "+host)
	if err != nil {
		m.err = err
		return m
	}
	m.trip = c.options.Now().Sub(began)
	m.secondary, m.written = hello.Secondary, hello.LastWrite.LastWriteDate
	if !hello.Secondary && !hello.IsWritablePrimary {
		m.err = pitr.Errorf(pitr.KindUnavailable, "read from "+host, "", "the member is neither primary nor secondary")
		return m
	}
	reply, err := m.link.once(ctx, order{db: "admin", command: bson.D{{Key: "serverStatus", Value: 1},
		{Key: "metrics", Value: 0}, {Key: "wiredTiger", Value: 0}, {Key: "tcmalloc", Value: 0}, {Key: "locks", Value: 0}}})
	if err == nil {
		m.load, _ = reply.Lookup("globalLock", "activeClients", "total").AsInt64OK()
	}
	return m
}

// directTo gives the settings of a connection to one host. They are copied field by field, because the settings that
// came from an SRV name refuse a direct connection.
func directTo(host string, settings *options.ClientOptions) *options.ClientOptions {
	direct := options.Client()
	direct.Hosts = []string{host}
	direct.SetDirect(true)
	direct.AppName = settings.AppName
	direct.Auth = settings.Auth
	direct.Compressors = settings.Compressors
	direct.ConnectTimeout = settings.ConnectTimeout
	direct.Dialer = settings.Dialer
	direct.DisableCertificateRevocationCheck = settings.DisableCertificateRevocationCheck
	direct.DisableOCSPEndpointCheck = settings.DisableOCSPEndpointCheck
	direct.HTTPClient = settings.HTTPClient
	direct.HeartbeatInterval = settings.HeartbeatInterval
	direct.ReplicaSet = settings.ReplicaSet
	direct.RetryReads, direct.RetryWrites = settings.RetryReads, settings.RetryWrites
	direct.ServerAPIOptions = settings.ServerAPIOptions
	direct.ServerSelectionTimeout = settings.ServerSelectionTimeout
	direct.TLSConfig = settings.TLSConfig
	direct.ZlibLevel, direct.ZstdLevel = settings.ZlibLevel, settings.ZstdLevel
	return direct
}
