// Package snapshot copies a cluster into a repository, and reads such copies.
//
// Taking one:
//
//  1. bring the archive up to date and choose S, a majority point before everything that is read (oplog-facts 6.3);
//  2. list the collections, by UUID; the listing is no moment, what changes it until E is in the archive;
//  3. read each collection by one natural scan, several at once, all of them as of one moment while the server can show
//     it, else as a majority state not older than S; a scan that breaks off goes on by UUID, and a collection that is gone
//     is left to the entry that dropped it;
//  4. cut the documents into chunks, compress, upload and confirm them, and build a key index per collection;
//  5. choose E, at or after everything that was read, and bring the archive there;
//  6. publish the catalog parts, and last the manifest: from then on the snapshot exists.
//
// A snapshot is exact at one time when every document was read as of E. Otherwise it is exact through the oplog: documents
// were read between S and E, some perhaps twice, and folding the archive of (S, E] over them gives the state at E. Of two
// copies of one document the later one counts, which is the one further back in the order of chunks, frames and documents.
// A server without an oplog gives a snapshot that is exact at no time.
//
// The package does not interpret oplog entries and does not fold: that is the duty of packages oplog and history.
package snapshot

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/internal/failpoint"
)

// Source is a cluster that can be read. cluster.Client is one.
type Source interface {
	Documents
	Moments
}

// Documents gives catalog and documents of a cluster.
type Documents interface {
	Server() pitr.Server
	Listing(ctx context.Context, scope pitr.Scope) ([]pitr.Collection, error)
	Estimate(ctx context.Context, ns pitr.Namespace) (pitr.Amount, error)
	// Scan ends with one of the conditions of package pitr when it cannot go on by itself.
	Scan(ctx context.Context, r pitr.Range) iter.Seq2[pitr.Batch, error]
}

// Moments tells the cluster's time. Sources without an oplog are not asked.
type Moments interface {
	MajorityOpTime(ctx context.Context) (pitr.OpTime, error)
	OplogBounds(ctx context.Context) (oldest, newest pitr.OpTime, err error)
	// OldestOpenTransaction is zero when no transaction with entries is open.
	OldestOpenTransaction(ctx context.Context, at pitr.Timestamp) (pitr.OpTime, error)
}

// Archiver brings the oplog of the source into the repository.
type Archiver interface {
	// CatchUp returns when every entry at or before the moment is in the archive, or waits until another run's archiver has
	// come there, and names the branch.
	CatchUp(ctx context.Context, through pitr.Timestamp) (format.ID, error)
}

// Options say what to take and how. Reason and, for a source with an oplog, Archive are needed.
type Options struct {
	Archive Archiver
	Scope   pitr.Scope
	Reason  format.Reason
	Note    string
	// Operator is user@host, Version that of the program.
	Operator, Version string
	// Lease says who holds the lease "snapshot" meanwhile.
	Lease catalog.LeaseOptions
	// Job is the restore that takes the snapshot as its evidence: it holds the lease "write" itself.
	Job format.ID
	// Workers is how many collections are read at once; 2 when zero. Uploads is how many chunks are under way; 4 when zero.
	Workers, Uploads int
	// WorkFolder takes the key indexes of collections too large for memory; the system's temporary folder when empty.
	WorkFolder string
	// Free tells how many bytes the destination can take; nil where nobody knows.
	Free func(context.Context) (int64, error)
	// Progress, Now and Log are silent, the real clock and silent when nil.
	Progress pitr.Progress
	Now      func() time.Time
	Log      *slog.Logger
}

func (o Options) withDefaults(repository *catalog.Repository) Options {
	if o.Workers <= 0 {
		o.Workers = 2
	}
	if o.Uploads <= 0 {
		o.Uploads = 4
	}
	if o.Progress == nil {
		o.Progress = pitr.Silent
	}
	if o.Now == nil {
		o.Now = repository.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Take copies what the scope chooses into the repository and gives the published manifest. It fails with kind locked while
// another snapshot is taken or a job holds the lease "write", limit when the destination cannot hold the copy, hole when the
// archive does not cover the time of the copy. A run that fails or is killed leaves nothing that anybody can see, at worst
// objects that nothing names.
func Take(ctx context.Context, source Source, repository *catalog.Repository, o Options) (format.Manifest, error) {
	o = o.withDefaults(repository)
	t := &taking{source: source, repository: repository, Options: o, server: source.Server(), started: o.Now()}
	if err := t.refuse(ctx); err != nil {
		return format.Manifest{}, err
	}
	lease, err := repository.Lease(ctx, catalog.LeaseSnapshot, o.Lease)
	if err != nil {
		return format.Manifest{}, err
	}
	defer func() {
		if err := lease.Release(ctx); err != nil {
			o.Log.WarnContext(ctx, "the lease was not given back", "error", err)
		}
	}()
	ctx = lease.Context(ctx)
	for _, step := range []func(context.Context) error{
		t.begin, t.list, t.estimate, t.chooseMoment, t.read, t.end,
	} {
		if err := step(ctx); err != nil {
			return format.Manifest{}, err
		}
	}
	if err := lease.Check(); err != nil {
		return format.Manifest{}, err
	}
	failpoint.Hit("snapshot.before-catalog")
	return t.publish(ctx)
}
