package report_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pitr/format"
	"pitr/playbook"
	"pitr/report"
)

// hostileRun is a run in which names, messages and answers try to be markup, script and control characters.
func hostileRun(t *testing.T) playbook.State {
	t.Helper()
	const evil = "</td><script>alert(1)</script> | `x` *y* [z](http://evil) \x1b[2J\u202e"
	noon := time.Date(2025, 10, 22, 12, 0, 0, 0, time.UTC)
	procedure := playbook.Procedure{Name: evil, Cluster: "devices-eu", Steps: []playbook.Step{{Command: "find", Arguments: []string{"--since=2h ago"}},
		{Command: "restore", Arguments: []string{"--to=ask"}}, {Command: "report", Arguments: []string{"--", "JOB"}}}}
	zero, fifteen := 0, 15
	job := format.ID("20251022T120005Z-k3f9q2")
	var entries []playbook.Entry
	add := func(e playbook.Entry) {
		e.Run, e.Number, e.Taken = "20251022T120000Z-aaaaaa", len(entries)+1, noon.Add(time.Duration(len(entries))*time.Second)
		e.Operator, e.Host, e.Pitr = "ada@db1", "db1", "0.5.0"
		entries = append(entries, e)
	}
	add(playbook.Entry{Event: playbook.EventBegun, Procedure: &procedure, Digest: playbook.Digest(procedure)})
	add(playbook.Entry{Event: playbook.EventStep, Step: 1, Command: playbook.LineOf(procedure.Steps[0])})
	add(playbook.Entry{Event: playbook.EventDone, Step: 1, Exit: &zero, Facts: []playbook.Fact{{Name: "events", Value: evil}},
		Choices: []playbook.Choice{{To: "before 1761120000:7", What: "index dropped " + evil, Price: "3 changed"}}})
	add(playbook.Entry{Event: playbook.EventStep, Step: 2, Command: playbook.LineOf(procedure.Steps[1])})
	add(playbook.Entry{Event: playbook.EventDecided, Step: 2, Question: "Back to which moment?", Answer: "before 1761120000:7", By: "typed"})
	add(playbook.Entry{Event: playbook.EventStopped, Step: 2, Exit: &fifteen, Message: evil, Next: "`pitr jobs` " + evil})
	add(playbook.Entry{Event: playbook.EventVisited})
	entries[len(entries)-1].Operator = "bob@" + evil
	add(playbook.Entry{Event: playbook.EventResumed})
	add(playbook.Entry{Event: playbook.EventStep, Step: 2, Command: playbook.LineOf(procedure.Steps[1])})
	add(playbook.Entry{Event: playbook.EventDecided, Step: 2, Question: "The name of the cluster?", Answer: "devices-eu", By: "--confirm-target",
		Command: `pitr restore --to "before 1761120000:7"`, Job: job})
	add(playbook.Entry{Event: playbook.EventDone, Step: 2, Exit: &zero, Job: job, Facts: []playbook.Fact{{Name: "records written", Value: "1,234"}}})
	state, err := playbook.StateOf(entries)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// A transcript is text, whatever is in it; its bytes are kept so that every change is looked at. PITR_GOLDEN=write writes them.
// cases X15, X16
func TestTranscripts(t *testing.T) {
	state := hostileRun(t)
	var markdown, page bytes.Buffer
	if err := report.TranscriptMarkdown(&markdown, state); err != nil {
		t.Fatal(err)
	}
	if err := report.TranscriptHTML(&page, state); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"transcript.md": markdown.Bytes(), "transcript.html": page.Bytes()} {
		file := filepath.Join("testdata", name)
		if os.Getenv("PITR_GOLDEN") == "write" {
			if err := os.WriteFile(file, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil || !bytes.Equal(want, content) {
			t.Errorf("%s is written otherwise now (%v):\n%s", name, err, content)
		}
		if bytes.ContainsAny(content, "\x1b\u202e") {
			t.Errorf("%s holds control characters", name)
		}
	}
	if strings.Contains(page.String(), "<script") || !strings.Contains(page.String(), "&lt;script&gt;") {
		t.Error("text became markup on the page")
	}
	for line := range strings.Lines(markdown.String()) {
		if strings.Contains(line, "alert") && strings.Contains(line, "<script") && !strings.Contains(line, `\<script`) {
			t.Errorf("text became markup: %s", line)
		}
	}
	if strings.Count(markdown.String(), "[z](") > 0 {
		t.Error("text became a link")
	}
}
