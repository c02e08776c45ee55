package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/prometheus/procfs"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// document has the tables, kept is what they are written from, and curves is the picture in it.
const document, kept, curves = "docs/scale.md", "docs/scale.json", "docs/images/scale.svg"

// results are what is kept of the scenarios: for docs/scale.md, and for programs.
type results struct {
	Machine string `json:"machine"`
	// Rounds are those of scale, each as the median of Runs.
	Rounds []round `json:"rounds"`
	Runs   int     `json:"runs"`
	// Checks are the lines of the other scenarios.
	Checks map[string][]line `json:"checks"`
	// Heap is what the operator's heap is made of, in memory.
	Heap string `json:"heap"`
	// Writes are the costs of one write, in writes.
	Writes []writeCost `json:"writes"`
	// Plan is what the plan starts from.
	Plan figures `json:"plan"`
}

// readResults reads what an earlier run has kept.
func readResults(t sandbox.T, file string) *results {
	r := &results{Checks: map[string][]line{}, Plan: figures{}}
	text, err := os.ReadFile(file)
	sandbox.Must(t, err)
	sandbox.Must(t, json.Unmarshal(text, r))
	return r
}

func (r *results) write(t sandbox.T, file string) {
	text, err := json.MarshalIndent(r, "", "  ")
	sandbox.Must(t, err)
	sandbox.Must(t, os.WriteFile(file, append(text, '\n'), 0o644))
}

// machine says what is measured on.
func machine(t sandbox.T) string {
	system, err := procfs.NewDefaultFS()
	sandbox.Must(t, err)
	cpus, err := system.CPUInfo()
	sandbox.Must(t, err)
	memory, err := system.Meminfo()
	sandbox.Must(t, err)
	return fmt.Sprintf("%d cores of %s, %.0f GiB of memory, %s/%s",
		len(cpus), cpus[0].ModelName, float64(*memory.MemTotalBytes)/(1<<30), runtime.GOOS, runtime.GOARCH)
}

// writeDocument writes the tables of docs/scale.md, and draws its picture.
func (r *results) writeDocument(t sandbox.T) {
	before, err := os.ReadFile(document)
	sandbox.Must(t, err)
	sandbox.Must(t, os.WriteFile(document, []byte(r.fill(t, string(before))), 0o644))
	_, err = sandbox.Go(t.Context(), io.Discard, "run", "-C", "hack/tools/plot", ".", "../../../"+kept, "../../../"+curves)
	sandbox.Must(t, err)
}

// fill puts what was measured between the marks of a document.
func (r *results) fill(t sandbox.T, text string) string {
	parts := map[string]string{}
	for name, lines := range r.Checks {
		rows := [][]string{{"", "measured", "wanted"}}
		for _, l := range lines {
			value := l.Value
			if l.Failed {
				value = "**" + value + "**"
			}
			rows = append(rows, []string{l.What, value, l.Wanted})
		}
		parts[name] = table(rows)
	}
	parts["machine"] = fmt.Sprintf("Measured on %s, which the control plane, the simulator, the operator and the bench share. The rounds of \"Many at once\" are medians of %d runs.\n",
		r.Machine, r.Runs)
	parts["rounds"] = r.roundTable()
	parts["writes"] = r.writeTable()
	parts["heap"] = "```\n" + strings.TrimRight(r.Heap, "\n") + "\n```\n"
	parts["plan"] = r.Plan.table()
	var written strings.Builder
	for {
		before, rest, found := strings.Cut(text, "<!-- measured: ")
		written.WriteString(before)
		if !found {
			return written.String()
		}
		name, rest, named := strings.Cut(rest, " -->\n")
		_, after, closed := strings.Cut(rest, "<!-- end -->")
		part, measured := parts[name]
		if !named || !closed || !measured {
			t.Fatal(fmt.Sprintf("%s: nothing was measured for %q, or it has no end", document, name))
		}
		fmt.Fprintf(&written, "<!-- measured: %s -->\n%s<!-- end -->", name, part)
		text = after
	}
}

// roundTable has a column for each round, and in bold what is more than it may be.
func (r *results) roundTable() string {
	head := []string{"bindings, of each user"}
	for _, round := range r.Rounds {
		head = append(head, fmt.Sprintf("%d, %d", round.Bindings, round.PerUser))
	}
	rows := [][]string{append(head, "at most")}
	for _, name := range roundFigures {
		row, limits := []string{name}, []string{}
		for _, round := range r.Rounds {
			value, measured := round.Figures[name]
			limit, limited := round.limits()[name]
			text := ratio(value).String()
			if !measured {
				text = ""
			} else if limited && ratio(value).rounded() > ratio(limit).rounded() {
				text = "**" + text + "**"
			}
			row = append(row, text)
			if limited && !slices.Contains(limits, ratio(limit).String()) {
				limits = append(limits, ratio(limit).String())
			}
		}
		rows = append(rows, append(row, strings.Join(limits, ", ")))
	}
	return table(rows)
}

// table is a table of Markdown; its first row is the head.
func table(rows [][]string) string {
	var text strings.Builder
	for i, row := range rows {
		fmt.Fprintf(&text, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			text.WriteString(strings.Repeat("| --- ", len(row)) + "|\n")
		}
	}
	return text.String()
}
