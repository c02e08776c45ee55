// Package progress tells people what a program is doing.
package progress

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Report tells what is being done and how long that took.
type Report struct {
	Out io.Writer
	// open: the line of the step under way has no end yet.
	open bool
}

// Step announces what is being done, does it, and says how long that took.
func (r *Report) Step(what string, do func() error) error {
	fmt.Fprint(r.Out, what, " ...")
	r.open = true
	start := time.Now()
	err := do()
	result := Seconds(time.Since(start))
	if err != nil {
		result = "failed after " + result
	}
	if r.open {
		fmt.Fprintln(r.Out, "", result)
	} else {
		fmt.Fprintln(r.Out, "...", result)
	}
	r.open = false
	return err
}

// Write passes on what a step itself has to say, on lines of its own.
func (r *Report) Write(text []byte) (int, error) {
	if r.open {
		fmt.Fprintln(r.Out)
		r.open = false
	}
	return r.Out.Write(text)
}

// Seconds is a duration as it is told.
func Seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }

// Heading sets a part of the output apart.
func (r *Report) Heading(text string) {
	fmt.Fprintf(r.Out, "\n%s\n%s\n", text, strings.Repeat("-", len(text)))
}
