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

const documentHead = `# Faults and their outcomes

This page has the outcome of each fault of each call to the Delos API. ` + "`TestFaultMatrix`" + `
runs each cell over real HTTP against the simulated platform, compares it with the tables in
[faults_table_test.go](../internal/controller/faults_table_test.go), and writes this page. The test
fails when the page is out of date. After a change of the tables, write the page again and read the difference:

` + "```sh" + `
export KUBEBUILDER_ASSETS="$(go run ./hack/controlplane)"
go test ./internal/controller -run TestFaultMatrix -update
` + "```" + `

How to read a line:

- The **fault** hits every call of its kind in one run (with "once", only the first), and ends after that run.
  With "applied", "after headers", "halfway", truncated JSON, the 20 MiB body, another user's answer and the slow drip, the
  platform makes or removes the relation, and only the answer is bad.
- **says** is the reason of the condition Ready ([conditions.go](../api/v1alpha1/conditions.go) explains each). "gone" is an object that was let go.
- **tries again** is the time until the operator tries again, without the random tenth. **Stalled** says whether the object is Stalled at once.
- **calls** are all calls of the run, in their order. "list" is the List users that proves a login. Go's HTTP client
  itself sends a GET again, once, when a connection that was in use before is reset. Refresh is a GET, too, but the first call
  uses up its token. So each refresh gets its own connection and is never sent twice.
- **access** says whether the platform has the relation at that time. **finalizer** says whether the
  object stays until the access is removed.
- **and after** is the time until the relation is as declared after the fault, and the calls for this.

After each run of each cell the test checks four promises. An object is Ready only if
the platform has the declared relation. An object is gone only if its access is gone. All access has a claim and a
finalizer. Exactly one of Ready, Reconciling and Stalled is true.
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
