package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"pitr"
	"pitr/cluster"
	"pitr/doctor"
)

// forRestore is the word of --for; nothing else can be examined for yet.
const forRestore = "restore"

func doctorCommand(s streams) *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "examine whether pitr could do its work now",
		Description: "Looks at repository, cluster, rights, archive, leases and earlier jobs. It only reads. --for restore tests the\n" +
			"login for writing, too: each right that it needs, by name, and whether it could block the writes of others.\n\n" +
			"Example:\n   pitr doctor\n   pitr doctor --for restore",
		Flags:  []cli.Flag{&cli.StringFlag{Name: "for", Usage: "also examine what `WORK` needs: restore"}},
		Action: action(s, nil, runDoctor),
	}
}

// checkLine is the JSON line of a finding of `pitr doctor`.
type checkLine struct {
	Type    string `json:"type"`
	Version int    `json:"v"`
	doctor.Finding
}

// examinedLine is its last line where nothing is bad.
type examinedLine struct {
	Type     string `json:"type"`
	Version  int    `json:"v"`
	Good     int    `json:"good"`
	Warnings int    `json:"warnings"`
}

func runDoctor(ctx context.Context, run *session, c *cli.Context) error {
	findings, err := examine(ctx, run, c.String("for"))
	if err != nil {
		return err
	}
	counts := countLevels(findings)
	if run.json {
		for _, finding := range findings {
			if err := run.line(checkLine{Type: "check", Version: 1, Finding: finding}); err != nil {
				return err
			}
		}
		if err := doctor.Verdict(findings); err != nil {
			return err
		}
		return run.line(examinedLine{Type: "examined", Version: 1, Good: counts[doctor.Good], Warnings: counts[doctor.Warning]})
	}
	for _, finding := range findings {
		run.showFinding(finding)
	}
	fmt.Fprintf(run.out, "%d good, %d warnings, %d bad\n", counts[doctor.Good], counts[doctor.Warning], counts[doctor.Bad])
	return doctor.Verdict(findings)
}

func countLevels(findings []doctor.Finding) map[doctor.Level]int {
	counts := map[doctor.Level]int{}
	for _, finding := range findings {
		counts[finding.Level]++
	}
	return counts
}

// columns is the width of a screen where none is known.
const columns = 80

// showFinding prints a finding within the screen: level, check, what, and below it the next command.
func (run *session) showFinding(finding doctor.Finding) {
	width := run.width
	if width == 0 {
		width = columns
	}
	label := fmt.Sprintf("%-7s  %-14s  ", finding.Level, finding.Check)
	fmt.Fprintln(run.out, wrapped(label, printable(finding.What), width))
	if finding.Level != doctor.Good && finding.Next != "" {
		fmt.Fprintln(run.out, wrapped(fmt.Sprintf("%-25s", "")+"-> ", printable(finding.Next), width))
	}
}

// examine opens what there is to open and gives the findings; what cannot be opened is one of them.
func examine(ctx context.Context, run *session, work string) ([]doctor.Finding, error) {
	if work != "" && work != forRestore {
		return nil, pitr.Errorf(pitr.KindInvalid, "read --for", "write --for restore", "%q is nothing that can be examined for", work)
	}
	subjects := doctor.Subjects{Restoring: work == forRestore, Host: run.lease().Host, Retention: run.settings.values["keep"]}
	subjects.Repository, subjects.RepositoryErr = run.openRepository(ctx, reading)
	client, login := run.examineLogin(ctx, "uri", cluster.ForReading)
	subjects.Reading = login
	if client != nil {
		defer client.Close(context.WithoutCancel(ctx))
		subjects.Source = client
	}
	if subjects.Restoring {
		client, login := run.examineLogin(ctx, "restore-uri", cluster.ForRestoring)
		subjects.Writing = login
		if client != nil {
			defer client.Close(context.WithoutCancel(ctx))
			subjects.Target = client.Primary()
		}
	}
	subjects.Now = run.now()
	facts, err := doctor.Look(ctx, subjects)
	return doctor.Judge(facts), err
}

// examineLogin connects as a command would, but for refusing a login that lacks rights: those are what is asked for.
func (run *session) examineLogin(ctx context.Context, credential string, purpose cluster.Purpose) (*cluster.Client, doctor.Login) {
	client, err := run.dial(ctx, credential)
	if err != nil {
		return nil, doctor.Login{Err: err}
	}
	login := doctor.Login{Server: client.Server(), Asked: run.now()}
	login.Missing, login.Err = client.MissingRights(ctx, purpose)
	return client, login
}
