package storagetest

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"pitr/storage"
)

// Counter counts the calls that reach a store. A listing is one call, however many objects it gives.
type Counter struct {
	store storage.Store
	mu    sync.Mutex
	calls []Call
}

// Counted lays a counter over a store.
func Counted(s storage.Store) *Counter { return &Counter{store: s} }

// Count gives how many calls of an operation came for names, or prefixes of listings, that contain a part; "" is in all.
func (c *Counter) Count(op Op, part string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, call := range c.calls {
		if call.Op == op && strings.Contains(call.Name, part) {
			n++
		}
	}
	return n
}

// Written gives the names that creates and deletes came for, sorted, each once.
func (c *Counter) Written() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := make(map[string]bool)
	for _, call := range c.calls {
		if call.Op == Create || call.Op == Delete {
			names[call.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func (c *Counter) note(op Op, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, Call{Op: op, Name: name})
}

// Create implements storage.Store.
func (c *Counter) Create(ctx context.Context, name string, data []byte) error {
	c.note(Create, name)
	return c.store.Create(ctx, name, data)
}

// Read implements storage.Store.
func (c *Counter) Read(ctx context.Context, name string, offset, n int64) ([]byte, error) {
	c.note(Read, name)
	return c.store.Read(ctx, name, offset, n)
}

// Stat implements storage.Store.
func (c *Counter) Stat(ctx context.Context, name string) (storage.Object, error) {
	c.note(Stat, name)
	return c.store.Stat(ctx, name)
}

// List implements storage.Store.
func (c *Counter) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Object, error] {
	c.note(List, prefix)
	return c.store.List(ctx, prefix, after)
}

// Delete implements storage.Store.
func (c *Counter) Delete(ctx context.Context, name string) error {
	c.note(Delete, name)
	return c.store.Delete(ctx, name)
}
