package guard

import (
	"context"
	"iter"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// Target is a live cluster that a job may write to. All reads and writes follow the primary. Errors carry kinds: denied for
// a missing right, unavailable when the server could not be reached within the budget of the implementation, which retries
// what the server calls retryable; limit for a full disk.
type Target interface {
	Reader
	Transactor
	CatalogWriter
	Freezer
	Loader
}

// Reader reads the present state of a live cluster from its primary. What it gives is majority-committed, and includes
// every write that this process has been told of as done.
type Reader interface {
	// Server tells which cluster this is. It asks the cluster each time.
	Server(ctx context.Context) (pitr.Server, error)
	// Catalog lists collections and views in scope, in the order of namespaces, with options and complete index specs.
	// Indexes that are still being built are not listed. An empty cluster gives none.
	Catalog(ctx context.Context, scope pitr.Scope) ([]pitr.Collection, error)
	// Lookup finds documents by _id with the collection's own collation, in any order. Ids without a document, and a
	// namespace that does not exist, give nothing. The bytes are the server's and belong to the caller.
	Lookup(ctx context.Context, ns pitr.Namespace, ids []bson.RawValue) ([]bson.Raw, error)
	// Count gives the number of documents as collection statistics know it, which may be off after an unclean shutdown.
	Count(ctx context.Context, ns pitr.Namespace) (int64, error)
	// Entries reads the oplog forward from the first entry later than after, up to the newest that was visible when it was
	// called, and ends there: it does not wait for more. The entry at after must still exist, else the error is of kind
	// hole. A yielded entry is valid until the next one.
	Entries(ctx context.Context, after pitr.Timestamp) iter.Seq2[bson.Raw, error]
}

// Transactor writes documents in place.
type Transactor interface {
	// Transact performs all writes as one transaction with read concern snapshot and write concern majority, or none of them:
	// it finds the documents by _id, compares bytes, leaves alone what equals its Result already, aborts with a
	// *pitr.Difference (kind conflict) at the first document that equals neither Expect nor Result, deletes what has no
	// Result or is to be re-inserted, replaces, inserts, commits. Document validation is bypassed. An unknown outcome of the commit
	// is resolved by committing again. It returns a cluster time at or after the commit, zero when nothing had to be written.
	Transact(ctx context.Context, writes []pitr.DocumentWrite) (pitr.Timestamp, error)
}

// CatalogWriter changes the catalog.
type CatalogWriter interface {
	// Apply performs one step with write concern majority and returns when it is done, however long an index build takes.
	// It returns a cluster time at or after the step. A name that is taken is kind conflict, one that is missing is kind
	// notfound, a unique index that the documents violate is kind mismatch; nothing was changed then.
	Apply(ctx context.Context, step pitr.CatalogWrite) (pitr.Timestamp, error)
}

// Freezer blocks and unblocks the writes of users.
type Freezer interface {
	// WriteBlock tells whether a block stands, and whether we may set and pass one. It changes nothing.
	WriteBlock(ctx context.Context) (pitr.WriteBlock, error)
	// BlockWrites sets the block. While open transactions are in its way it gives up after some seconds with kind
	// unavailable; nothing is switched then and it can be called again.
	BlockWrites(ctx context.Context) error
	// UnblockWrites lifts the block, whoever set it: callers must know that it is theirs.
	UnblockWrites(ctx context.Context) error
}

// Loader fills collections that the job itself created; nothing else may be given to it.
type Loader interface {
	// Load inserts documents unordered, without validation, acknowledged by the primary. It fails as a whole on any write
	// error. Calls may run in parallel.
	Load(ctx context.Context, ns pitr.Namespace, documents []bson.Raw) error
	// Settle returns when everything loaded so far is on a majority, with a cluster time at or after it, zero where the
	// server has none.
	Settle(ctx context.Context) (pitr.Timestamp, error)
}
