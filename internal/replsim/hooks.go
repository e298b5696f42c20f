package replsim

import (
	"context"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/internal/replsim/command"
	"pitr/internal/replsim/store"
)

// hooks are the faults that tests ask for.
type hooks struct {
	mu    sync.Mutex
	pause time.Duration
}

func (h *hooks) buildPause() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pause
}

// cut gives what of a reply is sent.
func (h *hooks) cut(reply []byte) []byte { return reply }

// fault is what happens to one command.
type fault struct{}

func (h *hooks) find(*command.Request) *fault { return nil }

func (f *fault) before(context.Context) error { return nil }

func (f *fault) after() error { return nil }

func (c *connection) begin(r *command.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = r
}

func (c *connection) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = nil
}

// operations lists what is running, as currentOp shows it.
func (s *Server) operations() []bson.D { return nil }

// OplogEnd is the time of the newest entry.
func (s *Server) OplogEnd() pitr.Timestamp {
	var end pitr.Timestamp
	s.store.View(func() { end = s.store.Written().TS })
	return end
}

// OplogAfter gives the entries behind a time.
func (s *Server) OplogAfter(ts pitr.Timestamp) []bson.Raw {
	var docs []bson.Raw
	s.store.View(func() {
		for _, e := range s.store.Entries(ts+1, pitr.MaxTimestamp) {
			docs = append(docs, e.Doc)
		}
	})
	return docs
}

// RandomUUID makes the identity of a collection, for an Options.NewUUID that chooses only some.
func RandomUUID() pitr.UUID { return store.RandomUUID() }

// RunTTL runs a pass of the TTL monitor now.
func (s *Server) RunTTL() {}
