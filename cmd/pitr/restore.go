package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/urfave/cli/v2"

	"pitr"
	"pitr/format"
	"pitr/report"
	"pitr/restore"
)

func restoreCommand(s streams) *cli.Command {
	return &cli.Command{
		Name:  "restore",
		Usage: "bring the cluster back to a moment, after exporting its present state",
		Description: "Shows what will be done, has the cluster's name typed, exports the present state, blocks writes, publishes\n" +
			"the list of changes, writes only documents that are byte for byte what the list says, verifies, and lifts\n" +
			"the block.\n\n" +
			"Example:\n   pitr restore --to \"before 1761120000:7\" --dry-run\n   pitr restore --to \"before 1761120000:7\"\n" +
			"   pitr restore --to \"before 1761120000:7\" --rename shop=shop_before --only shop",
		Flags: append(append(scopeFlags(), copyFlags()...),
			&cli.StringFlag{Name: "to", Usage: "the `MOMENT` to go back to; see docs/cli.md for its forms", Required: true},
			&cli.BoolFlag{Name: "dry-run", Usage: "show what would be done; writes nothing to cluster or repository"},
			&cli.StringFlag{Name: "confirm-target", Usage: "the `NAME` of the cluster, where nobody can type it"},
			&cli.BoolFlag{Name: "full-export", Usage: "take a full snapshot as evidence even where the archive can seal the present state", Value: true}),
		Action: action(s, nil, runRestore),
	}
}

func runRestore(ctx context.Context, run *session, c *cli.Context) error {
	if isCopy(c) {
		return runCopy(ctx, run, c)
	}
	if _, err := scopeOf(c); err != nil {
		return err
	}
	want := writing
	if c.Bool("dry-run") {
		want = reading
	}
	job, err := run.openJob(ctx, want)
	if err != nil {
		return err
	}
	defer job.close(ctx)
	intent, err := job.planRestore(ctx, c)
	if err != nil {
		return err
	}
	job.progress.Clear()
	if run.json {
		if err := run.line(newIntentLine(intent)); err != nil {
			return err
		}
	} else {
		job.showIntent(intent)
	}
	if c.Bool("dry-run") {
		if !run.json {
			run.next(fmt.Sprintf("pitr restore --to %q", c.String("to")), "(that was a dry run: nothing was written)")
		}
		return nil
	}
	confirmed, err := job.confirm(ctx, intent, c.String("confirm-target"))
	if err != nil {
		return err
	}
	outcome, err := restore.Run(ctx, job.deps, intent, confirmed)
	return job.end(ctx, outcome, err)
}

// planRestore makes the intent that the flags ask for.
func (j *job) planRestore(ctx context.Context, c *cli.Context) (restore.Intent, error) {
	scope, err := scopeOf(c)
	if err != nil {
		return restore.Intent{}, err
	}
	to, err := j.moment(ctx, c.String("to"), scope)
	if err != nil {
		return restore.Intent{}, err
	}
	return restore.Plan(ctx, j.deps, restore.Request{To: to, Asked: c.String("to"), Scope: scope, Bulk: c.Bool("full-export")})
}

// intentLine is the JSON line of an intent.
type intentLine struct {
	Type     string               `json:"type"`
	Version  int                  `json:"v"`
	Job      format.ID            `json:"job"`
	Cluster  string               `json:"cluster"`
	To       pitr.Timestamp       `json:"to"`
	Through  pitr.Timestamp       `json:"through"`
	Scope    pitr.Scope           `json:"scope"`
	Touched  map[pitr.Class]int64 `json:"touched,omitempty"`
	Steps    int                  `json:"steps"`
	Refused  []string             `json:"refused,omitempty"`
	Freeze   string               `json:"freeze"`
	Estimate float64              `json:"estimateSeconds,omitempty"`
}

func newIntentLine(intent restore.Intent) intentLine {
	line := intentLine{Type: "intent", Version: 1, Job: intent.ID, Cluster: intent.Cluster.Name, To: intent.To, Through: intent.Through,
		Scope: intent.Scope, Touched: intent.Touched, Steps: intent.Steps, Freeze: string(intent.Detail.Way), Estimate: intent.Estimate}
	for _, refusal := range intent.Refused {
		line.Refused = append(line.Refused, refusalText(refusal))
	}
	return line
}

// leftLine is the JSON line of something that a job did not touch, of type "left alone" or "left out".
type leftLine struct {
	Type    string          `json:"type"`
	Version int             `json:"v"`
	Token   string          `json:"token,omitempty"`
	NS      pitr.Namespace  `json:"ns"`
	Key     json.RawMessage `json:"key,omitempty"`
	Reason  string          `json:"reason"`
}

// leftBehind is such a thing before anything of it is hidden; its key is zero for a part of the catalog.
type leftBehind struct {
	token  string
	ns     pitr.Namespace
	key    pitr.Key
	reason string
}

// listLeft lists what an undo did not touch.
func (j *job) listLeft(list []restore.LeftAlone) error {
	behind := make([]leftBehind, 0, len(list))
	for _, left := range list {
		behind = append(behind, leftBehind{ns: left.NS, key: left.Key, reason: left.Reason})
	}
	return j.listBehind("left alone", behind)
}

func (j *job) listBehind(word string, list []leftBehind) error {
	redactor, err := report.NewRedactor(j.run.settings.redact())
	if err != nil {
		return err
	}
	for _, left := range list {
		line := leftLine{Type: word, Version: 1, Token: left.token, NS: left.ns, Reason: left.reason}
		if left.key.Stored().Type != 0 {
			line.Key = redactor.Key(left.ns, left.key)
		}
		if j.run.json {
			if err := j.run.line(line); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(j.run.err, "%s: %s %s: %s\n", word, printable(left.ns.String()), printable(string(line.Key)), printable(left.reason))
	}
	return nil
}

// end tells how a job ended and which command comes next.
func (j *job) end(ctx context.Context, outcome restore.Outcome, err error) error {
	j.progress.Clear()
	for _, warning := range outcome.Warnings {
		fmt.Fprintf(j.run.err, "warning: %s\n", printable(warning))
	}
	if listErr := j.listLeft(outcome.LeftAlone); listErr != nil {
		return listErr
	}
	if err != nil && pitr.KindOf(err) != pitr.KindPartial {
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
	fmt.Fprintf(j.run.out, "job %s is done and checked\n", outcome.Job)
	if line.Kind == format.JobUndo {
		fmt.Fprintln(j.run.out, wrapped("", fmt.Sprintf("%s written, %s left alone, frozen for %.1f s", counted(line.Restored, "record"),
			counted(int64(len(outcome.LeftAlone)), "thing"), line.SecondsFrozen), j.run.width))
		j.run.next("pitr find --since \"2h ago\"", "(to choose another moment)")
		return err
	}
	fmt.Fprintln(j.run.out, wrapped("", fmt.Sprintf("%s written, %s of the gap listed as lost or changed, frozen for %.1f s", counted(line.Restored, "record"),
		grouped(line.Lost), line.SecondsFrozen), j.run.width))
	j.run.next("pitr report "+string(outcome.Job)+" --html lost.html", "for the people who know the data")
	if !j.run.calm {
		fmt.Fprintf(j.run.err, "      pitr undo %s   takes it all back\n", outcome.Job)
	}
	return err
}
