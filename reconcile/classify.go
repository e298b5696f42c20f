package reconcile

import (
	"bytes"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// stateOf compares a record three ways: at T, at E and live now. It does not know about other ids.
func stateOf(change pitr.Change, live bson.Raw) State {
	switch change.Class {
	case pitr.ClassExpired:
		return StateExpired
	case pitr.ClassCameAndWent:
		return StateCameAndWent
	case pitr.ClassUnchanged:
		return StateUnchanged
	case pitr.ClassCreated:
		switch {
		case live == nil:
			return StateLost
		case bytes.Equal(live, change.E):
			return StateCameBack
		}
	case pitr.ClassChanged:
		switch {
		case live == nil:
			return StateGoneSince
		case bytes.Equal(live, change.E):
			return StateCameBack
		case bytes.Equal(live, change.T):
			return StateChangeLost
		}
	case pitr.ClassDeleted:
		switch {
		case live == nil:
			return StateGoneSince
		case bytes.Equal(live, change.T):
			return StateDeleted
		}
	}
	return StateChangedSince
}

// wantsBack reports whether putting a record of this state back would bring its version of E.
func wantsBack(state State, change pitr.Change) bool {
	switch state {
	case StateLost, StateChangeLost, StateChangedSince, StateGoneSince:
		return change.E != nil
	}
	return false
}

// emptyDocument stands for a record that T does not have, when fields are compared.
var emptyDocument = bson.Raw{5, 0, 0, 0, 0}

// mergeOf shows both sides' changes of a record that both have changed; a record without a version on one of the sides
// has nothing to merge.
func mergeOf(state State, change pitr.Change, live bson.Raw) []FieldMerge {
	if state != StateChangedSince || change.E == nil || live == nil {
		return nil
	}
	return mergeFields(versionsOf(change, live))
}

func versionsOf(change pitr.Change, live bson.Raw) versions {
	v := versions{T: change.T, E: change.E, Live: live}
	if v.T == nil {
		v.T = emptyDocument
	}
	return v
}

// suggestions are what is suggested for records that are not in question otherwise: insert only, and leave the rest to
// people.
var suggestions = map[State]suggestion{
	StateLost:              {DecisionPutBack, "it was created in the gap, and nothing has taken its place"},
	StateChangeLost:        {DecisionLeave, "the live record is as it was before the gap; put it back if the changes of the gap were good ones"},
	StateCameBack:          {DecisionLeave, "it is back as the gap left it"},
	StateCameBackElsewhere: {DecisionLeave, "a live record with another id has its value that only one may have; the live one stays"},
	StateChangedSince:      {DecisionLeave, "it has changed after the restore, too; nothing that is live is overwritten unless you say so"},
	StateGoneSince:         {DecisionLeave, "it was deleted after the restore"},
	StateDeleted:           {DecisionLeave, "the restore brought it back; delete it again if the deletion was meant"},
	StateCameAndWent:       {DecisionLeave, "it was created and deleted in the gap: there is nothing to put back"},
	StateExpired:           {DecisionLeave, "it was due to expire: there is nothing to put back"},
	StateUnchanged:         {DecisionLeave, "the gap left it as it was"},
}

type suggestion struct {
	decision Decision
	reason   string
}

// The suggestions of lost records that are in question.
var (
	suggestDue       = suggestion{DecisionLeave, "a TTL index would remove it at once"}
	suggestDuplicate = suggestion{DecisionLeave, "another lost record of its group of duplicates is the better one to put back"}
	suggestSurvivor  = suggestion{DecisionPutBack, "of its group of duplicates it is the one to put back"}
	suggestNoPlace   = suggestion{DecisionLeave, "its collection does not exist now, or does not take single records"}
)
