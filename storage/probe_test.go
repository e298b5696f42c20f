package storage_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"pitr"
	"pitr/storage"
	"pitr/storage/storagetest"
)

func TestProbe(t *testing.T) {
	memory := storage.NewMemory()
	result, err := storage.Probe(t.Context(), memory, storage.ProbeOptions{})
	want := storage.ProbeResult{CreatesOnce: true, ReadsAfterCreate: true, Lists: true, Deletes: true, KeepsDigest: true}
	if err != nil || result != want || result.Broken() != nil {
		t.Errorf("%+v, %v, %v", result, err, result.Broken())
	}
	for o := range memory.List(t.Context(), "", "") {
		t.Errorf("the probe left %s", o.Name)
	}
	result, err = storage.Probe(t.Context(), openFolder(t, t.TempDir(), unsynced), storage.ProbeOptions{})
	want.KeepsDigest = false
	if err != nil || result != want {
		t.Errorf("folder: %+v, %v", result, err)
	}
}

// careless replaces what is there, as S3 look-alikes do that do not know If-None-Match.
type careless struct{ *storage.Memory }

func (c careless) Create(ctx context.Context, name string, data []byte) error {
	if err := c.Delete(ctx, name); err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	err := c.Memory.Create(ctx, name, data)
	if errors.Is(err, storage.ErrExists) {
		return nil
	}
	return err
}

// hasty looks whether the name is free and writes then.
type hasty struct {
	careless
	looks *sync.WaitGroup
}

func (h hasty) Create(ctx context.Context, name string, data []byte) error {
	if _, err := h.Stat(ctx, name); err == nil {
		return storage.Exists(name)
	}
	if strings.HasSuffix(name, "/race") {
		h.looks.Done()
		h.looks.Wait()
	}
	return h.careless.Create(ctx, name, data)
}

// rude says that the name is taken, and replaces the object all the same.
type rude struct{ careless }

func (r rude) Create(ctx context.Context, name string, data []byte) error {
	_, err := r.Stat(ctx, name)
	if createErr := r.careless.Create(ctx, name, data); createErr != nil {
		return createErr
	}
	if err == nil {
		return storage.Exists(name)
	}
	return nil
}

// cases S14, S15, S16, S22: each broken promise is found, and the refusal names it.
func TestProbeFinds(t *testing.T) {
	denied := pitr.Errorf(pitr.KindDenied, "", "", "access denied")
	skewed := func(d time.Duration) storage.Store {
		m := storage.NewMemory()
		m.Now = func() time.Time { return time.Now().Add(d) }
		return m
	}
	var looks sync.WaitGroup
	looks.Add(8)
	for _, c := range []struct {
		name  string
		store storage.Store
		want  string // in the refusal, "" for none
		hint  string
	}{
		{"ignores the condition", careless{storage.NewMemory()}, "replace", "--single-writer"},
		{"looks first, writes then", hasty{careless{storage.NewMemory()}, &looks}, "replace", "--single-writer"},
		{"refuses, and replaces", rude{careless{storage.NewMemory()}}, "replace", "--single-writer"},
		{"keeps other bytes", storagetest.Faulty(t, storage.NewMemory(),
			storagetest.Fault{Op: storagetest.Create, Effect: storagetest.Flip(0)}), "read back", "another store"},
		{"keeps nothing", storagetest.Faulty(t, storage.NewMemory(),
			storagetest.Fault{Op: storagetest.Create, Name: "probe/*/once", Times: 2, Effect: storagetest.Pretend()}), "read back", "another store"},
		{"lists late", storagetest.Faulty(t, storage.NewMemory(),
			storagetest.Fault{Op: storagetest.List, Effect: storagetest.Forget(0)}), "listed", "another store"},
		{"16 minutes ahead", skewed(16*time.Minute + 2*time.Second), "clock", "clock"},
		{"an hour behind", skewed(-time.Hour), "clock", "clock"},
		{"4 minutes ahead", skewed(4 * time.Minute), "", ""},
		{"denies deletion", storagetest.Faulty(t, storage.NewMemory(),
			storagetest.Fault{Op: storagetest.Delete, Effect: storagetest.Fail(denied)}), "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			result, err := storage.Probe(t.Context(), c.store, storage.ProbeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			broken := result.Broken()
			if c.want == "" {
				if broken != nil {
					t.Error(broken)
				}
				return
			}
			if pitr.KindOf(broken) != pitr.KindRefused || !strings.Contains(broken.Error(), c.want) ||
				!strings.Contains(pitr.HintOf(broken), c.hint) {
				t.Errorf("%v, hint %q, want %q and %q; %+v", broken, pitr.HintOf(broken), c.want, c.hint, result)
			}
		})
	}
	_, err := storage.Probe(t.Context(), storagetest.Faulty(t, storage.NewMemory(),
		storagetest.Fault{Op: storagetest.Create, Effect: storagetest.Fail(denied)}), storage.ProbeOptions{})
	if pitr.KindOf(err) != pitr.KindDenied {
		t.Errorf("%v, want denied: a store that cannot be tried has broken no promise", err)
	}
}
