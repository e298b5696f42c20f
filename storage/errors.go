package storage

import (
	"context"
	"errors"
	"fmt"

	"pitr"
)

var (
	// ErrExists says that Create found its name taken.
	ErrExists = errors.New("an object of this name exists")
	// ErrNotFound says that there is no object of this name.
	ErrNotFound = errors.New("no such object")
)

// Exists is the error of a Create whose name is taken; for implementations of Store.
func Exists(name string) error {
	return pitr.Errorf(pitr.KindConflict, "create "+name, "", "%w", ErrExists)
}

// NotFound is the error of a call whose object is missing; op is a verb such as "read". For implementations of Store.
func NotFound(op, name string) error {
	return pitr.Errorf(pitr.KindNotFound, op+" "+name, "", "%w", ErrNotFound)
}

// Ended is the error of a call that stopped because its context ended, nil while the context lives. Both the context's error
// and its cause are in the chain. For implementations of Store.
func Ended(ctx context.Context, op, name string) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	switch {
	case err == nil:
		return nil
	case errors.Is(cause, err):
		return fmt.Errorf("%s %s: %w", op, name, cause)
	}
	return fmt.Errorf("%s %s: %w (%w)", op, name, cause, err)
}

// checkSize refuses what is too large to be an object.
func checkSize(name string, size int64) error {
	if size <= MaxObject {
		return nil
	}
	return pitr.Errorf(pitr.KindLimit, "create "+name, "", "%d bytes; an object has at most %d", size, MaxObject)
}

// Span resolves a Read's offset and n against the size of an object: it gives the number of bytes to read, or the error of a
// range that is not wholly inside. For implementations of Store.
func Span(name string, size, offset, n int64) (int64, error) {
	op := "read " + name
	switch {
	case offset < 0:
		return 0, pitr.Errorf(pitr.KindInvalid, op, "", "offset %d is negative", offset)
	case size > MaxObject:
		return 0, pitr.Corruptf(op, "%d bytes; an object has at most %d", size, MaxObject)
	case offset > size:
		return 0, pitr.Corruptf(op, "no byte %d in an object of %d bytes", offset, size)
	case n > size-offset:
		return 0, pitr.Corruptf(op, "no %d bytes at %d in an object of %d bytes", n, offset, size)
	case n < 0:
		return size - offset, nil
	}
	return n, nil
}
