package history

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/history/fold"
	"pitr/oplog"
)

// EventKind says what an event is.
type EventKind string

// The events that a person who looks for damage wants to see.
const (
	EventIndexDropped      EventKind = "index dropped"
	EventIndexCreated      EventKind = "index created"
	EventIndexFailed       EventKind = "index build failed"
	EventCollectionDropped EventKind = "collection dropped"
	EventCollectionRenamed EventKind = "collection renamed"
	// EventReplaced is a collection that another one was renamed over, as $out does.
	EventReplaced        EventKind = "collection replaced"
	EventOptionsChanged  EventKind = "options changed"
	EventDatabaseDropped EventKind = "database dropped"
	EventMassDelete      EventKind = "mass delete"
	EventMassUpdate      EventKind = "mass update"
	// EventRefused is an entry that cannot be folded: no moment behind it can be reached from before it.
	EventRefused EventKind = "not understood"
)

// Event is something that happened to more than one document.
type Event struct {
	Kind   EventKind
	OpTime pitr.OpTime
	Wall   time.Time
	NS     pitr.Namespace
	UUID   pitr.UUID
	// Session names the writer where the entry does.
	Session oplog.Session
	// Index is the spec of the index that the event is about, as listIndexes shows it.
	Index bson.Raw
	// Detail says more in words: the new name, the cause of a failure, the changed options.
	Detail string
	// Documents is how many documents it concerns, -1 where that is not told.
	Documents int64
	// Burst is the number of the burst of a mass delete or update.
	Burst int
	// TakenBack names the job that has reversed it since; who knows the jobs fills it in.
	TakenBack string
}

// Suspicious reports whether the event may be the damage somebody looks for: it took something away, and that is still so.
func (e Event) Suspicious() bool {
	if e.TakenBack != "" {
		return false
	}
	switch e.Kind {
	case EventIndexCreated, EventIndexFailed:
		return false
	case EventOptionsChanged:
		return !strings.HasPrefix(e.Detail, "hidden")
	}
	return true
}

// EventOptions say what to look for. The zero value is good.
type EventOptions struct {
	Scope pitr.Scope
	// Mass is from how many documents on a burst of updates or deletes is an event; 100 when zero.
	Mass   int64
	Bursts BurstOptions
	// Except are spans whose entries are no events: jobs of pitr wrote them, and nobody else. What they do to a unique index
	// opens and closes its gap all the same.
	Except []pitr.Window
}

// Findings are what a window of history shows.
type Findings struct {
	// Events are in the order of their entries, a mass update or delete at its first one.
	Events []Event
	Bursts []Burst
	// Gaps are the spans in which a unique index was missing.
	Gaps []IndexGap
}

// IndexGap is a span in which a unique index did not exist, so that duplicates could get in.
type IndexGap struct {
	NS   pitr.Namespace
	UUID pitr.UUID
	Spec bson.Raw
	// Dropped is the entry that took the index away, Rebuilt the one that brought it back; zero while it is missing.
	Dropped, Rebuilt pitr.OpTime
	// Failed are the builds that were tried and given up meanwhile.
	Failed []Event
}

// Find looks through a window for what may have done damage.
func (h *History) Find(ctx context.Context, window pitr.Window, o EventOptions) (Findings, error) {
	if o.Mass == 0 {
		o.Mass = 100
	}
	f := finder{options: o, bursts: newBursts(o.Bursts), window: window}
	var err error
	if f.state, err = h.newState(fold.Options{Keep: func(pitr.UUID, string) bool { return false }}); err != nil {
		return Findings{}, err
	}
	base := h.base.Window().After
	r := h.start(base, base)
	r.unknown = f.unknown
	if err := r.through(ctx, window.Through, f.apply); err != nil {
		return Findings{}, err
	}
	return f.finish(), nil
}

// finder collects events while groups pass.
type finder struct {
	options EventOptions
	window  pitr.Window
	state   *fold.State
	bursts  *bursts
	events  []Event
	gaps    []IndexGap
	// blind says that an entry was met that cannot be folded: from there on the catalog is only what entries say of it.
	blind bool
}

func (f *finder) unknown(e *oplog.Entry, err error) error {
	if pitr.KindOf(err) != pitr.KindUnsupported {
		return err
	}
	f.refuse(e.OpTime, e.Wall, e.NS, err.Error())
	return nil
}

func (f *finder) refuse(at pitr.OpTime, wall time.Time, ns pitr.Namespace, why string) {
	f.blind = true
	if f.window.Contains(at.TS) {
		f.events = append(f.events, Event{Kind: EventRefused, OpTime: at, Wall: wall, NS: ns, Detail: why, Documents: -1})
	}
}

func (f *finder) apply(group oplog.Committed) error {
	wanted := f.window.Contains(group.OpTime.TS) && !isIn(f.options.Except, group.OpTime.TS)
	for i := range group.Ops {
		o := &group.Ops[i]
		if verdict, reason := o.Verdict(); verdict == oplog.Refused {
			if f.state.Concerns(o.NS) {
				f.refuse(group.OpTime, group.Wall, o.NS, o.Kind.String()+": "+reason)
			}
			continue
		}
		if o.Command == nil {
			if wanted {
				if err := f.document(&group, o); err != nil {
					return err
				}
			}
			continue
		}
		switch {
		case wanted:
			f.command(&group, o)
		case f.window.Contains(group.OpTime.TS):
			f.ownCommand(&group, o)
		}
		one := group
		one.Ops = group.Ops[i : i+1]
		if err := f.state.Apply(one); err != nil && !f.blind {
			return err
		}
	}
	return nil
}

func (f *finder) chosen(ns pitr.Namespace) bool {
	return !ns.IsSystem() && f.options.Scope.Contains(ns.KnownAs())
}

// document counts an operation on a document into its burst; views are the exception, their documents are the catalog.
func (f *finder) document(group *oplog.Committed, o *oplog.Op) error {
	if !f.chosen(o.NS) {
		return nil
	}
	_, err := f.bursts.add(group, o)
	return err
}

// command notes what a command takes away or changes, by the catalog before it.
func (f *finder) command(group *oplog.Committed, o *oplog.Op) {
	event := Event{OpTime: group.OpTime, Wall: group.Wall, NS: o.NS, UUID: o.UUID, Documents: -1,
		Session: oplog.Session{ID: append(bson.Raw(nil), group.Session.ID...), Txn: group.Session.Txn}}
	c, known := f.state.Find(o)
	if known {
		event.NS = c.NS
	}
	switch command := o.Command.(type) {
	case oplog.DropDatabase:
		if f.options.Scope.Contains(pitr.Namespace{DB: command.DB}) {
			event.Kind, event.NS = EventDatabaseDropped, pitr.Namespace{DB: command.DB}
			f.events = append(f.events, event)
		}
		return
	case oplog.Rename:
		f.rename(event, o, command)
		return
	}
	if !f.chosen(event.NS) || isTemporary(c) {
		return
	}
	switch command := o.Command.(type) {
	case oplog.Drop:
		event.Kind, event.Documents = EventCollectionDropped, records(o.O2)
		f.events = append(f.events, event)
	case oplog.DropIndexes:
		f.dropIndex(event, c, command)
	case oplog.CreateIndexes:
		f.built(event, command.Specs)
	case oplog.CommitBuild:
		f.built(event, command.Specs)
	case oplog.AbortBuild:
		f.failed(event, command)
	case oplog.Modify:
		f.modified(event, command)
	}
}

// ownCommand follows the unique indexes through what a job did: a restore brings one back, an undo takes it away again.
func (f *finder) ownCommand(group *oplog.Committed, o *oplog.Op) {
	before := len(f.events)
	f.command(group, o)
	f.events = f.events[:before]
}

// isTemporary reports whether a collection is made for the length of one command, such as that of $out.
func isTemporary(c pitr.Collection) bool {
	temporary, _ := c.Options.Lookup("temp").BooleanOK()
	return temporary
}

func (f *finder) rename(event Event, o *oplog.Op, command oplog.Rename) {
	c, known := f.state.Find(o)
	if known && !isTemporary(c) && (f.chosen(command.From) || f.chosen(command.To)) {
		renamed := event
		renamed.Kind, renamed.NS, renamed.Detail = EventCollectionRenamed, command.From, "to "+command.To.String()
		f.events = append(f.events, renamed)
	}
	if command.DropsTarget && f.chosen(command.To) {
		event.Kind, event.NS, event.UUID = EventReplaced, command.To, command.Target
		event.Documents, event.Detail = records(o.O2), "by "+command.From.String()
		f.events = append(f.events, event)
	}
}

func (f *finder) dropIndex(event Event, c pitr.Collection, command oplog.DropIndexes) {
	event.Kind, event.Index = EventIndexDropped, command.Spec
	if known := c.Index(command.Name); known != nil {
		event.Index = known
	} else if listed, err := fold.ListedIndex(command.Spec); err == nil {
		event.Index = listed
	}
	f.events = append(f.events, event)
	if pitr.IsUnique(event.Index) {
		f.gaps = append(f.gaps, IndexGap{NS: event.NS, UUID: event.UUID, Spec: event.Index, Dropped: event.OpTime})
	}
}

// built closes the gaps of unique indexes that are there again, whatever their new name.
func (f *finder) built(event Event, specs []bson.Raw) {
	for _, spec := range specs {
		listed, err := fold.ListedIndex(spec)
		if err != nil {
			continue
		}
		event.Kind, event.Index = EventIndexCreated, listed
		f.events = append(f.events, event)
		if gap := f.openGap(event.UUID, listed); gap != nil {
			gap.Rebuilt = event.OpTime
		}
	}
}

func (f *finder) failed(event Event, command oplog.AbortBuild) {
	event.Detail, _ = command.Cause.Lookup("errmsg").StringValueOK()
	for _, spec := range command.Specs {
		listed, err := fold.ListedIndex(spec)
		if err != nil {
			continue
		}
		event.Kind, event.Index = EventIndexFailed, listed
		f.events = append(f.events, event)
		if gap := f.openGap(event.UUID, listed); gap != nil {
			gap.Failed = append(gap.Failed, event)
		}
	}
}

// openGap finds the gap of a unique index with the same key.
func (f *finder) openGap(uuid pitr.UUID, spec bson.Raw) *IndexGap {
	for i := range f.gaps {
		gap := &f.gaps[i]
		sameKey := string(gap.Spec.Lookup("key").Value) == string(spec.Lookup("key").Value)
		if gap.UUID == uuid && gap.Rebuilt.IsZero() && sameKey && pitr.IsUnique(spec) {
			return gap
		}
	}
	return nil
}

func (f *finder) modified(event Event, command oplog.Modify) {
	changes, err := command.Changes.Elements()
	if err != nil || len(changes) == 0 {
		return
	}
	var names []string
	for _, change := range changes {
		if inner, ok := change.Value().DocumentOK(); ok && change.Key() == "index" {
			parts, err := inner.Elements()
			if err != nil {
				return
			}
			for _, part := range parts {
				if part.Key() != "name" && part.Key() != "keyPattern" {
					names = append(names, part.Key()+" of index "+pitr.IndexName(inner))
				}
			}
			continue
		}
		names = append(names, change.Key())
	}
	event.Kind, event.Detail = EventOptionsChanged, strings.Join(names, ", ")
	f.events = append(f.events, event)
}

// finish adds the bursts that are large enough and puts everything in order.
func (f *finder) finish() Findings {
	list, _ := f.bursts.finish()
	for _, burst := range list {
		event := Event{OpTime: burst.First, Wall: burst.Begun, NS: burst.NS, UUID: burst.UUID, Documents: burst.Ops, Burst: burst.N,
			Detail: strings.Join(burst.Paths, ", ")}
		switch {
		case burst.Ops < f.options.Mass:
			continue
		case burst.Kind == oplog.KindDelete:
			event.Kind = EventMassDelete
		case burst.Kind == oplog.KindUpdate && !burst.Sessions:
			event.Kind = EventMassUpdate
		default:
			continue
		}
		f.events = append(f.events, event)
	}
	slices.SortStableFunc(f.events, func(a, b Event) int { return cmp.Compare(a.OpTime.TS, b.OpTime.TS) })
	return Findings{Events: f.events, Bursts: list, Gaps: f.gaps}
}
