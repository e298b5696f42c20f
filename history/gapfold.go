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
	documents map[pitr.UUID]*notes
	// inGap says that the beginning of the gap has been passed. What was born in the gap is not followed before it: earlier
	// entries on its key are about an earlier life.
	inGap bool
}

// beginGap notes what a gap touches, and folds that from the base through the beginning of the gap.
func (h *History) beginGap(ctx context.Context, gap pitr.Window, fresh func() *collector) (*collector, *gapFold, error) {
	base := h.base.Window().After
	for from := gap.After; ; from = base {
		noted, err := h.collect(ctx, gap, from, fresh)
		if err != nil {
			return nil, nil, err
		}
		f, err := h.enterGap(ctx, noted, gap.After)
		if err != nil {
			return nil, nil, err
		}
		// A transaction that is open here may count in the gap without an entry there that says so.
		if from == base || len(f.run.assembler.Open()) == 0 {
			return noted, f, nil
		}
	}
}

// enterGap looks up in the base what the gap did not make itself, and folds through the beginning of the gap.
func (h *History) enterGap(ctx context.Context, noted *collector, beginning pitr.Timestamp) (*gapFold, error) {
	f := &gapFold{documents: noted.documents}
	var err error
	f.state, err = h.newState(fold.Options{MaxBytes: h.options.MaxBytes, Keep: func(uuid pitr.UUID, key string) bool {
		each := notesOf(f.documents, uuid).byKey[key]
		return each != nil && (f.inGap || !each.born)
	}})
	if err != nil {
		return nil, err
	}
	f.state.Reserve(noted.bytes)
	needs := keySet{}
	for uuid, documents := range f.documents {
		f.state.Expect(uuid, len(documents.order))
		keys := make([]pitr.Key, 0, len(documents.order))
		for _, each := range documents.order {
			if !each.born {
				keys = append(keys, each.key)
			}
		}
		if len(keys) > 0 {
			needs[uuid] = keys
		}
	}
	if err := h.load(ctx, f.state, needs); err != nil {
		return nil, err
	}
	base := h.base.Window().After
	f.run = h.start(base, base)
	if err := f.run.through(ctx, beginning, f.state.Apply); err != nil {
		return nil, err
	}
	f.inGap = true
	for uuid, documents := range f.documents {
		for _, each := range documents.order {
			if !each.born {
				continue
			}
			if err := f.state.PutAbsent(uuid, each.key); err != nil {
				return nil, err
			}
		}
	}
	return f, nil
}

// through folds on to a later moment.
func (f *gapFold) through(ctx context.Context, bound pitr.Timestamp) error {
	return f.run.through(ctx, bound, f.state.Apply)
}
