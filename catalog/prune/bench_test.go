package prune_test

import (
	"fmt"
	"testing"
	"time"

	"pitr"
	"pitr/catalog"
	"pitr/catalog/prune"
	"pitr/format"
)

// BenchmarkPlan plans over 10,000 snapshots, one an hour, and 100,000 segments.
func BenchmarkPlan(b *testing.B) {
	const snapshots, segments = 10_000, 100_000
	line := catalog.Line{Branch: main_}
	inventory := prune.Inventory{}
	second := func(s int) pitr.Timestamp { return pitr.NewTimestamp(uint32(beginning.Unix())+uint32(s), 0) } //nolint:gosec // a date of this century
	every := snapshots * 3600 / segments
	for i := range segments {
		line.Segments = append(line.Segments, catalog.Segment{Window: pitr.Window{After: second(i * every), Through: second((i + 1) * every)},
			Prev: format.Short{byte(i), byte(i >> 8), byte(i >> 16), 1}, Last: format.Short{byte(i + 1), byte((i + 1) >> 8), byte((i + 1) >> 16), 1}, Size: 1 << 20})
	}
	for i := range snapshots {
		since := beginning.Add(time.Duration(i) * time.Hour)
		id := format.ID(fmt.Sprintf("%s-%06d", since.Format("20060102T150405Z"), i))
		m := format.Manifest{ID: id, Branch: main_, Created: since, From: second(i * 3600), At: second(i*3600 + 60), Exact: format.ExactThroughOplog}
		inventory.Snapshots = append(inventory.Snapshots, prune.Snapshot{Manifest: m, Since: since, Size: 1 << 30})
		line.Snapshots = append(line.Snapshots, catalog.Point{Snapshot: id, From: m.From, At: m.At})
	}
	inventory.Now = beginning.Add(snapshots * time.Hour)
	inventory.Timeline = catalog.Timeline{Lines: []catalog.Line{line}}
	policy, err := prune.ParsePolicy("last=7,hourly=48,daily=14,weekly=8,monthly=12,yearly=3", "72h")
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for range b.N {
		plan := prune.PlanOf(inventory, policy)
		if going, objects, _ := plan.Count(prune.Goes); going < 9_000 || objects < 80_000 {
			b.Fatalf("%d snapshots and %d things go", going, objects)
		}
	}
}
