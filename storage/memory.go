package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"pitr"
)

// Memory is a store in the memory of the process. It is as durable as the process; everything else is as the contract says.
type Memory struct {
	// Now is the clock of the store; set it before the store is used.
	Now func() time.Time

	mu      sync.RWMutex
	names   []string // sorted
	objects map[string]memoryObject
}

type memoryObject struct {
	data     []byte
	modified time.Time
	sha256   string
}

var _ Store = (*Memory)(nil)

// NewMemory makes an empty store with the clock of the machine.
func NewMemory() *Memory {
	return &Memory{Now: clock(nil), objects: make(map[string]memoryObject)}
}

// Create implements Store.
func (m *Memory) Create(ctx context.Context, name string, data []byte) error {
	if err := CheckCreate(ctx, name, data); err != nil {
		return err
	}
	digest := sha256.Sum256(data)
	m.mu.Lock()
	defer m.mu.Unlock()
	i, taken := slices.BinarySearch(m.names, name)
	if taken {
		return Exists(name)
	}
	if err := m.checkFolders(name); err != nil {
		return err
	}
	m.names = slices.Insert(m.names, i, name)
	m.objects[name] = memoryObject{slices.Clone(data), m.Now(), hex.EncodeToString(digest[:])}
	return nil
}

// checkFolders keeps the rule that no name is a folder of another, which a map would not mind but other stores do.
func (m *Memory) checkFolders(name string) error {
	for i := range len(name) {
		if name[i] != '/' {
			continue
		}
		if _, taken := m.objects[name[:i]]; taken {
			return folderTaken(name)
		}
	}
	i, _ := slices.BinarySearch(m.names, name+"/")
	if i < len(m.names) && strings.HasPrefix(m.names[i], name+"/") {
		return folderTaken(name)
	}
	return nil
}

// Read implements Store.
func (m *Memory) Read(ctx context.Context, name string, offset, n int64) ([]byte, error) {
	o, err := m.find(ctx, "read", name)
	if err != nil {
		return nil, err
	}
	if n, err = Span(name, int64(len(o.data)), offset, n); err != nil {
		return nil, err
	}
	return slices.Clone(o.data[offset : offset+n]), nil
}

// Stat implements Store.
func (m *Memory) Stat(ctx context.Context, name string) (Object, error) {
	o, err := m.find(ctx, "stat", name)
	if err != nil {
		return Object{}, err
	}
	return o.describe(name), nil
}

// List implements Store; it sees each page of names as it is when the page is reached.
func (m *Memory) List(ctx context.Context, prefix, after string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		for {
			page, err := m.page(ctx, prefix, after)
			if err != nil {
				yield(Object{}, err)
				return
			}
			for _, o := range page {
				if !yield(o, nil) {
					return
				}
				after = o.Name
			}
			if len(page) == 0 {
				return
			}
		}
	}
}

func (m *Memory) page(ctx context.Context, prefix, after string) ([]Object, error) {
	const most = 1000
	if err := Ended(ctx, "list", prefix); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	i, _ := slices.BinarySearch(m.names, max(prefix, after))
	var page []Object
	for _, name := range m.names[i:] {
		if !strings.HasPrefix(name, prefix) || len(page) == most {
			break
		}
		if name > after {
			page = append(page, m.objects[name].describe(name))
		}
	}
	return page, nil
}

// Delete implements Store.
func (m *Memory) Delete(ctx context.Context, name string) error {
	if err := CheckCall(ctx, "delete", name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	i, found := slices.BinarySearch(m.names, name)
	if !found {
		return NotFound("delete", name)
	}
	m.names = slices.Delete(m.names, i, i+1)
	delete(m.objects, name)
	return nil
}

func (m *Memory) find(ctx context.Context, op, name string) (memoryObject, error) {
	if err := CheckCall(ctx, op, name); err != nil {
		return memoryObject{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	o, found := m.objects[name]
	if !found {
		return memoryObject{}, NotFound(op, name)
	}
	return o, nil
}

func (o memoryObject) describe(name string) Object {
	return Object{Name: name, Size: int64(len(o.data)), Modified: o.modified, SHA256: o.sha256}
}

// CheckCall is what every call on one object checks first; for implementations of Store.
func CheckCall(ctx context.Context, op, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	return Ended(ctx, op, name)
}

// CheckCreate is what every Create checks first; for implementations of Store.
func CheckCreate(ctx context.Context, name string, data []byte) error {
	if err := CheckCall(ctx, "create", name); err != nil {
		return err
	}
	return checkSize(name, int64(len(data)))
}

func folderTaken(name string) error {
	return pitr.Errorf(pitr.KindInvalid, "create "+name, "", "a name cannot be the folder of another")
}
