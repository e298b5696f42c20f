package format_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"pitr"
	"pitr/format"
)

// seal writes the documents, cycling through so many collections in runs of ten.
func seal(tb testing.TB, name format.Name, collections int, documents []bson.Raw) format.Sealed {
	tb.Helper()
	w, err := format.NewWriter(format.WriterOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	for i, document := range documents {
		if _, err := w.Append(i/10%collections, document); err != nil {
			tb.Fatal(err)
		}
	}
	sealed, err := w.Finish(name, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return sealed
}

func readAll(container *format.Container) ([]bson.Raw, error) {
	var all []bson.Raw
	for document, err := range container.Documents(context.Background()) {
		if err != nil {
			return nil, err
		}
		all = append(all, document)
	}
	return all, nil
}

func TestContainerRoundTrip(t *testing.T) {
	for _, count := range []int{0, 1, 25, 5000} {
		documents := newOrders(7).take(count)
		sealed := seal(t, chunkName(t), 3, documents)
		container, err := format.OpenContainer(sealed.Data, format.Expect{
			Name: sealed.Name, Digest: sealed.Digest, Directory: sealed.Directory})
		if err != nil {
			t.Fatal(err)
		}
		back, err := readAll(container)
		if err != nil {
			t.Fatal(err)
		}
		if len(back) != count || int(sealed.Documents) != count {
			t.Fatalf("%d documents back, %d sealed, %d written", len(back), sealed.Documents, count)
		}
		for i := range back {
			if !bytes.Equal(back[i], documents[i]) {
				t.Fatalf("document %d of %d differs", i, count)
			}
		}
	}
}

// The data must be readable without pitr: every reader of frames in a row finds every document and skips the directory.
func TestStockReadersFindEveryDocument(t *testing.T) {
	documents := newOrders(5).take(6000)
	want := bytes.Join(asBytes(documents), nil)
	sealed := seal(t, chunkName(t), 4, documents)
	stream, err := zstd.NewReader(bytes.NewReader(sealed.Data))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if content, err := io.ReadAll(stream); err != nil || !bytes.Equal(content, want) {
		t.Errorf("a streaming reader gives %d of %d bytes, %v", len(content), len(want), err)
	}
	tool, err := exec.LookPath("zstd")
	if err != nil {
		t.Skip("skipped the second half: no zstd on this machine")
	}
	file := filepath.Join(t.TempDir(), "data.bson.zst")
	if err := os.WriteFile(file, sealed.Data, 0o600); err != nil {
		t.Fatal(err)
	}
	content, err := exec.Command(tool, "-dc", file).Output()
	if err != nil || !bytes.Equal(content, want) {
		t.Errorf("zstd -dc gives %d of %d bytes, %v", len(content), len(want), err)
	}
	if out, err := exec.Command(tool, "-t", file).CombinedOutput(); err != nil {
		t.Errorf("zstd -t: %s, %v", out, err)
	}
}

func asBytes(documents []bson.Raw) [][]byte {
	all := make([][]byte, len(documents))
	for i, document := range documents {
		all[i] = document
	}
	return all
}

// Frames hold one collection each, end before 1 MiB unless one document is larger, and are found again by number.
func TestFramesAreCut(t *testing.T) {
	large := raw(t, bson.D{{Key: "_id", Value: 1}, {Key: "x", Value: strings.Repeat("x", 3<<20)}})
	largest := raw(t, bson.D{{Key: "_id", Value: 2}, {Key: "x", Value: bson.Binary{Data: noise(33 << 20)}}})
	w, err := format.NewWriter(format.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	orders := newOrders(9)
	type place struct{ collection, frame int }
	placed := make(map[string]place)
	put := func(collection int, document bson.Raw) {
		frame, err := w.Append(collection, document)
		if err != nil {
			t.Fatal(err)
		}
		placed[string(document)] = place{collection, frame}
	}
	for i := range 5000 {
		put(i/1700, orders.next())
		if i%2500 == 2000 {
			large[len(large)-3]++
			put(i/1700, bytes.Clone(large))
		}
	}
	put(2, largest)
	sealed, err := w.Finish(chunkName(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	container, err := format.OpenContainer(sealed.Data, format.Expect{Name: sealed.Name})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for i, frame := range container.Frames() {
		if frame.Raw > 1<<20 && frame.Documents > 1 {
			t.Errorf("frame %d holds %d documents in %d bytes", i, frame.Documents, frame.Raw)
		}
		block, err := container.Read(context.Background(), i, nil)
		if err != nil {
			t.Fatal(err)
		}
		for document := range block.Documents() {
			if placed[string(document)] != (place{frame.Collection, i}) {
				t.Fatalf("a document of frame %d, collection %d, was put into %+v", i, frame.Collection, placed[string(document)])
			}
			found++
		}
	}
	if found != len(placed) || found != 5003 {
		t.Errorf("%d documents found, %d put", found, len(placed))
	}
}

func noise(n int) []byte {
	content := make([]byte, n)
	random := rand.NewChaCha8([32]byte{9})
	_, _ = random.Read(content)
	return content
}

// A writer that is asked after each document stays within its limit, even where nothing compresses.
func TestWriterStaysWithinItsLimit(t *testing.T) {
	const limit = 6 << 20
	w, err := format.NewWriter(format.WriterOptions{Limit: limit})
	if err != nil {
		t.Fatal(err)
	}
	content := noise(64 << 20)
	sizes := rand.New(rand.NewPCG(4, 4))
	for written := 0; len(content) > 1<<20; written++ {
		n := sizes.IntN(300_000)
		document := raw(t, bson.D{{Key: "x", Value: bson.Binary{Data: content[:n]}}})
		content = content[n:]
		if _, err := w.Append(0, document); err != nil {
			t.Fatal(err)
		}
		if !w.Full() {
			continue
		}
		sealed, err := w.Finish(chunkName(t), nil)
		if err != nil || sealed.Size() > limit || sealed.Size() < limit/2 {
			t.Fatalf("an object of %d bytes, %v", sealed.Size(), err)
		}
	}
	for frame := 0; !w.Full(); frame++ {
		if _, err := w.Append(frame%2, raw(t, bson.D{})); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(chunkName(t), nil); err != nil {
		t.Errorf("as many frames as a container can have: %v", err)
	}
}

// A reader by ranges takes the end and the frames it wants, no more.
func TestReadingByRanges(t *testing.T) {
	ctx := context.Background()
	sealed := seal(t, chunkName(t), 1, newOrders(6).take(40_000))
	source := &counted{data: sealed.Data}
	expect := format.Expect{Name: sealed.Name, Size: sealed.Size(), Directory: sealed.Directory}
	container, err := format.OpenContainerAt(ctx, source.read, expect)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := container.Read(ctx, 3, nil); err != nil {
		t.Fatal(err)
	}
	if source.reads != 2 || source.bytes > 8<<10+int64(container.Frames()[3].Stored) {
		t.Errorf("one frame of an ordinary chunk took %d reads, %d bytes", source.reads, source.bytes)
	}
	failure := errors.New("the network is down")
	broken := func(context.Context, int64, int64) ([]byte, error) { return nil, failure }
	if _, err := format.OpenContainerAt(ctx, broken, expect); !errors.Is(err, failure) || pitr.KindOf(err) == pitr.KindCorrupt {
		t.Errorf("a read that fails gives %v", err)
	}
	short := func(_ context.Context, offset, n int64) ([]byte, error) { return sealed.Data[offset : offset+n-1], nil }
	if _, err := format.OpenContainerAt(ctx, short, expect); err == nil {
		t.Error("a short read is taken for a whole one")
	}
}

// Random documents, sizes and collections, one writer for many containers. case I17 for the container's part
func TestContainersHoldAnyDocument(t *testing.T) {
	w, err := format.NewWriter(format.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		w.Reset()
		var want []bson.Raw
		for range rapid.IntRange(0, 40).Draw(t, "documents") {
			value := rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "value")
			length := rapid.SampledFrom([]int{1, 1, 1, 300, 30_000, 400_000}).Draw(t, "repeat")
			document, err := bson.Marshal(bson.D{{Key: "x", Value: bson.Binary{Data: bytes.Repeat(value, length/50+1)}}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Append(rapid.IntRange(0, 2).Draw(t, "collection"), document); err != nil {
				t.Fatal(err)
			}
			want = append(want, document)
		}
		name, err := format.CatalogPartName(snapshotID, 3)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := w.Finish(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		container, err := format.OpenContainer(sealed.Data, format.Expect{Name: name, Digest: sealed.Digest, Size: sealed.Size()})
		if err != nil {
			t.Fatal(err)
		}
		back, err := readAll(container)
		if err != nil || len(back) != len(want) {
			t.Fatalf("%d documents of %d, %v", len(back), len(want), err)
		}
		for i := range want {
			if !bytes.Equal(want[i], back[i]) {
				t.Fatalf("document %d comes back as other bytes", i)
			}
		}
	})
}
