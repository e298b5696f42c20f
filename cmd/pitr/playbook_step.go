package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"pitr"
	"pitr/catalog"
	"pitr/doctor"
	"pitr/format"
	"pitr/history"
	"pitr/playbook"
)

// performer does the steps of a playbook with the functions of the commands, and asks the person.
type performer struct {
	run        *session
	repository *catalog.Repository
	commands   []playbook.Command
	flags      playbookFlags
	// steps is how many there are.
	steps int
	// buried is closed when the dead holder of the lease for writing is outwaited; nil where there is none.
	buried chan struct{}
	// written is the page that a report step wrote.
	written string
}

// playbookFlags are the decisions that were given on the command line.
type playbookFlags struct {
	resume, to, target string
	goOn               bool
}

// newPerformer makes the performer of one run. With --json the result stream is for lines of the run alone: what the steps
// print goes to the talk stream.
func newPerformer(run *session, repository *catalog.Repository, c *cli.Context) *performer {
	return &performer{run: run, repository: repository, commands: stepCommands(), flags: playbookFlags{resume: c.String("resume"),
		to: c.String("to"), target: c.String("confirm-target"), goOn: c.Bool("go-on")}}
}

// stepSession is the session of a step.
func (p *performer) stepSession() *session {
	step := *p.run
	step.json = false
	if p.run.json {
		step.out = p.run.err
	}
	return &step
}

// Perform does one step; those that need more than their command are here, all others are run as they stand.
func (p *performer) Perform(ctx context.Context, turn *playbook.Turn) (playbook.Result, error) {
	if result, settled, err := p.settle(ctx, turn); settled || err != nil {
		return result, err
	}
	switch turn.Step.Command {
	case playbook.StepWriters:
		return p.writers(ctx, turn)
	case "doctor":
		return p.doctor(ctx, turn)
	case "find":
		return p.find(ctx, turn)
	case "restore":
		if turn.Step.Option("dry-run") != "true" {
			return p.restore(ctx, turn)
		}
	case "report":
		return p.report(ctx, turn)
	}
	return p.command(ctx, turn)
}

// writers shows who could be writing now, and waits until the culprit is stopped.
func (p *performer) writers(ctx context.Context, turn *playbook.Turn) (playbook.Result, error) {
	client, err := p.run.connect(ctx, "uri")
	if err != nil {
		return playbook.Result{}, err
	}
	defer client.Close(context.WithoutCancel(ctx))
	writers, err := client.Writers(ctx)
	if err != nil {
		return playbook.Result{}, err
	}
	run := p.stepSession()
	if run.listWriters(writers, 12) == 0 {
		fmt.Fprintln(run.err, "nobody is connected who could be writing")
	}
	result := playbook.Result{}
	for _, writer := range writers[:min(len(writers), 12)] {
		result.Facts = append(result.Facts, playbook.Fact{Name: "writing", Value: writerText(writer)})
	}
	fmt.Fprintln(run.err, wrapped("", "\nStop whoever did the damage first: the release, the job, the script. What goes on writing makes more to restore.", p.width()))
	return result, p.pause(ctx, turn, "Is the culprit stopped?")
}

func writerText(w pitr.Writer) string {
	text := w.User + ", application " + w.App + ", from " + w.Host
	if w.NS != "" {
		text += ", into " + w.NS
	}
	return strings.TrimPrefix(text, ", ")
}

// doctor shows what is not good. What is bad stops the run, unless a person goes on all the same.
func (p *performer) doctor(ctx context.Context, turn *playbook.Turn) (playbook.Result, error) {
	run := p.stepSession()
	findings, err := examine(ctx, run, turn.Step.Option("for"))
	if err != nil {
		return playbook.Result{}, err
	}
	counts := countLevels(findings)
	result := playbook.Result{Facts: []playbook.Fact{{Name: "good", Value: fmt.Sprint(counts[doctor.Good])},
		{Name: "warnings", Value: fmt.Sprint(counts[doctor.Warning])}, {Name: "bad", Value: fmt.Sprint(counts[doctor.Bad])}}}
	fmt.Fprintf(run.out, "%d good, %d warnings, %d bad\n", counts[doctor.Good], counts[doctor.Warning], counts[doctor.Bad])
	const most = 5
	shown := 0
	for _, level := range []doctor.Level{doctor.Bad, doctor.Warning} {
		for _, finding := range findings {
			if finding.Level != level {
				continue
			}
			result.Facts = append(result.Facts, playbook.Fact{Name: string(level) + ", " + finding.Check, Value: finding.What})
			if shown++; shown <= most {
				run.showFinding(finding)
			}
		}
	}
	if shown > most {
		fmt.Fprintf(run.out, "and %d more: pitr doctor --for restore\n", shown-most)
	}
	verdict := doctor.Verdict(findings)
	if verdict == nil || !p.run.interactive {
		return result, verdict
	}
	if err := p.choose(ctx, turn, "Something is bad. Go on all the same?"); err != nil {
		return result, verdict
	}
	return result, nil
}

// find shows what did the damage; the moments are offered by the restore step.
func (p *performer) find(ctx context.Context, turn *playbook.Turn) (playbook.Result, error) {
	run := p.stepSession()
	c, err := parseWords(ctx, playbook.Words(turn.Step.Step))
	if err != nil {
		return playbook.Result{}, err
	}
	f, err := findDamage(ctx, run, c)
	if err != nil {
		return playbook.Result{}, err
	}
	gaps, err := f.gaps(ctx)
	if err != nil {
		return playbook.Result{}, err
	}
	f.showEvents(p.width())
	result := playbook.Result{Facts: []playbook.Fact{{Name: "events", Value: fmt.Sprint(len(f.findings.Events))}}}
	for _, gap := range gaps {
		text := fmt.Sprintf("%s of %s: %s", gap.Index, gap.NS, duplicatesText(gap))
		result.Facts = append(result.Facts, playbook.Fact{Name: "unique index missing", Value: text})
		fmt.Fprintln(run.out, wrapped("", "unique index missing: "+printable(text), p.width()))
	}
	for _, candidate := range f.candidates {
		result.Choices = append(result.Choices, playbook.Choice{To: "before " + candidate.Event.OpTime.TS.String(),
			What: candidate.Event.OpTime.TS.Time().Format("15:04:05") + " UTC, just before: " + eventText(candidate.Event), Price: priceText(candidate.Total())})
	}
	return result, nil
}

// showEvents prints what fits a screen, the suspicious events first.
func (f *search) showEvents(width int) {
	const most = 10
	events := slices.Clone(f.findings.Events)
	if len(events) == 0 {
		fmt.Fprintf(f.run.out, "nothing suspicious between %s and %s\n", clockText(f.window.After), clockText(f.window.Through))
		return
	}
	if len(events) > most {
		slices.SortStableFunc(events, func(a, b history.Event) int {
			switch {
			case a.Suspicious() == b.Suspicious():
				return 0
			case a.Suspicious():
				return -1
			}
			return 1
		})
		events = events[:most]
		slices.SortStableFunc(events, func(a, b history.Event) int { return a.OpTime.Compare(b.OpTime) })
	}
	for _, event := range events {
		mark := " "
		if event.Suspicious() {
			mark = "!"
		}
		fmt.Fprintln(f.run.out, wrapped(mark+" "+event.OpTime.TS.Time().Format("15:04:05")+"  ", printable(eventText(event)), width))
	}
	if more := len(f.findings.Events) - len(events); more > 0 {
		fmt.Fprintf(f.run.out, "and %d more: pitr find\n", more)
	}
}

// report writes the page of the job, as the step says or under the name of the job.
func (p *performer) report(ctx context.Context, turn *playbook.Turn) (playbook.Result, error) {
	words := p.words(turn)
	result := playbook.Result{Job: p.jobFor(turn)}
	page := turn.Step.Option("html")
	if page == "" && len(slices.DeleteFunc(slices.Clone(turn.Step.Arguments), isOperand)) == 0 {
		page = "lost-" + string(result.Job) + ".html"
		// It is the page of this job and of nothing else, so a second attempt may replace it.
		words = append([]string{words[0], "--html=" + page, "--force=true"}, words[1:]...)
	} else if page != "" && turn.Before.Status == playbook.Begun {
		words = append([]string{words[0], "--force=true"}, words[1:]...) // what lies there is what was cut off
	}
	if page != "" {
		result.Facts = []playbook.Fact{{Name: "page", Value: page}}
		p.written = page
	}
	return result, p.runWords(ctx, words)
}

// isOperand tells the job of a report step from its options.
func isOperand(word string) bool { return !strings.HasPrefix(word, "--") || word == "--" }

// command runs a step as the command that it is. One that writes has the cluster named.
func (p *performer) command(ctx context.Context, turn *playbook.Turn) (playbook.Result, error) {
	words := p.words(turn)
	if playbook.NeedsTarget(turn.Step.Step, p.commands) {
		name, err := p.target(ctx, turn, playbook.Decided{Command: playbook.Line(words)})
		if err != nil {
			return playbook.Result{}, err
		}
		fields := len(strings.Fields(turn.Step.Command))
		words = slices.Insert(words, fields, "--confirm-target="+name)
	}
	return playbook.Result{Job: p.jobFor(turn)}, p.runWords(ctx, words)
}

// words gives the command line of a step, with the job where it says JOB.
func (p *performer) words(turn *playbook.Turn) []string {
	words := playbook.Words(turn.Step.Step)
	for _, command := range p.commands {
		at := slices.Index(words, "--") + 1
		if command.Name != turn.Step.Command || at == 0 {
			continue
		}
		for i, argument := range command.Arguments {
			if argument == playbook.TheJob && at+i < len(words) && words[at+i] == playbook.TheJob {
				words[at+i] = string(turn.State.Job(turn.Number))
			}
		}
	}
	return words
}

// jobFor is the job that a step is about: the one that it names, or that of the restore step before it.
func (p *performer) jobFor(turn *playbook.Turn) format.ID {
	words := p.words(turn)
	for _, word := range words {
		if id, err := format.ParseID(word); err == nil {
			return id
		}
	}
	return ""
}

// runWords runs a command within the session of the playbook.
func (p *performer) runWords(ctx context.Context, words []string) error {
	step := p.stepSession()
	at := step.streams
	at.inherit = step
	return newApp(at).RunContext(ctx, append([]string{"pitr"}, words...))
}

// Heard prints what a person should know of an entry.
func (p *performer) Heard(entry playbook.Entry) {
	if p.run.json {
		// A stream of lines; a failure to print is remembered by the result stream.
		_ = p.run.line(entryLine{Type: "playbook entry", Version: 1, Entry: entry})
	}
	out := p.run.err
	switch entry.Event {
	case format.PlaybookBegun:
		fmt.Fprintf(out, "playbook %s, cluster %s\n", printable(entry.Procedure.Name), printable(entry.Procedure.Cluster))
		p.ifCutOff(entry.Run)
	case format.PlaybookResumed:
		fmt.Fprintf(out, "going on with playbook run %s\n", entry.Run)
	case format.PlaybookStep:
		title := fmt.Sprintf("-- step %d of %d: %s ", entry.Step, p.steps, printable(titleOf(entry.Command)))
		fmt.Fprintf(out, "\n%s%s\n", title, strings.Repeat("-", max(2, p.width()-1-len(title))))
	case format.PlaybookVisited:
		fmt.Fprintln(out, wrapped("note: ", fmt.Sprintf("%s on %s wanted to run a playbook at %s and was told that you are at it", printable(entry.Operator),
			printable(entry.Host), entry.Taken.UTC().Format("15:04:05 UTC")), p.width()))
	}
}

// ifCutOff says how to go on. It is said at the beginning, and again where the job begins: the first has scrolled away by then.
func (p *performer) ifCutOff(run format.ID) {
	fmt.Fprintf(p.run.err, "if it is cut off: pitr playbook run --resume %s\n", run)
}

// titles say in words what the steps of an incident are for.
var titles = map[string]string{
	playbook.StepWriters: "who is writing now",
	"doctor":             "is everything ready",
	"find":               "what happened",
	"restore":            "back to which moment",
	"report":             "what was lost",
}

func titleOf(line string) string {
	word, _, _ := strings.Cut(strings.TrimPrefix(line, "pitr "), " ")
	if title, known := titles[word]; known {
		return title + " (" + word + ")"
	}
	return line
}

// Waiting tells at once who is at it, before the time that it takes to know whether they are alive.
func (p *performer) Waiting(holder catalog.LeaseState, at playbook.State) {
	text := fmt.Sprintf("%s (process %d on %s) has been running a playbook since %s", holder.Owner(), holder.Record.Process, holder.Record.Host,
		holder.Record.Taken.UTC().Format("2006-01-02 15:04:05 UTC"))
	if at.Run != "" {
		text += fmt.Sprintf(": run %s, %s", at.Run, at.Where())
	}
	fmt.Fprintln(p.run.err, wrapped("", printable(text), p.width()))
	fmt.Fprintln(p.run.err, wrapped("", signOfLife, p.width()))
}

func (p *performer) width() int {
	if p.run.width > 0 {
		return p.run.width
	}
	return columns
}

// farewell ends a run that went through with what comes next.
func (p *performer) farewell(state playbook.State, file transcriptFile) {
	line := newRunLine(state)
	fmt.Fprintf(p.run.out, "playbook run %s: %s\n", state.Run, state.Where())
	if line.Job == "" || state.Outcome != playbook.OutcomeDone {
		return
	}
	if p.written != "" {
		fmt.Fprintf(p.run.out, "give %s to the people who know the data\n", printable(p.written))
	}
	p.run.next("pitr reconcile plan "+string(line.Job)+" --review lost.xlsx", "a file for them to decide in")
	fmt.Fprintf(p.run.err, "      pitr undo %s   takes it all back\n", line.Job)
	if file.name == "" {
		fmt.Fprintf(p.run.err, "      pitr playbook show %s   what was done, for the others\n", state.Run)
	}
}
