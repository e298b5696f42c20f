package main

import (
	"context"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"pitr"
	"pitr/playbook"
)

// stepCommands gives the commands of the program as the steps of a playbook may name them.
func stepCommands() []playbook.Command {
	list := []playbook.Command{{Name: playbook.StepWriters}}
	app := newApp(streams{})
	for _, each := range leavesOf(app.Commands, "") {
		command := playbook.Command{Name: each.name, Arguments: strings.Fields(each.command.ArgsUsage), Refused: whyNoStep(each.name)}
		for _, flag := range each.command.Flags {
			command.Options = append(command.Options, stepOption(each.name, flag))
		}
		list = append(list, command)
	}
	return list
}

// leaf is a command that does something, with its whole name.
type leaf struct {
	name    string
	command *cli.Command
}

func leavesOf(list []*cli.Command, prefix string) []leaf {
	var found []leaf
	for _, command := range list {
		name := strings.TrimSpace(prefix + " " + command.Name)
		if len(command.Subcommands) == 0 && name != "help" {
			found = append(found, leaf{name: name, command: command})
		}
		found = append(found, leavesOf(command.Subcommands, name)...)
	}
	return found
}

func whyNoStep(name string) string {
	switch {
	case name == "archive run":
		return "archive run never ends: run it as a service; archive once is a step"
	case strings.HasPrefix(name, "playbook "):
		return "a playbook runs no playbook"
	}
	return ""
}

// looksBack are the commands whose since and until are moments.
var looksBack = []string{"find", "trace", "restore"}

func stepOption(command string, flag cli.Flag) playbook.Option {
	name := flag.Names()[0]
	option := playbook.Option{Name: name, Kind: playbook.Text, Setting: isSetting(name)}
	if required, ok := flag.(cli.RequiredFlag); ok {
		option.Required = required.IsRequired()
	}
	switch flag.(type) {
	case *cli.BoolFlag:
		option.Kind = playbook.Switch
	case *cli.IntFlag, *cli.Int64Flag:
		option.Kind = playbook.Number
	case *cli.StringSliceFlag:
		option.Kind = playbook.List
		if name == "only" || name == "except" {
			option.Kind = playbook.Namespaces
		}
	case *cli.StringFlag:
		if (name == "to" || name == "since" || name == "until") && slices.Contains(looksBack, command) {
			option.Kind = playbook.Moment
		}
	}
	return option
}

// isSetting reports whether an option is one that every command has.
func isSetting(name string) bool {
	return name == "help" || slices.ContainsFunc(settingFlags(""), func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
}

// parseWords reads the words of a step as the command line would, and gives what its command would be given.
func parseWords(ctx context.Context, words []string) (*cli.Context, error) {
	app := newApp(streams{})
	var parsed *cli.Context
	for _, each := range leavesOf(app.Commands, "") {
		each.command.Action = func(c *cli.Context) error {
			parsed = c
			return nil
		}
	}
	err := app.RunContext(ctx, append([]string{"pitr"}, words...))
	if err == nil && parsed == nil {
		err = pitr.Errorf(pitr.KindInvalid, "read the step", "see `pitr --help`", "%q is no command", strings.Join(words, " "))
	}
	return parsed, err
}

// checkWords holds every step against the flags that the program really has: what the declarations of stepCommands do not
// know is found here, still before the first step runs.
func checkWords(ctx context.Context, p playbook.Procedure) error {
	for _, step := range p.Steps {
		if step.Command == playbook.StepWriters {
			continue
		}
		if _, err := parseWords(ctx, playbook.Words(step)); err != nil {
			return &pitr.Error{Kind: pitr.KindInvalid, Op: "check the playbook: step " + step.Command, Err: err}
		}
	}
	return nil
}
