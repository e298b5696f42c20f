package playbook

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"pitr"
)

// Command is a command of the program as a step may name it.
type Command struct {
	// Name is what stands behind "pitr": "find", "snapshot take".
	Name string
	// Arguments are the names of its arguments, in brackets those that may be missing.
	Arguments []string
	Options   []Option
	// Refused says why it can be no step; empty for all others.
	Refused string
}

// OptionKind says what an option takes.
type OptionKind int

// The kinds of options.
const (
	// Text is any text.
	Text OptionKind = iota
	// Switch is true or false.
	Switch
	// Number is a whole number.
	Number
	// List is text that may be repeated.
	List
	// Moment is a point in time as pitr.ParseTime reads it.
	Moment
	// Namespaces is a List of databases and collections.
	Namespaces
)

// Option is an option of a command.
type Option struct {
	Name     string
	Kind     OptionKind
	Required bool
	// Setting is an option that every command has: where repository and cluster are, how to print. A step cannot have its
	// own, since the whole run is about one cluster.
	Setting bool
}

// The words that mean something in a playbook only.
const (
	// StepWriters shows who is writing now, and asks whether the culprit is stopped.
	StepWriters = "writers"
	// stepNotify is known, and refused until it is built.
	stepNotify = "notify"
	// Ask stands for a moment that the person picks.
	Ask = "ask"
	// TheJob stands for the job that an earlier step has begun.
	TheJob = "JOB"
	// confirmName is the only confirmation there is.
	confirmName = "type-cluster-name"
	// optionTarget is the option through which commands have the cluster named.
	optionTarget = "confirm-target"
	optionDryRun = "dry-run"
	optionTo     = "to"
)

func (c Command) option(name string) (Option, bool) {
	for _, option := range c.Options {
		if option.Name == name {
			return option, true
		}
	}
	return Option{}, false
}

func (c Command) optionNames() []string {
	var names []string
	for _, option := range c.Options {
		if !option.Setting && option.Name != optionTarget {
			names = append(names, option.Name)
		}
	}
	return names
}

// check judges one value of an option.
func (o Option) check(value string, now time.Time) error {
	switch o.Kind {
	case Switch:
		if value != "true" && value != "false" {
			return fmt.Errorf("%s is true or false, not %q", o.Name, value)
		}
	case Number:
		if _, err := strconv.Atoi(value); err != nil {
			return fmt.Errorf("%s is a whole number, not %q", o.Name, value)
		}
	case Moment:
		if _, err := pitr.ParseTime(value, pitr.TimeContext{Now: now}); err != nil {
			return fmt.Errorf("%s: %w", o.Name, err)
		}
	case Namespaces:
		if _, err := pitr.NewScope([]string{value}, nil); err != nil {
			return fmt.Errorf("%s: %w", o.Name, err)
		}
	}
	if value == "" {
		return fmt.Errorf("%s has no value", o.Name)
	}
	return nil
}

// Words gives the command line of a step behind "pitr".
func Words(step Step) []string {
	return append(strings.Fields(step.Command), step.Arguments...)
}

// LineOf gives the command line of a step, or its name where it is no command.
func LineOf(step Step) string {
	if step.Command == StepWriters {
		return step.Command
	}
	return Line(Words(step))
}

// Line gives a command line as a person would type it.
func Line(words []string) string {
	line := "pitr"
	for _, word := range words {
		name, value, isOption := strings.Cut(word, "=")
		switch {
		case word == "--":
		case isOption && strings.HasPrefix(name, "--") && value == "true":
			line += " " + name
		case isOption && strings.HasPrefix(name, "--") && value == "false":
			line += " " + word
		case isOption && strings.HasPrefix(name, "--"):
			line += " " + name + " " + quoted(value)
		default:
			line += " " + quoted(word)
		}
	}
	return line
}

// quoted makes a word safe to paste into a shell.
func quoted(word string) string {
	plain := word != "" && !strings.ContainsFunc(word, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/@%+,=-", r)
	})
	switch {
	case plain:
		return word
	case strings.ContainsAny(word, "\"$`\\!'"):
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return `"` + word + `"`
}

// Option gives the value of an option of a step, empty where it is not there.
func (s StepView) Option(name string) string {
	for _, word := range s.Arguments {
		if word == "--" {
			break
		}
		if value, found := strings.CutPrefix(word, "--"+name+"="); found {
			return value
		}
	}
	return ""
}

// Operands gives the arguments that are no options.
func (s StepView) Operands() []string {
	if at := slices.Index(s.Arguments, "--"); at >= 0 {
		return s.Arguments[at+1:]
	}
	return nil
}

// StepView reads a step.
type StepView struct{ Step }
