package oplog

import (
	"bytes"
	"slices"
	"time"

	"pitr"
)

// DefaultMaxOpen bounds the bytes of transactions that have begun and not ended, where Assembler is given no other bound.
const DefaultMaxOpen = 256 << 20

// Committed is a group of operations that count together or not at all.
type Committed struct {
	// At is the moment from which on the group counts: a bound T includes it when At <= T. It is the time of the entry,
	// but for a prepared transaction, which can count from before its commit entry on.
	At pitr.Timestamp
	// OpTime is the entry that made the group count; groups are applied in the order of their entries. First is the first
	// entry of the group.
	OpTime, First pitr.OpTime
	Wall          time.Time
	Session       Session
	// ByHand says that the group may be an applyOps that a user sent, whose inserts can meet documents that are there.
	ByHand bool
	// Ops are the operations in order. They are valid until the next Push; their bytes stay.
	Ops []Op
}

// Chain is a transaction or large batch whose end has not been seen.
type Chain struct {
	First, Last pitr.OpTime
	Session     Session
	// Prepared says that the transaction may still count from a moment at or after its last entry on.
	Prepared bool
	// Headless says that its first entries lie before the first one that was read.
	Headless bool
	Bytes    int64
}

// Assembler joins the entries of one history, in order, into groups that count together: section 4 of the oplog facts.
// Chains are joined by optime, not by session. The zero value is ready for use.
type Assembler struct {
	// MaxOpen bounds the bytes of chains without an end, DefaultMaxOpen when zero.
	MaxOpen int64
	// Base is the moment that the state already holds: what counts at or below it may have its head before the first
	// entry that is read.
	Base pitr.Timestamp

	open   map[pitr.OpTime]*chain
	bytes  int64
	torsos []Chain
	single [1]Op
}

type chain struct {
	Chain
	batches []Batch
}

// Push takes the next entry. It gives the group that the entry completes; false where it completes none, because it is a
// part, has no effect, or ends a transaction without effect. The entry's bytes are copied where they must be kept.
//
// Errors: kind limit when open chains outgrow MaxOpen, kind hole when a chain counts whose head was not read, kind corrupt
// or unsupported for what is inside a batch.
func (a *Assembler) Push(e *Entry) (Committed, bool, error) {
	if len(a.open) > 0 && !e.Session.IsZero() {
		a.bury(e.Session)
	}
	var (
		group Committed
		done  bool
		err   error
	)
	switch command := e.Command.(type) {
	case Batch:
		group, done, err = a.batch(e, command)
	case Commit:
		group, done, err = a.commit(e, command)
	case Abort:
		a.take(e.Previous)
	default:
		if verdict, _ := e.Verdict(); verdict == Skipped {
			return group, false, nil
		}
		a.single[0] = e.Op
		return e.group(a.single[:]), true, nil
	}
	if err != nil {
		return Committed{}, false, e.name(err)
	}
	return group, done, nil
}

// Open lists the chains whose end has not been seen, oldest first.
func (a *Assembler) Open() []Chain {
	chains := make([]Chain, 0, len(a.open))
	for _, each := range a.open {
		chains = append(chains, each.Chain)
	}
	slices.SortFunc(chains, func(one, other Chain) int { return one.First.Compare(other.First) })
	return chains
}

// Torsos lists the chains that can never end: a primary died before it had replicated the whole of them, and their
// session went on.
func (a *Assembler) Torsos() []Chain {
	slices.SortFunc(a.torsos, func(one, other Chain) int { return one.First.Compare(other.First) })
	return a.torsos
}

// Clone gives an assembler that goes on from the same place by itself.
func (a *Assembler) Clone() *Assembler {
	clone := &Assembler{MaxOpen: a.MaxOpen, Base: a.Base, bytes: a.bytes, torsos: slices.Clone(a.torsos)}
	for last, each := range a.open {
		if clone.open == nil {
			clone.open = make(map[pitr.OpTime]*chain, len(a.open))
		}
		copied := *each
		copied.batches = slices.Clone(each.batches)
		clone.open[last] = &copied
	}
	return clone
}

func (e *Entry) group(ops []Op) Committed {
	return Committed{At: e.OpTime.TS, OpTime: e.OpTime, First: e.OpTime, Wall: e.Wall, Session: e.Session, Ops: ops}
}

// batch decides by the shape of an applyOps entry, in the order of the table in section 4.1 of the oplog facts.
func (a *Assembler) batch(e *Entry, batch Batch) (Committed, bool, error) {
	switch {
	case (batch.Partial || batch.Prepare) && e.Alone:
		return Committed{}, false, pitr.Corruptf("", "an applyOps that is both a part and alone")
	case batch.Partial || batch.Prepare:
		return Committed{}, false, a.extend(e, batch)
	case e.Alone || e.Previous.IsZero():
		ops, err := decodeOps(nil, batch.Ops, 0)
		group := e.group(ops)
		group.ByHand = !e.Alone && e.Session.IsZero()
		return group, err == nil, err
	}
	if err := a.extend(e, batch); err != nil {
		return Committed{}, false, err
	}
	whole := a.take(e.OpTime)
	if batch.Count != 0 && !whole.Headless && batch.Count != whole.count() {
		return Committed{}, false, pitr.Corruptf("", "a transaction of %d operations that says it has %d", whole.count(), batch.Count)
	}
	return a.complete(e, whole, e.OpTime.TS)
}

// commit makes a prepared transaction count.
func (a *Assembler) commit(e *Entry, commit Commit) (Committed, bool, error) {
	whole := a.take(e.Previous)
	if whole == nil {
		whole = &chain{Chain: Chain{First: e.Previous, Last: e.Previous, Prepared: true, Headless: true}}
	}
	return a.complete(e, whole, commit.At)
}

func (a *Assembler) complete(e *Entry, whole *chain, at pitr.Timestamp) (Committed, bool, error) {
	if whole.Headless {
		if at <= a.Base {
			return Committed{}, false, nil
		}
		return Committed{}, false, pitr.Errorf(pitr.KindHole, "", "choose a moment before it, or an older snapshot",
			"the transaction that counts here began before the first entry that was read, at or before %s", whole.First)
	}
	group := e.group(nil)
	group.At, group.First = at, whole.First
	for _, batch := range whole.batches {
		var err error
		if group.Ops, err = decodeOps(group.Ops, batch.Ops, 0); err != nil {
			return Committed{}, false, err
		}
	}
	return group, true, nil
}

// extend appends an entry to the chain that it points to, or begins one.
func (a *Assembler) extend(e *Entry, batch Batch) error {
	each := a.take(e.Previous)
	if each == nil {
		session := Session{ID: bytes.Clone(e.Session.ID), Txn: e.Session.Txn}
		each = &chain{Chain: Chain{First: e.OpTime, Session: session, Headless: !e.Previous.IsZero()}}
	}
	batch.Ops = bytes.Clone(batch.Ops)
	each.batches = append(each.batches, batch)
	each.Last, each.Prepared = e.OpTime, batch.Prepare
	each.Bytes += int64(len(batch.Ops))
	a.bytes += each.Bytes
	if a.open == nil {
		a.open = map[pitr.OpTime]*chain{}
	}
	a.open[e.OpTime] = each
	limit := a.MaxOpen
	if limit == 0 {
		limit = DefaultMaxOpen
	}
	if a.bytes > limit {
		return pitr.Errorf(pitr.KindLimit, "", "raise the memory limit, or choose a moment before this transaction",
			"open transactions hold more than %d MiB", limit>>20)
	}
	return nil
}

// take removes the chain whose newest entry this is; nil where there is none.
func (a *Assembler) take(last pitr.OpTime) *chain {
	each := a.open[last]
	if each != nil {
		delete(a.open, last)
		a.bytes -= each.Bytes
	}
	return each
}

// bury drops chains of a session that has gone on to a later transaction. A prepared one is never left behind: it ends
// with an entry of its own.
func (a *Assembler) bury(session Session) {
	for last, each := range a.open {
		if !each.Prepared && each.Session.Txn < session.Txn && bytes.Equal(each.Session.ID, session.ID) {
			a.torsos = append(a.torsos, each.Chain)
			a.take(last)
		}
	}
}

func (c *chain) count() int64 {
	count := int64(0)
	for _, batch := range c.batches {
		for f := walk(batch.Ops); f.next(); {
			count++
		}
	}
	return count
}
