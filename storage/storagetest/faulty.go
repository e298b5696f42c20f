package storagetest

import (
	"context"
	"iter"
	"path"
	"slices"
	"sync"
	"testing"
	"time"

	"pitr/storage"
)

// Op names a method of storage.Store.
type Op string

// The operations.
const (
	Create Op = "create"
	Read   Op = "read"
	Stat   Op = "stat"
	List   Op = "list"
	Delete Op = "delete"
)

// Ops are all operations.
var Ops = []Op{Create, Read, Stat, List, Delete}

// Always as Fault.Times makes a fault come at every call from the Nth on.
const Always = 1 << 30

// Fault is one line of a script: what happens at the Nth call of an operation on a name.
type Fault struct {
	Op Op
	// Name is a pattern of path.Match for the object's name, or for the prefix of a listing; "" fits every name.
	Name string
	// Nth counts the calls that fit, from 1; 0 means 1.
	Nth int
	// Times is how many calls in a row it comes at; 0 means 1.
	Times int
	// Effect is what happens instead of the call, or around it.
	Effect Effect
}

// Call is one call as an effect sees it.
type Call struct {
	Op   Op
	Name string
	// Data is what Create is about to store, or what Read has got.
	Data []byte
	// Objects is what List has got, and Stat as the only one.
	Objects []storage.Object
}

// Effect stands between a caller and a call. It runs the call with do, or not, and gives the caller the call's data or objects
// as it leaves them, with its error.
type Effect func(ctx context.Context, c *Call, do func() error) error

// Fail gives an error without the call.
func Fail(err error) Effect {
	return func(context.Context, *Call, func() error) error { return err }
}

// LoseReply makes the call and gives an error all the same.
func LoseReply(err error) Effect {
	return func(_ context.Context, _ *Call, do func() error) error {
		_ = do() // the caller never learns
		return err
	}
}

// Flip changes one bit of the byte at offset, counted from the end if negative: of what is stored, or of what is read.
func Flip(offset int) Effect {
	return change(func(data []byte) []byte {
		i := offset
		if i < 0 {
			i += len(data)
		}
		data[i] ^= 1
		return data
	})
}

// Truncate cuts what is stored or read to its first size bytes.
func Truncate(size int) Effect {
	return change(func(data []byte) []byte { return data[:size] })
}

// Append adds bytes to what is stored or read.
func Append(more []byte) Effect {
	return change(func(data []byte) []byte { return append(data, more...) })
}

func change(edit func([]byte) []byte) Effect {
	return func(_ context.Context, c *Call, do func() error) error {
		if c.Op == Create {
			c.Data = edit(slices.Clone(c.Data))
			return do()
		}
		if err := do(); err != nil {
			return err
		}
		c.Data = edit(c.Data)
		return nil
	}
}

// Pretend says that all went well and does nothing.
func Pretend() Effect { return Fail(nil) }

// Forget leaves the object at an index out of a listing.
func Forget(index int) Effect {
	return func(_ context.Context, c *Call, do func() error) error {
		if err := do(); err != nil {
			return err
		}
		c.Objects = slices.Delete(c.Objects, index, index+1)
		return nil
	}
}

// Break ends a listing with an error after some objects.
func Break(after int, err error) Effect {
	return func(_ context.Context, c *Call, do func() error) error {
		if err := do(); err != nil {
			return err
		}
		c.Objects = c.Objects[:after]
		return err
	}
}

// Delay waits before the call.
func Delay(d time.Duration) Effect {
	return func(ctx context.Context, _ *Call, do func() error) error {
		select {
		case <-time.After(d):
			return do()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Meanwhile runs something of the test's own before the call, such as another process's write.
func Meanwhile(act func()) Effect {
	return func(_ context.Context, _ *Call, do func() error) error {
		act()
		return do()
	}
}

// Faulty is a store that follows a script of faults. A line that has not come to pass by the end of the test fails it; of
// several lines that fit a call the first one counts, for the others the call does not exist.
func Faulty(t *testing.T, s storage.Store, script ...Fault) storage.Store {
	t.Helper()
	f := &faulty{store: s, seen: make([]int, len(script)), script: script}
	for _, line := range script {
		if _, err := path.Match(line.Name, ""); err != nil || line.Effect == nil {
			t.Fatalf("bad line in the script of faults: %+v", line)
		}
	}
	t.Cleanup(func() {
		for i, line := range script {
			if f.seen[i] < max(line.Nth, 1) {
				t.Errorf("fault %d (%s %q) never came to pass: %d calls fit, it waits for number %d",
					i, line.Op, line.Name, f.seen[i], max(line.Nth, 1))
			}
		}
	})
	return f
}

type faulty struct {
	store  storage.Store
	script []Fault
	mu     sync.Mutex
	seen   []int
}

// effect gives what the script has for this call, nil for nothing.
func (f *faulty) effect(op Op, name string) Effect {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, line := range f.script {
		fits, _ := path.Match(line.Name, name) // checked when the script was given
		if line.Op != op || line.Name != "" && !fits {
			continue
		}
		f.seen[i]++
		first := max(line.Nth, 1)
		if f.seen[i] >= first && f.seen[i]-first < max(line.Times, 1) {
			return line.Effect
		}
	}
	return nil
}

// run makes a call through the script.
func (f *faulty) run(ctx context.Context, c *Call, do func() error) error {
	if effect := f.effect(c.Op, c.Name); effect != nil {
		return effect(ctx, c, do)
	}
	return do()
}

func (f *faulty) Create(ctx context.Context, name string, data []byte) error {
	c := &Call{Op: Create, Name: name, Data: data}
	return f.run(ctx, c, func() error { return f.store.Create(ctx, name, c.Data) })
}

func (f *faulty) Read(ctx context.Context, name string, offset, n int64) ([]byte, error) {
	c := &Call{Op: Read, Name: name}
	err := f.run(ctx, c, func() (err error) {
		c.Data, err = f.store.Read(ctx, name, offset, n)
		return err
	})
	return c.Data, err
}

func (f *faulty) Stat(ctx context.Context, name string) (storage.Object, error) {
	c := &Call{Op: Stat, Name: name}
	err := f.run(ctx, c, func() error {
		o, err := f.store.Stat(ctx, name)
		c.Objects = []storage.Object{o}
		return err
	})
	if len(c.Objects) == 0 {
		return storage.Object{}, err
	}
	return c.Objects[0], err
}

func (f *faulty) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Object, error] {
	return func(yield func(storage.Object, error) bool) {
		effect := f.effect(List, prefix)
		if effect == nil {
			f.store.List(ctx, prefix, after)(yield)
			return
		}
		c := &Call{Op: List, Name: prefix}
		err := effect(ctx, c, func() error {
			for o, err := range f.store.List(ctx, prefix, after) {
				if err != nil {
					return err
				}
				c.Objects = append(c.Objects, o)
			}
			return nil
		})
		for _, o := range c.Objects {
			if !yield(o, nil) {
				return
			}
		}
		if err != nil {
			yield(storage.Object{}, err)
		}
	}
}

func (f *faulty) Delete(ctx context.Context, name string) error {
	return f.run(ctx, &Call{Op: Delete, Name: name}, func() error { return f.store.Delete(ctx, name) })
}
