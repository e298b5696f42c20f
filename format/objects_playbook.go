package format

import "time"

// PlaybookEvent says what an entry of a playbook's journal is about.
type PlaybookEvent string

// The events of a run.
const (
	// PlaybookBegun is the first entry of a run and holds the whole procedure.
	PlaybookBegun PlaybookEvent = "begun"
	// PlaybookResumed says that somebody goes on with a run that was stopped or killed.
	PlaybookResumed PlaybookEvent = "resumed"
	// PlaybookStep says that a step begins; it is published before the step does anything.
	PlaybookStep PlaybookEvent = "step begun"
	// PlaybookDecided is a decision of a person, or of a flag, published before it is acted upon.
	PlaybookDecided PlaybookEvent = "decided"
	// PlaybookDone and PlaybookStopped end an attempt at a step.
	PlaybookDone    PlaybookEvent = "step done"
	PlaybookStopped PlaybookEvent = "step stopped"
	// PlaybookEnded is the last entry of a run.
	PlaybookEnded PlaybookEvent = "ended"
	// PlaybookVisited says that somebody else wanted to run a playbook meanwhile, and was told who is at it.
	PlaybookVisited PlaybookEvent = "visited"
)

// PlaybookEntry is one entry in the journal of a playbook run. The journal holds commands, decisions and counts; never a
// document, a connection string or what a person typed wrongly.
type PlaybookEntry struct {
	Run      ID            `json:"run"`
	Number   int           `json:"number"`
	Event    PlaybookEvent `json:"event"`
	Taken    time.Time     `json:"taken"`
	Operator string        `json:"operator,omitempty"`
	Host     string        `json:"host,omitempty"`
	// Pitr is the version of the program; a run is resumed by the version that began it.
	Pitr string `json:"pitr,omitempty"`
	// Procedure stands in the first entry, Digest in it and in every resumption: it is that of the procedure.
	Procedure *Procedure `json:"procedure,omitempty"`
	Digest    Digest     `json:"digest,omitzero"`
	// Step counts from 1; zero is the run itself.
	Step int `json:"step,omitempty"`
	// Command is what the step runs, as a person would type it.
	Command string `json:"command,omitempty"`
	// Question and Answer are a decision; By says whether it was typed or came from a flag.
	Question string `json:"question,omitempty"`
	Answer   string `json:"answer,omitempty"`
	By       string `json:"by,omitempty"`
	// Job is the job that a decision begins, or that a step was about.
	Job ID `json:"job,omitempty"`
	// Exit is the exit code of a step that is done or stopped; Message and Next are those of its failure.
	Exit    *int   `json:"exit,omitempty"`
	Message string `json:"message,omitempty"`
	Next    string `json:"next,omitempty"`
	// Outcome is how the run ended.
	Outcome string `json:"outcome,omitempty"`
	// Facts are the numbers of a step, Choices the moments that it offers.
	Facts   []PlaybookFact   `json:"facts,omitempty"`
	Choices []PlaybookChoice `json:"choices,omitempty"`
	kept
}

// PlaybookFact is one number or word of a step's result.
type PlaybookFact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// PlaybookChoice is a moment to go back to as a person was offered it.
type PlaybookChoice struct {
	// To is what is typed for it, What the event that it lies before, Price what going there takes away.
	To    string `json:"to"`
	What  string `json:"what"`
	Price string `json:"price"`
}

// Procedure is what a playbook does, step by step.
type Procedure struct {
	Name    string          `json:"name"`
	Cluster string          `json:"cluster"`
	Steps   []ProcedureStep `json:"steps"`
}

// ProcedureStep is a command with its options ("--since=2h ago") and, behind "--", its arguments.
type ProcedureStep struct {
	Command   string   `json:"command"`
	Arguments []string `json:"arguments,omitempty"`
}

// ObjectName follows from run and number.
func (e *PlaybookEntry) ObjectName() (Name, error) { return PlaybookName(e.Run, e.Number) }
