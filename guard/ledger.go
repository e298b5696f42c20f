package guard

import (
	"bytes"
	"cmp"
	"fmt"
	"hash/maphash"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/oplog"
)

// Ledger knows every state that a job may bring about, so that its own entries can be told from those of others.
type Ledger struct {
	changes Changes
	steps   []pitr.CatalogWrite
	seed    maphash.Seed
	// places are the changes by hash of namespace and key, in order of hashes.
	places []place
	// cleared are the changes whose document is absent between two phases.
	cleared map[int32]bool
}

type place struct {
	hash   uint64
	change int32
}

// Ledger gives what recognises the entries of the plan's writes.
func (plan Plan) Ledger() *Ledger {
	l := &Ledger{changes: plan.changes, seed: plan.seed, cleared: map[int32]bool{}, places: plan.places}
	for _, phase := range plan.Phases {
		l.steps = append(l.steps, phase.Catalog...)
		for _, batch := range phase.Batches {
			for _, ref := range batch {
				if ref.Mode == ModeClear {
					l.cleared[ref.Change] = true
				}
			}
		}
	}
	return l
}

// placeOf hashes the identity of a change. Two changes that look the same are told apart by reading them.
func placeOf(seed maphash.Seed, ns pitr.Namespace, key pitr.Key) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	_, _ = h.WriteString(ns.DB)
	_ = h.WriteByte('.')
	_, _ = h.WriteString(ns.Collection)
	_ = h.WriteByte(0)
	_, _ = h.WriteString(key.Equal())
	return h.Sum64()
}

// Find gives the change of a key; false when the job has none.
func (l *Ledger) Find(ns pitr.Namespace, key pitr.Key) (pitr.Change, bool, error) {
	change, i, err := l.find(ns, key)
	return change, i >= 0 && err == nil, err
}

// find gives the change of a key and its index, false when the job has none.
func (l *Ledger) find(ns pitr.Namespace, key pitr.Key) (pitr.Change, int32, error) {
	hash := placeOf(l.seed, ns, key)
	at, _ := slices.BinarySearchFunc(l.places, hash, func(p place, hash uint64) int { return cmp.Compare(p.hash, hash) })
	for ; at < len(l.places) && l.places[at].hash == hash; at++ {
		change, err := l.changes.At(int(l.places[at].change))
		if err != nil {
			return pitr.Change{}, 0, fmt.Errorf("read change %d: %w", l.places[at].change, err)
		}
		if change.NS == ns && change.Key.Equal() == key.Equal() {
			return change, l.places[at].change, nil
		}
	}
	return pitr.Change{}, -1, nil
}

// final is what a group of operations leaves of one document.
type final struct {
	ns  pitr.Namespace
	key pitr.Key
	// document is the whole document, where it is known; delta is a change of one that is not.
	document, delta bson.Raw
	gone            bool
}

func (f final) what() string {
	switch {
	case f.gone:
		return "a delete of " + f.key.String()
	case f.delta != nil:
		return "an update of " + f.key.String()
	}
	return "a write of " + f.key.String()
}

// sum reduces a group to its effect per document, and gives the operations that are not about one document.
func (l *Ledger) sum(ops []oplog.Op) (finals []final, rest []oplog.Op) {
	at := map[string]int{}
	for _, op := range ops {
		key, err := op.Key()
		isDocument := op.Kind == oplog.KindInsert || op.Kind == oplog.KindUpdate || op.Kind == oplog.KindDelete
		if err != nil || !isDocument || op.NS == blockNamespace {
			rest = append(rest, op)
			continue
		}
		name := op.NS.String() + "\x00" + key.Equal()
		i, known := at[name]
		if !known {
			i = len(finals)
			at[name] = i
			finals = append(finals, final{})
		}
		finals[i] = finals[i].after(op, key)
	}
	return finals, rest
}

// after gives the effect when one more operation follows. A delta on a document that is known is applied.
func (f final) after(op oplog.Op, key pitr.Key) final {
	next := final{ns: op.NS, key: key}
	form, err := oplog.FormOf(op.O)
	switch {
	case op.Kind == oplog.KindDelete:
		next.gone = true
	case op.Kind == oplog.KindInsert, err == nil && form == oplog.FormReplacement:
		next.document = op.O
	case f.document != nil:
		if after, _, err := oplog.ApplyUpdate(f.document, op.O); err == nil {
			next.document = after
		} else {
			next.delta = op.O
		}
	default:
		next.delta = op.O
	}
	return next
}

// explains reports whether the effect on a document is one that the job brings about.
func (l *Ledger) explains(f final) (bool, error) {
	change, i, err := l.find(f.ns, f.key)
	if err != nil || i < 0 {
		return false, err
	}
	target := change.Target()
	switch {
	case f.gone:
		return target == nil || l.cleared[i], nil
	case target == nil:
		return false, nil
	case f.delta != nil: // a server may log a replacement as the difference of both documents
		after, _, err := oplog.ApplyUpdate(change.E, f.delta)
		return err == nil && bytes.Equal(after, target), nil
	}
	return bytes.Equal(f.document, target), nil
}

// explainsStep reports whether a catalog operation is a step of the plan.
func (l *Ledger) explainsStep(op oplog.Op) bool {
	return slices.ContainsFunc(l.steps, func(step pitr.CatalogWrite) bool { return isStep(op, step) })
}

func isStep(op oplog.Op, step pitr.CatalogWrite) bool {
	switch s := step.(type) {
	case pitr.CreateCollection:
		create, ok := op.Command.(oplog.Create)
		return ok && create.NS == s.Collection.NS
	case pitr.DropCollection:
		drop, ok := op.Command.(oplog.Drop)
		return ok && drop.NS == s.NS && op.UUID == s.UUID
	case pitr.RenameCollection:
		rename, ok := op.Command.(oplog.Rename)
		return ok && rename.From == s.From && rename.To == s.To && !rename.DropsTarget
	case pitr.CreateIndexes:
		return op.NS == s.NS && allAmong(builtBy(op.Command), s.Specs)
	case pitr.DropIndex:
		drop, ok := op.Command.(oplog.DropIndexes)
		return ok && drop.NS == s.NS && drop.Name == pitr.IndexName(s.Spec)
	case pitr.ModifyCollection:
		modify, ok := op.Command.(oplog.Modify)
		return ok && modify.NS == s.NS
	}
	return false
}

// builtBy gives the specs that an operation builds, nil when it builds none.
func builtBy(command oplog.Command) []bson.Raw {
	switch c := command.(type) {
	case oplog.CreateIndexes:
		return c.Specs
	case oplog.StartBuild:
		return c.Specs
	case oplog.CommitBuild:
		return c.Specs
	}
	return nil
}

// allAmong reports whether there are specs, and each is one of the others.
func allAmong(specs, others []bson.Raw) bool {
	for _, spec := range specs {
		if !slices.ContainsFunc(others, func(other bson.Raw) bool { return SameIndex(spec, other) }) {
			return false
		}
	}
	return len(specs) > 0
}
