package main

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"pitr"
	"pitr/catalog"
	"pitr/cluster"
	"pitr/notify"
	"pitr/oplog"
)

func archiveRunCommand(s streams) *cli.Command {
	return &cli.Command{
		Name: "run", Usage: "follow until stopped; run it as a service",
		Description: "One archiver works at a time; others are told who it is. SIGTERM and SIGINT end it with exit code 0 once what\n" +
			"a majority has committed was put away and the lease is free. Segments that are an hour old are merged beside it.\n" +
			"It tells systemd when it is ready and that it is alive, and pings every five minutes while it gets on.\n\n" +
			"Example:\n   pitr archive run\n   pitr archive run --metrics-file /var/lib/prometheus/pitr-archive.prom",
		Flags:  scheduledFlags(),
		Action: scheduled(s, asService, runArchive),
	}
}

func runArchive(ctx context.Context, run *session, _ *cli.Context) error {
	return run.withCluster(ctx, func(client *cluster.Client, repository *catalog.Repository) error {
		if err := needOplog(client.Server()); err != nil {
			return err
		}
		fmt.Fprintf(run.err, "archiving the oplog of %s, read from %s\n", printable(repository.ClusterName()), client.Server().Member)
		service := notify.NewService(run.env, run.now)
		stop := context.AfterFunc(ctx, service.Stopping)
		defer stop()
		alive := &signsOfLife{run: run, service: service, repository: repository}
		say := run.archiveReport()
		options := oplog.ArchiveOptions{Lease: run.lease(), Log: run.log,
			Report: func(status oplog.ArchiveStatus) { alive.last = status; say(status) },
			Alive:  func(status oplog.ArchiveStatus) { alive.tell(ctx, status) }}
		err := oplog.NewArchiver(client, repository, options).Follow(ctx)
		run.measureArchive(alive.last)
		alive.reach(alive.last)
		return err
	})
}

// How often a service refreshes what it tells: its file of metrics, the listing behind them, its ping.
const (
	metricsInterval  = 15 * time.Second
	timelineInterval = 10 * time.Minute
	pingInterval     = 5 * time.Minute
)

// signsOfLife tells the service manager, the file of metrics and the monitor how an archiver that follows is doing.
type signsOfLife struct {
	run        *session
	service    *notify.Service
	repository *catalog.Repository
	last       oplog.ArchiveStatus
	written    time.Time
	// looked is when the timeline was read, whole that its newest moment can be reached: then what is archived behind it can
	// be reached, too, for as long as no hole comes between. holes are those that were known by then.
	looked time.Time
	whole  bool
	holes  int64
}

func (s *signsOfLife) tell(ctx context.Context, status oplog.ArchiveStatus) {
	s.last = status
	words := "archived through " + status.Through.TS.String()
	if status.Waiting != "" {
		words = "waiting: " + printable(status.Waiting)
	}
	s.service.Alive(words)
	now := s.run.now()
	w := s.run.watcher
	if w.file != "" && now.Sub(s.written) >= metricsInterval {
		s.written = now
		s.look(ctx, now, status)
		s.run.measureArchive(status)
		if status.Waiting == "" {
			s.run.measure("pitr_last_success_timestamp_seconds", seconds(now))
		}
		w.write(now, exitDone)
	}
	if w.pinger != nil && status.Waiting == "" && now.Sub(w.alive) >= pingInterval {
		w.alive = now
		w.pinger.Alive(ctx)
	}
}

// look finds out how far a restore can reach: by reading the timeline now and then, and in between by how far the archive
// has come since.
func (s *signsOfLife) look(ctx context.Context, now time.Time, status oplog.ArchiveStatus) {
	if s.looked.IsZero() || now.Sub(s.looked) >= timelineInterval || status.Holes > s.holes {
		s.looked, s.holes = now, status.Holes
		timeline := s.run.measureTimeline(ctx, s.repository)
		windows := timeline.Windows(timeline.Tip())
		s.whole = len(windows) > 0 && windows[len(windows)-1].Through == restorableThrough(timeline)
		return
	}
	s.reach(status)
}

// reach notes how far a restore can reach without reading the timeline again.
func (s *signsOfLife) reach(status oplog.ArchiveStatus) {
	if s.whole && status.Holes == s.holes {
		s.run.measure("pitr_restorable_through_timestamp_seconds", float64(status.Through.TS.Seconds()))
	}
}

// measureArchive notes how far an archiver has come.
func (run *session) measureArchive(status oplog.ArchiveStatus) {
	waiting := 0.0
	if status.Waiting != "" {
		waiting = 1
	}
	run.measure("pitr_archive_waiting", waiting)
	run.measure("pitr_archive_segments_total", float64(status.Segments))
	run.measure("pitr_archive_entries_total", float64(status.Entries))
	run.measure("pitr_archive_bytes_total", float64(status.Bytes))
	for name, at := range map[string]pitr.OpTime{"pitr_archive_through_timestamp_seconds": status.Through,
		"pitr_archive_majority_timestamp_seconds": status.Majority, "pitr_archive_oldest_timestamp_seconds": status.Oldest} {
		if !at.IsZero() {
			run.measure(name, float64(at.TS.Seconds()))
		}
	}
}

// archiveReport says now and then how far the archive is, and at once when it has to wait.
func (run *session) archiveReport() func(oplog.ArchiveStatus) {
	var said time.Time
	waiting, holes := "", int64(0)
	return func(status oplog.ArchiveStatus) {
		now := run.now()
		if status.Waiting == waiting && status.Holes == holes && now.Sub(said) < plainInterval {
			return
		}
		if status.Holes > holes {
			run.warnOfHole()
		}
		said, waiting, holes = now, status.Waiting, status.Holes
		switch {
		case run.json:
			// A stream of status lines; a failure to print is remembered by the result stream.
			_ = run.line(newArchiveLine(status))
		case waiting != "":
			fmt.Fprintf(run.err, "%s: waiting: %s\n", now.UTC().Format(time.TimeOnly), printable(waiting))
		default:
			fmt.Fprintf(run.err, "%s: archived through %s, %s entries\n", now.UTC().Format(time.TimeOnly), status.Through.TS, grouped(status.Entries))
		}
	}
}
