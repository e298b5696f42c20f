package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSchemasAreThoseOfThePage: whoever changes docs/json-lines.md runs `make schema`. // case U03
func TestSchemasAreThoseOfThePage(t *testing.T) {
	content, err := os.ReadFile("../../docs/json-lines.md")
	if err != nil {
		t.Fatal(err)
	}
	schemas, err := schemasOf(string(content))
	if err != nil {
		t.Fatal(err)
	}
	there, err := filepath.Glob("../../docs/schema/*.json")
	if err != nil || len(schemas) < 20 {
		t.Fatalf("%d schemas: %v", len(schemas), err)
	}
	for _, name := range there {
		if schemas[filepath.Base(name)] == nil {
			t.Errorf("%s is of no type: run `make schema`", name)
		}
	}
	for name, want := range schemas {
		if got, err := os.ReadFile(filepath.Join("../../docs/schema", name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("docs/schema/%s is not that of the page (%v): run `make schema`", name, err)
		}
	}
}

func TestPagesThatCannotBeRead(t *testing.T) {
	for page, says := range map[string]string{
		"\n### name\n": "backquotes",
		"\n### `a`\n| x | something | yes | y |\n":                        "something",
		"\n### `a`\n| x | text | maybe | y |\n":                           "no row",
		"\n### `a`\n| x | text | yes | y |\n| x | number | no | z |\n":    "twice",
		"\n### `a`\n| x | text | yes | y |\n\n### `a`\n| x | text | no |": "no row",
		"\n### `a`\n\n### `a`\n":                                          "two sections",
	} {
		if _, err := schemasOf(page); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", page, err, says)
		}
	}
}
