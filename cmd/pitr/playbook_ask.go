package main

import (
	"context"
	"fmt"
	"strconv"

	"pitr"
	"pitr/playbook"
)

// The words that answer a question to go on.
const (
	wordGo   = "go"
	wordStop = "stop"
)

// tries is how often a question is put before the run stops there.
const tries = 3

// ask puts one question, apart from what stands above it.
func (p *performer) ask(ctx context.Context, question string) (string, error) {
	fmt.Fprintln(p.run.err)
	return p.run.ask(ctx, question)
}

func errStopped() error { return pitr.Refusef("ask", "", "you stopped here") }

// pause asks whether to go on, unless a flag has said so.
func (p *performer) pause(ctx context.Context, turn *playbook.Turn, question string) error {
	if p.flags.goOn {
		return turn.Decide(ctx, playbook.Decided{Question: question, Answer: wordGo, By: "--go-on"})
	}
	return p.choose(ctx, turn, question)
}

// choose asks whether to go on.
func (p *performer) choose(ctx context.Context, turn *playbook.Turn, question string) error {
	for range tries {
		answer, err := p.ask(ctx, question+" Type go, or stop:")
		switch {
		case err != nil:
			return err
		case answer == wordGo:
			return turn.Decide(ctx, playbook.Decided{Question: question, Answer: wordGo, By: "typed"})
		case answer == wordStop:
			return errStopped()
		}
		fmt.Fprintln(p.run.err, "Type the word go to go on, or the word stop.")
	}
	return pitr.Refusef("ask", "", "neither go nor stop was typed")
}

// pick has one of several ways chosen by its number.
func (p *performer) pick(ctx context.Context, ways []string) (string, error) {
	for range tries {
		answer, err := p.ask(ctx, "Type a number:")
		if err != nil {
			return "", err
		}
		if number, err := strconv.Atoi(answer); err == nil && number >= 1 && number <= len(ways) {
			return ways[number-1], nil
		}
		fmt.Fprintf(p.run.err, "Type a number from 1 to %d.\n", len(ways))
	}
	return "", pitr.Refusef("ask", "", "no way was chosen")
}

// target has the cluster named, by the flag or by typing, and publishes that as the decision to write. What was typed
// wrongly is nowhere written down.
func (p *performer) target(ctx context.Context, turn *playbook.Turn, decided playbook.Decided) (string, error) {
	name := p.repository.ClusterName()
	decided.Question, decided.Answer = "The name of the cluster?", name
	if given := p.flags.target; given != "" {
		if given != name { // case W04
			return "", pitr.Refusef("confirm the target", "give --confirm-target as `pitr init` was given the name", "--confirm-target does not name the cluster")
		}
		decided.By = "--confirm-target"
		return name, turn.Decide(ctx, decided)
	}
	for range tries {
		typed, err := p.ask(ctx, "Type the name of the cluster to do it, or stop:")
		switch {
		case err != nil:
			return "", err
		case typed == name:
			decided.By = "typed"
			return name, turn.Decide(ctx, decided)
		case typed == wordStop:
			return "", errStopped()
		}
		fmt.Fprintln(p.run.err, "That is not its name. It stands above, behind the word cluster; or type stop.")
	}
	return "", pitr.Refusef("confirm the target", "type the name of the cluster as `pitr init` was given it", "the name was not typed")
}
