package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/format"
)

// maxOverlap bounds how many segments may cover one moment: merging leaves two or three, hostile names any number.
const maxOverlap = 64

// Entries yields the raw entries of the windows in their order, as a Route names them; entries may be kept. Where segments
// overlap they must have the same entries, byte for byte, and at every join the entry before must be the one that the
// next segment names: anything else is kind corrupt. A window that the archive does not cover without a break is refused
// with kind hole before the first entry.
//
// Where a long segment was made of shorter ones that are still there it is read alone; should it be damaged, they are read.
func (r *Repository) Entries(ctx context.Context, windows ...BranchWindow) iter.Seq2[bson.Raw, error] {
	return r.entries(ctx, merge{repository: r, choose: preferred}, windows)
}

// EntriesCompared is Entries for whoever looks for damage: a merged segment is compared with those that it was made of.
func (r *Repository) EntriesCompared(ctx context.Context, windows ...BranchWindow) iter.Seq2[bson.Raw, error] {
	return r.entries(ctx, merge{repository: r, choose: func(all []Segment) []Segment { return all }}, windows)
}

func (r *Repository) entries(ctx context.Context, m merge, windows []BranchWindow) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		m := m
		for _, window := range windows {
			err := m.run(ctx, window, yield)
			if pitr.KindOf(err) == pitr.KindCorrupt && m.chose {
				err = m.otherwise(ctx, window, yield, err)
			}
			if err != nil {
				if !errors.Is(err, errStopped) {
					yield(nil, err)
				}
				return
			}
		}
	}
}

// errStopped ends a merge whose consumer has had enough.
var errStopped = errors.New("the consumer stopped")

// merge reads the segments of windows side by side. Between windows it remembers the last entry, so that a fork is checked
// like every other join.
type merge struct {
	repository *Repository
	branch     format.ID
	// waiting are the segments that have not begun, in the order of their beginnings; the first of them is being fetched.
	waiting []Segment
	ahead   chan fetched
	active  []*SegmentReader
	// last is the newest entry that was passed, nil before the first.
	last   bson.Raw
	lastAt pitr.OpTime
	// choose leaves out what need not be read; chose says that it did.
	choose func([]Segment) []Segment
	chose  bool
}

type fetched struct {
	reader *SegmentReader
	err    error
}

func (m *merge) run(ctx context.Context, window BranchWindow, yield func(bson.Raw, error) bool) error {
	segments, err := m.repository.Segments(ctx, window.Branch, window.Window)
	if err != nil {
		return err
	}
	if err := mustCover(segments, window); err != nil {
		return err
	}
	all := len(segments)
	segments = m.choose(segments)
	m.chose = len(segments) < all
	if m.branch == window.Branch {
		m.last = nil // a window of its own, not the continuation of another branch
	}
	m.branch, m.waiting, m.active = window.Branch, segments, nil
	m.fetch(ctx)
	for {
		if err := m.begin(ctx); err != nil {
			return err
		}
		if len(m.active) == 0 {
			return nil
		}
		entry, at, err := m.agree()
		if err != nil {
			return err
		}
		if at.TS > window.Through {
			return nil
		}
		m.last, m.lastAt = entry, at
		if at.TS > window.After && !yield(entry, nil) {
			return errStopped
		}
		if err := m.advance(ctx, at.TS); err != nil {
			return err
		}
	}
}

// otherwise goes on behind the last entry that was passed, with the segments that a damaged long one was made of. Where they
// do not lead on either, the damage that was met first is the answer.
func (m *merge) otherwise(ctx context.Context, window BranchWindow, yield func(bson.Raw, error) bool, met error) error {
	m.repository.log.WarnContext(ctx, "a merged segment is damaged, reading what it was made of: run `pitr verify`", "error", met)
	again := merge{repository: m.repository, choose: spare}
	rest := window
	if m.branch == window.Branch && m.last != nil {
		rest.After = max(rest.After, m.lastAt.TS)
	}
	err := again.run(ctx, rest, yield)
	if err != nil && !errors.Is(err, errStopped) && ctx.Err() == nil {
		return met
	}
	m.last, m.lastAt, m.active = again.last, again.lastAt, nil
	return err
}

func mustCover(segments []Segment, window BranchWindow) error {
	if window.IsEmpty() || covered(segments, window.Window) {
		return nil
	}
	reached := window.After
	for _, w := range windowsOf(spansOf(segments)) {
		if w.After <= reached && reached < w.Through {
			reached = w.Through
			break
		}
	}
	return pitr.Errorf(pitr.KindHole, fmt.Sprintf("read the archive of %s", window.Window),
		"see `pitr timeline` for the holes", "branch %s is not covered without a break after %s", window.Branch, reached)
}

// fetch begins to load the first waiting segment.
func (m *merge) fetch(ctx context.Context) {
	m.ahead = nil
	if len(m.waiting) == 0 {
		return
	}
	ahead := make(chan fetched, 1)
	branch, segment := m.branch, m.waiting[0]
	go func() {
		reader, err := m.repository.ReadSegment(ctx, branch, segment)
		ahead <- fetched{reader: reader, err: err}
	}()
	m.ahead = ahead
}

// begin makes every segment active that can hold the next entry.
func (m *merge) begin(ctx context.Context) error {
	for len(m.waiting) > 0 && (len(m.active) == 0 || m.waiting[0].After < m.next()) {
		if len(m.active) == maxOverlap {
			return pitr.Errorf(pitr.KindLimit, "read the archive", "run `pitr verify`",
				"more than %d segments of branch %s cover %s", maxOverlap, m.branch, m.lastAt.TS)
		}
		loaded := <-m.ahead
		if loaded.err != nil {
			return loaded.err
		}
		m.waiting = m.waiting[1:]
		m.fetch(ctx)
		if err := m.join(loaded.reader); err != nil {
			return err
		}
		if _, err := loaded.reader.Next(ctx); err != nil {
			return err
		}
		m.active = append(m.active, loaded.reader)
	}
	return nil
}

// next gives the time of the earliest entry among the active segments.
func (m *merge) next() pitr.Timestamp {
	earliest := pitr.MaxTimestamp
	for _, reader := range m.active {
		earliest = min(earliest, reader.at.TS)
	}
	return earliest
}

// join checks that a segment follows what was read so far: all entries up to its beginning have been passed by now.
func (m *merge) join(reader *SegmentReader) error {
	prev := reader.facts.Prev
	if m.last == nil || prev.Digest.IsZero() {
		return nil
	}
	if prev.Digest != format.Sum(m.last) {
		return reader.corrupt("the entry before its first is %s, and not the one that it names (%s)", m.lastAt, prev.OpTime)
	}
	return nil
}

// agree gives the next entry, which every segment that covers its time must have.
func (m *merge) agree() (bson.Raw, pitr.OpTime, error) {
	earliest := m.active[0]
	for _, reader := range m.active {
		if reader.at.TS < earliest.at.TS {
			earliest = reader
		}
	}
	for _, reader := range m.active {
		same := reader.at == earliest.at && bytes.Equal(reader.entry, earliest.entry)
		if !same && reader.facts.Window.Contains(earliest.at.TS) {
			return nil, pitr.OpTime{}, reader.corrupt("%s covers %s, too, and has another entry there", earliest.name, earliest.at.TS)
		}
	}
	return earliest.entry, earliest.at, nil
}

// advance moves all active segments past a time and drops those that have ended.
func (m *merge) advance(ctx context.Context, past pitr.Timestamp) error {
	kept := m.active[:0]
	for _, reader := range m.active {
		more := true
		if reader.at.TS == past {
			var err error
			if more, err = reader.Next(ctx); err != nil {
				return err
			}
		}
		if more {
			kept = append(kept, reader)
		}
	}
	m.active = kept
	return nil
}
