package main

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"pitr/catalog"
	"pitr/cluster"
	"pitr/format"
)

// markLife is how long a mark holds the archive unless it is kept.
const markLife = 14 * 24 * time.Hour

func markCommand(s streams) *cli.Command {
	return &cli.Command{
		Name:      "mark",
		Usage:     "name this moment, before a migration",
		ArgsUsage: "NAME",
		Description: "The name can be used wherever a moment is asked for, as mark:NAME. The archive from here on is held for 14\n" +
			"days.\n\nExample:\n   pitr mark \"before v4.1.0\"",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "keep", Usage: "hold the archive for good, not for 14 days"},
			&cli.StringFlag{Name: "note", Usage: "a word for the people who will look for it"},
		},
		Action: action(s, []string{"NAME"}, setMark),
	}
}

func setMark(ctx context.Context, run *session, c *cli.Context) error {
	return run.withCluster(ctx, func(client *cluster.Client, repository *catalog.Repository) error {
		if err := needOplog(client.Server()); err != nil {
			return err
		}
		at, err := client.MajorityOpTime(ctx)
		if err != nil {
			return err
		}
		timeline, err := repository.Timeline(ctx)
		if err != nil {
			return err
		}
		mark := format.Mark{At: at.TS, Branch: timeline.Tip(), Name: c.Args().First(), Operator: operator(), Note: c.String("note")}
		if !c.Bool("keep") {
			mark.Expires = repository.Now().Add(markLife).UTC()
		}
		if mark, err = repository.PutMark(ctx, mark); err != nil {
			return err
		}
		if run.json {
			return run.line(markLine{Type: "mark", Version: 1, Name: mark.Name, At: mark.At})
		}
		fmt.Fprintf(run.out, "marked %q at %s\n", printable(mark.Name), clockText(mark.At))
		run.next(fmt.Sprintf("if it goes wrong: pitr find --since %q", "mark:"+mark.Name))
		return nil
	})
}
