package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/prometheus/procfs"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	// document has the tables, and curves is the picture in it.
	document = "docs/scale.md"
	curves   = "docs/images/scale.svg"
)

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

// readResults reads what an earlier run has kept; nothing where there is no file, or none yet.
func readResults(file string) (*results, error) {
	r := &results{Checks: map[string][]line{}, Plan: figures{}}
	text, err := os.ReadFile(file)
	if file == "" || errors.Is(err, os.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	return r, json.Unmarshal(text, r)
}

// write keeps the results in a file, unless its name is empty.
func (r *results) write(file string) error {
	if file == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// machine says what is measured on.
func machine() (string, error) {
	system, err := procfs.NewDefaultFS()
	if err != nil {
		return "", err
	}
	cpus, err := system.CPUInfo()
	if err != nil {
		return "", err
	}
	memory, err := system.Meminfo()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d cores of %s, %.0f GiB of memory, %s/%s",
		len(cpus), cpus[0].ModelName, float64(*memory.MemTotalBytes)/(1<<30), runtime.GOOS, runtime.GOARCH), nil
}

// writeDocument writes the tables of docs/scale.md, and draws its picture, from what a file keeps.
func (r *results) writeDocument(ctx context.Context, kept string) error {
	root, err := sandbox.ModuleRoot(ctx)
	if err != nil {
		return err
	}
	file := filepath.Join(root, document)
	before, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	after, err := r.fill(string(before))
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte(after), 0o644); err != nil {
		return err
	}
	if kept, err = filepath.Abs(kept); err != nil {
		return err
	}
	_, err = sandbox.Go(ctx, io.Discard, "run", "-C", "hack/tools/plot", ".", kept, filepath.Join(root, curves))
	return err
}

// fill puts what was measured between the marks of a document.
func (r *results) fill(text string) (string, error) {
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
			return written.String(), nil
		}
		name, rest, named := strings.Cut(rest, " -->\n")
		_, after, closed := strings.Cut(rest, "<!-- end -->")
		part, measured := parts[name]
		if !named || !closed || !measured {
			return "", fmt.Errorf("%s: nothing was measured for %q, or it has no end", document, name)
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
