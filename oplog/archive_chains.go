package oplog

import (
	"bytes"
	"cmp"
	"slices"

	"pitr"
	"pitr/format"
)

// chains follows which transactions and large batches are open, without keeping what is in them: section 4.3 of the oplog
// facts. The zero value is ready for use.
type chains struct {
	open map[pitr.OpTime]openChain // by the newest entry
}

type openChain struct {
	format.OpenChain
	prepared bool
}

// push takes the next entry.
func (c *chains) push(e *Entry) {
	if len(c.open) > 0 && !e.Session.IsZero() {
		c.bury(e.Session)
	}
	switch command := e.Command.(type) {
	case Batch:
		if e.Alone {
			return
		}
		chain, known := c.open[e.Previous]
		delete(c.open, e.Previous)
		if !command.Partial && !command.Prepare {
			return
		}
		if !known {
			chain = c.begin(e)
		}
		chain.prepared = command.Prepare
		if c.open == nil {
			c.open = map[pitr.OpTime]openChain{}
		}
		c.open[e.OpTime] = chain
	case Commit, Abort:
		delete(c.open, e.Previous)
	}
}

// begin makes a chain. Where its first entries were not seen, the entry before is the best that is known.
func (c *chains) begin(e *Entry) openChain {
	chain := openChain{OpenChain: format.OpenChain{Session: bytes.Clone(e.Session.ID), TxnNumber: e.Session.Txn, First: e.OpTime}}
	if !e.Previous.IsZero() {
		chain.First = e.Previous
	}
	if chain.Session == nil {
		chain.Session = emptyDocument
	}
	return chain
}

// emptyDocument stands for the session of a batch that has none.
var emptyDocument = []byte{5, 0, 0, 0, 0}

// bury drops chains of a session that has gone on; a prepared one ends with an entry of its own.
func (c *chains) bury(session Session) {
	for last, chain := range c.open {
		if !chain.prepared && chain.TxnNumber < session.Txn && bytes.Equal(chain.Session, session.ID) {
			delete(c.open, last)
		}
	}
}

// list gives the open chains, oldest first.
func (c *chains) list() []format.OpenChain {
	var list []format.OpenChain
	for _, chain := range c.open {
		list = append(list, chain.OpenChain)
	}
	slices.SortFunc(list, func(a, b format.OpenChain) int {
		return cmp.Or(cmp.Compare(a.First.TS, b.First.TS), bytes.Compare(a.Session, b.Session), cmp.Compare(a.TxnNumber, b.TxnNumber))
	})
	return list
}
