package history

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/history/fold"
	"pitr/oplog"
)

// touched is one document that entries of a gap changed.
type touched struct {
	key         pitr.Key
	first, last pitr.OpTime
	ops         int
	// born says that its first entry is an insert of the server's own making: it was absent before. gone says that its last
	// one is a delete.
	born, gone bool
	bursts     []int32
	t, e       bson.Raw
}

// join adds what another collection's entries did to a document of the same name and key. Entries of both may interleave: a
// collection is filled under another name before it takes the place of the one that is dropped.
func (d *touched) join(other *touched) {
	if other.first.TS < d.first.TS {
		d.first = other.first
	}
	if other.last.TS > d.last.TS {
		d.last = other.last
	}
	d.ops += other.ops
	d.bursts = append(slices.Clone(d.bursts), other.bursts...)
}

// notes are the touched documents of one collection, by key and in the order in which they were met first. Going through
// many by that order is going through memory, where the order of a map is a jump for each.
type notes struct {
	byKey map[string]*touched
	order []*touched
}

// touchedWeight is what the note of a touched document takes in memory besides its key.
const touchedWeight = 320

// collector goes through a gap and notes what its entries touch. It knows collections by what the entries say of them:
// the name under which they write, and whether they were made, renamed or dropped in the gap.
type collector struct {
	scope     pitr.Scope
	except    []pitr.Window
	limit     int64
	bytes     int64
	documents map[pitr.UUID]*notes
	// followed are collections whose entries count under any name: made in the gap, or renamed out of the scope.
	followed map[pitr.UUID]bool
	made     map[pitr.UUID]bool
	dropped  map[pitr.UUID]drop
	// firstNames and names are those under which a collection was first and last seen.
	firstNames, names map[pitr.UUID]pitr.Namespace
	// renamed is when a collection got its last name.
	renamed map[pitr.UUID]pitr.OpTime
	bursts  *bursts
	// last is the collection of the operation before, which is most often that of the next.
	last touchedIn
	// spare are notes to come: made many at a time they cost less than one by one.
	spare []touched
	// obstacles are entries that cannot be folded.
	obstacles []Obstacle
}

// touchedIn is a collection under one name, known to count, with what was touched in it.
type touchedIn struct {
	uuid      pitr.UUID
	ns        pitr.Namespace
	documents *notes
}

func (t *touchedIn) holds(o *oplog.Op) bool {
	return t.documents != nil && o.UUID == t.uuid && o.NS == t.ns
}

// drop is the end of a collection.
type drop struct {
	at pitr.OpTime
	ns pitr.Namespace
	// records is the number of documents as the server tells it, -1 where it does not.
	records int64
}

// Obstacle is an entry that cannot be folded or undone, with the reason in words.
type Obstacle struct {
	NS   pitr.Namespace
	At   pitr.OpTime
	What string
}

func newCollector(scope pitr.Scope, limit int64, options BurstOptions) *collector {
	return &collector{scope: scope, limit: limit, documents: map[pitr.UUID]*notes{},
		followed: map[pitr.UUID]bool{}, made: map[pitr.UUID]bool{}, dropped: map[pitr.UUID]drop{},
		firstNames: map[pitr.UUID]pitr.Namespace{}, names: map[pitr.UUID]pitr.Namespace{}, renamed: map[pitr.UUID]pitr.OpTime{},
		bursts: newBursts(options)}
}

// see notes a name.
func (c *collector) see(uuid pitr.UUID, ns pitr.Namespace) {
	if _, ok := c.firstNames[uuid]; !ok {
		c.firstNames[uuid] = ns
	}
	c.names[uuid] = ns
}

// collect reads the entries of a gap, from a bound at or before its beginning on. A transaction that began before the
// bound and counts in the gap makes it read from the base on; one that was prepared before it goes unnoticed.
func (h *History) collect(ctx context.Context, gap pitr.Window, from pitr.Timestamp, fresh func() *collector) (*collector, error) {
	for {
		c := fresh()
		r := h.start(from, gap.After)
		r.unknown = c.unknown
		err := r.through(ctx, gap.Through, c.add)
		if pitr.KindOf(err) == pitr.KindHole && from > h.base.Window().After {
			from = h.base.Window().After
			continue
		}
		return c, err
	}
}

// isIn reports whether a moment lies in one of the windows.
func isIn(windows []pitr.Window, at pitr.Timestamp) bool {
	return slices.ContainsFunc(windows, func(w pitr.Window) bool { return w.Contains(at) })
}

func (c *collector) inScope(ns pitr.Namespace) bool {
	return !ns.IsSystem() && c.scope.Contains(ns.KnownAs())
}

func (c *collector) add(group oplog.Committed) error {
	if isIn(c.except, group.OpTime.TS) {
		return nil
	}
	for i := range group.Ops {
		o := &group.Ops[i]
		if verdict, reason := o.Verdict(); verdict == oplog.Refused {
			if o.NS.IsSystem() || o.NS.Collection == "" || c.inScope(o.NS) {
				c.obstacles = append(c.obstacles, Obstacle{NS: o.NS, At: group.OpTime, What: o.Kind.String() + ": " + reason})
			}
			continue
		}
		switch o.Kind {
		case oplog.KindInsert, oplog.KindUpdate, oplog.KindDelete:
			if !c.last.holds(o) && (o.NS.IsSystem() || !c.followed[o.UUID] && !c.inScope(o.NS)) {
				continue
			}
			if err := c.touch(&group, o); err != nil {
				return err
			}
		default:
			c.command(&group, o)
		}
	}
	return nil
}

// unknown notes an entry that pitr does not know; folding it will fail.
func (c *collector) unknown(e *oplog.Entry, err error) error {
	if pitr.KindOf(err) != pitr.KindUnsupported {
		return err
	}
	c.obstacles = append(c.obstacles, Obstacle{NS: e.NS, At: e.OpTime, What: err.Error()})
	return nil
}

// touch notes one operation on a document. Without the identity of its collection, as in what a user of old applied by hand,
// it belongs to no document of the gap: it stands in the way, and is not passed over.
func (c *collector) touch(group *oplog.Committed, o *oplog.Op) error {
	if o.UUID.IsZero() {
		c.obstacles = append(c.obstacles, Obstacle{NS: o.NS, At: group.OpTime, What: "an operation that does not say which collection it means"})
		return nil
	}
	key, err := o.Key()
	if err != nil {
		return err
	}
	burst, err := c.bursts.add(group, o)
	if err != nil {
		return err
	}
	documents := c.touchedIn(o)
	each := documents.byKey[key.Equal()]
	if each == nil {
		each = c.note()
		*each = touched{key: key.Clone(), first: group.OpTime, born: o.Kind == oplog.KindInsert && !group.ByHand}
		documents.byKey[key.Equal()] = each
		documents.order = append(documents.order, each)
		c.bytes += touchedWeight + int64(len(key.Equal())+len(key.Stored().Value))
		if c.bytes > c.limit {
			return fold.LimitError(c.limit)
		}
	}
	each.last, each.gone = group.OpTime, o.Kind == oplog.KindDelete
	each.ops++
	if n := len(each.bursts); n == 0 || each.bursts[n-1] != burst {
		each.bursts = append(each.bursts, burst)
	}
	return nil
}

// touchedIn gives what was touched in the collection of an operation, and notes the name.
func (c *collector) touchedIn(o *oplog.Op) *notes {
	if c.last.holds(o) {
		return c.last.documents
	}
	documents := c.documents[o.UUID]
	if documents == nil {
		documents = &notes{byKey: map[string]*touched{}}
		c.documents[o.UUID] = documents
	}
	c.see(o.UUID, o.NS)
	c.last = touchedIn{uuid: o.UUID, ns: o.NS, documents: documents}
	return documents
}

// of gives what was touched in a collection, nothing where that is nothing.
func (c *collector) of(uuid pitr.UUID) *notes { return notesOf(c.documents, uuid) }

func notesOf(documents map[pitr.UUID]*notes, uuid pitr.UUID) *notes {
	if found := documents[uuid]; found != nil {
		return found
	}
	return nothing
}

var nothing = &notes{}

func (c *collector) note() *touched {
	if len(c.spare) == 0 {
		c.spare = make([]touched, min(1024, 16+2*len(c.last.documents.order)))
	}
	each := &c.spare[0]
	c.spare = c.spare[1:]
	return each
}

// command notes what becomes of collections as such.
func (c *collector) command(group *oplog.Committed, o *oplog.Op) {
	c.last = touchedIn{}
	switch command := o.Command.(type) {
	case oplog.Create:
		if !command.NS.IsSystem() {
			c.made[o.UUID], c.followed[o.UUID] = true, true
			c.see(o.UUID, command.NS)
		}
	case oplog.Rename:
		if c.inScope(command.From) {
			c.followed[o.UUID] = true
		}
		c.see(o.UUID, command.From)
		if !command.Target.IsZero() {
			c.drop(command.Target, drop{at: group.OpTime, ns: command.To, records: records(o.O2)})
		}
		c.see(o.UUID, command.To)
		c.renamed[o.UUID] = group.OpTime
	case oplog.Drop:
		c.drop(o.UUID, drop{at: group.OpTime, ns: command.NS, records: records(o.O2)})
	}
}

func (c *collector) drop(uuid pitr.UUID, end drop) {
	if c.made[uuid] {
		// It came and went with everything in it; neither end of the gap knows it.
		delete(c.documents, uuid)
	}
	c.see(uuid, end.ns)
	c.dropped[uuid] = end
}

// records reads the number of documents that a dropped collection had.
func records(o2 bson.Raw) int64 {
	if number, ok := o2.Lookup("numRecords").AsInt64OK(); ok {
		return number
	}
	return -1
}

// sortedKeys gives the keys of a collection's touched documents in order.
func sortedKeys(documents map[string]*touched) []string {
	keys := make([]string, 0, len(documents))
	for key := range documents {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
