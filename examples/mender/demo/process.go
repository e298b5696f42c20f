package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// pitr runs one command of the program, echoes it and shows what it says.
func (d *demo) pitr(ctx context.Context, args ...string) error {
	fmt.Fprintf(d.out, "$ pitr %s\n", quoted(args))
	command := d.command(ctx, args)
	command.Stdout, command.Stderr = d.out, d.out
	if err := command.Run(); err != nil {
		return fmt.Errorf("pitr %s: %w", quoted(args), err)
	}
	return nil
}

// quiet runs one command without showing it, for the lines that only a program reads.
func (d *demo) quiet(ctx context.Context, args ...string) ([]byte, error) {
	var talk bytes.Buffer
	command := d.command(ctx, args)
	command.Stderr = &talk
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("pitr %s: %w\n%s%s", quoted(args), err, out, talk.String())
	}
	return out, nil
}

func (d *demo) command(ctx context.Context, args []string) *exec.Cmd {
	command := exec.CommandContext(ctx, d.program, args...) //nolint:gosec // the program under demonstration
	command.Dir = d.folder
	command.Env = append(os.Environ(), "PITR_REPO=file://"+d.folder+"/repository",
		"PITR_URI="+d.server.read, "PITR_RESTORE_URI="+d.server.restore, "PITR_REDACT=tokens.jwt")
	return command
}

// process is a command in the background.
type process struct {
	command *exec.Cmd
	// done is closed when the process has ended, however that was.
	done chan struct{}
}

func (d *demo) background(ctx context.Context, args ...string) (*process, error) {
	fmt.Fprintf(d.out, "$ pitr %s &\n", quoted(args))
	p := &process{command: d.command(ctx, args), done: make(chan struct{})}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.done)
		_ = p.command.Wait()
	}()
	return p, nil
}

// stop asks the process to end, and ends it when it does not.
func (p *process) stop() {
	if p.command.Process.Signal(syscall.SIGTERM) != nil {
		return
	}
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		_ = p.command.Process.Kill()
	}
}

func quoted(args []string) string {
	words := make([]string, len(args))
	for i, arg := range args {
		words[i] = arg
		if strings.ContainsAny(arg, " :") {
			words[i] = fmt.Sprintf("%q", arg)
		}
	}
	return strings.Join(words, " ")
}
