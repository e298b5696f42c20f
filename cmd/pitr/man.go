package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"pitr"
)

func manCommand(s streams) *cli.Command {
	return &cli.Command{
		Name: "man", Usage: "write the manual pages", ArgsUsage: "[FOLDER]",
		Description: "One page for pitr and one for each command. Without a folder the first one is printed.\n\n" +
			"Example:\n   pitr man /usr/local/share/man/man1\n   pitr man | man -l -",
		Action: action(s, []string{"[FOLDER]"}, writeManual),
	}
}

// manualPage is one page with the name of its file.
type manualPage struct{ name, text string }

// manual renders all pages.
func manual(app *cli.App) ([]manualPage, error) {
	// The library renders an app, so each command stands for one. The whole has no flags of its own.
	whole := &cli.App{Name: app.Name, Usage: app.Usage, UsageText: "pitr COMMAND [OPTIONS] [ARGUMENTS]",
		Description: "Each command has a page of its own, such as pitr-snapshot-take(1).", Commands: app.Commands}
	page, err := render(whole)
	if err != nil {
		return nil, err
	}
	pages := []manualPage{page}
	for _, one := range manualCommands(app.Commands, app.Name) {
		page, err := render(one)
		if err != nil {
			return nil, err
		}
		pages = append(pages, page)
	}
	return pages, nil
}

func render(app *cli.App) (manualPage, error) {
	name := strings.ReplaceAll(app.Name, " ", "-")
	named := *app
	named.Name = name
	text, err := named.ToManWithSection(1)
	return manualPage{name: name + ".1", text: text}, err
}

// manualCommands gives each command that does something as an app.
func manualCommands(list []*cli.Command, prefix string) []*cli.App {
	var apps []*cli.App
	for _, command := range list {
		name := prefix + " " + command.Name
		if len(command.Subcommands) > 0 {
			apps = append(apps, manualCommands(command.Subcommands, name)...)
			continue
		}
		if command.Name == "help" {
			continue
		}
		what, example, _ := strings.Cut(command.Description, "Example:\n")
		apps = append(apps, &cli.App{Name: name, Usage: command.Usage, Flags: command.Flags, HideHelp: true, HideVersion: true,
			UsageText:   strings.TrimSpace(name + " [OPTIONS] " + command.ArgsUsage),
			Description: what + "\nExample:\n\n```\n" + example + "\n```\n"})
	}
	return apps
}

func writeManual(_ context.Context, run *session, c *cli.Context) error {
	pages, err := manual(newApp(run.streams)) // the library adds to the app that runs
	if err != nil {
		return err
	}
	folder := c.Args().First()
	if folder == "" {
		if run.json {
			return run.line(scriptLine{Type: "script", Version: 1, Name: pages[0].name, Text: pages[0].text})
		}
		fmt.Fprint(run.out, pages[0].text)
		return nil
	}
	for _, page := range pages {
		name := filepath.Join(folder, page.name)
		if err := os.WriteFile(name, []byte(page.text), 0o644); err != nil {
			return pitr.Errorf(pitr.KindInvalid, "write the manual", "name a folder that is there and can be written to", "%w", err)
		}
		if run.json {
			if err := run.line(scriptLine{Type: "script", Version: 1, Name: name}); err != nil {
				return err
			}
		}
	}
	if !run.json {
		fmt.Fprintf(run.out, "%d pages written to %s\n", len(pages), printable(folder))
	}
	return nil
}
