package report

import (
	_ "embed" // the text of the runbook
	"fmt"
	"io"
	"strings"
	"text/template"
)

//go:embed runbook.md
var runbookText string

// Runbook is what the incident runbook of a cluster is made of. Every text is shown as it is, so callers hand in names that
// were checked, and words that are safe in a shell.
type Runbook struct {
	Cluster, Repository string
	// Environment are the lines that set up a shell: names and values, quoted.
	Environment []Fact
	// Secrets are the variables that must hold a connection string and cannot be printed.
	Secrets []Fact
	// Times are what earlier jobs and snapshots took.
	Times []Fact
	// Reading and Writing are the roles of the two logins.
	Reading, Writing string
	// Member and Version describe the server as the newest snapshot saw it; empty without one.
	Set, Version string
	Hosts        []string
	Made, Pitr   string
}

var runbookTemplate = template.Must(template.New("runbook").Funcs(template.FuncMap{"join": strings.Join, "text": markdown}).Parse(runbookText))

// WriteRunbook writes the runbook as Markdown. Each block of commands can be pasted as it stands, one after the other.
func WriteRunbook(to io.Writer, r Runbook) error {
	if err := runbookTemplate.Execute(to, r); err != nil {
		return fmt.Errorf("write the runbook: %w", err)
	}
	return nil
}
