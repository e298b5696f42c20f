package guard

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"slices"

	"pitr"
)

// Limits bound one transaction. The zero value stands for 500 documents and 4 MiB: well below the life of a transaction
// and the size of an oplog entry.
type Limits struct {
	Writes, Bytes int
}

func (l Limits) orDefault() Limits {
	if l.Writes <= 0 {
		l.Writes = 500
	}
	if l.Bytes <= 0 {
		l.Bytes = 4 << 20
	}
	return l
}

// Changes is a list of changes that can be read at any place; it may lie in memory or in a file.
type Changes interface {
	Len() int
	// At gives the change with index 0 <= i < Len(). Its bytes stay as they are, and must not be changed.
	At(i int) (pitr.Change, error)
}

// InMemory is a list of changes in memory.
type InMemory []pitr.Change

// Len counts the changes.
func (m InMemory) Len() int { return len(m) }

// At gives one of them.
func (m InMemory) At(i int) (pitr.Change, error) { return m[i], nil }

// Task is what a plan is made from: the difference of two moments. E is the moment that is live, T the one to go to.
type Task struct {
	Changes Changes
	// E and T are the complete catalogs in scope at both moments.
	E, T []pitr.Collection
	// Blocked says that the writes of others are blocked. Only then may documents of one key group be absent between two
	// transactions.
	Blocked bool
	Limits  Limits
}

// Plan is the ordered list of everything that a job writes. Phases run one after the other; the batches of a phase touch
// disjoint documents and disjoint values of unique indexes, so that they may run at once.
type Plan struct {
	Phases []Phase
	// Documents and Bytes count what the batches write; a document that is deleted in one phase and inserted in another
	// counts twice.
	Documents, Bytes int64

	changes Changes
	seed    maphash.Seed
	places  []place
}

// Phase is a span of a plan: first its catalog writes in order, then its batches in any order.
type Phase struct {
	Name    PhaseName
	Catalog []pitr.CatalogWrite
	Batches []Batch
}

// PhaseName names a phase in step records; the order of the constants is the order of the phases.
type PhaseName string

// The phases.
const (
	// PhaseClearWay drops what is in the way, renames back and creates the collections that were dropped.
	PhaseClearWay PhaseName = "clear the way"
	// PhaseDelete deletes documents that T does not have, and those that are inserted again later.
	PhaseDelete PhaseName = "delete"
	// PhaseReplaceCollections drops collections that are empty now and makes them anew.
	PhaseReplaceCollections PhaseName = "replace collections"
	// PhaseWrite brings the documents of T.
	PhaseWrite PhaseName = "write"
	// PhaseFinish brings indexes, options and views of T, and drops empty collections that T does not have.
	PhaseFinish PhaseName = "finish"
)

// Batch is the content of one transaction: within the limits, or a single larger document.
type Batch []Ref

// Ref is one write of a batch: a change, by its index, and what to do with it.
type Ref struct {
	Change int32
	Mode   Mode
}

// Mode is what a write does with the two sides of a change.
type Mode uint8

// The modes. Together they name the only states in which a job may leave a document.
const (
	// ModeReplace goes from E to T in one write.
	ModeReplace Mode = iota
	// ModeReinsert goes from E to T by a delete and an insert in the same transaction.
	ModeReinsert
	// ModeClear goes from E to absent; a ModeFill of a later phase follows, or T does not have the document.
	ModeClear
	// ModeFill goes from absent to T.
	ModeFill
)

// Write makes the guarded write of a reference.
func (r Ref) Write(change pitr.Change) pitr.DocumentWrite {
	write := pitr.DocumentWrite{NS: change.NS, Key: change.Key, Expect: change.E, Result: change.Target()}
	switch r.Mode {
	case ModeReplace:
	case ModeReinsert:
		write.Reinsert = true
	case ModeClear:
		write.Result = nil
	case ModeFill:
		write.Expect = nil
	}
	return write
}

// Writes makes the guarded writes of a batch.
func (b Batch) Writes(changes Changes) ([]pitr.DocumentWrite, error) {
	writes := make([]pitr.DocumentWrite, 0, len(b))
	for _, ref := range b {
		change, err := changes.At(int(ref.Change))
		if err != nil {
			return nil, fmt.Errorf("read change %d: %w", ref.Change, err)
		}
		writes = append(writes, ref.Write(change))
	}
	return writes, nil
}

// PlanTo orders the writes of a task. The plan is a pure function of the task: a resumed job makes the same one.
//
// Executed on the state at E it ends in the state at T, and no unique index meets a duplicate on the way: what only E has
// goes first, and documents that trade values of a unique index among each other share a transaction that deletes all of
// them before it inserts any.
func PlanTo(task Task) (Plan, error) {
	catalog, err := planCatalog(task.E, task.T)
	if err != nil {
		return Plan{}, err
	}
	sorted, err := sortChanges(task, catalog)
	if err != nil {
		return Plan{}, err
	}
	packer := packer{sizes: sorted.sizes, limits: task.Limits.orDefault()}
	deletes := packer.pack(sorted.deletes, nil)
	writes := packer.pack(sorted.writes, sorted.groups)
	plan := Plan{Documents: packer.documents, Bytes: packer.bytes, changes: task.Changes, seed: sorted.seed, places: sorted.places}
	slices.SortFunc(plan.places, func(a, b place) int { return cmp.Compare(a.hash, b.hash) })
	for _, phase := range []Phase{
		{Name: PhaseClearWay, Catalog: catalog.clearWay},
		{Name: PhaseDelete, Batches: deletes},
		{Name: PhaseReplaceCollections, Catalog: catalog.replace},
		{Name: PhaseWrite, Batches: writes},
		{Name: PhaseFinish, Catalog: catalog.finish},
	} {
		if len(phase.Catalog) > 0 || len(phase.Batches) > 0 {
			plan.Phases = append(plan.Phases, phase)
		}
	}
	return plan, nil
}

// packer fills batches up to their limits.
type packer struct {
	sizes            []int32
	limits           Limits
	documents, bytes int64
}

// pack puts single references and whole groups into batches, in order.
func (p *packer) pack(singles []Ref, groups [][]Ref) []Batch {
	var batches []Batch
	var batch Batch
	room := p.limits.Bytes
	add := func(refs []Ref) {
		size := p.size(refs)
		if len(batch) > 0 && (len(batch)+len(refs) > p.limits.Writes || size > room) {
			batches = append(batches, batch)
			batch, room = nil, p.limits.Bytes
		}
		batch = append(batch, refs...)
		room -= size
		p.documents += int64(len(refs))
		p.bytes += int64(size)
	}
	for i := range singles {
		add(singles[i : i+1])
	}
	for _, group := range groups {
		add(group)
	}
	if len(batch) > 0 {
		batches = append(batches, batch)
	}
	return batches
}

func (p *packer) size(refs []Ref) int {
	total := 0
	for _, ref := range refs {
		total += int(p.sizes[ref.Change])
	}
	return total
}
