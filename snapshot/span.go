package snapshot

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
)

// span gives the window of the archive that belongs to the snapshot, with the digests of the entry before it and of its
// last one: by them a reader knows this archive from another one of the same times.
func (t *taking) span(ctx context.Context) (*format.Span, error) {
	if !t.hasMoments() {
		return nil, nil
	}
	span := &format.Span{Window: pitr.Window{After: t.fetch.Before(), Through: t.through}}
	segments, err := t.repository.Segments(ctx, t.branch, span.Window)
	if err != nil {
		return nil, err
	}
	for _, segment := range segments {
		if segment.Contains(t.fetch) && span.AfterDigest.IsZero() {
			if span.AfterDigest, err = t.entryBefore(ctx, segment, t.fetch); err != nil {
				return nil, err
			}
		}
		if segment.Contains(t.through) && span.ThroughDigest.IsZero() {
			if span.ThroughDigest, err = t.entryBefore(ctx, segment, t.through+1); err != nil {
				return nil, err
			}
		}
	}
	return span, nil
}

// entryBefore gives the digest of the last entry before a moment that a segment contains; zero where no entry is before it
// in the whole archive.
func (t *taking) entryBefore(ctx context.Context, segment catalog.Segment, moment pitr.Timestamp) (format.Digest, error) {
	name, err := segment.Name(t.branch)
	if err != nil {
		return format.Digest{}, err
	}
	data, err := t.repository.Get(ctx, name)
	if err != nil {
		return format.Digest{}, err
	}
	container, err := format.OpenContainer(data, format.Expect{Name: name}) //nolint:contextcheck // it is in memory: nothing is waited for
	if err != nil {
		return format.Digest{}, err
	}
	facts, err := container.SegmentFacts()
	if err != nil {
		return format.Digest{}, err
	}
	var before bson.Raw
	for entry, err := range container.Documents(ctx) {
		if err != nil {
			return format.Digest{}, err
		}
		seconds, ordinal, ok := entry.Lookup("ts").TimestampOK()
		if !ok || pitr.NewTimestamp(seconds, ordinal) >= moment {
			break
		}
		before = entry
	}
	if before == nil {
		return facts.Prev.Digest, nil
	}
	return format.Sum(before), nil
}
