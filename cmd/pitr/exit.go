package main

import (
	"context"
	"errors"
	"os"
	"syscall"

	"pitr"
)

// Exit codes; docs/cli.md carries the same table and a test compares them. Codes 10 to 18 promise that nothing was written
// to a cluster. A Go panic ends with 2, so 2 stays free.
const (
	exitDone        = 0
	exitUnexpected  = 1
	exitPartial     = 3
	exitNotFound    = 10
	exitLocked      = 11
	exitDenied      = 12
	exitCorrupt     = 13
	exitHole        = 14
	exitRefused     = 15
	exitUnavailable = 16
	exitMismatch    = 17
	exitLimit       = 18
	exitDifferent   = 20
	exitHalfway     = 30
	exitUsage       = 64
	exitInterrupted = 130
	exitTerminated  = 143
)

var exitCodes = map[pitr.Kind]int{
	pitr.KindUnexpected:  exitUnexpected,
	pitr.KindInvalid:     exitUsage,
	pitr.KindNotFound:    exitNotFound,
	pitr.KindHole:        exitHole,
	pitr.KindCorrupt:     exitCorrupt,
	pitr.KindConflict:    exitRefused,
	pitr.KindMismatch:    exitMismatch,
	pitr.KindLocked:      exitLocked,
	pitr.KindDenied:      exitDenied,
	pitr.KindUnavailable: exitUnavailable,
	pitr.KindUnsupported: exitRefused,
	pitr.KindRefused:     exitRefused,
	pitr.KindLimit:       exitLimit,
	pitr.KindPartial:     exitPartial,
	pitr.KindHalfway:     exitHalfway,
	pitr.KindInterrupted: exitInterrupted,
}

// exitCode turns the outcome of a run into a code. A signal counts only while nothing was written: after the first write
// the job itself says halfway, and that stands.
func exitCode(ctx context.Context, err error) int {
	if err == nil {
		return exitDone
	}
	if errors.Is(err, errDifferent) {
		return exitDifferent
	}
	kind := pitr.KindOf(err)
	if kind == pitr.KindHalfway || kind == pitr.KindPartial {
		return exitCodes[kind]
	}
	var stopped *signalError
	if errors.As(context.Cause(ctx), &stopped) {
		return signalCode(stopped.signal)
	}
	code, known := exitCodes[kind]
	if !known {
		return exitUnexpected
	}
	return code
}

// errDifferent ends a comparison that found differences and was asked to say so by its exit code.
var errDifferent = errors.New("differences were found")

func signalCode(s os.Signal) int {
	if s == syscall.SIGTERM {
		return exitTerminated
	}
	return exitInterrupted
}
