package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

// refusal is one cell of the fault matrix: what is typed, how it ends, and what the person reads.
type refusal struct {
	name string
	args []string
	code int
	// says are words of the message, next words of the line that names the next command.
	says, next []string
}

// usualAdvice is what a failure says for which nobody wrote a hint.
const usualAdvice = "--log-level debug"

// refuses runs a command that must end with a code of cli.md, a message, a next command, and nothing written to the cluster.
func (s *stage) refuses(t *testing.T, r refusal) outcome {
	t.Helper()
	s.sim.ForgetCommands()
	got := s.pitr(r.args...)
	s.checkRefusal(t, r, got)
	if writes := s.writes(); len(writes) > 0 {
		t.Errorf("the cluster was written to: %v", writes)
	}
	return got
}

// checkRefusal looks at what a person reads.
func (s *stage) checkRefusal(t *testing.T, r refusal, got outcome) {
	t.Helper()
	if got.code != r.code {
		t.Errorf("exit %d, want %d", got.code, r.code)
	}
	message, next := got.err, ""
	if at := strings.LastIndex(got.err, "\nnext:  "); at >= 0 {
		message, next = got.err[:at], got.err[at+len("\nnext:  "):]
	}
	for _, word := range r.says {
		if !strings.Contains(message, word) {
			t.Errorf("the message does not say %q", word)
		}
	}
	for _, word := range r.next {
		if !strings.Contains(next, word) {
			t.Errorf("the next step does not say %q", word)
		}
	}
	if next == "" || strings.Contains(next, usualAdvice) {
		t.Error("no next step is named")
	}
	if r.code >= exitNotFound && r.code <= exitLimit && !strings.Contains(message, "state: nothing was written to a cluster") {
		t.Error("the state of the cluster is not told")
	}
	for _, secret := range []string{"CANARY", "reader:reader", "writer:writer"} {
		if strings.Contains(got.out+got.err, secret) {
			t.Errorf("the output holds the secret %q", secret)
		}
	}
	if t.Failed() {
		t.Logf("pitr %s says:\n%s%s", strings.Join(r.args, " "), got.out, got.err)
	}
}

// lastLine decodes the last JSON line of a run.
func lastLine(t *testing.T, got outcome) map[string]any {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	line := map[string]any{}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &line); err != nil {
		t.Fatalf("the last line is no JSON: %v\n%s%s", err, got.out, got.err)
	}
	return line
}

var jobPattern = regexp.MustCompile(`\d{8}T\d{6}Z-[a-z0-9]{6}`)
