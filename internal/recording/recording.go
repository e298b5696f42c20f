// Package recording reads the recordings of a real MongoDB server that tests hold pitr against.
//
// Recordings are JSON lines in canonical Extended JSON, compressed with zstd. The text reads back to the server's exact
// bytes; a value for which it would not is written as {"$raw": base64 of the BSON, "$shown": the text}, and read from the
// former.
package recording

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"iter"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// Folder gives the folder of the recordings: PITR_CORPUS, or ../shared/corpus beside the checkout. The test is skipped,
// with the reason, where there is none.
func Folder(t testing.TB) string {
	t.Helper()
	folder := os.Getenv("PITR_CORPUS")
	if folder == "" {
		folder = filepath.Join(root(t), "..", "shared", "corpus")
	}
	if _, err := os.Stat(folder); err != nil {
		t.Skipf("no recordings of a real server: %v", err)
	}
	return folder
}

// root walks up from the test's folder to the module's.
func root(t testing.TB) string {
	t.Helper()
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return folder
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			t.Fatal("no go.mod above the test's folder")
		}
		folder = parent
	}
}

// Files lists the recordings whose path below the folder matches a pattern, in order; none is a failure, because a
// recording that is there but not read proves nothing.
func Files(t testing.TB, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(Folder(t), filepath.FromSlash(pattern)))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recording matches %s: %v", pattern, err)
	}
	return files
}

// Line is one line of a recording, its fields still as text.
type Line map[string]json.RawMessage

// Lines reads a recording line by line.
func Lines(t testing.TB, file string) iter.Seq[Line] {
	t.Helper()
	return func(yield func(Line) bool) {
		t.Helper()
		for text := range texts(t, file) {
			var line Line
			if err := json.Unmarshal(text, &line); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if !yield(line) {
				return
			}
		}
	}
}

// Documents reads a recording of which each line is one document, such as an oplog.
func Documents(t testing.TB, file string) iter.Seq[bson.Raw] {
	t.Helper()
	return func(yield func(bson.Raw) bool) {
		t.Helper()
		for text := range texts(t, file) {
			if !yield(document(t, text)) {
				return
			}
		}
	}
}

func texts(t testing.TB, file string) iter.Seq[[]byte] {
	t.Helper()
	return func(yield func([]byte) bool) {
		t.Helper()
		opened, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = opened.Close() }()
		decoder, err := zstd.NewReader(opened)
		if err != nil {
			t.Fatal(err)
		}
		defer decoder.Close()
		lines := bufio.NewScanner(decoder)
		lines.Buffer(nil, 128<<20)
		for lines.Scan() {
			if len(lines.Bytes()) > 0 && !yield(lines.Bytes()) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
}

// Has reports whether the line has a field.
func (l Line) Has(name string) bool { return l[name] != nil }

// Document gives a field that is a document.
func (l Line) Document(t testing.TB, name string) bson.Raw {
	t.Helper()
	if l[name] == nil {
		t.Fatalf("a recorded line has no field %q", name)
	}
	return document(t, l[name])
}

// Documents gives a field that is an array of documents.
func (l Line) Documents(t testing.TB, name string) []bson.Raw {
	t.Helper()
	var texts []json.RawMessage
	if err := json.Unmarshal(l[name], &texts); err != nil {
		t.Fatalf("the recorded field %q: %v", name, err)
	}
	documents := make([]bson.Raw, 0, len(texts))
	for _, text := range texts {
		documents = append(documents, document(t, text))
	}
	return documents
}

// Text gives a field that is a string.
func (l Line) Text(t testing.TB, name string) string {
	t.Helper()
	var text string
	if err := json.Unmarshal(l[name], &text); err != nil {
		t.Fatalf("the recorded field %q: %v", name, err)
	}
	return text
}

// Timestamp gives a field that is a cluster time.
func (l Line) Timestamp(t testing.TB, name string) pitr.Timestamp {
	t.Helper()
	var value struct {
		Timestamp struct{ T, I uint32 } `json:"$timestamp"`
	}
	if err := json.Unmarshal(l[name], &value); err != nil {
		t.Fatalf("the recorded field %q: %v", name, err)
	}
	return pitr.NewTimestamp(value.Timestamp.T, value.Timestamp.I)
}

// document reads one document from its text.
func document(t testing.TB, text []byte) bson.Raw {
	t.Helper()
	var exact struct {
		Raw   *string `json:"$raw"`
		Shown json.RawMessage
	}
	if err := json.Unmarshal(text, &exact); err == nil && exact.Raw != nil {
		content, err := base64.StdEncoding.DecodeString(*exact.Raw)
		if err != nil {
			t.Fatalf("recorded bytes: %v", err)
		}
		return content
	}
	var content bson.Raw
	if err := bson.UnmarshalExtJSON(text, true, &content); err != nil {
		t.Fatalf("a recorded document: %v\n%.300s", err, text)
	}
	return content
}
