package oplog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
)

// The pauses of an archiver, and how much it keeps back while the majority point stands still.
const (
	firstPause   = time.Second
	longestPause = 30 * time.Second
	maxPending   = 64 << 20
	// stopTime is how long an archiver that was told to stop may take to put away what it has.
	stopTime = 4 * time.Second
	// windowCheck is how often the oldest entry of the source is asked for.
	windowCheck = time.Minute
)

// archiving is one run under the lease.
type archiving struct {
	*Archiver
	lease  *catalog.Lease
	branch format.Branch
	// last is the newest entry that was taken over into a segment; zero before the first.
	last format.EntryMark
	// from is where to begin reading while there is no last entry.
	from    pitr.Timestamp
	segment *segmentWriter
	// joined says that the source's cursor has given the last entry, so that what follows continues the archive.
	joined bool
	// proven is a majority point that the source showed before the cursor was opened.
	proven pitr.OpTime
	// pending are entries that were read and are not known to stay.
	pending      []pendingEntry
	pendingBytes int
	// asked says that somebody waits for the open segment.
	asked bool
	// upload is the segment that is being put; nil when none is.
	upload *upload
	// moved is when the last entry was taken over, checked when the oldest entry of the source was asked for.
	moved, checked time.Time
	status         ArchiveStatus
}

type pendingEntry struct {
	raw bson.Raw
	at  pitr.OpTime
}

// begin finds where to go on: on the newest branch of the archive, or on a first one.
func (a *Archiver) begin(ctx context.Context, lease *catalog.Lease) (*archiving, error) {
	r := &archiving{Archiver: a, lease: lease, moved: a.Now()}
	branch, ok, err := a.tip(ctx)
	if err != nil {
		return nil, err
	}
	var last catalog.Segment
	if ok {
		if last, _, err = a.repository.LastSegment(ctx, branch.ID); err != nil {
			return nil, err
		}
		if err := a.checkWitness(ctx, branch, last); err != nil {
			return nil, err
		}
	} else if branch, err = a.newBranch(ctx, nil, "the archive begins"); err != nil {
		return nil, err
	}
	r.branch, r.status.Branch = branch, branch.ID
	if r.segment, err = newSegmentWriter(branch.ID, a.source.Server().Member); err != nil {
		return nil, err
	}
	switch {
	case last.Through != 0:
		err = r.resume(ctx, last)
	case branch.Fork != nil && !branch.Fork.Digest.IsZero():
		r.last = format.EntryMark{OpTime: branch.Fork.At, Digest: branch.Fork.Digest}
		r.segment.forked = true
	default:
		err = r.beginAnew(ctx)
	}
	r.status.Through = r.last.OpTime
	return r, err
}

// resume takes up the archive behind its last segment: the entry to continue, and the transactions that are open there.
func (r *archiving) resume(ctx context.Context, last catalog.Segment) error {
	_, facts, err := r.repository.OpenSegment(ctx, r.branch.ID, last)
	if err != nil {
		return err
	}
	r.last = facts.Last
	window := pitr.Window{After: last.After, Through: last.Through}
	for _, chain := range facts.OpenChains {
		window.After = min(window.After, chain.First.TS.Before())
	}
	for raw, err := range r.repository.Entries(ctx, catalog.BranchWindow{Branch: r.branch.ID, Window: window}) {
		if pitr.KindOf(err) == pitr.KindHole && window.After != last.After {
			// The beginnings of old transactions are lost with a hole; a reader will say so when it needs them.
			return nil
		}
		if err != nil {
			return err
		}
		if entry, err := Decode(raw); err == nil {
			r.segment.chains.push(&entry)
		}
	}
	return nil
}

// beginAnew chooses the first entry of a history that nothing comes before: the present end of the oplog, or, where another
// history was left, the oldest entry that there is of the new one.
func (r *archiving) beginAnew(ctx context.Context) error {
	if r.branch.Fork != nil {
		oldest, _, err := r.source.OplogBounds(ctx)
		r.from = oldest.TS
		return err
	}
	majority, err := r.source.MajorityOpTime(ctx)
	r.from = majority.TS
	return err
}

// run archives through a moment, starting again what breaks off and may pass.
func (r *archiving) run(ctx context.Context, through pitr.Timestamp) error {
	pause := firstPause
	for {
		r.Alive(r.status)
		before := r.last
		err := r.session(ctx, through)
		switch {
		case err == nil:
			return r.settle(ctx)
		case ctx.Err() != nil:
			return r.stop(ctx)
		case errors.Is(err, errElection) && r.last != before:
			r.pending, r.pendingBytes = nil, 0
			r.Log.InfoContext(ctx, "reading again from the last archived entry", "reason", err)
			continue
		case !mayPass(err):
			return errors.Join(err, r.settle(ctx))
		case through != pitr.MaxTimestamp && r.Now().Sub(r.moved) > r.Patience:
			return pitr.Errorf(pitr.KindUnavailable, "archive the oplog", "look at the member, or choose another one",
				"nothing came for %s: %w", r.Patience, err)
		}
		if r.last != before {
			pause = firstPause
		}
		r.pending, r.pendingBytes = nil, 0
		r.Log.WarnContext(ctx, "reading the oplog broke off, starting again", "pause", pause, "error", err)
		r.waitsFor(err.Error())
		if err := sleep(ctx, pause); err != nil {
			return r.stop(ctx)
		}
		pause = min(2*pause, longestPause)
	}
}

// errElection ends a cursor that was opened in an earlier term than the newest majority point is of.
var errElection = errors.New("there was an election since the cursor was opened")

func mayPass(err error) bool {
	return errors.Is(err, errElection) || pitr.KindOf(err) == pitr.KindUnavailable || errors.Is(err, pitr.ErrCursorGone)
}

// stop puts away what is known to stay, in the short time that a stop may take.
func (r *archiving) stop(ctx context.Context) error {
	cause := context.Cause(ctx)
	if r.lease.Check() != nil {
		return cause // not ours to write any more
	}
	short, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if err := r.settle(short); err != nil {
		r.Log.WarnContext(short, "not everything was put away; the next run reads it again", "error", err)
	}
	return cause
}

// session reads one cursor of the source, to its end or to the moment.
func (r *archiving) session(ctx context.Context, through pitr.Timestamp) error {
	from := r.from
	if r.joined = r.last.Digest.IsZero(); !r.joined {
		from = r.last.TS
	}
	var err error
	if r.proven, err = r.source.MajorityOpTime(ctx); err != nil {
		return err
	}
	for batch, err := range r.source.Oplog(ctx, from) {
		if err != nil {
			return err
		}
		for raw, err := range batch.Documents() {
			if err != nil {
				return pitr.Errorf(pitr.KindUnavailable, "read the oplog", "", "%w", err)
			}
			if err = r.receive(ctx, raw); err != nil {
				return err
			}
		}
		if err := r.after(ctx); err != nil {
			return err
		}
		if r.last.TS >= through && !r.last.Digest.IsZero() {
			return nil
		}
		if through != pitr.MaxTimestamp && r.Now().Sub(r.moved) > r.Patience {
			return pitr.Errorf(pitr.KindUnavailable, "archive the oplog", "look at the member, or choose another one",
				"%s does not come to %s", r.source.Server().Member, through)
		}
	}
	return pitr.Errorf(pitr.KindUnavailable, "follow the oplog", "", "%w", pitr.ErrCursorGone)
}

// receive takes an entry of the source; the first one after a start has to be the last archived one.
func (r *archiving) receive(ctx context.Context, raw bson.Raw) error {
	at, ok := catalog.EntryTime(raw)
	if !ok {
		return pitr.Corruptf("read the oplog", "%s gave an entry without a cluster time", r.source.Server().Member)
	}
	if !r.joined {
		return r.join(ctx, raw, at)
	}
	newest := r.last.OpTime
	if len(r.pending) > 0 {
		newest = r.pending[len(r.pending)-1].at
	}
	if at.TS <= newest.TS {
		return pitr.Errorf(pitr.KindUnavailable, "read the oplog", "", "entry %s came after %s", at, newest)
	}
	r.pending = append(r.pending, pendingEntry{raw: raw, at: at})
	r.pendingBytes += len(raw)
	return nil
}

// after does what follows a batch: it takes over what is known to stay, cuts by age, and slows down while nothing is.
func (r *archiving) after(ctx context.Context) error {
	r.Alive(r.status)
	if !r.joined {
		r.waitsFor(fmt.Sprintf("%s has not come to %s yet", r.source.Server().Member, r.last.OpTime))
	}
	for {
		if err := r.commit(ctx); err != nil {
			return err
		}
		if u := r.upload; u != nil && len(u.done) > 0 {
			if err := r.wait(ctx); err != nil {
				return err
			}
		}
		if r.segment.entries > 0 && (r.asked || r.Now().Sub(r.segment.began) >= r.CutAge) {
			r.asked = false
			if err := r.cut(ctx); err != nil {
				return err
			}
		}
		if err := r.watchWindow(ctx); err != nil {
			return err
		}
		if r.pendingBytes <= maxPending {
			return nil
		}
		// Nothing more is read until the majority has followed.
		r.Alive(r.status)
		if err := sleep(ctx, firstPause); err != nil {
			return err
		}
	}
}

// commit takes over the pending entries that are known to stay.
func (r *archiving) commit(ctx context.Context) error {
	if len(r.pending) == 0 {
		return nil
	}
	n := reached(r.pending, r.proven)
	if n == len(r.pending) {
		r.status.Majority = r.proven
		return r.takeOver(ctx, n)
	}
	majority, err := r.source.MajorityOpTime(ctx)
	if err != nil {
		return err
	}
	r.status.Majority = majority
	m := committed(r.pending, majority)
	overtaken := r.pendingBytes > maxPending && majority.TS >= r.pending[len(r.pending)-1].at.TS
	if m > n && r.pending[n].at.Term == majority.Term {
		n = m
	} else if m > n || overtaken {
		// Entries of an earlier term, and a point that this cursor was opened before: a new one begins behind the point.
		if err := r.takeOver(ctx, n); err != nil {
			return err
		}
		return errElection
	}
	if n == 0 {
		if r.Now().Sub(r.moved) > time.Minute {
			r.waitsFor(fmt.Sprintf("the majority point stands at %s", majority))
		}
		return nil
	}
	return r.takeOver(ctx, n)
}

// takeOver moves the first pending entries into the open segment.
func (r *archiving) takeOver(ctx context.Context, n int) error {
	if n == 0 {
		return nil
	}
	r.moved = r.Now()
	for _, entry := range r.pending[:n] {
		if err := r.add(ctx, entry); err != nil {
			return err
		}
	}
	r.pending = append([]pendingEntry(nil), r.pending[n:]...)
	r.pendingBytes = 0
	for _, entry := range r.pending {
		r.pendingBytes += len(entry.raw)
	}
	return nil
}

// reached counts the entries at or below a majority point that the source showed before it was asked for them. The source had
// the point by then and nothing takes that from it, so whatever it gives up to there led to it, whatever the term.
func reached(entries []pendingEntry, point pitr.OpTime) int {
	n, _ := slices.BinarySearchFunc(entries, point.TS, func(e pendingEntry, at pitr.Timestamp) int {
		if e.at.TS <= at {
			return -1
		}
		return 1
	})
	return n
}

// committed counts the entries that no election can take back, given a majority point that was seen after they were read.
//
// That a point is later is not enough: a member may have rolled back between the read and the look, and then shows the
// point of another history. But one term has one primary and so one history: an entry of the point's own term at or below
// it belongs to the point's history, and with it everything that the member had before that entry.
func committed(entries []pendingEntry, majority pitr.OpTime) int {
	for n := len(entries); n > 0; n-- {
		if at := entries[n-1].at; at.Term == majority.Term && at.TS <= majority.TS {
			return n
		}
	}
	return 0
}

// add takes an entry over into the open segment.
func (r *archiving) add(ctx context.Context, entry pendingEntry) error {
	if r.segment.entries == 0 {
		r.segment.open(r.last, entry.at.TS, r.Now())
	}
	if err := r.segment.add(entry.raw, entry.at); err != nil {
		return err
	}
	r.last = r.segment.facts.Last
	r.asked = r.asked || asksToCut(entry.raw)
	if r.segment.full(r.CutBytes) {
		return r.cut(ctx)
	}
	return nil
}

// cutNote is what a run that waits for the archive writes into the oplog as a note: whoever archives cuts there.
var cutNote = bson.D{{Key: "msg", Value: "pitr waits for the archive"}}

// freezeNamespace is where a write block shows in the oplog; whoever set it waits for the archive to pass it.
const freezeNamespace = "config.user_writes_critical_sections"

// asksToCut reports whether somebody waits for this entry to be in the archive.
func asksToCut(raw bson.Raw) bool {
	op, _ := raw.Lookup("op").StringValueOK()
	switch op {
	case "n":
		message, _ := raw.Lookup("o", "msg").StringValueOK()
		return message == cutNote[0].Value
	case "i", "d":
		ns, _ := raw.Lookup("ns").StringValueOK()
		return ns == freezeNamespace
	}
	return false
}

// watchWindow asks from time to time how much the source still has, for those who watch.
func (r *archiving) watchWindow(ctx context.Context) error {
	if r.Now().Sub(r.checked) < windowCheck {
		return nil
	}
	r.checked = r.Now()
	oldest, _, err := r.source.OplogBounds(ctx)
	r.status.Oldest = oldest
	return err
}

func (r *archiving) waitsFor(what string) {
	if r.status.Waiting != what {
		r.status.Waiting = what
		r.Report(r.status)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
