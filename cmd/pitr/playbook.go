package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/playbook"
	"pitr/report"
)

func playbookCommand(s streams) *cli.Command {
	transcript := &cli.StringFlag{Name: "transcript", Usage: "write what was done to this `FILE`, which ends in .md or .html"}
	return &cli.Command{
		Name:  "playbook",
		Usage: "run an incident procedure, remembered step by step",
		Subcommands: []*cli.Command{
			{
				Name: "run", Usage: "run the built-in incident procedure, or that of a file", ArgsUsage: "[FILE]",
				Description: "One command for the night: who is writing, doctor, find, pick a moment, restore, report. Every step and every\n" +
					"decision is remembered in the repository; a run that was cut off goes on with --resume. Where nobody can be\n" +
					"asked, the decisions are given as flags.\n\n" +
					"Example:\n   pitr playbook run\n   pitr playbook run bad-migration.yaml --transcript night.html\n" +
					"   pitr playbook run --resume 20251022T092001Z-k3f9q2",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "resume", Usage: "go on with this `RUN` at the first step that is not done"},
					&cli.StringFlag{Name: "to", Usage: "the `MOMENT` to go back to, where nobody can pick one"},
					&cli.StringFlag{Name: "confirm-target", Usage: "the `NAME` of the cluster, where nobody can type it"},
					&cli.BoolFlag{Name: "go-on", Usage: "the culprit is stopped: do not ask before going on"},
					transcript},
				Action: action(s, []string{"[FILE]"}, runPlaybook),
			},
			{
				Name: "show", Usage: "print the transcript of a run, or list the runs", ArgsUsage: "[RUN]",
				Description: "Example:\n   pitr playbook show\n   pitr playbook show 20251022T092001Z-k3f9q2",
				Flags:       []cli.Flag{transcript, &cli.BoolFlag{Name: "force", Usage: "replace the file"}},
				Action:      action(s, []string{"[RUN]"}, showPlaybook),
			},
			{
				Name: "new", Usage: "print the built-in procedure as a file to change, or write it", ArgsUsage: "[FILE]",
				Description: "Example:\n   pitr playbook new bad-migration.yaml",
				Action:      action(s, []string{"[FILE]"}, newPlaybook),
			},
		},
	}
}

// entryLine and runLine are the JSON lines of playbooks.
type entryLine struct {
	Type    string `json:"type"`
	Version int    `json:"v"`
	playbook.Entry
}

type runLine struct {
	Type     string    `json:"type"`
	Version  int       `json:"v"`
	Run      format.ID `json:"run"`
	Name     string    `json:"name"`
	Cluster  string    `json:"cluster"`
	Begun    string    `json:"begun"`
	Operator string    `json:"operator"`
	State    string    `json:"state"`
	Steps    int       `json:"steps"`
	Done     int       `json:"done"`
	Job      format.ID `json:"job,omitempty"`
}

func newRunLine(state playbook.State) runLine {
	line := runLine{Type: "playbook run", Version: 1, Run: state.Run, Name: state.Procedure.Name, Cluster: state.Procedure.Cluster,
		Begun: state.Begun.UTC().Format("2006-01-02T15:04:05Z"), Operator: state.Operator, State: state.Where(), Steps: len(state.Steps),
		Job: state.Job(len(state.Steps) + 1)}
	for _, step := range state.Steps {
		if step.Status == playbook.Done {
			line.Done++
		}
	}
	return line
}

func runID(text string) (format.ID, error) {
	id, err := format.ParseID(text)
	if err != nil {
		return "", pitr.Errorf(pitr.KindInvalid, "read the id of the run", "see `pitr playbook show`", "%w", err)
	}
	return id, nil
}

// runPlaybook checks everything that can be checked before the first step, and then runs.
func runPlaybook(ctx context.Context, run *session, c *cli.Context) error {
	repository, err := run.openRepository(ctx, writing)
	if err != nil {
		return err
	}
	p := newPerformer(run, repository, c)
	given, err := p.procedure(ctx, c.Args().First())
	if err != nil {
		return err
	}
	file := transcriptFile{name: c.String("transcript"), replace: c.IsSet("resume")}
	if err := file.check(); err != nil {
		return err
	}
	options := p.options(ctx)
	var state playbook.State
	if c.IsSet("resume") {
		state, err = p.resume(ctx, options, given)
	} else {
		state, err = p.begin(ctx, options, given)
	}
	if state.Run == "" {
		return err
	}
	if file.name != "" {
		if writeErr := file.write(run, state); writeErr != nil {
			err = errors.Join(err, writeErr)
		}
	}
	if err != nil && pitr.KindOf(err) != pitr.KindPartial {
		return err
	}
	if run.json {
		return errors.Join(run.line(newRunLine(state)), err)
	}
	p.farewell(state, file)
	return err
}

// procedure reads the file, nil without one, and checks it against program and repository.
func (p *performer) procedure(ctx context.Context, file string) (*playbook.Procedure, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // no file is no procedure, and no failure
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, pitr.Errorf(pitr.KindInvalid, "read the playbook", "check the path; `pitr playbook new FILE` makes one", "%w", err)
	}
	procedure, err := playbook.Parse(content, playbook.CheckOptions{Commands: p.commands, Now: p.run.now(), Nearest: nearest})
	if err != nil {
		return nil, err
	}
	if name := p.repository.ClusterName(); procedure.Cluster != name {
		return nil, pitr.Refusef("check the playbook", "use the playbook of this cluster, or check --repo",
			"it is for cluster %s, the repository is that of %s", procedure.Cluster, name)
	}
	return &procedure, checkWords(ctx, procedure)
}

func (p *performer) options(ctx context.Context) playbook.Options {
	return playbook.Options{Repository: p.repository, Performer: p, Lease: p.run.lease(), Operator: operator(), Host: p.run.lease().Host,
		Version: version, Now: p.run.now, Commands: p.commands, ExitCode: func(err error) int { return exitCode(ctx, err) }}
}

// begin starts a run. An unfinished one whose job stands half-way is gone on with, not begun beside.
func (p *performer) begin(ctx context.Context, options playbook.Options, given *playbook.Procedure) (playbook.State, error) {
	procedure := playbook.BuiltIn(p.repository.ClusterName())
	if given != nil {
		procedure = *given
	}
	if err := p.needFlags(procedure, 1); err != nil {
		return playbook.State{}, err
	}
	listing, err := playbook.Runs(ctx, p.repository)
	if err != nil {
		return playbook.State{}, err
	}
	for _, earlier := range listing.Runs {
		job, open, err := p.openJobOf(ctx, earlier)
		if err != nil {
			return playbook.State{}, err
		}
		if open && earlier.Outcome == "" {
			return playbook.State{}, pitr.Refusef("begin a playbook", "`pitr playbook run --resume "+string(earlier.Run)+"` goes on with it",
				"run %s, begun by %s, stands at %s with job %s, which has not ended: records may be half-way and writes blocked",
				earlier.Run, earlier.Operator, earlier.Where(), job)
		}
	}
	p.steps = len(procedure.Steps)
	return playbook.Run(ctx, options, procedure)
}

// openJobOf finds a job that a run has begun and that has not ended.
func (p *performer) openJobOf(ctx context.Context, state playbook.State) (format.ID, bool, error) {
	for _, step := range state.Steps {
		for _, id := range step.Jobs {
			job, err := p.repository.Job(ctx, id)
			if pitr.KindOf(err) == pitr.KindNotFound {
				continue // cut off before the job was published
			}
			if err != nil {
				return "", false, err
			}
			if step.Status != playbook.Done && job.Result == nil {
				return id, true, nil
			}
		}
	}
	return "", false, nil
}

func (p *performer) resume(ctx context.Context, options playbook.Options, given *playbook.Procedure) (playbook.State, error) {
	id, err := runID(p.flags.resume)
	if err != nil {
		return playbook.State{}, err
	}
	state, err := playbook.Load(ctx, p.repository, id)
	if err != nil {
		return playbook.State{}, err
	}
	if err := playbook.Resumable(state, version, given); err != nil {
		return playbook.State{}, err
	}
	if err := checkWords(ctx, state.Procedure); err != nil {
		return playbook.State{}, err
	}
	if next := state.Next(); next > 0 {
		if err := p.needFlags(state.Procedure, next); err != nil {
			return playbook.State{}, err
		}
	}
	p.steps = len(state.Steps)
	if _, open, err := p.openJobOf(ctx, state); err != nil {
		return playbook.State{}, err
	} else if open {
		p.bury(ctx)
	}
	return playbook.Resume(ctx, options, id, given)
}

// bury outwaits the dead holder of the leases for writing and for the export while the one of the playbook is outwaited,
// too: all died at once, and the cluster may stand blocked meanwhile. A lease is given back at once, for the job that goes
// on. A holder who lives keeps it, and the job will say so.
func (p *performer) bury(ctx context.Context) {
	var waits sync.WaitGroup
	for _, name := range []string{catalog.LeaseWrite, catalog.LeaseSnapshot} {
		waits.Go(func() {
			if lease, err := p.repository.Lease(ctx, name, p.run.lease()); err == nil {
				_ = lease.Release(ctx) // one that is not given back is over by itself
			}
		})
	}
	done := make(chan struct{})
	p.buried = done
	go func() {
		waits.Wait()
		close(done)
	}()
}

// needFlags refuses, before the first step, a run in which nobody can be asked and not everything is decided. // case W05
func (p *performer) needFlags(procedure playbook.Procedure, from int) error {
	if p.run.interactive {
		return nil
	}
	var missing []string
	for _, decision := range playbook.Decisions(procedure, from, p.commands) {
		switch {
		case decision == playbook.DecideGoOn && !p.flags.goOn:
			missing = append(missing, "--go-on")
		case decision == playbook.DecideMoment && p.flags.to == "":
			missing = append(missing, "--to MOMENT")
		case decision == playbook.DecideTarget && p.flags.target == "":
			missing = append(missing, "--confirm-target "+procedure.Cluster)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return pitr.Refusef("run the playbook", "run it on a terminal, or give "+strings.Join(missing, ", "), "nobody is here to decide")
}

// transcriptFile is where a transcript goes.
type transcriptFile struct {
	name    string
	replace bool
}

// check refuses a file that cannot be written, before anything is done.
func (f transcriptFile) check() error {
	const op = "write the transcript"
	if f.name == "" {
		return nil
	}
	if extension := filepath.Ext(f.name); !slices.Contains([]string{".md", ".html"}, extension) {
		return pitr.Errorf(pitr.KindInvalid, op, "name a file that ends in .md or .html", "%q is neither", f.name)
	}
	if _, err := os.Lstat(f.name); err == nil && !f.replace {
		return pitr.Refusef(op, "choose another name, or move the file away", "%s exists", f.name)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return pitr.Errorf(pitr.KindInvalid, op, "check the path", "%w", err)
	}
	if folder, err := os.Stat(filepath.Dir(f.name)); err != nil || !folder.IsDir() {
		return pitr.Errorf(pitr.KindInvalid, op, "check the path", "there is no folder %s", filepath.Dir(f.name))
	}
	return nil
}

func (f transcriptFile) write(run *session, state playbook.State) error {
	var content strings.Builder
	var err error
	if filepath.Ext(f.name) == ".html" {
		err = report.TranscriptHTML(&content, state)
	} else {
		err = report.TranscriptMarkdown(&content, state)
	}
	if err == nil {
		err = writeWhole(f.name, []byte(content.String()))
	}
	if err != nil {
		return pitr.Errorf(pitr.KindLimit, "write the transcript", "`pitr playbook show "+string(state.Run)+" --transcript FILE` writes it again", "%w", err)
	}
	fmt.Fprintf(run.err, "transcript: %s\n", printable(f.name))
	return nil
}

func showPlaybook(ctx context.Context, run *session, c *cli.Context) error {
	repository, err := run.openRepository(ctx, reading)
	if err != nil {
		return err
	}
	if c.NArg() == 0 {
		return listRuns(ctx, run, repository)
	}
	id, err := runID(c.Args().First())
	if err != nil {
		return err
	}
	state, err := playbook.Load(ctx, repository, id)
	if err != nil {
		return err
	}
	file := transcriptFile{name: c.String("transcript"), replace: c.Bool("force")}
	if err := file.check(); err != nil {
		return err
	}
	if run.json {
		for _, entry := range state.Entries {
			if err := run.line(entryLine{Type: "playbook entry", Version: 1, Entry: entry}); err != nil {
				return err
			}
		}
	}
	switch {
	case file.name != "":
		err = file.write(run, state)
	case !run.json:
		err = report.TranscriptMarkdown(run.out, state)
	}
	if err == nil && run.json {
		err = run.line(newRunLine(state))
	}
	if err == nil && state.Outcome == "" {
		run.next("pitr playbook run --resume " + string(id))
	}
	return err
}

func listRuns(ctx context.Context, run *session, repository *catalog.Repository) error {
	listing, err := playbook.Runs(ctx, repository)
	if err != nil {
		return err
	}
	rows := [][]string{{"RUN", "NAME", "BY", "STATE"}}
	for _, state := range listing.Runs {
		if run.json {
			if err := run.line(newRunLine(state)); err != nil {
				return err
			}
		}
		rows = append(rows, []string{string(state.Run), state.Procedure.Name, state.Operator, state.Where()})
	}
	for id, damage := range listing.Damaged {
		fmt.Fprintf(run.err, "damaged: run %s: %s\n", id, printable(damage.Error()))
	}
	switch {
	case run.json:
		return nil
	case len(rows) == 1:
		fmt.Fprintln(run.err, "no playbook was run yet")
		run.next("pitr playbook run")
		return nil
	}
	return run.table(rows)
}

func newPlaybook(ctx context.Context, run *session, c *cli.Context) error {
	repository, err := run.openRepository(ctx, reading)
	if err != nil {
		return err
	}
	procedure := playbook.BuiltIn(repository.ClusterName())
	procedure.Name = "bad migration"
	content := append([]byte("# The steps are pitr commands with their options; docs/playbook.md explains the form.\n"),
		playbook.Write(procedure, stepCommands())...)
	file := c.Args().First()
	switch {
	case run.json:
		return run.line(map[string]any{"type": "playbook", "v": 1, "name": procedure.Name, "cluster": procedure.Cluster, "content": string(content)})
	case file == "":
		_, err := run.out.Write(content)
		return err
	}
	if _, err := os.Lstat(file); err == nil {
		return pitr.Refusef("write the playbook", "choose another name", "%s exists", file)
	}
	if err := writeWhole(file, content); err != nil {
		return pitr.Errorf(pitr.KindInvalid, "write the playbook", "check the path", "%w", err)
	}
	fmt.Fprintf(run.out, "wrote %s\n", printable(file))
	run.next("pitr playbook run "+file, "(after you have changed it)")
	return nil
}
