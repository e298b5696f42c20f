package catalog

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"iter"
	"log/slog"
	"time"

	"pitr"
	"pitr/format"
	"pitr/internal/failpoint"
	"pitr/storage"
)

// Repository is a folder or bucket prefix that belongs to one cluster. It is safe for use by several goroutines.
type Repository struct {
	store  storage.Store
	header format.Header
	options
}

// options are what Create and Open share.
type options struct {
	now    func() time.Time
	random io.Reader
	log    *slog.Logger
}

// OpenOptions are the surroundings of a repository; the zero value is good.
type OpenOptions struct {
	// Now is the wall clock, Random the source of ids.
	Now    func() time.Time
	Random io.Reader
	// Log hears what an operator wants to know afterwards, such as a read that had to be repeated.
	Log *slog.Logger
}

func (o OpenOptions) resolve() options {
	if o.Now == nil {
		o.Now = time.Now //nolint:forbidigo // the default of a clock that is handed in
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return options{now: o.Now, random: o.Random, log: o.Log}
}

// Header gives what pitr.json says.
func (r *Repository) Header() format.Header { return r.header }

// ClusterName gives the name that a person gave the cluster; a person types it before anything is written there.
func (r *Repository) ClusterName() string { return r.header.ClusterName }

// NewID makes an id for a snapshot, job, branch, mark or hold that begins now.
func (r *Repository) NewID() (format.ID, error) { return format.NewID(r.now(), r.random) }

// Now is the wall clock of the repository.
func (r *Repository) Now() time.Time { return r.now() }

// Put creates an object and confirms by a stat that it lies there whole. An object of this name with the same bytes counts
// as created by us: our reply was lost. One with other bytes is an error of kind conflict.
func (r *Repository) Put(ctx context.Context, name format.Name, data []byte) error {
	failpoint.Hit("put.before." + string(name.Kind()))
	err := r.store.Create(ctx, name.String(), data)
	if err == nil {
		failpoint.Hit("put.after." + string(name.Kind()))
		return r.confirm(ctx, name, data)
	}
	if !errors.Is(err, storage.ErrExists) {
		return err
	}
	stored, readErr := r.store.Read(ctx, name.String(), 0, -1)
	if readErr != nil {
		return readErr
	}
	if !bytes.Equal(stored, data) {
		return err
	}
	return nil
}

func (r *Repository) confirm(ctx context.Context, name format.Name, data []byte) error {
	object, err := r.store.Stat(ctx, name.String())
	switch {
	case err != nil:
		return pitr.Errorf(pitr.KindOf(err), "confirm "+name.String(), "", "%w", err)
	case object.Size != int64(len(data)):
		return pitr.Corruptf("confirm "+name.String(), "the store kept %d bytes of %d", object.Size, len(data))
	case object.SHA256 != "" && object.SHA256 != format.Sum(data).String():
		return pitr.Corruptf("confirm "+name.String(), "the store says that it kept other bytes")
	}
	return nil
}

// PutAndRead is Put and then a read of the whole object, which must be what was put. Whatever others will rely on without
// looking (segments, manifests, change sets) is put this way.
func (r *Repository) PutAndRead(ctx context.Context, name format.Name, data []byte) error {
	if err := r.Put(ctx, name, data); err != nil {
		return err
	}
	stored, err := r.store.Read(ctx, name.String(), 0, -1)
	if err != nil {
		return pitr.Errorf(pitr.KindOf(err), "read back "+name.String(), "", "%w", err)
	}
	if !bytes.Equal(stored, data) {
		return pitr.Corruptf("read back "+name.String(), "the store returns other bytes than it was given")
	}
	return nil
}

// Get reads a whole object whose bytes say for themselves whether they are right (see format).
func (r *Repository) Get(ctx context.Context, name format.Name) ([]byte, error) {
	return r.store.Read(ctx, name.String(), 0, -1)
}

// GetRange reads n bytes from offset, or all from there if n is negative.
func (r *Repository) GetRange(ctx context.Context, name format.Name, offset, n int64) ([]byte, error) {
	return r.store.Read(ctx, name.String(), offset, n)
}

// attempts is how often bytes that do not fit their digest are read before the object counts as damaged: a path to a store
// damages more than a store does.
const attempts = 3

// GetSum reads a whole object that must have this digest.
func (r *Repository) GetSum(ctx context.Context, name format.Name, digest format.Digest) ([]byte, error) {
	var data []byte
	err := r.insist(ctx, name, func() error {
		stored, err := r.Get(ctx, name)
		if err != nil {
			return err
		}
		if format.Sum(stored) != digest {
			return pitr.Corruptf("read "+name.String(), "the bytes are not those that were written")
		}
		data = stored
		return nil
	})
	return data, err
}

// insist repeats a read whose bytes were wrong; every other error ends it.
func (r *Repository) insist(ctx context.Context, name format.Name, read func() error) error {
	var err error
	for range attempts {
		err = read()
		if pitr.KindOf(err) != pitr.KindCorrupt || ctx.Err() != nil {
			return err
		}
		r.log.WarnContext(ctx, "read bytes that do not fit, reading again", "object", name.String(), "error", err)
	}
	return err
}

// Stat tells what the store knows about an object.
func (r *Repository) Stat(ctx context.Context, name format.Name) (storage.Object, error) {
	return r.store.Stat(ctx, name.String())
}

// Delete removes an object; only prune and the keeper of a lease have a reason to.
func (r *Repository) Delete(ctx context.Context, name format.Name) error {
	return r.store.Delete(ctx, name.String())
}

// Found is an object of a listing.
type Found struct {
	Name format.Name
	Size int64
	// Modified is when it was created, by the clock of the store.
	Modified time.Time
}

// List yields the objects below a prefix in the order of their names, after a text. What is no name of an object is passed
// over: verify is who reports strangers.
func (r *Repository) List(ctx context.Context, prefix, after string) iter.Seq2[Found, error] {
	return func(yield func(Found, error) bool) {
		for object, err := range r.store.List(ctx, prefix, after) {
			if err != nil {
				yield(Found{}, err)
				return
			}
			name, err := format.ParseName(object.Name)
			if err != nil {
				continue
			}
			if !yield(Found{Name: name, Size: object.Size, Modified: object.Modified}, nil) {
				return
			}
		}
	}
}

// Everything yields all objects of the store in the order of their names, strangers among them.
func (r *Repository) Everything(ctx context.Context) iter.Seq2[storage.Object, error] {
	return r.store.List(ctx, "", "")
}

// afterFolder sorts behind everything below a folder whose text ends at a slash: '/' is followed by '0'.
func afterFolder(folder string) string { return folder[:len(folder)-1] + "0" }

// owners yields each id that has something below a prefix such as "snapshots/", in order, with one short listing each:
// what lies in a folder is not walked through.
func (r *Repository) owners(ctx context.Context, prefix string) iter.Seq2[format.ID, error] {
	return func(yield func(format.ID, error) bool) {
		after := ""
		for {
			id, err := r.nextOwner(ctx, prefix, after)
			if err != nil {
				yield("", err)
				return
			}
			if id == "" || !yield(id, nil) {
				return
			}
			after = afterFolder(prefix + string(id) + "/")
		}
	}
}

func (r *Repository) nextOwner(ctx context.Context, prefix, after string) (format.ID, error) {
	for found, err := range r.List(ctx, prefix, after) {
		if err != nil {
			return "", err
		}
		return found.Name.ID(), nil
	}
	return "", nil
}
