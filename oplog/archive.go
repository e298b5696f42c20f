package oplog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
)

// Source is the oplog of one member of a replica set; cluster.Client is one.
type Source interface {
	Server() pitr.Server
	// MajorityOpTime gives what the member knows to be committed by a majority.
	MajorityOpTime(ctx context.Context) (pitr.OpTime, error)
	OplogBounds(ctx context.Context) (oldest, newest pitr.OpTime, err error)
	// Oplog yields all entries from a moment on, in order, and follows. An empty batch says that there is nothing new at
	// present. It ends with an error, of kind unavailable where it may be started again.
	Oplog(ctx context.Context, from pitr.Timestamp) iter.Seq2[pitr.Batch, error]
}

// Noter writes no-op entries into the oplog; cluster.Client is one.
type Noter interface {
	Note(ctx context.Context, data bson.Raw) (pitr.Timestamp, error)
}

// The defaults of ArchiveOptions.
const (
	defaultCutBytes = 8 << 20
	defaultCutAge   = 10 * time.Second
	defaultPatience = 5 * time.Minute
)

// ArchiveOptions say how to archive; the zero value is good, but for the names in Lease.
type ArchiveOptions struct {
	// Lease says who archives.
	Lease catalog.LeaseOptions
	// CutBytes and CutAge end a segment: 8 MiB of entries or 10 seconds.
	CutBytes int64
	CutAge   time.Duration
	// Patience is how long Once and CatchUp go on without getting anything from the source; 5 minutes when zero. Follow
	// goes on for ever.
	Patience time.Duration
	// Notes, where it is set, lets CatchUp ask a running archiver to hurry, by a note in the oplog; without it CatchUp waits
	// until that archiver cuts by itself.
	Notes Noter
	// Report hears how far the archive has come, after each segment and when the archiver begins or ends to wait.
	Report func(ArchiveStatus)
	// Alive hears from a run that follows at every turn of its work, also while there is nothing to do or it waits for the
	// source; the first time when it holds the lease and knows where to go on. One that hears nothing for long looks at a
	// run that hangs.
	Alive func(ArchiveStatus)
	Log   *slog.Logger
	// Now is the wall clock.
	Now func() time.Time
}

func (o ArchiveOptions) withDefaults(repository *catalog.Repository) ArchiveOptions {
	if o.CutBytes <= 0 {
		o.CutBytes = defaultCutBytes
	}
	if o.CutAge <= 0 {
		o.CutAge = defaultCutAge
	}
	if o.Patience <= 0 {
		o.Patience = defaultPatience
	}
	if o.Report == nil {
		o.Report = func(ArchiveStatus) {}
	}
	if o.Alive == nil {
		o.Alive = func(ArchiveStatus) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = repository.Now
	}
	return o
}

// ArchiveStatus is how far an archiver has come.
type ArchiveStatus struct {
	Branch format.ID
	// Through is the newest entry that is in the archive and was read back; Majority the newest majority point that was
	// seen, Oldest the oldest entry that the source still had when it was last asked.
	Through, Majority, Oldest pitr.OpTime
	// Segments, Entries and Bytes count what this run has archived.
	Segments, Entries, Bytes int64
	// Holes counts the breaks that this run had to leave, because the source no longer had what follows the archive.
	Holes int64
	// Waiting says what the archiver waits for, empty while it gets on.
	Waiting string
}

// Archiver moves the oplog of a source into a repository:
//
//  1. take the lease "archive"; go on where the newest branch ends, after making sure that the source is the same cluster;
//  2. read from the last archived entry on: the first entry that comes must be that one, byte for byte. A source that
//     no longer has it leaves a hole, which is noted; one that denies it is another history, where archiving stops;
//  3. keep entries back until a majority point seen after they were read proves that they stay;
//  4. cut segments at 8 MiB or 10 seconds, with the facts that spare readers work; put each and read it back, one after
//     the other, so that a crash never leaves a segment behind a missing one.
//
// An entry that pitr does not understand is counted and archived as it is.
type Archiver struct {
	source     Source
	repository *catalog.Repository
	ArchiveOptions
}

// NewArchiver makes an archiver. It does nothing until it is told to.
func NewArchiver(source Source, repository *catalog.Repository, o ArchiveOptions) *Archiver {
	return &Archiver{source: source, repository: repository, ArchiveOptions: o.withDefaults(repository)}
}

// Follow archives until ctx ends, and merges what has become an hour old beside it. It ends when ctx does, which is no failure, or something stops it: kind locked when another run archives, or has
// taken over; kind conflict when the source is another cluster or has another history.
func (a *Archiver) Follow(ctx context.Context) error {
	_, err := a.hold(ctx, func(ctx context.Context, r *archiving) error {
		beside, stop := context.WithCancel(ctx)
		var merges sync.WaitGroup
		merges.Go(func() { r.merging(beside) })
		defer merges.Wait()
		defer stop()
		return r.run(ctx, pitr.MaxTimestamp)
	})
	if ctx.Err() != nil && (errors.Is(err, context.Cause(ctx)) || errors.Is(err, ctx.Err())) {
		return nil
	}
	return err
}

// Once archives what is committed by a majority when it begins, and gives how far it came.
func (a *Archiver) Once(ctx context.Context) (ArchiveStatus, error) {
	r, err := a.hold(ctx, func(ctx context.Context, r *archiving) error {
		majority, err := a.source.MajorityOpTime(ctx)
		if err != nil {
			return err
		}
		return r.run(ctx, majority.TS)
	})
	if r == nil {
		return ArchiveStatus{}, err
	}
	return r.status, err
}

// hold takes the lease, finds where to go on, and works.
func (a *Archiver) hold(ctx context.Context, work func(context.Context, *archiving) error) (r *archiving, err error) {
	lease, err := a.repository.Lease(ctx, catalog.LeaseArchive, a.Lease)
	if err != nil {
		return nil, err
	}
	defer func() {
		if released := lease.Release(ctx); err == nil {
			err = released
		}
	}()
	held := lease.Context(ctx)
	if r, err = a.begin(held, lease); err != nil {
		return nil, err
	}
	if err = work(held, r); err != nil && ctx.Err() == nil && lease.Check() != nil {
		err = lease.Check()
	}
	return r, err
}

// CatchUp returns when every entry at or before a moment is in the archive, and names the branch. It archives itself unless
// another run does: then it waits for that one. The moment must be one that a majority has committed.
func (a *Archiver) CatchUp(ctx context.Context, through pitr.Timestamp) (format.ID, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := watched{Archiver: a}
	done, err := w.reached(ctx, through)
	if err != nil || done {
		return w.branch.ID, err
	}
	if err := a.hurry(ctx); err != nil {
		return "", err
	}
	worked := make(chan error, 1)
	var alone sync.WaitGroup
	alone.Go(func() { worked <- a.catchUpAlone(ctx, through) })
	for {
		select {
		case err := <-worked:
			if err != nil {
				return "", err
			}
			done, err := w.reached(ctx, through)
			if err == nil && !done {
				err = pitr.Errorf(pitr.KindUnexpected, "archive through "+through.String(), "", "the archive does not reach it afterwards")
			}
			return w.branch.ID, err
		case <-time.After(pollPause):
			if done, err := w.reached(ctx, through); err != nil || done {
				cancel()
				alone.Wait()
				return w.branch.ID, err
			}
		}
	}
}

// hurry asks the archiver that runs, if one does, to cut at once. A note that cannot be written costs only time.
func (a *Archiver) hurry(ctx context.Context) error {
	if a.Notes == nil {
		return nil
	}
	state, err := a.repository.ShowLease(ctx, catalog.LeaseArchive)
	if err != nil || !state.Held() {
		return err
	}
	note, err := bson.Marshal(cutNote)
	if err != nil {
		return err
	}
	if _, err := a.Notes.Note(ctx, note); err != nil && ctx.Err() == nil {
		a.Log.Info("the archiver cannot be asked to hurry", "error", err)
	}
	return nil
}

// pollPause is how often a run looks how far another one's archive has come.
const pollPause = 250 * time.Millisecond

// catchUpAlone waits for the lease for as long as ctx lasts.
func (a *Archiver) catchUpAlone(ctx context.Context, through pitr.Timestamp) error {
	patient := *a
	patient.Lease.Wait = 1 << 62
	_, err := patient.hold(ctx, func(ctx context.Context, r *archiving) error {
		return r.run(ctx, through)
	})
	return err
}

// watched is an archive that somebody waits for.
type watched struct {
	*Archiver
	branch format.Branch
	last   catalog.Segment
}

// reached reports whether the archive has come to a moment, and makes sure that it is the source's own history that did.
func (w *watched) reached(ctx context.Context, through pitr.Timestamp) (bool, error) {
	branch, ok, err := w.tip(ctx)
	if err != nil || !ok {
		return false, err
	}
	if branch.ID == w.branch.ID && w.last.Through != 0 {
		w.last, err = w.repository.LaterSegment(ctx, branch.ID, w.last)
	} else {
		w.branch = branch
		w.last, _, err = w.repository.LastSegment(ctx, branch.ID)
	}
	if err != nil || w.last.Through < through {
		return false, err
	}
	if err := w.checkWitness(ctx, branch, w.last); err != nil {
		return false, err
	}
	return true, w.compareAt(ctx, branch.ID, through)
}

// compareAt holds the archived entry of a moment, if there is one, against the source's.
func (a *Archiver) compareAt(ctx context.Context, branch format.ID, at pitr.Timestamp) error {
	window := catalog.BranchWindow{Branch: branch, Window: pitr.Window{After: at.Before(), Through: at}}
	for archived, err := range a.repository.Entries(ctx, window) {
		if pitr.KindOf(err) == pitr.KindHole {
			return nil // the archive begins behind the moment: there is nothing to compare
		}
		if err != nil {
			return err
		}
		mark, err := a.firstFrom(ctx, at)
		if err != nil {
			return err
		}
		if mark.TS == at && mark.Digest != format.Sum(archived) {
			return a.denied(fmt.Sprintf("the archive has another entry at %s than %s", at, a.source.Server().Member))
		}
	}
	return nil
}

// firstFrom gives the first entry that the source has at or after a moment; zero when it has none yet.
func (a *Archiver) firstFrom(ctx context.Context, from pitr.Timestamp) (format.EntryMark, error) {
	for batch, err := range a.source.Oplog(ctx, from) {
		if err != nil {
			return format.EntryMark{}, err
		}
		for raw, err := range batch.Documents() {
			if err != nil {
				return format.EntryMark{}, err
			}
			return markOf(raw)
		}
		return format.EntryMark{}, nil
	}
	return format.EntryMark{}, nil
}

// denied is the refusal of a source that is not, or no longer, the one that was archived.
func (a *Archiver) denied(what string) error {
	return pitr.Errorf(pitr.KindConflict, "archive the oplog",
		"check the address of the cluster; a clone needs a repository of its own: `pitr init`; if this cluster itself went back, or got "+
			"other members, look at it with `pitr archive adopt` and go on with `pitr archive adopt --new-branch`", "%s", what)
}
