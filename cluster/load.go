package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"strconv"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

const (
	// loadBytes and loadDocuments bound one insert command: the server commits inserts in smaller steps anyway.
	loadBytes     = 8 << 20
	loadDocuments = 50_000
)

// loads remembers in which term documents were loaded: what one primary only acknowledged itself, the next may not have.
type loads struct {
	mu   sync.Mutex
	term int64
	ns   pitr.Namespace
}

// Load inserts documents in any order, without validation, acknowledged by the primary alone. It fails as a whole on any
// write error. When the connection is lost it looks which documents arrived and goes on with the others. Calls may run in
// parallel. It is for collections that the job itself created.
func (p *Primary) Load(ctx context.Context, ns pitr.Namespace, documents []bson.Raw) error {
	for len(documents) > 0 {
		n, size := 0, 0
		for n < len(documents) && n < loadDocuments && (n == 0 || size+len(documents[n]) <= loadBytes) {
			size += len(documents[n])
			n++
		}
		if err := p.loadPart(ctx, ns, documents[:n]); err != nil {
			return err
		}
		documents = documents[n:]
	}
	return nil
}

func (p *Primary) loadPart(ctx context.Context, ns pitr.Namespace, documents []bson.Raw) error {
	op := "load into " + ns.String()
	var patient patience
	for {
		reply, err := p.link.once(ctx, order{db: ns.DB, command: insertCommand(ns, documents, bson.D{
			{Key: "ordered", Value: false}, {Key: "writeConcern", Value: bson.D{{Key: "w", Value: 1}}}})})
		if err == nil {
			return p.loaded(op, ns, reply)
		}
		if ctx.Err() != nil || !isPassing(err) || !patient.pause(ctx, p.link.options) {
			return p.link.failed(ctx, op, err)
		}
		if documents, err = p.notThere(ctx, ns, documents); err != nil || len(documents) == 0 {
			return err
		}
	}
}

// loaded notes the term in which documents were taken.
func (p *Primary) loaded(op string, ns pitr.Namespace, reply bson.Raw) error {
	if _, err := p.done(op, reply); err != nil && p.client.server.Ability == pitr.AbilityFull {
		return err
	}
	term, _ := reply.Lookup("opTime", "t").AsInt64OK()
	p.loads.mu.Lock()
	defer p.loads.mu.Unlock()
	p.loads.ns = ns
	if p.loads.term == 0 {
		p.loads.term = term
	}
	if p.loads.term != term {
		return changedPrimary(op)
	}
	return nil
}

func changedPrimary(op string) error {
	return pitr.Errorf(pitr.KindUnavailable, op, "run `pitr resume`, which loads the collection again",
		"another member became primary during the load: documents that only the former one had may be gone")
}

// notThere leaves out the documents that arrived although the reply was lost.
func (p *Primary) notThere(ctx context.Context, ns pitr.Namespace, documents []bson.Raw) ([]bson.Raw, error) {
	var keys []pitr.Key
	for _, document := range documents {
		key, err := pitr.KeyOf(document)
		if err != nil {
			return nil, pitr.Errorf(pitr.KindInvalid, "load into "+ns.String(), "", "%w", err)
		}
		keys = append(keys, key)
	}
	there := map[string]bson.Raw{}
	for part := range keyParts(keys) {
		found, err := p.link.all(ctx, order{op: "look what arrived in " + ns.String(), db: ns.DB, command: bson.D{
			{Key: "find", Value: ns.Collection}, {Key: "batchSize", Value: hugeBatch},
			{Key: "filter", Value: bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: idsOf(part)}}}}}}})
		if err != nil {
			return nil, err
		}
		for _, document := range found {
			if key, err := pitr.KeyOf(document); err == nil {
				there[key.Equal()] = document
			}
		}
	}
	var missing []bson.Raw
	for i, document := range documents {
		switch found := there[keys[i].Equal()]; {
		case found == nil:
			missing = append(missing, document)
		case !bytes.Equal(found, document):
			return nil, pitr.Errorf(pitr.KindConflict, "load into "+ns.String(), "somebody else writes into the collection",
				"another document with the _id %s is there", keys[i])
		}
	}
	return missing, nil
}

// Settle returns when everything that was loaded is on a majority, and gives a cluster time at or after it, zero where there
// are none. It fails when another member became primary meanwhile.
func (p *Primary) Settle(ctx context.Context) (pitr.Timestamp, error) {
	const op = "wait for the majority"
	p.loads.mu.Lock()
	ns, term := p.loads.ns, p.loads.term
	p.loads.mu.Unlock()
	if ns.IsZero() || p.client.server.Ability != pitr.AbilityFull {
		return 0, nil
	}
	// A write that changes nothing still waits until all that was written before it is on a majority.
	reply, err := p.link.read(ctx, order{op: op, db: ns.DB, command: bson.D{{Key: "delete", Value: ns.Collection},
		{Key: "deletes", Value: bson.A{bson.D{{Key: "q", Value: bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: bson.A{}}}}}},
			{Key: "limit", Value: 1}}}},
		{Key: "writeConcern", Value: bson.D{{Key: "w", Value: "majority"}}}}})
	if err != nil {
		return 0, err
	}
	if now, ok := reply.Lookup("opTime", "t").AsInt64OK(); ok && now != term {
		return 0, changedPrimary(op)
	}
	return p.done(op, reply)
}

// insertCommand builds an insert in one piece of bytes: documents go in as they are, which is several times cheaper than
// letting the driver encode them.
func insertCommand(ns pitr.Namespace, documents []bson.Raw, fields bson.D) bson.Raw {
	size := 256
	for _, document := range documents {
		size += len(document) + 12
	}
	command := make([]byte, 4, size)
	command = appendString(command, "insert", ns.Collection)
	command = append(command, byte(bson.TypeBoolean))
	command = append(command, "bypassDocumentValidation\x00\x01"...)
	for _, field := range fields {
		kind, value, err := bson.MarshalValue(field.Value)
		if err != nil {
			// Fields are literals of this package.
			panic(err)
		}
		command = append(append(append(command, byte(kind)), field.Key...), 0)
		command = append(command, value...)
	}
	command = append(command, byte(bson.TypeArray))
	command = append(command, "documents\x00"...)
	start := len(command)
	command = append(command, 0, 0, 0, 0)
	for i, document := range documents {
		command = append(command, byte(bson.TypeEmbeddedDocument))
		command = append(strconv.AppendInt(command, int64(i), 10), 0)
		command = append(command, document...)
	}
	command = append(command, 0)
	binary.LittleEndian.PutUint32(command[start:], uint32(len(command)-start))
	command = append(command, 0)
	binary.LittleEndian.PutUint32(command, uint32(len(command)))
	return command
}

func appendString(command []byte, name, value string) []byte {
	command = append(append(append(command, byte(bson.TypeString)), name...), 0)
	command = binary.LittleEndian.AppendUint32(command, uint32(len(value)+1))
	return append(append(command, value...), 0)
}
