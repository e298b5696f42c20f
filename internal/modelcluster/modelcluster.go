// Package modelcluster is a live cluster in memory for the tests of guard and restore: it satisfies guard.Target, checks
// unique indexes at every single write, keeps an oplog of the shape that a server writes, and logs what was asked of it.
// It is no server: it has no wire protocol, no queries and no concurrency; internal/replsim has.
package modelcluster

import (
	"errors"
	"fmt"
	"sort"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// Cluster is the model. The zero value is not ready; use New.
type Cluster struct {
	mu          sync.Mutex
	server      pitr.Server
	collections map[pitr.Namespace]*collection
	oplog       []bson.Raw
	now         pitr.Timestamp
	uuids       byte
	block       pitr.WriteBlock
	log         []string
	// BeforeWrite is called without the lock before each transaction and catalog step, with a description; an error makes
	// the call fail.
	BeforeWrite func(what string) error
	// BusyBlocks is how often BlockWrites gives up first, as behind open transactions.
	BusyBlocks int
}

var errBlocked = errors.New("user writes blocked")

type collection struct {
	pitr.Collection
	documents map[string]bson.Raw
	// keys are index keys that were computed, by index spec and document.
	keys map[string]map[string][]string
}

// New makes an empty cluster whose user may block writes and pass the block.
func New() *Cluster {
	c := &Cluster{
		server: pitr.Server{Ability: pitr.AbilityFull, Set: "rs0", SetID: "0123456789abcdef01234567", Member: "a:1",
			Hosts: []string{"a:1"}, Version: "7.0.0", FCV: "7.0", Authenticated: true},
		collections: map[pitr.Namespace]*collection{},
		now:         pitr.NewTimestamp(1_700_000_000, 1),
		block:       pitr.WriteBlock{MaySet: true, MayPass: true},
	}
	c.NoOp()
	return c
}

// WithoutAuthentication makes it a cluster where nobody can pass a write block.
func (c *Cluster) WithoutAuthentication() *Cluster {
	c.server.Authenticated = false
	c.block = pitr.WriteBlock{MaySet: true, Missing: "the server runs without authentication, so that nobody can pass a write block"}
	return c
}

// Put sets a collection with its documents as they are, without an oplog entry: the state that a test starts from.
func (c *Cluster) Put(info pitr.Collection, documents ...bson.Raw) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(info.Options) == 0 {
		info.Options = raw(bson.D{})
	}
	if info.Type == "" {
		info.Type = pitr.TypeCollection
	}
	made := &collection{Collection: info, documents: map[string]bson.Raw{}}
	c.collections[info.NS] = made
	for _, document := range documents {
		made.documents[mustKey(document).Equal()] = document
	}
}

// Documents gives a collection's documents by the equality form of their keys.
func (c *Cluster) Documents(ns pitr.Namespace) map[string]bson.Raw {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := map[string]bson.Raw{}
	if there := c.collections[ns]; there != nil {
		for key, document := range there.documents {
			found[key] = document
		}
	}
	return found
}

// Namespaces lists what exists, in order.
func (c *Cluster) Namespaces() []pitr.Namespace {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []pitr.Namespace
	for ns := range c.collections {
		names = append(names, ns)
	}
	sort.Slice(names, func(i, j int) bool { return names[i].Compare(names[j]) < 0 })
	return names
}

// Log gives what was asked of the cluster and done.
func (c *Cluster) Log() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.log...)
}

// Now gives the time of the newest entry.
func (c *Cluster) Now() pitr.Timestamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// UserWrite performs a write of somebody else: a nil document deletes the key of the other one.
func (c *Cluster) UserWrite(ns pitr.Namespace, key pitr.Key, document bson.Raw) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.block.Standing {
		return errBlocked
	}
	return c.userWrite(ns, key, document)
}

// PrivilegedWrite performs a write of somebody else who passes the block.
func (c *Cluster) PrivilegedWrite(ns pitr.Namespace, key pitr.Key, document bson.Raw) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.userWrite(ns, key, document)
}

func (c *Cluster) userWrite(ns pitr.Namespace, key pitr.Key, document bson.Raw) error {
	there := c.collections[ns]
	if there == nil {
		return fmt.Errorf("no collection %s", ns)
	}
	id := bson.D{{Key: "_id", Value: key.Stored()}}
	if document == nil {
		delete(there.documents, key.Equal())
		c.entry(bson.D{{Key: "op", Value: "d"}, {Key: "ns", Value: ns.String()}, {Key: "ui", Value: there.UUID.Binary()}, {Key: "o", Value: id}})
		return nil
	}
	if err := there.collides(document); err != nil {
		return err
	}
	op := "i"
	if there.documents[key.Equal()] != nil {
		op = "u"
	}
	there.documents[key.Equal()] = document
	c.entry(bson.D{{Key: "op", Value: op}, {Key: "ns", Value: ns.String()}, {Key: "ui", Value: there.UUID.Binary()},
		{Key: "o", Value: document}, {Key: "o2", Value: id}})
	return nil
}

// Append writes an entry as it stands, without an effect on documents; time and term are added.
func (c *Cluster) Append(entry bson.D) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entry(entry)
}

// NoOp writes an entry without effect, as a server does every ten seconds.
func (c *Cluster) NoOp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entry(bson.D{{Key: "op", Value: "n"}, {Key: "ns", Value: ""}, {Key: "o", Value: bson.D{{Key: "msg", Value: "periodic noop"}}}})
}

// entry appends to the oplog, one second later than the last one, so that times are easy to read.
func (c *Cluster) entry(fields bson.D) pitr.Timestamp {
	c.now = pitr.NewTimestamp(c.now.Seconds()+1, 1)
	fields = append(fields,
		bson.E{Key: "ts", Value: c.now.BSON()}, bson.E{Key: "t", Value: int64(1)}, bson.E{Key: "v", Value: int64(2)},
		bson.E{Key: "wall", Value: bson.DateTime(int64(c.now.Seconds()) * 1000)})
	c.oplog = append(c.oplog, raw(fields))
	return c.now
}

func raw(document bson.D) bson.Raw {
	content, err := bson.Marshal(document)
	if err != nil {
		panic(err)
	}
	return content
}

func mustKey(document bson.Raw) pitr.Key {
	key, err := pitr.KeyOf(document)
	if err != nil {
		panic(err)
	}
	return key
}
