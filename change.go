package pitr

import "go.mongodb.org/mongo-driver/v2/bson"

// Class says what happened to a document, or to a part of the catalog, in a gap (T, E].
type Class string

// The classes of a change.
const (
	// ClassCreated is absent at T, present at E.
	ClassCreated Class = "created"
	// ClassChanged is present at both, with other bytes.
	ClassChanged Class = "changed"
	// ClassDeleted is present at T, absent at E.
	ClassDeleted Class = "deleted"
	// ClassCameAndWent is absent at both, present in between.
	ClassCameAndWent Class = "came and went"
	// ClassUnchanged is present at both with the same bytes, touched in between.
	ClassUnchanged Class = "unchanged in effect"
	// ClassExpired is present at T and due by a TTL index of T before E: a view contains it, a write leaves it out.
	ClassExpired Class = "expired"
)

// Classify compares the two sides of a key that was touched; a nil document is absent. It does not know expiry.
func Classify(e, t bson.Raw) Class {
	switch {
	case t == nil && e == nil:
		return ClassCameAndWent
	case t == nil:
		return ClassCreated
	case e == nil:
		return ClassDeleted
	case string(e) == string(t):
		return ClassUnchanged
	}
	return ClassChanged
}

// Change is one touched document with its two sides: E, the last moment of the damaged state, and T, the moment to go
// back to. A list of changes is at once the work list of a restore, its undo record and the lost set.
type Change struct {
	// N numbers the changes of a set from 1, catalog steps included.
	N  int64
	NS Namespace
	// UUID is that of the live collection, zero when the namespace is absent at E.
	UUID  UUID
	Key   Key
	Class Class
	// E and T are the document at E and at T, nil where it is absent.
	E, T bson.Raw
	// First and Last are the first and last entry of the gap that touched the document; Ops counts them.
	First, Last OpTime
	Ops         int
	// Bursts are the numbers of the bursts that took part.
	Bursts []int
}

// Target gives the document that a write brings about: the one at T, or nil for an expired or absent one.
func (c Change) Target() bson.Raw {
	if c.Class == ClassExpired {
		return nil
	}
	return c.T
}

// Step is the kind of a catalog step.
type Step string

// The catalog steps: each says what happened in the gap, so that undoing it is the opposite.
const (
	// StepCreated is a collection that T does not have.
	StepCreated Step = "collection created"
	// StepDropped is a collection of T that is gone at E.
	StepDropped Step = "collection dropped"
	// StepRecreated is a namespace with another UUID at E than at T.
	StepRecreated Step = "collection re-created"
	// StepRenamed is a collection with the same UUID under another name.
	StepRenamed Step = "collection renamed"
	// StepOptions is changed collection options (collMod).
	StepOptions Step = "options changed"
	// StepIndexCreated is an index that T does not have.
	StepIndexCreated Step = "index created"
	// StepIndexDropped is an index of T that is missing at E.
	StepIndexDropped Step = "index dropped"
	// StepIndexChanged is an index with the same name and another spec.
	StepIndexChanged Step = "index changed"
)

// CatalogStep is one difference between the catalogs at E and at T. E and T hold the options document or the index spec
// of each side, nil where it is absent; CollectionE and CollectionT the complete entries where the collection exists.
type CatalogStep struct {
	N    int64
	Step Step
	NS   Namespace
	// UUID is that of the live collection, zero when the namespace is absent at E.
	UUID                     UUID
	E, T                     bson.Raw
	CollectionE, CollectionT *Collection
}
