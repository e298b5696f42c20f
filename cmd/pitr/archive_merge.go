package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"pitr/format"
	"pitr/oplog"
)

func archiveMergeCommand(s streams) *cli.Command {
	return &cli.Command{
		Name: "merge", Usage: "make one long segment of the small ones of each hour",
		Description: "An archiver that runs does this by itself. Entries are copied byte for byte; nothing is removed: prune removes\n" +
			"small segments that a long one repeats. It can be stopped at any time.\n\nExample:\n   pitr archive merge",
		Flags:  scheduledFlags(),
		Action: scheduled(s, fromCron, mergeArchive),
	}
}

// mergedLine is the JSON line of `pitr archive merge`.
type mergedLine struct {
	Type     string    `json:"type"`
	Version  int       `json:"v"`
	Branch   format.ID `json:"branch"`
	Merged   int64     `json:"merged"`
	Segments int64     `json:"segments"`
	Entries  int64     `json:"entries"`
	Bytes    int64     `json:"bytes"`
}

func mergeArchive(ctx context.Context, run *session, _ *cli.Context) error {
	repository, err := run.openRepository(ctx, writing)
	if err != nil {
		return err
	}
	branches, err := repository.Branches(ctx)
	if err != nil {
		return err
	}
	if len(branches.Damaged) > 0 {
		return branches.Damaged[0].Err
	}
	shown := newProgress(run)
	defer shown.Clear()
	for _, branch := range branches.Items {
		status, err := oplog.Merge(ctx, repository, branch.ID, oplog.MergeOptions{Progress: shown, Log: run.log})
		if err != nil {
			return err
		}
		shown.Clear()
		line := mergedLine{Type: "merged", Version: 1, Branch: branch.ID, Merged: status.Merged, Segments: status.Segments,
			Entries: status.Entries, Bytes: status.Bytes}
		if run.json {
			if err := run.line(line); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(run.out, "branch %s: made %s long segments of %s small ones, %s entries\n", branch.ID, grouped(status.Merged),
			grouped(status.Segments), grouped(status.Entries))
	}
	return nil
}
