package sandbox

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Report tells people what is being done and how long that took. Without one, steps are not told.
type Report struct {
	Out io.Writer
	// open: the line of the step under way has no end yet.
	open bool
}

// Step announces what is being done, does it, and says how long that took, also when it ends the program.
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

// Write passes on what a step itself has to say, on lines of its own.
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

// Heading sets a part of the output apart.
func (r *Report) Heading(text string) {
	fmt.Fprintf(r.Out, "\n%s\n%s\n", text, strings.Repeat("-", len(text)))
}

// Seconds is a duration as it is told.
func Seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }
