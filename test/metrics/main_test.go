//go:build metrics

// Package metrics has a Prometheus scrape the operator, and compares what the alerts and the dashboard tell with what happens.
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
