package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"pitr/internal/replsim"
)

// fitsTerminal holds what was said at a terminal to its 80 columns. A path and a command to copy are never broken.
func fitsTerminal(t *testing.T, said string) {
	t.Helper()
	for line := range strings.Lines(said) {
		line = strings.TrimRight(line, "\n")
		if len([]rune(line)) > 80 && strings.Contains(strings.TrimSpace(line), " ") && !strings.Contains(line, os.TempDir()) {
			t.Errorf("a line of %d columns: %q", len([]rune(line)), line)
		}
	}
}

// TestScreensOfSingleCommands goes the way of somebody who restores by single commands: everything fits the terminal, each
// screen leads to the next command, and nothing speaks of one thing in the plural.
func TestScreensOfSingleCommands(t *testing.T) {
	t.Parallel()
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	folder := t.TempDir()
	name := answer{"Type the name of the cluster", clusterName}
	screen := func(want string, answers []answer, args ...string) string {
		t.Helper()
		got := s.with(&person{answers: answers}, args...)
		if got.code != exitDone || !strings.Contains(got.out, want) {
			t.Fatalf("%v ends with %d and does not say %q:\n%s", args, got.code, want, got.out)
		}
		fitsTerminal(t, strings.ReplaceAll(got.out, name.question+" to go on: ", name.question+" to go on:\n")) // the person types the end of that line
		if one := regexp.MustCompile(`\b1 (records|things|more collections|duplicates|groups)\b`).FindString(strings.ReplaceAll(got.out, ",1 ", "")); one != "" {
			t.Errorf("%v says %q", args, one)
		}
		return got.out
	}
	screen("next: pitr restore --to", nil, "find")
	screen("nothing was written", nil, "restore", "--to", s.toGood(), "--dry-run")
	said := screen("takes it all back", []answer{name}, "restore", "--to", s.toGood())
	job := regexp.MustCompile(`job (\S+) is done`).FindStringSubmatch(said)[1]
	if want := "next: pitr report " + job + " --html lost.html\n      for the people who know the data\n      pitr undo " + job; !strings.Contains(said, want) {
		t.Errorf("no %q in:\n%s", want, said)
	}
	screen("--html lost.html", nil, "report", job, "--summary")
	screen("in a browser, it needs nothing else", nil, "report", job, "--html", filepath.Join(folder, "lost.html"))
	screen("pitr reconcile import", nil, "reconcile", "plan", job, "--review", filepath.Join(folder, "lost.xlsx"))
	screen("dry run", nil, "undo", job, "--dry-run")
	screen("left alone", []answer{name}, "undo", job)
	screen("done, undone", nil, "jobs")
}

// TestCtrlCAtAPrompt: a person who is asked can stop, without a line to end the question first. // case C06
func TestCtrlCAtAPrompt(t *testing.T) {
	t.Parallel()
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	p := &person{t: t, answers: []answer{{"Type the name of the cluster", clusterName}}, waits: make(chan struct{}), thinks: make(chan struct{})}
	defer close(p.thinks)
	ctx, stop := context.WithCancelCause(t.Context())
	asked := p.waits
	go func() {
		<-asked
		stop(&signalError{os.Interrupt})
	}()
	code := run(ctx, s.arguments([]string{"restore", "--to", s.toGood()}), streams{in: p, out: p, err: p, interactive: true, width: 80, env: os.Getenv, now: time.Now})
	if code != exitInterrupted {
		t.Errorf("it ends with %d:\n%s", code, p.said())
	}
	for _, want := range []string{"Ctrl-C", "before anything was written", "next:"} {
		if !strings.Contains(p.said(), want) {
			t.Errorf("nobody was told of %q:\n%s", want, p.said())
		}
	}
	if writes := s.writes(); len(writes) > 0 || s.blockedNow() {
		t.Errorf("it wrote to the cluster: %v", writes)
	}
}
