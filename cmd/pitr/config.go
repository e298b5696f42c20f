package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/urfave/cli/v2"
)

func configCommand(s streams) *cli.Command {
	return &cli.Command{
		Name:  "config",
		Usage: "see the settings in force",
		Subcommands: []*cli.Command{{
			Name:        "show",
			Usage:       "print each setting with its value and where that came from; secrets are masked",
			Description: "Example:\n   pitr config show --repo file:///var/backups/pitr",
			Action:      action(s, nil, showConfig),
		}},
	}
}

// settingLine is a JSON line of `pitr config show`.
type settingLine struct {
	Type    string `json:"type"`
	Version int    `json:"v"`
	Name    string `json:"name"`
	Value   string `json:"value"`
	Origin  string `json:"origin"`
}

func showConfig(_ context.Context, run *session, _ *cli.Context) error {
	for _, known := range settingList {
		line := settingLine{Type: "setting", Version: 1, Name: known.name, Value: run.settings.shown(known), Origin: run.settings.origins[known.name]}
		if run.json {
			if err := json.NewEncoder(run.out).Encode(line); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(run.out, "%-20s %-40s %s\n", line.Name, printable(line.Value), line.Origin)
	}
	return nil
}
