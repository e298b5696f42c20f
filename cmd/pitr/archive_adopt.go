package main

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"pitr"
	"pitr/catalog"
	"pitr/cluster"
	"pitr/format"
	"pitr/oplog"
)

func archiveAdoptCommand(s streams) *cli.Command {
	return &cli.Command{
		Name: "adopt", Usage: "go on where another history begins",
		Description: "For a cluster that was set back by force, whose members were all replaced, or that was rebuilt: the archiver\n" +
			"stops there and says so. Without --new-branch it is only shown where the histories part. What was archived stays,\n" +
			"and can be reached up to there.\n\n" +
			"Example:\n   pitr archive adopt\n   pitr archive adopt --new-branch --confirm-target devices-eu",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "new-branch", Usage: "do it: archive the other history from where it begins"},
			&cli.StringFlag{Name: "confirm-target", Usage: "the `NAME` of the cluster, for scripts; a person types it"},
			&cli.StringFlag{Name: "reason", Usage: "a word for the people who will look at the timeline"},
		},
		Action: action(s, nil, adoptHistory),
	}
}

// branchLine is the JSON line of a branch: in `pitr timeline` where there are several, and of `pitr archive adopt`.
type branchLine struct {
	Type    string       `json:"type"`
	Version int          `json:"v"`
	ID      format.ID    `json:"id,omitempty"`
	Parent  format.ID    `json:"parent,omitempty"`
	Fork    *pitr.OpTime `json:"fork,omitempty"`
	Created *time.Time   `json:"created,omitempty"`
	Hosts   []string     `json:"hosts,omitempty"`
	Reason  string       `json:"reason,omitempty"`
}

func newBranchLine(branch format.Branch) branchLine {
	line := branchLine{Type: "branch", Version: 1, ID: branch.ID, Hosts: branch.Hosts, Reason: branch.Reason}
	if !branch.Created.IsZero() {
		line.Created = &branch.Created
	}
	if branch.Fork != nil {
		line.Parent = branch.Fork.Branch
		if !branch.Fork.At.IsZero() {
			line.Fork = &branch.Fork.At
		}
	}
	return line
}

func adoptHistory(ctx context.Context, run *session, c *cli.Context) error {
	return run.withCluster(ctx, func(client *cluster.Client, repository *catalog.Repository) error {
		if err := needOplog(client.Server()); err != nil {
			return err
		}
		archiver := run.archiver(client, repository)
		plan, err := archiver.PlanAdoption(ctx)
		if err != nil {
			return err
		}
		run.showAdoption(repository, plan)
		if !c.Bool("new-branch") {
			run.next("if this is the cluster " + printable(repository.ClusterName()) + " and goes on: pitr archive adopt --new-branch")
			if run.json {
				fork := &format.Fork{Branch: plan.Parent.ID, At: plan.Fork.OpTime}
				return run.line(newBranchLine(format.Branch{Hosts: plan.Server.Hosts, Fork: fork}))
			}
			return nil
		}
		if err := run.confirmCluster(ctx, repository.ClusterName(), c.String("confirm-target")); err != nil {
			return err
		}
		reason := c.String("reason")
		if reason == "" {
			reason = "adopted by " + operator()
		}
		branch, err := archiver.Adopt(ctx, plan, reason)
		if err != nil {
			return err
		}
		if run.json {
			return run.line(newBranchLine(branch))
		}
		fmt.Fprintf(run.out, "branch %s begins; nothing of it is archived yet\n", branch.ID)
		run.next("pitr archive once", "then pitr snapshot take: moments of the new history need a snapshot of it")
		return nil
	})
}

// showAdoption says what is known of both histories, before anything is done.
func (run *session) showAdoption(repository *catalog.Repository, plan oplog.Adoption) {
	fmt.Fprintf(run.err, "cluster   %s\n", printable(repository.ClusterName()))
	fmt.Fprintln(run.err, wrapped("refused   ", printable(plan.Why), run.width))
	fmt.Fprintf(run.err, "archived  through %s, branch %s of %s\n", clockText(plan.Archived.TS), plan.Parent.ID, printable(fmt.Sprint(plan.Parent.Hosts)))
	fmt.Fprintf(run.err, "server    %s of %s\n          from %s\n          to   %s\n", printable(plan.Server.Member), printable(fmt.Sprint(plan.Server.Hosts)),
		clockText(plan.Oldest.TS), clockText(plan.Newest.TS))
	if plan.Fork.IsZero() {
		fmt.Fprintln(run.err, "fork      nothing that is archived is on the server: the new branch stands alone, and needs a snapshot")
		return
	}
	fmt.Fprintf(run.err, "fork      %s is the newest entry that both have\n", clockText(plan.Fork.TS))
	if plan.Fork.TS < plan.Archived.TS {
		fmt.Fprintln(run.err, "          what was archived after it did not happen in the other history")
	}
}

// confirmCluster has the cluster named where something is decided that no job plans.
func (run *session) confirmCluster(ctx context.Context, name, flag string) error {
	typed := flag
	if typed == "" {
		if !run.interactive {
			return pitr.Refusef("confirm", "give --confirm-target "+name, "nobody is here to type the name of the cluster")
		}
		var err error
		if typed, err = run.ask(ctx, "Type the name of the cluster to go on:"); err != nil {
			return err
		}
	}
	if typed != name {
		return pitr.Refusef("confirm", "type the name exactly as shown, or leave it", "%q is not the name of the cluster", typed)
	}
	return nil
}
