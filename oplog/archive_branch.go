package oplog

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sort"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
)

// tip gives the branch that the archive goes on with; false when there is none.
func (a *Archiver) tip(ctx context.Context) (format.Branch, bool, error) {
	branches, err := a.repository.Branches(ctx)
	if err != nil {
		return format.Branch{}, false, err
	}
	if len(branches.Damaged) > 0 {
		return format.Branch{}, false, branches.Damaged[0].Err
	}
	var timeline catalog.Timeline
	for _, branch := range branches.Items {
		line := catalog.Line{Branch: branch.ID}
		if branch.Fork != nil {
			line.Fork = &catalog.Fork{Parent: branch.Fork.Branch}
		}
		timeline.Lines = append(timeline.Lines, line)
	}
	id := timeline.Tip()
	for _, branch := range branches.Items {
		if branch.ID == id {
			return branch, true, nil
		}
	}
	return format.Branch{}, false, nil
}

// checkWitness makes sure that the source is the cluster whose history the branch is. A clone of a cluster has the same set
// id and the same entries up to the copy, so at least one host must be a known one, too.
func (a *Archiver) checkWitness(ctx context.Context, branch format.Branch, last catalog.Segment) error {
	server := a.source.Server()
	switch {
	case branch.SetID != "" && server.SetID != "" && branch.SetID != server.SetID:
		return a.denied(fmt.Sprintf("the archive is of the replica set %s with id %s, this is %s with id %s",
			branch.Set, branch.SetID, server.Set, server.SetID))
	case branch.Set != server.Set:
		return a.denied(fmt.Sprintf("the archive is of the replica set %q, this is %q", branch.Set, server.Set))
	case knows(branch.Hosts, server.Hosts):
		return nil
	}
	// Members are replaced over the years: the one that was read last counts as known.
	if last.Through != 0 {
		_, facts, err := a.repository.OpenSegment(ctx, branch.ID, last)
		if err != nil {
			return err
		}
		if slices.Contains(server.Hosts, facts.Member) {
			return nil
		}
	}
	return a.denied(fmt.Sprintf("none of its hosts %v was a member of the archived set %v", server.Hosts, branch.Hosts))
}

func knows(known, hosts []string) bool {
	return slices.ContainsFunc(hosts, func(host string) bool { return slices.Contains(known, host) })
}

// newBranch publishes a branch for the source's history.
func (a *Archiver) newBranch(ctx context.Context, fork *format.Fork, reason string) (format.Branch, error) {
	id, err := a.repository.NewID()
	if err != nil {
		return format.Branch{}, err
	}
	server := a.source.Server()
	branch := format.Branch{ID: id, Created: a.Now().UTC(), Set: server.Set, SetID: server.SetID, Hosts: server.Hosts,
		Fork: fork, Reason: reason}
	return branch, a.repository.PutBranch(ctx, branch)
}

// findFork looks for the newest archived entry that the source has, too: the histories are equal up to it and never after.
// It is nil when the source has none of them.
func (a *Archiver) findFork(ctx context.Context, parent format.ID) (*format.Fork, error) {
	oldest, _, err := a.source.OplogBounds(ctx)
	if err != nil {
		return nil, err
	}
	segments, err := a.repository.Segments(ctx, parent, pitr.Window{After: oldest.TS.Before(), Through: pitr.MaxTimestamp})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(segments, func(x, y catalog.Segment) int { return cmp.Compare(x.Through, y.Through) })
	var failed error
	// The first segment whose last entry the source does not have holds the fork, or follows it.
	first := sort.Search(len(segments), func(i int) bool {
		if failed != nil {
			return true
		}
		var has bool
		has, failed = a.hasLast(ctx, parent, segments[i])
		return !has
	})
	if failed != nil || len(segments) == 0 {
		return nil, failed
	}
	return a.forkIn(ctx, parent, segments[max(0, first-1):min(first+1, len(segments))])
}

// hasLast reports whether the source has the last entry of a segment.
func (a *Archiver) hasLast(ctx context.Context, branch format.ID, segment catalog.Segment) (bool, error) {
	_, facts, err := a.repository.OpenSegment(ctx, branch, segment)
	if err != nil {
		return false, err
	}
	mark, err := a.firstFrom(ctx, facts.Last.TS)
	return mark == facts.Last, err
}

// forkIn compares the entries of neighbouring segments with the source's, one by one.
func (a *Archiver) forkIn(ctx context.Context, parent format.ID, segments []catalog.Segment) (*format.Fork, error) {
	var fork *format.Fork
	for _, segment := range segments {
		reader, err := a.repository.ReadSegment(ctx, parent, segment)
		if err != nil {
			return nil, err
		}
		theirs, err := a.marks(ctx, segment.Window)
		if err != nil {
			return nil, err
		}
		for {
			more, err := reader.Next(ctx)
			if err != nil {
				return nil, err
			}
			if !more {
				break
			}
			if theirs[reader.At().TS] == format.Sum(reader.Entry()) {
				fork = &format.Fork{Branch: parent, At: reader.At(), Digest: format.Sum(reader.Entry())}
			}
		}
	}
	return fork, nil
}

// marks gives the digests of the source's entries of a window by their times.
func (a *Archiver) marks(ctx context.Context, window pitr.Window) (map[pitr.Timestamp]format.Digest, error) {
	marks := map[pitr.Timestamp]format.Digest{}
	for batch, err := range a.source.Oplog(ctx, window.After) {
		if err != nil {
			return nil, err
		}
		empty := true
		for raw, err := range batch.Documents() {
			if err != nil {
				return nil, err
			}
			mark, err := markOf(raw)
			if err != nil {
				return nil, err
			}
			if mark.TS > window.Through {
				return marks, nil
			}
			marks[mark.TS], empty = mark.Digest, false
		}
		if empty {
			return marks, nil
		}
	}
	return marks, nil
}

// markOf names an entry.
func markOf(raw bson.Raw) (format.EntryMark, error) {
	at, ok := catalog.EntryTime(raw)
	if !ok {
		return format.EntryMark{}, pitr.Corruptf("read the oplog", "an entry without a cluster time")
	}
	return format.EntryMark{OpTime: at, Digest: format.Sum(raw)}, nil
}
