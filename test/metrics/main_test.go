//go:build metrics

// Package metrics lets a Prometheus scrape the operator, and compares the alerts and the dashboard with the true state.
package metrics

import (
	"testing"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

var box *sandbox.Sandbox

func TestMain(m *testing.M) {
	sandbox.Main("metrics", func(c *sandbox.Command) {
		box = sandbox.Start(c, sandbox.Options{})
		c.RunTests(m)
	})
}
