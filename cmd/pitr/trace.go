package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/history"
	"pitr/report"
)

func traceCommand(s streams) *cli.Command {
	return &cli.Command{
		Name:      "trace",
		Usage:     "show every version of one document",
		ArgsUsage: "NAMESPACE ID",
		Description: "ID is Extended JSON ({\"$oid\": \"…\"}, 42, \"text\"); a word that is no JSON is taken as text, 24 hex digits as an\n" +
			"ObjectId.\n\nExample:\n   pitr trace deviceauth.devices 5f2b5cb2-1f4e-4a56-8a0d-6b6fd4d8f0aa",
		Flags: []cli.Flag{&cli.StringFlag{Name: "since", Usage: "begin at this `MOMENT`", Value: "2h ago"},
			&cli.StringFlag{Name: "until", Usage: "end at this `MOMENT`", Value: "now"}},
		Action: action(s, []string{"NAMESPACE", "ID"}, runTrace),
	}
}

// versionLine is the JSON line of `pitr trace`.
type versionLine struct {
	Type     string          `json:"type"`
	Version  int             `json:"v"`
	At       pitr.Timestamp  `json:"at"`
	Term     int64           `json:"term"`
	Wall     string          `json:"wall,omitempty"`
	Did      string          `json:"did"`
	Session  json.RawMessage `json:"session,omitempty"`
	Paths    []string        `json:"paths,omitempty"`
	Document json.RawMessage `json:"document,omitempty"`
}

func runTrace(ctx context.Context, run *session, c *cli.Context) error {
	ns, err := pitr.ParseNamespace(c.Args().Get(0))
	if err != nil {
		return pitr.Errorf(pitr.KindInvalid, "read the namespace", "write db.collection", "%w", err)
	}
	key, err := parseKey(c.Args().Get(1))
	if err != nil {
		return err
	}
	redactor, err := report.NewRedactor(run.settings.redact())
	if err != nil {
		return err
	}
	repository, err := run.openRepository(ctx, writing)
	if err != nil {
		return err
	}
	if err := run.catchUp(ctx, repository); err != nil {
		return err
	}
	scope := pitr.Scope{Only: []string{ns.String()}}
	f := &search{run: run, repository: repository, scope: scope}
	if err := f.open(ctx, c.String("since"), c.String("until")); err != nil {
		return err
	}
	versions, err := f.past.Trace(ctx, ns, key, f.window.Through)
	if err != nil {
		return err
	}
	var before bson.Raw
	for i, version := range versions {
		if err := run.printVersion(version, before, redactor); err != nil {
			return err
		}
		before = versions[i].Document
	}
	if len(versions) == 0 && !run.json {
		fmt.Fprintf(run.out, "the archive knows no document %s in %s\n", printable(key.String()), ns)
	}
	return nil
}

func (run *session) printVersion(version history.Version, before bson.Raw, redactor report.Redactor) error {
	shown, shownBefore := redactor.Pair(version.NS, version.Document, before)
	line := versionLine{Type: "version", Version: 1, At: version.At, Term: version.OpTime.Term, Did: version.Kind.String(),
		Paths: version.Paths, Document: report.Extended(shown), Session: report.Extended(version.Session.ID)}
	if !version.Wall.IsZero() {
		line.Wall = version.Wall.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	if run.json {
		return run.line(line)
	}
	fmt.Fprintf(run.out, "%s  %s\n", clockText(version.At), line.Did)
	if len(line.Session) > 0 {
		fmt.Fprintf(run.out, "  session %s\n", printable(string(line.Session)))
	}
	if version.Document == nil {
		fmt.Fprintln(run.out, "  absent from here on")
		return nil
	}
	return report.NewText(run.out, report.Redactor{}).Fields(shown, shownBefore)
}

// parseKey reads an _id as a person types it.
func parseKey(text string) (pitr.Key, error) {
	var document bson.Raw
	if err := bson.UnmarshalExtJSON([]byte(`{"_id": `+text+`}`), false, &document); err == nil {
		return pitr.KeyOf(document)
	}
	if strings.ContainsAny(text, "{}[]") {
		return pitr.Key{}, pitr.Errorf(pitr.KindInvalid, "read the id", `write it as Extended JSON, such as '{"$oid": "…"}' or 42`, "%q is no JSON", text)
	}
	var id any = text
	if object, err := bson.ObjectIDFromHex(text); err == nil {
		id = object
	}
	content, err := bson.Marshal(bson.D{{Key: "_id", Value: id}})
	if err != nil {
		return pitr.Key{}, err
	}
	return pitr.KeyOf(content)
}
