package oplog

import (
	"context"
	"log/slog"
	"time"

	"pitr"
	"pitr/catalog"
	"pitr/format"
)

// The bounds of a merged segment, below what an object and its directory may have at most: entries may not compress.
const (
	maxMerged      = 62 << 20
	maxMergedFacts = 6 << 20
)

// mergeEvery is how often an archiver that follows looks for segments to merge, firstMerge how long after its start.
const (
	mergeEvery = 10 * time.Minute
	firstMerge = time.Minute
)

// MergeOptions say how to merge; the zero value is good.
type MergeOptions struct {
	// After leaves alone what ends at or before a moment: it was looked at already.
	After    pitr.Timestamp
	Progress pitr.Progress
	Log      *slog.Logger
}

// MergeStatus is what a merge did.
type MergeStatus struct {
	// Merged counts the long segments that were made, Segments those that they were made of, and Entries and Bytes what is
	// in them.
	Merged, Segments, Entries, Bytes int64
}

// Merge makes one long segment of the small ones of each hour that has been over for an hour, on one branch:
//
//  1. plan from the listing alone which neighbours become one (catalog.MergePlan);
//  2. read them in their order; each must begin behind the very entry that the one before ended with;
//  3. write their entries, byte for byte, into segments of less than 64 MiB, cut only where a small one ends;
//  4. put each and read it back.
//
// Nothing is removed: the small ones stay until prune removes both, once nothing needs their time. A merge that is stopped leaves
// objects that are right by themselves, and two that run at once make the same ones.
func Merge(ctx context.Context, repository *catalog.Repository, branch format.ID, o MergeOptions) (MergeStatus, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = pitr.Silent
	}
	segments, err := repository.Segments(ctx, branch, pitr.Window{After: o.After, Through: pitr.MaxTimestamp})
	if err != nil {
		return MergeStatus{}, err
	}
	m := merger{repository: repository, branch: branch, MergeOptions: o}
	plan := catalog.MergePlan(segments)
	o.Progress.Start("merge", pitr.Amount{Count: int64(len(plan))})
	defer o.Progress.Finish("merge")
	for _, group := range plan {
		if err := m.group(ctx, group); err != nil {
			return m.status, &pitr.Error{Op: "merge the segments of " + string(branch), Err: err}
		}
		o.Progress.Advance("merge", pitr.Amount{Count: 1})
	}
	return m.status, nil
}

// merger merges the segments of one branch.
type merger struct {
	repository *catalog.Repository
	branch     format.ID
	status     MergeStatus
	MergeOptions

	// The open long segment: its writer, what it says of itself, and what it was made of.
	segment *segmentWriter
	facts   format.SegmentFacts
	size    int
	parts   int64
}

// group merges neighbours, into several long segments where one would grow too large.
func (m *merger) group(ctx context.Context, group []catalog.Segment) error {
	for _, segment := range group {
		reader, err := m.repository.ReadSegment(ctx, m.branch, segment)
		if err != nil {
			return err
		}
		facts := reader.Facts()
		raw, size := reader.Raw(), len(facts.BSON())
		if m.segment != nil && (m.segment.writer.Raw()+raw > maxMerged || m.size+size > maxMergedFacts) {
			if err := m.seal(ctx); err != nil {
				return err
			}
		}
		if m.segment == nil && raw > maxMerged {
			continue // long enough by itself
		}
		if err := m.take(ctx, reader); err != nil {
			return err
		}
		m.size += size
	}
	return m.seal(ctx)
}

// take appends the entries of one small segment.
func (m *merger) take(ctx context.Context, reader *catalog.SegmentReader) error {
	facts := reader.Facts()
	if m.segment == nil {
		segment, err := newSegmentWriter(m.branch, facts.Member)
		if err != nil {
			return err
		}
		segment.open(facts.Prev, facts.First.TS, time.Time{})
		segment.facts.Window.After, segment.facts.OpenChains = facts.Window.After, facts.OpenChains
		m.segment, m.facts = segment, facts
	} else if facts.Prev != m.facts.Last {
		return pitr.Corruptf("read the archive", "the segment that begins after %s follows another entry than the one before it has last", facts.Window.After)
	}
	for {
		more, err := reader.Next(ctx)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if err := m.segment.add(reader.Entry(), reader.At()); err != nil {
			return err
		}
	}
	m.facts.Last, m.facts.Majority = facts.Last, facts.Majority
	m.parts++
	return nil
}

// seal puts the open long segment, unless it has only what one small one has.
func (m *merger) seal(ctx context.Context) error {
	segment, parts := m.segment, m.parts
	m.segment, m.parts, m.size = nil, 0, 0
	if parts < 2 {
		return nil
	}
	sealed, err := segment.finish(m.facts.Majority)
	if err != nil {
		return err
	}
	if segment.facts.Last != m.facts.Last {
		return pitr.Errorf(pitr.KindUnexpected, "merge", "", "the merged segment ends with %s and not with %s", segment.facts.Last.OpTime, m.facts.Last.OpTime)
	}
	if err := putSegment(ctx, m.repository, sealed, segment.facts); err != nil {
		return err
	}
	m.Log.InfoContext(ctx, "merged segments", "object", sealed.Name.String(), "segments", parts, "entries", sealed.Documents)
	m.status.Merged++
	m.status.Segments += parts
	m.status.Entries += sealed.Documents
	m.status.Bytes += sealed.Raw
	return nil
}

// merging merges now and then beside an archiver that follows. What goes wrong is no reason to stop archiving: the small
// segments are there.
func (r *archiving) merging(ctx context.Context) {
	var after pitr.Timestamp
	for pause := firstMerge; sleep(ctx, pause) == nil; pause = mergeEvery {
		last, found, err := r.repository.LastSegment(ctx, r.branch.ID)
		if err == nil && found {
			_, err = Merge(ctx, r.repository, r.branch.ID, MergeOptions{After: after, Log: r.Log})
		}
		switch {
		case err != nil && ctx.Err() == nil:
			r.Log.WarnContext(ctx, "segments could not be merged; the archive itself goes on", "error", err)
		case found:
			// All that ended before the hour before the present one was looked at.
			const hour = 3600
			if hours := last.Through.Seconds() / hour; hours > 1 {
				after = max(after, pitr.NewTimestamp((hours-1)*hour, 0))
			}
		}
	}
}
