package main

import "github.com/urfave/cli/v2"

// commands lists every command in the order in which a person meets them.
func commands(s streams) []*cli.Command {
	return []*cli.Command{
		initCommand(s),
		snapshotCommand(s),
		archiveCommand(s),
		timelineCommand(s),
		markCommand(s),
		leaseCommand(s),
		configCommand(s),
	}
}
