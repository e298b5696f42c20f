package history

import (
	"context"
	"slices"

	"pitr"
)

// Price is what a gap touched, counted from its entries alone.
type Price struct {
	// Touched counts documents by namespace and class. Without their contents, what was there at both ends counts as
	// changed, and nothing as expired. Of a dropped collection the server's own count tells how much it held.
	Touched map[pitr.Namespace]map[pitr.Class]int64
	// Obstacles are entries that cannot be folded, or that carried a collection over the border of the scope, so that the
	// gap cannot be undone.
	Obstacles []Obstacle
}

// Price counts what a gap touched. It reads the entries of the gap once, and nothing else. Entries in one of the spans of
// except, those that jobs of pitr wrote, are passed over. A transaction that was prepared before the gap is not seen.
func (h *History) Price(ctx context.Context, gap pitr.Window, scope pitr.Scope, except ...pitr.Window) (Price, error) {
	noted, err := h.collect(ctx, gap, gap.After, func() *collector {
		c := newCollector(scope, h.options.MaxBytes, BurstOptions{})
		c.except = except
		return c
	})
	if err != nil {
		return Price{}, err
	}
	price := Price{Touched: map[pitr.Namespace]map[pitr.Class]int64{}, Obstacles: append(noted.obstacles, noted.crossings()...)}
	count := func(ns pitr.Namespace, class pitr.Class, n int64) {
		if n <= 0 || !scope.Contains(ns.KnownAs()) {
			return
		}
		if price.Touched[ns] == nil {
			price.Touched[ns] = map[pitr.Class]int64{}
		}
		price.Touched[ns][class] += n
	}
	for uuid, documents := range noted.documents {
		_, gone := noted.dropped[uuid]
		for _, each := range documents.order {
			count(noted.nameOf(uuid), each.class(gone), 1)
		}
	}
	for uuid, end := range noted.dropped {
		if !noted.made[uuid] {
			count(noted.nameOf(uuid), pitr.ClassDeleted, noted.untouched(uuid, end))
		}
	}
	return price, nil
}

// crossings names the collections that are in scope at one end of the gap only, because they were renamed: what a scope sees
// of them is a collection that appeared or vanished, with documents that no entry of the gap tells of.
func (c *collector) crossings() []Obstacle {
	var list []Obstacle
	for uuid, at := range c.renamed {
		_, gone := c.dropped[uuid]
		first, last := c.firstNames[uuid], c.names[uuid]
		if gone || c.made[uuid] || c.inScope(first) == c.inScope(last) {
			continue
		}
		inside := first
		if c.inScope(last) {
			inside = last
		}
		list = append(list, Obstacle{NS: inside, At: at, What: "a rename from " + first.String() + " to " + last.String() + ", of which the scope has one only"})
	}
	slices.SortFunc(list, func(a, b Obstacle) int { return a.NS.Compare(b.NS) })
	return list
}

// class judges by the first and the last entry.
func (d *touched) class(collectionGone bool) pitr.Class {
	gone := d.gone || collectionGone
	switch {
	case d.born && gone:
		return pitr.ClassCameAndWent
	case d.born:
		return pitr.ClassCreated
	case gone:
		return pitr.ClassDeleted
	}
	return pitr.ClassChanged
}

// nameOf gives the name that a collection has at T, or at E where it was made in the gap.
func (c *collector) nameOf(uuid pitr.UUID) pitr.Namespace {
	if name, ok := c.firstNames[uuid]; ok && !c.made[uuid] {
		return name
	}
	return c.names[uuid]
}

// untouched gives how many documents a dropped collection had that no entry of the gap touched.
func (c *collector) untouched(uuid pitr.UUID, end drop) int64 {
	present := int64(0)
	for _, each := range c.of(uuid).order {
		if !each.gone {
			present++
		}
	}
	return end.records - present
}
