package verify_test

import (
	"fmt"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog/verify"
	"pitr/format"
	"pitr/internal/sample"
	"pitr/storage"
)

// BenchmarkVerify reads a snapshot of 50 MB at level 2: the target is 700 MB/s of raw documents per core, bound by decoding.
func BenchmarkVerify(b *testing.B) {
	for _, level := range []verify.Level{verify.LevelDigests, verify.LevelContent} {
		b.Run(fmt.Sprint("level", level), func(b *testing.B) {
			m := sample.New(b, storage.NewMemory())
			branch := m.Branch()
			m.Segment(branch, 0, 5, 6, 7)
			var documents []bson.Raw
			for i := range 70_000 {
				documents = append(documents, m.BSON(bson.D{{Key: "_id", Value: i}, {Key: "customer", Value: bson.D{{Key: "name", Value: fmt.Sprint("customer ", i*7919%1000)},
					{Key: "city", Value: fmt.Sprint("city ", i*31%97)}}}, {Key: "note", Value: strings.Repeat(fmt.Sprint("text ", i%50, " "), 70)}}))
			}
			manifest := m.Snapshot(sample.Shape{Branch: branch, From: 6, At: 7, Exact: format.ExactOneTime, Chunks: 4,
				Oplog: &format.Span{Window: pitr.Window{After: 6, Through: 7}}, Collections: [][]bson.Raw{documents}})
			b.SetBytes(manifest.Objects.Bytes)
			for b.Loop() {
				for finding, err := range verify.Run(b.Context(), m.R, verify.Options{Level: level}) {
					b.Fatal(finding, err)
				}
			}
		})
	}
}
