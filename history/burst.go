package history

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"pitr"
	"pitr/oplog"
)

// Burst is a run of entries that look like one deed: close in time, on the same collection, of the same kind, changing the
// same paths. Writes of many documents at once carry no session, so this is the closest to a culprit that an oplog tells.
type Burst struct {
	// N numbers the bursts of a window from 1.
	N    int
	NS   pitr.Namespace
	UUID pitr.UUID
	Kind oplog.Kind
	// Paths are what its updates changed, as oplog.ChangedPaths gives them.
	Paths []string
	// Sessions says that its entries carry a session each: retryable writes of single documents, or transactions.
	Sessions    bool
	First, Last pitr.OpTime
	// Begun and Ended are the primary's clock at both ends.
	Begun, Ended time.Time
	Ops          int64
}

// BurstOptions say what makes a burst. The zero value is good.
type BurstOptions struct {
	// Quiet is the pause that ends a burst; one second when zero.
	Quiet time.Duration
	// MinOps is the least number of operations; 20 when zero.
	MinOps int64
}

func (o BurstOptions) withDefaults() BurstOptions {
	o.Quiet = cmp.Or(o.Quiet, time.Second)
	o.MinOps = cmp.Or(o.MinOps, 20)
	return o
}

// deed is what the operations of one burst have in common.
type deed struct {
	uuid     pitr.UUID
	ns       pitr.Namespace
	kind     oplog.Kind
	sessions bool
	paths    string
}

// bursts finds bursts while operations pass. Small ones are forgotten once they have ended, so that memory follows the
// number of bursts, not of entries.
type bursts struct {
	options BurstOptions
	open    map[deed]int32
	list    map[int32]*Burst
	next    int32
	seen    int
}

func newBursts(options BurstOptions) *bursts {
	return &bursts{options: options.withDefaults(), open: map[deed]int32{}, list: map[int32]*Burst{}}
}

// sweepEvery is after how many operations ended bursts are looked for.
const sweepEvery = 20_000

// add takes an operation and gives the number, for this run, of its burst.
func (b *bursts) add(group *oplog.Committed, o *oplog.Op) (int32, error) {
	each := deed{uuid: o.UUID, ns: o.NS, kind: o.Kind, sessions: !group.Session.IsZero()}
	var paths []string
	if o.Kind == oplog.KindUpdate {
		var err error
		if paths, err = oplog.ChangedPaths(o.O); err != nil {
			return 0, err
		}
		each.paths = strings.Join(paths, "\x00")
	}
	if b.seen++; b.seen%sweepEvery == 0 {
		b.sweep(group)
	}
	number, ok := b.open[each]
	if ok && b.ended(b.list[number], group) {
		b.close(number)
		ok = false
	}
	if !ok {
		b.next++
		number = b.next
		b.open[each] = number
		b.list[number] = &Burst{NS: o.NS, UUID: o.UUID, Kind: o.Kind, Paths: paths, Sessions: each.sessions,
			First: group.OpTime, Begun: group.Wall}
	}
	burst := b.list[number]
	burst.Last, burst.Ended = group.OpTime, group.Wall
	burst.Ops++
	return number, nil
}

// ended reports whether the pause before a group is too long for a burst to go on. The primary's clock can run back, so
// it counts only where it does not, and cluster time only in whole seconds.
func (b *bursts) ended(burst *Burst, group *oplog.Committed) bool {
	if burst.Ended.IsZero() || group.Wall.IsZero() || group.Wall.Before(burst.Ended) {
		return group.OpTime.TS.Time().Sub(burst.Last.TS.Time()) > b.options.Quiet
	}
	return group.Wall.Sub(burst.Ended) > b.options.Quiet
}

func (b *bursts) close(number int32) {
	if b.list[number].Ops < b.options.MinOps {
		delete(b.list, number)
	}
}

func (b *bursts) sweep(group *oplog.Committed) {
	for each, number := range b.open {
		if b.ended(b.list[number], group) {
			b.close(number)
			delete(b.open, each)
		}
	}
}

// finish lists the bursts in the order of their beginnings, and gives their numbers by those of the run.
func (b *bursts) finish() ([]Burst, map[int32]int) {
	for _, number := range b.open {
		b.close(number)
	}
	b.open = nil
	order := make([]int32, 0, len(b.list))
	for number := range b.list {
		order = append(order, number)
	}
	slices.SortFunc(order, func(x, y int32) int {
		return cmp.Or(b.list[x].First.Compare(b.list[y].First), cmp.Compare(x, y))
	})
	list := make([]Burst, 0, len(order))
	numbers := make(map[int32]int, len(order))
	for i, number := range order {
		b.list[number].N = i + 1
		numbers[number] = i + 1
		list = append(list, *b.list[number])
	}
	return list, numbers
}
