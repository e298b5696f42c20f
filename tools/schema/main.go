// Command schema writes docs/schema: a JSON Schema for each type of JSON line, made from the tables of docs/json-lines.md.
//
// The page is what people read and what the tests hold the program to; the schemas follow from it, so that neither can say
// something else than the other. It reads the page, makes one schema of each heading of the third level, writes them, and
// removes those whose heading is gone. Run it with `make schema`.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const draft = "https://json-schema.org/draft/2020-12/schema"

// values gives the schema of each word of the column "value".
var values = map[string]any{
	"text":         map[string]any{"type": "string"},
	"number":       map[string]any{"type": "number"},
	"boolean":      map[string]any{"type": "boolean"},
	"list":         map[string]any{"type": "array"},
	"namespace":    map[string]any{"type": "string", "pattern": `\.`},
	"cluster time": clusterTime,
	"time":         map[string]any{"type": "string", "pattern": `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$`},
	"optime": map[string]any{"type": "object", "required": []string{"ts", "term"}, "additionalProperties": false,
		"properties": map[string]any{"ts": clusterTime, "term": map[string]any{"type": "integer"}}},
	"scope": map[string]any{"type": "object", "additionalProperties": false,
		"properties": map[string]any{"only": texts, "except": texts}},
	"object":   map[string]any{"type": "object"},
	"document": map[string]any{"type": "object"},
	"any":      map[string]any{"not": map[string]any{"type": "null"}},
}

var (
	clusterTime = map[string]any{"type": "string", "pattern": `^\d+:\d+$`}
	texts       = map[string]any{"type": "array", "items": map[string]any{"type": "string"}}
)

var (
	heading = regexp.MustCompile("^### `(.+)`$")
	row     = regexp.MustCompile(`^\| ([A-Za-z]+) \| ([a-z ]+) \| (yes|no) \| (\S.*\S|\S) \|$`)
)

func main() {
	if err := write("docs/json-lines.md", "docs/schema"); err != nil {
		fmt.Fprintln(os.Stderr, "schema:", err)
		os.Exit(1) //nolint:forbidigo // this is main
	}
}

// write puts the schemas of a page into a folder.
func write(page, folder string) error {
	content, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	schemas, err := schemasOf(string(content))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	there, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return err
	}
	for _, name := range there {
		if schemas[filepath.Base(name)] == nil {
			if err := os.Remove(name); err != nil {
				return err
			}
		}
	}
	for name, schema := range schemas {
		if err := os.WriteFile(filepath.Join(folder, name), schema, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// schemasOf makes the schemas of a page, by the names of their files.
func schemasOf(page string) (map[string][]byte, error) {
	schemas := map[string][]byte{}
	for _, section := range strings.Split(page, "\n### ")[1:] {
		lines := strings.Split("### "+section, "\n")
		match := heading.FindStringSubmatch(lines[0])
		if match == nil {
			return nil, fmt.Errorf("the heading %q does not name a type in backquotes", lines[0])
		}
		schema, err := schemaOf(match[1], lines[1:])
		if err != nil {
			return nil, fmt.Errorf("type %q: %w", match[1], err)
		}
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(schema); err != nil {
			return nil, err
		}
		name := strings.ReplaceAll(match[1], " ", "-") + ".json"
		if schemas[name] != nil {
			return nil, fmt.Errorf("type %q has two sections", match[1])
		}
		schemas[name] = text.Bytes()
	}
	return schemas, nil
}

// schemaOf makes the schema of one type. Fields that no table has are allowed: within a version fields are added.
func schemaOf(kind string, lines []string) (map[string]any, error) {
	properties := map[string]any{"type": map[string]any{"const": kind}, "v": map[string]any{"const": 1}}
	required := []string{"type", "v"}
	about := ""
	for _, line := range lines {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "## ") {
			break // the next chapter
		}
		switch match := row.FindStringSubmatch(line); {
		case match != nil:
			known := values[match[2]]
			if known == nil {
				return nil, fmt.Errorf("field %q: %q is no value that tools/schema knows", match[1], match[2])
			}
			field := map[string]any{"description": match[4]}
			for word, says := range known.(map[string]any) { //nolint:errcheck // all of the table are
				field[word] = says
			}
			if properties[match[1]] != nil {
				return nil, fmt.Errorf("field %q stands there twice", match[1])
			}
			properties[match[1]] = field
			if match[3] == "yes" {
				required = append(required, match[1])
			}
		case strings.HasPrefix(line, "|") && !strings.HasPrefix(line, "| field |") && !strings.HasPrefix(line, "| --- |"):
			return nil, fmt.Errorf("this is no row: %s", line)
		case line != "" && !strings.HasPrefix(line, "|"):
			about = strings.TrimSpace(about + " " + line)
		}
	}
	return map[string]any{"$schema": draft, "$id": "urn:pitr:line:" + strings.ReplaceAll(kind, " ", "-") + ":1", "title": kind,
		"description": about, "type": "object", "properties": properties, "required": required}, nil
}
