package sandbox

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
)

// T is a test, as *testing.T, or a [Command]. Functions that take one end it when they cannot go on.
type T interface {
	Helper()
	// Context ends with the test or the program, also by a signal.
	Context() context.Context
	// Cleanup registers a function for the end. The last one is called first.
	Cleanup(call func())
	Error(args ...any)
	Fatal(args ...any)
	Failed() bool
}

// Must ends a test or a program if there is an error.
func Must(t T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Command is a program, or the TestMain of a package, that fails and cleans up as a test does.
type Command struct {
	name     string
	context  func() context.Context
	problems []string
	// cleaning is locked during the cleanup.
	cleaning sync.Mutex
	cleanups []func()
}

// Main runs a program and ends the process. After a failure, a panic or a signal it cleans up first. A
// second signal does not interrupt the cleanup.
func Main(name string, run func(*Command)) {
	ctrl.SetLogger(logr.Discard()) // errors are returned
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	c := &Command{name: name, context: func() context.Context { return ctx }}
	c.run(run)
	code := 0
	switch {
	case len(c.problems) == 0:
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, name+": interrupted")
		code = 130
	default:
		fmt.Fprintln(os.Stderr, name+": "+strings.Join(c.problems, "\n"))
		code = 1
	}
	stop()
	os.Exit(code)
}

// ended is the panic that ends a program that cannot go on.
type ended struct{}

func (c *Command) run(run func(*Command)) {
	defer c.cleanUp()
	defer func() {
		if cause := recover(); cause != nil && cause != any(ended{}) {
			panic(cause)
		}
	}()
	run(c)
}

func (c *Command) cleanUp() {
	c.cleaning.Lock()
	defer c.cleaning.Unlock()
	for _, call := range slices.Backward(c.cleanups) {
		call()
	}
	c.cleanups = nil
}

// RunTests runs the tests of a package. Tests do not handle signals. At a signal they end at once, and leave nothing
// behind.
func (c *Command) RunTests(m interface{ Run() int }) {
	stopWaiting := context.AfterFunc(c.Context(), func() {
		c.cleanUp()
		fmt.Fprintln(os.Stderr, c.name+": interrupted")
		os.Exit(130)
	})
	defer stopWaiting()
	if m.Run() != 0 {
		c.Error("tests failed")
	}
}

// Helper implements [T].
func (c *Command) Helper() {}

// Context ends at a signal.
func (c *Command) Context() context.Context { return c.context() }

// Cleanup registers a function for the end of the process. The last one is called first.
func (c *Command) Cleanup(call func()) { c.cleanups = append(c.cleanups, call) }

// Error lets the program fail and go on.
func (c *Command) Error(args ...any) {
	c.problems = append(c.problems, strings.TrimSuffix(fmt.Sprintln(args...), "\n"))
}

// Fatal lets the program fail and end. Only the goroutine of the program may call it.
func (c *Command) Fatal(args ...any) {
	c.Error(args...)
	panic(ended{})
}

// Failed reports whether the program failed. An interrupt is not a failure.
func (c *Command) Failed() bool { return len(c.problems) > 0 && c.Context().Err() == nil }
