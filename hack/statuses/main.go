// Command statuses records real objects for the tests of Argo CD's health and actions: it runs the operator against
// simulated platforms that work, fail or dawdle, and writes what the API server then has of each kind to
// config/argocd/GROUP/KIND/testdata. Run it after a change of what the operator writes into a status:
//
//	go run ./hack/statuses
//
// Times and uids differ from one run to the next; the messages that health_test.yaml expects have to follow.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

func main() {
	ctrl.SetLogger(logr.Discard()) // what goes wrong is returned as an error
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "statuses:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	box, err := sandbox.New()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, box.Close()) }()
	s, err := build(ctx, box)
	if err != nil {
		return err
	}
	if err := s.play(ctx); err != nil {
		return fmt.Errorf("%w\n%s", err, s.operator.LogEnd())
	}
	return nil
}
