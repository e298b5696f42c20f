package storage

import "errors"

// transient marks an error that may pass.
type transient struct {
	error
	slow bool
}

func (t *transient) Unwrap() error { return t.error }

// Transient marks an error after which the same call is worth repeating; for implementations of Store.
func Transient(err error) error { return &transient{error: err} }

// SlowDown marks a transient error with which the store asks all callers, not just this one, to come less often.
func SlowDown(err error) error { return &transient{error: err, slow: true} }

// IsTransient reports whether the same call is worth repeating.
func IsTransient(err error) bool {
	_, found := errors.AsType[*transient](err)
	return found
}
