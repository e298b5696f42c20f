package main

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"pitr/catalog"
)

func initCommand(s streams) *cli.Command {
	return &cli.Command{
		Name:  "init",
		Usage: "create the repository for one cluster",
		Description: "Tries whether the store keeps its promises (conditional create, read after create, order, clock) and\n" +
			"creates the repository. The cluster name is what a person types before anything is written to the cluster.\n\n" +
			"Example:\n   pitr init --repo file:///var/backups/pitr --cluster-name devices-eu",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "cluster-name", Usage: "`NAME` of the cluster, such as devices-eu", Required: true},
			&cli.BoolFlag{Name: "single-writer", Usage: "promise that never two processes write, for a store without conditional create"},
		},
		Action: action(s, nil, initRepository),
	}
}

// repositoryLine is the result of `pitr init`.
type repositoryLine struct {
	Type    string    `json:"type"`
	Version int       `json:"v"`
	ID      string    `json:"id"`
	Cluster string    `json:"cluster"`
	Created time.Time `json:"created"`
	Repo    string    `json:"repo"`
}

func initRepository(ctx context.Context, run *session, c *cli.Context) error {
	run.alone = c.Bool("single-writer")
	store, err := run.openStore(ctx, creating)
	if err != nil {
		return err
	}
	repository, err := catalog.Create(ctx, store, catalog.CreateOptions{
		ClusterName: c.String("cluster-name"), Operator: operator(), Version: version, SingleWriter: c.Bool("single-writer"),
	})
	if err != nil {
		return err
	}
	header := repository.Header()
	if run.json {
		return run.line(repositoryLine{Type: "repository", Version: 1, ID: string(header.ID), Cluster: header.ClusterName,
			Created: header.Created, Repo: run.settings.values["repo"]})
	}
	fmt.Fprintf(run.out, "repository %s for cluster %s\n", header.ID, printable(header.ClusterName))
	run.next("pitr snapshot take", "and pitr archive run as a service")
	return nil
}
