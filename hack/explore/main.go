// explore visits the states of internal/relation/explorer, and has it fail on code with mistakes: it changes internal/relation by an overlay
// of the build, one mutation at a time, and tells those that the explorer does not notice. With --document it writes what
// it saw into docs/verification.md.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/relation/explorer"
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
	if err := run(context.Background(), *states, *mutated, *update); err != nil {
		fmt.Fprintln(os.Stderr, "explore:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, states, mutated int, update bool) error {
	visited, err := explore(states)
	if err != nil {
		return err
	}
	caught, err := mutate(ctx, mutated)
	if err != nil || !update {
		return err
	}
	return write(visited, caught)
}

// explore visits the states of all configurations, and returns a table of them.
func explore(limit int) (table string, err error) {
	rows := [][]string{{"configuration", "the world", "states", "transitions", "depth", "time"}}
	total := explorer.Result{}
	for _, c := range explorer.Configurations() {
		result := c.Explore(limit)
		if result.Violation != "" {
			return "", fmt.Errorf("%s: %s\n%s", c.Name, result.Violation, strings.Join(result.Trace, "\n"))
		}
		name := c.Name
		if result.States >= limit {
			name += " (cut)"
		}
		row := []string{name, c.About, fmt.Sprint(result.States), fmt.Sprint(result.Transitions), fmt.Sprint(result.Depth), result.Took.Round(time.Second).String()}
		fmt.Println(strings.Join(row, " | "))
		rows = append(rows, row)
		total.States += result.States
		total.Transitions += result.Transitions
		total.Took += result.Took
	}
	rows = append(rows, []string{"all", "", fmt.Sprint(total.States), fmt.Sprint(total.Transitions), "", total.Took.Round(time.Second).String()})
	return inMarkdown(rows), nil
}

// mutate runs the explorer's test with each mutation, and returns a table of what noticed it.
func mutate(ctx context.Context, limit int) (table string, err error) {
	rows := [][]string{{"mutation: the code …", "file", "noticed by", "as"}}
	unnoticed := 0
	for _, m := range mutations {
		configuration, violation, err := m.try(ctx, limit)
		if err != nil {
			return "", err
		}
		if configuration == "" {
			unnoticed++
			configuration, violation = "nothing", ""
		}
		row := []string{m.breaks, m.file, configuration, violation}
		fmt.Println(strings.Join(row, " | "))
		rows = append(rows, row)
	}
	if unnoticed > 0 {
		return "", fmt.Errorf("%d mutations were not noticed", unnoticed)
	}
	return inMarkdown(rows), nil
}

var failed = regexp.MustCompile(`(?m)^ +--- FAIL: TestExplore/(\S+).*\n +explorer_test\.go:\d+: (.*):$`)

// try runs the explorer's test with the mutation, and returns the configuration that failed first, and how.
func (m mutation) try(ctx context.Context, limit int) (configuration, violation string, err error) {
	path, err := filepath.Abs(filepath.Join(relationDirectory, m.file))
	if err != nil {
		return "", "", err
	}
	code, err := os.ReadFile(path)
	if err != nil {
		return "", "", err
	}
	if bytes.Count(code, []byte(m.old)) != 1 {
		return "", "", fmt.Errorf("%s has this not once: %s", m.file, m.old)
	}
	directory, err := os.MkdirTemp("", "explore")
	if err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	changed, overlay := filepath.Join(directory, m.file), filepath.Join(directory, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		return "", "", err
	}
	if err := errors.Join(
		os.WriteFile(changed, bytes.Replace(code, []byte(m.old), []byte(m.changed), 1), 0o600),
		os.WriteFile(overlay, replace, 0o600),
	); err != nil {
		return "", "", err
	}
	test := exec.CommandContext(ctx, "go", "test", "-overlay", overlay, "-vet=off", "-failfast", "-run", "^TestExplore$", "./"+relationDirectory+"/explorer")
	test.Env = append(os.Environ(), fmt.Sprintf("EXPLORER_STATES=%d", limit))
	said, err := test.CombinedOutput()
	if err == nil {
		return "", "", nil
	}
	found := failed.FindStringSubmatch(string(said))
	if found == nil {
		return "", "", fmt.Errorf("the code that %s does not compile, or fails otherwise: %s", m.breaks, said)
	}
	return strings.ReplaceAll(found[1], "_", " "), found[2], nil
}

func inMarkdown(rows [][]string) string {
	var table strings.Builder
	for i, row := range rows {
		fmt.Fprintf(&table, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			table.WriteString(strings.Repeat("| --- ", len(row)) + "|\n")
		}
	}
	return table.String()
}

// write puts the tables between the marks of the document.
func write(tables ...string) error {
	content, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	parts := strings.Split(string(content), "<!-- table -->\n")
	if len(parts) != 2*len(tables)+1 {
		return fmt.Errorf("%s has not two marks for each table", document)
	}
	for i, table := range tables {
		parts[2*i+1] = table
	}
	return os.WriteFile(document, []byte(strings.Join(parts, "<!-- table -->\n")), 0o600)
}
