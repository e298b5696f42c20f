package pitr_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// documents gives the text of every page of documentation.
func documents(t *testing.T) map[string]string {
	t.Helper()
	pages := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "examples/*/*.md", "tools/*/*.md", "tests/*.md"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			content, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			pages[name] = string(content)
		}
	}
	if len(pages) < 5 {
		t.Fatalf("only %d pages were found", len(pages))
	}
	return pages
}

// pathLike is a word in backquotes that names a file or folder of this repository.
var pathLike = regexp.MustCompile("`((?:cmd|docs|internal|examples|storage|format|catalog|cluster|oplog|snapshot|history|diff|guard|restore|report|tests|tools|changelog|\\.ci)/[A-Za-z0-9_./-]*|[A-Za-z0-9_-]+\\.(?:md|go|yml))`")

// later names paths that the documents may mention before they exist.
var later = map[string]bool{"pitr.yaml": true}

func TestDocumentsNamePathsThatExist(t *testing.T) {
	seen := 0
	for page, text := range documents(t) {
		for _, match := range pathLike.FindAllStringSubmatch(text, -1) {
			seen++
			name := strings.TrimSuffix(match[1], "/")
			_, fromRoot := os.Stat(name)
			_, fromPage := os.Stat(filepath.Join(filepath.Dir(page), name))
			if fromRoot != nil && fromPage != nil && !later[name] {
				t.Errorf("%s names %s, which is not there", page, name)
			}
		}
	}
	if seen < 10 {
		t.Fatalf("only %d paths were found: the pattern is wrong", seen)
	}
}

func TestFragmentsHaveTheTemplateShape(t *testing.T) {
	first := regexp.MustCompile(`^(Bugfix|Enhancement|Change|Security): \S.{10,100}\n\n\S`)
	err := filepath.WalkDir("changelog/unreleased", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		if err == nil && !first.Match(content) {
			t.Errorf("%s does not have the shape of changelog/TEMPLATE", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
