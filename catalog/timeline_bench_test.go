package catalog_test

import (
	"testing"

	"pitr"
	"pitr/catalog"
)

// BenchmarkReach: a month of an archive that cuts every ten seconds.
func BenchmarkReach(b *testing.B) {
	line := catalog.Line{Branch: "a", Snapshots: []catalog.Point{{Snapshot: "s", From: 5, At: 6}}}
	for i := range 260_000 {
		line.Segments = append(line.Segments, catalog.Segment{Window: window(i, i+1), Prev: short(1 + i%250), Last: short(1 + (i+1)%250)})
	}
	timeline := catalog.Timeline{Lines: []catalog.Line{line}}
	for b.Loop() {
		if _, err := timeline.Reach(259_000, pitr.Scope{}); err != nil {
			b.Fatal(err)
		}
	}
}
