package format

import "pitr"

// Kind says what an object of a repository is.
type Kind string

// The kinds of objects. Those of containers stand in their directories too.
const (
	KindHeader      Kind = "header"
	KindBranch      Kind = "branch"
	KindManifest    Kind = "manifest"
	KindCatalogPart Kind = "catalog"
	KindChunk       Kind = "chunk"
	KindKeys        Kind = "keys"
	KindSegment     Kind = "segment"
	KindHole        Kind = "hole"
	KindMark        Kind = "mark"
	KindHold        Kind = "hold"
	KindCondemned   Kind = "condemned"
	KindIntent      Kind = "intent"
	KindStep        Kind = "step"
	KindChangePart  Kind = "change"
	KindChanges     Kind = "changes"
	KindResult      Kind = "result"
	KindReview      Kind = "review"
	KindDecisions   Kind = "decisions"
	KindPlaybook    Kind = "playbook"
	KindDrill       Kind = "drill"
	KindLease       Kind = "lease"
)

// IsContainer reports whether objects of this kind are containers of documents.
func (k Kind) IsContainer() bool {
	return k == KindCatalogPart || k == KindChunk || k == KindSegment || k == KindChangePart || k == KindDecisions
}

// Name is the name of an object of a repository. It comes from ParseName or a constructor only, so it cannot hold a bad
// one: no path that leaves the repository, no text that came from a database. The zero value is no name. Names compare
// with ==.
type Name struct {
	text       string
	kind       Kind
	id         ID
	lease      string
	numbers    [2]int
	window     pitr.Window
	prev, last Short
	generation uint64
}

// String gives the text of the name, empty for the zero value.
func (n Name) String() string { return n.text }

// IsZero reports whether this is no name.
func (n Name) IsZero() bool { return n.text == "" }

// Kind says what the object is.
func (n Name) Kind() Kind { return n.kind }

// ID gives the snapshot, branch, job, mark, hold, condemnation, playbook run or drill that the object belongs to or is.
func (n Name) ID() ID { return n.id }

// Number gives the number of a catalog part, chunk, step, change part, review or playbook entry within its owner; for a
// key partition that of the collection, for a part of decisions that of the review.
func (n Name) Number() int { return n.numbers[0] }

// Partition gives the partition of a key partition's name, or the number of a part of decisions within its review.
func (n Name) Partition() int { return n.numbers[1] }

// Attempt gives the attempt that a job's step belongs to.
func (n Name) Attempt() int { return n.numbers[1] }

// Window gives the window of a segment or of a hole.
func (n Name) Window() pitr.Window { return n.window }

// Moment gives the moment of a mark.
func (n Name) Moment() pitr.Timestamp { return n.window.Through }

// Prev gives the short digest of the entry before a segment's first, zero where there is none.
func (n Name) Prev() Short { return n.prev }

// Last gives the short digest of a segment's last entry.
func (n Name) Last() Short { return n.last }

// Lease gives the name of a lease.
func (n Name) Lease() string { return n.lease }

// Generation gives the generation of a lease, counted from 1.
func (n Name) Generation() uint64 { return n.generation }

// MarshalText gives the text.
func (n Name) MarshalText() ([]byte, error) { return []byte(n.text), nil }

// UnmarshalText reads the text as ParseName does.
func (n *Name) UnmarshalText(text []byte) (err error) {
	*n, err = ParseName(string(text))
	return err
}

// JoinsTo reports whether this segment ends where the next one begins, as far as names can tell: the entry before next
// is the last one of this segment.
func (n Name) JoinsTo(next Name) bool {
	return n.kind == KindSegment && next.kind == KindSegment && n.id == next.id &&
		n.window.Through == next.window.After && n.last == next.prev
}

// ParseName reads a name; the error, of kind corrupt, says only that the text is none. There is one text per name.
func ParseName(text string) (Name, error) {
	s := scanner{rest: text}
	n := Name{text: text}
	s.name(&n)
	if s.bad || s.rest != "" || n.kind == "" {
		return Name{}, pitr.Corruptf("", "%.160q is not the name of an object of a repository", text)
	}
	return n, nil
}
