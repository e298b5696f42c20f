package pitr_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// owners lists imports from outside the module that only one package may have.
var owners = map[string]string{
	"go.mongodb.org/mongo-driver/v2/": "cluster",
	"github.com/aws/":                 "storage/s3",
	"github.com/urfave/cli/":          "cmd/pitr",
	"github.com/klauspost/compress/":  "format",
	"github.com/xuri/excelize/":       "sheet",
}

// everybodys are imports that the owners' rule does not bind.
var everybodys = []string{"go.mongodb.org/mongo-driver/v2/bson"}

// TestImportsFollowTheTable holds the code against the table of docs/architecture.md.
func TestImportsFollowTheTable(t *testing.T) {
	table := readImportTable(t)
	seen := 0
	for file, imports := range shippedImports(t) {
		folder := path.Dir(file)
		for _, imported := range imports {
			seen++
			if problem := judge(table, folder, imported); problem != "" {
				t.Errorf("%s imports %s: %s", file, imported, problem)
			}
		}
	}
	if seen == 0 {
		t.Fatal("no import was read: the test looks at the wrong folder")
	}
}

func judge(table map[string]map[string]bool, folder, imported string) string {
	for prefix, owner := range owners {
		if strings.HasPrefix(imported, prefix) && !isEverybodys(imported) && folder != owner {
			return "only " + owner + " may"
		}
	}
	if imported != "pitr" && !strings.HasPrefix(imported, "pitr/") {
		return ""
	}
	importer := row(folder)
	target := row(strings.TrimPrefix(strings.TrimPrefix(imported, "pitr"), "/"))
	switch {
	case importer == target, target == "internal/failpoint":
		return ""
	case folder == ".":
		return "the vocabulary imports nothing of ours"
	case strings.HasPrefix(target, "internal/"), strings.HasPrefix(target, "tests"), strings.HasPrefix(target, "examples"):
		return "shipped code imports no test scaffolding"
	case table[importer] == nil:
		return importer + " has no row in docs/architecture.md"
	case !table[importer][target]:
		return "the table has no mark for " + importer + " and " + target
	}
	return ""
}

func isEverybodys(imported string) bool {
	for _, allowed := range everybodys {
		if imported == allowed {
			return true
		}
	}
	return false
}

// row gives the table's word for a folder: a sub-folder belongs to its first folder, but for those under cmd and internal.
func row(folder string) string {
	switch {
	case folder == "" || folder == ".":
		return "pitr"
	case strings.HasPrefix(folder, "cmd/"), strings.HasPrefix(folder, "internal/"):
		parts := strings.SplitN(folder, "/", 3)
		return parts[0] + "/" + parts[1]
	}
	first, _, _ := strings.Cut(folder, "/")
	return first
}

func readImportTable(t *testing.T) map[string]map[string]bool {
	t.Helper()
	content, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	var columns []string
	table := map[string]map[string]bool{}
	for line := range strings.Lines(string(content)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case !strings.HasPrefix(line, "|"):
			columns = nil
		case cells[0] == "importer":
			columns = cells
		case columns == nil || strings.HasPrefix(cells[0], "---"):
		default:
			marks := map[string]bool{}
			for i, cell := range cells {
				if i > 0 && cell == "x" {
					marks[columns[i]] = true
				}
			}
			table[cells[0]] = marks
		}
	}
	if len(table) < 10 {
		t.Fatalf("docs/architecture.md: only %d rows of the import table were read", len(table))
	}
	return table
}

// shippedImports gives the imports of each file that goes into the program.
func shippedImports(t *testing.T) map[string][]string {
	t.Helper()
	skipped := map[string]bool{"internal": true, "tests": true, "examples": true, "tools": true, "bench": true, "testdata": true}
	imports := map[string][]string{}
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && (skipped[entry.Name()] || strings.HasPrefix(entry.Name(), ".")):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		case path.Dir(filepath.ToSlash(name)) == "storage/storagetest":
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			imports[filepath.ToSlash(name)] = append(imports[filepath.ToSlash(name)], imported)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return imports
}
