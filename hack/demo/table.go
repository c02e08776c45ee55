package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/delos-financial/clientbinding-operator/hack/internal/progress"
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
func (s *stage) watch(ctx context.Context) error {
	s.report.Heading("kubectl get clientbindings --all-namespaces")
	view := &table{out: s.report.Out, inPlace: isTerminal(s.report.Out)}
	began := time.Now()
	unexpected := ""
	err := wait.PollUntilContextTimeout(ctx, redrawEvery, settleLimit, true, func(ctx context.Context) (bool, error) {
		now, err := s.unexpected(ctx)
		if err != nil {
			return false, err
		}
		unexpected = now
		return unexpected == "", s.draw(ctx, view)
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("after %s not as expected: %s (%w)", progress.Seconds(time.Since(began)), unexpected, err)
	}
	if err != nil {
		return err
	}
	ready, err := s.ready(ctx, s.samples.wrong)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.report.Out, "\nAll as declared and read back after %s, and %s, which is wrong on purpose, says:\n  %s\n",
		progress.Seconds(time.Since(began)), s.samples.wrong.Name, ready.Message)
	return nil
}

// follow shows the table until the context ends.
func (s *stage) follow(ctx context.Context) {
	view := &table{out: s.report.Out, inPlace: isTerminal(s.report.Out)}
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		// A table that cannot be had just now, while somebody tries things, is had a moment later.
		_ = s.draw(ctx, view)
	}, redrawEvery)
}

func (s *stage) draw(ctx context.Context, view *table) error {
	text, err := s.cluster.Kubectl(ctx, "", "get", "clientbindings", "--all-namespaces")
	if err != nil {
		return err
	}
	view.show(text)
	return nil
}

// table is a text that changes.
type table struct {
	out io.Writer
	// inPlace overwrites what was shown before; else only changes are shown, one below the other.
	inPlace bool

	shown string
}

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

// isTerminal reports whether somebody watches, so that lines can be overwritten.
func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}
