package store

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"pitr"
)

// maxApplyOps is what the operations of one applyOps may weigh before the next goes to another entry of the chain.
const maxApplyOps = 16 << 20

// Commit logs the operations and makes them visible. It gives the optime of the last entry, zero if nothing was logged.
func (u *Unit) Commit() pitr.OpTime {
	if u.grouped {
		u.logGroup()
	}
	var last pitr.OpTime
	for i, op := range u.ops {
		if op.silent {
			op.TS = u.s.written.TS
			continue
		}
		last = pitr.OpTime{TS: op.TS, Term: u.s.Term()}
		if !u.grouped {
			u.s.add(op.TS, op.encoded)
		}
		u.s.keepPreImage(op, u.imageIndex(i))
	}
	u.publish()
	u.end()
	return last
}

// imageIndex is the place of an operation that a pre-image names: 0 outside of groups.
func (u *Unit) imageIndex(i int) int64 {
	if u.grouped && u.Session != nil {
		return int64(i)
	}
	return 0
}

// logGroup writes the applyOps entries of a group. Each operation takes a cluster time, each entry uses one of them, and all
// operations commit at that of the last entry; a single operation outside of a transaction needs no applyOps.
func (u *Unit) logGroup() {
	logged := make([]*Op, 0, len(u.ops))
	for _, op := range u.ops {
		if !op.silent {
			logged = append(logged, op)
		}
	}
	if len(logged) == 0 {
		return
	}
	u.Reserve(len(logged))
	defer func() { u.slots = nil }()
	if len(logged) == 1 && u.Session == nil {
		op := logged[0]
		op.TS = u.slot()
		u.s.add(op.TS, u.s.entry(op, nil))
		return
	}
	parts := split(logged)
	var last pitr.Timestamp
	for i, part := range parts {
		o := applyOps(part)
		if len(parts) > 1 {
			o = u.chained(o, i, len(parts), len(logged))
		}
		entry := &Op{Kind: "c", NS: "admin.$cmd", O: o, TS: u.slot()}
		u.s.add(entry.TS, u.s.entry(entry, u.Session))
		last = entry.TS
		if u.Session != nil {
			u.Session.Previous = pitr.OpTime{TS: last, Term: u.s.Term()}
		}
	}
	for _, op := range logged {
		op.TS = last
	}
}

func split(ops []*Op) [][]*Op {
	var parts [][]*Op
	size := 0
	for _, op := range ops {
		weight := op.innerSize()
		if len(parts) == 0 || size+weight > maxApplyOps {
			parts, size = append(parts, nil), 0
		}
		size += weight
		parts[len(parts)-1] = append(parts[len(parts)-1], op)
	}
	return parts
}

func applyOps(ops []*Op) []byte {
	size := 64
	for _, op := range ops {
		size += op.innerSize() + 16
	}
	dst := make([]byte, 4, size)
	start, dst := bsoncore.AppendArrayElementStart(dst, "applyOps")
	for i, op := range ops {
		dst = appendIndexKey(dst, bson.TypeEmbeddedDocument, i)
		dst = op.appendInner(dst)
	}
	dst = append(dst, 0)
	putLength(dst, int(start))
	return finish(dst)
}

// chained marks an entry of a chain: partialTxn on all but the last, the number of all operations on the last.
func (u *Unit) chained(o []byte, i, parts, ops int) []byte {
	dst := o[:len(o)-1]
	if i < parts-1 {
		dst = bsoncore.AppendBooleanElement(dst, "partialTxn", true)
	} else {
		dst = bsoncore.AppendInt64Element(dst, "count", int64(ops))
	}
	return finish(dst)
}

func finish(dst []byte) []byte {
	dst = append(dst, 0)
	putLength(dst, 0)
	return dst
}

func (u *Unit) publish() {
	for _, p := range u.pending {
		v := p.version
		v.owner, v.ts = nil, p.op.TS
		p.in.count += p.delta
		p.in.bytes += p.size
		if v.prev != nil || v.doc == nil {
			u.s.graves.add(grave{ts: v.ts, in: p.in, record: p.record})
		}
	}
	for _, k := range u.keys {
		if k.entry.adder == u {
			k.entry.adder, k.entry.from = nil, u.time(k.op)
		}
		if k.entry.remover == u {
			k.entry.remover, k.entry.to = nil, u.time(k.op)
			u.s.graves.add(grave{ts: k.entry.to, in: nil, index: k.index, entry: k.entry})
		}
	}
	for _, c := range u.changes {
		c.publish(u.time(c.op))
	}
}

// time is when an operation took effect; index keys of a record are opened before their operation is logged.
func (u *Unit) time(op *Op) pitr.Timestamp {
	if op != nil && op.TS != 0 {
		return op.TS
	}
	if n := len(u.ops); n > 0 && u.ops[n-1].TS != 0 {
		return u.ops[n-1].TS
	}
	return u.s.written.TS
}

// Abort takes everything back.
func (u *Unit) Abort() {
	for _, p := range slices.Backward(u.pending) {
		p.record.head = p.record.head.prev
		if p.record.head == nil {
			p.in.bury(p.record)
		}
	}
	for _, k := range slices.Backward(u.keys) {
		if k.entry.adder == u {
			k.index.tree.Delete(k.entry)
			continue
		}
		k.entry.remover = nil
	}
	for _, c := range slices.Backward(u.changes) {
		c.undo()
	}
	if u.Session != nil && !u.grouped {
		u.Session.Previous = u.before
	}
	u.end()
}

// Ended reports whether the unit was committed or aborted.
func (u *Unit) Ended() bool { return u.ended }

func (u *Unit) end() {
	u.ended = true
	delete(u.s.open, u)
	for c := range u.touched {
		delete(c.users, u)
	}
}

// keepPreImage stores what an update or delete replaced, where the collection asks for it.
func (s *Store) keepPreImage(op *Op, index int64) {
	if op.before == nil || op.silent {
		return
	}
	c := s.uuids[op.UUID]
	images := s.names["config.system.preimages"]
	if c == nil || images == nil || !wantsImages(c.Options) {
		return
	}
	doc := mustDocument(bson.D{
		{Key: "_id", Value: bson.D{
			{Key: "nsUUID", Value: op.UUID.Binary()}, {Key: "ts", Value: op.TS.BSON()}, {Key: "applyOpsIndex", Value: index},
		}},
		{Key: "operationTime", Value: bson.NewDateTimeFromTime(s.options.Now())},
		{Key: "preImage", Value: op.before},
	})
	u := s.Begin()
	if _, err := u.Insert(images, doc, Note{}); err != nil {
		u.Abort()
		return
	}
	u.Commit()
}

func wantsImages(options bson.Raw) bool {
	enabled, _ := options.Lookup("changeStreamPreAndPostImages", "enabled").BooleanOK()
	return enabled
}
