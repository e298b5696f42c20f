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
var pathLike = regexp.MustCompile("`((?:cmd|docs|internal|examples|storage|format|catalog|cluster|oplog|snapshot|history|diff|guard|restore|report|notify|deploy|tests|tools|changelog|\\.ci)/[A-Za-z0-9_./-]*|[A-Za-z0-9_-]+\\.(?:md|go|yml))`")

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

// TestArchitectureListsEveryPackage: a package stands in the table of folders, or belongs to one folder that does: the parts
// of the simulated server, of the examples and of the benchmarks.
func TestArchitectureListsEveryPackage(t *testing.T) {
	content, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	err = filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() || name == "." {
			return err
		}
		folder := filepath.ToSlash(name)
		if strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" {
			return filepath.SkipDir
		}
		sources, err := filepath.Glob(filepath.Join(name, "*.go"))
		if err != nil || len(sources) == 0 {
			return err
		}
		seen++
		if !strings.Contains(string(content), "\n| `"+folder+"` |") {
			t.Errorf("docs/architecture.md does not say what %s is for", folder)
		}
		switch folder {
		case "internal/replsim", "examples/mender", "bench":
			return filepath.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 10 {
		t.Fatalf("only %d packages were found", seen)
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
