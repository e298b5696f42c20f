package prune

import (
	"time"

	"pitr/format"
)

// condemned is when things were condemned first, by the clock of the store.
type condemned struct {
	snapshots map[format.ID]time.Time
	objects   map[format.Name]time.Time
}

func condemnedIn(i Inventory) condemned {
	c := condemned{snapshots: map[format.ID]time.Time{}, objects: map[format.Name]time.Time{}}
	for _, list := range i.Lists {
		for _, snapshot := range list.Snapshots {
			if since, ok := c.snapshots[snapshot]; !ok || list.Since.Before(since) {
				c.snapshots[snapshot] = list.Since
			}
		}
		for _, object := range list.Objects {
			if since, ok := c.objects[object]; !ok || list.Since.Before(since) {
				c.objects[object] = list.Since
			}
		}
	}
	return c
}

// sentence turns Goes into Waits or Leaves for what is condemned. It gives 1 for something that is condemned and stays.
func (p *planner) sentence(item *Item) (spared int) {
	since, condemned := p.condemned.objects[item.Name]
	if item.Name.IsZero() {
		since, condemned = p.condemned.snapshots[item.ID]
	}
	switch {
	case item.Verdict == Stays && condemned:
		return 1
	case item.Verdict == Stays:
		return 0
	case atOnce(item.Kind): // nothing can need it
		item.Verdict = Leaves
		return 0
	case !condemned:
		return 0
	}
	item.Until = since.Add(Wait)
	item.Verdict = Waits
	if !p.Now.Before(item.Until) {
		item.Verdict = Leaves
	}
	return 0
}

// atOnce is what goes without a day of waiting.
func atOnce(kind format.Kind) bool { return kind == format.KindHold || kind == format.KindLease }
