package storage_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"pitr"
	"pitr/storage"
	"pitr/storage/storagetest"
)

func TestReadOnly(t *testing.T) { // case W11, its store part
	memory := storage.NewMemory()
	if err := memory.Create(t.Context(), "a", []byte("x")); err != nil {
		t.Fatal(err)
	}
	counted := storagetest.Counted(memory)
	s := storage.ReadOnly(counted)
	for _, err := range []error{s.Create(t.Context(), "b", nil), s.Delete(t.Context(), "a")} {
		if pitr.KindOf(err) != pitr.KindRefused || pitr.HintOf(err) == "" {
			t.Errorf("%v, want a refusal with a hint", err)
		}
	}
	if written := counted.Written(); len(written) != 0 {
		t.Errorf("%q came through", written)
	}
	if data, err := s.Read(t.Context(), "a", 0, -1); err != nil || string(data) != "x" {
		t.Errorf("%q, %v", data, err)
	}
}

func TestOverlayKeepsTheContract(t *testing.T) {
	storagetest.Run(t, func(*testing.T) storage.Store { return storage.Overlay(storage.NewMemory(), storage.NewMemory()) })
}

func TestOverlay(t *testing.T) {
	ctx := t.Context()
	base, scratch := storage.NewMemory(), storage.NewMemory()
	for _, name := range []string{"a", "c", "e", "g"} {
		if err := base.Create(ctx, name, []byte("base")); err != nil {
			t.Fatal(err)
		}
	}
	guarded := storagetest.Counted(base)
	s := storage.Overlay(guarded, scratch)
	if err := s.Create(ctx, "c", []byte("mine")); !errors.Is(err, storage.ErrExists) {
		t.Errorf("%v, want ErrExists for what lies in base", err)
	}
	for _, name := range []string{"b", "d", "h"} {
		if err := s.Create(ctx, name, []byte("scratch")); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"e", "d"} {
		if err := s.Delete(ctx, name); err != nil {
			t.Fatal(err)
		}
		if err := s.Delete(ctx, name); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("deleted %s twice: %v", name, err)
		}
		if _, err := s.Read(ctx, name, 0, -1); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("read %s after its deletion: %v", name, err)
		}
		if _, err := s.Stat(ctx, name); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("stat %s after its deletion: %v", name, err)
		}
	}
	if got := names(t, s, "", ""); !slices.Equal(got, []string{"a", "b", "c", "g", "h"}) {
		t.Errorf("listed %q", got)
	}
	if err := s.Create(ctx, "e", []byte("again")); err != nil {
		t.Error(err)
	}
	if data, err := s.Read(ctx, "e", 0, -1); err != nil || string(data) != "again" {
		t.Errorf("%q, %v", data, err)
	}
	if got := names(t, s, "", "b"); !slices.Equal(got, []string{"c", "e", "g", "h"}) {
		t.Errorf("listed %q", got)
	}
	if written := guarded.Written(); len(written) != 0 {
		t.Errorf("base was written to: %q", written)
	}
}

func TestWithout(t *testing.T) {
	ctx := t.Context()
	base := storage.NewMemory()
	for _, name := range []string{"a/1", "b/1", "b/2", "c/1"} {
		if err := base.Create(ctx, name, []byte("base")); err != nil {
			t.Fatal(err)
		}
	}
	s := storage.Overlay(storage.ReadOnly(storage.Without(base, "b/")), storage.NewMemory())
	if got := names(t, s, "", ""); !slices.Equal(got, []string{"a/1", "c/1"}) {
		t.Errorf("listed %q", got)
	}
	if err := s.Create(ctx, "b/1", []byte("mine")); err != nil {
		t.Errorf("a name that is hidden below: %v", err)
	}
	if data, err := s.Read(ctx, "b/1", 0, -1); err != nil || string(data) != "mine" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := s.Read(ctx, "b/2", 0, -1); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("%v, want ErrNotFound", err)
	}
}

// A listing that breaks on one side must not end as if that side were empty.
func TestOverlayListBreaks(t *testing.T) {
	for _, side := range []string{"base", "scratch"} {
		base, scratch := storage.NewMemory(), storage.NewMemory()
		broken := storagetest.Fault{Op: storagetest.List, Effect: storagetest.Fail(unreachable)}
		if err := errors.Join(base.Create(t.Context(), "a", nil), scratch.Create(t.Context(), "b", nil)); err != nil {
			t.Fatal(err)
		}
		var s storage.Store
		if side == "base" {
			s = storage.Overlay(storagetest.Faulty(t, base, broken), scratch)
		} else {
			s = storage.Overlay(base, storagetest.Faulty(t, scratch, broken))
		}
		var last error
		for _, err := range s.List(t.Context(), "", "") {
			last = err
		}
		if !storage.IsTransient(last) {
			t.Errorf("%s broke, and the listing ended with %v", side, last)
		}
	}
}

func names(t *testing.T, s storage.Store, prefix, after string) []string {
	t.Helper()
	var all []string
	for o, err := range s.List(context.WithoutCancel(t.Context()), prefix, after) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, o.Name)
	}
	return all
}
