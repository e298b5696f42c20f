package reconcile

// Word explains a word of a review file to the people who decide.
type Word struct{ Word, Meaning string }

// states says what has become of a record, in one clause.
var states = map[State]string{
	StateLost:              "created in the gap, and not there now",
	StateChangeLost:        "changed in the gap; live is the version from before",
	StateCameBack:          "came back by itself: live is what the gap left",
	StateCameBackElsewhere: "created in the gap; a live record with another id has taken its place, as when a device enrolls again",
	StateChangedSince:      "changed in the gap, and changed again since the restore",
	StateGoneSince:         "written to in the gap, and deleted since the restore",
	StateDeleted:           "deleted in the gap; the restore brought it back",
	StateCameAndWent:       "created and deleted again in the gap",
	StateExpired:           "was due to expire before the end of the gap",
	StateUnchanged:         "written to in the gap, and ended as it was",
}

// What says in one clause what happened to a record.
func (r Record) What() string {
	if r.State == StateGoneSince && r.Change.T == nil {
		return "created in the gap, came back, and was deleted since the restore"
	}
	return states[r.State]
}

// DecisionWords says what each decision does.
func DecisionWords() []Word {
	return []Word{
		{string(DecisionPutBack), "Brings back what was lost: a record that is gone is made again as it was; one that is there gets the changes that were made to it in the gap. " +
			"Where somebody has changed the same field since the restore, the record is left out and listed."},
		{string(DecisionPutBackAll), "The same, but where somebody has changed the same field since the restore, the value from the gap replaces it; a record that was deleted since is made again."},
		{string(DecisionDelete), "Deletes a record that was deleted in the gap and came back with the restore."},
		{string(DecisionLeave), "Nothing is done. It also takes back what an earlier file said about the record."},
	}
}

// StateWords says what each state means.
func StateWords() []Word {
	words := make([]Word, len(AllStates))
	for i, state := range AllStates {
		words[i] = Word{string(state), states[state]}
	}
	return words
}

// Words explains a review file: how to use it, decisions, states and columns.
func Words() []Word {
	words := []Word{
		{"How to use this file", "Read each row, choose a decision, save the file, and give it back to whoever sent it. Only the columns token and decision are read: " +
			"sort, filter, hide, add and remove everything else as you like, but keep the row of headings first. Nothing changes in the database before somebody imports the file and applies it."},
		{"What is filled in", "The column decision holds what pitr suggests. What you do not change counts as decided so. Of a row that you delete or empty nothing is decided."},
		{"The gap", "The time between the moment that the database was brought back to and the end of the damage. What was written in it was taken away by the restore."},
		{"More", "data-team.md in the documentation of pitr is one page for you; whoever sent you this file has it."},
		{"", ""},
		{"DECISION", ""},
	}
	words = append(words, DecisionWords()...)
	words = append(words, Word{"(nothing)", "Nobody has decided: the record is left as it is, unless a rule or an earlier file says otherwise."},
		Word{"", ""}, Word{"STATE", ""})
	words = append(words, StateWords()...)
	return append(words,
		Word{"", ""},
		Word{"COLUMNS", ""},
		Word{"token", "Stands for the record. It fits this list only; do not edit it."},
		Word{"key", "The id of the record, its field _id."},
		Word{"reason", "Why the decision is suggested."},
		Word{"duplicates", "Records with the same group number share a value that only one record may have."},
		Word{"differences", "What each side has in the fields in which they differ: before the gap, at its end, and live now."},
		Word{"the columns behind them", "Fields of the record as the gap left it, or as it was before where the gap deleted it. Times are UTC."},
		Word{"survivor", "Which record of a group should stay."},
		Word{"first, last in the gap", "When the record was written to in the gap for the first and the last time."},
		Word{"(redacted)", "A value that must not be shown."},
	)
}
