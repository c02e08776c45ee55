package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	// latency is how long each call to the platform takes.
	latency = 20 * time.Millisecond
	// lag is how long the platform does not show a write.
	lag = time.Second
	// settleLimit is how long the samples may take to be as expected.
	settleLimit = time.Minute
	// redrawEvery is how often the table is looked at.
	redrawEvery = 300 * time.Millisecond
)

// watch shows the table of bindings until all samples are as expected.
func (s *stage) watch() {
	s.report.Heading("kubectl get clientbindings --all-namespaces")
	view := newTable()
	began := time.Now()
	sandbox.Within(s, settleLimit, func() string {
		unexpected := s.unexpected()
		sandbox.Must(s, s.draw(view))
		if unexpected != "" {
			sandbox.Pause(s, redrawEvery)
		}
		return unexpected
	})
	wrong := s.wrongNow()
	fmt.Printf("\nAll as declared and read back after %s, and %s, which is wrong on purpose, says:\n  %s\n",
		sandbox.Seconds(time.Since(began)), wrong.Name, sandbox.Ready(wrong.Status.Conditions).Message)
}

// follow shows the table until a person has seen enough.
func (s *stage) follow() {
	view := newTable()
	wait.Until(func() {
		// A table that cannot be had just now, while a person tries things, is had a moment later.
		_ = s.draw(view)
	}, redrawEvery, s.Context().Done())
}

func (s *stage) draw(view *table) error {
	text, err := s.Cluster.Kubectl(s.Context(), "", "get", "clientbindings", "--all-namespaces")
	if err == nil {
		view.show(text)
	}
	return err
}

// table is a text that changes.
type table struct {
	out io.Writer
	// inPlace overwrites what was shown before; else only changes are shown, one below the other.
	inPlace bool

	shown string
}

// newTable is one on the terminal, if there is one.
func newTable() *table { return &table{out: os.Stdout, inPlace: isTerminal(os.Stdout)} }

// age is the last column, which changes by itself.
var age = regexp.MustCompile(`(?m) +\S+$`)

func (t *table) show(text string) {
	if t.inPlace {
		t.redraw(text)
	} else if age.ReplaceAllString(text, "") != age.ReplaceAllString(t.shown, "") {
		t.append(text)
	}
}

func (t *table) append(text string) {
	if t.shown != "" {
		fmt.Fprintln(t.out)
	}
	fmt.Fprint(t.out, text)
	t.shown = text
}

func (t *table) redraw(text string) {
	// Long lines are cut at the terminal's edge: wrapped, they could not be counted.
	const wrapOff, wrapOn, up, clearBelow = "\x1b[?7l", "\x1b[?7h", "\x1b[%dA", "\x1b[J"
	if t.shown != "" {
		fmt.Fprintf(t.out, up+clearBelow, strings.Count(t.shown, "\n"))
	}
	fmt.Fprint(t.out, wrapOff, text, wrapOn)
	t.shown = text
}

// isTerminal reports whether a person watches, so that lines can be overwritten.
func isTerminal(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}
