package history

import (
	"context"

	"pitr"
	"pitr/history/fold"
)

// gapFold folds touched documents, and nothing else, from the base through a gap.
type gapFold struct {
	state     *fold.State
	run       *run
	documents map[pitr.UUID]map[string]*touched
	// inGap says that the beginning of the gap has been passed. What was born in the gap is not followed before it: earlier
	// entries on its key are about an earlier life.
	inGap bool
}

// beginGap looks up in the base what the gap did not make itself, and folds through the beginning of the gap.
func (h *History) beginGap(ctx context.Context, noted *collector, from pitr.Timestamp) (*gapFold, error) {
	f := &gapFold{documents: noted.documents}
	var err error
	f.state, err = h.newState(fold.Options{MaxBytes: h.options.MaxBytes, Keep: func(uuid pitr.UUID, key string) bool {
		each := f.documents[uuid][key]
		return each != nil && (f.inGap || !each.born)
	}})
	if err != nil {
		return nil, err
	}
	f.state.Reserve(noted.bytes)
	needs := keySet{}
	for uuid, documents := range f.documents {
		for _, each := range documents {
			if !each.born {
				needs.add(uuid, each.key)
			}
		}
	}
	if err := h.load(ctx, f.state, needs); err != nil {
		return nil, err
	}
	base := h.base.Window().After
	f.run = h.start(base, base)
	if err := f.run.through(ctx, from, f.state.Apply); err != nil {
		return nil, err
	}
	for uuid, documents := range f.documents {
		for _, each := range documents {
			if !each.born {
				continue
			}
			if err := f.state.PutAbsent(uuid, each.key); err != nil {
				return nil, err
			}
		}
	}
	f.inGap = true
	return f, nil
}

// through folds on to a later moment.
func (f *gapFold) through(ctx context.Context, bound pitr.Timestamp) error {
	return f.run.through(ctx, bound, f.state.Apply)
}
