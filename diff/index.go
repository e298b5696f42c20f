package diff

import (
	"context"

	"golang.org/x/sync/errgroup"

	"pitr"
)

const (
	// maxChosen is how many entries are chosen on both sides together before their documents are read.
	maxChosen = 1 << 20
	// scanShare is the share of entries, one in so many, from which on reading everything is no slower than choosing.
	scanShare = 8
)

// byIndex compares a collection whose hashes both sides have stored: it reads the hashes, and the documents only where they
// differ. False when there is no such index, or when so much differs that it is better to read everything.
func (c *comparison) byIndex(ctx context.Context) (bool, error) {
	indexE, err := c.index(ctx, c.e)
	if err != nil || indexE == nil {
		return false, err
	}
	indexT, err := c.index(ctx, c.t)
	if err != nil || indexT == nil {
		return false, err
	}
	m := merger{e: cursor{index: indexE}, t: cursor{index: indexT}}
	for first := true; ; first = false {
		before := m.passed
		if err := m.choose(ctx); err != nil {
			return false, err
		}
		chosen := int64(len(m.chosenE) + len(m.chosenT))
		c.options.Progress.Advance(c.pair.NS().String(), pitr.Amount{Count: (m.passed - before) / 2})
		if first && chosen >= maxChosen && chosen*scanShare > m.passed {
			return false, nil
		}
		c.options.Tally.Indexed += m.passed - before
		if chosen > 0 {
			readE, readT := c.read(c.e, indexE.Documents(ctx, m.chosenE)), c.read(c.t, indexT.Documents(ctx, m.chosenT))
			if err := c.meetAll(ctx, readE, readT); err != nil {
				return false, err
			}
		}
		if m.ended() {
			return true, nil
		}
	}
}

func (c *comparison) index(ctx context.Context, e end) (Index, error) {
	indexed, has := e.side.(Indexed)
	if !has || e.collection == nil || c.options.Whole {
		return nil, nil
	}
	return indexed.Index(ctx, *e.collection)
}

// merger goes through two indexes at once and chooses the entries whose documents have to be read.
type merger struct {
	e, t             cursor
	chosenE, chosenT []Entry
	// passed counts the entries that were looked at.
	passed int64
}

// cursor is a place in an index. No key hash lies in two parts, and the parts follow each other.
type cursor struct {
	index Index
	// part is the next one to be loaded, rest what is left of the one before.
	part int
	rest []Entry
}

func (c *cursor) more() bool  { return c.part < c.index.Parts() }
func (c *cursor) ended() bool { return len(c.rest) == 0 && !c.more() }

func (m *merger) ended() bool { return m.e.ended() && m.t.ended() }

// choose goes on until about maxChosen entries are chosen, or the indexes end.
func (m *merger) choose(ctx context.Context) error {
	m.chosenE, m.chosenT = m.chosenE[:0], m.chosenT[:0]
	for !m.ended() && len(m.chosenE)+len(m.chosenT) < maxChosen {
		if err := m.load(ctx); err != nil {
			return err
		}
		m.merge()
		if m.e.ended() {
			m.chosenT = m.take(m.chosenT, &m.t, len(m.t.rest))
		}
		if m.t.ended() {
			m.chosenE = m.take(m.chosenE, &m.e, len(m.e.rest))
		}
	}
	return ctx.Err()
}

// load brings the next parts in, both sides at once. Parts that are equal by their digest are stepped over.
func (m *merger) load(ctx context.Context) error {
	for len(m.e.rest) == 0 && len(m.t.rest) == 0 && m.e.part == m.t.part && m.e.more() && m.e.index.Parts() == m.t.index.Parts() {
		same, err := m.samePart(ctx)
		if err != nil {
			return err
		}
		if !same {
			break
		}
		m.e.part++
		m.t.part++
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, side := range []*cursor{&m.e, &m.t} {
		group.Go(func() (err error) {
			for len(side.rest) == 0 && side.more() && err == nil {
				side.rest, err = side.index.Entries(ctx, side.part)
				side.part++
			}
			return err
		})
	}
	return group.Wait()
}

func (m *merger) samePart(ctx context.Context) (bool, error) {
	e, err := m.e.index.Digest(ctx, m.e.part)
	if err != nil || e == [32]byte{} {
		return false, err
	}
	t, err := m.t.index.Digest(ctx, m.t.part)
	return e == t, err
}

// merge goes through what is loaded until one side has no more of it.
func (m *merger) merge() {
	e, t := m.e.rest, m.t.rest
	for len(e) > 0 && len(t) > 0 {
		x, y := &e[0], &t[0]
		if x.Key == y.Key && x.Document == y.Document && !x.Open && !y.Open &&
			(len(e) == 1 || e[1].Key != x.Key) && (len(t) == 1 || t[1].Key != y.Key) {
			e, t = e[1:], t[1:]
			continue
		}
		key := min(x.Key, y.Key)
		var n int
		n = sameKey(e, key)
		m.chosenE, e = append(m.chosenE, e[:n]...), e[n:]
		n = sameKey(t, key)
		m.chosenT, t = append(m.chosenT, t[:n]...), t[n:]
	}
	m.passed += int64(len(m.e.rest) - len(e) + len(m.t.rest) - len(t))
	m.e.rest, m.t.rest = e, t
}

// sameKey counts the entries of a key hash at the beginning of a list.
func sameKey(entries []Entry, key uint64) int {
	n := 0
	for n < len(entries) && entries[n].Key == key {
		n++
	}
	return n
}

// take chooses the first entries of a cursor.
func (m *merger) take(chosen []Entry, from *cursor, n int) []Entry {
	m.passed += int64(n)
	chosen = append(chosen, from.rest[:n]...)
	from.rest = from.rest[n:]
	return chosen
}
