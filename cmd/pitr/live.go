package main

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/cluster"
)

// liveSide is the cluster as of one moment, where and as long as the server can show that; then as it moves on. It belongs to
// one comparison.
type liveSide struct {
	client *cluster.Client
	scope  pitr.Scope
	// at is the moment, zero where the server shows none.
	at pitr.Timestamp
	// moved are the collections for which the moment was lost.
	moved map[pitr.Namespace]bool
}

// maxReopen is how often a scan may break off without a single document in between before the comparison gives up.
const maxReopen = 5

// Collections lists the catalog.
func (l *liveSide) Collections(ctx context.Context) ([]pitr.Collection, error) {
	return l.client.Listing(ctx, l.scope)
}

// Moved reports whether the moment was lost for a collection.
func (l *liveSide) Moved(c pitr.Collection) bool { return l.at == 0 || l.moved[c.NS] }

// rangeOf is what is read of a collection: the moment, or what is newer.
func (l *liveSide) rangeOf(c pitr.Collection) pitr.Range {
	if l.Moved(c) {
		return pitr.Range{Collection: c, After: l.at}
	}
	return pitr.Range{Collection: c, At: l.at}
}

// Documents scans a collection. When the server cannot show the moment any more the scan goes on at the newest state, and
// documents may come twice.
func (l *liveSide) Documents(ctx context.Context, c pitr.Collection) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		if l.at == 0 {
			l.lose(c)
		}
		scan := liveScan{live: l, collection: c}
		for more := true; more && ctx.Err() == nil; {
			more = scan.run(ctx, yield)
		}
	}
}

// liveScan is where the scan of one collection stands.
type liveScan struct {
	live       *liveSide
	collection pitr.Collection
	resume     bson.Raw
	// read says that documents were handed on which a scan without a token would hand on again.
	read     bool
	reopened int
}

// run reads until the scan ends or breaks off; true when it is to go on.
func (s *liveScan) run(ctx context.Context, yield func(bson.Raw, error) bool) bool {
	rng := s.live.rangeOf(s.collection)
	rng.Resume = s.resume
	for batch, err := range s.live.client.Scan(ctx, rng) {
		if err != nil {
			s.reopened++
			if ctx.Err() == nil && s.reopened <= maxReopen && s.recover(err) {
				return true
			}
			yield(nil, err)
			return false
		}
		for document, err := range batch.Documents() {
			if !yield(document, err) || err != nil {
				return false
			}
			s.read, s.reopened = true, 0
		}
		s.resume = slices.Clone(batch.Resume)
	}
	return false
}

// recover decides whether a scan that broke off goes on.
func (s *liveScan) recover(err error) bool {
	switch {
	case s.live.loses(s.collection, err):
	case errors.Is(err, pitr.ErrResumeGone):
		s.live.lose(s.collection)
		s.resume = nil
	case errors.Is(err, pitr.ErrCursorGone):
		if s.read && s.resume == nil {
			s.live.lose(s.collection)
		}
	default:
		return false
	}
	return true
}

// loses reports whether an error means that the moment cannot be read, and remembers it.
func (l *liveSide) loses(c pitr.Collection, err error) bool {
	if l.Moved(c) || !errors.Is(err, pitr.ErrMomentGone) && !errors.Is(err, pitr.ErrMomentUnsupported) {
		return false
	}
	l.lose(c)
	return true
}

func (l *liveSide) lose(c pitr.Collection) {
	if l.moved == nil {
		l.moved = map[pitr.Namespace]bool{}
	}
	l.moved[c.NS] = true
}

// Lookup finds documents by key, at the moment or in the newest state.
func (l *liveSide) Lookup(ctx context.Context, c pitr.Collection, keys []pitr.Key) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		for again := true; again; {
			again = false
			for document, err := range l.client.Lookup(ctx, l.rangeOf(c), keys) {
				if err != nil && l.loses(c, err) {
					again = true // what was yielded comes again, as it is now
					break
				}
				if !yield(document, err) || err != nil {
					return
				}
			}
		}
	}
}

// movedOn lists the collections that were read and for which there was no one moment, in the order of their names.
func (l *liveSide) movedOn() []pitr.Namespace {
	return slices.SortedFunc(maps.Keys(l.moved), pitr.Namespace.Compare)
}
