package main

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/report"
	"pitr/restore/lostset"
)

// keepLostSet makes a job of the comparison: A is the damaged state, B what the cluster was brought back to.
func (run *session) keepLostSet(ctx context.Context, repository *catalog.Repository, a, b side, what comparison) error {
	if a.live != nil {
		return pitr.Refusef("make a lost set", "name the snapshot of the damaged state first, then what came of the restore: `pitr diff SNAPSHOT live --as-lost-set`",
			"the damaged state A cannot be live: it has to be in the repository")
	}
	shown := newProgress(run)
	outcome, err := lostset.Make(ctx, lostset.Deps{Repository: repository, Operator: operator(), Version: version, Progress: shown},
		lostset.Request{A: stateOf(a), B: stateOf(b), Scope: what.scope, Cluster: a.cluster, Compare: what.options(a, b)})
	shown.Clear()
	if err != nil {
		return err
	}
	summary := newSummaryLine(a, b, outcome.Summary, outcome.Tally)
	line, err := run.jobLine(ctx, repository, outcome.Job)
	if err != nil {
		return err
	}
	if run.json {
		if err := run.line(summary); err != nil {
			return err
		}
		if err := run.line(line); err != nil {
			return err
		}
	} else {
		run.tellMoved(summary)
		fmt.Fprintf(run.out, "job %s: what %s had and %s has not\n", line.Job, a.name, b.name)
		run.countLost(outcome)
		run.next("pitr report "+string(line.Job)+" --html lost.html --live", "for the people who know the data, or pitr reconcile plan "+string(line.Job))
	}
	if what.different && !outcome.Summary.IsEmpty() {
		return errDifferent
	}
	return nil
}

// countLost says what the lost set holds, one namespace a line.
func (run *session) countLost(outcome lostset.Outcome) {
	if outcome.Summary.IsEmpty() {
		fmt.Fprintln(run.out, "nothing: the two states are equal")
		return
	}
	for _, count := range outcome.Summary.Namespaces() {
		run.printCount(count)
	}
}

func stateOf(s side) lostset.State {
	state := lostset.State{Side: s.Side, Name: s.name, At: s.at, Branch: s.branch, Live: s.live != nil}
	if s.live != nil {
		state.Moved = s.live.movedOn
	}
	return state
}

// isCompare reports whether a job is a comparison: nothing was written to a cluster.
func isCompare(job catalog.Job) bool {
	return job.Intent != nil && job.Intent.Kind == format.JobCompare
}

// comparedOf gives what a job has compared, in the words that were typed.
func comparedOf(job catalog.Job) lostset.Detail {
	var detail lostset.Detail
	content := job.Intent.Detail
	if job.Result != nil && len(job.Result.Detail) > 0 {
		content = job.Result.Detail // it knows what has moved
	}
	_ = bson.Unmarshal(content, &detail) // an object whose digest fits holds what lostset wrote
	return detail
}

// aboutJob says what a job is about: the moment it goes to, or the two states that it compared.
func aboutJob(job catalog.Job) string {
	if !isCompare(job) {
		return "to " + clockText(newJobLine(job).To)
	}
	compared := comparedOf(job)
	return printable(fmt.Sprintf("what %s had and %s has not", compared.A, compared.B))
}

// comparePage is the page of a lost set that was made by a comparison: nothing was frozen or written, and nothing can be
// undone.
func comparePage(page report.Page, job catalog.Job) report.Page {
	line, compared := newJobLine(job), comparedOf(job)
	lead := fmt.Sprintf("Two states were compared: %s (before the restore) and %s (after it). What the first had and the second "+
		"has not, or has otherwise, is listed here with both versions. The gap is what the restore took away: the first state is its end, "+
		"the second the time before the damage.", compared.A, compared.B)
	if len(compared.Moved) > 0 {
		lead += fmt.Sprintf(" The cluster moved on while it was read: %s records that differed were compared again by their newest state.",
			grouped(compared.Again))
	}
	page.Lead = lead
	page.Facts = []report.Fact{
		{Name: "Lost or changed", Value: grouped(line.Lost)},
		{Name: "Records that differ", Value: grouped(line.Touched)},
	}
	return page
}
