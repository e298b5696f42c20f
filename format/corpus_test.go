package format_test

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/format"
)

// recordings gives the oplog entries that a real server wrote, byte for byte.
func recordings(t *testing.T) []bson.Raw {
	t.Helper()
	corpus := os.Getenv("PITR_CORPUS")
	if corpus == "" {
		corpus = filepath.Join("..", "..", "shared", "corpus")
	}
	files, err := filepath.Glob(filepath.Join(corpus, "*", "*", "oplog.jsonl.zst"))
	if err != nil || len(files) == 0 {
		t.Skipf("skipped: no recordings in %s", corpus)
	}
	var entries []bson.Raw
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		stream, err := zstd.NewReader(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(stream)
		lines.Buffer(nil, 64<<20)
		for lines.Scan() {
			var document format.Document
			if err := document.UnmarshalJSON(lines.Bytes()); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			entries = append(entries, bson.Raw(document))
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
		stream.Close()
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return entries
}

// What a server wrote is well-formed for this package, and comes back byte for byte.
func TestCorpusEntriesReadBack(t *testing.T) {
	entries := recordings(t)
	w, err := format.NewWriter(format.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if _, err := w.Append(0, entry); err != nil {
			t.Fatalf("%v: %x", err, []byte(entry))
		}
	}
	sealed, err := w.Finish(chunkName(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	container, err := format.OpenContainer(sealed.Data, format.Expect{Name: sealed.Name, Digest: sealed.Digest})
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for document, err := range container.Documents(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(document, entries[at]) {
			t.Fatalf("entry %d comes back as other bytes", at)
		}
		at++
	}
	if at != len(entries) || at < 1000 {
		t.Errorf("%d of %d entries came back", at, len(entries))
	}
	t.Logf("%d entries, %d bytes, stored in %d", at, sealed.Raw, sealed.Size())
}
