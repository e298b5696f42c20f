package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"pitr"
	"pitr/cluster"
)

// outcome is what a person sees of a run.
type outcome struct {
	code     int
	out, err string
}

func runWith(t *testing.T, args ...string) outcome {
	t.Helper()
	var out, talk bytes.Buffer
	code := run(context.Background(), append([]string{"pitr"}, args...), streams{
		in: strings.NewReader(""), out: &out, err: &talk, env: os.Getenv, now: time.Now,
	})
	return outcome{code: code, out: out.String(), err: talk.String()}
}

// leaves gives every command that does something, with its full name.
func leaves(list []*cli.Command, prefix string) map[string]*cli.Command {
	found := map[string]*cli.Command{}
	for _, command := range list {
		name := strings.TrimSpace(prefix + " " + command.Name)
		if len(command.Subcommands) == 0 {
			found[name] = command
		}
		for inner, c := range leaves(command.Subcommands, name) {
			found[inner] = c
		}
	}
	return found
}

func TestEveryCommandHasAnExample(t *testing.T) { // case U01
	for name, command := range leaves(commands(streams{}), "") {
		if !strings.Contains(command.Description, "Example") || command.Usage == "" {
			t.Errorf("pitr %s: --help has no usage line or no example", name)
		}
	}
}

func TestDocumentsMentionEveryCommandAndFlag(t *testing.T) {
	content, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(content)
	for name, command := range leaves(commands(streams{}), "") {
		if !mentions(page, name) {
			t.Errorf("docs/cli.md does not mention pitr %s", name)
		}
		for _, flag := range command.Flags {
			if long := flag.Names()[0]; !strings.Contains(page, "--"+long) {
				t.Errorf("docs/cli.md does not mention --%s of pitr %s", long, name)
			}
		}
	}
	for _, s := range settingList {
		if !strings.Contains(page, s.name) {
			t.Errorf("docs/cli.md does not mention the setting %s", s.name)
		}
	}
}

// mentions finds "snapshot take" written as `pitr snapshot take` / `list`.
func mentions(page, name string) bool {
	first, last, nested := strings.Cut(name, " ")
	for line := range strings.Lines(page) {
		if strings.Contains(line, "pitr "+name) || (nested && strings.Contains(line, "pitr "+first) && strings.Contains(line, "`"+last)) ||
			(!nested && strings.Contains(line, "`"+name)) {
			return true
		}
	}
	return false
}

func TestExitCodesAreThoseOfTheDocuments(t *testing.T) {
	content, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[int]bool{}
	for _, match := range regexp.MustCompile(`(?m)^\| (\d+) \| `).FindAllStringSubmatch(string(content), -1) {
		code, err := strconv.Atoi(match[1])
		if err != nil {
			t.Fatal(err)
		}
		documented[code] = true
	}
	known := map[int]bool{exitDone: true, exitDifferent: true, exitTerminated: true}
	for kind, code := range exitCodes {
		known[code] = true
		if got := exitCode(context.Background(), pitr.Errorf(kind, "x", "y", "z")); got != code {
			t.Errorf("kind %q ends with %d, want %d", kind, got, code)
		}
	}
	if fmt.Sprint(documented) != fmt.Sprint(known) {
		t.Errorf("docs/cli.md has %v, the program %v", documented, known)
	}
}

func TestUsageErrorsSuggestTheNextCommand(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"confg"}, "config"},
		{[]string{"config", "shwo"}, "show"},
		{[]string{"config", "show", "--repp", "x"}, "--repo"},
		{[]string{"config", "show", "stray"}, "--help"},
		{[]string{"restor", "--to", "now"}, "`restore`"},
		{[]string{"snapshot", "tak", "--note", "x"}, "`take`"},
		{[]string{"config", "show", "-x"}, "--help"},
		{[]string{"restore"}, "give --to"},
		{[]string{"init", "--cluster-name", " "}, "give --cluster-name"},
		{[]string{"mark", ""}, "--help"},
		{[]string{"config", "show", "--uri", "mongodb://u:p@h/"}, "PITR_URI"}, // case X01
		{[]string{"config", "show", "--log-level", "loud"}, "debug"},
	} {
		got := runWith(t, c.args...)
		if got.code != exitUsage || !strings.Contains(got.err, "next:") || !strings.Contains(got.err, c.want) {
			t.Errorf("%v: exit %d, %s", c.args, got.code, got.err)
		}
		if got.out != "" {
			t.Errorf("%v: a result beside the error: %s", c.args, got.out)
		}
	}
}

// TestPlannedCommandsAreRefusedByName: who looks for a command that is not built yet hears of a way out that exists.
func TestPlannedCommandsAreRefusedByName(t *testing.T) {
	built := leaves(commands(streams{}), "")
	for word := range later {
		got := runWith(t, word)
		if got.code != exitRefused || !strings.Contains(got.err, "not built yet") || built[word] != nil {
			t.Errorf("pitr %s: exit %d, %s", word, got.code, got.err)
		}
		for _, match := range regexp.MustCompile("`pitr ([a-z]+)").FindAllStringSubmatch(later[word].instead, -1) {
			if built[match[1]] == nil {
				t.Errorf("pitr %s sends people to pitr %s, which is not there", word, match[1])
			}
		}
	}
}

func TestErrorsAreJSONWhereJSONWasAsked(t *testing.T) { // case U03
	got := runWith(t, "config", "show", "--json", "--log-level", "loud")
	var line errorLine
	if err := json.Unmarshal([]byte(got.out), &line); err != nil || line.Type != "error" || line.Exit != exitUsage || line.Next == "" {
		t.Errorf("got %q (%v)", got.out, err)
	}
	if got.err != "" {
		t.Errorf("talk beside JSON: %s", got.err)
	}
}

func TestSettingsKnowTheirOrigin(t *testing.T) { // case U06
	t.Chdir(t.TempDir())
	if err := os.WriteFile("pitr.yaml", []byte("repo: file:///from-file\ntimeout: 5s\nredact: [tokens.jwt, keys.pem]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PITR_TIMEOUT", "7s")
	got := runWith(t, "config", "show", "--s3-region", "eu-1")
	for _, want := range []string{`repo +file:///from-file +file pitr.yaml`, `timeout +7s +environment PITR_TIMEOUT`,
		`s3-region +eu-1 +flag --s3-region`, `redact +tokens.jwt,keys.pem +file`, `log-level +off +default`} {
		if !regexp.MustCompile(want).MatchString(got.out) {
			t.Errorf("no line like %q in:\n%s", want, got.out)
		}
	}
	t.Setenv("PITR_TIMEUOT", "7s")
	if got := runWith(t, "config", "show"); got.code != exitUsage || !strings.Contains(got.err, "timeout") {
		t.Errorf("a mistyped variable: exit %d, %s", got.code, got.err)
	}
}

func TestSecretsNeverPrint(t *testing.T) { // case X04
	s := secret("CANARY")
	for _, format := range []string{"%s", "%v", "%+v", "%#v", "%q"} {
		if text := fmt.Sprintf(format, struct{ S secret }{s}); strings.Contains(text, "CANARY") {
			t.Errorf("%s prints %s", format, text)
		}
	}
	content, err := json.Marshal(map[string]any{"s": s})
	if err != nil || strings.Contains(string(content), "CANARY") {
		t.Errorf("JSON: %s %v", content, err)
	}
	for _, uri := range []string{"mongodb://user:CANARY@host/db", "mongodb://user:CAN/ARY:CANARY@a:1,b:2/?x=1", "mongodb+srv://u:CANARY@h",
		"mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:CANARY", "mongodb://u:CANARY@h/?tlsCertificateKeyFilePassword=CANARY"} {
		if text := cluster.MaskURI(uri); strings.Contains(text, "CANARY") || strings.Contains(text, "ARY") {
			t.Errorf("%s is shown as %s", uri, text)
		}
	}
}

func TestControlCharactersAreEscaped(t *testing.T) { // case X16
	if got := printable("a\x1b]52;c;x\x07b\u202ec\u009b"); strings.ContainsAny(got, "\x1b\x07\u202e\u009b") {
		t.Errorf("got %q", got)
	}
}

func TestMessagesFitTheScreen(t *testing.T) { // case U04
	text := "one two three four five six `pitr restore --to \"before 1761120000:7\"` and so on to the end of the line"
	for _, width := range []int{40, 80, 200} {
		shown := wrapped("next:  ", text, width)
		if !strings.Contains(shown, "`pitr restore --to \"before 1761120000:7\"`") {
			t.Errorf("at %d columns the command is broken:\n%s", width, shown)
		}
		for line := range strings.Lines(shown) {
			if len(strings.TrimRight(line, "\n")) > max(width, 60) {
				t.Errorf("at %d columns a line is longer:\n%s", width, shown)
			}
		}
	}
	if shown := wrapped("next:  ", text, 0); strings.Contains(shown, "\n") {
		t.Errorf("without a terminal a line was broken:\n%s", shown)
	}
}
