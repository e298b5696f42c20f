package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/internal/replsim"
	"pitr/reconcile"
	"pitr/storage"
)

// documentedField is a row of docs/json-lines.md.
type documentedField struct {
	value  string
	always bool
	seen   bool
}

// documentedLines reads the page: type to field to what the page says of it.
func documentedLines(t *testing.T) map[string]map[string]*documentedField {
	t.Helper()
	content, err := os.ReadFile("../../docs/json-lines.md")
	if err != nil {
		t.Fatal(err)
	}
	heading := regexp.MustCompile("^### `(.+)`$")
	row := regexp.MustCompile(`^\| ([A-Za-z]+) \| ([a-z ]+) \| (yes|no) \| \S`)
	types := map[string]map[string]*documentedField{}
	current := ""
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSpace(line)
		if match := heading.FindStringSubmatch(line); match != nil {
			current = match[1]
			types[current] = map[string]*documentedField{}
		} else if match := row.FindStringSubmatch(line); match != nil {
			types[current][match[1]] = &documentedField{value: match[2], always: match[3] == "yes"}
		}
	}
	if len(types) < 20 {
		t.Fatalf("only %d types were found in the page", len(types))
	}
	return types
}

var clusterTimePattern = regexp.MustCompile(`^\d+:\d+$`)

// fits reports whether a value is what the page says.
func fits(value any, documented string) bool {
	text, isText := value.(string)
	object, isObject := value.(map[string]any)
	switch documented {
	case "text":
		return isText
	case "number":
		_, ok := value.(float64)
		return ok
	case "boolean":
		_, ok := value.(bool)
		return ok
	case "list":
		_, ok := value.([]any)
		return ok
	case "namespace":
		return isText && strings.Contains(text, ".")
	case "cluster time":
		return isText && clusterTimePattern.MatchString(text)
	case "time":
		_, err := time.Parse(time.RFC3339Nano, text)
		return isText && err == nil && strings.HasSuffix(text, "Z")
	case "optime":
		ts, ok := object["ts"].(string)
		return ok && clusterTimePattern.MatchString(ts) && len(object) == 2
	case "scope":
		delete(object, "only")
		delete(object, "except")
		return isObject && len(object) == 0
	case "object", "document":
		return isObject
	case "any":
		return value != nil
	}
	return false
}

// checker holds lines to the page.
type checker struct {
	t     *testing.T
	types map[string]map[string]*documentedField
	seen  map[string]bool
}

// check reads what a command printed and gives the types of its lines.
func (c *checker) check(got outcome, args ...string) []string {
	c.t.Helper()
	name := "pitr " + strings.Join(args, " ")
	var kinds []string
	for line := range strings.Lines(got.out) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			c.t.Errorf("%s: standard output holds something else than JSON: %q", name, line)
			return kinds
		}
		kind, _ := fields["type"].(string)
		documented, known := c.types[kind]
		if !known || fields["v"] != 1.0 {
			c.t.Errorf("%s: type %q, version %v is not in docs/json-lines.md", name, kind, fields["v"])
			continue
		}
		c.seen[kind] = true
		for _, problem := range schemaOf(c.t, kind).problems(fields) {
			c.t.Errorf("%s: docs/schema says of type %q: %s", name, kind, problem)
		}
		kinds = append(kinds, kind)
		for field, value := range fields {
			if field == "type" || field == "v" {
				continue
			}
			says, known := documented[field]
			if !known {
				c.t.Errorf("%s: field %q of %q is not in docs/json-lines.md", name, field, kind)
				continue
			}
			says.seen = true
			if !fits(value, says.value) {
				c.t.Errorf("%s: field %q of %q is %v, the page says %s", name, field, kind, value, says.value)
			}
		}
		for field, says := range documented {
			if _, there := fields[field]; !there && says.always {
				c.t.Errorf("%s: field %q of %q is missing", name, field, kind)
			}
		}
	}
	if len(kinds) == 0 && got.code != exitDone {
		c.t.Errorf("%s ends with %d and says nothing:\n%s", name, got.code, got.err)
	}
	return kinds
}

// rare are fields that a sound run does not have.
var rare = []string{"archive waiting", "index gap doubt", "index gap rebuilt", "candidate guessed", "intent refused", "change bursts",
	"version session", "summary moved", "summary again", "prune stopped", "prune drastic",
	"exported file inexact", "exported file raw", "exported file cut", "exported file replaced", "export leftOut",
	"review file cut", "review file replaced", "reconcile plan notes", "reconcile proposal notes"}

// TestJSONLinesAreThoseOfTheDocuments runs every command with --json and holds the page to the lines, both ways. // case U03
func TestJSONLinesAreThoseOfTheDocuments(t *testing.T) {
	t.Parallel() // the archiver cuts its first segment after ten seconds
	c := &checker{t: t, types: documentedLines(t), seen: map[string]bool{}}
	s := newStage(t, stageUsers, replsim.Options{})
	ran := map[string]bool{}
	do := func(last string, args ...string) outcome {
		t.Helper()
		got := s.pitr(append(args, "--json")...)
		kinds := c.check(got, args...)
		if len(kinds) == 0 || kinds[len(kinds)-1] != last {
			t.Errorf("pitr %s ends with %d and lines %v, the last should be %q\n%s", strings.Join(args, " "), got.code, kinds, last, got.err)
		}
		ran[args[0]] = true
		if len(args) > 1 {
			ran[args[0]+" "+args[1]] = true
		}
		return got
	}
	do("repository", "init", "--cluster-name", clusterName)
	do("error", "restore", "--to", "now", "--dry-run")
	s.prepare()
	snapshot := jobPattern.FindString(do("snapshot", "snapshot", "take", "--note", "first").out)
	do("mark", "mark", "before v4.1.0")
	s.damage()
	s.enrollMore()
	do("archive", "archive", "once")
	s.archiveForAMoment(c)
	ran["archive run"] = true
	do("archived", "archive", "status")
	do("snapshot", "snapshot", "list")
	do("collection", "snapshot", "show", snapshot)
	do("verified", "snapshot", "verify", snapshot)
	do("candidate", "find", "--since", "mark:before v4.1.0")
	do("summary", "diff", snapshot, "live")
	do("summary", "diff", "mark:before v4.1.0", "now", "--only", "deviceauth")
	do("job", "diff", snapshot, "live", "--as-lost-set")
	do("intent", "restore", "--to", s.toGood(), "--dry-run")
	do("error", "restore", "--to", s.toGood(), "--confirm-target", "nobody")
	job := jobPattern.FindString(do("job", "restore", "--to", s.toGood(), "--confirm-target", clusterName).out)
	changed := s.changedDevice(job)
	do("version", "trace", "deviceauth.devices", changed)
	do("job", "report", job)
	do("job", "report", job, "--summary")
	do("page", "report", job, "--html", filepath.Join(t.TempDir(), "lost.html"))
	do("export", "export", job, "--to", filepath.Join(t.TempDir(), "lost"))
	do("export", "snapshot", "export", snapshot, "--to", filepath.Join(t.TempDir(), "whole"), "--format", "dump")
	decided := filepath.Join(t.TempDir(), "back.csv")
	_, lost := s.openJobOf(job)
	s.must(os.WriteFile(decided, []byte("token,decision\n"+reconcile.Token(*lost.Changes, int64(lost.Changes.Steps)+1)+",leave\n"), 0o600))
	do("review", "reconcile", "import", job, decided)
	s.must(os.WriteFile(decided, []byte("token,decision\nedited,leave\n"), 0o600))
	do("error", "reconcile", "import", job, decided)
	do("error", "resume", job)
	do("reconcile plan", "reconcile", "plan", job)
	s.meanwhileAll(job)
	do("reconcile plan", "reconcile", "plan", job)
	do("review file", "reconcile", "plan", job, "--review", filepath.Join(t.TempDir(), "review.csv"))
	do("reconcile proposal", "reconcile", "apply", job, "--suggested", "--dry-run")
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	s.must(os.WriteFile(rules, []byte("rules: [{from: \"2000-01-01T00:00:00Z\", decision: put back}]"), 0o600))
	do("error", "reconcile", "apply", job, "--rules", rules, "--dry-run")
	do("unfreeze", "unfreeze", job)
	_, err := s.client.Database("deviceauth").Collection("devices").UpdateByID(context.Background(), changed, bson.D{{Key: "$set", Value: bson.D{{Key: "later", Value: true}}}})
	s.must(err)
	if got := do("error", "undo", job, "--confirm-target", clusterName); got.code != exitPartial {
		t.Errorf("an undo that left a document alone ends with %d", got.code)
	}
	do("job", "jobs")
	do("lease", "lease", "list")
	do("error", "lease", "break", "write", "--owner", "nobody")
	do("setting", "config", "show")
	do("copy", "restore", "--to", snapshot, "--only", "deviceauth", "--rename", "deviceauth=copied", "--confirm-target", s.sim.Host())
	do("hold", "snapshot", "hold", snapshot, "--reason", "case 4711", "--until", time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	do("collection", "snapshot", "show", snapshot)
	do("mark", "timeline", "--pitr-window", "72h", "--only", "deviceauth")
	do("hold", "snapshot", "release", snapshot)
	for range 4 {
		s.ok("snapshot", "take")
	}
	policy := []string{"prune", "--keep", "last=2", "--pitr-window", "72h"}
	do("prune", append(policy, "--run")...)
	do("snapshot", "snapshot", "list")
	do("prune", policy...)
	s.playbookLines(do)
	// A hole, damage, and a lease that is left.
	at := s.write("before the hole")
	s.ok("archive", "once")
	s.write("in the hole")
	s.sim.TruncateOplog(s.write("after the hole"))
	do("archive", "archive", "once")
	do("mark", "timeline")
	do("error", "restore", "--to", "through "+at.Before().String(), "--dry-run")
	s.adoptOtherHistory(do)
	do("script", "completion", "bash")
	do("script", "man", t.TempDir())
	do("script", "man")
	s.leaveLease()
	owner := lastLine(t, do("lease", "lease", "list"))["owner"]
	do("lease", "lease", "break", "write", "--owner", fmt.Sprint(owner))
	s.must(os.WriteFile(filepath.Join(s.folder, "stranger"), nil, 0o600))
	do("verified", "verify", "--level", "0")
	damage(t, objects(t, s.folder, "/data-")[0])
	do("error", "verify", "--level", "1")

	for name := range leaves(commands(streams{}), "") {
		if !ran[name] {
			t.Errorf("pitr %s was not run", name)
		}
	}
	for kind, fields := range c.types {
		if !c.seen[kind] {
			t.Errorf("docs/json-lines.md has type %q, no command printed it", kind)
			continue
		}
		for field, says := range fields {
			if !says.seen && !slices.Contains(rare, kind+" "+field) {
				t.Errorf("docs/json-lines.md has field %q of %q, no command printed it", field, kind)
			}
		}
	}
}

// playbookLines runs what is for the person on call.
func (s *stage) playbookLines(do func(last string, args ...string) outcome) {
	s.t.Helper()
	do("examined", "doctor", "--for", "restore")
	do("error", "doctor", "--uri", "mongodb://127.0.0.1:1/", "--timeout", "200ms")
	do("runbook", "runbook")
	do("playbook", "playbook", "new")
	steps := s.file("lines.yaml", "name: lines\ncluster: "+clusterName+"\nsteps:\n  - writers\n  - find: {since: \"mark:before v4.1.0\"}\n  - restore: {to: ask}\n  - restore: {to: now, dry-run: true}\n")
	flags := []string{"--go-on", "--confirm-target", clusterName, "--to"}
	run := jobPattern.FindString(do("error", append([]string{"playbook", "run", steps}, append(flags, "1000:1")...)...).out)
	do("playbook run", append([]string{"playbook", "run", "--resume", run}, append(flags, s.toGood())...)...)
	do("playbook run", "playbook", "show", run)
	do("playbook run", "playbook", "show")
}

// archiveForAMoment runs the archiver as a service until its first line is there.
func (s *stage) archiveForAMoment(c *checker) {
	s.t.Helper()
	s.write("for the archiver")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out := &stopAtLine{stop: cancel}
	var talk bytes.Buffer
	code := run(ctx, s.arguments([]string{"archive", "run", "--json"}), streams{in: strings.NewReader(""), out: out, err: &talk, env: os.Getenv, now: time.Now})
	c.check(outcome{code: code, out: out.String(), err: talk.String()}, "archive", "run")
	if code != exitDone {
		s.t.Errorf("archive run ends with %d when it is stopped:\n%s%s", code, out.String(), talk.String())
	}
}

// stopAtLine ends a run at its first line.
type stopAtLine struct {
	bytes.Buffer
	stop context.CancelFunc
}

// Write keeps what is printed.
func (w *stopAtLine) Write(content []byte) (int, error) {
	if bytes.ContainsRune(content, '\n') {
		w.stop()
	}
	return w.Buffer.Write(content)
}

// changedDevice gives the id of a device that the job brought back to an earlier version.
func (s *stage) changedDevice(job string) string {
	s.t.Helper()
	for line := range strings.Lines(s.ok("report", job, "--json").out) {
		var change struct {
			Type, NS, Key string
			Class         pitr.Class
		}
		if json.Unmarshal([]byte(line), &change) == nil && change.Type == "change" && change.Class == pitr.ClassChanged && change.NS == "deviceauth.devices" {
			return change.Key
		}
	}
	s.t.Fatal("no changed device")
	return ""
}

// leaveLease makes the lease for writing look held, as a killed run leaves it.
func (s *stage) leaveLease() {
	s.t.Helper()
	ctx := context.Background()
	store, err := storage.OpenFolder(s.folder, storage.FolderOptions{})
	s.must(err)
	repository, err := catalog.Open(ctx, store, catalog.OpenOptions{})
	s.must(err)
	state, err := repository.ShowLease(ctx, catalog.LeaseWrite)
	s.must(err)
	_, err = repository.PutObject(ctx, &format.Lease{Lease: catalog.LeaseWrite, Generation: state.Object.Generation() + 1, Holder: "ada@gone",
		Host: "gone", Process: 7, Taken: time.Now().UTC()})
	s.must(err)
}
