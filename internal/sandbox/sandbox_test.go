package sandbox

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

func newBox(t *testing.T) *Sandbox {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	box, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = box.Close() })
	return box
}

func TestCloseStopsTheLastFirstAndRemovesTheDirectory(t *testing.T) {
	box := newBox(t)
	var stopped []int
	failure := errors.New("did not stop")
	for i, err := range []error{nil, failure, nil} {
		box.onClose(func() error { stopped = append(stopped, i); return err })
	}
	if err := box.Close(); !errors.Is(err, failure) {
		t.Errorf("got %v, want %v", err, failure)
	}
	if err := box.Close(); err != nil {
		t.Errorf("the second time: %v", err)
	}
	if want := []int{2, 1, 0}; !slices.Equal(stopped, want) {
		t.Errorf("stopped %v, want %v", stopped, want)
	}
	if _, err := os.Stat(box.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is still there (%v)", err)
	}
}

func TestNothingIsLeftOfAControlPlaneThatDoesNotStart(t *testing.T) {
	box := newBox(t)
	if _, err := box.StartControlPlane(t.Context(), filepath.Join(box.Dir(), "nowhere")); err == nil {
		t.Fatal("started without binaries")
	}
	if err := box.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

func TestSimulatorAnswersUntilItIsStopped(t *testing.T) {
	box := newBox(t)
	simulator, err := box.StartSimulator(t.Context(), delossim.Examples())
	if err != nil {
		t.Fatal(err)
	}
	if !answers(t.Context(), http.DefaultClient, simulator.AdminURL+"/users") {
		t.Error("the admin API does not answer")
	}
	response, err := http.Get(simulator.URL + "/v2/user")
	if err != nil || response.StatusCode != http.StatusUnauthorized {
		t.Fatalf("the API answers %v (%v)", response, err)
	}
	response.Body.Close()
	if err := errors.Join(box.Close(), simulator.Stop()); err != nil {
		t.Error(err)
	}
	if answers(t.Context(), http.DefaultClient, simulator.AdminURL+"/users") {
		t.Error("it still answers")
	}
}

func TestCommandCleansUpHoweverItEnds(t *testing.T) {
	for name, test := range map[string]struct {
		end       func(*Command)
		problems  []string
		panicking any
	}{
		"by itself":     {end: func(*Command) {}},
		"by an error":   {end: func(c *Command) { c.Error("wrong", 1) }, problems: []string{"wrong 1"}},
		"by a failure":  {end: func(c *Command) { Must(c, errors.New("broken")); panic("it went on") }, problems: []string{"broken"}},
		"by its tests":  {end: func(c *Command) { c.RunTests(failing{}) }, problems: []string{"tests failed"}},
		"by a panic":    {end: func(*Command) { panic("lost") }, panicking: "lost"},
		"out of a step": {end: func(c *Command) { (&Report{Out: io.Discard}).Step("a step", func() { c.Fatal("here") }) }, problems: []string{"here"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := &Command{context: t.Context}
			var cleaned []int
			func() {
				defer func() {
					if cause := recover(); cause != test.panicking {
						t.Errorf("panicked with %v, want %v", cause, test.panicking)
					}
				}()
				c.run(func(c *Command) {
					for i := range 2 {
						c.Cleanup(func() { cleaned = append(cleaned, i) })
					}
					test.end(c)
				})
			}()
			if diff := cmp.Diff([]int{1, 0}, cleaned); diff != "" {
				t.Errorf("cleaned up (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.problems, c.problems); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// failing are tests that fail.
type failing struct{}

func (failing) Run() int { return 1 }

// script is an operator that is a shell script.
func script(t *testing.T, text string) *Operator {
	t.Helper()
	dir := t.TempDir()
	o := &Operator{process: process{LogFile: filepath.Join(dir, "log"), name: "it", binary: filepath.Join(dir, "operator")}}
	if err := os.WriteFile(o.binary, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Kill() })
	return o
}

func TestOperatorThatEndsSaysWhy(t *testing.T) {
	o := script(t, "echo no such flag >&2; exit 2")
	err := o.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no such flag") {
		t.Errorf("got %v", err)
	}
	if err := o.Stop(); err != nil {
		t.Errorf("stopping what has ended: %v", err)
	}
}

func TestOperatorIsStoppedWhileItStarts(t *testing.T) {
	o := script(t, "exec sleep 60")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := o.Start(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if err := o.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "runs already") {
		t.Errorf("a second one: %v", err)
	}
	if err := errors.Join(o.Kill(), o.Stop()); err != nil {
		t.Error(err)
	}
}

func TestControllersThatAreNotThereAreNamed(t *testing.T) {
	box := newBox(t)
	err := box.StartControllers(t.Context(), &ControlPlane{Assets: box.Dir()})
	if err == nil || !strings.Contains(err.Error(), ControllerManager) || !strings.Contains(err.Error(), "make controlplane") {
		t.Errorf("got %v", err)
	}
}
