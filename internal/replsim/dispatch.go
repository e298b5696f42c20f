package replsim

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/internal/replsim/command"
	"pitr/internal/replsim/store"
	"pitr/internal/replsim/wire"
)

// dispatch runs the command of a message and completes the reply. Only a connection that must end gives an error.
func (s *Server) dispatch(ctx context.Context, c *connection, m wire.Message, out *command.Reply) error {
	r, err := s.request(c, m)
	if err == nil {
		err = guarded(func() error { return s.run(ctx, c, r, out) })
	}
	if errors.Is(err, errDropped) || ctx.Err() != nil && errors.Is(context.Cause(ctx), errGone) {
		return errDropped
	}
	if err != nil {
		out.Reset()
		writeFailure(out, command.FailureOf(err))
	} else {
		out.Double("ok", 1)
	}
	s.gossip(out)
	return nil
}

// guarded turns a panic into an error that its client sees, so that one bad command does not end the whole test binary.
func guarded(run func() error) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = command.Errorf(1, "panic in the simulated server: %v\n%s", reason, debug.Stack())
		}
	}()
	return run()
}

func writeFailure(out *command.Reply, f *command.Failure) {
	if len(f.Labels) > 0 {
		out.Set("errorLabels", f.Labels)
	}
	for _, e := range f.Lead {
		out.Set(e.Key, e.Value)
	}
	out.Double("ok", 0)
	if f.Lead != nil {
		return
	}
	out.String("errmsg", f.Message)
	out.Int32("code", int(f.Code))
	out.String("codeName", f.CodeName())
	for _, e := range f.Extra {
		out.Set(e.Key, e.Value)
	}
}

// gossip ends a reply with the cluster time and the time that the operation saw.
func (s *Server) gossip(out *command.Reply) {
	var now, seen pitr.Timestamp
	s.store.View(func() { now, seen = s.store.ClusterTime(), s.store.Written().TS })
	out.Begin("$clusterTime")
	out.Timestamp("clusterTime", now)
	out.Raw("signature", noSignature)
	out.End()
	out.Timestamp("operationTime", seen)
}

var noSignature = func() bson.Raw {
	raw, err := bson.Marshal(bson.D{{Key: "hash", Value: bson.Binary{Data: make([]byte, 20)}}, {Key: "keyId", Value: int64(0)}})
	if err != nil {
		panic(err) // a constant
	}
	return raw
}()

// request reads what all commands have in common.
func (s *Server) request(c *connection, m wire.Message) (*command.Request, error) {
	elements, err := m.Body.Elements()
	if err != nil || len(elements) == 0 {
		return nil, command.Errorf(command.FailedToParse, "the command is empty")
	}
	r := &command.Request{Client: c.client, Name: elements[0].Key(), Body: m.Body, Sequences: m.Sequences}
	r.DB, _ = m.Body.Lookup("$db").StringValueOK()
	if m.Code == wire.OpQuery {
		r.DB = store.DB(m.Namespace)
	}
	if r.DB == "" {
		return nil, command.Errorf(40571, "OP_MSG requests require a $db argument")
	}
	r.Command = s.table[r.Name]
	if r.Command == nil {
		return nil, command.Errorf(command.CommandNotFound, "no such command: '%s'", r.Name)
	}
	if m.Code == wire.OpQuery && r.Command.Name != "hello" && r.Command.Name != "isMaster" {
		return nil, command.Errorf(352, "Unsupported OP_QUERY command: %s. The client driver may require an upgrade. For more details see https://dochub.mongodb.org/core/legacy-opcode-removal", r.Name)
	}
	return r, s.parseGeneric(r)
}

func (s *Server) parseGeneric(r *command.Request) error {
	if r.Command.Place == command.AdminOnly && r.DB != "admin" {
		return command.Errorf(command.Unauthorized, "%s may only be run against the admin database.", r.Name)
	}
	if err := r.Command.CheckFields(r.Body); err != nil {
		return err
	}
	var err error
	if r.ReadConcern, err = command.ParseReadConcern(r.Lookup("readConcern")); err != nil {
		return err
	}
	if r.WriteConcern, err = command.ParseWriteConcern(r.Lookup("writeConcern")); err != nil {
		return err
	}
	limit, err := r.Int("maxTimeMS", 0)
	if err != nil {
		return err
	}
	if limit > 0 && r.Command.Name != "getMore" {
		r.Deadline = s.now().Add(time.Duration(limit) * time.Millisecond)
	}
	if t, i, ok := r.Body.Lookup("$clusterTime", "clusterTime").TimestampOK(); ok {
		s.advance(pitr.NewTimestamp(t, i))
	}
	return nil
}

// advance takes over a cluster time that a client brings, unless it is far ahead of our clock.
func (s *Server) advance(to pitr.Timestamp) {
	if to.Time().After(s.now().Add(365 * 24 * time.Hour)) {
		return
	}
	newer := false
	s.store.View(func() { newer = to > s.store.ClusterTime() })
	if newer {
		_ = s.store.Update(func() error { s.store.Advance(to); return nil }) // the closure does not fail
	}
}

// run does one command: rights, session, read concern, the command itself, write concern.
func (s *Server) run(ctx context.Context, c *connection, r *command.Request, out *command.Reply) (err error) {
	now := s.now()
	ctx, cancel := r.Context(ctx, now)
	defer cancel()
	c.begin(r, now)
	defer func() {
		c.end()
		s.log.add(now, r, err)
	}()
	if err := s.authorize(r); err != nil {
		return err
	}
	fault := s.hooks.find(r)
	if err := fault.before(ctx); err != nil {
		return err
	}
	release, err := s.checkOut(r)
	if err != nil {
		return err
	}
	defer release()
	if err := s.awaitConcern(ctx, r); err != nil {
		return s.failTransaction(r, err)
	}
	if err := r.Command.Run(ctx, r, out); err != nil {
		return s.failTransaction(r, interrupted(ctx, err))
	}
	if err := fault.after(c); err != nil {
		return err
	}
	return s.awaitWriteConcern(ctx, r, out)
}

// interrupted gives the reason why a context ended instead of the bare fact.
func interrupted(ctx context.Context, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return context.Cause(ctx)
	}
	return err
}

// authorize refuses what the login may not do.
func (s *Server) authorize(r *command.Request) error {
	if r.Client.Login != nil {
		s.users.Refresh(r.Client.Login)
	}
	if !s.admin.Auth || r.Command.Open {
		return nil
	}
	if r.Client.Login == nil {
		return command.Errorf(command.Unauthorized, "Command %s requires authentication", r.Name)
	}
	if r.Command.Needs == nil {
		return nil
	}
	for _, need := range r.Command.Needs(r) {
		if !r.Client.Login.May(need) {
			return command.Errorf(command.Unauthorized, "not authorized on %s to execute command %s", r.DB, command.Shown(r.Body))
		}
	}
	return nil
}

// awaitConcern waits for what the read concern asks, and fixes the time of a snapshot.
func (s *Server) awaitConcern(ctx context.Context, r *command.Request) error {
	concern := &r.ReadConcern
	if concern.After != 0 {
		var now pitr.Timestamp
		s.store.View(func() { now = s.store.ClusterTime() })
		if concern.After > now {
			return command.Errorf(command.InvalidOptions, "readConcern afterClusterTime value must not be greater than the current clusterTime. Requested clusterTime: { ts: %s }; current clusterTime: { ts: %s }", shown(concern.After), shown(now))
		}
		if err := s.reach(ctx, *concern); err != nil {
			return interrupted(ctx, err)
		}
	}
	if concern.Level != command.LevelSnapshot || r.Unit != nil || r.Command.Name == "getMore" {
		return nil
	}
	if concern.At == 0 {
		s.store.View(func() { concern.At = s.store.Majority().TS })
		return nil
	}
	if err := s.reads.CheckTime(*concern); err != nil {
		return err
	}
	if err := s.reach(ctx, command.ReadConcern{Level: command.LevelMajority, After: concern.At}); err != nil {
		return interrupted(ctx, err)
	}
	return nil
}

// reach waits until a time is written and, for majority reads, majority committed. A time without entries is reached by a
// no-op, as on a server.
func (s *Server) reach(ctx context.Context, concern command.ReadConcern) error {
	err := s.store.Update(func() error {
		if s.store.Written().TS >= concern.After {
			return nil
		}
		return s.message("noop write for afterClusterTime read concern")
	})
	if err != nil || concern.Level == command.LevelLocal || concern.Level == command.LevelAvailable {
		return err
	}
	return s.store.AwaitMajority(ctx, concern.After)
}

// message logs a no-op. It is called inside Store.Update.
func (s *Server) message(text string) error {
	doc, err := bson.Marshal(bson.D{{Key: "msg", Value: text}})
	if err != nil {
		return err
	}
	u := s.store.Begin()
	u.Bypass = true
	if err := u.Message(doc); err != nil {
		u.Abort()
		return err
	}
	u.Commit()
	return nil
}

func shown(ts pitr.Timestamp) string {
	return fmt.Sprintf("Timestamp(%d, %d)", ts.Seconds(), ts.Ordinal())
}

// awaitWriteConcern waits until the write counts as done; what is not reached is said beside the result.
func (s *Server) awaitWriteConcern(ctx context.Context, r *command.Request, out *command.Reply) error {
	if r.Command.Effect == command.Reads || readOnly(r) || r.Unit != nil || r.InTransaction && r.Command.Name != "commitTransaction" {
		return nil
	}
	concern := r.WriteConcern
	if !concern.Majority && concern.W > 1 {
		out.Set("writeConcernError", bson.D{
			{Key: "code", Value: int32(100)}, {Key: "codeName", Value: "UnsatisfiableWriteConcern"}, {Key: "errmsg", Value: "Not enough data-bearing nodes"},
			{Key: "errInfo", Value: bson.D{{Key: "writeConcern", Value: concern.Doc}}},
		})
		return nil
	}
	if !concern.Majority || r.Client.LastOp.IsZero() {
		return nil
	}
	if concern.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(concern.Timeout)*time.Millisecond, errConcernTimeout)
		defer cancel()
	}
	err := s.store.AwaitMajority(ctx, r.Client.LastOp.TS)
	if errors.Is(err, errConcernTimeout) {
		out.Set("writeConcernError", bson.D{
			{Key: "code", Value: int32(64)}, {Key: "codeName", Value: "WriteConcernFailed"}, {Key: "errmsg", Value: "waiting for replication timed out"},
			{Key: "errInfo", Value: bson.D{{Key: "wtimeout", Value: true}, {Key: "writeConcern", Value: concern.Doc}}},
		})
		return nil
	}
	return err
}

var errConcernTimeout = errors.New("waiting for replication timed out")
