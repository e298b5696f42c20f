package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// measureStart measures how long each command takes to say its first word, on either stream.
func measureStart(ctx context.Context, s settings) error {
	s.documents, s.collections = 100, 1
	on, err := startServer(ctx, s)
	if err != nil {
		return err
	}
	defer on.stop()
	p, err := newProgram(ctx, s, on)
	if err != nil {
		return err
	}
	defer p.close()
	if _, _, err := p.run(ctx, "snapshot", "take"); err != nil {
		return err
	}
	unreachable := *p
	// An address of the block for documentation: packets to it vanish.
	unreachable.server.Read = "mongodb://192.0.2.1:27017/?replicaSet=rs0"
	unreachable.server.Restore = unreachable.server.Read
	for _, each := range []struct {
		what string
		on   *program
		args string
	}{
		{"--help", p, "--help"}, {"snapshot list", p, "snapshot list"}, {"timeline", p, "timeline"}, {"find", p, "find"},
		{"snapshot take", p, "snapshot take"}, {"restore --dry-run", p, "restore --to now --dry-run"},
		{"snapshot take, server unreachable", &unreachable, "snapshot take --timeout 2s"},
		{"find, server unreachable", &unreachable, "find --timeout 2s"},
		{"restore, server unreachable", &unreachable, "restore --to now --dry-run --timeout 2s"},
		{"archive run, server unreachable", &unreachable, "archive run --timeout 2s"},
	} {
		var first []usage
		word := ""
		for range s.runs {
			said, after, err := firstWord(ctx, each.on, strings.Fields(each.args))
			if err != nil {
				return fmt.Errorf("%s: %w", each.what, err)
			}
			word = said
			first = append(first, usage{wall: after.Seconds()})
		}
		say(each.what, "%4.0f ms to the first word, which is %q", median(first).wall*1e3, word)
	}
	return nil
}

// firstWord runs a command until it says something.
func firstWord(ctx context.Context, p *program, args []string) (string, time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	command, err := p.command(ctx, args)
	if err != nil {
		return "", 0, err
	}
	ear := &ear{heard: make(chan struct{})}
	command.Stdout, command.Stderr = ear, ear
	began := time.Now()
	if err := command.Start(); err != nil {
		return "", 0, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err = command.Wait()
	}()
	spoke := false
	select {
	case <-ear.heard:
		spoke = true
	case <-ended:
	}
	after := time.Since(began)
	cancel()
	<-ended
	var exit *exec.ExitError
	if err != nil && !spoke && !errors.As(err, &exit) {
		return "", 0, err
	}
	word, _, _ := strings.Cut(strings.TrimSpace(ear.text()), "\n")
	return word, after, nil
}

// ear notes when something is said.
type ear struct {
	heard chan struct{}
	mu    sync.Mutex
	said  bytes.Buffer
}

func (e *ear) Write(content []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.said.Len() == 0 && len(content) > 0 {
		close(e.heard)
	}
	return e.said.Write(content)
}

func (e *ear) text() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.said.String()
}
