package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"pitr"
	"pitr/catalog"
	"pitr/notify"
	"pitr/report"
)

// A command that a scheduler runs takes flags of its own: it pings a monitor, leaves a file of metrics, and is quiet when
// all went well and nobody looks on.

// schedule is how a command is run when no person runs it.
type schedule int

const (
	// fromCron runs end by themselves; without a terminal they say nothing but their result.
	fromCron schedule = iota
	// asService runs go on until they are stopped; what they say is their log.
	asService
)

// panicked is the exit code that Go gives a process that panics.
const panicked = 2

// scheduledFlags are those of commands that a scheduler runs.
func scheduledFlags() []cli.Flag {
	flags := []cli.Flag{
		&cli.BoolFlag{Name: "quiet", Usage: "print no result when all went well; warnings and errors are printed"},
	}
	for _, s := range settingList {
		if s.scheduled && !s.noFlag {
			flags = append(flags, &cli.StringFlag{Name: s.name, Usage: s.usage})
		}
	}
	return flags
}

// scheduled is action for a command that a scheduler runs. Such a command takes no arguments.
func scheduled(s streams, how schedule, do func(context.Context, *session, *cli.Context) error) cli.ActionFunc {
	return action(s, nil, func(ctx context.Context, run *session, c *cli.Context) error {
		w, err := run.watch(ctx, strings.TrimPrefix(c.Command.HelpName, "pitr "))
		if err != nil {
			return err
		}
		run.calm = how == fromCron && !run.terminal && run.settings.values["log-level"] == "off"
		if c.Bool("quiet") && !run.json {
			run.out = io.Discard
		}
		defer func() {
			if cause := recover(); cause != nil {
				w.end(ctx, panicked, fmt.Sprint("panic: ", cause))
				panic(cause)
			}
		}()
		err = do(ctx, run, c)
		if result, ok := s.out.(*resultWriter); ok && err == nil {
			err = result.failure()
		}
		w.finish(ctx, err)
		return err
	})
}

// watcher follows one run for those who are not there.
type watcher struct {
	run     *session
	pinger  *notify.Pinger
	file    string
	said    *lastWords
	started time.Time
	warned  sync.Once
	// alive is when a service last told that it is well.
	alive time.Time
}

// watch begins to follow a run.
func (run *session) watch(ctx context.Context, command string) (*watcher, error) {
	w := &watcher{run: run, file: run.settings.values["metrics-file"], said: &lastWords{to: run.err}, started: run.now()}
	run.err = w.said
	run.watcher = w
	run.metrics = report.Metrics{Command: command, Values: map[string]float64{}}
	address, configured, err := run.settings.secret(ctx, "ping-url")
	if err != nil || !configured {
		return w, err
	}
	w.pinger, err = notify.NewPinger(address.reveal(), notify.PingerOptions{Warn: func(err error) { // case U07
		fmt.Fprintf(run.err, "warning: the monitor could not be told: %s; the job goes on\n", printable(err.Error()))
	}})
	if err != nil {
		return w, err
	}
	w.pinger.Start(ctx)
	return w, nil
}

// measure notes a value for the file of metrics.
func (run *session) measure(name string, value float64) {
	if run.metrics.Values != nil {
		run.metrics.Values[name] = value
	}
}

// measuring reports whether somebody will read what is measured.
func (run *session) measuring() bool { return run.watcher != nil && run.watcher.file != "" }

// finish tells how the run ended.
func (w *watcher) finish(ctx context.Context, err error) {
	code := exitCode(ctx, err)
	last := w.said.String()
	if err != nil {
		message, next := problem{err: err, code: code}.text()
		last += message + "\nnext: " + next + "\n"
	}
	w.end(ctx, code, last)
}

func (w *watcher) end(ctx context.Context, code int, last string) {
	now := w.run.now()
	if code == exitDone {
		w.run.measure("pitr_last_success_timestamp_seconds", seconds(now))
	}
	w.write(now, code)
	if w.pinger != nil {
		w.pinger.End(ctx, code, w.run.settings.mask(last))
	}
}

// write replaces the file of metrics as a whole. That it cannot be written is worth a warning and no more.
func (w *watcher) write(now time.Time, code int) { // case U08
	if w.file == "" {
		return
	}
	w.run.measure("pitr_last_run_timestamp_seconds", seconds(now))
	w.run.measure("pitr_last_duration_seconds", now.Sub(w.started).Seconds())
	w.run.measure("pitr_last_exit_code", float64(code))
	if err := replaceMetrics(w.file, &w.run.metrics); err != nil {
		w.warned.Do(func() {
			fmt.Fprintf(w.run.err, "warning: the file of metrics could not be written: %s\n", printable(err.Error()))
		})
	}
}

// replaceMetrics keeps from the file what still stands, and puts the new one in its place.
func replaceMetrics(name string, metrics *report.Metrics) error {
	before, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	metrics.Keep(string(before))
	text, err := metrics.Text()
	if err != nil {
		return err
	}
	// A reader that takes every *.prom file of the folder must not see the half-written one.
	file, err := os.CreateTemp(filepath.Dir(name), ".pitr-metrics-*.tmp")
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	if err == nil {
		err = file.Chmod(0o644) // the reader is another user
	}
	if err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(file.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// measureTimeline notes what the repository can give back. It reads listings, so it is done only where somebody asked. The
// run did its work before: that its result cannot be measured is a warning.
func (run *session) measureTimeline(ctx context.Context, repository *catalog.Repository) catalog.Timeline {
	timeline, err := repository.Timeline(ctx)
	if err != nil {
		fmt.Fprintf(run.err, "warning: the timeline could not be measured: %s\n", printable(err.Error()))
		return catalog.Timeline{}
	}
	tip := timeline.Tip()
	run.measure("pitr_archive_holes", float64(len(timeline.Holes(tip))))
	snapshots := 0
	for _, line := range timeline.Lines {
		snapshots += len(line.Snapshots)
	}
	run.measure("pitr_snapshots", float64(snapshots))
	if through := restorableThrough(timeline); through != 0 {
		run.measure("pitr_restorable_through_timestamp_seconds", float64(through.Seconds()))
	}
	return timeline
}

// restorableThrough gives the newest moment of everything that can be reached, or of what the newest snapshot holds where no
// snapshot holds everything; zero when there is none.
func restorableThrough(timeline catalog.Timeline) pitr.Timestamp {
	var newest catalog.Point
	for _, line := range timeline.Lines {
		for _, point := range line.Snapshots {
			if point.Snapshot > newest.Snapshot {
				newest = point
			}
		}
	}
	for _, scope := range []pitr.Scope{{}, newest.Scope} {
		if reachable := timeline.Reachable(timeline.Tip(), scope); len(reachable) > 0 {
			return reachable[len(reachable)-1].Last
		}
	}
	return 0
}

// lastWords passes on what is said and remembers the end of it.
type lastWords struct {
	to io.Writer
	mu sync.Mutex
	// text is at most twice as long as what is told.
	text []byte
}

const mostWords = 4000

// Write passes on.
func (l *lastWords) Write(content []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, content...)
	if extra := len(l.text) - mostWords; extra > mostWords {
		l.text = append(l.text[:0], l.text[extra:]...)
	}
	return l.to.Write(content)
}

// String gives the last lines, without moving parts.
func (l *lastWords) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.ReplaceAll(string(l.text), "\r", "\n")
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
	const most = 20
	lines = lines[max(0, len(lines)-most):]
	if len(lines) == 0 {
		return ""
	}
	return printableLines(lines)
}

func printableLines(lines []string) string {
	var out strings.Builder
	for _, line := range lines {
		out.WriteString(printable(strings.TrimSpace(line)) + "\n")
	}
	return out.String()
}
