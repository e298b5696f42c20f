package restore

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/guard"
	"pitr/history"
)

// Past answers from the repository what the cluster was like; InRepository gives one.
type Past interface {
	// Price counts what a gap touched, and names what a rewind of it cannot cross.
	Price(ctx context.Context, gap pitr.Window, scope pitr.Scope) (history.Price, error)
	// Gap folds what lies between two moments.
	Gap(ctx context.Context, window pitr.Window, scope pitr.Scope) (Gap, error)
	// Catalog gives the collections and views in scope at a moment, in the order of names.
	Catalog(ctx context.Context, at pitr.Timestamp, scope pitr.Scope) ([]pitr.Collection, error)
	// Documents yields all documents of a collection at a moment, in any order. Bytes are valid until the next one.
	Documents(ctx context.Context, at pitr.Timestamp, collection pitr.Collection) iter.Seq2[bson.Raw, error]
	// Find gives the document of a key at a moment, nil where there is none.
	Find(ctx context.Context, at pitr.Timestamp, document Name) (bson.Raw, error)
}

// Name names a document.
type Name struct {
	NS  pitr.Namespace
	Key pitr.Key
}

// Gap is what lies between two moments T and E.
type Gap struct {
	// T and E are the catalogs in scope at both ends, in the order of names.
	T, E []pitr.Collection
	// Steps are the differences of the catalogs as the fold has followed them by identity, also where a rename crosses the
	// border of the scope.
	Steps []pitr.CatalogStep
	// Changes yields every document that an entry of the gap touched, or that a dropped or re-created collection takes with
	// it, with its class and its state at both ends, namespace by namespace. The namespace is that at T, or at E where T
	// does not have the collection. Bytes are valid until the next one.
	Changes iter.Seq2[pitr.Change, error]
}

// Archive follows the oplog into the repository.
type Archive interface {
	// Through returns when the archive reaches the moment, and a majority of the cluster has passed it: by waiting for the
	// archiver that runs, or by archiving itself. It gives the newest entry that is archived then.
	Through(ctx context.Context, at pitr.Timestamp) (pitr.OpTime, error)
}

// Evidence takes snapshots.
type Evidence interface {
	// Take takes an ordinary snapshot of the scope, with the reason before-restore, for a job that holds the lease "write",
	// and returns its published manifest.
	Take(ctx context.Context, job format.ID, scope pitr.Scope) (format.Manifest, error)
}

// Writers tells who is connected and able to write.
type Writers interface {
	Writers(ctx context.Context) ([]pitr.Writer, error)
}

// Question is what a job asks when the damage has grown since the intent was confirmed.
type Question struct {
	// Intended is the number of touched documents that was confirmed, Found the number now.
	Intended, Found int64
}

// Deps are what a job works with. Repository, Target, Past and Archive are required.
type Deps struct {
	Repository *catalog.Repository
	Target     guard.Target
	Past       Past
	Archive    Archive
	// Evidence is needed only where the archive cannot seal the present state.
	Evidence Evidence
	// MissingRights names what our login lacks for writing, each with the role that has it; nil takes the rights for given.
	MissingRights func(context.Context) ([]string, error)
	// Writers may be nil: then nobody is named.
	Writers Writers
	// Ask is asked when the damage has grown by more than a fifth; nil refuses.
	Ask func(context.Context, Question) (bool, error)
	// WorkFolder takes the job's temporary file, the system's own folder when empty.
	WorkFolder string
	// Operator is user@host, Host the machine, Version that of the program.
	Operator, Host, Version string
	// Quiet and Patience are those of guard.FreezeOptions.
	Quiet, Patience time.Duration
	// Workers is the number of transactions at a time.
	Workers int
	// Limits are those of one transaction.
	Limits   guard.Limits
	Progress pitr.Progress
	Log      *slog.Logger
	Now      func() time.Time
	Sleep    func(context.Context, time.Duration) error
	// Waiting is told once whose lease for writing is waited for; nil does not want to know.
	Waiting func(catalog.LeaseState)
	// Clock is that of the lease, the machine's when nil.
	Clock  catalog.Clock
	Random io.Reader
}

// WithDefaults fills in what may be left out.
func (d Deps) WithDefaults() Deps {
	d.Progress = cmp.Or(d.Progress, pitr.Silent)
	d.WorkFolder = cmp.Or(d.WorkFolder, os.TempDir())
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now //nolint:forbidigo // the default of a clock that is handed in
	}
	return d
}

// cluster describes the target for the records of a job.
func (d Deps) cluster(ctx context.Context) (format.Cluster, pitr.Server, error) {
	server, err := d.Target.Server(ctx)
	if err != nil {
		return format.Cluster{}, server, fmt.Errorf("ask the cluster who it is: %w", err)
	}
	return format.Cluster{Name: d.Repository.ClusterName(), Set: server.Set, SetID: server.SetID, Member: server.Member,
		Hosts: server.Hosts, Version: server.Version, FCV: server.FCV}, server, nil
}
