package oplog

import (
	"context"
	"iter"

	"pitr"
	"pitr/catalog"
)

// Read yields the archived entries of the windows in their order, decoded; catalog.Route names the windows that lead to a
// moment. Joins, digests and overlaps are checked on the way: kind hole before the first entry when a window is not covered
// without a break, kind corrupt where segments do not fit.
//
// An entry that pitr does not know comes with its error of kind unsupported, its time and its bytes: a consumer that folds
// stops there, one that only looks may go on. Every other error ends the reading.
func Read(ctx context.Context, repository *catalog.Repository, windows ...catalog.BranchWindow) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for raw, err := range repository.Entries(ctx, windows...) {
			if err != nil {
				yield(Entry{}, err)
				return
			}
			entry, err := Decode(raw)
			if !yield(entry, err) || err != nil && pitr.KindOf(err) != pitr.KindUnsupported {
				return
			}
		}
	}
}
