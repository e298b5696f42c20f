package oplog

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/format"
)

// join judges the first entry that the source gives from the last archived one on: the table of oplog-facts 6.7. An error
// stops the archive.
func (r *archiving) join(ctx context.Context, raw bson.Raw, at pitr.OpTime) error {
	member := r.source.Server().Member
	switch {
	case at.TS < r.last.TS:
		return pitr.Errorf(pitr.KindUnavailable, "read the oplog", "", "%s gave entry %s, %s was asked for", member, at, r.last.TS)
	case at == r.last.OpTime && format.Sum(raw) == r.last.Digest:
		r.joined = true
		return nil
	case at.TS == r.last.TS:
		return r.denied(fmt.Sprintf("%s has another entry at %s than the archive (%s)", member, at, r.last.OpTime))
	}
	// Only now: an entry that was still there when the first one was read may be gone by the time it arrives.
	oldest, _, err := r.source.OplogBounds(ctx)
	if err != nil {
		return err
	}
	if oldest.TS <= r.last.TS {
		return r.denied(fmt.Sprintf("%s has entries before and after %s, but not that one", member, r.last.OpTime))
	}
	if err := r.leaveHole(ctx, at, oldest); err != nil {
		return err
	}
	r.joined = true
	return r.receive(ctx, raw)
}

// leaveHole notes that the source no longer has what follows the archive, and begins behind it.
func (r *archiving) leaveHole(ctx context.Context, next, oldest pitr.OpTime) error {
	if err := r.settle(ctx); err != nil {
		return err
	}
	member := r.source.Server().Member
	hole := format.Hole{Branch: r.branch.ID, Window: pitr.Window{After: r.last.TS, Through: next.TS.Before()}, Created: r.Now().UTC(),
		Member: member, Reason: fmt.Sprintf("the oplog of %s had rolled over: its oldest entry was %s when the archive came back to it", member, oldest)}
	r.Log.ErrorContext(ctx, "the archive has a hole: take a new snapshot", "after", r.last.String(), "next", next.String())
	// Two entries with neighbouring times leave no room for a note; that their segments do not join says the same.
	r.status.Holes++
	if !hole.IsEmpty() {
		if _, err := r.repository.PutObject(ctx, &hole); err != nil {
			return err
		}
	}
	r.last = format.EntryMark{}
	r.from = next.TS
	r.segment.chains = chains{}
	return nil
}
