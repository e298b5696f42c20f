package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// usage is what a process has cost.
type usage struct {
	// wall and cpu are seconds; cpu is user and system together.
	wall, cpu float64
	// peak is the largest resident size in bytes.
	peak int64
}

// gauged makes a command whose cost can be read. It runs under a small process of ours: the system counts the memory of the
// process that starts another one into the peak of that one.
func gauged(ctx context.Context, path string, args ...string) (*gauge, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	g := &gauge{Cmd: exec.CommandContext(ctx, self, append([]string{"-gauge", path}, args...)...)}
	g.Cancel = func() error { return g.Process.Signal(syscall.SIGTERM) }
	var end *os.File
	if g.reading, end, err = os.Pipe(); err != nil {
		return nil, err
	}
	g.ExtraFiles = []*os.File{end}
	return g, nil
}

type gauge struct {
	*exec.Cmd
	reading *os.File
}

// cost gives what the command has cost, once it has ended.
func (g *gauge) cost() (usage, error) {
	var read struct {
		Wall, CPU float64
		Peak      int64
	}
	err := errors.Join(g.ExtraFiles[0].Close(), json.NewDecoder(g.reading).Decode(&read), g.reading.Close())
	return usage{wall: read.Wall, cpu: read.CPU, peak: read.Peak}, err
}

// runGauge is the small process: it runs the command that its arguments name on its own streams and passes signals on.
func runGauge(args []string) (int, error) {
	command := exec.Command(args[0], args[1:]...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	began := time.Now()
	if err := command.Start(); err != nil {
		return 0, err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	go func() {
		for each := range signals {
			_ = command.Process.Signal(each)
		}
	}()
	var failed *exec.ExitError
	if err := command.Wait(); err != nil && !errors.As(err, &failed) {
		return 0, err
	}
	state := command.ProcessState
	peak := int64(0)
	if resources, ok := state.SysUsage().(*syscall.Rusage); ok {
		peak = resources.Maxrss << 10
	}
	return state.ExitCode(), json.NewEncoder(os.NewFile(3, "cost")).Encode(map[string]any{"wall": time.Since(began).Seconds(),
		"cpu": (state.UserTime() + state.SystemTime()).Seconds(), "peak": peak})
}

// ownUsage gives what this process has cost so far.
func ownUsage() usage {
	var resources syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &resources); err != nil {
		return usage{}
	}
	return usage{cpu: float64(resources.Utime.Nano()+resources.Stime.Nano()) / 1e9, peak: resources.Maxrss << 10}
}

func (u usage) String() string {
	return fmt.Sprintf("%6.2f s wall, %6.2f CPU-s, %4d MiB", u.wall, u.cpu, u.peak>>20)
}

// median gives the middle one of several runs by each measure.
func median(list []usage) usage {
	by := func(value func(usage) float64) float64 {
		values := make([]float64, 0, len(list))
		for _, u := range list {
			values = append(values, value(u))
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	return usage{wall: by(func(u usage) float64 { return u.wall }), cpu: by(func(u usage) float64 { return u.cpu }),
		peak: int64(by(func(u usage) float64 { return float64(u.peak) }))}
}

// say prints one line of a result, and how busy the machine is: wall times of a busy machine mean little.
func say(what, format string, values ...any) {
	fmt.Printf("%-34s %s   load %s\n", what, fmt.Sprintf(format, values...), load())
}

func load() string {
	content, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "?"
	}
	first, _, _ := strings.Cut(string(content), " ")
	return first
}
