// Package corpus reads the recordings of a real server for tests of this library.
//
// It turns lines of canonical Extended JSON into documents, byte for byte as recorded; where the text cannot carry the bytes, the
// line has them beside it. It knows nothing of what the lines mean.
package corpus

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// Folder finds the recordings: PITR_CORPUS, or shared/corpus beside the repository. The test is skipped if they are not there.
func Folder(t testing.TB) string {
	t.Helper()
	folder := os.Getenv("PITR_CORPUS")
	if folder == "" {
		dir, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
				break
			}
			if dir == filepath.Dir(dir) {
				t.Skip("no go.mod above the test: the corpus cannot be found")
			}
			dir = filepath.Dir(dir)
		}
		folder = filepath.Join(dir, "..", "shared", "corpus")
	}
	if _, err := os.Stat(folder); err != nil {
		t.Skipf("no recordings: %v (set PITR_CORPUS)", err)
	}
	return folder
}

// Lines calls f with each line of a compressed file, as a document.
func Lines(t testing.TB, file string, f func(line bson.Raw)) {
	t.Helper()
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	z, err := zstd.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	lines := bufio.NewReaderSize(z, 1<<20)
	for {
		text, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(text)) > 0 {
			f(document(t, text))
		}
		if err != nil {
			return
		}
	}
}

// document reads one line. A field {"$raw": base64, "$shown": text} stands for a document whose bytes the text cannot give back.
func document(t testing.TB, text []byte) bson.Raw {
	t.Helper()
	if !bytes.Contains(text, []byte(`"$raw"`)) {
		return parse(t, text)
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	line := bson.D{}
	for name, v := range fields {
		raw := struct {
			Raw string `json:"$raw"`
		}{}
		if json.Unmarshal(v, &raw) == nil && raw.Raw != "" {
			b, err := base64.StdEncoding.DecodeString(raw.Raw)
			if err != nil {
				t.Fatal(err)
			}
			line = append(line, bson.E{Key: name, Value: bson.Raw(b)})
			continue
		}
		line = append(line, bson.E{Key: name, Value: parse(t, []byte(`{"v":`+string(v)+`}`)).Lookup("v")})
	}
	out, err := bson.Marshal(line)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func parse(t testing.TB, text []byte) bson.Raw {
	t.Helper()
	var out bson.Raw
	if err := bson.UnmarshalExtJSON(text, true, &out); err != nil {
		t.Fatalf("%v in %.300s", err, text)
	}
	return out
}
