package history_test

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"path/filepath"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/history"
	"pitr/internal/recording"
	"pitr/oplog"
)

// memoryBase is a snapshot in memory.
type memoryBase struct {
	window      pitr.Window
	scope       pitr.Scope
	collections []pitr.Collection
	documents   map[pitr.UUID][]bson.Raw
	// lookups counts the keys that were asked for.
	lookups int
}

func (b *memoryBase) Window() pitr.Window            { return b.window }
func (b *memoryBase) Scope() pitr.Scope              { return b.scope }
func (b *memoryBase) Collections() []pitr.Collection { return b.collections }

func (b *memoryBase) Scan(_ context.Context, c pitr.Collection) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		last := map[string]int{}
		for i, document := range b.documents[c.UUID] {
			key, err := pitr.KeyOf(document)
			if err != nil {
				yield(nil, err)
				return
			}
			last[key.Equal()] = i
		}
		for i, document := range b.documents[c.UUID] {
			key, _ := pitr.KeyOf(document)
			if last[key.Equal()] == i && !yield(bytes.Clone(document), nil) {
				return
			}
		}
	}
}

func (b *memoryBase) Lookup(ctx context.Context, c pitr.Collection, keys []pitr.Key) iter.Seq2[bson.Raw, error] {
	wanted := map[string]bool{}
	for _, key := range keys {
		wanted[key.Equal()] = true
	}
	b.lookups += len(keys)
	return func(yield func(bson.Raw, error) bool) {
		for document, err := range b.Scan(ctx, c) {
			if key, _ := pitr.KeyOf(document); err == nil && wanted[key.Equal()] && !yield(document, nil) {
				return
			}
		}
	}
}

// baseOf makes a snapshot of a recorded state.
func baseOf(state recording.State, window pitr.Window) *memoryBase {
	b := &memoryBase{window: window, documents: map[pitr.UUID][]bson.Raw{}}
	for _, c := range state.Collections {
		if !c.NS.IsSystem() {
			b.collections = append(b.collections, c)
			b.documents[c.UUID] = append(b.documents[c.UUID], state.Documents[c.NS]...)
		}
	}
	return b
}

// entriesOf reads a recorded oplog as an archive would give it.
func entriesOf(t testing.TB, file string) history.Entries {
	t.Helper()
	var raws []bson.Raw
	for raw := range recording.Documents(t, file) {
		raws = append(raws, raw)
	}
	return entriesIn(raws)
}

func entriesIn(raws []bson.Raw) history.Entries {
	return func(_ context.Context, window pitr.Window) iter.Seq2[oplog.Entry, error] {
		return func(yield func(oplog.Entry, error) bool) {
			var buffer []byte
			for _, raw := range raws {
				seconds, ordinal := raw.Lookup("ts").Timestamp()
				if !window.Contains(pitr.NewTimestamp(seconds, ordinal)) {
					continue
				}
				// The buffer is used again and spoilt, as a reader of an archive may do.
				for i := range buffer {
					buffer[i] = 0xff
				}
				buffer = append(buffer[:0], raw...)
				entry, err := oplog.Decode(buffer)
				if !yield(entry, err) || err != nil && pitr.KindOf(err) != pitr.KindUnsupported {
					return
				}
			}
		}
	}
}

// compareView holds a view against a recorded state.
func compareView(t *testing.T, where string, view *history.View, want recording.State) {
	t.Helper()
	wanted := map[pitr.Namespace]pitr.Collection{}
	for _, c := range want.Collections {
		if !c.NS.IsSystem() {
			wanted[c.NS] = c
		}
	}
	if len(view.Collections()) != len(wanted) {
		t.Errorf("%s: %d collections, want %d", where, len(view.Collections()), len(wanted))
	}
	for _, c := range view.Collections() {
		listed := wanted[c.NS]
		if c.UUID != listed.UUID || c.Type != listed.Type || !bytes.Equal(c.Options, listed.Options) || texts(c.Indexes) != texts(listed.Indexes) {
			t.Errorf("%s: %+v\nwant %+v", where, c, listed)
		}
		compareViewDocuments(t, where+": "+c.NS.String(), view, c, want.Documents[c.NS])
	}
}

func compareViewDocuments(t *testing.T, where string, view *history.View, c pitr.Collection, want []bson.Raw) {
	t.Helper()
	wanted := map[string]bson.Raw{}
	var keys []pitr.Key
	for _, document := range want {
		key, err := pitr.KeyOf(document)
		if err != nil {
			t.Fatal(err)
		}
		wanted[key.Equal()] = document
		keys = append(keys, key)
	}
	for name, documents := range map[string]iter.Seq2[bson.Raw, error]{
		"documents": view.Documents(context.Background(), c), "lookup": view.Lookup(context.Background(), c, keys)} {
		count := 0
		for document, err := range documents {
			if err != nil {
				t.Fatalf("%s: %v", where, err)
			}
			key, _ := pitr.KeyOf(document)
			count++
			if !bytes.Equal(document, wanted[key.Equal()]) {
				t.Errorf("%s, %s: %v\nwant %v", where, name, document, wanted[key.Equal()])
			}
		}
		if count != len(wanted) {
			t.Errorf("%s: %s gave %d, want %d", where, name, count, len(wanted))
		}
	}
}

// TestCorpusViews: a view on a recorded base shows each recorded state, read through scan and look-up.
func TestCorpusViews(t *testing.T) {
	for _, folder := range recording.Files(t, "history/*") {
		files := recording.Files(t, "history/"+filepath.Base(folder)+"/state-*.jsonl.zst")
		base := recording.ReadState(t, files[0])
		h := history.New(baseOf(base, pitr.Window{After: base.At, Through: base.At}), entriesOf(t, filepath.Join(folder, "oplog.jsonl.zst")), history.Options{})
		for i, file := range files {
			if i%4 != 0 {
				continue
			}
			want := recording.ReadState(t, file)
			view, err := h.View(context.Background(), want.At, pitr.Scope{})
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			compareView(t, fmt.Sprintf("%s at %s", file, want.At), view, want)
			if t.Failed() {
				return
			}
		}
	}
}

// TestCorpusViewOfAScan: a view on a base that is exact only through the oplog.
func TestCorpusViewOfAScan(t *testing.T) {
	folder := recording.Files(t, "concurrent/*")[0]
	read := recording.ReadScan(t, filepath.Join(folder, "scan.jsonl.zst"))
	files := recording.Files(t, "concurrent/"+filepath.Base(folder)+"/state-*.jsonl.zst")
	read.Collections = recording.ReadState(t, files[0]).Collections
	window := pitr.Window{After: read.From, Through: read.Through}
	h := history.New(baseOf(read.State, window), entriesOf(t, filepath.Join(folder, "oplog.jsonl.zst")), history.Options{})
	for _, file := range files {
		want := recording.ReadState(t, file)
		view, err := h.View(context.Background(), want.At, pitr.Scope{})
		if want.At < read.Through {
			if pitr.KindOf(err) != pitr.KindHole {
				t.Errorf("a moment before the base is exact: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		compareView(t, fmt.Sprintf("%s at %s", file, want.At), view, want)
	}
}

func texts(documents []bson.Raw) string {
	var list []string
	for _, document := range documents {
		list = append(list, document.String())
	}
	return strings.Join(list, "\n")
}
