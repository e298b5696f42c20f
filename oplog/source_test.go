package oplog_test

import (
	"context"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
)

// member is a replica set member as an archiver sees it: an oplog that grows, rolls over, and can be replaced by that of
// another history.
type member struct {
	mu       sync.Mutex
	server   pitr.Server
	entries  []bson.Raw
	majority pitr.OpTime
	// life changes when cursors die.
	life int
	// batch is how many entries a reply has; 3 when zero. await is how long an empty reply takes.
	batch int
	await time.Duration
	// looked is told of each look at the majority point, before it is answered.
	looked func(m *member)
	// tail is how many entries are not yet known to stay when majority follows by itself.
	tail int
}

func newMember(entries ...bson.Raw) *member {
	return &member{entries: entries, await: time.Second, tail: -1,
		server: pitr.Server{Set: "rs0", SetID: "68f8a1b2c3d4e5f6a7b8c9d0", Member: "a:27017", Hosts: []string{"a:27017", "b:27017"}}}
}

func (m *member) Server() pitr.Server { return m.server }

func optime(raw bson.Raw) pitr.OpTime {
	at, _ := catalog.EntryTime(raw)
	return at
}

func (m *member) MajorityOpTime(context.Context) (pitr.OpTime, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.looked != nil {
		m.looked(m)
	}
	if m.tail >= 0 && len(m.entries) > m.tail {
		return optime(m.entries[len(m.entries)-1-m.tail]), nil
	}
	return m.majority, nil
}

func (m *member) OplogBounds(context.Context) (oldest, newest pitr.OpTime, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.entries) == 0 {
		return oldest, newest, pitr.Errorf(pitr.KindUnavailable, "read the bounds", "", "the oplog is empty")
	}
	return optime(m.entries[0]), optime(m.entries[len(m.entries)-1]), nil
}

// change does something to the oplog that cursors do not survive.
func (m *member) change(act func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	act()
	m.life++
}

func (m *member) grow(entries ...bson.Raw) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries = append(m.entries, entries...)
}

func (m *member) Oplog(ctx context.Context, from pitr.Timestamp) iter.Seq2[pitr.Batch, error] {
	return func(yield func(pitr.Batch, error) bool) {
		m.mu.Lock()
		life := m.life
		m.mu.Unlock()
		for {
			reply, alive := m.reply(&from, life)
			if !alive {
				yield(pitr.Batch{}, pitr.Errorf(pitr.KindUnavailable, "follow", "", "%w", pitr.ErrCursorGone))
				return
			}
			if len(reply) == 0 {
				select {
				case <-ctx.Done():
					yield(pitr.Batch{}, context.Cause(ctx))
					return
				case <-time.After(m.await):
				}
			}
			if !yield(pitr.Batch{Array: array(reply)}, nil) {
				return
			}
		}
	}
}

func (m *member) reply(from *pitr.Timestamp, life int) ([]bson.Raw, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.life != life {
		return nil, false
	}
	i, _ := slices.BinarySearchFunc(m.entries, *from, func(raw bson.Raw, at pitr.Timestamp) int {
		if optime(raw).TS < at {
			return -1
		}
		return 1
	})
	size := m.batch
	if size == 0 {
		size = 3
	}
	reply := m.entries[i:min(len(m.entries), i+size)]
	if len(reply) > 0 {
		*from = optime(reply[len(reply)-1]).TS + 1
	}
	return reply, true
}

func array(documents []bson.Raw) bson.RawArray {
	list := bson.A{}
	for _, document := range documents {
		list = append(list, document)
	}
	_, data, err := bson.MarshalValue(list)
	if err != nil {
		panic(err)
	}
	return data
}

// insert makes an entry of a term; text tells histories apart.
func insert(t testing.TB, at pitr.Timestamp, term int64, text string) bson.Raw {
	t.Helper()
	raw, err := bson.Marshal(bson.D{{Key: "op", Value: "i"}, {Key: "ns", Value: "shop.orders"},
		{Key: "ui", Value: bson.Binary{Subtype: 4, Data: make([]byte, 16)}},
		{Key: "o", Value: bson.D{{Key: "_id", Value: int64(at)}, {Key: "by", Value: text}}},
		{Key: "ts", Value: at.BSON()}, {Key: "t", Value: term}, {Key: "v", Value: int64(2)}, {Key: "wall", Value: time.Unix(1, 0)}})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// inserts makes entries of one term at moments.
func inserts(t testing.TB, term int64, text string, moments ...pitr.Timestamp) (entries []bson.Raw) {
	for _, at := range moments {
		entries = append(entries, insert(t, at, term, text))
	}
	return entries
}
