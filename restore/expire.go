package restore

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/guard"
	"pitr/history"
)

// The server's own expiry goes on where no write block stands. What it removes while a job writes is no stray, as long as
// it is certain that the document was due.

// watchOptions are those of every watch of the job.
func (j *job) watchOptions() guard.WatchOptions {
	options := guard.WatchOptions{From: j.f, Scope: j.intent.Scope, Blocked: j.blocked}
	if j.intent.Detail.Way == guard.WayQuiet {
		options.Tolerate = j.tolerate
	}
	return options
}

// tolerate decides about a delete of somebody, by what the document was: as the change set says, or as it was at F.
func (j *job) tolerate(ctx context.Context, ns pitr.Namespace, key pitr.Key) (bool, error) {
	change, touched, err := j.ledger.Find(ns, key)
	if err != nil {
		return false, err
	}
	if touched {
		return j.dueNow(ns, change.E) || j.dueNow(ns, change.Target()), nil
	}
	document, err := j.Past.Find(ctx, j.f.TS, Name{NS: ns, Key: key})
	return err == nil && j.dueNow(ns, document), err
}

// expired says whether a document that a write expects may be missing because the server removed it.
func (j *job) expired(write pitr.DocumentWrite) bool { return j.dueNow(write.NS, write.Expect) }

// dueNow applies the rules of both catalogs: either may be in force while a job writes. Under a write block the server
// removes nothing.
func (j *job) dueNow(ns pitr.Namespace, document bson.Raw) bool {
	if document == nil || j.intent.Detail.Way != guard.WayQuiet {
		return false
	}
	for _, catalog := range [][]pitr.Collection{j.e, j.t} {
		for _, collection := range catalog {
			if collection.NS == ns && history.Due(history.Expiries(collection), document, j.Now()) {
				return true
			}
		}
	}
	return false
}
