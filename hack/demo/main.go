// Command demo shows the operator at work on this machine: a real Kubernetes control plane, the simulated Delos
// platform, the operator as a process with the rights it ships with, and config/samples. It stays up until
// Ctrl-C; with --once it checks that all is as it should be, and ends.
//
// Nothing outlives it: neither a process nor a file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/delos-financial/clientbinding-operator/hack/internal/progress"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

func main() {
	once := flag.Bool("once", false, "check the outcome and end, with an error if it is not as expected")
	flag.Parse()
	ctrl.SetLogger(logr.Discard()) // what goes wrong is returned as an error
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second Ctrl-C does not cut the cleaning short: signals are ignored until the end.
	defer stop()

	err := run(ctx, os.Stdout, *once)
	switch {
	case err == nil:
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "demo: interrupted")
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run is the whole demo. Whatever happens it cleans up, and ends with what the simulator recorded.
func run(ctx context.Context, out io.Writer, once bool) (err error) {
	report := &progress.Report{Out: out}
	began := time.Now()
	box, err := sandbox.New()
	if err != nil {
		return err
	}
	var s *stage
	defer func() {
		if err != nil && ctx.Err() == nil && s != nil && s.operator != nil {
			fmt.Fprintf(out, "\nThe operator's log ends with\n%s\n", s.operator.LogEnd())
		}
		err = errors.Join(err, report.Step("Stopping everything, removing "+box.Dir(), box.Close))
		if s == nil {
			return
		}
		if once && err == nil {
			fmt.Fprintf(out, "All as expected, in %s.\n", progress.Seconds(time.Since(began)))
		}
		fmt.Fprintln(out, "The simulator recorded:", s.simulator.Summary())
	}()
	if s, err = build(ctx, box, report); err != nil {
		return err
	}
	if err := s.watch(ctx); err != nil {
		return err
	}
	if once {
		return s.check(ctx)
	}
	return s.invite(ctx)
}
