package read

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/command"
	"pitr/internal/replsim/store"
)

func (rd *Reads) getMoreCommand() *command.Command {
	return &command.Command{
		Name: "getMore", Transactions: true, Fields: []string{"collection", "batchSize", "term", "lastKnownCommittedOpTime", "includeQueryStatsMetrics"},
		Run: rd.getMore,
	}
}

func (rd *Reads) getMore(ctx context.Context, r *command.Request, out *command.Reply) error {
	id, ok := r.Argument().Int64OK()
	if !ok {
		return command.Errorf(command.TypeMismatch, "BSON field 'getMore.getMore' is the wrong type '%s', expected type 'long'", command.TypeName(r.Argument().Type))
	}
	c := rd.lookup(id)
	if c == nil {
		return command.Errorf(command.CursorNotFound, "cursor id %d not found", id)
	}
	if err := rd.checkCursor(c, r); err != nil {
		return err
	}
	if !c.busy.TryLock() {
		return command.Errorf(143, "cursor id %d is already in use", id)
	}
	defer c.busy.Unlock()
	if err := rd.alive(c); err != nil {
		rd.remove(id)
		return err
	}
	size, err := r.Int("batchSize", -1)
	if err != nil {
		return err
	}
	if c.await {
		wait, err := r.Int("maxTimeMS", 1000)
		if err != nil {
			return err
		}
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(wait)*time.Millisecond)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		ctx = limited
	}
	if size == 0 {
		size = -1
	}
	err = rd.answer(ctx, out, c, batch{limit: int(size)}, "nextBatch")
	if err != nil {
		rd.remove(id)
	}
	return err
}

// checkCursor refuses a cursor of another namespace, user, session or transaction.
func (rd *Reads) checkCursor(c *cursor, r *command.Request) error {
	name := r.Text("collection")
	if given := r.DB + "." + name; given != c.ns {
		return command.Errorf(command.Unauthorized, "Requested getMore on namespace '%s', but cursor belongs to a different namespace %s", given, c.ns)
	}
	if loginName(r) != c.login {
		return command.Errorf(command.Unauthorized, "cursor id %d was not created by the authenticated user", c.id)
	}
	if c.session != nil && r.Session != nil && c.session != r.Session {
		return command.Errorf(command.Unauthorized, "Cannot run getMore on cursor %d, which was created in another session", c.id)
	}
	return nil
}

// alive reports why a cursor has died: its collection was dropped or renamed, or somebody killed it.
func (rd *Reads) alive(c *cursor) error {
	if c.killed != nil {
		return c.killed
	}
	if c.collection == nil {
		return nil
	}
	var err error
	rd.Store.View(func() {
		switch {
		case c.collection.Dropped():
			err = command.Errorf(command.QueryPlanKilled, "collection dropped. UUID %s", c.collection.UUID)
		case c.collection.NS != c.ns:
			err = command.Errorf(command.QueryPlanKilled, "collection renamed from '%s' to '%s'. UUID %s", c.ns, c.collection.NS, c.collection.UUID)
		}
	})
	if err == nil && c.concern.Level == command.LevelSnapshot {
		err = rd.CheckTime(c.concern)
	}
	return err
}

// CheckTime refuses a snapshot that is too old or has not happened.
func (rd *Reads) CheckTime(c command.ReadConcern) error {
	var err error
	rd.Store.View(func() {
		now := rd.Store.ClusterTime()
		switch {
		case c.At > now:
			err = command.Errorf(command.InvalidOptions, "readConcern atClusterTime value must not be greater than the current clusterTime. Requested clusterTime: { ts: %s }; current clusterTime: { ts: %s }", timestampText(c.At), timestampText(now))
		case c.At < rd.Store.Oldest():
			err = command.Errorf(command.SnapshotTooOld, "Read timestamp %s is older than the oldest available timestamp.", timestampText(c.At))
		}
	})
	return err
}

func (rd *Reads) killCursorsCommand() *command.Command {
	return &command.Command{Name: "killCursors", Transactions: true, Fields: []string{"cursors"}, Run: rd.killCursors}
}

func (rd *Reads) killCursors(_ context.Context, r *command.Request, out *command.Reply) error {
	ids, _ := r.Lookup("cursors").ArrayOK()
	values, err := ids.Values()
	if err != nil {
		return err
	}
	killed, missing := bson.A{}, bson.A{}
	for _, v := range values {
		id, _ := v.AsInt64OK()
		c := rd.lookup(id)
		switch {
		case c == nil:
			missing = append(missing, id)
		case c.login != loginName(r):
			return unauthorized(r)
		default:
			rd.remove(id)
			killed = append(killed, id)
		}
	}
	out.Set("cursorsKilled", killed)
	out.Set("cursorsNotFound", missing)
	out.Set("cursorsAlive", bson.A{})
	out.Set("cursorsUnknown", bson.A{})
	return nil
}

func unauthorized(r *command.Request) error {
	return command.Errorf(command.Unauthorized, "not authorized on %s to execute command %s", r.DB, command.Shown(r.Body))
}

// Sweep ends cursors that nobody asked for ten minutes, as a server does.
func (rd *Reads) Sweep() {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	for id, c := range rd.cursors {
		if !c.busy.TryLock() {
			continue // it is being asked right now
		}
		if rd.Store.Now().Sub(c.last) > 10*time.Minute {
			delete(rd.cursors, id)
		}
		c.busy.Unlock()
	}
}

// EndTransaction forgets the cursors of a transaction that is over.
func (rd *Reads) EndTransaction(u *store.Unit) {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	for id, c := range rd.cursors {
		if w, ok := c.source.(*walk); ok && w.unit == u {
			delete(rd.cursors, id)
		}
	}
}
