package playbook

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"pitr"
	"pitr/format"
)

// Procedure is what a playbook does, as a value; it is stored in the journal as it stands.
type Procedure = format.Procedure

// Step is one step of a procedure.
type Step = format.ProcedureStep

// maxSteps bounds a procedure, so that its journal has room for a run and several resumptions.
const maxSteps = 15

// BuiltIn is the procedure for an incident in which nobody has written one: who is writing, is everything ready, what
// happened, back to which moment, and what was lost.
func BuiltIn(cluster string) Procedure {
	return Procedure{Name: "incident (built in)", Cluster: cluster, Steps: []Step{
		{Command: StepWriters},
		{Command: "doctor", Arguments: []string{"--for=restore"}},
		{Command: "find", Arguments: []string{"--since=2h ago"}},
		{Command: "restore", Arguments: []string{"--to=" + Ask}},
		{Command: "report", Arguments: []string{"--", TheJob}},
	}}
}

// Digest tells one procedure from another.
func Digest(p Procedure) format.Digest {
	content, err := json.Marshal(p)
	if err != nil { // texts and lists of texts always have JSON
		return format.Digest{}
	}
	return format.Sum(content)
}

// Decision is something that a step will have decided.
type Decision int

// The decisions of a run; each has a flag for where nobody can be asked.
const (
	// DecideGoOn is whether to go on after a screen: --go-on.
	DecideGoOn Decision = iota
	// DecideMoment is the moment to go back to: --to.
	DecideMoment
	// DecideTarget is the name of the cluster: --confirm-target.
	DecideTarget
)

// Decisions gives what the steps of a procedure, from one on (counted from 1), will ask.
func Decisions(p Procedure, from int, commands []Command) []Decision {
	var needed []Decision
	for _, step := range p.Steps[min(from-1, len(p.Steps)):] {
		if step.Command == StepWriters {
			needed = append(needed, DecideGoOn)
		}
		if (StepView{step}).Option(optionTo) == Ask {
			needed = append(needed, DecideMoment)
		}
		if NeedsTarget(step, commands) {
			needed = append(needed, DecideTarget)
		}
	}
	slices.Sort(needed)
	return slices.Compact(needed)
}

// NeedsTarget reports whether a step writes to the cluster, so that its name has to be typed.
func NeedsTarget(step Step, commands []Command) bool {
	command, known := commandNamed(step.Command, commands)
	_, asks := command.option(optionTarget)
	return known && asks && (StepView{step}).Option(optionDryRun) != "true"
}

func commandNamed(name string, commands []Command) (Command, bool) {
	for _, command := range commands {
		if command.Name == name {
			return command, true
		}
	}
	return Command{}, false
}

// CheckOptions are what a procedure is checked against.
type CheckOptions struct {
	// Commands are those that the program has.
	Commands []Command
	// Now is the time for moments such as "2h ago".
	Now time.Time
	// Nearest finds the word that was meant; empty where none is near.
	Nearest func(word string, known []string) string
}

// Check refuses a procedure one of whose steps cannot run, before any does. It cannot know whether a step will succeed.
func Check(p Procedure, o CheckOptions) error {
	const op = "check the playbook"
	switch {
	case p.Name == "":
		return pitr.Errorf(pitr.KindInvalid, op, "give it a name: it is the title of the transcript", "it has no name")
	case p.Cluster == "":
		return pitr.Errorf(pitr.KindInvalid, op, "name the cluster as `pitr init` was given it", "it does not say which cluster it is for")
	case len(p.Steps) == 0:
		return pitr.Errorf(pitr.KindInvalid, op, "see `pitr playbook new` for an example", "it has no steps")
	case len(p.Steps) > maxSteps:
		return pitr.Errorf(pitr.KindLimit, op, "make two playbooks of it", "it has %d steps, %d is the most", len(p.Steps), maxSteps)
	}
	for i := range p.Steps {
		if err := checkStep(p, i, o); err != nil {
			return &pitr.Error{Kind: pitr.KindInvalid, Op: fmt.Sprintf("%s: step %d (%s)", op, i+1, p.Steps[i].Command), Err: err}
		}
	}
	return nil
}

func checkStep(p Procedure, i int, o CheckOptions) error {
	step := p.Steps[i]
	if step.Command == stepNotify {
		return pitr.Errorf(pitr.KindUnsupported, "", "leave the step out; `pitr playbook run --transcript FILE.md` writes what can be sent",
			"notify is not built yet")
	}
	command, known := commandNamed(step.Command, o.Commands)
	if !known {
		return pitr.Errorf(pitr.KindInvalid, "", o.suggest(step.Command, stepNames(o.Commands), "see `pitr --help` for the commands"), "%q is no step", step.Command)
	}
	if command.Refused != "" {
		return pitr.Errorf(pitr.KindInvalid, "", "leave the step out", "%s", command.Refused)
	}
	view := StepView{step}
	if err := checkOptions(command, view, o); err != nil {
		return err
	}
	if err := checkOperands(command, view.Operands()); err != nil {
		return err
	}
	before := func(name string) bool {
		return slices.ContainsFunc(p.Steps[:i], func(s Step) bool { return s.Command == name && (StepView{s}).Option(optionDryRun) != "true" })
	}
	switch {
	case view.Option(optionTo) == Ask && !before("find"):
		return pitr.Errorf(pitr.KindInvalid, "", "put a find step before it", "to: ask offers the moments of a find step, and none comes before")
	case slices.Contains(view.Operands(), TheJob) && !before("restore"):
		return pitr.Errorf(pitr.KindInvalid, "", "put a restore step before it, or name the job", "the job is that of a restore step, and none comes before")
	}
	return nil
}

func stepNames(commands []Command) []string {
	var names []string
	for _, command := range commands {
		names = append(names, command.Name)
	}
	return names
}

func checkOptions(command Command, view StepView, o CheckOptions) error {
	given := map[string]bool{}
	for _, word := range view.Arguments {
		if word == "--" {
			break
		}
		name, value, _ := strings.Cut(strings.TrimPrefix(word, "--"), "=")
		option, known := command.option(name)
		switch {
		case !known:
			names := command.optionNames()
			return pitr.Errorf(pitr.KindInvalid, "", o.suggest(name, names, optionHint(names)), "%q is no option of %s", name, command.Name)
		case option.Setting:
			return pitr.Errorf(pitr.KindInvalid, "", "give it to `pitr playbook run`, or set it in pitr.yaml", "%s is a setting of the whole run", name)
		case name == optionTarget:
			return pitr.Errorf(pitr.KindInvalid, "", "write `confirm: type-cluster-name` beside the step",
				"a file does not confirm: the name is typed, or given to `pitr playbook run` as --confirm-target")
		case given[name] && option.Kind != List && option.Kind != Namespaces:
			return pitr.Errorf(pitr.KindInvalid, "", "choose one of the values", "%s has several values", name)
		}
		given[name] = true
		if name == optionTo && value == Ask {
			continue
		}
		if err := option.check(value, o.Now); err != nil {
			return pitr.Errorf(pitr.KindInvalid, "", cmp.Or(pitr.HintOf(err), "see `pitr "+command.Name+" --help`"), "%w", err)
		}
	}
	for _, option := range command.Options {
		if option.Required && !given[option.Name] {
			return pitr.Errorf(pitr.KindInvalid, "", "see `pitr "+command.Name+" --help`", "%s is missing", option.Name)
		}
	}
	return nil
}

func optionHint(names []string) string {
	if len(names) == 0 {
		return "it has no options"
	}
	return "its options: " + strings.Join(names, ", ")
}

func checkOperands(command Command, operands []string) error {
	least := len(slices.DeleteFunc(slices.Clone(command.Arguments), func(name string) bool { return strings.HasPrefix(name, "[") }))
	see := "see `pitr " + command.Name + " --help`"
	switch {
	case len(operands) < least:
		return pitr.Errorf(pitr.KindInvalid, "", see, "its argument %s is missing", command.Arguments[len(operands)])
	case len(operands) > len(command.Arguments):
		return pitr.Errorf(pitr.KindInvalid, "", see, "%q is one argument too many", operands[len(command.Arguments)])
	}
	return nil
}

func (o CheckOptions) suggest(word string, known []string, otherwise string) string {
	if o.Nearest != nil {
		if near := o.Nearest(word, known); near != "" {
			return fmt.Sprintf("did you mean %s?", near)
		}
	}
	return otherwise
}
