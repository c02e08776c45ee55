// Package apiservertest runs the tests of a package on a real API server that they share.
package apiservertest

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// Run starts the API server of an environment, calls prepare for the objects that the tests share, runs the tests, and stops the API
// server. It returns the exit code of the process, and writes its own errors to stderr.
func Run(m *testing.M, environment *envtest.Environment, prepare func(*rest.Config) error) int {
	code, err := run(m, environment, prepare)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func run(m *testing.M, environment *envtest.Environment, prepare func(*rest.Config) error) (code int, err error) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return 0, errors.New(`these tests need an API server: run "make test", or export KUBEBUILDER_ASSETS="$(go run ./hack/controlplane)"`)
	}
	// A start that fails half-way leaves processes behind, too.
	defer func() { err = errors.Join(err, environment.Stop()) }()
	cluster, err := environment.Start()
	if err != nil {
		return 0, fmt.Errorf("starting the API server: %w", err)
	}
	if err := prepare(cluster); err != nil {
		return 0, err
	}
	return m.Run(), nil
}
