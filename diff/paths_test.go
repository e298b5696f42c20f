package diff_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/zeebo/xxh3"
	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"pitr"
	"pitr/diff"
)

// finding is a side that finds documents by key.
type finding struct{ *side }

func (f finding) Lookup(_ context.Context, c pitr.Collection, keys []pitr.Key) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		wanted := map[string]bool{}
		for _, key := range keys {
			wanted[key.Equal()] = true
		}
		for _, document := range f.documents[c.NS] {
			key, err := pitr.KeyOf(document)
			if (err != nil || wanted[key.Equal()]) && !yield(document, err) {
				return
			}
		}
	}
}

// indexed is a side with an index whose key hash has few bits, so that many keys share one.
type indexed struct {
	finding
	parts    int
	hashBits int
	// open marks some entries as not to be relied on, with a document hash that lies.
	open int
	// asked counts the parts that were read.
	asked *int
}

func (s indexed) Index(_ context.Context, c pitr.Collection) (diff.Index, error) {
	return keyIndex{indexed: s, collection: c}, nil
}

type keyIndex struct {
	indexed
	collection pitr.Collection
}

func (x keyIndex) Parts() int { return x.parts }

func (x keyIndex) hash(document bson.Raw) uint64 {
	key, _ := pitr.KeyOf(document)
	return xxh3.HashString(key.Equal()) >> (64 - x.hashBits) << (64 - x.hashBits)
}

func (x keyIndex) Digest(ctx context.Context, part int) ([32]byte, error) {
	entries, err := x.Entries(ctx, part)
	*x.asked--
	if x.open > 0 {
		return [32]byte{}, err
	}
	var digest [32]byte
	sum := xxh3.Hash128([]byte(fmt.Sprint(entries))).Bytes()
	copy(digest[:], sum[:])
	digest[31] = 1
	return digest, err
}

func (x keyIndex) Entries(_ context.Context, part int) ([]diff.Entry, error) {
	*x.asked++
	var entries []diff.Entry
	for i, document := range x.documents[x.collection.NS] {
		hash := x.hash(document)
		if x.parts > 1 && int(hash>>(64-bits(x.parts))) != part {
			continue
		}
		entry := diff.Entry{Key: hash, Document: xxh3.Hash(document), Place: uint32(i)}
		if x.open > 0 && i%x.open == 0 {
			entry.Document, entry.Open = 7, true
		}
		entries = append(entries, entry)
	}
	slices.SortFunc(entries, func(a, b diff.Entry) int { return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Place, b.Place)) })
	return entries, nil
}

func bits(parts int) int {
	n := 0
	for parts > 1 {
		parts >>= 1
		n++
	}
	return n
}

func (x keyIndex) Documents(_ context.Context, entries []diff.Entry) iter.Seq2[bson.Raw, error] {
	entries = slices.Clone(entries)
	slices.SortFunc(entries, func(a, b diff.Entry) int { return cmp.Compare(a.Place, b.Place) })
	return func(yield func(bson.Raw, error) bool) {
		var buffer []byte
		for _, entry := range entries {
			buffer = append(buffer[:0], x.documents[x.collection.NS][entry.Place]...)
			if !yield(buffer, nil) {
				return
			}
		}
	}
}

// moving is a side that loses its moment in the middle of a scan: from then on it shows a newer state, and begins again.
type moving struct {
	finding
	newer    *side
	loseAt   int
	movedAll bool
	moved    map[pitr.Namespace]bool
}

func (m *moving) Moved(c pitr.Collection) bool { return m.movedAll || m.moved[c.NS] }

func (m *moving) now(ns pitr.Namespace) *side {
	if m.movedAll || m.moved[ns] {
		return m.newer
	}
	return m.side
}

func (m *moving) Documents(ctx context.Context, c pitr.Collection) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		n := 0
		for document, err := range m.now(c.NS).Documents(ctx, c) {
			if n == m.loseAt && !m.Moved(c) {
				m.moved[c.NS] = true
				break
			}
			n++
			if !yield(document, err) {
				return
			}
		}
		if m.moved[c.NS] {
			for document, err := range m.newer.Documents(ctx, c) {
				if !yield(document, err) {
					return
				}
			}
		}
	}
}

func (m *moving) Lookup(ctx context.Context, c pitr.Collection, keys []pitr.Key) iter.Seq2[bson.Raw, error] {
	return finding{m.now(c.NS)}.Lookup(ctx, c, keys)
}

// weak is a hash with so few values that most keys share theirs. Documents are told apart as they should.
func weak(bits int) diff.Hash {
	return func(content []byte) diff.Sum {
		h := xxh3.Hash128(content)
		return diff.Sum{High: h.Hi, Low: h.Lo >> (64 - bits) << (64 - bits)}
	}
}

func draw(rt *rapid.T, tb testing.TB, versions int) state {
	s := make(state)
	for _, ns := range []pitr.Namespace{shopA, shopB} {
		if rapid.IntRange(0, 5).Draw(rt, "absent") == 0 {
			continue
		}
		s[ns] = make(map[string]string)
		for range rapid.IntRange(0, 40).Draw(rt, "documents") {
			document := raw(tb, bson.D{{Key: "_id", Value: ids(rt, "id")}, {Key: "v", Value: rapid.IntRange(0, versions).Draw(rt, "v")}})
			s[ns][equalKey(tb, document)] = string(document)
		}
	}
	return s
}

// difference is what two states differ in, as a plain map tells it.
func (s state) difference(t state) map[string]string {
	all := map[string]string{}
	for _, ns := range []pitr.Namespace{shopA, shopB} {
		for key, document := range s[ns] {
			if t[ns][key] != document {
				all[ns.String()+key] = document + "|" + t[ns][key]
			}
		}
		for key, document := range t[ns] {
			if _, both := s[ns][key]; !both {
				all[ns.String()+key] = "|" + document
			}
		}
	}
	return all
}

func told(t *rapid.T, changes iter.Seq2[pitr.Change, error]) map[string]string {
	all := map[string]string{}
	for change, err := range changes {
		if err != nil {
			t.Fatal(err)
		}
		name := change.NS.String() + change.Key.Equal()
		if _, twice := all[name]; twice {
			t.Fatalf("%s %s is told twice", change.NS, change.Key)
		}
		all[name] = string(change.E) + "|" + string(change.T)
	}
	return all
}

// case F01: every way of comparing, in memory, by the work file, by indexes, and with a side that moves on, tells what a
// plain map tells, whatever the hashes are like.
func TestAllWaysTellTheSame(t *testing.T) {
	folder := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		e, s := draw(rt, t, 1), draw(rt, t, 2)
		seeds := rapid.SliceOfN(rapid.Uint64Range(1, 99), 3, 3).Draw(rt, "seeds")
		hashBits := rapid.SampledFrom([]int{1, 4, 20, 64}).Draw(rt, "bits")
		left, right := finding{e.side(t, seeds[0])}, finding{s.side(t, seeds[1])}
		spilled := diff.Options{Limit: 1 + int64(rapid.IntRange(0, 3000).Draw(rt, "limit")), Folder: folder, Hash: weak(hashBits)}
		asked := 0
		index := func(f finding, label string) indexed {
			return indexed{finding: f, parts: 1 << rapid.IntRange(0, 3).Draw(rt, label), hashBits: max(3, hashBits), asked: &asked,
				open: rapid.IntRange(0, 3).Draw(rt, label+" open")}
		}
		byIndexE, byIndexT := index(left, "e"), index(right, "t")
		want := e.difference(s)
		compare := func(a, b diff.Side, o diff.Options) map[string]string {
			return told(rt, diff.Compare(context.Background(), a, b, o))
		}
		ways := map[string]map[string]string{
			"memory":            compare(left.side, right.side, diff.Options{}),
			"work file":         compare(left, right, spilled),
			"index":             compare(byIndexE, byIndexT, diff.Options{}),
			"index, work file":  compare(byIndexE, byIndexT, spilled),
			"index and none":    compare(byIndexE, right, spilled),
			"index left unused": compare(byIndexE, byIndexT, diff.Options{Whole: true}),
		}
		// What moves on is compared by its newest state, and what was told before the moment was lost stays told.
		newer := e.side(t, seeds[2])
		for _, loseAt := range []int{0, 5, 100} {
			m := &moving{finding: finding{e.side(t, seeds[0])}, newer: newer, loseAt: loseAt, moved: map[pitr.Namespace]bool{}}
			ways[fmt.Sprint("moving at ", loseAt)] = compare(m, right, diff.Options{})
			m = &moving{finding: finding{e.side(t, seeds[0])}, newer: newer, loseAt: loseAt, moved: map[pitr.Namespace]bool{}}
			ways[fmt.Sprint("moving at ", loseAt, ", work file")] = compare(m, right, spilled)
		}
		for way, got := range ways {
			if fmt.Sprint(got) != fmt.Sprint(want) {
				rt.Fatalf("%s tells\n%q, the map\n%q", way, got, want)
			}
		}
	})
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("work files are left: %v, %v", left, err)
	}
}

// A document that changes between the scan and the look-up is told as it is then, and one that has become equal is not told.
func TestWhatMovesIsComparedAgain(t *testing.T) {
	before, after := numbers(t, 0, 100), numbers(t, 0, 100)
	scanned := numbers(t, 0, 100)
	for i := range 10 {
		scanned.documents[shopA][i] = raw(t, bson.D{{Key: "_id", Value: i}, {Key: "x", Value: "on the way"}})
	}
	after.documents[shopA][3] = raw(t, bson.D{{Key: "_id", Value: 3}, {Key: "x", Value: "new"}})
	after.documents[shopA] = after.documents[shopA][:99]
	m := &moving{finding: finding{scanned}, newer: after, movedAll: true}
	var tally diff.Tally
	scanning := &scanThenMove{moving: m, scanned: scanned}
	changes, err := collect(diff.Compare(context.Background(), scanning, finding{before}, diff.Options{Tally: &tally}))
	if err != nil || len(changes) != 1 || changes[0].E.Lookup("x").StringValue() != "new" {
		t.Errorf("%v, %v", changes, err)
	}
	if tally.Again != 10 {
		t.Errorf("%d documents were compared again", tally.Again)
	}
}

// scanThenMove scans one state, and finds in the newer one.
type scanThenMove struct {
	*moving
	scanned *side
}

func (s *scanThenMove) Documents(ctx context.Context, c pitr.Collection) iter.Seq2[bson.Raw, error] {
	return s.scanned.Documents(ctx, c)
}

// Equal parts are stepped over by their digest, without a look at their entries.
func TestEqualPartsAreSteppedOver(t *testing.T) {
	askedE, askedT := 0, 0
	e := indexed{finding: finding{numbers(t, 0, 1000)}, parts: 8, hashBits: 64, asked: &askedE}
	s := indexed{finding: finding{numbers(t, 0, 1000)}, parts: 8, hashBits: 64, asked: &askedT}
	changed := s.documents[shopA][500]
	s.documents[shopA][500] = raw(t, bson.D{{Key: "_id", Value: 500}, {Key: "x", Value: "text some"}})
	if len(changed) != len(s.documents[shopA][500]) {
		t.Fatal("the places of the documents would move")
	}
	changes, err := collect(diff.Compare(context.Background(), e, s, diff.Options{}))
	if err != nil || len(changes) != 1 || askedE != 1 || askedT != 1 {
		t.Errorf("%d changes, %d and %d of 8 parts read, %v", len(changes), askedE, askedT, err)
	}
}

// lying is a side that cannot move and gives other documents on a second look.
type lying struct{ finding }

func (l lying) Lookup(ctx context.Context, c pitr.Collection, keys []pitr.Key) iter.Seq2[bson.Raw, error] {
	return l.finding.Lookup(ctx, c, keys[1:])
}

func TestASideThatLosesADocumentIsRefused(t *testing.T) {
	e, s := numbers(t, 0, 50), numbers(t, 20, 70)
	e.seed = 3
	_, err := collect(diff.Compare(context.Background(), lying{finding{e}}, finding{s}, diff.Options{Limit: 1}))
	if pitr.KindOf(err) != pitr.KindCorrupt {
		t.Errorf("a document that is not found again gives %v", err)
	}
	e.documents[shopA] = append(e.documents[shopA], raw(t, bson.D{{Key: "_id", Value: 2.0}}))
	if _, err := collect(diff.Compare(context.Background(), finding{e}, finding{s}, diff.Options{Limit: 1})); pitr.KindOf(err) != pitr.KindMismatch {
		t.Errorf("a key that stands twice gives %v", err)
	}
}

// No room for the work file is a limit; the file is gone afterwards, whatever ended the comparison.
func TestTheWorkFileGoes(t *testing.T) {
	nowhere := diff.Options{Limit: 1, Folder: "/nonexistent"}
	e, s := finding{numbers(t, 0, 3000)}, finding{numbers(t, 0, 3000)}
	s.seed = 5
	if _, err := collect(diff.Compare(context.Background(), e, s, nowhere)); err != nil {
		t.Errorf("few hashes need no file: %v", err)
	}
	big := func(n int) finding {
		made := numbers(t, 0, 1)
		random := rand.New(rand.NewPCG(1, 2))
		for i := range n {
			id := make([]byte, 2000)
			for j := range id {
				id[j] = byte(random.Uint32())
			}
			made.documents[shopA] = append(made.documents[shopA], raw(t, bson.D{{Key: "_id", Value: id}, {Key: "n", Value: i}}))
		}
		return finding{made}
	}
	e, s = big(6000), big(6000)
	s.seed = 7
	if _, err := collect(diff.Compare(context.Background(), e, s, nowhere)); pitr.KindOf(err) != pitr.KindLimit || pitr.HintOf(err) == "" {
		t.Errorf("no work file gives %v", err)
	}
	folder := t.TempDir()
	var tally diff.Tally
	if changes, err := collect(diff.Compare(context.Background(), e, s, diff.Options{Limit: 1, Folder: folder, Tally: &tally})); err != nil || len(changes) > 0 {
		t.Errorf("%d changes, %v", len(changes), err)
	}
	if tally.Spilled < 10<<20 {
		t.Errorf("only %d bytes went to the work file", tally.Spilled)
	}
	s.documents[shopA] = s.documents[shopA][:5000]
	for change, err := range diff.Compare(context.Background(), e, s, diff.Options{Limit: 1, Folder: folder}) {
		if err != nil || change.E == nil {
			t.Errorf("%v, %v", change, err)
		}
		break // a consumer who has enough
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("work files are left: %v, %v", left, err)
	}
}

// A part that is too large to be sorted in memory is cut again, down to hashes that cannot be cut.
func TestLargePartsAreCutAgain(t *testing.T) {
	for name, hash := range map[string]diff.Hash{
		"one part": func(content []byte) diff.Sum {
			h := xxh3.Hash128(content)
			return diff.Sum{High: h.Hi, Low: h.Lo >> 8}
		},
		"four hashes": weak(2),
	} {
		const n = 300_000
		made := func(from int) *side {
			s := &side{documents: map[pitr.Namespace][]bson.Raw{}}
			s.collections = []pitr.Collection{{NS: shopA, UUID: pitr.UUID{1}, Type: pitr.TypeCollection}}
			long := bytes.Repeat([]byte("x"), 60)
			for i := from; i < from+n; i++ {
				s.documents[shopA] = append(s.documents[shopA], raw(t, bson.D{{Key: "_id", Value: fmt.Sprintf("%08d%s", i, long)}}))
			}
			return s
		}
		e, s := finding{made(0)}, finding{made(5)}
		s.seed = 9
		changes, err := collect(diff.Compare(context.Background(), e, s, diff.Options{Limit: 1 << 20, Hash: hash, Folder: t.TempDir()}))
		if err != nil || len(changes) != 10 {
			t.Errorf("%s: %d changes, %v", name, len(changes), err)
		}
	}
}

// copied is an index in which some documents stand twice, as a scan that met them twice leaves them: only the last copy is
// one.
type copied struct {
	indexed
	old map[string]bson.Raw
}

func (s copied) Index(_ context.Context, c pitr.Collection) (diff.Index, error) {
	return copiedIndex{keyIndex: keyIndex{indexed: s.indexed, collection: c}, old: s.old}, nil
}

type copiedIndex struct {
	keyIndex
	old map[string]bson.Raw
}

func (x copiedIndex) Entries(ctx context.Context, part int) ([]diff.Entry, error) {
	entries, err := x.keyIndex.Entries(ctx, part)
	var all []diff.Entry
	for _, entry := range entries {
		key, _ := pitr.KeyOf(x.documents[x.collection.NS][entry.Place])
		if old := x.old[key.Equal()]; old != nil {
			all = append(all, diff.Entry{Key: entry.Key, Document: xxh3.Hash(old), Place: 1 << 30})
		}
		all = append(all, entry)
	}
	return all, err
}

func (x copiedIndex) Documents(ctx context.Context, entries []diff.Entry) iter.Seq2[bson.Raw, error] {
	return x.keyIndex.Documents(ctx, slices.DeleteFunc(slices.Clone(entries), func(e diff.Entry) bool { return e.Place == 1<<30 }))
}

func TestOldCopiesAreNoDocuments(t *testing.T) {
	asked := 0
	s := indexed{finding: finding{numbers(t, 0, 20)}, parts: 1, hashBits: 64, asked: &asked}
	e := copied{indexed: s, old: map[string]bson.Raw{}}
	e.side = numbers(t, 0, 20)
	for _, i := range []int{4, 7} {
		e.old[equalKey(t, e.documents[shopA][i])] = e.documents[shopA][i]
		e.documents[shopA][i] = raw(t, bson.D{{Key: "_id", Value: i}, {Key: "x", Value: "newer"}})
	}
	e.old[equalKey(t, e.documents[shopA][9])] = raw(t, bson.D{{Key: "_id", Value: 9}, {Key: "x", Value: "older"}})
	for _, swapped := range []bool{false, true} {
		changes := diff.Compare(context.Background(), e, s, diff.Options{})
		if swapped {
			changes = diff.Compare(context.Background(), s, e, diff.Options{})
		}
		all, err := collect(changes)
		if err != nil || len(all) != 2 || all[0].Class != pitr.ClassChanged || all[1].Class != pitr.ClassChanged {
			t.Errorf("%v, %v", all, err)
		}
	}
}
