package main

import (
	"context"
	"fmt"
	"iter"
	"os"
	"strings"

	"github.com/urfave/cli/v2"
	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/cluster"
	"pitr/format"
	"pitr/history"
	"pitr/restore"
	"pitr/snapshot"
)

// copyFlags turn a restore into a copy: into another cluster, or under other names.
func copyFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "into", Usage: "copy into the cluster of this `URI` (without a password) instead of changing the source"},
		&cli.StringFlag{Name: "into-file", Usage: "`FILE` that holds the URI of the cluster to copy into"},
		&cli.StringSliceFlag{Name: "rename", Usage: "`OLD=NEW` database or db.collection of the copy; may be repeated"},
		&cli.BoolFlag{Name: "expire", Usage: "let TTL indexes of the copy expire documents at once"},
	}
}

// isCopy reports whether the flags ask for a copy.
func isCopy(c *cli.Context) bool {
	return c.String("into") != "" || c.String("into-file") != "" || len(c.StringSlice("rename")) > 0
}

// runCopy writes the view of a moment, or a snapshot as it lies there, under names that do not exist.
func runCopy(ctx context.Context, run *session, c *cli.Context) error {
	scope, err := scopeOf(c)
	if err != nil {
		return err
	}
	rename, err := renaming(c.StringSlice("rename"))
	if err != nil {
		return err
	}
	open := run.openScratch
	if !c.Bool("dry-run") {
		open = func(ctx context.Context) (*catalog.Repository, error) { return run.openRepository(ctx, writing) }
	}
	repository, err := open(ctx)
	if err != nil {
		return err
	}
	target, err := run.connectInto(ctx, c)
	if err != nil {
		return err
	}
	defer target.Close(context.WithoutCancel(ctx))
	shown := newProgress(run)
	defer shown.Clear()
	deps := restore.CopyDeps{Repository: repository, Target: target.Primary(), Contents: target, Operator: operator(), Version: version,
		Progress: shown}
	request := restore.CopyRequest{Asked: c.String("to"), Scope: scope, Rename: rename, Expire: c.Bool("expire")}
	if deps.Past, request.At, err = run.copySource(ctx, repository, request); err != nil {
		return err
	}
	intent, err := restore.PlanCopy(ctx, deps, request)
	if err != nil {
		return err
	}
	run.showCopy(intent)
	if c.Bool("dry-run") {
		if !run.json {
			run.next("the same command without --dry-run", "(nothing was written)")
		}
		return nil
	}
	typed := c.String("confirm-target")
	if typed == "" && run.interactive {
		if typed, err = run.ask(ctx, "Type the address of the target (host:port) to go on:"); err != nil {
			return err
		}
	}
	confirmed, err := intent.Confirm(typed)
	if err != nil {
		return err
	}
	outcome, err := restore.Copy(ctx, deps, intent, confirmed)
	shown.Clear()
	if err != nil {
		return err
	}
	if run.json {
		return run.line(newCopyLine(intent, outcome))
	}
	for _, warning := range outcome.Warnings {
		fmt.Fprintf(run.err, "warning: %s\n", printable(warning))
	}
	fmt.Fprintf(run.out, "job %s is done and checked\n%s documents copied to %s\n", outcome.Job, grouped(outcome.Written), intent.Target.Member)
	return nil
}

// connectInto connects with the cluster that gets the copy: the one of --into, or the source itself under other names.
func (run *session) connectInto(ctx context.Context, c *cli.Context) (*cluster.Client, error) {
	uri := c.String("into")
	if hasPassword(uri) { // case X01
		return nil, pitr.Errorf(pitr.KindInvalid, "read --into", "put the whole string into a file and name that with --into-file",
			"a password on the command line can be read by every user of this machine")
	}
	if file := c.String("into-file"); file != "" {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, pitr.Errorf(pitr.KindInvalid, "read the connection string", "check --into-file", "%w", err)
		}
		uri = strings.TrimSpace(string(content))
	}
	if uri == "" {
		return run.connect(ctx, "restore-uri")
	}
	timeout, err := run.settings.duration("timeout")
	if err != nil {
		return nil, err
	}
	return cluster.Connect(ctx, cluster.Options{URI: uri, Timeout: timeout, Log: run.log})
}

// copySource opens what is to be copied: a snapshot by its id, which is the only way for one that no oplog follows, or the
// view of a moment.
func (run *session) copySource(ctx context.Context, repository *catalog.Repository, request restore.CopyRequest) (restore.CopySource, pitr.Timestamp, error) {
	if id, err := format.ParseID(request.Asked); err == nil {
		reader, err := snapshot.Open(ctx, repository, id)
		if err != nil {
			return nil, 0, err
		}
		if reader.Manifest().Exact != format.ExactThroughOplog {
			return snapshotSource{reader}, reader.Manifest().At, nil
		}
		request.Asked = "through " + reader.Manifest().At.String()
	}
	at, err := run.resolve(ctx, surroundings{repository: repository, scope: request.Scope}, request.Asked)
	if err != nil {
		return nil, 0, err
	}
	timeline, err := repository.Timeline(ctx)
	if err != nil {
		return nil, 0, err
	}
	return restore.InRepository(repository, timeline.Tip(), history.Options{}), at, nil
}

// snapshotSource is a snapshot as it lies there, as the source of a copy.
type snapshotSource struct{ reader *snapshot.Reader }

// Catalog lists what the snapshot has in scope.
func (s snapshotSource) Catalog(ctx context.Context, _ pitr.Timestamp, scope pitr.Scope) ([]pitr.Collection, error) {
	all, err := snapshotSide(s).Collections(ctx)
	var list []pitr.Collection
	for _, collection := range all {
		if scope.Contains(collection.NS.KnownAs()) {
			list = append(list, collection)
		}
	}
	return list, err
}

// Documents reads a collection of the snapshot.
func (s snapshotSource) Documents(ctx context.Context, _ pitr.Timestamp, c pitr.Collection) iter.Seq2[bson.Raw, error] {
	return snapshotSide(s).Documents(ctx, c)
}

// renaming reads OLD=NEW pairs of databases and namespaces; a namespace goes before its database.
func renaming(pairs []string) (func(pitr.Namespace) pitr.Namespace, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	names := map[string]string{}
	for _, pair := range pairs {
		from, to, found := strings.Cut(pair, "=")
		if !found || from == "" || to == "" || strings.Contains(from, ".") != strings.Contains(to, ".") {
			return nil, pitr.Errorf(pitr.KindInvalid, "read --rename", "write shop=shop_copy, or shop.orders=shop.orders_copy",
				"%q is no pair of names", pair)
		}
		names[from] = to
	}
	return func(ns pitr.Namespace) pitr.Namespace {
		if to, found := names[ns.String()]; found {
			db, collection, _ := strings.Cut(to, ".")
			return pitr.Namespace{DB: db, Collection: collection}
		}
		if to, found := names[ns.DB]; found {
			ns.DB = to
		}
		return ns
	}, nil
}

func (run *session) showCopy(intent restore.CopyIntent) {
	if run.json {
		return
	}
	fmt.Fprintf(run.err, "copy      %s\nas of     %s\n", printable(intent.Asked), clockText(intent.To))
	fmt.Fprintf(run.err, "into      %s\n", printable(strings.Join(append([]string{intent.Target.Member}, intent.Target.Hosts...), ", ")))
	for _, each := range intent.Collections {
		fmt.Fprintf(run.err, "          %s as %s\n", printable(each.From.NS.String()), printable(each.To.String()))
	}
	for _, warning := range intent.Warnings {
		fmt.Fprintf(run.err, "warning   %s\n", printable(warning))
	}
}

// copyLine is the JSON line of a copy.
type copyLine struct {
	Type        string         `json:"type"`
	Version     int            `json:"v"`
	Job         format.ID      `json:"job"`
	At          pitr.Timestamp `json:"at"`
	Target      string         `json:"target"`
	Collections int            `json:"collections"`
	Documents   int64          `json:"documents"`
	Warnings    []string       `json:"warnings,omitempty"`
}

func newCopyLine(intent restore.CopyIntent, outcome restore.Outcome) copyLine {
	return copyLine{Type: "copy", Version: 1, Job: outcome.Job, At: intent.To, Target: intent.Target.Member,
		Collections: len(intent.Collections), Documents: outcome.Written, Warnings: outcome.Warnings}
}
