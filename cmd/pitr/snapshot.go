package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"pitr"
	"pitr/catalog"
	"pitr/cluster"
	"pitr/format"
	"pitr/snapshot"
)

func snapshotCommand(s streams) *cli.Command {
	return &cli.Command{
		Name:  "snapshot",
		Usage: "take, list, show, verify, hold and release snapshots",
		Subcommands: append([]*cli.Command{
			{
				Name: "take", Usage: "copy the cluster into the repository",
				Description: "Reads a consistent state while writes go on. Nothing is visible until everything was written and read\n" +
					"back.\n\nExample:\n   pitr snapshot take --reason scheduled\n" +
					"   pitr snapshot take --reason scheduled --quiet --metrics-file /var/lib/prometheus/pitr-snapshot.prom",
				Flags: append(append(scopeFlags(), scheduledFlags()...),
					&cli.StringFlag{Name: "reason", Usage: "why: scheduled, manual, before-migration, before-restore", Value: "manual"},
					&cli.StringFlag{Name: "note", Usage: "a word for the people who will look for it"}),
				Action: scheduled(s, fromCron, takeSnapshot),
			},
			{
				Name: "list", Usage: "list snapshots, oldest first",
				Description: "Example:\n   pitr snapshot list",
				Action:      action(s, nil, listSnapshots),
			},
			{
				Name: "show", Usage: "show one snapshot with its collections", ArgsUsage: "SNAPSHOT",
				Description: "Example:\n   pitr snapshot show 20251022T092001Z-k3f9q2",
				Action:      action(s, []string{"SNAPSHOT"}, showSnapshot),
			},
			{
				Name: "verify", Usage: "check one snapshot", ArgsUsage: "SNAPSHOT",
				Description: "Decodes every document and compares counts and sums with what the manifest promises.\n\n" +
					"Example:\n   pitr snapshot verify 20251022T092001Z-k3f9q2",
				Action: action(s, []string{"SNAPSHOT"}, verifySnapshot),
			},
			exportSnapshotCommand(s),
		}, holdCommands(s)...),
	}
}

// snapshotLine is the JSON line of a snapshot.
type snapshotLine struct {
	Type      string           `json:"type"`
	Version   int              `json:"v"`
	ID        format.ID        `json:"id"`
	Created   time.Time        `json:"created"`
	Reason    format.Reason    `json:"reason"`
	Note      string           `json:"note,omitempty"`
	At        pitr.Timestamp   `json:"at"`
	Exact     format.Exactness `json:"exact"`
	Scope     pitr.Scope       `json:"scope"`
	Documents int64            `json:"documents"`
	Bytes     int64            `json:"bytes"`
	Stored    int64            `json:"stored"`
	Holds     []format.ID      `json:"holds,omitempty"`
	Condemned bool             `json:"condemned,omitempty"`
}

// standing is what prune may do with snapshots.
type standing struct {
	holds     map[format.ID][]format.Hold
	condemned map[format.ID]bool
}

func standingOf(ctx context.Context, repository *catalog.Repository) (s standing, err error) {
	if s.holds, err = holdsBySnapshot(ctx, repository); err != nil {
		return s, err
	}
	s.condemned, err = condemnedSnapshots(ctx, repository)
	return s, err
}

// line is the JSON line of a snapshot with its standing.
func (s standing) line(m format.Manifest) snapshotLine {
	line := newSnapshotLine(m)
	for _, hold := range s.holds[m.ID] {
		line.Holds = append(line.Holds, hold.ID)
	}
	line.Condemned = s.condemned[m.ID]
	return line
}

// text is a word for people, empty where nothing is to be said.
func (s standing) text(id format.ID) string {
	switch {
	case len(s.holds[id]) > 0:
		return "held"
	case s.condemned[id]:
		return "condemned"
	}
	return ""
}

func newSnapshotLine(m format.Manifest) snapshotLine {
	return snapshotLine{Type: "snapshot", Version: 1, ID: m.ID, Created: m.Created, Reason: m.Reason, Note: m.Note, At: m.At,
		Exact: m.Exact, Scope: m.Scope, Documents: m.Objects.Documents, Bytes: m.Objects.Bytes, Stored: m.Objects.Stored}
}

// reasons are those that a person may give; before-restore is for a restore done with another tool.
var reasons = []string{"scheduled", "manual", "before-migration", "before-restore"}

func reasonOf(c *cli.Context) (format.Reason, error) {
	for _, reason := range reasons {
		if c.String("reason") == reason {
			return format.Reason(reason), nil
		}
	}
	return "", pitr.Errorf(pitr.KindInvalid, "read --reason", fmt.Sprintf("write one of %v", reasons), "%q is no reason", c.String("reason"))
}

func takeSnapshot(ctx context.Context, run *session, c *cli.Context) error {
	scope, err := scopeOf(c)
	if err != nil {
		return err
	}
	reason, err := reasonOf(c)
	if err != nil {
		return err
	}
	return run.withCluster(ctx, func(client *cluster.Client, repository *catalog.Repository) error {
		shown := newProgress(run)
		manifest, err := snapshot.Take(ctx, client, repository, snapshot.Options{
			Archive: run.archiver(client, repository), Scope: scope, Reason: reason, Note: c.String("note"),
			Operator: operator(), Version: version, Lease: run.leaseAloud(shown), Progress: shown, Log: run.log,
		})
		shown.Clear()
		if err != nil {
			return err
		}
		run.measureSnapshot(ctx, repository, manifest)
		if run.json {
			return run.line(newSnapshotLine(manifest))
		}
		fmt.Fprintf(run.out, "snapshot %s: %s documents, %s in %s stored\n%s\n", manifest.ID, grouped(manifest.Objects.Documents),
			sizeText(manifest.Objects.Bytes), sizeText(manifest.Objects.Stored), exactText(manifest))
		if client.Server().Ability == pitr.AbilityDocuments {
			fmt.Fprintln(run.err, "this server has no usable oplog: the copy may mix moments, and no other moment can be reached from it")
			run.next("pitr diff "+string(manifest.ID), "live")
			return nil
		}
		run.next("pitr timeline", "which moments can be reached now")
		return nil
	})
}

// measureSnapshot notes what a snapshot added.
func (run *session) measureSnapshot(ctx context.Context, repository *catalog.Repository, m format.Manifest) {
	if !run.measuring() {
		return
	}
	run.measure("pitr_snapshot_documents", float64(m.Objects.Documents))
	run.measure("pitr_snapshot_bytes", float64(m.Objects.Bytes))
	run.measure("pitr_snapshot_stored_bytes", float64(m.Objects.Stored))
	run.measureTimeline(ctx, repository)
}

func exactText(m format.Manifest) string {
	if m.At == 0 {
		return "not exact at any moment"
	}
	return fmt.Sprintf("as of %s, exact: %s", clockText(m.At), m.Exact)
}

func listSnapshots(ctx context.Context, run *session, _ *cli.Context) error {
	repository, err := run.openRepository(ctx, reading)
	if err != nil {
		return err
	}
	snapshots, err := repository.Snapshots(ctx)
	if err != nil {
		return err
	}
	standing, err := standingOf(ctx, repository)
	if err != nil {
		return err
	}
	// Ids tell the second only: two snapshots of one second stand in any order.
	slices.SortStableFunc(snapshots.Items, func(a, b format.Manifest) int { return a.Created.Compare(b.Created) })
	rows := [][]string{{"SNAPSHOT", "AS OF", "DOCUMENTS", "STORED", "REASON", ""}}
	for _, m := range snapshots.Items {
		if run.json {
			if err := run.line(standing.line(m)); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, []string{string(m.ID), m.At.String(), grouped(m.Objects.Documents), sizeText(m.Objects.Stored), string(m.Reason), standing.text(m.ID)})
	}
	if !run.json {
		if len(snapshots.Items) == 0 {
			fmt.Fprintln(run.err, "no snapshot is there yet")
			run.next("pitr snapshot take")
			return nil
		}
		if err := run.table(rows); err != nil {
			return err
		}
	}
	return run.reportDamaged(snapshots.Damaged)
}

// reportDamaged lists objects that cannot be used, and fails if there are any: a list without them would be a lie.
func (run *session) reportDamaged(damaged []catalog.Damaged) error {
	for _, each := range damaged {
		fmt.Fprintf(run.err, "damaged: %s: %s\n", each.Object, printable(each.Err.Error()))
	}
	if len(damaged) == 0 {
		return nil
	}
	return pitr.Corruptf("list what is there", "%d objects are damaged", len(damaged))
}

// collectionLine is a collection of a snapshot.
type collectionLine struct {
	Type      string              `json:"type"`
	Version   int                 `json:"v"`
	NS        pitr.Namespace      `json:"ns"`
	Kind      pitr.CollectionType `json:"kind"`
	Documents int64               `json:"documents"`
	Bytes     int64               `json:"bytes"`
	Indexes   int                 `json:"indexes"`
}

func showSnapshot(ctx context.Context, run *session, c *cli.Context) error {
	id, err := snapshotID(c.Args().First())
	if err != nil {
		return err
	}
	repository, err := run.openRepository(ctx, reading)
	if err != nil {
		return err
	}
	reader, err := snapshot.Open(ctx, repository, id)
	if err != nil {
		return err
	}
	standing, err := standingOf(ctx, repository)
	if err != nil {
		return err
	}
	manifest := reader.Manifest()
	if run.json {
		if err := run.line(standing.line(manifest)); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(run.out, "snapshot %s of %s\ntaken %s by %s\n%s, %s\n", manifest.ID, printable(manifest.Cluster.Name),
			manifest.Created.UTC().Format(time.RFC3339), printable(manifest.Operator), exactText(manifest), manifest.Scope)
		fmt.Fprint(run.out, holdText(standing.holds[id]))
		if standing.condemned[id] {
			fmt.Fprintln(run.out, "condemned: prune will remove it, unless something needs it by then")
		}
	}
	rows := [][]string{{"NAMESPACE", "KIND", "DOCUMENTS", "SIZE", "INDEXES"}}
	for _, record := range reader.Collections() {
		line := collectionLine{Type: "collection", Version: 1, NS: record.NS, Kind: record.Type, Documents: record.Stored.Documents,
			Bytes: record.Stored.Bytes, Indexes: len(record.Indexes)}
		if run.json {
			if err := run.line(line); err != nil {
				return err
			}
		}
		rows = append(rows, []string{line.NS.String(), string(line.Kind), grouped(line.Documents), sizeText(line.Bytes), fmt.Sprint(line.Indexes)})
	}
	if run.json {
		return nil
	}
	return run.table(rows)
}

func snapshotID(text string) (format.ID, error) {
	id, err := format.ParseID(text)
	if err != nil {
		return "", pitr.Errorf(pitr.KindInvalid, "read the snapshot's id", "see `pitr snapshot list`", "%w", err)
	}
	return id, nil
}
