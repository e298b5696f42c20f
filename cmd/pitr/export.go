package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"
	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/diff"
	"pitr/format"
	"pitr/report"
	"pitr/sheet"
)

func exportCommand(s streams) *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "write a lost set, a snapshot or a moment into files for other programs",
		ArgsUsage: "WHAT",
		Description: "WHAT is a job (its lost set: the versions of the gap's end, or with --side t those of the moment that was gone\n" +
			"back to), a snapshot, a moment or mark:NAME. Each collection becomes a file. Fields named by the setting redact are\n" +
			"hidden, but not in a dump, which is evidence, unless --redact stands on the command line.\n\n" +
			"Example:\n   pitr export 20251022T092001Z-k3f9q2 --to lost --format ndjson\n   pitr export \"mark:before v4.1.0\" --to before --format dump --only shop",
		Flags:  append(exportFlags(), &cli.StringFlag{Name: "side", Usage: "of a lost set: e (the end of the gap) or t (before it)", Value: "e"}),
		Action: action(s, []string{"WHAT"}, runExport),
	}
}

// exportSnapshotCommand is the same under the name by which people look for it.
func exportSnapshotCommand(s streams) *cli.Command {
	return &cli.Command{
		Name: "export", Usage: "write one snapshot into files for other programs", ArgsUsage: "SNAPSHOT",
		Description: "The same as `pitr export SNAPSHOT`.\n\nExample:\n   pitr snapshot export 20251022T092001Z-k3f9q2 --to dump --format dump",
		Flags:       exportFlags(),
		Action: action(s, []string{"SNAPSHOT"}, func(ctx context.Context, run *session, c *cli.Context) error {
			if _, err := snapshotID(c.Args().First()); err != nil {
				return err
			}
			return runExport(ctx, run, c)
		}),
	}
}

func exportFlags() []cli.Flag {
	return append(scopeFlags(),
		&cli.StringFlag{Name: "to", Usage: "the `FOLDER`, which must not be there yet or be empty"},
		&cli.StringFlag{Name: "format", Usage: "ndjson (for mongoimport), csv, xlsx, or dump (for mongorestore)", Value: "ndjson"},
		&cli.BoolFlag{Name: "bom", Usage: "begin CSV files with the mark by which Excel knows UTF-8"},
		&cli.BoolFlag{Name: "exact-csv", Usage: "leave text in CSV files as it is, also where a spreadsheet would run it as a formula"},
		&cli.BoolFlag{Name: "mask", Hidden: true})
}

// exportLine is the last JSON line of an export.
type exportLine struct {
	Type      string          `json:"type"`
	Version   int             `json:"v"`
	What      string          `json:"what"`
	Format    sheet.Format    `json:"format"`
	Folder    string          `json:"folder"`
	Files     int             `json:"files"`
	Documents int64           `json:"documents"`
	Redacted  bool            `json:"redacted"`
	LeftOut   []sheet.LeftOut `json:"leftOut,omitempty"`
}

// exportedLine is one file of an export.
type exportedLine struct {
	Type      string         `json:"type"`
	Version   int            `json:"v"`
	File      string         `json:"file"`
	NS        pitr.Namespace `json:"ns"`
	Documents int64          `json:"documents"`
	Bytes     int64          `json:"bytes"`
	Digest    string         `json:"digest"`
	sheet.Notes
}

func runExport(ctx context.Context, run *session, c *cli.Context) error {
	options, err := exportOptions(run, c)
	if err != nil {
		return err
	}
	repository, err := run.openRepository(ctx, reading)
	if err != nil {
		return err
	}
	from, err := run.openExport(ctx, repository, exportFrom{what: c.Args().First(), side: c.String("side"), sideSaid: c.IsSet("side"), scope: options.Scope})
	if err != nil {
		return err
	}
	defer from.close()
	options.What = from.name
	folder, err := sheet.CreateFolder(c.String("to"))
	if err != nil {
		return err
	}
	shown := newProgress(run)
	options.Progress = shown
	listing, err := sheet.Export(ctx, folder, from.Side, options)
	shown.Clear()
	if err != nil {
		folder.Discard()
		return err
	}
	if err := folder.Close(); err != nil {
		return err
	}
	return run.printExport(c.String("to"), listing)
}

func exportOptions(run *session, c *cli.Context) (sheet.Options, error) {
	const op = "read the command line"
	o := sheet.Options{Pitr: version, Now: run.now(), CSV: sheet.CSVOptions{BOM: c.Bool("bom"), Exact: c.Bool("exact-csv")}}
	if c.Bool("mask") {
		return o, pitr.Errorf(pitr.KindUnsupported, op, "hide fields with the setting redact, such as --redact tokens.jwt", "masked copies are not built yet")
	}
	if c.String("to") == "" {
		return o, pitr.Errorf(pitr.KindInvalid, op, "say where the files go with --to FOLDER", "--to is missing")
	}
	var err error
	if o.Scope, err = scopeOf(c); err != nil {
		return o, err
	}
	if o.Format, err = sheet.ParseFormat(c.String("format")); err != nil {
		return o, err
	}
	if o.Format != sheet.FormatCSV && (c.Bool("bom") || c.Bool("exact-csv")) {
		return o, pitr.Errorf(pitr.KindInvalid, op, "give --format csv", "--bom and --exact-csv are about CSV files")
	}
	paths := run.settings.redact()
	if o.Format == sheet.FormatDump && !c.IsSet("redact") {
		if len(paths) > 0 {
			fmt.Fprintln(run.err, "a dump is evidence and whole: the setting redact is not applied to it, unless --redact stands on the command line")
		}
		return o, nil
	}
	redactor, err := report.NewRedactor(paths)
	if err == nil && len(paths) > 0 {
		o.Hide = func(ns pitr.Namespace, document bson.Raw) bson.Raw { return redactor.Document(ns, document) }
	}
	return o, err
}

// exportFrom says what to export.
type exportFrom struct {
	what     string
	side     string
	sideSaid bool
	scope    pitr.Scope
}

// openExport opens what a word names: a job, a snapshot, or a moment.
func (run *session) openExport(ctx context.Context, repository *catalog.Repository, from exportFrom) (side, error) {
	const op = "read the command line"
	if from.what == "live" {
		return side{}, pitr.Errorf(pitr.KindInvalid, op, "take a snapshot with `pitr snapshot take` and export that", "the live cluster is not exported")
	}
	if id, err := format.ParseID(from.what); err == nil {
		job, err := repository.Job(ctx, id)
		if err == nil {
			return run.openLost(ctx, repository, job, from)
		}
		if pitr.KindOf(err) != pitr.KindNotFound {
			return side{}, err
		}
	}
	if from.sideSaid {
		return side{}, pitr.Errorf(pitr.KindInvalid, op, "see `pitr jobs`", "--side is about the lost set of a job, and %q is no job", from.what)
	}
	return run.openSide(ctx, repository, from.what, from.scope)
}

// printExport says what was written, and fails where something is not in the files.
func (run *session) printExport(folder string, listing sheet.Listing) error {
	line := exportLine{Type: "export", Version: 1, What: listing.What, Format: listing.Format, Folder: folder, Files: len(listing.Files),
		Redacted: listing.Redacted, LeftOut: listing.LeftOut}
	var notes sheet.Notes
	for _, file := range listing.Files {
		line.Documents += file.Documents
		notes = notes.Add(file.Notes)
		if run.json {
			if err := run.line(exportedLine{Type: "exported file", Version: 1, File: file.Name, NS: file.NS, Documents: file.Documents, Bytes: file.Bytes,
				Digest: file.SHA256, Notes: file.Notes}); err != nil {
				return err
			}
		}
	}
	run.sayNotes(notes)
	for _, left := range listing.LeftOut {
		fmt.Fprintf(run.err, "left out: %s: %s\n", printable(left.NS.String()), left.Reason)
	}
	if run.json {
		if err := run.line(line); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(run.out, "exported %s: %s documents in %s files in %s, listed in %s there\n", line.What, grouped(line.Documents),
			grouped(int64(line.Files)), printable(folder), sheet.ListingName)
		switch listing.Format {
		case sheet.FormatDump:
			run.next("mongorestore --dir " + folder)
		case sheet.FormatNDJSON:
			run.next("mongoimport --db DB --collection COLLECTION --file FILE")
		case sheet.FormatCSV, sheet.FormatExcel:
		}
	}
	if len(line.LeftOut) > 0 || notes.Raw > 0 {
		return pitr.Errorf(pitr.KindPartial, "export", "`--format dump` holds everything", "%d collections and %d documents have no place in this format",
			len(line.LeftOut), notes.Raw)
	}
	return nil
}

// sayNotes tells what could not be written as it is.
func (run *session) sayNotes(notes sheet.Notes) {
	for _, note := range []struct {
		n    int64
		text string
	}{
		{notes.Inexact, "documents read back to other bytes than they have: a field that looks like a type of Extended JSON, or text that is not UTF-8; a dump has them as they are"},
		{notes.Raw, "documents cannot be told in Extended JSON: they stand there as {\"$raw\": base64}, which mongoimport does not understand"},
		{notes.Cut, "values are too long for a cell: they end with a mark; the whole values are in --format ndjson"},
		{notes.Replaced, "values have characters that a sheet cannot hold: a mark stands in their place; --format ndjson has them"},
	} {
		if note.n > 0 {
			fmt.Fprintf(run.err, "%s %s\n", grouped(note.n), note.text)
		}
	}
}

var _ sheet.Source = diff.Side(nil)
