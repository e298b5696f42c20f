package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

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
		return "nothing was written to a cluster by this command"
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

// runAgain is the way on for a run that somebody stopped before it wrote: where it was when the signal came helps nobody.
const runAgain = "run the same command again when you are ready"

// text gives what happened and the next command, safe to print.
func (p problem) text() (message, next string) {
	next = printable(pitr.HintOf(p.err))
	switch p.code {
	case exitInterrupted:
		return "stopped by an interrupt (Ctrl-C)", cmp.Or(next, runAgain)
	case exitTerminated:
		return "stopped by a signal (SIGTERM)", cmp.Or(next, runAgain)
	}
	if next == "" && p.code != exitDifferent {
		next = "run the same command with --log-level debug and report what it prints"
	}
	return printable(p.err.Error()), next
}

// printError says what happened, what state things are in, and the next command.
func printError(s streams, p problem) {
	message, next := p.text()
	fmt.Fprintln(s.err, wrapped("pitr:  ", message, s.width))
	if state := p.state(); state != "" {
		fmt.Fprintln(s.err, wrapped("state: ", state, s.width))
	}
	if next != "" {
		fmt.Fprintln(s.err, wrapped("next:  ", next, s.width))
	}
}

// wrapped breaks a text between words at the width of the screen, behind a label. What stands in backquotes is a command
// to copy and is not broken.
func wrapped(label, text string, width int) string {
	indent := strings.Repeat(" ", len(label))
	var out strings.Builder
	out.WriteString(label)
	column := len(label)
	for i, word := range unbreakable.FindAllString(text, -1) {
		length := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case width > 0 && column+1+length > width:
			out.WriteString("\n" + indent)
			column = len(indent)
		default:
			out.WriteByte(' ')
			column++
		}
		out.WriteString(word)
		column += length
	}
	return out.String()
}

// unbreakable is a word, or a command in backquotes with what is attached to it.
var unbreakable = regexp.MustCompile("[^ `]*(?:`[^`]*`[^ `]*)+|[^ ]+")

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
