package update

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql"
)

// Options belong to one update statement.
type Options struct {
	mql.Options
	// ArrayFilters is the statement's array, or the zero value.
	ArrayFilters bson.RawValue
	// Constants is the statement's c document for pipelines, or nil.
	Constants bson.Raw
	// Filter is the statement's compiled q: the positional operator and upserts need it.
	Filter *mql.Filter
	// Query is the text of q: upserts take its equalities.
	Query bson.Raw
}

// Update is a compiled update statement. It is safe for concurrent use.
type Update struct{}

// Compile reads the u of an update statement or the update of findAndModify: a document or an array (pipeline).
func Compile(u bson.RawValue, o Options) (*Update, error) { panic("soon") }

// Replacement says whether the update is a whole document: those are refused with multi.
func (u *Update) Replacement() bool { panic("soon") }

// Moment is what $currentDate and empty timestamps of replacements become.
type Moment struct {
	Now       time.Time
	Timestamp func() bson.Timestamp
}

// Result is what an update did to one document.
type Result struct {
	// After is the document as stored.
	After bson.Raw
	// O is the payload of the oplog entry; nil if the update changed nothing and is not logged.
	O bson.Raw
}

// Apply updates one document that matched the filter.
func (u *Update) Apply(before bson.Raw, m Moment) (Result, error) { panic("soon") }

// Upsert makes the document to insert when nothing matched; newID gives an _id where neither query nor update has one.
func (u *Update) Upsert(m Moment, newID func() bson.ObjectID) (bson.Raw, error) { panic("soon") }

// Replay applies the payload of an oplog update entry, as applyOps does: {$v: 2, diff} or a replacement.
func Replay(before, o bson.Raw) (bson.Raw, error) { panic("soon") }
