// Package e2e tests the operator from outside: as a separate process with the shipped roles, between a
// real API server and the simulated Delos platform. Each test has its own namespace and platform.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// Shared by all tests. The operator does not run yet: see underDeployedOperator.
var (
	box      *sandbox.Sandbox
	cluster  *sandbox.ControlPlane
	operator *sandbox.Operator
	kube     client.Client
)

func TestMain(m *testing.M) {
	sandbox.Main("e2e", func(c *sandbox.Command) {
		// Deleted namespaces have to go.
		box = sandbox.Start(c, sandbox.Options{Controllers: true, BuildFlags: []string{"-race"}})
		cluster, operator, kube = box.Cluster, box.Operator, box.Kube
		var err error
		metricsAddress, err = sandbox.FreeAddress(c.Context())
		sandbox.Must(c, err)
		c.RunTests(m)
		sandbox.Must(c, checkLog())
	})
}

// deployed starts the operator with the flags of its Deployment, for all tests that run in parallel.
var deployed = sync.OnceValue(func() error {
	return operator.Start(context.Background(), verbose, "--metrics-bind-address="+metricsAddress)
})

// metricsAddress is the address of the deployed operator's metrics.
var metricsAddress string

// underDeployedOperator lets a test run in parallel with others, after the tests that run alone.
func underDeployedOperator(t *testing.T) {
	t.Helper()
	t.Parallel()
	if err := deployed(); err != nil {
		t.Fatal(err)
	}
}

// verbose sets the most detailed log level, for checkLog.
const verbose = "--zap-log-level=debug"

// checkLog checks the whole log of the operator: the API server refused no request, there was no data race, and
// no secret is in the log.
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
		"is forbidden":   "its role lacks a right",
		"DATA RACE":      "a data race",
		"panic":          "a panic",
		account.Password: "the password",
		wrongPassword:    "the wrong password",
		"eyJ":            "a token (JWT)",
		"Bearer ":        "an Authorization header",
		"/auth/refresh":  "the URL that holds the refresh token",
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

// lineWith finds a line of the log that shows a fault. A refused event in a namespace that is being deleted is no
// fault of a role. A line about a Secret is about a right that its namespace gives or takes away.
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
