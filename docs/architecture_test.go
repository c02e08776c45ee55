package docs_test

import (
	"go/ast"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const architecture = "docs/architecture.md"

// TestEveryStepIsExplained compares the table of steps with the code: each step of Decide has a row, with the function that
// Reconcile calls for it and its file.
func TestEveryStepIsExplained(t *testing.T) {
	row := regexp.MustCompile("(?m)^\\| `(Step[A-Za-z]+)` \\| \\[`([A-Za-z]+)`\\]\\(([^)]+)\\) \\|")
	explained := map[string]string{}
	for _, cells := range row.FindAllStringSubmatch(prose(t, architecture), -1) {
		step, function, file := cells[1], cells[2], filepath.Join(filepath.Dir(architecture), cells[3])
		explained[step] = function
		if !declares(source(t, file), function) {
			t.Errorf("%s says that %s is in %s, where it is not", architecture, function, file)
		}
	}
	taken := stepsTaken(t)
	if diff := cmp.Diff(explained, taken); diff != "" {
		t.Errorf("the steps that %s explains (-) and those that Reconcile takes (+):\n%s", architecture, diff)
	}
	for _, step := range valuesOf(t, "Step") {
		if taken[step] == "" {
			t.Errorf("Reconcile does not take %s", step)
		}
	}
}

// stepsTaken are the functions that Reconcile calls, by step.
func stepsTaken(t *testing.T) map[string]string {
	t.Helper()
	taken := map[string]string{}
	for _, file := range source(t, "internal/controller/clientbinding.go") {
		ast.Inspect(file, func(node ast.Node) bool {
			clause, is := node.(*ast.CaseClause)
			if !is {
				return true
			}
			step := "StepReport" // the last one, which is the default
			if clause.List != nil {
				step = name(clause.List[0])
			}
			if !strings.HasPrefix(step, "Step") {
				return true
			}
			ast.Inspect(clause, func(node ast.Node) bool {
				if call, is := node.(*ast.CallExpr); is {
					taken[step] = name(call.Fun)
				}
				return true
			})
			return false
		})
	}
	return taken
}

// TestEveryStateIsExplained compares the tables of states and causes with those of Decide, and their reasons of Ready
// with the existing ones.
func TestEveryStateIsExplained(t *testing.T) {
	text := prose(t, architecture)
	var whys []string
	reasons := slices.Concat(reasonsOf(constants(t)), eventsOf(t))
	why := regexp.MustCompile("(?m)^\\|[^|\n]*\\|((?: ?`[A-Z][A-Za-z]+`)+) \\|([^|\n]*)\\|$")
	for _, cells := range why.FindAllStringSubmatch(text, -1) {
		whys = append(whys, spansOf(cells[1])...)
		for _, reason := range spansOf(cells[2]) {
			if !slices.Contains(reasons, reason) {
				t.Errorf("%s names the reason %s, which there is not", architecture, reason)
			}
		}
	}
	states := slices.DeleteFunc(firstColumn(t, architecture, "state"), func(state string) bool { return state == "" })
	for _, table := range []struct {
		what             string
		known, explained []string
	}{
		{"state", valuesOf(t, "State"), slices.Compact(slices.Sorted(slices.Values(states)))},
		{"Why", valuesOf(t, "Why"), whys},
	} {
		slices.Sort(table.known)
		slices.Sort(table.explained)
		if diff := cmp.Diff(table.explained, table.known); diff != "" {
			t.Errorf("what %s explains of each %s (-), and what internal/relation has (+):\n%s", architecture, table.what, diff)
		}
	}
}

// valuesOf are the names of the constants of a type of internal/relation.
func valuesOf(t *testing.T, kind string) (values []string) {
	t.Helper()
	for _, file := range source(t, "internal/relation/*.go") {
		for _, declaration := range file.Decls {
			block, is := declaration.(*ast.GenDecl)
			if !is {
				continue
			}
			of := ""
			for _, spec := range block.Specs {
				value, is := spec.(*ast.ValueSpec)
				if !is {
					continue
				}
				if value.Type != nil || value.Values != nil {
					of = name(value.Type)
				}
				if of == kind {
					values = append(values, value.Names[0].Name)
				}
			}
		}
	}
	if len(values) == 0 {
		t.Errorf("internal/relation has no %s", kind)
	}
	return values
}

// declares reports whether one of the files has a function.
func declares(files []*ast.File, function string) bool {
	return slices.ContainsFunc(files, func(file *ast.File) bool {
		return slices.ContainsFunc(file.Decls, func(declaration ast.Decl) bool {
			declared, is := declaration.(*ast.FuncDecl)
			return is && declared.Name.Name == function
		})
	})
}
