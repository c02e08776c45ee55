// Command bench measures the operator under load, beside a loop that does the same without a controller, and checks what it promises. Everything is
// real but the platform, which is simulated: a Kubernetes control plane, HTTP over loopback, and the operator as a process with the rights it ships with.
//
// It plays the scenarios that its arguments name, or all. Each prints what was measured and what was checked; the
// program fails when a check does. docs/performance.md and docs/scale.md explain the scenarios.
//
// Nothing outlives it: neither a process nor a file.
package main

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// scenario is something that happens to the operator, and what is to come of it. It has a namespace, a platform and a
// process of the operator to itself.
type scenario struct {
	name, about string
	play        func(*trial)
	// crowd: it goes on with the crowd that the scenario before has made.
	crowd bool
	// parts are played in place of the scenario.
	parts func(sizes) []scenario
}

var scenarios = []scenario{
	{name: "neighbours", about: "others' connections are slow, dead or impatient", play: playNeighbours},
	{name: "writes", about: "what one write costs the API server", play: playWrites},
	{name: "scale", about: "many bindings at once, beside a loop that does the same", parts: scaleParts},
	{name: "memory", about: "what the operator holds of a crowd, beside what others write", play: playMemory, crowd: true},
	{name: "restart", about: "the operator starts anew, and none of a crowd is due", play: playRestart, crowd: true},
	{name: "drift", about: "a crowd is checked, with an interval of seconds in place of an hour", play: playDrift, crowd: true},
	{name: "fair", about: "a crowd is due, and others come and go", play: playFair, crowd: true},
}

// sizes say how much is done.
type sizes struct {
	// prompt is how many bindings are made and deleted beside each connection in trouble, in neighbours; waiting use that one.
	prompt, waiting int
	// strangers are the Secrets of others, in memory.
	strangers int
	// scale is how many bindings are made at once, in one round after the other, and runs how often all rounds are played.
	scale []population
	runs  int
	// crowd is that of memory, restart, drift and fair, and interval stands for an hour in drift.
	population population
	interval   time.Duration
	// rests is how long the operator does nothing before its memory is measured.
	rests time.Duration
	// written is how many objects are written, in writes.
	written int
}

var (
	full = sizes{
		waiting: 500, prompt: 100, strangers: 5000, runs: 1,
		scale: []population{{500, 1}, {2000, 1}, {10000, 1}, {2000, 10}, {2000, 100}}, population: population{10000, 5}, interval: 45 * time.Second, written: 300, rests: 5 * time.Second,
	}
	short = sizes{
		waiting: 200, prompt: 40, strangers: 500, runs: 1,
		scale: []population{{200, 1}, {200, 10}}, population: population{500, 5}, interval: 20 * time.Second, written: 50, rests: 5 * time.Second,
	}
)

func main() {
	brief := flag.Bool("short", false, "smaller and shorter, with the same checks")
	runs := flag.Int("runs", 1, "scale: how often each round is played; the results are medians")
	update := flag.Bool("document", false, "keep the results in "+kept+", where those of other scenarios stay, and write "+document+" anew")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "bench [flags] [scenario…]")
		for _, s := range scenarios {
			fmt.Fprintf(flag.CommandLine.Output(), "  %-10s %s\n", s.name, s.about)
		}
		flag.PrintDefaults()
	}
	flag.Parse()
	size := full
	if *brief {
		size = short
	}
	size.runs = max(*runs, 1)
	sandbox.Main("bench", func(c *sandbox.Command) { run(c, chosen(c, flag.Args()), size, *update) })
}

// chosen are the scenarios that are named, in their order; all without a name.
func chosen(t sandbox.T, names []string) (plan []scenario) {
	if len(names) == 0 {
		return scenarios
	}
	for _, s := range scenarios {
		if slices.Contains(names, s.name) {
			plan = append(plan, s)
		}
	}
	if len(plan) != len(names) {
		t.Fatal(fmt.Sprintf("not all of these are scenarios, see --help: %s", strings.Join(names, ", ")))
	}
	return plan
}

// run plays the scenarios, one after the other.
func run(c *sandbox.Command, plan []scenario, size sizes, update bool) {
	began := time.Now()
	where := machine(c)
	s := start(c)
	fmt.Printf("Control plane and operator are ready after %s\n", seconds(time.Since(began)))
	if update {
		s.results = readResults(c, kept)
	}
	s.results.Machine = where
	failed := s.playAll(plan, size)
	fmt.Printf("\n%d of %d scenarios as they should be, in %s\n", len(plan)-len(failed), len(plan), seconds(time.Since(began)))
	if update {
		s.results.write(c, kept)
		s.results.writeDocument(c)
	}
	if len(failed) > 0 {
		c.Error("not as it should be: " + strings.Join(failed, ", "))
	}
}

// start starts a stage. Its operator tells the profile of its heap.
func start(t sandbox.T) *stage {
	return &stage{
		T: t,
		Sandbox: sandbox.Start(t, sandbox.Options{
			Kustomization: "config/examples/finalizer-at-creation", BuildFlags: []string{"-tags=profile"},
		}),
		results: &results{Checks: map[string][]line{}, Plan: figures{}},
	}
}

// playAll plays scenarios, or their parts, and returns the names of those that failed.
func (s *stage) playAll(plan []scenario, size sizes) (failed []string) {
	defer s.clear()
	for _, played := range plan {
		parts := []scenario{played}
		if played.parts != nil {
			s.results.Rounds, s.results.Runs, parts = nil, size.runs, played.parts(size)
		}
		passed := true
		for _, part := range parts {
			passed = s.play(part, size) && passed
		}
		if !passed {
			failed = append(failed, played.name)
		}
	}
	s.results.Rounds = medians(s.results.Rounds)
	delete(s.results.Checks, "scale") // its rounds have them
	return failed
}
