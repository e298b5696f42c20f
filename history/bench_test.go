package history_test

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/history"
	"pitr/oplog"
)

// table is a base of one collection. Its documents are made beforehand, so that only pitr's own work is measured.
type table struct {
	collection pitr.Collection
	size       int
	rows       []bson.Raw
}

func newTable(size int) *table {
	b := &table{size: size, collection: pitr.Collection{NS: pitr.Namespace{DB: "shop", Collection: "orders"}, UUID: pitr.UUID{1}, Type: pitr.TypeCollection}}
	for i := range size {
		b.rows = append(b.rows, row(i))
	}
	return b
}

func (b *table) Window() pitr.Window            { return pitr.Window{After: 1, Through: 1} }
func (b *table) Scope() pitr.Scope              { return pitr.Scope{} }
func (b *table) Collections() []pitr.Collection { return []pitr.Collection{b.collection} }

func (b *table) Scan(context.Context, pitr.Collection) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		for i := range b.size {
			if !yield(b.rows[i], nil) {
				return
			}
		}
	}
}

func (b *table) Lookup(_ context.Context, _ pitr.Collection, keys []pitr.Key) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		for _, key := range keys {
			number, _ := strings.CutPrefix(key.Stored().StringValue(), "order-")
			if i, err := strconv.Atoi(number); err == nil && i < b.size && !yield(b.rows[i], nil) {
				return
			}
		}
	}
}

func rowID(i int) string { return fmt.Sprintf("order-%08d", i) }

func row(i int) bson.Raw {
	document, _ := bson.Marshal(bson.D{{Key: "_id", Value: rowID(i)}, {Key: "status", Value: "new"}, {Key: "round", Value: 0},
		{Key: "customer", Value: bson.D{{Key: "name", Value: "somebody with a name"}, {Key: "city", Value: "somewhere"}}},
		{Key: "lines", Value: bson.A{1, 2, 3, 4, 5, 6, 7, 8}}, {Key: "note", Value: "a note that is as long as notes usually are, not very long"}})
	return document
}

// work makes entries: four updates of old documents to each insert of a new one.
func work(b *table, entries int) history.Entries {
	raws := make([]bson.Raw, 0, entries)
	for i := range entries {
		entry := bson.D{{Key: "op", Value: "i"}, {Key: "ns", Value: "shop.orders"}, {Key: "ui", Value: b.collection.UUID.Binary()}}
		if i%5 == 0 {
			entry = append(entry, bson.E{Key: "o", Value: row(b.size + i)})
		} else {
			entry[0].Value = "u"
			diff := bson.D{{Key: "u", Value: bson.D{{Key: "status", Value: "paid"}, {Key: "round", Value: i}}}}
			entry = append(entry, bson.E{Key: "o", Value: bson.D{{Key: "$v", Value: int32(2)}, {Key: "diff", Value: diff}}},
				bson.E{Key: "o2", Value: bson.D{{Key: "_id", Value: rowID(i * 7 % b.size)}}})
		}
		entry = append(entry, bson.E{Key: "ts", Value: bson.Timestamp{T: 100 + uint32(i/1000), I: uint32(i%1000 + 1)}},
			bson.E{Key: "t", Value: int64(1)}, bson.E{Key: "v", Value: int64(2)}, bson.E{Key: "wall", Value: bson.DateTime(100_000 + i)})
		raw, _ := bson.Marshal(entry)
		raws = append(raws, raw)
	}
	return func(_ context.Context, window pitr.Window) iter.Seq2[oplog.Entry, error] {
		return func(yield func(oplog.Entry, error) bool) {
			for i, raw := range raws {
				if !window.Contains(pitr.NewTimestamp(100+uint32(i/1000), uint32(i%1000+1))) {
					continue
				}
				if entry, err := oplog.Decode(raw); !yield(entry, err) {
					return
				}
			}
		}
	}
}

// BenchmarkHistory asks the questions of an incident: 300,000 entries over a collection of 100,000 documents.
func BenchmarkHistory(b *testing.B) {
	const entries = 300_000
	base := newTable(100_000)
	h := history.New(base, work(base, entries), history.Options{})
	window := pitr.Window{After: 1, Through: pitr.NewTimestamp(1000, 0)}
	ctx := context.Background()
	told := 0
	for name, ask := range map[string]func() error{
		"price": func() error { _, err := h.Price(ctx, window, pitr.Scope{}); return err },
		"find":  func() error { _, err := h.Find(ctx, window, history.EventOptions{}); return err },
		"view":  func() error { _, err := h.View(ctx, window.Through, pitr.Scope{}); return err },
		"gap": func() error {
			gap, err := h.Gap(ctx, window, history.GapOptions{})
			if err != nil {
				return err
			}
			told = 0
			for _, err := range gap.Changes(ctx) {
				if err != nil {
					return err
				}
				told++
			}
			return nil
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := ask(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*entries/b.Elapsed().Seconds(), "entries/s")
			if name == "gap" {
				b.ReportMetric(float64(b.N*told)/b.Elapsed().Seconds(), "touched/s")
			}
		})
	}
}
