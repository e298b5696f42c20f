package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"pitr"
	"pitr/catalog"
	"pitr/cluster"
	"pitr/oplog"
)

func archiveCommand(s streams) *cli.Command {
	return &cli.Command{
		Name:  "archive",
		Usage: "follow the oplog into the repository",
		Subcommands: []*cli.Command{
			archiveRunCommand(s),
			{
				Name: "once", Usage: "archive what a majority has committed by now, and end",
				Description: "Example:\n   pitr archive once --quiet",
				Flags:       scheduledFlags(),
				Action:      scheduled(s, fromCron, archiveOnce),
			},
			{
				Name: "status", Usage: "show how far the archive has come",
				Description: "Example:\n   pitr archive status",
				Action:      action(s, nil, archiveStatus),
			},
			archiveMergeCommand(s),
			archiveAdoptCommand(s),
		},
	}
}

// archiveLine is the JSON line of the archive commands.
type archiveLine struct {
	Type     string         `json:"type"`
	Version  int            `json:"v"`
	Branch   string         `json:"branch"`
	Through  pitr.Timestamp `json:"through"`
	Segments int64          `json:"segments"`
	Entries  int64          `json:"entries"`
	Bytes    int64          `json:"bytes"`
	Holes    int64          `json:"holes,omitempty"`
	Waiting  string         `json:"waiting,omitempty"`
}

func newArchiveLine(status oplog.ArchiveStatus) archiveLine {
	return archiveLine{Type: "archive", Version: 1, Branch: string(status.Branch), Through: status.Through.TS,
		Segments: status.Segments, Entries: status.Entries, Bytes: status.Bytes, Holes: status.Holes, Waiting: status.Waiting}
}

// archiver connects cluster and repository.
func (run *session) archiver(client *cluster.Client, repository *catalog.Repository) *oplog.Archiver {
	return oplog.NewArchiver(client, repository, oplog.ArchiveOptions{Lease: run.lease(), Notes: client, Log: run.log})
}

// withCluster opens the repository for writing and the cluster for reading, and closes the cluster afterwards.
func (run *session) withCluster(ctx context.Context, do func(*cluster.Client, *catalog.Repository) error) error {
	repository, err := run.openRepository(ctx, writing)
	if err != nil {
		return err
	}
	client, err := run.connect(ctx, "uri")
	if err != nil {
		return err
	}
	defer client.Close(context.WithoutCancel(ctx))
	return do(client, repository)
}

func archiveOnce(ctx context.Context, run *session, _ *cli.Context) error {
	return run.withCluster(ctx, func(client *cluster.Client, repository *catalog.Repository) error {
		if err := needOplog(client.Server()); err != nil {
			return err
		}
		status, err := run.archiver(client, repository).Once(ctx)
		if err != nil {
			return err
		}
		if status.Holes > 0 {
			run.warnOfHole()
		}
		run.measureArchive(status)
		if run.measuring() {
			run.measureTimeline(ctx, repository)
		}
		if run.json {
			return run.line(newArchiveLine(status))
		}
		fmt.Fprintf(run.out, "archived %s entries in %d segments, through %s\n", grouped(status.Entries), status.Segments, clockText(status.Through.TS))
		run.next("pitr timeline")
		return nil
	})
}

// warnOfHole says what a break in the archive costs, while there is time to do something about it.
func (run *session) warnOfHole() {
	fmt.Fprintln(run.err, "warning: the archive has a hole: the server's oplog no longer has what followed the newest archived entry;")
	fmt.Fprintln(run.err, "         moments in the hole are lost, later ones need a new snapshot; a larger oplog keeps entries longer")
	fmt.Fprintln(run.err, "next: pitr snapshot take") // a part of the warning, so it is said also where nobody looks on
}

func needOplog(server pitr.Server) error {
	if server.Ability == pitr.AbilityFull {
		return nil
	}
	return pitr.Errorf(pitr.KindUnsupported, "follow the oplog", "connect to a replica set; snapshots, diff and copy work here all the same",
		"%s has no usable oplog", server.Member)
}

func archiveStatus(ctx context.Context, run *session, _ *cli.Context) error {
	repository, err := run.openRepository(ctx, reading)
	if err != nil {
		return err
	}
	timeline, err := repository.Timeline(ctx)
	if err != nil {
		return err
	}
	windows := timeline.Windows(timeline.Tip())
	if len(windows) == 0 {
		fmt.Fprintln(run.err, "the archive is empty")
		run.next("pitr archive run")
		return nil
	}
	for _, window := range windows {
		if run.json {
			if err := run.line(stretchLine{Type: "archived", Version: 1, First: window.After, Last: window.Through}); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(run.out, "archived after %s through %s\n", clockText(window.After), clockText(window.Through))
	}
	if run.json {
		return nil
	}
	last := windows[len(windows)-1].Through
	fmt.Fprintf(run.out, "the newest archived entry is %s old\n", spanText(run.now().Sub(last.Time())))
	lease, err := repository.ShowLease(ctx, "archive")
	if err != nil {
		return err
	}
	if lease.Held() {
		fmt.Fprintf(run.out, "archiver: %s\n", printable(lease.Owner()))
		return nil
	}
	run.next("pitr archive run", "(nobody is archiving)")
	return nil
}

// catchUp brings the archive to the present, so that a look back misses nothing: by waiting for the archiver that runs, or
// by archiving. Where no cluster is configured, or it cannot be reached, the archive is looked at as it is, and that is said.
func (run *session) catchUp(ctx context.Context, repository *catalog.Repository) error {
	client, err := run.connect(ctx, "uri")
	if kind := pitr.KindOf(err); kind == pitr.KindInvalid || kind == pitr.KindUnavailable {
		fmt.Fprintf(run.err, "looking at the archive as it is: %s\n", printable(err.Error()))
		return nil
	}
	if err != nil {
		return err
	}
	defer client.Close(context.WithoutCancel(ctx))
	if client.Server().Ability != pitr.AbilityFull {
		return nil
	}
	now, err := client.MajorityOpTime(ctx)
	if err != nil {
		return err
	}
	_, err = run.archiver(client, repository).CatchUp(ctx, now.TS)
	return err
}
