package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/report"
)

func runbookCommand(s streams) *cli.Command {
	return &cli.Command{
		Name:  "runbook",
		Usage: "print the incident runbook of this cluster",
		Description: "Markdown with the real names of cluster and repository, the commands as they are pasted, and the times that\n" +
			"earlier jobs took. It reads the repository only.\n\nExample:\n   pitr runbook > runbook.md",
		Flags:  []cli.Flag{&cli.StringFlag{Name: "format", Usage: "markdown; nothing else is built yet", Value: "markdown"}},
		Action: action(s, nil, runRunbook),
	}
}

func runRunbook(ctx context.Context, run *session, c *cli.Context) error {
	if given := c.String("format"); given != "markdown" {
		return pitr.Errorf(pitr.KindUnsupported, "print the runbook", "print Markdown and turn it with the tool of your wiki",
			"%q is not built yet", given)
	}
	repository, err := run.openRepository(ctx, reading)
	if err != nil {
		return err
	}
	snapshots, err := repository.Snapshots(ctx)
	if err != nil {
		return err
	}
	jobs, err := repository.Jobs(ctx)
	if err != nil {
		return err
	}
	book := report.Runbook{Cluster: repository.ClusterName(), Repository: run.settings.values["repo"], Times: measured(snapshots.Items, jobs),
		Reading: "backup and clusterMonitor", Writing: "restore, readWriteAnyDatabase and clusterMonitor",
		Made: run.now().UTC().Format(time.DateOnly), Pitr: version}
	book.Environment, book.Secrets = run.shell()
	if len(snapshots.Items) > 0 {
		newest := slices.MaxFunc(snapshots.Items, func(a, b format.Manifest) int { return a.Finished.Compare(b.Finished) })
		book.Set, book.Version, book.Hosts = newest.Cluster.Set, newest.Cluster.Version, newest.Cluster.Hosts
	}
	var page strings.Builder
	if err := report.WriteRunbook(&page, book); err != nil {
		return err
	}
	if run.json {
		return run.line(map[string]any{"type": "runbook", "v": 1, "cluster": book.Cluster, "markdown": page.String()})
	}
	_, err = fmt.Fprint(run.out, page.String())
	return err
}

// shell gives the variables that make the commands of the runbook find repository and cluster: every setting that is not
// the default. A connection string is never among them; of a command or a file that gives one only the name is.
func (run *session) shell() (lines, secrets []report.Fact) {
	for _, known := range settingList {
		value := run.settings.values[known.name]
		switch {
		case value == known.def || known.name == "log-level":
		case known.hidden:
		default:
			lines = append(lines, report.Fact{Name: variable(known.name), Value: shellQuoted(value)})
		}
	}
	for name, meaning := range map[string]string{"uri": "for reading", "restore-uri": "for writing"} {
		if cmp.Or(run.settings.values[name+"-file"], run.settings.values[name+"-command"]) == "" {
			secrets = append(secrets, report.Fact{Name: variable(name), Value: meaning})
		}
	}
	slices.SortFunc(secrets, func(a, b report.Fact) int { return -strings.Compare(a.Name, b.Name) })
	return lines, secrets
}

// shellQuoted makes a word of a shell of any text.
func shellQuoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// measured gives what the newest snapshots and jobs took.
func measured(snapshots []format.Manifest, jobs []catalog.Job) []report.Fact {
	const most = 3
	var facts []report.Fact
	slices.SortFunc(snapshots, func(a, b format.Manifest) int { return b.Finished.Compare(a.Finished) })
	for _, m := range snapshots[:min(most, len(snapshots))] {
		took := m.Finished.Sub(m.Created)
		text := fmt.Sprintf("%s for %s documents, %s", spanText(took), grouped(m.Objects.Documents), sizeText(m.Objects.Bytes))
		if seconds := took.Seconds(); seconds > 0 {
			text += fmt.Sprintf(" (%s/s)", sizeText(int64(float64(m.Objects.Bytes)/seconds)))
		}
		facts = append(facts, report.Fact{Name: "snapshot of " + m.Created.UTC().Format("2006-01-02 15:04"), Value: text})
	}
	done := slices.DeleteFunc(slices.Clone(jobs), func(j catalog.Job) bool { return !j.Done() || j.Intent == nil })
	slices.SortFunc(done, func(a, b catalog.Job) int { return b.Result.Finished.Compare(a.Result.Finished) })
	for _, job := range done[:min(most, len(done))] {
		line := newJobLine(job)
		took := job.Result.Finished.Sub(job.Result.Started)
		text := fmt.Sprintf("%s in all, writes blocked for %.1f s, %s records written", spanText(took), line.SecondsFrozen, grouped(line.Restored))
		if line.SecondsFrozen > 0 {
			text += fmt.Sprintf(" (%s/s while blocked)", grouped(int64(float64(line.Restored)/line.SecondsFrozen)))
		}
		facts = append(facts, report.Fact{Name: string(line.Kind) + " of " + line.Created.UTC().Format("2006-01-02 15:04"), Value: text})
	}
	return facts
}
