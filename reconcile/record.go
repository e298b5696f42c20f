package reconcile

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/diff"
	"pitr/format"
)

// State says what has become of a record of the lost set.
type State string

// The states of a record, in words that the data team reads.
const (
	// StateLost was created in the gap, and nothing of it is live.
	StateLost State = "lost"
	// StateChangeLost was changed in the gap; live is the version of T.
	StateChangeLost State = "change lost"
	// StateCameBack is live as the gap left it: same _id, same bytes.
	StateCameBack State = "came back"
	// StateCameBackElsewhere is lost under its _id, but another live document holds its value of a unique index.
	StateCameBackElsewhere State = "came back under another id"
	// StateChangedSince has changed in the gap and again after the restore.
	StateChangedSince State = "changed on both sides"
	// StateGoneSince was changed in the gap and has been deleted after the restore.
	StateGoneSince State = "deleted since"
	// StateDeleted was deleted in the gap; the restore brought it back.
	StateDeleted State = "deleted in the gap"
	// StateCameAndWent was created and deleted in the gap.
	StateCameAndWent State = "came and went"
	// StateExpired was due by a TTL index before the end of the gap.
	StateExpired State = "expired"
	// StateUnchanged was written to in the gap and ended with the same bytes.
	StateUnchanged State = "unchanged in effect"
)

// Decision is what a person, or a rule, says about a record.
type Decision string

// The decisions.
const (
	// DecisionLeave leaves the live database as it is.
	DecisionLeave Decision = "leave"
	// DecisionPutBack inserts a record that is lost, or puts the gap's changes of fields on top of the live record; a field
	// that both sides have changed in different ways is a conflict, and the record is left out.
	DecisionPutBack Decision = "put back"
	// DecisionPutBackAll does the same, and where both sides have changed a field the gap's value wins.
	DecisionPutBackAll Decision = "put back, gap wins"
	// DecisionDelete deletes again what was deleted in the gap and was brought back by the restore.
	DecisionDelete Decision = "delete again"
)

// Record is one record of a lost set as a person decides about it.
type Record struct {
	// Token stands for the record in review files; it tells nothing and is bound to the change set.
	Token  string
	Change pitr.Change
	// Live is the document that has the key now, nil when there is none.
	Live  bson.Raw
	State State
	// Merge lists, for a record that both sides have changed, what each has done to which field.
	Merge []FieldMerge
	// Group is the number of the group of duplicates that the record belongs to, 0 for none.
	Group int
	// Suggested is what pitr would do, Reason why, in one sentence.
	Suggested Decision
	Reason    string
}

// FieldMerge is one field of a record that was changed in the gap, after the restore, or in both.
type FieldMerge struct {
	Path diff.Path
	// T is the value at the moment of the restore, E that at the end of the gap, Live the present one; zero where absent.
	T, E, Live bson.RawValue
	// Conflict says that both sides have changed the field, in different ways.
	Conflict bool
}

// Group is the records, lost or live, that share a value of a unique index of the live collection.
type Group struct {
	// Number counts the groups of a plan from 1.
	Number int
	NS     pitr.Namespace
	Index  string
	// Value is the shared value in Extended JSON: an object of the index's fields by their whole dotted names, which are
	// Fields.
	Value  string
	Fields []string
	// Records are the tokens of lost records, Live the keys of live documents that hold the value now.
	Records []string
	Live    []pitr.Key
	// Survivor is the token of the lost record, or empty with SurvivorLive, that should stay; Reason says why.
	Survivor     string
	SurvivorLive bool
	Reason       string
}

// Token gives the word that stands for a record of a change set in review files. It depends on the job, on the content of
// the whole change set, and on the number of the change, so that a decision cannot reach a record of another list.
func Token(changes format.Changes, n int64) string {
	h := sha256.New()
	h.Write([]byte("pitr review 1\x00" + string(changes.Job)))
	for _, part := range changes.Parts {
		h.Write(part.SHA256[:])
	}
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(n))) //nolint:gosec // numbers count from 1
	return strings.ToLower(base32.StdEncoding.EncodeToString(h.Sum(nil)[:10]))
}
