package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"
)

func leaseCommand(s streams) *cli.Command {
	return &cli.Command{
		Name:  "lease",
		Usage: "see and break the leases of running jobs",
		Subcommands: []*cli.Command{
			{
				Name: "list", Usage: "show who holds what",
				Description: "Example:\n   pitr lease list",
				Action:      action(s, nil, listLeases),
			},
			{
				Name: "break", Usage: "take a lease away from a holder that is gone",
				ArgsUsage: "NAME",
				Description: "Only break a lease whose holder is certainly dead: a lease of a\n" +
					"living run is taken over by itself within a minute of that run's end.\n\n" +
					"Example:\n   pitr lease break write --owner root@db1",
				Flags:  []cli.Flag{&cli.StringFlag{Name: "owner", Usage: "the `OWNER` exactly as pitr lease list shows it"}},
				Action: action(s, []string{"NAME"}, breakLease),
			},
		},
	}
}

type leaseLine struct {
	Type    string `json:"type"`
	Version int    `json:"v"`
	Name    string `json:"name"`
	Held    bool   `json:"held"`
	Owner   string `json:"owner,omitempty"`
}

func listLeases(ctx context.Context, run *session, _ *cli.Context) error {
	repository, err := run.openRepository(ctx, reading)
	if err != nil {
		return err
	}
	leases, err := repository.Leases(ctx)
	if err != nil {
		return err
	}
	rows := [][]string{{"LEASE", "STATE", "OWNER"}}
	for _, lease := range leases {
		line := leaseLine{Type: "lease", Version: 1, Name: lease.Object.Lease(), Held: lease.Held()}
		state := "free"
		if lease.Held() {
			state, line.Owner = "held", lease.Owner()
		}
		if run.json {
			if err := run.line(line); err != nil {
				return err
			}
		}
		rows = append(rows, []string{line.Name, state, line.Owner})
	}
	if run.json {
		return nil
	}
	return run.table(rows)
}

func breakLease(ctx context.Context, run *session, c *cli.Context) error {
	name := c.Args().First()
	repository, err := run.openRepository(ctx, writing)
	if err != nil {
		return err
	}
	if err := repository.BreakLease(ctx, name, c.String("owner"), operator()); err != nil {
		return err
	}
	if run.json {
		return run.line(leaseLine{Type: "lease", Version: 1, Name: name, Held: true, Owner: operator()})
	}
	fmt.Fprintf(run.out, "the lease %s was taken from its holder; the next run gets it once a minute has passed without a sign of that one\n", printable(name))
	return nil
}
