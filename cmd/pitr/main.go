// Command pitr brings a MongoDB replica set back to a moment before damage, keeps the damaged state as evidence, and shows
// which records of the gap were lost. Each command has a file of its own: a constructor for its flags, and a function that
// wires the packages which do the work and prints what they return.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"
	_ "time/tzdata" // zones by name on machines without a zone database

	"golang.org/x/term"
)

// version is set by the linker.
var version = "devel"

// memoryAim is what a run tries to stay below: the collector works harder near it, and what a job holds is bounded apart from it.
const memoryAim = 480 << 20

func main() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryAim)
	}
	os.Exit(runProcess())
}

// runProcess runs the program on the process's own streams. The first signal cancels the run, the second ends it at once.
func runProcess() int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		cancel(&signalError{signal: <-signals})
		second := <-signals
		os.Exit(signalCode(second))
	}()
	return run(ctx, os.Args, processStreams())
}

// streams are what a run reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
	// interactive says that a person can be asked: input and talk are a terminal.
	interactive bool
	// terminal says that somebody may be reading the talk as it comes.
	terminal bool
	// fancy says that colour and moving lines are welcome on the talk stream.
	fancy bool
	// width is that of the terminal on the talk stream in columns, zero where there is none: then nothing is wrapped.
	width int
	env   func(string) string
	// inherit is the session of the playbook that runs a command as one of its steps; nil for a command of its own.
	inherit *session
	now     func() time.Time
}

func processStreams() streams {
	talk := int(os.Stderr.Fd())
	s := streams{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv, now: time.Now}
	onTerminal := term.IsTerminal(talk)
	s.terminal = onTerminal
	s.interactive = onTerminal && term.IsTerminal(int(os.Stdin.Fd()))
	s.fancy = onTerminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	if width, _, err := term.GetSize(talk); err == nil && width > 0 {
		s.width = width
	}
	return s
}

// signalError is the cause of a cancelled run that a signal stopped.
type signalError struct{ signal os.Signal }

func (e *signalError) Error() string { return fmt.Sprintf("stopped by %s", e.signal) }
