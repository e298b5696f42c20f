package oplog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
)

// maxCounted bounds how many kinds and namespaces a segment counts by name; what comes beyond counts as others.
const (
	maxCounted = 10_000
	others     = "others"
)

// segmentWriter collects entries and what a segment says of them.
type segmentWriter struct {
	writer *format.Writer
	facts  format.SegmentFacts
	// chains are those open after the newest entry.
	chains  chains
	entries int64
	began   time.Time
	// forked says that the next segment is the first of a branch, whose entry before is on another one.
	forked bool
	// touched collects key hashes per frame; incomplete marks frames with an operation whose key is not known.
	touched    [][]uint64
	incomplete map[int]bool
}

func newSegmentWriter(branch format.ID, member string) (*segmentWriter, error) {
	writer, err := format.NewWriter(format.WriterOptions{Limit: format.MaxObject})
	if err != nil {
		return nil, err
	}
	return &segmentWriter{writer: writer, facts: format.SegmentFacts{Branch: branch, Member: member}}, nil
}

// open begins a segment behind an entry, zero where nobody saw it.
func (s *segmentWriter) open(prev format.EntryMark, first pitr.Timestamp, now time.Time) {
	after := prev.TS
	if prev.Digest.IsZero() || s.forked {
		after = first.Before()
	}
	s.facts = format.SegmentFacts{Branch: s.facts.Branch, Member: s.facts.Member, Window: pitr.Window{After: after}, Prev: prev,
		OpenChains: s.chains.list(), Counts: map[string]int64{}, Unknown: map[string]int64{}}
	s.touched, s.incomplete, s.entries, s.began, s.forked = nil, map[int]bool{}, 0, now, false
}

// add takes an entry. One that nobody understands is counted and kept.
func (s *segmentWriter) add(raw bson.Raw, at pitr.OpTime) error {
	frame, err := s.writer.Append(0, raw)
	if err != nil {
		return err
	}
	for len(s.touched) <= frame {
		s.touched = append(s.touched, nil)
	}
	if s.entries == 0 {
		s.facts.First = at
	}
	s.entries++
	s.facts.Last = format.EntryMark{OpTime: at, Digest: format.Sum(raw)}
	s.facts.Window.Through = at.TS
	s.describe(raw, frame)
	return nil
}

// describe counts the entry, follows transactions, and notes which documents it touches.
func (s *segmentWriter) describe(raw bson.Raw, frame int) {
	entry, err := Decode(raw)
	var ops []Op
	if err == nil {
		s.chains.push(&entry)
		ops, err = entry.Operations()
	}
	if err != nil {
		count(s.facts.Unknown, wordsOf(raw))
		s.incomplete[frame] = true
		return
	}
	if _, batch := entry.Command.(Batch); batch {
		count(s.facts.Counts, entry.Kind.String())
	}
	for i := range ops {
		op := &ops[i]
		words := op.Kind.String()
		if op.NS.DB != "" {
			words += " " + strings.TrimSuffix(op.NS.String(), ".")
		}
		count(s.facts.Counts, words)
		if verdict, _ := op.Verdict(); verdict == Refused {
			count(s.facts.Unknown, words)
		}
		switch op.Kind {
		case KindInsert, KindUpdate, KindDelete:
			key, err := op.Key()
			if err != nil {
				s.incomplete[frame] = true
				continue
			}
			s.touched[frame] = append(s.touched[frame], format.KeyHash(key))
		}
	}
}

// count adds one under a name that becomes the name of a BSON field, which cannot hold a zero byte.
func count(counts map[string]int64, words string) {
	words = strings.ReplaceAll(words, "\x00", "\\0")
	if _, known := counts[words]; !known && len(counts) >= maxCounted {
		words = others
	}
	counts[words]++
}

// wordsOf says what can be said of an entry that was not understood.
func wordsOf(raw bson.Raw) string {
	op, _ := raw.Lookup("op").StringValueOK()
	ns, _ := raw.Lookup("ns").StringValueOK()
	if op == "c" {
		if o, ok := raw.Lookup("o").DocumentOK(); ok {
			if first, err := o.IndexErr(0); err == nil {
				op = first.Key()
			}
		}
	}
	const most = 200
	words := strings.TrimSpace(op + " " + ns)
	return words[:min(most, len(words))]
}

func (s *segmentWriter) full(cutBytes int64) bool {
	return s.writer.Raw() >= cutBytes || s.writer.Full()
}

// finish seals the segment.
func (s *segmentWriter) finish(majority pitr.OpTime) (format.Sealed, error) {
	s.facts.Entries, s.facts.Majority = s.entries, majority
	for frame, hashes := range s.touched {
		slices.Sort(hashes)
		s.touched[frame] = slices.Compact(hashes)
		if s.incomplete[frame] {
			s.touched[frame] = nil
		}
	}
	s.facts.Touched = s.touched
	name, err := s.facts.SegmentName()
	if err != nil {
		return format.Sealed{}, err
	}
	sealed, err := s.writer.Finish(name, s.facts.BSON())
	s.entries = 0
	return sealed, err
}

// upload is a segment on its way into the archive.
type upload struct {
	facts  format.SegmentFacts
	sealed format.Sealed
	done   chan error
}

// cut ends the open segment and begins to put it, once the one before is in the archive: a crash must not leave a segment
// behind one that is missing.
func (r *archiving) cut(ctx context.Context) error {
	if r.segment.entries == 0 {
		return nil
	}
	sealed, err := r.segment.finish(r.status.Majority)
	if err != nil {
		return err
	}
	if err := r.wait(ctx); err != nil {
		return err
	}
	if err := r.lease.Check(); err != nil {
		return err
	}
	u := &upload{facts: r.segment.facts, sealed: sealed, done: make(chan error, 1)}
	// An upload that has begun may end although the run is being stopped; wait bounds that.
	go func() { u.done <- putSegment(context.WithoutCancel(ctx), r.repository, sealed, u.facts) }()
	r.upload = u
	return nil
}

// putSegment stores a segment and reads it back. A segment of the same window and ends that is there already, with other
// facts around the same entries, is as good: it comes from a run that was thought dead.
func putSegment(ctx context.Context, repository *catalog.Repository, sealed format.Sealed, facts format.SegmentFacts) error {
	err := repository.PutAndRead(ctx, sealed.Name, sealed.Data)
	if pitr.KindOf(err) != pitr.KindConflict {
		return err
	}
	there := catalog.Segment{Window: facts.Window, Prev: facts.Prev.Digest.Short(), Last: facts.Last.Digest.Short()}
	_, theirs, openErr := repository.OpenSegment(ctx, facts.Branch, there)
	if openErr != nil || theirs.Last != facts.Last || theirs.Entries != facts.Entries || theirs.First != facts.First {
		return errors.Join(err, openErr)
	}
	return nil
}

// wait ends when the segment that is being put is in the archive.
func (r *archiving) wait(ctx context.Context) error {
	u := r.upload
	if u == nil {
		return nil
	}
	select {
	case err := <-u.done:
		r.upload = nil
		if err != nil {
			return fmt.Errorf("put a segment: %w", err)
		}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	r.status.Segments++
	r.status.Entries += u.sealed.Documents
	r.status.Bytes += u.sealed.Raw
	r.status.Through, r.status.Waiting = u.facts.Last.OpTime, ""
	r.Report(r.status)
	return nil
}

// settle cuts the open segment and waits until everything is in the archive.
func (r *archiving) settle(ctx context.Context) error {
	if err := r.cut(ctx); err != nil {
		return err
	}
	return r.wait(ctx)
}
