package diff

import (
	"bytes"
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

const (
	// settleBytes bounds the documents that are looked up at once, settleKeys their number.
	settleBytes = 32 << 20
	settleKeys  = 50_000
)

// spillWaiting moves what waits in memory into the work file, as hashes.
func (c *comparison) spillWaiting() error {
	for _, e := range []end{c.e, c.t} {
		if _, finds := e.side.(Finder); !finds && e.collection != nil {
			return pitr.Errorf(pitr.KindLimit, "",
				"raise the memory limit, or compare fewer documents: choose namespaces with --only, or moments that lie closer together",
				"%d documents without a partner take more than %d bytes", len(c.waiting), c.options.Limit)
		}
	}
	c.spilled = true
	for _, w := range c.waiting {
		if err := c.note(w, kind(w.at)); err != nil {
			return err
		}
	}
	clear(c.waiting)
	c.bytes = 0
	return nil
}

// note puts a document into the work file.
func (c *comparison) note(w waiting, what kind) error {
	if c.spill == nil {
		c.spill = newSpill(c.options.Folder, c.options.Hash)
	}
	id := w.document.Lookup("_id")
	return c.spill.add(record{key: c.options.Hash([]byte(w.equal)).Low, document: c.options.Hash(w.document), kind: what,
		id: id, size: len(w.document)})
}

// settle matches what lies in the work file and yields what differs. The documents themselves are looked up by key.
func (c *comparison) settle(ctx context.Context) error {
	if c.spill == nil {
		return nil // a side has lost its moment, and nothing differed
	}
	b := batch{comparison: c}
	err := c.spill.groups(func(group []record) error {
		if len(group) == 2 && group[0].kind != group[1].kind && group[0].document == group[1].document && !group[0].told() && !group[1].told() {
			return nil
		}
		return c.settleGroup(ctx, &b, group)
	})
	if err != nil {
		return err
	}
	return b.resolve(ctx)
}

func (r record) told() bool { return r.kind == kindTold }

// settleGroup tells the keys of one hash apart.
func (c *comparison) settleGroup(ctx context.Context, b *batch, group []record) error {
	var list []*candidate
	byKey := make(map[string]*candidate, len(group))
	for i := range group {
		r := &group[i]
		key, err := pitr.NewKey(r.id)
		if err != nil {
			return pitr.Corruptf("", "%w", err)
		}
		each := byKey[key.Equal()]
		if each == nil {
			each = &candidate{key: key}
			byKey[key.Equal()] = each
			list = append(list, each)
		}
		if err := c.join(each, r); err != nil {
			return err
		}
	}
	for _, each := range list {
		if each.told || each.e != nil && each.t != nil && each.e.sum == each.t.sum && !each.repeated {
			continue
		}
		each.key = each.key.Clone()
		if err := b.add(ctx, *each); err != nil {
			return err
		}
	}
	return nil
}

// join adds a record to what is known of its key.
func (c *comparison) join(to *candidate, r *record) error {
	if r.told() {
		to.told = true
		return nil
	}
	at := moment(r.kind)
	place := &to.e
	if at == atT {
		place = &to.t
	}
	if *place != nil {
		if !c.end(at).hasMoved() {
			return twice(to.key, at)
		}
		to.repeated = true
	}
	*place = &seen{sum: r.document, size: r.size}
	return nil
}

// candidate is a key whose documents differ, or did when they were read.
type candidate struct {
	key pitr.Key
	// e and t are what was read at each side, nil for nothing.
	e, t *seen
	// told says that the difference was yielded, repeated that a side gave the key several times.
	told, repeated bool
}

type seen struct {
	sum  Sum
	size int
}

// batch is candidates that are looked up together.
type batch struct {
	comparison *comparison
	candidates []candidate
	bytes      int
}

func (b *batch) add(ctx context.Context, each candidate) error {
	b.candidates = append(b.candidates, each)
	for _, s := range []*seen{each.e, each.t} {
		if s != nil {
			b.bytes += s.size
		}
	}
	b.bytes += len(each.key.Equal()) + len(each.key.Stored().Value)
	if len(b.candidates) < settleKeys && b.bytes < settleBytes {
		return nil
	}
	return b.resolve(ctx)
}

// resolve looks the candidates up and yields those that differ. A side that loses its moment while it is asked is asked
// again: from then on it shows its newest state, and the other one has to be asked for all keys.
func (b *batch) resolve(ctx context.Context) error {
	c := b.comparison
	var e, t map[string]bson.Raw
	for {
		moved := c.hasMoved()
		var err error
		if e, err = b.find(ctx, c.e); err != nil {
			return fmt.Errorf("look up at E: %w", err)
		}
		if t, err = b.find(ctx, c.t); err != nil {
			return fmt.Errorf("look up at T: %w", err)
		}
		if moved == c.hasMoved() {
			break
		}
	}
	for _, each := range b.candidates {
		change := pitr.Change{E: e[each.key.Equal()], T: t[each.key.Equal()]}
		if !c.hasMoved() {
			if err := c.asSeen(each, change); err != nil {
				return err
			}
		}
		if bytes.Equal(change.E, change.T) {
			continue
		}
		if err := c.emit(change); err != nil {
			return err
		}
	}
	c.options.Tally.Again += int64(len(b.candidates))
	b.candidates, b.bytes = b.candidates[:0], 0
	return nil
}

// asSeen refuses documents that a side which cannot move gives otherwise than before.
func (c *comparison) asSeen(each candidate, found pitr.Change) error {
	for _, side := range []struct {
		was *seen
		is  bson.Raw
		at  moment
	}{{each.e, found.E, atE}, {each.t, found.T, atT}} {
		if (side.was == nil) != (side.is == nil) || side.was != nil && c.options.Hash(side.is) != side.was.sum {
			return pitr.Corruptf("", "the document with _id %s at %c is another one than before", each.key, side.at)
		}
	}
	return nil
}

// keysFor gives the keys to ask a side for: those that it had, and all of them where a side has moved.
func (b *batch) keysFor(e end) []pitr.Key {
	moved := b.comparison.hasMoved()
	var keys []pitr.Key
	for _, each := range b.candidates {
		if moved || e.at == atE && each.e != nil || e.at == atT && each.t != nil {
			keys = append(keys, each.key)
		}
	}
	return keys
}

// find looks up what a side has of the candidates.
func (b *batch) find(ctx context.Context, e end) (map[string]bson.Raw, error) {
	found := make(map[string]bson.Raw)
	keys := b.keysFor(e)
	finder, finds := e.side.(Finder) // spillWaiting has made sure
	if e.collection == nil || len(keys) == 0 || !finds {
		return found, nil
	}
	for document, err := range finder.Lookup(ctx, *e.collection, keys) {
		if err != nil {
			return nil, err
		}
		key, err := pitr.KeyOf(document)
		if err != nil {
			return nil, pitr.Corruptf("", "%w", err)
		}
		if !b.comparison.options.leavesOut(e.collection, document) {
			found[key.Equal()] = bytes.Clone(document)
		}
	}
	return found, nil
}
