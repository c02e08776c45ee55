// explore visits the states of internal/relation/explorer, and has it fail on code with mistakes: it changes internal/relation by an overlay
// of the build, one mutation at a time, and tells those that the explorer does not notice. With --document it writes what
// it saw into docs/verification.md.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/relation/explorer"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	relationDirectory = "internal/relation"
	document          = "docs/verification.md"
)

func main() {
	states := flag.Int("states", 60_000_000, "how many states of each configuration are visited at most")
	mutated := flag.Int("mutated-states", 400_000, "how many states of each configuration are visited at most with a mutation")
	update := flag.Bool("document", false, "write what was seen into "+document)
	flag.Parse()
	sandbox.Main("explore", func(c *sandbox.Command) {
		tables := []string{explore(c, *states), mutate(c, *mutated)}
		if *update {
			write(c, tables)
		}
	})
}

// explore visits the states of all configurations, and returns a table of them.
func explore(t sandbox.T, limit int) (table string) {
	table = row("configuration", "the world", "states", "transitions", "depth", "time") + row("---", "---", "---", "---", "---", "---")
	total := explorer.Result{}
	for _, c := range explorer.Configurations() {
		result := c.Explore(limit)
		if result.Violation != "" {
			t.Fatal(fmt.Sprintf("%s: %s\n%s", c.Name, result.Violation, strings.Join(result.Trace, "\n")))
		}
		sandbox.Must(t, t.Context().Err())
		name := c.Name
		if result.States >= limit {
			name += " (cut)"
		}
		seen := row(name, c.About, result.States, result.Transitions, result.Depth, result.Took.Round(time.Second))
		fmt.Print(seen)
		table += seen
		total.States += result.States
		total.Transitions += result.Transitions
		total.Took += result.Took
	}
	return table + row("all", "", total.States, total.Transitions, "", total.Took.Round(time.Second))
}

// mutate runs the explorer's test with each mutation, and returns a table of what noticed it.
func mutate(t sandbox.T, limit int) (table string) {
	table = row("mutation: the code …", "file", "noticed by", "as") + row("---", "---", "---", "---")
	unnoticed := 0
	for _, m := range mutations {
		configuration, violation := m.try(t, limit)
		if configuration == "" {
			unnoticed++
			configuration = "nothing"
		}
		tried := row(m.breaks, m.file, configuration, violation)
		fmt.Print(tried)
		table += tried
	}
	if unnoticed > 0 {
		t.Fatal(fmt.Sprintf("%d mutations were not noticed", unnoticed))
	}
	return table
}

var failed = regexp.MustCompile(`(?m)^ +--- FAIL: TestExplore/(\S+).*\n +explorer_test\.go:\d+: (.*):$`)

// try runs the explorer's test with the mutation, and returns the configuration that failed first, and how.
func (m mutation) try(t sandbox.T, limit int) (configuration, violation string) {
	path, err := filepath.Abs(filepath.Join(relationDirectory, m.file))
	sandbox.Must(t, err)
	code, err := os.ReadFile(path)
	sandbox.Must(t, err)
	if strings.Count(string(code), m.old) != 1 {
		t.Fatal(fmt.Sprintf("%s has this not once: %s", m.file, m.old))
	}
	directory, err := os.MkdirTemp("", "explore")
	sandbox.Must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	changed, overlay := filepath.Join(directory, m.file), filepath.Join(directory, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	sandbox.Must(t, err)
	sandbox.Must(t, os.WriteFile(changed, []byte(strings.Replace(string(code), m.old, m.changed, 1)), 0o600))
	sandbox.Must(t, os.WriteFile(overlay, replace, 0o600))
	test := exec.CommandContext(t.Context(), "go", "test", "-overlay", overlay, "-vet=off", "-failfast", "-run", "^TestExplore$", "./"+relationDirectory+"/explorer")
	test.Env = append(os.Environ(), fmt.Sprintf("EXPLORER_STATES=%d", limit))
	said, err := test.CombinedOutput()
	if err == nil {
		return "", ""
	}
	found := failed.FindStringSubmatch(string(said))
	if found == nil {
		t.Fatal(fmt.Sprintf("the code that %s does not compile, or fails otherwise: %s", m.breaks, said))
	}
	return strings.ReplaceAll(found[1], "_", " "), found[2]
}

// row is one of a table in Markdown.
func row(cells ...any) string {
	return "| " + strings.TrimSuffix(fmt.Sprintf(strings.Repeat("%v | ", len(cells)), cells...), " ") + "\n"
}

// write puts the tables between the marks of the document.
func write(t sandbox.T, tables []string) {
	content, err := os.ReadFile(document)
	sandbox.Must(t, err)
	parts := strings.Split(string(content), "<!-- table -->\n")
	if len(parts) != 2*len(tables)+1 {
		t.Fatal(document + " has not two marks for each table")
	}
	for i, table := range tables {
		parts[2*i+1] = table
	}
	sandbox.Must(t, os.WriteFile(document, []byte(strings.Join(parts, "<!-- table -->\n")), 0o600))
}
