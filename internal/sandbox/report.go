package sandbox

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Report prints the steps and their durations for people. A nil Report prints nothing.
type Report struct {
	Out io.Writer
	// open: the line of the current step has no end yet.
	open bool
}

// Step prints a step, runs it, and prints its duration, also when it ends the program.
func (r *Report) Step(what string, do func()) {
	if r == nil {
		do()
		return
	}
	fmt.Fprint(r.Out, what, " ...")
	r.open = true
	start, result := time.Now(), "failed after "
	defer func() {
		if r.open {
			result = " " + result
		} else {
			result = "... " + result
		}
		fmt.Fprintln(r.Out, result+Seconds(time.Since(start)))
		r.open = false
	}()
	do()
	result = ""
}

// Write prints the output of a step, on separate lines.
func (r *Report) Write(text []byte) (int, error) {
	if r == nil {
		return os.Stderr.Write(text)
	}
	if r.open {
		fmt.Fprintln(r.Out)
		r.open = false
	}
	return r.Out.Write(text)
}

// Heading prints a heading.
func (r *Report) Heading(text string) {
	fmt.Fprintf(r.Out, "\n%s\n%s\n", text, strings.Repeat("-", len(text)))
}

// Seconds formats a duration.
func Seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }
