package docs_test

import (
	"bytes"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// never are the forbidden words of docs/style.md.
var never = regexp.MustCompile(`(?i)\b(some|any|every)(body|one)\b|\b(who|whom|what|which)ever\b|\bsimply\b|\bobviously\b`)

// TestWords finds these words in documents, descriptions of fields, messages, policies and comments.
func TestWords(t *testing.T) {
	// The page about them, this test, and the texts of others.
	except := []string{"docs/style.md", "docs/style_test.go", "LICENSE", "hack/site/assets/diagrams", "bin", "dist", ".git"}
	looked := 0
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case slices.Contains(except, path):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir() || strings.HasSuffix(path, ".png") || strings.HasSuffix(path, ".sum"):
			return nil
		}
		content, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			return err
		}
		looked++
		number := 0
		for line := range bytes.Lines(content) {
			number++
			if word := never.Find(line); word != nil {
				t.Errorf("%s:%d says %q: name the person, or the thing (docs/style.md)", path, number, word)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if looked < 300 {
		t.Errorf("looked at %d files only", looked)
	}
}

// riddles are refused in the comments of the operator: clauses where a noun belongs, filler words, and synonyms of the glossary's terms.
var riddles = regexp.MustCompile(`(?:^|[.:;] )(?:What|Whom?|Whose|That (?:an?|it|the|there)) ` +
	`|\b(?:is|are|was|were) (?:what|who|whom|as which|by which|by whom|as whom)\b` +
	`|\b(?:just|please)\b|\b(?:backend|heal|repair|rival|tenant|throttle)s?\b`)

// TestComments finds riddles in the comments of the packages that the operator's binary is made of.
func TestComments(t *testing.T) {
	const module = "github.com/delos-financial/clientbinding-operator"
	packages := []string{module}
	looked := 0
	for i := 0; i < len(packages); i++ {
		directory := filepath.Join(root, strings.TrimPrefix(packages[i], module))
		files, err := filepath.Glob(filepath.Join(directory, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(filepath.Base(name), "zz_generated.") {
				continue
			}
			positions := token.NewFileSet()
			file, err := parser.ParseFile(positions, name, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			looked++
			for _, comment := range file.Comments {
				if riddle := riddles.FindString(strings.Join(strings.Fields(comment.Text()), " ")); riddle != "" {
					t.Errorf("%s says %q: see docs/style.md", positions.Position(comment.Pos()), riddle)
				}
			}
			for _, imported := range file.Imports {
				path, err := strconv.Unquote(imported.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(path, module+"/") && !slices.Contains(packages, path) {
					packages = append(packages, path)
				}
			}
		}
	}
	if looked < 60 {
		t.Errorf("looked at %d files only", looked)
	}
}

// TestGlossary: each term has one row, and the rows are in alphabetical order.
func TestGlossary(t *testing.T) {
	terms := []string{}
	inside := false
	for line := range strings.Lines(prose(t, "docs/style.md")) {
		cells := strings.Split(line, "|")
		switch {
		case len(cells) < 4:
			inside = false
		case strings.TrimSpace(cells[1]) == "term":
			inside = true
		case inside && !strings.HasPrefix(line, "| ---"):
			terms = append(terms, strings.ToLower(strings.TrimSpace(cells[1])))
		}
	}
	if len(terms) < 20 || !slices.IsSorted(terms) || len(slices.Compact(slices.Clone(terms))) != len(terms) {
		t.Errorf("the glossary has too few terms, or they are not in order or not unique: %v", terms)
	}
}
