package metrics

import (
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestWatches(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(NewWatches([]string{"APIConnection", "ClientBinding"}, func() map[string]error {
		return map[string]error{"ClientBinding": errors.New("forbidden")}
	}))
	want := `
clientbinding_watch_failing{kind="APIConnection"} 0
clientbinding_watch_failing{kind="ClientBinding"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(explained(want))); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("the linter of Prometheus finds %v, %v", problems, err)
	}
}
