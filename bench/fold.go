package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/bench/orders"
	"pitr/history/fold"
	"pitr/oplog"
)

// folded is what the folding process says at its end.
type folded struct {
	Entries, Documents, Bytes int64
}

// measureFold brings entries to bear on documents in memory: decode, assemble, fold. A process with one core reads them from
// a pipe, so that neither their making nor their keeping is counted.
func measureFold(ctx context.Context, s settings) error {
	var costs []usage
	for range s.runs {
		cost, result, err := foldOnce(ctx, s)
		if err != nil {
			return err
		}
		costs = append(costs, cost)
		say("fold", "%s: %d entries of %d B, %.0f per CPU-s, %d B per document", cost, result.Entries, result.Bytes/result.Entries,
			float64(result.Entries)/cost.cpu, cost.peak/result.Documents)
	}
	middle := median(costs)
	say("fold, median", "%s: %.0f entries per CPU-s", middle, float64(s.entries)/middle.cpu)
	return nil
}

func foldOnce(ctx context.Context, s settings) (usage, folded, error) {
	self, err := os.Executable()
	if err != nil {
		return usage{}, folded{}, err
	}
	child, err := gauged(ctx, self, "-fold")
	if err != nil {
		return usage{}, folded{}, err
	}
	child.Env = append(os.Environ(), "GOMAXPROCS=1")
	child.Stderr = os.Stderr
	input, err := child.StdinPipe()
	if err != nil {
		return usage{}, folded{}, err
	}
	var result folded
	output, err := child.StdoutPipe()
	if err != nil {
		return usage{}, result, err
	}
	if err := child.Start(); err != nil {
		return usage{}, result, err
	}
	err = errors.Join(writeEntries(input, s), input.Close(), json.NewDecoder(output).Decode(&result), child.Wait())
	if err == nil && (result.Entries != int64(s.entries) || result.Documents != int64(s.distinct)) {
		err = fmt.Errorf("%d entries were folded into %d documents", result.Entries, result.Documents)
	}
	cost, costErr := child.cost()
	return cost, result, errors.Join(err, costErr)
}

var foldedCollection = pitr.Collection{NS: collectionName(0), UUID: pitr.UUID{7}, Type: pitr.TypeCollection}

// writeEntries writes what a server with retryable writes logs: first the inserts of all documents, then to each ten entries
// eight updates of two fields, a delete and the insert of the same document again.
func writeEntries(to io.Writer, s settings) error {
	out := bufio.NewWriterSize(to, 1<<20)
	made, random := orders.New(seed), rand.New(rand.NewPCG(seed, 13)) //nolint:gosec // the same every time
	ids := make([]bson.RawValue, 0, s.distinct)
	session := bson.D{{Key: "id", Value: bson.Binary{Subtype: 4, Data: make([]byte, 16)}}, {Key: "uid", Value: bson.Binary{Data: make([]byte, 32)}}}
	var again bson.Raw
	for n := range s.entries {
		entry := bson.D{{Key: "lsid", Value: session}, {Key: "txnNumber", Value: int64(n)}}
		ns := bson.E{Key: "ns", Value: foldedCollection.NS.String()}
		ui := bson.E{Key: "ui", Value: foldedCollection.UUID.Binary()}
		insert := again
		if len(ids) < s.distinct {
			insert = made.Next()
			ids = append(ids, insert.Lookup("_id"))
		}
		id := ids[random.IntN(len(ids))]
		switch {
		case insert != nil:
			entry = append(entry, bson.E{Key: "op", Value: "i"}, ns, ui, bson.E{Key: "o", Value: insert}, bson.E{Key: "o2", Value: bson.D{{Key: "_id", Value: insert.Lookup("_id")}}})
			again = nil
		case n%10 == 0 && n < s.entries-1:
			entry = append(entry, bson.E{Key: "op", Value: "d"}, ns, ui, bson.E{Key: "o", Value: bson.D{{Key: "_id", Value: id}}})
			again = made.With(id)
		default:
			changed := bson.D{{Key: "state", Value: fmt.Sprint("state ", n%1000)}, {Key: "total", Value: float64(n) / 100}}
			entry = append(entry, bson.E{Key: "op", Value: "u"}, ns, ui,
				bson.E{Key: "o", Value: bson.D{{Key: "$v", Value: int32(2)}, {Key: "diff", Value: bson.D{{Key: "u", Value: changed}}}}},
				bson.E{Key: "o2", Value: bson.D{{Key: "_id", Value: id}}})
		}
		at := bson.Timestamp{T: 100 + uint32(n/10_000), I: uint32(n%10_000 + 1)} //nolint:gosec // small numbers
		entry = append(entry, bson.E{Key: "stmtId", Value: int32(0)}, bson.E{Key: "ts", Value: at}, bson.E{Key: "t", Value: int64(1)},
			bson.E{Key: "v", Value: int64(2)}, bson.E{Key: "wall", Value: bson.DateTime(int64(at.T) * 1000)},
			bson.E{Key: "prevOpTime", Value: bson.D{{Key: "ts", Value: bson.Timestamp{}}, {Key: "t", Value: int64(-1)}}})
		content, err := bson.Marshal(entry)
		if err != nil {
			return err
		}
		if _, err := out.Write(content); err != nil {
			return err
		}
	}
	return out.Flush()
}

// foldFile is the folding process.
func foldFile(_ context.Context, _ settings) error {
	state := fold.New(fold.Options{Exact: 1})
	if err := state.AddCollection(foldedCollection); err != nil {
		return err
	}
	var (
		result    folded
		assembler oplog.Assembler
		block     []byte
	)
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		head, err := in.Peek(4)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		size := int(binary.LittleEndian.Uint32(head))
		if len(block) < size {
			block = make([]byte, 1<<20) // entries may be kept, as those of an archive's frames
		}
		raw := bson.Raw(block[:size:size])
		block = block[size:]
		if _, err := io.ReadFull(in, raw); err != nil {
			return err
		}
		if err := foldEntry(state, &assembler, raw); err != nil {
			return err
		}
		result.Entries++
		result.Bytes += int64(size)
	}
	result.Documents = int64(state.Held(foldedCollection.UUID))
	return json.NewEncoder(os.Stdout).Encode(result)
}

func foldEntry(state *fold.State, assembler *oplog.Assembler, raw bson.Raw) error {
	entry, err := oplog.Decode(raw)
	if err != nil {
		return err
	}
	group, ok, err := assembler.Push(&entry)
	if err == nil && ok {
		err = state.Apply(group)
	}
	return err
}
