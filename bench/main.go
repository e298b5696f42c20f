// Command bench measures whole runs of pitr: what they cost the client in CPU seconds, wall time and memory. The server is a
// simulated set in a process of its own, so that its costs are not counted, and the program under measurement is a process
// of its own too. A result is checked before its figure is printed. README.md in this folder says how to read the figures.
//
//	go run ./bench fold
//	go run ./bench snapshot -documents 1500000
//	go run ./bench rewind
//	go run ./bench diff -documents 2000000 -touched 20000
//	go run ./bench follow
//	go run ./bench start
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sort"
	"strings"

	"pitr"
)

// settings are the flags of all runs; each run reads those that concern it.
type settings struct {
	program, folder                          string
	documents, collections, touched, backlog int
	entries, distinct, runs                  int
	keep                                     bool
	flags                                    *flag.FlagSet
}

// runs are the measurements by name. Those with a dash are processes that the others start.
var runs = map[string]func(context.Context, settings) error{
	"fold": measureFold, "snapshot": measureSnapshot, "rewind": measureRewind, "follow": measureFollow, "start": measureStart, "diff": measureDiff,
	"-serve": serve, "-fold": foldFile,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) > 2 && os.Args[1] == "-gauge" {
		code, err := runGauge(os.Args[2:])
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		os.Exit(code)
	}
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err, pitr.HintOf(err))
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	s := settings{flags: flag.NewFlagSet("bench", flag.ContinueOnError)}
	s.flags.StringVar(&s.program, "pitr", "bin/pitr", "the program under measurement")
	s.flags.StringVar(&s.folder, "folder", os.TempDir(), "where repositories and work files go")
	s.flags.IntVar(&s.documents, "documents", 200_000, "documents in the database")
	s.flags.IntVar(&s.collections, "collections", 1, "collections they are spread over")
	s.flags.IntVar(&s.touched, "touched", 20_000, "rewind: documents that the damage touches")
	s.flags.IntVar(&s.backlog, "backlog", 50_000, "rewind: entries between the snapshot and the damage")
	s.flags.IntVar(&s.entries, "entries", 1_000_000, "fold and follow: entries of the oplog")
	s.flags.IntVar(&s.distinct, "distinct", 100_000, "fold: documents that the entries are about")
	s.flags.IntVar(&s.runs, "runs", 3, "how often to measure")
	s.flags.BoolVar(&s.keep, "keep", false, "leave repositories where they are")
	if len(args) == 0 || runs[args[0]] == nil {
		return fmt.Errorf("name a run: %s", strings.Join(names(), ", "))
	}
	if err := s.flags.Parse(args[1:]); err != nil {
		return err
	}
	return runs[args[0]](ctx, s)
}

func names() []string {
	var list []string
	for name := range runs {
		if !strings.HasPrefix(name, "-") {
			list = append(list, name)
		}
	}
	sort.Strings(list)
	return list
}
