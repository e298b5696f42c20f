package playbook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"pitr"
	"pitr/catalog"
	"pitr/format"
)

// Performer does the steps and speaks with the person.
type Performer interface {
	// Perform does one step. Whatever it has decided it publishes through Turn.Decide before it acts. An error stops the
	// run, which can be resumed at this step; one of kind partial is a step that is done and left something out.
	Perform(ctx context.Context, turn *Turn) (Result, error)
	// Heard is told every entry as soon as it is published, and the visits of others as soon as they are known.
	Heard(entry Entry)
	// Waiting is told once who holds the lease, and at which step that run is, before it is waited for a sign of life.
	Waiting(holder catalog.LeaseState, at State)
}

// Result is what a step that is done leaves behind.
type Result struct {
	Job     format.ID
	Facts   []Fact
	Choices []Choice
	// End ends the run behind this step, with this outcome; empty goes on.
	End string
}

// Options are what a run works with; all but Nearest of CheckOptions are required.
type Options struct {
	Repository *catalog.Repository
	Performer  Performer
	Lease      catalog.LeaseOptions
	// Operator is user@host, Host the machine, Version that of the program.
	Operator, Host, Version string
	Now                     func() time.Time
	// ExitCode turns the failure of a step into the exit code that the command alone would have.
	ExitCode func(error) int
	// Commands are those of the program, to know which of them write.
	Commands []Command
}

// Turn is one attempt at a step.
type Turn struct {
	// Number counts from 1.
	Number int
	Step   StepView
	// State is the run as it was when the attempt began.
	State State
	// Before is what earlier attempts at this step left; its status is Waiting in the first one, and Begun where the last
	// one was cut off.
	Before  StepState
	journal *journal
}

// Decided is a decision that was made, in the words that were asked and answered.
type Decided struct {
	Question, Answer string
	// By says where the answer came from: "typed" or the name of a flag.
	By string
	// Command is what the step runs because of it, Job the job that it begins; both may be empty.
	Command string
	Job     format.ID
}

// Decide publishes a decision; act upon it only when this returned without an error.
func (t *Turn) Decide(ctx context.Context, d Decided) error {
	return t.journal.put(ctx, Entry{Event: format.PlaybookDecided, Step: t.Number, Question: d.Question, Answer: d.Answer, By: d.By,
		Command: d.Command, Job: d.Job})
}

// Run runs a procedure that was checked, from its first step.
func Run(ctx context.Context, o Options, p Procedure) (State, error) {
	lease, err := take(ctx, o)
	if err != nil {
		return State{}, err
	}
	defer release(ctx, lease)
	ctx = lease.Context(ctx)
	id, err := o.Repository.NewID()
	if err != nil {
		return State{}, err
	}
	first := Entry{Run: id, Number: 1, Event: format.PlaybookBegun, Taken: o.Now().UTC(), Operator: o.Operator, Host: o.Host, Pitr: o.Version,
		Procedure: &p, Digest: Digest(p)}
	if _, err := o.Repository.PutObject(ctx, &first); err != nil {
		return State{}, fmt.Errorf("write the journal of the playbook: %w", err)
	}
	j := &journal{Options: o, lease: lease}
	if j.state, err = StateOf([]Entry{first}); err != nil {
		return State{}, err
	}
	o.Performer.Heard(first)
	err = j.perform(ctx)
	return j.state, err
}

// Resume goes on with a run at the first step that is not done. The procedure is the one in the journal; where a file was
// given again it must be the same one, and the program must be the one that began.
func Resume(ctx context.Context, o Options, run format.ID, given *Procedure) (State, error) {
	lease, err := take(ctx, o)
	if err != nil {
		return State{}, err
	}
	defer release(ctx, lease)
	ctx = lease.Context(ctx)
	state, err := Load(ctx, o.Repository, run)
	if err != nil {
		return State{}, err
	}
	if err := Resumable(state, o.Version, given); err != nil {
		return state, err
	}
	j := &journal{Options: o, lease: lease, state: state}
	if err := j.put(ctx, Entry{Event: format.PlaybookResumed, Digest: state.Digest}); err != nil {
		return j.state, err
	}
	err = j.perform(ctx)
	return j.state, err
}

// Resumable refuses to go on with a run that is over, that another version began, or whose file is another one now.
func Resumable(state State, version string, given *Procedure) error {
	op := "resume playbook run " + string(state.Run)
	switch {
	case state.Outcome != "":
		return pitr.Refusef(op, "see `pitr playbook show "+string(state.Run)+"`", "it has ended: %s", state.Outcome)
	case state.Version != version:
		return pitr.Refusef(op, "use pitr "+state.Version+", or finish the job by hand: `pitr jobs` shows it",
			"pitr %s began it, this is pitr %s: its steps may mean something else", state.Version, version)
	case given != nil && Digest(*given) != state.Digest:
		return pitr.Refusef(op, "leave the file out: the run remembers its steps; or begin another run with it",
			"the file is not the one that the run was begun with")
	}
	return nil
}

// take takes the lease. Whoever has to wait is told at once whom for, and that run is told of the visit.
func take(ctx context.Context, o Options) (*catalog.Lease, error) {
	options := o.Lease
	at := State{}
	options.Waiting = func(holder catalog.LeaseState) {
		listing, err := Runs(ctx, o.Repository)
		if err == nil {
			for _, run := range slices.Backward(listing.Runs) {
				if run.Outcome == "" {
					at = run
					break
				}
			}
		}
		o.Performer.Waiting(holder, at)
	}
	lease, err := o.Repository.Lease(ctx, catalog.LeasePlaybook, options)
	if pitr.KindOf(err) != pitr.KindLocked {
		return lease, err
	}
	if at.Run == "" {
		return nil, err
	}
	// It may have gone on meanwhile.
	if newer, loadErr := Load(ctx, o.Repository, at.Run); loadErr == nil {
		at = newer
	}
	visit(ctx, o, at)
	return nil, pitr.Errorf(pitr.KindLocked, "run the playbook", "speak with them; `pitr playbook show "+string(at.Run)+"` shows what they have done",
		"%w, with playbook run %s at %s", err, at.Run, at.Where())
}

func release(ctx context.Context, lease *catalog.Lease) {
	_ = lease.Release(ctx) // a lease that is not given back is over by itself
}

// perform takes the steps that are not done, in their order.
func (j *journal) perform(ctx context.Context) error {
	left := 0
	for {
		number := j.state.Next()
		if number == 0 {
			break
		}
		if len(j.state.Entries)+entriesOfStep > maxEntries {
			return pitr.Errorf(pitr.KindLimit, "go on with the playbook", "begin another run with `pitr playbook run`", "its journal is full: it was resumed too often")
		}
		result, err := j.step(ctx, number)
		if err != nil {
			return err
		}
		if j.state.Steps[number-1].Message != "" {
			left++
		}
		if result.End != "" {
			return j.put(ctx, Entry{Event: format.PlaybookEnded, Outcome: result.End})
		}
	}
	if err := j.put(ctx, Entry{Event: format.PlaybookEnded, Outcome: OutcomeDone}); err != nil {
		return err
	}
	if left > 0 {
		return pitr.Errorf(pitr.KindPartial, "playbook run "+string(j.state.Run), "look at what was left out: `pitr playbook show "+string(j.state.Run)+"`",
			"%d of its steps left something out", left)
	}
	return nil
}

// stopPatience bounds how long a stopped run tries to write down why.
const stopPatience = 20 * time.Second

// step makes one attempt at a step.
func (j *journal) step(ctx context.Context, number int) (Result, error) {
	before := j.state.Steps[number-1]
	if err := j.put(ctx, Entry{Event: format.PlaybookStep, Step: number, Command: LineOf(before.Step)}); err != nil {
		return Result{}, err
	}
	turn := &Turn{Number: number, Step: StepView{before.Step}, State: j.state, Before: before, journal: j}
	result, err := j.Performer.Perform(ctx, turn)
	code := j.ExitCode(err)
	entry := Entry{Event: format.PlaybookDone, Step: number, Exit: &code, Job: result.Job, Facts: result.Facts, Choices: result.Choices}
	if err != nil {
		entry.Message, entry.Next = err.Error(), pitr.HintOf(err)
	}
	if err == nil || pitr.KindOf(err) == pitr.KindPartial {
		return result, j.put(ctx, entry)
	}
	entry.Event = format.PlaybookStopped
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
	defer cancel()
	return result, errors.Join(stopped(j.state, number, err), j.put(ctx, entry))
}

// stopped says where the run stands, how to go on, and what the step itself says about that. The kind, and so the exit code,
// is that of the step; behind a restore it is halfway, since other kinds promise that nothing was written to the cluster.
func stopped(state State, number int, err error) error {
	kind := pitr.KindOf(err)
	if job := state.Job(number); job != "" {
		kind, err = pitr.KindHalfway, fmt.Errorf("after the restore, which is done (job %s): %w", job, err)
	}
	hint := fmt.Sprintf("`pitr playbook run --resume %s` goes on with this step", state.Run)
	if own := pitr.HintOf(err); own != "" {
		hint = own + "; then " + hint
	}
	return &pitr.Error{Kind: kind, Op: fmt.Sprintf("playbook step %s (%s)", ordinal(number, len(state.Steps)), state.Steps[number-1].Step.Command),
		Hint: hint, Err: err}
}
