package history

import (
	"context"
	"iter"
	"maps"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
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
	state *State
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
	state, err := h.newState(StateOptions{Keep: func(pitr.UUID, string) bool { return false }})
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
func within(state *State, scope pitr.Scope) ([]pitr.Collection, error) {
	all, err := state.Collections()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(c pitr.Collection) bool { return !scope.Contains(c.NS.KnownAs()) }), nil
}

// survey is what a first reading tells: the catalog, and which documents of the base the entries build on.
type survey struct {
	state *State
	needs keySet
}

// survey reads the entries through a moment. A document whose first entry says everything needs no look at the base.
func (h *History) survey(ctx context.Context, at pitr.Timestamp) (survey, error) {
	result := survey{needs: keySet{}}
	based := h.baseCollections()
	bytes, tooMuch := int64(0), error(nil)
	settled := map[pitr.UUID]map[string]bool{}
	state, err := h.newState(StateOptions{
		Keep: func(pitr.UUID, string) bool { return false },
		Watch: func(touch Touch) {
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
			bytes += int64(len(touch.Key.Equal()) + overhead)
			if !saysEverything(touch.Op) {
				result.needs.add(touch.UUID, touch.Key.Clone())
				bytes += int64(2*len(touch.Key.Equal()) + 2*overhead)
			}
			if bytes > h.options.MaxBytes {
				tooMuch = limitError(h.options.MaxBytes)
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
func (h *History) fold(ctx context.Context, at pitr.Timestamp, o foldOptions) (*State, []oplog.Chain, error) {
	state, err := h.newState(StateOptions{Keep: o.keep, MaxBytes: h.options.MaxBytes})
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
func (v *View) Tally() Tally { return v.state.Tally() }

// Documents yields the documents of one of the view's collections: untouched ones in the order of the base, then touched
// ones in the order of their keys. A document is good until the next is asked for, and must not be changed.
func (v *View) Documents(ctx context.Context, c pitr.Collection) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		if err := v.history.refuseTrimmed(c); err != nil {
			yield(nil, err)
			return
		}
		folded := v.folded(c.UUID)
		if based, ok := v.based[c.UUID]; ok {
			for document, err := range v.history.base.Scan(ctx, based) {
				if err != nil {
					yield(nil, err)
					return
				}
				if touched, err := isIn(folded, document); touched && err == nil {
					continue
				} else if !yield(document, err) || err != nil {
					return
				}
			}
		}
		for _, key := range slices.Sorted(maps.Keys(folded)) {
			if document := folded[key]; document != nil && !yield(document, nil) {
				return
			}
		}
	}
}

// isIn reports whether a document's key is among those that were folded.
func isIn(folded map[string]bson.Raw, document bson.Raw) (bool, error) {
	if len(folded) == 0 {
		return false, nil
	}
	key, err := pitr.KeyOf(document)
	if err != nil {
		return false, pitr.Corruptf("", "a document of the snapshot: %w", err)
	}
	_, touched := folded[key.Equal()]
	return touched, nil
}

// folded gives the documents of a collection that entries touched; nil ones are absent.
func (v *View) folded(uuid pitr.UUID) map[string]bson.Raw {
	if c := v.state.collections[uuid]; c != nil && !uuid.IsZero() {
		return c.documents
	}
	return nil
}

// Lookup yields the documents of one of the view's collections that bear one of the keys, in no order; keys without a
// document are passed over.
func (v *View) Lookup(ctx context.Context, c pitr.Collection, keys []pitr.Key) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		if err := v.history.refuseTrimmed(c); err != nil {
			yield(nil, err)
			return
		}
		folded := v.folded(c.UUID)
		var untouched []pitr.Key
		for _, key := range keys {
			document, touched := folded[key.Equal()]
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
