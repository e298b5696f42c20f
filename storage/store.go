package storage

import (
	"context"
	"iter"
	"time"
)

// MaxObject is the size of the largest object in bytes. Every object fits in memory and every write is one request.
const MaxObject = 64 << 20

// Object is what a store knows about an object without reading it.
type Object struct {
	Name string
	Size int64
	// Modified is when the object was created, by the clock of the store.
	Modified time.Time
	// SHA256 is the digest in lower-case hex that the store keeps beside the object, "" where it keeps none. It repeats
	// what the creator sent; a listing leaves it out where it would cost a request per object.
	SHA256 string
}

// Store keeps immutable objects under names. Implementations are safe for use by several goroutines and several processes.
//
// Durability: when Create returns nil, the object survives a crash and a power cut. The same holds for the object that made
// Create return ErrExists, and a Delete that returned nil stays done.
//
// Atomicity: an object is there whole or not at all; nobody sees a part of one. Of several creates of one name, in whatever
// processes, exactly one returns nil and its bytes are the object.
//
// Order: what one call has created, every later call finds, also List; what one call has deleted, no later call finds.
//
// Failure: a call that fails has changed nothing, except that a Create or Delete that failed otherwise than with one of the
// errors below may have been done (its answer was lost). A context that ends is the cause in the error's chain.
//
// Names obey CheckName, and no name is a folder of another: where "a/b" exists there is no "a". Other names are refused with
// pitr.KindInvalid before anything is done.
//
// Errors carry a pitr.Kind:
//
//	conflict    and errors.Is ErrExists: the name is taken
//	notfound    and errors.Is ErrNotFound: no such object; without it: no such folder or bucket
//	corrupt     the object is not what it can be: shorter than the range asked for, larger than MaxObject
//	denied      the store knows us and says no, or does not know us
//	limit       no room: disk, quota, size of the object
//	refused     what lies under the name is no object, for instance a symbolic link
//	unavailable everything that may pass; if Transient says so, the same call is worth repeating
type Store interface {
	// Create stores data under a name that is free. It keeps no reference to data.
	Create(ctx context.Context, name string, data []byte) error
	// Read gives n bytes from offset, or all bytes from offset on if n is negative. A range that does not lie wholly in
	// the object is an error, never a shorter answer.
	Read(ctx context.Context, name string, offset, n int64) ([]byte, error)
	// Stat tells what the store knows about an object.
	Stat(ctx context.Context, name string) (Object, error)
	// List yields the objects whose names begin with prefix and are greater than after, in ascending byte order of their
	// names. Both may be empty, and neither needs to end at a slash. It ends after the first error. An object created or
	// deleted while the listing runs may or may not be in it. Names come as they lie there, also those that CheckName
	// refuses: who lists finds strangers too.
	List(ctx context.Context, prefix, after string) iter.Seq2[Object, error]
	// Delete removes an object; one that is not there is ErrNotFound.
	Delete(ctx context.Context, name string) error
}
