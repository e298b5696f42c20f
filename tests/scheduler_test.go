package tests

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"pitr/internal/mongotest"
)

// Readers nobody here wrote read what a scheduled run leaves: the file of metrics, and its lines with the shipped schemas.
// cases U03, U08
func TestScheduledRunsAreReadByOthers(t *testing.T) {
	program := filepath.Join(t.TempDir(), "pitr")
	build := exec.Command("go", "build", "-o", program, "./cmd/pitr")
	build.Dir = ".."
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	schemas := compiled(t)
	instance := mongotest.Start(t, mongotest.Need{})
	folder := t.TempDir()
	file := filepath.Join(folder, "pitr.prom")
	lines := 0
	for _, args := range [][]string{{"init", "--cluster-name", "devices-eu"}, {"snapshot", "take", "--metrics-file", file}, {"snapshot", "list"},
		{"timeline"}, {"verify"}, {"config", "show"}, {"snapshot", "show", "no-id"}, {"archive", "adopt"}} {
		command := exec.Command(program, append(args, "--json", "--repo", "file://"+folder+"/repository", "--timeout", "10s")...)
		command.Dir, command.Env = folder, append(os.Environ(), "PITR_URI="+instance.URI)
		output, _ := command.Output() // some of them fail, and say so in a line
		for line := range bytes.Lines(output) {
			value, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
			if err != nil {
				t.Fatalf("pitr %v: %v: %s", args, err, line)
			}
			var kind struct{ Type string }
			if err := json.Unmarshal(line, &kind); err != nil || schemas[kind.Type] == nil {
				t.Errorf("pitr %v: no schema for %q", args, kind.Type)
				continue
			}
			if err := schemas[kind.Type].Validate(value); err != nil {
				t.Errorf("pitr %v: %v: %s", args, err, line)
			}
			lines++
		}
	}
	if lines < 15 {
		t.Errorf("only %d lines were read", lines)
	}
	content, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	var parser expfmt.TextParser
	families, err := parser.TextToMetricFamilies(content)
	if err != nil {
		t.Fatal(err)
	}
	for name, family := range families {
		metric := family.GetMetric()
		if !strings.HasPrefix(name, "pitr_") || len(metric) != 1 || family.GetHelp() == "" || len(metric[0].GetLabel()) != 2 {
			t.Errorf("%s: %v", name, family)
		}
		if cluster := metric[0].GetLabel()[0]; cluster.GetName() != "cluster" || cluster.GetValue() != "devices-eu" {
			t.Errorf("%s: %v", name, cluster)
		}
	}
	if families["pitr_last_success_timestamp_seconds"] == nil || families["pitr_restorable_through_timestamp_seconds"] == nil {
		t.Errorf("families %v", families)
	}
}

// compiled reads every shipped schema, by the type that it is of.
func compiled(t *testing.T) map[string]*jsonschema.Schema {
	t.Helper()
	names, err := filepath.Glob("../docs/schema/*.json")
	if err != nil || len(names) < 20 {
		t.Fatalf("%d schemas: %v", len(names), err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	schemas := map[string]*jsonschema.Schema{}
	for _, name := range names {
		schema, err := compiler.Compile(name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		schemas[schema.Title] = schema
	}
	return schemas
}
