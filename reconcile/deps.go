package reconcile

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/restore"
)

// Live answers what the live cluster would refuse, without writing.
type Live interface {
	// Holders finds the documents that hold one of the values in an index; a value is a document of the index's fields in
	// order, null where there is none. It may give a document more than once, and documents that only nearly hold one.
	Holders(ctx context.Context, ns pitr.Namespace, index bson.Raw, values []bson.Raw) ([]bson.Raw, error)
	// Matching gives the _ids of those documents that satisfy a condition; kind unsupported where the server cannot be asked.
	Matching(ctx context.Context, condition pitr.Condition, documents []bson.Raw) ([]bson.RawValue, error)
}

// Deps are what a plan and an apply work with. A plan reads only: it needs Repository, Target and Live.
type Deps struct {
	restore.Deps
	Live Live
}

func (d Deps) withDefaults() Deps {
	d.Deps = d.WithDefaults()
	return d
}
