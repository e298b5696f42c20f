package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v3"

	"pitr"
	"pitr/cluster"
)

// A setting has one name on the command line (--repo), in the environment (PITR_REPO) and in the file (repo:).
// Precedence: flag, environment, file, default.
type setting struct {
	name  string
	usage string
	def   string
	// hidden settings hold secrets: they are masked when shown.
	hidden bool
	// noFlag settings cannot be given on the command line, where every user of the machine could read them.
	noFlag bool
	// only are the commands that take it as a flag; none means all of them.
	only []string
	// scheduled settings have a flag only in the commands that a scheduler runs.
	scheduled bool
	// check says what is wrong with a value, as a hint how to write it; nil takes every text.
	check func(value string) string
	// mask shows a hidden value; that of a connection string when nil.
	mask func(value string) string
}

// flagOf reports whether a command takes the setting as a flag.
func (s setting) flagOf(command string) bool {
	return !s.noFlag && !s.scheduled && (len(s.only) == 0 || slices.Contains(s.only, command))
}

// retaining are the commands that look at the retention policy.
var retaining = []string{"prune", "timeline"}

var settingList = []setting{
	{name: "repo", usage: "repository: file:///path or s3://bucket/prefix"},
	{name: "uri", usage: "connection string for reading, without a password (that comes from PITR_URI, uri-file or uri-command)", hidden: true},
	{name: "uri-file", usage: "file that holds the connection string for reading"},
	{name: "uri-command", usage: "command that prints the connection string for reading", noFlag: true},
	{name: "restore-uri", usage: "connection string for writing; like --uri", hidden: true},
	{name: "restore-uri-file", usage: "file that holds the connection string for writing"},
	{name: "restore-uri-command", usage: "command that prints the connection string for writing", noFlag: true},
	{name: "s3-endpoint", usage: "endpoint of an S3 look-alike, such as https://minio.example.net:9000"},
	{name: "s3-region", usage: "region of the bucket"},
	{name: "s3-path-style", usage: "true: bucket in the path instead of the host name", def: "false", check: checkBool},
	{name: "timeout", usage: "how long to try a server or store that does not answer", def: "30s", check: checkSpan},
	{name: "log-level", usage: "debug, info or off: log lines on standard error", def: "off", check: checkLogLevel},
	{name: "ping-url", usage: "address to ping at start (URL/start), success (URL) and failure (URL/fail) of the run", hidden: true,
		scheduled: true, mask: maskAddress},
	{name: "ping-url-file", usage: "file that holds the address to ping", scheduled: true},
	{name: "ping-url-command", usage: "command that prints the address to ping", scheduled: true, noFlag: true},
	{name: "keep", usage: "which snapshots pitr prune keeps, such as last=7,daily=14,weekly=8,monthly=12,yearly=3", only: retaining},
	{name: "pitr-window", usage: "the span before the end of the archive whose every moment stays reachable, such as 72h", only: retaining},
	{name: "metrics-file", usage: "file that is replaced with the run's metrics, in the text format of Prometheus", scheduled: true},
	{name: "redact", usage: "fields that no page, screen or export shows, such as tokens.jwt; comma-separated", def: ""},
}

// settings are the resolved values of a run.
type settings struct {
	values  map[string]string
	origins map[string]string
	// secrets are those that were looked up.
	secrets map[string]secret
}

// settingFlags gives the flags that every command takes, and those that this one takes.
func settingFlags(command string) []cli.Flag {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "config", Usage: "configuration `FILE` (default: pitr.yaml in this folder, if it is there)"},
		&cli.BoolFlag{Name: "json", Usage: "print the result as JSON lines"},
		&cli.BoolFlag{Name: "plain", Usage: "no colour and no moving lines"},
	}
	for _, s := range settingList {
		if s.flagOf(command) {
			flags = append(flags, &cli.StringFlag{Name: s.name, Usage: s.usage, Category: "Settings (also PITR_… and pitr.yaml)"})
		}
	}
	return flags
}

// readSettings resolves all settings. Unknown names in the file and unknown PITR_ variables are usage errors.
func readSettings(c *cli.Context, environment []string) (settings, error) {
	s := settings{values: map[string]string{}, origins: map[string]string{}, secrets: map[string]secret{}}
	for _, known := range settingList {
		s.values[known.name], s.origins[known.name] = known.def, "default"
	}
	if err := s.readFile(c.String("config")); err != nil {
		return s, err
	}
	if err := s.readEnvironment(environment); err != nil {
		return s, err
	}
	for _, known := range settingList {
		if (known.scheduled && !known.noFlag || known.flagOf(c.Command.Name)) && c.IsSet(known.name) {
			s.values[known.name], s.origins[known.name] = c.String(known.name), "flag --"+known.name
		}
	}
	for _, name := range []string{"uri", "restore-uri"} {
		if strings.HasPrefix(s.origins[name], "flag") && hasPassword(s.values[name]) { // case X01
			return s, pitr.Errorf(pitr.KindInvalid, "read --"+name,
				"put the whole string into the environment variable "+variable(name)+", into a file named by --"+name+
					"-file, or let "+name+"-command in pitr.yaml print it",
				"a password on the command line can be read by every user of this machine")
		}
	}
	return s, s.check()
}

// check refuses values that could not be used later on.
func (s settings) check() error {
	for _, known := range settingList {
		if known.check == nil {
			continue
		}
		if hint := known.check(s.values[known.name]); hint != "" {
			return pitr.Errorf(pitr.KindInvalid, "read the settings", hint, "%s is %q (%s)", known.name, s.values[known.name], s.origins[known.name])
		}
	}
	return nil
}

func checkBool(value string) string {
	if _, err := strconv.ParseBool(value); err != nil {
		return "write true or false"
	}
	return ""
}

func checkSpan(value string) string {
	if span, err := time.ParseDuration(value); err != nil || span <= 0 {
		return "write a span such as 30s or 5m"
	}
	return ""
}

func checkLogLevel(value string) string {
	levels := []string{"off", "info", "debug"}
	if slices.Contains(levels, value) {
		return ""
	}
	if near := nearest(value, levels); near != "" {
		return "did you mean " + near + "? write off, info or debug"
	}
	return "write off, info or debug"
}

// maskAddress shows where an address leads and hides the rest, which is the secret.
func maskAddress(address string) string {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" {
		return masked
	}
	return parsed.Scheme + "://" + parsed.Host + "/" + masked
}

// shown gives the value of a setting as it can be printed.
func (s settings) shown(known setting) string {
	value := s.values[known.name]
	switch {
	case !known.hidden || value == "":
		return value
	case known.mask != nil:
		return known.mask(value)
	}
	return cluster.MaskURI(value)
}

func (s settings) readFile(name string) error {
	asked := name != ""
	if !asked {
		name = "pitr.yaml"
	}
	content, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !asked:
		return nil
	case err != nil:
		return pitr.Errorf(pitr.KindInvalid, "read the configuration", "check --config", "%w", err)
	}
	values := map[string]yaml.Node{}
	if err := yaml.NewDecoder(bytes.NewReader(content)).Decode(&values); err != nil && !errors.Is(err, io.EOF) {
		// The parser's message may quote the file, which may hold a secret.
		return pitr.Errorf(pitr.KindInvalid, "read "+name, "the file must be `name: value` lines; see docs/cli.md", "not valid YAML")
	}
	for key, node := range values {
		value, ok := scalar(node)
		known := strings.ReplaceAll(key, "_", "-")
		if !ok {
			return pitr.Errorf(pitr.KindInvalid, "read "+name, "write one value, or a list of values", "%q has a value of another shape", key)
		}
		if !s.set(known, value, "file "+name) {
			return pitr.Errorf(pitr.KindInvalid, "read "+name, suggestSetting(known), "%q is not a setting", key)
		}
	}
	return nil
}

// scalar gives the text of a value, a list joined by commas.
func scalar(node yaml.Node) (string, bool) {
	switch node.Kind {
	case yaml.ScalarNode:
		return node.Value, true
	case yaml.SequenceNode:
		var items []string
		for _, item := range node.Content {
			if item.Kind != yaml.ScalarNode {
				return "", false
			}
			items = append(items, item.Value)
		}
		return strings.Join(items, ","), true
	}
	return "", false
}

// reservedVariables begin with PITR_ and belong to tests and fail points, as do those that begin with PITR_TEST_.
var reservedVariables = []string{"PITR_CORPUS", "PITR_FAILPOINT"}

func (s settings) readEnvironment(environment []string) error {
	for _, entry := range environment {
		key, value, _ := strings.Cut(entry, "=")
		name, ours := strings.CutPrefix(key, "PITR_")
		if !ours || slices.Contains(reservedVariables, key) || strings.HasPrefix(key, "PITR_TEST_") {
			continue
		}
		name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
		_, known := s.values[name]
		if known && value == "" {
			continue // units and manifests set variables that nobody filled in
		}
		if !s.set(name, value, "environment "+key) {
			return pitr.Errorf(pitr.KindInvalid, "read the environment", suggestSetting(name), "%s is not a setting", key)
		}
	}
	return nil
}

func (s settings) set(name, value, origin string) bool {
	if _, known := s.values[name]; !known {
		return false
	}
	s.values[name], s.origins[name] = value, origin
	return true
}

// connection gives a connection string from wherever it was configured.
func (s settings) connection(ctx context.Context, name string) (secret, error) {
	value, configured, err := s.secret(ctx, name)
	if err == nil && !configured {
		err = pitr.Errorf(pitr.KindInvalid, "find the database", "set "+variable(name)+" or give --"+name,
			"no connection string is configured")
	}
	return value, err
}

// secret gives the value of a setting that can also stand in a file or be printed by a command; false where it is not
// configured. The value itself comes first, then the file.
func (s settings) secret(ctx context.Context, name string) (value secret, configured bool, err error) {
	switch file, command := s.values[name+"-file"], s.values[name+"-command"]; {
	case s.values[name] != "":
		value = secret(s.values[name])
	case file != "":
		content, err := os.ReadFile(file)
		if err != nil {
			return "", true, pitr.Errorf(pitr.KindInvalid, "read "+name+"-file", "check the file that --"+name+"-file names", "%w", err)
		}
		value = secret(strings.TrimSpace(string(content)))
	case command != "":
		content, err := exec.CommandContext(ctx, "/bin/sh", "-c", command).Output()
		if err != nil {
			return "", true, pitr.Errorf(pitr.KindInvalid, "run "+name+"-command", "run it by hand to see what it says", "%w", err)
		}
		value = secret(strings.TrimSpace(string(content)))
	default:
		return "", false, nil
	}
	if value == "" {
		return "", true, pitr.Errorf(pitr.KindInvalid, "read "+name, "see `pitr config show` for where it comes from", "it is empty")
	}
	s.secrets[name] = value
	return value, true, nil
}

// mask takes every secret that was looked up out of a text, as a whole and in its parts.
func (s settings) mask(text string) string {
	for _, value := range s.secrets {
		whole := value.reveal()
		parts := []string{whole}
		if parsed, err := url.Parse(whole); err == nil {
			parts = append(parts, parsed.RequestURI(), strings.TrimPrefix(parsed.Path, "/"))
			if password, ok := parsed.User.Password(); ok {
				parts = append(parts, password)
			}
		}
		for _, part := range parts {
			const least = 4 // shorter ones would be found in ordinary words
			if len(part) >= least {
				text = strings.ReplaceAll(text, part, masked)
			}
		}
	}
	return text
}

func (s settings) duration(name string) (time.Duration, error) {
	value, err := time.ParseDuration(s.values[name])
	if err != nil || value <= 0 {
		return 0, pitr.Errorf(pitr.KindInvalid, "read the settings", "write a span such as 30s or 5m",
			"%s is %q (%s)", name, s.values[name], s.origins[name])
	}
	return value, nil
}

// redact lists the fields that nothing shows.
func (s settings) redact() []string {
	return strings.FieldsFunc(s.values["redact"], func(r rune) bool { return r == ',' || r == ' ' })
}

func variable(name string) string {
	return "PITR_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

func suggestSetting(name string) string {
	var names []string
	for _, s := range settingList {
		names = append(names, s.name)
	}
	if near := nearest(name, names); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	return "known settings: " + strings.Join(names, ", ")
}

// nearest gives the candidate within two edits, or nothing.
func nearest(word string, candidates []string) string {
	best, distance := "", min(3, len(word)) // another word altogether is no suggestion
	for _, candidate := range candidates {
		if d := editDistance(word, candidate); d < distance {
			best, distance = candidate, d
		}
	}
	return best
}

func editDistance(a, b string) int {
	previous := make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := range len(a) {
		current := make([]int, len(b)+1)
		current[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			current[j+1] = min(previous[j]+cost, previous[j+1]+1, current[j]+1)
		}
		previous = current
	}
	return previous[len(b)]
}
