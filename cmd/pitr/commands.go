package main

import "github.com/urfave/cli/v2"

// commands lists every command in the order in which a person meets them.
func commands(s streams) []*cli.Command {
	list := []*cli.Command{
		initCommand(s),
		snapshotCommand(s),
		archiveCommand(s),
		timelineCommand(s),
		markCommand(s),
		findCommand(s),
		restoreCommand(s),
		reportCommand(s),
		exportCommand(s),
		reconcileCommand(s),
	}
	list = append(list, jobCommands(s)...)
	return append(list, diffCommand(s), traceCommand(s), verifyCommand(s), pruneCommand(s), leaseCommand(s),
		configCommand(s), playbookCommand(s), doctorCommand(s), runbookCommand(s), completionCommand(s), manCommand(s))
}
