package storage

import (
	"context"
	"errors"
	"iter"
	"sync"
)

// Overlay lays scratch over base: reads see both, creates and deletes change scratch only, and what was deleted from base is
// hidden for as long as the overlay lives. A dry run works on one, and its writes are what lies in scratch afterwards.
//
// Creates through one overlay exclude each other as the contract says; those of other processes in base do not know of them.
func Overlay(base, scratch Store) Store {
	return &overlay{base: base, scratch: scratch, hidden: make(map[string]bool)}
}

type overlay struct {
	base, scratch Store
	mu            sync.RWMutex
	hidden        map[string]bool // names of base
}

// Create implements Store.
func (o *overlay) Create(ctx context.Context, name string, data []byte) error {
	if err := CheckCreate(ctx, name, data); err != nil {
		return err
	}
	inBase, err := o.inBase(ctx, name)
	if err != nil {
		return err
	}
	if inBase {
		return Exists(name)
	}
	return o.scratch.Create(ctx, name, data)
}

// Read implements Store.
func (o *overlay) Read(ctx context.Context, name string, offset, n int64) ([]byte, error) {
	data, err := o.scratch.Read(ctx, name, offset, n)
	if !errors.Is(err, ErrNotFound) || o.hides(name) {
		return data, err
	}
	return o.base.Read(ctx, name, offset, n)
}

// Stat implements Store.
func (o *overlay) Stat(ctx context.Context, name string) (Object, error) {
	object, err := o.scratch.Stat(ctx, name)
	if !errors.Is(err, ErrNotFound) || o.hides(name) {
		return object, err
	}
	return o.base.Stat(ctx, name)
}

// Delete implements Store.
func (o *overlay) Delete(ctx context.Context, name string) error {
	err := o.scratch.Delete(ctx, name)
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	inBase, baseErr := o.inBase(ctx, name)
	if baseErr != nil || !inBase {
		return errors.Join(baseErr, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.hidden[name] {
		return err
	}
	o.hidden[name] = true
	return nil
}

// List implements Store.
func (o *overlay) List(ctx context.Context, prefix, after string) iter.Seq2[Object, error] {
	return merge(o.visible(o.base.List(ctx, prefix, after)), o.scratch.List(ctx, prefix, after))
}

// visible leaves out what was deleted.
func (o *overlay) visible(listing iter.Seq2[Object, error]) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		for object, err := range listing {
			if (err != nil || !o.hides(object.Name)) && !yield(object, err) {
				return
			}
		}
	}
}

// merge joins two ordered listings; a name that both have comes once.
func merge(first, second iter.Seq2[Object, error]) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		a, b := follow(first), follow(second)
		defer a.stop()
		defer b.stop()
		for a.ok || b.ok {
			low, high := a, b
			if b.before(a) {
				low, high = b, a
			}
			if !yield(low.object, low.err) || low.err != nil {
				return
			}
			if high.ok && high.err == nil && high.object.Name == low.object.Name {
				high.advance()
			}
			low.advance()
		}
	}
}

// cursor is a listing with its next object in view.
type cursor struct {
	next   func() (Object, error, bool)
	stop   func()
	object Object
	err    error
	ok     bool
}

func follow(listing iter.Seq2[Object, error]) *cursor {
	c := &cursor{}
	c.next, c.stop = iter.Pull2(listing)
	c.advance()
	return c
}

func (c *cursor) advance() { c.object, c.err, c.ok = c.next() }

// before reports whether a cursor's object comes first. An error has no name and so comes before every object.
func (c *cursor) before(d *cursor) bool {
	return c.ok && (!d.ok || c.object.Name < d.object.Name)
}

// inBase reports whether base shows an object of this name.
func (o *overlay) inBase(ctx context.Context, name string) (bool, error) {
	if o.hides(name) {
		return false, nil
	}
	_, err := o.base.Stat(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (o *overlay) hides(name string) bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.hidden[name]
}
