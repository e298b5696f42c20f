package main

import (
	"strings"
	"testing"

	"pitr/internal/replsim"
	"pitr/playbook"
)

// TestAPlaybookTakesNoJobOfOthersForItsOwn: a job that somebody began by hand while a run stood at its restore was never
// confirmed in that run. A resume neither goes on with it nor says that it was a job of this step. // case W14
func TestAPlaybookTakesNoJobOfOthersForItsOwn(t *testing.T) {
	program := buildKillable(t)
	t.Parallel()
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	p := &person{answers: []answer{{"Is the culprit stopped?", "go"}, {"Type a number", "1"}, {"Type the name of the cluster", "stop"}}}
	if got := s.with(p, "playbook", "run", s.file("steps.yaml", reportTo(t.TempDir()))); got.code != exitRefused {
		t.Fatalf("who stops at the name ends with %d:\n%s", got.code, got.out)
	}
	run := runOf(t, s)
	if !s.killAt(program, "restore.before-verify", "restore", "--to", s.toGood(), "--confirm-target", clusterName, "--full-export=false") {
		t.Fatal("the restore by hand was not killed")
	}
	got := s.pitr("playbook", "run", "--resume", run, "--go-on", "--to", s.toGood(), "--confirm-target", clusterName)
	if got.code == exitDone || strings.Contains(got.err, "of this step was cut off") {
		t.Errorf("it ends with %d, and went on with the job of somebody else:\n%s", got.code, got.err)
	}
	if !strings.Contains(got.err, "pitr resume ") {
		t.Errorf("the way out is not named:\n%s", got.err)
	}
}

// TestAKilledCommandOfAPlaybookIsGoneOnWith: the job that a confirmed command of a step has begun is found without the journal
// naming it, and another apply is not begun beside it. // case C06
func TestAKilledCommandOfAPlaybookIsGoneOnWith(t *testing.T) {
	program := buildKillable(t)
	t.Parallel()
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	s.enrollMore()
	procedure := playbook.BuiltIn(clusterName)
	procedure.Steps = append(procedure.Steps[:4:4], playbook.Step{Command: "reconcile apply", Arguments: []string{"--suggested=true", "--", playbook.TheJob}})
	file := s.file("steps.yaml", string(playbook.Write(procedure, stepCommands())))
	flags := []string{"--go-on", "--to", s.toGood(), "--confirm-target", clusterName}
	if !s.killAt(program, "reconcile.before-compare", append([]string{"playbook", "run", file}, flags...)...) {
		t.Fatal("the apply was not killed")
	}
	killed := s.reconcileJob()
	got := s.pitr(append([]string{"playbook", "run", "--resume", runOf(t, s)}, flags...)...)
	if got.code != exitDone || !strings.Contains(got.err, "Job "+string(killed.Job)+" of this step was cut off") {
		t.Errorf("it ends with %d:\n%s", got.code, got.err)
	}
	if again := s.reconcileJob(); again.Job != killed.Job || again.State != "done" {
		t.Errorf("the newest apply is %s (%s), want %s done", again.Job, again.State, killed.Job)
	}
}
