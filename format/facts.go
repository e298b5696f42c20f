package format

import (
	"encoding/binary"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// EntryMark names one entry of the oplog and the sha256 of its raw bytes; zero where there is no entry.
type EntryMark struct {
	pitr.OpTime
	Digest Digest
}

// SegmentFacts is what a segment says of itself beside its entries.
type SegmentFacts struct {
	Branch ID
	// Window is (after, through], as in the name.
	Window pitr.Window
	// Prev is the entry before the first one, Last the last one; First is the first one's optime.
	Prev, Last EntryMark
	First      pitr.OpTime
	Entries    int64
	// Majority is the majority point that was seen after reading; nothing in the segment is later.
	Majority pitr.OpTime
	Member   string
	// OpenChains are the transactions that had begun and were not finished at the start.
	OpenChains []OpenChain
	// Counts has the entries per kind and namespace, "i shop.orders"; Unknown those of kinds that were not understood.
	Counts, Unknown map[string]int64
	// Touched has, for each frame, the sorted key hashes of the documents it touches; empty where nobody collected them.
	Touched [][]uint64
}

// OpenChain is a transaction whose entries began in an earlier segment.
type OpenChain struct {
	// Session is the raw lsid, TxnNumber the transaction's number in it.
	Session   bson.Raw
	TxnNumber int64
	// First is the transaction's first entry.
	First pitr.OpTime
}

// SegmentName gives the name that follows from the facts.
func (f SegmentFacts) SegmentName() (Name, error) {
	return SegmentName(f.Branch, f.Window, f.Prev.Digest.Short(), f.Last.Digest.Short())
}

// BSON gives the document for Writer.Finish.
func (f SegmentFacts) BSON() bson.Raw {
	b := newDocument()
	b.string("branch", string(f.Branch))
	b.timestamp("after", f.Window.After)
	b.timestamp("through", f.Window.Through)
	b.entry("prev", f.Prev)
	b.opTime("first", f.First)
	b.entry("last", f.Last)
	b.int64("entries", f.Entries)
	b.opTime("majority", f.Majority)
	b.string("member", f.Member)
	b.begin(bson.TypeArray, "open")
	for i, chain := range f.OpenChains {
		b.begin(bson.TypeEmbeddedDocument, fmt.Sprint(i))
		b.document("lsid", chain.Session)
		b.int64("txnNumber", chain.TxnNumber)
		b.opTime("first", chain.First)
		b.end()
	}
	b.end()
	b.counts("counts", f.Counts)
	b.counts("unknown", f.Unknown)
	b.begin(bson.TypeArray, "touched")
	for i, hashes := range f.Touched {
		content := make([]byte, 0, 8*len(hashes))
		for _, hash := range hashes {
			content = binary.LittleEndian.AppendUint64(content, hash)
		}
		b.binary(fmt.Sprint(i), content)
	}
	b.end()
	return b.done()
}

// SegmentFacts reads the facts of a segment and compares them with its name.
func (c *Container) SegmentFacts() (SegmentFacts, error) {
	r := readFields(c.facts)
	f := SegmentFacts{
		Branch:   ID(r.string("branch")),
		Window:   pitr.Window{After: r.timestamp("after"), Through: r.timestamp("through")},
		Prev:     r.entry("prev"),
		First:    r.opTime("first"),
		Last:     r.entry("last"),
		Entries:  r.int64("entries"),
		Majority: r.opTime("majority"),
		Member:   r.string("member"),
		Counts:   r.counts("counts"),
		Unknown:  r.counts("unknown"),
	}
	for _, value := range r.list("open") {
		document, _ := value.DocumentOK()
		inner := readFields(document)
		chain := OpenChain{Session: inner.document("lsid"), TxnNumber: inner.int64("txnNumber"), First: inner.opTime("first")}
		if inner.err != nil {
			r.fail("open", inner.err)
		}
		f.OpenChains = append(f.OpenChains, chain)
	}
	for _, value := range r.list("touched") {
		_, content, ok := value.BinaryOK()
		if !ok || len(content)%8 != 0 {
			r.fail("touched", fmt.Errorf("no list of hashes"))
		}
		var hashes []uint64
		for ; len(content) >= 8; content = content[8:] {
			hashes = append(hashes, binary.LittleEndian.Uint64(content))
		}
		f.Touched = append(f.Touched, hashes)
	}
	name, err := f.SegmentName()
	documents, _ := c.Count()
	switch {
	case r.err != nil:
		err = r.err
	case err != nil || name != c.name:
		err = fmt.Errorf("its facts belong to %q", name.text)
	case f.Last.TS != f.Window.Through || f.First.TS > f.Last.TS || f.First.TS <= f.Window.After || f.Entries != documents:
		err = fmt.Errorf("its facts do not fit together")
	default:
		return f, nil
	}
	return SegmentFacts{}, pitr.Corruptf("read the facts of "+c.name.text, "%w", err)
}

// ChunkFacts is what a chunk says of itself beside its documents.
type ChunkFacts struct {
	// At is the one cluster time of all its documents, zero where there is none.
	At pitr.Timestamp
	// Fuzzy is the window in which they were read, where they have no one time.
	Fuzzy pitr.Window
	// Stored is the content sum of the documents in it.
	Stored ContentSum
}

// BSON gives the document for Writer.Finish.
func (f ChunkFacts) BSON() bson.Raw {
	b := newDocument()
	b.moment(f.At, f.Fuzzy)
	b.contentSum("stored", f.Stored)
	return b.done()
}

// ChunkFacts reads the facts of a chunk.
func (c *Container) ChunkFacts() (ChunkFacts, error) {
	r := readFields(c.facts)
	f := ChunkFacts{Stored: r.contentSum("stored")}
	f.At, f.Fuzzy = r.moment()
	documents, raw := c.Count()
	if r.err == nil && (f.Stored.Documents != documents || f.Stored.Bytes != raw) {
		r.err = fmt.Errorf("its facts count %d documents, its frames %d", f.Stored.Documents, documents)
	}
	if r.err != nil {
		return ChunkFacts{}, pitr.Corruptf("read the facts of "+c.name.text, "%w", r.err)
	}
	return f, nil
}

// moment appends {at} or {from, through} or, where there are no cluster times, nothing.
func (b *builder) moment(at pitr.Timestamp, fuzzy pitr.Window) {
	switch {
	case at != 0:
		b.timestamp("at", at)
	case fuzzy != pitr.Window{}:
		b.timestamp("from", fuzzy.After)
		b.timestamp("through", fuzzy.Through)
	}
}

func (f *fields) moment() (at pitr.Timestamp, fuzzy pitr.Window) {
	if f.has("at") {
		at = f.timestamp("at")
	}
	if f.has("from") {
		fuzzy = pitr.Window{After: f.timestamp("from"), Through: f.timestamp("through")}
	}
	return at, fuzzy
}

func (b *builder) entry(key string, e EntryMark) {
	b.begin(bson.TypeEmbeddedDocument, key)
	b.timestamp("ts", e.TS)
	b.int64("t", e.Term)
	b.binary("sha256", e.Digest[:])
	b.end()
}

func (f *fields) entry(key string) EntryMark {
	inner := readFields(f.document(key))
	e := EntryMark{OpTime: pitr.OpTime{TS: inner.timestamp("ts"), Term: inner.int64("t")}, Digest: inner.digest("sha256")}
	if inner.err != nil {
		f.fail(key, inner.err)
	}
	return e
}

func (b *builder) contentSum(key string, s ContentSum) {
	b.begin(bson.TypeEmbeddedDocument, key)
	b.int64("documents", s.Documents)
	b.int64("bytes", s.Bytes)
	b.binary("sum", s.sum())
	b.end()
}

func (f *fields) contentSum(key string) ContentSum {
	inner := readFields(f.document(key))
	s := ContentSum{Documents: inner.int64("documents"), Bytes: inner.int64("bytes")}
	if err := s.setSum(inner.binary("sum", 16)); err != nil {
		inner.fail("sum", err)
	}
	if inner.err != nil {
		f.fail(key, inner.err)
	}
	return s
}
