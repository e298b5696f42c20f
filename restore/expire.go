package restore

import (
	"context"
	"math"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/guard"
)

// expiry is one rule by which the server removes documents of a collection.
type expiry struct {
	field string
	after time.Duration
}

// expiries gives the rules of a collection that are certain: those of indexes without a partial filter on one plain field,
// and of clustered collections.
func expiries(collection pitr.Collection) []expiry {
	var rules []expiry
	for _, spec := range collection.Indexes {
		key, _ := spec.Lookup("key").DocumentOK()
		elements, err := key.Elements()
		_, filtered := spec.Lookup("partialFilterExpression").DocumentOK()
		if err != nil || len(elements) != 1 || filtered {
			continue
		}
		if after, ok := lifetime(spec.Lookup("expireAfterSeconds")); ok {
			rules = append(rules, expiry{field: elements[0].Key(), after: after})
		}
	}
	if _, clustered := collection.Options.Lookup("clusteredIndex").DocumentOK(); clustered {
		if after, ok := lifetime(collection.Options.Lookup("expireAfterSeconds")); ok {
			rules = append(rules, expiry{field: "_id", after: after})
		}
	}
	return rules
}

// lifetime reads expireAfterSeconds. The largest 32-bit number is how people switch expiry off.
func lifetime(value bson.RawValue) (time.Duration, bool) {
	seconds, ok := value.AsInt64OK()
	if number, isDouble := value.DoubleOK(); isDouble && (math.IsNaN(number) || math.IsInf(number, 0)) {
		return 0, false
	}
	return time.Duration(seconds) * time.Second, ok && seconds >= 0 && seconds < math.MaxInt32
}

// due reports whether the server will certainly have removed, or will remove at its next pass, a document at a moment. In
// doubt a document is not due: it is written, and the server decides.
func due(rules []expiry, document bson.Raw, at time.Time) bool {
	for _, rule := range rules {
		date, ok := document.Lookup(rule.field).DateTimeOK()
		if ok && !time.UnixMilli(date).Add(rule.after).After(at) {
			return true
		}
	}
	return false
}

// classifyExpiry turns a change into one of class expired where an index of T makes the document at T due by F: a view
// contains it, a write leaves it out.
func classifyExpiry(change pitr.Change, rules []expiry, f pitr.Timestamp) pitr.Change {
	if change.T != nil && due(rules, change.T, f.Time()) {
		change.Class = pitr.ClassExpired
	}
	return change
}

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
	if j.Finder == nil {
		return false, nil
	}
	document, err := j.Finder.Find(ctx, j.f.TS, ns, key)
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
			if collection.NS == ns && due(expiries(collection), document, j.Now()) {
				return true
			}
		}
	}
	return false
}
