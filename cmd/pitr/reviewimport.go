package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"pitr"
	"pitr/format"
	"pitr/reconcile"
	"pitr/sheet"
)

func reconcileImportCommand(s streams) *cli.Command {
	return &cli.Command{
		Name: "import", Usage: "read the decisions of a review file that people gave back", ArgsUsage: "JOB FILE",
		Description: "FILE is a CSV or Excel file with the columns token and decision, in any order; nothing else of it is read. Every token\n" +
			"must belong to the lost set of the job. Nothing is written to the cluster.\n\n" +
			"Example:\n   pitr reconcile import 20251022T092001Z-k3f9q2 lost.xlsx",
		Flags:  []cli.Flag{&cli.BoolFlag{Name: "skip-bad-rows", Usage: "leave out rows that cannot be understood, instead of refusing the file"}},
		Action: action(s, []string{"JOB", "FILE"}, runReviewImport),
	}
}

// reviewLine is the result of an import.
type reviewLine struct {
	Type      string           `json:"type"`
	Version   int              `json:"v"`
	Job       format.ID        `json:"job"`
	Number    int              `json:"number"`
	File      string           `json:"file"`
	Rows      int64            `json:"rows"`
	Decisions map[string]int64 `json:"decisions"`
	Blank     int64            `json:"blank"`
	Bad       int64            `json:"bad"`
}

// badRowLine is a row that import did not understand.
type badRowLine struct {
	Type    string `json:"type"`
	Version int    `json:"v"`
	Row     int    `json:"row"`
	Problem string `json:"problem"`
}

func runReviewImport(ctx context.Context, run *session, c *cli.Context) error {
	const op = "import the review file"
	id, err := jobID(c.Args().Get(0))
	if err != nil {
		return err
	}
	content, err := readReview(c.Args().Get(1))
	if err != nil {
		return err
	}
	repository, err := run.openRepository(ctx, writing)
	if err != nil {
		return err
	}
	job, err := repository.Job(ctx, id)
	if err != nil {
		return err
	}
	if job.Changes == nil {
		return pitr.Errorf(pitr.KindNotFound, op, "see `pitr jobs`", "job %s has no lost set", id)
	}
	found, err := reconcile.ReadRows(*job.Changes, reviewRows(content))
	if err != nil {
		return err
	}
	if err := run.sayBadRows(found.Bad); err != nil {
		return err
	}
	if len(found.Bad) > 0 && !c.Bool("skip-bad-rows") {
		return pitr.Errorf(pitr.KindInvalid, op, "give the file back with these lines to whoever filled it in, or leave the rows out with --skip-bad-rows",
			"%s cannot be understood; nothing was imported", rowsText(int64(len(found.Bad))))
	}
	if len(found.Decisions) == 0 {
		return pitr.Errorf(pitr.KindInvalid, op, "fill in the column decision", "no row holds a decision about a record of this job")
	}
	review, err := found.Publish(ctx, repository, job, reconcile.Source{File: shownName(c.Args().Get(1)), Digest: format.Sum(content),
		Operator: operator(), Now: run.now()})
	if err != nil {
		return err
	}
	return run.printReview(review, found.Missing)
}

// readReview reads a file that is not too large to be one.
func readReview(name string) ([]byte, error) {
	const op = "read the review file"
	file, err := os.Open(name)
	if err != nil {
		return nil, pitr.Errorf(pitr.KindInvalid, op, "check the name of the file", "%w", err)
	}
	defer file.Close() //nolint:errcheck // it was only read
	content, err := io.ReadAll(io.LimitReader(file, sheet.MaxRead+1))
	if err != nil {
		return nil, pitr.Errorf(pitr.KindInvalid, op, "check the file", "%w", err)
	}
	if len(content) == 0 {
		return nil, pitr.Errorf(pitr.KindInvalid, op, "check the file", "%s is empty", name)
	}
	return content, nil
}

// shownName is a file's own name as it is kept: without its folder, short, and as text.
func shownName(name string) string {
	shown := strings.ToValidUTF8(filepath.Base(name), string(utf8.RuneError))
	if runes := []rune(shown); len(runes) > 120 {
		shown = string(runes[:120])
	}
	return shown
}

// reviewHeadings are the columns that are read, in this order.
var reviewHeadings = []string{"token", "decision"}

// reviewRows takes token and decision of each row, by the headings of the first.
func reviewRows(content []byte) iter.Seq2[reconcile.ReviewRow, error] {
	return func(yield func(reconcile.ReviewRow, error) bool) {
		var places []int
		for row, err := range sheet.Read(content, reviewHeadings...) {
			if err == nil && places == nil {
				if places, err = sheet.Head(row, reviewHeadings...); err == nil {
					continue
				}
			}
			if err != nil {
				yield(reconcile.ReviewRow{}, err)
				return
			}
			cell := func(at int) string {
				if at >= len(row.Cells) {
					return ""
				}
				return sheet.Plain(row.Cells[at])
			}
			if !yield(reconcile.ReviewRow{Number: row.Number, Token: cell(places[0]), Decision: cell(places[1])}, nil) {
				return
			}
		}
	}
}

func (run *session) sayBadRows(bad []reconcile.BadRow) error {
	for _, row := range bad {
		if run.json {
			if err := run.line(badRowLine{Type: "bad row", Version: 1, Row: row.Row, Problem: row.Problem}); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(run.err, "row %d: %s\n", row.Row, printable(row.Problem))
	}
	return nil
}

func rowsText(n int64) string {
	if n == 1 {
		return "1 row"
	}
	return grouped(n) + " rows"
}

// printReview says what was imported; missing counts the records that the file has no row of.
func (run *session) printReview(review format.Review, missing int64) error {
	line := reviewLine{Type: "review", Version: 1, Job: review.Job, Number: review.Number, File: review.File, Rows: review.Rows,
		Decisions: review.Decisions, Blank: review.Blank, Bad: review.Bad}
	if run.json {
		if err := run.line(line); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(run.out, "imported review %d of job %s from %s:\n", line.Number, line.Job, printable(line.File))
		for _, word := range slices.Sorted(maps.Keys(line.Decisions)) {
			fmt.Fprintf(run.out, "  %s: %s records\n", word, grouped(line.Decisions[word]))
		}
		if line.Blank > 0 {
			fmt.Fprintf(run.out, "  no decision: %s\n", rowsText(line.Blank))
		}
		if missing > 0 {
			fmt.Fprintf(run.out, "  not in the file: %s records\n", grouped(missing))
		}
		switch open := line.Blank + missing + line.Bad; {
		case open > 0 && line.Number > 1:
			fmt.Fprintln(run.err, "of records without a decision in it, what earlier files said stays; \"leave\" takes it back")
		case open > 0:
			fmt.Fprintln(run.err, "records without a decision in it are left as they are")
		}
		run.next("pitr reconcile apply "+string(line.Job)+" --dry-run", "shows what would be written")
	}
	if line.Bad > 0 {
		return pitr.Errorf(pitr.KindPartial, "import the review file", "correct the rows named above and import the file again", "%s left out", rowsText(line.Bad))
	}
	return nil
}
