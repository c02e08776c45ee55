package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// reporter tells what is being done and how long that took.
type reporter struct {
	out io.Writer
	// open: the line of the step under way has no end yet.
	open bool
}

// step announces what is being done, does it, and says how long that took.
func (r *reporter) step(what string, do func() error) error {
	fmt.Fprint(r.out, what, " ...")
	r.open = true
	start := time.Now()
	err := do()
	result := seconds(time.Since(start))
	if err != nil {
		result = "failed after " + result
	}
	if r.open {
		fmt.Fprintln(r.out, "", result)
	} else {
		fmt.Fprintln(r.out, "...", result)
	}
	r.open = false
	return err
}

// Write passes on what a step itself has to say, on lines of its own.
func (r *reporter) Write(text []byte) (int, error) {
	if r.open {
		fmt.Fprintln(r.out)
		r.open = false
	}
	return r.out.Write(text)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }

// heading sets a part of the output apart.
func (r *reporter) heading(text string) {
	fmt.Fprintf(r.out, "\n%s\n%s\n", text, strings.Repeat("-", len(text)))
}
