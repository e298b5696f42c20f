package playbook_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"pitr"
	"pitr/playbook"
)

// commands are a small program.
var commands = []playbook.Command{
	{Name: playbook.StepWriters},
	{Name: "doctor", Options: []playbook.Option{{Name: "for"}, {Name: "repo", Setting: true}}},
	{Name: "find", Options: []playbook.Option{{Name: "since", Kind: playbook.Moment}, {Name: "only", Kind: playbook.Namespaces}}},
	{Name: "restore", Options: []playbook.Option{{Name: "to", Kind: playbook.Moment, Required: true}, {Name: "dry-run", Kind: playbook.Switch},
		{Name: "confirm-target"}}},
	{Name: "report", Arguments: []string{"JOB"}, Options: []playbook.Option{{Name: "html"}, {Name: "summary", Kind: playbook.Switch}}},
	{Name: "mark", Arguments: []string{"NAME"}},
	{Name: "verify", Options: []playbook.Option{{Name: "level", Kind: playbook.Number}}},
	{Name: "archive run", Refused: "it never ends"},
}

func checkOptions() playbook.CheckOptions {
	return playbook.CheckOptions{Commands: commands, Now: time.Unix(1761120000, 0), Nearest: func(word string, known []string) string {
		for _, each := range known {
			if len(word) > 0 && strings.HasPrefix(each, word[:1]) {
				return each
			}
		}
		return ""
	}}
}

const head = "name: night\ncluster: devices-eu\nsteps:\n"

func TestProceduresAreReadAndWritten(t *testing.T) {
	content := head + `  - writers
  - doctor: {for: restore}
  - mark: "before the repair"
  - find: {since: "2h ago", only: [shop, shop.orders]}
  - restore: {to: ask}
    confirm: type-cluster-name
  - report: {html: lost.html, summary: false}
  - verify:
      level: 1
`
	p, err := playbook.Parse([]byte(content), checkOptions())
	if err != nil {
		t.Fatal(err)
	}
	want := []playbook.Step{{Command: "writers"}, {Command: "doctor", Arguments: []string{"--for=restore"}},
		{Command: "mark", Arguments: []string{"--", "before the repair"}},
		{Command: "find", Arguments: []string{"--since=2h ago", "--only=shop", "--only=shop.orders"}}, {Command: "restore", Arguments: []string{"--to=ask"}},
		{Command: "report", Arguments: []string{"--html=lost.html", "--summary=false", "--", "JOB"}}, {Command: "verify", Arguments: []string{"--level=1"}}}
	if p.Name != "night" || p.Cluster != "devices-eu" || !reflect.DeepEqual(p.Steps, want) {
		t.Errorf("got %+v", p)
	}
	again, err := playbook.Parse(playbook.Write(p, commands), checkOptions())
	if err == nil && !reflect.DeepEqual(again, p) {
		t.Errorf("written and read again:\n%s\n%+v", playbook.Write(p, commands), again)
	}
	if err != nil {
		t.Errorf("%v in\n%s", err, playbook.Write(p, commands))
	}
	if got := playbook.LineOf(p.Steps[3]); got != `pitr find --since "2h ago" --only shop --only shop.orders` {
		t.Errorf("the line is %s", got)
	}
	if got := playbook.Decisions(p, 1, commands); !reflect.DeepEqual(got, []playbook.Decision{playbook.DecideGoOn, playbook.DecideMoment, playbook.DecideTarget}) {
		t.Errorf("it asks %v", got)
	}
	if got := playbook.Decisions(p, 6, commands); len(got) > 0 {
		t.Errorf("what is left asks %v", got)
	}
}

// Everything unknown is refused with the place and the way out, before anything runs.
func TestProceduresThatCannotRunAreRefused(t *testing.T) {
	for _, c := range []struct{ steps, says, next string }{
		{"  - fnd:\n", `line 4: "fnd" is no step`, "did you mean"},
		{"  - doctor: {fro: restore}\n", `"fro" is no option of doctor`, "for"},
		{"  - doctor: {repo: x}\n", "a setting of the whole run", "pitr playbook run"},
		{"  - find: {since: whenever}\n", "whenever", "write a moment"},
		{"  - find: {since: [1h ago, 2h ago]}\n", "several values", ""},
		{"  - find: {since: ask}\n", "ask", ""},
		{"  - find: {only: [\"\"]}\n", "no value", ""},
		{"  - find: {}\n    confirm: type-cluster-name\n", "nothing is confirmed", "remove"},
		{"  - find:\n    since: 2h ago\n", "a step is one command", "braces"},
		{"  - restore: {to: ask}\n", "none comes before", "find step"},
		{"  - find:\n  - restore: {}\n", "to is missing", "restore --help"},
		{"  - find:\n  - restore: {to: ask, confirm-target: devices-eu}\n", "a file does not confirm", "type-cluster-name"},
		{"  - find:\n  - restore: {to: ask}\n    confirm: true\n", "no way to confirm", "type-cluster-name"},
		{"  - restore: {to: now, dry-run: maybe}\n", "true or false", ""},
		{"  - restore: {to: now, dry-run: true}\n  - report:\n", "none comes before", "restore step"},
		{"  - report:\n", "none comes before", "restore step"},
		{"  - report: {args: [A, B]}\n", "one argument too many", ""},
		{"  - mark:\n", "NAME is missing", "mark --help"},
		{"  - verify: {level: deep}\n", "whole number", ""},
		{"  - archive run:\n", "it never ends", "leave"},
		{"  - notify: {webhook: \"env:HOOK\"}\n", "not built", "--transcript"},
		{"  - find:\n    find:\n", "find", ""},
		{"  - &a find\n  - *a\n", "line 5", ""},
		{"", "steps is a list", ""},
		{strings.Repeat("  - writers\n", 16), "16 steps", "two playbooks"},
		{"  - writers\nstpes: []\n", `"stpes"`, "did you mean steps"},
		{"  - writers\n---\nname: second\n", "more than one document", ""},
	} {
		_, err := playbook.Parse([]byte(head+c.steps), checkOptions())
		switch {
		case err == nil:
			t.Errorf("%q is taken", c.steps)
		case !strings.Contains(err.Error(), c.says) || !strings.Contains(pitr.HintOf(err), c.next) || pitr.HintOf(err) == "":
			t.Errorf("%q: %v\nnext: %s", c.steps, err, pitr.HintOf(err))
		case pitr.KindOf(err) != pitr.KindInvalid && pitr.KindOf(err) != pitr.KindLimit:
			t.Errorf("%q: kind %s", c.steps, pitr.KindOf(err))
		}
	}
	for _, content := range []string{"", "[]", "name: x", "{", "name: a\ncluster: b\nsteps: 7\n", "name: [a]\ncluster: b\nsteps: []\n"} {
		if _, err := playbook.Parse([]byte(content), checkOptions()); pitr.KindOf(err) != pitr.KindInvalid {
			t.Errorf("%q: %v", content, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(head + "  - find: {since: \"2h ago\"}\n  - restore: {to: ask}\n    confirm: type-cluster-name\n  - report:\n"))
	f.Add(playbook.Write(playbook.BuiltIn("devices-eu"), commands))
	f.Fuzz(func(t *testing.T, content []byte) {
		p, err := playbook.Parse(content, checkOptions())
		if err != nil {
			return
		}
		again, err := playbook.Parse(playbook.Write(p, commands), checkOptions())
		if err != nil || playbook.Digest(again) != playbook.Digest(p) {
			t.Errorf("written and read again as %+v, %v", again, err)
		}
	})
}
