package report

import (
	"testing"

	"pitr"
	"pitr/reconcile"
)

// TestChoicesFitWhatAnApplyDoes: the page offers no decision that would be left out whatever the record holds, and none of
// those that help is missing. docs/reconcile.md has the table.
func TestChoicesFitWhatAnApplyDoes(t *testing.T) {
	for _, c := range []struct {
		state reconcile.State
		class pitr.Class
		want  string
	}{
		{reconcile.StateLost, pitr.ClassCreated, "lp"},
		{reconcile.StateChangeLost, pitr.ClassChanged, "lp"},
		{reconcile.StateChangedSince, pitr.ClassChanged, "lpg"},
		{reconcile.StateChangedSince, pitr.ClassCreated, "lg"}, // nothing to merge with
		{reconcile.StateChangedSince, pitr.ClassDeleted, ""},
		{reconcile.StateGoneSince, pitr.ClassChanged, "lg"}, // the deletion is a change, too
		{reconcile.StateGoneSince, pitr.ClassCreated, "lg"},
		{reconcile.StateGoneSince, pitr.ClassDeleted, ""},
		{reconcile.StateDeleted, pitr.ClassDeleted, "ld"},
		{reconcile.StateCameBackElsewhere, pitr.ClassCreated, ""},
	} {
		if got := choices(reconcile.Record{State: c.state, Change: pitr.Change{Class: c.class}}); got != c.want {
			t.Errorf("%s, %s: %q, want %q", c.state, c.class, got, c.want)
		}
	}
}
