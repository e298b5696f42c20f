package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"pitr"
	"pitr/report"
)

// run is the whole program: arguments in, exit code out.
func run(ctx context.Context, args []string, s streams) int {
	out := &resultWriter{to: s.out}
	s.out, s.err = out, &shared{to: s.err}
	app := newApp(s)
	if len(args) == 0 {
		args = []string{app.Name}
	}
	err := app.RunContext(ctx, flagsFirst(app, args))
	if err == nil {
		err = out.failure()
	}
	code := exitCode(ctx, err)
	switch {
	case err == nil || errors.Is(err, syscall.EPIPE): // case C10: the next program in the pipe has seen enough
	case wantsJSON(args):
		printErrorLine(s, problem{err: err, code: code})
	default:
		printError(s, problem{err: err, code: code})
	}
	return code
}

// wantsJSON looks for --json, and for --format json where a command has that.
func wantsJSON(args []string) bool {
	at := slices.Index(args, "--format")
	return slices.Contains(args, "--json") || slices.Contains(args, "--format=json") || at >= 0 && at+1 < len(args) && args[at+1] == "json"
}

// resultWriter remembers the first failure, so that a result which did not reach its reader is never a success although
// no print statement looks at its error.
type resultWriter struct {
	to  io.Writer
	err error
}

// Write passes on until the first failure.
func (w *resultWriter) Write(content []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.to.Write(content)
	w.err = err
	return n, err
}

func (w *resultWriter) failure() error {
	if w.err == nil {
		return nil
	}
	return pitr.Errorf(pitr.KindUnexpected, "print the result", "check where the output goes", "%w", w.err)
}

func newApp(s streams) *cli.App {
	app := &cli.App{
		Name:                 "pitr",
		Usage:                "point-in-time recovery for MongoDB that keeps the evidence and gives back what was lost",
		Version:              version,
		HideVersion:          false,
		Writer:               s.out,
		ErrWriter:            io.Discard,
		Suggest:              true,
		EnableBashCompletion: true,
		ExitErrHandler:       func(*cli.Context, error) {},
		OnUsageError:         usageError,
		Commands:             commands(s),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return unknownCommand(c.App.Commands, c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
	}
	prepare(app.Commands)
	return app
}

// prepare gives every command what all have: the settings, errors of our shape, refusal of unknown sub-commands.
func prepare(list []*cli.Command) {
	for _, command := range list {
		command.OnUsageError = usageError
		if len(command.Subcommands) > 0 {
			subcommands := command.Subcommands
			prepare(subcommands)
			if command.Action == nil {
				command.Action = func(c *cli.Context) error {
					if c.NArg() > 0 {
						return unknownCommand(subcommands, c.Args().First())
					}
					return cli.ShowSubcommandHelp(c)
				}
			}
			continue
		}
		for _, flag := range command.Flags {
			if text, ok := flag.(*cli.StringFlag); ok && text.Required {
				text.Required = false
				command.Action = needing(text.Name, command.Action)
			}
		}
		command.Flags = append(command.Flags, settingFlags(command.Name)...)
	}
}

// needing refuses a command without a flag that it cannot do without; the library would print its help as a result.
func needing(flag string, do cli.ActionFunc) cli.ActionFunc {
	return func(c *cli.Context) error {
		if strings.TrimSpace(c.String(flag)) == "" {
			return pitr.Errorf(pitr.KindInvalid, "read the command line", "give --"+flag+"; "+helpHint(c), "--%s is missing", flag)
		}
		return do(c)
	}
}

func usageError(c *cli.Context, err error, _ bool) error {
	hint := helpHint(c)
	if _, flag, found := strings.Cut(err.Error(), "not defined: -"); found {
		if near := nearest(strings.TrimLeft(flag, "-"), flagNames(c)); near != "" {
			hint = fmt.Sprintf("did you mean `--%s`?", near)
		}
	}
	return pitr.Errorf(pitr.KindInvalid, "read the command line", hint, "%w", err)
}

func helpHint(c *cli.Context) string {
	if c.Command == nil || c.Command.HelpName == "" {
		return "see `pitr --help`"
	}
	return "see `" + c.Command.HelpName + " --help`"
}

func flagNames(c *cli.Context) []string {
	var names []string
	for _, flag := range c.Command.Flags {
		names = append(names, flag.Names()...)
	}
	return names
}

func unknownCommand(list []*cli.Command, word string) error {
	if err := notBuilt(word); err != nil {
		return err
	}
	var names []string
	for _, command := range list {
		names = append(names, command.Name)
	}
	hint := "see `pitr --help`"
	if near := nearest(word, names); near != "" {
		hint = fmt.Sprintf("did you mean `%s`?", near)
	}
	return pitr.Errorf(pitr.KindInvalid, "read the command line", hint, "%q is not a command", word)
}

// session is what a command's function gets: streams, settings, and the way it is to talk.
type session struct {
	streams
	settings settings
	json     bool
	log      *slog.Logger
	// calm says that a scheduler runs this: nothing is said beside the result, warnings and errors.
	calm bool
	// watcher and metrics follow a run that a scheduler started.
	watcher *watcher
	metrics report.Metrics
	// alone says that the store does not refuse to replace an object, and that a person promised to be its only writer.
	alone bool
}

// action turns a command's function into what the command line library calls. Arguments beyond the named ones are refused.
func action(s streams, names []string, do func(context.Context, *session, *cli.Context) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		if err := checkArguments(c, names); err != nil {
			return err
		}
		if s.inherit != nil {
			step := *s.inherit
			return do(c.Context, &step, c)
		}
		values, err := readSettings(c, os.Environ())
		if err != nil {
			return err
		}
		log, err := newLogger(s, values)
		if err != nil {
			return err
		}
		run := &session{streams: s, settings: values, json: c.Bool("json"), log: log}
		run.fancy = run.fancy && !c.Bool("plain")
		return do(c.Context, run, c)
	}
}

// checkArguments takes exactly the named arguments; a name in brackets may be missing, one with dots may repeat.
func checkArguments(c *cli.Context, names []string) error {
	least, most := 0, len(names)
	for _, name := range names {
		if !strings.HasPrefix(name, "[") {
			least++
		}
		if strings.HasSuffix(strings.Trim(name, "[]"), "...") {
			most = 1 << 20
		}
	}
	see := helpHint(c)
	switch {
	case c.NArg() < least:
		return pitr.Errorf(pitr.KindInvalid, "read the command line", see, "%s is missing", names[c.NArg()])
	case slices.ContainsFunc(c.Args().Slice(), func(word string) bool { return strings.TrimSpace(word) == "" }):
		return pitr.Errorf(pitr.KindInvalid, "read the command line", see, "an argument is empty")
	case c.NArg() > most:
		return pitr.Errorf(pitr.KindInvalid, "read the command line", see, "%q is one argument too many", c.Args().Get(most))
	}
	return nil
}

func newLogger(s streams, values settings) (*slog.Logger, error) {
	switch level := values.values["log-level"]; level {
	case "off", "":
		return slog.New(slog.DiscardHandler), nil
	case "info":
		return slog.New(slog.NewTextHandler(s.err, nil)), nil
	case "debug":
		return slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelDebug})), nil
	default:
		return nil, pitr.Errorf(pitr.KindInvalid, "read the settings", "write off, info or debug", "log-level is %q", level)
	}
}

// flagsFirst moves flags in front of arguments, so that `pitr diff A B --json` means what it says: the library stops
// looking for flags at the first argument. Everything after "--" stays where it is.
func flagsFirst(app *cli.App, args []string) []string {
	if args[len(args)-1] == completing {
		return args
	}
	list, flags := app.Commands, app.Flags
	at := 1
	for at < len(args) {
		command := find(list, args[at])
		if command == nil && len(list) > 0 && !strings.HasPrefix(args[at], "-") {
			return args // no command of ours: its flags are not the point
		}
		if command == nil {
			break
		}
		list, flags = command.Subcommands, command.Flags
		at++
	}
	var front, back []string
	for rest := args[min(at, len(args)):]; len(rest) > 0; rest = rest[1:] {
		word := rest[0]
		if word == "--" {
			back = append(back, rest...)
			break
		}
		if !strings.HasPrefix(word, "-") || word == "-" {
			back = append(back, word)
			continue
		}
		front = append(front, word)
		if takesValue(flags, word) && len(rest) > 1 {
			rest = rest[1:]
			front = append(front, rest[0])
		}
	}
	return slices.Concat(args[:min(at, len(args))], front, back)
}

func find(list []*cli.Command, word string) *cli.Command {
	for _, command := range list {
		if command.HasName(word) {
			return command
		}
	}
	return nil
}

func takesValue(flags []cli.Flag, word string) bool {
	name := strings.TrimLeft(word, "-")
	if strings.Contains(name, "=") {
		return false
	}
	for _, flag := range flags {
		if slices.Contains(flag.Names(), name) {
			_, isBool := flag.(*cli.BoolFlag)
			return !isBool
		}
	}
	return false
}
