// Command demo plays the incident of package mender on a server of its own, with pitr as the on-call engineer would use it:
// every pitr command is the real program, run as a process and echoed. At the end it holds the restored database and the
// lost set against the generator's own model and fails if one document differs.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"pitr/examples/mender"
)

func main() {
	program := flag.String("pitr", "bin/pitr", "the program under demonstration")
	keep := flag.String("keep", "", "folder for repository and page (default: a temporary folder)")
	seed := flag.Uint64("seed", 20251022, "seed of the data")
	serve := flag.Bool("serve", false, "only start the server with the data and print its connection strings, for trying pitr by hand")
	small := flag.Bool("small", false, "use the size of the tests")
	flag.Parse()
	size := mender.DemoSize
	if *small {
		size = mender.TestSize
	}
	d := &demo{out: os.Stdout, program: *program, folder: *keep, seed: *seed, size: size, started: time.Now()}
	play := d.run
	if *serve {
		play = d.serve
	}
	if err := play(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// demo is one run; its methods are the acts in order.
type demo struct {
	out     io.Writer
	program string
	folder  string
	seed    uint64
	size    mender.Sizes
	started time.Time

	server  server
	app     *mongo.Client
	story   *mender.Story
	archive *process
	// before is the model's moment to go back to, end the one of the damaged state.
	before, end mender.Moment
	job         string
	// back are the documents that the data team has put back.
	back    map[string][]bson.Raw
	outcome outcome
}

const (
	clusterName = "devices-eu"
	firstMark   = "before v4.1.0-saas.16"
)

func (d *demo) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if err := d.prepareFolder(); err != nil {
		return err
	}
	for _, act := range []struct {
		title string
		do    func(context.Context) error
	}{
		{"A server with users that hold just the documented rights", d.startServer},
		{"The database before the incident", d.prepareData},
		{"What runs every day: a snapshot, and the archive of the oplog", d.protect},
		{"The release: a unique index is dropped, and good enrollments go on", d.damage},
		{"On call: what broke, and when?", d.find},
		{"On call: export, freeze, restore, verify", d.restore},
		{"Is everything back? (the generator's own model decides)", d.isBack},
		{"What was lost? (the generator's own model decides)", d.checkLostSet},
		{"Life goes on", d.lifeGoesOn},
		{"The data team decides, in a spreadsheet", d.review},
		{"The data team puts records back", d.putBack},
		{"The data team changes its mind", d.changeTheirMind},
		{"The same release once more", d.damageAgain},
		{"On call: one command, killed half-way, and resumed", d.playbook},
	} {
		fmt.Fprintf(d.out, "\n== %s\n", act.title)
		if err := act.do(ctx); err != nil {
			d.stop(context.WithoutCancel(ctx))
			return fmt.Errorf("%s: %w", act.title, err)
		}
	}
	d.stop(context.WithoutCancel(ctx))
	d.printNumbers()
	return nil
}

// serve keeps a server with the data up until it is interrupted.
func (d *demo) serve(ctx context.Context) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := d.startServer(ctx); err != nil {
		return err
	}
	if err := d.prepareData(ctx); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "export PITR_URI='%s'\nexport PITR_RESTORE_URI='%s'\n# the application: %s\n", d.server.read, d.server.restore, d.server.app)
	d.server.live = d.story.Live(ctx, 150*time.Millisecond)
	<-ctx.Done()
	d.stop(context.WithoutCancel(ctx))
	return nil
}

func (d *demo) prepareFolder() (err error) {
	if d.program, err = filepath.Abs(d.program); err != nil {
		return err
	}
	if d.folder == "" {
		d.folder, err = os.MkdirTemp("", "pitr-demo-")
		return err
	}
	if err = os.MkdirAll(d.folder, 0o700); err != nil {
		return err
	}
	d.folder, err = filepath.Abs(d.folder)
	return err
}

func (d *demo) startServer(ctx context.Context) error {
	started, err := startServer(ctx)
	if err != nil {
		return err
	}
	d.server = started
	fmt.Fprintf(d.out, "server: %s\n", started.kind)
	d.app, err = mongo.Connect(options.Client().ApplyURI(started.app).SetAppName("deviceauth"))
	return err
}

func (d *demo) prepareData(ctx context.Context) error {
	d.story = mender.New(d.app, d.seed, d.size)
	if err := d.story.Prepare(ctx); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "%d devices of %d tenants, with auth sets, tokens and enrollments\n", d.size.Devices, d.size.Tenants)
	return nil
}

func (d *demo) protect(ctx context.Context) error {
	for _, args := range [][]string{{"init", "--cluster-name", clusterName}, {"snapshot", "take"}} {
		if err := d.pitr(ctx, args...); err != nil {
			return err
		}
	}
	var err error
	d.archive, err = d.background(ctx, "archive", "run")
	return err
}

// damage is the release, with live clients before, during and after it.
func (d *demo) damage(ctx context.Context) error {
	live := d.story.Live(ctx, 150*time.Millisecond)
	time.Sleep(time.Second)
	if err := d.pitr(ctx, "mark", firstMark); err != nil {
		return err
	}
	var err error
	if d.before, err = d.story.Migrate(ctx); err != nil {
		return err
	}
	if err := d.story.Repair(ctx); err != nil {
		return err
	}
	fmt.Fprintln(d.out, "the migration failed on duplicates; an operator deleted some, now and then the good one")
	// The clients go on until the restore blocks them; they are collected when it has ended.
	d.server.live = live
	return nil
}

func (d *demo) find(ctx context.Context) error {
	if err := d.pitr(ctx, "find", "--since", "mark:"+firstMark); err != nil {
		return err
	}
	candidate, err := d.candidate(ctx, firstMark)
	if err != nil {
		return err
	}
	d.outcome.to = candidate
	fmt.Fprintf(d.out, "the engineer picks the moment just before the index was dropped: %s\n", candidate)
	return nil
}

func (d *demo) restore(ctx context.Context) error {
	err := d.serveUntilFrozen(ctx, func() error { return d.pitr(ctx, "restore", "--to", d.outcome.to, "--confirm-target", clusterName) })
	if err != nil {
		return err
	}
	d.end = d.story.Model().Now()
	return d.readResult(ctx)
}

func (d *demo) stop(ctx context.Context) {
	if err := d.stopClients(); err != nil {
		fmt.Fprintln(d.out, "live clients:", err)
	}
	if d.archive != nil {
		d.archive.stop()
	}
	if d.app != nil {
		if err := d.app.Disconnect(ctx); err != nil {
			fmt.Fprintln(d.out, "disconnect:", err)
		}
	}
	if d.server.close != nil {
		d.server.close()
	}
}

// outcome is what the demo reads from pitr's JSON lines.
type outcome struct {
	to         string
	page       string
	transcript string
	touched    int64
	restored   int64
	lost       int64
	groups     int64
	back       int
	frozen     float64
}

func (d *demo) printNumbers() {
	fmt.Fprintf(d.out, "\nrecords touched %d, restored %d, lost %d, groups of duplicates %d, put back %d, seconds frozen %.1f, seconds in all %.0f\n",
		d.outcome.touched, d.outcome.restored, d.outcome.lost, d.outcome.groups, d.outcome.back, d.outcome.frozen, time.Since(d.started).Seconds())
	fmt.Fprintf(d.out, "the page for the people who know the data: %s\n", d.outcome.page)
	fmt.Fprintf(d.out, "what was done in the second night: %s\n", d.outcome.transcript)
}
