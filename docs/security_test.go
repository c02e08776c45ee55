package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const security = "docs/security.md"

// TestEveryClaimIsProven compares the threat model, and the promises about load, with the tests: each row of its tables names at least one test, and each named
// test is in the file before it.
func TestEveryClaimIsProven(t *testing.T) {
	for _, page := range []string{security, "docs/performance.md"} {
		t.Run(page, func(t *testing.T) { claimsAreProven(t, page) })
	}
}

func claimsAreProven(t *testing.T, page string) {
	t.Helper()
	var (
		cited  = regexp.MustCompile(`\]\(([^)\s]+_test\.go)\)|` + "`(Test[A-Z][A-Za-z0-9]*)`")
		proofs = false
		rows   = 0
	)
	for line := range strings.Lines(prose(t, page)) {
		file, tests := "", 0
		for _, match := range cited.FindAllStringSubmatch(line, -1) {
			if match[1] != "" {
				file = match[1]
				continue
			}
			tests++
			if file == "" {
				t.Errorf("%s names %s without its file before it", page, match[2])
			} else if path := filepath.Join(filepath.Dir(page), file); !slices.Contains(testsOf(t, path), match[2]) {
				t.Errorf("%s names the test %s, which is not in %s", page, match[2], path)
			}
		}
		cells := strings.Split(line, "|")
		switch {
		case !strings.HasPrefix(line, "|") || len(cells) < 4:
			proofs = false
		case strings.TrimSpace(cells[2]) == "proof":
			proofs = true
		case proofs && !strings.HasPrefix(line, "| ---"):
			rows++
			if tests == 0 {
				t.Errorf("%s does not prove this claim: %s", page, strings.TrimSpace(cells[1]))
			}
		}
	}
	if rows == 0 {
		t.Errorf("%s claims nothing", page)
	}
}

// testsOf are the names of the tests in a file.
func testsOf(t *testing.T, path string) (names []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Error(err)
		return nil
	}
	for _, declaration := range file.Decls {
		if function, is := declaration.(*ast.FuncDecl); is && function.Recv == nil && strings.HasPrefix(function.Name.Name, "Test") {
			names = append(names, function.Name.Name)
		}
	}
	return names
}

// TestRolesAndPoliciesOfThePageExist: the roles and policies of the page are in config.
func TestRolesAndPoliciesOfThePageExist(t *testing.T) {
	name := regexp.MustCompile(`^clientbinding-operator-[a-z-]+`)
	known := manifestNames(t)
	found := 0
	for _, span := range codeSpans(t, security) {
		if match := name.FindString(span); match != "" {
			found++
			if !slices.Contains(known, match) {
				t.Errorf("%s names %s, which is not in config", security, match)
			}
		}
	}
	if found == 0 {
		t.Errorf("%s names no role", security)
	}
}

// manifestNames are the names of all objects of the manifests.
func manifestNames(t *testing.T) (names []string) {
	t.Helper()
	line := regexp.MustCompile(`(?m)^  name: (\S+)$`)
	paths, err := filepath.Glob(filepath.Join(root, "config/*/*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range line.FindAllStringSubmatch(string(text), -1) {
			names = append(names, match[1])
		}
	}
	return names
}
