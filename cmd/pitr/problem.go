package main

import (
	"encoding/json"
	"fmt"

	"pitr"
	"pitr/report"
)

// problem is an error on its way to a person or a program.
type problem struct {
	err  error
	code int
}

// state says what the cluster is like after a run that ended with this code.
func (p problem) state() string {
	switch {
	case p.code == exitHalfway:
		return "the job began to write and stopped; the evidence is safe, and a write block stands if there was one"
	case p.code >= exitNotFound && p.code <= exitLimit:
		return "nothing was written to a cluster"
	case p.code == exitUsage:
		return "nothing was done"
	case p.code == exitPartial:
		return "the run finished; the items named above were left out"
	case p.code == exitInterrupted || p.code == exitTerminated:
		return "stopped before anything was written to a cluster"
	}
	return ""
}

// errorLine is the last JSON line of a run that failed.
type errorLine struct {
	Type    string `json:"type"`
	Version int    `json:"v"`
	Kind    string `json:"kind"`
	Exit    int    `json:"exit"`
	Message string `json:"message"`
	State   string `json:"state,omitempty"`
	Next    string `json:"next,omitempty"`
}

// text gives what happened and the next command, safe to print.
func (p problem) text() (message, next string) {
	next = printable(pitr.HintOf(p.err))
	if next == "" && p.code != exitDifferent {
		next = "run the same command with --log-level debug and report what it prints"
	}
	return printable(p.err.Error()), next
}

// printError says what happened, what state things are in, and the next command.
func printError(s streams, p problem) {
	message, next := p.text()
	fmt.Fprintf(s.err, "pitr: %s\n", message)
	if state := p.state(); state != "" {
		fmt.Fprintf(s.err, "state: %s\n", state)
	}
	if next != "" {
		fmt.Fprintf(s.err, "next:  %s\n", next)
	}
}

// printErrorLine says the same to a program, on the result stream.
func printErrorLine(s streams, p problem) {
	message, next := p.text()
	line := errorLine{Type: "error", Version: 1, Kind: string(pitr.KindOf(p.err)), Exit: p.code, Message: message,
		State: p.state(), Next: next}
	if err := json.NewEncoder(s.out).Encode(line); err != nil {
		printError(s, p)
	}
}

// printable makes any text safe for a terminal. // case X16
func printable(text string) string { return report.Printable(text) }
