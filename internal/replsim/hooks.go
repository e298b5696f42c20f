package replsim

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/internal/replsim/command"
	"pitr/internal/replsim/store"
)

// Action is what a fault does to a command.
type Action int

// The actions.
const (
	// Pass lets the command run, after the delay.
	Pass Action = iota
	// Fail answers with an error instead of running the command.
	Fail
	// FailAfter runs the command and answers with an error all the same.
	FailAfter
	// Drop closes the connection instead of running the command.
	Drop
	// DropAfter runs the command and closes the connection instead of answering.
	DropAfter
	// Cut runs the command, sends Bytes of the reply, and closes the connection.
	Cut
)

// Fault disturbs commands. An empty Command stands for all but the handshake and the monitoring of drivers.
type Fault struct {
	Command string
	// Namespace is "db.collection", empty for all.
	Namespace string
	// Match, if set, looks at the command itself.
	Match func(command bson.Raw) bool
	// Skip lets the first matching commands through; Times ends the fault after so many, 0 is never.
	Skip, Times int
	Delay       time.Duration
	Action      Action
	// Code, Message and Labels are the error of Fail and FailAfter.
	Code    int32
	Message string
	Labels  []string
	Bytes   int
}

// Injected is a fault at work.
type Injected struct {
	fault   Fault
	hooks   *hooks
	matched int
	fired   int
}

// hooks are the faults that tests asked for.
type hooks struct {
	mu     sync.Mutex
	faults []*Injected
	pause  time.Duration
	offset time.Duration
}

// Inject puts a fault to work.
func (s *Server) Inject(f Fault) *Injected {
	i := &Injected{fault: f, hooks: &s.hooks}
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	s.hooks.faults = append(s.hooks.faults, i)
	return i
}

// Fired is how many commands the fault disturbed.
func (i *Injected) Fired() int {
	i.hooks.mu.Lock()
	defer i.hooks.mu.Unlock()
	return i.fired
}

// Remove ends the fault.
func (i *Injected) Remove() {
	i.hooks.mu.Lock()
	defer i.hooks.mu.Unlock()
	i.hooks.faults = slices.DeleteFunc(i.hooks.faults, func(other *Injected) bool { return other == i })
}

// find gives the first fault that a command meets, nil if none.
func (h *hooks) find(r *command.Request) *Fault {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, i := range h.faults {
		if !i.fault.meets(r) {
			continue
		}
		i.matched++
		if i.matched <= i.fault.Skip || i.fault.Times > 0 && i.fired >= i.fault.Times {
			continue
		}
		i.fired++
		return &i.fault
	}
	return nil
}

func (f *Fault) meets(r *command.Request) bool {
	name := r.Command.Name
	switch {
	case f.Command == "" && (name == "hello" || name == "isMaster" || name == "saslStart" || name == "saslContinue"):
		return false
	case f.Command != "" && f.Command != name:
		return false
	case f.Namespace != "" && f.Namespace != namespaceOf(r):
		return false
	}
	return f.Match == nil || f.Match(r.Body)
}

// namespaceOf is the namespace that a command names, for logs and faults.
func namespaceOf(r *command.Request) string {
	if name, ok := r.Lookup("collection").StringValueOK(); ok && r.Command.Name == "getMore" {
		return r.DB + "." + name
	}
	name, ok := r.Argument().StringValueOK()
	switch {
	case ok && r.Command.Name == "renameCollection":
		return name
	case ok:
		return r.DB + "." + name
	}
	return r.DB + ".$cmd"
}

func (f *Fault) failure() error {
	message := f.Message
	if message == "" {
		message = "failed on purpose"
	}
	return &command.Failure{Code: f.Code, Message: message, Labels: f.Labels}
}

// before is what happens instead of the command.
func (f *Fault) before(ctx context.Context) error {
	if f == nil {
		return nil
	}
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	switch f.Action {
	case Fail:
		return f.failure()
	case Drop:
		return errDropped
	}
	return nil
}

// after is what happens instead of the answer.
func (f *Fault) after(c *connection) error {
	if f == nil {
		return nil
	}
	switch f.Action {
	case FailAfter:
		return f.failure()
	case DropAfter:
		return errDropped
	case Cut:
		c.cut = max(1, f.Bytes)
	}
	return nil
}

func (h *hooks) buildPause() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pause
}

// PauseBuilds makes index builds on data take a while between their start and their end.
func (s *Server) PauseBuilds(pause time.Duration) {
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	s.hooks.pause = pause
}

// JumpClock moves the wall clock; the cluster clock follows forward and never goes back.
func (s *Server) JumpClock(by time.Duration) {
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	s.hooks.offset += by
}

// now is the wall clock with the jumps that tests made.
func (s *Server) now() time.Time {
	s.hooks.mu.Lock()
	offset := s.hooks.offset
	s.hooks.mu.Unlock()
	return s.options.Clock().Add(offset)
}

// KillCursors ends all open cursors, as a restart does.
func (s *Server) KillCursors() { s.reads.KillAll() }

// OpenCursors is the number of cursors that wait for getMore.
func (s *Server) OpenCursors() int { return s.reads.Open() }

// DropConnections closes all connections.
func (s *Server) DropConnections() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.connections {
		_ = c.net.Close() // its reader finds out
	}
}

// HoldMajority stops the majority point where it is, as if the other members were gone; ReleaseMajority lets it follow again.
func (s *Server) HoldMajority() { s.store.HoldMajority() }

// ReleaseMajority ends HoldMajority.
func (s *Server) ReleaseMajority() { s.store.ReleaseMajority() }

// ForgetHistory makes every moment so far too old for a snapshot read.
func (s *Server) ForgetHistory() {
	_ = s.store.Update(func() error { s.store.ForgetHistory(); return nil }) // the closure does not fail
}

// TruncateOplog drops the entries before a time, as a roll-over does; the newest entry stays.
func (s *Server) TruncateOplog(before pitr.Timestamp) { s.store.TruncateOplog(before) }

// FillDisk makes every write fail with OutOfDiskSpace, FreeDisk ends it.
func (s *Server) FillDisk() { s.store.SetDisk(store.DiskFull) }

// FreeDisk ends FillDisk.
func (s *Server) FreeDisk() { s.store.SetDisk(store.DiskGood) }

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

// LogCommand puts a command entry into the oplog that changes nothing here, such as one of a server line to come.
func (s *Server) LogCommand(db string, o bson.D) error {
	doc, err := bson.Marshal(o)
	if err != nil {
		return err
	}
	return s.store.Update(func() error {
		u := s.store.Begin()
		if _, err := u.Command(db, pitr.UUID{}, doc, nil); err != nil {
			u.Abort()
			return err
		}
		u.Commit()
		return nil
	})
}

// RandomUUID makes the identity of a collection, for an Options.NewUUID that chooses only some.
func RandomUUID() pitr.UUID { return store.RandomUUID() }

// RunTTL runs a pass of the TTL monitor now, unless it is switched off.
func (s *Server) RunTTL() {
	if on, _ := s.admin.Params.Get("ttlMonitorEnabled").(bool); on {
		s.writes.Expire()
	}
}
