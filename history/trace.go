package history

import (
	"bytes"
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/history/fold"
	"pitr/oplog"
)

// Version is one state of one document, and the entry that brought it about.
type Version struct {
	// At is the moment from which on the version stood, OpTime the entry that tells it; both are the base's for the state
	// that a trace begins with.
	At     pitr.Timestamp
	OpTime pitr.OpTime
	Wall   time.Time
	// Session names the writer where the entry does: retryable writes and transactions.
	Session oplog.Session
	// Kind is what the entry did; KindUnknown for the state that a trace begins with.
	Kind oplog.Kind
	NS   pitr.Namespace
	UUID pitr.UUID
	// Paths are what an update changed, as oplog.ChangedPaths gives them.
	Paths []string
	// Document is the version, nil where the document is absent from here on.
	Document bson.Raw
}

// Trace lists every version of a document through a moment: first the one that the base has, then one for each entry that
// touched it, whatever collection bore the name at the time. A drop or rename of the collection is a version, too. From
// the moment on at which the base is exact the versions are exact; earlier ones of a base that is not exact at one time
// are left out.
func (h *History) Trace(ctx context.Context, ns pitr.Namespace, key pitr.Key, through pitr.Timestamp) ([]Version, error) {
	if err := h.serves(through); err != nil {
		return nil, err
	}
	t := tracer{ns: ns, key: key}
	state, err := h.newState(fold.Options{
		Keep:  func(_ pitr.UUID, each string) bool { return each == key.Equal() },
		Watch: func(touch fold.Touch) { t.met = t.met || touch.Key.Equal() == key.Equal() },
	})
	if err != nil {
		return nil, err
	}
	needs := keySet{}
	for uuid := range h.baseCollections() {
		needs.add(uuid, key)
	}
	if err := h.load(ctx, state, needs); err != nil {
		return nil, err
	}
	t.state = state
	window := h.base.Window()
	r := h.start(window.After, window.After)
	if err := r.through(ctx, window.Through, state.Apply); err != nil {
		return nil, err
	}
	t.note(Version{At: window.Through, OpTime: pitr.OpTime{TS: window.Through}})
	if err := r.through(ctx, through, t.apply); err != nil {
		return nil, err
	}
	return t.versions, nil
}

// tracer follows one document.
type tracer struct {
	ns       pitr.Namespace
	key      pitr.Key
	state    *fold.State
	versions []Version
	// met says that the operation at hand is about a document with this key.
	met bool
}

// present gives the document under the name, and its collection's identity.
func (t *tracer) present() (bson.Raw, pitr.UUID) {
	c, ok := t.state.Named(t.ns)
	if !ok {
		return nil, pitr.UUID{}
	}
	document, _ := t.state.Document(c.UUID, t.key.Equal())
	return document, c.UUID
}

func (t *tracer) note(v Version) {
	document, uuid := t.present()
	v.NS, v.UUID, v.Document = t.ns, uuid, bytes.Clone(document)
	t.versions = append(t.versions, v)
}

// apply brings a group to bear operation by operation, and notes what became of the document.
func (t *tracer) apply(group oplog.Committed) error {
	for i := range group.Ops {
		o := &group.Ops[i]
		one := group
		one.Ops = group.Ops[i : i+1]
		told, err := t.bears(o, one)
		if err != nil {
			return err
		}
		if !told {
			continue
		}
		v := Version{At: group.At, OpTime: group.OpTime, Wall: group.Wall, Kind: o.Kind,
			Session: oplog.Session{ID: bytes.Clone(group.Session.ID), Txn: group.Session.Txn}}
		if o.Kind == oplog.KindUpdate {
			if v.Paths, err = oplog.ChangedPaths(o.O); err != nil {
				return err
			}
		}
		t.note(v)
	}
	return nil
}

// bears applies one operation and reports whether it was about the document: an entry on it, or a command that took its
// collection away or put another in its place.
func (t *tracer) bears(o *oplog.Op, one oplog.Committed) (bool, error) {
	if o.Command == nil {
		t.met = false
		err := t.state.Apply(one)
		return t.met && o.NS == t.ns, err
	}
	before, was := t.present()
	if err := t.state.Apply(one); err != nil {
		return false, err
	}
	after, is := t.present()
	return !bytes.Equal(before, after) || was != is && before != nil, nil
}
