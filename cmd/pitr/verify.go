package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"pitr"
	"pitr/catalog"
	"pitr/catalog/verify"
	"pitr/format"
)

func verifyCommand(s streams) *cli.Command {
	return &cli.Command{
		Name:  "verify",
		Usage: "check the whole repository",
		Description: "Level 0 looks at the listing, 1 reads every object and compares digests, 2 decodes and counts every document.\n" +
			"Nothing is changed and nothing is repaired.\n\nExample:\n   pitr verify --level 1",
		Flags:  append(scheduledFlags(), &cli.IntFlag{Name: "level", Usage: "how deep: 0, 1 or 2", Value: 1}),
		Action: scheduled(s, fromCron, verifyRepository),
	}
}

// findingLine is the JSON line of a finding.
type findingLine struct {
	Type    string `json:"type"`
	Version int    `json:"v"`
	verify.Finding
}

// verifiedLine is the last JSON line of a verification.
type verifiedLine struct {
	Type     string    `json:"type"`
	Version  int       `json:"v"`
	Level    int       `json:"level"`
	Snapshot format.ID `json:"snapshot,omitempty"`
	Findings int       `json:"findings"`
}

func verifyRepository(ctx context.Context, run *session, c *cli.Context) error {
	level := c.Int("level")
	if level < int(verify.LevelListing) || level > int(verify.LevelContent) {
		return pitr.Errorf(pitr.KindInvalid, "read --level", "write 0, 1 or 2; 3 (folding a snapshot to a later one) is not built yet",
			"%d is no level", level)
	}
	repository, err := run.openRepository(ctx, reading)
	if err != nil {
		return err
	}
	if err := run.verify(ctx, repository, verify.Options{Level: verify.Level(level)}); err != nil {
		return err
	}
	run.measure("pitr_last_verified_timestamp_seconds", seconds(run.now()))
	return nil
}

// verify prints the findings and ends with the error of the run.
func (run *session) verify(ctx context.Context, repository *catalog.Repository, options verify.Options) error {
	line := verifiedLine{Type: "verified", Version: 1, Level: int(options.Level)}
	if len(options.Only) == 1 {
		line.Snapshot = options.Only[0]
	}
	defer func() { run.measure("pitr_verify_findings", float64(line.Findings)) }()
	for finding, err := range verify.Run(ctx, repository, options) {
		if err != nil {
			return err
		}
		line.Findings++
		if run.json {
			if err := run.line(findingLine{Type: "finding", Version: 1, Finding: finding}); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintln(run.out, printable(finding.String()))
	}
	if run.json {
		return run.line(line)
	}
	what := "the repository"
	if line.Snapshot != "" {
		what = "snapshot " + string(line.Snapshot)
	}
	fmt.Fprintf(run.out, "%s is whole at level %d\n", what, line.Level)
	return nil
}

func verifySnapshot(ctx context.Context, run *session, c *cli.Context) error {
	id, err := snapshotID(c.Args().First())
	if err != nil {
		return err
	}
	repository, err := run.openRepository(ctx, reading)
	if err != nil {
		return err
	}
	if _, err := repository.Manifest(ctx, id); err != nil {
		return err
	}
	return run.verify(ctx, repository, verify.Options{Level: verify.LevelContent, Only: []format.ID{id}})
}
