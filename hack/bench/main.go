// Command bench measures the operator under load, beside a loop that does the same without a controller, and checks what it promises. Everything is
// real but the platform, which is simulated: a Kubernetes control plane, HTTP over loopback, and the operator as a process with the rights it ships with.
//
// It plays the scenarios that its arguments name, or all. Each prints what was measured and what was checked; the
// program fails when a check does. docs/performance.md and docs/scale.md explain the scenarios.
//
// Nothing outlives it: neither a process nor a file.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
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
	scale [5]population
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
		scale: [5]population{{500, 1}, {2000, 1}, {10000, 1}, {2000, 10}, {2000, 100}}, population: population{10000, 5}, interval: 45 * time.Second, written: 300, rests: 5 * time.Second,
	}
	short = sizes{
		waiting: 200, prompt: 40, strangers: 500, runs: 1,
		scale: [5]population{{200, 1}, {200, 10}}, population: population{500, 5}, interval: 20 * time.Second, written: 50, rests: 5 * time.Second,
	}
)

func main() {
	plan, o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	sandbox.Main("bench", func(c *sandbox.Command) { run(c, plan, o) })
}

// options say how large the scenarios are, and where results are kept.
type options struct {
	sizes

	// json is the file of the results; what was not played stays in it as it is.
	json string
	// document has docs/scale.md written anew from that file.
	document bool
}

// parse reads which scenarios to play, all without one, and how.
func parse(arguments []string) (plan []scenario, o options, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	brief := flags.Bool("short", false, "smaller and shorter, with the same checks")
	runs := flags.Int("runs", 1, "scale: how often each round is played; the results are medians")
	flags.StringVar(&o.json, "json", "", "keep the results in this `file`; what it has of other scenarios stays")
	flags.BoolVar(&o.document, "document", false, "write "+document+" anew from the file of --json, at the end")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "bench [flags] [scenario…]")
		for _, s := range scenarios {
			fmt.Fprintf(flags.Output(), "  %-10s %s\n", s.name, s.about)
		}
		flags.PrintDefaults()
	}
	if err := flags.Parse(arguments); err != nil {
		return nil, options{}, err
	}
	if *runs < 1 {
		return nil, options{}, errors.New("--runs must be positive")
	}
	if o.document && o.json == "" {
		return nil, options{}, errors.New("--document needs --json")
	}
	o.sizes = full
	if *brief {
		o.sizes = short
	}
	o.runs = *runs
	for _, name := range flags.Args() {
		i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
		if i < 0 {
			return nil, o, fmt.Errorf("there is no scenario %q: see --help", name)
		}
		plan = append(plan, scenarios[i])
	}
	if plan == nil {
		plan = scenarios
	}
	return plan, o, nil
}

// run plays the scenarios, one after the other.
func run(c *sandbox.Command, plan []scenario, o options) {
	began := time.Now()
	where, err := machine()
	sandbox.Must(c, err)
	s := start(c)
	fmt.Printf("Control plane and operator are ready after %s\n", sandbox.Seconds(time.Since(began)))
	found, err := readResults(o.json)
	sandbox.Must(c, err)
	s.results = found
	s.results.Machine, s.results.Runs = where, o.runs
	failed := s.playAll(plan, o.sizes)
	fmt.Printf("\n%d of %d scenarios as they should be, in %s\n", len(plan)-len(failed), len(plan), sandbox.Seconds(time.Since(began)))
	sandbox.Must(c, s.results.write(o.json))
	if o.document {
		sandbox.Must(c, s.results.writeDocument(c.Context(), o.json))
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
	for _, scenario := range plan {
		passed := true
		if scenario.parts == nil {
			passed = s.play(scenario, size)
		} else {
			s.results.Rounds = nil
			for _, part := range scenario.parts(size) {
				passed = s.play(part, size) && passed
			}
			s.results.Rounds = medians(s.results.Rounds)
			delete(s.results.Checks, scenario.name)
		}
		if !passed {
			failed = append(failed, scenario.name)
		}
	}
	return failed
}
