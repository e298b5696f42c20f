package guard

import (
	"context"
	"fmt"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// StagingTarget is what filling new collections needs of a cluster.
type StagingTarget interface {
	Reader
	CatalogWriter
	Loader
}

// Staging fills collections that it has made itself, under names that were free, and no others. It is safe for use by
// several goroutines.
type Staging struct {
	target StagingTarget

	mu   sync.Mutex
	made map[pitr.Namespace]pitr.UUID
}

// NewStaging makes a staging that has made nothing yet.
func NewStaging(target StagingTarget) *Staging {
	return &Staging{target: target, made: map[pitr.Namespace]pitr.UUID{}}
}

// Create makes a collection or view. A name that exists is refused.
func (s *Staging) Create(ctx context.Context, collection pitr.Collection) error {
	if err := s.free(ctx, collection.NS); err != nil {
		return err
	}
	step := pitr.CreateCollection{Collection: collection}
	if _, err := s.target.Apply(ctx, step); err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	made, err := s.find(ctx, collection.NS)
	if err != nil {
		return err
	}
	if made == nil {
		return pitr.Errorf(pitr.KindMismatch, step.String(), "", "it is not there afterwards")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made[collection.NS] = made.UUID
	return nil
}

func (s *Staging) free(ctx context.Context, ns pitr.Namespace) error {
	found, err := s.find(ctx, ns)
	if err == nil && found != nil {
		err = pitr.Refusef("create "+ns.String(), "choose another name, or drop it yourself", "it exists already")
	}
	return err
}

func (s *Staging) find(ctx context.Context, ns pitr.Namespace) (*pitr.Collection, error) {
	list, err := s.target.Catalog(ctx, pitr.Scope{Only: []string{ns.KnownAs().String()}})
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", ns, err)
	}
	for i := range list {
		if list[i].NS == ns {
			return &list[i], nil
		}
	}
	return nil, nil
}

// own gives the identity of a collection that this staging has made.
func (s *Staging) own(ns pitr.Namespace) (pitr.UUID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	uuid, ok := s.made[ns]
	if !ok {
		return uuid, pitr.Errorf(pitr.KindUnexpected, "write to "+ns.String(), "report this defect", "this job has not made it")
	}
	return uuid, nil
}

// Adopt takes up what the creation of a time-series collection has made beside it: its buckets, as long as they are empty.
func (s *Staging) Adopt(ctx context.Context, creator, made pitr.Namespace) error {
	if _, err := s.own(creator); err != nil {
		return err
	}
	found, err := s.find(ctx, made)
	if err != nil {
		return err
	}
	count, err := s.target.Count(ctx, made)
	if err != nil {
		return fmt.Errorf("count %s: %w", made, err)
	}
	if found == nil || count != 0 {
		return pitr.Refusef("write to "+made.String(), "choose another name", "it is not the empty collection that was made with %s", creator)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made[made] = found.UUID
	return nil
}

// Load inserts documents, acknowledged by the primary alone.
func (s *Staging) Load(ctx context.Context, ns pitr.Namespace, documents []bson.Raw) error {
	if _, err := s.own(ns); err != nil {
		return err
	}
	return s.target.Load(ctx, ns, documents)
}

// Settle returns when what was loaded is on a majority, with a cluster time at or after it.
func (s *Staging) Settle(ctx context.Context) (pitr.Timestamp, error) { return s.target.Settle(ctx) }

// Index builds indexes, all of them in one command; the _id index and an empty list are nothing to do.
func (s *Staging) Index(ctx context.Context, ns pitr.Namespace, specs []bson.Raw) error {
	uuid, err := s.own(ns)
	if err != nil {
		return err
	}
	step := pitr.CreateIndexes{NS: ns, UUID: uuid}
	for _, spec := range specs {
		if pitr.IndexName(spec) != idIndex {
			step.Specs = append(step.Specs, spec)
		}
	}
	if len(step.Specs) == 0 {
		return nil
	}
	if _, err := s.target.Apply(ctx, step); err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	return nil
}

// Rename gives a collection its last name, which must be free.
func (s *Staging) Rename(ctx context.Context, from, to pitr.Namespace) error {
	uuid, err := s.own(from)
	if err != nil {
		return err
	}
	if err := s.free(ctx, to); err != nil {
		return err
	}
	step := pitr.RenameCollection{UUID: uuid, From: from, To: to}
	if _, err := s.target.Apply(ctx, step); err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.made, from)
	s.made[to] = uuid
	return nil
}
