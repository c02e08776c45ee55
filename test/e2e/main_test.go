// Package e2e tests the operator from outside: as a process of its own, under the roles it ships with, between a
// real API server and the simulated Delos platform. Each test has a namespace and a platform to itself.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// What all tests share. Nothing runs of the operator yet: see underDeployedOperator.
var (
	box      *sandbox.Sandbox
	cluster  *sandbox.ControlPlane
	operator *sandbox.Operator
	kube     client.Client
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := run(ctx, m)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func run(ctx context.Context, m *testing.M) (code int, err error) {
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		return 1, errors.New("these tests need a control plane: run `make test`, or set KUBEBUILDER_ASSETS to what `make controlplane` prints")
	}
	if box, err = sandbox.New(); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, box.Close()) }()
	if err := prepare(ctx, assets); err != nil {
		return 1, err
	}
	// Tests know nothing of signals: they end here and now, and leave nothing behind.
	stopWaiting := context.AfterFunc(ctx, func() {
		fmt.Fprintln(os.Stderr, "e2e:", errors.Join(errors.New("interrupted"), box.Close()))
		os.Exit(1)
	})
	defer stopWaiting()
	code = m.Run()
	return code, checkLog()
}

func prepare(ctx context.Context, assets string) (err error) {
	if cluster, err = box.StartControlPlane(ctx, assets); err != nil {
		return err
	}
	// A namespace is to go when it is deleted.
	if err := box.StartControllers(ctx, cluster); err != nil {
		return err
	}
	deployment, err := cluster.Install(ctx)
	if err != nil {
		return err
	}
	if operator, err = box.BuildOperator(ctx, cluster, deployment, "-race"); err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	metricsAddress = listener.Addr().String()
	if err := listener.Close(); err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	kube, err = client.New(cluster.Config, client.Options{Scheme: scheme})
	return err
}

// deployed starts the operator as it is deployed, for all tests that run in parallel.
var deployed = sync.OnceValue(func() error {
	return operator.Start(context.Background(), verbose, "--metrics-bind-address="+metricsAddress)
})

// metricsAddress is where the deployed operator serves its metrics.
var metricsAddress string

// underDeployedOperator lets a test run together with others, after those that have an operator to themselves.
func underDeployedOperator(t *testing.T) {
	t.Helper()
	t.Parallel()
	if err := deployed(); err != nil {
		t.Fatal(err)
	}
}

// verbose makes the log that checkLog reads as talkative as it can be.
const verbose = "--zap-log-level=debug"

// checkLog looks through all that the operator wrote during the tests: it was never refused anything by the API
// server, met no data race, and told no secret.
func checkLog() error {
	log, err := operator.Log()
	if errors.Is(err, os.ErrNotExist) {
		return nil // no test that was asked for needs an operator
	}
	if err != nil {
		return err
	}
	if !strings.Contains(log, `"msg":"starting"`) {
		return errors.New("the operator's log is not that of an operator")
	}
	var errs []error
	for text, meaning := range map[string]string{
		"is forbidden":  "its role lacks a right",
		"DATA RACE":     "a data race",
		"panic":         "a panic",
		password:        "the password",
		wrongPassword:   "the wrong password",
		"eyJ":           "a token (JWT)",
		"Bearer ":       "an Authorization header",
		"/auth/refresh": "the URL that holds the refresh token",
	} {
		if line := lineWith(log, text); line != "" {
			errs = append(errs, fmt.Errorf("the operator's log has %s: %s", meaning, line))
		}
	}
	return errors.Join(errs...)
}

// withoutLines leaves out the lines that have a text.
func withoutLines(log, text string) string {
	var rest strings.Builder
	for line := range strings.Lines(log) {
		if !strings.Contains(line, text) {
			rest.WriteString(line)
		}
	}
	return rest.String()
}

// lineWith finds a line of the log that shows a fault. That no event can be made in a namespace that is being deleted says
// nothing of a role, and what is told of a Secret is about a right that its namespace gives, and takes away.
func lineWith(log, text string) string {
	for line := range strings.Lines(log) {
		if strings.Contains(line, text) && !strings.Contains(line, "because it is being terminated") &&
			!strings.Contains(line, `"reason":"SecretUnreadable"`) {
			return line
		}
	}
	return ""
}

// anyLineWith finds any line.
func anyLineWith(log, text string) string {
	for line := range strings.Lines(log) {
		if strings.Contains(line, text) {
			return line
		}
	}
	return ""
}
