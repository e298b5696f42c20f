package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"pitr"
	"pitr/format"
	"pitr/reconcile"
	"pitr/report"
)

// recordLine is the JSON line of a record of a lost set.
type recordLine struct {
	Type     string             `json:"type"`
	Version  int                `json:"v"`
	Token    string             `json:"token"`
	NS       pitr.Namespace     `json:"ns"`
	Key      json.RawMessage    `json:"key"`
	Class    pitr.Class         `json:"class"`
	State    reconcile.State    `json:"state"`
	Decision reconcile.Decision `json:"decision"`
	Reason   string             `json:"reason"`
	Group    int                `json:"group,omitempty"`
	Last     pitr.OpTime        `json:"last"`
	E        json.RawMessage    `json:"e,omitempty"`
	T        json.RawMessage    `json:"t,omitempty"`
	Live     json.RawMessage    `json:"live,omitempty"`
	// Fields and Conflicts name the fields that were changed after the restore or in the gap, and those in conflict.
	Fields    []string `json:"fields,omitempty"`
	Conflicts []string `json:"conflicts,omitempty"`
}

func (p *planPrinter) recordLine(record reconcile.Record, decision reconcile.Decision) recordLine {
	change := record.Change
	e, t := p.redactor.Pair(change.NS, change.E, change.T)
	line := recordLine{Type: "lost record", Version: 1, Token: record.Token, NS: change.NS, Key: p.redactor.Key(change.NS, change.Key),
		Class: change.Class, State: record.State, Decision: decision, Reason: record.Reason, Group: record.Group, Last: change.Last,
		E: report.Extended(e), T: report.Extended(t), Live: report.Extended(p.redactor.Document(change.NS, record.Live))}
	for _, field := range record.Merge {
		line.Fields = append(line.Fields, field.Path.String())
		if field.Conflict {
			line.Conflicts = append(line.Conflicts, field.Path.String())
		}
	}
	return line
}

// groupLine is the JSON line of a group of duplicates among lost and live records.
type groupLine struct {
	Type     string         `json:"type"`
	Version  int            `json:"v"`
	Number   int            `json:"number"`
	NS       pitr.Namespace `json:"ns"`
	Index    string         `json:"index"`
	Value    string         `json:"value"`
	Records  []string       `json:"records"`
	Live     []string       `json:"live,omitempty"`
	Survivor string         `json:"survivor,omitempty"`
	Reason   string         `json:"reason"`
}

// planLine is the last JSON line of a plan.
type planLine struct {
	Type    string                    `json:"type"`
	Version int                       `json:"v"`
	Job     format.ID                 `json:"job"`
	Records int64                     `json:"records"`
	Groups  int                       `json:"groups"`
	States  map[reconcile.State]int64 `json:"states"`
	Notes   []string                  `json:"notes,omitempty"`
}

func (p *planPrinter) printLines() error {
	for _, group := range p.plan.Groups {
		line := groupLine{Type: "duplicate group", Version: 1, Number: group.Number, NS: group.NS, Index: group.Index, Value: p.valueOf(group),
			Records: group.Records, Survivor: group.Survivor, Reason: group.Reason}
		for _, key := range group.Live {
			line.Live = append(line.Live, string(p.redactor.Key(group.NS, key)))
		}
		if err := p.run.line(line); err != nil {
			return err
		}
	}
	line := planLine{Type: "reconcile plan", Version: 1, Job: p.plan.Job, Groups: len(p.plan.Groups), States: map[reconcile.State]int64{}, Notes: p.plan.Notes}
	for row, n := range p.counts {
		line.States[row.state] += n
		line.Records += n
	}
	return p.run.line(line)
}

// proposalLine is the JSON line of what an apply would write.
type proposalLine struct {
	Type    string         `json:"type"`
	Version int            `json:"v"`
	Job     format.ID      `json:"job"`
	Cluster string         `json:"cluster"`
	Insert  int64          `json:"insert"`
	Change  int64          `json:"change"`
	Delete  int64          `json:"delete"`
	Nothing int64          `json:"nothing"`
	LeftOut int            `json:"leftOut"`
	Notes   []string       `json:"notes,omitempty"`
	To      pitr.Timestamp `json:"to"`
}

// showProposal prints what an apply will do, before anything is done.
func (j *job) showProposal(proposal *reconcile.Proposal) error {
	intent := proposal.Intent
	line := proposalLine{Type: "reconcile proposal", Version: 1, Job: intent.Job, Cluster: intent.Cluster.Name, To: intent.To,
		// The class is that of the job's own change set: what the job inserts is there after it and was not before.
		Insert: proposal.Writes[pitr.ClassDeleted], Change: proposal.Writes[pitr.ClassChanged], Delete: proposal.Writes[pitr.ClassCreated],
		Nothing: proposal.Nothing, LeftOut: len(proposal.LeftOut), Notes: proposal.Notes}
	if j.run.json {
		return j.run.line(line)
	}
	out := j.run.err
	fmt.Fprintf(out, "cluster   %s (%s)\n", printable(intent.Cluster.Name), printable(strings.Join(intent.Cluster.Hosts, ", ")))
	fmt.Fprintf(out, "lost set  of job %s\n", intent.Job)
	fmt.Fprintf(out, "write     %s inserted, %s changed, %s deleted; the service stays up\n", grouped(line.Insert), grouped(line.Change), grouped(line.Delete))
	fmt.Fprintf(out, "nothing   to do for %s, left out %s\n", grouped(line.Nothing), grouped(int64(line.LeftOut)))
	for _, note := range proposal.Notes {
		fmt.Fprintln(out, wrapped("note      ", printable(note), j.run.width))
	}
	for _, refusal := range intent.Refused {
		fmt.Fprintf(out, "refused   %s; %s\n", printable(refusalText(refusal)), printable(refusal.Hint))
	}
	return nil
}

// listLeftOut lists the records that were decided about and not written.
func (j *job) listLeftOut(list []reconcile.LeftOut) error {
	behind := make([]leftBehind, 0, len(list))
	for _, left := range list {
		behind = append(behind, leftBehind{token: left.Token, ns: left.NS, key: left.Key, reason: left.Reason})
	}
	return j.listBehind("left out", behind)
}

// endApply tells how an apply ended and which command comes next.
func (j *job) endApply(ctx context.Context, outcome reconcile.Outcome, err error) error {
	j.progress.Clear()
	if err != nil && pitr.KindOf(err) != pitr.KindPartial {
		return err
	}
	if listErr := j.listLeftOut(outcome.LeftOut); listErr != nil {
		return listErr
	}
	if outcome.Job == "" {
		if !j.run.json {
			fmt.Fprintln(j.run.out, "nothing was written")
		}
		return err
	}
	line, lineErr := j.run.jobLine(ctx, j.repository, outcome.Job)
	if lineErr != nil {
		return lineErr
	}
	if j.run.json {
		if lineErr := j.run.line(line); lineErr != nil {
			return lineErr
		}
		return err
	}
	fmt.Fprintf(j.run.out, "job %s is done and checked\n%s records put back, %s were right already, %s left out\n", outcome.Job, grouped(outcome.Written),
		grouped(outcome.Nothing), grouped(int64(len(outcome.LeftOut))))
	j.run.next("pitr undo "+string(outcome.Job), "takes it all back")
	return err
}
