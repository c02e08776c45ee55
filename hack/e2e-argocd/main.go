// Command e2e-argocd plays on this machine what teams do with Argo CD: a Git repository on disk, the real Argo CD, a
// real Kubernetes control plane, the operator as a process with the rights it ships with, and the simulated Delos
// platform. It checks every outcome in Argo CD, in Kubernetes and on the platform, and tells how long each step took.
//
// Nothing outlives it: neither a process nor a file, but for what was built, which is kept in the user's cache.
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
	var o options
	flag.StringVar(&o.logs, "logs", "", "keep what the programs wrote in this `directory`, also when all is well")
	flag.BoolVar(&o.show, "show", false, "show what Argo CD's command line prints at each step")
	flag.Parse()
	ctrl.SetLogger(logr.Discard()) // what goes wrong is returned as an error
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second Ctrl-C does not cut the cleaning short: signals are ignored until the end.
	defer stop()

	err := start(ctx, os.Stdout, o)
	switch {
	case err == nil:
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "e2e-argocd: interrupted")
		os.Exit(130)
	case errors.Is(err, errToldAlready):
		os.Exit(1)
	default:
		fmt.Fprintln(os.Stderr, "e2e-argocd:", err)
		os.Exit(1)
	}
}

type options struct {
	logs string
	show bool
}

// start finds or builds everything, and then runs in a network of its own, if the system lets it.
func start(ctx context.Context, out io.Writer, o options) error {
	found, inside := partsFromEnvironment()
	if inside {
		if err := loopbackUp(); err != nil {
			return err
		}
		return run(ctx, out, o, found)
	}
	report := &progress.Report{Out: out}
	found, err := prepare(ctx, report)
	if err != nil {
		return err
	}
	isolated, err := isolate(ctx, found)
	if !isolated {
		fmt.Fprintf(out, "No network of its own (%v). Argo CD's application controller cannot be told where to serve its metrics: "+
			"for as long as this lasts, the network can read them at a port of this machine\n", err)
		return run(ctx, out, o, found)
	}
	return err
}

// run plays everything. Whatever happens it cleans up.
func run(ctx context.Context, out io.Writer, o options, found parts) (err error) {
	report := &progress.Report{Out: out}
	began := time.Now()
	box, err := sandbox.New()
	if err != nil {
		return err
	}
	s := &stage{box: box, report: report, parts: found, show: o.show}
	defer func() {
		if err != nil && ctx.Err() == nil {
			s.tellLogs(out)
		}
		if o.logs != "" {
			err = errors.Join(err, s.keepLogs(o.logs))
		}
		err = errors.Join(err, report.Step("Stopping everything, removing "+box.Dir(), box.Close))
		if err == nil {
			fmt.Fprintf(out, "All as expected, in %s.\n", progress.Seconds(time.Since(began)))
		}
	}()
	if err := s.build(ctx); err != nil {
		return err
	}
	return s.play(ctx)
}
