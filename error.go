package pitr

import (
	"errors"
	"fmt"
)

// Kind says what sort of failure an error is; the command line turns it into an exit code.
type Kind string

// The kinds of failure.
const (
	// KindUnexpected is what has no kind: a defect, or a failure nobody classified.
	KindUnexpected Kind = ""
	// KindInvalid is wrong usage or configuration.
	KindInvalid Kind = "invalid"
	// KindNotFound is a repository, snapshot, job, mark or document that is not there.
	KindNotFound Kind = "notfound"
	// KindHole is a moment that cannot be reached: outside the window, across a hole, inside a job.
	KindHole Kind = "hole"
	// KindCorrupt is stored bytes that are not what was written.
	KindCorrupt Kind = "corrupt"
	// KindConflict is a name that exists already, or state that changed under the run.
	KindConflict Kind = "conflict"
	// KindMismatch is a check that found another state than was promised.
	KindMismatch Kind = "mismatch"
	// KindLocked is a lease that another run holds.
	KindLocked Kind = "locked"
	// KindDenied is a login, key or right that was refused.
	KindDenied Kind = "denied"
	// KindUnavailable is a store or database that could not be reached within the budget.
	KindUnavailable Kind = "unavailable"
	// KindUnsupported is something that pitr understands well enough to leave alone.
	KindUnsupported Kind = "unsupported"
	// KindRefused is a guard that said no.
	KindRefused Kind = "refused"
	// KindLimit is a limit of disk, memory or size.
	KindLimit Kind = "limit"
	// KindPartial is a finished run that left items out and lists them.
	KindPartial Kind = "partial"
	// KindHalfway is a run that stopped after its first write to a cluster.
	KindHalfway Kind = "halfway"
	// KindInterrupted is a run that a person or the system stopped.
	KindInterrupted Kind = "interrupted"
)

// Error is a failure with what a caller needs to act: its kind, what was being done, and what to do next.
type Error struct {
	Kind Kind
	// Op is a verb phrase without pitr's name, such as "read the manifest of 20251022T092001Z-k3f9q2".
	Op string
	// Hint is one sentence for a person: the next command, or the choice to make.
	Hint string
	Err  error
}

// Error joins operation and cause; the hint is left to the printer.
func (e *Error) Error() string {
	switch {
	case e.Op == "" && e.Err == nil:
		return string(e.Kind)
	case e.Op == "":
		return e.Err.Error()
	case e.Err == nil:
		return e.Op
	}
	return e.Op + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an error of a kind; op may be empty, the format may use %w.
func Errorf(kind Kind, op, hint, format string, args ...any) error {
	return &Error{Kind: kind, Op: op, Hint: hint, Err: fmt.Errorf(format, args...)}
}

// Refusef makes the error of a guard that said no; the hint names the way out.
func Refusef(op, hint, format string, args ...any) error {
	return Errorf(KindRefused, op, hint, format, args...)
}

// Corruptf makes the error of stored bytes that are not what was written.
func Corruptf(op, format string, args ...any) error {
	return Errorf(KindCorrupt, op, "run `pitr verify` to see what else is damaged", format, args...)
}

// KindOf gives the kind of the outermost error in the chain that has one.
func KindOf(err error) Kind {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return KindUnexpected
		}
		if e.Kind != KindUnexpected {
			return e.Kind
		}
		err = e.Err
	}
	return KindUnexpected
}

// HintOf gives the first hint in the chain.
func HintOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}
