package format_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/format"
)

// forged is a directory that a hostile writer can make: every digest fits.
type forged struct {
	v, raw, documents, collection int
	name                          string
	kind                          format.Kind
	offset, stored                int
}

func honest(tb testing.TB, stored []byte, raw, documents int) forged {
	name := chunkName(tb)
	return forged{v: 1, raw: raw, documents: documents, name: name.String(), kind: name.Kind(), stored: len(stored)}
}

func (f forged) seal(tb testing.TB, stored []byte) []byte {
	hash := format.FrameHash(stored)
	return format.ForgeContainer(bytes.Clone(stored), raw(tb, bson.D{
		{Key: "v", Value: int32(f.v)}, {Key: "kind", Value: string(f.kind)}, {Key: "name", Value: f.name},
		{Key: "frames", Value: bson.A{bson.D{
			{Key: "o", Value: int32(f.offset)}, {Key: "c", Value: int32(f.stored)}, {Key: "r", Value: int32(f.raw)},
			{Key: "n", Value: int32(f.documents)}, {Key: "h", Value: bson.Binary{Data: hash[:]}}, {Key: "k", Value: int32(f.collection)},
		}}},
	}))
}

func compress(tb testing.TB, content []byte, options ...zstd.EOption) []byte {
	tb.Helper()
	encoder, err := zstd.NewWriter(nil, options...)
	if err != nil {
		tb.Fatal(err)
	}
	return encoder.EncodeAll(content, nil)
}

// case X09: frames that cost more than they say, or hide something.
func TestHostileFramesAreRefused(t *testing.T) {
	documents := bytes.Join([][]byte{newOrders(1).next(), newOrders(2).next()}, nil)
	single := zstd.WithSingleSegment(true)
	good := compress(t, documents, single)
	if err := readContainer(format.Expect{Name: chunkName(t)}, honest(t, good, len(documents), 2).seal(t, good)); err != nil {
		t.Fatalf("the honest forgery: %v", err)
	}
	bomb := make([]byte, 200<<20)
	window := append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x04, 19 << 3}, 1, 0, 0, 0, 0, 0, 0) // 512 MiB, no size
	skippable := append([]byte{0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0}, 1, 2, 3, 4)
	dictionary := bytes.Clone(good)
	dictionary[4] |= 1
	dictionary = append(append(bytes.Clone(dictionary[:5]), 7), dictionary[5:]...)
	for what, hostile := range map[string]struct {
		stored         []byte
		raw, documents int
	}{
		"a bomb that says so":            {compress(t, bomb, single), len(bomb), 1},
		"a bomb that lies":               {compress(t, bomb, single), len(documents), 2},
		"a bomb in a legal size":         {compress(t, make([]byte, 30<<20), single), 30 << 20, 1},
		"a wide window":                  {window, len(documents), 2},
		"a frame without its size":       {compress(t, documents[:200], zstd.WithSingleSegment(false)), 200, 1},
		"a second frame behind":          {append(bytes.Clone(good), good...), len(documents), 2},
		"an empty frame behind":          {append(bytes.Clone(good), compress(t, nil, zstd.WithZeroFrames(true))...), len(documents), 2},
		"a skippable frame behind":       {append(bytes.Clone(good), skippable...), len(documents), 2},
		"a skippable frame before":       {append(bytes.Clone(skippable), good...), len(documents), 2},
		"a skippable frame alone":        {skippable, len(documents), 2},
		"a dictionary":                   {dictionary, len(documents), 2},
		"no checksum":                    {compress(t, documents, single, zstd.WithEncoderCRC(false)), len(documents), 2},
		"one byte less than it says":     {good, len(documents) + 1, 2},
		"one document less than it says": {good, len(documents), 3},
		"one document more than it says": {good, len(documents), 1},
		"nothing":                        {nil, len(documents), 2},
		"a frame cut short":              {good[:len(good)-1], len(documents), 2},
		"a header alone":                 {good[:6], len(documents), 2},
		"no frame at all":                {[]byte("hello, world"), len(documents), 2},
	} {
		object := honest(t, hostile.stored, hostile.raw, hostile.documents).seal(t, hostile.stored)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := readContainer(format.Expect{Name: chunkName(t)}, object)
		runtime.ReadMemStats(&after)
		if pitr.KindOf(err) != pitr.KindCorrupt {
			t.Errorf("%s: %v", what, err)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 80<<20 {
			t.Errorf("%s: refusing it took %d MiB", what, grown>>20)
		}
	}
}

// Directories whose digest fits and whose content does not.
func TestHostileDirectoriesAreRefused(t *testing.T) {
	documents := newOrders(1).next()
	good := compress(t, documents, zstd.WithSingleSegment(true))
	for what, change := range map[string]func(*forged){
		"another name":             func(f *forged) { f.name = "pitr.json" },
		"another kind":             func(f *forged) { f.kind = format.KindSegment },
		"a hole before the frame":  func(f *forged) { f.offset = 1 },
		"a negative offset":        func(f *forged) { f.offset = -1 },
		"a frame that is too long": func(f *forged) { f.stored++ },
		"a frame of nothing":       func(f *forged) { f.stored = 0 },
		"a negative size":          func(f *forged) { f.raw = -1 },
		"a size beyond the limit":  func(f *forged) { f.raw = format.MaxDocument + 1 },
		"more documents than fit":  func(f *forged) { f.documents = len(documents) },
		"no documents":             func(f *forged) { f.documents = 0 },
		"a negative collection":    func(f *forged) { f.collection = -1 },
		"a collection too many":    func(f *forged) { f.collection = format.MaxCollections },
		"version 0":                func(f *forged) { f.v = 0 },
	} {
		f := honest(t, good, len(documents), 1)
		change(&f)
		_, err := format.OpenContainer(f.seal(t, good), format.Expect{Name: chunkName(t)})
		if pitr.KindOf(err) != pitr.KindCorrupt {
			t.Errorf("%s: %v", what, err)
		}
	}
	// case I22
	f := honest(t, good, len(documents), 1)
	f.v = 2
	err := readContainer(format.Expect{Name: chunkName(t)}, f.seal(t, good))
	if pitr.KindOf(err) != pitr.KindUnsupported || !strings.Contains(pitr.HintOf(err), "update pitr") {
		t.Errorf("a newer directory: %v", err)
	}
}

// nested makes a document of so many levels below the first.
func nested(levels int) []byte {
	document := []byte{5, 0, 0, 0, 0}
	for range levels {
		outer := binary.LittleEndian.AppendUint32(nil, uint32(len(document)+4+3+1))
		outer = append(outer, byte(bson.TypeEmbeddedDocument), 'd', 0)
		document = append(append(outer, document...), 0)
	}
	return document
}

func element(kind byte, value ...byte) []byte {
	document := append([]byte{0, 0, 0, 0, kind, 'a', 0}, append(value, 0)...)
	binary.LittleEndian.PutUint32(document, uint32(len(document)))
	return document
}

// case X10
func TestHostileDocumentsAreRefused(t *testing.T) {
	hostile := map[string][]byte{
		"nothing": {}, "a length alone": {5, 0, 0, 0}, "length 0": {0, 0, 0, 0, 0}, "length -1": {255, 255, 255, 255, 0},
		"length 2^31-1": {255, 255, 255, 127, 0}, "length 4": {4, 0, 0, 0, 0}, "one byte short": {6, 0, 0, 0, 0}, "one byte more": {5, 0, 0, 0, 0, 0},
		"no end": {5, 0, 0, 0, 1}, "a name without an end": {8, 0, 0, 0, 10, 'a', 'b', 0}, "a type without a name": {6, 0, 0, 0, 10, 0},
		"an unknown type": element(0x20), "type 0": element(0), "a short double": element(1, 1, 2, 3),
		"a string of length 0": element(2, 0, 0, 0, 0), "a string of length -1": element(2, 255, 255, 255, 255, 0),
		"a string of length 2^31-1": element(2, 255, 255, 255, 127, 0), "a string without an end": element(2, 2, 0, 0, 0, 'a', 'b'),
		"a string that eats the end": element(2, 2, 0, 0, 0, 'a'), "a binary of length -1": element(5, 255, 255, 255, 255, 0),
		"a binary that is too long": element(5, 2, 0, 0, 0, 0, 1), "a binary without a subtype": element(5, 0, 0, 0, 0),
		"a document larger than its outside": element(3, 100, 0, 0, 0, 0), "a document without an end": element(3, 5, 0, 0, 0, 1),
		"an array of length 1": element(4, 1, 0, 0, 0, 0), "a regular expression without options": element(11, 'a', 0, 'b'),
		"a regular expression without an end": element(11, 'a'), "code with scope 0": element(15, 0, 0, 0, 0),
		"code with a scope too short": element(15, 14, 0, 0, 0, 1, 0, 0, 0, 0, 6, 0, 0, 0, 0),
		"code with bytes behind":      element(15, 15, 0, 0, 0, 1, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0),
		"a short object id":           element(7, 1, 2), "a pointer without an id": element(12, 1, 0, 0, 0, 0),
		"10,000 levels": nested(10_000), "one level too many": nested(format.MaxDepth + 1),
	}
	w, err := format.NewWriter(format.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for what, document := range hostile {
		if err := format.ValidateDocument(document); err == nil {
			t.Errorf("%s is taken for a document", what)
		}
		if _, err := w.Append(0, document); pitr.KindOf(err) != pitr.KindCorrupt {
			t.Errorf("%s is appended: %v", what, err)
		}
		if len(document) == 0 {
			continue
		}
		stored := compress(t, document, zstd.WithSingleSegment(true))
		object := honest(t, stored, len(document), 1).seal(t, stored)
		if err := readContainer(format.Expect{Name: chunkName(t)}, object); pitr.KindOf(err) != pitr.KindCorrupt {
			t.Errorf("%s is read: %v", what, err)
		}
	}
	if err := format.ValidateDocument(nested(format.MaxDepth)); err != nil {
		t.Errorf("the deepest document: %v", err)
	}
}

// case I17: every type, at its smallest and with its extremes.
func TestEveryTypeIsADocument(t *testing.T) {
	seen := map[byte]bool{}
	accept := func(kind byte, value ...byte) {
		t.Helper()
		seen[kind] = true
		if err := format.ValidateDocument(element(kind, value...)); err != nil {
			t.Errorf("type 0x%02x with %x: %v", kind, value, err)
		}
	}
	sixteen := bytes.Repeat([]byte{0xff}, 16)
	for kind, size := range map[byte]int{0x01: 8, 0x06: 0, 0x07: 12, 0x08: 1, 0x09: 8, 0x0a: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16, 0x7f: 0, 0xff: 0} {
		accept(kind, sixteen[:size]...)
		accept(kind, make([]byte, size)...)
	}
	for _, text := range []byte{0x02, 0x0d, 0x0e} {
		accept(text, 1, 0, 0, 0, 0)
		accept(text, 4, 0, 0, 0, 0xff, 0, 0xfe, 0)
	}
	for _, inner := range []byte{0x03, 0x04} {
		accept(inner, 5, 0, 0, 0, 0)
		accept(inner, nested(9)...)
	}
	for subtype := range 256 {
		accept(0x05, 0, 0, 0, 0, byte(subtype))
		accept(0x05, 3, 0, 0, 0, byte(subtype), 0, 0, 0)
	}
	accept(0x0b, 0, 0)
	accept(0x0b, 'a', 0, 'i', 'm', 0)
	accept(0x0c, append([]byte{1, 0, 0, 0, 0}, sixteen[:12]...)...)
	accept(0x0f, 14, 0, 0, 0, 1, 0, 0, 0, 0, 5, 0, 0, 0, 0)
	accept(0x0f, append([]byte{byte(9 + len(nested(3))), 0, 0, 0, 1, 0, 0, 0, 0}, nested(3)...)...)
	if len(seen) != 21 {
		t.Errorf("%d types were tried", len(seen))
	}
}

// case X11, I22, I23
func TestHostileJSONIsRefused(t *testing.T) {
	name := must(t)(format.HoldName(otherID))
	hold := fmt.Sprintf(`"object": "hold", "id": %q, "created": "2025-10-22T12:00:00Z", "reason": "x"`, otherID)
	body := func(fields string) string { return "{\"format\": 1, " + fields + ",\n" }
	if err := format.DecodeJSON(name, format.ForgeJSON(body(hold)), &format.Hold{}); err != nil {
		t.Fatalf("the honest forgery: %v", err)
	}
	for what, object := range map[string][]byte{
		"a huge text":           format.ForgeJSON(body(hold + `, "note": "` + strings.Repeat("x", format.MaxJSON) + `"`)),
		"10^6 keys":             format.ForgeJSON(body(hold + strings.Repeat(`, "k": 1`, 1_000_000))),
		"deep lists":            format.ForgeJSON(body(hold + `, "x": ` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000))),
		"deep objects":          format.ForgeJSON(body(hold + `, "x": ` + strings.Repeat(`{"a":`, 33) + "1" + strings.Repeat("}", 33))),
		"a repeated key":        format.ForgeJSON(body(hold + `, "reason": "y"`)),
		"a repeated key inside": format.ForgeJSON(body(hold + `, "x": {"a": 1, "a": 2}`)),
		"a key of another case": format.ForgeJSON(body(hold + `, "Reason": "y"`)),
		"a big number":          format.ForgeJSON(body(hold + `, "window": {"after": 1e400, "through": "5:1"}`)),
		"text that is no UTF-8": format.ForgeJSON(body(hold + ", \"note\": \"\xff\"")),
		"another type":          format.ForgeJSON(body(strings.Replace(hold, `"x"`, "7", 1))),
		"another kind":          format.ForgeJSON(body(strings.Replace(hold, `"hold"`, `"mark"`, 1))),
		"no kind":               format.ForgeJSON(body(strings.Replace(hold, `"object": "hold", `, "", 1))),
		"no version":            format.ForgeJSON("{" + hold + ",\n"),
		"version 0":             format.ForgeJSON("{\"format\": 0, " + hold + ",\n"),
		"the version as text":   format.ForgeJSON("{\"format\": \"1\", " + hold + ",\n"),
		"the version repeated":  format.ForgeJSON(body(hold + `, "format": 2`)),
		"the digest repeated":   format.ForgeJSON(body(hold + `, "sha256": "x"`)),
		"an id of another form": format.ForgeJSON(body(strings.Replace(hold, string(otherID), "../x", 1))),
		"no object":             format.ForgeJSON("[1,\n"),
		"a weaker hash":         bytes.Replace(format.ForgeJSON(body(hold)), []byte("sha256"), []byte("md5"), 1),
		"an unknown hash":       bytes.Replace(format.ForgeJSON(body(hold)), []byte("sha256"), []byte("sha255"), 1),
		"no hash":               []byte(body(hold) + "  \"x\": 1\n}\n"),
		"nothing":               nil,
	} {
		if err := format.DecodeJSON(name, object, &format.Hold{}); pitr.KindOf(err) != pitr.KindCorrupt {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, object := range map[string][]byte{
		"a newer object":                  format.ForgeJSON("{\"format\": 2, \"what\": {},\n"),
		"a newer object with another end": []byte("{\"format\": 3, \"sha512\": \"x\"}\n"),
	} {
		err := format.DecodeJSON(name, object, &format.Hold{})
		if pitr.KindOf(err) != pitr.KindUnsupported || !strings.Contains(pitr.HintOf(err), "update pitr") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Names inside objects pass through the same grammar. case X07
func TestHostileNamesInObjectsAreRefused(t *testing.T) {
	text := fmt.Sprintf("{\"format\": 1, \"object\": \"condemned\", \"id\": %q, \"created\": \"2025-10-22T12:00:00Z\", \"objects\": [\"../../etc/passwd\"],\n", otherID)
	err := format.DecodeJSON(must(t)(format.CondemnedName(otherID)), format.ForgeJSON(text), &format.Condemned{})
	if pitr.KindOf(err) != pitr.KindCorrupt {
		t.Errorf("a path in a list of objects: %v", err)
	}
}
