package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/playbook"
	"pitr/restore"
)

// restore brings the cluster back: the moment is picked, the intent shown, the name typed, and only then the job begins,
// under the id that the journal already has.
func (p *performer) restore(ctx context.Context, turn *playbook.Turn) (playbook.Result, error) {
	run := p.stepSession()
	for tries := 0; ; tries++ {
		to, err := p.moment(ctx, turn)
		if err != nil {
			return playbook.Result{}, err
		}
		result, err := p.restoreTo(ctx, turn, to)
		unreachable := pitr.KindOf(err) == pitr.KindHole || pitr.KindOf(err) == pitr.KindInvalid || pitr.KindOf(err) == pitr.KindNotFound
		if result.Job != "" || !unreachable || !p.run.interactive || turn.Step.Option("to") != playbook.Ask || p.flags.to != "" || tries == 2 {
			return result, err
		}
		fmt.Fprintln(run.err, wrapped("pitr:  ", printable(err.Error()), p.width()))
		fmt.Fprintln(run.err, wrapped("next:  ", printable(pitr.HintOf(err)), p.width()))
	}
}

func (p *performer) restoreTo(ctx context.Context, turn *playbook.Turn, to string) (playbook.Result, error) {
	words := playbook.Words(turn.Step.Step)
	for i, word := range words {
		if strings.HasPrefix(word, "--to=") {
			words[i] = "--to=" + to
		}
	}
	c, err := parseWords(ctx, words)
	if err != nil {
		return playbook.Result{}, err
	}
	job, err := p.stepSession().openJob(ctx, writing)
	if err != nil {
		return playbook.Result{}, err
	}
	defer job.close(ctx)
	intent, err := job.planRestore(ctx, c)
	if err != nil {
		return playbook.Result{}, err
	}
	return p.carryOut(ctx, turn, job, carried{intent: intent, words: words})
}

// carried is an intent with the command line that stands for it.
type carried struct {
	intent restore.Intent
	words  []string
}

// carryOut shows an intent, has the name typed, publishes that decision with the job's id, and runs the job.
func (p *performer) carryOut(ctx context.Context, turn *playbook.Turn, job *job, what carried) (playbook.Result, error) {
	job.progress.Clear()
	p.showIntent(what)
	if len(what.intent.Refused) > 0 {
		first := what.intent.Refused[0]
		return playbook.Result{}, pitr.Refusef("plan job "+string(what.intent.ID), first.Hint, "%s", refusalText(first))
	}
	name, err := p.target(ctx, turn, playbook.Decided{Command: playbook.Line(what.words), Job: what.intent.ID})
	if err != nil {
		return playbook.Result{}, err
	}
	confirmed, err := what.intent.Confirm(name)
	if err != nil {
		return playbook.Result{}, err
	}
	p.ifCutOff(turn.State.Run)
	outcome, err := restore.Run(ctx, job.deps, what.intent, confirmed)
	return p.ended(ctx, job, outcome, err)
}

// ended tells how a job ended and gives its numbers.
func (p *performer) ended(ctx context.Context, job *job, outcome restore.Outcome, err error) (playbook.Result, error) {
	job.progress.Clear()
	for _, warning := range outcome.Warnings {
		fmt.Fprintf(job.run.err, "warning: %s\n", printable(warning))
	}
	if listErr := job.listLeft(outcome.LeftAlone); listErr != nil {
		return playbook.Result{}, listErr
	}
	if err != nil && pitr.KindOf(err) != pitr.KindPartial {
		return playbook.Result{}, err
	}
	result, factsErr := p.jobResult(ctx, outcome.Job)
	return result, cmp.Or(err, factsErr)
}

// jobResult gives what the repository knows of a job that has ended well.
func (p *performer) jobResult(ctx context.Context, id format.ID) (playbook.Result, error) {
	found, err := p.repository.Job(ctx, id)
	if err != nil {
		return playbook.Result{}, err
	}
	line := newJobLine(found)
	fmt.Fprintln(p.stepSession().out, wrapped("", fmt.Sprintf("job %s is done and checked: %s written, frozen for %.1f s", id,
		counted(line.Restored, "record"), line.SecondsFrozen), p.width()))
	result := playbook.Result{Job: id, Facts: []playbook.Fact{
		{Name: "back to", Value: clockText(line.To)},
		{Name: "records touched", Value: grouped(line.Touched)},
		{Name: "records written", Value: grouped(line.Restored)},
		{Name: "lost or changed", Value: grouped(line.Lost)},
		{Name: "seconds frozen", Value: fmt.Sprintf("%.1f", line.SecondsFrozen)}}}
	if line.Kind == format.JobUndo {
		result.End = playbook.OutcomeUndone
	}
	return result, nil
}

// showIntent prints an intent such that it fits a screen with the question below it.
func (p *performer) showIntent(what carried) {
	out, intent := p.run.err, what.intent
	const most = 2
	say := func(label, text string) {
		fmt.Fprintln(out, wrapped(fmt.Sprintf("%-9s ", label), printable(text), p.width()))
	}
	say("cluster", intent.Cluster.Name+" ("+strings.Join(intent.Cluster.Hosts, ", ")+")")
	say("back to", clockText(intent.To))
	if text := intent.Scope.String(); len(intent.Scope.Only)+len(intent.Scope.Except) > 0 {
		say("scope", text)
	}
	say(touchedLabel(intent), priceText(intent.Touched))
	for _, way := range intent.Ways[:min(most+1, len(intent.Ways))] {
		say(string(way.Way), way.NS.String()+": "+counted(way.Touched, "record")+" touched")
	}
	if more := len(intent.Ways) - most - 1; more > 0 {
		say("", "and "+counted(int64(more), "more collection"))
	}
	for _, price := range intent.Catalog[:min(most, len(intent.Catalog))] {
		text := price.Step
		if price.Price != "" {
			text += " (" + price.Price + ")"
		}
		say("catalog", text)
	}
	if more := len(intent.Catalog) - most; more > 0 {
		say("", fmt.Sprintf("and %d more", more))
	}
	p.run.listWriters(intent.Writers, most)
	say("freeze", fmt.Sprintf("by %s: %s", intent.Detail.Way, intent.Detail.WayReason))
	if intent.Estimate > 0 {
		say("time", "about "+spanText(time.Duration(intent.Estimate*float64(time.Second)))+" frozen")
	}
	for _, refusal := range intent.Refused {
		say("refused", refusalText(refusal)+"; "+refusal.Hint)
	}
	say("first", "the present state is exported and checked; pitr undo takes everything back")
}

// settle looks for a job that an earlier attempt at this step has begun. One that is done settles the step; one that stands
// half-way is gone on with or taken back; of one that never began nothing is left to do.
func (p *performer) settle(ctx context.Context, turn *playbook.Turn) (result playbook.Result, settled bool, err error) {
	job, found, err := p.jobOf(ctx, turn)
	if err != nil || !found {
		return playbook.Result{}, false, err
	}
	undone, err := p.isUndone(ctx, job.ID)
	switch {
	case err != nil:
		return playbook.Result{}, false, err
	case undone: // by hand, meanwhile: the step is where it began
		return playbook.Result{}, false, nil
	case job.Done():
		result, err = p.jobResult(ctx, job.ID)
	case job.Result != nil: // it ended before it wrote
		return playbook.Result{}, false, nil
	default:
		result, err = p.goOn(ctx, turn, job)
		// Of a job that has written no failure may say that nothing was, not even that nobody answered.
		if err != nil && hasWritten(job) && pitr.KindOf(err) != pitr.KindPartial {
			err = &pitr.Error{Kind: pitr.KindHalfway, Op: "job " + string(job.ID), Err: err, Hint: pitr.HintOf(stoppedAt(job))}
		}
	}
	if turn.Step.Command != "restore" {
		result.End = "" // an undo that is a step of its own ends nothing
	}
	return result, true, err
}

// isUndone reports whether a job was taken back.
func (p *performer) isUndone(ctx context.Context, id format.ID) (bool, error) {
	jobs, err := p.repository.Jobs(ctx)
	for _, job := range jobs {
		if job.Intent != nil && job.Intent.Kind == format.JobUndo && job.Intent.Job == id && job.Done() {
			return true, nil
		}
	}
	return false, err
}

// jobOf gives the newest job of a step that was published: one that the journal names, or one that a command of the step
// has begun without the journal knowing.
func (p *performer) jobOf(ctx context.Context, turn *playbook.Turn) (catalog.Job, bool, error) {
	for i := len(turn.Before.Jobs) - 1; i >= 0; i-- {
		job, err := p.repository.Job(ctx, turn.Before.Jobs[i])
		if pitr.KindOf(err) == pitr.KindNotFound {
			continue
		}
		return job, err == nil, err
	}
	at := slices.IndexFunc(turn.Before.Decided, func(d playbook.Entry) bool { return d.Command != "" && d.Job == "" })
	if at < 0 { // nobody has confirmed a command, so that none was run
		return catalog.Job{}, false, nil
	}
	jobs, err := p.repository.Jobs(ctx)
	if err != nil {
		return catalog.Job{}, false, err
	}
	for _, job := range slices.Backward(jobs) {
		if job.Intent != nil && job.Result == nil && p.isOf(turn, turn.Before.Decided[at], job) {
			return job, true, nil
		}
	}
	return catalog.Job{}, false, nil
}

// isOf reports whether a job is the one that the command of a step has begun once it was confirmed. Others may have begun jobs
// of their own meanwhile: those were not confirmed in this run, and it does not go on with them.
func (p *performer) isOf(turn *playbook.Turn, confirmed playbook.Entry, job catalog.Job) bool {
	intent := job.Intent
	if intent.Operator != confirmed.Operator || intent.Created.Before(confirmed.Taken.Truncate(time.Second)) {
		return false
	}
	switch turn.Step.Command {
	case "undo":
		return intent.Kind == format.JobUndo && intent.Job == p.jobFor(turn)
	case "reconcile apply":
		return intent.Kind == format.JobReconcile && intent.Job == p.jobFor(turn)
	case "restore":
		return intent.Kind == format.JobRewind || intent.Kind == format.JobRebuild || intent.Kind == format.JobCopy
	}
	return false
}

// The ways on with a job that was stopped.
const (
	wayResume = "go on with it"
	wayUndo   = "take it back"
	wayStop   = "stop here"
)

// goOn has the person choose what becomes of a job that was stopped; where nobody can be asked it is gone on with, since it
// was confirmed.
func (p *performer) goOn(ctx context.Context, turn *playbook.Turn, job catalog.Job) (playbook.Result, error) {
	wrote := hasWritten(job)
	isUndo := job.Intent != nil && job.Intent.Kind == format.JobUndo
	state := "nothing was written yet"
	switch {
	case wrote:
		state = "some records are written, the write block may stand; the evidence is safe"
	case len(job.Steps) > 0:
		state += "; the write block may stand"
	}
	fmt.Fprintln(p.run.err, wrapped("", fmt.Sprintf("Job %s of this step was cut off: %s.", job.ID, state), p.width()))
	ways := []string{wayResume, wayStop}
	if wrote && !isUndo {
		ways = []string{wayResume, wayUndo, wayStop}
	}
	way := wayResume
	by := "nobody could be asked"
	if p.run.interactive {
		by = "typed"
		explained := map[string]string{wayResume: "pitr resume " + string(job.ID), wayUndo: "pitr undo " + string(job.ID) + ": all as before",
			wayStop: "nothing is done now"}
		for i, each := range ways {
			fmt.Fprintf(p.run.err, "  %d  %-14s (%s)\n", i+1, each, explained[each])
		}
		var err error
		if way, err = p.pick(ctx, ways); err != nil {
			return playbook.Result{}, err
		}
	}
	decided := playbook.Decided{Question: "What becomes of job " + string(job.ID) + "?", Answer: way, By: by}
	if way == wayStop {
		return playbook.Result{}, stoppedAt(job)
	}
	if p.buried != nil {
		select {
		case <-p.buried:
		case <-ctx.Done():
		}
	}
	if way == wayUndo {
		if err := turn.Decide(ctx, decided); err != nil {
			return playbook.Result{}, err
		}
		return p.undo(ctx, turn, job.ID)
	}
	decided.Command = "pitr resume " + string(job.ID)
	if err := turn.Decide(ctx, decided); err != nil {
		return playbook.Result{}, err
	}
	return p.resumeJob(ctx, job)
}

// resumeJob goes on with a job. Its end is told once, and what comes next by the playbook itself.
func (p *performer) resumeJob(ctx context.Context, found catalog.Job) (playbook.Result, error) {
	if found.Intent != nil && found.Intent.Kind == format.JobReconcile { // it tells its end in words of its own
		if err := p.runWords(ctx, []string{"resume", string(found.ID)}); err != nil && pitr.KindOf(err) != pitr.KindPartial {
			return playbook.Result{}, err
		}
		return p.jobResult(ctx, found.ID)
	}
	job, err := p.stepSession().openJob(ctx, writing)
	if err != nil {
		return playbook.Result{}, err
	}
	defer job.close(ctx)
	outcome, err := restore.Resume(ctx, job.deps, found.ID)
	return p.ended(ctx, job, outcome, err)
}

// stoppedAt is the error of a person who leaves a job where it stands.
func stoppedAt(job catalog.Job) error {
	kind := pitr.KindRefused
	if hasWritten(job) {
		kind = pitr.KindHalfway
	}
	return pitr.Errorf(kind, "job "+string(job.ID), fmt.Sprintf("`pitr resume %[1]s`, `pitr undo %[1]s` or `pitr unfreeze %[1]s`", job.ID), "it was left where it stands")
}

// hasWritten reports whether a job has begun to write.
func hasWritten(job catalog.Job) bool {
	for _, step := range job.Steps {
		if step.Step == "write" {
			return true
		}
	}
	return false
}

// undo takes back the job of a step that was cut off. The run ends with it.
func (p *performer) undo(ctx context.Context, turn *playbook.Turn, id format.ID) (playbook.Result, error) {
	job, err := p.stepSession().openJob(ctx, writing)
	if err != nil {
		return playbook.Result{}, err
	}
	defer job.close(ctx)
	intent, err := restore.PlanUndo(ctx, job.deps, id)
	if err != nil {
		return playbook.Result{}, err
	}
	return p.carryOut(ctx, turn, job, carried{intent: intent, words: []string{"undo", string(id)}})
}

// moment gives the moment to go back to: that of the step, of the flag, or the one that the person picks.
func (p *performer) moment(ctx context.Context, turn *playbook.Turn) (string, error) {
	const question = "Back to which moment?"
	fixed := turn.Step.Option("to")
	if fixed != playbook.Ask {
		return fixed, nil
	}
	if p.flags.to != "" {
		return p.flags.to, turn.Decide(ctx, playbook.Decided{Question: question, Answer: p.flags.to, By: "--to"})
	}
	choices := turn.State.Choices(turn.Number)
	p.showChoices(choices)
	for range 3 {
		answer, err := p.ask(ctx, "Type a number, or a moment such as \"20m ago\", or stop:")
		if err != nil {
			return "", err
		}
		number, notNumber := strconv.Atoi(answer)
		switch {
		case answer == wordStop:
			return "", errStopped()
		case notNumber == nil && number >= 1 && number <= min(len(choices), mostChoices):
			answer = choices[number-1].To
		case notNumber == nil:
			fmt.Fprintf(p.run.err, "type a number from 1 to %d\n", min(len(choices), mostChoices))
			continue
		default:
			if _, err := pitr.ParseTime(answer, pitr.TimeContext{Now: p.run.now()}); err != nil {
				fmt.Fprintln(p.run.err, wrapped("", printable(err.Error())+": "+printable(pitr.HintOf(err)), p.width()))
				continue
			}
		}
		return answer, turn.Decide(ctx, playbook.Decided{Question: question, Answer: answer, By: "typed"})
	}
	return "", pitr.Refusef("pick a moment", "`pitr find` lists the moments", "no moment was chosen")
}

// mostChoices is how many moments fit a screen.
const mostChoices = 6

func (p *performer) showChoices(choices []playbook.Choice) {
	out := p.run.err
	if len(choices) == 0 {
		fmt.Fprintln(out, "Nothing suspicious was found, so no moment is offered: type one.")
		return
	}
	fmt.Fprintln(out, "Moments to go back to, the earliest first. Going there reverses what came since:")
	for i, choice := range choices[:min(len(choices), mostChoices)] {
		fmt.Fprintln(out, wrapped(fmt.Sprintf("%2d  ", i+1), printable(choice.What), p.width()))
		fmt.Fprintln(out, wrapped("      since then ", printable(choice.Price), p.width()))
	}
	if more := len(choices) - mostChoices; more > 0 {
		fmt.Fprintf(out, "and %s: pitr find\n", counted(int64(more), "later moment"))
	}
}
