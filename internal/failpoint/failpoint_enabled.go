//go:build failpoint

// Package failpoint gives tests named places where a run can be killed. Without the build tag failpoint, Hit does nothing
// and costs nothing; with it, the environment variable PITR_FAILPOINT names the place where the process kills itself.
package failpoint

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Enabled reports whether the program was built with the tag.
const Enabled = true

var passed atomic.Int64

// Hit marks a place. The process ends there by SIGKILL, as a crash would, when PITR_FAILPOINT is the name, or
// name*n for the n-th time that the place is passed. With trace=FILE nobody is killed: the names of the places that are
// passed go to the file, one a line, so that a test knows where it can kill.
func Hit(name string) {
	if file, tracing := strings.CutPrefix(os.Getenv("PITR_FAILPOINT"), "trace="); tracing {
		trace(file, name)
		return
	}
	wanted, times, counted := strings.Cut(os.Getenv("PITR_FAILPOINT"), "*")
	if wanted != name {
		return
	}
	if counted {
		n, err := strconv.ParseInt(times, 10, 64)
		if err != nil || passed.Add(1) != n {
			return
		}
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // cannot fail for our own process
	select {}
}

// trace writes a line in one piece, so that places passed at the same time do not mix.
func trace(file, name string) {
	to, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		panic(err) // the test that asked for the trace named a file that cannot be
	}
	_, err = to.WriteString(name + "\n")
	if err = errors.Join(err, to.Close()); err != nil {
		panic(err)
	}
}

// During marks the time until the function that it returns is called: the process ends some milliseconds after it began,
// or when it is over, whichever comes first.
func During(name string) func() {
	timer := time.AfterFunc(20*time.Millisecond, func() { Hit(name) })
	return func() {
		if timer.Stop() {
			Hit(name)
		}
	}
}
