package snapshot

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/internal/failpoint"
)

// taking is one run of Take. What several goroutines change is below mu.
type taking struct {
	Options
	source     Source
	repository *catalog.Repository
	server     pitr.Server
	started    time.Time

	id format.ID
	// branch is the archive's branch; fetch the oldest entry that the snapshot needs; from is S, through is E.
	branch               format.ID
	fetch, from, through pitr.Timestamp
	collections          []*collection

	mu sync.Mutex
	// moment is the one time that documents are read at, zero where there is none; fuzzy is set once a document was not.
	moment pitr.Timestamp
	fuzzy  bool
	next   int // number of the next chunk
	chunks []format.ChunkRecord
	keys   []format.KeysRecord
}

// collection is a collection on its way into the snapshot.
type collection struct {
	format.CollectionRecord
	estimate pitr.Amount
}

const (
	// settle bounds how long the start waits: for the majority point, and for transactions that began before the archive.
	settle = 2 * time.Minute
	// settlePoll is the pause between two looks.
	settlePoll = 200 * time.Millisecond
)

// hasMoments reports whether the source has cluster times at all.
func (t *taking) hasMoments() bool { return t.server.Ability == pitr.AbilityFull }

// refuse looks for what forbids a snapshot before anything is taken or written.
func (t *taking) refuse(ctx context.Context) error {
	const op = "take a snapshot"
	if t.hasMoments() && t.Archive == nil {
		return pitr.Errorf(pitr.KindUnexpected, op, "", "a snapshot of a replica set needs an archiver")
	}
	if t.Job != "" {
		return nil
	}
	writing, err := t.repository.ShowLease(ctx, catalog.LeaseWrite)
	if err != nil {
		return err
	}
	if writing.Held() {
		return pitr.Errorf(pitr.KindLocked, op, "wait for the job to end: `pitr jobs` shows it",
			"%s is changing the cluster: the copy would be of a state in between", writing.Owner())
	}
	return nil
}

// begin chooses S. The order is that of a server's initial sync: the newest optime A, then the oldest transaction that is
// open at A, then the newest optime again. What commits after the second look was either seen as open or began after A. S
// is the majority point once it has passed the second look, so that every read of a majority state contains it.
func (t *taking) begin(ctx context.Context) (err error) {
	if t.id, err = t.repository.NewID(); err != nil || !t.hasMoments() {
		return err
	}
	for deadline := t.Now().Add(settle); ; {
		if err := t.chooseStart(ctx); err != nil {
			return err
		}
		missing, err := t.archived(ctx, pitr.Window{After: t.fetch.Before(), Through: t.from})
		if missing == nil || err != nil {
			return err
		}
		// The archive has only just begun, behind S or in the middle of a transaction, or it has a hole there. A later S will
		// find all that it needs.
		if t.Now().After(deadline) {
			return missing
		}
		if err := pause(ctx, settlePoll); err != nil {
			return err
		}
	}
}

// archived brings the archive to the end of a window and gives nil when it covers all of it, else what is missing.
func (t *taking) archived(ctx context.Context, window pitr.Window) (missing, err error) {
	t.branch, err = t.Archive.CatchUp(ctx, window.Through)
	switch {
	case pitr.KindOf(err) == pitr.KindHole:
		return err, nil
	case err != nil:
		return nil, err
	}
	return t.uncovered(ctx, window)
}

func (t *taking) chooseStart(ctx context.Context) error {
	_, first, err := t.source.OplogBounds(ctx)
	if err != nil {
		return err
	}
	open, err := t.source.OldestOpenTransaction(ctx, first.TS)
	if err != nil {
		return err
	}
	_, second, err := t.source.OplogBounds(ctx)
	if err != nil {
		return err
	}
	majority, err := t.majorityAt(ctx, second.TS)
	if err != nil {
		return err
	}
	t.from, t.fetch = majority, min(first.TS, majority)
	if !open.IsZero() {
		t.fetch = min(t.fetch, open.TS)
	}
	return nil
}

// majorityAt waits until the majority point has reached a moment, and gives it.
func (t *taking) majorityAt(ctx context.Context, at pitr.Timestamp) (pitr.Timestamp, error) {
	for deadline := t.Now().Add(settle); ; {
		majority, err := t.source.MajorityOpTime(ctx)
		if err != nil || majority.TS >= at {
			return majority.TS, err
		}
		if t.Now().After(deadline) {
			return 0, pitr.Errorf(pitr.KindUnavailable, "wait for the majority point",
				"see which members are down: a majority must be healthy", "it stands at %s, behind %s, for %s",
				majority, at, settle)
		}
		if err := pause(ctx, settlePoll); err != nil {
			return 0, err
		}
	}
}

// pause waits, or tells why the context ended.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return stopped(ctx)
	case <-timer.C:
		return nil
	}
}

// stopped tells why the run was told to end.
func stopped(ctx context.Context) error {
	cause := context.Cause(ctx)
	if kind := pitr.KindOf(cause); kind != pitr.KindUnexpected {
		return cause
	}
	return pitr.Errorf(pitr.KindInterrupted, "take a snapshot", "start it again: nothing of it can be seen", "%w", cause)
}

// uncovered gives nil when the archive covers a window without a break, else the error that says what is missing.
func (t *taking) uncovered(ctx context.Context, window pitr.Window) (missing error, err error) {
	segments, err := t.repository.Segments(ctx, t.branch, window)
	if err != nil {
		return nil, err
	}
	timeline := catalog.Timeline{Lines: []catalog.Line{{Branch: t.branch, Segments: segments}}}
	covered := timeline.Windows(t.branch)
	if window.IsEmpty() || slices.ContainsFunc(covered, func(w pitr.Window) bool { return w.Covers(window) }) {
		return nil, nil
	}
	return pitr.Errorf(pitr.KindHole, "take a snapshot",
		"the oplog may be too small for the time a snapshot takes: see `pitr timeline`, then take it again",
		"the archive does not cover %s, which belongs to the snapshot; it has %v", window, covered), nil
}

// list reads the catalog and refuses what cannot be copied, by name.
func (t *taking) list(ctx context.Context) error {
	listed, err := t.source.Listing(ctx, t.Scope)
	if err != nil {
		return err
	}
	if len(listed) > format.MaxCollections {
		return pitr.Errorf(pitr.KindLimit, "take a snapshot", "choose a part of it with --only", "%d collections", len(listed))
	}
	for number, found := range listed {
		if found.Type == pitr.TypeTimeseries && !found.UUID.IsZero() {
			return pitr.Errorf(pitr.KindUnsupported, "take a snapshot", "leave it out with --except "+found.NS.String(),
				"%s is a time-series collection without buckets of its own, which pitr cannot copy yet", found.NS)
		}
		t.collections = append(t.collections, &collection{CollectionRecord: format.CollectionRecord{
			Number: number, Collection: found, KeyBits: format.KeysLeftOut}})
	}
	return nil
}

// holdsDocuments tells what is read from what is only listed: views, and the faces of time-series collections.
func holdsDocuments(c pitr.Collection) bool { return c.Type == pitr.TypeCollection || c.Type == "" }

// estimates is how many collections are asked for their size at once.
const estimates = 4

// packedShare is the part of the documents' size that the stored chunks may need, before anybody knows how they compress.
const packedShare = 3

// estimate asks how much there is to copy, and refuses early what the destination cannot hold.
func (t *taking) estimate(ctx context.Context) error {
	group, inGroup := errgroup.WithContext(ctx)
	group.SetLimit(estimates)
	for _, c := range t.collections {
		if holdsDocuments(c.Collection) {
			group.Go(func() (err error) {
				c.estimate, err = t.source.Estimate(inGroup, c.NS)
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	var total pitr.Amount
	for _, c := range t.collections {
		total.Count += c.estimate.Count
		total.Bytes += c.estimate.Bytes
	}
	t.Progress.Start(partAll, total)
	if t.Free == nil {
		return nil
	}
	free, err := t.Free(ctx)
	if err != nil {
		return err
	}
	if need := total.Bytes / packedShare; need > free {
		return pitr.Errorf(pitr.KindLimit, "take a snapshot", "make room in the repository's folder, or choose a part with --only",
			"the copy needs about %d MB and the destination has %d MB", need>>20, free>>20)
	}
	return nil
}

// partAll is what the progress of the whole is called; the other parts are namespaces.
const partAll = "snapshot"

// chooseMoment picks the one time to read at: after the listing, so that everything listed exists then or has an entry
// that says why not.
func (t *taking) chooseMoment(ctx context.Context) error {
	if !t.hasMoments() {
		return nil
	}
	majority, err := t.source.MajorityOpTime(ctx)
	t.moment = majority.TS
	failpoint.Hit("snapshot.after-listing")
	return err
}

// name gives a collection for people.
func (c *collection) name() string { return strings.ToValidUTF8(c.NS.String(), "?") }
