package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"pitr/internal/replsim"
)

var shellBlock = regexp.MustCompile("(?s)\n```sh\n(.*?)```")

// TestTheRunbookIsRunAsItIsPrinted pastes every block of the runbook into one shell, as somebody would at night: each command
// ends well, the restore brings the cluster back and the undo takes that back. // case U10
func TestTheRunbookIsRunAsItIsPrinted(t *testing.T) {
	program := buildKillable(t)
	t.Parallel()
	s := newStage(t, canaries(), replsim.Options{})
	s.play()
	book := s.ok("runbook")
	blocks := shellBlock.FindAllStringSubmatch(book.out, -1)
	if len(blocks) < 8 {
		t.Fatalf("%d blocks of commands:\n%s", len(blocks), book.out)
	}
	for _, want := range []string{clusterName, "file://" + s.folder, "readWriteAnyDatabase", "clusterMonitor", "pitr reconcile plan", "snapshot of 20", "rs0"} {
		if !strings.Contains(book.out, want) {
			t.Errorf("the runbook lacks %q", want)
		}
	}
	if strings.Contains(book.out, "CANARY") {
		t.Error("the runbook shows a secret")
	}
	texts := make([]string, len(blocks))
	for i, block := range blocks {
		texts[i] = block[1]
	}
	last := len(texts) - 1
	s.paste(t, program, texts[:last])
	s.same(s.good)
	s.hasIndex(true)
	// The next morning, in another shell: the setup, the job, and back.
	folder := s.paste(t, program, []string{texts[0], texts[last-1], texts[last]})
	s.same(s.bad)
	s.hasIndex(false)
	s.unblocked(t)
	if jobs := s.ok("jobs", "--json").out; strings.Count(jobs, `"state":"done"`) != 2 || !strings.Contains(jobs, `"kind":"undo"`) {
		t.Errorf("the jobs are:\n%s", jobs)
	}
	if pages, err := filepath.Glob(filepath.Join(folder, "lost-*.html")); err != nil || len(pages) != 1 {
		t.Errorf("the pages are %v, %v", pages, err)
	}
	again := s.ok("runbook").out
	if !regexp.MustCompile(`rewind of .*writes blocked for`).MatchString(again) {
		t.Errorf("the measured times are missing:\n%s", again[strings.Index(again, "## How long"):])
	}
	s.refuses(t, refusal{args: []string{"runbook", "--format", "html"}, code: exitRefused, says: []string{"not built yet"}})
	// The short way stands in the runbook, too: what it names must be a command.
	if !strings.Contains(book.out, "\n    pitr playbook run\n") || find(commands(streams{}), "playbook") == nil {
		t.Error("the runbook does not begin with the playbook")
	}
}

// paste runs blocks of commands one after the other in one shell that stops at the first failure. It gives the folder that
// the shell was in.
func (s *stage) paste(t *testing.T, program string, blocks []string) string {
	t.Helper()
	script := "set -eu\n" + strings.Join(blocks, "")
	shell := exec.CommandContext(t.Context(), "sh", "-c", script)
	shell.Dir = t.TempDir()
	shell.Env = append(os.Environ(), "PATH="+filepath.Dir(program)+string(os.PathListSeparator)+os.Getenv("PATH"))
	if out, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\nthe script was\n%s", err, out, script)
	}
	return shell.Dir
}
