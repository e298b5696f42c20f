package guard

import (
	"context"
	"fmt"
	"sync"

	"pitr"
	"pitr/oplog"
)

// Stray is the error of a write that is not the job's.
type Stray struct {
	At   pitr.OpTime
	NS   pitr.Namespace
	What string
}

// Error says what was seen; the document is left out, since it may be secret.
func (s *Stray) Error() string {
	return fmt.Sprintf("somebody else wrote to %s at %s: %s", s.NS, s.At.TS, s.What)
}

// WatchOptions are what a watch needs besides its cluster and its ledger.
type WatchOptions struct {
	// From is the last entry before the job's first one: F.
	From  pitr.OpTime
	Scope pitr.Scope
	// Blocked is the entry that set the job's write block, zero without one: that somebody switches it later is a stray too.
	Blocked pitr.OpTime
	// Tolerate is asked about a delete that the ledger does not explain: the server's own expiry goes on where no block
	// stands. Nil tolerates nothing.
	Tolerate func(ctx context.Context, ns pitr.Namespace, key pitr.Key) (bool, error)
	// Effect makes the watch one over a job that others may write beside: it hears of every change whose effect it sees, by
	// its index, and what the ledger does not explain is passed over. Nil where nobody else may write.
	Effect func(change int)
}

// Watch reads the oplog from F on and looks for writes in scope that the published change set does not explain.
//
// An entry is the job's own if it does what the change set says: after the group of operations that count together, each
// document is as at T, or absent where the plan deletes first and inserts later; each catalog change is a step of the
// plan. So the rule needs no knowledge of sessions, which a killed attempt takes with it; and a write of somebody else
// that passes it has done exactly what the job was about to do.
type Watch struct {
	reader  Reader
	ledger  *Ledger
	options WatchOptions

	mu          sync.Mutex
	seen        pitr.OpTime
	first, last pitr.OpTime
	assembler   oplog.Assembler
	failed      error
}

// NewWatch makes a watch that begins behind F.
func NewWatch(reader Reader, ledger *Ledger, options WatchOptions) *Watch {
	return &Watch{reader: reader, ledger: ledger, options: options, seen: options.From}
}

// Check reads what is new. The first stray is its error, kind conflict, and that of every later call.
func (w *Watch) Check(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed != nil {
		return w.failed
	}
	for raw, err := range w.reader.Entries(ctx, w.seen.TS) {
		if err != nil {
			return fmt.Errorf("look for strays: %w", err) // may pass; what was read up to here is kept
		}
		entry, err := oplog.Decode(raw)
		if err == nil {
			err = w.take(ctx, &entry)
		}
		if err != nil {
			w.failed = err
			return err
		}
		w.seen = entry.OpTime
	}
	return nil
}

// Own gives the first and the last entry of the job that were seen, zero when there is none yet.
func (w *Watch) Own() (first, last pitr.OpTime) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first, w.last
}

func (w *Watch) take(ctx context.Context, entry *oplog.Entry) error {
	group, complete, err := w.assembler.Push(entry)
	switch {
	case pitr.KindOf(err) == pitr.KindHole && w.options.Effect != nil:
		return nil
	case pitr.KindOf(err) == pitr.KindHole: // a transaction that began before F and ends now
		return w.stray(entry.OpTime, entry.NS, "a transaction that was open at the freeze has committed")
	case err != nil:
		return fmt.Errorf("look for strays: %w", err)
	case !complete:
		return nil
	}
	own, err := w.judge(ctx, group)
	if err != nil || !own {
		return err
	}
	w.last = group.OpTime
	if w.first.IsZero() {
		w.first = group.OpTime
	}
	return nil
}

// judge tells whether a group is the job's own, or nothing to it; anything else is an error.
func (w *Watch) judge(ctx context.Context, group oplog.Committed) (own bool, err error) {
	finals, catalog := w.ledger.sum(group.Ops)
	if w.options.Effect != nil {
		return w.effects(finals)
	}
	for _, op := range catalog {
		if op.NS == blockNamespace && !w.options.Blocked.IsZero() && group.OpTime.TS > w.options.Blocked.TS {
			return false, w.stray(group.OpTime, op.NS, "the write block was switched")
		}
		if !touches(op, w.options.Scope) {
			continue
		}
		if !w.ledger.explainsStep(op) {
			return false, w.stray(group.OpTime, op.NS, "a "+op.Kind.String()+" that is no step of this job")
		}
		own = true
	}
	for _, final := range finals {
		if !inScope(w.options.Scope, final.ns) {
			continue
		}
		explained, err := w.ledger.explains(final)
		if err != nil {
			return false, err
		}
		if explained {
			own = true
			continue
		}
		tolerated, err := w.tolerated(ctx, final)
		if err != nil {
			return false, err
		}
		if !tolerated {
			return false, w.stray(group.OpTime, final.ns, final.what())
		}
	}
	return own, nil
}

// effects tells which changes a group has brought about.
func (w *Watch) effects(finals []final) (own bool, err error) {
	for _, final := range finals {
		explained, err := w.ledger.explains(final)
		if err != nil {
			return false, err
		}
		if !explained {
			continue
		}
		_, i, err := w.ledger.find(final.ns, final.key)
		if err != nil {
			return false, err
		}
		own = true
		w.options.Effect(int(i))
	}
	return own, nil
}

func (w *Watch) tolerated(ctx context.Context, final final) (bool, error) {
	if w.options.Tolerate == nil || !final.gone {
		return false, nil
	}
	return w.options.Tolerate(ctx, final.ns, final.key)
}

func (w *Watch) stray(at pitr.OpTime, ns pitr.Namespace, what string) error {
	return &pitr.Error{Kind: pitr.KindConflict, Op: "watch for writes of others",
		Hint: "stop whoever is writing (`pitr restore --dry-run` names who is connected), then go on with the job",
		Err:  &Stray{At: at, NS: ns, What: what}}
}

// touches reports whether an operation changes something in scope.
func touches(op oplog.Op, scope pitr.Scope) bool {
	verdict, _ := op.Verdict()
	if verdict == oplog.Skipped {
		return false
	}
	switch command := op.Command.(type) {
	case oplog.Rename:
		return inScope(scope, command.From) || inScope(scope, command.To)
	case oplog.DropDatabase, oplog.AbortBuild:
		// The drops of the collections have their own entries; a build that is given up changes nothing.
		return false
	}
	return inScope(scope, op.NS)
}

// inScope reports whether a namespace belongs to users and is chosen, by the name under which people know it.
func inScope(scope pitr.Scope, ns pitr.Namespace) bool {
	return !ns.IsSystem() && scope.Contains(ns.KnownAs())
}
