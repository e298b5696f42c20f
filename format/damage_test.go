package format_test

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/format"
)

// small gives one object of each shape, and what reads it whole.
func small(tb testing.TB) map[string]object {
	facts := segmentFacts()
	segmentName, err := facts.SegmentName()
	if err != nil {
		tb.Fatal(err)
	}
	w, err := format.NewWriter(format.WriterOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	for i := range 2 {
		if _, err := w.Append(i, raw(tb, bson.D{{Key: "op", Value: "i"}, {Key: "o", Value: bson.D{{Key: "_id", Value: i}}}})); err != nil {
			tb.Fatal(err)
		}
	}
	segment, err := w.Finish(segmentName, facts.BSON())
	if err != nil {
		tb.Fatal(err)
	}
	chunk := seal(tb, chunkName(tb), 2, newOrders(2).take(12))
	keys := sealKeys(tb, 0, 30)
	mark := encode(tb, &format.Mark{ID: otherID, At: pitr.NewTimestamp(5, 7), Name: "before v4", Created: noon})
	return map[string]object{
		"segment":          {segment, func(data []byte) error { return readSegment(segment, data) }},
		"segment, stored":  {segment, func(data []byte) error { return checkSegment(segment, data) }},
		"chunk":            {chunk, func(data []byte) error { return readContainer(format.Expect{Name: chunk.Name}, data) }},
		"chunk, by digest": {chunk, func(data []byte) error { return readByDigest(chunk, data) }},
		"keys":             {keys, func(data []byte) error { return readKeys(format.Expect{Name: keys.Name}, data) }},
		"keys, whole": {keys, func(data []byte) error {
			_, err := format.OpenKeysData(data, format.Expect{Name: keys.Name})
			return err
		}},
		"manifest": jsonObject(tb, manifest(), &format.Manifest{}),
		"mark":     {mark, func(data []byte) error { return format.DecodeJSON(mark.Name, data, &format.Mark{}) }},
	}
}

type object struct {
	format.Sealed
	read func([]byte) error
}

func jsonObject(tb testing.TB, from, into format.Object) object {
	sealed := encode(tb, from)
	return object{sealed, func(data []byte) error { return format.DecodeJSON(sealed.Name, data, into) }}
}

func readContainer(expect format.Expect, data []byte) error {
	container, err := format.OpenContainer(data, expect)
	if err == nil {
		_, err = readAll(container)
	}
	return err
}

func readByDigest(sealed format.Sealed, data []byte) error {
	_, err := format.OpenContainer(data, format.Expect{Name: sealed.Name, Digest: sealed.Digest})
	return err
}

func readSegment(sealed format.Sealed, data []byte) error {
	container, err := format.OpenContainer(data, format.Expect{Name: sealed.Name})
	if err != nil {
		return err
	}
	if _, err := container.SegmentFacts(); err != nil {
		return err
	}
	_, err = readAll(container)
	return err
}

func checkSegment(sealed format.Sealed, data []byte) error {
	container, err := format.OpenContainer(data, format.Expect{Name: sealed.Name})
	if err != nil {
		return err
	}
	return container.CheckStored(context.Background())
}

// readKeys reads by ranges, as a look-up does.
func readKeys(expect format.Expect, data []byte) error {
	expect.Size = int64(len(data))
	keys, err := format.OpenKeys(context.Background(), func(_ context.Context, offset, n int64) ([]byte, error) {
		return data[offset : offset+n], nil
	}, expect)
	if err != nil {
		return err
	}
	for _, err := range keys.Entries(context.Background()) {
		if err != nil {
			return err
		}
	}
	return nil
}

// case I01: every bit of every shape of object.
func TestEveryBitFlipIsFound(t *testing.T) {
	for what, o := range small(t) {
		if err := o.read(o.Data); err != nil {
			t.Fatalf("%s as written: %v", what, err)
		}
		for i := range len(o.Data) * 8 {
			damaged := bytes.Clone(o.Data)
			damaged[i/8] ^= 1 << (i % 8)
			if err := o.read(damaged); pitr.KindOf(err) != pitr.KindCorrupt {
				t.Errorf("%s with bit %d of byte %d of %d flipped: %v", what, i%8, i/8, len(o.Data), err)
			}
		}
	}
}

// case I02 and I03: every length, bytes behind the end, a second container behind the first.
func TestEveryOtherLengthIsFound(t *testing.T) {
	for what, o := range small(t) {
		for length := range o.Data {
			if err := o.read(o.Data[:length]); pitr.KindOf(err) != pitr.KindCorrupt {
				t.Errorf("%s cut to %d of %d bytes: %v", what, length, len(o.Data), err)
			}
		}
		for _, more := range [][]byte{{0}, []byte("\n"), []byte("PITRDIR1"), o.Data} {
			if err := o.read(slices.Concat(o.Data, more)); pitr.KindOf(err) != pitr.KindCorrupt {
				t.Errorf("%s with %d more bytes: %v", what, len(more), err)
			}
			if err := o.read(slices.Concat(more, o.Data)); pitr.KindOf(err) != pitr.KindCorrupt {
				t.Errorf("%s behind %d more bytes: %v", what, len(more), err)
			}
		}
	}
}

// case I04, I05 and I07: an object that is whole, under the name of another.
func TestSwappedObjectsAreFound(t *testing.T) {
	documents := newOrders(2).take(12)
	first := seal(t, chunkName(t), 2, documents)
	neighbour, err := format.ChunkName(snapshotID, 2)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := format.ChunkName(otherID, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []format.Name{neighbour, elsewhere} {
		if err := readContainer(format.Expect{Name: name}, first.Data); pitr.KindOf(err) != pitr.KindCorrupt {
			t.Errorf("%s as %s: %v", first.Name, name, err)
		}
		second := seal(t, name, 2, documents)
		if len(second.Data) != len(first.Data) {
			t.Fatal("the objects differ in size")
		}
		expect := format.Expect{Name: name, Directory: first.Directory}
		if err := readContainer(expect, second.Data); pitr.KindOf(err) != pitr.KindCorrupt {
			t.Errorf("a directory of another digest: %v", err)
		}
	}
	keys := sealKeys(t, 0, 30)
	other, err := format.KeysName(snapshotID, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := readKeys(format.Expect{Name: other}, keys.Data); pitr.KindOf(err) != pitr.KindCorrupt {
		t.Errorf("keys of another collection: %v", err)
	}
	sealed := encode(t, manifest())
	folder, err := format.ManifestName(otherID)
	if err != nil {
		t.Fatal(err)
	}
	if err := format.DecodeJSON(folder, sealed.Data, &format.Manifest{}); pitr.KindOf(err) != pitr.KindCorrupt {
		t.Errorf("a manifest in the folder of another snapshot: %v", err)
	}
	lease := encode(t, &format.Lease{Lease: "archive", Generation: 2, Taken: noon})
	older, err := format.LeaseName("archive", 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := format.DecodeJSON(older, lease.Data, &format.Lease{}); pitr.KindOf(err) != pitr.KindCorrupt {
		t.Errorf("a lease under the name of another generation: %v", err)
	}
}

// case I10 and I11: a compressor, or memory, that gives other bytes.
func TestWriterNoticesABadCompressor(t *testing.T) {
	for what, spoil := range map[string]func(stored []byte) []byte{
		"a flipped bit":       func(stored []byte) []byte { stored[len(stored)/2] ^= 4; return stored },
		"a frame cut short":   func(stored []byte) []byte { return stored[:len(stored)-1] },
		"nothing":             func([]byte) []byte { return nil },
		"a frame of its own":  func(stored []byte) []byte { return append(stored, stored...) },
		"a valid other frame": nil,
	} {
		w, err := format.NewWriter(format.WriterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		encode := w.Encoder()
		w.SetEncoder(func(raw, stored []byte) []byte {
			if spoil == nil {
				other := bytes.Clone(raw)
				other[10]++
				return encode(other, stored)
			}
			return append(stored, spoil(encode(raw, nil))...)
		})
		for _, document := range newOrders(1).take(30) {
			if _, err := w.Append(0, document); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Finish(chunkName(t), nil); pitr.KindOf(err) != pitr.KindCorrupt {
			t.Errorf("a compressor that gives %s: %v", what, err)
		}
		w.SetEncoder(encode)
		if _, err := w.Finish(chunkName(t), nil); err == nil {
			t.Error("a writer that failed can be finished")
		}
	}
}
