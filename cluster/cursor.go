package cluster

import (
	"context"
	"errors"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"pitr"
)

// cursor is a cursor on the server, bound to the member and the session that opened it. The driver's own cursors copy
// every document; this one hands out replies.
type cursor struct {
	link       *link
	session    *mongo.Session
	db         string
	collection string
	id         int64
}

// open runs a command that opens a cursor and gives its first batch. The caller closes the cursor.
// Errors are the driver's: whether to try again is the caller's choice.
func (l *link) open(ctx context.Context, o order) (*cursor, pitr.Batch, error) {
	opened := &cursor{link: l, db: o.db}
	if l.sessions {
		session, err := l.mongo.StartSession(options.Session().SetCausalConsistency(false))
		if err != nil {
			return nil, pitr.Batch{}, err
		}
		opened.session = session
	}
	batch, err := opened.ask(ctx, o)
	if err != nil {
		opened.close(ctx)
		return nil, pitr.Batch{}, err
	}
	return opened, batch, nil
}

// more gives the next batch; extra are fields of getMore such as maxTimeMS.
func (cur *cursor) more(ctx context.Context, op string, extra ...bson.E) (pitr.Batch, error) {
	command := bson.D{{Key: "getMore", Value: cur.id}, {Key: "collection", Value: cur.collection}}
	return cur.ask(ctx, order{op: op, db: cur.db, command: append(command, extra...)})
}

func (cur *cursor) ask(ctx context.Context, o order) (pitr.Batch, error) {
	if cur.session != nil {
		ctx = mongo.NewSessionContext(ctx, cur.session)
	}
	reply, err := cur.link.once(ctx, o)
	if err != nil {
		return pitr.Batch{}, err
	}
	parts, err := readCursor(reply)
	if err != nil {
		return pitr.Batch{}, wrongReply(o.op, reply, err)
	}
	cur.id = parts.id
	if _, collection, found := strings.Cut(parts.ns, "."); found {
		cur.collection = collection
	}
	return parts.batch, nil
}

// done reports whether the server has no more batches.
func (cur *cursor) done() bool { return cur.id == 0 }

// close releases the cursor and its session, also when the context is over already. A cursor that cannot be reached any
// more is left to the server's own timeout.
func (cur *cursor) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if cur.id != 0 {
		inSession := ctx
		if cur.session != nil {
			inSession = mongo.NewSessionContext(ctx, cur.session)
		}
		_, err := cur.link.once(inSession, order{db: cur.db, command: bson.D{
			{Key: "killCursors", Value: cur.collection}, {Key: "cursors", Value: bson.A{cur.id}}}})
		if err != nil {
			cur.link.options.Log.Debug("release a cursor", "error", cur.link.secrets.mask(err.Error()))
		}
		cur.id = 0
	}
	if cur.session != nil {
		cur.session.EndSession(ctx)
	}
}

// all runs a command that opens a cursor and gives all its documents: for answers that are small by nature.
func (l *link) all(ctx context.Context, o order) ([]bson.Raw, error) {
	var documents []bson.Raw
	_, err := l.persist(ctx, o.op, func(ctx context.Context) (bson.Raw, error) {
		documents = nil
		opened, batch, err := l.open(ctx, o)
		if err != nil {
			return nil, err
		}
		defer func() { opened.close(ctx) }()
		for {
			for document, err := range batch.Documents() {
				if err != nil {
					return nil, wrongReply(o.op, nil, err)
				}
				documents = append(documents, document)
			}
			if opened.done() {
				return nil, nil
			}
			if batch, err = opened.more(ctx, o.op); err != nil {
				return nil, err
			}
		}
	})
	return documents, err
}

// reply is the part of a server's reply that carries documents.
type cursorReply struct {
	id    int64
	ns    string
	batch pitr.Batch
}

// readCursor takes the batch out of a reply without copying it.
func readCursor(reply bson.Raw) (cursorReply, error) {
	document, ok := reply.Lookup("cursor").DocumentOK()
	if !ok {
		return cursorReply{}, errors.New("it has no cursor")
	}
	elements, err := document.Elements()
	if err != nil {
		return cursorReply{}, err
	}
	var found cursorReply
	for _, element := range elements {
		value := element.Value()
		switch element.Key() {
		case "id":
			found.id, _ = value.AsInt64OK()
		case "ns":
			found.ns, _ = value.StringValueOK()
		case "firstBatch", "nextBatch":
			if value.Type != bson.TypeArray {
				return cursorReply{}, errors.New("its batch is no array")
			}
			found.batch.Array = bson.RawArray(value.Value)
		case "postBatchResumeToken":
			found.batch.Resume, _ = value.DocumentOK()
		case "atClusterTime":
			if t, i, ok := value.TimestampOK(); ok {
				found.batch.At = pitr.NewTimestamp(t, i)
			}
		}
	}
	if found.batch.Array == nil {
		return cursorReply{}, errors.New("it has no batch")
	}
	return found, nil
}
