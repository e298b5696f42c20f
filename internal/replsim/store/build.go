package store

import (
	"cmp"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/internal/replsim/mql/value"
)

// IndexNamed gives the index with a name, nil if there is none.
func (c *Collection) IndexNamed(name string) *Index {
	for _, x := range c.Indexes {
		if x.Name == name {
			return x
		}
	}
	return nil
}

// Empty reports whether nobody sees a document in the collection.
func (c *Collection) Empty() bool {
	for r := range c.After(NaturalStart) {
		if r.alive() {
			return false
		}
	}
	return true
}

// CreateIndex adds an index in one phase, as on an empty collection, and logs it.
func (u *Unit) CreateIndex(c *Collection, x *Index) error {
	if c.busy(u) {
		return ErrConflict
	}
	if err := x.fill(u, c); err != nil {
		return err
	}
	op := &Op{silent: true}
	if !c.silent {
		var err error
		o := append(bson.D{{Key: "createIndexes", Value: Name(c.NS)}}, value.Fields(x.Spec)...)
		if op, err = u.Command(DB(c.NS), c.UUID, mustDocument(o), nil); err != nil {
			return err
		}
	}
	u.addIndex(c, x)
	u.changes = append(u.changes, change{op: op, publish: func(ts pitr.Timestamp) { u.ready(c, x, ts) }, undo: func() {}})
	return nil
}

func (u *Unit) addIndex(c *Collection, x *Index) {
	c.Indexes = append(c.Indexes, x)
	u.changes = append(u.changes, change{publish: func(pitr.Timestamp) {}, undo: func() { c.removeIndex(x) }})
}

func (u *Unit) ready(c *Collection, x *Index, ts pitr.Timestamp) {
	x.ready, x.Build = ts, pitr.UUID{}
	c.remember(ts)
}

func (c *Collection) removeIndex(x *Index) {
	c.Indexes = slices.DeleteFunc(slices.Clone(c.Indexes), func(other *Index) bool { return other == x })
}

// Phase is a step of a two-phase index build.
type Phase string

// The phases, by the name of their command entry.
const (
	PhaseStart  Phase = "startIndexBuild"
	PhaseCommit Phase = "commitIndexBuild"
	PhaseAbort  Phase = "abortIndexBuild"
)

// Build is a two-phase build of some indexes.
type Build struct {
	ID      pitr.UUID
	Indexes []*Index
}

// StartBuild lists indexes that are being built and logs it. They have no keys until CommitBuild.
func (u *Unit) StartBuild(c *Collection, b Build) error {
	if c.busy(u) {
		return ErrConflict
	}
	if err := u.logPhase(c, PhaseStart, b, nil); err != nil {
		return err
	}
	for _, x := range b.Indexes {
		x.Build = b.ID
		u.addIndex(c, x)
	}
	return nil
}

// CheckBuild gives the indexes of a build their keys; a duplicate under a unique one is returned and leaves them empty.
func (u *Unit) CheckBuild(c *Collection, b Build) error {
	if c.busy(u) {
		return ErrConflict
	}
	for _, x := range b.Indexes {
		if err := x.fill(u, c); err != nil {
			for _, other := range b.Indexes {
				other.tree.Clear()
			}
			return err
		}
	}
	return nil
}

// CommitBuild makes the indexes of a checked build usable and logs it.
func (u *Unit) CommitBuild(c *Collection, b Build) error {
	if err := u.logPhase(c, PhaseCommit, b, nil); err != nil {
		return err
	}
	op := u.ops[len(u.ops)-1]
	for _, x := range b.Indexes {
		x.Build = pitr.UUID{}
		u.changes = append(u.changes, change{
			op: op, publish: func(ts pitr.Timestamp) { u.ready(c, x, ts) }, undo: func() { x.Build = b.ID },
		})
	}
	return nil
}

// AbortBuild takes the indexes of a build out and logs the cause.
func (u *Unit) AbortBuild(c *Collection, b Build, cause bson.Raw) error {
	bypass := u.Bypass
	u.Bypass = true // the server ends its own build, block or not
	err := u.logPhase(c, PhaseAbort, b, cause)
	u.Bypass = bypass
	for _, x := range b.Indexes {
		c.removeIndex(x)
	}
	return err
}

func (u *Unit) logPhase(c *Collection, phase Phase, b Build, cause bson.Raw) error {
	specs := make(bson.A, len(b.Indexes))
	for i, x := range b.Indexes {
		specs[i] = x.Spec
	}
	o := bson.D{{Key: string(phase), Value: Name(c.NS)}, {Key: "indexBuildUUID", Value: b.ID.Binary()}, {Key: "indexes", Value: specs}}
	if cause != nil {
		o = append(o, bson.E{Key: "cause", Value: cause})
	}
	_, err := u.Command(DB(c.NS), c.UUID, mustDocument(o), nil)
	return err
}

// DropIndex removes an index and logs its name and spec.
func (u *Unit) DropIndex(c *Collection, x *Index) error {
	if c.busy(u) {
		return ErrConflict
	}
	o := mustDocument(bson.D{{Key: "dropIndexes", Value: Name(c.NS)}, {Key: "index", Value: x.Name}})
	op, err := u.Command(DB(c.NS), c.UUID, o, x.Spec)
	if err != nil {
		return err
	}
	indexes := c.Indexes
	c.removeIndex(x)
	u.changes = append(u.changes, change{op: op, publish: c.remember, undo: func() { c.Indexes = indexes }})
	return nil
}

// Modification is a change by collMod: the new options or spec, and what the entry says.
type Modification struct{ New, O, O2 bson.Raw }

// ModifyIndex gives an index another spec with the same keys.
func (u *Unit) ModifyIndex(c *Collection, x *Index, to Modification) error {
	if c.busy(u) {
		return ErrConflict
	}
	old := x.Spec
	x.Spec = slices.Clone(to.New)
	x.modified = u.s.serial()
	x.setUnique()
	op, err := u.Command(DB(c.NS), c.UUID, to.O, to.O2)
	u.changes = append(u.changes, change{
		op: op, publish: c.remember,
		undo: func() {
			x.Spec = old
			x.setUnique()
		},
	})
	return err
}

// InDropOrder gives the indexes as the server drops them all: those whose options never changed first.
func (c *Collection) InDropOrder() []*Index {
	return slices.SortedStableFunc(slices.Values(c.Indexes), func(a, b *Index) int { return cmp.Compare(a.modified, b.modified) })
}

// Repeated gives the ids of documents that share a key of an index, in natural order: what a conversion to unique reports.
func (x *Index) Repeated(c *Collection) []bson.RawValue {
	seen := map[string]*Record{}
	reported := map[*Record]bool{}
	var ids []bson.RawValue
	for r := range c.After(NaturalStart) {
		doc := r.At(Latest)
		if doc == nil || x.keys == nil {
			continue
		}
		keys, err := x.extract(doc)
		if err != nil {
			continue
		}
		for _, key := range keys.Keys {
			first, known := seen[key.Encoded]
			if !known {
				seen[key.Encoded] = r
				continue
			}
			for _, one := range []*Record{first, r} {
				if !reported[one] {
					reported[one] = true
					ids = append(ids, one.At(Latest).Lookup("_id"))
				}
			}
		}
	}
	return ids
}
