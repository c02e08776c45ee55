// Package docs_test compares the documents with the code: the reasons, events and flags in them
// exist, and so do the targets of their links.
package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	root       = ".."
	operations = "docs/operations.md"
	readme     = "README.md"
)

// TestEveryReasonIsExplained compares the tables of reasons with the constants of the API.
func TestEveryReasonIsExplained(t *testing.T) {
	reasons := reasonsOf(constants(t))
	explained := firstColumn(t, operations, "reason")
	compare(t, "reason", reasons, explained)
	for _, name := range firstColumn(t, readme, "reason") {
		if !slices.Contains(reasons, name) {
			t.Errorf("%s names the reason %s, which there is not", readme, name)
		}
	}
}

// TestEveryEventIsExplained compares the table of events with the controller's events, without those for changes of a
// reason.
func TestEveryEventIsExplained(t *testing.T) {
	compare(t, "event", eventsOf(t), firstColumn(t, operations, "event"))
}

// TestEveryAuditKeyIsExplained compares the table of keys with the code that writes audit lines.
func TestEveryAuditKeyIsExplained(t *testing.T) {
	var keys []string
	for _, file := range source(t, "internal/controller/clientbinding_audit.go") {
		ast.Inspect(file, func(node ast.Node) bool {
			line, is := node.(*ast.CompositeLit)
			if !is || len(line.Elts)%2 != 0 {
				return true
			}
			if _, isList := line.Type.(*ast.ArrayType); !isList {
				return true
			}
			for i := 0; i < len(line.Elts); i += 2 {
				key, isLiteral := text(line.Elts[i])
				if !isLiteral {
					t.Fatal("a key of the audit lines is no literal")
				}
				keys = append(keys, key)
			}
			return false
		})
	}
	compare(t, "audit key", keys, firstColumn(t, operations, "key"))
}

// TestEveryLogLineIsExplained compares the table of log lines with the literals that the operator logs.
func TestEveryLogLineIsExplained(t *testing.T) {
	var lines []string
	for _, pattern := range []string{"*.go", "internal/controller/*.go", "internal/connection/*.go", "internal/secretwatch/*.go", "internal/tracing/*.go", "internal/watchhealth/*.go"} {
		for _, file := range source(t, pattern) {
			ast.Inspect(file, func(node ast.Node) bool {
				call, is := node.(*ast.CallExpr)
				if !is || len(call.Args) == 0 {
					return true
				}
				at := map[string]int{"Info": 0, "Error": 1}
				position, logs := at[name(call.Fun)]
				if !logs || position >= len(call.Args) {
					return true
				}
				line, isLiteral := text(call.Args[position])
				if !isLiteral {
					t.Errorf("a line of the log is no literal, in %s", pattern)
				}
				if !slices.Contains(lines, line) {
					lines = append(lines, line)
				}
				return true
			})
		}
	}
	compare(t, "log line", lines, firstColumn(t, "docs/logs-and-traces.md", "line"))
}

// TestEveryAlertHasARunbook: each alert links to its own heading.
func TestEveryAlertHasARunbook(t *testing.T) {
	rules, err := os.ReadFile(filepath.Join(root, "config/prometheus/prometheus_rule.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var alerts, linked, explained []string
	for _, match := range regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(string(rules), -1) {
		alerts = append(alerts, strings.ToLower(match[1]))
	}
	for _, match := range regexp.MustCompile(`runbook_url: \S+/docs/operations.md#(\w+)\n`).FindAllStringSubmatch(string(rules), -1) {
		linked = append(linked, match[1])
	}
	for _, anchor := range anchors(t, operations) {
		if strings.HasPrefix(anchor, "clientbinding") && anchor != "clientbinding" {
			explained = append(explained, anchor)
		}
	}
	if !slices.Equal(alerts, linked) {
		t.Errorf("the alerts are %s, and their runbooks %s", alerts, linked)
	}
	compare(t, "alert", alerts, explained)
}

func compare(t *testing.T, what string, known, explained []string) {
	t.Helper()
	if len(known) == 0 {
		t.Errorf("found no %s in the code", what)
	}
	for _, name := range known {
		if !slices.Contains(explained, name) {
			t.Errorf("%s does not explain the %s %s", operations, what, name)
		}
	}
	for i, name := range explained {
		if !slices.Contains(known, name) {
			t.Errorf("%s explains the %s %s, which there is not", operations, what, name)
		}
		if slices.Contains(explained[:i], name) {
			t.Errorf("%s explains the %s %s twice", operations, what, name)
		}
	}
}

// TestNamesInTheTextExist finds misspelled reasons in the text outside of tables. A code span that begins with
// a capital is a string constant or a type of the API, an event, or the status of a condition.
func TestNamesInTheTextExist(t *testing.T) {
	known := slices.Concat(typeNames(t), eventsOf(t), []string{"True", "False", "Unknown"})
	for _, value := range constants(t) {
		known = append(known, value)
	}
	name := regexp.MustCompile(`^[A-Z][A-Za-z]*[a-z][A-Za-z]*$`)
	for _, page := range []string{readme, operations} {
		for _, span := range codeSpans(t, page) {
			if name.MatchString(span) && !slices.Contains(known, span) {
				t.Errorf("%s names `%s`, which there is not", page, span)
			}
		}
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, page := range pages(t) {
		for _, match := range link.FindAllStringSubmatch(prose(t, page), -1) {
			if strings.Contains(match[1], "://") {
				continue
			}
			target, anchor, _ := strings.Cut(match[1], "#")
			path := page
			if target != "" {
				path = filepath.Join(filepath.Dir(page), target)
			}
			if _, err := os.Stat(filepath.Join(root, path)); err != nil {
				t.Errorf("%s links to %s, which there is not", page, match[1])
			} else if anchor != "" && !slices.Contains(anchors(t, path), anchor) {
				t.Errorf("%s links to %s, and %s has no such heading", page, match[1], path)
			}
		}
	}
}

// TestFlagsExist checks flags in code spans, alone as in `--stall-after`, or after the operator's name.
func TestFlagsExist(t *testing.T) {
	known := slices.Concat(flags(t, "main.go"), flags(t, "internal/plugin/*.go"))
	flag := regexp.MustCompile(`--([a-z][a-z-]*)`)
	found := 0
	for _, page := range pages(t) {
		for _, span := range codeSpans(t, page) {
			if !strings.HasPrefix(span, "--") && !strings.HasPrefix(span, "clientbinding-operator ") {
				continue
			}
			for _, match := range flag.FindAllStringSubmatch(span, -1) {
				found++
				if !slices.Contains(known, match[1]) {
					t.Errorf("%s names the flag %s, which neither the operator nor the plugin has", page, match[0])
				}
			}
		}
	}
	if found == 0 {
		t.Error("found no flags in the documents")
	}
}

// pages are the documents, as paths from the root of the repository.
func pages(t *testing.T) []string {
	t.Helper()
	found := []string{readme, "CHANGELOG.md", "DEVELOPMENT.md"}
	for _, pattern := range []string{"docs/*.md", "docs/*/*.md"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			page, err := filepath.Rel(root, path)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, filepath.ToSlash(page))
		}
	}
	return found
}

var fence = regexp.MustCompile("(?ms)^ *```.*?^ *```$")

// prose is a page without its blocks of code.
func prose(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	return fence.ReplaceAllString(string(text), "")
}

var code = regexp.MustCompile("`([^`]+)`")

// codeSpans are the code spans of a page.
func codeSpans(t *testing.T, page string) []string { return spansOf(prose(t, page)) }

func spansOf(text string) (spans []string) {
	for _, match := range code.FindAllStringSubmatch(text, -1) {
		spans = append(spans, match[1])
	}
	return spans
}

// firstColumn are the names in the first column of all tables of a page with a given heading of this column.
func firstColumn(t *testing.T, page, heading string) (names []string) {
	t.Helper()
	inside := false
	for line := range strings.Lines(prose(t, page)) {
		cells := strings.Split(line, "|")
		switch {
		case !strings.HasPrefix(line, "|") || len(cells) < 3:
			inside = false
		case strings.TrimSpace(cells[1]) == heading:
			inside = true
		case inside:
			names = append(names, spansOf(cells[1])...)
		}
	}
	return names
}

// anchors are the anchors of the headings of a page.
func anchors(t *testing.T, page string) (found []string) {
	t.Helper()
	dropped := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	for line := range strings.Lines(prose(t, page)) {
		level, title, _ := strings.Cut(strings.TrimSpace(line), " ")
		if level != "" && strings.Trim(level, "#") == "" {
			found = append(found, strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(title), ""), " ", "-"))
		}
	}
	return found
}

// source parses the Go files of a pattern, without the tests.
func source(t *testing.T, pattern string) (files []*ast.File) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, pattern))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// constants are the string constants of the API, by their names.
func constants(t *testing.T) map[string]string {
	t.Helper()
	values := map[string]string{}
	for _, file := range source(t, "api/v1alpha1/*.go") {
		ast.Inspect(file, func(node ast.Node) bool {
			if spec, is := node.(*ast.ValueSpec); is && len(spec.Names) == len(spec.Values) {
				for i, name := range spec.Names {
					if value, is := text(spec.Values[i]); is {
						values[name.Name] = value
					}
				}
			}
			return true
		})
	}
	return values
}

func reasonsOf(constants map[string]string) (reasons []string) {
	for name, value := range constants {
		if strings.HasPrefix(name, "Reason") {
			reasons = append(reasons, value)
		}
	}
	slices.Sort(reasons)
	return reasons
}

func typeNames(t *testing.T) (names []string) {
	t.Helper()
	for _, file := range source(t, "api/v1alpha1/*.go") {
		ast.Inspect(file, func(node ast.Node) bool {
			if spec, is := node.(*ast.TypeSpec); is {
				names = append(names, spec.Name.Name)
			}
			return true
		})
	}
	return names
}

// eventsOf are the reasons of the controller's events: literals in calls of note or Eventf, literals that a function in such a call
// returns, and literals for a function that passes a parameter to them. A field reason or Reason was an argument of note before, or
// is the reason of a condition.
func eventsOf(t *testing.T) (reasons []string) {
	t.Helper()
	var functions []*ast.FuncDecl
	for _, file := range source(t, "internal/controller/*.go") {
		for _, declaration := range file.Decls {
			if function, is := declaration.(*ast.FuncDecl); is {
				functions = append(functions, function)
			}
		}
	}
	// The position of the reason among the arguments of a function.
	position := map[string]int{"note": 1, "Eventf": 3}
	for known := 0; known < len(position); {
		known = len(position)
		reasons = nil
		for _, function := range functions {
			for _, argument := range arguments(function, position) {
				if from := returnedBy(functions, argument); from != nil {
					reasons = append(reasons, from...)
					continue
				}
				reason, isLiteral := text(argument)
				_, isField := argument.(*ast.SelectorExpr)
				parameter := slices.Index(parameters(function), name(argument))
				switch {
				case isLiteral:
					reasons = append(reasons, reason)
				case isField && strings.EqualFold(name(argument), "reason"):
				case parameter >= 0:
					position[function.Name.Name] = parameter
				default:
					t.Fatalf("%s tells an event whose reason cannot be read from the code: make it a literal", function.Name.Name)
				}
			}
		}
	}
	slices.Sort(reasons)
	return slices.Compact(reasons)
}

// returnedBy are the literals that a function returns, if it is called within string(…); nil if there is no such call.
func returnedBy(functions []*ast.FuncDecl, argument ast.Expr) (literals []string) {
	conversion, is := argument.(*ast.CallExpr)
	if !is || name(conversion.Fun) != "string" {
		return nil
	}
	called, is := conversion.Args[0].(*ast.CallExpr)
	if !is {
		return nil
	}
	for _, function := range functions {
		if function.Name.Name != name(called.Fun) {
			continue
		}
		ast.Inspect(function, func(node ast.Node) bool {
			if statement, is := node.(*ast.ReturnStmt); is {
				if literal, is := text(statement.Results[0]); is {
					literals = append(literals, literal)
				}
			}
			return true
		})
	}
	return literals
}

// arguments are the arguments of calls at the given positions of functions.
func arguments(of *ast.FuncDecl, position map[string]int) (found []ast.Expr) {
	ast.Inspect(of, func(node ast.Node) bool {
		if call, is := node.(*ast.CallExpr); is {
			if at, known := position[name(call.Fun)]; known && at < len(call.Args) {
				found = append(found, call.Args[at])
			}
		}
		return true
	})
	return found
}

func parameters(of *ast.FuncDecl) (names []string) {
	for _, field := range of.Type.Params.List {
		for _, parameter := range field.Names {
			names = append(names, parameter.Name)
		}
		if len(field.Names) == 0 {
			names = append(names, "_")
		}
	}
	return names
}

// flags are the names of the flags in the files of a pattern, and of those that every program has.
func flags(t *testing.T, pattern string) []string {
	t.Helper()
	names := []string{"help", "kubeconfig"}
	for _, file := range source(t, pattern) {
		ast.Inspect(file, func(node ast.Node) bool {
			call, is := node.(*ast.CallExpr)
			if !is || len(call.Args) < 4 || !strings.HasSuffix(strings.TrimSuffix(name(call.Fun), "P"), "Var") {
				return true
			}
			if flag, is := text(call.Args[1]); is {
				names = append(names, flag)
			}
			return true
		})
	}
	if len(names) == 2 {
		t.Errorf("found no flags in %s", pattern)
	}
	return names
}

// name is the name of a variable or function, without its package or receiver.
func name(of ast.Expr) string {
	switch of := of.(type) {
	case *ast.Ident:
		return of.Name
	case *ast.SelectorExpr:
		return of.Sel.Name
	default:
		return ""
	}
}

// text is the value of a string literal.
func text(of ast.Expr) (value string, is bool) {
	literal, is := of.(*ast.BasicLit)
	if !is || literal.Kind != token.STRING {
		return "", false
	}
	value, err := strconv.Unquote(literal.Value)
	return value, err == nil
}
