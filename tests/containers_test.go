package tests

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"pitr/catalog"
	"pitr/cluster"
	"pitr/examples/mender"
	"pitr/format"
	"pitr/internal/replsim"
	"pitr/oplog"
	"pitr/snapshot"
	"pitr/storage"
)

// readWithPython decodes each document, encodes what it understood again, and prints how many there were and what they
// hash to. The library is the distribution's python3-bson, which shares no code with us.
const readWithPython = `
import bson, hashlib, struct, sys
from bson.codec_options import CodecOptions
from bson.son import SON
as_stored = CodecOptions(document_class=SON, tz_aware=True, uuid_representation=4)
data, at, count, total = sys.stdin.buffer.read(), 0, 0, hashlib.sha256()
while at < len(data):
    size = struct.unpack_from("<i", data, at)[0]
    total.update(bson.BSON.encode(bson.BSON(data[at:at+size]).decode(as_stored), codec_options=as_stored))
    at, count = at + size, count + 1
print(count, total.hexdigest())
`

// mustHave gives the path of a program, or skips the test and says what is missing.
func mustHave(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skipf("no %s on this machine: run `make deps`", strings.Join(names, " or "))
	return ""
}

// pythonWithBSON gives the Python that has the distribution's bson module.
func pythonWithBSON(t *testing.T) string {
	t.Helper()
	for _, python := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(python, "-c", "import bson; bson.BSON").Run() == nil {
			return python
		}
	}
	t.Skip("no python3 with the module bson: run `make deps`")
	return ""
}

// smallRepository fills a folder with a snapshot and segments of a server with the reference data and awkward values.
func smallRepository(t *testing.T) (folder string, repository *catalog.Repository) {
	t.Helper()
	ctx := t.Context()
	server, err := replsim.Start(context.WithoutCancel(ctx), replsim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	driver, err := mongo.Connect(options.Client().ApplyURI(server.URI()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = driver.Disconnect(context.Background()) })
	folder = t.TempDir()
	store, err := storage.OpenFolder(folder, storage.FolderOptions{})
	must(t, err)
	repository, err = catalog.Create(ctx, store, catalog.CreateOptions{ClusterName: "devices-eu"})
	must(t, err)
	client, err := cluster.Connect(ctx, cluster.Options{URI: server.URI(), Timeout: 10 * time.Second, Await: 50 * time.Millisecond})
	must(t, err)
	t.Cleanup(func() { client.Close(context.Background()) })
	archiver := oplog.NewArchiver(client, repository, oplog.ArchiveOptions{})
	_, err = archiver.Once(ctx)
	must(t, err)

	story := mender.New(driver, 1, mender.Sizes{Devices: 1500, Touched: 120, Tenants: 3})
	must(t, story.Prepare(ctx))
	decimal, err := bson.ParseDecimal128("-12.340E+2000")
	must(t, err)
	_, err = driver.Database("shop").Collection("awkward").InsertMany(ctx, []any{
		bson.D{{Key: "_id", Value: bson.MinKey{}}, {Key: "d", Value: decimal}, {Key: "r", Value: bson.Regex{Pattern: "a.*", Options: "im"}}},
		bson.D{{Key: "_id", Value: 1.5}, {Key: "t", Value: bson.Timestamp{T: 7, I: 9}}, {Key: "b", Value: bson.Binary{Subtype: 0x80, Data: []byte{0, 1, 2}}}},
		bson.D{{Key: "_id", Value: "ü\x00"}, {Key: "", Value: bson.A{nil, true, int64(1), int32(1), 1.0, bson.MaxKey{}}}, {Key: "z", Value: bson.D{{Key: "b", Value: 1}, {Key: "a", Value: 2}}}},
		bson.D{{Key: "_id", Value: bson.D{{Key: "big", Value: strings.Repeat("x", 3<<20)}}}, {Key: "js", Value: bson.JavaScript("f()")}},
	})
	must(t, err)
	_, err = snapshot.Take(ctx, client, repository, snapshot.Options{Reason: format.ReasonManual, Archive: archiver})
	must(t, err)
	_, err = story.Migrate(ctx)
	must(t, err)
	must(t, story.Repair(ctx))
	_, err = archiver.Once(ctx)
	must(t, err)
	return folder, repository
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestOthersReadContainers lets zstd and a BSON library that nobody here wrote read every container of a repository: the
// same number of documents, and each value understood so well that it encodes to the same bytes.
func TestOthersReadContainers(t *testing.T) {
	zstd, python := mustHave(t, "zstd"), pythonWithBSON(t)
	folder, repository := smallRepository(t)
	seen := map[format.Kind]int{}
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".bson.zst") {
			return err
		}
		relative, err := filepath.Rel(folder, path)
		must(t, err)
		name, err := format.ParseName(filepath.ToSlash(relative))
		must(t, err)
		count, sum := readWithPitr(t, repository, name)
		unpacked, err := exec.Command(zstd, "-dcq", path).Output()
		if err != nil {
			t.Errorf("zstd refuses %s: %v", name, err)
			return nil
		}
		want := fmt.Sprintf("%d %x", count, sum)
		if sha256.Sum256(unpacked) != sum {
			t.Errorf("zstd unpacks %s to other bytes than pitr", name)
		}
		reader := exec.Command(python, "-c", readWithPython)
		reader.Stdin, reader.Stderr = bytes.NewReader(unpacked), os.Stderr
		output, err := reader.Output()
		if got := strings.TrimSpace(string(output)); err != nil || got != want {
			t.Errorf("%s: python reads %q (%v), pitr %q", name, got, err, want)
		}
		seen[name.Kind()] += count
		return nil
	})
	must(t, err)
	for kind, least := range map[format.Kind]int{format.KindChunk: 3000, format.KindSegment: 3000, format.KindCatalogPart: 8} {
		if seen[kind] < least {
			t.Errorf("%d documents of kind %q, expected %d or more", seen[kind], kind, least)
		}
	}
}

// readWithPitr gives the number of documents of a container and the hash of their bytes.
func readWithPitr(t *testing.T, repository *catalog.Repository, name format.Name) (count int, sum [sha256.Size]byte) {
	t.Helper()
	content, err := repository.Get(t.Context(), name)
	must(t, err)
	container, err := format.OpenContainer(content, format.Expect{Name: name})
	must(t, err)
	var all bytes.Buffer
	for document, err := range container.Documents(t.Context()) {
		must(t, err)
		all.Write(document)
		count++
	}
	return count, sha256.Sum256(all.Bytes())
}
