package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pitr/internal/replsim"
	"pitr/reconcile"
)

// TestPeopleDecideBeforeRules: without a word of anybody nothing is applied; what people have said about a record stands
// before --suggested; and without --suggested only what they have said is done.
func TestPeopleDecideBeforeRules(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	job := s.restored()
	s.refuses(t, refusal{args: []string{"reconcile", "apply", job, "--confirm-target", clusterName}, code: exitUsage,
		says: []string{"nobody has decided"}, next: []string{"pitr reconcile plan " + job + " --review"}})
	var back []recordLine
	for _, record := range s.lostRecords(job) {
		if record.Decision == reconcile.DecisionPutBack {
			back = append(back, record)
		}
	}
	if len(back) < 3 {
		t.Fatalf("only %d records are suggested to be put back", len(back))
	}
	review := func(text string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "decisions.csv") // as the page saves it
		s.must(os.WriteFile(file, []byte("token,decision\r\n"+text), 0o600))
		s.ok("reconcile", "import", job, file)
	}
	inserted := func(want int, more ...string) {
		t.Helper()
		got := s.ok(append([]string{"reconcile", "apply", job, "--dry-run"}, more...)...)
		if !strings.Contains(got.err, fmt.Sprintf("%d inserted", want)) {
			t.Errorf("%v: want %d inserted:\n%s", more, want, got.err)
		}
	}
	review(back[0].Token + ",leave\r\n" + back[1].Token + ",put back\r\n")
	inserted(1)
	inserted(len(back)-1, "--suggested")
	review(back[0].Token + ",Put Back\r\n")
	inserted(2)
	inserted(len(back), "--suggested")
	before := len(s.live())
	s.ok("reconcile", "apply", job, "--confirm-target", clusterName)
	if after := len(s.live()); after != before+2 {
		t.Errorf("two records were decided about, %d more are there", after-before)
	}
}
