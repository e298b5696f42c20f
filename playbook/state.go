package playbook

import (
	"cmp"
	"slices"
	"time"

	"pitr"
	"pitr/format"
)

// Status is how far a step has come.
type Status string

// The states of a step.
const (
	// Waiting is a step that nobody has begun.
	Waiting Status = "waiting"
	// Begun is a step that was begun and has neither ended nor stopped: it runs, or its run was cut off.
	Begun Status = "begun"
	// Stopped is a step that ended with a failure or by a person; it is begun anew.
	Stopped Status = "stopped"
	// Done is a step that is over.
	Done Status = "done"
)

// The outcomes of a run.
const (
	// OutcomeDone is a run all of whose steps are done.
	OutcomeDone = "done"
	// OutcomeUndone is a run that ended with the restore taken back.
	OutcomeUndone = "taken back"
)

// Entry is one entry of a journal.
type Entry = format.PlaybookEntry

// Fact is one number or word of a step's result.
type Fact = format.PlaybookFact

// Choice is a moment to go back to, as a person is offered it.
type Choice = format.PlaybookChoice

// The events of a journal, for those who read it.
const (
	EventBegun   = format.PlaybookBegun
	EventResumed = format.PlaybookResumed
	EventStep    = format.PlaybookStep
	EventDecided = format.PlaybookDecided
	EventDone    = format.PlaybookDone
	EventStopped = format.PlaybookStopped
	EventEnded   = format.PlaybookEnded
	EventVisited = format.PlaybookVisited
)

// StepState is what the journal knows of one step.
type StepState struct {
	Step
	Status Status
	// Attempts counts how often it was begun; First and Last are the times of its first and newest entry.
	Attempts    int
	First, Last time.Time
	// Decided are its decisions, oldest first. Jobs are those that it has begun, the newest last; Job is the one that it
	// was about in the end.
	Decided []Entry
	Jobs    []format.ID
	Job     format.ID
	// Command, Exit, Message, Next, Facts and Choices are those of its newest end.
	Command       string
	Exit          int
	Message, Next string
	Facts         []Fact
	Choices       []Choice
}

// State is a run as its journal tells it.
type State struct {
	Run       format.ID
	Procedure Procedure
	Digest    format.Digest
	// Version is that of the program that began it, Operator and Host the person and machine at it last.
	Version        string
	Operator, Host string
	// Begun and Newest are the times of the first and the newest entry.
	Begun, Newest time.Time
	Steps         []StepState
	Entries       []Entry
	// Outcome is empty until the run has ended.
	Outcome string
}

// StateOf makes a state of the entries of a run, in the order of their numbers. It fails with kind corrupt where they cannot
// be those of one run: a run is not gone on with by guessing.
func StateOf(entries []Entry) (State, error) {
	const op = "read the journal of the playbook"
	if len(entries) == 0 || entries[0].Event != format.PlaybookBegun || entries[0].Procedure == nil {
		return State{}, pitr.Corruptf(op, "it has no beginning")
	}
	first := entries[0]
	s := State{Run: first.Run, Procedure: *first.Procedure, Digest: first.Digest, Version: first.Pitr, Operator: first.Operator,
		Host: first.Host, Begun: first.Taken, Entries: entries}
	if Digest(s.Procedure) != s.Digest {
		return State{}, pitr.Corruptf(op, "its procedure is not the one that was begun")
	}
	for _, step := range s.Procedure.Steps {
		s.Steps = append(s.Steps, StepState{Step: step, Status: Waiting})
	}
	for i, entry := range entries {
		switch {
		case entry.Number != i+1 || entry.Run != s.Run:
			return State{}, pitr.Corruptf(op, "entry %d is not where it should be", i+1)
		case entry.Step < 0 || entry.Step > len(s.Steps):
			return State{}, pitr.Corruptf(op, "entry %d is about step %d of %d", entry.Number, entry.Step, len(s.Steps))
		}
		s.Newest = entry.Taken
		s.add(entry)
	}
	return s, nil
}

func (s *State) add(entry Entry) {
	switch entry.Event {
	case format.PlaybookResumed:
		s.Operator, s.Host = entry.Operator, entry.Host
		return
	case format.PlaybookEnded:
		s.Outcome = entry.Outcome
		return
	}
	if entry.Step == 0 {
		return
	}
	step := &s.Steps[entry.Step-1]
	if step.First.IsZero() {
		step.First = entry.Taken
	}
	step.Last = entry.Taken
	switch entry.Event {
	case format.PlaybookStep:
		step.Status = Begun
		step.Attempts++
		step.Command = entry.Command
	case format.PlaybookDecided:
		step.Decided = append(step.Decided, entry)
		if entry.Job != "" {
			step.Jobs = append(step.Jobs, entry.Job)
		}
		step.Command = cmp.Or(entry.Command, step.Command)
	case format.PlaybookDone, format.PlaybookStopped:
		step.Status = Done
		if entry.Event == format.PlaybookStopped {
			step.Status = Stopped
		}
		step.Job, step.Message, step.Next, step.Facts, step.Choices = entry.Job, entry.Message, entry.Next, entry.Facts, entry.Choices
		if entry.Exit != nil {
			step.Exit = *entry.Exit
		}
	}
}

// Next gives the number of the first step that is not done, 0 when all are.
func (s State) Next() int {
	at := slices.IndexFunc(s.Steps, func(step StepState) bool { return step.Status != Done })
	return at + 1
}

// Job gives the job that the newest restore step before a step (counted from 1) ended with; empty when none has.
func (s State) Job(before int) format.ID {
	for _, step := range slices.Backward(s.Steps[:before-1]) {
		if step.Step.Command == "restore" && step.Job != "" {
			return step.Job
		}
	}
	return ""
}

// Choices gives the moments that the newest find step before a step (counted from 1) offers.
func (s State) Choices(before int) []Choice {
	for _, step := range slices.Backward(s.Steps[:before-1]) {
		if step.Step.Command == "find" {
			return step.Choices
		}
	}
	return nil
}

// Visits gives the entries of others who wanted to run a playbook meanwhile.
func (s State) Visits() []Entry {
	var visits []Entry
	for _, entry := range s.Entries {
		if entry.Event == format.PlaybookVisited {
			visits = append(visits, entry)
		}
	}
	return visits
}

// Where says in words at which step a run is.
func (s State) Where() string {
	at := s.Next()
	switch {
	case s.Outcome != "":
		return s.Outcome
	case at == 0:
		return "all steps done"
	}
	return "step " + ordinal(at, len(s.Steps)) + " (" + s.Steps[at-1].Step.Command + "), " + string(s.Steps[at-1].Status)
}
