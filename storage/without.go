package storage

import (
	"context"
	"iter"
	"strings"
)

// Without hides the objects of s whose names begin with a prefix: they are not found and not listed. It is for the base of an
// overlay that must not be bound by them, and so for stores that are read only: a Create under the prefix still finds a name
// of s taken.
func Without(s Store, prefix string) Store { return without{Store: s, prefix: prefix} }

type without struct {
	Store
	prefix string
}

// Read implements Store.
func (w without) Read(ctx context.Context, name string, offset, n int64) ([]byte, error) {
	if strings.HasPrefix(name, w.prefix) {
		return nil, NotFound("read", name)
	}
	return w.Store.Read(ctx, name, offset, n)
}

// Stat implements Store.
func (w without) Stat(ctx context.Context, name string) (Object, error) {
	if strings.HasPrefix(name, w.prefix) {
		return Object{}, NotFound("stat", name)
	}
	return w.Store.Stat(ctx, name)
}

// List implements Store.
func (w without) List(ctx context.Context, prefix, after string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		for object, err := range w.Store.List(ctx, prefix, after) {
			if (err != nil || !strings.HasPrefix(object.Name, w.prefix)) && !yield(object, err) {
				return
			}
		}
	}
}
