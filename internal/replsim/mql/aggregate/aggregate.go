package aggregate

import (
	"context"
	"iter"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql"
)

// Documents is a stream of documents that may end with an error.
type Documents = iter.Seq2[bson.Raw, error]

// Source gives the documents of another collection or view of the same or another database, for $lookup and $unionWith.
type Source func(ctx context.Context, db, collection string) Documents

// Options belong to one aggregate command.
type Options struct {
	mql.Options
	// DB is the database of the command.
	DB string
	// Source opens other collections; nil refuses the stages that need it.
	Source Source
}

// Pipeline is a compiled pipeline. Stages that only the server can do ($collStats, $currentOp, $indexStats, $changeStream, ...)
// are not taken: the server removes a first stage of that kind and feeds its documents in.
type Pipeline struct{}

// Compile reads the array of stages.
func Compile(pipeline bson.RawValue, o Options) (*Pipeline, error) { panic("soon") }

// Match gives the filter of the leading $match, for a look-up by index; nil if there is none. Run applies it all the same.
func (p *Pipeline) Match() *mql.Filter { panic("soon") }

// Output gives the last stage if it is $out or $merge, else nil. Run yields the documents to write; the server writes them.
func (p *Pipeline) Output() *Output { panic("soon") }

// Output is where the documents of a pipeline go.
type Output struct {
	// Stage is "$out" or "$merge".
	Stage          string
	DB, Collection string
	// On are the fields of $merge that identify a document; {"_id"} by default.
	On []string
	// WhenMatched is replace, keepExisting, merge, fail or pipeline; WhenNotMatched is insert, discard or fail. Only $merge.
	WhenMatched, WhenNotMatched string
	// Pipeline is the update of WhenMatched "pipeline": give it to update.Compile, with Let.
	Pipeline bson.RawValue
	Let      bson.Raw
}

// Run streams the input through the stages.
func (p *Pipeline) Run(ctx context.Context, input Documents) Documents { panic("soon") }
