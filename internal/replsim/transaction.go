package replsim

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/auth"
	"pitr/internal/replsim/command"
	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/session"
	"pitr/internal/replsim/store"
	"pitr/internal/replsim/write"
)

func (s *Server) transactionCommands() []*command.Command {
	return []*command.Command{
		{Name: "commitTransaction", Place: command.AdminOnly, Effect: command.Changes, Transactions: true, Run: s.commitTransaction, Fields: []string{"recoveryToken", "commitTimestamp", "durableTimestamp"}},
		{Name: "replSetStepDown", Place: command.AdminOnly, Needs: stepDownNeeds, Run: func(context.Context, *command.Request, *command.Reply) error {
			s.Elect()
			return nil
		}},
		{Name: "abortTransaction", Place: command.AdminOnly, Transactions: true, Run: s.abortTransaction, Fields: []string{"recoveryToken"}},
	}
}

func stepDownNeeds(*command.Request) []auth.Need {
	return []auth.Need{{Resource: auth.Cluster, Action: "replSetStateChange"}}
}

// checkOut opens session and transaction of a command; the function it gives ends the command's hold on the session.
func (s *Server) checkOut(r *command.Request) (func(), error) {
	lsid, ok := r.Lookup("lsid").DocumentOK()
	if !ok {
		return func() {}, nil
	}
	r.Session = s.sessions.Find(lsid, r.Client.Login.Name())
	number := r.Lookup("txnNumber")
	if number.Type == 0 {
		return func() {}, nil
	}
	r.TxnNumber, _ = number.AsInt64OK()
	_, r.InTransaction = r.Lookup("autocommit").BooleanOK()
	r.Session.Lock()
	var err error
	if r.InTransaction {
		err = s.enterTransaction(r)
	} else {
		err = s.enterRetryable(r)
	}
	if err != nil {
		r.Session.Unlock()
		return nil, err
	}
	return r.Session.Unlock, nil
}

func (s *Server) enterRetryable(r *command.Request) error {
	one := r.Session
	if r.Command.Effect != command.Writes {
		return command.Errorf(50768, "txnNumber may only be provided for multi-document transactions and retryable write commands. autocommit:false was not provided, and %s is not a retryable write command.", r.Name)
	}
	switch {
	case r.TxnNumber < one.TxnNumber:
		return command.Errorf(command.TransactionTooOld, "Retryable write with txnNumber %d is prohibited on session %s because a newer retryable write with txnNumber %d has already started on this session.", r.TxnNumber, sessionText(one), one.TxnNumber)
	case r.TxnNumber > one.TxnNumber:
		s.discard(one)
		one.Start(r.TxnNumber)
	case one.State != session.StateNone:
		return command.Errorf(217, "Cannot perform retryability check for transactions. Transaction %d was used for a transaction.", r.TxnNumber)
	}
	r.Retryable = true
	return nil
}

func sessionText(one *session.Session) string {
	return mql.Text(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: one.ID})
}

// enterTransaction begins a transaction, or goes on with the one that is open.
func (s *Server) enterTransaction(r *command.Request) error {
	one := r.Session
	begins := r.Flag("startTransaction")
	ends := r.Command.Name == "commitTransaction" || r.Command.Name == "abortTransaction"
	if !r.Command.Transactions {
		return command.Errorf(command.NotSupportedInTransaction, "Cannot run '%s' in a multi-document transaction.", r.Name)
	}
	switch {
	case r.TxnNumber < one.TxnNumber:
		return command.Errorf(command.TransactionTooOld, "Cannot start transaction %d on session %s because a newer transaction with txnNumber %d has already started on this session.", r.TxnNumber, sessionText(one), one.TxnNumber)
	case begins && r.TxnNumber == one.TxnNumber && one.State != session.StateAborted:
		return command.Errorf(command.NoSuchTransaction, "Cannot start a transaction at given transaction number %d: a transaction with the same number is in state %s", r.TxnNumber, one.State)
	case begins:
		s.discard(one)
		one.Start(r.TxnNumber)
		return s.beginTransaction(r)
	case r.TxnNumber > one.TxnNumber || one.State == session.StateNone:
		return s.noTransaction(r, fmt.Sprintf("Given transaction number %d does not match any in-progress transactions. The active transaction number is %d", r.TxnNumber, one.TxnNumber))
	case one.State == session.StateAborted || one.Unit != nil && one.Unit.Ended() && one.State == session.StateOpen:
		one.State = session.StateAborted
		return s.noTransaction(r, fmt.Sprintf("Transaction with { txnNumber: %d } has been aborted.", r.TxnNumber))
	case one.State == session.StateCommitted && !ends:
		return command.Errorf(256, "Transaction with { txnNumber: %d } has been committed.", r.TxnNumber)
	}
	if one.State == session.StateOpen {
		r.Unit = one.Unit
	}
	return nil
}

// noTransaction is the answer to a transaction that is gone. The end of one is answered after a no-op, so that the answer
// cannot be rolled back.
func (s *Server) noTransaction(r *command.Request, text string) error {
	if r.Command.Name == "commitTransaction" || r.Command.Name == "abortTransaction" {
		if err := s.store.Update(func() error { return s.message("NoSuchTransaction error") }); err != nil {
			return err
		}
	}
	return &command.Failure{Code: command.NoSuchTransaction, Message: text, Labels: []string{"TransientTransactionError"}}
}

func (s *Server) beginTransaction(r *command.Request) error {
	return s.store.Update(func() error {
		at := s.store.Written().TS
		if r.ReadConcern.Level == command.LevelSnapshot && r.ReadConcern.At != 0 {
			at = r.ReadConcern.At
		}
		if at < s.store.Oldest() {
			return command.Errorf(command.SnapshotTooOld, "Read timestamp %s is older than the oldest available timestamp.", shown(at))
		}
		one := r.Session
		one.Unit = s.store.BeginTransaction(at, one.Written)
		one.Unit.Bypass = write.MayBypass(r)
		one.State = session.StateOpen
		one.Began = s.now()
		r.Unit = one.Unit
		return nil
	})
}

// failTransaction aborts the transaction of a command that failed.
func (s *Server) failTransaction(r *command.Request, err error) error {
	if errors.Is(err, store.ErrConflict) {
		err = command.Errorf(command.WriteConflict, "Caused by :: Write conflict during plan execution and yielding is disabled. :: Please retry your operation or multi-document transaction.")
	}
	if !r.InTransaction || r.Session.State != session.StateOpen && r.Session.State != session.StateAborted {
		return err
	}
	s.discard(r.Session)
	r.Session.State = session.StateAborted
	f := command.FailureOf(err)
	switch f.Code {
	case command.WriteConflict, command.NoSuchTransaction, command.SnapshotUnavailable, command.SnapshotTooOld, 24, 91, 189, 11600, 11602, 10107:
		f.Labels = []string{"TransientTransactionError"}
	}
	return f
}

// discard aborts what a session has open.
func (s *Server) discard(one *session.Session) {
	if one.Unit == nil || one.Unit.Ended() {
		return
	}
	_ = s.store.Update(func() error { one.Unit.Abort(); return nil }) // the closure does not fail
	s.reads.EndTransaction(one.Unit)
}

// endSession aborts the open transaction of a session that its client ends.
func (s *Server) endSession(one *session.Session) {
	one.Lock()
	defer one.Unlock()
	if one.State == session.StateOpen {
		s.discard(one)
		one.State = session.StateAborted
	}
}

func (s *Server) commitTransaction(_ context.Context, r *command.Request, _ *command.Reply) error {
	one := r.Session
	if one == nil || !r.InTransaction {
		return command.Errorf(command.InvalidOptions, "commitTransaction must be run within a transaction")
	}
	if one.State == session.StateCommitted {
		return nil
	}
	err := s.store.Update(func() error {
		last := one.Unit.Commit()
		one.State = session.StateCommitted
		if last.IsZero() {
			return s.readOnlyCommit(r)
		}
		r.Client.LastOp = last
		write.KeepSession(s.store, one, last)
		return nil
	})
	s.reads.EndTransaction(one.Unit)
	r.Unit = nil
	return err
}

// readOnlyCommit logs a no-op that a majority can be waited for with.
func (s *Server) readOnlyCommit(r *command.Request) error {
	if !r.WriteConcern.Majority {
		return nil
	}
	doc, err := bson.Marshal(r.WriteConcern.Doc)
	if err != nil {
		return err
	}
	if err := s.message("read-only transaction with writeConcern " + command.Shown(doc)); err != nil {
		return err
	}
	r.Client.LastOp = s.store.Written()
	return nil
}

func (s *Server) abortTransaction(_ context.Context, r *command.Request, _ *command.Reply) error {
	one := r.Session
	if one == nil || !r.InTransaction {
		return command.Errorf(command.InvalidOptions, "abortTransaction must be run within a transaction")
	}
	if one.State == session.StateCommitted {
		return command.Errorf(256, "Transaction with { txnNumber: %d } has been committed.", r.TxnNumber)
	}
	s.discard(one)
	one.State = session.StateAborted
	r.Unit = nil
	return nil
}

// expireTransactions aborts transactions that are open longer than a server lets them.
func (s *Server) expireTransactions() {
	limit, ok := s.admin.Params.Get("transactionLifetimeLimitSeconds").(int32)
	if !ok {
		return
	}
	for _, one := range s.sessions.All() {
		if !one.TryLock() {
			continue
		}
		if one.State == session.StateOpen && s.now().Sub(one.Began).Seconds() > float64(limit) {
			s.discard(one)
			one.State = session.StateAborted
		}
		one.Unlock()
	}
}
