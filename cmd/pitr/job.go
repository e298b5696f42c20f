package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/cluster"
	"pitr/format"
	"pitr/history"
	"pitr/oplog"
	"pitr/restore"
	"pitr/snapshot"
)

// target is a live cluster as a job writes to it, with two logins: the one for writing may not read the oplog, so entries
// are read with the other.
type target struct {
	*cluster.Primary
	reading *cluster.Primary
}

// Entries reads the oplog with the login for reading.
func (t target) Entries(ctx context.Context, after pitr.Timestamp) iter.Seq2[bson.Raw, error] {
	return t.reading.Entries(ctx, after)
}

// evidence takes the snapshot that a restore needs.
type evidence struct {
	client     *cluster.Client
	repository *catalog.Repository
	options    snapshot.Options
}

// Take takes an ordinary snapshot of the scope for a job.
func (e evidence) Take(ctx context.Context, job format.ID, scope pitr.Scope) (format.Manifest, error) {
	options := e.options
	options.Scope, options.Reason, options.Job = scope, format.ReasonBeforeRestore, job
	return snapshot.Take(ctx, e.client, e.repository, options)
}

// archiveThrough gives restore the archiver in the form it asks for.
type archiveThrough struct {
	archiver   *oplog.Archiver
	repository *catalog.Repository
}

// Through returns when the archive reaches a moment.
func (a archiveThrough) Through(ctx context.Context, at pitr.Timestamp) (pitr.OpTime, error) {
	branch, err := a.archiver.CatchUp(ctx, at)
	if err != nil {
		return pitr.OpTime{}, err
	}
	last, found, err := a.repository.LastSegment(ctx, branch)
	if err != nil || !found {
		return pitr.OpTime{}, err
	}
	_, facts, err := a.repository.OpenSegment(ctx, branch, last)
	if err != nil {
		return pitr.OpTime{}, err
	}
	return facts.Last.OpTime, nil
}

// job is everything that the commands which write to a cluster share.
type job struct {
	run        *session
	reading    *cluster.Client
	writing    *cluster.Client
	repository *catalog.Repository
	deps       restore.Deps
	progress   *progress
}

// openJob connects with both logins and wires what a job works with. A dry run works on an overlay: what it would create
// in the repository goes to memory.
func (run *session) openJob(ctx context.Context, want access) (*job, error) {
	j := &job{run: run, progress: newProgress(run)}
	var err error
	if want == reading {
		j.repository, err = run.openScratch(ctx)
	} else {
		j.repository, err = run.openRepository(ctx, want)
	}
	if err != nil {
		return nil, err
	}
	if j.reading, err = run.connect(ctx, "uri"); err != nil {
		return nil, err
	}
	if j.writing, err = run.connect(ctx, "restore-uri"); err != nil {
		j.reading.Close(context.WithoutCancel(ctx))
		return nil, err
	}
	archiver := run.archiver(j.reading, j.repository)
	if want == reading {
		archiver.Notes = nil // a dry run leaves no trace on the cluster
	}
	timeline, err := j.repository.Timeline(ctx)
	if err != nil {
		j.close(ctx)
		return nil, err
	}
	j.deps = restore.Deps{
		Repository: j.repository, Target: target{Primary: j.writing.Primary(), reading: j.reading.Primary()},
		Past:    restore.InRepository(j.repository, timeline.Tip(), history.Options{}),
		Archive: archiveThrough{archiver: archiver, repository: j.repository},
		Evidence: evidence{client: j.reading, repository: j.repository, options: snapshot.Options{
			Archive: archiver, Operator: operator(), Version: version, Lease: run.leaseAloud(j.progress), Progress: j.progress, Log: run.log}},
		MissingRights: func(ctx context.Context) ([]string, error) { return j.writing.MissingRights(ctx, cluster.ForWriting) },
		Writers:       j.reading, Ask: j.askGrown, Operator: operator(), Host: run.lease().Host, Version: version,
		Waiting: run.leaseAloud(j.progress).Waiting, Workers: 2, Progress: j.progress, Log: run.log,
	}
	return j, nil
}

func (j *job) close(ctx context.Context) {
	j.progress.Clear()
	ctx = context.WithoutCancel(ctx)
	j.writing.Close(ctx)
	j.reading.Close(ctx)
}

// askGrown asks whether to go on although more documents are touched than were confirmed; where nobody can be asked the
// answer is no.
func (j *job) askGrown(ctx context.Context, question restore.Question) (bool, error) {
	if !j.run.interactive {
		return false, nil
	}
	j.progress.Clear()
	answer, err := j.run.ask(ctx, fmt.Sprintf("%s documents were to be written, now it is %s. Go on? Type yes:", grouped(question.Intended), grouped(question.Found)))
	return answer == "yes", err
}

// ask puts one question to the person at the terminal and waits for the answer, or for the end of the run: a person who is
// asked can still stop by Ctrl-C.
func (run *session) ask(ctx context.Context, question string) (string, error) {
	fmt.Fprintf(run.err, "%s ", question)
	type reply struct {
		line string
		err  error
	}
	replies := make(chan reply, 1)
	go func() {
		line, err := readLine(run.in)
		replies <- reply{line, err}
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(run.err)
		return "", pitr.Errorf(pitr.KindInterrupted, "ask", "", "%w", context.Cause(ctx))
	case got := <-replies:
		if got.err != nil {
			return "", pitr.Refusef("ask", "run the command on a terminal, or give the flags that its --help names", "nobody answered")
		}
		return got.line, nil
	}
}

// readLine reads one line and not a byte more: what follows is the answer to the next question.
func readLine(in io.Reader) (string, error) {
	var line []byte
	for next := make([]byte, 1); ; {
		n, err := in.Read(next)
		switch {
		case n == 1 && next[0] == '\n':
			return strings.TrimRight(string(line), "\r"), nil
		case n == 1:
			line = append(line, next[0])
		case err != nil:
			return "", err
		}
	}
}

// confirm has the cluster named: by the flag, or by typing it. The name is bound to nothing else: no `--yes` suffices.
func (j *job) confirm(ctx context.Context, intent restore.Intent, flag string) (restore.Confirmed, error) {
	typed := flag
	if typed == "" {
		if !j.run.interactive { // case W05
			return restore.Confirmed{}, pitr.Refusef("confirm", "give --confirm-target "+j.repository.ClusterName()+" to do it, or --dry-run to look only",
				"nobody is here to type the name of the cluster")
		}
		var err error
		if typed, err = j.run.ask(ctx, "Type the name of the cluster to go on:"); err != nil {
			return restore.Confirmed{}, err
		}
	}
	return intent.Confirm(typed)
}

// showIntent prints what a job will do, before anything is done.
func (j *job) showIntent(intent restore.Intent) {
	out := j.run.err
	fmt.Fprintf(out, "cluster   %s (%s)\n", printable(intent.Cluster.Name), printable(strings.Join(intent.Cluster.Hosts, ", ")))
	fmt.Fprintf(out, "back to   %s\n", clockText(intent.To))
	fmt.Fprintf(out, "archived  %s\n", clockText(intent.Through))
	fmt.Fprintf(out, "scope     %s\n", printable(intent.Scope.String()))
	j.showWriters(intent.Writers)
	for _, way := range intent.Ways {
		fmt.Fprintf(out, "%-9s %s: %s touched\n", way.Way, printable(way.NS.String()), counted(way.Touched, "record"))
	}
	for _, price := range intent.Catalog {
		fmt.Fprintf(out, "catalog   %s\n          (%s)\n", printable(price.Step), printable(price.Price))
	}
	if text := priceText(intent.Touched); text != "" {
		fmt.Fprintln(out, wrapped(fmt.Sprintf("%-9s ", touchedLabel(intent)), text, j.run.width))
	}
	fmt.Fprintln(out, wrapped("freeze    ", fmt.Sprintf("by %s: %s", intent.Detail.Way, printable(intent.Detail.WayReason)), j.run.width))
	if intent.Estimate > 0 {
		fmt.Fprintf(out, "time      about %s frozen\n", spanText(time.Duration(intent.Estimate*float64(time.Second))))
	}
	for _, refusal := range intent.Refused {
		fmt.Fprintf(out, "refused   %s; %s\n", printable(refusalText(refusal)), printable(refusal.Hint))
	}
}

// touchedLabel says what becomes of the changes that are counted: a restore reverses them, an undo makes them again.
func touchedLabel(intent restore.Intent) string {
	if intent.Kind == format.JobRewind {
		return "reverses"
	}
	return "records"
}

// refusalText says what stands in the way, and where when that is one namespace.
func refusalText(r restore.Refusal) string {
	if r.NS.IsZero() {
		return r.Reason
	}
	return r.NS.String() + ": " + r.Reason
}

// showWriters names those who can be writing, for a person who wants to stop the culprit first.
func (j *job) showWriters(writers []pitr.Writer) {
	const most = 5
	if shown := j.run.listWriters(writers, most); shown > 0 {
		fmt.Fprintln(j.run.err, "          stop whoever did the damage before you go on")
	}
}

// listWriters prints so many at most and says how many it printed.
func (run *session) listWriters(writers []pitr.Writer, most int) int {
	seen := map[pitr.Writer]bool{}
	for _, writer := range writers {
		if writer.User == "" && len(writers) > 1 {
			continue // a connection that has not logged in
		}
		writer.NS = ""
		if seen[writer] || len(seen) == most {
			continue
		}
		seen[writer] = true
		fmt.Fprintf(run.err, "writing   %s, application %s, from %s\n", printable(cmp.Or(writer.User, "nobody in particular")),
			printable(cmp.Or(writer.App, "unknown")), printable(writer.Host))
	}
	return len(seen)
}

// classOrder is the order in which classes are told to a person.
var classOrder = []pitr.Class{pitr.ClassCreated, pitr.ClassChanged, pitr.ClassDeleted, pitr.ClassCameAndWent,
	pitr.ClassUnchanged, pitr.ClassExpired}
