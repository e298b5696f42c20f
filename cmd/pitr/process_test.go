package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// killable is the program with its fail points, built once for all tests that kill it.
var killable struct {
	once   sync.Once
	folder string
	output []byte
	err    error
}

// TestMain removes what tests share.
func TestMain(m *testing.M) {
	code := m.Run()
	if killable.folder != "" {
		_ = os.RemoveAll(killable.folder) // nobody is left to tell
	}
	os.Exit(code)
}

// buildKillable builds the program with its fail points.
func buildKillable(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("killing takes its time: left out with -short")
	}
	killable.once.Do(func() {
		if killable.folder, killable.err = os.MkdirTemp("", "pitr-killable-"); killable.err == nil {
			command := exec.Command("go", "build", "-tags", "failpoint", "-o", filepath.Join(killable.folder, "pitr"), ".")
			killable.output, killable.err = command.CombinedOutput()
		}
	})
	if killable.err != nil {
		t.Fatalf("build the program with fail points: %v\n%s", killable.err, killable.output)
	}
	return filepath.Join(killable.folder, "pitr")
}

// process is a run of the program that can be killed and sent signals.
type process struct {
	*exec.Cmd
	out, talk bytes.Buffer
}

// start runs the program in a process of its own. It dies at the place, which may be empty.
func (s *stage) start(program, place string, args ...string) *process {
	s.t.Helper()
	p := &process{Cmd: exec.Command(program, s.arguments(args)[1:]...)}
	p.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "PITR_") }), "PITR_FAILPOINT="+place)
	p.Stdout, p.Stderr, p.Dir = &p.out, &p.talk, filepath.Dir(s.folder)
	s.must(p.Start())
	return p
}

// end waits for the process and reports how it ended; a process that was killed has no exit code.
func (p *process) end() (got outcome, killed bool) {
	err := p.Wait()
	got = outcome{code: p.ProcessState.ExitCode(), out: p.out.String(), err: p.talk.String()}
	status, ok := p.ProcessState.Sys().(syscall.WaitStatus)
	return got, err != nil && ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// killAt runs the program until it dies at a place, and lets the time of its leases be over. It reports whether the place
// was passed at all.
func (s *stage) killAt(program, place string, args ...string) bool {
	s.t.Helper()
	got, killed := s.start(program, place, args...).end()
	if !killed {
		if got.code != exitDone || !strings.Contains(place, "*") {
			s.t.Fatalf("pitr %s was not killed at %s but ended with %d:\n%s", strings.Join(args, " "), place, got.code, got.err)
		}
		return false
	}
	s.bury()
	return true
}

// bury removes the leases of the dead.
func (s *stage) bury() {
	s.t.Helper()
	leases, err := filepath.Glob(filepath.Join(s.folder, "leases", "*", "*"))
	s.must(err)
	for _, lease := range leases {
		s.must(os.Remove(lease))
	}
}

// places lets the program run unbroken and gives the places that it passes: each one's first time, the last one, and one in
// between.
func (s *stage) places(program string, args ...string) []string {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "trace")
	if got, _ := s.start(program, "trace="+file, args...).end(); got.code != exitDone {
		s.t.Fatalf("the unbroken run of pitr %s ends with %d:\n%s", strings.Join(args, " "), got.code, got.err)
	}
	content, err := os.ReadFile(file)
	s.must(err)
	passed := map[string]int{}
	for _, name := range strings.Fields(string(content)) {
		passed[name]++
	}
	var places []string
	for _, name := range slices.Sorted(maps.Keys(passed)) {
		places = append(places, name)
		for _, n := range slices.Compact([]int{max(1, (passed[name]+1)/2), passed[name]}) {
			if n > 1 {
				places = append(places, fmt.Sprintf("%s*%d", name, n))
			}
		}
	}
	return places
}
