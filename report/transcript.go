package report

import (
	_ "embed" // the page's own markup
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"pitr/playbook"
)

//go:embed transcript.html
var transcriptPage string

var transcriptTemplate = template.Must(template.New("transcript").Funcs(template.FuncMap{"show": oneLine}).Parse(transcriptPage))

// transcript is a playbook run as people read it afterwards: who did what, when, why, and with which numbers.
type transcript struct {
	Title, State string
	Facts        []Fact
	Steps        []transcriptStep
	Entries      []transcriptEntry
	Footer       string
}

type transcriptStep struct {
	Number                       int
	Command, Status, Times, Exit string
	Attempts                     int
	Decisions                    []string
	Facts                        []Fact
	Choices                      []playbook.Choice
	Message, Next                string
}

type transcriptEntry struct{ At, Who, What string }

// newTranscript makes the values of a transcript; nothing in it is anything but text.
func newTranscript(s playbook.State) transcript {
	t := transcript{Title: "Playbook " + s.Procedure.Name + ", cluster " + s.Procedure.Cluster, State: s.Where(), Facts: []Fact{
		{Name: "Run", Value: string(s.Run)},
		{Name: "Cluster", Value: s.Procedure.Cluster},
		{Name: "Begun", Value: stamp(s.Begun) + " by " + s.Entries[0].Operator},
		{Name: "Last entry", Value: stamp(s.Newest)},
		{Name: "State", Value: s.Where()},
	}, Footer: "Written by pitr " + s.Version + " from the journal in the repository. All times are UTC. No record of the database is in it."}
	if s.Operator != s.Entries[0].Operator {
		t.Facts = append(t.Facts, Fact{Name: "Gone on by", Value: s.Operator})
	}
	if job := s.Job(len(s.Steps) + 1); job != "" {
		t.Facts = append(t.Facts, Fact{Name: "Job", Value: string(job)})
	}
	for i, step := range s.Steps {
		t.Steps = append(t.Steps, newTranscriptStep(i+1, step))
	}
	for _, entry := range s.Entries {
		t.Entries = append(t.Entries, transcriptEntry{At: stamp(entry.Taken), Who: entry.Operator, What: entryText(entry)})
	}
	return t
}

func newTranscriptStep(number int, step playbook.StepState) transcriptStep {
	command := step.Command
	if command == "" {
		command = playbook.LineOf(step.Step)
	}
	shown := transcriptStep{Number: number, Command: command, Status: string(step.Status), Attempts: step.Attempts, Choices: step.Choices,
		Message: step.Message, Next: step.Next}
	if !step.First.IsZero() {
		shown.Times = fmt.Sprintf("%s to %s, %s", stamp(step.First), step.Last.UTC().Format("15:04:05"), step.Last.Sub(step.First).Round(time.Second))
	}
	if step.Status == playbook.Done || step.Status == playbook.Stopped {
		shown.Exit = fmt.Sprint(step.Exit)
	}
	for _, decided := range step.Decided {
		shown.Decisions = append(shown.Decisions, decisionText(decided))
	}
	for _, fact := range step.Facts {
		shown.Facts = append(shown.Facts, Fact(fact))
	}
	return shown
}

func decisionText(e playbook.Entry) string {
	text := fmt.Sprintf("%s %s (%s by %s at %s)", e.Question, e.Answer, e.By, e.Operator, e.Taken.UTC().Format("15:04:05"))
	if e.Command != "" {
		text += ": " + e.Command
	}
	if e.Job != "" {
		text += ", job " + string(e.Job)
	}
	return text
}

// entryText is an entry of the journal in one line.
func entryText(e playbook.Entry) string {
	step := fmt.Sprintf("step %d", e.Step)
	switch e.Event {
	case playbook.EventBegun:
		return "run begun"
	case playbook.EventResumed:
		return "run resumed"
	case playbook.EventStep:
		return step + " begun: " + e.Command
	case playbook.EventDecided:
		return step + " decided: " + e.Question + " " + e.Answer
	case playbook.EventDone, playbook.EventStopped:
		text := step + " done"
		if e.Event == playbook.EventStopped {
			text = step + " stopped"
		}
		if e.Exit != nil {
			text += fmt.Sprintf(", exit %d", *e.Exit)
		}
		if e.Message != "" {
			text += ": " + e.Message
		}
		return text
	case playbook.EventEnded:
		return "run ended: " + e.Outcome
	case playbook.EventVisited:
		return "wanted to run a playbook, was told who is at it"
	}
	return string(e.Event)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// TranscriptMarkdown writes a playbook run as Markdown. Everything that came from elsewhere stands in code spans or behind
// escapes, so that no name makes markup.
func TranscriptMarkdown(to io.Writer, state playbook.State) error {
	t := newTranscript(state)
	var out strings.Builder
	fmt.Fprintf(&out, "# %s\n\n| | |\n| --- | --- |\n", markdown(t.Title))
	for _, fact := range t.Facts {
		fmt.Fprintf(&out, "| %s | %s |\n", fact.Name, markdown(fact.Value))
	}
	for _, step := range t.Steps {
		fmt.Fprintf(&out, "\n## %d. %s: %s\n\n", step.Number, code(step.Command), step.Status)
		if step.Times != "" {
			fmt.Fprintf(&out, "- %s", step.Times)
			if step.Attempts > 1 {
				fmt.Fprintf(&out, ", %d attempts", step.Attempts)
			}
			out.WriteByte('\n')
		}
		for _, decision := range step.Decisions {
			fmt.Fprintf(&out, "- decided: %s\n", markdown(decision))
		}
		for _, fact := range step.Facts {
			fmt.Fprintf(&out, "- %s: %s\n", markdown(fact.Name), markdown(fact.Value))
		}
		for i, choice := range step.Choices {
			fmt.Fprintf(&out, "- offered %d: %s, %s; takes away %s\n", i+1, code(choice.To), markdown(choice.What), markdown(choice.Price))
		}
		if step.Exit != "" {
			fmt.Fprintf(&out, "- exit code %s\n", step.Exit)
		}
		if step.Message != "" {
			fmt.Fprintf(&out, "- %s\n", markdown(step.Message))
		}
		if step.Next != "" {
			fmt.Fprintf(&out, "- next: %s\n", markdown(step.Next))
		}
	}
	out.WriteString("\n## Journal\n\n| time | who | what |\n| --- | --- | --- |\n")
	for _, entry := range t.Entries {
		fmt.Fprintf(&out, "| %s | %s | %s |\n", entry.At, markdown(entry.Who), markdown(entry.What))
	}
	fmt.Fprintf(&out, "\n%s\n", markdown(t.Footer))
	_, err := io.WriteString(to, out.String())
	return err
}

// markdown escapes what would be markup, and keeps a text on its line.
func markdown(text string) string {
	var out strings.Builder
	for _, r := range oneLine(text) {
		if strings.ContainsRune("\\`*_{}[]<>#|~", r) {
			out.WriteByte('\\')
		}
		out.WriteRune(r)
	}
	return out.String()
}

// code makes a code span; a text with backquotes gets longer ones around it.
func code(text string) string {
	text = oneLine(text)
	fence := "`"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	if len(fence) > 1 {
		return fence + " " + text + " " + fence
	}
	return fence + text + fence
}

func oneLine(text string) string {
	return strings.Join(strings.Fields(Printable(text)), " ")
}

// TranscriptHTML writes a playbook run as one page that needs nothing else.
func TranscriptHTML(to io.Writer, state playbook.State) error {
	if err := transcriptTemplate.Execute(to, newTranscript(state)); err != nil {
		return fmt.Errorf("write the transcript: %w", err)
	}
	return nil
}
