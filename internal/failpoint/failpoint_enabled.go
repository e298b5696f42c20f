//go:build failpoint

// Package failpoint gives tests named places where a run can be killed. Without the build tag failpoint, Hit does nothing
// and costs nothing; with it, the environment variable PITR_FAILPOINT names the place where the process kills itself.
package failpoint

import (
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
// name*n for the n-th time that the place is passed.
func Hit(name string) {
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
