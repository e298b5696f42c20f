package history

import (
	"context"
	"iter"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/history/fold"
	"pitr/oplog"
)

// View is a database, or a part of it, as it was at a moment. What entries touched since the base is held in memory, the
// rest is read from the base when it is asked for.
type View struct {
	history     *History
	at          pitr.Timestamp
	collections []pitr.Collection
	// based are the collections whose untouched documents lie in the base.
	based map[pitr.UUID]pitr.Collection
	state *fold.State
	open  []oplog.Chain
}

// View folds the history through a moment. It reads the entries twice: once to learn which documents they touch, once to
// bring them to bear. Errors: kind hole for a moment that the base does not serve, mismatch and unsupported as State.Apply,
// limit at Options.MaxBytes.
func (h *History) View(ctx context.Context, at pitr.Timestamp, scope pitr.Scope) (*View, error) {
	if err := h.serves(at); err != nil {
		return nil, err
	}
	survey, err := h.survey(ctx, at)
	if err != nil {
		return nil, err
	}
	v := &View{history: h, at: at, based: h.baseCollections()}
	if v.collections, err = within(survey.state, scope); err != nil {
		return nil, err
	}
	wanted := map[pitr.UUID]bool{}
	needs := keySet{}
	for _, c := range v.collections {
		wanted[c.UUID] = true
		if keys := survey.needs[c.UUID]; keys != nil {
			needs[c.UUID] = keys
		}
	}
	v.state, v.open, err = h.fold(ctx, at, foldOptions{keep: func(uuid pitr.UUID, _ string) bool { return wanted[uuid] }, load: needs})
	if err != nil {
		return nil, err
	}
	return v, nil
}

// Catalog lists the collections and views of the scope as they were at a moment, ordered by namespace. It reads the entries
// once and no document.
func (h *History) Catalog(ctx context.Context, at pitr.Timestamp, scope pitr.Scope) ([]pitr.Collection, error) {
	if err := h.serves(at); err != nil {
		return nil, err
	}
	state, err := h.newState(fold.Options{Keep: func(pitr.UUID, string) bool { return false }})
	if err != nil {
		return nil, err
	}
	window := h.base.Window()
	if err := h.start(window.After, window.After).through(ctx, at, state.Apply); err != nil {
		return nil, err
	}
	return within(state, scope)
}

// within lists the collections of a state that a scope chooses.
func within(state *fold.State, scope pitr.Scope) ([]pitr.Collection, error) {
	all, err := state.Collections()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(c pitr.Collection) bool { return !scope.Contains(c.NS.KnownAs()) }), nil
}

// survey is what a first reading tells: the catalog, and which documents of the base the entries build on.
type survey struct {
	state *fold.State
	needs keySet
}

// survey reads the entries through a moment. A document whose first entry says everything needs no look at the base.
func (h *History) survey(ctx context.Context, at pitr.Timestamp) (survey, error) {
	result := survey{needs: keySet{}}
	based := h.baseCollections()
	bytes, tooMuch := int64(0), error(nil)
	settled := map[pitr.UUID]map[string]bool{}
	state, err := h.newState(fold.Options{
		Keep: func(pitr.UUID, string) bool { return false },
		Watch: func(touch fold.Touch) {
			if _, isBased := based[touch.UUID]; !isBased {
				return
			}
			known := settled[touch.UUID]
			if known == nil {
				known = map[string]bool{}
				settled[touch.UUID] = known
			}
			if known[touch.Key.Equal()] {
				return
			}
			known[touch.Key.Equal()] = true
			bytes += int64(len(touch.Key.Equal()) + fold.Overhead)
			if !saysEverything(touch.Op) {
				result.needs.add(touch.UUID, touch.Key.Clone())
				bytes += int64(2*len(touch.Key.Equal()) + 2*fold.Overhead)
			}
			if bytes > h.options.MaxBytes {
				tooMuch = fold.LimitError(h.options.MaxBytes)
			}
		},
	})
	if err != nil {
		return result, err
	}
	result.state = state
	window := h.base.Window()
	return result, h.start(window.After, window.After).through(ctx, at, func(group oplog.Committed) error {
		if err := state.Apply(group); err != nil {
			return err
		}
		return tooMuch
	})
}

// saysEverything reports whether an operation gives the document without regard to the one before.
func saysEverything(o *oplog.Op) bool {
	if o.Kind != oplog.KindUpdate {
		return true
	}
	form, err := oplog.FormOf(o.O)
	return err == nil && form == oplog.FormReplacement
}

// foldOptions say which documents a fold keeps, and which of them it takes from the base first.
type foldOptions struct {
	keep func(pitr.UUID, string) bool
	load keySet
}

// fold makes the state at a moment.
func (h *History) fold(ctx context.Context, at pitr.Timestamp, o foldOptions) (*fold.State, []oplog.Chain, error) {
	state, err := h.newState(fold.Options{Keep: o.keep, MaxBytes: h.options.MaxBytes})
	if err != nil {
		return nil, nil, err
	}
	if err := h.load(ctx, state, o.load); err != nil {
		return nil, nil, err
	}
	window := h.base.Window()
	r := h.start(window.After, window.After)
	if err := r.through(ctx, at, state.Apply); err != nil {
		return nil, nil, err
	}
	return state, r.assembler.Open(), nil
}

// At gives the moment of the view.
func (v *View) At() pitr.Timestamp { return v.at }

// Collections lists the catalog of the view's scope, ordered by namespace.
func (v *View) Collections() []pitr.Collection { return v.collections }

// Collection finds a collection by its name at the moment.
func (v *View) Collection(ns pitr.Namespace) (pitr.Collection, bool) {
	for _, c := range v.collections {
		if c.NS == ns {
			return c, true
		}
	}
	return pitr.Collection{}, false
}

// Open lists the transactions that had begun and not ended at the moment: their operations are not in the view.
func (v *View) Open() []oplog.Chain { return v.open }

// Tally tells what the fold met: signs of a missing entry or a wrong base.
func (v *View) Tally() fold.Tally { return v.state.Tally() }

// Documents yields the documents of one of the view's collections: untouched ones in the order of the base, then touched
// ones in the order of their keys. A document is good until the next is asked for, and must not be changed.
func (v *View) Documents(ctx context.Context, c pitr.Collection) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		if err := v.history.refuseTrimmed(c); err != nil {
			yield(nil, err)
			return
		}
		if based, ok := v.based[c.UUID]; ok && !v.untouched(ctx, based, yield) {
			return
		}
		var keys []string
		for key, document := range v.state.Documents(c.UUID) {
			if document != nil {
				keys = append(keys, key)
			}
		}
		slices.Sort(keys)
		for _, key := range keys {
			if document, _ := v.state.Document(c.UUID, key); !yield(document, nil) {
				return
			}
		}
	}
}

// Basis is what a collection of a view is made of.
type Basis struct {
	// Base is the collection as the snapshot lists it; false where all documents come from entries.
	Base    pitr.Collection
	HasBase bool
	// Touched yields the documents that entries have touched, by the equality form of their keys, nil for one that is not
	// there at the moment: what the snapshot has of these keys does not count. They must not be changed.
	Touched iter.Seq2[string, bson.Raw]
}

// Basis tells what one of the view's collections is made of, for those who compare by the hashes of the snapshot.
func (v *View) Basis(c pitr.Collection) (Basis, error) {
	if err := v.history.refuseTrimmed(c); err != nil {
		return Basis{}, err
	}
	based, has := v.based[c.UUID]
	return Basis{Base: based, HasBase: has, Touched: v.state.Documents(c.UUID)}, nil
}

// untouched yields what the base has of a collection and no entry touched; false when no more is wanted.
func (v *View) untouched(ctx context.Context, based pitr.Collection, yield func(bson.Raw, error) bool) bool {
	anyTouched := v.state.Held(based.UUID) > 0
	for document, err := range v.history.base.Scan(ctx, based) {
		if err != nil {
			yield(nil, err)
			return false
		}
		if anyTouched {
			key, err := pitr.KeyOf(document)
			if err != nil {
				yield(nil, pitr.Corruptf("", "a document of the snapshot: %w", err))
				return false
			}
			if _, touched := v.state.Document(based.UUID, key.Equal()); touched {
				continue
			}
		}
		if !yield(document, nil) {
			return false
		}
	}
	return true
}

// Lookup yields the documents of one of the view's collections that bear one of the keys, in no order; keys without a
// document are passed over.
func (v *View) Lookup(ctx context.Context, c pitr.Collection, keys []pitr.Key) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		if err := v.history.refuseTrimmed(c); err != nil {
			yield(nil, err)
			return
		}
		var untouched []pitr.Key
		for _, key := range keys {
			document, touched := v.state.Document(c.UUID, key.Equal())
			if !touched {
				untouched = append(untouched, key)
			} else if document != nil && !yield(document, nil) {
				return
			}
		}
		based, ok := v.based[c.UUID]
		if !ok || len(untouched) == 0 {
			return
		}
		for document, err := range v.history.base.Lookup(ctx, based, untouched) {
			if !yield(document, err) || err != nil {
				return
			}
		}
	}
}
