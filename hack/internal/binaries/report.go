package binaries

import (
	"fmt"
	"io"
	"time"
)

// Reporter tells people what is going on, away from stdout.
type Reporter struct {
	Out io.Writer
	// Name of the program stands before each line.
	Name string
}

// Say tells something.
func (r Reporter) Say(format string, args ...any) {
	fmt.Fprintf(r.Out, r.Name+": "+format+"\n", args...)
}

// Step announces a long step before it starts and tells afterwards how long it took.
func (r Reporter) Step(what string, do func() error) error {
	r.Say("%s ...", what)
	start := time.Now()
	err := do()
	took := time.Since(start).Round(100 * time.Millisecond)
	if err != nil {
		r.Say("%s: failed after %s", what, took)
		return err
	}
	r.Say("%s: done in %s", what, took)
	return nil
}
