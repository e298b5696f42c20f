package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// schema is what docs/schema uses of JSON Schema; a word that is not here is refused, so none is passed over.
type schema struct {
	Schema      string             `json:"$schema"`
	ID          string             `json:"$id"`
	Title       string             `json:"title"`
	Description string             `json:"description"`
	Type        string             `json:"type"`
	Const       any                `json:"const"`
	Pattern     string             `json:"pattern"`
	Properties  map[string]*schema `json:"properties"`
	Required    []string           `json:"required"`
	Additional  *bool              `json:"additionalProperties"`
	Items       *schema            `json:"items"`
	Not         *schema            `json:"not"`
}

// schemaOf reads the schema of a type of line.
func schemaOf(t *testing.T, kind string) *schema {
	t.Helper()
	file, err := os.Open(filepath.Join("../../docs/schema", strings.ReplaceAll(kind, " ", "-")+".json"))
	if err != nil {
		t.Fatalf("%v: run `make schema`", err)
	}
	defer file.Close()
	decoder := json.NewDecoder(file)
	decoder.DisallowUnknownFields()
	var s schema
	if err := decoder.Decode(&s); err != nil {
		t.Fatalf("the schema of %q: %v", kind, err)
	}
	return &s
}

// problems lists where a value is not what the schema says.
func (s *schema) problems(value any) []string {
	var found []string
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	if s.Const != nil && s.Const != value {
		say("%v is not %v", value, s.Const)
	}
	if s.Not != nil && len(s.Not.problems(value)) == 0 {
		say("%v is what it must not be", value)
	}
	if s.Type != "" && !slices.Contains(typesOf(value), s.Type) {
		say("%v is no %s", value, s.Type)
	}
	if text, ok := value.(string); ok && s.Pattern != "" && !regexp.MustCompile(s.Pattern).MatchString(text) {
		say("%q does not look like %s", text, s.Pattern)
	}
	if list, ok := value.([]any); ok && s.Items != nil {
		for _, item := range list {
			found = append(found, s.Items.problems(item)...)
		}
	}
	if object, ok := value.(map[string]any); ok {
		for _, name := range s.Required {
			if _, there := object[name]; !there {
				say("%s is missing", name)
			}
		}
		for name, inner := range object {
			switch property := s.Properties[name]; {
			case property != nil:
				for _, problem := range property.problems(inner) {
					say("%s: %s", name, problem)
				}
			case s.Additional != nil && !*s.Additional:
				say("%s is one too many", name)
			}
		}
	}
	return found
}

func typesOf(value any) []string {
	switch v := value.(type) {
	case nil:
		return []string{"null"}
	case bool:
		return []string{"boolean"}
	case string:
		return []string{"string"}
	case float64:
		if v == float64(int64(v)) {
			return []string{"number", "integer"}
		}
		return []string{"number"}
	case []any:
		return []string{"array"}
	}
	return []string{"object"}
}

// TestSchemasRefuseWrongLines: the checker of the test can fail.
func TestSchemasRefuseWrongLines(t *testing.T) {
	good := `{"type":"change","v":1,"n":1,"ns":"a.b","key":1,"class":"created","first":{"ts":"1:1","term":1},"last":{"ts":"1:1","term":1},"ops":1}`
	for line, says := range map[string]string{
		good: "",
		strings.Replace(good, `"v":1`, `"v":2`, 1):                               "v: 2 is not 1",
		strings.Replace(good, `"n":1`, `"n":"1"`, 1):                             "n: 1 is no number",
		strings.Replace(good, `"ns":"a.b",`, ``, 1):                              "ns is missing",
		strings.Replace(good, `"ns":"a.b"`, `"ns":"ab"`, 1):                      "does not look like",
		strings.Replace(good, `"key":1`, `"key":null`, 1):                        "must not be",
		strings.Replace(good, `"term":1}`, `"term":1,"x":1}`, 1):                 "x is one too many",
		strings.Replace(good, `"term":1}`, `"term":1.5}`, 1):                     "no integer",
		strings.Replace(good, `"class"`, `"of a later version":1,"class"`, 1):    "",
		strings.Replace(good, `"first":{"ts":"1:1"`, `"first":{"ts":"1761:"`, 1): "does not look like",
	} {
		var value any
		if err := json.Unmarshal([]byte(line), &value); err != nil {
			t.Fatal(err)
		}
		problems := strings.Join(schemaOf(t, "change").problems(value), "; ")
		if (problems == "") != (says == "") || !strings.Contains(problems, says) {
			t.Errorf("%s: %q, want %q", line, problems, says)
		}
	}
}

// adoptOtherHistory sets the cluster back past what is archived, and adopts that.
func (s *stage) adoptOtherHistory(do func(last string, args ...string) outcome) {
	s.t.Helper()
	do("merged", "archive", "merge")
	kept := s.write("kept by both histories")
	s.ok("archive", "once")
	s.write("lost by force")
	s.ok("archive", "once")
	s.sim.ForceRollback(kept)
	s.reconnect()
	s.write("instead of it")
	do("error", "archive", "once")
	do("branch", "archive", "adopt")
	do("branch", "archive", "adopt", "--new-branch", "--confirm-target", clusterName)
	do("archive", "archive", "once")
	do("mark", "timeline")
}
