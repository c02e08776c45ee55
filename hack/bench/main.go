// Command bench tries the operator under load and under faults, and checks what it promises about sessions, rate
// limits, outages, and access that ends. Everything is real but the platform, which is simulated: a Kubernetes control plane, HTTP over
// loopback, and the operator as a process with the rights it ships with.
//
// It plays the scenarios that its arguments name, or all. Each prints what was measured and what was checked; the
// program fails when a check does. docs/performance.md explains the scenarios.
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
}

var scenarios = []scenario{
	{"sessions", "many bindings, and access tokens that live for two seconds", playSessions},
	{"patience", "the API answers one call of many with Retry-After", playPatience},
	{"rate", "many new bindings through a narrow connection", playRate},
	{"lockout", "many bindings wait while the password is wrong", playLockout},
	{"outage", "the API fails for a while", playOutage},
	{"rotation", "the account is replaced while bindings are checked", playRotation},
	{"expiry", "access ends at its time, also across a restart", playExpiry},
	{"priority", "bindings are deleted while a crowd of new ones waits", playPriority},
	{"neighbours", "others' connections are slow, dead or impatient", playNeighbours},
	{"strangers", "others fill the cluster with large Secrets", playStrangers},
	{"scale", "many bindings at once, beside a loop that does the same", playScale},
}

// sizes say how much is done.
type sizes struct {
	// lives of an access token are how long sessions is played.
	lives int
	// checked bindings are read each second, in sessions and rotation.
	checked int
	// waiting bindings want to be made at once, in patience, rate, lockout and neighbours.
	waiting int
	// bound bindings live through the outage, which lasts for blackout.
	bound    int
	blackout time.Duration
	// temporary bindings get an end, in expiry.
	temporary int
	// crowd is how many new bindings wait in priority.
	crowd int
	// prompt is how many bindings are made and deleted beside each connection in trouble, in neighbours; waiting use that one.
	prompt int
	// strangers are the Secrets of others, in strangers.
	strangers int
	// scale is how many bindings are made at once, in one round after the other; 0 is no round.
	scale [3]int
}

var (
	full  = sizes{lives: 50, checked: 200, waiting: 500, bound: 1000, blackout: 20 * time.Second, temporary: 400, crowd: 2000, prompt: 100, strangers: 5000, scale: [3]int{500, 2000, 10000}}
	short = sizes{lives: 6, checked: 60, waiting: 200, bound: 200, blackout: 6 * time.Second, temporary: 120, crowd: 1000, prompt: 40, strangers: 500, scale: [3]int{200}}
)

func main() {
	plan, size, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	sandbox.Main("bench", func(c *sandbox.Command) { run(c, plan, size) })
}

// parse reads which scenarios to play, all without one, and how large.
func parse(arguments []string) (plan []scenario, size sizes, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	brief := flags.Bool("short", false, "smaller and shorter, with the same checks")
	lives := flags.Int("lives", 0, "sessions: how many lives of an access token to play (50, or 6 with --short)")
	bound := flags.Int("bindings", 0, "outage: how many bindings live through it (1000, or 200 with --short)")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "bench [flags] [scenario…]")
		for _, s := range scenarios {
			fmt.Fprintf(flags.Output(), "  %-10s %s\n", s.name, s.about)
		}
		flags.PrintDefaults()
	}
	if err := flags.Parse(arguments); err != nil {
		return nil, sizes{}, err
	}
	if *lives < 0 || *bound < 0 {
		return nil, sizes{}, errors.New("--lives and --bindings must be positive")
	}
	size = full
	if *brief {
		size = short
	}
	if *lives > 0 {
		size.lives = *lives
	}
	if *bound > 0 {
		size.bound = *bound
	}
	for _, name := range flags.Args() {
		i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
		if i < 0 {
			return nil, size, fmt.Errorf("there is no scenario %q: see --help", name)
		}
		plan = append(plan, scenarios[i])
	}
	if plan == nil {
		plan = scenarios
	}
	return plan, size, nil
}

// run plays the scenarios, one after the other.
func run(c *sandbox.Command, plan []scenario, size sizes) {
	began := time.Now()
	s := &stage{T: c, Sandbox: sandbox.Start(c, sandbox.Options{Kustomization: "config/examples/finalizer-at-creation"})}
	fmt.Printf("Control plane and operator are ready after %s\n", sandbox.Seconds(time.Since(began)))
	var failed []string
	for _, scenario := range plan {
		if !s.play(scenario, size) {
			failed = append(failed, scenario.name)
		}
	}
	fmt.Printf("\n%d of %d scenarios as they should be, in %s\n", len(plan)-len(failed), len(plan), sandbox.Seconds(time.Since(began)))
	if len(failed) > 0 {
		c.Error("not as it should be: " + strings.Join(failed, ", "))
	}
}
