package main

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"pitr/internal/replsim"
)

// TestSignals: the first one stops a run safely within seconds, the second one at once. // case C09
func TestSignals(t *testing.T) {
	program := buildKillable(t)
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	stopped := func(p *process, held *replsim.Injected, signals ...syscall.Signal) (outcome, time.Duration) {
		t.Helper()
		for begin := time.Now(); held.Fired() == 0; time.Sleep(5 * time.Millisecond) {
			if time.Since(begin) > 20*time.Second {
				t.Fatalf("the run never came to the place where it is held: %s", p.talk.String())
			}
		}
		begin := time.Now()
		for _, signal := range signals {
			s.must(p.Process.Signal(signal))
			time.Sleep(100 * time.Millisecond)
		}
		got, _ := p.end()
		held.Remove()
		return got, time.Since(begin)
	}
	// Snapshots read by UUID, which the log of the server shows as $cmd.
	hold := func(command, namespace string) *replsim.Injected {
		return s.sim.Inject(replsim.Fault{Command: command, Namespace: namespace, Times: 1, Delay: 30 * time.Second})
	}
	for signal, code := range map[syscall.Signal]int{syscall.SIGINT: exitInterrupted, syscall.SIGTERM: exitTerminated} {
		held := hold("find", "deviceauth.$cmd")
		got, after := stopped(s.start(program, "", "snapshot", "take"), held, signal)
		s.checkRefusal(t, refusal{args: []string{"snapshot", "take"}, code: code, next: []string{"again"}}, got)
		if after > 5*time.Second {
			t.Errorf("%v: the snapshot went on for %v", signal, after)
		}
		if lines := s.ok("lease", "list").out; strings.Contains(lines, "held") {
			t.Errorf("%v: a lease is held by the dead:\n%s", signal, lines)
		}
	}
	restore := []string{"restore", "--to", s.toGood(), "--confirm-target", clusterName}
	held := hold("find", "deviceauth.$cmd")
	s.sim.ForgetCommands()
	got, _ := stopped(s.start(program, "", restore...), held, syscall.SIGTERM)
	s.checkRefusal(t, refusal{args: restore, code: exitTerminated}, got)
	if writes := s.writes(); len(writes) > 0 || s.blocked() {
		t.Errorf("a restore that was stopped before its first write wrote %v; blocked %v", writes, s.blocked())
	}
	held = hold("createIndexes", "deviceauth.devices") // after the documents were written
	got, after := stopped(s.start(program, "", restore...), held, syscall.SIGINT)
	s.checkRefusal(t, refusal{args: restore, code: exitHalfway, next: []string{"pitr resume", "pitr undo"}}, got)
	if after > 5*time.Second {
		t.Errorf("the restore went on for %v", after)
	}
	s.ok("resume", jobPattern.FindString(got.err[strings.LastIndex(got.err, "next:"):]))
	s.same(s.good)

	held = hold("find", "deviceauth.$cmd")
	got, after = stopped(s.start(program, "", "snapshot", "take"), held, syscall.SIGINT, syscall.SIGINT)
	if got.code != exitInterrupted || after > time.Second {
		t.Errorf("twice: exit %d after %v", got.code, after)
	}
	s.bury()
	archiver := s.start(program, "", "archive", "run")
	s.write("for the archiver")
	time.Sleep(500 * time.Millisecond)
	s.must(archiver.Process.Signal(syscall.SIGTERM))
	if got, _ := archiver.end(); got.code != exitDone {
		t.Errorf("archive run ends with %d when it is stopped:\n%s", got.code, got.err)
	}
	s.whole(t)
}
