package reconcile

import (
	"bytes"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// outcome is what a decision makes of a record: a document to write (nil deletes), nothing to do, or a reason why it is
// left out.
type outcome struct {
	write  bool
	result bson.Raw
	reason string
}

func writes(result bson.Raw) outcome  { return outcome{write: true, result: result} }
func leavesOut(reason string) outcome { return outcome{reason: reason} }
func nothing() outcome                { return outcome{} }
func (o outcome) isNothing() bool     { return !o.write && o.reason == "" }

// wins reports whether the gap's value is taken where both sides have changed a field.
func (d Decision) wins() bool { return d == DecisionPutBackAll }

// IsKnown reports whether it is one of the decisions.
func (d Decision) IsKnown() bool { return known[d] }

func knownDecisions() []string {
	return []string{string(DecisionLeave), string(DecisionPutBack), string(DecisionPutBackAll), string(DecisionDelete)}
}

var known = map[Decision]bool{DecisionLeave: true, DecisionPutBack: true, DecisionPutBackAll: true, DecisionDelete: true}

// resolve says what a decision about a record comes to. It does not know what the database refuses.
func resolve(r Record, d Decision) outcome {
	switch d {
	case DecisionPutBack, DecisionPutBackAll:
		return putBack(r, d)
	case DecisionDelete:
		return deleteAgain(r)
	}
	return nothing()
}

func deleteAgain(r Record) outcome {
	switch {
	case r.State == StateDeleted:
		return writes(nil)
	case r.State == StateGoneSince && r.Change.E == nil:
		return nothing()
	case r.Change.Class == pitr.ClassDeleted:
		return leavesOut("it has changed since the restore, so that it is not deleted again")
	}
	return leavesOut("it was not deleted in the gap, so that there is nothing to delete again")
}

func putBack(r Record, d Decision) outcome {
	switch r.State {
	case StateLost, StateCameBackElsewhere, StateChangeLost:
		return writes(r.Change.E)
	case StateCameBack:
		return nothing()
	case StateGoneSince:
		return putBackGone(r, d)
	case StateChangedSince:
		return putBackChanged(r, d)
	case StateUnchanged:
		return leavesOut("the gap changed nothing of it")
	case StateDeleted:
		return leavesOut(`the gap deleted it; "` + string(DecisionDelete) + `" does that again`)
	}
	return leavesOut("there is nothing to put back: " + string(r.State))
}

// putBackGone decides about a record that was deleted after the restore: a deletion is a change of the other side.
func putBackGone(r Record, d Decision) outcome {
	switch {
	case r.Change.E == nil:
		return leavesOut("it was deleted in the gap, and again since: there is nothing to put back")
	case d.wins():
		return writes(r.Change.E)
	}
	return leavesOut(`it was deleted since the restore; "` + string(DecisionPutBackAll) + `" makes it anew`)
}

// putBackChanged merges a record that both sides have changed.
func putBackChanged(r Record, d Decision) outcome {
	switch {
	case r.Change.E == nil:
		return leavesOut("it was deleted in the gap and has changed since the restore")
	case r.Change.T == nil && !d.wins():
		return leavesOut("another record has its _id now")
	}
	if !d.wins() {
		if fields := conflictsOf(r.Merge); len(fields) > 0 {
			return leavesOut("both sides have changed " + strings.Join(fields, ", "))
		}
	}
	result, err := merged(versionsOf(r.Change, r.Live), r.Merge)
	switch {
	case err != nil:
		return leavesOut("its fields could not be merged: " + err.Error())
	case bytes.Equal(result, r.Live):
		return nothing()
	}
	return writes(result)
}

// shownFields is how many fields a reason names.
const shownFields = 5

// conflictsOf names the fields in conflict.
func conflictsOf(fields []FieldMerge) []string {
	var names []string
	for _, field := range fields {
		switch {
		case !field.Conflict:
		case len(field.Path) == 0:
			names = append(names, "fields that bear one name twice")
		default:
			names = append(names, field.Path.String())
		}
	}
	if len(names) > shownFields {
		names = append(names[:shownFields], "and more")
	}
	return names
}
