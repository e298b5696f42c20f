package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"

	"pitr/examples/mender"
)

const secondMark = "before v4.1.0-saas.17"

// damageAgain is the same release once more, after everybody thought that it was mended.
func (d *demo) damageAgain(ctx context.Context) error {
	d.server.live = d.story.Live(ctx, 150*time.Millisecond)
	if err := d.pitr(ctx, "mark", secondMark); err != nil {
		return err
	}
	var err error
	if d.before, err = d.story.Migrate(ctx); err != nil {
		return err
	}
	return d.story.Repair(ctx)
}

// playbook is the night with one command, which is killed when the restore begins to write, and resumed.
func (d *demo) playbook(ctx context.Context) error {
	to, err := d.candidate(ctx, secondMark)
	if err != nil {
		return err
	}
	transcript := filepath.Join(d.folder, "night.html")
	err = d.serveUntilFrozen(ctx, func() error {
		return d.killedAt(ctx, "write", "playbook", "run", "--go-on", "--to", to, "--confirm-target", clusterName, "--transcript", transcript)
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(d.out, "-- killed, with the write block standing and half of the documents written; the engineer goes on with it")
	run, err := d.lastRun(ctx)
	if err != nil {
		return err
	}
	if err := d.pitr(ctx, "playbook", "run", "--resume", run, "--go-on", "--to", to, "--confirm-target", clusterName, "--transcript", transcript); err != nil {
		return err
	}
	d.outcome.transcript = transcript
	return d.isBack(ctx)
}

// killedAt runs a command and kills it when its job announces a step.
func (d *demo) killedAt(ctx context.Context, step string, args ...string) error {
	fmt.Fprintf(d.out, "$ pitr %s\n", quoted(args))
	command := d.command(ctx, args)
	command.Stdout, command.Stderr = d.out, d.out
	if err := command.Start(); err != nil {
		return err
	}
	end := d.onStep(ctx, step, func() { _ = command.Process.Kill() })
	err := command.Wait()
	var ended *exec.ExitError
	if came := end(); !came || !errors.As(err, &ended) || ended.Exited() {
		return fmt.Errorf("pitr %s was to be killed at the step %q: %w", args[0], step, errors.Join(err, errors.New("it ended before")))
	}
	return nil
}

// lastRun names the newest run of a playbook.
func (d *demo) lastRun(ctx context.Context) (string, error) {
	content, err := d.quiet(ctx, "playbook", "show", "--json")
	if err != nil {
		return "", err
	}
	lines, err := readLines(content)
	if err != nil {
		return "", err
	}
	run := ""
	for _, l := range lines {
		if l.Run != "" {
			run = l.Run
		}
	}
	if run == "" {
		return "", errors.New("pitr playbook show lists no run")
	}
	return run, nil
}

// isBack holds every document against the model, and tries to enroll a duplicate.
func (d *demo) isBack(ctx context.Context) error {
	if err := d.compare(ctx, d.before); err != nil {
		return err
	}
	refuses, err := d.story.RefusesDuplicate(ctx, d.before)
	if err != nil {
		return err
	}
	if !refuses {
		return fmt.Errorf("the unique index %s is not back", mender.IdentityIndex)
	}
	fmt.Fprintln(d.out, "every document is byte for byte the one of the moment before, and duplicates are refused again")
	return nil
}
