package controller

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

var update = flag.Bool("update", false, "write docs/faults.md as TestFaultMatrix sees it")

// document collects what the cells of the matrix saw.
type document struct {
	mu sync.Mutex
	// seen is by situation and fault.
	seen map[string]map[string]line
}

func newDocument() *document {
	return &document{seen: map[string]map[string]line{}}
}

func (d *document) add(s situation, f fault, seen line) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen[s.name] == nil {
		d.seen[s.name] = map[string]line{}
	}
	d.seen[s.name][f.name] = seen
}

// compare holds docs/faults.md against what was seen, or writes it with -update.
func (d *document) compare(t *testing.T) {
	t.Helper()
	for _, s := range situations {
		if len(d.seen[s.name]) < len(faults) {
			t.Log("not every cell was run, so docs/faults.md was not looked at")
			return
		}
	}
	file := filepath.Join("..", "..", "docs", "faults.md")
	if *update {
		if err := os.WriteFile(file, []byte(d.text()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	present, err := os.ReadFile(file)
	if err != nil || string(present) != d.text() {
		t.Error("docs/faults.md is not what the test saw: run it with -update, and read the difference")
	}
}

const documentHead = `# What becomes of every fault

Every way in which a call to the Delos API can fail, for every call that the operator makes. ` + "`TestFaultMatrix`" + `
runs each cell over real HTTP against the simulated platform, compares it with the tables in
[faults_table_test.go](../internal/controller/faults_table_test.go), and this page is what it saw. The test
fails when the page is out of date; after a change of the tables, write it anew and read the difference:

` + "```sh" + `
export KUBEBUILDER_ASSETS="$(go run ./hack/controlplane)"
go test ./internal/controller -run TestFaultMatrix -update
` + "```" + `

How to read a line:

- The **fault** hits every call of its kind in one run (with "once", only the first), and is over after that run.
  The relation was made or removed although the answer is spoilt where the fault says "applied", "after headers" or
  "halfway", and with truncated JSON, the 20 MiB body, another user's answer and the slow drip.
- **says** is the reason of the condition Ready, each explained in
  [conditions.go](../api/v1alpha1/conditions.go); "gone" is an object that was let go.
- **tries again** is when the operator does so by itself, without the tenth by which it spreads such waits;
  **Stalled** whether it asks for help at once.
- **calls** are all that the run sent, in their order; "list" is the List users that proves a login. Go's HTTP client
  itself sends a GET again, once, when a connection that was in use before is reset. Refresh is a GET, too, but its
  token is used up by the first call, so it gets a connection of its own and is never sent twice.
- **access** is whether the user is related to the client in the platform by then, and **finalizer** whether the
  object is held until that access is removed.
- **and after** is when all is well once the fault is over, and which calls that took.

After every run of every cell the test checks what must be true after every fault: no object is Ready unless
the platform has the declared relation; no object is gone whose access is not; no access is without a claim and a
finalizer that will remove it; and of Ready, Reconciling and Stalled always one is true.
`

func (d *document) text() string {
	var text strings.Builder
	text.WriteString(documentHead)
	for _, s := range situations {
		columns := columnsOf(s.table)
		text.WriteString("\n## " + s.name + "\n\n" + s.about + "\n\n")
		writeRow(&text, append([]string{"fault"}, columns...))
		writeRow(&text, slices.Repeat([]string{"---"}, len(columns)+1))
		for _, f := range faults {
			row := []string{f.name}
			for _, column := range columns {
				row = append(row, d.seen[s.name][f.name][column])
			}
			writeRow(&text, row)
		}
	}
	return text.String()
}

func writeRow(text *strings.Builder, row []string) {
	text.WriteString("| " + strings.Join(row, " | ") + " |\n")
}

// line is what is seen of a cell, by the column of its table.
type line map[string]string

// only keeps some columns.
func (l line) only(columns []string) line {
	kept := line{}
	for _, column := range columns {
		kept[column] = l[column]
	}
	return kept
}

// table is a situation's table as the test uses it.
type table struct {
	// columns in their order, without the fault's.
	columns []string
	lines   map[string]line
}

// parseTable reads a table and makes sure that it has one line for each fault.
func parseTable(t *testing.T, text string) table {
	t.Helper()
	rows := strings.Split(strings.TrimSpace(text), "\n")
	parsed := table{columns: columnsOf(text), lines: map[string]line{}}
	for i, row := range rows[1:] {
		values := splitRow(row)
		if len(values) != len(parsed.columns)+1 || i >= len(faults) || values[0] != faults[i].name {
			t.Fatalf("line %d is not the one for the fault in that place: %s", i+1, row)
		}
		parsed.lines[values[0]] = line{}
		for j, column := range parsed.columns {
			parsed.lines[values[0]][column] = values[j+1]
		}
	}
	if len(parsed.lines) != len(faults) {
		t.Fatalf("there are %d lines for %d faults", len(parsed.lines), len(faults))
	}
	return parsed
}

// columnsOf returns the columns of a table without the fault's.
func columnsOf(text string) []string {
	heading, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return splitRow(heading)[1:]
}

func splitRow(row string) []string {
	values := strings.Split(row, "|")
	for i := range values {
		values[i] = strings.TrimSpace(values[i])
	}
	return values
}
