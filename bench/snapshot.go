package main

import (
	"context"
	"fmt"
	"time"

	"pitr"
	"pitr/cluster"
)

// taken is what `pitr snapshot take` says of its result.
type taken struct {
	ID                       string `json:"id"`
	Documents, Bytes, Stored int64
}

// measureSnapshot takes snapshots of a database, each into a repository of its own, and verifies them.
func measureSnapshot(ctx context.Context, s settings) error {
	on, err := startServer(ctx, s)
	if err != nil {
		return err
	}
	defer on.stop()
	if err := scanOnly(ctx, on); err != nil {
		return err
	}
	var costs []usage
	var last taken
	for range s.runs {
		cost, result, err := snapshotOnce(ctx, s, on)
		if err != nil {
			return err
		}
		costs, last = append(costs, cost), result
	}
	middle, gb := median(costs), float64(last.Bytes)/1e9
	say("snapshot, median", "%s, %.2f CPU-s/GB at ratio %.2f (%.0f MB)", middle, middle.cpu/gb, float64(last.Bytes)/float64(last.Stored), gb*1e3)
	return nil
}

func snapshotOnce(ctx context.Context, s settings, on server) (usage, taken, error) {
	p, err := newProgram(ctx, s, on)
	if err != nil {
		return usage{}, taken{}, err
	}
	defer p.close()
	cost, result, err := p.snapshot(ctx)
	if err != nil {
		return cost, result, err
	}
	_, checked, err := p.run(ctx, "snapshot", "verify", result.ID)
	if err != nil {
		return cost, result, err
	}
	if want := int64(s.documents / s.collections * s.collections); result.Documents != want {
		return cost, result, fmt.Errorf("%d documents instead of %d", result.Documents, want)
	}
	gb := float64(result.Bytes) / 1e9
	say("snapshot take", "%s, %.2f CPU-s/GB at ratio %.2f", cost, cost.cpu/gb, float64(result.Bytes)/float64(result.Stored))
	say("snapshot verify", "%s, %.2f CPU-s/GB", checked, checked.cpu/gb)
	return cost, result, nil
}

// scanOnly measures reading alone: what a snapshot cannot do without.
func scanOnly(ctx context.Context, on server) error {
	client, err := cluster.Connect(ctx, cluster.Options{URI: on.Read, AppName: "pitr-bench"})
	if err != nil {
		return err
	}
	defer client.Close(ctx)
	listed, err := client.Listing(ctx, pitr.Scope{})
	if err != nil {
		return err
	}
	began, before, bytes := time.Now(), ownUsage(), int64(0)
	for _, c := range listed {
		for batch, err := range client.Scan(ctx, pitr.Range{Collection: c}) {
			if err != nil {
				return err
			}
			bytes += int64(batch.Bytes())
		}
	}
	cost := ownUsage()
	cost.cpu, cost.wall = cost.cpu-before.cpu, time.Since(began).Seconds()
	say("reading alone", "%s, %.2f CPU-s/GB", cost, cost.cpu/(float64(bytes)/1e9))
	return nil
}
