package modelcluster

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"maps"
	"sort"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// Server tells who the cluster is.
func (c *Cluster) Server(context.Context) (pitr.Server, error) { return c.server, nil }

// Catalog lists what is in scope.
func (c *Cluster) Catalog(_ context.Context, scope pitr.Scope) ([]pitr.Collection, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []pitr.Collection
	for ns, there := range c.collections {
		if scope.Contains(ns) {
			entry := there.Collection
			entry.Indexes = append([]bson.Raw(nil), entry.Indexes...)
			list = append(list, entry)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].NS.Compare(list[j].NS) < 0 })
	return list, nil
}

// Lookup finds documents by _id.
func (c *Cluster) Lookup(_ context.Context, ns pitr.Namespace, ids []bson.RawValue) ([]bson.Raw, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []bson.Raw
	for _, id := range ids {
		key, err := pitr.NewKey(id)
		if err != nil {
			return nil, err
		}
		if there := c.collections[ns]; there != nil && there.documents[key.Equal()] != nil {
			found = append(found, bytes.Clone(there.documents[key.Equal()]))
		}
	}
	return found, nil
}

// Count counts documents.
func (c *Cluster) Count(_ context.Context, ns pitr.Namespace) (int64, error) {
	return int64(len(c.Documents(ns))), nil
}

// Entries reads the oplog.
func (c *Cluster) Entries(_ context.Context, after pitr.Timestamp) iter.Seq2[bson.Raw, error] {
	c.mu.Lock()
	entries := append([]bson.Raw(nil), c.oplog...)
	c.mu.Unlock()
	return func(yield func(bson.Raw, error) bool) {
		joined := false
		for _, entry := range entries {
			t, i := entry.Lookup("ts").Timestamp()
			at := pitr.NewTimestamp(t, i)
			joined = joined || at == after
			if at > after && joined && !yield(entry, nil) {
				return
			}
		}
		if !joined {
			yield(nil, pitr.Errorf(pitr.KindHole, "read the oplog", "", "there is no entry at %s", after))
		}
	}
}

func (c *Cluster) before(what string) error {
	if c.BeforeWrite == nil {
		return nil
	}
	return c.BeforeWrite(what)
}

// Transact performs guarded writes; unique indexes are checked at each of them.
func (c *Cluster) Transact(_ context.Context, writes []pitr.DocumentWrite) (pitr.Timestamp, error) {
	if err := c.before(fmt.Sprintf("transaction of %d", len(writes))); err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.block.Standing && !c.block.MayPass {
		return 0, pitr.Errorf(pitr.KindDenied, "write", "", "User writes blocked")
	}
	undo := map[pitr.Namespace]map[string]bson.Raw{}
	ops, err := c.transact(writes, undo)
	if err != nil {
		for ns, documents := range undo {
			c.collections[ns].documents = documents
		}
		return 0, err
	}
	if len(ops) == 0 {
		return 0, nil
	}
	c.log = append(c.log, fmt.Sprintf("transaction of %d", len(writes)))
	lsid := bson.D{{Key: "id", Value: pitr.UUID{1}.Binary()}}
	return c.entry(bson.D{{Key: "op", Value: "c"}, {Key: "ns", Value: "admin.$cmd"}, {Key: "lsid", Value: lsid},
		{Key: "txnNumber", Value: int64(len(c.oplog))}, {Key: "o", Value: bson.D{{Key: "applyOps", Value: ops}}},
		{Key: "prevOpTime", Value: bson.D{{Key: "ts", Value: bson.Timestamp{}}, {Key: "t", Value: int64(-1)}}}}), nil
}

func (c *Cluster) transact(writes []pitr.DocumentWrite, undo map[pitr.Namespace]map[string]bson.Raw) (bson.A, error) {
	var todo []pitr.DocumentWrite
	for _, write := range writes {
		there := c.collections[write.NS]
		if there == nil {
			return nil, fmt.Errorf("no collection %s", write.NS)
		}
		if undo[write.NS] == nil {
			undo[write.NS] = maps.Clone(there.documents)
		}
		live := there.documents[write.Key.Equal()]
		switch {
		case bytes.Equal(live, write.Result) && !write.Own:
		case bytes.Equal(live, write.Expect):
			todo = append(todo, write)
		default:
			return nil, &pitr.Error{Kind: pitr.KindConflict, Err: &pitr.Difference{Write: write, Live: live}}
		}
	}
	ops := bson.A{}
	for _, write := range todo {
		if write.Expect != nil && (write.Result == nil || write.Reinsert) {
			delete(c.collections[write.NS].documents, write.Key.Equal())
			ops = append(ops, c.op("d", write.NS, write.Expect))
		}
	}
	for _, write := range todo {
		if write.Result == nil {
			continue
		}
		there := c.collections[write.NS]
		if err := there.collides(write.Result); err != nil {
			return nil, pitr.Errorf(pitr.KindConflict, "write", "", "%w: %w", pitr.ErrDuplicateKey, err)
		}
		kind := "i"
		if old := there.documents[write.Key.Equal()]; old != nil {
			kind = "u"
			if !bytes.Equal(old.Lookup("_id").Value, write.Result.Lookup("_id").Value) {
				return nil, fmt.Errorf("the (immutable) field '_id' was found to have been altered")
			}
		}
		there.documents[write.Key.Equal()] = write.Result
		ops = append(ops, c.op(kind, write.NS, write.Result))
	}
	return ops, nil
}

func (c *Cluster) op(kind string, ns pitr.Namespace, document bson.Raw) bson.D {
	id := bson.D{{Key: "_id", Value: document.Lookup("_id")}}
	head := bson.D{{Key: "op", Value: kind}, {Key: "ns", Value: ns.String()}, {Key: "ui", Value: c.collections[ns].UUID.Binary()}}
	if kind == "d" {
		return append(head, bson.E{Key: "o", Value: id})
	}
	return append(head, bson.E{Key: "o", Value: document}, bson.E{Key: "o2", Value: id})
}

// WriteBlock tells the state of the switch.
func (c *Cluster) WriteBlock(context.Context) (pitr.WriteBlock, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.block, nil
}

var blockUUID = pitr.UUID{0xb1}

// BlockWrites switches the block on; a second time is accepted silently, as a server does.
func (c *Cluster) BlockWrites(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.block.MaySet:
		return pitr.Errorf(pitr.KindDenied, "block writes", "", "not authorized")
	case c.BusyBlocks > 0:
		c.BusyBlocks--
		return pitr.Errorf(pitr.KindUnavailable, "block writes", "", "operation exceeded time limit")
	case c.block.Standing:
		return nil
	}
	c.block.Standing = true
	c.log = append(c.log, "block")
	c.entry(bson.D{{Key: "op", Value: "i"}, {Key: "ns", Value: "config.user_writes_critical_sections"}, {Key: "ui", Value: blockUUID.Binary()},
		{Key: "o", Value: bson.D{{Key: "_id", Value: ""}, {Key: "blockNewUserShardedDDL", Value: false}, {Key: "blockUserWrites", Value: true}}},
		{Key: "o2", Value: bson.D{{Key: "_id", Value: ""}}}})
	return nil
}

// UnblockWrites switches it off.
func (c *Cluster) UnblockWrites(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.block.Standing {
		return nil
	}
	c.block.Standing = false
	c.log = append(c.log, "unblock")
	c.entry(bson.D{{Key: "op", Value: "d"}, {Key: "ns", Value: "config.user_writes_critical_sections"}, {Key: "ui", Value: blockUUID.Binary()},
		{Key: "o", Value: bson.D{{Key: "_id", Value: ""}}}})
	return nil
}

// Load inserts in bulk.
func (c *Cluster) Load(_ context.Context, ns pitr.Namespace, documents []bson.Raw) error {
	if err := c.before("load " + ns.String()); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	there := c.collections[ns]
	if there == nil {
		return fmt.Errorf("no collection %s", ns)
	}
	for _, document := range documents {
		key := mustKey(document).Equal()
		if there.documents[key] != nil {
			return pitr.Errorf(pitr.KindConflict, "load", "", "E11000 duplicate _id")
		}
		there.documents[key] = bytes.Clone(document)
	}
	c.log = append(c.log, fmt.Sprintf("load %s", ns))
	return nil
}

// Holders finds the documents that hold one of the values in an index.
func (c *Cluster) Holders(_ context.Context, ns pitr.Namespace, index bson.Raw, values []bson.Raw) ([]bson.Raw, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	there := c.collections[ns]
	if there == nil {
		return nil, nil
	}
	wanted := map[string]bool{}
	for _, value := range values {
		keys, err := flatKeys(index, value)
		if err != nil {
			return nil, err
		}
		wanted[keys] = true
	}
	var found []bson.Raw
	for text, document := range c.held(there, index) {
		if wanted[text] {
			found = append(found, document...)
		}
	}
	return found, nil
}

// held gives the documents of a collection by the values that they hold in an index.
func (c *Cluster) held(there *collection, index bson.Raw) map[string][]bson.Raw {
	held := map[string][]bson.Raw{}
	for _, document := range there.documents {
		keys, err := there.keysOf(index, document)
		if err != nil {
			continue // the server could not have it
		}
		for _, key := range keys {
			held[key] = append(held[key], document)
		}
	}
	return held
}

// Matching gives those of the documents that satisfy a condition.
func (c *Cluster) Matching(_ context.Context, condition pitr.Condition, documents []bson.Raw) ([]bson.RawValue, error) {
	var ids []bson.RawValue
	for _, document := range documents {
		if matches(condition.Filter, document) {
			ids = append(ids, document.Lookup("_id"))
		}
	}
	return ids, nil
}

// Settle has nothing to wait for.
func (c *Cluster) Settle(context.Context) (pitr.Timestamp, error) { return c.Now(), nil }
