package reconcile

// Word explains a word of a review file to the people who decide.
type Word struct{ Word, Meaning string }

// states says what has become of a record, in one clause.
var states = map[State]string{
	StateLost:              "created in the gap; nothing of it is live now",
	StateChangeLost:        "changed in the gap; live is the version from before",
	StateCameBack:          "came back by itself: live is what the gap left",
	StateCameBackElsewhere: "created in the gap; another live record has taken its place",
	StateChangedSince:      "changed in the gap, and changed again since the restore",
	StateGoneSince:         "changed in the gap; it was deleted since the restore",
	StateDeleted:           "deleted in the gap; the restore brought it back",
	StateCameAndWent:       "created and deleted again in the gap",
	StateExpired:           "was due to expire before the end of the gap",
	StateUnchanged:         "written to in the gap, and ended as it was",
}

// allStates lists the states in the order in which they are explained.
var allStates = []State{StateLost, StateChangeLost, StateCameBack, StateCameBackElsewhere, StateChangedSince, StateGoneSince, StateDeleted,
	StateCameAndWent, StateExpired, StateUnchanged}

// What says in one clause what happened to a record.
func (r Record) What() string {
	if r.State == StateGoneSince && r.Change.T == nil {
		return "created in the gap, came back, and was deleted since the restore"
	}
	return states[r.State]
}

// Words explains decisions, states and columns.
func Words() []Word {
	words := []Word{
		{"How to use this file", "Read each row, choose a decision, save the file, and give it back. Only the columns token and decision are read: " +
			"sort, filter, hide, add and remove everything else as you like. Nothing changes in the database before somebody runs the next command."},
		{"The gap", "The time between the moment that the database was brought back to and the end of the damage. What was written in it was taken away by the restore."},
		{"", ""},
		{"DECISION", ""},
		{string(DecisionLeave), "Leave the live database as it is."},
		{string(DecisionPutBack), "Insert the record that was lost, or put the gap's changes on top of the live record. Where both sides have changed one field in " +
			"different ways the record is left alone and listed."},
		{string(DecisionPutBackAll), "The same, and where both sides have changed one field the value from the gap wins."},
		{string(DecisionDelete), "Delete the record again: it was deleted in the gap, and the restore brought it back."},
		{"(nothing)", "Nobody has decided: the record is left as it is, unless a rule or an earlier file says otherwise."},
		{"", ""},
		{"STATE", ""},
	}
	for _, state := range allStates {
		words = append(words, Word{string(state), states[state]})
	}
	return append(words,
		Word{"", ""},
		Word{"COLUMNS", ""},
		Word{"token", "Stands for the record. It fits this list only; do not edit it."},
		Word{"duplicates", "Records with the same group number share a value that only one record may have."},
		Word{"survivor", "Which record of a group should stay."},
		Word{"differences", "What each side has in the fields in which they differ: before the gap, at its end, and live now."},
		Word{"all further columns", "Fields of the record as the gap left it, or as it was before where the gap deleted it. Times are UTC."},
		Word{"(redacted)", "A value that must not be shown."},
	)
}
