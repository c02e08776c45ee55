package main

import (
	"fmt"
	"io"
	"time"
)

// reporter tells people what is going on, away from stdout.
type reporter struct {
	out io.Writer
}

func (r reporter) say(format string, args ...any) {
	fmt.Fprintf(r.out, "controlplane: "+format+"\n", args...)
}

// step announces a long step before it starts and tells afterwards how long it took.
func (r reporter) step(what string, do func() error) error {
	r.say("%s ...", what)
	start := time.Now()
	err := do()
	took := time.Since(start).Round(100 * time.Millisecond)
	if err != nil {
		r.say("%s: failed after %s", what, took)
		return err
	}
	r.say("%s: done in %s", what, took)
	return nil
}
